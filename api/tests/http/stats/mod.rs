//! `/v1/stats/…`, over HTTP.

mod answers;
mod document;
mod plain;
mod random;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Api, SqlSettings, router};
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use chrono::{DateTime, NaiveDate, Utc};
use engine::QueryLimits;
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableWriter, visitor_id};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::{body, server_at};

const TOKEN: &str = "token of the whole lake";

/// A server over a lake, at one moment.
struct Stats {
    lake: Lake,
    api: Arc<Api>,
    _queries: tempfile::TempDir,
}

/// An event of a visitor of a site.
///
/// - `who`: a user id, an anonymous id behind `~`, both as `user~anonymous`, or nobody.
/// - `at`: a time as RFC 3339.
fn event_of(site: &str, who: &str, at: &str, name: &str, path: &str) -> Event {
    let (user, anonymous) = who.split_once('~').unwrap_or((who, ""));
    let id = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (user_id, anonymous_id) = (id(user), id(anonymous));
    let at_us = at.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
    Event {
        event_id: EventId::from_client(&format!("{who} {at} {name}")),
        site_id: site.into(),
        name: name.into(),
        occurred_at_us: at_us,
        received_at_us: at_us + 1,
        visitor_id: user_id.as_ref().or(anonymous_id.as_ref()).map(|identity| visitor_id(site, identity)),
        user_id,
        anonymous_id,
        hostname: Some(format!("{site}.example")),
        path: Some(path.into()),
        protocol: "native",
        ..Event::default()
    }
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

/// Adds events to the table, a file for each date.
async fn publish(lake: &Lake, events: &[Event]) {
    let mut dates: BTreeMap<NaiveDate, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let date = DateTime::from_timestamp_micros(event.occurred_at_us).unwrap().date_naive();
        dates.entry(date).or_default().push(event);
    }
    let table = lake.table(&EVENTS);
    let mut adds = Vec::new();
    for (date, mut events) in dates {
        events.sort_by_key(|event| (event.site_id.clone(), event.visitor_id, event.occurred_at_us));
        let mut batch = RawBatch::default();
        assert!(events.iter().all(|event| batch.push(event)));
        let mut writer = TableWriter::start(&table, date).unwrap();
        writer.write(&batch.into_batch()).await.unwrap();
        adds.push(writer.finish().await.unwrap());
    }
    if !adds.is_empty() {
        let change = Change::publish(adds, vec![], BTreeSet::new());
        table.commit(change, table.load().await.unwrap()).await.unwrap();
    }
}

/// Makes events pending.
async fn pend(lake: &Lake, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    let mut batch = RawBatch::default();
    assert!(events.iter().all(|event| batch.push(event)));
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch.encode(), "2026-03-01T00:00:00Z".parse().unwrap()).await.unwrap();
}

/// Ada comes anonymously in February and in March, the second time over midnight in Berlin, where clocks go forward that
/// night, and signs in. Bob comes on the evening of that short day and again past midnight. Carl buys something two days
/// later. A robot and somebody without any id come, too. Dora reads the blog. What happens on the last day is pending.
async fn shop() -> Stats {
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
