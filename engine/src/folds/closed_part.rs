//! Sessions that began long ago, kept from run to run.
//!
//! A session depends on no event later than the cap after it begins. So the sessions that begin before a *horizon*, a cap
//! before the first date to which late events still come, change only if files of earlier dates do, or the rules of a site,
//! or who is who. What folds make of them is kept. Sessions that begin later are made anew at each run, of the files from
//! two caps before the horizon on.
//!
//! Whoever signs in joins their anonymous visits of any time. Every row of a fold is of one visitor, so the rows of visitors
//! of whom that is new are taken out, and made again of their events alone.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime};
use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;

use super::bounds::TimeBounds;
use super::gathering::OPEN_DAYS;
use super::hash::hash_of;
use super::kept_sessions::{KeptSessions, joined};
use super::memory::PieceKey;
use super::pass::{self, PassFold};
use super::piece::Piece;
use super::session_states::SessionStates;
use crate::error::Result;
use crate::session::View;
use crate::sessions::Stitching;

/// All is made again if who is who is new of more than one visitor in so many.
const JOINED_SHARE: usize = 8;

/// The column of a fold's rows that has the visitor: of sessions by their beginning it is the only set.
const VISITOR_SET: &str = "x0";

/// A fold of sessions.
pub(super) struct SessionFold<'a> {
    pub(super) pass: PassFold<'a>,
    pub(super) definition: String,
}

/// The rows of folds of sessions.
pub(super) struct MadeSessions {
    /// Those of each fold; its rows of several pieces are still to be merged.
    pub(super) pieces: Vec<Vec<Arc<Piece>>>,
    /// Files of earlier dates were not read, if that is so.
    pub(super) not_read_before: Option<NaiveDate>,
}

/// Which sessions are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Horizon {
    /// Sessions that begin before are.
    begin_us: i64,
    /// They are made of the files of earlier dates than this.
    files_until: NaiveDate,
    /// The others are made of the files from this date on.
    files_from: NaiveDate,
}

impl Horizon {
    /// `None` if nothing is closed.
    fn new(dates: &[NaiveDate], cap_us: i64) -> Option<Self> {
        let (oldest, newest) = (dates.iter().min()?, dates.iter().max()?);
        let files_until = newest.checked_sub_days(Days::new(OPEN_DAYS))?;
        let begin_us = start_us(files_until).checked_sub(cap_us)?;
        let files_from = DateTime::from_timestamp_micros(begin_us.checked_sub(cap_us.checked_mul(2)?)?)?.date_naive();
        (*oldest < files_from).then_some(Self { begin_us, files_until, files_from })
    }
}

fn start_us(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
}

fn time(us: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())))
}

/// The bounds of `started_at` among conditions, and the other conditions.
pub(super) fn begins_within(conditions: &[Expr]) -> (TimeBounds, Vec<Expr>) {
    TimeBounds::take_of("started_at", None, conditions.to_vec())
}

