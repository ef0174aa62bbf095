//! `/v1/openapi.json`: people, organisations, sites and what is kept of them, for tools and generated clients. Tests ask
//! every operation of it, and hold answers against its schemas.

use serde_json::{Map, Value, json};

/// An operation: method, path, what it does, the schema of its body, its success, the schema of its answer.
struct Operation {
    method: &'static str,
    path: &'static str,
    what: &'static str,
    body: Option<&'static str>,
    status: &'static str,
    answer: Option<&'static str>,
    /// Whether anybody may ask.
    open: bool,
}

const fn known(
    method: &'static str,
    path: &'static str,
    what: &'static str,
    body: Option<&'static str>,
    status: &'static str,
    answer: Option<&'static str>,
) -> Operation {
    Operation { method, path, what, body, status, answer, open: false }
}

const fn open(
    method: &'static str,
    path: &'static str,
    what: &'static str,
    body: Option<&'static str>,
    status: &'static str,
    answer: Option<&'static str>,
) -> Operation {
    Operation { open: true, ..known(method, path, what, body, status, answer) }
}

const OPERATIONS: [Operation; 51] = [
    open("get", "/v1/auth/options", "What a page for signing in offers", None, "200", Some("Options")),
    open(
        "post",
        "/v1/auth/register",
        "Register the first owner, or by an invitation",
        Some("Register"),
        "201",
        Some("Me"),
    ),
    open(
        "post",
        "/v1/auth/login",
        "Sign in by e-mail address and password",
        Some("Login"),
        "200",
        Some("MeOrQuestion"),
    ),
    open("post", "/v1/auth/passkey/options", "Ask for a passkey", Some("Nothing"), "200", Some("Question")),
    open("post", "/v1/auth/passkey", "Sign in by a passkey", Some("LoginByPasskey"), "200", Some("Me")),
    open("post", "/v1/auth/refresh", "Get new tokens", Some("Refresh"), "200", Some("Me")),
    open("post", "/v1/auth/logout", "Sign out", Some("Refresh"), "204", None),
    known("post", "/v1/auth/logout-everywhere", "End all of one's sign-ins", Some("Nothing"), "204", None),
    open("post", "/v1/invitations/look", "What an invitation is to", Some("Token"), "200", Some("Invited")),
    known("post", "/v1/invitations/accept", "Take an invitation", Some("Token"), "200", Some("Me")),
    open("post", "/v1/shares/open", "What the link of a share leads to", Some("OpenShare"), "200", Some("OpenedShare")),
    known("get", "/v1/me", "Who sends the request, and what he may read", None, "200", Some("Me")),
    known("patch", "/v1/me", "Change one's name", Some("ChangeMe"), "200", Some("Me")),
    known("post", "/v1/me/password", "Change one's password; other sign-ins end", Some("Password"), "200", Some("Me")),
    known("get", "/v1/me/sign-ins", "Where one is signed in", None, "200", Some("SignIns")),
    known("delete", "/v1/me/sign-ins/{id}", "End one of one's sign-ins", None, "204", None),
    known("get", "/v1/me/passkeys", "One's passkeys", None, "200", Some("Passkeys")),
    known("post", "/v1/me/passkeys/options", "Ask for a new passkey", Some("Nothing"), "200", Some("Question")),
    known("post", "/v1/me/passkeys", "Add a passkey", Some("AddPasskey"), "201", Some("Passkey")),
    known("delete", "/v1/me/passkeys/{id}", "Remove a passkey", None, "204", None),
    known("get", "/v1/organisations", "One's organisations", None, "200", Some("Organisations")),
    known("post", "/v1/organisations", "Make an organisation", Some("Named"), "201", Some("Organisation")),
    known("get", "/v1/organisations/{id}", "An organisation", None, "200", Some("Organisation")),
    known("patch", "/v1/organisations/{id}", "Rename an organisation", Some("Rename"), "200", Some("Organisation")),
    known("get", "/v1/organisations/{id}/members", "Who is what in it", None, "200", Some("Members")),
    known(
        "patch",
        "/v1/organisations/{id}/members/{user}",
        "Change a role",
        Some("ChangeMember"),
        "200",
        Some("Member"),
    ),
    known("delete", "/v1/organisations/{id}/members/{user}", "Remove a member, or leave", None, "204", None),
    known("get", "/v1/organisations/{id}/invitations", "Open invitations", None, "200", Some("Invitations")),
    known("post", "/v1/organisations/{id}/invitations", "Invite somebody", Some("Invite"), "201", Some("Invitation")),
    known("delete", "/v1/organisations/{id}/invitations/{invitation}", "Take an invitation back", None, "204", None),
    known("get", "/v1/organisations/{id}/sites", "Its sites", None, "200", Some("Sites")),
    known("post", "/v1/organisations/{id}/sites", "Add a site", Some("AddSite"), "201", Some("Site")),
    known("get", "/v1/organisations/{id}/keys", "Its read keys", None, "200", Some("ReadKeys")),
    known("post", "/v1/organisations/{id}/keys", "Issue a read key", Some("AddReadKey"), "201", Some("ReadKey")),
    known("delete", "/v1/organisations/{id}/keys/{prefix}", "Revoke a read key", None, "204", None),
    known("get", "/v1/sites", "All sites that one reads", None, "200", Some("Sites")),
    known("get", "/v1/sites/{site}", "A site", None, "200", Some("Site")),
    known("patch", "/v1/sites/{site}", "Change settings of a site", Some("ChangeSite"), "200", Some("Site")),
    known("get", "/v1/sites/{site}/keys", "Its write keys", None, "200", Some("WriteKeys")),
    known("post", "/v1/sites/{site}/keys", "Issue a write key", Some("Nothing"), "201", Some("WriteKey")),
    known("delete", "/v1/sites/{site}/keys/{prefix}", "Revoke a write key", None, "204", None),
    known(
        "get",
        "/v1/sites/{site}/email-reports/{id}/mails",
        "How the mails of a report went",
        None,
        "200",
        Some("Mails"),
    ),
    known(
        "post",
        "/v1/sites/{site}/email-reports/{id}/test",
        "Send a report by e-mail to try how it looks",
        Some("Nothing"),
        "204",
        None,
    ),
    known(
        "post",
        "/v1/me/identities/{id}",
        "Connect one's account of a company: where to go for that",
        Some("Nothing"),
        "200",
        Some("Elsewhere"),
    ),
    known("delete", "/v1/me/identities/{id}", "Sign in with a company no more", None, "204", None),
    known("get", "/v1/sites/{site}/destinations", "Where its events go to", None, "200", Some("Destinations")),
    known(
        "patch",
        "/v1/sites/{site}/destinations/{name}",
        "Pause a destination, or let it go on",
        Some("Pause"),
        "200",
        Some("Destinations"),
    ),
    known("get", "/v1/sites/{site}/imports", "What was imported", None, "200", Some("Imports")),
    known("get", "/v1/sites/{site}/{kind}", "What is kept of a site", None, "200", Some("Items")),
    known("post", "/v1/sites/{site}/{kind}", "Keep something", Some("Item"), "201", Some("KeptItem")),
    known("get", "/v1/sites/{site}/{kind}/{item}", "Something that is kept", None, "200", Some("KeptItem")),
];

