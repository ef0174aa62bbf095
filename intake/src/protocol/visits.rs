//! Visits: a minimal protocol with a visitor, a page and a time.
//!
//! `POST /visits` with `x-api-key` and `{"identifier":…,"pageUrl":…,"visitedAt":…}`. Visits have no id: two with the
//! same visitor, page and time are one visit.

use http::StatusCode;
use instant::Unit;
use lake::EventId;
use serde_json::{Value, json};
use url::Url;

use super::body::field::{LONG_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object;
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::{IngestError, Rejection};

/// Separates the problems of one visit in its reason.
const AND: &str = "; ";

/// See the module.
pub struct Visits;

impl Protocol for Visits {
    fn name(&self) -> &'static str {
        "visits"
    }

    fn sender_of_body(&self, _: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        Ok(None)
    }

    fn parse(&self, message: &Message, context: &Context, _: usize) -> Result<Parsed, IngestError> {
        let sent = String::from_utf8_lossy(&message.body);
        let mut body = object::of(message)?;
        let mut wrong = Vec::new();
        let mut text = |name: &str, chars_max| match object::take_text(&mut body, name, chars_max) {
            Ok(Some(text)) => text,
            Ok(None) => {
                wrong.push(format!("{name} should not be empty"));
                String::new()
            }
            Err(reason) => {
                wrong.push(reason);
                String::new()
            }
        };
        let identifier = text("identifier", TEXT_CHARS_MAX);
        let page_url = text("pageUrl", LONG_CHARS_MAX);
        if !page_url.is_empty() && Url::parse(&page_url).is_err() {
            wrong.push("pageUrl must be a URL address".into());
        }
        let visited_at_us = match object::take_time_us(&mut body, "visitedAt", Unit::Milliseconds) {
            Ok(Some(time_us)) => time_us,
            Ok(None) => {
                wrong.push("visitedAt must be a valid ISO 8601 date string".into());
                0
            }
            Err(reason) => {
                wrong.push(format!("visitedAt must be a valid ISO 8601 date string: {reason}"));
                0
            }
        };
        if !wrong.is_empty() {
            let rejected = vec![Rejection::new(0, wrong.join(AND), &sent)];
            return Ok(Parsed { rejected, ..Parsed::default() });
        }
        let time = visited_at_us.to_le_bytes();
        let id = EventId::derived(&[b"visit", identifier.as_bytes(), page_url.as_bytes(), &time]);
        let mut draft = Draft { id: Some(id), created_us: Some(visited_at_us), ..Draft::default() };
        draft.event.name = "page_view".into();
        draft.event.anonymous_id = Some(identifier);
        draft.event.url = Some(page_url);
        let mut parsed = Parsed::default();
        parsed.push(0, &sent, draft.complete(context, self.name(), || context.missing_id(&sent, 0)));
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Json(StatusCode::ACCEPTED, json!({ "message": "Visit logged" }))
    }

    fn refused(&self, _: StatusCode, error: &IngestError) -> Value {
        match error {
            IngestError::Unauthorized { .. } => json!({ "message": "Unauthorized" }),
            IngestError::Invalid { rejected, .. } if !rejected.is_empty() => {
                json!({ "message": rejected[0].reason.split(AND).collect::<Vec<_>>() })
            }
            _ => json!({ "message": [error.to_string()] }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, digest, event, parse};

    const PATH: &str = "/visits";

    #[test]
    fn a_visit_is_a_page_view_at_its_time() {
        let body = r#"{"identifier":"v1","pageUrl":"https://shop.example/a","visitedAt":"2026-03-01T11:59:00Z"}"#;
        let found = event(&Visits, PATH, body);
        assert_eq!(digest(&found), "page_view | - | v1 | - | https://shop.example/a | -");
        assert_eq!(found.occurred_at_us, NOON_US - 60_000_000);
        assert_eq!(event(&Visits, PATH, &format!(" {body}")).event_id, found.event_id);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let rejected = parse(&Visits, PATH, r#"{"pageUrl":"nowhere"}"#).rejected;
        assert_eq!(rejected.len(), 1, "one visit, however much is wrong with it");
        let reasons: Vec<_> = rejected[0].reason.split(AND).collect();
        assert_eq!(
            reasons,
            [
                "identifier should not be empty",
                "pageUrl must be a URL address",
                "visitedAt must be a valid ISO 8601 date string"
            ]
        );
    }
}
