//! Where sessions that are longer than their cap are cut.
//!
//! The first session of a chain of events begins with it; each other begins with the first event that comes no earlier than
//! the cap after the beginning of the one before. Runs do not tell which event that is. Such chains are rare, so only their
//! events are read again: first their times, which tell where the chain is cut, then the events, whose runs end there.
//!
//! A chain that goes on for all of a window has begun before it. Of its visitor the times of all events are read, and nothing
//! else of those before the window: a session of it begins within the window, whose events tell the rest.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::common::{HashMap, HashSet};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::sessions::identities::Stitching;
use crate::sessions::making::window::Window;
use crate::sessions::rows::{Rows, text_of};
use crate::sessions::rules::{Rules, SiteRules};
use crate::sessions::source::Inputs;
use crate::sessions::wanted::Wanted;

/// A chain of events that is longer than its site's cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LongChain {
    /// Whose it is, after stitching.
    pub(crate) visitor: i64,
    /// The client's id of its sessions, if it has one.
    pub(crate) session_id: Option<Arc<str>>,
    /// The time of its first event.
    pub(crate) start_us: i64,
    /// The time of its last event.
    pub(crate) end_us: i64,
    pub(crate) cap_us: i64,
    /// When its sessions begin, the first aside; in order.
    cuts_us: Vec<i64>,
}

impl LongChain {
    /// A chain of which it is not known yet where it is cut.
    pub(crate) fn new(visitor: i64, session_id: Option<Arc<str>>, (start_us, end_us): (i64, i64), cap_us: i64) -> Self {
        Self { visitor, session_id, start_us, end_us, cap_us, cuts_us: vec![] }
    }

    fn has(&self, session_id: Option<&str>, at_us: i64) -> bool {
        self.session_id.as_deref() == session_id && (self.start_us..=self.end_us).contains(&at_us)
    }
}

/// The long chains of visitors, by the visitor ids of their events.
#[derive(Clone, Debug, Default)]
pub(crate) struct LongChains {
    chains: Vec<LongChain>,
    by_visitor: HashMap<i64, Vec<usize>>,
}

impl LongChains {
    /// Adds a chain.
    ///
    /// - `visitor_ids`: those of its events, and maybe others.
    pub(crate) fn add(&mut self, chain: LongChain, visitor_ids: &HashSet<i64>) {
        for id in visitor_ids {
            self.by_visitor.entry(*id).or_default().push(self.chains.len());
        }
        self.chains.push(chain);
    }

    fn of(&self, visitor: i64) -> impl Iterator<Item = usize> {
        self.by_visitor.get(&visitor).into_iter().flatten().copied()
    }

    /// When the next session begins in a chain that has an event at `at_us`: [`i64::MAX`] if none does.
    pub(crate) fn next_cut_us(&self, visitor: i64, session_id: Option<&str>, at_us: i64) -> i64 {
        let chains = self.of(visitor).map(|chain| &self.chains[chain]).filter(|chain| chain.has(session_id, at_us));
        let cuts = chains.filter_map(|chain| {
            let next = chain.cuts_us.partition_point(|cut_us| *cut_us <= at_us);
            chain.cuts_us.get(next).copied()
        });
        // Of two users with the same anonymous id: a run may always end earlier than it must.
        cuts.min().unwrap_or(i64::MAX)
    }

    /// Finds out where the chains are cut.
    ///
    /// - `inputs`: events, all those of the chains among them.
    /// - `wanted`: what was read of them.
    pub(crate) async fn find(
        &mut self,
        inputs: &Inputs,
        wanted: &Arc<Wanted>,
        stitching: &Arc<Stitching>,
        context: &Arc<TaskContext>,
    ) -> Result<()> {
        let chains = Arc::new(self.clone());
        let mut readers = JoinSet::new();
        for input in inputs {
            for partition in 0..input.output_partitioning().partition_count() {
                let events = input.execute(partition, context.clone())?;
                readers.spawn(times_of(chains.clone(), events, wanted.clone(), stitching.clone()));
            }
        }
        let mut times: Vec<Vec<i64>> = vec![vec![]; self.chains.len()];
        while let Some(found) = readers.join_next().await {
            let found =
                found.map_err(|error| DataFusionError::Internal(format!("a reader of events stopped: {error}")))?;
            times.iter_mut().zip(found?).for_each(|(times, mut found)| times.append(&mut found));
        }
        for (chain, times) in self.chains.iter_mut().zip(times) {
            chain.cuts_us = cuts_of(times, chain.cap_us);
        }
        Ok(())
    }
}

/// The client's session id, or none.
type SessionId = Option<Arc<str>>;

/// What began before a window, of visitors of whom it is known when all their events happened.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// Their chains that are cut.
    pub(crate) long: Arc<LongChains>,
    /// Of a visitor's chains that go on into the window: when the last session begins before those that are wanted, or the first
    /// of these; or when the chain is over, if it has none.
    starts_us: HashMap<i64, Vec<(SessionId, i64)>>,
}

/// Times of events by visitor, after stitching, and session id, with the site.
type Times = HashMap<(i64, SessionId), (Arc<str>, Vec<i64>)>;

