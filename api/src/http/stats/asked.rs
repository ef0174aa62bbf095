//! A request that is understood and can be answered: one of the endpoints', with all that its answer follows from.

use serde_json::{Map, Value};

use super::answers::aggregate::Aggregate;
use super::answers::breakdown::Breakdown;
use super::answers::funnel::Funnel;
use super::answers::goals::Goals;
use super::answers::heatmap::Heatmap;
use super::answers::live::{Live, Realtime};
use super::answers::paths::Paths;
use super::answers::retention::Retention;
use super::answers::robots::Robots;
use super::answers::sessions::{Sessions, Timeline};
use super::answers::timeseries::Timeseries;
use super::answers::visitors::Visitors;
use super::endpoint::Endpoint;
use super::query::asker::Asker;
use super::said::parameters::Parameters;
use super::said::request::{Common, Setting};
use crate::http::error::ApiError;

/// A request. Its `Debug` names all that the answer follows from, beside the events.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    Aggregate(Aggregate),
    Timeseries(Timeseries),
    Breakdown(Breakdown),
    Funnel(Funnel),
    Retention(Retention),
    Paths(Paths),
    Sessions(Sessions),
    Visitors(Visitors),
    Timeline(Timeline),
    Live(Live),
    Realtime(Realtime),
    Goals(Goals),
    Heatmap(Heatmap),
    Robots(Robots),
}

impl Asked {
    /// - `id`: what the address names, of an endpoint whose address names something.
    ///
    /// Fails with words for the sender.
    pub(super) fn read(
        endpoint: Endpoint,
        id: &str,
        parameters: &mut Parameters,
        setting: &Setting,
    ) -> Result<Self, String> {
        Ok(match endpoint {
            Endpoint::Aggregate => Self::Aggregate(Aggregate::read(parameters, setting)?),
            Endpoint::Timeseries => Self::Timeseries(Timeseries::read(parameters, setting)?),
            Endpoint::Breakdown => Self::Breakdown(Breakdown::read(parameters, setting)?),
            Endpoint::Funnel => Self::Funnel(Funnel::read(parameters, setting)?),
            Endpoint::Retention => Self::Retention(Retention::read(parameters, setting)?),
            Endpoint::Paths => Self::Paths(Paths::read(parameters, setting)?),
            Endpoint::Sessions => Self::Sessions(Sessions::read(parameters, setting)?),
            Endpoint::Visitors => Self::Visitors(Visitors::read(parameters, setting)?),
            Endpoint::Session => Self::Timeline(Timeline::read(id, parameters, setting)?),
            Endpoint::Live => Self::Live(Live::read(parameters, setting)?),
            Endpoint::Realtime => Self::Realtime(Realtime::read(parameters, setting)?),
            Endpoint::Goals => Self::Goals(Goals::read(parameters, setting)?),
            Endpoint::Heatmap => Self::Heatmap(Heatmap::read(parameters, setting)?),
            Endpoint::Robots => Self::Robots(Robots::read(parameters, setting)?),
        })
    }

    pub(super) fn common(&self) -> &Common {
        match self {
            Self::Aggregate(asked) => &asked.common,
            Self::Timeseries(asked) => &asked.common,
            Self::Breakdown(asked) => &asked.common,
            Self::Funnel(asked) => &asked.common,
            Self::Retention(asked) => &asked.common,
            Self::Paths(asked) => &asked.common,
            Self::Sessions(asked) => &asked.common,
            Self::Visitors(asked) => &asked.common,
            Self::Timeline(asked) => &asked.common,
            Self::Live(asked) => &asked.common,
            Self::Realtime(asked) => &asked.series.common,
            Self::Goals(asked) => &asked.common,
            Self::Heatmap(asked) => &asked.common,
            Self::Robots(asked) => &asked.common,
        }
    }

    /// What was counted, for the answer.
    pub(super) fn echo(&self) -> Map<String, Value> {
        let mut echo = self.common().echo();
        match self {
            Self::Aggregate(asked) => asked.echo(&mut echo),
            Self::Timeseries(asked) => asked.echo(&mut echo),
            Self::Breakdown(asked) => asked.echo(&mut echo),
            Self::Funnel(asked) => asked.echo(&mut echo),
            Self::Retention(asked) => asked.echo(&mut echo),
            Self::Paths(asked) => asked.echo(&mut echo),
            Self::Sessions(asked) => asked.echo(&mut echo),
            Self::Visitors(asked) => asked.echo(&mut echo),
            Self::Timeline(asked) => asked.echo(&mut echo),
            Self::Heatmap(asked) => asked.echo(&mut echo),
            Self::Live(_) | Self::Realtime(_) | Self::Goals(_) | Self::Robots(_) => {}
        }
        echo
    }

    pub(super) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        match self {
            Self::Aggregate(asked) => asked.answer(asker).await,
            Self::Timeseries(asked) => asked.answer(asker).await,
            Self::Breakdown(asked) => asked.answer(asker).await,
            Self::Funnel(asked) => asked.answer(asker).await,
            Self::Retention(asked) => asked.answer(asker).await,
            Self::Paths(asked) => asked.answer(asker).await,
            Self::Sessions(asked) => asked.answer(asker).await,
            Self::Visitors(asked) => asked.answer(asker).await,
            Self::Timeline(asked) => asked.answer(asker).await,
            Self::Live(asked) => asked.answer(asker).await,
            Self::Realtime(asked) => asked.answer(asker).await,
            Self::Goals(asked) => asked.answer(asker).await,
            Self::Heatmap(asked) => asked.answer(asker).await,
            Self::Robots(asked) => asked.answer(asker).await,
        }
    }
}
