//! The lake's protocol on real stores: what is appended is visible at once and published once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lake::{
    Change, CheckSettings, EVENTS, Event, EventId, Lake, LakeError, LakeRuntime, Lane, LaneId, LaneSettings, Person,
    PersonId, PersonsEvents, REPORTS, RawBatch, Snapshot, TableWriter, read_batches,
};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use url::Url;
use uuid::Uuid;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn events(ids: impl IntoIterator<Item = u64>) -> RawBatch {
    let mut batch = RawBatch::default();
    for id in ids {
        batch.push(&Event {
            event_id: EventId::from_client(&id.to_string()),
            site_id: "shop".into(),
            name: "page_view".into(),
            occurred_at_us: noon().timestamp_micros() + id as i64 + 123,
            received_at_us: noon().timestamp_micros() + id as i64 + 456,
            visitor_id: Some(1),
            protocol: "native",
            ..Event::default()
        });
    }
    batch
}

/// A raw file with one event, always the same, so long after noon by a clock that was corrected by so much.
fn once(delay_us: i64, corrected_by_us: i64) -> Bytes {
    let mut batch = RawBatch::default();
    batch.push(&Event {
        event_id: EventId::from_client("once"),
        site_id: "shop".into(),
        name: "page_view".into(),
        occurred_at_us: noon().timestamp_micros() + delay_us,
        received_at_us: noon().timestamp_micros() + delay_us + 10,
        corrected_by_us: Some(corrected_by_us),
        protocol: "native",
        ..Event::default()
    });
    batch.encode()
}

fn lane(lake: &Lake) -> Lane {
    Lane::start(lake.clone(), LaneId(Uuid::now_v7()), LaneSettings::default())
}

/// Publishes all that is pending, without sorting: enough for one visitor in order of time.
async fn publish(lake: &Lake, snapshot: &Snapshot) -> Result<u64, LakeError> {
    let table = lake.table(&EVENTS);
    let survey = lake.survey_pending(&snapshot.pending, &snapshot.events).await?;
    assert!(survey.left_out.is_empty(), "these tests publish no duplicates");
    let date: NaiveDate = noon().date_naive();
    let mut writer = TableWriter::start(&lake.table(&EVENTS), date)?;
    let columns: Vec<&str> = EVENTS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
    for file in &snapshot.pending {
        let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
        while let Some(batch) = batches.try_next().await? {
            writer.write(&batch).await?;
        }
    }
    let lanes = snapshot.pending.iter().map(|file| (file.lane, file.seq)).collect::<std::collections::BTreeMap<_, _>>();
    let adds = vec![writer.finish().await?];
    let change = Change::publish(adds, lanes.into_iter().collect(), survey.read_dates);
    table.commit(change, snapshot.events.clone()).await
}

#[tokio::test]
async fn an_event_is_pending_then_published_then_consumed() {
    let dir = tempfile::tempdir().unwrap();
    for location in ["memory:///", dir.path().to_str().unwrap()] {
        let lake = Lake::open(location, []).unwrap();
        let before = lake.snapshot().await.unwrap();
        assert_eq!((before.pending.len(), before.events.version), (0, None));

        let lane = lane(&lake);
        let (lane, first) = lane.append(events(0..10).encode(), noon()).await.unwrap();
        let (lane, second) = lane.append(events(10..15).encode(), noon()).await.unwrap();
        assert_eq!((first.seq, second.seq), (1, 2));
        let pending = lake.snapshot().await.unwrap();
        assert_eq!(pending.pending.len(), 2);

        publish(&lake, &pending).await.unwrap();
        let published = lake.snapshot().await.unwrap();
        assert_eq!((published.pending.len(), published.consumed.len()), (0, 2));
        assert_eq!(published.events.rows(), 15);
        let file = &published.events.files[0];
        let (min, max) = file.times_us("occurred_at").unwrap();
        assert!(min <= noon().timestamp_micros() + 123 && max >= noon().timestamp_micros() + 14 + 123);
        assert!(max - min < 2_000, "bounds are tight to the millisecond: {min}..{max}");

        // A process that knows nothing yet sees the same.
        if location != "memory:///" {
            let stranger = Lake::open(location, []).unwrap().snapshot().await.unwrap();
            assert_eq!((stranger.pending.len(), stranger.events.rows()), (0, 15));
            assert_eq!(stranger.watermarks[&lane.id()], 2);
        }
        let (_, third) = lane.append(events(15..16).encode(), noon()).await.unwrap();
        let pending = lake.snapshot().await.unwrap().pending;
        assert_eq!(pending.iter().map(|file| &file.path).collect::<Vec<_>>(), [&third.path]);
    }
}