impl Begun {
    /// The time from which a visitor's events with a session id count: with it a session begins. `None` if all of them do.
    pub(crate) fn start_us(&self, visitor: i64, session_id: Option<&str>) -> Option<i64> {
        let mut starts = self.starts_us.get(&visitor)?.iter();
        starts.find(|(id, _)| id.as_deref() == session_id).map(|(_, start_us)| *start_us)
    }

    /// Finds out when sessions of visitors begin.
    ///
    /// - `inputs`: all their events, and maybe others.
    /// - `wanted`: what is read of them, session ids among it.
    pub(crate) async fn find(
        inputs: &Inputs,
        wanted: &Arc<Wanted>,
        visitors: &Arc<HashSet<i64>>,
        stitching: &Arc<Stitching>,
        rules: &Rules,
        window: Window,
        context: &Arc<TaskContext>,
    ) -> Result<Self> {
        let mut readers = JoinSet::new();
        for input in inputs {
            for partition in 0..input.output_partitioning().partition_count() {
                let events = input.execute(partition, context.clone())?;
                readers.spawn(times_of_visitors(visitors.clone(), events, wanted.clone(), stitching.clone()));
            }
        }
        let mut times = Times::default();
        while let Some(found) = readers.join_next().await {
            let found =
                found.map_err(|error| DataFusionError::Internal(format!("a reader of events stopped: {error}")))?;
            for (of, (site, mut found)) in found? {
                times.entry(of).or_insert_with(|| (site, vec![])).1.append(&mut found);
            }
        }
        let (mut long, mut begun) = (LongChains::default(), Self::default());
        let mut ids: HashMap<i64, HashSet<i64>> = HashMap::new();
        for ((visitor, session_id), (site, times_us)) in times {
            let rules = rules.of_site(&site);
            let (chains, start_us) = chains_of(times_us, session_id.is_some(), rules, window);
            for CutTimes { ends_us, cuts_us } in chains {
                let chain = LongChain::new(visitor, session_id.clone(), ends_us, rules.cap_us);
                let ids = ids.entry(visitor).or_insert_with(|| stitching.ids_of(&HashSet::from([visitor])));
                long.add(LongChain { cuts_us, ..chain }, ids);
            }
            if let Some(start_us) = start_us {
                begun.starts_us.entry(visitor).or_default().push((session_id, start_us));
            }
        }
        begun.long = Arc::new(long);
        Ok(begun)
    }
}

/// Times of a chain that is cut.
#[derive(Debug, PartialEq, Eq)]
struct CutTimes {
    /// Of its first and its last event.
    ends_us: (i64, i64),
    /// When its sessions begin, the first aside; in order.
    cuts_us: Vec<i64>,
}

/// The chains in the window that are cut; and of the one that goes on into it the last beginning of a session before those that
/// are wanted, or the first of them, or the first instant after it if it has none. Pure.
fn chains_of(
    mut times_us: Vec<i64>,
    is_client: bool,
    rules: &SiteRules,
    window: Window,
) -> (Vec<CutTimes>, Option<i64>) {
    times_us.sort_unstable();
    let (mut cut, mut start) = (Vec::new(), None);
    for Range { start: first, end } in parts_of(&times_us, rules.bridged_us(is_client)) {
        let chain = &times_us[first..end];
        let (start_us, end_us) = (chain[0], chain[chain.len() - 1]);
        if end_us < window.events_from_us {
            continue;
        }
        let goes_on = start_us < window.events_from_us;
        if goes_on && end_us < window.sessions_from_us {
            start = Some(end_us + 1);
            continue;
        }
        if end_us - start_us < rules.cap_us {
            continue;
        }
        let cuts_us = cuts_of(chain.to_vec(), rules.cap_us);
        if goes_on {
            // There is one: a window before sessions is twice as long as the cap, and no session begins as much after another.
            start = cuts_us.iter().copied().rfind(|cut_us| *cut_us <= window.sessions_from_us);
        }
        cut.push(CutTimes { ends_us: (start_us, end_us), cuts_us });
    }
    (cut, start)
}

/// The places of each chain's times, which are in order.
fn parts_of(times_us: &[i64], bridged_us: i64) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut first = 0;
    for chain in times_us.chunk_by(|one, next| next.saturating_sub(*one) <= bridged_us) {
        parts.push(first..first + chain.len());
        first += chain.len();
    }
    parts
}

