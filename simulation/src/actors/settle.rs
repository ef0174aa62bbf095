//! The end of a run: once all faults are over, everything can be published and every event is there once.

use std::collections::BTreeSet;

use compactor::{Compactor, first_open_day};
use engine::{Engine, QueryResult, Scope, to_json_rows};
use futures::TryStreamExt;
use lake::{Lake, SESSIONS, read_batches};
use serde_json::Value as Json;

use super::compactors::compactor_of;
use super::engine_of;
use super::readers::{audit, check, read, read_recurring};
use crate::fault_store::atomically;
use crate::history::{Id, Violation};
use crate::setup::Setup;

/// Publishes, merges, removes and vacuums without faults, and checks that every event is there once.
pub(crate) async fn settle(setup: &Setup) -> Result<(), Violation> {
    let (process, lake) = setup.start_process(None);
    let compactor = compactor_of(setup, &process, lake.clone());
    let stuck = |what: &str, error: &dyn std::fmt::Debug| Violation::Stuck(format!("{what}: {error:?}"));
    compactor.publish().await.map_err(|error| stuck("a publish failed", &error))?;
    compactor.merge().await.map_err(|error| stuck("a merge failed", &error))?;
    // Prefer the compactor that has run from the beginning, because it remembers most.
    let remover = setup.janitor.get().unwrap_or(&compactor);
    let removed = remover.remove().await.map_err(|error| stuck("a removal failed", &error))?;
    setup.summary.lock().removed += removed.rows;
    check_kept_sessions(setup, &lake, &compactor).await?;
    compactor.vacuum().await.map_err(|error| stuck("a vacuum failed", &error))?;
    let snapshot = lake.snapshot().await.map_err(|error| stuck("a snapshot failed", &error))?;
    if !snapshot.pending.is_empty() {
        return Err(Violation::Stuck(format!("{} files stay pending", snapshot.pending.len())));
    }
    let engine = engine_of(lake);
    let rows = read(&engine).await.map_err(|error| stuck("a read failed", &error))?;
    let history = setup.history.lock().clone();
    history.check(&rows, &history.expectation())?;
    let counted = read_recurring(&engine).await.map_err(|error| stuck("a recurring query failed", &error))?;
    history.check(&counted, &history.expectation())?;
    let multiset = |mut rows: Vec<Id>| {
        rows.sort();
        rows
    };
    if multiset(counted) != multiset(rows.clone()) {
        return Err(Violation::Wrong("a recurring query counts other events than a query reads".to_owned()));
    }
    history.check_expired(&rows)?;
    let mut persons = BTreeSet::new();
    for erasure in setup.erasures.lock().iter().filter(|erasure| persons.insert((erasure.site, erasure.user))) {
        erasure.check_whole(&rows, &history)?;
    }
    if let Some(violation) = check(setup).await.map_err(|error| stuck("a check failed", &error))? {
        return Err(violation);
    }
    atomically(|| futures::executor::block_on(audit(setup)))
}

/// Checks that the table `sessions`, if there is one, has nobody who was erased, and after another pass what SQL says of the same
/// days.
async fn check_kept_sessions(setup: &Setup, lake: &Lake, compactor: &Compactor) -> Result<(), Violation> {
    let stuck = |error: &dyn std::fmt::Debug| Violation::Stuck(format!("the table sessions cannot be read: {error:?}"));
    let engine = engine_of(lake.clone());
    let of_events = "SELECT DISTINCT site_id, user_id FROM events WHERE user_id IS NOT NULL";
    let there = rows(&engine, of_events).await.map_err(|error| stuck(&error))?;
    let kept = kept_sessions(lake).await.map_err(|error| stuck(&error))?;
    for erasure in &*setup.erasures.lock() {
        let person = vec![Json::from(erasure.site), Json::from(erasure.user)];
        // Later events of theirs may have been kept and have expired since.
        if !setup.with_retention && !there.contains(&person) && kept.iter().any(|row| row[..2] == person[..]) {
            return Err(Violation::Wrong(format!("the table sessions has {person:?}, who was erased")));
        }
    }
    if lake.table(&SESSIONS).load().await.map_err(|error| stuck(&error))?.version.is_none() {
        return Ok(());
    }
    compactor.keep_sessions().await.map_err(|error| stuck(&error))?;
    let kept = kept_sessions(lake).await.map_err(|error| stuck(&error))?;
    let until = first_open_day(setup.world.now());
    let sql = format!("SELECT site_id, user_id, started_at, events FROM sessions WHERE date < DATE '{until}'");
    let mut expected = rows(&engine, &sql).await.map_err(|error| stuck(&error))?;
    expected.sort_by_key(|row| format!("{row:?}"));
    match kept == expected {
        true => Ok(()),
        false => Err(Violation::Wrong(format!("the table sessions has {kept:?} instead of {expected:?}"))),
    }
}

async fn rows(engine: &Engine, sql: &str) -> anyhow::Result<Vec<Vec<Json>>> {
    Ok(to_json_rows(&engine.view().await?.session(&Scope::Lake)?.query(sql, &[]).await?)?)
}

/// Site, user, beginning and number of events of each row, sorted.
async fn kept_sessions(lake: &Lake) -> anyhow::Result<Vec<Vec<Json>>> {
    const COLUMNS: [&str; 4] = ["site_id", "user_id", "started_at", "events"];
    let mut kept = Vec::new();
    for file in &lake.table(&SESSIONS).load().await?.files {
        let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &COLUMNS).await?;
        while let Some(batch) = batches.try_next().await? {
            kept.extend(to_json_rows(&QueryResult { schema: batch.schema(), batches: vec![batch] })?);
        }
    }
    kept.sort_by_key(|row| format!("{row:?}"));
    Ok(kept)
}
