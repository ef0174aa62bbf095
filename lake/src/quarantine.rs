//! Quarantine: events that were refused one by one, kept for a while with the reason, for those who look for what
//! is missing. No table with a log: files that are written once, listed, and deleted by age.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;

use crate::erasure::Person;
use crate::error::{LakeError, Result};
use crate::file::{self, read_batches};
use crate::lane::{AppendError, LaneSettings, put_until_confirmed};
use crate::layout::Hour;
use crate::store::Lake;

/// The directory, and the name in SQL.
pub const QUARANTINE: &str = "quarantine";

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
    /// The event as it was sent, cut off if it is long.
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
    let properties = file::raw_properties(&quarantine_schema(), batches);
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

    /// Removes the refused events of a site that mention a person's id anywhere. Returns how many. Safe to repeat.
    ///
    /// Takes away rather too much than too little: nobody counts refused events.
    pub async fn erase_quarantined(&self, person: &Person) -> Result<usize> {
        // As it stands in JSON, without the quotes, since protocols write ids in addresses too.
        let quoted = serde_json::to_string(person.id.value()).expect("a string can always be written as JSON");
        let mention = &quoted[1..quoted.len() - 1];
        let mut erased = 0;
        for file in self.quarantine_files().await? {
            let columns = quarantine_schema();
            let columns: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
            let mut batches = read_batches(self.store(), &file.path, file.size_bytes, &columns).await?;
            let (mut staying, mut leaving) = (Vec::new(), 0);
            while let Some(batch) = batches.try_next().await? {
                let (sites, events) = (batch["site_id"].as_string::<i32>(), batch["event"].as_string::<i32>());
                let stays: BooleanArray = (0..batch.num_rows())
                    .map(|row| Some(sites.value(row) != &*person.site_id || !events.value(row).contains(mention)))
                    .collect();
                leaving += stays.false_count();
                let rows = filter_record_batch(&batch, &stays);
                staying.push(rows.map_err(|error| LakeError::corrupt(file.path.to_string(), error))?);
            }
            if leaving == 0 {
                continue;
            }
            if staying.iter().any(|batch| batch.num_rows() > 0) {
                // The new file first: a crash between the two leaves some refusals twice, and loses none.
                let dir = file.path.parts().take(file.path.parts().count() - 1).collect::<Path>();
                let path = dir.join(format!("{}.parquet", self.new_uuid()));
                let put = self.store().put(&path, encode(&staying).into()).await;
                put.map_err(|error| LakeError::store(format!("write {path}"), error))?;
            }
            self.delete(vec![(file.path, file.size_bytes)]).await?;
            erased += leaving;
        }
        Ok(erased)
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
    use super::*;
    use crate::erasure::PersonId;

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

    #[tokio::test]
    async fn what_mentions_an_erased_person_leaves_the_site_and_nothing_else_does() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = |site: &str, event: &str| RefusedEvent {
            site_id: site.into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: event.into(),
        };
        let of_ada = r#"{"user_id":"ada \"a\""}"#;
        let file = encode_refused(&[refused("shop", of_ada), refused("shop", "{}"), refused("blog", of_ada)]);
        lake.put_refused(file, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let only_ada = encode_refused(&[refused("shop", of_ada)]);
        lake.put_refused(only_ada, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let ada = Person { site_id: "shop".into(), id: PersonId::User(r#"ada "a""#.into()) };
        assert_eq!(lake.erase_quarantined(&ada).await.unwrap(), 2);
        assert_eq!(lake.erase_quarantined(&ada).await.unwrap(), 0);
        let files = lake.quarantine_files().await.unwrap();
        assert_eq!(files.len(), 1);
        let rows = read_batches(lake.store(), &files[0].path, files[0].size_bytes, &["site_id"]).await.unwrap();
        let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        let sites: Vec<_> = rows[0]["site_id"].as_string::<i32>().iter().flatten().collect();
        assert_eq!(sites, ["shop", "blog"]);
    }
}
