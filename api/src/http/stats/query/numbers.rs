//! The SQL of metrics over rows, apart for each value of dimensions and each interval of a range.
//!
//! Metrics of events and metrics of sessions are counted in different rows, each in a query of its own that gives the
//! [parts](Part) it knows; their rows are put together by interval and dimensions, and metrics made of them.

use super::imported::Imported;
use super::rows::{Counted, Rows, VISITOR};
use super::statement::{self, Named, Values};
use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::filter::Filter;
use crate::http::stats::said::intervals::Interval;
use crate::http::stats::said::metric::{Metric, Part};
use crate::http::stats::said::zone::Zone;

/// Metrics that are asked for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Numbers {
    pub(in crate::http::stats) counted: Counted,
    pub(in crate::http::stats) metrics: Vec<Metric>,
    pub(in crate::http::stats) dimensions: Vec<Dimension>,
    /// What the rows are apart by in time, in which zone.
    pub(in crate::http::stats) times: Option<Times>,
    /// The currency of money.
    pub(in crate::http::stats) currency: Option<String>,
    /// Days of another product that are added.
    pub(in crate::http::stats) imported: Option<Imported>,
}

/// What rows are told apart by in time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) enum Times {
    /// The intervals of a range.
    Intervals(Interval, Zone),
    /// The hours of the week, of which the first is 0 o'clock on Monday, by its number.
    HoursOfWeek(Zone),
}

impl Numbers {
    /// A query that gives the interval (if there are any), the dimensions as `d0`, `d1` … and the metrics as `m0`, `m1` …
    /// It has no row where nothing was counted, but for one if there is nothing to tell rows apart.
    pub(in crate::http::stats) fn sql(&self, values: &mut Values) -> String {
        let mut parts: Vec<Part> = self.metrics.iter().flat_map(|metric| metric.parts()).copied().collect();
        parts.sort();
        parts.dedup();
        let (of_sessions, of_events): (Vec<Part>, Vec<Part>) = parts.iter().partition(|part| part.is_of_sessions());
        let asks_for_goal = of_events.iter().any(|part| part.is_of_goal());
        let needs_events = asks_for_goal || asks_for_money(&of_events);
        let of_goal = self.counted.goal.iter().filter(|_| asks_for_goal).flat_map(Filter::conditions);
        let named: Vec<Dimension> =
            self.dimensions.iter().cloned().chain(of_goal.map(|condition| condition.dimension.clone())).collect();
        let rows_of_events = self.counted.rows_of_events(&named, needs_events);
        let mut queries = Vec::new();
        let rows_of_sessions = self.counted.rows_of_sessions(&self.dimensions);
        // Sessions with their events know whose they are.
        let sessions_know = rows_of_events == Rows::EventsOfSessions
            && rows_of_sessions == Rows::EventsOfSessions
            && !of_sessions.is_empty()
            && of_events == [Part::Visitors];
        if !of_events.is_empty() && !sessions_know {
            queries.push(match rows_of_events {
                Rows::Events => self.of_events(&parts, values),
                // Sessions know all of it, and of themselves, too.
                Rows::Sessions => self.of_sessions(&parts, |_| true, values),
                Rows::EventsOfSessions => self.of_events_of_sessions(&parts, values),
            });
        }
        if !of_sessions.is_empty() && (of_events.is_empty() || rows_of_events != Rows::Sessions) {
            queries.push(match rows_of_sessions {
                Rows::EventsOfSessions => {
                    let knows = |part: Part| part.is_of_sessions() || sessions_know && part == Part::Visitors;
                    self.of_sessions_with_events(&parts, knows, values)
                }
                Rows::Events | Rows::Sessions => self.of_sessions(&parts, Part::is_of_sessions, values),
            });
        }
        let keys = self.keys();
        let mut together: Vec<String> = parts.iter().map(|part| format!("max({0}) AS {0}", part.name())).collect();
        if let Some(imported) = &self.imported {
            queries.push(imported.sql(&self.counted, self.interval(), &self.dimensions, &parts, values));
            let sum = |part: &Part| format!("CAST(sum({0}) AS {1}) AS {0}", part.name(), part.sql_type());
            together = parts.iter().map(sum).chain(["max(imported) AS imported".to_owned()]).collect();
        }
        let sql_of = |metric: Metric| match &self.imported {
            Some(imported) => imported.metric(metric),
            None => metric.sql().to_owned(),
        };
        let metrics = self.metrics.iter().enumerate().map(|(at, metric)| format!("{} AS m{at}", sql_of(*metric)));
        format!(
            "SELECT {} FROM (SELECT {} FROM ({}) AS counted{}) AS parts",
            keys.iter().cloned().chain(metrics).collect::<Vec<_>>().join(", "),
            keys.iter().cloned().chain(together).collect::<Vec<_>>().join(", "),
            queries.join(" UNION ALL "),
            group_by(&keys)
        )
    }

