//! `robots`: what all other numbers leave out.

use serde_json::{Map, Value};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::statement::Values;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{Common, Setting};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Robots {
    pub(in crate::http::stats) common: Common,
}

impl Robots {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        Ok(Self { common: Common::read(parameters, setting)? })
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let mut values = Values::default();
        let range = self.common.counted.range;
        let (from, until) = (values.time(range.from), values.time(range.until));
        let sql = format!(
            "SELECT count(*) FILTER (WHERE e.name <> 'page_ping') AS events, \
             count(*) FILTER (WHERE e.name = 'page_view') AS page_views FROM events AS e \
             WHERE e.occurred_at >= {from} AND e.occurred_at < {until} AND e.is_bot"
        );
        let mut rows = asker.rows(&values.into_statement(sql)).await?;
        let mut answer = Map::new();
        for (at, name) in ["events", "page_views"].into_iter().enumerate() {
            answer.insert(name.into(), rows.get_mut(0).map_or(Value::Null, |row| row[at].take()));
        }
        Ok(answer)
    }
}
