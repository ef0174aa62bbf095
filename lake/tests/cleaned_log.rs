//! The log of `reports`, whose old entries are deleted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt;
use lake::{
    Change, CheckSettings, Lake, LakeError, LakeRuntime, REPORTS, TableFile, TableSnapshot, TableWriter, VacuumSettings,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::SeedableRng;
use rand::rngs::StdRng;
use url::Url;

const CHECKPOINT_EVERY: u64 = 3;
const ENTRIES_KEPT: u64 = 4;

#[tokio::test]
async fn the_log_stays_small_and_whoever_reads_it_sees_every_run() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let lake = open(&store, 1);
    // It has read the table once, and then nothing for long.
    keep(&lake, 0).await.unwrap();
    let sleeper = open(&store, 2);
    sleeper.table(&REPORTS).load().await.unwrap();
    for run in 1..40 {
        keep(&lake, run).await.unwrap();
        vacuum(&lake).await;
        let names = log_of(&store).await;
        assert!(names.len() <= 32, "{names:?}");
        if run % 7 == 0 {
            assert_eq!(open(&store, 3).table(&REPORTS).load().await.unwrap().rows(), run + 1);
            check(&open(&store, 4)).await;
        }
    }
    assert_eq!(sleeper.table(&REPORTS).load().await.unwrap().rows(), 40);
    let history = open(&store, 5).table(&REPORTS).history(100).await.unwrap();
    let versions: Vec<u64> = history.iter().map(|entry| entry.version).collect();
    assert_eq!(versions, [40, 39, 38, 37, 36], "the others are deleted");
    assert!(log_of(&store).await.contains(&"00000000000000000000.json".to_owned()));
}

#[tokio::test]
async fn a_writer_that_slept_until_its_version_was_deleted_is_not_told_that_it_succeeded() {
    // Behind the entry that it would create again others are missing, or the very next one is there.
    for others in [ENTRIES_KEPT + 3, 9, 10, 11, 20] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (sleeper, lake) = (open(&store, 1), open(&store, 2));
        keep(&lake, 0).await.unwrap();
        let base = sleeper.table(&REPORTS).load().await.unwrap();
        let file = write(&sleeper, 1_000).await;
        for run in 1..=others {
            keep(&lake, run).await.unwrap();
        }
        vacuum(&lake).await;
        let was_deleted = !log_of(&store).await.contains(&"00000000000000000002.json".to_owned());

        let error = commit(&sleeper, file.clone(), base).await.unwrap_err();
        match was_deleted {
            // It created the entry again, and nobody reads it. The file stays, because nobody can be certain of that.
            true => {
                assert!(matches!(error, LakeError::Unavailable { .. }), "{error:?}");
                assert!(store.head(&file.path).await.is_ok());
            }
            false => assert!(matches!(error, LakeError::Conflict { .. }), "{error:?}"),
        }
        let stranger = open(&store, 3);
        assert_eq!(stranger.table(&REPORTS).load().await.unwrap().rows(), others + 1);
        check(&stranger).await;

        // All go on as if it had never been, and what it left goes, too.
        keep(&sleeper, 2_000).await.unwrap();
        keep(&lake, 2_001).await.unwrap();
        vacuum(&open(&store, 4)).await;
        assert!(!log_of(&store).await.contains(&"00000000000000000002.json".to_owned()) || !was_deleted);
        assert_eq!(open(&store, 5).table(&REPORTS).load().await.unwrap().rows(), others + 3);
    }
}

#[tokio::test]
async fn a_plan_of_long_ago_is_made_again_even_if_no_entry_is_deleted_yet() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (sleeper, lake) = (open(&store, 1), open(&store, 2));
    keep(&lake, 0).await.unwrap();
    let base = sleeper.table(&REPORTS).load().await.unwrap();
    for run in 1..=ENTRIES_KEPT + 1 {
        keep(&lake, run).await.unwrap();
    }
    let file = write(&sleeper, 1_000).await;
    // Another day, so that none of the commits between makes it void by what it changes.
    let change = Change::publish(vec![file], vec![], BTreeSet::from([date().succ_opt().unwrap()]));
    let error = sleeper.table(&REPORTS).commit(change, base).await.unwrap_err();
    assert!(matches!(error, LakeError::Conflict { .. }), "{error:?}");
}