    /// The intervals that rows are told apart by, if they are.
    fn interval(&self) -> Option<Interval> {
        match &self.times {
            Some(Times::Intervals(interval, _)) => Some(*interval),
            Some(Times::HoursOfWeek(_)) | None => None,
        }
    }

    /// What rows are told apart by, by name.
    fn keys(&self) -> Vec<String> {
        let times = self.times.iter().map(|_| "t".to_owned());
        times.chain((0..self.dimensions.len()).map(|at| format!("d{at}"))).collect()
    }

    /// The same as expressions over rows of events and sessions.
    ///
    /// - `time`: when a row is counted.
    fn key_expressions(&self, time: &str, named: Named, values: &mut Values) -> Vec<String> {
        let mut expressions = Vec::new();
        if let Some(Times::HoursOfWeek(zone)) = &self.times {
            let local = format!("{time} AT TIME ZONE {}", values.text(zone.name()));
            let part = |name: &str| format!("CAST(date_part('{name}', {local}) AS BIGINT)");
            expressions.push(format!("({} - 1) * 24 + {} AS t", part("isodow"), part("hour")));
        }
        if let Some(Times::Intervals(interval, zone)) = &self.times {
            expressions.push(match interval.length() {
                Some(_) => {
                    let origin = values.time(interval.bin_origin(self.counted.range, zone));
                    let name = interval.name();
                    format!("date_bin(INTERVAL '1 {name}', {time}, CAST({origin} AS TIMESTAMP WITH TIME ZONE)) AS t")
                }
                None => {
                    let (name, zone) = (interval.name(), values.text(zone.name()));
                    format!("CAST(date_trunc('{name}', {time} AT TIME ZONE {zone}) AS DATE) AS t")
                }
            });
        }
        for (at, dimension) in self.dimensions.iter().enumerate() {
            expressions.push(format!("{} AS d{at}", statement::dimension(dimension, named, values)));
        }
        expressions
    }

    /// Whether somebody whose first event ever is `v.first_seen_at` came first in the time of a row.
    fn is_new(&self, t: &str, values: &mut Values) -> String {
        let from = values.time(self.counted.range.from);
        let in_range = format!("v.first_seen_at >= {from}");
        match &self.times {
            None | Some(Times::HoursOfWeek(_)) => in_range,
            Some(Times::Intervals(interval, _)) if interval.length().is_some() => {
                format!("{in_range} AND v.first_seen_at >= {t}")
            }
            Some(Times::Intervals(_, zone)) => {
                let zone = values.text(zone.name());
                format!("{in_range} AND v.first_seen_at >= CAST({t} AS TIMESTAMP) AT TIME ZONE {zone}")
            }
        }
    }

    fn asks_for_pages(&self) -> bool {
        self.dimensions.iter().any(Dimension::is_of_pages)
    }

    /// Counts events, each when it happened. Somebody anonymous is the user who signed in later.
    fn of_events(&self, parts: &[Part], values: &mut Values) -> String {
        let people = if parts.iter().any(|part| part.is_of_people()) {
            "e.visitor_id, e.user_id IS NULL AS is_anonymous,"
        } else {
            ""
        };
        let inner = format!(
            "SELECT {} {}{people} e.name {}",
            self.keys_of("e.occurred_at", values),
            self.counted_columns(parts, values),
            self.counted.sql(Rows::Events, values)
        );
        // In this order: the hash table is made of identities, and events stay in the order of visitors.
        let (visitor, rows) = match people {
            "" => ("e.visitor_id", format!("({inner}) AS e")),
            _ => (
                "coalesce(i.user_visitor_id, e.visitor_id)",
                format!(
                    "identities AS i RIGHT JOIN ({inner}) AS e ON i.anonymous_visitor_id = e.visitor_id AND e.is_anonymous"
                ),
            ),
        };
        self.counts_of_events(parts, &rows, visitor, values)
    }

