//! The endpoints and their parameters: what is accepted, and what the OpenAPI document says is accepted, are this.

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Aggregate,
    Timeseries,
    Breakdown,
    Funnel,
    Retention,
    Paths,
    Sessions,
    Session,
    Visitors,
    Live,
    Realtime,
    Goals,
    Heatmap,
    Robots,
}

/// A parameter of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Whether an address may have it several times.
    pub(super) repeats: bool,
    pub(super) kind: Kind,
    pub(super) what: &'static str,
}

/// What a parameter's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// Texts, divided by commas in an address.
    Texts,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A whole number.
    Number(i64, i64),
    /// Yes or no.
    Flag,
    /// Nested lists; JSON in an address.
    Lists,
    /// Pairs of a name and a direction.
    Order,
    /// Numbers by name.
    Numbers,
}

const fn one(name: &'static str, kind: Kind, what: &'static str) -> Parameter {
    Parameter { name, repeats: false, kind, what }
}

const fn several(name: &'static str, what: &'static str) -> Parameter {
    Parameter { name, repeats: true, kind: Kind::Text, what }
}

const SITE: Parameter =
    one("site", Kind::Texts, "One site, or several that are counted together; all that the key reads if not given.");
const DATE_RANGE: Parameter = one(
    "date_range",
    Kind::Texts,
    "today, yesterday, 7d, week, month, year, last_week, last_month, last_year, 6mo, all, or two days, both included. 30d if not given.",
);
const FROM: Parameter = one("from", Kind::Text, "The beginning of the range, instead of date_range: a time, or a day.");
const UNTIL: Parameter =
    one("until", Kind::Text, "Its end, which is not included: a time, or a day; now if not given.");
const TIME_ZONE: Parameter =
    one("time_zone", Kind::Text, "The zone of days, such as Europe/Berlin; that of the site if not given.");
const FILTER: Parameter = several(
    "filter",
    "A condition such as country:is:DE,AT, or several of which one must hold, divided by |. All filters must hold.",
);
const FILTERS: Parameter =
    one("filters", Kind::Lists, "Filters as nested lists, all of which must hold: [[\"is\", \"country\", [\"DE\"]]].");
const METRICS: Parameter = one("metrics", Kind::Texts, "The numbers that are asked for.");
const DIMENSIONS: Parameter = one("dimensions", Kind::Texts, "What rows or lines are told apart by: one to three.");
const CURRENCY: Parameter = one("currency", Kind::Text, "The currency of revenue.");
const GOAL: Parameter = one("goal", Kind::Text, "The goal whose conversions are counted, by name or id; of one site.");
const COMPARE: Parameter = one("compare", Kind::Texts, "previous_period, previous_year, or two days, both included.");
const WITH_IMPORTED: Parameter = one(
    "with_imported",
    Kind::Flag,
    "Whether days that were imported from another product are added, up to the first day with an event; false if not given.",
);
const INTERVAL: Parameter = one(
    "interval",
    Kind::Word(&["minute", "hour", "day", "week", "month"]),
    "What a series is divided by; what suits the range if not given.",
);
const COHORT_INTERVAL: Parameter =
    one("interval", Kind::Word(&["day", "week", "month"]), "What cohorts are: week if not given.");
const SEARCH: Parameter = one("search", Kind::Text, "Only rows in which this text is, upper or lower case.");
const ORDER_BY: Parameter = one("order_by", Kind::Order, "What rows are sorted by: visitors:desc.");
const MINIMUM: Parameter = one("minimum", Kind::Numbers, "Only rows with at least so many: visitors:10.");
const LIMIT: Parameter = one("limit", Kind::Number(1, 1_000), "Rows of the page; 100 if not given.");
const OFFSET: Parameter = one("offset", Kind::Number(0, 100_000), "Rows before the page.");
const LINES: Parameter =
    one("limit", Kind::Number(1, 20), "How many lines: those with most of the first metric; 10 if not given.");
const NODES: Parameter = one("limit", Kind::Number(1, 50), "Pages of a step; 10 if not given.");
const STEP: Parameter = several("step", "A step: a condition as in filter. Two to ten, in order.");
const FUNNEL_STEPS: Parameter = one("steps", Kind::Lists, "The steps as a list of filters, instead of step.");
const WINDOW: Parameter =
    one("window", Kind::Text, "The longest time from the first step to the last, such as 30m, 2h, 7d.");
const PATH_STEPS: Parameter = one("steps", Kind::Number(2, 10), "How many steps are shown; 4 if not given.");
const START: Parameter =
    one("start", Kind::Text, "The path at whose first view journeys begin; the session's first if not given.");