#[tokio::test]
async fn a_check_says_what_is_lost_of_a_log_that_was_cleaned() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let lake = open(&store, 1);
    for run in 0..30 {
        keep(&lake, run).await.unwrap();
        vacuum(&lake).await;
    }
    check(&open(&store, 2)).await;
    store.delete(&entry(28)).await.unwrap();
    let findings = findings(&open(&store, 3)).await;
    assert!(
        findings.iter().any(|finding| finding.contains("00000000000000000028.json: it is missing")),
        "{findings:?}"
    );
}

fn open(store: &Arc<dyn ObjectStore>, seed: u64) -> Lake {
    let mut runtime = LakeRuntime::of_process(store.clone());
    (runtime.checkpoint_every, runtime.log_entries_kept) = (CHECKPOINT_EVERY, ENTRIES_KEPT);
    let url = Url::parse("memory:///lake").unwrap();
    Lake::with_runtime(store.clone(), &url, StdRng::seed_from_u64(seed), runtime).unwrap()
}

/// Keeps a run, in a slot that nobody else has.
async fn keep(lake: &Lake, run: u64) -> Result<u64, LakeError> {
    let base = lake.table(&REPORTS).load().await?;
    let file = write(lake, run).await;
    commit(lake, file, base).await
}

async fn commit(lake: &Lake, file: TableFile, base: Arc<TableSnapshot>) -> Result<u64, LakeError> {
    lake.table(&REPORTS).commit(Change::publish(vec![file], vec![], BTreeSet::from([date()])), base).await
}

async fn write(lake: &Lake, run: u64) -> TableFile {
    let at = date().and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros() + run as i64;
    let columns = REPORTS.file_schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "generated_at" | "complete_until" => {
                Arc::new(TimestampMicrosecondArray::from_iter_values([at]).with_timezone("UTC"))
            }
            "metric" => Arc::new(StringArray::from_iter_values(["events"])),
            "lake_version" => Arc::new(Int64Array::from_iter_values([-1])),
            "duration_ms" => Arc::new(Int64Array::from_iter_values([1])),
            _ => new_null_array(field.data_type(), 1),
        }
    });
    let row = RecordBatch::try_new(REPORTS.file_schema.clone(), columns.collect()).unwrap();
    let mut writer = TableWriter::start(&lake.table(&REPORTS), date()).unwrap();
    writer.write(&row).await.unwrap();
    writer.finish().await.unwrap()
}

fn date() -> NaiveDate {
    "2026-03-01".parse().unwrap()
}

async fn vacuum(lake: &Lake) {
    let settings =
        VacuumSettings { checkpoint_grace: Duration::ZERO, entry_grace: Duration::ZERO, ..VacuumSettings::default() };
    lake.vacuum(&[&REPORTS], settings).await.unwrap();
}

fn entry(version: u64) -> Path {
    Path::from(format!("lake/reports/_delta_log/{version:020}.json"))
}

async fn log_of(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let log: Vec<_> = store.list(Some(&Path::from("lake/reports/_delta_log"))).try_collect().await.unwrap();
    log.iter().map(|object| object.location.filename().unwrap().to_owned()).collect()
}

async fn check(lake: &Lake) {
    let findings = findings(lake).await;
    assert_eq!(findings, [""; 0]);
}

async fn findings(lake: &Lake) -> Vec<String> {
    let now: DateTime<Utc> = Utc::now();
    let settings = CheckSettings { now, spill_dir: std::env::temp_dir(), repair: false };
    let checked = lake.check(&[&lake::EVENTS, &REPORTS], &settings).await.unwrap();
    let of_log = checked.findings.iter().filter(|finding| finding.object.contains("reports"));
    of_log.map(|finding| format!("{}: {}", finding.object, finding.message)).collect()
}
