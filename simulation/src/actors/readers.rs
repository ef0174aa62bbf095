//! Readers: queries, audits of the whole store in one instant, and the operator's check.

use std::collections::BTreeSet;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use engine::{Engine, How, QueryResult, Scope};
use futures::TryStreamExt;
use lake::{CheckSettings, EVENTS, LakeError, REPORTS, Severity, TABLES, read_batches};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::time::sleep;

use super::recorders::runs;
use super::{dies_after, engine_of, pause};
use crate::fault_store::atomically;
use crate::history::{Expectation, Id, Violation, check_chain};
use crate::setup::Setup;

/// Runs a query over and over and checks its rows.
pub(crate) async fn reader(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    let (_, lake) = setup.start_process(None);
    let engine = engine_of(lake);
    loop {
        sleep(pause(&mut rng)).await;
        let expected = setup.history.lock().expectation();
        setup.world.note(|| "a read begins".to_owned());
        // A failing store may fail a read, but an answer must be right.
        match read(&engine).await {
            Ok(rows) => {
                setup.world.note(|| format!("a read has {}", rows.len()));
                setup.summary.lock().reads += 1;
                if let Err(violation) = setup.history.lock().check(&rows, &expected) {
                    setup.report(violation);
                    return;
                }
            }
            Err(error) => setup.world.note(|| format!("a read failed: {error:#}")),
        }
    }
}

pub(super) async fn read(engine: &Engine) -> anyhow::Result<Vec<Id>> {
    let session = engine.view().await?.session(&Scope::Lake)?;
    ids_of(&session.query("SELECT site_id, name FROM events", &[]).await?)
}

/// Runs a recurring query over and over and checks its rows. Dies at a random operation and is restarted, so that others go on
/// with the states that it kept.
pub(crate) async fn analyst(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        let engine = engine_of(lake);
        let work = async {
            loop {
                sleep(pause(&mut rng)).await;
                let expected = setup.history.lock().expectation();
                match read_recurring(&engine).await {
                    Ok(rows) => {
                        setup.summary.lock().recurring_reads += 1;
                        if let Err(violation) = setup.history.lock().check(&rows, &expected) {
                            setup.report(violation);
                            return;
                        }
                    }
                    Err(error) => setup.world.note(|| format!("a recurring query failed: {error:#}")),
                }
            }
        };
        if process.while_alive(work).await.is_some() {
            return;
        }
        setup.summary.lock().kills += 1;
    }
}

/// The events, each as often as a recurring query counts it.
pub(super) async fn read_recurring(engine: &Engine) -> anyhow::Result<Vec<Id>> {
    let view = Arc::new(engine.view().await?);
    let sql = "SELECT site_id, name, count(*) AS n FROM events GROUP BY 1, 2";
    let (answer, how) = view.recurring(sql, &[]).await?.answer(&Scope::Lake).await?;
    anyhow::ensure!(matches!(how, How::Incremental(_)), "it was answered in full: {how:?}");
    ids_of(&answer)
}

fn ids_of(answer: &QueryResult) -> anyhow::Result<Vec<Id>> {
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let column = |index: usize| arrow::compute::cast(batch.column(index), &DataType::Utf8);
        let (sites, names) = (column(0)?, column(1)?);
        let (sites, names) = (sites.as_string::<i32>(), names.as_string::<i32>());
        let id = |row| Id { site: sites.value(row).into(), name: names.value(row).into() };
        match batch.column_by_name("n").map(|column| column.as_primitive::<Int64Type>()) {
            Some(counts) => rows.extend((0..sites.len()).flat_map(|row| repeat_n(id(row), counts.value(row) as usize))),
            None => rows.extend((0..sites.len()).map(id)),
        }
    }
    Ok(rows)
}

/// Audits the whole store in one instant: the log has no gap, its files exist, the published table by itself has no event
/// twice, and history has each run that was kept.
pub(crate) async fn auditor(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    loop {
        sleep(pause(&mut rng) * 4).await;
        if let Err(violation) = atomically(|| futures::executor::block_on(audit(&setup))) {
            setup.report(violation);
            return;
        }
    }
}

pub(super) async fn audit(setup: &Setup) -> Result<(), Violation> {
    let (_, lake) = setup.start_process(None);
    let stuck = |error: LakeError| Violation::Stuck(format!("an audit failed: {error:?}"));
    let log: Vec<_> = lake
        .store()
        .list(Some(&Path::from("lake/events/_delta_log")))
        .try_collect()
        .await
        .map_err(|error| Violation::Stuck(error.to_string()))?;
    let version = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
    let versions: BTreeSet<u64> = log.iter().filter_map(|object| version(&object.location)).collect();
    check_chain(&versions)?;
    let table = lake.table(&EVENTS).load().await.map_err(stuck)?;
    let mut rows = Vec::new();
    for file in &table.files {
        if lake.store().head(&file.path).await.is_err() {
            return Err(Violation::MissingFile(file.path.to_string()));
        }
        let columns = ["site_id", "name"];
        let batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await.map_err(stuck)?;
        for batch in batches.try_collect::<Vec<_>>().await.map_err(stuck)? {
            let (sites, names) = (batch["site_id"].as_string::<i32>(), batch["name"].as_string::<i32>());
            rows.extend(
                (0..sites.len()).map(|row| Id { site: sites.value(row).into(), name: names.value(row).into() }),
            );
        }
    }
    setup.summary.lock().version = table.version.unwrap_or(0);
    setup.history.lock().check(&rows, &Expectation::default())?;
    let reports = lake.table(&REPORTS).load().await.map_err(stuck)?;
    let runs = runs(&lake, &reports).await.map_err(|error| Violation::Stuck(format!("an audit failed: {error:?}")))?;
    setup.history.lock().check_runs(&runs)
}

/// Checks the lake as an operator does. Whatever else is under way, the check must find no error.
pub(crate) async fn checker(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    loop {
        sleep(pause(&mut rng) * 4).await;
        match check(&setup).await {
            Ok(None) => setup.summary.lock().checks += 1,
            Ok(Some(violation)) => {
                setup.report(violation);
                return;
            }
            // A failing store may fail a check.
            Err(error) => setup.world.note(|| format!("a check failed: {error:?}")),
        }
    }
}

pub(super) async fn check(setup: &Setup) -> Result<Option<Violation>, LakeError> {
    let (_, lake) = setup.start_process(None);
    let settings = CheckSettings { now: setup.world.now(), spill_dir: std::env::temp_dir(), repair: false };
    let checked = lake.check(&*TABLES, &settings).await?;
    let error = checked.findings.into_iter().find(|finding| finding.severity == Severity::Error);
    Ok(error.map(|finding| Violation::Wrong(format!("{}: {}", finding.object, finding.message))))
}