/// Makes the rows of folds of sessions. `None` if no session of the view is closed.
pub(super) async fn run(view: &View, folds: &[SessionFold<'_>]) -> Result<Option<MadeSessions>> {
    let Some((horizon, of)) = closed_in(view).await? else { return Ok(None) };
    let Some(identified) = view.sessions().known_identities() else { return Ok(None) };
    let stitching = &identified.stitching;
    let memory = view.engine().pieces();
    let states = SessionStates::new(view.engine(), of, &view.snapshot().events.files, horizon.files_until);
    let mut place = view.engine().closed_sessions().kept.lock().await;
    // Whatever fails leaves nothing that is half new.
    let mut kept = match place.take() {
        Some(kept) if kept.of == of => kept,
        outdated => {
            outdated.into_iter().for_each(|mut kept| kept.forget_others(memory, &[]));
            let known = states.read_base().await?;
            known.unwrap_or_else(|| KeptSessions::new(of, stitching.clone(), HashSet::new()))
        }
    };
    let keys: Vec<Option<PieceKey>> = folds.iter().map(|fold| fold.key(horizon)).collect();
    let mut closed: Vec<Option<Vec<Arc<Piece>>>> = Vec::new();
    for (fold, key) in folds.iter().zip(&keys) {
        let Some(key) = key else {
            closed.push(None);
            continue;
        };
        let in_memory = kept.pieces(memory, key);
        closed.push(match (in_memory, &kept.name_in_lake) {
            (None, Some(name)) => states.read(name, key, fold.pass.maker).await?.map(|piece| vec![piece]),
            (in_memory, _) => in_memory,
        });
    }
    follow(&mut kept, view, horizon, stitching, folds, &keys, &mut closed).await?;

    let missing: Vec<usize> =
        (0..folds.len()).filter(|fold| keys[*fold].is_some() && closed[*fold].is_none()).collect();
    let mut not_read_before = Some(horizon.files_from);
    if !missing.is_empty() {
        not_read_before = None;
        let is_first = missing.len() == keys.iter().flatten().count();
        let rows = view.sessions_of(None)?.filter(col("started_at").lt(time(horizon.begin_us)))?;
        let passes: Vec<PassFold<'_>> = missing.iter().map(|fold| folds[*fold].pass).collect();
        let made = pass::run(view, rows, &passes, Some(&mut kept.visitors)).await?;
        if is_first {
            kept.name_in_lake = states.write_base(&kept).await?;
        }
        for (fold, piece) in missing.into_iter().zip(made) {
            if let (Some(name), Some(key)) = (&kept.name_in_lake, &keys[fold]) {
                states.write_fold(name, key, &piece).await;
            }
            closed[fold] = Some(vec![piece]);
        }
    }
    for (key, pieces) in keys.iter().zip(&closed) {
        if let (Some(key), Some(pieces)) = (key, pieces) {
            kept.put(memory, *key, pieces);
        }
    }
    *place = Some(kept);
    drop(place);

    let rows = view.sessions_of(None)?.filter(col("started_at").gt_eq(time(horizon.begin_us)))?;
    let passes: Vec<PassFold<'_>> = folds.iter().map(|fold| fold.pass).collect();
    let open = pass::run(view, rows, &passes, None).await?;
    let pieces = closed.into_iter().zip(open);
    let pieces = pieces.map(|(closed, open)| closed.into_iter().flatten().chain([open]).collect()).collect();
    Ok(Some(MadeSessions { pieces, not_read_before }))
}

/// Which sessions of a view are closed, and a name for all that they are made of but for who is who.
async fn closed_in(view: &View) -> Result<Option<(Horizon, PieceKey)>> {
    let files = &view.snapshot().events.files;
    let dates: Option<Vec<NaiveDate>> = files.iter().map(|file| file.date).collect();
    let rules = view.sessions().rules().await?;
    let Some(horizon) = dates.and_then(|dates| Horizon::new(&dates, rules.cap_us_max())) else { return Ok(None) };
    if oldest_pending_us(view).await?.is_some_and(|oldest_us| oldest_us < start_us(horizon.files_until)) {
        return Ok(None);
    }
    let closed = files.iter().filter(|file| file.date.is_some_and(|date| date < horizon.files_until));
    let mut names: Vec<&str> = closed.map(|file| file.log_path.as_str()).collect();
    names.sort_unstable();
    let rules = rules.in_words();
    let of = [horizon.begin_us.to_string(), rules.len().to_string()];
    let of = of.iter().chain(&rules).map(String::as_str).chain(names);
    Ok(Some((horizon, hash_of(of))))
}

/// When the first pending event happened.
async fn oldest_pending_us(view: &View) -> Result<Option<i64>> {
    let context = view.engine().context_of(1);
    let Some(pending) = view.pending_events(&context)? else { return Ok(None) };
    let oldest = DataFrame::new(context.state(), pending).aggregate(vec![], vec![min(col("occurred_at"))])?;
    let batches = oldest.collect().await?;
    let times = batches.iter().map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>());
    Ok(times.flat_map(|times| times.iter().flatten().collect::<Vec<_>>()).min())
}

