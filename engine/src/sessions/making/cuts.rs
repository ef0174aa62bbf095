//! Where sessions that are longer than their cap are cut.
//!
//! The first session of a chain of events begins with it; each other begins with the first event that comes no earlier than
//! the cap after the beginning of the one before. Runs do not tell which event that is. Such chains are rare, so only their
//! events are read again: first their times, which tell where the chain is cut, then the events, whose runs end there.

use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::common::{HashMap, HashSet};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::sessions::identities::Stitching;
use crate::sessions::rows::{Rows, text_of};
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

    /// Cuts by a cap of 10.
    #[track_caller]
    fn check(times: &[i64], expected: &[i64]) {
        assert_eq!(cuts_of(times.to_vec(), 10), expected, "{times:?}");
    }
}
