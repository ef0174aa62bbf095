//! Erasing a person from the quarantine.
//!
//! Each file of refused events has at most one successor: `a.parquet`, `a_1.parquet`, `a_2.parquet`. The successor is
//! created without the person's rows, and then the file is deleted. Two processes that erase different persons at once
//! therefore meet on the same name: one of them wins, and the other goes on from the winner's file.

use std::collections::VecDeque;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use super::mentions::mentions;
use super::{QuarantineFile, encode};
use crate::erasure::list::Person;
use crate::error::{LakeError, Result};
use crate::lake::Lake;

impl Lake {
    /// Removes the refused events of a site in which the person's id is a value of any field. Returns how many. Safe to
    /// repeat, and safe beside others who erase somebody else.
    ///
    /// In doubt an event is removed: nobody counts refused events. Fails with [`LakeError::Corrupt`] if a file
    /// cannot be read, once the others are done.
    pub async fn erase_quarantined(&self, person: &Person) -> Result<usize> {
        let (mut erased, mut damaged) = (0, None);
        let mut files = self.refused_in_order().await?;
        while let Some(file) = files.pop_front() {
            let (staying, leaving) = match self.read_refused_but(&file, person).await {
                Ok(read) => read,
                Err(LakeError::Gone { .. }) => {
                    files = self.refused_in_order().await?;
                    continue;
                }
                // Nobody can read it, and the others still go.
                Err(error @ LakeError::Corrupt { .. }) => {
                    damaged = damaged.or(Some(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if leaving == 0 {
                continue;
            }
            let next = successor(&file.path);
            match self.store().put_opts(&next, encode(&staying).into(), PutOptions::from(PutMode::Create)).await {
                Ok(_) => {
                    let others = self.refused_in_order().await?;
                    self.delete(vec![(file.path, file.size_bytes)]).await?;
                    if others.iter().any(|other| has_gone_on(&other.path, &next)) {
                        // The name was free again because others had gone on from it, so ours holds rows that they took out.
                        self.delete(vec![(next, 0)]).await?;
                        files = self.refused_in_order().await?;
                    } else {
                        erased += leaving;
                    }
                }
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    // Some stores say this when two puts meet, although neither landed.
                    let landed = self.store().head(&next).await;
                    landed.map_err(|error| LakeError::store(format!("look for {next}"), error))?;
                    self.delete(vec![(file.path, file.size_bytes)]).await?;
                    files = self.refused_in_order().await?;
                }
                Err(error) => return Err(LakeError::store(format!("write {next}"), error)),
            }
        }
        damaged.map_or(Ok(erased), Err)
    }

    /// The files of refused events, each before its successor: if both are there, what was taken out of the successor
    /// is still in the file.
    async fn refused_in_order(&self) -> Result<VecDeque<QuarantineFile>> {
        let mut files = self.quarantine_files().await?;
        files.sort_by(|a, b| generation(&a.path).cmp(&generation(&b.path)));
        Ok(files.into())
    }

    /// The rows of a file that do not mention a person, and how many do.
    async fn read_refused_but(&self, file: &QuarantineFile, person: &Person) -> Result<(Vec<RecordBatch>, usize)> {
        let mut batches = self.read_refused(file).await?;
        let (mut staying, mut leaving) = (Vec::new(), 0);
        while let Some(batch) = batches.try_next().await? {
            let (sites, events) = (batch["site_id"].as_string::<i32>(), batch["event"].as_string::<i32>());
            let stays = |row| sites.value(row) != &*person.site_id || !mentions(events.value(row), person.id.value());
            let stays: BooleanArray = (0..batch.num_rows()).map(|row| Some(stays(row))).collect();
            leaving += stays.false_count();
            let rows = filter_record_batch(&batch, &stays);
            staying.push(rows.map_err(|error| LakeError::corrupt(file.path.to_string(), error))?);
        }
        Ok((staying, leaving))
    }
}

/// The file that takes a file's place: `a.parquet`, `a_1.parquet`, `a_2.parquet`. It is written though it be empty: a file
/// has one successor, or two who take out a person each would make two.
fn successor(path: &Path) -> Path {
    let (first, number) = generation(path);
    Path::from(format!("{first}_{}.parquet", number + 1))
}

/// Whether a file is a later successor of the same one as another.
fn has_gone_on(path: &Path, from: &Path) -> bool {
    let ((first, number), (of, before)) = (generation(path), generation(from));
    first == of && number > before
}

/// The first of a file's predecessors, without its ending, and how many there were.
fn generation(path: &Path) -> (&str, u64) {
    let stem = path.as_ref().strip_suffix(".parquet").unwrap_or(path.as_ref());
    match stem.rsplit_once('_').and_then(|(first, number)| Some((first, number.parse().ok()?))) {
        Some(generation) => generation,
        None => (stem, 0),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::erasure::list::PersonId;
    use crate::parquet::reader::read_batches;
    use crate::quarantine::{RefusedEvent, encode_refused};
    use crate::raw::lane::LaneSettings;

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
        let of_ada_in_a_pixel = "name=x&user_id=ada+%22a%22";
        let file = encode_refused(&[refused("shop", of_ada), refused("shop", "{}"), refused("blog", of_ada)]);
        lake.put_refused(file, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let only_ada = encode_refused(&[refused("shop", of_ada), refused("shop", of_ada_in_a_pixel)]);
        lake.put_refused(only_ada, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let ada = Person { site_id: "shop".into(), id: PersonId::User(r#"ada "a""#.into()) };
        assert_eq!(lake.erase_quarantined(&ada).await.unwrap(), 3);
        assert_eq!(lake.erase_quarantined(&ada).await.unwrap(), 0);
        assert_eq!(
            quarantined(&lake).await,
            [("blog".to_owned(), of_ada.to_owned()), ("shop".to_owned(), "{}".to_owned())]
        );
    }

    #[tokio::test]
    async fn two_who_erase_a_person_each_leave_neither_and_everybody_else_once() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = ["ada", "bob", "eve"].map(|user| RefusedEvent {
            site_id: "shop".into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: format!(r#"{{"user_id":"{user}"}}"#),
        });
        lake.put_refused(encode_refused(&refused), DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let person = |id: &str| Person { site_id: "shop".into(), id: PersonId::User(id.into()) };

        // Somebody read the file for Bob and is slow; meanwhile another takes Ada out.
        let file = lake.quarantine_files().await.unwrap().remove(0);
        let original = lake.store().get(&file.path).await.unwrap().bytes().await.unwrap();
        assert_eq!(lake.erase_quarantined(&person("ada")).await.unwrap(), 1);
        lake.store().put(&file.path, original.clone().into()).await.unwrap();
        assert_eq!(lake.erase_quarantined(&person("bob")).await.unwrap(), 1);
        assert_eq!(quarantined(&lake).await, [("shop".to_owned(), r#"{"user_id":"eve"}"#.to_owned())]);

        // Once more, so that the name of the first successor is free again.
        lake.store().put(&file.path, original.into()).await.unwrap();
        assert_eq!(lake.erase_quarantined(&person("bob")).await.unwrap(), 0);
        assert_eq!(quarantined(&lake).await, [("shop".to_owned(), r#"{"user_id":"eve"}"#.to_owned())]);
    }

    #[tokio::test]
    async fn a_damaged_file_is_told_and_does_not_keep_the_others() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = ["ada", "bob"].map(|user| RefusedEvent {
            site_id: "shop".into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: format!(r#"{{"user_id":"{user}"}}"#),
        });
        for _ in 0..5 {
            lake.put_refused(encode_refused(&refused), DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        }
        let torn = lake.refused_in_order().await.unwrap().remove(2).unwrap();
        lake.store().put(&torn.path, "torn".into()).await.unwrap();
        let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        let error = lake.erase_quarantined(&ada).await.unwrap_err();
        assert!(
            matches!(&error, LakeError::Corrupt { .. }) && error.to_string().contains(torn.path.as_ref()),
            "{error}"
        );
        lake.store().delete(&torn.path).await.unwrap();
        assert_eq!(quarantined(&lake).await, vec![("shop".to_owned(), r#"{"user_id":"bob"}"#.to_owned()); 4]);
    }

    #[test]
    fn a_file_comes_before_its_successors() {
        let file = Path::from("quarantine/date=2026-01-01/hour=01/a.parquet");
        let tenth = (0..10).fold(file.clone(), |path, _| successor(&path));
        assert_eq!(tenth.as_ref(), "quarantine/date=2026-01-01/hour=01/a_10.parquet");
        let ninth = Path::from("quarantine/date=2026-01-01/hour=01/a_9.parquet");
        assert!(generation(&file) < generation(&ninth) && generation(&ninth) < generation(&tenth));
        assert!(has_gone_on(&tenth, &ninth) && !has_gone_on(&ninth, &tenth));
    }

    /// All refused events: the site and the event of each.
    async fn quarantined(lake: &Lake) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for file in lake.quarantine_files().await.unwrap() {
            let rows = read_batches(lake.store(), &file.path, file.size_bytes, &["site_id", "event"]).await.unwrap();
            for batch in rows.try_collect::<Vec<RecordBatch>>().await.unwrap() {
                let (sites, events) = (batch["site_id"].as_string::<i32>(), batch["event"].as_string::<i32>());
                found.extend((0..batch.num_rows()).map(|row| (sites.value(row).into(), events.value(row).into())));
            }
        }
        found.sort();
        found
    }
}
