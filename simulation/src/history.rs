//! What clients sent, what was acknowledged, and therefore what a reader may see. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};

/// An event as clients and readers name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The tenant.
    pub site: String,
    /// The event's name, which contains its number.
    pub name: String,
}

/// A run of the report in history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The second that it is of. Each has one run at most.
    pub slot_s: i64,
    /// Tells it from others.
    pub name: String,
}

/// What has happened so far, as the clients know it.
#[derive(Clone, Debug, Default)]
pub struct History {
    sent: BTreeSet<Id>,
    acknowledged: BTreeSet<Id>,
    /// Events of people whose erasure has begun: they may be missing.
    fading: BTreeSet<Id>,
    /// Acknowledged before the erasure of their person began, which has ended: they must be missing.
    erased: BTreeSet<Id>,
    /// Older than their site's retention.
    expired: BTreeSet<Id>,
    /// Runs of the report that were told to be kept.
    recorded: BTreeSet<Run>,
}

/// What a read must and must not contain.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    must_have: BTreeSet<Id>,
    must_not_have: BTreeSet<Id>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An event was acknowledged before the read began, and is missing.
    Lost(Id),
    /// The read has an event more than once.
    Doubled(Id, usize),
    /// The read has an event of a person who was erased before it began.
    Returned(Id),
    /// An expired event is still there after an undisturbed removal.
    Kept(Id),
    /// The read has an event that was never sent.
    Invented(Id),
    /// A run of the report was told to be kept, and is not in history.
    RunLost(Run),
    /// Two runs of one slot are in history, or one twice.
    SlotTwice(Run),
    /// The log lacks this version but has a later one.
    BrokenChain(u64),
    /// A file of the newest version is not in the store.
    MissingFile(String),
    /// `Lake::check` found an error.
    Wrong(String),
    /// Something fails although all faults are over.
    Stuck(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(id) => write!(f, "{} of {} was acknowledged and is lost", id.name, id.site),
            Self::Doubled(id, times) => write!(f, "{} of {} is there {times} times", id.name, id.site),
            Self::Returned(id) => write!(f, "{} of {} was erased and is there", id.name, id.site),
            Self::Kept(id) => write!(f, "{} of {} is too old and is there", id.name, id.site),
            Self::Invented(id) => write!(f, "{} of {} was never sent", id.name, id.site),
            Self::RunLost(run) => write!(f, "the run {} of second {} was kept and is lost", run.name, run.slot_s),
            Self::SlotTwice(run) => write!(f, "second {} has another run than {}", run.slot_s, run.name),
            Self::BrokenChain(version) => write!(f, "the log has no version {version} and a later one"),
            Self::MissingFile(path) => write!(f, "the table names {path}, which is not there"),
            Self::Wrong(what) => write!(f, "a check found an error: {what}"),
            Self::Stuck(what) => write!(f, "after all faults: {what}"),
        }
    }
}

impl History {
    /// Clients are about to send these events.
    pub fn send(&mut self, ids: impl IntoIterator<Item = Id>) {
        self.sent.extend(ids);
    }

    /// Clients were told that these events are durable.
    pub fn acknowledge(&mut self, ids: impl IntoIterator<Item = Id>) {
        self.acknowledged.extend(ids);
    }

    /// The erasure of a person begins: from now on their events so far may be missing. Returns the events that must be
    /// missing once it has ended.
    pub fn begin_erasure(&mut self, is_theirs: impl Fn(&Id) -> bool) -> Vec<Id> {
        self.fading.extend(self.sent.iter().filter(|id| is_theirs(id)).cloned());
        self.acknowledged.iter().filter(|id| is_theirs(id)).cloned().collect()
    }

    /// These events happened before their person was erased, but are sent only now: they may be missing.
    pub fn fade(&mut self, ids: impl IntoIterator<Item = Id>) {
        self.fading.extend(ids);
    }

    /// These events have expired: they are there until they are removed.
    pub fn expire(&mut self, ids: impl IntoIterator<Item = Id>) {
        self.expired.extend(ids);
    }

    /// Whether an event has expired.
    pub fn is_expired(&self, id: &Id) -> bool {
        self.expired.contains(id)
    }

    /// The erasure has ended.
    pub fn end_erasure(&mut self, ids: Vec<Id>) {
        self.erased.extend(ids);
    }

    /// What every read that begins now must and must not contain.
    pub fn expectation(&self) -> Expectation {
        Expectation { must_have: self.acknowledged.clone(), must_not_have: self.erased.clone() }
    }

    /// Checks the rows of a read.
    ///
    /// - `expected`: the [`expectation`](Self::expectation) when the read began.
    pub fn check(&self, rows: &[Id], expected: &Expectation) -> Result<(), Violation> {
        let mut times: BTreeMap<&Id, usize> = BTreeMap::new();
        for row in rows {
            *times.entry(row).or_default() += 1;
        }
        for (&id, &times) in &times {
            if times > 1 {
                return Err(Violation::Doubled(id.clone(), times));
            }
            if !self.sent.contains(id) {
                return Err(Violation::Invented(id.clone()));
            }
            if expected.must_not_have.contains(id) {
                return Err(Violation::Returned(id.clone()));
            }
        }
        let may_be_missing = |id: &Id| self.fading.contains(id) || self.expired.contains(id);
        match expected.must_have.iter().find(|id| !times.contains_key(id) && !may_be_missing(id)) {
            Some(lost) => Err(Violation::Lost(lost.clone())),
            None => Ok(()),
        }
    }

    /// A process was told that history has this run.
    pub fn record(&mut self, run: Run) {
        self.recorded.insert(run);
    }