#[tokio::test]
async fn duplicates_of_published_events_are_found() {
    let lake = Lake::open("memory:///", []).unwrap();
    let (lane, _) = lane(&lake).append(events(0..1_000).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    lane.append(events(990..1_010).encode(), noon()).await.unwrap();
    let snapshot = lake.snapshot().await.unwrap();
    let survey = lake.survey_pending(&snapshot.pending, &snapshot.events).await.unwrap();
    let left_out = survey.left_out_of(&snapshot.pending[0]).unwrap();
    assert_eq!((&left_out.rows, left_out.of), (&(0..10).collect(), 20));
    assert_eq!(survey.read_dates, BTreeSet::from([noon().date_naive()]));
}

#[tokio::test]
async fn of_two_publishes_planned_on_one_snapshot_one_wins() {
    let lake = Lake::open("memory:///", []).unwrap();
    lane(&lake).append(events(0..10).encode(), noon()).await.unwrap();
    let snapshot = lake.snapshot().await.unwrap();
    publish(&lake, &snapshot).await.unwrap();
    let late = publish(&lake, &snapshot).await;
    assert!(matches!(late, Err(LakeError::Conflict { .. })), "{late:?}");
    let table = lake.snapshot().await.unwrap().events;
    assert_eq!(table.rows(), 10);
    let on_disk: Vec<_> = lake.store().list(Some(&"events".into())).try_collect().await.unwrap();
    let files = on_disk.iter().filter(|object| !object.location.as_ref().contains("_delta_log"));
    let files: Vec<_> = files.map(|object| &object.location).collect();
    assert_eq!(files, [&table.files[0].path], "what the other wrote is not left behind");
}

#[tokio::test]
async fn a_merge_replaces_files_beside_a_publish_and_conflicts_with_another_merge() {
    let lake = Lake::open("memory:///", []).unwrap();
    let (lane, _) = lane(&lake).append(events(0..10).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    let (lane, _) = lane.append(events(10..20).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();

    let planned_on = lake.table(&EVENTS).load().await.unwrap();
    lane.append(events(20..30).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();

    let mut changes = Vec::new();
    for _ in 0..2 {
        let mut writer = TableWriter::start(&lake.table(&EVENTS), noon().date_naive()).unwrap();
        writer.write(&events(0..20).into_batch()).await.unwrap();
        changes.push(Change::merge(vec![writer.finish().await.unwrap()], &planned_on.files));
    }
    let table = lake.table(&EVENTS);
    table.commit(changes.pop().unwrap(), planned_on.clone()).await.unwrap();
    let second = table.commit(changes.pop().unwrap(), planned_on).await;
    assert!(matches!(second, Err(LakeError::Conflict { .. })), "{second:?}");
    let now = table.load().await.unwrap();
    assert_eq!((now.files.len(), now.rows()), (2, 30));
}

#[tokio::test]
async fn many_commits_are_read_back_through_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path().to_str().unwrap(), []).unwrap();
    let mut lane = lane(&lake);
    for id in 0..105 {
        (lane, _) = lane.append(events(id..id + 1).encode(), noon()).await.unwrap();
        publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    }
    assert!(dir.path().join("events/_delta_log/00000000000000000100.checkpoint.parquet").exists());
    let stranger = Lake::open(dir.path().to_str().unwrap(), []).unwrap().snapshot().await.unwrap();
    assert_eq!((stranger.events.rows(), stranger.pending.len()), (105, 0));
    assert_eq!(stranger.watermarks[&lane.id()], 105);
    assert!(stranger.events.files.iter().all(|file| file.times_us("occurred_at").is_some()));
}

#[tokio::test]
async fn vacuum_deletes_consumed_raw_files_and_replaced_table_files_and_nothing_live() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Arc::new(Lake::open(dir.path().to_str().unwrap(), []).unwrap());
    let (lane, _) = lane(&lake).append(events(0..10).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    let (_, pending) = lane.append(events(10..20).encode(), noon()).await.unwrap();
    let before = lake.table(&EVENTS).load().await.unwrap();
    let mut writer = TableWriter::start(&lake.table(&EVENTS), noon().date_naive()).unwrap();
    writer.write(&events(0..10).into_batch()).await.unwrap();
    let merged = Change::merge(vec![writer.finish().await.unwrap()], &before.files);
    lake.table(&EVENTS).commit(merged, before.clone()).await.unwrap();

    let young = lake.vacuum(&[&EVENTS], lake::VacuumSettings::default()).await.unwrap();
    assert_eq!((young.raw_files, young.table_files), (0, 0));

    let zero = std::time::Duration::ZERO;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let settings = lake::VacuumSettings { raw_grace: zero, replaced_grace: zero, ..Default::default() };
    let old = lake.vacuum(&[&EVENTS], settings).await.unwrap();
    assert_eq!((old.raw_files, old.table_files), (1, 1));
    let after = lake.snapshot().await.unwrap();
    assert_eq!((after.events.rows(), after.pending.len(), after.consumed.len()), (10, 1, 0));
    assert_eq!(after.pending[0].path, pending.path);
    let path = std::path::Path::new("/").join(before.files[0].path.as_ref());
    assert!(!path.exists(), "the replaced file is gone");
}

#[tokio::test]
async fn vacuum_deletes_old_checkpoints_and_checksums_and_every_version_still_loads() {
    let dir = tempfile::tempdir().unwrap();
    let url = Url::from_directory_path(dir.path()).unwrap();
    let open = || {
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let mut runtime = LakeRuntime::of_process(store.clone());
        runtime.checkpoint_every = 3;
        Lake::with_runtime(store, &url, StdRng::seed_from_u64(1), runtime).unwrap()
    };
    let lake = open();
    let mut lane = lane(&lake);
    for id in 0..10 {
        (lane, _) = lane.append(events(id..id + 1).encode(), noon()).await.unwrap();
        publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    }
    let log = dir.path().join("events/_delta_log");
    let summaries = || {
        let names = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names
            .filter(|name| name.ends_with("crc") || name.ends_with("checkpoint.parquet"))
            .map(|name| name.trim_start_matches('0').to_owned())
            .collect();
        names.sort();
        names.join(" ")
    };
    let whole = summaries();
    lake.vacuum(&[&EVENTS], lake::VacuumSettings::default()).await.unwrap();
    assert_eq!(summaries(), whole, "they are young");
    let days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 24 * 3_600);
    let grow_old = || {
        for entry in std::fs::read_dir(&log).unwrap() {
            std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(days_ago).unwrap();
        }
    };
    grow_old();
    lake.vacuum(&[&EVENTS], lake::VacuumSettings::default()).await.unwrap();
    assert_eq!(summaries(), "10.crc 6.checkpoint.parquet 6.crc 7.crc 8.crc 9.checkpoint.parquet 9.crc");
    assert_eq!(open().snapshot().await.unwrap().events.rows(), 10);
    for version in 1..=10 {
        assert_eq!(open().table(&EVENTS).load_at(version).await.unwrap().rows(), version);
    }
    let settings = CheckSettings { now: Utc::now(), spill_dir: std::env::temp_dir(), repair: false };
    let mut findings = open().check(&[&EVENTS], &settings).await.unwrap().findings;
    findings.retain(|finding| finding.object.contains("_delta_log"));
    assert_eq!(findings, []);

    // The next vacuum goes on where this one ended.
    for id in 10..13 {
        (lane, _) = lane.append(events(id..id + 1).encode(), noon()).await.unwrap();
        publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    }
    grow_old();
    lake.vacuum(&[&EVENTS], lake::VacuumSettings::default()).await.unwrap();
    assert_eq!(summaries(), "10.crc 11.crc 12.checkpoint.parquet 12.crc 13.crc 9.checkpoint.parquet 9.crc");
}

#[tokio::test]
async fn vacuum_goes_on_beside_what_it_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path().to_str().unwrap(), []).unwrap();
    lane(&lake).append(events(0..10).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    // A table that cannot be read.
    std::fs::create_dir_all(dir.path().join("reports/_delta_log")).unwrap();
    std::fs::write(dir.path().join("reports/_delta_log/00000000000000000000.json"), "torn").unwrap();
    let settings = lake::VacuumSettings { raw_grace: std::time::Duration::ZERO, ..Default::default() };
    let failed = lake.vacuum(&[&REPORTS, &EVENTS], settings).await.unwrap_err();
    assert!(failed.to_string().contains("reports"), "{failed}");
    assert!(lake.snapshot().await.unwrap().consumed.is_empty(), "consumed raw files are gone all the same");
}

