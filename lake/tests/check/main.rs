//! Every kind of damage is found and named, and a sound lake has no finding.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod live_files;
mod log;
mod summaries;

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

async fn paths(lake: &Lake) -> BTreeSet<Path> {
    lake.store().list(None).map_ok(|object| object.location).try_collect().await.unwrap()
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
