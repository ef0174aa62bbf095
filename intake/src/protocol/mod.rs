//! Wire protocols, one module each. A protocol parses requests into [`Event`]s and builds answers.
//!
//! Protocols are pure: they know neither sockets nor the store nor the sites. What every event needs, whatever its
//! protocol, is done once, when a draft is completed.

pub mod amplitude;
pub(crate) mod body;
pub mod ga4;
pub mod imported;
pub mod jitsu;
pub mod mixpanel;
pub mod native;
pub mod otlp;
pub mod pixel;
pub mod plausible;
pub mod posthog;
pub mod segment;
pub mod setup;
pub mod snowplow;
pub mod umami;
pub mod visits;

use bytes::Bytes;
use http::{StatusCode, Uri};
use lake::Event;
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{IngestError, Rejection};

/// The events of one body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The valid ones, in the order in which they were sent.
    pub events: Vec<Event>,
    /// The invalid ones.
    pub rejected: Vec<Rejection>,
    /// What could not be read of valid ones.
    pub warnings: Vec<Warning>,
}

/// Something that an accepted event says in a way that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The event's index in the request, from 0.
    pub index: usize,
    /// What it is, and what became of it, in words for the sender.
    pub reason: String,
}

impl Parsed {
    /// Adds an item: the event, or the reason why it is refused.
    fn push(&mut self, index: usize, sent: &str, read: Result<Event, String>) {
        match read {
            Ok(event) => self.events.push(event),
            Err(reason) => self.rejected.push(Rejection::new(index, reason, sent)),
        }
    }
}

/// The sender that a request names.
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
    /// A parameter in the address. Bytes that are not UTF-8 become U+FFFD.
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
    /// Valid events, including duplicates.
    pub accepted: usize,
    /// Events that the same file already had.
    pub duplicates: usize,
    /// Invalid events.
    pub rejected: Vec<Rejection>,
    /// What could not be read of valid ones.
    pub warnings: Vec<Warning>,
    /// The visitor of the first event.
    pub visitor_id: Option<i64>,
    /// Whether the first event is a bot's.
    pub is_bot: bool,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A status and a JSON body.
    Json(StatusCode, Value),
    /// A status and a text.
    Text(StatusCode, &'static str),
    /// A status and a message of Protocol Buffers.
    Protobuf(StatusCode, Vec<u8>),
    /// One transparent dot.
    Gif,
    /// A status and an empty body.
    Nothing(StatusCode),
}

impl Receipt {
    /// The answer with a JSON object, and with what was wrong, where something was.
    fn answer(&self, mut body: Value) -> Answer {
        if !self.rejected.is_empty() {
            body["rejected"] = json!(self.rejected);
        }
        if !self.warnings.is_empty() {
            body["warnings"] = json!(self.warnings);
        }
        Answer::Json(StatusCode::OK, body)
    }
}

/// A wire protocol.
pub trait Protocol: Send + Sync + 'static {
    /// The value of the column `protocol`.
    fn name(&self) -> &'static str;

    /// The protocol that a message is in, where several share an address or have several forms of answers. Asked twice: with
    /// the address alone, and with the body. Does not read all of a body: its sender is not known yet.
    fn spoken_in(&self, message: &Message) -> Option<&'static dyn Protocol> {
        let _ = message;
        None
    }

    /// The sender that the address names. Asked before the body is received. Keys in headers are the same for all
    /// protocols and are found elsewhere.
    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        let _ = message;
        Ok(None)
    }

    /// The sender that the body names. Asked if neither headers nor address name one. The body may be a stranger's, so
    /// implementations read no more of it than they must.
    fn sender_of_body(&self, message: &Message, events_max: usize) -> Result<Option<Sender>, IngestError>;

    /// Parses the events. Each stands alone: an invalid one is rejected by its index and the others are kept.
    ///
    /// Fails if there are none at all, or more than `events_max` or than the protocol allows.
    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError>;

    /// The answer once every valid event is durable.
    fn accepted(&self, receipt: &Receipt) -> Answer;

    /// The body of a refusal with `status`.
    fn refused(&self, _status: StatusCode, error: &IngestError) -> Value {
        match error {
            IngestError::Invalid { rejected, .. } => json!({ "message": error.to_string(), "rejected": rejected }),
            _ => json!({ "message": error.to_string() }),
        }
    }

    /// The answer to a request that is refused with `status`.
    fn refusal(&self, status: StatusCode, error: &IngestError) -> Answer {
        Answer::Json(status, self.refused(status, error))
    }
}
