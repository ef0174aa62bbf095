//! `/v1/sites/{site}/destinations` and `/v1/sites/{site}/imports`: where events of a site go to, and where they came from in
//! bulk. Both are set up on the command line; here they are seen, and a destination is paused.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, patch};
use axum::{Extension, Json, Router};
use lake::{Cursor, DestinationSpec, EVENTS, ImportRun, Role, Scan, Site, Target};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{shown, sites};
use crate::http::body::Sent;
use crate::http::caller::access::Caller;
use crate::http::caller::client::Sender;
use crate::http::error::ApiError;
use crate::http::state::Api;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/sites/{site}/destinations", get(destinations))
        .route("/v1/sites/{site}/destinations/{name}", patch(pause))
        .route("/v1/sites/{site}/imports", get(imports))
}

async fn destinations(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let lake = api.lake_of(&*see(&api, &caller, &site).await?).await?;
    let newest = lake.table(&EVENTS).history(1).await?.first().map(|version| version.version);
    let mut found = vec![];
    for spec in lake.destinations().await?.iter().filter(|spec| *spec.site_id == *site) {
        found.push(shown_destination(spec, &lake.cursor(&spec.name).await?, newest));
    }
    Ok(shown::list(found))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    paused: bool,
}

async fn pause(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((site, name)): Path<(String, String)>,
    Sender(client): Sender,
    Sent(sent): Sent<Pause>,
) -> Result<Json<Value>, ApiError> {
    let (found, _) = sites::find(&api, &caller, &site, Role::Editor).await?;
    let (actor, lake) = (caller.must_act()?, api.people.lake());
    let is_there = |specs: &[DestinationSpec]| specs.iter().any(|one| one.name == name && *one.site_id == *site);
    if !is_there(&lake.destinations().await?) {
        return Err(ApiError::NotFound(format!("there is no {name} among the destinations of this site")));
    }
    lake.pause_destination(&name, sent.paused).await?;
    let action = if sent.paused { "destination.pause" } else { "destination.resume" };
    api.people.note(&actor, action, found.organisation.as_deref(), &name, &client, (api.clock)()).await;
    destinations(State(api), Extension(caller), Path(site)).await
}

async fn imports(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let lake = api.lake_of(&*see(&api, &caller, &site).await?).await?;
    let mut runs = lake.import_runs(&site).await?;
    runs.reverse();
    Ok(shown::list(runs.iter().map(shown_import)))
}

/// Fails for whoever may not know of it. A link shows numbers, and not how they come about.
async fn see(api: &Api, caller: &Caller, site: &str) -> Result<Arc<Site>, ApiError> {
    let (site, _) = sites::find(api, caller, site, Role::Viewer).await?;
    match caller {
        Caller::Link(_) => Err(ApiError::MayNot("whoever has a link reads numbers of /v1/stats alone".to_owned())),
        _ => Ok(site),
    }
}

fn shown_import(run: &ImportRun) -> Value {
    let ImportRun {
        at,
        formats,
        files,
        accepted,
        refused,
        left_out,
        of_other_sites,
        first_at,
        last_at,
        reasons,
        failed,
    } = run;
    let reasons: Vec<Value> =
        reasons.iter().map(|(reason, events)| json!({ "reason": reason, "events": events })).collect();
    json!({
        "at": at, "formats": formats, "files": files, "accepted": accepted, "refused": refused, "left_out": left_out,
        "of_other_sites": of_other_sites, "first_at": first_at, "last_at": last_at, "reasons": reasons, "failed": failed,
    })
}

/// - `newest`: the newest version of the events.
fn shown_destination(spec: &DestinationSpec, cursor: &Cursor, newest: Option<u64>) -> Value {
    // An address may have a token in it, so people see its host.
    let host = |url: &str| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let (kind, target) = match &spec.target {
        Target::Webhook { url, .. } => ("webhook", host(url)),
        Target::Ga4 { measurement_id, .. } => ("ga4", Some(measurement_id.clone())),
        Target::DataManager { measurement_id, .. } => ("data_manager", Some(measurement_id.clone())),
        Target::Meta { dataset_id, .. } => ("meta", Some(dataset_id.clone())),
        Target::Postgres { table, .. } => ("postgres", Some(table.clone())),
        Target::Kafka { topic, .. } => ("kafka", Some(topic.clone())),
        Target::Files { url } => ("files", host(url)),
    };
    let position = cursor.position;
    let reads_past = position.and_then(|position| position.scan);
    // A version that comes next and is not there yet: everything was sent.
    let behind = newest.zip(position).map(|(newest, position)| (newest + 1).saturating_sub(position.version));
    let state = match (&cursor.failing, spec.paused, reads_past, behind) {
        (_, true, ..) => "paused",
        (Some(_), ..) => "failing",
        (_, _, Some(_), _) => "reading_past",
        (_, _, _, None) => "not_begun",
        (_, _, _, Some(0)) => "up_to_date",
        _ => "sending",
    };
    let since = reads_past.map(Scan::since_us).and_then(chrono::DateTime::from_timestamp_micros);
    let failing = cursor.failing.as_ref().map(|(since, reason)| json!({ "since": since, "reason": reason }));
    json!({
        "name": spec.name, "kind": kind, "target": target, "created_at": spec.created_at, "filter": spec.filter,
        "consent": spec.consent, "fields": spec.fields, "events_per_second_max": spec.events_per_second_max,
        "state": state, "delivered": cursor.delivered, "refused": cursor.refused, "delivered_at": cursor.delivered_at,
        "failing": failing, "versions_behind": behind, "reads_since": since,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use lake::Position;

    use super::*;

    #[test]
    fn a_destination_says_how_far_it_is_and_no_secret() {
        let spec = |paused| DestinationSpec {
            name: "crm".into(),
            site_id: "shop".into(),
            created_at: DateTime::UNIX_EPOCH,
            target: Target::Webhook {
                url: "https://user:pass@hooks.example.com/T0/secret?key=1".into(),
                secret_variable: Some("CRM_SECRET".into()),
                token_variable: None,
            },
            filter: None,
            consent: None,
            fields: BTreeMap::new(),
            events_per_second_max: None,
            paused,
        };
        let at = |version, scan| {
            let mut cursor = Cursor::default();
            cursor.position = Some(Position { version, scan, file: 0, row: 0 });
            cursor
        };
        let mut failing = at(5, None);
        failing.failing = Some((DateTime::UNIX_EPOCH, "503".into()));
        for (cursor, paused, newest, state, behind) in [
            (Cursor::default(), false, Some(7), "not_begun", None),
            (at(8, None), false, Some(7), "up_to_date", Some(0)),
            (at(5, None), false, Some(7), "sending", Some(3)),
            (at(7, Some(Scan::OccurredSince(0))), false, Some(7), "reading_past", Some(1)),
            (failing.clone(), false, Some(7), "failing", Some(3)),
            (failing, true, Some(7), "paused", Some(3)),
        ] {
            let shown = shown_destination(&spec(paused), &cursor, newest);
            assert_eq!((shown["state"].as_str(), shown["versions_behind"].as_u64()), (Some(state), behind));
            assert!(!shown.to_string().contains("secret") && !shown.to_string().contains("pass"), "{shown}");
        }
    }
}
