//! `retention`: how many of those who came first in an interval come again in later ones.

use std::collections::HashMap;

use chrono::NaiveDate;
use serde_json::{Map, Value, json};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::statement::{self, Named, Statement, Values};
use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::intervals::Interval;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{Common, Setting};

const PERIODS_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Retention {
    pub(in crate::http::stats) common: Common,
    interval: Interval,
    /// The first days of the intervals of the range.
    days: Vec<NaiveDate>,
}

impl Retention {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let interval = match parameters.text("interval")? {
            Some(name) => Interval::named(&name, &[Interval::Day, Interval::Week, Interval::Month])?,
            None => Interval::Week,
        };
        let conditions = common.counted.filter.conditions();
        if let Some(condition) = conditions.iter().find(|condition| condition.dimension.is_of_sessions()) {
            return Err(format!(
                "retention takes filters on events alone, and {} is of sessions: filter by {}",
                condition.dimension.name(),
                Dimension::names_of_events().collect::<Vec<_>>().join(", ")
            ));
        }
        let points = interval.points(common.counted.range, &common.zone)?;
        let days: Vec<NaiveDate> = points.iter().filter_map(|point| point.start.day()).collect();
        match days.len() {
            0..=PERIODS_MAX => Ok(Self { common, interval, days }),
            many => Err(format!(
                "retention has at most {PERIODS_MAX} periods, and this range has {many}: ask for a longer interval than {}, or a shorter range",
                interval.name()
            )),
        }
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("interval".into(), self.interval.name().into());
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let mut cells: HashMap<(NaiveDate, NaiveDate), u64> = HashMap::new();
        for row in asker.rows(&self.statement()).await? {
            let day = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
            if let (Some(cohort), Some(period), Some(visitors)) = (day(&row[0]), day(&row[1]), row[2].as_u64()) {
                cells.insert((cohort, period), visitors);
            }
        }
        let cohorts = self.days.iter().enumerate().filter_map(|(at, cohort)| {
            let whole = *cells.get(&(*cohort, *cohort))?;
            let periods = self.days[at..].iter().enumerate().map(|(period, day)| {
                let visitors = cells.get(&(*cohort, *day)).copied().unwrap_or(0);
                json!({ "period": period, "visitors": visitors, "retention": visitors as f64 / whole as f64 })
            });
            Some(json!({ "cohort": cohort, "visitors": whole, "periods": periods.collect::<Vec<_>>() }))
        });
        let mut answer = Map::new();
        answer.insert("interval".into(), self.interval.name().into());
        answer.insert("cohorts".into(), cohorts.collect());
        Ok(answer)
    }

    /// The visitors of each cohort in each interval: as `retention_by_week.sql` counts them.
    fn statement(&self) -> Statement {
        let mut values = Values::default();
        let (name, zone) = (self.interval.name(), values.text(self.common.zone.name()));
        let filter = statement::condition(&self.common.counted.filter, Named::Events, &mut values);
        let (first, last) = match self.days.as_slice() {
            [first, .., last] => (*first, *last),
            [one] => (*one, *one),
            [] => (NaiveDate::MIN, NaiveDate::MIN),
        };
        let (first, last) = (values.bind(engine::Param::Date(first)), values.bind(engine::Param::Date(last)));
        let sql = format!(
            "WITH seen AS (
                 SELECT
                     CAST(date_trunc('{name}', e.occurred_at AT TIME ZONE {zone}) AS DATE) AS period,
                     e.visitor_id AS visitor_id,
                     e.user_id IS NULL AS is_anonymous
                 FROM events AS e
                 WHERE e.visitor_id IS NOT NULL AND NOT e.is_bot AND {filter}
                 GROUP BY 1, 2, 3
             ),
             periods AS (
                 SELECT DISTINCT seen.period, coalesce(i.user_visitor_id, seen.visitor_id) AS visitor_id
                 FROM seen
                 LEFT JOIN identities AS i ON i.anonymous_visitor_id = seen.visitor_id AND seen.is_anonymous
             ),
             members AS (
                 SELECT period, min(period) OVER (PARTITION BY visitor_id) AS cohort
                 FROM periods
             )
             SELECT cohort, period, count(*) AS visitors
             FROM members
             WHERE cohort >= {first} AND period <= {last}
             GROUP BY cohort, period"
        );
        values.into_statement(sql)
    }
}
