//! A raw file as a lane wrote it, torn or changed.

use arrow::array::RecordBatch;
use chrono::DateTime;
use futures::TryStreamExt;
use lake::{Lake, LakeError, Lane, LaneId, LaneSettings, read_batches};
use uuid::Uuid;

use crate::{block_on, raw_batch};

/// At most this many rows fit in an input: a larger count is invented.
const ROWS_MAX: usize = 100_000;

pub(crate) fn read(input: &[u8]) {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        let lane = Lane::start(lake.clone(), LaneId(Uuid::from_u128(1)), LaneSettings::default());
        let (_, file) = lane.append(input.to_vec().into(), DateTime::UNIX_EPOCH).await.unwrap();
        let schema = raw_batch(1).into_batch().schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let batches = async {
            let batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
            batches.try_collect::<Vec<RecordBatch>>().await
        };
        match batches.await {
            Ok(batches) => assert!(batches.iter().map(RecordBatch::num_rows).sum::<usize>() <= ROWS_MAX),
            Err(LakeError::Corrupt { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        let snapshot = lake.snapshot().await.unwrap();
        assert_eq!(snapshot.pending.len(), 1);
        let found = lake.survey_pending(&snapshot.pending, &snapshot.events).await.unwrap();
        for left_out in found.left_out.values() {
            assert!(left_out.rows.is_sorted_by(|a, b| a < b));
            assert!(left_out.rows.last().is_some_and(|last| (*last as usize) < left_out.of));
            assert_eq!(left_out.of as u64, found.rows);
        }
    });
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [0, 1, 40].map(|events| raw_batch(events).encode().to_vec()).into()
}
