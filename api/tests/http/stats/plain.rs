//! The numbers once more, in plain Rust over the events, as `docs/STATS_API.md` defines them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lake::{Event, visitor_id};
use serde_json::{Value as Json, json};

const GAP_US: i64 = 1_800_000_000;
const CAP_US: i64 = 86_400_000_000;

/// An event with who it is of.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub event: &'a Event,
    pub visitor: Option<i64>,
}

/// Events of one visitor that belong together, in order.
#[derive(Clone)]
pub struct Session<'a> {
    pub visitor: i64,
    pub events: Vec<&'a Event>,
}

/// Everything that counts: events, and the sessions that they make.
pub struct World<'a> {
    pub events: Vec<Known<'a>>,
    pub sessions: Vec<Session<'a>>,
}

/// What holds of an event and its session.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Operator, dimension, values.
    Test(&'static str, &'static str, Vec<String>),
    All(Vec<Rule>),
    Any(Vec<Rule>),
    None(Box<Rule>),
}

pub const OF_SESSIONS: [&str; 3] = ["browser", "entry_page", "country"];
pub const OF_EVENTS: [&str; 3] = ["path", "name", "properties.plan"];

impl Rule {
    pub fn to_json(&self) -> Json {
        let all = |rules: &[Self]| rules.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::Test(operator, dimension, _) if operator.starts_with("exists") => json!([operator, dimension]),
            Self::Test(operator, dimension, values) => json!([operator, dimension, values]),
            Self::All(rules) => json!(["and", all(rules)]),
            Self::Any(rules) => json!(["or", all(rules)]),
            Self::None(rule) => json!(["not", rule.to_json()]),
        }
    }

    pub fn names(&self, dimensions: &[&str]) -> bool {
        match self {
            Self::Test(_, dimension, _) => dimensions.contains(dimension),
            Self::All(rules) | Self::Any(rules) => rules.iter().any(|rule| rule.names(dimensions)),
            Self::None(rule) => rule.names(dimensions),
        }
    }

    fn holds(&self, event: Option<&Event>, session: Option<&Session<'_>>) -> bool {
        match self {
            Self::Test(operator, dimension, values) => {
                let value = value(dimension, event, session);
                let any = |test: &dyn Fn(&str, &str) -> bool| {
                    value.as_ref().is_some_and(|value| values.iter().any(|other| test(value, other)))
                };
                match *operator {
                    "is" => any(&|value, other| value == other),
                    "is_not" => !any(&|value, other| value == other),
                    "contains" => any(&|value, other| value.contains(other)),
                    "contains_not" => !any(&|value, other| value.contains(other)),
                    "starts_with" => any(&|value, other| value.starts_with(other)),
                    "ends_with_not" => !any(&|value, other| value.ends_with(other)),
                    "exists" => value.is_some(),
                    "exists_not" => value.is_none(),
                    other => panic!("{other}"),
                }
            }
            Self::All(rules) => rules.iter().all(|rule| rule.holds(event, session)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(event, session)),
            Self::None(rule) => !rule.holds(event, session),
        }
    }
}

/// The value of a dimension.
pub fn value(dimension: &str, event: Option<&Event>, session: Option<&Session<'_>>) -> Option<String> {
    let first = || session.unwrap().events[0];
    match dimension {
        "browser" => first().browser.clone(),
        "country" => first().country.clone(),
        "entry_page" => session.unwrap().events.iter().find(|event| event.name == "page_view")?.path.clone(),
        "path" => event.unwrap().path.clone(),
        "name" => Some(event.unwrap().name.clone()),
        "properties.plan" => {
            let properties: Json = serde_json::from_str(event.unwrap().properties.as_deref()?).unwrap();
            properties["plan"].as_str().map(str::to_owned)
        }
        other => panic!("{other}"),
    }
}

impl<'a> World<'a> {
    pub fn new(events: &'a [Event]) -> Self {
        // Who was last seen with an anonymous id.
        let mut users: HashMap<&str, (i64, &str)> = HashMap::new();
        for event in events.iter().filter(|event| !event.is_bot) {
            if let (Some(user), Some(anonymous)) = (&event.user_id, &event.anonymous_id) {
                let seen = (event.occurred_at_us, user.as_str());
                let known = users.entry(anonymous).or_insert(seen);
                *known = (*known).max(seen);
            }
        }
        let who = |event: &Event| match (&event.user_id, &event.anonymous_id) {
            (Some(user), _) => Some(visitor_id("shop", user)),
            (None, Some(anonymous)) => {
                let user = users.get(anonymous.as_str()).map_or(anonymous.as_str(), |(_, user)| user);
                Some(visitor_id("shop", user))
            }
            (None, None) => None,
        };
        let known: Vec<Known<'a>> =
            events.iter().filter(|event| !event.is_bot).map(|event| Known { event, visitor: who(event) }).collect();
        let mut chains: BTreeMap<(i64, Option<&str>), Vec<&'a Event>> = BTreeMap::new();
        for Known { event, visitor } in &known {
            if let Some(visitor) = visitor {
                chains.entry((*visitor, event.session_id.as_deref())).or_default().push(event);
            }
        }
        let mut sessions: Vec<Session<'a>> = Vec::new();
        for ((visitor, client), mut events) in chains {
            events.sort_by_key(|event| (event.occurred_at_us, event.event_id));
            let mut open: Vec<&Event> = Vec::new();
            for event in events {
                if let (Some(first), Some(last)) = (open.first(), open.last()) {
                    let paused = client.is_none() && event.occurred_at_us - last.occurred_at_us > GAP_US;
                    if paused || event.occurred_at_us - first.occurred_at_us >= CAP_US {
                        sessions.push(Session { visitor, events: std::mem::take(&mut open) });
                    }
                }
                open.push(event);
            }
            sessions.push(Session { visitor, events: open });
        }
        Self { events: known, sessions }
    }

