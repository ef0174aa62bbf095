//! Meta's Conversions API: <https://developers.facebook.com/docs/marketing-api/conversions-api>.
//!
//! | Limit | What becomes of an event beyond it |
//! |---|---|
//! | happened more than 7 days ago | refused |
//! | nothing tells whose it is | refused |
//! | a purchase without value or currency | refused |
//! | 1 000 events a request, of which one that is wrong fails all | more requests, and halves of them |
//!
//! Who somebody is goes to Meta as a SHA-256 of what was normalised as Meta asks for it, and never in the clear. An event that
//! is sent again has the same `event_id`, by which Meta leaves the second one out for two days.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, Url};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::batch::Batch;
use crate::destination::answer::{address, body_of, client, refused, unreached, words};
use crate::destination::{Destination, Limits, SendError};
use crate::message::Event;

const ADDRESS: &str = "https://graph.facebook.com/v23.0";

const LIMITS: Limits = Limits { events_max: 1_000, bytes_max: 2 << 20 };
const AGE_MAX: TimeDelta = TimeDelta::days(7);

/// What Meta calls events that many people send.
const NAMES: [(&str, &str); 20] = [
    ("page_view", "PageView"),
    ("purchase", "Purchase"),
    ("order_completed", "Purchase"),
    ("Order Completed", "Purchase"),
    ("add_to_cart", "AddToCart"),
    ("Product Added", "AddToCart"),
    ("add_to_wishlist", "AddToWishlist"),
    ("begin_checkout", "InitiateCheckout"),
    ("Checkout Started", "InitiateCheckout"),
    ("add_payment_info", "AddPaymentInfo"),
    ("view_item", "ViewContent"),
    ("Product Viewed", "ViewContent"),
    ("search", "Search"),
    ("generate_lead", "Lead"),
    ("lead", "Lead"),
    ("signup", "CompleteRegistration"),
    ("sign_up", "CompleteRegistration"),
    ("Signed Up", "CompleteRegistration"),
    ("subscribe", "Subscribe"),
    ("start_trial", "StartTrial"),
];

/// Where Meta may be told that something happened.
const SOURCES: [&str; 9] = [
    "website",
    "app",
    "email",
    "phone_call",
    "chat",
    "physical_store",
    "system_generated",
    "business_messaging",
    "other",
];

/// What becomes of a property that tells who somebody is.
const PEOPLE: [(&str, &str, Normal); 10] = [
    ("email", "em", Normal::Text),
    ("phone", "ph", Normal::Digits),
    ("first_name", "fn", Normal::Text),
    ("last_name", "ln", Normal::Text),
    ("zip", "zp", Normal::Compact),
    ("city", "ct", Normal::Compact),
    ("state", "st", Normal::Compact),
    ("gender", "ge", Normal::Text),
    ("birthday", "db", Normal::Digits),
    ("external_id", "external_id", Normal::Id),
];

/// How a text is written before it is hashed.
#[derive(Clone, Copy)]
enum Normal {
    /// Without space around it, in small letters.
    Text,
    /// The same without any space or punctuation.
    Compact,
    /// Digits alone, without zeros before them.
    Digits,
    /// As it is.
    Id,
}

