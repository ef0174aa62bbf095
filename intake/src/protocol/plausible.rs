//! Plausible's events API: <https://plausible.io/docs/events-api>.
//!
//! The domain chooses the site; there is no key. `pageview` becomes `page_view`. `engagement`, which its script sends
//! when a page is left, becomes `page_ping`: like a ping it says how long a page was looked at, and not that something
//! happened. Events have no id: the same request within one second counts once.

use http::StatusCode;
use serde_json::{Value, json};

use super::body::field::{LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object::{self, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;

/// See the module.
pub struct Plausible;

impl Protocol for Plausible {
    fn name(&self) -> &'static str {
        "plausible"
    }

    fn sender_of_body(&self, message: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        let body = object::raw(&message.body)?;
        let domain = object::field(&body, "domain").or_else(|| object::field(&body, "d"));
        let domain = domain.ok_or_else(|| IngestError::invalid("`domain` is missing: the site, as in shop.example"))?;
        // A request may name several sites; the events go to the first.
        Ok(Some(Sender::Domain(domain.split(',').next().unwrap_or_default().trim().to_owned())))
    }

    fn parse(&self, message: &Message, context: &Context, _: usize) -> Result<Parsed, IngestError> {
        let sent = String::from_utf8_lossy(&message.body);
        let mut parsed = Parsed::default();
        let read = read(object::of(message)?).and_then(|mut draft| {
            draft.id = Some(context.arrival_id(self.name(), &message.body, 0));
            draft.complete(context, self.name(), || context.missing_id(&sent, 0))
        });
        parsed.push(0, &sent, read);
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Text(StatusCode::ACCEPTED, "ok")
    }

    fn refused(&self, _: StatusCode, error: &IngestError) -> Value {
        json!({ "errors": { "event": [error.to_string()] } })
    }
}

fn read(mut body: Object) -> Result<Draft, String> {
    let mut draft = Draft::default();
    let event = &mut draft.event;
    let name = take(&mut body, ["name", "n"], NAME_CHARS_MAX)?.ok_or("`name` is missing, for example pageview")?;
    let is_engagement = name == "engagement";
    event.name = match &*name {
        "pageview" => "page_view".into(),
        "engagement" => "page_ping".into(),
        _ => name,
    };
    event.url = take(&mut body, ["url", "u"], LONG_CHARS_MAX)?;
    if event.url.is_none() {
        return Err("`url` is missing: the address of the page".into());
    }
    event.referrer = take(&mut body, ["referrer", "r"], LONG_CHARS_MAX)?;
    let revenue = ["revenue", "$"].iter().find_map(|name| object::take_object(&mut body, name));
    if let Some(mut revenue) = revenue {
        event.revenue_e4 = object::take_money_e4(&mut revenue, "amount");
        event.currency = object::take_text(&mut revenue, "currency", TEXT_CHARS_MAX)?;
    }
    let properties = ["props", "p", "meta", "m"].iter().find_map(|name| object::take_object(&mut body, name));
    let mut properties = properties.unwrap_or_default();
    // Not an interaction of the visitor, such as an event that a page sends by itself.
    let interactive = object::take(&mut body, "interactive").or_else(|| object::take(&mut body, "i"));
    if let Some(interactive @ Value::Bool(false)) = interactive {
        properties.entry("interactive").or_insert(interactive);
    }
    if is_engagement {
        // GA4 sends the time under this name.
        for (from, to) in [("e", "engagement_time_msec"), ("sd", "scroll_depth")] {
            if let Some(value) = object::take(&mut body, from) {
                properties.entry(to).or_insert(value);
            }
        }
    }
    event.properties = object::properties(properties)?;
    Ok(draft)
}

/// A field by its long or its short name.
fn take(body: &mut Object, names: [&str; 2], chars_max: usize) -> Result<Option<String>, String> {
    let [long, short] = names;
    Ok(object::take_text(body, long, chars_max)?.or(object::take_text(body, short, chars_max)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, context, digest, event, message, parse};

    const PATH: &str = "/api/event";

    #[test]
    fn long_and_short_names_mean_the_same() {
        for body in [
            r#"{"name":"Signup","url":"https://shop.example/a","domain":"shop.example","props":{"plan":"pro"}}"#,
            r#"{"n":"Signup","u":"https://shop.example/a","d":"shop.example","p":"{\"plan\":\"pro\"}","w":1200,"h":0}"#,
        ] {
            let found = event(&Plausible, PATH, body);
            assert_eq!(digest(&found), r#"Signup | - | - | - | https://shop.example/a | {"plan":"pro"}"#);
            let sender = Plausible.sender_of_body(&message(PATH, body), 1).unwrap();
            assert_eq!(sender, Some(Sender::Domain("shop.example".into())));
        }
    }

    #[test]
    fn a_pageview_is_a_page_view_and_revenue_is_money() {
        let body = r#"{"n":"pageview","u":"https://shop.example/","d":"a,b","r":null,"revenue":{"amount":"1.5","currency":"EUR"}}"#;
        let found = event(&Plausible, PATH, body);
        assert_eq!(
            (&*found.name, found.revenue_e4, found.currency.as_deref()),
            ("page_view", Some(15_000), Some("EUR"))
        );
        assert_eq!(Plausible.sender_of_body(&message(PATH, body), 1).unwrap(), Some(Sender::Domain("a".into())));
    }

    #[test]
    fn the_same_request_within_a_second_is_the_same_event() {
        let id = |body: &str, later_us: i64| {
            let context = Context { received_at_us: NOON_US + later_us, ..context() };
            Plausible.parse(&message(PATH, body), &context, 1).unwrap().events[0].event_id
        };
        let (one, two) =
            (r#"{"n":"a","u":"https://a.example/","d":"d"}"#, r#"{"n":"b","u":"https://a.example/","d":"d"}"#);
        assert_eq!(id(one, 0), id(one, 999_999));
        assert_ne!(id(one, 0), id(one, 1_000_000));
        assert_ne!(id(one, 0), id(two, 0));
    }

    #[test]
    fn what_is_missing_is_named() {
        let reason = |body| parse(&Plausible, PATH, body).rejected[0].reason.clone();
        assert!(reason(r#"{"u":"https://a.example/","d":"d"}"#).starts_with("`name` is missing"));
        assert!(reason(r#"{"n":"a","d":"d"}"#).starts_with("`url` is missing"));
        let error = Plausible.sender_of_body(&message(PATH, r#"{"n":"a"}"#), 1).unwrap_err();
        assert!(error.to_string().starts_with("`domain` is missing"));
    }
}
