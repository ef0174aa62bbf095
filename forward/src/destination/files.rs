//! Parquet files by day in an object store: for a partner, or for a warehouse that loads files.
//!
//! The name of a file says which rows it has, so a batch that is sent again overwrites itself: each event is there once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value as Json;

use crate::batch::Batch;
use crate::destination::{Destination, Limits, SendError};
use crate::message::Event;

const LIMITS: Limits = Limits { events_max: 100_000, bytes_max: usize::MAX };

/// Writes files.
pub(crate) struct Files {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl Files {
    /// Fails if the directory cannot be one.
    ///
    /// - `environment`: settings of the store, as the lake's own are.
    pub(crate) fn new(url: &str, environment: &HashMap<String, String>) -> anyhow::Result<Self> {
        let opened = lake::open_store(url, environment.clone());
        let (store, root) = opened.context("cannot write to the directory")?;
        Ok(Self { store, root })
    }
}

#[async_trait]
impl Destination for Files {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn message(&self, _: &Event) -> Result<Json, String> {
        Ok(Json::Null)
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        for (date, rows) in by_day(&batch.rows).map_err(|error| never(&error))? {
            let bytes = encode(&rows).map_err(|error| never(&error))?;
            let path = self.root.clone().join(format!("date={date}")).join(format!("{}.parquet", batch.id));
            let put = self.store.put(&path, bytes.into()).await;
            put.map_err(|error| SendError::Later { reason: lake::whole_text(&error), after: None })?;
        }
        Ok(())
    }
}

fn never(error: &anyhow::Error) -> SendError {
    SendError::Never { reason: format!("{error:#}") }
}

/// The rows of each UTC day.
fn by_day(rows: &RecordBatch) -> anyhow::Result<BTreeMap<NaiveDate, RecordBatch>> {
    let times = rows["occurred_at"].as_primitive::<TimestampMicrosecondType>();
    let mut of_day: BTreeMap<NaiveDate, Vec<u32>> = BTreeMap::new();
    for (row, at_us) in times.values().iter().enumerate() {
        let date = DateTime::from_timestamp_micros(*at_us).context("a time is out of range")?.date_naive();
        of_day.entry(date).or_default().push(row as u32);
    }
    of_day
        .into_iter()
        .map(|(date, rows_of)| Ok((date, take_record_batch(rows, &UInt32Array::from(rows_of))?)))
        .collect()
}

fn encode(rows: &RecordBatch) -> anyhow::Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(bytes)
}
