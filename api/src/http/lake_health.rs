//! `GET /v1/lake`: how the lake is: what is in it, what waits to be published, and what was done last. Only for whoever may
//! read everything, since sizes of files tell of all sites.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json, Router};
use engine::EngineError;
use lake::{EVENTS, LakeError, REPORTS, VersionEntry};
use serde_json::{Value, json};

use super::caller::reader::Reader;
use super::error::ApiError;
use super::query_string::QueryString;
use super::state::Api;

/// The newest versions of a table that an answer shows.
const VERSIONS: usize = 20;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new().route("/v1/lake", get(lake))
}

async fn lake(
    State(api): State<Arc<Api>>,
    Extension(reader): Extension<Reader>,
    query: QueryString,
) -> Result<Json<Value>, ApiError> {
    let [] = query.read([]).map_err(ApiError::invalid)?;
    let Reader::Everything = reader else {
        return Err(ApiError::NotFound(
            "this key reads sites, and not how the lake is; send the server's token".into(),
        ));
    };
    let health = health(&api).await.map_err(EngineError::from).map_err(ApiError::unread("the lake"))?;
    Ok(Json(health))
}

async fn health(api: &Api) -> Result<Value, LakeError> {
    let lake = api.people.lake();
    let as_of = (api.clock)();
    let snapshot = lake.snapshot().await?;
    let reports = lake.table(&REPORTS).load().await?;
    let states = lake.states_size().await?;
    let versions = lake.table(&EVENTS).history(VERSIONS).await?;
    let report_versions = lake.table(&REPORTS).history(1).await?;
    let lanes: BTreeSet<_> = snapshot.pending.iter().chain(&snapshot.consumed).map(|file| file.lane).collect();
    let dates: BTreeSet<_> = snapshot.events.files.iter().filter_map(|file| file.date).collect();
    let bytes = |files: &[lake::RawFile]| files.iter().map(|file| file.size_bytes).sum::<u64>();
    Ok(json!({
        "as_of": as_of,
        "events": {
            "version": snapshot.events.version, "files": snapshot.events.files.len(), "rows": snapshot.events.rows(),
            "bytes": snapshot.events.size_bytes(), "first_date": dates.first(), "last_date": dates.last(),
        },
        "pending": { "files": snapshot.pending.len(), "bytes": bytes(&snapshot.pending) },
        "consumed": { "files": snapshot.consumed.len(), "bytes": bytes(&snapshot.consumed) },
        "lanes": lanes.len(),
        "reports": {
            "version": reports.version, "files": reports.files.len(), "rows": reports.rows(), "bytes": reports.size_bytes(),
            "committed_at": report_versions.first().and_then(|version| version.committed_at),
            "trouble": api.jobs.main().trouble(),
        },
        "states": { "queries": states.definitions, "files": states.states, "bytes": states.bytes },
        "versions": versions.iter().map(described).collect::<Vec<_>>(),
    }))
}

fn described(entry: &VersionEntry) -> Value {
    json!({
        "version": entry.version, "operation": entry.operation, "committed_at": entry.committed_at,
        "files_added": entry.files_added, "files_removed": entry.files_removed,
        "rows_added": entry.rows_added, "rows_removed": entry.rows_removed,
    })
}
