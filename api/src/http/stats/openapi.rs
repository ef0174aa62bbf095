//! `/v1/stats/openapi.json`: this API for tools and generated clients. Paths and parameters are those that requests are read
//! by, so that the document cannot say anything else; tests hold every answer against its schema.

use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Kind, Parameter};
use super::said::dimension::Dimension;
use super::said::filter::OPERATORS;
use super::said::metric::Metric;

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in Endpoint::ALL {
        let mut operations = Map::new();
        operations.insert("get".into(), operation(endpoint, "get"));
        // A session is named by its address.
        if endpoint != Endpoint::Session {
            operations.insert("post".into(), operation(endpoint, "post"));
        }
        paths.insert(format!("/v1/stats/{}", endpoint.path()), operations.into());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dewpond stats",
            "version": "1",
            "description": "Numbers, series, tables, funnels, retention, journeys, sessions and people, over every event that was \
                            acknowledged before the request came.",
        },
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "description": "A read key, a person's access token, that of a share, or the server's token" } },
            "schemas": schemas(),
        },
    })
}

fn operation(endpoint: Endpoint, method: &str) -> Value {
    let mut operation = json!({
        "operationId": format!("{method}_{}", endpoint.path().replace("/{id}", "_one")),
        "summary": endpoint.what(),
        "responses": {
            "200": {
                "description": endpoint.what(),
                "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{}", name_of(endpoint)) } } },
            },
            "304": { "description": "The answer with the tag of If-None-Match still holds" },
        },
    });
    for (status, what) in [
        ("400", "A parameter, a name or a value is wrong, or the request is larger than it may be"),
        ("401", "There is no valid key"),
        ("403", "Whoever asks may not see that: people by a link, or anything for another origin's page"),
        ("404", "There is no such site or session, or this key does not read it"),
        ("413", "The body is too long"),
        ("500", "A defect, or a damaged lake"),
        ("503", "As many queries run as may, or the store is away: try again"),
        ("504", "The query ran for longer than it may: ask for a shorter range"),
    ] {
        operation["responses"][status] = json!({
            "description": what,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" } } },
        });
    }
    let id = json!({
        "name": "id", "in": "path", "required": true, "schema": { "type": "string" }, "description": "The id of a session",
    });
    let is_named = endpoint == Endpoint::Session;
    if method == "post" {
        let properties = endpoint.parameters().iter().map(|one| (one.name.to_owned(), in_body(one)));
        let schema = json!({
            "type": "object", "additionalProperties": false, "properties": Value::Object(properties.collect()),
            "required": if endpoint == Endpoint::Breakdown { vec!["dimensions"] } else { vec![] },
        });
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        return operation;
    }
    let parameters = endpoint.parameters().iter().map(|one| in_address(endpoint, one));
    operation["parameters"] = is_named.then_some(id).into_iter().chain(parameters).collect();
    operation
}

fn name_of(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Aggregate => "Aggregate",
        Endpoint::Timeseries => "Timeseries",
        Endpoint::Breakdown => "Breakdown",
        Endpoint::Funnel => "Funnel",
        Endpoint::Retention => "Retention",
        Endpoint::Paths => "Paths",
        Endpoint::Sessions => "Sessions",
        Endpoint::Session => "Timeline",
        Endpoint::Visitors => "Visitors",
        Endpoint::Live => "Live",
        Endpoint::Realtime => "Realtime",
        Endpoint::Goals => "Goals",
        Endpoint::Heatmap => "Heatmap",
        Endpoint::Robots => "Robots",
    }
}

/// A parameter of a query string.
fn in_address(endpoint: Endpoint, parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Flag => json!({ "type": "boolean" }),
        _ => json!({ "type": "string" }),
    };
    let schema = if parameter.repeats { json!({ "type": "array", "items": schema }) } else { schema };
    json!({
        "name": parameter.name,
        "in": "query",
        "required": endpoint == Endpoint::Breakdown && parameter.name == "dimensions",
        "description": parameter.what,
        "schema": schema,
    })
}

/// The same as a field of a body.
fn in_body(parameter: &Parameter) -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let mut schema = match parameter.kind {
        Kind::Text if parameter.repeats => json!({ "anyOf": [{ "type": "string" }, texts] }),
        Kind::Text => json!({ "type": ["string", "null"] }),
        Kind::Texts => json!({ "anyOf": [{ "type": "string" }, texts, { "type": "null" }] }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Lists => json!({ "type": "array", "items": { "$ref": "#/components/schemas/Filter" } }),
        Kind::Order => json!({ "type": "array", "items": { "type": "array", "items": { "type": "string" } } }),
        Kind::Numbers => json!({ "type": "object", "additionalProperties": { "type": "number" } }),
    };
    schema["description"] = parameter.what.into();
    schema
}

