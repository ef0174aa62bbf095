//! Every kind of damage is found and named, and a sound lake has no finding.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::TryStreamExt;
use lake::{
    Change, CheckSettings, Checked, CommitKind, EVENTS, Event, EventId, Lake, LakeError, Lane, LaneId, LaneSettings,
    Person, PersonId, REPORTS, RawBatch, Severity, TABLES, TableFile, TableWriter, Value,
};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn event(id: u64) -> Event {
    let occurred_at_us = noon().timestamp_micros() + id as i64 * 1_000;
    Event {
        event_id: EventId::from_client(&id.to_string()),
        site_id: "shop".into(),
        name: "page_view".into(),
        occurred_at_us,
        received_at_us: occurred_at_us + 500,
        visitor_id: Some(1),
        protocol: "native",
        ..Event::default()
    }
}

fn batch(events: impl IntoIterator<Item = Event>) -> RawBatch {
    let mut batch = RawBatch::default();
    for event in events {
        assert!(batch.push(&event));
    }
    batch
}

async fn write(lake: &Lake, date: NaiveDate, events: impl IntoIterator<Item = Event>) -> TableFile {
    let mut writer = TableWriter::start(&lake.table(&EVENTS), date).unwrap();
    writer.write(&batch(events).into_batch()).await.unwrap();
    writer.finish().await.unwrap()
}

async fn commit(lake: &Lake, kind: CommitKind, adds: Vec<TableFile>, removes: Vec<String>, lanes: Vec<(LaneId, u64)>) {
    let table = lake.table(&EVENTS);
    let change = Change { kind, adds, removes, lanes, read_dates: BTreeSet::new(), erasures: None };
    table.commit(change, table.load().await.unwrap()).await.unwrap();
}

/// One file of so many events, as a new version.
async fn publish(lake: &Lake, events: impl IntoIterator<Item = Event>) -> TableFile {
    let file = write(lake, noon().date_naive(), events).await;
    commit(lake, CommitKind::Publish, vec![file.clone()], vec![], vec![]).await;
    file
}

/// Three raw files, of which the table has consumed the first; a merge; a site.
async fn lake() -> (Lake, Vec<Path>) {
    let lake = Lake::open("memory:///", []).unwrap();
    lake.add_site("shop", noon()).await.unwrap();
    let mut lane = Lane::start(lake.clone(), LaneId(Uuid::now_v7()), LaneSettings::default());
    let mut raw = Vec::new();
    for seq in 0..3 {
        let file;
        (lane, file) = lane.append(batch((seq * 10..seq * 10 + 10).map(event)).encode(), noon()).await.unwrap();
        raw.push(file.path);
    }
    let first = write(&lake, noon().date_naive(), (0..10).map(event)).await;
    commit(&lake, CommitKind::Publish, vec![first.clone()], vec![], vec![(lane.id(), 1)]).await;
    let second = publish(&lake, (100..200).map(event)).await;
    let both = (0..10).chain(100..200).map(event);
    let merged = write(&lake, noon().date_naive(), both).await;
    commit(&lake, CommitKind::Merge, vec![merged], vec![first.log_path, second.log_path], vec![]).await;
    publish(&lake, (200..210).map(event)).await;
    (lake, raw)
}

async fn run(lake: &Lake, repair: bool, age: TimeDelta) -> Checked {
    let settings = CheckSettings { now: Utc::now() + age, spill_dir: std::env::temp_dir(), repair };
    let lake = lake.clone();
    // A check may run on any thread.
    tokio::spawn(async move { lake.check(&*TABLES, &settings).await.unwrap() }).await.unwrap()
}

/// Checks the lake, which must have a finding of this severity about this object in these words, and none that
/// is worse.
async fn finds(lake: &Lake, severity: Severity, object: &str, words: &str) {
    let checked = run(lake, false, TimeDelta::zero()).await;
    let found = checked.findings.iter().any(|finding| {
        finding.severity == severity && finding.object.contains(object) && finding.message.contains(words)
    });
    assert!(found, "{severity:?} {object}: {words} is not among {:#?}", checked.findings);
    let worst = checked.findings.iter().map(|finding| finding.severity).min();
    assert_eq!(worst, Some(severity), "{:#?}", checked.findings);
    assert_eq!(checked.has_errors(), severity == Severity::Error);
}

