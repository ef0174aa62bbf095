//! The endpoint: the cached report, its history. Serving the cached report runs no SQL.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, extract::Request};
use chrono::{DateTime, Days, Utc};
use engine::{Param, to_json_rows};
use serde::Deserialize;
use serde_json::json;

use crate::cache::Found;
use crate::history;
use crate::job::{Analytics, cache_key};

/// Rows of history in one answer.
const HISTORY_ROWS_MAX: i64 = 10_000;

/// How a report was found; the header `X-Cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// In the cache.
    Hit,
    /// In history; the cache answers and did not have it.
    Miss,
    /// In history or this process's memory; the cache does not answer, so a newer one may exist.
    Stale,
}

impl Served {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
        }
    }
}

/// The analytics server's routes.
///
/// - `token`: if given, every request must carry `Authorization: Bearer TOKEN`.
pub fn router(analytics: Arc<Analytics>, token: Option<String>) -> Router {
    let routes = Router::new()
        .route("/", get(index))
        .route("/metrics", get(report))
        .route("/metrics/", get(report))
        .route("/metrics/history", get(metric_history))
        .route("/visits", get(crate::visits::visits))
        .route("/visits/", get(crate::visits::visits))
        .fallback(not_found)
        .with_state(analytics);
    match token {
        Some(token) => routes.layer(middleware::from_fn_with_state(Arc::<str>::from(token), require_token)),
        None => routes,
    }
}

async fn require_token(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Hashes of one length, so that the time of the comparison says nothing of the token.
    if blake3::hash(sent.as_bytes()) == blake3::hash(token.as_bytes()) {
        return next.run(request).await;
    }
    let hint = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, hint, message("send the server's token as \"Authorization: Bearer TOKEN\""))
        .into_response()
}

pub(crate) fn message(text: impl Into<String>) -> Json<serde_json::Value> {
    Json(json!({"message": text.into()}))
}

async fn index() -> Json<serde_json::Value> {
    Json(json!({
        "service": "dewpond analytics",
        "endpoints": {
            "GET /metrics": "the latest report of the whole lake",
            "GET /metrics?site=ID": "the latest report of a site",
            "GET /metrics/history?metric=NAME&site=ID&from=TIME&until=TIME": "a metric over time",
            "GET /visits?aggregation=minute|hour|day|month&dateFrom=TIME&dateTo=TIME&site=ID": "page views by page and time",
        }
    }))
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, message("there is only /metrics, /metrics/history and /visits")).into_response()
}

#[derive(Deserialize)]
struct ReportQuery {
    site: Option<String>,
}

async fn report(
    State(analytics): State<Arc<Analytics>>,
    Query(query): Query<ReportQuery>,
    headers: HeaderMap,
) -> Response {
    let site = query.site.filter(|site| !site.is_empty());
    let (body, served) = match find(&analytics, site.as_deref()).await {
        Ok(Some(found)) => found,
        Ok(None) => return absent(&analytics, site.as_deref()).await,
        Err(error) => {
            tracing::error!("could not read the history: {error:#}");
            return (StatusCode::SERVICE_UNAVAILABLE, message("neither the cache nor the lake answers"))
                .into_response();
        }
    };
    metrics::counter!("dewpond_analytics_reports_served_total", "cache" => served.as_str()).increment(1);
    let etag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..32]);
    let mut response = if matches_etag(&headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert("x-cache", HeaderValue::from_static(served.as_str()));
    // Readers may keep it and must ask whether it still holds: a report is replaced at any moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == etag || one == "*")
}

/// The latest report and where it was: the cache; else, what this process made last or read from history.
async fn find(analytics: &Analytics, site: Option<&str>) -> anyhow::Result<Option<(Vec<u8>, Served)>> {
    let key = cache_key(site);
    let served = match analytics.cache.get(&key).await {
        Found::Value(body) => return Ok(Some((body, Served::Hit))),
        Found::Nothing => Served::Miss,
        Found::Unreachable => Served::Stale,
    };
    let known = analytics.last.read().get(&key).cloned();
    let body = match known {
        Some(body) => body.to_vec(),
        None => match history::latest_report(analytics.engine.lake(), site).await? {
            Some(report) => serde_json::to_vec(&report)?,
            None => return Ok(None),
        },
    };
    if served == Served::Miss
        && let Err(error) = analytics.cache.add(&key, &body).await
    {
        tracing::debug!(key, %error, "could not put a report back into the cache");
    }
    Ok(Some((body, served)))
}

