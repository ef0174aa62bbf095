//! `live` and `realtime`: the last minutes.

use chrono::{DurationRound, TimeDelta};
use serde_json::{Map, Value};

use super::aggregate::single;
use super::timeseries::Timeseries;
use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::said::comparison;
use crate::http::stats::said::metric::Metric;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::range::{Range, next_minute};
use crate::http::stats::said::request::{self, Common, Setting};

const LIVE: TimeDelta = TimeDelta::minutes(5);
const REALTIME: TimeDelta = TimeDelta::minutes(30);

const METRICS: [Metric; 3] = [Metric::Visitors, Metric::PageViews, Metric::Events];

/// The last five minutes.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Live {
    pub(in crate::http::stats) common: Common,
}

/// The last thirty minutes, and each of them.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Realtime {
    pub(in crate::http::stats) series: Timeseries,
}

impl Live {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let zone = request::zone(parameters, setting)?;
        // Whoever asks within the second asks the same.
        let second = TimeDelta::seconds(1);
        let now = setting.now.duration_round_up(second).unwrap_or(setting.now);
        let range = Range { from: now - LIVE, until: now };
        Ok(Self { common: Common::of_range(parameters, setting, zone, range)? })
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let values = single(asker, self.common.counted.clone(), &METRICS, &None, None).await?;
        let mut answer = Map::new();
        answer.insert("metrics".into(), comparison::by_name(&METRICS, &values));
        Ok(answer)
    }
}

impl Realtime {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let zone = request::zone(parameters, setting)?;
        let until = next_minute(setting.now);
        let range = Range { from: until - REALTIME, until };
        let common = Common::of_range(parameters, setting, zone, range)?;
        Ok(Self { series: Timeseries::by_minute(common, METRICS.to_vec())? })
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let values = single(asker, self.series.common.counted.clone(), &METRICS, &None, None).await?;
        let mut answer = self.series.answer(asker).await?;
        answer.insert("metrics".into(), comparison::by_name(&METRICS, &values));
        Ok(answer)
    }
}