async fn finds_nothing(lake: &Lake) -> Checked {
    let checked = run(lake, false, TimeDelta::zero()).await;
    assert_eq!(checked.findings, []);
    checked
}

async fn get(lake: &Lake, path: &str) -> Vec<u8> {
    lake.store().get(&Path::from(path)).await.unwrap().bytes().await.unwrap().to_vec()
}

async fn put(lake: &Lake, path: &str, bytes: impl Into<PutPayload>) {
    lake.store().put(&Path::from(path), bytes.into()).await.unwrap();
}

async fn delete(lake: &Lake, path: &str) {
    lake.store().delete(&Path::from(path)).await.unwrap();
}

fn entry(version: u64) -> String {
    format!("events/_delta_log/{version:020}.json")
}

fn checksum(version: u64) -> String {
    format!("events/_delta_log/{version:020}.crc")
}

fn checkpoint(version: u64) -> String {
    format!("events/_delta_log/{version:020}.checkpoint.parquet")
}

/// The largest live file.
async fn live_file(lake: &Lake) -> TableFile {
    let files = lake.table(&EVENTS).load().await.unwrap().files.clone();
    files.into_iter().max_by_key(|file| file.rows).unwrap()
}

#[tokio::test]
async fn a_sound_lake_has_no_finding_and_all_of_it_was_read() {
    let (lake, _) = lake().await;
    let checked = finds_nothing(&lake).await;
    let events = &checked.tables[0];
    assert_eq!((events.name, events.version), ("events", Some(4)));
    assert_eq!((events.live.files, events.live.rows), (2, 120));
    // Five entries, of which the one that made the table has no checksum.
    assert_eq!(events.log.files, 9);
    assert_eq!((checked.pending.files, checked.pending.rows), (2, 20));
    assert_eq!((checked.consumed.files, checked.registry.files), (1, 1));
}

#[tokio::test]
async fn an_empty_lake_has_no_finding() {
    finds_nothing(&Lake::open("memory:///", []).unwrap()).await;
}

#[tokio::test]
async fn a_live_file_that_is_not_there_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    delete(&lake, file.path.as_ref()).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "live but missing").await;
}

#[tokio::test]
async fn a_live_file_cut_short_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let mut bytes = get(&lake, file.path.as_ref()).await;
    bytes.truncate(bytes.len() / 2);
    put(&lake, file.path.as_ref(), bytes).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "but the log says").await;
}

