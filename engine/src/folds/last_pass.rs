//! The last pass over a table that is made of runs of visitors, and the next at the cost of what is new.
//!
//! A row of such a table follows from the events of one visitor, from who is who, and from the rules of the site. So two views
//! differ in the rows of those visitors alone of whom an event came or went, or who are somebody else now. What a fold made of
//! their rows in the earlier view is subtracted, and what it makes of them in the later one is added.
//!
//! A session follows from events near to it. So of visitors who are who they were only sessions are looked at that begin
//! shortly before the first event that is new, and of a bound that moves those that begin between where it was and is.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::common::{HashMap, HashSet};
use datafusion::logical_expr::Expr;
use datafusion::prelude::DataFrame;
use futures::TryStreamExt;
use lake::{EVENTS, TableFile};

use super::aggregate::bounds::{Lies, TimeBounds};
use super::aggregate::definition::{Subtractable, VISITOR};
use super::aggregate::pass::{self, PassFold};
use super::aggregate::subtraction::{difference, has_negative, subtract};
use super::fold::Fold;
use super::fold_use::FoldUse;
use super::hash::hash_of;
use super::rows::last_passes::{LastPass, Made};
use super::rows::memory::PieceKey;
use super::rows::pass_rows::{Due, PassRows};
use super::rows::piece::Piece;
use crate::error::Result;
use crate::session::{TABLES_BY_VISITOR, View};
use crate::sessions::{Kind, SessionSource, SessionTableProvider};
use crate::tables::files::Files;
use crate::tables::pending::PendingEvents;

/// All is made again if more than one event in so many came or went.
const CHANGED_SHARE: u64 = 4;

/// How many times the cap a session begins before an event that it follows from, at most: one that has the event begins within
/// one, and the session before it says whether it was cut.
const CAPS_BEFORE: i64 = 2;

/// Visitors of whom events that are new happened so many times the cap before those of others are made again apart from them, so
/// that not everybody's sessions of all that time are.
const LATE_CAPS: i64 = 4;

/// The visitor ids of events that came or went between two views: with the time of the first, in microseconds since 1970.
type Changes = HashMap<i64, i64>;

/// The visitors whose rows may differ.
struct ChangedVisitors {
    /// Those of whom events came or went, and who are who they were: with the time of the first.
    by_events: HashMap<i64, i64>,
    /// Those who are somebody else now, or to whom others belong.
    by_identity: HashSet<i64>,
}

