//! Visits of pages over time: the counterpart of the collector's protocol of the same name. Runs SQL over the events.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use engine::{Param, Scope, to_json_rows};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{instant, message};
use crate::job::Analytics;

/// Lines of one answer: pages times timeframes.
const ROWS_MAX: i64 = 100_000;

/// What is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VisitsQuery {
    aggregation: Option<String>,
    date_from: Option<String>,
    date_to: Option<String>,
    site: Option<String>,
}

/// How visits are grouped: the unit in SQL, and how far back they are counted if nothing is said.
fn aggregation(name: &str) -> Option<(&'static str, TimeDelta)> {
    match name {
        "minute" => Some(("minute", TimeDelta::hours(24))),
        "hour" => Some(("hour", TimeDelta::days(7))),
        "day" => Some(("day", TimeDelta::days(30))),
        "month" => Some(("month", TimeDelta::days(365))),
        _ => None,
    }
}

/// `GET /visits`: `{"data":{"<page url>":[{"timeframe":…,"visit_count":n}]}}`, timeframes in order.
pub(crate) async fn visits(State(analytics): State<Arc<Analytics>>, Query(query): Query<VisitsQuery>) -> Response {
    let bad = |text: String| (StatusCode::BAD_REQUEST, Json(json!({ "message": [text] }))).into_response();
    let name = query.aggregation.as_deref().filter(|name| !name.is_empty()).unwrap_or("day");
    let Some((unit, back)) = aggregation(name) else {
        return bad("aggregation must be one of the following values: minute, hour, day, month".into());
    };
    let until = match instant(query.date_to.as_deref(), (analytics.clock)()) {
        Ok(until) => until,
        Err(text) => return bad(format!("dateTo: {text}")),
    };
    let from = match instant(query.date_from.as_deref(), until - back) {
        Ok(from) => from,
        Err(text) => return bad(format!("dateFrom: {text}")),
    };
    let scope = query.site.filter(|site| !site.is_empty()).map_or(Scope::Lake, Scope::Site);
    match count(&analytics, &scope, unit, from, until).await {
        Ok(data) => Json(json!({ "data": data })).into_response(),
        Err(error) => {
            tracing::error!("could not count visits: {error:#}");
            (StatusCode::SERVICE_UNAVAILABLE, message("the events cannot be read now; try again")).into_response()
        }
    }
}

async fn count(
    analytics: &Analytics,
    scope: &Scope,
    unit: &str,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> anyhow::Result<BTreeMap<String, Vec<Value>>> {
    const SQL: &str = "SELECT url, date_trunc($unit, occurred_at) AS timeframe, count(*) AS visit_count
        FROM events
        WHERE name = 'page_view' AND url IS NOT NULL AND NOT is_bot
            AND occurred_at >= $from AND occurred_at < $until
        GROUP BY url, timeframe
        ORDER BY url, timeframe
        LIMIT $rows";
    let params = [
        ("unit", Param::Text(Some(unit.to_owned()))),
        ("from", Param::Time(from)),
        ("until", Param::Time(until)),
        ("rows", Param::Integer(ROWS_MAX)),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let answer = analytics.engine.view().await?.session(scope)?.query(SQL, &params).await?;
    let mut data: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in to_json_rows(&answer)? {
        let url = row[0].as_str().unwrap_or_default().to_owned();
        data.entry(url).or_default().push(json!({ "timeframe": row[1], "visit_count": row[2] }));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_aggregation_has_its_own_span() {
        assert_eq!(aggregation("minute"), Some(("minute", TimeDelta::hours(24))));
        assert_eq!(aggregation("month"), Some(("month", TimeDelta::days(365))));
        assert_eq!(aggregation("year"), None);
    }
}
