//! The context of a request: what applies to all its events and is not in its body.

use std::sync::Arc;

use lake::EventId;

use crate::client::Client;
use crate::event_time::Window;
use crate::ids::Ids;

/// What applies to all events of a request and is not in its body.
#[derive(Clone, Debug)]
pub struct Context {
    /// The site that the events belong to.
    pub site_id: Arc<str>,
    /// When the request arrived, in microseconds since the epoch.
    pub received_at_us: i64,
    /// Which times the events may carry.
    pub window: Window,
    /// The client that sent them.
    pub client: Client,
    /// Makes the ids of events that have none.
    pub ids: Ids,
}

impl Context {
    /// The id of an event that was sent without one: derived from the request's id if a trusted proxy gave it one, else
    /// new.
    ///
    /// A derived id includes the content, because several requests may have the same id: services copy it from an
    /// incoming request to all their outgoing ones.
    pub(crate) fn missing_id(&self, content: &str, index: usize) -> EventId {
        self.request_event_id(content.as_bytes(), index).unwrap_or_else(|| {
            // The ids of one body differ in their random bits.
            EventId(self.ids.at(self.received_at_us).into_bytes())
        })
    }

    /// The id of an event whose protocol has no ids: derived from the request's id if it has one, else from the content,
    /// the client and the second of arrival. A request that is sent twice is then one event, and the same click a second
    /// later is another.
    pub(crate) fn arrival_id(&self, protocol: &str, content: &[u8], index: usize) -> EventId {
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