/// Some rows of a table.
#[derive(Clone, Default)]
struct Chosen {
    /// The visitors; all if not given.
    visitors: Option<Arc<HashSet<i64>>>,
    /// When their sessions begin.
    begin: TimeBounds,
}

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
        let is_made = {
            let made = self.pieces().made.lock().await;
            folds.iter().all(|fold| made.contains_key(&fold.pass_key()))
        };
        if is_made {
            return Ok(());
        }
        // Before the locks below, which the pieces of identities need, too.
        self.know_identities().await?;
        let mut passes = self.engine().last_passes().lock().await;
        let mut followed: HashSet<PieceKey> = HashSet::new();
        for table in TABLES_BY_VISITOR {
            let mut made = self.pieces().made.lock().await;
            let mut keys = HashSet::new();
            let is_wanted = |fold: &&&Fold| fold.definition.table == table && !made.contains_key(&fold.pass_key());
            let wanted: Vec<&Fold> =
                folds.iter().filter(is_wanted).copied().filter(|fold| keys.insert(fold.pass_key())).collect();
            let (known, mut unknown) = known_of(&passes.of_views, wanted);
            for KnownFolds { last, folds, .. } in known {
                match self.follow(&last.source, &folds).await? {
                    Some((rows, used)) => {
                        let keys = || folds.iter().map(|(fold, _)| fold.pass_key());
                        self.pieces().passes.lock().extend(keys().map(|key| (key, used)));
                        made.extend(keys().zip(rows));
                        followed.extend(folds.iter().map(|(_, made)| made.key));
                    }
                    None => unknown.extend(folds.into_iter().map(|(fold, _)| fold)),
                }
            }
            if !unknown.is_empty() {
                let pass: Vec<PassFold<'_>> = unknown.iter().map(|fold| fold.in_pass()).collect();
                let rows = rows_of(self.sessions(), self, table, &Chosen::default())?;
                let rows = pass::run(self, rows, &pass).await?.into_iter().map(PassRows::of);
                made.extend(unknown.iter().map(|fold| fold.pass_key()).zip(rows));
            }
        }
        let made = self.pieces().made.lock().await;
        let folds = folds.iter().filter(|fold| fold.is_kept()).map(|fold| {
            let (key, anytime_key) = (fold.kept_key(), fold.anytime_key());
            let rows = made[&fold.pass_key()].clone();
            (key, Made { key, anytime_key, rows, conditions: fold.others.clone() })
        });
        let folds: HashMap<PieceKey, Made> = folds.collect();
        let known_before = passes.keys();
        passes.keep(self.sessions(), folds, &followed);
        // So that all of it moves to disk where memory ends. The same queries run over each lake.
        let store = self.engine().lake().store_url();
        let in_memory = |key: &PieceKey| hash_of([store.as_str(), &format!("pass {key:?}")]);
        let memory = self.engine().pieces();
        let run = memory.run_of(self.pieces());
        let known = passes.keys();
        known_before.difference(&known).for_each(|key| memory.remove(&in_memory(key)));
        for (key, made) in passes.of_views.iter().flat_map(|last| &last.folds) {
            memory.put_pass(run, in_memory(key), made.rows.clone());
        }
        Ok(())
    }

    /// The rows of folds of one table from those of an earlier view; `None` if more is new than it is worth.
    async fn follow(
        &self,
        before: &Arc<SessionSource>,
        known: &[(&Fold, &Made)],
    ) -> Result<Option<(Vec<PassRows>, FoldUse)>> {
        let now = self.sessions();
        let rules = now.rules().await?;
        if before.rules().await?.in_words() != rules.in_words() {
            return Ok(None);
        }
        let moved = known.iter().filter_map(|(fold, made)| earlier_end(&fold.others, &made.conditions));
        let Some((changes, used)) = self.changes_since(before, moved.min()).await? else { return Ok(None) };
        let Some(visitors) = changed_visitors(&changes, before, now) else { return Ok(None) };
        let mut followed = Vec::new();
        for (fold, made) in known {
            let Some(parts) = fold.subtractable() else { return Ok(None) };
            followed.push(Followed { fold, made, parts, were: vec![], are: vec![] });
        }
        let (windowed, whole): (Vec<usize>, Vec<usize>) =
            (0..followed.len()).partition(|place| followed[*place].fold.is_windowed());
        let all = visitors.by_events.keys().chain(&visitors.by_identity).copied().collect();
        let cap_us = rules.cap_us_max();
        let by_events = divide(&visitors.by_events, cap_us.saturating_mul(LATE_CAPS)).into_iter();
        let by_events = by_events.map(|(visitors, first_us)| {
            let near_us = first_us.saturating_sub(cap_us.saturating_mul(CAPS_BEFORE));
            (&windowed, visitors, TimeBounds { from_us: Some(near_us), until_us: None })
        });
        let others = [(&windowed, visitors.by_identity, TimeBounds::default()), (&whole, all, TimeBounds::default())];
        for (places, visitors, begin) in by_events.chain(others) {
            let chosen = Chosen { visitors: Some(Arc::new(visitors)), begin };
            if !places.is_empty() && !self.pass_twice(before, &mut followed, places, &chosen).await? {
                return Ok(None);
            }
        }
        if !self.pass_over_left_behind(before, &mut followed).await? {
            return Ok(None);
        }
        let mut rows = Vec::new();
        for followed in followed {
            let Some(of_fold) = followed.rows(self).await? else {
                let table = followed.fold.definition.table;
                tracing::error!(table, "what was made of visitors does not fit to their rows; it is made again");
                return Ok(None);
            };
            rows.push(of_fold);
        }
        Ok(Some((rows, used)))
    }

    /// Makes what folds made of some rows before, and what they make of them now. Says whether the earlier view can be read.
    ///
    /// - `places`: of the folds.
    async fn pass_twice(
        &self,
        before: &Arc<SessionSource>,
        followed: &mut [Followed<'_>],
        places: &[usize],
        chosen: &Chosen,
    ) -> Result<bool> {
        if chosen.visitors.as_ref().is_some_and(|visitors| visitors.is_empty()) {
            return Ok(true);
        }
        let bounds: Vec<Vec<Expr>> = places.iter().map(|place| followed[*place].bounds_before()).collect();
        let folds_before = places.iter().zip(&bounds);
        let folds_before = folds_before.map(|(place, bounds)| PassFold { bounds, ..followed[*place].fold.in_pass() });
        let folds_before: Vec<PassFold<'_>> = folds_before.collect();
        let table = followed[places[0]].fold.definition.table;
        let Some(were) = self.pass_before(rows_of(before, self, table, chosen)?, &folds_before).await? else {
            return Ok(false);
        };
        let folds_now: Vec<PassFold<'_>> = places.iter().map(|place| followed[*place].fold.in_pass()).collect();
        let are = pass::run(self, rows_of(self.sessions(), self, table, chosen)?, &folds_now).await?;
        for (place, (were, are)) in places.iter().zip(were.into_iter().zip(are)) {
            followed[*place].were.extend(were);
            followed[*place].are.extend(are);
        }
        Ok(true)
    }

    /// Makes what folds made of all sessions that begin before their lower bound now and did not before. Says whether the
    /// earlier view can be read.
    async fn pass_over_left_behind(&self, before: &Arc<SessionSource>, followed: &mut [Followed<'_>]) -> Result<bool> {
        let ranges: BTreeSet<(i64, i64)> = followed.iter().filter_map(Followed::left_behind).collect();
        for (from_us, until_us) in ranges {
            let places: Vec<usize> = (0..followed.len())
                .filter(|place| followed[*place].left_behind() == Some((from_us, until_us)))
                .collect();
            let begin = TimeBounds { from_us: Some(from_us), until_us: Some(until_us) };
            let folds = places
                .iter()
                .map(|place| PassFold { bounds: &followed[*place].made.conditions, ..followed[*place].fold.in_pass() });
            let folds: Vec<PassFold<'_>> = folds.collect();
            let table = followed[places[0]].fold.definition.table;
            let rows = rows_of(before, self, table, &Chosen { visitors: None, begin })?;
            let Some(were) = self.pass_before(rows, &folds).await? else { return Ok(false) };
            places.iter().zip(were).for_each(|(place, were)| followed[*place].were.extend(were));
        }
        Ok(true)
    }

    /// A pass over rows of an earlier view; `None` if its files are gone.
    async fn pass_before(&self, rows: DataFrame, folds: &[PassFold<'_>]) -> Result<Option<Vec<Vec<Arc<Piece>>>>> {
        match pass::run(self, rows, folds).await {
            Ok(pieces) => Ok(Some(pieces)),
            Err(error) => {
                tracing::debug!(%error, "an earlier view cannot be read any more; all is made again");
                Ok(None)
            }
        }
    }

    /// The events that came or went since an earlier view, and those that happened from `until_us` on, if that is where a bound
    /// of time was; with what was read. `None` if that are too many.
    async fn changes_since(&self, before: &SessionSource, until_us: Option<i64>) -> Result<Option<(Changes, FoldUse)>> {
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
        match changes_of(parts).await {
            Ok(changes) => Ok(Some((changes, used))),
            Err(error) => {
                tracing::debug!(%error, "an earlier view cannot be read any more; all is made again");
                Ok(None)
            }
        }
    }
}

/// What a fold made before, and how it changes.
struct Followed<'a> {
    fold: &'a Fold,
    made: &'a Made,
    parts: &'a Subtractable,
    /// What it made of rows that may be others now.
    were: Vec<Arc<Piece>>,
    /// What it makes of them.
    are: Vec<Arc<Piece>>,
}

impl Followed<'_> {
    /// When the sessions begin that the fold had and has not any more, because its lower bound is later.
    fn left_behind(&self) -> Option<(i64, i64)> {
        let [now, before] = [&self.fold.others, &self.made.conditions].map(|conditions| lower_bound(conditions));
        before.zip(now).filter(|(before, now)| before < now)
    }

    /// The conditions of the rows that it made before, but for those that are left behind.
    fn bounds_before(&self) -> Vec<Expr> {
        let of_now = TimeBounds { from_us: lower_bound(&self.fold.others), until_us: None };
        self.made.conditions.iter().cloned().chain(of_now.conditions_of_sessions()).collect()
    }

    /// Its rows now. `None` if there are less than none of a group.
    async fn rows(&self, view: &View) -> Result<Option<PassRows>> {
        let (engine, maker) = (view.engine(), self.fold.maker());
        let has_rows = |pieces: &[Arc<Piece>]| pieces.iter().any(|piece| piece.row_count() > 0);
        if !has_rows(&self.were) && !has_rows(&self.are) {
            return Ok(Some(self.made.rows.clone()));
        }
        if !self.fold.definition.is_signed() {
            let pieces = [self.made.rows.pieces(), self.are.clone()].concat();
            let rows = subtract(engine, maker, self.parts, &pieces, &self.were).await?;
            return Ok(rows.map(|rows| PassRows::of(vec![rows])));
        }
        let mut rows = self.made.rows.clone();
        let context = engine.context_of(engine.threads());
        match rows.due() {
            Due::Nothing => {}
            Due::All => {
                let merged = maker.merge(engine.pieces().room(), &context, &rows.pieces()).await?;
                if has_negative(&merged, self.parts)? {
                    return Ok(None);
                }
                rows = PassRows::of(vec![merged]);
            }
            Due::ChangesFrom(from) => {
                let merged = maker.merge(engine.pieces().room(), &context, &rows.changes[from..]).await?;
                rows.changes.truncate(from);
                rows.changes.push(merged);
            }
        }
        let change = difference(engine, maker, self.parts, &self.are, &self.were).await?;
        if change.row_count() > 0 {
            rows.changes.push(change);
        }
        Ok(Some(rows))
    }
}