/// No report: because there has been no run yet, or because there is no such site.
async fn absent(analytics: &Analytics, site: Option<&str>) -> Response {
    if let Some(site) = site
        && analytics.engine.lake().sites().await.is_ok_and(|sites| !sites.has_site(site))
    {
        return (StatusCode::NOT_FOUND, message(format!("there is no site {site}"))).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, message("No data available")).into_response()
}

#[derive(Deserialize)]
struct HistoryQuery {
    metric: Option<String>,
    site: Option<String>,
    from: Option<String>,
    until: Option<String>,
}

async fn metric_history(State(analytics): State<Arc<Analytics>>, Query(query): Query<HistoryQuery>) -> Response {
    let bad = |text: String| (StatusCode::BAD_REQUEST, message(text)).into_response();
    let Some(metric) = query.metric.filter(|metric| !metric.is_empty()) else {
        return bad("name a metric: /metrics/history?metric=events".into());
    };
    let now = (analytics.clock)();
    let month_ago = now.checked_sub_days(Days::new(30)).unwrap_or(now);
    let (from, until) = match (instant(query.from.as_deref(), month_ago), instant(query.until.as_deref(), now)) {
        (Ok(from), Ok(until)) => (from, until),
        (Err(text), _) | (_, Err(text)) => return bad(text),
    };
    let site = query.site.filter(|site| !site.is_empty());
    match read_history(&analytics, &metric, site.as_deref(), from, until).await {
        Ok(points) => Json(json!({
            "metric": metric, "site": site, "from": from, "until": until, "points": points,
        }))
        .into_response(),
        Err(error) => {
            tracing::error!("could not read the history: {error:#}");
            (StatusCode::SERVICE_UNAVAILABLE, message("the history cannot be read now; try again")).into_response()
        }
    }
}

pub(crate) fn instant(text: Option<&str>, otherwise: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(otherwise) };
    // A plus in a query string is a space.
    if let Ok(time) = text.replace(' ', "+").parse() {
        return Ok(time);
    }
    let day = text.parse::<chrono::NaiveDate>();
    day.map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc())
        .map_err(|_| format!("{text:?} is no time: write 2026-03-01 or 2026-03-01T12:00:00Z"))
}

/// The newest rows of a metric's history in `[from, until)`, oldest first.
async fn read_history(
    analytics: &Analytics,
    metric: &str,
    site: Option<&str>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> anyhow::Result<Vec<serde_json::Value>> {
    const SQL: &str = "SELECT generated_at, complete_until, lake_version, value, columns, rows, error FROM reports
        WHERE metric = $metric AND (site_id IS NOT DISTINCT FROM $site)
            AND generated_at >= $from AND generated_at < $until
        ORDER BY generated_at DESC LIMIT $rows";
    let params = [
        ("metric", Param::Text(Some(metric.to_owned()))),
        ("site", Param::Text(site.map(str::to_owned))),
        ("from", Param::Time(from)),
        ("until", Param::Time(until)),
        ("rows", Param::Integer(HISTORY_ROWS_MAX)),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let answer = analytics.engine.history().await?.query(SQL, &params).await?;
    let parse = |text: &serde_json::Value| -> serde_json::Value {
        text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let mut points: Vec<serde_json::Value> = to_json_rows(&answer)?
        .into_iter()
        .map(|row| {
            json!({
                "generated_at": row[0], "complete_until": row[1], "lake_version": row[2], "value": row[3],
                "columns": parse(&row[4]), "rows": parse(&row[5]), "error": row[6],
            })
        })
        .collect();
    points.reverse();
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_text_is_an_instant_or_refused_in_words(text in "\\PC{0,30}|[-+0-9.:TZ ]{1,32}") {
            if let Err(words) = instant(Some(&text), DateTime::UNIX_EPOCH) {
                proptest::prop_assert!(words.contains("is no time"), "{}", words);
            }
        }

        #[test]
        fn an_instant_that_is_printed_is_read_as_it_was(us in -10_000_000_000_000_000_i64..10_000_000_000_000_000) {
            let time = DateTime::from_timestamp_micros(us).expect("within three hundred years of 1970");
            // As it comes out of a query string, where a plus is a space.
            let text = time.to_rfc3339().replace('+', " ");
            proptest::prop_assert_eq!(instant(Some(&text), DateTime::UNIX_EPOCH), Ok(time));
        }
    }
}
