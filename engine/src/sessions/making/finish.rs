//! Makes sessions of all runs of one visitor, as a union of intervals. Pure.
//!
//! The events of a visitor with one client session id, and those without any, make *chains*: an event goes on a chain if the
//! pause since the one before is no longer than the gap, or, with an id, shorter than the cap. A chain is cut into sessions
//! from left to right: a session has the events that come less than the cap after its first, and the next event begins
//! another. So a session depends on no event before its chain, and on none that comes later than the cap after it begins.

use std::sync::Arc;

use crate::sessions::making::builder::{add_money, session_id};
use crate::sessions::making::cuts::Begun;
use crate::sessions::making::days::SECOND_US;
use crate::sessions::making::run::{Moment, Money, Ping, Run, RunBatch};
use crate::sessions::making::window::Window;
use crate::sessions::rules::SiteRules;
use crate::sessions::wanted::Wanted;

/// A run, by its batch among those at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunPlace {
    pub(crate) batch: u32,
    pub(crate) run: u32,
}

/// An event of a session, and a run whose texts are of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) moment: Moment,
    pub(crate) place: RunPlace,
}

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) first: At,
    pub(crate) end_us: i64,
    pub(crate) events: u64,
    pub(crate) page_views: u64,
    pub(crate) engaged_s: i64,
    pub(crate) entry: Option<At>,
    pub(crate) exit: Option<At>,
    /// Money by currency, in the order of the currencies.
    pub(crate) revenue: Vec<Money>,
    /// Whether the client's session id made it.
    pub(crate) is_client: bool,
    /// Whether its chain has another session: one of them ended, or began, only because of the cap.
    pub(crate) is_cut: bool,
}

/// What the runs of a visitor make.
#[derive(Debug)]
pub(crate) enum Finished {
    /// The sessions, by their beginning.
    Sessions(Vec<Session>),
    /// Some run belongs to two sessions of a chain that has to be cut, so its events have to be read again.
    TooLong(Vec<LongPart>),
    /// A chain may have begun before the events at hand, so the times of earlier ones have to be read.
    BegunBefore,
}

/// A chain that has to be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LongPart {
    pub(crate) session_id: Option<Arc<str>>,
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
}

/// Seconds that a page view with pings was looked at, at least.
const ENGAGED_FIRST_S: i64 = 5;

/// Seconds between two pings.
const ENGAGED_NEXT_S: i64 = 10;

/// Seconds looked at pages: 5 for the first ping of a page view, 10 for each later slot.
pub(crate) fn engaged_s(pings: &[Ping]) -> i64 {
    let views = pings.chunk_by(|one, next| one.0 == next.0).count() as i64;
    ENGAGED_NEXT_S * (pings.len() as i64 - views) + ENGAGED_FIRST_S * views
}

/// Which events of a visitor are at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AtHand<'a> {
    All,
    Of(Window),
    /// Those of a window, with what began before it.
    Since(&'a Begun, i64),
}

/// Makes the sessions of all runs of one visitor, in any order.
pub(crate) fn sessions_of(
    runs: &mut [RunPlace],
    batches: &[Arc<RunBatch>],
    rules: &SiteRules,
    wanted: &Wanted,
    at_hand: AtHand<'_>,
) -> Finished {
    let run_of = |place: &RunPlace| &batches[place.batch as usize].runs[place.run as usize];
    let id_of = |place: &RunPlace| session_id(&batches[place.batch as usize], wanted, place.run);
    if runs.len() > 1 {
        runs.sort_unstable_by(|one, other| {
            let (a, b) = (run_of(one), run_of(other));
            id_of(one).cmp(&id_of(other)).then_with(|| a.first.cmp(&b.first)).then_with(|| a.end_us.cmp(&b.end_us))
        });
    }
    let (mut sessions, mut long) = (Vec::new(), Vec::new());
    for of_id in runs.chunk_by(|one, next| id_of(one) == id_of(next)) {
        let client_id = id_of(&of_id[0]);
        let bridged_us = rules.bridged_us(client_id.is_some());
        let goes_on_us = match at_hand {
            AtHand::Since(begun, visitor) => begun.start_us(visitor, client_id),
            AtHand::All | AtHand::Of(_) => None,
        };
        let gone = |place: &RunPlace| goes_on_us.is_some_and(|us| run_of(place).first.at_us < us);
        let mut rest = &of_id[of_id.partition_point(gone)..];
        while !rest.is_empty() {
            let mut end_us = run_of(&rest[0]).end_us;
            let mut count = 1;
            while let Some(next) = rest.get(count) {
                let next = run_of(next);
                if next.first.at_us.saturating_sub(end_us) > bridged_us {
                    break;
                }
                end_us = end_us.max(next.end_us);
                count += 1;
            }
            let (chain, after) = rest.split_at(count);
            rest = after;
            let start_us = run_of(&chain[0]).first.at_us;
            if let AtHand::Of(window) = at_hand
                && window.may_miss(start_us, end_us, bridged_us)
            {
                return Finished::BegunBefore;
            }
            if end_us - start_us < rules.cap_us && goes_on_us != Some(start_us) {
                sessions.push(session(chain, batches, client_id.is_some(), false));
                continue;
            }
            match cut(chain, run_of, rules.cap_us) {
                Some(parts) => {
                    sessions.extend(parts.into_iter().map(|part| session(part, batches, client_id.is_some(), true)));
                }
                None => long.push(LongPart { session_id: client_id.map(Into::into), start_us, end_us }),
            }
        }
    }
    if !long.is_empty() {
        return Finished::TooLong(long);
    }
    sessions.sort_by_key(|session| session.first.moment);
    Finished::Sessions(sessions)
}