impl SessionFold<'_> {
    /// Names what the fold makes of closed sessions. `None` if it reads none.
    fn key(&self, horizon: Horizon) -> Option<PieceKey> {
        let (bounds, others) = begins_within(self.pass.bounds);
        if bounds.from_us.is_some_and(|from_us| from_us >= horizon.begin_us) {
            return None;
        }
        let until_us = bounds.until_us.filter(|until_us| *until_us < horizon.begin_us);
        let others = others.iter().map(Expr::to_string);
        let bounds = [format!("{:?}", bounds.from_us), format!("{until_us:?}")];
        Some(hash_of([self.definition.clone()].into_iter().chain(bounds).chain(others)))
    }
}

/// Makes the rows of visitors again of whom it is new who they are.
///
/// - `closed`: the rows of each fold, as far as they are known.
async fn follow(
    kept: &mut KeptSessions,
    view: &View,
    horizon: Horizon,
    stitching: &Arc<Stitching>,
    folds: &[SessionFold<'_>],
    keys: &[Option<PieceKey>],
    closed: &mut [Option<Vec<Arc<Piece>>>],
) -> Result<()> {
    let joined = joined(&kept.stitching.moved(stitching), &kept.visitors);
    kept.stitching = stitching.clone();
    if joined.is_empty() {
        return Ok(());
    }
    // What nobody asks for now is made anew when somebody does, and what the lake has is of others.
    kept.forget_others(view.engine().pieces(), keys);
    kept.name_in_lake = None;
    let known: Vec<usize> = (0..folds.len()).filter(|fold| closed[*fold].is_some()).collect();
    if joined.len() > kept.visitors.len() / JOINED_SHARE || known.is_empty() {
        closed.iter_mut().for_each(|pieces| *pieces = None);
        kept.visitors.clear();
        return Ok(());
    }
    kept.visitors.retain(|visitor| !joined.contains(visitor));
    let joined = Arc::new(joined);
    let rows = view.sessions_of(Some(joined.clone()))?.filter(col("started_at").lt(time(horizon.begin_us)))?;
    let passes: Vec<PassFold<'_>> = known.iter().map(|fold| folds[*fold].pass).collect();
    let made = pass::run(view, rows, &passes, Some(&mut kept.visitors)).await?;
    let context = view.engine().context_of(view.engine().threads());
    for (fold, again) in known.into_iter().zip(made) {
        let pieces = closed[fold].take().unwrap_or_default();
        let mut left = pieces.iter().map(|piece| without(piece, &joined)).collect::<Result<Vec<_>>>()?;
        // Those made again are few, and stay apart from the many that do not change.
        let few = left.split_off(1.min(left.len())).into_iter().chain([again]).collect::<Vec<_>>();
        left.push(folds[fold].pass.maker.merge(view.engine().pieces().room(), &context, &few).await?);
        closed[fold] = Some(left);
    }
    Ok(())
}

/// The rows of a piece that are of other visitors; the piece itself if that are all.
fn without(piece: &Arc<Piece>, visitors: &HashSet<i64>) -> Result<Arc<Piece>> {
    let rows = piece.all_rows()?;
    let of = rows[VISITOR_SET].as_primitive::<Int64Type>();
    let stays: BooleanArray = of.iter().map(|of| Some(of.is_none_or(|of| !visitors.contains(&of)))).collect();
    if stays.true_count() == stays.len() {
        return Ok(piece.clone());
    }
    let left = filter_record_batch(&rows, &stays).map_err(datafusion::error::DataFusionError::from)?;
    Ok(Piece::new(&piece.schema(), &[left])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_closed_a_cap_before_the_dates_to_which_late_events_come() {
        let date = |day: u32| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
        let day_us = 86_400_000_000;
        let horizon = Horizon::new(&[date(1), date(20), date(30)], day_us).unwrap();
        // Files before the 26th are whole, so sessions before the 25th are, and those from then on need no event before the 23rd.
        let expected = Horizon { begin_us: start_us(date(25)), files_until: date(26), files_from: date(23) };
        assert_eq!(horizon, expected);
        assert_eq!(Horizon::new(&[date(23), date(30)], day_us), None);
        assert_eq!(Horizon::new(&[], day_us), None);
    }
}
