//! `sessions`: sessions of a range, the newest first, and what happened in one of them.

use chrono::DateTime;
use engine::Param;
use serde_json::{Map, Value, json};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::rows::{Counted, Rows, VISITOR, WHO};
use crate::http::stats::query::statement::{Statement, Values};
use crate::http::stats::said::filter::Filter;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::range::Range;
use crate::http::stats::said::request::{self, Common, Page, Setting};
use crate::http::stats::said::zone::Zone;

/// Events of a session that are shown.
const EVENTS_MAX: i64 = 1_000;

/// Columns of a session, with their names in an answer. Ids come first, of which the session's own id is made.
const COLUMNS: [(&str, &str); 26] = [
    ("visitor_id", "visitor"),
    ("session_id", "client_session_id"),
    ("started_at", "started_at"),
    ("ended_at", "ended_at"),
    ("site_id", "site"),
    ("duration_s", "duration_s"),
    ("events", "events"),
    ("page_views", "page_views"),
    ("engaged_s", "engaged_s"),
    ("is_bounce", "is_bounce"),
    ("entry_hostname", "entry_hostname"),
    ("entry_page", "entry_page"),
    ("exit_hostname", "exit_hostname"),
    ("exit_page", "exit_page"),
    ("channel", "channel"),
    ("referrer_host", "referrer_host"),
    ("utm_source", "utm_source"),
    ("utm_medium", "utm_medium"),
    ("utm_campaign", "utm_campaign"),
    ("browser", "browser"),
    ("os", "os"),
    ("device", "device"),
    ("country", "country"),
    ("language", "language"),
    ("revenue", "revenue"),
    ("currency", "currency"),
];

const EVENT_COLUMNS: [&str; 10] =
    ["event_id", "occurred_at", "name", "hostname", "path", "title", "object", "revenue", "currency", "properties"];

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Sessions {
    pub(in crate::http::stats) common: Common,
    visitor: Option<i64>,
    page: Page,
}

/// One session, and what happened in it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Timeline {
    pub(in crate::http::stats) common: Common,
    id: SessionId,
}

/// What tells a session from all others: whose it is, when it began, and its id, if the client gave it one.
#[derive(Clone, Debug, PartialEq)]
struct SessionId {
    visitor: i64,
    started_us: i64,
    client_id: Option<String>,
}

impl SessionId {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let mut number = || parts.next()?.parse().ok();
        let (visitor, started_us) = (number()?, number()?);
        DateTime::from_timestamp_micros(started_us)?;
        Some(Self { visitor, started_us, client_id: parts.next().map(str::to_owned) })
    }

    fn show(&self) -> String {
        let Self { visitor, started_us, client_id } = self;
        let client_id = client_id.as_ref().map(|id| format!(".{id}")).unwrap_or_default();
        format!("{visitor}.{started_us}{client_id}")
    }
}

impl Sessions {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let visitor = parameters.text("visitor")?.map(|text| {
            text.parse().map_err(|_| format!("visitor: {text:?} is no visitor's id: take one that an answer has"))
        });
        Ok(Self { common, visitor: visitor.transpose()?, page: Page::read(parameters)? })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("visitor".into(), json!(self.visitor.map(|visitor| visitor.to_string())));
        echo.insert("limit".into(), self.page.limit.into());
        echo.insert("offset".into(), self.page.offset.into());
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let rows = asker.rows(&self.statement(false)).await?;
        let total = match rows.first() {
            Some(row) => row[COLUMNS.len()].clone(),
            None if self.page.offset > 0 => asker.rows(&self.statement(true)).await?[0][0].clone(),
            None => 0.into(),
        };
        let mut answer = Map::new();
        answer.insert("results".into(), rows.iter().map(|row| shown(row, &self.common.zone)).collect());
        answer.insert("total_rows".into(), total);
        Ok(answer)
    }

    /// - `counts`: whether only the number of sessions is asked for.
    fn statement(&self, counts: bool) -> Statement {
        let mut values = Values::default();
        let counted = &self.common.counted;
        let rows = counted.rows_of_sessions(&[]);
        let of_visitor = match self.visitor {
            Some(visitor) => format!(" AND s.visitor_id = {}", values.number(visitor)),
            None => String::new(),
        };
        // A session counts once, however many of its events match.
        let distinct = if rows == Rows::Sessions { "" } else { "DISTINCT" };
        let all = format!("(SELECT {distinct} {} {}{of_visitor}) AS s", columns(), counted.sql(rows, &mut values));
        if counts {
            return values.into_statement(format!("SELECT count(*) AS total FROM {all}"));
        }
        let (limit, offset) = (values.number(self.page.limit), values.number(self.page.offset));
        let sql = format!(
            "SELECT {}, count(*) OVER () AS total FROM {all}
             ORDER BY started_at DESC, visitor_id, session_id NULLS FIRST LIMIT {limit} OFFSET {offset}",
            columns()
        );
        values.into_statement(sql)
    }
}

fn columns() -> String {
    COLUMNS.iter().map(|(column, _)| format!("s.{column}")).collect::<Vec<_>>().join(", ")
}

fn instant(text: &Value) -> Option<DateTime<chrono::Utc>> {
    text.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|at| at.to_utc())
}