    /// Counts events that match, of sessions that match, when the session began.
    fn of_events_of_sessions(&self, parts: &[Part], values: &mut Values) -> String {
        let inner = format!(
            "SELECT {} {}s.visitor_id, e.name {}",
            self.keys_of("s.started_at", values),
            self.counted_columns(parts, values),
            self.counted.sql(Rows::EventsOfSessions, values)
        );
        self.counts_of_events(parts, &format!("({inner}) AS e"), "e.visitor_id", values)
    }

    /// What rows with events are told apart by, as columns.
    fn keys_of(&self, time: &str, values: &mut Values) -> String {
        self.key_expressions(time, Named::Events, values).iter().map(|key| format!("{key}, ")).collect()
    }

    /// The columns that money and goals are counted of, if they are.
    fn counted_columns(&self, parts: &[Part], values: &mut Values) -> String {
        let money = if asks_for_money(parts) { "e.revenue, e.currency, " } else { "" };
        match parts.iter().any(|part| part.is_of_goal()) {
            true => format!("{money}{} AS is_goal, ", self.reaches_goal(values)),
            false => money.to_owned(),
        }
    }

    /// - `rows`: events `e` with what tells them apart.
    /// - `visitor`: whose an event is.
    fn counts_of_events(&self, parts: &[Part], rows: &str, visitor: &str, values: &mut Values) -> String {
        let on_page = if self.asks_for_pages() { "e.name = 'page_view'" } else { "TRUE" };
        let outer = self.selected(parts, |part| match part {
            Part::Visitors => Some(format!("count(DISTINCT {visitor}) FILTER (WHERE {on_page})")),
            Part::ConvertedVisitors => Some(format!("count(DISTINCT {visitor}) FILTER (WHERE e.is_goal)")),
            Part::Conversions => Some("count(*) FILTER (WHERE e.is_goal)".to_owned()),
            Part::NewVisitors => {
                let is_new = self.is_new("e.t", values);
                Some(format!("count(DISTINCT {visitor}) FILTER (WHERE {on_page} AND {is_new})"))
            }
            Part::PageViews => Some("count(*) FILTER (WHERE e.name = 'page_view')".to_owned()),
            Part::Events => Some("count(*) FILTER (WHERE e.name <> 'page_ping')".to_owned()),
            Part::Revenue | Part::Transactions => Some(self.money(part, values)),
            _ => None,
        });
        let join = match parts.contains(&Part::NewVisitors) {
            true => format!(" LEFT JOIN visitors AS v ON v.visitor_id = {visitor}"),
            false => String::new(),
        };
        let keys: Vec<String> = self.keys().iter().map(|key| format!("e.{key}")).collect();
        format!(
            "SELECT {} FROM {rows}{join}{}",
            keys.iter().cloned().chain([outer]).collect::<Vec<_>>().join(", "),
            group_by(&keys)
        )
    }

    /// Counts sessions of which nothing is asked but what they know.
    ///
    /// - `knows`: which parts they give here.
    fn of_sessions(&self, parts: &[Part], knows: impl Fn(Part) -> bool, values: &mut Values) -> String {
        let keys = self.key_expressions("s.started_at", Named::Sessions, values);
        let new = parts.contains(&Part::NewVisitors) && knows(Part::NewVisitors);
        let outer = self.selected(parts, |part| match part {
            _ if !knows(part) => None,
            Part::NewVisitors => {
                let is_new = self.is_new("s.t", values);
                Some(format!("count(DISTINCT s.visitor_id) FILTER (WHERE {is_new})"))
            }
            part => of_sessions(part),
        });
        let names = self.keys();
        // Keys are made first, so that what is new in an interval can name it.
        let inner = format!(
            "SELECT {} s.visitor_id, s.page_views, s.events, s.duration_s, s.is_bounce, s.engaged_s {}",
            keys.iter().map(|key| format!("{key},")).collect::<Vec<_>>().join(" "),
            self.counted.sql(Rows::Sessions, values)
        );
        let join = if new { " LEFT JOIN visitors AS v ON v.visitor_id = s.visitor_id" } else { "" };
        format!(
            "SELECT {} FROM ({inner}) AS s{join}{}",
            names.iter().map(|name| format!("s.{name}")).chain([outer]).collect::<Vec<_>>().join(", "),
            group_by(&names.iter().map(|name| format!("s.{name}")).collect::<Vec<_>>())
        )
    }

