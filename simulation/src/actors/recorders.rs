//! Analytics processes, as far as history is concerned: each keeps runs of the report, one in each slot, and some are stopped
//! for so long that old entries of the log are deleted in the meantime.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, TimeZone, Utc};
use futures::TryStreamExt;
use lake::{Change, Lake, REPORTS, TableSnapshot, TableWriter, VacuumSettings, read_batches};
use rand::Rng;
use tokio::time::sleep;

use super::{dies_after, pause, short_pause};
use crate::history::Run;
use crate::setup::Setup;

/// Keeps a run of every second in which it comes first. Dies at a random operation and is restarted.
pub(crate) async fn recorder(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        let work = async {
            loop {
                sleep(short_pause(&mut rng)).await;
                let run = Run { slot_s: setup.world.now().timestamp(), name: format!("{:x}", rng.random::<u64>()) };
                let stop = match rng.random_bool(0.2) {
                    true => Duration::from_millis(rng.random_range(1_000..40_000)),
                    false => Duration::ZERO,
                };
                let done = record(&lake, &run, stop).await;
                setup.world.note(|| format!("record {run:?}, stopped for {stop:?}: {done:?}"));
                if matches!(done, Ok(true)) {
                    setup.history.lock().record(run);
                    setup.summary.lock().runs += 1;
                }
            }
        };
        process.while_alive(work).await;
        setup.summary.lock().kills += 1;
        sleep(pause(&mut rng)).await;
    }
}

/// Deletes what nobody needs of the log, without grace.
pub(crate) async fn log_vacuum(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        let work = async {
            loop {
                sleep(short_pause(&mut rng)).await;
                let settings = VacuumSettings {
                    checkpoint_grace: Duration::ZERO,
                    entry_grace: Duration::ZERO,
                    // Longer than any process is stopped.
                    orphan_grace: Duration::from_secs(1_000),
                    ..VacuumSettings::default()
                };
                let done = lake.vacuum(&[&REPORTS], settings).await;
                setup.world.note(|| format!("vacuum of the log: {done:?}"));
            }
        };
        process.while_alive(work).await;
        setup.summary.lock().kills += 1;
        sleep(pause(&mut rng)).await;
    }
}

/// Returns whether the run was kept; if not, its slot has another.
async fn record(lake: &Lake, run: &Run, stop: Duration) -> anyhow::Result<bool> {
    let table = lake.table(&REPORTS);
    let base = table.load().await?;
    if runs(lake, &base).await?.iter().any(|kept| kept.slot_s == run.slot_s) {
        return Ok(false);
    }
    let date = slot(run).date_naive();
    let mut writer = TableWriter::start(&table, date)?;
    writer.write(&to_row(run)?).await?;
    let file = writer.finish().await?;
    sleep(stop).await;
    table.commit(Change::publish(vec![file], vec![], BTreeSet::from([date])), base).await?;
    Ok(true)
}

/// All runs in a version of the history.
pub(super) async fn runs(lake: &Lake, table: &TableSnapshot) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for file in &table.files {
        let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &["generated_at", "metric"]).await?;
        while let Some(batch) = batches.try_next().await? {
            let times = batch["generated_at"].as_primitive::<TimestampMicrosecondType>();
            let names = batch["metric"].as_string::<i32>();
            runs.extend(
                times
                    .values()
                    .iter()
                    .zip(names)
                    .map(|(us, name)| Run { slot_s: us / 1_000_000, name: name.unwrap_or_default().to_owned() }),
            );
        }
    }
    Ok(runs)
}

fn slot(run: &Run) -> DateTime<Utc> {
    Utc.timestamp_opt(run.slot_s, 0).single().unwrap_or_default()
}

fn to_row(run: &Run) -> anyhow::Result<RecordBatch> {
    let at = slot(run).timestamp_micros();
    let schema = &REPORTS.file_schema;
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "generated_at" | "complete_until" => {
                Arc::new(TimestampMicrosecondArray::from_iter_values([at]).with_timezone("UTC"))
            }
            "metric" => Arc::new(StringArray::from_iter_values([&run.name])),
            // Older than any version of the events.
            "lake_version" => Arc::new(Int64Array::from_iter_values([-1])),
            "duration_ms" => Arc::new(Int64Array::from_iter_values([1])),
            _ => new_null_array(field.data_type(), 1),
        }
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}
