//! The published table as it was, by version and by time, for as long as its files are there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lake::{
    Change, CommitKind, EVENTS, Event, EventId, Lake, LakeError, RawBatch, TableFile, TableWriter, VacuumSettings,
};
use object_store::ObjectStoreExt;
use object_store::path::Path;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

async fn write(lake: &Lake, ids: std::ops::Range<u64>) -> TableFile {
    let mut batch = RawBatch::default();
    for id in ids {
        batch.push(&Event {
            event_id: EventId::from_client(&id.to_string()),
            site_id: "shop".into(),
            name: "page_view".into(),
            occurred_at_us: noon().timestamp_micros() + id as i64,
            received_at_us: noon().timestamp_micros() + id as i64,
            protocol: "native",
            ..Event::default()
        });
    }
    let mut writer = TableWriter::start(&lake.table(&EVENTS), noon().date_naive()).unwrap();
    writer.write(&batch.into_batch()).await.unwrap();
    writer.finish().await.unwrap()
}

async fn commit(lake: &Lake, kind: CommitKind, add: TableFile, removes: Vec<String>) {
    let table = lake.table(&EVENTS);
    let change = Change { kind, adds: vec![add], removes, lanes: vec![], read_dates: BTreeSet::new(), erasures: None };
    table.commit(change, table.load().await.unwrap()).await.unwrap();
}

/// Version 1 has 10 rows, 2 has 20, 3 is their merge, 4 has 25.
async fn lake() -> Lake {
    let lake = Lake::open("memory:///", []).unwrap();
    let (first, second) = (write(&lake, 0..10).await, write(&lake, 10..20).await);
    let removes = vec![first.log_path.clone(), second.log_path.clone()];
    commit(&lake, CommitKind::Publish, first, vec![]).await;
    commit(&lake, CommitKind::Publish, second, vec![]).await;
    commit(&lake, CommitKind::Merge, write(&lake, 0..20).await, removes).await;
    commit(&lake, CommitKind::Publish, write(&lake, 20..25).await, vec![]).await;
    lake
}

/// Gives version `n` the time of `n` hours after noon.
async fn set_times(lake: &Lake) {
    for entry in lake.table(&EVENTS).history(10).await.unwrap().iter().filter(|entry| entry.version > 0) {
        let path = Path::from(format!("events/_delta_log/{:020}.json", entry.version));
        let bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        let before = format!("\"timestamp\":{}", entry.committed_at.unwrap().timestamp_millis());
        let after = format!("\"timestamp\":{}", hour(entry.version).timestamp_millis());
        let text = String::from_utf8(bytes.to_vec()).unwrap().replacen(&before, &after, 1);
        lake.store().put(&path, text.into()).await.unwrap();
    }
}

fn hour(hours: u64) -> DateTime<Utc> {
    noon() + TimeDelta::hours(hours as i64)
}

fn not_found(error: LakeError) -> String {
    match error {
        LakeError::NotFound { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_version_is_as_it_was() {
    let lake = lake().await;
    for (version, files, rows) in [(0, 0, 0), (1, 1, 10), (2, 2, 20), (3, 1, 20), (4, 2, 25)] {
        let snapshot = lake.table(&EVENTS).load_readable_at(version).await.unwrap();
        assert_eq!((snapshot.version, snapshot.files.len(), snapshot.rows()), (Some(version), files, rows));
    }
    let newest = lake.table(&EVENTS).load().await.unwrap();
    assert_eq!(newest.version, Some(4), "looking back does not take what is known of the newest version");
}

#[tokio::test]
async fn a_version_that_does_not_exist_is_refused_with_those_that_do() {
    let error = not_found(lake().await.table(&EVENTS).load_readable_at(5).await.err().unwrap());
    assert_eq!(error, "events has the versions 0 to 4, and none that is 5");
    let empty = Lake::open("memory:///", []).unwrap();
    let error = not_found(empty.table(&EVENTS).load_readable_at(0).await.err().unwrap());
    assert!(error.contains("nothing has been committed"), "{error}");
    let error = not_found(empty.table(&EVENTS).version_at(noon()).await.unwrap_err());
    assert!(error.contains("nothing has been committed"), "{error}");
}

#[tokio::test]
async fn a_time_is_the_last_version_committed_at_it_or_before() {
    let lake = lake().await;
    set_times(&lake).await;
    let table = lake.table(&EVENTS);
    for version in 1..=4 {
        assert_eq!(table.version_at(hour(version)).await.unwrap(), version);
        assert_eq!(table.version_at(hour(version) + TimeDelta::minutes(59)).await.unwrap(), version);
    }
    assert_eq!(table.version_at(hour(1_000)).await.unwrap(), 4);
    let error = not_found(table.version_at(noon()).await.unwrap_err());
    assert!(error.contains("its first commit is of 2026-03-01 13:00:00 UTC"), "{error}");
}

#[tokio::test]
async fn a_version_whose_files_were_vacuumed_is_refused_with_the_oldest_that_reads() {
    let lake = lake().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let settings = VacuumSettings { replaced_grace: Duration::ZERO, ..VacuumSettings::default() };
    assert_eq!(lake.vacuum(&[&EVENTS], settings).await.unwrap().table_files, 2);
    for version in [1, 2] {
        let error = not_found(lake.table(&EVENTS).load_readable_at(version).await.err().unwrap());
        assert!(error.contains("--replaced-grace or by a purge; all versions from 3 on still read"), "{error}");
    }
    for version in [0, 3, 4] {
        lake.table(&EVENTS).load_readable_at(version).await.unwrap();
    }
}

#[tokio::test]
async fn the_history_of_versions_says_how_many_rows_came_and_went() {
    let history = lake().await.table(&EVENTS).history(10).await.unwrap();
    let rows: Vec<_> = history.iter().map(|entry| (entry.version, entry.rows_added, entry.rows_removed)).collect();
    let expected = [(4, 5, 0), (3, 20, 20), (2, 10, 0), (1, 10, 0), (0, 0, 0)];
    assert_eq!(rows, expected.map(|(version, added, removed)| (version, Some(added), Some(removed))));
}