/// The times of visitors' events in one input.
async fn times_of_visitors(
    visitors: Arc<HashSet<i64>>,
    mut events: SendableRecordBatchStream,
    wanted: Arc<Wanted>,
    stitching: Arc<Stitching>,
) -> Result<Times> {
    let mut times = Times::default();
    // Nearly always those of the event before.
    let (mut of, mut found): ((i64, SessionId), Vec<i64>) = ((0, None), vec![]);
    let mut site: Arc<str> = "".into();
    while let Some(batch) = events.next().await {
        let rows = Rows::new(&batch?, &wanted)?;
        for row in 0..rows.len() {
            if rows.visitors.is_null(row) || rows.is_bot(row) {
                continue;
            }
            let known = !wanted.users || text_of(rows.users.as_ref(), row).is_some();
            let visitor = stitching.visitor_of(rows.visitors.value(row), known);
            if !visitors.contains(&visitor) {
                continue;
            }
            let session_id = text_of(rows.session_ids.as_ref(), row);
            if found.is_empty() || (of.0, of.1.as_deref()) != (visitor, session_id) {
                add_times(&mut times, &of, &site, &mut found);
                (of, site) = ((visitor, session_id.map(Arc::from)), rows.sites.value(row).into());
            }
            found.push(rows.times_us[row]);
        }
    }
    add_times(&mut times, &of, &site, &mut found);
    Ok(times)
}

fn add_times(times: &mut Times, of: &(i64, SessionId), site: &Arc<str>, found: &mut Vec<i64>) {
    if !found.is_empty() {
        times.entry(of.clone()).or_insert_with(|| (site.clone(), vec![])).1.append(found);
    }
}

/// The times of each chain's events in one input.
async fn times_of(
    chains: Arc<LongChains>,
    mut events: SendableRecordBatchStream,
    wanted: Arc<Wanted>,
    stitching: Arc<Stitching>,
) -> Result<Vec<Vec<i64>>> {
    let mut times: Vec<Vec<i64>> = vec![vec![]; chains.chains.len()];
    while let Some(batch) = events.next().await {
        let rows = Rows::new(&batch?, &wanted)?;
        for row in 0..rows.len() {
            if rows.visitors.is_null(row) || rows.is_bot(row) {
                continue;
            }
            let (visitor, at_us) = (rows.visitors.value(row), rows.times_us[row]);
            for number in chains.of(visitor) {
                let chain = &chains.chains[number];
                let known = !wanted.users || text_of(rows.users.as_ref(), row).is_some();
                let of_chain = chain.has(text_of(rows.session_ids.as_ref(), row), at_us);
                if of_chain && stitching.visitor_of(visitor, known) == chain.visitor {
                    times[number].push(at_us);
                }
            }
        }
    }
    Ok(times)
}

/// The times at which sessions begin in a chain, the first aside. Pure.
fn cuts_of(mut times: Vec<i64>, cap_us: i64) -> Vec<i64> {
    times.sort_unstable();
    let Some(mut start_us) = times.first().copied() else { return vec![] };
    let begins = |at_us: &i64| {
        let begins = at_us.saturating_sub(start_us) >= cap_us;
        if begins {
            start_us = *at_us;
        }
        begins
    };
    times.into_iter().filter(begins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_is_cut_by_its_own_first_event() {
        check(&[], &[]);
        check(&[7], &[]);
        check(&[0, 9], &[]);
        check(&[0, 10], &[10]);
        // 15 is the first event after 10; the next cut is not before 25.
        check(&[24, 0, 15, 9, 20, 26], &[15, 26]);
        check(&[0, 15, 15, 25, 25], &[15, 25]);
    }

    #[test]
    fn a_chain_that_began_before_a_window_goes_on_with_a_session_in_it() {
        let rules = SiteRules { gap_us: 4, cap_us: 10, zone: None };
        let window = Window { events_from_us: 100, sessions_from_us: 120 };
        let check = |times: &[i64], is_client: bool, cut: &[((i64, i64), &[i64])], start: Option<i64>| {
            let cut = cut.iter().map(|(ends_us, cuts_us)| CutTimes { ends_us: *ends_us, cuts_us: cuts_us.to_vec() });
            let cut: Vec<CutTimes> = cut.collect();
            assert_eq!(chains_of(times.to_vec(), is_client, &rules, window), (cut, start), "{times:?}");
        };
        check(&[], false, &[], None);
        check(&[90, 93, 121, 124], false, &[], None);
        // Every three from 90 on, which makes sessions of twelve.
        let all: Vec<i64> = (0..=20).rev().map(|n| 90 + 3 * n).collect();
        check(&all, false, &[((90, 150), &[102, 114, 126, 138, 150])], Some(114));
        // It ended before the sessions that are wanted, or began within the window.
        let ended: Vec<i64> = (90..120).step_by(3).collect();
        check(&ended, false, &[], Some(118));
        check(&[90, 93, 97], false, &[], None);
        check(&[97, 101], false, &[], Some(102));
        let begun: Vec<i64> = (102..=130).step_by(3).collect();
        check(&begun, false, &[((102, 129), &[114, 126])], None);
        // A client's session bridges more.
        check(&[95, 104, 113, 122, 131], true, &[((95, 131), &[113, 131])], Some(113));
        check(&[95, 104, 113, 122, 131], false, &[], None);
        // A session that begins where the window's do is one of them.
        check(&[100 - 4, 100, 104, 108, 112, 116, 120, 124], false, &[((96, 124), &[108, 120])], Some(120));
    }

    /// Cuts by a cap of 10.
    #[track_caller]
    fn check(times: &[i64], expected: &[i64]) {
        assert_eq!(cuts_of(times.to_vec(), 10), expected, "{times:?}");
    }
}