fn schemas() -> Value {
    let list = |items: Value| json!({ "type": "array", "items": items });
    let text = || json!({ "type": "string" });
    let maybe = || json!({ "type": ["string", "null"] });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let share = || json!({ "type": ["number", "null"] });
    let time = || json!({ "type": "string", "format": "date-time" });
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let object = |fields: &[(&str, Value)], optional: &[&str]| {
        let required: Vec<&str> =
            fields.iter().map(|(name, _)| *name).filter(|name| !optional.contains(name)).collect();
        let fields = fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone()));
        json!({
            "type": "object", "additionalProperties": false, "required": required,
            "properties": Value::Object(fields.collect()),
        })
    };
    // What every answer has, and what an endpoint adds.
    let answer = |fields: &[(&str, Value)], optional: &[&str]| {
        let always = [
            ("query", json!({ "type": "object" })),
            ("as_of", time()),
            ("complete_until", time()),
            ("lake_version", json!({ "type": "integer", "minimum": -1 })),
        ];
        object(&[&always, fields].concat(), optional)
    };
    let comparison = object(&[("metrics", named("Numbers")), ("change", named("Changes"))], &[]);
    // Whether days of another product were added; there if that was asked for.
    let imported = [
        ("imported", json!({ "type": "boolean" })),
        ("imported_reason", text()),
        (
            "imported_days",
            object(
                &[
                    ("sources", list(text())),
                    ("from", json!({ "type": "string", "format": "date" })),
                    ("until", json!({ "type": "string", "format": "date" })),
                    ("without", list(named("Metric"))),
                ],
                &[],
            ),
        ),
    ];
    let with_imported = |fields: &[(&'static str, Value)], optional: &[&str]| {
        let names = ["imported", "imported_reason", "imported_days"];
        answer(&[fields, &imported].concat(), &[optional, &names].concat())
    };
    let number = || json!({ "type": ["number", "string", "null"] });
    let metrics = || Metric::ALL.iter().map(|metric| metric.name());
    let by_metric = |schema: Value| {
        let fields = metrics().map(|name| (name.to_owned(), schema.clone()));
        json!({ "type": "object", "additionalProperties": false, "properties": Value::Object(fields.collect()) })
    };
    let point = [("from", time()), ("until", time()), ("metrics", named("Numbers"))];
    let compared_point = object(&[&point[..], &[("change", named("Changes"))]].concat(), &[]);
    let maybe_compared = json!({ "anyOf": [compared_point, { "type": "null" }] });
    let step = object(
        &[
            ("step", count()),
            ("filter", json!({ "type": "array" })),
            ("visitors", count()),
            ("conversion", share()),
            ("conversion_from_previous", share()),
        ],
        &[],
    );
    let period = object(&[("period", count()), ("visitors", count()), ("retention", json!({ "type": "number" }))], &[]);
    let cohort = object(
        &[("cohort", json!({ "type": "string", "format": "date" })), ("visitors", count()), ("periods", list(period))],
        &[],
    );
    let page = object(&[("path", maybe()), ("sessions", count()), ("exits", count())], &[]);
    let path_step = object(&[("step", count()), ("sessions", count()), ("pages", list(page))], &[]);
    let link = object(&[("step", count()), ("from", maybe()), ("to", maybe()), ("sessions", count())], &[]);
    let money = || json!({ "type": ["number", "string", "null"] });
    let texts = |names: &[&'static str]| names.iter().map(|name| (*name, maybe())).collect::<Vec<_>>();
    let session: Vec<(&str, Value)> = [
        vec![
            ("id", text()),
            ("site", text()),
            ("visitor", text()),
            ("client_session_id", maybe()),
            ("user_id", maybe()),
            ("started_at", time()),
            ("ended_at", time()),
            ("duration_s", count()),
            ("events", count()),
            ("page_views", count()),
            ("engaged_s", count()),
            ("is_bounce", json!({ "type": "boolean" })),
            ("revenue", money()),
        ],
        texts(&[
            "entry_hostname",
            "entry_page",
            "exit_hostname",
            "exit_page",
            "channel",
            "referrer_host",
            "utm_source",
            "utm_medium",
            "utm_campaign",
            "browser",
            "os",
            "device",
            "country",
            "language",
            "currency",
        ]),
    ]
    .concat();
    let event: Vec<(&str, Value)> = [
        vec![
            ("event_id", text()),
            ("occurred_at", time()),
            ("name", text()),
            ("revenue", money()),
            ("properties", json!({})),
        ],
        texts(&["hostname", "path", "title", "object", "currency"]),
    ]
    .concat();
    let visitor: Vec<(&str, Value)> = [
        vec![
            ("visitor", text()),
            ("site", text()),
            ("first_seen_at", time()),
            ("last_seen_at", time()),
            ("events", count()),
            ("page_views", count()),
            ("sessions", count()),
        ],
        texts(&[
            "user_id",
            "first_hostname",
            "first_page",
            "first_referrer_host",
            "first_channel",
            "first_utm_source",
            "first_utm_medium",
            "first_utm_campaign",
        ]),
    ]
    .concat();
    let operators: Vec<&str> = OPERATORS.iter().map(|(name, ..)| *name).collect();
    let funnel = [("steps", list(step.clone())), ("conversion", share())];
    let compared_funnel = object(&[&funnel[..], &[("change", list(share()))]].concat(), &[]);
    json!({
        "Refusal": object(&[("message", text()), ("hint", text())], &["hint"]),
        "Filter": {
            "description": "A condition as text, as country:is:DE; or a list: an operator, a dimension and values, or and, or, not \
                            with filters.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": {}, "minItems": 1 }],
        },
        "Operator": { "type": "string", "enum": operators },
        "Metric": { "type": "string", "enum": metrics().collect::<Vec<_>>() },
        "Dimension": {
            "type": "string",
            "description": "One of the names, or properties.KEY for a field of properties.",
            "examples": Dimension::all_names().collect::<Vec<_>>(),
        },
        "Numbers": by_metric(number()),
        "Changes": by_metric(share()),
        "Point": object(&[&point[..], &[("comparison", maybe_compared)]].concat(), &["comparison"]),
        "Aggregate": with_imported(&[("metrics", named("Numbers")), ("comparison", comparison.clone())], &["comparison"]),
        "Timeseries": with_imported(
            &[
                ("interval", text()),
                ("results", list(named("Point"))),
                ("series", list(object(&[("dimensions", named("Values")), ("results", list(named("Point")))], &[]))),
            ],
            &["results", "series"],
        ),
        "Values": { "type": "object", "additionalProperties": maybe() },
        "Breakdown": with_imported(
            &[
                (
                    "results",
                    list(object(
                        &[("dimensions", named("Values")), ("metrics", named("Numbers")), ("comparison", comparison)],
                        &["comparison"],
                    )),
                ),
                ("total_rows", count()),
            ],
            &[],
        ),
        "Funnel": answer(&[&funnel[..], &[("comparison", compared_funnel)]].concat(), &["comparison"]),
        "Retention": answer(&[("interval", text()), ("cohorts", list(cohort))], &[]),
        "Paths": answer(&[("steps", list(path_step)), ("links", list(link))], &[]),
        "Session": object(&session, &["user_id"]),
        "Sessions": answer(&[("results", list(named("Session"))), ("total_rows", count())], &[]),
        "Timeline": answer(
            &[("session", named("Session")), ("events", list(object(&event, &[]))), ("total_events", count())],
            &[],
        ),
        "Visitors": answer(&[("results", list(object(&visitor, &[]))), ("total_rows", count())], &[]),
        "Live": answer(&[("metrics", named("Numbers"))], &[]),
        "Goals": answer(
            &[
                ("visitors", count()),
                (
                    "results",
                    list(object(
                        &[
                            ("goal", object(&[("id", text()), ("name", text()), ("kind", text()), ("value", text())], &[])),
                            ("events", count()),
                            ("visitors", count()),
                            ("sessions", count()),
                            ("conversion_rate", share()),
                        ],
                        &[],
                    )),
                ),
            ],
            &[],
        ),
        "Heatmap": answer(
            &[(
                "results",
                list(object(
                    &[
                        ("weekday", json!({ "type": "integer", "minimum": 1, "maximum": 7 })),
                        ("hour", json!({ "type": "integer", "minimum": 0, "maximum": 23 })),
                        ("metrics", named("Numbers")),
                    ],
                    &[],
                )),
            )],
            &[],
        ),
        "Robots": answer(&[("events", count()), ("page_views", count())], &[]),
        "Realtime": answer(
            &[("interval", text()), ("metrics", named("Numbers")), ("results", list(named("Point")))],
            &[],
        ),
    })
}
