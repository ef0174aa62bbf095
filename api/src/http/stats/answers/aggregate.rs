//! `aggregate`: single numbers.

use serde_json::{Map, Value, json};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::imported::{self, Imported};
use crate::http::stats::query::numbers::Numbers;
use crate::http::stats::query::rows::Counted;
use crate::http::stats::query::statement::Values;
use crate::http::stats::said::comparison;
use crate::http::stats::said::metric::Metric;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{self, Common, Setting};

const METRICS: [Metric; 6] =
    [Metric::Visitors, Metric::Sessions, Metric::PageViews, Metric::Events, Metric::BounceRate, Metric::DurationMean];

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Aggregate {
    pub(in crate::http::stats) common: Common,
    metrics: Vec<Metric>,
    currency: Option<String>,
}

impl Aggregate {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let metrics = request::metrics(parameters, &METRICS)?;
        let currency = request::currency(parameters, &metrics, &[])?;
        request::check_goal(&common.counted, &metrics)?;
        Ok(Self { common, metrics, currency })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("metrics".into(), self.metrics.iter().map(|metric| metric.name()).collect());
        echo.insert("currency".into(), json!(self.currency));
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let addition = imported::find(asker, &self.common, &self.metrics, &[], None).await?;
        let single = |counted| single(asker, counted, &self.metrics, &self.currency, addition.days());
        let values = single(self.common.counted.clone()).await?;
        let mut answer = Map::new();
        answer.insert("metrics".into(), comparison::by_name(&self.metrics, &values));
        if let Some(compared) = self.common.compared() {
            let others = single(compared).await?;
            let comparison = comparison::compare(&self.metrics, &values, &others);
            answer.insert("comparison".into(), comparison.into());
        }
        addition.say(&mut answer);
        Ok(answer)
    }
}

/// Single numbers, in the order of their metrics.
///
/// - `imported`: what is added.
pub(in crate::http::stats) async fn single(
    asker: &Asker,
    counted: Counted,
    metrics: &[Metric],
    currency: &Option<String>,
    imported: Option<Imported>,
) -> Result<Vec<Value>, ApiError> {
    let metrics = metrics.to_vec();
    let numbers = Numbers { counted, metrics, dimensions: vec![], times: None, currency: currency.clone(), imported };
    let mut values = Values::default();
    let sql = numbers.sql(&mut values);
    let rows = asker.rows(&values.into_statement(sql)).await?;
    Ok(rows.into_iter().next().unwrap_or_else(|| comparison::nothing(&numbers.metrics)))
}