/// Folds with what their rows can be made of.
struct KnownFolds<'a> {
    /// The pass over an earlier view.
    last: &'a LastPass,
    /// Where the upper bound was, if that is long ago.
    far_end_us: Option<i64>,
    folds: Vec<(&'a Fold, &'a Made)>,
}

/// The folds of which an earlier view tells most, by views, and the others. Those whose upper bound moves far are apart from the
/// rest: all visitors since then have rows that are new to them.
fn known_of<'a>(views: &'a [LastPass], folds: Vec<&'a Fold>) -> (Vec<KnownFolds<'a>>, Vec<&'a Fold>) {
    let mut known: Vec<KnownFolds<'_>> = Vec::new();
    let mut unknown = Vec::new();
    let found: Vec<_> = folds.into_iter().map(|fold| (fold, followed_by(views, fold))).collect();
    let end_us = |fold: &Fold, made: &Made| earlier_end(&fold.others, &made.conditions);
    let ends = found.iter().filter_map(|(fold, found)| end_us(fold, found.as_ref()?.1));
    let far_us = ends.max().map(|last_us| last_us.saturating_sub(DAY_US));
    for (fold, found) in found {
        let Some((last, made)) = found.filter(|_| fold.is_kept()) else {
            unknown.push(fold);
            continue;
        };
        let far_end_us = end_us(fold, made).filter(|end_us| far_us.is_some_and(|far_us| *end_us < far_us));
        match known.iter_mut().find(|of| std::ptr::eq(of.last, last) && of.far_end_us == far_end_us) {
            Some(of) => of.folds.push((fold, made)),
            None => known.push(KnownFolds { last, far_end_us, folds: vec![(fold, made)] }),
        }
    }
    (known, unknown)
}

