//! Brings together the rows of a fold for a snapshot: from memory, from states in the lake, or from the events.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, Weekday};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt, stream};
use lake::{EVENTS, TableFile};

use super::aggregate::bounds::{Lies, TimeBounds};
use super::aggregate::making::PieceMaker;
use super::fold_use::FoldUse;
use super::hash::hash_of;
use super::rows::memory::{PieceKey, PieceMemory};
use super::rows::piece::Piece;
use crate::error::Result;
use crate::session::{Engine, View};
use crate::tables::files::Files;

/// Events come up to 72 hours late. Dates further back than this from the newest seldom change. Once their week is over they
/// are one piece with all others of their month.
pub(super) const OPEN_DAYS: u64 = 4;

/// Dates that become part of the piece of a month at once, at most: those of a week, and of the open days if the newest date
/// is days after the one before.
const CLOSING_DATES_MAX: usize = 12;

/// One fold over one snapshot.
pub(super) struct Gathering<'a> {
    pub(super) view: &'a View,
    pub(super) maker: PieceMaker<'a>,
    pub(super) bounds: TimeBounds,
}

impl Gathering<'_> {
    /// All pieces, and what they were made of. The rows of several pieces are still to be merged.
    pub(super) async fn pieces(&self) -> Result<(Vec<Arc<Piece>>, FoldUse)> {
        let mut used = FoldUse::default();
        let mut pieces = Vec::new();
        let (mut within, mut across): (BTreeMap<NaiveDate, Vec<&TableFile>>, Vec<&TableFile>) = Default::default();
        for file in &self.view.snapshot().events.files {
            match (self.bounds.place(file), file.date) {
                (Lies::Beyond, _) => continue,
                (Lies::Within, Some(date)) => within.entry(date).or_default().push(file),
                (Lies::Within | Lies::Across, _) => across.push(file),
            }
            used.files += 1;
        }
        if let Some(newest) = within.keys().next_back().copied() {
            let open = within.split_off(&closed_until(newest));
            let mut months: BTreeMap<(i32, u32), Vec<Vec<&TableFile>>> = BTreeMap::new();
            for (date, files) in within {
                months.entry((date.year(), date.month())).or_default().push(files);
            }
            for dates in months.values() {
                pieces.push(self.closed_piece(dates, &mut used).await?);
            }
            for files in open.values() {
                pieces.push(self.date_piece(files, &mut used).await?.0);
            }
        }
        if !across.is_empty() {
            pieces.push(self.cut_piece(&across, &mut used).await?);
        }
        pieces.extend(self.pending_piece(&mut used).await?);
        Ok((pieces, used))
    }

    fn engine(&self) -> &Engine {
        self.view.engine()
    }

    fn memory(&self) -> &PieceMemory {
        self.engine().pieces()
    }

    fn known(&self, key: &PieceKey) -> Option<Arc<Piece>> {
        self.memory().get(self.memory().run_of(self.view.pieces()), key)
    }

    fn keep(&self, key: PieceKey, piece: &Arc<Piece>) {
        self.memory().put(self.memory().run_of(self.view.pieces()), key, piece.clone());
    }

    fn key(&self, what: &str, bounds: TimeBounds, names: &[&str]) -> PieceKey {
        let mut names = names.to_vec();
        names.sort_unstable();
        let bounds = format!("{:?} {:?}", bounds.from_us, bounds.until_us);
        let definition = self.maker.definition.id.to_string();
        hash_of([&definition, what, &bounds].into_iter().chain(names))
    }

    /// The rows of some dates that seldom change, as one piece.
    ///
    /// - `dates`: the files of each, in order.
    async fn closed_piece(&self, dates: &[Vec<&TableFile>], used: &mut FoldUse) -> Result<Arc<Piece>> {
        // Most often there is one of all dates but the newest.
        let fewest = dates.len().saturating_sub(CLOSING_DATES_MAX).max(1);
        let known = (fewest..=dates.len()).rev().find_map(|count| {
            let key = self.closed_key(&dates[..count]);
            self.known(&key).map(|piece| (piece, count))
        });
        let (mut pieces, mut keys, mut known_dates) = (Vec::new(), Vec::new(), 0);
        if let Some((piece, count)) = known {
            used.known_files += dates[..count].iter().map(Vec::len).sum::<usize>();
            if count == dates.len() {
                return Ok(piece);
            }
            pieces.push(piece);
            known_dates = count;
        }
        for files in &dates[known_dates..] {
            let (piece, key) = self.date_piece(files, used).await?;
            pieces.push(piece);
            keys.push(key);
        }
        let piece = self.merge(&pieces).await?;
        self.keep(self.closed_key(dates), &piece);
        keys.iter().for_each(|key| self.memory().remove(key));
        Ok(piece)
    }

    fn closed_key(&self, dates: &[Vec<&TableFile>]) -> PieceKey {
        let names: Vec<&str> = dates.iter().flatten().map(|file| file.log_path.as_str()).collect();
        self.key("closed", TimeBounds::default(), &names)
    }

    /// The rows of the files of one date, none of them cut by a bound.
    async fn date_piece(&self, files: &[&TableFile], used: &mut FoldUse) -> Result<(Arc<Piece>, PieceKey)> {
        let names: Vec<&str> = files.iter().map(|file| file.log_path.as_str()).collect();
        let key = self.key("date", TimeBounds::default(), &names);
        if let Some(piece) = self.known(&key) {
            used.known_files += files.len();
            return Ok((piece, key));
        }
        let (large, small): (Vec<&TableFile>, Vec<&TableFile>) =
            files.iter().partition(|file| file.size_bytes >= self.engine().states().state_file_bytes_min);
        let threads = self.engine().threads();
        let large: Vec<_> = large.into_iter().map(|file| self.file_piece(file)).collect();
        let made: Vec<(Arc<Piece>, FoldUse)> = stream::iter(large).buffered(threads).try_collect().await?;
        let mut pieces = Vec::new();
        for (piece, of_file) in made {
            used.add(of_file);
            pieces.push(piece);
        }
        if !small.is_empty() {
            let names: Vec<&str> = small.iter().map(|file| file.log_path.as_str()).collect();
            let key = self.key("small", TimeBounds::default(), &names);
            pieces.push(match self.known(&key) {
                Some(piece) => {
                    used.known_files += small.len();
                    piece
                }
                None => {
                    let piece = self.of_files(&small, TimeBounds::default(), used).await?;
                    self.keep(key, &piece);
                    piece
                }
            });
        }
        let piece = self.merge(&pieces).await?;
        self.keep(key, &piece);
        Ok((piece, key))
    }

    /// The rows of one file: from memory, from its state, or from its events, and then they are kept.
    async fn file_piece(&self, file: &TableFile) -> Result<(Arc<Piece>, FoldUse)> {
        let known = FoldUse { known_files: 1, ..FoldUse::default() };
        let key = self.key("file", TimeBounds::default(), &[&file.log_path]);
        if let Some(piece) = self.known(&key) {
            return Ok((piece, known));
        }
        let lake = self.engine().lake();
        if let Some(batches) = lake.read_state(self.maker.definition.id, file).await?
            && let Some(batches) = in_types_of(self.maker.schema, batches)
        {
            let context = self.engine().context_of(1);
            return Ok((self.maker.of_made(self.memory().room(), &context, &batches)?, known));
        }
        let mut used = FoldUse::default();
        let piece = self.of_files(&[file], TimeBounds::default(), &mut used).await?;
        let bytes_max = (file.size_bytes as f64 * self.engine().states().state_share_max) as u64;
        // What does not fit into memory is larger than a state may be.
        let Some(rows) = piece.in_memory()? else {
            self.keep(key, &piece);
            return Ok((piece, used));
        };
        let rows = std::slice::from_ref(&rows);
        let kept = lake.write_state(self.maker.definition.id, file, self.maker.schema, rows, bytes_max).await;
        match kept {
            Ok(bytes) if bytes <= bytes_max => {}
            // It saves nothing in the lake. In memory it does as long as there is room.
            Ok(_) => self.keep(key, &piece),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(file = %file.path, error, "could not keep a state; it will be made again");
                self.keep(key, &piece);
            }
        }
        Ok((piece, used))
    }

    /// The rows of files that a bound cuts.
    async fn cut_piece(&self, files: &[&TableFile], used: &mut FoldUse) -> Result<Arc<Piece>> {
        let bounds = self.bounds.cutting(files);
        let names: Vec<&str> = files.iter().map(|file| file.log_path.as_str()).collect();
        let key = self.key("cut", bounds, &names);
        if let Some(piece) = self.known(&key) {
            used.known_files += files.len();
            return Ok(piece);
        }
        let piece = self.of_files(files, bounds, used).await?;
        self.keep(key, &piece);
        Ok(piece)
    }

    /// The rows of the pending events, made once for each view.
    async fn pending_piece(&self, used: &mut FoldUse) -> Result<Option<Arc<Piece>>> {
        let context = self.engine().context_of(1);
        let Some(events) = self.view.pending_events(&context)? else { return Ok(None) };
        let key = self.key("pending", self.bounds, &[]);
        let mut made = self.view.pieces().pending.lock().await;
        if let Some(piece) = made.get(&key) {
            return Ok(Some(piece.clone()));
        }
        let piece = self.maker.of_rows(self.memory().room(), &context, events, self.bounds.conditions()).await?;
        used.rows_read += self.view.pending_rows();
        made.insert(key, piece.clone());
        Ok(Some(piece))
    }

    pub(super) async fn of_files(
        &self,
        files: &[&TableFile],
        bounds: TimeBounds,
        used: &mut FoldUse,
    ) -> Result<Arc<Piece>> {
        // One file is read by one thread, in its order, beside others.
        let context = self.engine().context_of(if files.len() == 1 { 1 } else { self.engine().threads() });
        let chosen = Files::Chosen(files.iter().map(|file| (*file).clone()).collect());
        let events = context.read_table(Arc::new(self.engine().table_of(&EVENTS, chosen)))?.into_unoptimized_plan();
        used.rows_read += files.iter().map(|file| file.rows).sum::<u64>();
        self.maker.of_rows(self.memory().room(), &context, events, bounds.conditions()).await
    }

    async fn merge(&self, pieces: &[Arc<Piece>]) -> Result<Arc<Piece>> {
        self.maker.merge(self.memory().room(), &self.engine().context_of(self.engine().threads()), pieces).await
    }
}

