//! `GET /metrics`, the latest report, which runs no SQL, and `GET /metrics/history`, a metric over time.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use analytics::Served;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use chrono::Days;
use engine::{EngineError, Param, SqlSession};
use metrics::Counter;
use serde_json::{Value, json};

use super::caller::reader::{Part, Reader};
use super::error::{ApiError, of_history};
use super::etag::IfNoneMatch;
use super::own_sql;
use super::params::time;
use super::query_string::QueryString;
use super::state::Api;

/// Rows of history in one answer.
const HISTORY_ROWS_MAX: i64 = 10_000;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/metrics", get(latest))
        .route("/metrics/", get(latest))
        .route("/metrics/history", get(metric_history))
}

async fn latest(
    State(api): State<Arc<Api>>,
    Extension(reader): Extension<Reader>,
    query: QueryString,
    if_none_match: IfNoneMatch,
) -> Result<Response, ApiError> {
    let [site] = query.read(["site"]).map_err(ApiError::invalid)?;
    let site = reader.site_of_report(site)?;
    let is_confined = matches!(reader, Reader::Sites { .. });
    let job = api.job_of(site.as_deref()).await?;
    let found = job.latest(site.as_deref()).await;
    let found = found.map_err(of_history).map_err(ApiError::unread("the latest report"))?;
    let Some((body, served)) = found else { return Err(no_report(&api, site.as_deref()).await) };
    let body = if is_confined { body.hushed(hushed).clone() } else { body };
    count(served);
    let etag = HeaderValue::from_maybe_shared(body.etag().clone()).expect("a tag is printable ASCII");
    let mut response = if etag.to_str().is_ok_and(|etag| if_none_match.names(etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body.bytes().clone()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert("x-cache", HeaderValue::from_static(x_cache(served)));
    // Readers may keep it and must ask whether it still holds: a report is replaced at any moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::ETAG, etag);
    if let Some(trouble) = job.trouble() {
        headers.insert("x-report-trouble", header_text(if is_confined { TROUBLE } else { &trouble }));
    }
    Ok(response)
}

/// What whoever reads some sites hears where others hear why there is no newer report.
pub(crate) const TROUBLE: &str = "there is no newer report: whoever runs the server sees why";

/// Leaves out why a metric failed: the message may have a value of another site's event.
pub(crate) fn hush(metric: &mut Value) {
    if let Some(error) = metric.get_mut("error").filter(|error| !error.is_null()) {
        *error = json!("the metric failed: whoever runs the server sees why");
    }
}

/// The same of all metrics of a report.
pub(crate) fn hush_report(report: &mut Value) {
    report["metrics"].as_object_mut().into_iter().flat_map(|metrics| metrics.values_mut()).for_each(hush);
}

fn hushed(report: &[u8]) -> Vec<u8> {
    let mut report = serde_json::from_slice(report).unwrap_or_default();
    hush_report(&mut report);
    report.to_string().into_bytes()
}

/// Words as the value of a header, which holds no letters beyond ASCII and no line breaks.
fn header_text(words: &str) -> HeaderValue {
    let plain: String = words.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    HeaderValue::from_str(&plain).expect("printable ASCII can be a header")
}

/// Counts a report that was served. The counters are looked up once: a cached report takes some microseconds.
fn count(served: Served) {
    static COUNTERS: LazyLock<[Counter; 3]> = LazyLock::new(|| {
        let of = |served| metrics::counter!("dewpond_analytics_reports_served_total", "cache" => x_cache(served));
        [Served::Hit, Served::Miss, Served::Stale].map(of)
    });
    let [hit, miss, stale] = &*COUNTERS;
    let counter = match served {
        Served::Hit => hit,
        Served::Miss => miss,
        Served::Stale => stale,
    };
    counter.increment(1);
}

/// How a report was found, as the header `X-Cache` says it.
fn x_cache(served: Served) -> &'static str {
    match served {
        Served::Hit => "hit",
        Served::Miss => "miss",
        Served::Stale => "stale",
    }
}

/// There is no report because there is no such site, or because there has been no run yet.
async fn no_report(api: &Api, site: Option<&str>) -> ApiError {
    match api.check_site(site).await {
        Err(error @ ApiError::NotFound(_)) => error,
        _ => ApiError::NotYet("No data available".into()),
    }
}

/// The latest report, and why it is older than it should be, if it is.
pub(crate) async fn latest_report(api: &Api, site: Option<&str>) -> Result<(Value, Option<String>), ApiError> {
    let job = api.job_of(site).await?;
    let found = job.latest(site).await;
    let found = found.map_err(of_history).map_err(ApiError::unread("the latest report"))?;
    let Some((body, _)) = found else { return Err(no_report(api, site).await) };
    Ok((serde_json::from_slice(body.bytes()).unwrap_or_default(), job.trouble()))
}

async fn metric_history(
    State(api): State<Arc<Api>>,
    Extension(reader): Extension<Reader>,
    query: QueryString,
) -> Result<Json<Value>, ApiError> {
    let [metric, site, from, until] = query.read(["metric", "site", "from", "until"]).map_err(ApiError::invalid)?;
    let site = reader.site_of_report(site)?;
    let Reader::Sites { .. } = reader else { return Ok(Json(history(&api, metric, site, from, until).await?)) };
    let mut history = history(&api, metric, site, from, until).await.map_err(|error| match error {
        // What was ever reported of the whole lake is not for whoever reads some sites.
        ApiError::NotFound(_) => ApiError::NotFound("there is no report of this metric".to_owned()),
        error => error,
    })?;
    history["points"].as_array_mut().into_iter().flatten().for_each(hush);
    Ok(Json(history))
}

/// The newest reports of a metric in `[from, until)`, oldest first.
pub(crate) async fn history(
    api: &Api,
    metric: Option<String>,
    site: Option<String>,
    from: Option<String>,
    until: Option<String>,
) -> Result<Value, ApiError> {
    let Some(metric) = metric else {
        return Err(ApiError::invalid("name a metric: /metrics/history?metric=events"));
    };
    let now = (api.clock)();
    let month_ago = now.checked_sub_days(Days::new(30)).unwrap_or(now);
    let from = time(from.as_deref(), month_ago).map_err(ApiError::invalid)?;
    let until = time(until.as_deref(), now).map_err(ApiError::invalid)?;

    let views = api.views_of(&Part::Lake(site.as_deref().map(Into::into))).await?;
    let session = views.history().await.map_err(ApiError::unread("the history"))?;
    let params = [
        ("metric", Param::Text(Some(metric.clone()))),
        ("site", Param::Text(site.clone())),
        ("from", Param::Time(from)),
        ("until", Param::Time(until)),
        ("rows", Param::Integer(HISTORY_ROWS_MAX)),
    ];
    let rows = own_sql::rows(&session, include_str!("metric_history.sql"), params, api.limits).await;
    let rows = rows.map_err(ApiError::unread::<EngineError>("the history"))?;
    if rows.is_empty() {
        api.check_site(site.as_deref()).await?;
        check_metric(api, &session, &metric).await?;
    }
    let points: Vec<Value> = rows.iter().rev().map(|row| point(row)).collect();
    Ok(json!({ "metric": metric, "site": site, "from": from, "until": until, "points": points }))
}

/// Fails if there is no such metric: neither now nor in any report.
async fn check_metric(api: &Api, session: &Arc<SqlSession>, metric: &str) -> Result<(), ApiError> {
    // If the directory cannot be read, the job says so.
    let now = api.jobs.main().metric_names().unwrap_or_default();
    let ever = own_sql::rows(session, include_str!("metric_names.sql"), [], api.limits).await;
    let ever = ever.map_err(ApiError::unread::<EngineError>("the history"))?;
    let ever = ever.iter().filter_map(|row| row[0].as_str()).map(str::to_owned);
    let names: BTreeSet<String> = ever.chain(now).collect();
    if names.contains(metric) {
        return Ok(());
    }
    let names: Vec<String> = names.into_iter().collect();
    Err(ApiError::NotFound(match names.is_empty() {
        true => format!("there is no metric {metric}: there is none yet"),
        false => format!("there is no metric {metric}: there is {}", names.join(", ")),
    }))
}

fn point(row: &[Value]) -> Value {
    let parse =
        |text: &Value| -> Value { text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default() };
    json!({
        "generated_at": row[0], "complete_until": row[1], "lake_version": row[2], "value": row[3],
        "columns": parse(&row[4]), "rows": parse(&row[5]), "error": row[6],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_some_sites_does_not_hear_why_a_metric_failed() {
        let report = json!({ "metrics": {
            "one": { "value": 1, "error": null }, "two": { "error": "cannot cast https://blog.example/" },
        } });
        let hushed: Value = serde_json::from_slice(&hushed(report.to_string().as_bytes())).unwrap();
        assert_eq!(hushed["metrics"]["one"], json!({ "value": 1, "error": null }));
        let words = "the metric failed: whoever runs the server sees why";
        assert_eq!(hushed["metrics"]["two"], json!({ "error": words }));
    }
}
