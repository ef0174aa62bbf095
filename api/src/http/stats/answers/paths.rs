//! `paths`: which pages follow one another in sessions.

use serde_json::{Map, Value, json};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::rows::{SESSION_OF_EVENT, WHO};
use crate::http::stats::query::statement::{Statement, Values};
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{Common, Setting};

const STEPS: (i64, i64, i64) = (2, 4, 10);
const PAGES: (i64, i64, i64) = (1, 10, 50);

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Paths {
    pub(in crate::http::stats) common: Common,
    steps: i64,
    start: Option<String>,
    /// Pages of a step that are told apart.
    limit: i64,
}

/// So many sessions that go from one page to another, or end.
#[derive(Clone, Debug, PartialEq)]
struct Move {
    step: i64,
    /// A page, or null for all that are not told apart.
    from: Value,
    to: To,
    sessions: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum To {
    Page(Value),
    End,
    /// What lies behind the last step.
    Beyond,
}

impl Paths {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let steps = parameters.number("steps", STEPS.0, STEPS.2)?.unwrap_or(STEPS.1);
        let limit = parameters.number("limit", PAGES.0, PAGES.2)?.unwrap_or(PAGES.1);
        Ok(Self { common, steps, start: parameters.text("start")?, limit })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("steps".into(), self.steps.into());
        echo.insert("start".into(), json!(self.start));
        echo.insert("limit".into(), self.limit.into());
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let rows = asker.rows(&self.statement()).await?;
        let moves = rows.iter().map(|row| Move {
            step: row[0].as_i64().unwrap_or_default(),
            from: row[1].clone(),
            to: match row[3].as_bool() {
                _ if row[0].as_i64() == Some(self.steps) && row[3] == json!(false) => To::Beyond,
                Some(true) => To::End,
                _ => To::Page(row[2].clone()),
            },
            sessions: row[4].as_u64().unwrap_or_default(),
        });
        Ok(shown(&moves.collect::<Vec<_>>(), self.steps))
    }

    /// Moves by step: the page, the next page, whether there is none, and how many sessions. Pages that are not told apart
    /// are null.
    fn statement(&self) -> Statement {
        let mut values = Values::default();
        let counted = &self.common.counted;
        let chosen = counted.sql(counted.rows_of_sessions(&[]), &mut values);
        let from = values.time(counted.range.from);
        let latest = values.time(counted.range.until + counted.session_cap);
        let begins = match &self.start {
            Some(start) => format!("CASE WHEN path = {} THEN place END", values.text(start)),
            None => "place".to_owned(),
        };
        let (steps, limit) = (values.number(self.steps), values.number(self.limit));
        let session = "PARTITION BY visitor_id, session_id, started_at";
        let sql = format!(
            "WITH chosen AS (
                 SELECT DISTINCT s.visitor_id, s.session_id, s.started_at, s.ended_at {chosen}
             ),
             views AS (
                 SELECT s.visitor_id, s.session_id, s.started_at, e.occurred_at, e.event_id, e.path
                 FROM events AS e {WHO} JOIN chosen AS s ON {SESSION_OF_EVENT}
                 WHERE e.name = 'page_view' AND e.path IS NOT NULL AND NOT e.is_bot
                     AND e.occurred_at >= {from} AND e.occurred_at < {latest}
             ),
             followed AS (
                 SELECT *, lag(path) OVER ({session} ORDER BY occurred_at, event_id) AS before
                 FROM views
             ),
             pages AS (
                 SELECT
                     visitor_id, session_id, started_at, path,
                     row_number() OVER ({session} ORDER BY occurred_at, event_id) AS place
                 FROM followed
                 WHERE before IS DISTINCT FROM path
             ),
             begun AS (
                 SELECT
                     visitor_id, session_id, started_at, path, place,
                     min({begins}) OVER ({session}) AS first_place
                 FROM pages
             ),
             steps AS (
                 SELECT
                     place - first_place + 1 AS step,
                     path,
                     lead(path) OVER ({session} ORDER BY place) AS next_path
                 FROM begun
                 WHERE place >= first_place
             ),
             ranked AS (
                 SELECT step, path, row_number() OVER (PARTITION BY step ORDER BY count(*) DESC, path) AS rank
                 FROM steps
                 WHERE step <= {steps}
                 GROUP BY step, path
             )
             SELECT
                 steps.step,
                 CASE WHEN here.rank <= {limit} THEN steps.path END AS path,
                 CASE WHEN there.rank <= {limit} AND steps.step < {steps} THEN steps.next_path END AS next_path,
                 steps.next_path IS NULL AS ends,
                 count(*) AS sessions
             FROM steps
             JOIN ranked AS here ON here.step = steps.step AND here.path = steps.path
             LEFT JOIN ranked AS there ON there.step = steps.step + 1 AND there.path = steps.next_path
             WHERE steps.step <= {steps}
             GROUP BY 1, 2, 3, 4"
        );
        values.into_statement(sql)
    }
}

