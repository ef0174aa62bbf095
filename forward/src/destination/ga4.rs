//! Google Analytics 4 by its Measurement Protocol:
//! <https://developers.google.com/analytics/devguides/collection/protocol/ga4>.
//!
//! Google answers 204 to anything, also to what it then drops, so the documented limits are kept here. A request has the
//! events of one client.
//!
//! | Limit | What becomes of an event beyond it |
//! |---|---|
//! | happened more than 72 hours ago | refused |
//! | a reserved name, or one that is no name | gets `_event` at its end, or other characters instead |
//! | 25 parameters, names of 40 and values of 100 characters | parameters are left out, values cut |
//! | 25 events a request | more requests |
//!
//! `session_id` and `engagement_time_msec` are sent with each event: without them it shows in no report. There is no way to
//! tell Google that an event is the same as another, but for purchases by their `transaction_id`: after a crash one batch
//! may count twice.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde_json::{Map, Value as Json, json};

use crate::batch::Batch;
use crate::destination::answer::{address, client, judge};
use crate::destination::{Destination, Limits, SendError};
use crate::message::Event;

const ADDRESS: &str = "https://www.google-analytics.com/mp/collect";

/// Google's limits; of the body's 130 kB some are for what its events have in common.
const LIMITS: Limits = Limits { events_max: 25, bytes_max: 120_000 };
const AGE_MAX: TimeDelta = TimeDelta::hours(72);
const PARAMS_MAX: usize = 25;
const NAME_CHARS_MAX: usize = 40;
const VALUE_CHARS_MAX: usize = 100;
/// The title of a page, its address and the one before may be longer.
const PAGE_TITLE_CHARS_MAX: usize = 300;
const PAGE_REFERRER_CHARS_MAX: usize = 420;
const PAGE_LOCATION_CHARS_MAX: usize = 1_000;

/// Names that events of one's own must not have.
const RESERVED: [&str; 32] = [
    "ad_activeview",
    "ad_click",
    "ad_exposure",
    "ad_impression",
    "ad_query",
    "ad_reward",
    "adunit_exposure",
    "app_background",
    "app_clear_data",
    "app_exception",
    "app_install",
    "app_remove",
    "app_store_refund",
    "app_store_subscription_cancel",
    "app_store_subscription_convert",
    "app_store_subscription_renew",
    "app_update",
    "app_upgrade",
    "dynamic_link_app_open",
    "dynamic_link_app_update",
    "dynamic_link_first_open",
    "error",
    "first_open",
    "first_visit",
    "in_app_purchase",
    "notification_dismiss",
    "notification_foreground",
    "notification_open",
    "notification_receive",
    "os_update",
    "session_start",
    "user_engagement",
];

/// How names of Google's own begin.
const RESERVED_BEGINNINGS: [&str; 5] = ["_", "ga_", "google_", "gtag.", "firebase_"];