    /// Checks the runs that history has.
    pub fn check_runs(&self, runs: &[Run]) -> Result<(), Violation> {
        let mut slots = BTreeSet::new();
        if let Some(second) = runs.iter().find(|run| !slots.insert(run.slot_s)) {
            return Err(Violation::SlotTwice(second.clone()));
        }
        match self.recorded.iter().find(|run| !runs.contains(run)) {
            Some(lost) => Err(Violation::RunLost(lost.clone())),
            None => Ok(()),
        }
    }

    /// Checks that a read has no expired event.
    pub fn check_expired(&self, rows: &[Id]) -> Result<(), Violation> {
        rows.iter().find(|id| self.is_expired(id)).map_or(Ok(()), |id| Err(Violation::Kept(id.clone())))
    }
}

/// The person who caused an event. Both clients send events of the same people.
pub(crate) fn user_of(id: &Id) -> &'static str {
    match id.name.len() % 2 {
        0 => "ada",
        _ => "bob",
    }
}

/// The erasure of a person, under way or ended.
pub(crate) struct Erasure {
    pub(crate) site: &'static str,
    pub(crate) user: &'static str,
    /// Events of the person that were acknowledged before the erasure began.
    pub(crate) theirs: Vec<Id>,
    /// By every clock, an event made after this is later than the erasure. `None` while the erasure is under way.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Erasure {
    pub(crate) fn is_of(&self, id: &Id) -> bool {
        id.site == self.site && user_of(id) == self.user
    }

    /// Checks that either all or none of the person's events are gone. Meant for the first erasure of a person, which a later
    /// one may have completed.
    pub(crate) fn check_whole(&self, rows: &[Id], history: &History) -> Result<(), Violation> {
        let theirs = self.theirs.iter().filter(|id| !history.is_expired(id));
        let (left, gone): (Vec<_>, Vec<_>) = theirs.partition(|id| rows.contains(id));
        match (left.first(), gone.first()) {
            (Some(left), Some(_)) => Err(Violation::Returned((*left).clone())),
            _ => Ok(()),
        }
    }
}

/// Checks that a log has every version from 0 to the newest.
pub fn check_chain(versions: &BTreeSet<u64>) -> Result<(), Violation> {
    let newest = versions.last().map_or(0, |newest| newest + 1);
    match (0..newest).find(|version| !versions.contains(version)) {
        Some(missing) => Err(Violation::BrokenChain(missing)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_before_must_be_there() {
        check("a b", "a", "b", Err(Violation::Lost(id("a"))));
        check("a b", "a", "a", Ok(()));
    }

    #[test]
    fn what_was_sent_and_not_acknowledged_may_be_there_once() {
        check("a b", "", "b", Ok(()));
        check("a b", "", "b b", Err(Violation::Doubled(id("b"), 2)));
    }

    #[test]
    fn what_was_never_sent_must_not_be_there() {
        check("a", "", "x", Err(Violation::Invented(id("x"))));
    }

    #[test]
    fn what_is_being_erased_may_be_missing_and_what_was_erased_must_be() {
        let mut history = History::default();
        history.send([id("a"), id("b")]);
        history.acknowledge([id("a")]);
        let before = history.expectation();
        let theirs = history.begin_erasure(|_| true);
        assert_eq!(theirs, [id("a")]);
        assert_eq!(history.check(&[], &before), Ok(()));
        assert_eq!(history.check(&[id("a")], &history.expectation()), Ok(()));
        history.end_erasure(theirs);
        assert_eq!(history.check(&[id("a")], &before), Ok(()));
        assert_eq!(history.check(&[id("a")], &history.expectation()), Err(Violation::Returned(id("a"))));
        assert_eq!(history.check(&[id("b")], &history.expectation()), Ok(()));
    }

    #[test]
    fn what_is_too_old_may_be_missing_and_is_gone_after_a_removal() {
        let mut history = History::default();
        history.send([id("a")]);
        history.acknowledge([id("a")]);
        history.expire([id("a")]);
        assert_eq!(history.check(&[], &history.expectation()), Ok(()));
        assert_eq!(history.check(&[id("a")], &history.expectation()), Ok(()));
        assert_eq!(history.check_expired(&[id("a")]), Err(Violation::Kept(id("a"))));
        assert_eq!(history.check_expired(&[]), Ok(()));
    }

    #[test]
    fn a_run_that_was_kept_is_there_and_no_slot_has_two() {
        let run = |slot_s, name: &str| Run { slot_s, name: name.into() };
        let mut history = History::default();
        history.record(run(1, "a"));
        assert_eq!(history.check_runs(&[run(1, "a"), run(2, "b")]), Ok(()));
        assert_eq!(history.check_runs(&[run(2, "b")]), Err(Violation::RunLost(run(1, "a"))));
        assert_eq!(history.check_runs(&[run(1, "a"), run(1, "b")]), Err(Violation::SlotTwice(run(1, "b"))));
    }

    #[test]
    fn a_chain_has_no_gap_and_begins_at_zero() {
        assert_eq!(check_chain(&BTreeSet::from([0, 1, 2])), Ok(()));
        assert_eq!(check_chain(&BTreeSet::from([0, 2])), Err(Violation::BrokenChain(1)));
        assert_eq!(check_chain(&BTreeSet::from([1, 2])), Err(Violation::BrokenChain(0)));
        assert_eq!(check_chain(&BTreeSet::new()), Ok(()));
    }

    #[track_caller]
    fn check(sent: &str, acknowledged: &str, rows: &str, expected: Result<(), Violation>) {
        let ids = |names: &str| names.split_whitespace().map(id).collect::<Vec<_>>();
        let mut history = History::default();
        history.send(ids(sent));
        history.acknowledge(ids(acknowledged));
        assert_eq!(history.check(&ids(rows), &history.expectation()), expected);
    }

    fn id(name: &str) -> Id {
        Id { site: "s".into(), name: name.into() }
    }
}
