//! The part of all events that sessions are made of where only some of them are wanted.

/// Which events are at hand, and which sessions are wanted, if not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// All events from here on are at hand, and none before: no later than twice the cap before the sessions, so that in a
    /// chain that goes on through all that time a session begins.
    pub(crate) events_from_us: i64,
    /// Sessions that begin earlier are not wanted.
    pub(crate) sessions_from_us: i64,
}

impl Window {
    /// Whether a chain that seems to begin at `start_us` may have begun before, and has a session that is wanted.
    pub(crate) fn may_miss(self, start_us: i64, end_us: i64, bridged_us: i64) -> bool {
        end_us >= self.sessions_from_us && start_us.saturating_sub(self.events_from_us) < bridged_us
    }
}
