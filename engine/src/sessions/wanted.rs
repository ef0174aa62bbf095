//! What a query wants to know of sessions, and so which columns of events it reads. A count of sessions reads no titles.

use lake::EVENTS;

/// Which event of a run has a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The first event.
    First,
    /// The first page view.
    Entry,
    /// The last page view.
    Exit,
    /// The first event with a user id.
    SignedIn,
}

/// What is kept of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Whether sessions are told apart; if not, a visitor's events are one run.
    pub(crate) sessions: bool,
    /// Whether runs end where days do.
    pub(crate) days: bool,
    /// How many events and page views there are.
    pub(crate) counts: bool,
    /// How long pages were looked at.
    pub(crate) engaged: bool,
    /// Money.
    pub(crate) revenue: bool,
    /// The texts to keep, besides the session id.
    pub(crate) texts: Vec<(Place, &'static str)>,
    /// Whether events of users and of the anonymous with the same visitor id are told apart.
    pub(crate) users: bool,
}

/// The place of the session id among the texts of runs, if sessions are told apart.
pub(crate) const SESSION_ID: usize = 0;

impl Wanted {
    /// Adds a text. Returns where the texts of a run have it.
    pub(crate) fn add_text(&mut self, place: Place, column: &'static str) -> usize {
        let wanted = (place, column);
        let known = self.texts.iter().position(|text| *text == wanted).unwrap_or_else(|| {
            self.texts.push(wanted);
            self.texts.len() - 1
        });
        known + usize::from(self.sessions)
    }

    /// All texts of a run, the session id first if sessions are told apart.
    pub(crate) fn kept_texts(&self) -> Vec<(Place, &'static str)> {
        let session_id = self.sessions.then_some((Place::First, "session_id"));
        session_id.into_iter().chain(self.texts.iter().copied()).collect()
    }

    /// Whether names of events are read.
    pub(crate) fn names(&self) -> bool {
        self.counts || self.engaged || self.views()
    }

    /// Whether the first and the last page view are wanted.
    pub(crate) fn views(&self) -> bool {
        self.texts.iter().any(|(place, _)| matches!(place, Place::Entry | Place::Exit))
    }

    /// Whether user ids are read.
    pub(crate) fn user_ids(&self) -> bool {
        self.users || self.texts.iter().any(|(place, _)| *place == Place::SignedIn)
    }

    /// Whether ids of events are read: they decide which of two events at the same instant comes first.
    pub(crate) fn ids(&self) -> bool {
        // A user id is the same in all events of a visitor.
        self.texts.iter().any(|(place, _)| *place != Place::SignedIn)
    }

    /// Whether a column of `events` is read.
    pub(crate) fn reads(&self, column: &str) -> bool {
        match column {
            "site_id" | "visitor_id" | "occurred_at" | "is_bot" => true,
            "session_id" => self.sessions,
            "name" => self.names(),
            "event_id" => self.ids(),
            "user_id" => self.user_ids(),
            "hostname" | "path" | "properties" if self.engaged => true,
            "revenue" | "currency" => self.revenue,
            column => self.texts.iter().any(|(_, wanted)| *wanted == column),
        }
    }

    /// The numbers of the columns of `events` that are read.
    pub(crate) fn columns(&self) -> Vec<usize> {
        let fields = EVENTS.file_schema.fields().iter().enumerate();
        fields.filter(|(_, field)| self.reads(field.name())).map(|(number, _)| number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_read() {
        let sessions = Wanted { sessions: true, ..Wanted::default() };
        check(&sessions, "site_id occurred_at visitor_id session_id is_bot");
        check(&Wanted::default(), "site_id occurred_at visitor_id is_bot");
        let counts = Wanted { counts: true, ..sessions.clone() };
        check(&counts, "site_id name occurred_at visitor_id session_id is_bot");
        let mut browser = sessions.clone();
        assert_eq!(browser.add_text(Place::First, "browser"), 1);
        check(&browser, "event_id site_id occurred_at visitor_id session_id browser is_bot");
        let mut user = Wanted::default();
        assert_eq!(user.add_text(Place::SignedIn, "user_id"), 0);
        check(&user, "site_id occurred_at visitor_id user_id is_bot");
    }

    #[track_caller]
    fn check(wanted: &Wanted, expected: &str) {
        let columns = wanted.columns();
        let names: Vec<&str> = columns.iter().map(|column| EVENTS.file_schema.field(*column).name().as_str()).collect();
        assert_eq!(names.join(" "), expected);
    }
}