/// What the rows of a fold can be made of, from a pass over an earlier view: what it made then, with the same lower bound or
/// with the latest one before that.
fn followed_by<'a>(views: &'a [LastPass], fold: &Fold) -> Option<(&'a LastPass, &'a Made)> {
    let is_there = |made: &&Made| !made.rows.are_lost();
    let (key, anytime_key) = (fold.kept_key(), fold.anytime_key());
    let same = views.iter().rev().filter_map(|last| Some((last, last.folds.get(&key).filter(is_there)?)));
    if let Some(same) = { same }.next() {
        return Some(same);
    }
    let from_us = lower_bound(&fold.others).filter(|_| fold.is_windowed())?;
    let alike = views.iter().flat_map(|last| last.folds.values().map(move |made| (last, made)));
    let alike = alike.filter(|(_, made)| made.anytime_key == anytime_key && is_there(made));
    let before = alike.filter_map(|(last, made)| {
        let bounds = TimeBounds::take_of_sessions(&made.conditions).0;
        let (before_us, until_us) = (bounds.from_us?, bounds.until_us.unwrap_or(i64::MAX));
        // Without a session in common all is new.
        (before_us < from_us && from_us < until_us).then_some((before_us, last, made))
    });
    before.max_by_key(|(before_us, ..)| *before_us).map(|(_, last, made)| (last, made))
}

