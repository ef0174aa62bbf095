//! The last pass over a table that is made of runs of visitors, and the next at the cost of what is new.
//!
//! A row of such a table follows from the events of one visitor, from who is who, and from the rules of the site. So two views
//! differ in the rows of those visitors alone of whom an event came or went, or who are somebody else now. What a fold made of
//! their rows in the earlier view is subtracted, and what it makes of them in the later one is added.

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::HashSet;
use datafusion::logical_expr::Expr;
use datafusion::prelude::DataFrame;
use futures::TryStreamExt;
use lake::{EVENTS, TableFile};

use super::aggregate::bounds::{Lies, TimeBounds};
use super::aggregate::definition::VISITOR;
use super::aggregate::pass::{self, PassFold};
use super::aggregate::subtraction::subtract;
use super::fold::Fold;
use super::fold_use::FoldUse;
use super::rows::last_passes::{LastPass, Made};
use super::rows::memory::PieceKey;
use super::rows::piece::Piece;
use crate::error::Result;
use crate::session::{TABLES_BY_VISITOR, View};
use crate::sessions::{Kind, SessionSource, SessionTableProvider};
use crate::tables::files::Files;
use crate::tables::pending::PendingEvents;

/// All is made again if more than one event in so many came or went.
const CHANGED_SHARE: u64 = 4;

impl View {
    /// What a pass read; nothing if it read all events.
    pub(super) fn pass_used(&self, key: &PieceKey) -> FoldUse {
        let files = self.snapshot().events.files.len();
        let all =
            || FoldUse { files, rows_read: self.snapshot().events.rows() + self.pending_rows(), ..FoldUse::default() };
        self.pieces().passes.lock().get(key).copied().unwrap_or_else(all)
    }

    /// Makes what folds of tables over sessions need, in one pass over each table: of what is new since the last pass where
    /// that can be told, of all rows where it cannot.
    pub(super) async fn pass_over(self: &Arc<Self>, folds: &[&Fold]) -> Result<()> {
        if folds.is_empty() {
            return Ok(());
        }
        // Before the locks below, which the pieces of identities need, too.
        self.know_identities().await?;
        let mut passes = self.engine().last_passes().lock().await;
        for table in TABLES_BY_VISITOR {
            let mut made = self.pieces().made.lock().await;
            let mut keys = HashSet::new();
            let is_wanted = |fold: &&&Fold| fold.definition.table == table && !made.contains_key(&fold.pass_key());
            let wanted: Vec<&Fold> =
                folds.iter().filter(is_wanted).copied().filter(|fold| keys.insert(fold.pass_key())).collect();
            let (mut known, mut unknown): (Vec<Vec<&Fold>>, Vec<&Fold>) = (vec![vec![]; passes.of_views.len()], vec![]);
            for fold in wanted {
                match passes.of_views.iter().rposition(|last| last.folds.contains_key(&fold.kept_key())) {
                    Some(last) if fold.is_kept() => known[last].push(fold),
                    _ => unknown.push(fold),
                }
            }
            for (last, folds) in known.into_iter().enumerate().filter(|(_, folds)| !folds.is_empty()) {
                match self.follow(&passes.of_views[last], &folds).await? {
                    Some((pieces, used)) => {
                        self.pieces().passes.lock().extend(folds.iter().map(|fold| (fold.pass_key(), used)));
                        made.extend(folds.iter().map(|fold| fold.pass_key()).zip(pieces));
                    }
                    None => unknown.extend(folds),
                }
            }
            if !unknown.is_empty() {
                let pass: Vec<PassFold<'_>> = unknown.iter().map(|fold| fold.in_pass()).collect();
                let pieces = pass::run(self, rows_of(self.sessions(), self, table, None)?, &pass).await?;
                made.extend(unknown.iter().map(|fold| fold.pass_key()).zip(pieces));
            }
        }
        let made = self.pieces().made.lock().await;
        let folds = folds.iter().filter(|fold| fold.is_kept()).map(|fold| {
            let made = Made { piece: made[&fold.pass_key()].clone(), conditions: fold.others.clone() };
            (fold.kept_key(), made)
        });
        passes.keep(self.sessions(), folds.collect());
        Ok(())
    }

