//! Which user an anonymous id belongs to: the last one who was seen with it, over the whole lake.
//!
//! Applied when an answer is finished and never kept with a file, so that a sign-in today joins yesterday's visits.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::common::{HashMap, HashSet};
use lake::visitor_id;

use crate::sessions::rows::bots_of;

/// Columns of `events` that tell who an anonymous id belongs to.
pub(crate) const IDENTITY_COLUMNS: [&str; 5] = ["site_id", "occurred_at", "user_id", "anonymous_id", "is_bot"];

/// Columns of `events` that tell whether anybody was anonymous under a visitor id.
pub(crate) const PRESENCE_COLUMNS: [&str; 3] = ["visitor_id", "user_id", "is_bot"];

/// An anonymous id and the user it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) site_id: Arc<str>,
    pub(crate) anonymous_id: Box<str>,
    pub(crate) user_id: Arc<str>,
    /// When an event had both.
    pub(crate) last_seen_us: i64,
}

/// Anonymous ids by the visitor id that they make: a fold, whose parts merge in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identities {
    pub(crate) by_visitor: HashMap<i64, Identity>,
}

impl Identities {
    /// Adds events, in any order. Events of robots tell nothing.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        let text = |name: &str| batch[name].as_string_view();
        let (sites, users, anonymous) = (text("site_id"), text("user_id"), text("anonymous_id"));
        let times = batch["occurred_at"].as_primitive::<TimestampMicrosecondType>().values();
        let bots = bots_of(&batch["is_bot"]);
        let mut note = |row: usize, last_us: i64| {
            let (site_id, anonymous_id) = (sites.value(row), anonymous.value(row));
            let visitor = visitor_id(site_id, anonymous_id);
            self.note(visitor, last_us, users.value(row), || (site_id.into(), anonymous_id.into()));
        };
        // Nearly all events are like the one before: the first of those that are alike, and the last of their times.
        let mut alike: Option<([u128; 3], usize, i64)> = None;
        for row in 0..batch.num_rows() {
            if users.is_null(row) || anonymous.is_null(row) || bots.is_some_and(|bots| bots.value(row)) {
                continue;
            }
            // Equal views are equal texts.
            let views = [sites, users, anonymous].map(|texts| texts.views()[row]);
            match &mut alike {
                Some((of, _, last_us)) if *of == views => *last_us = times[row].max(*last_us),
                before => {
                    if let Some((_, first, last_us)) = before.replace((views, row, times[row])) {
                        note(first, last_us);
                    }
                }
            }
        }
        if let Some((_, first, last_us)) = alike {
            note(first, last_us);
        }
    }

    /// The visitor ids that they name.
    pub(crate) fn visitors(&self) -> HashSet<i64> {
        self.by_visitor.keys().copied().collect()
    }

    /// Adds another part.
    pub(crate) fn merge(&mut self, other: Self) {
        for (visitor, identity) in other.by_visitor {
            let Identity { site_id, anonymous_id, user_id, last_seen_us } = identity;
            self.note(visitor, last_seen_us, &user_id, || (site_id, anonymous_id));
        }
    }

    /// The later wins; at the same instant, the user who comes last in the alphabet.
    fn note(&mut self, visitor: i64, at_us: i64, user_id: &str, names: impl FnOnce() -> (Arc<str>, Box<str>)) {
        match self.by_visitor.get_mut(&visitor) {
            Some(known) if (known.last_seen_us, &*known.user_id) >= (at_us, user_id) => {}
            Some(known) => {
                known.last_seen_us = at_us;
                if *known.user_id != *user_id {
                    known.user_id = user_id.into();
                }
            }
            None => {
                let (site_id, anonymous_id) = names();
                let identity = Identity { site_id, anonymous_id, user_id: user_id.into(), last_seen_us: at_us };
                self.by_visitor.insert(visitor, identity);
            }
        }
    }
}

/// Under which visitor ids somebody was anonymous, and under which a user was known, as far as identities name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence {
    anonymous: HashSet<i64>,
    known: HashSet<i64>,
}

