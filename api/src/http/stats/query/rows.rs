//! Which rows a request counts: events, sessions, or events with the session that each is in.

use chrono::TimeDelta;

use super::statement::{self, Named, Values};
use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::filter::Filter;
use crate::http::stats::said::range::Range;

/// Rows that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::stats) enum Rows {
    /// `e`: the events of the range.
    Events,
    /// `s`: the sessions that began in the range.
    Sessions,
    /// `e` and `s`: the events of these sessions, those after the range too.
    EventsOfSessions,
}

/// What a request counts: a part of the events and sessions of a range.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Counted {
    pub(in crate::http::stats) range: Range,
    pub(in crate::http::stats) filter: Filter,
    /// The goal whose conversions are asked for, if any are.
    pub(in crate::http::stats) goal: Option<Filter>,
    /// After how long sessions of the sites end at the latest.
    pub(in crate::http::stats) session_cap: TimeDelta,
}

/// Joins each event `e` with who it is of.
pub(in crate::http::stats) const WHO: &str =
    "LEFT JOIN identities AS i ON i.anonymous_visitor_id = e.visitor_id AND e.user_id IS NULL";

/// Who an event `e` is of: the user who signed in later, for somebody anonymous.
pub(in crate::http::stats) const VISITOR: &str = "coalesce(i.user_visitor_id, e.visitor_id)";

/// Joins each event `e` with the session `s` that it is in. No two sessions of a visitor with one id of the client's, or
/// with none, overlap.
pub(in crate::http::stats) const SESSION_OF_EVENT: &str = "s.visitor_id = coalesce(i.user_visitor_id, e.visitor_id) \
     AND coalesce(s.session_id, '') = coalesce(e.session_id, '') \
     AND (s.session_id IS NULL) = (e.session_id IS NULL) \
     AND e.occurred_at >= s.started_at AND e.occurred_at <= s.ended_at";

impl Counted {
    /// The rows that events are counted in: those of the events that match, unless a dimension says which session they are of.
    ///
    /// - `needs_events`: whether something of events alone is counted.
    pub(in crate::http::stats) fn rows_of_events(&self, dimensions: &[Dimension], needs_events: bool) -> Rows {
        let (of_sessions, of_events) = self.named(dimensions);
        match (of_sessions, of_events || needs_events) {
            (false, _) => Rows::Events,
            (true, false) => Rows::Sessions,
            (true, true) => Rows::EventsOfSessions,
        }
    }

    /// The rows that sessions are counted in.
    pub(in crate::http::stats) fn rows_of_sessions(&self, dimensions: &[Dimension]) -> Rows {
        match self.named(dimensions) {
            (_, false) => Rows::Sessions,
            (_, true) => Rows::EventsOfSessions,
        }
    }

    /// Whether dimensions of sessions, and of events, are named.
    fn named(&self, dimensions: &[Dimension]) -> (bool, bool) {
        let conditions = self.filter.conditions();
        let all = || conditions.iter().map(|condition| &condition.dimension).chain(dimensions);
        (all().any(Dimension::is_of_sessions), all().any(Dimension::is_of_events))
    }

    /// `FROM … WHERE …` of the rows that match.
    pub(in crate::http::stats) fn sql(&self, rows: Rows, values: &mut Values) -> String {
        self.sql_joined(rows, "", values)
    }

    /// The same, in which every event has its [`VISITOR`].
    pub(in crate::http::stats) fn sql_with_visitors(&self, rows: Rows, values: &mut Values) -> String {
        self.sql_joined(rows, if rows == Rows::Events { WHO } else { "" }, values)
    }

    fn sql_joined(&self, rows: Rows, joined: &str, values: &mut Values) -> String {
        let (from, until) = (values.time(self.range.from), values.time(self.range.until));
        let events = |until: &str| format!("e.occurred_at >= {from} AND e.occurred_at < {until} AND NOT e.is_bot");
        let sessions = format!("s.started_at >= {from} AND s.started_at < {until}");
        let (tables, conditions) = match rows {
            Rows::Events => ("events AS e".to_owned(), events(&until)),
            Rows::Sessions => ("sessions AS s".to_owned(), sessions),
            Rows::EventsOfSessions => {
                // No session is longer, so that no event of one lies behind.
                let latest = values.time(self.range.until + self.session_cap);
                let tables = format!("events AS e {WHO} JOIN sessions AS s ON {SESSION_OF_EVENT}");
                (tables, format!("{} AND {sessions}", events(&latest)))
            }
        };
        let filter = statement::condition(
            &self.filter,
            if rows == Rows::Sessions { Named::Sessions } else { Named::Events },
            values,
        );
        format!("FROM {tables} {joined} WHERE {conditions} AND {filter}")
    }
}
