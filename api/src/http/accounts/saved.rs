//! `/v1/sites/{site}/goals` and its like: what people keep of a site. All kinds are read and changed alike; what each says
//! is in [`Says`].

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use chrono::{DateTime, Utc};
use lake::{Role, SavedItem, SavedKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{shown, sites};
use crate::http::body::Sent;
use crate::http::caller::access::Caller;
use crate::http::caller::client::Sender;
use crate::http::caller::links;
use crate::http::error::ApiError;
use crate::http::state::Api;
use crate::http::stats::{check_filters, check_goal, check_steps};
use crate::mail::calendar::Rhythm;
use crate::mail::subscription;
use crate::words::Language;

/// Items of one kind that a site has at most.
const ITEMS_MAX: usize = 200;

const NAME_CHARACTERS_MAX: usize = 200;
const TEXT_CHARACTERS_MAX: usize = 2_000;

pub(super) fn router() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for kind in SavedKind::ALL {
        let path = format!("/v1/sites/{{site}}/{}", kind.name());
        let list = move |state, caller, site| list(kind, state, caller, site);
        let add = move |state, caller, site, sender, sent| add(kind, state, caller, site, sender, sent);
        let show = move |state, caller, path| show(kind, state, caller, path);
        let change = move |state, caller, path, sender, sent| change(kind, state, caller, path, sender, sent);
        let remove = move |state, caller, path, sender| remove(kind, state, caller, path, sender);
        router = router
            .route(&path, get(list).post(add))
            .route(&format!("{path}/{{id}}"), get(show).put(change).delete(remove));
    }
    router
}

/// Who may see a kind. A share tells what others are shown.
fn needed_to_see(kind: SavedKind) -> Role {
    match kind {
        // Addresses of people are for those who put them down.
        SavedKind::Shares | SavedKind::EmailReports => Role::Editor,
        _ => Role::Viewer,
    }
}

fn shown(item: &SavedItem) -> Value {
    let mut fields = item.says.clone();
    let is_share = fields.remove("token_hash").is_some();
    let has_password = fields.remove("password_hash").is_some();
    fields.remove(subscription::SECRET);
    if is_share {
        fields.insert("has_password".into(), has_password.into());
        // Those of earlier releases have none.
        fields.entry("origins").or_insert_with(|| json!([]));
    }
    let SavedItem { id, version, created_at, changed_at, created_by, .. } = item;
    let about = json!({
        "id": id, "version": version, "created_at": created_at, "changed_at": changed_at, "created_by": created_by,
    });
    let mut shown = match about {
        Value::Object(about) => about,
        _ => Map::new(),
    };
    shown.append(&mut fields);
    shown.into()
}

async fn list(
    kind: SavedKind,
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
) -> Result<Json<Value>, ApiError> {
    sites::find(&api, &caller, &site, needed_to_see(kind)).await?;
    let items = api.people.lake().saved(&site, kind).await?;
    Ok(shown::list(items.iter().map(|item| self::shown_for(&caller, item))))
}

/// An item for somebody, who may not know who made it if he is no member.
fn shown_for(caller: &Caller, item: &SavedItem) -> Value {
    let mut shown = shown(item);
    if caller.actor().is_none() {
        shown["created_by"] = Value::Null;
    }
    shown
}