/// Visitors whose first new event happened lately, and those of whom it did long before, each with the first of all.
///
/// - `late_us`: how long before the last that is.
fn divide(first_us: &HashMap<i64, i64>, late_us: i64) -> Vec<(HashSet<i64>, i64)> {
    let last_us = first_us.values().copied().max().unwrap_or(i64::MIN);
    let is_late = |us: i64| us < last_us.saturating_sub(late_us);
    let parts = [false, true].into_iter().filter_map(|late| {
        let part = || first_us.iter().filter(move |(_, us)| is_late(**us) == late);
        let first_us = part().map(|(_, us)| *us).min()?;
        Some((part().map(|(visitor, _)| *visitor).collect(), first_us))
    });
    parts.collect()
}

/// When the sessions begin that conditions choose, in microseconds since 1970.
fn lower_bound(conditions: &[Expr]) -> Option<i64> {
    TimeBounds::take_of_sessions(conditions).0.from_us
}

const DAY_US: i64 = 86_400_000_000;

/// Whose events they are, and when the first of them happened.
async fn changes_of(events: Vec<DataFrame>) -> Result<Changes> {
    let mut changes = Changes::new();
    for events in events {
        let mut rows = events.select_columns(&[VISITOR, "occurred_at"])?.execute_stream().await?;
        while let Some(batch) = rows.try_next().await? {
            let times = batch["occurred_at"].as_primitive::<TimestampMicrosecondType>().values();
            let ids = batch[VISITOR].as_primitive::<Int64Type>().iter();
            for (id, us) in ids.zip(times) {
                let Some(id) = id else { continue };
                changes.entry(id).and_modify(|first_us| *first_us = *us.min(first_us)).or_insert(*us);
            }
        }
    }
    Ok(changes)
}

/// The visitors whose rows may differ: those whose events came or went, as who they were and are, and everybody who is somebody
/// else now. `None` if it is not known who is who.
fn changed_visitors(changes: &Changes, before: &SessionSource, now: &SessionSource) -> Option<ChangedVisitors> {
    let (before, now) = (before.known_identities()?, now.known_identities()?);
    let (before, now) = (&before.stitching, &now.stitching);
    let by_identity: HashSet<i64> = before.moved(now).into_iter().flatten().collect();
    let mut by_events: HashMap<i64, i64> = HashMap::new();
    for (id, us) in changes {
        for visitor in [*id, before.visitor_of(*id, false), now.visitor_of(*id, false)] {
            if !by_identity.contains(&visitor) {
                by_events.entry(visitor).and_modify(|first_us| *first_us = *us.min(first_us)).or_insert(*us);
            }
        }
    }
    Some(ChangedVisitors { by_events, by_identity })
}

/// Rows of a table over sessions of a view.
fn rows_of(source: &Arc<SessionSource>, view: &View, table: &str, chosen: &Chosen) -> Result<DataFrame> {
    let mut kinds = [Kind::Sessions, Kind::VisitorDays, Kind::Visitors].into_iter();
    let kind = kinds.find(|kind| kind.name() == table).expect("it is one of the tables by visitor");
    let provider = SessionTableProvider::of_visitors(kind, source.clone(), chosen.visitors.clone());
    let rows = view.engine().context().read_table(Arc::new(provider))?;
    Ok(chosen.begin.conditions_of_sessions().into_iter().try_fold(rows, DataFrame::filter)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_of_whom_events_come_late_are_by_themselves() {
        let check = |first_us: &[(i64, i64)], expected: &[(&[i64], i64)]| {
            let expected: Vec<(HashSet<i64>, i64)> =
                expected.iter().map(|(visitors, us)| (visitors.iter().copied().collect(), *us)).collect();
            assert_eq!(divide(&first_us.iter().copied().collect(), 10), expected, "{first_us:?}");
        };
        check(&[], &[]);
        check(&[(1, 5)], &[(&[1], 5)]);
        check(&[(1, 5), (2, 15), (3, 9)], &[(&[1, 2, 3], 5)]);
        check(&[(1, 4), (2, 15), (3, 5), (4, -90)], &[(&[2, 3], 5), (&[1, 4], -90)]);
        check(&[(1, i64::MIN), (2, i64::MAX)], &[(&[2], i64::MAX), (&[1], i64::MIN)]);
    }
}