const VISITOR: Parameter = one("visitor", Kind::Text, "Only sessions of this visitor.");

impl Endpoint {
    pub(super) const ALL: [Self; 14] = [
        Self::Aggregate,
        Self::Timeseries,
        Self::Breakdown,
        Self::Funnel,
        Self::Retention,
        Self::Paths,
        Self::Sessions,
        Self::Session,
        Self::Visitors,
        Self::Live,
        Self::Realtime,
        Self::Goals,
        Self::Heatmap,
        Self::Robots,
    ];

    /// Its address below `/v1/stats/`.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::Timeseries => "timeseries",
            Self::Breakdown => "breakdown",
            Self::Funnel => "funnel",
            Self::Retention => "retention",
            Self::Paths => "paths",
            Self::Sessions => "sessions",
            Self::Session => "sessions/{id}",
            Self::Visitors => "visitors",
            Self::Live => "live",
            Self::Realtime => "realtime",
            Self::Goals => "goals",
            Self::Heatmap => "heatmap",
            Self::Robots => "robots",
        }
    }

    /// What it answers.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Aggregate => "Single numbers",
            Self::Timeseries => "Numbers by minute, hour, day, week or month",
            Self::Breakdown => "Numbers by the values of dimensions",
            Self::Funnel => "How many visitors take steps one after the other",
            Self::Retention => "How many come again, by when they came first",
            Self::Paths => "Which pages follow one another in sessions",
            Self::Sessions => "Sessions, the newest first",
            Self::Session => "What happened in one session",
            Self::Visitors => "People, with their first and last visit",
            Self::Live => "The last 5 minutes",
            Self::Realtime => "The last 30 minutes, by minute",
            Self::Goals => "How many reach each goal of a site",
            Self::Heatmap => "Numbers by the hour of the week",
            Self::Robots => "What robots did, which all other numbers leave out",
        }
    }

    pub(super) fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::Aggregate => &[
                SITE,
                DATE_RANGE,
                FROM,
                UNTIL,
                TIME_ZONE,
                FILTER,
                FILTERS,
                METRICS,
                CURRENCY,
                GOAL,
                COMPARE,
                WITH_IMPORTED,
            ],
            Self::Timeseries => &[
                SITE,
                DATE_RANGE,
                FROM,
                UNTIL,
                TIME_ZONE,
                FILTER,
                FILTERS,
                METRICS,
                CURRENCY,
                GOAL,
                COMPARE,
                WITH_IMPORTED,
                INTERVAL,
                DIMENSIONS,
                LINES,
            ],
            Self::Breakdown => &[
                SITE,
                DATE_RANGE,
                FROM,
                UNTIL,
                TIME_ZONE,
                FILTER,
                FILTERS,
                METRICS,
                CURRENCY,
                GOAL,
                COMPARE,
                WITH_IMPORTED,
                DIMENSIONS,
                SEARCH,
                ORDER_BY,
                MINIMUM,
                LIMIT,
                OFFSET,
            ],
            Self::Funnel => {
                &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE, FILTER, FILTERS, COMPARE, STEP, FUNNEL_STEPS, WINDOW]
            }
            Self::Retention => &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE, FILTER, FILTERS, COHORT_INTERVAL],
            Self::Paths => &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE, FILTER, FILTERS, PATH_STEPS, START, NODES],
            Self::Sessions => &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE, FILTER, FILTERS, VISITOR, LIMIT, OFFSET],
            Self::Session => &[SITE, TIME_ZONE],
            Self::Visitors => {
                &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE, FILTER, FILTERS, SEARCH, ORDER_BY, LIMIT, OFFSET]
            }
            Self::Goals => &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE, FILTER, FILTERS],
            Self::Heatmap => &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE, FILTER, FILTERS, METRICS],
            Self::Robots => &[SITE, DATE_RANGE, FROM, UNTIL, TIME_ZONE],
            Self::Live | Self::Realtime => &[SITE, TIME_ZONE, FILTER, FILTERS],
        }
    }

    /// Whether it shows people one by one.
    pub(super) fn shows_people(self) -> bool {
        matches!(self, Self::Sessions | Self::Session | Self::Visitors)
    }

    /// The names of its parameters, and whether each may be there several times.
    pub(super) fn names(self) -> Vec<(&'static str, bool)> {
        self.parameters().iter().map(|parameter| (parameter.name, parameter.repeats)).collect()
    }
}
