//! A lake in memory with a compactor that makes small files, and everything that can be observed of the lake.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytics::read_queries;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use compactor::{Compactor, CompactorSettings};
use engine::{Engine, EngineSettings, Scope, params, to_json_rows};
use futures::TryStreamExt;
use lake::{EVENTS, Event, Lake, Lane, LaneId, LaneSettings, RawBatch, Value, read_batches};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::events::{NULL, Row};

/// The answer of each query in `queries/` in each scope.
pub type Answers = Vec<(String, Vec<Vec<Json>>)>;

pub struct LakeState {
    pub lake: Lake,
    engine: Engine,
    compactor: Compactor,
    lanes: Vec<Option<Lane>>,
}

impl LakeState {
    /// A lake with this many lanes, and a compactor that publishes this many bytes per commit.
    pub fn new(lanes: usize, publish_bytes_max: u64) -> Self {
        let lake = Lake::open("memory:///", []).unwrap();
        let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
        let settings = CompactorSettings {
            // Two or three of the files that these tests write.
            merge_target_bytes: 64 << 10,
            publish_bytes_max,
            raw_grace: Duration::ZERO,
            replaced_grace: Duration::ZERO,
            followed_grace: Duration::ZERO,
            reports: compactor::ReportsKept::default(),
        };
        // All dates are sealed.
        let clock = || "2200-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let compactor = Compactor::new(engine.clone(), settings, Arc::new(clock));
        let lane = |n| Some(Lane::start(lake.clone(), LaneId(Uuid::from_u128(n as u128 + 1)), LaneSettings::default()));
        Self { engine, compactor, lanes: (0..lanes).map(lane).collect(), lake }
    }

    /// Puts one raw file. A file has each event once: the first of its copies.
    pub async fn append<'a>(&mut self, lane: usize, events: impl IntoIterator<Item = &'a Event>) {
        let mut batch = RawBatch::default();
        for event in events {
            batch.push(event);
        }
        let writer = self.lanes[lane].take().unwrap();
        let (writer, _) = writer.append(batch.encode(), DateTime::UNIX_EPOCH).await.unwrap();
        self.lanes[lane] = Some(writer);
    }

    pub async fn publish(&self) {
        self.compactor.publish().await.unwrap();
        assert!(self.lake.snapshot().await.unwrap().pending.is_empty());
    }

    pub async fn merge(&self) {
        self.compactor.merge().await.unwrap();
    }

    /// Deletes everything that is no longer needed, whatever its age.
    pub async fn vacuum(&self) {
        // A file must be older than its grace, not as old.
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.compactor.vacuum().await.unwrap();
        assert!(self.lake.snapshot().await.unwrap().consumed.is_empty());
    }

    /// All rows that SQL sees, sorted.
    pub async fn rows(&self) -> Vec<Row> {
        let session = self.engine.view().await.unwrap().session(&Scope::Lake).unwrap();
        let answer = session.query("SELECT * FROM events", &[]).await.unwrap();
        let mut rows: Vec<Row> = answer.batches.iter().flat_map(rows).collect();
        rows.sort();
        rows
    }

    /// The answers of every query, for the whole lake and for one site.
    pub async fn answers(&self, now: DateTime<Utc>, site: &str) -> Answers {
        let queries = read_queries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries")).unwrap();
        let view = self.engine.view().await.unwrap();
        let mut answers = Vec::new();
        for scope in [Scope::Lake, Scope::Site(site.to_owned())] {
            let session = view.session(&scope).unwrap();
            for query in &queries {
                let answer = session.query(query.sql.as_ref().unwrap(), &params::of_period(now, None, "UTC")).await;
                let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", query.name));
                answers.push((format!("{} of {scope:?}", query.name), to_json_rows(&answer).unwrap()));
            }
        }
        answers
    }

    /// Checks what the log records of each file against the file.
    pub async fn check_bounds(&self) {
        for file in &self.lake.table(&EVENTS).load().await.unwrap().files {
            let batches = read_batches(self.lake.store(), &file.path, file.size_bytes, EVENTS.bounded).await.unwrap();
            let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
            let held: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(held as u64, file.rows, "rows of {}", file.path);
            for name in EVENTS.bounded {
                let columns: Vec<&ArrayRef> = batches.iter().map(|batch| &batch[*name]).collect();
                let nulls: usize = columns.iter().map(|column| column.null_count()).sum();
                let values: Vec<Value> = columns.into_iter().flat_map(values).collect();
                let Some(range) = file.ranges.get(*name) else {
                    assert_eq!(nulls, held, "{name} of {} has values and no range", file.path);
                    continue;
                };
                assert_eq!(range.nulls, Some(nulls as u64), "nulls in {name} of {}", file.path);
                for value in values {
                    assert!((&range.min..=&range.max).contains(&&value), "{name}: {value:?} is not within {range:?}");
                }
            }
        }
    }
}

/// The values of a bounded column that are not null.
fn values(column: &ArrayRef) -> Vec<Value> {
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().flatten().map(Value::Integer).collect(),
        DataType::Timestamp(_, _) => {
            column.as_primitive::<TimestampMicrosecondType>().iter().flatten().map(Value::TimeUs).collect()
        }
        _ => column.as_string::<i32>().iter().flatten().map(|text| Value::Text(text.to_owned())).collect(),
    }
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let columns: Vec<Vec<String>> = batch.columns().iter().map(cells).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}

fn cells(column: &ArrayRef) -> Vec<String> {
    let cell = |value: Option<String>| value.unwrap_or(NULL.to_owned());
    match column.data_type() {
        DataType::Binary | DataType::BinaryView => {
            let column = cast(column, &DataType::Binary).unwrap();
            column.as_binary::<i32>().iter().map(|id| cell(id.map(|id| format!("{id:?}")))).collect()
        }
        DataType::Utf8 | DataType::Utf8View => {
            let column = cast(column, &DataType::Utf8).unwrap();
            column.as_string::<i32>().iter().map(|text| cell(text.map(|text| format!("{text:?}")))).collect()
        }
        DataType::Timestamp(_, _) => column
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .map(|us| cell(us.map(|us| us.to_string())))
            .collect(),
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().map(|n| cell(n.map(|n| n.to_string()))).collect(),
        DataType::Date32 => {
            column.as_primitive::<Date32Type>().iter().map(|n| cell(n.map(|n| n.to_string()))).collect()
        }
        DataType::Decimal128(18, 4) => {
            column.as_primitive::<Decimal128Type>().iter().map(|n| cell(n.map(|n| n.to_string()))).collect()
        }
        DataType::Boolean => column.as_boolean().iter().map(|flag| cell(flag.map(|flag| flag.to_string()))).collect(),
        other => panic!("no column of events is a {other}"),
    }
}
