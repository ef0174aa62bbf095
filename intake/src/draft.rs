//! The way from what a sender says to an [`Event`]: the same for every protocol.

use std::net::IpAddr;

use lake::{Event, EventId};

use crate::context::Context;
use crate::event_time::Window;
use crate::{address, agent, channel, event_time};

/// An event as its sender tells it. Protocols fill it in, and [`complete`](Draft::complete) does the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// The columns that the sender names. Those of the site, the times, the visitor, and what follows from
    /// addresses and user agents are filled in later.
    pub(crate) event: Event,
    /// The event's identity, if the sender gave one or the protocol has a way to tell it.
    pub(crate) id: Option<EventId>,
    /// When it happened, by the sender's clock.
    pub(crate) created_us: Option<i64>,
    /// When it was sent, by the same clock.
    pub(crate) sent_us: Option<i64>,
    /// The browser it happened in, if the sender names it: servers speak for browsers.
    pub(crate) user_agent: Option<String>,
    /// The address it happened at, if the sender names it.
    pub(crate) ip: Option<IpAddr>,
    /// Whether the sender asks not to say where it happened.
    pub(crate) nowhere: bool,
}

impl Draft {
    /// The event, complete.
    ///
    /// - `missing_id`: the identity of an event whose sender gave none.
    ///
    /// Fails with a reason for the sender.
    pub(crate) fn complete(
        self,
        context: &Context,
        protocol: &'static str,
        missing_id: impl FnOnce() -> EventId,
    ) -> Result<Event, String> {
        let Self { mut event, id, created_us, mut sent_us, user_agent, ip, nowhere } = self;
        if event.name.trim().is_empty() {
            return Err("`name` is missing: what happened, for example page_view".into());
        }
        event.protocol = protocol;
        event.site_id = context.site_id.clone();
        event.received_at_us = context.received_at_us;
        event.id_assigned = id.is_none() && context.client.request_id.is_none();
        event.event_id = id.unwrap_or_else(missing_id);
        if context.window == Window::History {
            // Their arrival here says nothing of the clock that sent them then.
            sent_us = None;
        }
        event.occurred_at_us = event_time::occurred_at_us(created_us, sent_us, context.received_at_us, context.window)?;
        event.corrected_by_us =
            created_us.filter(|_| sent_us.is_some()).map(|created_us| event.occurred_at_us - created_us);

        let client = &context.client;
        let user_agent = user_agent.as_deref().or(client.user_agent.as_deref());
        let ip = ip.or(client.ip);
        address::fill(&mut event);
        if let Some(user_agent) = user_agent {
            agent::fill(&mut event, user_agent);
        }
        channel::fill(&mut event);
        // Where a server stands says nothing of whom it speaks for.
        let is_server = ip == client.ip && client.user_agent.as_deref().is_some_and(agent::is_library);
        if let (Some(ip), Some(geography), false) = (ip, &client.geography, nowhere || is_server) {
            geography.fill(&mut event, ip);
        }
        client.identify(&mut event, user_agent, ip);
        Ok(event)
    }
}
