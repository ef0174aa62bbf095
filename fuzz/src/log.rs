//! An entry of the Delta log, as another engine or a bad disk may have left it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use chrono::DateTime;
use lake::{Change, EVENTS, Lake, LakeError, Lane, LaneId, LaneSettings, TableWriter, VacuumSettings};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use uuid::Uuid;

use crate::{block_on, raw_batch};

fn entry(version: u64) -> Path {
    Path::from(format!("events/_delta_log/{version:020}.json"))
}

thread_local! {
    /// The first two entries of a table: its definition, and a publish.
    static ENTRIES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(vec![]) };
}

fn entries() -> Vec<Vec<u8>> {
    let known = ENTRIES.with_borrow(Clone::clone);
    if !known.is_empty() {
        return known;
    }
    let made = block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut writer = TableWriter::start(&lake.table(&EVENTS), DateTime::UNIX_EPOCH.date_naive()).unwrap();
        writer.write(&raw_batch(10).into_batch()).await.unwrap();
        let adds = vec![writer.finish().await.unwrap()];
        let change = Change::publish(adds, vec![(LaneId(Uuid::from_u128(1)), 1)], BTreeSet::new());
        let table = lake.table(&EVENTS);
        table.commit(change, table.load().await.unwrap()).await.unwrap();
        let mut entries = Vec::new();
        for version in 0..2 {
            entries.push(lake.store().get(&entry(version)).await.unwrap().bytes().await.unwrap().to_vec());
        }
        entries
    });
    ENTRIES.set(made.clone());
    made
}

pub(crate) fn read(input: &[u8]) {
    let first = entries().swap_remove(0);
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        for (version, bytes) in [&first, input].into_iter().enumerate() {
            lake.store().put(&entry(version as u64), bytes.to_vec().into()).await.unwrap();
        }
        let table = lake.table(&EVENTS);
        let declared = |error: LakeError| {
            // An empty entry counts as lost: the lake is unusable until somebody restores it.
            let kinds =
                matches!(error, LakeError::Corrupt { .. } | LakeError::Unavailable { .. } | LakeError::Unusable { .. });
            assert!(kinds, "{error:?}");
        };
        if let Err(error) = table.history(10).await {
            declared(error);
        }
        if let Err(error) = lake.vacuum(&[&EVENTS], VacuumSettings::default()).await {
            declared(error);
        }
        let lane = Lane::start(lake.clone(), LaneId(Uuid::from_u128(1)), LaneSettings::default());
        lane.append(raw_batch(1).encode(), DateTime::UNIX_EPOCH).await.unwrap();
        match lake.snapshot().await {
            Ok(snapshot) => assert_eq!(snapshot.pending.len() + snapshot.consumed.len(), 1),
            Err(error) => declared(error),
        }
    });
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = entries();
    seeds.push(br#"{"remove":{"path":"date=2026-01-01/b.parquet","dataChange":false}}"#.to_vec());
    seeds
}