/// Pages of each step, most seen first and those that are not told apart last, and how sessions go on from them.
fn shown(moves: &[Move], steps: i64) -> Map<String, Value> {
    let mut steps_shown = Vec::new();
    let mut links = Vec::new();
    for step in 1..=steps {
        let here = || moves.iter().filter(|one| one.step == step);
        let mut pages: Vec<(&Value, u64, u64)> = Vec::new();
        for one in here() {
            let exits = if one.to == To::End { one.sessions } else { 0 };
            match pages.iter_mut().find(|(page, ..)| **page == one.from) {
                Some((_, sessions, all_exits)) => {
                    *sessions += one.sessions;
                    *all_exits += exits;
                }
                None => pages.push((&one.from, one.sessions, exits)),
            }
        }
        pages.sort_by_key(|(page, sessions, _)| (page.is_null(), std::cmp::Reverse(*sessions), page.to_string()));
        let total: u64 = pages.iter().map(|(_, sessions, _)| sessions).sum();
        let pages =
            pages.iter().map(|(path, sessions, exits)| json!({ "path": path, "sessions": sessions, "exits": exits }));
        steps_shown.push(json!({ "step": step, "sessions": total, "pages": pages.collect::<Vec<_>>() }));
        let mut here: Vec<&Move> = here().collect();
        here.sort_by_key(|one| (std::cmp::Reverse(one.sessions), one.from.to_string(), format!("{:?}", one.to)));
        for one in here {
            if let To::Page(to) = &one.to {
                links.push(json!({ "step": step, "from": one.from, "to": to, "sessions": one.sessions }));
            }
        }
    }
    let mut shown = Map::new();
    shown.insert("steps".into(), steps_shown.into());
    shown.insert("links".into(), links.into());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_the_sessions_of_all_their_moves() {
        let one = |step, from: Value, to, sessions| Move { step, from, to, sessions };
        let moves = [
            one(1, json!("/"), To::End, 3),
            one(1, json!("/"), To::Page(json!("/b")), 4),
            one(1, json!("/"), To::Page(Value::Null), 1),
            one(1, Value::Null, To::End, 9),
            one(2, json!("/b"), To::Beyond, 1),
            one(2, json!("/b"), To::End, 3),
            one(2, Value::Null, To::End, 1),
        ];
        let expected = json!({
            "steps": [
                { "step": 1, "sessions": 17, "pages": [
                    { "path": "/", "sessions": 8, "exits": 3 }, { "path": null, "sessions": 9, "exits": 9 },
                ] },
                { "step": 2, "sessions": 5, "pages": [
                    { "path": "/b", "sessions": 4, "exits": 3 }, { "path": null, "sessions": 1, "exits": 1 },
                ] },
            ],
            "links": [
                { "step": 1, "from": "/", "to": "/b", "sessions": 4 },
                { "step": 1, "from": "/", "to": null, "sessions": 1 },
            ],
        });
        assert_eq!(Value::from(shown(&moves, 2)), expected);
    }
}