    /// The pieces of folds of one table from those of an earlier view; `None` if more is new than it is worth.
    async fn follow(&self, last: &LastPass, folds: &[&Fold]) -> Result<Option<(Vec<Arc<Piece>>, FoldUse)>> {
        let (before, now) = (&last.source, self.sessions());
        let made: Vec<&Made> = folds.iter().map(|fold| &last.folds[&fold.kept_key()]).collect();
        let rules = now.rules().await?;
        if before.rules().await?.in_words() != rules.in_words() {
            return Ok(None);
        }
        let moved = folds.iter().zip(&made).filter_map(|(fold, made)| earlier_end(&fold.others, &made.conditions));
        let Some((ids, used)) = self.ids_of_changes(before, moved.min()).await? else { return Ok(None) };
        let Some(visitors) = changed_visitors(&ids, before, now) else { return Ok(None) };
        if visitors.is_empty() {
            return Ok(Some((made.iter().map(|made| made.piece.clone()).collect(), used)));
        }
        let visitors = Some(Arc::new(visitors));
        let folds_before =
            folds.iter().zip(&made).map(|(fold, made)| PassFold { bounds: &made.conditions, ..fold.in_pass() });
        let folds_before: Vec<PassFold<'_>> = folds_before.collect();
        let folds_now: Vec<PassFold<'_>> = folds.iter().map(|fold| fold.in_pass()).collect();
        let table = folds[0].definition.table;
        let were = match pass::run(self, rows_of(before, self, table, visitors.clone())?, &folds_before).await {
            Ok(pieces) => pieces,
            // Its files may be gone.
            Err(error) => {
                tracing::debug!(%error, "an earlier view cannot be read any more; all is made again");
                return Ok(None);
            }
        };
        let are = pass::run(self, rows_of(now, self, table, visitors)?, &folds_now).await?;
        let mut pieces = Vec::new();
        for (((fold, made), were), are) in folds.iter().zip(made).zip(were).zip(are) {
            let Some(parts) = fold.subtractable() else { return Ok(None) };
            let more = [made.piece.clone(), are];
            let Some(piece) = subtract(self.engine(), fold.maker(), parts, &more, &[were]).await? else {
                tracing::error!(table, "what was made of visitors does not fit to their rows; it is made again");
                return Ok(None);
            };
            pieces.push(piece);
        }
        Ok(Some((pieces, used)))
    }