#[tokio::test]
async fn a_table_older_than_a_report_of_it_is_an_error() {
    let (lake, _) = lake().await;
    let reports = lake.table(&REPORTS);
    let report = |lake_version: i64| {
        let time = || Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("UTC")) as ArrayRef;
        let columns: [(&str, ArrayRef); 5] = [
            ("generated_at", time()),
            ("complete_until", time()),
            ("lake_version", Arc::new(Int64Array::from(vec![lake_version]))),
            ("metric", Arc::new(StringArray::from(vec!["events"]))),
            ("duration_ms", Arc::new(Int64Array::from(vec![1]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    for (version, is_sound) in [(4, true), (5, false)] {
        let mut writer = TableWriter::start(&lake.table(&REPORTS), "1970-01-01".parse().unwrap()).unwrap();
        writer.write(&report(version)).await.unwrap();
        let change = Change::publish(vec![writer.finish().await.unwrap()], vec![], BTreeSet::new());
        reports.commit(change, reports.load().await.unwrap()).await.unwrap();
        match is_sound {
            true => drop(finds_nothing(&lake).await),
            false => finds(&lake, Severity::Error, "events", "a report was made of its version 5").await,
        }
    }
}

#[tokio::test]
async fn a_torn_file_of_refused_events_is_an_error() {
    let (lake, _) = lake().await;
    put(&lake, "quarantine/date=2026-03-01/hour=12/a.parquet", "torn").await;
    finds(&lake, Severity::Error, "quarantine/date=2026-03-01/hour=12/a.parquet", "it cannot be read").await;
}

#[tokio::test]
async fn a_byte_changed_in_a_live_file_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let whole = get(&lake, file.path.as_ref()).await;
    // The first page, which holds ids; the metadata; the length of the metadata.
    for position in [200, whole.len() - 500, whole.len() - 6] {
        let mut bytes = whole.clone();
        bytes[position] ^= 0xff;
        put(&lake, file.path.as_ref(), bytes).await;
        finds(&lake, Severity::Error, file.path.as_ref(), "").await;
    }
    put(&lake, file.path.as_ref(), whole).await;
    finds_nothing(&lake).await;
}

#[tokio::test]
async fn no_byte_of_a_live_file_can_change_unnoticed() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let whole = get(&lake, file.path.as_ref()).await;
    for position in (0..whole.len()).step_by(whole.len() / 50) {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        put(&lake, file.path.as_ref(), bytes).await;
        finds(&lake, Severity::Error, file.path.as_ref(), "not those that were written").await;
    }
}

#[tokio::test]
async fn a_log_that_was_lost_stops_reading_and_writing_until_it_is_back() {
    let (lake, _) = lake().await;
    let log: Vec<Path> = paths(&lake).await.into_iter().filter(|path| path.as_ref().contains("_delta_log")).collect();
    let mut kept = Vec::new();
    for path in &log {
        kept.push(get(&lake, path.as_ref()).await);
        delete(&lake, path.as_ref()).await;
    }
    finds(&lake, Severity::Error, "events", "files and no log").await;
    let another = || Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    let refused =
        |error: LakeError| matches!(error, LakeError::Unusable { reason } if reason.contains("the log was lost"));
    assert!(refused(another().snapshot().await.map(drop).unwrap_err()));
    let mut writer = TableWriter::start(&another().table(&EVENTS), noon().date_naive()).unwrap();
    writer.write(&batch([event(300)]).into_batch()).await.unwrap();
    assert!(refused(writer.finish().await.unwrap_err()));

    for (path, bytes) in log.iter().zip(kept) {
        put(&lake, path.as_ref(), bytes).await;
    }
    assert_eq!(another().snapshot().await.unwrap().events.rows(), 120);
    finds_nothing(&lake).await;
}

#[tokio::test]
async fn an_entry_of_the_log_that_is_not_there_is_an_error() {
    for version in [0, 2, 4] {
        let (lake, _) = lake().await;
        delete(&lake, &entry(version)).await;
        finds(&lake, Severity::Error, &entry(version), "it is missing").await;
    }
}

#[tokio::test]
async fn a_newest_entry_that_is_not_there_is_named_by_whoever_reads_the_table() {
    let (lake, _) = lake().await;
    delete(&lake, &entry(4)).await;
    let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    let error = reader.snapshot().await.err().unwrap();
    let names_it = |reason: &str| reason.contains(&entry(4)) && reason.contains("Restore it");
    assert!(matches!(&error, LakeError::Unusable { reason } if names_it(reason)), "{error:?}");
}

#[tokio::test]
async fn an_empty_entry_of_the_log_is_an_error_and_nobody_goes_on_from_it() {
    for version in [2, 4] {
        let (lake, _) = lake().await;
        lake.snapshot().await.unwrap();
        put(&lake, &entry(version), "").await;
        finds(&lake, Severity::Error, &entry(version), "it is empty").await;
        let another = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
        // Also by who had read it before.
        for reader in [&another, &lake] {
            let error = reader.snapshot().await.err().unwrap();
            let names_it = |reason: &str| reason.contains("is empty") && reason.contains(&entry(version));
            assert!(matches!(&error, LakeError::Unusable { reason } if names_it(reason)), "{error:?}");
        }
        another.vacuum(&[&EVENTS], Default::default()).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_file_that_was_added_under_no_date_is_an_error_of_its_entry() {
    let (lake, _) = lake().await;
    let text = String::from_utf8(get(&lake, &entry(2)).await).unwrap();
    put(&lake, &entry(2), text.replacen("partitionValues", "partitionVelues", 1)).await;
    finds(&lake, Severity::Error, &entry(2), "it does not say which date").await;
}

#[tokio::test]
async fn a_torn_entry_of_the_log_is_an_error() {
    let (lake, _) = lake().await;
    let mut bytes = get(&lake, &entry(3)).await;
    bytes.truncate(bytes.len() - 20);
    put(&lake, &entry(3), bytes).await;
    finds(&lake, Severity::Error, &entry(3), "cannot be read").await;
    put(&lake, &entry(3), Vec::new()).await;
    finds(&lake, Severity::Error, &entry(3), "it is empty").await;
}

#[tokio::test]
async fn one_commit_in_two_versions_is_an_error() {
    let (lake, _) = lake().await;
    let bytes = get(&lake, &entry(4)).await;
    put(&lake, &entry(5), bytes).await;
    finds(&lake, Severity::Error, &entry(5), "the same commit as version 4").await;
}

#[tokio::test]
async fn a_lane_that_goes_back_and_a_file_removed_twice_are_errors() {
    let (lake, _) = lake().await;
    let merge = String::from_utf8(get(&lake, &entry(3)).await).unwrap();
    let removes: Vec<&str> = merge.lines().filter(|line| line.starts_with("{\"remove\"")).collect();
    assert_eq!(removes.len(), 2);
    put(&lake, &entry(5), removes[0].to_owned()).await;
    finds(&lake, Severity::Error, &entry(5), "which was not live").await;

    let publish = String::from_utf8(get(&lake, &entry(1)).await).unwrap();
    let txn = publish.lines().find(|line| line.starts_with("{\"txn\"")).unwrap();
    put(&lake, &entry(5), txn.to_owned()).await;
    finds(&lake, Severity::Error, &entry(5), "which was at 1 already").await;
}

#[tokio::test]
async fn a_merge_that_loses_rows_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let fewer = write(&lake, noon().date_naive(), (0..10).chain(101..200).map(event)).await;
    commit(&lake, CommitKind::Merge, vec![fewer], vec![file.log_path], vec![]).await;
    finds(&lake, Severity::Error, &entry(5), "a merge made 109 rows of 110").await;
}

#[tokio::test]
async fn an_event_published_twice_is_an_error_that_names_both_files() {
    let (lake, _) = lake().await;
    let copies = publish(&lake, (150..160).map(event)).await;
    let original = live_file(&lake).await;
    let (first, second) = (copies.path.clone().min(original.path.clone()), copies.path.max(original.path));
    finds(&lake, Severity::Error, first.as_ref(), &format!("10 of its events are also in {second}")).await;
}

#[tokio::test]
async fn copies_on_two_dates_are_found() {
    let (lake, _) = lake().await;
    let midnight = (noon() + TimeDelta::hours(12)).timestamp_micros();
    let at = |occurred_at_us| Event { occurred_at_us, received_at_us: midnight + 9_000_000, ..event(1_000) };
    let before = write(&lake, noon().date_naive(), [at(midnight - 1_000)]).await;
    let after = write(&lake, noon().date_naive().succ_opt().unwrap(), [at(midnight + 1_000)]).await;
    commit(&lake, CommitKind::Publish, vec![before.clone(), after], vec![], vec![]).await;
    finds(&lake, Severity::Error, before.path.as_ref(), "1 of its events are also in").await;
}

#[tokio::test]
async fn a_copy_sent_days_later_is_a_warning_since_it_counts_twice_by_design() {
    let (lake, _) = lake().await;
    let later = noon() + TimeDelta::days(4);
    let event =
        Event { occurred_at_us: later.timestamp_micros(), received_at_us: later.timestamp_micros() + 1, ..event(100) };
    let file = write(&lake, later.date_naive(), [event]).await;
    commit(&lake, CommitKind::Publish, vec![file], vec![], vec![]).await;
    finds(&lake, Severity::Warning, "events/date=2026-03-01", "sent again too late").await;
}

#[tokio::test]
async fn rows_out_of_order_are_an_error() {
    let (lake, _) = lake().await;
    let file = publish(&lake, [event(301), event(300)]).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "1 of its 2 rows are not in the order of site_id").await;
}

#[tokio::test]
async fn rows_filed_under_another_date_are_an_error() {
    let (lake, _) = lake().await;
    let file = write(&lake, noon().date_naive().succ_opt().unwrap(), [event(300)]).await;
    commit(&lake, CommitKind::Publish, vec![file.clone()], vec![], vec![]).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "filed under 2026-03-02").await;
}

#[tokio::test]
async fn statistics_in_the_log_that_do_not_hold_are_errors() {
    let (lake, _) = lake().await;
    let date = noon().date_naive();
    let mut rows = write(&lake, date, [event(300), event(301)]).await;
    rows.rows = 3;
    let mut bounds = write(&lake, date, [event(302), event(303)]).await;
    bounds.ranges.get_mut("occurred_at").unwrap().min = Value::TimeUs(event(303).occurred_at_us);
    let mut nulls = write(&lake, date, [event(304)]).await;
    nulls.ranges.get_mut("visitor_id").unwrap().nulls = Some(1);
    let files = [rows, bounds, nulls];
    commit(&lake, CommitKind::Publish, files.to_vec(), vec![], vec![]).await;
    let words = ["has 2 rows and the log says 3", "its occurred_at lies in", "its visitor_id is null in 0 rows"];
    for (file, words) in files.iter().zip(words) {
        finds(&lake, Severity::Error, file.path.as_ref(), words).await;
    }
}

#[tokio::test]
async fn a_gap_in_a_lane_is_an_error() {
    let (lake, raw) = lake().await;
    delete(&lake, raw[1].as_ref()).await;
    finds(&lake, Severity::Error, raw[1].filename().unwrap(), "later files of its lane exist").await;
}

#[tokio::test]
async fn a_consumed_raw_file_may_be_gone_and_the_last_of_a_lane_cannot_be_missed() {
    let (lake, raw) = lake().await;
    delete(&lake, raw[0].as_ref()).await;
    finds_nothing(&lake).await;
}

#[tokio::test]
async fn a_torn_pending_raw_file_is_an_error() {
    let (lake, raw) = lake().await;
    let mut bytes = get(&lake, raw[2].as_ref()).await;
    bytes.truncate(bytes.len() - 50);
    put(&lake, raw[2].as_ref(), bytes).await;
    finds(&lake, Severity::Error, raw[2].as_ref(), "cannot be read").await;
}

#[tokio::test]
async fn a_stray_object_in_the_raw_tier_is_a_warning_and_a_probe_is_none() {
    let (lake, _) = lake().await;
    put(&lake, "raw/probe-1", "dewpond").await;
    finds_nothing(&lake).await;
    put(&lake, "raw/notes.txt", "dewpond").await;
    finds(&lake, Severity::Warning, "raw/notes.txt", "not a raw file's").await;
}

#[tokio::test]
async fn an_orphan_is_a_warning_with_its_age_unless_it_may_be_work_under_way() {
    let (lake, _) = lake().await;
    let orphan = write(&lake, noon().date_naive(), [event(300)]).await;
    finds_nothing(&lake).await;
    let checked = run(&lake, false, TimeDelta::hours(73)).await;
    let [finding] = &checked.findings[..] else { panic!("{:#?}", checked.findings) };
    assert_eq!((finding.severity, finding.object.as_str()), (Severity::Warning, orphan.path.as_ref()));
    assert!(finding.message.contains("3 d old"), "{}", finding.message);
    // The two files that the merge replaced are left after more than a week.
    let checked = run(&lake, false, TimeDelta::days(8)).await;
    assert!(checked.findings.iter().any(|finding| finding.message.starts_with("2 files of ")), "{checked:#?}");
    assert!(!checked.has_errors());
}

#[tokio::test]
async fn repair_removes_an_orphan_that_is_old_by_the_stores_clock_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path().to_str().unwrap(), []).unwrap();
    lake.add_site("shop", noon()).await.unwrap();
    let salt = dir.path().join("registry/salts/2020-01-01");
    std::fs::create_dir_all(salt.parent().unwrap()).unwrap();
    std::fs::write(&salt, [7; 32]).unwrap();
    let replaced = publish(&lake, (0..10).map(event)).await;
    let merged = write(&lake, noon().date_naive(), (0..10).map(event)).await;
    commit(&lake, CommitKind::Merge, vec![merged], vec![replaced.log_path], vec![]).await;
    let old = write(&lake, noon().date_naive(), [event(300)]).await;
    let young = write(&lake, noon().date_naive(), [event(301)]).await;
    let on_disk = |path: &Path| std::path::Path::new("/").join(path.as_ref());
    let week_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(8 * 24 * 3_600);
    // An orphan from before the log began would be of a log that was lost.
    let log = replaced.path.as_ref().split_once("/events/").unwrap().0.to_owned() + "/events/_delta_log";
    let first_entry = Path::from(log + "/00000000000000000000.json");
    for path in [&old.path, &replaced.path, &first_entry] {
        std::fs::File::options().write(true).open(on_disk(path)).unwrap().set_modified(week_ago).unwrap();
    }
    let checked = run(&lake, true, TimeDelta::zero()).await;
    assert_eq!((checked.findings.len(), checked.repaired.len()), (0, 1), "{checked:#?}");
    assert!(!on_disk(&old.path).exists());
    assert!(on_disk(&young.path).exists() && on_disk(&replaced.path).exists() && salt.exists());
}