async fn show(
    kind: SavedKind,
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((site, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    sites::find(&api, &caller, &site, needed_to_see(kind)).await?;
    let items = api.people.lake().saved(&site, kind).await?;
    let item = items.iter().find(|item| item.id == id).ok_or_else(|| missing(kind, &id))?;
    Ok(Json(shown_for(&caller, item)))
}

fn missing(kind: SavedKind, id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no {id} among the {} of this site", kind.name()))
}

async fn add(
    kind: SavedKind,
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
    Sender(client): Sender,
    Sent(sent): Sent<Map<String, Value>>,
) -> Result<Response, ApiError> {
    let (found, _) = sites::find(&api, &caller, &site, Role::Editor).await?;
    let (actor, lake, now) = (caller.must_act()?, api.people.lake(), (api.clock)());
    let mut says = Says::read(kind, sent)?;
    if let Some(password) = says.password.take().flatten() {
        says.fields.insert("password_hash".into(), api.people.hash_password(&password).await?.into());
    }
    let token = (kind == SavedKind::Shares).then(|| lake.new_secret("dps_"));
    if kind == SavedKind::EmailReports {
        // Its mails have the link each time, so this is no hash. It ends these mails and opens nothing.
        says.fields.insert(subscription::SECRET.into(), lake.new_secret("dpu_").into());
    }
    if let Some(token) = &token {
        says.fields.insert("token_hash".into(), accounts::share_hash(token).into());
    }
    let item = SavedItem {
        id: lake.new_id(),
        site_id: site.clone(),
        version: 1,
        created_at: now,
        changed_at: now,
        created_by: actor.email().map(str::to_owned),
        says: says.fields,
    };
    lake.change_saved(&site, kind, |items| {
        if items.len() >= ITEMS_MAX {
            return Err(ApiError::invalid(format!("a site has at most {ITEMS_MAX} {}: remove one first", kind.name())));
        }
        check_name(kind, items, &item)?;
        items.push(item.clone());
        Ok(())
    })
    .await?;
    let action = format!("{}.add", kind.name());
    api.people.note(&actor, &action, found.organisation.as_deref(), &item.id, &client, now).await;
    let mut shown = shown(&item);
    if let Some(token) = token {
        shown["token"] = token.into();
    }
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

async fn change(
    kind: SavedKind,
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((site, id)): Path<(String, String)>,
    Sender(client): Sender,
    Sent(mut sent): Sent<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    let (found, _) = sites::find(&api, &caller, &site, Role::Editor).await?;
    let (actor, now) = (caller.must_act()?, (api.clock)());
    let version = sent.remove("version").and_then(|version| version.as_u64());
    let version = version.ok_or_else(|| ApiError::invalid("send the version that you read, a number, too"))?;
    let mut says = Says::read(kind, sent)?;
    let password = says.password.take();
    let password_hash = match password.as_ref().and_then(Option::as_ref) {
        Some(password) => Some(api.people.hash_password(password).await?),
        None => None,
    };
    let changed = api.people.lake().change_saved(&site, kind, |items| {
        let at = items.iter().position(|item| item.id == id).ok_or_else(|| missing(kind, &id))?;
        if items[at].version != version {
            return Err(ApiError::Faster { current: shown(&items[at]) });
        }
        let mut fields = says.fields.clone();
        let kept = ["token_hash", "password_hash", subscription::SECRET];
        for name in kept.into_iter().filter(|name| *name != "password_hash" || password.is_none()) {
            if let Some(value) = items[at].says.get(name) {
                fields.insert(name.into(), value.clone());
            }
        }
        if let Some(hash) = &password_hash {
            fields.insert("password_hash".into(), hash.clone().into());
        }
        let item = SavedItem { version: version + 1, changed_at: now, says: fields, ..items[at].clone() };
        check_name(kind, items, &item)?;
        items[at] = item.clone();
        Ok(item)
    });
    let changed = changed.await?;
    let action = format!("{}.change", kind.name());
    api.people.note(&actor, &action, found.organisation.as_deref(), &id, &client, now).await;
    Ok(Json(shown(&changed)))
}

async fn remove(
    kind: SavedKind,
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((site, id)): Path<(String, String)>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    let (found, _) = sites::find(&api, &caller, &site, Role::Editor).await?;
    let actor = caller.must_act()?;
    let removed = api.people.lake().change_saved(&site, kind, |items| {
        let at = items.iter().position(|item| item.id == id).ok_or_else(|| missing(kind, &id))?;
        items.remove(at);
        Ok::<_, ApiError>(())
    });
    removed.await?;
    let action = format!("{}.remove", kind.name());
    api.people.note(&actor, &action, found.organisation.as_deref(), &id, &client, (api.clock)()).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A goal is named in requests, so its name is one goal's. Nobody gets the same mail twice.
fn check_name(kind: SavedKind, items: &[SavedItem], item: &SavedItem) -> Result<(), ApiError> {
    let is_taken = |other: &SavedItem| other.id != item.id && other.says.get("name") == item.says.get("name");
    let is_same_mail = |other: &SavedItem| {
        let fields = ["recipient", "interval", "filters"];
        other.id != item.id && fields.iter().all(|field| other.says.get(*field) == item.says.get(*field))
    };
    match kind {
        SavedKind::Goals if items.iter().any(is_taken) => {
            Err(accounts::AccountsError::Conflict { reason: "there is a goal of this name already".to_owned() }.into())
        }
        SavedKind::EmailReports if items.iter().any(is_same_mail) => {
            Err(accounts::AccountsError::Conflict { reason: "this address gets that report already".to_owned() }.into())
        }
        _ => Ok(()),
    }
}

/// What an item says, checked.
struct Says {
    fields: Map<String, Value>,
    /// Of a share: what its password is to be, if the request says so.
    password: Option<Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Goal {
    name: String,
    kind: String,
    value: String,
    #[serde(default)]
    filters: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    name: String,
    filters: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Funnel {
    name: String,
    steps: Vec<Value>,
    window: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotation {
    at: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    name: String,
    #[serde(default)]
    filters: Vec<Value>,
    expires_at: Option<DateTime<Utc>>,
    /// Whose pages may show it in a frame.
    #[serde(default)]
    origins: Vec<String>,
    /// `null` takes the password away.
    #[serde(default)]
    password: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailReport {
    recipient: String,
    interval: String,
    language: Option<String>,
    #[serde(default)]
    filters: Vec<Value>,
}

impl Says {
    fn read(kind: SavedKind, mut sent: Map<String, Value>) -> Result<Self, ApiError> {
        // A field that is there as null is another thing than none, which `Option` does not tell.
        let names_password = sent.contains_key("password");
        sent.remove("id");
        let sent = Value::Object(sent);
        let (fields, password) = match kind {
            SavedKind::Goals => {
                let Goal { name, kind, value, filters } = read(sent)?;
                check_goal(&kind, &value, &filters).map_err(ApiError::invalid)?;
                (json!({ "name": named(&name)?, "kind": kind, "value": value, "filters": filters }), None)
            }
            SavedKind::Segments => {
                let Segment { name, filters } = read(sent)?;
                check_filters(&filters).map_err(ApiError::invalid)?;
                (json!({ "name": named(&name)?, "filters": filters }), None)
            }
            SavedKind::Funnels => {
                let Funnel { name, steps, window } = read(sent)?;
                check_steps(&steps, window.as_deref()).map_err(ApiError::invalid)?;
                (json!({ "name": named(&name)?, "steps": steps, "window": window }), None)
            }
            SavedKind::Annotations => {
                let Annotation { at, until, text } = read(sent)?;
                if until.is_some_and(|until| until < at) {
                    return Err(ApiError::invalid("until lies before at"));
                }
                let is_text = (1..=TEXT_CHARACTERS_MAX).contains(&text.trim().chars().count());
                if !is_text {
                    return Err(ApiError::invalid(format!("a text has 1 to {TEXT_CHARACTERS_MAX} characters")));
                }
                (json!({ "at": at, "until": until, "text": text.trim() }), None)
            }
            SavedKind::Shares => {
                let Share { name, filters, expires_at, origins, password } = read(sent)?;
                let origins = links::origin_forms(&origins).map_err(ApiError::invalid)?;
                check_filters(&filters).map_err(ApiError::invalid)?;
                let password = match password {
                    None | Some(Value::Null) if names_password => Some(None),
                    None | Some(Value::Null) => None,
                    Some(Value::String(password)) => Some(Some(password)),
                    Some(_) => return Err(ApiError::invalid("a password is a text, or null for none")),
                };
                let name = named(&name)?;
                (json!({ "name": name, "filters": filters, "expires_at": expires_at, "origins": origins }), password)
            }
            SavedKind::EmailReports => {
                let EmailReport { recipient, interval, language, filters } = read(sent)?;
                check_filters(&filters).map_err(ApiError::invalid)?;
                let recipient = accounts::email_form(&recipient).map_err(ApiError::invalid)?;
                if Rhythm::named(&interval).is_none() {
                    return Err(ApiError::invalid("interval is week or month"));
                }
                let language = language.unwrap_or_else(|| Language::default().code().to_owned());
                if Language::of_code(&language).is_none() {
                    return Err(ApiError::invalid("language is en or de"));
                }
                (
                    json!({ "recipient": recipient, "interval": interval, "language": language, "filters": filters }),
                    None,
                )
            }
        };
        let Value::Object(fields) = fields else { return Err(ApiError::invalid("the body is no object")) };
        Ok(Self { fields, password })
    }
}

fn read<T: serde::de::DeserializeOwned>(sent: Value) -> Result<T, ApiError> {
    serde_json::from_value(sent)
        .map_err(|error| ApiError::invalid(format!("the body is not what is needed here: {error}")))
}

fn named(name: &str) -> Result<&str, ApiError> {
    let name = name.trim();
    match name.chars().count() {
        1..=NAME_CHARACTERS_MAX if !name.contains(char::is_control) => Ok(name),
        _ => Err(ApiError::invalid(format!("a name has 1 to {NAME_CHARACTERS_MAX} characters, on one line"))),
    }
}

/// Whether somebody who has a link may open it by now, and with what.
pub(super) fn opened(share: &SavedItem) -> Value {
    json!({ "site": share.site_id, "name": share.says.get("name"), "filters": links::filters(share) })
}
