//! `live` and `realtime`: the last minutes.

use chrono::{DurationRound, TimeDelta};
use serde_json::{Map, Value};

use super::aggregate::single;
use super::asker::Asker;
use super::comparison;
use super::metric::Metric;
use super::parameters::Parameters;
use super::range::{Range, next_minute};
use super::request::{self, Common, Setting};
use super::timeseries::Timeseries;
use crate::http::error::ApiError;

const LIVE: TimeDelta = TimeDelta::minutes(5);
const REALTIME: TimeDelta = TimeDelta::minutes(30);

const METRICS: [Metric; 3] = [Metric::Visitors, Metric::PageViews, Metric::Events];

/// The last five minutes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Live {
    pub(super) common: Common,
}

/// The last thirty minutes, and each of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Realtime {
    pub(super) series: Timeseries,
}

impl Live {
    pub(super) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let zone = request::zone(parameters, setting)?;
        // Whoever asks within the second asks the same.
        let second = TimeDelta::seconds(1);
        let now = setting.now.duration_round_up(second).unwrap_or(setting.now);
        let range = Range { from: now - LIVE, until: now };
        Ok(Self { common: Common::of_range(parameters, setting, zone, range)? })
    }

    pub(super) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let values = single(asker, self.common.counted.clone(), &METRICS, &None).await?;
        let mut answer = Map::new();
        answer.insert("metrics".into(), comparison::by_name(&METRICS, &values));
        Ok(answer)
    }
}

impl Realtime {
    pub(super) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let zone = request::zone(parameters, setting)?;
        let until = next_minute(setting.now);
        let range = Range { from: until - REALTIME, until };
        let common = Common::of_range(parameters, setting, zone, range)?;
        Ok(Self { series: Timeseries::by_minute(common, METRICS.to_vec())? })
    }

    pub(super) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let values = single(asker, self.series.common.counted.clone(), &METRICS, &None).await?;
        let mut answer = self.series.answer(asker).await?;
        answer.insert("metrics".into(), comparison::by_name(&METRICS, &values));
        Ok(answer)
    }
}
