//! `goals`: how many reach each goal of a site.

use serde_json::{Map, Value, json};

use super::aggregate::single;
use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::rows::Counted;
use crate::http::stats::said::goal::Goal;
use crate::http::stats::said::metric::Metric;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{Common, Setting};

const METRICS: [Metric; 3] = [Metric::Events, Metric::Visitors, Metric::Sessions];

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Goals {
    pub(in crate::http::stats) common: Common,
    goals: Vec<Goal>,
}

impl Goals {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        Ok(Self { common: Common::read(parameters, setting)?, goals: setting.goals.clone() })
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let of = |counted: Counted, metrics: &'static [Metric]| single(asker, counted, metrics, &None, None);
        let visitors = of(self.common.counted.clone(), &[Metric::Visitors]).await?.swap_remove(0);
        let mut results = Vec::new();
        for Goal { id, name, kind, value, filter } in &self.goals {
            let filter = self.common.counted.filter.clone().and(filter.clone());
            let numbers = of(Counted { filter, ..self.common.counted.clone() }, &METRICS).await?;
            let [events, reached, sessions] = numbers.as_slice() else {
                unreachable!("there is a number for each metric");
            };
            let rate = match (reached.as_f64(), visitors.as_f64()) {
                (Some(reached), Some(visitors)) if visitors > 0.0 => json!(reached / visitors),
                _ => Value::Null,
            };
            results.push(json!({
                "goal": { "id": id, "name": name, "kind": kind, "value": value },
                "events": events, "visitors": reached, "sessions": sessions, "conversion_rate": rate,
            }));
        }
        let mut answer = Map::new();
        answer.insert("visitors".into(), visitors);
        answer.insert("results".into(), results.into());
        Ok(answer)
    }
}