#[tokio::test]
async fn vacuum_keeps_the_files_of_a_log_that_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Lake::open(dir.path().to_str().unwrap(), []).unwrap();
    let lake = open();
    lane(&lake).append(events(0..10).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    let file = std::path::Path::new("/").join(lake.table(&EVENTS).load().await.unwrap().files[0].path.as_ref());
    let days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(9 * 24 * 3_600);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(days_ago).unwrap();
    let log = dir.path().join("events/_delta_log");
    let first_entry = std::fs::read(log.join("00000000000000000000.json")).unwrap();
    std::fs::remove_dir_all(&log).unwrap();

    let refused = open().vacuum(&[&EVENTS], lake::VacuumSettings::default()).await.unwrap_err();
    assert!(refused.to_string().contains("the log was lost"), "{refused}");
    assert!(file.exists(), "without a log");
    // Begun again, by another engine.
    std::fs::create_dir(&log).unwrap();
    std::fs::write(log.join("00000000000000000000.json"), first_entry).unwrap();
    open().vacuum(&[&EVENTS], lake::VacuumSettings::default()).await.unwrap();
    assert!(file.exists(), "with a log that began later");
}

#[tokio::test]
async fn a_large_file_cut_short_is_damaged_and_no_failure_of_the_store() {
    let lake = Lake::open("memory:///", []).unwrap();
    lane(&lake).append(events(1_000..20_000).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    let file = lake.table(&EVENTS).load().await.unwrap().files[0].clone();
    for cut in [0, 100] {
        lake.store().put(&file.path, vec![7; cut].into()).await.unwrap();
        let read = read_batches(lake.store(), &file.path, file.size_bytes, &["event_id"]).await;
        let error = read.map(drop).unwrap_err();
        assert!(matches!(error, LakeError::Corrupt { .. }), "{cut}: {error:?}");
    }
    // An erasure puts the person on the list, whatever else it cannot do.
    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    assert_eq!(lake.find_events_of(&ada, noon()).await.unwrap(), PersonsEvents::default());
}

#[tokio::test]
async fn a_body_sent_again_a_day_later_with_its_old_time_of_sending_is_a_duplicate() {
    let lake = Lake::open("memory:///", []).unwrap();
    let day_us = 86_400_000_000;
    let (lane, _) = lane(&lake).append(once(0, 0), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    lane.append(once(day_us, day_us), noon()).await.unwrap();
    let snapshot = lake.snapshot().await.unwrap();
    let survey = lake.survey_pending(&snapshot.pending, &snapshot.events).await.unwrap();
    assert_eq!(survey.rows_left_out(), 1);
}

#[tokio::test]
async fn a_file_that_holds_times_before_and_after_an_event_has_no_copy_of_it_for_that() {
    let lake = Lake::open("memory:///", []).unwrap();
    let once_at = |minute: i64| once(minute * 60_000_000, 1);
    let mut lane = lane(&lake);
    for minute in [0, 60] {
        (lane, _) = lane.append(once_at(minute), noon()).await.unwrap();
    }
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    (lane, _) = lane.append(events([7]).encode(), noon()).await.unwrap();
    let search = async || {
        let snapshot = lake.snapshot().await.unwrap();
        let found = lake.survey_pending(&snapshot.pending, &snapshot.events).await.unwrap();
        snapshot.pending.iter().map(|file| found.left_out_of(file).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(search().await, [false], "another event, for which the ids of the file are read");
    for minute in [30, 50] {
        (lane, _) = lane.append(once_at(minute), noon()).await.unwrap();
    }
    for from in ["the times are read", "they are in memory"] {
        assert_eq!(search().await, [false, false, true], "{from}");
    }
}

/// Keeps entries of logs for later, while it is told to, and says that they failed. One object cannot be deleted.
#[derive(Debug, Default)]
struct Holding {
    inner: InMemory,
    holds: AtomicBool,
    held: Mutex<Vec<(Path, PutPayload)>>,
    undeletable: Mutex<Option<Path>>,
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holding")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Holding {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        if self.holds.load(Ordering::Relaxed) && at.as_ref().contains("_delta_log") {
            self.held.lock().push((at.clone(), payload));
            return Err(object_store::Error::Generic { store: "Holding", source: "nobody knows".into() });
        }
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let undeletable = self.undeletable.lock().clone();
        let refuse = move |path| match path {
            Ok(path) if Some(&path) == undeletable.as_ref() => {
                Err(object_store::Error::PermissionDenied { path: path.to_string(), source: "a hold".into() })
            }
            path => path,
        };
        self.inner.delete_stream(paths.map(refuse).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn vacuum_deletes_what_it_may_beside_what_it_may_not() {
    let store = Arc::new(Holding::default());
    let url = Url::parse("memory:///lake").unwrap();
    let lake = Lake::with_store(store.clone(), &url, StdRng::seed_from_u64(1)).unwrap();
    let mut lane = lane(&lake);
    for id in 0..3 {
        (lane, _) = lane.append(events(id..id + 1).encode(), noon()).await.unwrap();
    }
    let snapshot = lake.snapshot().await.unwrap();
    publish(&lake, &snapshot).await.unwrap();
    let held = snapshot.pending[0].path.clone();
    *store.undeletable.lock() = Some(held.clone());
    let settings = lake::VacuumSettings { raw_grace: std::time::Duration::ZERO, ..Default::default() };
    let failed = lake.vacuum(&[&EVENTS], settings).await.unwrap_err();
    assert!(failed.to_string().contains(held.as_ref()), "{failed}");
    let left: Vec<Path> = lake.snapshot().await.unwrap().consumed.into_iter().map(|file| file.path).collect();
    assert_eq!(left, [held]);
}

#[tokio::test]
async fn files_of_a_commit_stay_while_it_may_land_and_are_read_when_it_has() {
    let store = Arc::new(Holding::default());
    let url = Url::parse("memory:///lake").unwrap();
    let lake = Lake::with_store(store.clone(), &url, StdRng::seed_from_u64(1)).unwrap();
    let (lane, _) = lane(&lake).append(events(0..10).encode(), noon()).await.unwrap();
    publish(&lake, &lake.snapshot().await.unwrap()).await.unwrap();
    lane.append(events(10..20).encode(), noon()).await.unwrap();
    let snapshot = lake.snapshot().await.unwrap();

    store.holds.store(true, Ordering::Relaxed);
    let unknown = publish(&lake, &snapshot).await;
    assert!(matches!(unknown, Err(LakeError::Unavailable { .. })), "{unknown:?}");
    store.holds.store(false, Ordering::Relaxed);
    assert_eq!(lake.snapshot().await.unwrap().events.rows(), 10);

    let (at, entry) = store.held.lock().remove(0);
    store.inner.put_opts(&at, entry, PutMode::Create.into()).await.unwrap();
    let landed = lake.snapshot().await.unwrap();
    assert_eq!((landed.events.rows(), landed.pending.len()), (20, 0));
    for file in &landed.events.files {
        let rows = read_batches(lake.store(), &file.path, file.size_bytes, &["event_id"]).await.unwrap();
        let rows: Vec<_> = rows.try_collect().await.unwrap();
        assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 10);
    }
}
