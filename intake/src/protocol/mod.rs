//! Wire protocols: one module each, all with the same result, [`Event`].
//!
//! A protocol is pure: it reads requests that were received and writes answers that somebody else sends. It knows
//! neither the store nor the sites. What every event needs, whoever sent it, is done once, in `draft`.

mod field;
pub mod ga4;
mod items;
pub mod native;
mod object;
pub mod pixel;
pub mod plausible;
pub mod posthog;
pub mod segment;
pub mod snowplow;
pub mod umami;
pub mod visits;

use bytes::Bytes;
use http::{StatusCode, Uri};
use lake::Event;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{IngestError, Rejection};

/// The events of one body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The good ones, in the order they were sent.
    pub events: Vec<Event>,
    /// The bad ones.
    pub rejected: Vec<Rejection>,
}

impl Parsed {
    /// Adds an item as it was read, or as it was sent and refused.
    fn push(&mut self, index: usize, sent: &str, read: Result<Event, String>) {
        match read {
            Ok(event) => self.events.push(event),
            Err(reason) => self.rejected.push(Rejection::new(index, reason, sent)),
        }
    }
}

/// Who a request says it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A write key.
    Key(String),
    /// One of the domains of a site that takes events without a key.
    Domain(String),
}

/// A request as protocols see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its path and its parameters.
    pub uri: Uri,
    /// Decompressed; empty until it has been received.
    pub body: Bytes,
}

impl Message {
    /// A parameter of the address.
    fn param(&self, name: &str) -> Option<String> {
        self.params().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    fn params(&self) -> url::form_urlencoded::Parse<'_> {
        url::form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes())
    }

    /// The last part of the path, without a trailing slash.
    fn endpoint(&self) -> &str {
        self.uri.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }
}

/// What the sender of a request is told: its good events are durable.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    /// Good events, duplicates among them.
    pub accepted: usize,
    /// Those of which the same file has a copy.
    pub duplicates: usize,
    /// Bad events.
    pub rejected: Vec<Rejection>,
    /// The visitor of the first event.
    pub visitor_id: Option<i64>,
    /// Whether the first event is a robot's.
    pub is_bot: bool,
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A status and a JSON body.
    Json(StatusCode, Value),
    /// A status and a text.
    Text(StatusCode, &'static str),
    /// One transparent dot.
    Gif,
    /// A status and an empty body.
    Nothing(StatusCode),
}

/// A wire protocol.
pub trait Protocol: Send + Sync + 'static {
    /// What the column `protocol` says.
    fn name(&self) -> &'static str;

    /// Who sent a request, by its address: asked before the body is received. Keys in the headers, which all protocols
    /// share, are looked for elsewhere.
    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        let _ = message;
        Ok(None)
    }

    /// Who sent a request, by its body: asked if neither headers nor address say so. It may be anybody's body, so
    /// this looks at no more of it than it must.
    fn sender_of_body(&self, message: &Message, events_max: usize) -> Result<Option<Sender>, IngestError>;

    /// Reads the events. Each stands for itself: a bad one is rejected by its index and the others are kept.
    ///
    /// Fails if there are none at all, or more than `events_max` or than the protocol allows.
    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError>;

    /// The answer when every good event is durable.
    fn accepted(&self, receipt: &Receipt) -> Answer;

    /// The body of a refusal with `status`.
    fn refused(&self, _status: StatusCode, error: &IngestError) -> Value {
        match error {
            IngestError::Invalid { rejected, .. } => json!({ "message": error.to_string(), "rejected": rejected }),
            _ => json!({ "message": error.to_string() }),
        }
    }
}