/// What is kept of sites, and the schema of each.
const KINDS: [(&str, &str); 6] = [
    ("goals", "Goal"),
    ("segments", "Segment"),
    ("funnels", "Funnel"),
    ("annotations", "Annotation"),
    ("shares", "Share"),
    ("email-reports", "EmailReport"),
];

const REFUSALS: [(&str, &str); 9] = [
    ("400", "Something that was sent cannot be"),
    ("401", "Nobody is signed in, or what he shows does not hold"),
    ("403", "Whoever asks may not, or a page of another origin had it sent"),
    ("404", "There is no such thing, or none that whoever asks may know of"),
    ("409", "Somebody was faster, or something stands against it"),
    ("413", "The body is too long"),
    ("429", "Too many tries failed: wait"),
    ("500", "A defect, or a damaged lake"),
    ("503", "The store is away, or too many sign in: try again"),
];

/// The document.
pub(in crate::http) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for one in OPERATIONS.iter().filter(|one| !one.path.contains("{kind}")) {
        add(&mut paths, one.method, one.path.to_owned(), operation(one, one.path, one.body, one.answer));
    }
    for (kind, schema) in KINDS {
        for one in OPERATIONS.iter().filter(|one| one.path.contains("{kind}")) {
            let path = one.path.replace("{kind}", kind);
            let body = one.body.map(|_| schema);
            let kept = if one.answer == Some("Items") { format!("{schema}s") } else { format!("Kept{schema}") };
            add(&mut paths, one.method, path.clone(), operation(one, &path, body, Some(&kept)));
        }
        let path = format!("/v1/sites/{{site}}/{kind}/{{item}}");
        let kept = format!("Kept{schema}");
        let changed = known("put", "", "Change something that is kept", None, "200", None);
        add(
            &mut paths,
            "put",
            path.clone(),
            operation(&changed, &path, Some(&format!("Changed{schema}")), Some(&kept)),
        );
        let removed = known("delete", "", "Remove something that is kept", None, "204", None);
        add(&mut paths, "delete", path.clone(), operation(&removed, &path, None, None));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dewpond accounts",
            "version": "1",
            "description": "People, organisations, their sites, and what is kept of these. Numbers are at /v1/stats/openapi.json.",
        },
        "security": [{ "token": [] }, { "cookie": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A person's access token, or the server's token" },
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-dewpond_access",
                    "description": "Set by /v1/auth/login. Without the prefix on the server's own machine",
                },
            },
            "schemas": schemas(),
        },
    })
}