    /// Counts sessions that have an event that matches, each once in each row.
    ///
    /// - `knows`: which parts they give here.
    fn of_sessions_with_events(&self, parts: &[Part], knows: impl Fn(Part) -> bool, values: &mut Values) -> String {
        let keys = self.key_expressions("s.started_at", Named::Events, values);
        let on_page = if self.asks_for_pages() { " AND e.name = 'page_view'" } else { "" };
        // No more columns than are counted: some of them cost a look at all properties.
        let columns = parts.iter().filter_map(|part| match part {
            Part::EngagedSessions => Some("s.is_bounce, "),
            Part::Duration => Some("s.duration_s, "),
            Part::Engaged => Some("s.engaged_s, "),
            Part::SessionPageViews => Some("s.page_views, "),
            Part::DurationMedian if !parts.contains(&Part::Duration) => Some("s.duration_s, "),
            _ => None,
        });
        let inner = format!(
            "SELECT DISTINCT {} {}s.visitor_id, s.session_id, s.started_at {}{on_page}",
            keys.iter().map(|key| format!("{key},")).collect::<Vec<_>>().join(" "),
            columns.collect::<String>(),
            self.counted.sql(Rows::EventsOfSessions, values)
        );
        let outer = self.selected(parts, |part| if knows(part) { of_sessions(part) } else { None });
        let keys: Vec<String> = self.keys().iter().map(|key| format!("s.{key}")).collect();
        format!(
            "SELECT {} FROM ({inner}) AS s{}",
            keys.iter().cloned().chain([outer]).collect::<Vec<_>>().join(", "),
            group_by(&keys)
        )
    }

    /// All parts in their order, those that a query does not know as null.
    fn selected(&self, parts: &[Part], mut sql: impl FnMut(Part) -> Option<String>) -> String {
        let column = |part: &Part| {
            let expression = sql(*part).unwrap_or_else(|| "NULL".to_owned());
            format!("CAST({expression} AS {}) AS {}", part.sql_type(), part.name())
        };
        let imported = self.imported.iter().map(|_| "CAST(NULL AS BIGINT) AS imported".to_owned());
        parts.iter().map(column).chain(imported).collect::<Vec<_>>().join(", ")
    }

    /// Whether an event `e` reaches the goal. Anything but true if not.
    fn reaches_goal(&self, values: &mut Values) -> String {
        match &self.counted.goal {
            Some(goal) => statement::condition(goal, Named::Events, values),
            None => "FALSE".to_owned(),
        }
    }

    /// Money of events, or how many of them have some.
    fn money(&self, part: Part, values: &mut Values) -> String {
        let condition = match &self.currency {
            Some(currency) => {
                let currency = values.bind(engine::Param::Text(Some(currency.clone())));
                format!("e.currency = {currency}")
            }
            None => "TRUE".to_owned(),
        };
        match part {
            Part::Revenue => format!("sum(e.revenue) FILTER (WHERE {condition})"),
            _ => format!("count(e.revenue) FILTER (WHERE {condition})"),
        }
    }
}

/// What rows `s` of sessions give of themselves.
fn of_sessions(part: Part) -> Option<String> {
    let sql = match part {
        Part::Visitors => "count(DISTINCT s.visitor_id)",
        Part::PageViews | Part::SessionPageViews => "sum(s.page_views)",
        Part::Events => "sum(s.events)",
        Part::Sessions => "count(*)",
        Part::EngagedSessions => "count(*) FILTER (WHERE NOT s.is_bounce)",
        Part::Duration => "sum(s.duration_s)",
        Part::DurationMedian => "median(CAST(s.duration_s AS DOUBLE))",
        Part::Engaged => "sum(s.engaged_s)",
        Part::NewVisitors | Part::Revenue | Part::Transactions | Part::Conversions | Part::ConvertedVisitors => {
            return None;
        }
    };
    Some(sql.to_owned())
}

fn asks_for_money(parts: &[Part]) -> bool {
    parts.iter().any(|part| part.is_money())
}

/// By the first columns of a query, as many as there are keys.
fn group_by(keys: &[String]) -> String {
    let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
    match places.is_empty() {
        true => String::new(),
        false => format!(" GROUP BY {}", places.join(", ")),
    }
}

/// The visitors that are counted, each once, as a query of `visitor_id`.
pub(in crate::http::stats) fn visitors(counted: &Counted, values: &mut Values) -> String {
    let rows = counted.rows_of_events(&[], false);
    let visitor = if rows == Rows::Events { VISITOR } else { "s.visitor_id" };
    format!("SELECT DISTINCT {visitor} AS visitor_id {}", counted.sql_with_visitors(rows, values))
}
