//! Jitsu's API for events, which has Segment's calls: <https://docs.jitsu.com/sending-data/http>.
//!
//! Its keys have a secret behind a colon, and its library insists on one: what stands before it is the write key.
//! Deduplicated by `messageId`.

use http::StatusCode;
use serde_json::{Value, json};

use super::body::object;
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender, segment};
use crate::context::Context;
use crate::error::IngestError;

/// See the module.
pub struct Jitsu;

impl Protocol for Jitsu {
    fn name(&self) -> &'static str {
        "jitsu"
    }

    fn sender_of_body(&self, message: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        segment::check_size(message)?;
        // The library writes stars for the secret, and sends all of the key in a header.
        let key = object::field(&object::raw(&message.body)?, "writeKey");
        let key = key.and_then(|key| key.split(':').next().map(str::to_owned));
        Ok(key.filter(|key| !key.is_empty()).map(Sender::Key))
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        segment::parse_calls(self.name(), message, context, events_max)
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        receipt.answer(json!({ "ok": true }))
    }

    fn refused(&self, _: StatusCode, error: &IngestError) -> Value {
        json!({ "ok": false, "error": error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use lake::EventId;

    use super::*;
    use crate::protocol::body::object::tests::{digest, event, message};

    #[test]
    fn calls_are_segments() {
        let body = r#"{"type":"track","event":"a","userId":"u","anonymousId":"x","messageId":"m","writeKey":"k:***","properties":{"n":1},
            "context":{"library":{"name":"@jitsu/js","version":"1.11.0","env":"node"},"page":{"url":"https://shop.example/"}}}"#;
        for path in ["/api/s/track", "/api/s/s2s/track", "/api/s/s2s/event"] {
            let found = event(&Jitsu, path, body);
            assert_eq!(digest(&found), r#"a | u | x | - | https://shop.example/ | {"n":1}"#);
            assert_eq!((found.protocol, found.event_id), ("jitsu", EventId::from_client("m")));
            assert_eq!(found.sdk.as_deref(), Some("@jitsu/js/1.11.0"));
        }
        let batch = r#"{"batch":[{"type":"page","anonymousId":"x","properties":{"url":"https://shop.example/"}}]}"#;
        assert_eq!(
            digest(&event(&Jitsu, "/api/s/s2s/batch", batch)),
            "page_view | - | x | - | https://shop.example/ | -"
        );
    }

    #[test]
    fn the_key_stands_before_the_secret() {
        let sender = |body| Jitsu.sender_of_body(&message("/api/s/track", body), 9).unwrap();
        for body in [r#"{"writeKey":"k:***"}"#, r#"{"writeKey":"k"}"#] {
            assert_eq!(sender(body), Some(Sender::Key("k".into())));
        }
        assert_eq!(sender(r#"{"writeKey":":s"}"#), None);
    }
}
