//! Drafts of events. Completing a draft makes an [`Event`] of it, in the same way for every protocol.

use std::net::IpAddr;

use lake::{Event, EventId, PROTOCOLS};

use crate::context::Context;
use crate::event_time::Window;
use crate::{address, agent, channel, event_time};

/// What the scripts of PostHog and RudderStack write if there was no page before.
const NO_REFERRER: &str = "$direct";

/// An event as its sender describes it. Protocols fill it in, and [`complete`](Draft::complete) does the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// The columns that the sender sets. Site, times, visitor, and everything derived from addresses and the user agent
    /// are filled in later.
    pub(crate) event: Event,
    /// The event's id, if the sender gave one or the protocol derives one.
    pub(crate) id: Option<EventId>,
    /// When it happened, by the sender's clock.
    pub(crate) created_us: Option<i64>,
    /// When it was sent, by the same clock.
    pub(crate) sent_us: Option<i64>,
    /// The visitor's user agent, if the sender names it: servers send on behalf of browsers.
    pub(crate) user_agent: Option<String>,
    /// The visitor's address, if the sender names it.
    pub(crate) ip: Option<IpAddr>,
    /// Whether the sender asks not to locate the event.
    pub(crate) skip_geography: bool,
    /// Whether programs send such events of themselves. The HTTP library that sends one is no robot then.
    pub(crate) is_of_program: bool,
}

impl Draft {
    /// Completes the event.
    ///
    /// - `missing_id`: makes the id of an event without one.
    ///
    /// Fails with a reason for the sender.
    pub(crate) fn complete(
        self,
        context: &Context,
        protocol: &'static str,
        missing_id: impl FnOnce() -> EventId,
    ) -> Result<Event, String> {
        let Self { mut event, id, created_us, mut sent_us, user_agent, ip, skip_geography, is_of_program } = self;
        if event.name.trim().is_empty() {
            return Err("`name` is missing: what happened, for example page_view".into());
        }
        // The lake stores one of the names that it knows.
        debug_assert!(PROTOCOLS.contains(&protocol), "{protocol} is none of `lake::PROTOCOLS`");
        event.protocol = protocol;
        event.site_id = context.site_id.clone();
        event.received_at_us = context.received_at_us;
        event.id_assigned = id.is_none() && context.client.request_id.is_none();
        event.event_id = id.unwrap_or_else(missing_id);
        if context.window == Window::History {
            // The arrival of an import says nothing about the clock that the event was sent by.
            sent_us = None;
        }
        event.occurred_at_us = event_time::occurred_at_us(created_us, sent_us, context.received_at_us, context.window)?;
        event.corrected_by_us =
            created_us.filter(|_| sent_us.is_some()).map(|created_us| event.occurred_at_us - created_us);

        if event.referrer.as_deref() == Some(NO_REFERRER) {
            event.referrer = None;
        }
        let client = &context.client;
        // The hints of a request say nothing of a visitor whose user agent stands in the event.
        let hints = client.hints.as_ref().filter(|_| user_agent.is_none());
        let of_request = client.user_agent.as_deref().filter(|agent| !(is_of_program && agent::is_library(agent)));
        let user_agent = user_agent.as_deref().or(of_request);
        let ip = ip.or(client.ip);
        address::fill(&mut event);
        if let Some(user_agent) = user_agent {
            agent::fill(&mut event, user_agent, hints);
        }
        channel::fill(&mut event);
        // A server's location says nothing about the visitor that it sends for.
        let is_server = ip == client.ip && client.user_agent.as_deref().is_some_and(agent::is_library);
        if let (Some(ip), Some(geography), false) = (ip, &client.geography, skip_geography || is_server) {
            geography.fill(&mut event, ip);
        }
        client.identify(&mut event, user_agent, ip);
        Ok(event)
    }
}