/// The runs of each session of a chain, or `None` if a run belongs to two of them.
///
/// - `chain`: its runs in the order of their beginning.
fn cut<'a, 'b>(
    chain: &'a [RunPlace],
    run_of: impl Fn(&RunPlace) -> &'b Run,
    cap_us: i64,
) -> Option<Vec<&'a [RunPlace]>> {
    let (mut parts, mut rest) = (Vec::new(), chain);
    while let Some(first) = rest.first() {
        let until_us = run_of(first).first.at_us.saturating_add(cap_us);
        let count = rest.partition_point(|place| run_of(place).first.at_us < until_us);
        let (part, after) = rest.split_at(count);
        if part.iter().any(|place| run_of(place).end_us >= until_us) {
            return None;
        }
        parts.push(part);
        rest = after;
    }
    Some(parts)
}

/// One session of these runs, which come in the order of their beginning.
fn session(runs: &[RunPlace], batches: &[Arc<RunBatch>], is_client: bool, is_cut: bool) -> Session {
    let run_of = |place: &RunPlace| -> (&RunBatch, &Run) {
        let batch = &*batches[place.batch as usize];
        (batch, &batch.runs[place.run as usize])
    };
    let pings_of = |place: &RunPlace| {
        let (batch, run) = run_of(place);
        &batch.pings[run.pings.start as usize..run.pings.end as usize]
    };
    let first = run_of(&runs[0]).1.first;
    let mut session = Session {
        first: At { moment: first, place: runs[0] },
        end_us: i64::MIN,
        events: 0,
        page_views: 0,
        engaged_s: 0,
        entry: None,
        exit: None,
        revenue: vec![],
        is_client,
        is_cut,
    };
    for place in runs {
        let (batch, run) = run_of(place);
        session.end_us = session.end_us.max(run.end_us);
        session.events += run.events;
        session.page_views += run.page_views;
        let at = |moment: Moment| At { moment, place: *place };
        if let Some(entry) = run.entry.filter(|entry| session.entry.is_none_or(|known| *entry < known.moment)) {
            session.entry = Some(at(entry));
        }
        if let Some(exit) = run.exit.filter(|exit| session.exit.is_none_or(|known| *exit > known.moment)) {
            session.exit = Some(at(exit));
        }
        for (currency, amount) in &batch.revenue[run.revenue.start as usize..run.revenue.end as usize] {
            add_money(&mut session.revenue, currency.as_deref(), *amount);
        }
    }
    session.revenue.sort();
    session.engaged_s = match runs {
        [only] => engaged_s(pings_of(only)),
        several => {
            let mut pings: Vec<Ping> = several.iter().flat_map(pings_of).copied().collect();
            pings.sort_unstable();
            pings.dedup();
            engaged_s(&pings)
        }
    };
    session
}

/// Seconds between two instants, each cut to whole seconds.
pub(crate) fn duration_s(start_us: i64, end_us: i64) -> i64 {
    end_us.div_euclid(SECOND_US) - start_us.div_euclid(SECOND_US)
}

/// A session with less time than this on its only page is a bounce.
const BOUNCE_ENGAGED_S: i64 = 10;

impl Session {
    /// One page view, nothing else but pings, and less than ten seconds of looking at it.
    pub(crate) fn is_bounce(&self) -> bool {
        self.page_views == 1 && self.events == 1 && self.engaged_s < BOUNCE_ENGAGED_S
    }
}