    /// Numbers by the value of a dimension, of events that match in `[from, until)`: visitors, page views, events, sessions,
    /// bounce rate, mean duration in seconds.
    pub fn numbers(
        &self,
        rule: &Rule,
        dimension: Option<&str>,
        from: i64,
        until: i64,
    ) -> BTreeMap<Option<String>, Json> {
        let names =
            |dimensions: &[&str]| rule.names(dimensions) || dimension.is_some_and(|one| dimensions.contains(&one));
        let (by_sessions, by_events) = (names(&OF_SESSIONS), names(&OF_EVENTS));
        let in_range = |us: i64| us >= from && us < until;
        let is_page = dimension == Some("path");
        let key = |event, session| dimension.map_or(Some(String::new()), |dimension| value(dimension, event, session));
        let mut groups: BTreeMap<Option<String>, Group<'_>> = BTreeMap::new();
        if dimension.is_none() {
            groups.entry(Some(String::new())).or_default();
        }
        let begun = || self.sessions.iter().filter(|session| in_range(session.events[0].occurred_at_us));
        if !by_sessions {
            for Known { event, visitor } in &self.events {
                if in_range(event.occurred_at_us) && rule.holds(Some(event), None) {
                    groups.entry(key(Some(event), None)).or_default().add(event, *visitor, is_page);
                }
            }
        }
        for session in begun() {
            if !by_events {
                if rule.holds(None, Some(session)) {
                    let group = groups.entry(key(None, Some(session))).or_default();
                    group.sessions.push(session);
                    if by_sessions {
                        session.events.iter().for_each(|event| group.add(event, Some(session.visitor), false));
                    }
                }
                continue;
            }
            let mut keys = BTreeSet::new();
            for event in session.events.iter().filter(|event| rule.holds(Some(event), Some(session))) {
                let key = key(Some(event), Some(session));
                if by_sessions {
                    groups.entry(key.clone()).or_default().add(event, Some(session.visitor), is_page);
                }
                if !is_page || event.name == "page_view" {
                    keys.insert(key);
                }
            }
            keys.into_iter().for_each(|key| groups.entry(key).or_default().sessions.push(session));
        }
        groups.into_iter().map(|(key, group)| (key, group.numbers())).collect()
    }
}

/// What is counted in one row.
#[derive(Default)]
struct Group<'a> {
    visitors: BTreeSet<i64>,
    page_views: u64,
    events: u64,
    sessions: Vec<&'a Session<'a>>,
}

impl Group<'_> {
    fn add(&mut self, event: &Event, visitor: Option<i64>, is_page: bool) {
        let is_view = event.name == "page_view";
        if !is_page || is_view {
            self.visitors.extend(visitor);
        }
        self.page_views += u64::from(is_view);
        self.events += u64::from(event.name != "page_ping");
    }

    fn numbers(&self) -> Json {
        let sessions = self.sessions.len() as u64;
        // Nobody looks at a page for long here: there are no pings.
        let is_bounce = |session: &&&Session<'_>| session.events.len() == 1 && session.events[0].name == "page_view";
        let bounces = self.sessions.iter().filter(is_bounce).count() as f64;
        let seconds = |us: i64| us.div_euclid(1_000_000);
        let duration = |session: &&Session<'_>| {
            let (first, last) = (session.events[0], session.events[session.events.len() - 1]);
            seconds(last.occurred_at_us) - seconds(first.occurred_at_us)
        };
        let duration: i64 = self.sessions.iter().map(duration).sum();
        let share = |whole: f64| if sessions == 0 { Json::Null } else { json!(whole / sessions as f64) };
        let engaged = share(sessions as f64 - bounces);
        let bounce_rate = engaged.as_f64().map_or(Json::Null, |engaged| json!(1.0 - engaged));
        json!([self.visitors.len(), self.page_views, self.events, sessions, bounce_rate, share(duration as f64)])
    }
}
