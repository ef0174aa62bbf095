//! `visitors`: the people who were there, with their first and last visit.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::sessions::digits;
use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::numbers;
use crate::http::stats::query::statement::{Statement, Values};
use crate::http::stats::said::names;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{Common, Page, Setting};

/// Columns of a visitor, with their names in an answer.
const COLUMNS: [(&str, &str); 15] = [
    ("visitor_id", "visitor"),
    ("site_id", "site"),
    ("user_id", "user_id"),
    ("first_seen_at", "first_seen_at"),
    ("last_seen_at", "last_seen_at"),
    ("events", "events"),
    ("page_views", "page_views"),
    ("sessions", "sessions"),
    ("first_hostname", "first_hostname"),
    ("first_page", "first_page"),
    ("first_referrer_host", "first_referrer_host"),
    ("first_channel", "first_channel"),
    ("first_utm_source", "first_utm_source"),
    ("first_utm_medium", "first_utm_medium"),
    ("first_utm_campaign", "first_utm_campaign"),
];

/// Columns that visitors can be sorted by.
const ORDERED: [&str; 5] = ["last_seen_at", "first_seen_at", "events", "page_views", "sessions"];

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Visitors {
    pub(in crate::http::stats) common: Common,
    search: Option<String>,
    /// A column, and whether the most or latest come first.
    order_by: (&'static str, bool),
    page: Page,
}

impl Visitors {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let search = parameters.text("search")?.filter(|text| !text.is_empty());
        Ok(Self { common, search, order_by: order_by(parameters)?, page: Page::read(parameters)? })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        let (column, descending) = self.order_by;
        echo.insert("search".into(), json!(self.search));
        echo.insert("order_by".into(), json!([[column, if descending { "desc" } else { "asc" }]]));
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
        let zone = &self.common.zone;
        let results = rows.iter().map(|row| {
            let mut visitor = Map::new();
            for ((_, name), value) in COLUMNS.iter().zip(row) {
                let at = || value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
                let value = match *name {
                    "visitor" => digits(value).into(),
                    "first_seen_at" | "last_seen_at" => at().map_or(Value::Null, |at| zone.show(at.to_utc()).into()),
                    _ => value.clone(),
                };
                visitor.insert((*name).to_owned(), value);
            }
            Value::Object(visitor)
        });
        let mut answer = Map::new();
        answer.insert("results".into(), results.collect());
        answer.insert("total_rows".into(), total);
        Ok(answer)
    }

    /// - `counts`: whether only the number of visitors is asked for.
    fn statement(&self, counts: bool) -> Statement {
        let mut values = Values::default();
        let active = numbers::visitors(&self.common.counted, &mut values);
        let found = match &self.search {
            Some(search) => format!("contains(lower(v.user_id), {})", values.text(&search.to_lowercase())),
            None => "TRUE".to_owned(),
        };
        let all =
            format!("FROM visitors AS v JOIN ({active}) AS active ON active.visitor_id = v.visitor_id WHERE {found}");
        if counts {
            return values.into_statement(format!("SELECT count(*) AS total {all}"));
        }
        let columns: Vec<String> = COLUMNS.iter().map(|(column, _)| format!("v.{column}")).collect();
        let (column, descending) = self.order_by;
        let direction = if descending { "DESC" } else { "ASC" };
        let (limit, offset) = (values.number(self.page.limit), values.number(self.page.offset));
        let sql = format!(
            "SELECT {}, count(*) OVER () AS total {all}
             ORDER BY v.{column} {direction}, v.visitor_id LIMIT {limit} OFFSET {offset}",
            columns.join(", ")
        );
        values.into_statement(sql)
    }
}

/// The last who came first, if nothing is asked for.
fn order_by(parameters: &mut Parameters) -> Result<(&'static str, bool), String> {
    let (name, direction) = match parameters.one("order_by") {
        None => return Ok((ORDERED[0], true)),
        Some(Value::String(text)) => match text.split_once(':') {
            Some((name, direction)) => (name.to_owned(), direction.to_owned()),
            None => (text, "desc".to_owned()),
        },
        Some(Value::Array(pairs)) => {
            match pairs.iter().map(|pair| pair.as_array().map(Vec::as_slice)).collect::<Vec<_>>()[..] {
                [Some([Value::String(name), Value::String(direction)])] => (name.clone(), direction.clone()),
                _ => return Err("order_by is one pair: [[\"last_seen_at\", \"desc\"]]".to_owned()),
            }
        }
        Some(other) => {
            return Err(format!("order_by is a list such as [[\"last_seen_at\", \"desc\"]], and not {other}"));
        }
    };
    let column = ORDERED.into_iter().find(|known| *known == name);
    let column = column.ok_or_else(|| names::unknown("column to order visitors by", &name, ORDERED, &[]))?;
    match direction.as_str() {
        "asc" | "desc" => Ok((column, direction == "desc")),
        other => Err(format!("rows are ordered asc or desc, and not {other:?}")),
    }
}