fn add(paths: &mut Map<String, Value>, method: &str, path: String, operation: Value) {
    let operations = paths.entry(path).or_insert_with(|| json!({}));
    operations[method] = operation;
}

fn operation(one: &Operation, path: &str, body: Option<&str>, answer: Option<&str>) -> Value {
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let name: String = path.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect();
    let mut operation = json!({
        "operationId": format!("{}{name}", one.method),
        "summary": one.what,
        "responses": { one.status: { "description": one.what } },
    });
    if let Some(answer) = answer {
        operation["responses"][one.status]["content"] = json!({ "application/json": { "schema": named(answer) } });
    }
    for (status, what) in REFUSALS {
        let content = json!({ "application/json": { "schema": named("Refusal") } });
        operation["responses"][status] = json!({ "description": what, "content": content });
    }
    let parameters = path.split('/').filter_map(|piece| piece.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = parameters
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": named(body) } } });
    }
    if one.open {
        operation["security"] = json!([]);
    }
    operation
}

/// An object with these fields, of which all but some are always there.
fn object(fields: Value, optional: &[&str]) -> Value {
    let names = fields.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<&String> = names.filter(|name| !optional.contains(&name.as_str())).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": fields })
}

fn list(of: &str) -> Value {
    object(json!({ "results": { "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } } }), &[])
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": ["string", "null"] });
    let yes_or_no = json!({ "type": "boolean" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let time = json!({ "type": "string", "format": "date-time" });
    let maybe_time = json!({ "type": ["string", "null"], "format": "date-time" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let filters = json!({ "type": "array", "items": {} });
    let role = json!({ "type": "string", "enum": ["viewer", "editor", "owner"] });
    let tokens = json!({ "type": "string", "enum": ["cookie", "body"] });
    let user = object(
        json!({
            "id": text, "email": text, "name": text, "created_at": time, "has_password": yes_or_no,
            "passkey_required": yes_or_no, "identities": texts,
        }),
        &[],
    );
    let organisation = object(
        json!({ "id": text, "name": text, "created_at": time, "role": role, "version": count, "lake": maybe }),
        &[],
    );
    let settings = object(
        json!({
            "domains": texts, "origins": texts, "cookie": yes_or_no, "cookieless": yes_or_no, "honor_opt_out": yes_or_no,
            "events_per_second_max": { "type": ["integer", "null"] }, "session_gap_s": count, "session_cap_s": count,
            "time_zone": text,
        }),
        &[],
    );
    let read_site = object(json!({ "id": text, "organisation": maybe, "role": role }), &[]);
    let share = object(json!({ "name": text, "filters": filters }), &[]);
    let mut schemas = json!({
        "Refusal": {
            "type": "object", "required": ["message"],
            "properties": { "message": {}, "hint": text, "current": { "type": "object" }, "password_needed": yes_or_no },
        },
        "Nothing": object(json!({}), &[]),
        "Options": object(
            json!({
                "first_owner_needed": yes_or_no, "passkeys": yes_or_no, "sends_email": yes_or_no,
                "providers": { "type": "array", "items": object(json!({ "id": text, "name": text, "issuer": text }), &[]) },
            }),
            &[],
        ),
        "Register": object(
            json!({
                "email": text, "password": text, "name": maybe, "organisation": maybe, "invitation": maybe, "tokens": tokens,
            }),
            &["name", "organisation", "invitation", "tokens"],
        ),
        "Login": object(json!({ "email": text, "password": text, "tokens": tokens }), &["tokens"]),
        "Refresh": object(json!({ "refresh_token": maybe }), &["refresh_token"]),
        "Token": object(json!({ "token": text }), &[]),
        "Invited": object(json!({ "organisation": text, "role": role, "email": maybe, "expires_at": time }), &[]),
        "OpenShare": object(json!({ "token": text, "password": maybe }), &["password"]),
        "OpenedShare": object(
            json!({
                "site": text, "name": text, "filters": filters, "access_token": text,
                "expires_in": { "type": ["integer", "null"] },
            }),
            &[],
        ),
        "Me": object(
            json!({
                "kind": { "type": "string", "enum": ["person", "operator", "key", "share"] },
                "user": { "anyOf": [user, { "type": "null" }] },
                "organisations": { "type": "array", "items": organisation },
                "sites": { "type": "array", "items": read_site },
                "share": { "anyOf": [share, { "type": "null" }] },
                "access_token": text, "refresh_token": maybe, "token_type": text, "expires_in": count,
            }),
            &["access_token", "refresh_token", "token_type", "expires_in"],
        ),
        "ChangeMe": object(
            json!({ "name": maybe, "passkey_required": { "type": ["boolean", "null"] } }),
            &["name", "passkey_required"],
        ),
        "Password": object(json!({ "current": maybe, "new": text, "tokens": tokens }), &["current", "tokens"]),
        "SignIn": object(
            json!({ "id": text, "created_at": time, "last_used_at": time, "user_agent": text, "current": yes_or_no }),
            &[],
        ),
        "Organisation": organisation,
        "Named": object(json!({ "name": text }), &[]),
        "Rename": object(json!({ "name": text, "version": { "type": ["integer", "null"], "minimum": 0 } }), &["version"]),
        "Member": object(json!({ "id": text, "email": maybe, "name": maybe, "role": role, "joined_at": time }), &[]),
        "ChangeMember": object(json!({ "role": role }), &[]),
        "Invitation": object(
            json!({ "id": text, "role": role, "email": maybe, "created_at": time, "expires_at": time, "token": text }),
            &["token"],
        ),
        "Invite": object(
            json!({ "role": role, "email": maybe, "expires_in_days": { "type": ["integer", "null"], "minimum": 1, "maximum": 30 } }),
            &["email", "expires_in_days"],
        ),
        "Site": object(
            json!({
                "id": text, "organisation": maybe, "role": role, "created_at": time,
                "retention_days": { "type": ["integer", "null"] }, "settings": settings, "write_key": text,
            }),
            &["write_key"],
        ),
        "AddSite": object(
            json!({ "id": text, "domains": texts, "origins": texts, "time_zone": maybe }),
            &["domains", "origins", "time_zone"],
        ),
        "ReadKey": object(
            json!({
                "prefix": text, "name": text, "sites": texts, "created_at": time, "revoked_at": maybe_time, "read_key": text,
            }),
            &["read_key"],
        ),
        "AddReadKey": object(json!({ "name": text, "sites": texts }), &["name"]),
        "WriteKey": object(
            json!({ "prefix": text, "created_at": time, "revoked_at": maybe_time, "write_key": text }),
            &["write_key"],
        ),
        "Question": object(json!({ "id": text, "publicKey": { "type": "object" } }), &[]),
        "MeOrQuestion": {
            "anyOf": [
                { "$ref": "#/components/schemas/Me" },
                object(json!({ "second_factor": { "$ref": "#/components/schemas/Question" } }), &[]),
            ],
        },
        "LoginByPasskey": object(json!({ "id": text, "credential": { "type": "object" }, "tokens": tokens }), &["tokens"]),
        "AddPasskey": object(json!({ "id": text, "name": text, "credential": { "type": "object" } }), &[]),
        "Passkey": object(json!({ "id": text, "name": text, "created_at": time }), &[]),
        "Passkeys": list("Passkey"),
        "SignIns": list("SignIn"),
        "Organisations": list("Organisation"),
        "Members": list("Member"),
        "Invitations": list("Invitation"),
        "Sites": list("Site"),
        "ReadKeys": list("ReadKey"),
        "WriteKeys": list("WriteKey"),
    });
    let pipes = pipes();
    for (name, schema) in pipes.as_object().into_iter().flatten() {
        schemas[name] = schema.clone();
    }
    let mut change_site = settings.clone();
    change_site["required"] = json!([]);
    change_site["properties"]["session_gap_s"] = json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX });
    change_site["properties"]["session_cap_s"] = json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX });
    change_site["properties"]["events_per_second_max"] =
        json!({ "type": ["integer", "null"], "minimum": 1, "maximum": u32::MAX });
    schemas["ChangeSite"] = change_site;
    let kinds = [
        (
            "Goal",
            json!({ "name": text, "kind": { "type": "string", "enum": ["event", "page", "object"] }, "value": text, "filters": filters }),
            vec!["filters"],
        ),
        ("Segment", json!({ "name": text, "filters": filters }), vec![]),
        ("Funnel", json!({ "name": text, "steps": filters, "window": maybe }), vec!["window"]),
        ("Annotation", json!({ "at": time, "until": maybe_time, "text": text }), vec!["until"]),
        (
            "Share",
            json!({ "name": text, "filters": filters, "expires_at": maybe_time, "origins": texts }),
            vec!["filters", "expires_at", "origins"],
        ),
        (
            "EmailReport",
            json!({
                "recipient": text, "interval": { "type": "string", "enum": ["week", "month"] },
                "language": { "type": ["string", "null"], "enum": ["en", "de", null] }, "filters": filters,
            }),
            vec!["language", "filters"],
        ),
    ];
    for (name, fields, optional) in kinds {
        let with = |more: Value| {
            let mut fields = fields.clone();
            for (name, schema) in more.as_object().into_iter().flatten() {
                fields[name] = schema.clone();
            }
            fields
        };
        let is_share = name == "Share";
        let password = if is_share { json!({ "password": maybe }) } else { json!({}) };
        let optional = [optional, vec!["password"]].concat();
        schemas[name] = object(with(password.clone()), &optional);
        let mut changed = with(password);
        changed["version"] = count.clone();
        schemas[format!("Changed{name}")] = object(changed, &optional);
        let mut about = json!({
            "id": text, "version": count, "created_at": time, "changed_at": time, "created_by": maybe,
        });
        if is_share {
            about["has_password"] = yes_or_no.clone();
            about["token"] = text.clone();
        }
        schemas[format!("Kept{name}")] = object(with(about), &["token"]);
        schemas[format!("{name}s")] = list(&format!("Kept{name}"));
    }
    schemas
}

/// What comes in and goes out beside requests: imports, destinations, mails, accounts elsewhere.
fn pipes() -> Value {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": ["string", "null"] });
    let yes_or_no = json!({ "type": "boolean" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let time = json!({ "type": "string", "format": "date-time" });
    let maybe_time = json!({ "type": ["string", "null"], "format": "date-time" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "Elsewhere": object(json!({ "url": text }), &[]),
        "Mail": object(
            json!({
                "period": text, "at": time, "attempt": count, "reason": text,
                "state": { "type": "string", "enum": ["taken", "sent", "failed", "refused", "unknown"] },
            }),
            &[],
        ),
        "Mails": list("Mail"),
        "Pause": object(json!({ "paused": yes_or_no }), &[]),
        "Destination": object(
            json!({
                "name": text, "kind": text, "target": maybe, "created_at": time, "filter": maybe, "consent": maybe,
                "fields": { "type": "object" }, "events_per_second_max": { "type": ["integer", "null"] },
                "state": {
                    "type": "string",
                    "enum": ["paused", "failing", "reading_past", "not_begun", "up_to_date", "sending"],
                },
                "delivered": count, "refused": count, "delivered_at": maybe_time,
                "failing": { "anyOf": [object(json!({ "since": time, "reason": text }), &[]), { "type": "null" }] },
                "versions_behind": { "type": ["integer", "null"] }, "reads_since": maybe_time,
            }),
            &[],
        ),
        "Destinations": list("Destination"),
        "Import": object(
            json!({
                "at": time, "formats": texts, "files": count, "accepted": count, "refused": count, "left_out": count,
                "of_other_sites": count, "first_at": maybe_time, "last_at": maybe_time, "failed": maybe,
                "reasons": { "type": "array", "items": object(json!({ "reason": text, "events": count }), &[]) },
            }),
            &[],
        ),
        "Imports": list("Import"),
    })
}
