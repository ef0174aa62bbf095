//! The pixel: a native event in the address of an image, for pages and emails without scripts.
//!
//! Without an `event_id`, the same request within one second counts once.

use lake::Event;
use serde_json::Value;

use super::body::object::Object;
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender, native};
use crate::context::Context;
use crate::error::IngestError;

/// `GET /v1/pixel.gif?key=…&name=…`. Without a name it is a page view.
pub struct Pixel;

impl Protocol for Pixel {
    fn name(&self) -> &'static str {
        "pixel"
    }

    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        Ok(message.param("site").filter(|site| !site.is_empty()).map(Sender::Domain))
    }

    fn sender_of_body(&self, _: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        Ok(None)
    }

    fn parse(&self, message: &Message, context: &Context, _: usize) -> Result<Parsed, IngestError> {
        let mut fields: Object =
            message.params().map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
        fields.entry("name").or_insert("page_view".into());
        // The address of the page is not taken from the `Referer`: emails have none, and pages can name it.
        let json = Value::Object(fields).to_string();
        // Without the key, which must not be stored.
        let mut sent = url::form_urlencoded::Serializer::new(String::new());
        let sent = sent.extend_pairs(message.params().filter(|(name, _)| name != "key")).finish();
        // Browsers and proxies may fetch an image again at any time.
        let id = || context.arrival_id(self.name(), sent.as_bytes(), 0);
        let read = native::read(&json, context, self.name(), id).map(|event| Event { id_assigned: false, ..event });
        let mut parsed = Parsed::default();
        parsed.push(0, &sent, read);
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Gif
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::object::tests::{digest, event, message};

    #[test]
    fn the_fields_are_in_the_address() {
        let path = "/v1/pixel.gif?key=k&name=opened&user_id=u1&mail=november&url=https%3A%2F%2Fa.example%2F";
        let found = event(&Pixel, path, "");
        assert_eq!(digest(&found), r#"opened | u1 | - | - | https://a.example/ | {"mail":"november"}"#);
        assert_eq!(found.protocol, "pixel");
        assert_eq!(event(&Pixel, "/v1/pixel.gif?site=a", "").name, "page_view");
        let sender = Pixel.sender_of_address(&message("/v1/pixel.gif?site=a", "")).unwrap();
        assert_eq!(sender, Some(Sender::Domain("a".into())));
    }
}
