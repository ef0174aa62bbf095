//! `heatmap`: numbers by the hour of the week.

use serde_json::{Map, Value, json};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::numbers::{Numbers, Times};
use crate::http::stats::query::statement::Values;
use crate::http::stats::said::comparison;
use crate::http::stats::said::metric::Metric;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{self, Common, Setting};

/// What can be told apart by the hour: of others it is not said when they happen.
const METRICS: [Metric; 4] = [Metric::Visitors, Metric::PageViews, Metric::Events, Metric::Sessions];

const HOURS: i64 = 24;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Heatmap {
    pub(in crate::http::stats) common: Common,
    metrics: Vec<Metric>,
}

impl Heatmap {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let metrics = request::metrics(parameters, &[Metric::Visitors])?;
        if let Some(other) = metrics.iter().find(|metric| !METRICS.contains(metric)) {
            let names = METRICS.map(Metric::name).join(", ");
            return Err(format!("{} is not told apart by the hour of the week: there is {names}", other.name()));
        }
        Ok(Self { common, metrics })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("metrics".into(), self.metrics.iter().map(|metric| metric.name()).collect());
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let numbers = Numbers {
            counted: self.common.counted.clone(),
            metrics: self.metrics.clone(),
            dimensions: vec![],
            times: Some(Times::HoursOfWeek(self.common.zone.clone())),
            currency: None,
            imported: None,
        };
        let mut values = Values::default();
        let sql = numbers.sql(&mut values);
        let rows = asker.rows(&values.into_statement(sql)).await?;
        let nothing = comparison::nothing(&self.metrics);
        let results = (0..7 * HOURS).map(|hour| {
            let row = rows.iter().find(|row| row[0].as_i64() == Some(hour));
            let numbers = row.map_or(&nothing[..], |row| &row[1..]);
            json!({
                "weekday": hour / HOURS + 1, "hour": hour % HOURS, "metrics": comparison::by_name(&self.metrics, numbers),
            })
        });
        let mut answer = Map::new();
        answer.insert("results".into(), results.collect());
        Ok(answer)
    }
}
