//! What is known of a request's events besides what they say themselves.

use std::sync::Arc;

use lake::EventId;

use crate::client::Client;
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
    pub(crate) fn missing_id(&self, content: &str, index: usize) -> EventId {
        self.request_event_id(content.as_bytes(), index).unwrap_or_else(|| {
            // Those of one body differ by their random bits.
            EventId(self.ids.at(self.received_at_us).into_bytes())
        })
    }

    /// The identity of an event whose protocol has none: that of the request, if it has a name; else its content, and
    /// the second of its arrival. A request that is sent twice is one event then, and the same click a second later
    /// another.
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