/// A time as clocks of the zone show it.
fn time(text: &Value, zone: &Zone) -> Value {
    instant(text).map_or(Value::Null, |at| zone.show(at).into())
}

/// A number of 64 bits, which is its digits in text only if a double does not hold it.
pub(in crate::http::stats) fn digits(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A row as an answer shows it.
fn shown(row: &[Value], zone: &Zone) -> Value {
    let visitor = digits(&row[0]);
    let id = SessionId {
        visitor: visitor.parse().unwrap_or_default(),
        started_us: instant(&row[2]).map_or(0, |at| at.timestamp_micros()),
        client_id: row[1].as_str().map(str::to_owned),
    };
    let mut session = Map::new();
    session.insert("id".into(), id.show().into());
    for ((_, name), value) in COLUMNS.iter().zip(row) {
        let value = match *name {
            "visitor" => visitor.clone().into(),
            "started_at" | "ended_at" => time(value, zone),
            _ => value.clone(),
        };
        session.insert((*name).to_owned(), value);
    }
    session.into()
}

impl Timeline {
    /// - `id`: of the session, as the address has it.
    pub(in crate::http::stats) fn read(
        id: &str,
        parameters: &mut Parameters,
        setting: &Setting,
    ) -> Result<Self, String> {
        let zone = request::zone(parameters, setting)?;
        let id = SessionId::read(id)
            .ok_or_else(|| format!("{id:?} is no session's id: take one that /v1/stats/sessions has"))?;
        let from = DateTime::from_timestamp_micros(id.started_us).expect("an id has a time");
        let counted = Counted {
            range: Range { from, until: from + setting.session_cap + chrono::TimeDelta::microseconds(1) },
            filter: Filter::everything(),
            goal: None,
            session_cap: setting.session_cap,
        };
        Ok(Self { common: Common { zone, counted, compared: None, with_imported: false }, id })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("id".into(), self.id.show().into());
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let sessions = asker.rows(&self.session()).await?;
        let Some(row) = sessions.first() else {
            return Err(ApiError::NotFound(format!(
                "there is no session {}: if events came late, it may have another id now",
                self.id.show()
            )));
        };
        let zone = &self.common.zone;
        let events = asker.rows(&self.events(instant(&row[3]).unwrap_or(self.common.counted.range.until))).await?;
        let width = EVENT_COLUMNS.len();
        let mut session = shown(row, zone);
        session["user_id"] = events.iter().map(|event| &event[width]).find(|user| !user.is_null()).cloned().into();
        let total = events.first().map_or(json!(0), |event| event[width + 1].clone());
        let events = events.iter().map(|event| {
            let mut shown = Map::new();
            for (name, value) in EVENT_COLUMNS.iter().zip(event) {
                let value = match *name {
                    "occurred_at" => time(value, zone),
                    "properties" => {
                        value.as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_default())
                    }
                    _ => value.clone(),
                };
                shown.insert((*name).to_owned(), value);
            }
            Value::Object(shown)
        });
        let mut answer = Map::new();
        answer.insert("events".into(), events.collect());
        answer.insert("session".into(), session);
        answer.insert("total_events".into(), total);
        Ok(answer)
    }

    fn is_of_client(&self, column: &str, values: &mut Values) -> String {
        match &self.id.client_id {
            Some(id) => format!("{column} = {}", values.bind(Param::Text(Some(id.clone())))),
            None => format!("{column} IS NULL"),
        }
    }

    fn session(&self) -> Statement {
        let mut values = Values::default();
        let started = values.time(self.common.counted.range.from);
        let (visitor, client) = (values.number(self.id.visitor), self.is_of_client("s.session_id", &mut values));
        let sql = format!(
            "SELECT {} FROM sessions AS s
             WHERE s.started_at >= {started} AND s.started_at <= {started} AND s.visitor_id = {visitor} AND {client}",
            columns()
        );
        values.into_statement(sql)
    }

    /// The session's events, each with its user and the number of all of them.
    fn events(&self, ended_at: DateTime<chrono::Utc>) -> Statement {
        let mut values = Values::default();
        let (from, until) = (values.time(self.common.counted.range.from), values.time(ended_at));
        let (visitor, client) = (values.number(self.id.visitor), self.is_of_client("e.session_id", &mut values));
        let limit = values.number(EVENTS_MAX);
        let columns = EVENT_COLUMNS.map(|column| format!("e.{column}")).join(", ");
        let sql = format!(
            "SELECT {columns}, coalesce(i.user_id, e.user_id) AS user_id, count(*) OVER () AS total
             FROM events AS e {WHO}
             WHERE e.occurred_at >= {from} AND e.occurred_at <= {until} AND NOT e.is_bot AND e.name <> 'page_ping'
                 AND {VISITOR} = {visitor} AND {client}
             ORDER BY e.occurred_at, e.event_id
             LIMIT {limit}"
        );
        values.into_statement(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        for id in ["-5.1774687800000000", "7.0", "9223372036854775807.1.a.b/c ä", "1.2."] {
            assert_eq!(SessionId::read(id).map(|id| id.show()).as_deref(), Some(id));
        }
        for none in ["", "a.b", "7", "7.x", "99999999999999999999.1", "1.9223372036854775807"] {
            assert_eq!(SessionId::read(none), None, "{none}");
        }
    }
}
