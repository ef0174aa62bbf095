//! The salts of the day: a salt makes a visitor without an id recognisable for one day, and for nobody afterwards.
//!
//! All collectors share the salt of a date. The first one that needs it creates it, and all of them read what is there.
//! A salt is an object of its own and not a version of a document, because versions are kept for ever and a salt must
//! go: once it is deleted, nobody can find out whom a hash was made from.

use chrono::{DateTime, Days, NaiveDate, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use crate::error::{LakeError, Result};
use crate::event::Salt;
use crate::lake::Lake;
use crate::layout::SALTS_DIR;

impl Lake {
    /// The salt of `date`, created if nobody has needed it yet.
    pub async fn salt_of(&self, date: NaiveDate) -> Result<Salt> {
        let path = self.path(&format!("{SALTS_DIR}/{date}"));
        if let Some(salt) = self.read_salt(&path).await? {
            return Ok(salt);
        }
        let random = [self.new_uuid(), self.new_uuid(), self.new_uuid()].map(uuid::Uuid::into_bytes).concat();
        let salt: Salt = blake3::hash(&random).into();
        let created = self.store().put_opts(&path, salt.to_vec().into(), PutOptions::from(PutMode::Create)).await;
        // Whatever the answer to the put was, the object that is there now is the salt, for us and for everybody.
        match (self.read_salt(&path).await?, created) {
            (Some(salt), _) => Ok(salt),
            (None, Err(error)) => Err(LakeError::store(format!("write {path}"), error)),
            (None, Ok(_)) => Err(LakeError::unavailable(
                format!("read {path}"),
                "it was written, and is not there or must not be read",
            )),
        }
    }

    async fn read_salt(&self, path: &Path) -> Result<Option<Salt>> {
        let read = async { self.store().get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Salt::try_from(&*bytes).map(Some).map_err(|_| {
                LakeError::corrupt(path.to_string(), "a salt is 32 bytes; remove it, and another is made")
            }),
            // S3 answers with "denied" instead of "not found" if the caller may not list.
            Err(object_store::Error::NotFound { .. } | object_store::Error::PermissionDenied { .. }) => Ok(None),
            Err(error) => Err(LakeError::store(format!("read {path}"), error)),
        }
    }

    /// Deletes the salts of the dates that are over. Returns how many.
    ///
    /// A salt is created at most a few hours before its date, so none lives for 48 hours if this runs every hour.
    pub async fn delete_old_salts(&self, now: DateTime<Utc>) -> Result<usize> {
        // An hour of grace, for collectors with slow clocks.
        let today = (now - chrono::TimeDelta::hours(1)).date_naive();
        let old = self.list(SALTS_DIR).await?.into_iter().filter(|object| {
            let date = object.location.filename().and_then(|name| name.parse::<NaiveDate>().ok());
            date.is_some_and(|date| date < today)
        });
        let (deleted, _) = self.delete(old.map(|object| (object.location, object.size)).collect()).await?;
        Ok(deleted)
    }
}

/// The dates whose salts are needed at `now`: today, and tomorrow shortly before it begins, so that midnight
/// finds every collector prepared.
pub fn salt_dates(now: DateTime<Utc>) -> impl Iterator<Item = NaiveDate> {
    const AHEAD: chrono::TimeDelta = chrono::TimeDelta::hours(1);
    let today = now.date_naive();
    let soon = (now + AHEAD).date_naive();
    [Some(today), today.checked_add_days(Days::new(1)).filter(|_| soon != today)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    #[tokio::test]
    async fn everybody_gets_the_same_salt_of_a_date_and_another_one_of_the_next() {
        let lake = Lake::open("memory:///", []).unwrap();
        let (monday, tuesday) = (at("2026-03-02T00:00:00Z").date_naive(), at("2026-03-03T00:00:00Z").date_naive());
        let salts = futures::future::join_all((0..8).map(|_| lake.salt_of(monday))).await;
        let first = salts[0].as_ref().unwrap();
        assert!(salts.iter().all(|salt| salt.as_ref().unwrap() == first));
        assert_ne!(lake.salt_of(tuesday).await.unwrap(), *first);
    }

    #[tokio::test]
    async fn a_salt_is_deleted_when_its_date_is_over() {
        let lake = Lake::open("memory:///", []).unwrap();
        let monday = at("2026-03-02T00:00:00Z").date_naive();
        let salt = lake.salt_of(monday).await.unwrap();
        assert_eq!(lake.delete_old_salts(at("2026-03-03T00:59:00Z")).await.unwrap(), 0);
        assert_eq!(lake.delete_old_salts(at("2026-03-03T01:00:00Z")).await.unwrap(), 1);
        assert_ne!(lake.salt_of(monday).await.unwrap(), salt);
    }

    #[test]
    fn the_next_salt_is_made_an_hour_ahead() {
        assert_eq!(salt_dates(at("2026-03-02T12:00:00Z")).count(), 1);
        let dates: Vec<_> = salt_dates(at("2026-03-02T23:30:00Z")).map(|date| date.to_string()).collect();
        assert_eq!(dates, ["2026-03-02", "2026-03-03"]);
    }
}
