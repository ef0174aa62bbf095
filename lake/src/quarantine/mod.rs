//! The quarantine: events that were refused one by one, kept for a while with the reason, so that people can look for
//! what is missing. It is no table with a log: its files are written once, listed, and deleted by age.

mod erasure;
mod mentions;

use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;

use crate::error::Result;
use crate::lake::Lake;
use crate::layout::{Hour, QUARANTINE};
use crate::parquet::reader::read_batches;
use crate::raw::lane::{AppendError, LaneSettings, put_until_confirmed};
use crate::schema::encoding::raw_properties;

/// An event that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEvent {
    /// The site it was sent to.
    pub site_id: Arc<str>,
    /// When it arrived, in microseconds since the epoch.
    pub received_at_us: i64,
    /// The protocol it came by.
    pub protocol: &'static str,
    /// Why it was refused, as the sender was told.
    pub reason: String,
    /// The event as it was sent, without what is not stored, and cut off if it is long.
    pub event: String,
}

/// A file of refused events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineFile {
    /// Path in the store.
    pub path: Path,
    /// Size.
    pub size_bytes: u64,
}

/// The columns of refused events.
pub fn quarantine_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let received_at = Field::new("received_at", time, false);
        Arc::new(Schema::new(vec![text("site_id"), received_at, text("protocol"), text("reason"), text("event")]))
    });
    SCHEMA.clone()
}

/// Encodes refused events as one Parquet file. Takes CPU time: call it off the request path.
pub fn encode_refused(refused: &[RefusedEvent]) -> Bytes {
    let text = |of: fn(&RefusedEvent) -> &str| Arc::new(StringArray::from_iter_values(refused.iter().map(of)));
    let times = TimestampMicrosecondArray::from_iter_values(refused.iter().map(|refused| refused.received_at_us));
    let batch = RecordBatch::try_new(
        quarantine_schema(),
        vec![
            text(|refused| &refused.site_id),
            Arc::new(times.with_timezone("UTC")),
            text(|refused| refused.protocol),
            text(|refused| &refused.reason),
            text(|refused| &refused.event),
        ],
    )
    .expect("columns are built in the schema's order");
    encode(&[batch])
}

fn encode(batches: &[RecordBatch]) -> Bytes {
    let mut file = Vec::new();
    let properties = raw_properties(&quarantine_schema(), batches);
    let mut writer = ArrowWriter::try_new(&mut file, quarantine_schema(), Some(properties))
        .expect("texts and times have a Parquet form");
    for batch in batches {
        writer.write(batch).expect("writing to memory does not fail");
    }
    writer.close().expect("writing to memory does not fail");
    file.into()
}

impl Lake {
    /// Puts a file of refused events. When this returns `Ok`, every query from now on sees them.
    ///
    /// - `file`: the bytes of [`encode_refused`].
    /// - `now`: the time of arrival, which chooses the directory.
    pub async fn put_refused(&self, file: Bytes, now: DateTime<Utc>, tries: LaneSettings) -> Result<(), AppendError> {
        let path = self.path(&format!("{}/{}.parquet", Hour::containing(now).dir_in(QUARANTINE), self.new_uuid()));
        put_until_confirmed(self, &path, &file, tries).await
    }

    /// The rows of a file of refused events. Fails as [`read_batches`] does.
    pub(crate) async fn read_refused(&self, file: &QuarantineFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let schema = quarantine_schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        read_batches(self.store(), &file.path, file.size_bytes, &columns).await
    }

    /// The files of refused events, in the order of their arrival hours.
    pub async fn quarantine_files(&self) -> Result<Vec<QuarantineFile>> {
        let objects = self.list(QUARANTINE).await?.into_iter();
        let mut files: Vec<_> = objects
            .filter(|object| object.location.extension() == Some("parquet"))
            .map(|object| QuarantineFile { path: object.location, size_bytes: object.size })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_refused_event_is_kept_as_it_was_sent() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = RefusedEvent {
            site_id: "shop".into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: "{}".into(),
        };
        let file = encode_refused(std::slice::from_ref(&refused));
        lake.put_refused(file, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let files = lake.quarantine_files().await.unwrap();
        assert!(files[0].path.as_ref().starts_with("quarantine/date=1970-01-01/hour=00/"), "{}", files[0].path);
        let rows = read_batches(lake.store(), &files[0].path, files[0].size_bytes, &["event", "reason"]).await.unwrap();
        let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        assert_eq!(rows[0]["reason"].as_string::<i32>().value(0), "`name` is missing");
        assert_eq!(rows[0]["event"].as_string::<i32>().value(0), "{}");
    }
}