#[tokio::test]
async fn a_missing_checksum_is_a_warning_and_written_by_repair() {
    let (lake, _) = lake().await;
    delete(&lake, &checksum(4)).await;
    finds(&lake, Severity::Warning, &checksum(4), "has no good checksum").await;
    let checked = run(&lake, true, TimeDelta::zero()).await;
    assert_eq!((checked.findings.len(), checked.repaired.len()), (0, 1), "{checked:#?}");
    finds_nothing(&lake).await;
}

#[tokio::test]
async fn a_checksum_that_disagrees_is_an_error_if_readers_use_it() {
    let (lake, raw) = lake().await;
    let whole = String::from_utf8(get(&lake, &checksum(4)).await).unwrap();
    let lane = &raw[0].filename().unwrap()[..36];
    let wrong =
        whole.replace(&format!("\"appId\":\"{lane}\",\"version\":1"), &format!("\"appId\":\"{lane}\",\"version\":3"));
    assert_ne!(whole, wrong);
    put(&lake, &checksum(4), wrong.clone()).await;
    finds(&lake, Severity::Error, &checksum(4), "last numbers of lanes differ").await;
    // A reader believes it, and two acknowledged files are not read.
    let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    assert_eq!(reader.snapshot().await.unwrap().pending.len(), 0);

    let checked = run(&lake, true, TimeDelta::zero()).await;
    assert_eq!((checked.findings.len(), checked.repaired.len()), (0, 2), "{checked:#?}");
    let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    assert_eq!(reader.snapshot().await.unwrap().pending.len(), 2);

    // A column of another name: every query would fail.
    put(&lake, &checksum(4), whole.replacen("site_id", "sitf_id", 1)).await;
    finds(&lake, Severity::Error, &checksum(4), "schema or protocol differs").await;
    let checked = run(&lake, true, TimeDelta::zero()).await;
    assert_eq!((checked.findings.len(), checked.repaired.len()), (0, 2), "{checked:#?}");

    put(&lake, &checksum(4), whole.replacen("\"sortedBinBoundaries\":[0", "\"sortedBinBoundaries\":[4", 1)).await;
    finds(&lake, Severity::Error, &checksum(4), "sizes of files").await;
    run(&lake, true, TimeDelta::zero()).await;
    finds_nothing(&lake).await;

    put(&lake, &checksum(3), whole).await;
    finds(&lake, Severity::Warning, &checksum(3), "nobody reads it").await;
    put(&lake, &checksum(3), "torn").await;
    finds(&lake, Severity::Warning, &checksum(3), "cannot be read").await;
}

