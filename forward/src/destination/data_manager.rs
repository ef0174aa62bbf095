//! Google Analytics 4 by the Data Manager API: <https://developers.google.com/data-manager/api>.
//!
//! Unlike the Measurement Protocol it says what is wrong: a request with one event that it does not take is refused as a
//! whole, with the reason. A request may have events of many clients.
//!
//! | Limit | What becomes of an event beyond it |
//! |---|---|
//! | happened more than 72 hours ago | refused |
//! | names and parameters | as by the [Measurement Protocol](super::ga4) |
//! | 2 000 events a request | more requests |

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{Client, StatusCode, Url};
use serde_json::{Map, Value as Json, json};

use crate::batch::Batch;
use crate::destination::answer::{address, body_of, client, refused, unreached, words};
use crate::destination::ga4;
use crate::destination::google_token::GoogleToken;
use crate::destination::{Destination, Limits, SendError};
use crate::message::Event;

const ADDRESS: &str = "https://datamanager.googleapis.com/v1/events:ingest";
const SCOPE: &str = "https://www.googleapis.com/auth/datamanager";

const LIMITS: Limits = Limits { events_max: 2_000, bytes_max: 4 << 20 };

/// Sends events to a stream of a property.
pub(crate) struct DataManager {
    client: Client,
    url: Url,
    token: GoogleToken,
    destination: Json,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl DataManager {
    /// - `key`: the file that Google gives for a service account, JSON.
    /// - `url`: another address than Google's.
    ///
    /// Fails if the key or the address is none.
    pub(crate) fn new(
        property_id: &str,
        measurement_id: &str,
        key: &str,
        url: Option<&str>,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> anyhow::Result<Self> {
        let client = client()?;
        let account = json!({ "accountType": "GOOGLE_ANALYTICS_PROPERTY", "accountId": property_id });
        let destination = json!({
            "operatingAccount": account, "loginAccount": account, "productDestinationId": measurement_id,
        });
        let token = GoogleToken::new(client.clone(), key, SCOPE, clock.clone())?;
        Ok(Self { client, url: address(url.unwrap_or(ADDRESS))?, token, destination, clock })
    }
}

#[async_trait]
impl Destination for DataManager {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn message(&self, event: &Event) -> Result<Json, String> {
        message_of(event, (self.clock)())
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let token = self.token.get().await?;
        let body = json!({ "destinations": [self.destination], "events": batch.messages });
        let request = self.client.post(self.url.clone()).bearer_auth(token).json(&body);
        let answer = request.send().await.map_err(unreached)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_success() {
            return Ok(());
        }
        if status == StatusCode::UNAUTHORIZED {
            self.token.forget();
        }
        let said = body_of(answer).await;
        Err(refused(status, &headers, reason_of(&said).unwrap_or_else(|| status.to_string()), batch.sent_at))
    }
}

/// What Google says, with the first field that is wrong.
fn reason_of(said: &Json) -> Option<String> {
    let error = &said["error"];
    let message = error["message"].as_str()?;
    let details = error["details"].as_array().into_iter().flatten();
    let field = details.filter_map(|detail| detail["fieldViolations"].get(0)).next().map(|violation| {
        let text = |name: &str| violation[name].as_str().unwrap_or_default();
        format!(": {} {}", text("field"), text("description"))
    });
    Some(words(&format!("{message}{}", field.unwrap_or_default())))
}

/// An event as the API reads it: that of the Measurement Protocol, some of whose parameters have places of their own.
fn message_of(event: &Event, now: DateTime<Utc>) -> Result<Json, String> {
    let mut message = ga4::message_of(event, now)?;
    let Json::Object(mut params) = message["event"]["params"].take() else { return Err("it has no parameters".into()) };
    let at = event.get("occurred_at").and_then(Json::as_str).and_then(|at| at.parse::<DateTime<Utc>>().ok());
    let at = at.ok_or("it has no time")?.to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut made = Map::new();
    made.insert("eventName".into(), message["event"]["name"].take());
    made.insert("eventTimestamp".into(), at.into());
    made.insert("eventSource".into(), "WEB".into());
    made.insert("clientId".into(), message["client"]["client_id"].take());
    if let Some(id) = message["client"].get("user_id") {
        made.insert("userId".into(), id.clone());
    }
    // The same for an event that is sent again.
    let id = params.remove("transaction_id").or_else(|| event.get("event_id").cloned());
    made.extend(id.map(|id| ("transactionId".to_owned(), text_of(&id).into())));
    made.extend(params.remove("currency").map(|currency| ("currency".to_owned(), currency)));
    made.extend(params.remove("value").filter(Json::is_number).map(|value| ("conversionValue".to_owned(), value)));
    if let Some(Json::Array(items)) = params.remove("items") {
        let items: Vec<Json> = items.iter().filter_map(Json::as_object).map(item_of).collect();
        made.insert("cartData".into(), json!({ "items": items }));
    }
    let others = params.iter().map(|(name, value)| json!({ "parameterName": name, "value": text_of(value) }));
    made.insert("additionalEventParameters".into(), others.collect());
    Ok(made.into())
}

fn item_of(item: &Map<String, Json>) -> Json {
    let mut made = Map::new();
    let mut others = Vec::new();
    for (name, value) in item {
        match name.as_str() {
            "item_id" => drop(made.insert("itemId".into(), text_of(value).into())),
            "quantity" => drop(made.insert("quantity".into(), text_of(value).into())),
            "price" if value.is_number() => drop(made.insert("unitPrice".into(), value.clone())),
            _ if value.is_string() || value.is_number() => {
                others.push(json!({ "parameterName": name, "value": text_of(value) }));
            }
            _ => {}
        }
    }
    if !others.is_empty() {
        made.insert("additionalItemParameters".into(), others.into());
    }
    made.into()
}

/// Values of parameters are texts.
fn text_of(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_money_items_and_parameters_where_google_looks_for_them() {
        let event = r#"{"event_id":"e-1","name":"purchase","occurred_at":"2026-03-01T12:00:00Z","anonymous_id":"a","user_id":"u","session_id":"1772366390","revenue":19.9,"currency":"EUR","properties":{"transaction_id":"T-1","items":[{"item_id":"hat","quantity":2,"price":9.95,"item_name":"Hat"}],"new":true}}"#;
        let mut message = made(event).unwrap();
        message.sort_all_objects();
        let expected = json!({
            "eventName": "purchase", "eventTimestamp": "2026-03-01T12:00:00.000000Z", "eventSource": "WEB",
            "clientId": "a", "userId": "u", "transactionId": "T-1", "currency": "EUR", "conversionValue": 19.9,
            "cartData": {"items": [{"itemId": "hat", "quantity": "2", "unitPrice": 9.95,
                "additionalItemParameters": [{"parameterName": "item_name", "value": "Hat"}]}]},
            "additionalEventParameters": [
                {"parameterName": "session_id", "value": "1772366390"},
                {"parameterName": "engagement_time_msec", "value": "1"},
                {"parameterName": "new", "value": "true"},
            ],
        });
        let sorted = |json: &Json| {
            let mut all = json["additionalEventParameters"].as_array().unwrap().clone();
            all.sort_by_key(Json::to_string);
            all
        };
        assert_eq!(sorted(&message), sorted(&expected));
        message["additionalEventParameters"] = Json::Null;
        let mut expected = expected;
        expected["additionalEventParameters"] = Json::Null;
        assert_eq!(message, expected);
    }

    #[test]
    fn an_event_without_a_transaction_has_its_own_id_and_old_ones_are_refused() {
        let message =
            made(r#"{"event_id":"e-1","name":"a","occurred_at":"2026-03-01T12:00:00Z","user_id":"u"}"#).unwrap();
        assert_eq!(message["transactionId"], "e-1");
        let refused = made(r#"{"name":"a","occurred_at":"2026-02-26T11:59:59Z","user_id":"u"}"#).unwrap_err();
        assert!(refused.contains("more than 72 hours ago"), "{refused}");
    }

    #[test]
    fn a_refusal_names_the_field() {
        let said = json!({"error": {"code": 400, "message": "There was a problem with the request.", "details": [
            {"reason": "INVALID_ARGUMENT"},
            {"fieldViolations": [{"field": "events[3].currency", "description": "Invalid currency"}]}]}});
        let expected = "There was a problem with the request.: events[3].currency Invalid currency";
        assert_eq!(reason_of(&said).as_deref(), Some(expected));
    }

    fn made(event: &str) -> Result<Json, String> {
        message_of(&serde_json::from_str(event).unwrap(), "2026-03-01T12:00:00Z".parse().unwrap())
    }
}