/// The first date that is not closed, by the newest there is: the Monday of the week in which late events may still come. Pure.
fn closed_until(newest: NaiveDate) -> NaiveDate {
    let open_from = newest.checked_sub_days(Days::new(OPEN_DAYS)).unwrap_or(newest);
    open_from.week(Weekday::Mon).checked_first_day().unwrap_or(open_from)
}

/// Rows as they are in memory. `None` if they are of another kind.
pub(super) fn in_types_of(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Option<Vec<RecordBatch>> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let converted = batches.into_iter().map(|batch| {
        if batch.num_columns() != schema.fields().len() {
            return None;
        }
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| cast_with_options(column, field.data_type(), &options).ok());
        RecordBatch::try_new(schema.clone(), columns.collect::<Option<_>>()?).ok()
    });
    converted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_closed_by_weeks_once_no_late_event_can_come() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        // The 2nd of March 2026 is a Monday.
        for (newest, first_open) in [
            ("2026-03-06", "2026-03-02"),
            ("2026-03-12", "2026-03-02"),
            ("2026-03-13", "2026-03-09"),
            ("2026-03-19", "2026-03-09"),
            ("2026-01-04", "2025-12-29"),
        ] {
            assert_eq!(closed_until(date(newest)), date(first_open), "{newest}");
        }
        assert_eq!(closed_until(NaiveDate::MIN), NaiveDate::MIN);
    }
}
