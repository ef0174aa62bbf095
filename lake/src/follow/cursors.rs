//! How far a follower has come, and that only one at a time follows by the same name.
//!
//! A cursor is a sequence of objects of which the highest counts, as the documents of the registry are. Unlike these it
//! moves many times a minute, and nobody asks for its past, so the objects before the last two are deleted. A follower that
//! was stalled while another took its place finds that its next object is there, and stops.

use chrono::{DateTime, TimeDelta, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::CURSORS_DIR;

/// A place among the rows of `events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The version whose new rows come next; with a scan, the version whose rows are read.
    pub version: u64,
    /// What is read of the version, if not its new rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
    /// The file of the version, by path.
    pub file: u64,
    /// The row of the file.
    pub row: u64,
}

/// All rows of a version from a time on, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scan {
    /// By when they happened.
    OccurredSince(i64),
    /// By when they arrived.
    ReceivedSince(i64),
}

impl Scan {
    /// The column that it goes by.
    pub fn column(self) -> &'static str {
        match self {
            Self::OccurredSince(_) => "occurred_at",
            Self::ReceivedSince(_) => "received_at",
        }
    }

    /// The first time that it reads.
    pub fn since_us(self) -> i64 {
        match self {
            Self::OccurredSince(since_us) | Self::ReceivedSince(since_us) => since_us,
        }
    }
}

/// How far a follower has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// What comes next; none before anything was followed.
    pub position: Option<Position>,
    /// Events that were delivered, since the beginning.
    pub delivered: u64,
    /// Events that were refused for good, since the beginning.
    pub refused: u64,
    /// When something was last delivered.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Since when nothing can be delivered, and why; none if all is well.
    pub failing: Option<(DateTime<Utc>, String)>,
    /// Who follows.
    holder: Option<Uuid>,
    /// Until when nobody else may.
    held_until: Option<DateTime<Utc>>,
}

/// A cursor that its holder may move.
#[derive(Debug)]
pub struct HeldCursor {
    name: String,
    holder: Uuid,
    version: u64,
    held_for: TimeDelta,
    /// Where it stands.
    pub cursor: Cursor,
}

impl Lake {
    /// How far the follower of this name has come.
    pub async fn cursor(&self, name: &str) -> Result<Cursor> {
        Ok(self.newest_cursor(name).await?.1)
    }

    /// Takes a cursor, unless somebody else holds it.
    ///
    /// - `held_for`: for how long a holder that says nothing is waited for.
    pub async fn hold_cursor(&self, name: &str, now: DateTime<Utc>, held_for: TimeDelta) -> Result<Option<HeldCursor>> {
        let (version, cursor) = self.newest_cursor(name).await?;
        if cursor.held_until.is_some_and(|until| until > now) {
            return Ok(None);
        }
        let mut held = HeldCursor { name: name.to_owned(), holder: self.new_uuid(), version, held_for, cursor };
        Ok(self.move_cursor(&mut held, now).await?.then_some(held))
    }

    /// Writes where a cursor stands now. Returns whether it is still held: if not, somebody else follows.
    pub async fn move_cursor(&self, held: &mut HeldCursor, now: DateTime<Utc>) -> Result<bool> {
        held.cursor.holder = Some(held.holder);
        held.cursor.held_until = Some(now + held.held_for);
        self.write_cursor(held).await
    }

    /// Writes where a cursor stands, and lets others take it.
    pub async fn release_cursor(&self, mut held: HeldCursor) -> Result<()> {
        (held.cursor.holder, held.cursor.held_until) = (None, None);
        self.write_cursor(&mut held).await.map(drop)
    }

    /// Sets a cursor, whoever holds it: that follower finds out at its next move, and begins anew from here.
    pub async fn set_cursor(&self, name: &str, position: Option<Position>) -> Result<()> {
        loop {
            let (version, mut cursor) = self.newest_cursor(name).await?;
            cursor.position = position;
            cursor.failing = None;
            (cursor.holder, cursor.held_until) = (None, None);
            let mut held = HeldCursor {
                name: name.to_owned(),
                holder: self.new_uuid(),
                version,
                held_for: TimeDelta::zero(),
                cursor,
            };
            if self.write_cursor(&mut held).await? {
                return Ok(());
            }
        }
    }

