//! The door: takes a request from its bytes to durable events, whatever its protocol.
//!
//! This file is the order of things: time of arrival, sender, site, body, events, rate, put. Each step is a file of
//! its own.

mod admit;
mod body;
mod client;
mod cookie;
mod geography_file;
mod inflate;
mod keys;
mod offload;
mod open;
mod peer;
mod rate;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use intake::protocol::{Message, Parsed, Protocol, Receipt};
use intake::{Client, Context, Ids, IngestError, Window};
use lake::Site;
use uuid::Uuid;

use admit::SiteAccess;
use body::BodyLimits;
pub(crate) use geography_file::GeographyFile;
use offload::Offload;
use open::OpenRequest;
pub(crate) use peer::Peer;
use rate::Rates;

use crate::Clock;
use crate::budget::Budget;
use crate::counters;
use crate::directory::Directory;
use crate::homes::{Home, Homes};
use crate::settings::Settings;

/// What every request needs.
pub(crate) struct Door {
    pub(crate) directory: Directory,
    homes: Arc<Homes>,
    rates: Rates,
    geography: Option<GeographyFile>,
    clock: Clock,
    ids: Ids,
    body_limits: BodyLimits,
    offload: Offload,
    settings: Settings,
}

/// What the sender of a request is told once its events are durable.
pub(crate) struct Acknowledgement {
    pub(crate) receipt: Receipt,
    /// The value of `Set-Cookie`, on sites that name visitors by a cookie.
    pub(crate) cookie: Option<String>,
}

/// The events of a request, and what is still needed of the request once they are read.
struct ParsedRequest {
    parsed: Parsed,
    site: Arc<Site>,
    home: Arc<Home>,
    received_at: DateTime<Utc>,
    cookie: Option<String>,
    opted_out: bool,
}

// The future of a request is allocated for each request, so a step that few requests need is boxed by itself.
impl Door {
    pub(crate) fn new(
        directory: Directory,
        homes: Arc<Homes>,
        geography: Option<GeographyFile>,
        clock: Clock,
        ids: Ids,
        settings: &Settings,
    ) -> Self {
        Self {
            directory,
            homes,
            rates: Rates::new(settings),
            geography,
            clock,
            ids,
            body_limits: BodyLimits {
                bytes_max: settings.body_bytes_max,
                timeout: settings.request_timeout,
                memory: Budget::new(settings.receive_bytes, counters::RECEIVE_BYTES),
            },
            offload: Offload::new(),
            settings: settings.clone(),
        }
    }

    /// An id for a session that begins now.
    pub(crate) fn new_session_id(&self) -> Uuid {
        self.ids.at((self.clock)().timestamp_micros())
    }

    /// The settings that the collector was started with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes a request's events: returns when every good one is durable, or says why none is.
    ///
    /// - `protocol`: that of the address. Becomes the one that the request is in, and has to be answered in.
    pub(crate) async fn take(
        &self,
        protocol: &mut &'static dyn Protocol,
        request: Request,
    ) -> Result<Acknowledgement, IngestError> {
        let mut request = self.parse(protocol, request).await?;
        let protocol = *protocol;
        // From here on the request's own bytes are gone: thousands of requests wait for the disk at a time, and
        // each holds only its events.
        let cookie = request.cookie.take();
        let receipt = commit(protocol, request).await?;
        Ok(Acknowledgement { receipt, cookie })
    }

    /// Opens a request of which nothing will be stored, so that its sender can learn what is wrong with it.
    pub(crate) async fn inspect(
        &self,
        protocol: &'static dyn Protocol,
        request: Request,
    ) -> Result<(Message, Context), IngestError> {
        let received_at = (self.clock)();
        let (parts, body) = request.into_parts();
        let mut protocol = protocol;
        let (access, request) = self.admit_and_open(&mut protocol, &parts, body).await?;
        let (client, _cookie) = self.client_of(&parts, &access, received_at);
        Ok((request.message.clone(), context_of(&access.site, received_at, client, self.ids.clone())))
    }