impl Presence {
    /// Adds events in any order.
    ///
    /// - `named`: the visitor ids that identities name.
    pub(crate) fn add(&mut self, batch: &RecordBatch, named: &HashSet<i64>) {
        let visitors = batch["visitor_id"].as_primitive::<Int64Type>();
        let users: &StringViewArray = batch["user_id"].as_string_view();
        let bots = bots_of(&batch["is_bot"]);
        let mut before = None;
        for (row, visitor) in visitors.values().iter().enumerate() {
            if visitors.is_null(row) || bots.is_some_and(|bots| bots.value(row)) {
                continue;
            }
            let is_known = users.is_valid(row);
            if before == Some((*visitor, is_known)) {
                continue;
            }
            before = Some((*visitor, is_known));
            if named.contains(visitor) {
                if is_known { &mut self.known } else { &mut self.anonymous }.insert(*visitor);
            }
        }
    }

    /// Adds another part.
    pub(crate) fn merge(&mut self, other: Self) {
        self.anonymous.extend(other.anonymous);
        self.known.extend(other.known);
    }
}

/// Which visitor the events of a visitor id belong to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stitching {
    /// The user's visitor id, by that of an anonymous id.
    users: HashMap<i64, i64>,
    /// The user's id by the user's visitor id.
    names: HashMap<i64, Arc<str>>,
    /// Visitor ids of users who were also somebody's anonymous id: only the anonymous events are joined to another user.
    mixed: HashSet<i64>,
}

impl Stitching {
    pub(crate) fn new(identities: &Identities, presence: &Presence) -> Self {
        let mut stitching = Self::default();
        for anonymous in &presence.anonymous {
            let identity = &identities.by_visitor[anonymous];
            let user = visitor_id(&identity.site_id, &identity.user_id);
            if user != *anonymous {
                stitching.users.insert(*anonymous, user);
                stitching.names.insert(user, identity.user_id.clone());
                if presence.known.contains(anonymous) {
                    stitching.mixed.insert(*anonymous);
                }
            }
        }
        stitching
    }

    /// Whether events of a visitor id may belong to the same visitor as those of another.
    pub(crate) fn names(&self, visitor: i64) -> bool {
        !self.users.is_empty() && (self.users.contains_key(&visitor) || self.names.contains_key(&visitor))
    }

    /// Whether events of a user have to be told from anonymous ones with the same visitor id.
    pub(crate) fn tells_users(&self) -> bool {
        !self.mixed.is_empty()
    }

    /// The visitor whose the events of a visitor id are.
    ///
    /// - `known`: whether they have a user id.
    pub(crate) fn visitor_of(&self, visitor: i64, known: bool) -> i64 {
        match self.users.get(&visitor) {
            Some(user) if !(known && self.mixed.contains(&visitor)) => *user,
            _ => visitor,
        }
    }

    /// The anonymous visitors whose events are another's in a later stitching: each with whose they were and are. Whoever is
    /// their own is not joined.
    pub(crate) fn moved(&self, later: &Self) -> Vec<[i64; 3]> {
        let of = |stitching: &Self, id: &i64| (stitching.visitor_of(*id, false), stitching.mixed.contains(id));
        let gone = self.users.keys().filter(|id| !later.users.contains_key(*id));
        let ids = later.users.keys().chain(gone);
        let moved = ids.filter_map(|id| {
            let (was, is) = (of(self, id), of(later, id));
            (was != is).then_some([*id, was.0, is.0])
        });
        moved.collect()
    }

    /// The visitor ids of all events of some visitors, and maybe of others.
    pub(crate) fn ids_of(&self, visitors: &HashSet<i64>) -> HashSet<i64> {
        let joined = self.users.iter().filter(|(_, user)| visitors.contains(*user)).map(|(anonymous, _)| *anonymous);
        visitors.iter().copied().chain(joined).collect()
    }

    /// The user's id, of a visitor to whom anonymous events were joined.
    pub(crate) fn user_id(&self, visitor: i64) -> Option<&Arc<str>> {
        self.names.get(&visitor)
    }
}
