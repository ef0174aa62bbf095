//! `GET /visits`: visits of pages over time, the counterpart of the collector's protocol of the same name.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use engine::{EngineError, Param, Scope};
use serde_json::{Value, json};

use super::caller::reader::{Part, Reader};
use super::error::ApiError;
use super::own_sql;
use super::params::time;
use super::query_string::QueryString;
use super::state::Api;

/// Lines of one answer: pages times timeframes.
const ROWS_MAX: i64 = 100_000;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new().route("/visits", get(visits)).route("/visits/", get(visits))
}

/// How visits are grouped: the unit in SQL, and the span that is counted if the request names none.
fn aggregation(name: &str) -> Option<(&'static str, TimeDelta)> {
    match name {
        "minute" => Some(("minute", TimeDelta::hours(24))),
        "hour" => Some(("hour", TimeDelta::days(7))),
        "day" => Some(("day", TimeDelta::days(30))),
        "month" => Some(("month", TimeDelta::days(365))),
        _ => None,
    }
}

/// `{"data":{"<page url>":[{"timeframe":…,"visit_count":n}]}}`, timeframes in order.
async fn visits(
    State(api): State<Arc<Api>>,
    Extension(reader): Extension<Reader>,
    query: QueryString,
) -> Result<Json<Value>, ApiError> {
    let invalid = |text: String| ApiError::invalid(vec![text]);
    let [name, from, until, site] = query.read(["aggregation", "dateFrom", "dateTo", "site"]).map_err(invalid)?;
    let name = name.unwrap_or_else(|| "day".into());
    let Some((unit, span)) = aggregation(&name) else {
        return Err(invalid("aggregation must be one of the following values: minute, hour, day, month".into()));
    };
    let until = time(until.as_deref(), (api.clock)()).map_err(|text| invalid(format!("dateTo: {text}")))?;
    let default = until.checked_sub_signed(span).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let from = time(from.as_deref(), default).map_err(|text| invalid(format!("dateFrom: {text}")))?;
    let site = reader.site_of_report(site)?;
    let scope = site.clone().map_or(Scope::Lake, Scope::Site);

    let view = api.view_of(&Part::Lake(site.as_deref().map(Into::into))).await?;
    let session = Arc::new(view.session(&scope).map_err(ApiError::unread("the events"))?);
    let params = [
        ("unit", Param::Text(Some(unit.to_owned()))),
        ("from", Param::Time(from)),
        ("until", Param::Time(until)),
        ("rows", Param::Integer(ROWS_MAX)),
    ];
    let rows = own_sql::rows(&session, include_str!("visits.sql"), params, api.limits).await;
    let rows = rows.map_err(ApiError::unread::<EngineError>("the events"))?;
    if rows.is_empty() {
        api.check_site(site.as_deref()).await?;
    }
    let mut data: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows {
        let url = row[0].as_str().unwrap_or_default().to_owned();
        data.entry(url).or_default().push(json!({ "timeframe": row[1], "visit_count": row[2] }));
    }
    Ok(Json(json!({ "data": data })))
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
