//! `timeseries`: numbers by the intervals of a range, in one line or in one for each value of dimensions.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::breakdown::{Table, by_dimension};
use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::imported;
use crate::http::stats::query::numbers::{Numbers, Times};
use crate::http::stats::query::statement::Values;
use crate::http::stats::said::comparison;
use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::intervals::{Interval, Point, Start};
use crate::http::stats::said::metric::Metric;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{self, Common, Page, Setting};
use crate::http::stats::said::zone::Zone;

/// Lines of a series with dimensions, and of one that does not say how many.
const LINES_MAX: i64 = 20;
const LINES_DEFAULT: i64 = 10;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Timeseries {
    pub(in crate::http::stats) common: Common,
    interval: Interval,
    points: Vec<Point>,
    compared_points: Vec<Point>,
    metrics: Vec<Metric>,
    dimensions: Vec<Dimension>,
    currency: Option<String>,
    limit: i64,
}

/// The numbers of each interval that has some, by the values of dimensions.
type Lines = HashMap<Vec<String>, HashMap<Start, Vec<Value>>>;

impl Timeseries {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let interval = match parameters.text("interval")? {
            Some(name) => Interval::named(&name, &Interval::ALL)?,
            None => Interval::fitting(common.counted.range),
        };
        let points = interval.points(common.counted.range, &common.zone)?;
        let compared_points = match common.compared {
            Some(range) => interval.points(range, &common.zone)?,
            None => vec![],
        };
        let metrics = request::metrics(parameters, &[Metric::Visitors])?;
        let dimensions = request::dimensions(parameters, setting)?;
        let currency = request::currency(parameters, &metrics, &dimensions)?;
        request::check_goal(&common.counted, &metrics)?;
        let limit = parameters.number("limit", 1, LINES_MAX)?;
        if limit.is_some() && dimensions.is_empty() {
            return Err(
                "limit says how many lines there are, of which dimensions tell apart: give dimensions=country".into()
            );
        }
        let limit = limit.unwrap_or(LINES_DEFAULT);
        Ok(Self { common, interval, points, compared_points, metrics, dimensions, currency, limit })
    }

    /// Each minute of a range, in one line.
    pub(in crate::http::stats) fn by_minute(common: Common, metrics: Vec<Metric>) -> Result<Self, String> {
        let interval = Interval::Minute;
        let points = interval.points(common.counted.range, &common.zone)?;
        let (compared_points, dimensions) = (vec![], vec![]);
        Ok(Self {
            common,
            interval,
            points,
            compared_points,
            metrics,
            dimensions,
            currency: None,
            limit: LINES_DEFAULT,
        })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("metrics".into(), self.metrics.iter().map(|metric| metric.name()).collect());
        echo.insert("dimensions".into(), self.dimensions.iter().map(Dimension::name).collect());
        echo.insert("currency".into(), json!(self.currency));
        if !self.dimensions.is_empty() {
            echo.insert("limit".into(), self.limit.into());
        }
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let mut answer = Map::new();
        answer.insert("interval".into(), self.interval.name().into());
        let table = Table {
            metrics: self.metrics.clone(),
            dimensions: self.dimensions.clone(),
            currency: self.currency.clone(),
            search: None,
            order_by: vec![],
            minimum: vec![],
            page: Page { limit: self.limit, offset: 0 },
        }
        .most_first();
        let interval = Some(self.interval);
        let addition = imported::find(asker, &self.common, &self.metrics, &self.dimensions, interval).await?;
        let of_table = || Numbers { imported: addition.days(), ..table.numbers(&self.common) };
        let numbers = Numbers { times: Some(Times::Intervals(self.interval, self.common.zone.clone())), ..of_table() };
        let keys: Vec<Vec<Value>> = match self.dimensions.len() {
            0 => vec![vec![]],
            width => {
                let rows = asker.rows(&table.statement(&of_table())).await?;
                rows.into_iter().map(|row| row[..width].to_vec()).collect()
            }
        };
        let (mut lines, mut compared_lines) = (Lines::new(), None);
        if !keys.is_empty() {
            lines = self.lines(asker, numbers.clone().only(&keys)).await?;
            if let Some(counted) = self.common.compared() {
                compared_lines = Some(self.lines(asker, Numbers { counted, ..numbers }.only(&keys)).await?);
            }
        }
        let results = |key: &[Value]| {
            let compared = compared_lines.as_ref().map(|lines| lines.get(&written(key)));
            self.results(lines.get(&written(key)), compared)
        };
        if self.dimensions.is_empty() {
            answer.insert("results".into(), results(&[]));
        } else {
            let series = keys
                .iter()
                .map(|key| json!({ "dimensions": by_dimension(&self.dimensions, key), "results": results(key) }));
            answer.insert("series".into(), series.collect());
        }
        addition.say(&mut answer);
        Ok(answer)
    }

    async fn lines(&self, asker: &Asker, numbers: Numbers) -> Result<Lines, ApiError> {
        let mut values = Values::default();
        let sql = numbers.sql(&mut values);
        let mut lines = Lines::new();
        for mut row in asker.rows(&values.into_statement(sql)).await? {
            let numbers = row.split_off(1 + self.dimensions.len());
            if let Some(start) = row[0].as_str().and_then(Start::read) {
                lines.entry(written(&row[1..])).or_default().insert(start, numbers);
            }
        }
        Ok(lines)
    }

    /// Every interval of the range.
    ///
    /// - `compared`: numbers of the range to compare with, if there is one.
    fn results(
        &self,
        line: Option<&HashMap<Start, Vec<Value>>>,
        compared: Option<Option<&HashMap<Start, Vec<Value>>>>,
    ) -> Value {
        let zone = &self.common.zone;
        let numbers = |line: Option<&HashMap<Start, Vec<Value>>>, point: &Point| {
            let found = line.and_then(|line| line.get(&point.start)).cloned();
            found.unwrap_or_else(|| comparison::nothing(&self.metrics))
        };
        let results = self.points.iter().enumerate().map(|(at, point)| {
            let values = numbers(line, point);
            let mut result = shown(point, zone);
            result.insert("metrics".into(), comparison::by_name(&self.metrics, &values));
            if let Some(other_line) = compared {
                let comparison = self.compared_points.get(at).map(|other| {
                    let mut comparison = shown(other, zone);
                    comparison.extend(comparison::compare(&self.metrics, &values, &numbers(other_line, other)));
                    comparison
                });
                result.insert("comparison".into(), json!(comparison));
            }
            Value::Object(result)
        });
        results.collect()
    }
}

/// Values of dimensions, of which null is one.
fn written(key: &[Value]) -> Vec<String> {
    key.iter().map(Value::to_string).collect()
}

fn shown(point: &Point, zone: &Zone) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("from".into(), zone.show(point.range.from).into());
    shown.insert("until".into(), zone.show(point.range.until).into());
    shown
}