    /// Receives a request, parses its events and counts them against the sender's rate.
    async fn parse(
        &self,
        protocol: &mut &'static dyn Protocol,
        request: Request,
    ) -> Result<ParsedRequest, IngestError> {
        // Once for the whole request, and before the body, which may be slow to come.
        let received_at = (self.clock)();
        let count_refused = |error: &IngestError| counters::refused(error, 1);
        let (parts, body) = request.into_parts();
        let (access, request) = self.admit_and_open(protocol, &parts, body).await.inspect_err(count_refused)?;
        let (client, cookie) = self.client_of(&parts, &access, received_at);
        let opted_out = client.opted_out;
        let context = context_of(&access.site, received_at, client, self.ids.clone());
        let (protocol, message, events_max) = (*protocol, request.message.clone(), self.settings.batch_events_max);
        let parse = move || protocol.parse(&message, &context, events_max);
        let parsed =
            self.offload.run(request.message.body.len(), &request.raw, parse).await.inspect_err(count_refused)?;

        let events = parsed.events.len() + parsed.rejected.len();
        self.rates
            .check_sender(&access.sender, &access.site, events)
            .inspect_err(|error| counters::refused(error, events))?;
        counters::invalid(parsed.rejected.len());
        Ok(ParsedRequest { parsed, site: access.site, home: access.home, received_at, cookie, opted_out })
    }

    /// Admits the sender and opens the body. The sender is looked for in the headers and the address first, so that
    /// the body of a stranger is not decompressed.
    async fn admit_and_open(
        &self,
        protocol: &mut &'static dyn Protocol,
        parts: &Parts,
        body: Body,
    ) -> Result<(SiteAccess, OpenRequest), IngestError> {
        let head = Message { uri: parts.uri.clone(), body: Bytes::new() };
        *protocol = protocol.spoken_in(&head).unwrap_or(*protocol);
        let access = match self.admit_by_head(*protocol, &head, parts).await {
            Ok(access) => access,
            Err(error) => {
                body::discard(body).boxed().await;
                return Err(error);
            }
        };
        let request = self.open(parts, body).await?;
        *protocol = protocol.spoken_in(&request.message).unwrap_or(*protocol);
        let access = match access {
            Some(access) => access,
            None => self.admit_by_body(*protocol, &request, parts).await?,
        };
        Ok((access, request))
    }
}

/// Makes the good events durable and puts the bad ones into quarantine.
async fn commit(protocol: &'static dyn Protocol, request: ParsedRequest) -> Result<Receipt, IngestError> {
    let ParsedRequest { parsed, site, home, received_at, opted_out, .. } = request;
    let Parsed { events, mut rejected, warnings } = parsed;
    let accepted = events.len();
    let (visitor_id, is_bot) = events.first().map(|event| (event.visitor_id, event.is_bot)).unwrap_or_default();
    let durable = if rejected.is_empty() {
        home.batcher.append(events).await
    } else {
        let texts = rejected.iter_mut().map(|one| std::mem::take(&mut one.event));
        let texts = if opted_out { vec![] } else { texts.collect() };
        let quarantine = home.quarantine.add(&site, protocol.name(), received_at, &rejected, texts).boxed();
        if events.is_empty() {
            quarantine.await;
            let reason = format!("no event was taken; the first one: {}", rejected[0].reason);
            return Err(IngestError::Invalid { reason, rejected });
        }
        tokio::join!(home.batcher.append(events), quarantine).0
    };
    let duplicates = durable?.duplicates;
    Ok(Receipt { accepted, duplicates, rejected, warnings, visitor_id, is_bot })
}

fn context_of(site: &Site, received_at: DateTime<Utc>, client: Client, ids: Ids) -> Context {
    Context {
        site_id: site.site_id.clone(),
        received_at_us: received_at.timestamp_micros(),
        window: Window::Live,
        client,
        ids,
    }
}

/// The text of a header, whatever its bytes.
fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    headers.get(name).map(text_of)
}

/// The text of a header's value: UTF-8, or else Latin-1, which HTTP once said headers are in and which reads any bytes.
pub(crate) fn text_of(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_text_whatever_its_bytes() {
        for (bytes, text, sender) in [
            (&b"Mozilla/5.0"[..], "Mozilla/5.0", "most"),
            ("Приложение/1.0".as_bytes(), "Приложение/1.0", "iOS, an app named in its own script"),
            (b"Gr\xf6\xdfe/1.0", "Größe/1.0", "Windows, an app in its code page"),
            (b"\xc3", "\u{c3}", "a text cut within a letter"),
            (b"", "", "a proxy that blanks it"),
        ] {
            assert_eq!(text_of(&HeaderValue::from_bytes(bytes).unwrap()), text, "{sender}");
        }
    }
}