    /// Forgets a cursor.
    pub async fn delete_cursor(&self, name: &str) -> Result<()> {
        let objects = self.list(&format!("{CURSORS_DIR}/{name}")).await?;
        self.delete(objects.into_iter().map(|object| (object.location, object.size)).collect()).await.map(drop)
    }

    async fn newest_cursor(&self, name: &str) -> Result<(u64, Cursor)> {
        // What is listed may be deleted before it is read, if its follower moves on.
        for _ in 0..10 {
            let versions = self.list(&format!("{CURSORS_DIR}/{name}")).await?;
            let newest =
                versions.iter().filter_map(|object| Some((version_of(&object.location)?, &object.location))).max();
            let Some((version, path)) = newest else { return Ok((0, Cursor::default())) };
            let read = async { self.store().get(path).await?.bytes().await };
            match read.await {
                Ok(bytes) => {
                    let cursor =
                        serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(path.to_string(), error))?;
                    return Ok((version, cursor));
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::store(format!("read {path}"), error)),
            }
        }
        Err(LakeError::unavailable(format!("read {CURSORS_DIR}/{name}"), "it moved at every try"))
    }

    async fn write_cursor(&self, held: &mut HeldCursor) -> Result<bool> {
        let path = self.cursor_path(&held.name, held.version + 1);
        // Which of two equal cursors is whose tells the writer.
        let bytes = serde_json::to_vec(&held.cursor).expect("a cursor is plain data");
        match self.store().put_opts(&path, bytes.clone().into(), PutOptions::from(PutMode::Create)).await {
            Ok(_) => {}
            // The answer to an earlier try of the same put may have been lost.
            Err(error) => {
                let read = async { self.store().get(&path).await?.bytes().await };
                match read.await {
                    Ok(found) if found == bytes => {}
                    Ok(_) => return Ok(false),
                    Err(_) => return Err(LakeError::store(format!("write {path}"), error)),
                }
            }
        }
        held.version += 1;
        if held.version > 2 {
            // One that stays is in nobody's way.
            let _ = self.store().delete(&self.cursor_path(&held.name, held.version - 2)).await;
        }
        Ok(true)
    }

    fn cursor_path(&self, name: &str, version: u64) -> Path {
        self.path(&format!("{CURSORS_DIR}/{name}/{version:012}.json"))
    }
}

fn version_of(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD_FOR: TimeDelta = TimeDelta::seconds(30);

    #[tokio::test]
    async fn one_at_a_time_holds_a_cursor_and_the_other_begins_where_it_ended() {
        let lake = Lake::open("memory:///", []).unwrap();
        let now = DateTime::UNIX_EPOCH;
        let mut first = lake.hold_cursor("crm", now, HELD_FOR).await.unwrap().unwrap();
        assert!(lake.hold_cursor("crm", now, HELD_FOR).await.unwrap().is_none());
        for row in 0..5 {
            first.cursor.position = Some(Position { version: 7, row, ..Position::default() });
            assert!(lake.move_cursor(&mut first, now).await.unwrap());
        }
        // The first one sleeps for too long.
        let later = now + HELD_FOR;
        let second = lake.hold_cursor("crm", later, HELD_FOR).await.unwrap().unwrap();
        assert_eq!(second.cursor.position, Some(Position { version: 7, row: 4, ..Position::default() }));
        assert!(!lake.move_cursor(&mut first, later).await.unwrap(), "somebody else follows");
        lake.release_cursor(second).await.unwrap();
        assert!(lake.hold_cursor("crm", later, HELD_FOR).await.unwrap().is_some());
        assert!(lake.list(&format!("{CURSORS_DIR}/crm")).await.unwrap().len() <= 3);
    }

    #[tokio::test]
    async fn who_holds_a_cursor_that_is_set_loses_it() {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut held = lake.hold_cursor("crm", DateTime::UNIX_EPOCH, HELD_FOR).await.unwrap().unwrap();
        let there = Some(Position { scan: Some(Scan::OccurredSince(5)), ..Position::default() });
        lake.set_cursor("crm", there).await.unwrap();
        assert!(!lake.move_cursor(&mut held, DateTime::UNIX_EPOCH).await.unwrap());
        assert_eq!(lake.cursor("crm").await.unwrap().position, there);
        lake.delete_cursor("crm").await.unwrap();
        assert_eq!(lake.cursor("crm").await.unwrap(), Cursor::default());
    }
}
