//! The end of a run: once all faults are over, everything can be published and every event is there once.

use std::collections::BTreeSet;

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
