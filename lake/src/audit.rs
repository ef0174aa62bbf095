//! What people did: who signed in, who was refused, who changed what. Appended to and never changed, and no table with a
//! log: an object for each entry, and one for each day that is over.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::AUDIT_DIR;

/// For how long entries are kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(400);

/// Objects read at the same time.
const CONCURRENT: usize = 32;

/// Something that somebody did, or tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// 32 hexadecimal digits.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// In which organisation, if in one.
    pub organisation: Option<String>,
    /// Who, if somebody who is known.
    pub user_id: Option<String>,
    /// The address of whoever it was, or said to be.
    pub email: Option<String>,
    /// What: `sign_in`, `member.remove`.
    pub action: String,
    /// To what: the id of a person, a site, a key.
    pub target: Option<String>,
    /// `done` or `refused`.
    pub outcome: String,
    /// With what, as it names itself.
    pub user_agent: Option<String>,
}

/// The columns of the audit log.
pub fn audit_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name| Field::new(name, DataType::Utf8, true);
        let at = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            at,
            text("organisation"),
            text("user_id"),
            text("email"),
            Field::new("action", DataType::Utf8, false),
            text("target"),
            Field::new("outcome", DataType::Utf8, false),
            text("user_agent"),
        ]))
    });
    SCHEMA.clone()
}

impl AuditEntry {
    /// Entries as rows.
    pub fn rows(entries: &[Self]) -> RecordBatch {
        let text =
            |of: fn(&Self) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(entries.iter().map(of))) };
        let maybe =
            |of: fn(&Self) -> Option<&str>| -> ArrayRef { Arc::new(StringArray::from_iter(entries.iter().map(of))) };
        let at = TimestampMicrosecondArray::from_iter_values(entries.iter().map(|entry| entry.at.timestamp_micros()));
        let columns = vec![
            text(|entry| &entry.id),
            Arc::new(at.with_timezone("UTC")),
            maybe(|entry| entry.organisation.as_deref()),
            maybe(|entry| entry.user_id.as_deref()),
            maybe(|entry| entry.email.as_deref()),
            text(|entry| &entry.action),
            maybe(|entry| entry.target.as_deref()),
            text(|entry| &entry.outcome),
            maybe(|entry| entry.user_agent.as_deref()),
        ];
        RecordBatch::try_new(audit_schema(), columns).expect("columns are built in the schema's order")
    }
}

impl Lake {
    /// Appends to the audit log. When this returns `Ok`, every query from now on sees the entry.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<()> {
        let AuditEntry { id, at, .. } = entry;
        let path = self.path(&format!("{AUDIT_DIR}/date={}/{id}.json", at.date_naive()));
        self.put_entries(&path, std::slice::from_ref(entry)).await
    }

    async fn put_entries(&self, path: &Path, entries: &[AuditEntry]) -> Result<()> {
        let bytes = serde_json::to_vec(entries).expect("an entry is plain data");
        match self.store().put_opts(path, bytes.into(), PutOptions::from(PutMode::Create)).await {
            // The path has the id of its only entry, or of nothing but what lies here: the answer to the put was lost.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(LakeError::store(format!("write {path}"), error)),
        }
    }

    /// All entries, the oldest first.
    pub async fn audit_log(&self) -> Result<Vec<AuditEntry>> {
        let registry = self.registry();
        registry.read_entries(registry.list(AUDIT_DIR).await?).await
    }

    /// The entries of objects, each once: those of a day that was put together may lie there twice for a while.
    async fn read_entries(&self, objects: Vec<ObjectMeta>) -> Result<Vec<AuditEntry>> {
        let reads = objects.into_iter().map(|object| async move {
            let path = object.location;
            let read = async { self.store().get(&path).await?.bytes().await };
            let bytes = match read.await {
                Ok(bytes) => bytes,
                // It was put together with the others of its day, or has expired.
                Err(object_store::Error::NotFound { .. }) => return Ok(vec![]),
                Err(error) => return Err(LakeError::store(format!("read {path}"), error)),
            };
            serde_json::from_slice::<Vec<AuditEntry>>(&bytes)
                .map_err(|error| LakeError::corrupt(path.to_string(), error))
        });
        let read: Vec<Vec<AuditEntry>> = stream::iter(reads).buffer_unordered(CONCURRENT).try_collect().await?;
        let by_id: BTreeMap<(DateTime<Utc>, String), AuditEntry> =
            read.into_iter().flatten().map(|entry| ((entry.at, entry.id.clone()), entry)).collect();
        Ok(by_id.into_values().collect())
    }

    /// Puts the entries of each day that is over into one object, and deletes what has expired. Returns how many objects
    /// are gone.
    ///
    /// - `now`: by the store's clock.
    pub(crate) async fn tidy_audit_log(&self, now: DateTime<Utc>) -> Result<usize> {
        let mut by_date: BTreeMap<NaiveDate, Vec<ObjectMeta>> = BTreeMap::new();
        for object in self.list(AUDIT_DIR).await? {
            let date = object.location.parts().find_map(|part| part.as_ref().strip_prefix("date=")?.parse().ok());
            if let Some(date) = date {
                by_date.entry(date).or_default().push(object);
            }
        }
        // A day of grace, for servers with slow clocks.
        let over = (now - TimeDelta::days(1)).date_naive();
        let expired = (now - KEPT_FOR).date_naive();
        let mut gone = 0;
        for (date, objects) in by_date {
            if date >= over || (date >= expired && objects.len() < 2) {
                continue;
            }
            if date >= expired {
                let entries = self.read_entries(objects.clone()).await?;
                let path = self.path(&format!("{AUDIT_DIR}/date={date}/all-{}.json", self.new_uuid().simple()));
                self.put_entries(&path, &entries).await?;
            }
            let objects = objects.into_iter().map(|object| (object.location, object.size)).collect();
            gone += self.delete(objects).await?.0;
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, at: &str) -> AuditEntry {
        AuditEntry {
            id: id.into(),
            at: at.parse().unwrap(),
            organisation: None,
            user_id: None,
            email: Some("ada@example.com".into()),
            action: "sign_in".into(),
            target: None,
            outcome: "refused".into(),
            user_agent: None,
        }
    }

    #[tokio::test]
    async fn every_entry_is_there_once_before_and_after_its_day_is_put_together() {
        let lake = Lake::open("memory:///", []).unwrap();
        let entries = [
            entry("a", "2026-03-01T10:00:00Z"),
            entry("b", "2026-03-01T11:00:00Z"),
            entry("c", "2026-03-02T09:00:00Z"),
        ];
        for entry in [&entries[2], &entries[0], &entries[1], &entries[0]] {
            lake.audit(entry).await.unwrap();
        }
        assert_eq!(lake.audit_log().await.unwrap(), entries);
        let at = |time: &str| time.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(lake.tidy_audit_log(at("2026-03-02T12:00:00Z")).await.unwrap(), 0);
        assert_eq!(lake.tidy_audit_log(at("2026-03-03T12:00:00Z")).await.unwrap(), 2);
        assert_eq!(lake.audit_log().await.unwrap(), entries);
        // As if the process had died before it deleted what it had put together.
        lake.audit(&entries[1]).await.unwrap();
        assert_eq!(lake.audit_log().await.unwrap(), entries);
        assert_eq!(lake.tidy_audit_log(at("2027-04-06T12:00:00Z")).await.unwrap(), 2);
        assert_eq!(lake.audit_log().await.unwrap(), entries[2..]);
        assert_eq!(AuditEntry::rows(&entries).num_rows(), 3);
    }
}
