//! What events and sessions can be told apart by.

use super::names;

/// What events or sessions are told apart by, in filters and in the rows of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) enum Dimension {
    /// The site.
    Site,
    /// A column of `sessions`.
    Session(&'static str),
    /// A column of `events`.
    Event(&'static str),
    /// A field of `properties`.
    Property(String),
    /// What visitors are meant to do. Only filters have it, until the goals' own filters stand in its place.
    Goal,
}

/// How names of fields of `properties` begin.
const PROPERTIES: &str = "properties.";

const KEY_CHARACTERS_MAX: usize = 200;

const OF_SESSIONS: [&str; 14] = [
    "channel",
    "referrer_host",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "browser",
    "os",
    "device",
    "country",
    "language",
    "entry_hostname",
    "entry_page",
    "exit_hostname",
    "exit_page",
];

const OF_EVENTS: [&str; 21] = [
    "name",
    "hostname",
    "path",
    "title",
    "url",
    "query",
    "referrer",
    "utm_term",
    "utm_content",
    "browser_version",
    "browser_app",
    "os_version",
    "region",
    "city",
    "screen",
    "viewport",
    "object",
    "currency",
    "protocol",
    "sdk",
    "user_id",
];

/// What Plausible's Stats API and GA4's Data API call the same.
const ELSEWHERE: [(&str, &str); 43] = [
    ("site_id", "site"),
    ("event:name", "name"),
    ("event", "name"),
    ("eventName", "name"),
    ("event:page", "path"),
    ("page", "path"),
    ("pagePath", "path"),
    ("event:hostname", "hostname"),
    ("host", "hostname"),
    ("hostName", "hostname"),
    ("pageTitle", "title"),
    ("visit:entry_page", "entry_page"),
    ("landingPage", "entry_page"),
    ("visit:entry_page_hostname", "entry_hostname"),
    ("visit:exit_page", "exit_page"),
    ("visit:exit_page_hostname", "exit_hostname"),
    ("visit:source", "referrer_host"),
    ("source", "referrer_host"),
    ("visit:referrer", "referrer_host"),
    ("visit:channel", "channel"),
    ("sessionDefaultChannelGroup", "channel"),
    ("visit:utm_source", "utm_source"),
    ("visit:utm_medium", "utm_medium"),
    ("visit:utm_campaign", "utm_campaign"),
    ("visit:utm_term", "utm_term"),
    ("visit:utm_content", "utm_content"),
    ("sessionSource", "utm_source"),
    ("sessionMedium", "utm_medium"),
    ("sessionCampaignName", "utm_campaign"),
    ("visit:browser", "browser"),
    ("visit:browser_version", "browser_version"),
    ("visit:os", "os"),
    ("visit:os_version", "os_version"),
    ("operatingSystem", "os"),
    ("system", "os"),
    ("visit:device", "device"),
    ("deviceCategory", "device"),
    ("visit:country", "country"),
    ("visit:region", "region"),
    ("visit:city", "city"),
    ("browser_language", "language"),
    ("screenResolution", "screen"),
    ("currencyCode", "currency"),
];

impl Dimension {
    /// The dimension of a name. Fails with words for the sender.
    pub(in crate::http::stats) fn named(name: &str) -> Result<Self, String> {
        if let Some(key) = name.strip_prefix(PROPERTIES) {
            return match key.chars().count() {
                0 => Err(format!("{name:?} names no field: write properties.plan for the field plan")),
                1..=KEY_CHARACTERS_MAX => Ok(Self::Property(key.to_owned())),
                _ => Err(format!("the name of a field has at most {KEY_CHARACTERS_MAX} characters: {name:?}")),
            };
        }
        if let Some(key) = name.strip_prefix("event:props:") {
            return Err(format!("there is no dimension {name:?}: write properties.{key}"));
        }
        let column = |names: &[&'static str]| names.iter().copied().find(|known| *known == name);
        match (name, column(&OF_SESSIONS), column(&OF_EVENTS)) {
            ("site", ..) => Ok(Self::Site),
            ("goal", ..) => Ok(Self::Goal),
            (_, Some(column), _) => Ok(Self::Session(column)),
            (_, _, Some(column)) => Ok(Self::Event(column)),
            _ => Err(names::unknown("dimension", name, Self::all_names(), &ELSEWHERE)),
        }
    }

    /// All names but those of fields, which are anybody's own.
    pub(in crate::http::stats) fn all_names() -> impl Iterator<Item = &'static str> {
        ["site"].into_iter().chain(OF_SESSIONS).chain(Self::names_of_events())
    }

    /// The names of those of events.
    pub(in crate::http::stats) fn names_of_events() -> impl Iterator<Item = &'static str> {
        OF_EVENTS.into_iter().chain(["properties.KEY"])
    }

    pub(in crate::http::stats) fn name(&self) -> String {
        match self {
            Self::Site => "site".to_owned(),
            Self::Session(column) | Self::Event(column) => (*column).to_owned(),
            Self::Property(key) => format!("{PROPERTIES}{key}"),
            Self::Goal => "goal".to_owned(),
        }
    }

    pub(in crate::http::stats) fn is_goal(&self) -> bool {
        *self == Self::Goal
    }

    pub(in crate::http::stats) fn is_of_sessions(&self) -> bool {
        matches!(self, Self::Session(_))
    }

    pub(in crate::http::stats) fn is_of_events(&self) -> bool {
        matches!(self, Self::Event(_) | Self::Property(_))
    }

    /// Whether it says who somebody is.
    pub(in crate::http::stats) fn is_of_people(&self) -> bool {
        matches!(self, Self::Event("user_id"))
    }

    /// Whether it says which page. Who is on a page has viewed it.
    pub(in crate::http::stats) fn is_of_pages(&self) -> bool {
        matches!(self, Self::Event("hostname" | "path" | "title" | "url" | "query"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_dimension_and_names_from_elsewhere_lead_to_one() {
        for name in Dimension::all_names() {
            assert_eq!(Dimension::named(name).map(|dimension| dimension.name()), Ok(name.to_owned()));
        }
        for (elsewhere, here) in ELSEWHERE {
            assert!(Dimension::named(here).is_ok(), "{here}");
            let words = format!("there is no dimension {elsewhere:?}: write {here}");
            assert_eq!(Dimension::named(elsewhere).unwrap_err(), words);
        }
        assert_eq!(Dimension::named("properties.a.b"), Ok(Dimension::Property("a.b".into())));
        assert!(Dimension::named("properties.").unwrap_err().contains("write properties.plan"));
        assert!(Dimension::named("event:props:plan").unwrap_err().ends_with("write properties.plan"));
        assert!(Dimension::named("contry").unwrap_err().ends_with("did you mean country?"));
    }

    #[test]
    fn every_dimension_of_events_is_one_of_their_columns() {
        let columns: Vec<&str> = lake::event_columns().iter().map(|column| column.name).collect();
        assert_eq!(OF_EVENTS.into_iter().filter(|name| !columns.contains(name)).collect::<Vec<_>>(), [""; 0]);
    }
}