/// Sends events to a property.
pub(crate) struct Ga4 {
    client: Client,
    url: Url,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl Ga4 {
    /// - `url`: another address than Google's.
    ///
    /// Fails if the address is none.
    pub(crate) fn new(
        measurement_id: &str,
        secret: &str,
        url: Option<&str>,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> anyhow::Result<Self> {
        let mut url = address(url.unwrap_or(ADDRESS))?;
        url.query_pairs_mut().append_pair("measurement_id", measurement_id).append_pair("api_secret", secret);
        Ok(Self { client: client()?, url, clock })
    }
}

#[async_trait]
impl Destination for Ga4 {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn message(&self, event: &Event) -> Result<Json, String> {
        message_of(event, (self.clock)())
    }

    fn share_a_batch(&self, one: &Json, other: &Json) -> bool {
        one["client"] == other["client"]
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let Some(first) = batch.messages.first() else { return Ok(()) };
        let mut body = first["client"].clone();
        body["events"] = batch.messages.iter().map(|message| message["event"].clone()).collect();
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        judge(request.body(body.to_string()).send().await, batch.sent_at)
    }
}

/// An event, and the client that it is of.
pub(crate) fn message_of(event: &Event, now: DateTime<Utc>) -> Result<Json, String> {
    let text = |name: &str| event.get(name).and_then(Json::as_str);
    let at = text("occurred_at").and_then(|at| at.parse::<DateTime<Utc>>().ok()).ok_or("it has no time")?;
    if now - at > AGE_MAX {
        return Err("Google takes no events that happened more than 72 hours ago".into());
    }
    let visitor = event.get("visitor_id").map(|id| format!("visitor.{id}"));
    let who = text("anonymous_id").map(str::to_owned).or(visitor).or(text("user_id").map(str::to_owned));
    let mut client = Map::from_iter([("client_id".to_owned(), who.ok_or("nothing tells whose it is")?.into())]);
    client.extend(text("user_id").map(|id| ("user_id".to_owned(), id.into())));
    if let Some(country) = text("country") {
        let mut location = Map::from_iter([("country_id".to_owned(), country.into())]);
        location.extend(text("city").map(|city| ("city".to_owned(), city.into())));
        client.insert("user_location".into(), location.into());
    }

    let mut params = Map::new();
    // What makes it show, and what others ask for, comes first: there is room for 25.
    params.insert("session_id".into(), session_of(event, at).into());
    params.insert("engagement_time_msec".into(), engagement_of(event));
    for (name, column, chars_max) in [
        ("page_location", "url", PAGE_LOCATION_CHARS_MAX),
        ("page_referrer", "referrer", PAGE_REFERRER_CHARS_MAX),
        ("page_title", "title", PAGE_TITLE_CHARS_MAX),
        ("currency", "currency", VALUE_CHARS_MAX),
        ("language", "language", VALUE_CHARS_MAX),
        ("screen_resolution", "screen", VALUE_CHARS_MAX),
        ("source", "utm_source", VALUE_CHARS_MAX),
        ("medium", "utm_medium", VALUE_CHARS_MAX),
        ("campaign", "utm_campaign", VALUE_CHARS_MAX),
        ("term", "utm_term", VALUE_CHARS_MAX),
        ("content", "utm_content", VALUE_CHARS_MAX),
    ] {
        params.extend(text(column).map(|value| (name.to_owned(), cut(value, chars_max).into())));
    }
    params.extend(event.get("revenue").map(|revenue| ("value".to_owned(), revenue.clone())));
    let properties = event.get("properties").and_then(Json::as_object).into_iter().flatten();
    for (name, value) in properties {
        let name = name_of(name, "param");
        let value = match value {
            Json::String(text) => cut(text, VALUE_CHARS_MAX).into(),
            Json::Number(_) => value.clone(),
            Json::Bool(flag) => flag.to_string().into(),
            // Of arrays there is only the one of a shop's items.
            Json::Array(_) if name == "items" => value.clone(),
            Json::Null | Json::Array(_) | Json::Object(_) => continue,
        };
        if params.len() < PARAMS_MAX {
            params.entry(name).or_insert(value);
        }
    }
    let name = name_of(text("name").unwrap_or_default(), "event");
    let event = json!({ "name": name, "params": params, "timestamp_micros": at.timestamp_micros() });
    Ok(json!({ "client": client, "event": event }))
}

/// The session as Google wants it: a number. A session id that is none is made one; without any, the half hour counts.
fn session_of(event: &Event, at: DateTime<Utc>) -> String {
    let session = event.get("session_id").and_then(Json::as_str);
    match session {
        Some(id) if !id.is_empty() && id.len() <= 15 && id.bytes().all(|byte| byte.is_ascii_digit()) => id.to_owned(),
        Some(id) => id.bytes().fold(5_381_u64, |hash, byte| (hash * 33 + u64::from(byte)) % 1_000_000_007).to_string(),
        None => (at.timestamp() / 1_800 * 1_800).to_string(),
    }
}

/// The time that the visitor was engaged, if the event says so. A millisecond is enough to show.
fn engagement_of(event: &Event) -> Json {
    let said = event.get("properties").and_then(|properties| {
        let of = |name: &str| properties.get(name).and_then(Json::as_f64);
        of("engagement_time_msec").or(of("engaged_ms")).or(of("engaged_seconds").map(|seconds| seconds * 1_000.0))
    });
    said.filter(|said| *said >= 1.0).map_or(1, |said| said as i64).into()
}

/// A name that Google takes: letters, digits and underscores, a letter first, and none of its own.
fn name_of(name: &str, kind: &str) -> String {
    let clean = |char: char| if char.is_alphanumeric() { char } else { '_' };
    let mut name: String = name.chars().map(clean).collect();
    if !name.starts_with(char::is_alphabetic) || RESERVED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
    {
        name = format!("{kind}_{}", name.trim_start_matches('_'));
    }
    if kind == "event" && RESERVED.contains(&&*name) {
        name.push_str("_event");
    }
    cut(&name, NAME_CHARS_MAX).to_owned()
}

fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_what_makes_it_show() {
        check(
            r#"{"name":"purchase","occurred_at":"2026-03-01T12:00:00Z","anonymous_id":"a","user_id":"u","session_id":"1772366390","url":"https://shop.example/","revenue":19.9,"currency":"EUR","country":"DE","properties":{"transaction_id":"T-1","big":{"a":1},"items":[{"item_id":"hat"}],"new":true}}"#,
            Ok(
                r#"{"client":{"client_id":"a","user_id":"u","user_location":{"country_id":"DE"}},"event":{"name":"purchase","params":{"currency":"EUR","engagement_time_msec":1,"items":[{"item_id":"hat"}],"new":"true","page_location":"https://shop.example/","session_id":"1772366390","transaction_id":"T-1","value":19.9},"timestamp_micros":1772366400000000}}"#,
            ),
        );
        check(
            r#"{"name":"page_ping","occurred_at":"2026-03-01T12:10:00Z","visitor_id":-7,"properties":{"engaged_seconds":10}}"#,
            Ok(
                r#"{"client":{"client_id":"visitor.-7"},"event":{"name":"page_ping","params":{"engaged_seconds":10,"engagement_time_msec":10000,"session_id":"1772366400"},"timestamp_micros":1772367000000000}}"#,
            ),
        );
    }

    #[test]
    fn what_google_would_drop_without_a_word_is_refused_or_put_right() {
        check(r#"{"name":"a","occurred_at":"2026-02-26T11:59:59Z","user_id":"u"}"#, Err("Google takes no events"));
        check(r#"{"name":"a","occurred_at":"2026-03-01T12:00:00Z"}"#, Err("nothing tells whose it is"));
        for (name, expected) in [
            ("Order Completed", "Order_Completed"),
            ("session_start", "session_start_event"),
            ("ga_thing", "event_ga_thing"),
            ("_x", "event_x"),
            ("1st", "event_1st"),
            ("käse", "käse"),
        ] {
            assert_eq!(name_of(name, "event"), expected);
        }
        assert_eq!(name_of(&"a".repeat(50), "event").len(), 40);
    }

    #[test]
    fn parameters_are_at_most_25_and_their_values_100_characters() {
        let properties: Map<String, Json> = (0..40).map(|n| (format!("p{n:02}"), "ä".repeat(200).into())).collect();
        let event =
            json!({"name": "a", "occurred_at": "2026-03-01T12:00:00Z", "user_id": "u", "properties": properties});
        let message = message_of(event.as_object().unwrap(), now()).unwrap();
        let params = message["event"]["params"].as_object().unwrap();
        assert_eq!((params.len(), params["p00"].as_str().unwrap().chars().count()), (25, 100));
    }

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn check(event: &str, expected: Result<&str, &str>) {
        match (message_of(&serde_json::from_str(event).unwrap(), now()), expected) {
            (Ok(mut message), Ok(expected)) => {
                message.sort_all_objects();
                assert_eq!(message.to_string(), expected);
            }
            (Err(reason), Err(part)) => assert!(reason.starts_with(part), "{reason}"),
            (found, _) => panic!("{found:?}"),
        }
    }
}
