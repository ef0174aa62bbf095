//! Wire protocols: one module each, all with the same result, [`Event`].
//!
//! A protocol is pure: it reads requests that were received and writes answers that somebody else sends. It knows
//! neither the store nor the sites. What every event needs, whoever sent it, is done once, in `draft`.

mod draft;
mod field;
pub(crate) mod ga4;
mod items;

pub mod native;
mod object;
pub(crate) mod pixel;
pub(crate) mod plausible;
pub(crate) mod posthog;
pub(crate) mod segment;
pub(crate) mod snowplow;
pub(crate) mod umami;
pub(crate) mod visits;

use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use lake::{Event, EventId};
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::{IngestError, Rejection};
use crate::event_time::Window;
use crate::ids::Ids;

/// What is known of a request's events besides what they say themselves.
#[derive(Clone, Debug)]
pub struct Context {
    /// The site they belong to.
    pub site_id: Arc<str>,
    /// When they arrived, in microseconds since the epoch.
    pub received_at_us: i64,
    /// Which times they may carry.
    pub window: Window,
    /// Who sent them.
    pub client: Client,
    /// Makes the ids of events that have none.
    pub ids: Ids,
}

impl Context {
    /// The identity of an event whose sender gave none: that of the request, where a proxy of ours names the requests
    /// that it may send twice, and else a new one.
    ///
    /// The content is part of it, since a name may stand for more than one request: services copy it from what comes in
    /// to all that goes out.
    fn missing_id(&self, content: &str, index: usize) -> EventId {
        self.request_event_id(content.as_bytes(), index).unwrap_or_else(|| {
            // Those of one body differ by their random bits.
            EventId(self.ids.at(self.received_at_us).into_bytes())
        })
    }

    /// The identity of an event whose protocol has none: that of the request, if it has a name; else its content, and
    /// the second of its arrival. A request that is sent twice is one event then, and the same click a second later
    /// another.
    fn arrival_id(&self, protocol: &str, content: &[u8], index: usize) -> EventId {
        if let Some(id) = self.request_event_id(content, index) {
            return id;
        }
        let second = self.received_at_us.div_euclid(1_000_000).to_le_bytes();
        let ip = self.client.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let user_agent = self.client.user_agent.as_deref().unwrap_or_default();
        let index = index.to_le_bytes();
        EventId::derived(&[protocol.as_bytes(), content, &second, ip.as_bytes(), user_agent.as_bytes(), &index])
    }

    fn request_event_id(&self, content: &[u8], index: usize) -> Option<EventId> {
        let request_id = self.client.request_id.as_ref()?;
        Some(EventId::derived(&[b"request", request_id.as_bytes(), content, &index.to_le_bytes()]))
    }
}

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
pub(crate) struct Message {
    pub(crate) uri: Uri,
    /// Decompressed; empty until it has been received.
    pub(crate) body: Bytes,
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

/// What became of a request: its good events are durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Good events, duplicates among them.
    pub(crate) accepted: usize,
    /// Those of which the same file has a copy.
    pub(crate) duplicates: usize,
    pub(crate) rejected: Vec<Rejection>,
    /// The visitor of the first event.
    pub(crate) visitor_id: Option<i64>,
    /// Whether the first event is a robot's.
    pub(crate) is_bot: bool,
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Json(StatusCode, Value),
    Text(StatusCode, &'static str),
    /// One transparent dot.
    Gif,
    Nothing(StatusCode),
}

/// A wire protocol.
pub(crate) trait Protocol: Send + Sync + 'static {
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
    fn accepted(&self, taken: &Taken) -> Answer;

    /// The body of a refusal with `status`.
    fn refused(&self, _status: StatusCode, error: &IngestError) -> Value {
        match error {
            IngestError::Invalid { rejected, .. } => json!({ "message": error.to_string(), "rejected": rejected }),
            _ => json!({ "message": error.to_string() }),
        }
    }
}
