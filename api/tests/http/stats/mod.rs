//! `/v1/stats/…`, over HTTP.

mod answers;
pub mod document;
mod imported;
mod plain;
mod random;
mod refusals;
#[path = "../../../../engine/tests/stored/mod.rs"]
pub mod stored;

use std::sync::Arc;

use api::{Api, SqlSettings, router};
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use chrono::{DateTime, Utc};
use engine::QueryLimits;
use lake::{Event, Lake};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use self::stored::{event_of, pend, publish};
use crate::{body, server_at};

pub const TOKEN: &str = "token of the whole lake";

/// A server over a lake, at one moment.
pub struct Stats {
    pub lake: Lake,
    pub api: Arc<Api>,
    _queries: tempfile::TempDir,
}

fn event(who: &str, at: &str, name: &str, path: &str) -> Event {
    event_of("shop", who, at, name, path)
}

/// A lake with the sites `shop` and `blog`, of which some events are published, a file a date, and the others pending.
async fn served(published: &[Event], pending: &[Event], now: &str) -> Stats {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let now: DateTime<Utc> = now.parse().unwrap();
    for site in ["shop", "blog"] {
        lake.add_site(site, now).await.unwrap();
        lake.change_site(site, |settings| settings.time_zone = "Europe/Berlin".into()).await.unwrap();
    }
    publish(&lake, published).await;
    pend(&lake, pending).await;
    let api = server_at(&lake, queries.path(), QueryLimits::default(), SqlSettings::default(), now).api;
    Stats { lake, api, _queries: queries }
}

/// Ada comes anonymously in February and in March, the second time over midnight in Berlin, where clocks go forward that
/// night, and signs in. Bob comes on the evening of that short day and again past midnight. Carl buys something two days
/// later. A robot and somebody without any id come, too. Dora reads the blog. What happens on the last day is pending.
pub async fn shop() -> Stats {
    let from_search = |event| Event { referrer_host: Some("google.com".into()), ..event };
    let of_carl =
        |at, name| Event { browser: Some("Firefox".into()), country: Some("DE".into()), ..event("~c", at, name, "/") };
    let published = [
        event("~x", "2026-02-10T10:00:00Z", "page_view", "/"),
        from_search(event("~x", "2026-03-28T22:50:00Z", "page_view", "/a")),
        event("~x", "2026-03-28T23:05:00Z", "page_view", "/b"),
        event("ada~x", "2026-03-28T23:06:00Z", "login", "/b"),
        event("bob", "2026-03-29T21:30:00Z", "page_view", "/"),
        event("bob", "2026-03-29T21:30:03Z", "page_ping", "/"),
        event("bob", "2026-03-29T22:30:00Z", "page_view", "/b"),
    ];
    let pending = [
        of_carl("2026-03-31T09:00:00Z", "page_view"),
        Event { object: Some("banner".into()), ..of_carl("2026-03-31T09:00:05Z", "object_in_view") },
        of_carl("2026-03-31T09:00:10Z", "page_ping"),
        of_carl("2026-03-31T09:00:20Z", "page_ping"),
        Event {
            revenue_e4: Some(100_000),
            currency: Some("EUR".into()),
            channel: Some("Direct".into()),
            properties: Some("{\"plan\":\"pro\",\"items\":3}".into()),
            ..of_carl("2026-03-31T09:10:00Z", "purchase")
        },
        Event {
            is_bot: true,
            bot_kind: Some("search".into()),
            ..event("~robot", "2026-03-31T08:00:00Z", "page_view", "/")
        },
        event("", "2026-03-31T08:30:00Z", "page_view", "/"),
        event_of("blog", "dora", "2026-03-31T08:00:00Z", "page_view", "/post"),
    ];
    served(&published, &pending, "2026-03-31T10:00:00Z").await
}

impl Stats {
    /// Another server over a lake.
    pub fn over(lake: Lake, api: Arc<Api>) -> Self {
        Self { lake, api, _queries: tempfile::tempdir().unwrap() }
    }

    async fn key_of(&self, sites: &[&str]) -> String {
        let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
        self.lake.add_read_key(&sites, "", DateTime::UNIX_EPOCH).await.unwrap().read_key
    }

    /// The OpenAPI document.
    async fn document(&self) -> Json {
        self.send(Request::get("/v1/stats/openapi.json"), Body::empty()).await.2
    }

    async fn send(&self, request: axum::http::request::Builder, body_sent: Body) -> (u16, HeaderMap, Json) {
        let routes = router(self.api.clone(), Some(TOKEN.to_owned()));
        let answer = routes.oneshot(request.body(body_sent).unwrap()).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let json = if status == 304 { Json::Null } else { body(answer).await };
        (status, headers, json)
    }

    /// Asks as a program does that knows the name and value of each parameter.
    async fn get_as(&self, key: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, HeaderMap, Json) {
        let url = reqwest::Url::parse_with_params(&format!("http://x/v1/stats/{path}"), parameters).unwrap();
        let uri = url.as_str().strip_prefix("http://x").unwrap();
        let request = Request::get(uri).header("authorization", format!("Bearer {key}"));
        let (status, headers, answer) = self.send(request, Body::empty()).await;
        document::check(&self.document().await, path, "get", status, &answer);
        (status, headers, answer)
    }

    async fn post(&self, path: &str, asked: &Json) -> (u16, HeaderMap, Json) {
        let request = Request::post(format!("/v1/stats/{path}")).header("authorization", format!("Bearer {TOKEN}"));
        let (status, headers, answer) = self.send(request, Body::from(asked.to_string())).await;
        document::check(&self.document().await, path, "post", status, &answer);
        (status, headers, answer)
    }

    /// The answer to a request of one site, which is one.
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Json {
        let (status, _, answer) = self.get_as(TOKEN, path, parameters).await;
        assert_eq!(status, 200, "{path} {parameters:?}: {answer}");
        answer
    }

    /// Numbers of the site `shop`, in the order in which they are asked for.
    async fn numbers(&self, metrics: &str, parameters: &[(&str, &str)]) -> Json {
        let own = [("site", "shop"), ("metrics", metrics)];
        let answer = self.get("aggregate", &[&own, parameters].concat()).await;
        values(&answer, metrics)
    }

    /// Rows of a breakdown of the site `shop`: dimensions, then numbers.
    async fn rows(&self, dimensions: &str, metrics: &str, parameters: &[(&str, &str)]) -> Json {
        let own = [("site", "shop"), ("dimensions", dimensions), ("metrics", metrics)];
        let answer = self.get("breakdown", &[&own, parameters].concat()).await;
        let row = |row: &Json| {
            let keys = dimensions.split(',').map(|name| row["dimensions"][name].clone());
            keys.chain(values(row, metrics).as_array().unwrap().iter().cloned()).collect::<Json>()
        };
        answer["results"].as_array().unwrap().iter().map(row).collect()
    }
}

/// Numbers in the order of their names.
fn values(of: &Json, metrics: &str) -> Json {
    metrics.split(',').map(|name| of["metrics"].get(name).unwrap_or(&json!("missing")).clone()).collect()
}