#[tokio::test]
async fn a_checkpoint_that_is_gone_torn_or_wrong_is_an_error_and_replaced_by_repair() {
    let lake = Lake::open("memory:///", []).unwrap();
    lake.add_site("shop", noon()).await.unwrap();
    for id in 0..103 {
        publish(&lake, [event(id)]).await;
    }
    let checked = finds_nothing(&lake).await;
    assert_eq!(checked.tables[0].log.files, 104 + 103 + 1);
    let whole = get(&lake, &checkpoint(100)).await;
    let repaired = async || {
        let checked = run(&lake, true, TimeDelta::zero()).await;
        assert_eq!(checked.findings, [], "{:#?}", checked.repaired);
        let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
        assert_eq!(reader.table(&EVENTS).load().await.unwrap().rows(), 103);
    };

    put(&lake, &checkpoint(100), whole[..whole.len() / 2].to_vec()).await;
    finds(&lake, Severity::Error, &checkpoint(100), "cannot be read").await;
    repaired().await;
    assert!(lake.store().head(&Path::from(checkpoint(100))).await.is_err());

    // Statistics that are not those of the files: queries would leave rows out.
    let of_stats = br#""numRecords":1"#;
    let position = whole.windows(of_stats.len()).position(|bytes| bytes == of_stats).unwrap() + of_stats.len() - 1;
    let mut wrong = whole.clone();
    wrong[position] = b'7';
    put(&lake, &checkpoint(100), wrong).await;
    finds(&lake, Severity::Error, &checkpoint(100), "differs").await;
    repaired().await;

    // An entry that is damaged, and not the checkpoint that differs from it: nothing must be repaired.
    put(&lake, &checkpoint(100), whole.clone()).await;
    let entry_1 = String::from_utf8(get(&lake, &entry(1)).await).unwrap();
    for (from, to) in [(".parquet\",", ".parqueu\","), ("date=2026-03-01/", "date=2026-03-01/f")] {
        let damaged = entry_1.replacen(from, to, 2);
        assert_ne!(damaged, entry_1);
        put(&lake, &entry(1), damaged).await;
        finds(&lake, Severity::Error, &checkpoint(100), "one of the entries before it is damaged").await;
        run(&lake, true, TimeDelta::zero()).await;
        assert!(lake.store().head(&Path::from(checkpoint(100))).await.is_ok());
    }
    put(&lake, &entry(1), entry_1).await;
    delete(&lake, &checkpoint(100)).await;
    finds_nothing(&lake).await;

    // Of version 100, under the name of another: readers would not see three events.
    put(&lake, &checkpoint(103), whole.clone()).await;
    finds(&lake, Severity::Error, &checkpoint(103), "holds 100 files and the entries make 103").await;
    repaired().await;

    delete(&lake, &checkpoint(103)).await;
    finds(&lake, Severity::Error, "events/_delta_log/_last_checkpoint", "does not load").await;
    repaired().await;

    delete(&lake, &checkpoint(103)).await;
    delete(&lake, "events/_delta_log/_last_checkpoint").await;
    finds(&lake, Severity::Warning, "events/_delta_log", "replays 103 versions").await;
    repaired().await;
}