    /// The visitor ids of events that came or went since an earlier view, and of those that happened from `until_us` on, if that
    /// is where a bound of time was; with what was read. `None` if that are too many.
    async fn ids_of_changes(
        &self,
        before: &SessionSource,
        until_us: Option<i64>,
    ) -> Result<Option<(HashSet<i64>, FoldUse)>> {
        let now = self.sessions();
        let paths_before: HashSet<&str> = before.files().iter().map(|file| file.log_path.as_str()).collect();
        let paths_now: HashSet<&str> = now.files().iter().map(|file| file.log_path.as_str()).collect();
        let (same, gone): (Vec<&TableFile>, Vec<&TableFile>) =
            before.files().iter().partition(|file| paths_now.contains(file.log_path.as_str()));
        let came = now.files().iter().filter(|file| !paths_before.contains(file.log_path.as_str()));
        let changed: Vec<&TableFile> = gone.into_iter().chain(came).collect();
        let late = TimeBounds { from_us: until_us, until_us: None };
        let is_late = |file: &&&TableFile| until_us.is_some() && late.place(file) != Lies::Beyond;
        let late_files: Vec<&TableFile> = same.iter().filter(is_late).copied().collect();

        let pending = [before.pending().but_for(now.pending()), now.pending().but_for(before.pending())];
        let late_pending = until_us.map(|_| before.pending().clone());
        let rows = |files: &[&TableFile]| files.iter().map(|file| file.rows).sum::<u64>();
        let read = rows(&changed) + rows(&late_files) + pending.iter().map(|(_, rows)| rows).sum::<u64>();
        if read * CHANGED_SHARE > self.snapshot().events.rows() + self.pending_rows() {
            return Ok(None);
        }
        let used = FoldUse { files: now.files().len(), known_files: same.len(), rows_read: read, ..FoldUse::default() };
        let context = self.engine().context_of(1);
        let events = |files: Vec<&TableFile>| -> Result<DataFrame> {
            let files = files.into_iter().cloned().collect();
            Ok(context.read_table(Arc::new(self.engine().table_of(&EVENTS, Files::Chosen(files))))?)
        };
        let mut parts = vec![];
        if !changed.is_empty() {
            parts.push(events(changed)?);
        }
        let only_late = |events| late.conditions().into_iter().try_fold(events, DataFrame::filter);
        let of_pending = |pending: &PendingEvents| -> Result<DataFrame> {
            Ok(DataFrame::new(context.state(), pending.plan(&context, now.store())?))
        };
        if !late_files.is_empty() {
            parts.push(only_late(events(late_files)?)?);
        }
        for (pending, _) in pending.iter().filter(|(pending, _)| !pending.files.is_empty()) {
            parts.push(of_pending(pending)?);
        }
        if let Some(pending) = late_pending.filter(|pending| !pending.files.is_empty()) {
            parts.push(only_late(of_pending(&pending)?)?);
        }
        match ids_of(parts).await {
            Ok(ids) => Ok(Some((ids, used))),
            Err(error) => {
                tracing::debug!(%error, "an earlier view cannot be read any more; all is made again");
                Ok(None)
            }
        }
    }
}

/// The visitor ids of events.
async fn ids_of(events: Vec<DataFrame>) -> Result<HashSet<i64>> {
    let mut ids = HashSet::new();
    for events in events {
        let mut rows = events.select_columns(&[VISITOR])?.execute_stream().await?;
        while let Some(batch) = rows.try_next().await? {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten());
        }
    }
    Ok(ids)
}

/// The visitors whose rows may differ: those whose events came or went, as who they were and are, and everybody who is somebody
/// else now. `None` if it is not known who is who.
fn changed_visitors(ids: &HashSet<i64>, before: &SessionSource, now: &SessionSource) -> Option<HashSet<i64>> {
    let (before, now) = (before.known_identities()?, now.known_identities()?);
    let (before, now) = (&before.stitching, &now.stitching);
    let changed = ids.iter().flat_map(|id| [*id, before.visitor_of(*id, false), now.visitor_of(*id, false)]);
    Some(changed.chain(before.moved(now).into_iter().flatten()).collect())
}

/// The rows of a table over sessions of a view; of some visitors, if given.
fn rows_of(
    source: &Arc<SessionSource>,
    view: &View,
    table: &str,
    visitors: Option<Arc<HashSet<i64>>>,
) -> Result<DataFrame> {
    let mut kinds = [Kind::Sessions, Kind::VisitorDays, Kind::Visitors].into_iter();
    let kind = kinds.find(|kind| kind.name() == table).expect("it is one of the tables by visitor");
    let provider = SessionTableProvider::of_visitors(kind, source.clone(), visitors);
    Ok(view.engine().context().read_table(Arc::new(provider))?)
}

/// Where the bound of the times of sessions was or is, whichever is earlier, if it moved. Pure.
fn earlier_end(conditions: &[Expr], before: &[Expr]) -> Option<i64> {
    let [now, before] = [conditions, before].map(|conditions| TimeBounds::take_of_sessions(conditions).0.until_us);
    match (now, before) {
        (now, before) if now == before => None,
        (Some(now), Some(before)) => Some(now.min(before)),
        (now, before) => now.or(before),
    }
}