/// Sends events to a data set.
pub(crate) struct Meta {
    client: Client,
    url: Url,
    token: String,
    test_code: Option<String>,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl Meta {
    /// - `url`: another address than Meta's.
    ///
    /// Fails if the address is none.
    pub(crate) fn new(
        dataset_id: &str,
        token: String,
        test_code: Option<String>,
        url: Option<&str>,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> anyhow::Result<Self> {
        let url = address(&format!("{}/{dataset_id}/events", url.unwrap_or(ADDRESS).trim_end_matches('/')))?;
        Ok(Self { client: client()?, url, token, test_code, clock })
    }
}

#[async_trait]
impl Destination for Meta {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn message(&self, event: &Event) -> Result<Json, String> {
        message_of(event, (self.clock)())
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let mut body = json!({ "data": batch.messages, "access_token": self.token });
        if let Some(code) = &self.test_code {
            body["test_event_code"] = code.as_str().into();
        }
        let answer = self.client.post(self.url.clone()).json(&body).send().await.map_err(unreached)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_success() {
            return Ok(());
        }
        let said = body_of(answer).await;
        let reason = reason_of(&said).unwrap_or_else(|| status.to_string());
        // Meta answers 400 to nearly anything, also to what may be taken later.
        if status.is_client_error() && said["error"]["code"].is_number() && !is_of_events(&said["error"]) {
            return Err(SendError::Later { reason, after: None });
        }
        Err(refused(status, &headers, reason, batch.sent_at))
    }
}

/// Whether an error is of the events, and not of a token, a limit or Meta itself.
fn is_of_events(error: &Json) -> bool {
    error["code"] == 100 && error["is_transient"] != true
}

fn reason_of(said: &Json) -> Option<String> {
    let error = &said["error"];
    let detail = error["error_user_msg"].as_str().or(error["error_user_title"].as_str());
    let message = error["message"].as_str()?;
    Some(words(&detail.map_or_else(|| message.to_owned(), |detail| format!("{message}: {detail}"))))
}

/// An event as Meta reads it.
fn message_of(event: &Event, now: DateTime<Utc>) -> Result<Json, String> {
    let text = |name: &str| event.get(name).and_then(Json::as_str);
    let properties = event.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
    let property = |name: &str| properties.get(name).and_then(text_of);
    let at = text("occurred_at").and_then(|at| at.parse::<DateTime<Utc>>().ok()).ok_or("it has no time")?;
    if now - at > AGE_MAX {
        return Err("Meta takes no events that happened more than 7 days ago".into());
    }
    let mut user = Map::new();
    for (name, place, normal) in PEOPLE {
        if let Some(hash) = property(name).and_then(|value| hashed(&value, normal)) {
            user.insert(place.to_owned(), json!([hash]));
        }
    }
    let visitor = event.get("visitor_id").map(Json::to_string);
    let own = text("user_id").map(str::to_owned).or(text("anonymous_id").map(str::to_owned)).or(visitor);
    if let Some(hash) = own.and_then(|id| hashed(&id, Normal::Id)) {
        user.entry("external_id").or_insert(json!([hash]));
    }
    for (column, place) in [("country", "country"), ("city", "ct")] {
        if let Some(hash) = text(column).and_then(|value| hashed(value, Normal::Compact)) {
            user.entry(place).or_insert(json!([hash]));
        }
    }
    if !["em", "ph", "external_id"].iter().any(|name| user.contains_key(*name)) {
        return Err("nothing tells whose it is".into());
    }
    for (name, place) in [("fbc", "fbc"), ("fbp", "fbp"), ("user_agent", "client_user_agent")] {
        user.extend(property(name).map(|value| (place.to_owned(), value.into())));
    }
    let name = text("name").unwrap_or_default();
    let name = NAMES.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs);
    let said = property("action_source").filter(|source| SOURCES.contains(&source.as_str()));
    // Of a website Meta wants the agent, which Dewpond does not store.
    let assumed = if user.contains_key("client_user_agent") { "website" } else { "other" };
    let mut message = json!({
        "event_name": name,
        "event_time": at.timestamp(),
        "event_id": text("event_id"),
        "action_source": said.as_deref().unwrap_or(assumed),
        "user_data": user,
    });
    if let Some(url) = text("url") {
        message["event_source_url"] = url.into();
    }
    let custom = custom_data(event, &properties);
    if name == "Purchase" && !(custom.contains_key("value") && custom.contains_key("currency")) {
        return Err("Meta takes no purchase without value and currency".into());
    }
    if !custom.is_empty() {
        message["custom_data"] = custom.into();
    }
    Ok(message)
}

/// What the event was about: money, and properties that tell nobody.
fn custom_data(event: &Event, properties: &Map<String, Json>) -> Map<String, Json> {
    let is_of_people = |name: &str| {
        PEOPLE.iter().any(|(known, ..)| *known == name)
            || matches!(name, "fbc" | "fbp" | "user_agent" | "action_source" | "ip" | "ip_address")
    };
    let mut custom: Map<String, Json> = properties
        .iter()
        .filter(|(name, _)| !is_of_people(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    custom.extend(event.get("revenue").map(|revenue| ("value".to_owned(), revenue.clone())));
    custom.extend(event.get("currency").map(|currency| ("currency".to_owned(), currency.clone())));
    if let Some(order) = custom.remove("transaction_id") {
        custom.entry("order_id").or_insert(order);
    }
    custom
}

fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The SHA-256 of a text in hexadecimal digits. One that is a hash already stays; none is made of nothing.
fn hashed(text: &str, normal: Normal) -> Option<String> {
    let trimmed = text.trim();
    let is_hash = trimmed.len() == 64 && trimmed.bytes().all(|byte| byte.is_ascii_hexdigit());
    let written = match normal {
        _ if is_hash => return Some(trimmed.to_lowercase()),
        Normal::Text => trimmed.to_lowercase(),
        Normal::Compact => trimmed.to_lowercase().chars().filter(|char| char.is_alphanumeric()).collect(),
        Normal::Digits => {
            let digits: String = trimmed.chars().filter(char::is_ascii_digit).collect();
            digits.trim_start_matches('0').to_owned()
        }
        Normal::Id => trimmed.to_owned(),
    };
    (!written.is_empty()).then(|| Sha256::digest(written).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_somebody_is_goes_out_as_a_hash_of_what_was_normalised() {
        assert_eq!(hashed(" JSmith@Example.com ", Normal::Text), hashed("jsmith@example.com", Normal::Text));
        // printf test@example.com | sha256sum
        assert_eq!(
            hashed("TEST@example.com", Normal::Text).as_deref(),
            Some("973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b")
        );
        // printf 16505551212 | sha256sum
        assert_eq!(hashed("+1 (650) 555-1212", Normal::Digits), hashed("16505551212", Normal::Id));
        assert_eq!(hashed("0049 170 1", Normal::Digits), hashed("491701", Normal::Id));
        assert_eq!(hashed("São Paulo", Normal::Compact), hashed("sãopaulo", Normal::Id));
        assert_eq!(hashed(" ", Normal::Text), None);
        let hash = "A".repeat(64);
        assert_eq!(hashed(&hash, Normal::Text), Some("a".repeat(64)));
    }

    #[test]
    fn an_event_is_as_meta_reads_it() {
        let message = made(
            r#"{"event_id":"e-1","name":"purchase","occurred_at":"2026-03-01T12:00:00Z","user_id":"u-1","url":"https://shop.example/","revenue":19.9,"currency":"EUR","properties":{"email":"test@example.com","transaction_id":"T-1","fbp":"fb.1.2"}}"#,
        )
        .unwrap();
        let expected = json!({
            "event_name": "Purchase", "event_time": 1_772_366_400, "event_id": "e-1", "action_source": "other",
            "event_source_url": "https://shop.example/",
            "user_data": {
                "em": ["973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"],
                "external_id": [hashed("u-1", Normal::Id)], "fbp": "fb.1.2",
            },
            "custom_data": {"value": 19.9, "currency": "EUR", "order_id": "T-1"},
        });
        assert_eq!(message, expected);
        let agent = made(
            r#"{"name":"search","occurred_at":"2026-03-01T12:00:00Z","anonymous_id":"a","properties":{"user_agent":"x"}}"#,
        );
        assert_eq!(agent.unwrap()["action_source"], "website");
    }

    #[test]
    fn what_meta_would_refuse_is_refused_before() {
        for (event, reason) in [
            (r#"{"name":"a","occurred_at":"2026-02-22T11:59:59Z","user_id":"u"}"#, "more than 7 days ago"),
            (r#"{"name":"a","occurred_at":"2026-03-01T12:00:00Z","country":"DE"}"#, "nothing tells whose it is"),
            (r#"{"name":"purchase","occurred_at":"2026-03-01T12:00:00Z","user_id":"u"}"#, "without value and currency"),
        ] {
            assert!(made(event).unwrap_err().contains(reason), "{event}");
        }
    }

    #[test]
    fn only_an_invalid_parameter_is_an_error_of_the_events() {
        for (code, expected) in [(100, true), (190, false), (4, false), (80_004, false), (2, false)] {
            assert_eq!(is_of_events(&json!({ "code": code })), expected, "{code}");
        }
        assert!(!is_of_events(&json!({ "code": 100, "is_transient": true })));
    }

    fn made(event: &str) -> Result<Json, String> {
        message_of(&serde_json::from_str(event).unwrap(), "2026-03-01T12:00:00Z".parse().unwrap())
    }
}