#[tokio::test]
async fn nothing_is_repaired_while_an_entry_is_missing() {
    let (lake, _) = lake().await;
    delete(&lake, &entry(2)).await;
    delete(&lake, &checksum(4)).await;
    let before: BTreeSet<Path> = paths(&lake).await;
    let checked = run(&lake, true, TimeDelta::days(30)).await;
    assert!(checked.has_errors() && checked.repaired.is_empty(), "{checked:#?}");
    assert_eq!(paths(&lake).await, before);
}

async fn paths(lake: &Lake) -> BTreeSet<Path> {
    lake.store().list(None).map_ok(|object| object.location).try_collect().await.unwrap()
}

#[tokio::test]
async fn the_newest_document_that_cannot_be_read_is_an_error_and_a_gap_a_warning() {
    let (lake, _) = lake().await;
    lake.add_site("blog", noon()).await.unwrap();
    lake.add_site("docs", noon()).await.unwrap();
    finds_nothing(&lake).await;
    delete(&lake, "registry/sites/000000000002.json").await;
    finds(&lake, Severity::Warning, "registry/sites/000000000002.json", "is not there").await;
    put(&lake, "registry/sites/000000000003.json", "{\"sites\":[]}").await;
    finds(&lake, Severity::Error, "registry/sites/000000000003.json", "cannot be read").await;

    let (lake, _) = self::lake().await;
    delete(&lake, "registry/sites/000000000001.json").await;
    finds(&lake, Severity::Error, "registry/sites", "no list of sites").await;
}

#[tokio::test]
async fn a_list_of_erasures_that_is_not_there_or_cannot_be_read_is_an_error() {
    let (lake, _) = lake().await;
    let person = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    lake.record_erasure(&person, [], noon()).await.unwrap();
    finds_nothing(&lake).await;
    let list = "registry/erasures/000000000001.json";
    put(&lake, list, "{\"writer\":\"1\",\"persons\":7}").await;
    finds(&lake, Severity::Error, list, "Without it nobody knows who was erased").await;
    delete(&lake, list).await;
    finds(&lake, Severity::Error, list, "the table requires this list").await;
    // To begin another would let those back who were erased.
    let another = Person { site_id: "shop".into(), id: PersonId::User("bob".into()) };
    let refused = lake.record_erasure(&another, [], noon()).await.unwrap_err();
    assert!(refused.to_string().contains("the list of erased persons was lost"), "{refused}");
}
