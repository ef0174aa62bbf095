//! The door: the way of one request from its bytes to its answer, whatever its protocol.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::available_parallelism;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use lake::Site;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::Clock;
use crate::batcher::Batcher;
use crate::body::{self, Limits, Received};
use crate::budget::Budget;
use crate::client::Client;
use crate::counters;
use crate::directory::Directory;
use crate::error::IngestError;
use crate::event_time::Window;
use crate::geography::GeographyFile;
use crate::inflate::Encoding;
use crate::peer::{Peer, client_ip, request_id};
use crate::protocol::{Context, Message, Parsed, Protocol, Sender, Taken};
use crate::quarantine::Quarantine;
use crate::rate::Rates;
use crate::settings::Settings;
use crate::{cookie, keys};

/// Bodies above this are read on threads that may be held; smaller ones take less time than getting there.
const INLINE_BYTES_MAX: usize = 256 * 1024;

/// A compressed body counts as if it were this many times as large.
const INFLATION: usize = 64;

/// What a request needs.
pub(crate) struct Door {
    pub(crate) directory: Directory,
    batcher: Batcher,
    quarantine: Quarantine,
    rates: Rates,
    geography: Option<GeographyFile>,
    clock: Clock,
    limits: Limits,
    settings: Settings,
    /// Large bodies that are read at the same time: bounds both the threads and the memory they take.
    large_bodies: Semaphore,
}

/// Somebody who may send, and to which site.
struct Admitted {
    site: Arc<Site>,
    sender: Sender,
}

/// A body that was received, until its events are durable.
struct Opened<'a> {
    message: Message,
    /// What reading it may take.
    weight: usize,
    _received: Received,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Door {
    pub(crate) fn new(
        directory: Directory,
        batcher: Batcher,
        quarantine: Quarantine,
        geography: Option<GeographyFile>,
        clock: Clock,
        settings: &Settings,
    ) -> Self {
        Self {
            directory,
            batcher,
            quarantine,
            rates: Rates::new(settings),
            geography,
            clock,
            limits: Limits {
                bytes_max: settings.body_bytes_max,
                timeout: settings.request_timeout,
                memory: Budget::new(settings.receive_bytes, counters::RECEIVE_BYTES),
            },
            settings: settings.clone(),
            large_bodies: Semaphore::new(available_parallelism().map_or(1, usize::from)),
        }
    }

    /// The settings that the collector was started with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes a request's events: answers when every good one is durable, or says why not.
    pub(crate) async fn take(&self, protocol: &'static dyn Protocol, request: Request) -> Response {
        // Once for the whole request, and before the body, which may be slow to come.
        let received_at = (self.clock)();
        let (parts, body) = request.into_parts();
        let mut new_cookie = None;
        match self.try_take(protocol, &parts, body, received_at, &mut new_cookie).await {
            Ok(taken) => {
                let mut response = protocol.accepted(&taken).into_response();
                if let Some(cookie) = new_cookie.and_then(|id| HeaderValue::try_from(cookie::set(id)).ok()) {
                    response.headers_mut().insert(header::SET_COOKIE, cookie);
                }
                response
            }
            Err(error) => error.into_response_of(protocol),
        }
    }

    /// The events of a request that nobody is to keep, for its sender to see what would be wrong with them.
    pub(crate) async fn inspect(
        &self,
        protocol: &'static dyn Protocol,
        request: Request,
    ) -> Result<(Message, Context), IngestError> {
        let received_at = (self.clock)();
        let (parts, body) = request.into_parts();
        let (admitted, opened) = self.admit(protocol, &parts, body).await?;
        let client = self.client_of(&parts, &admitted.site, received_at, &mut None);
        Ok((opened.message.clone(), context_of(&admitted.site, received_at, client)))
    }

    async fn try_take(
        &self,
        protocol: &'static dyn Protocol,
        parts: &Parts,
        body: Body,
        received_at: DateTime<Utc>,
        new_cookie: &mut Option<Uuid>,
    ) -> Result<Taken, IngestError> {
        let refused = |error: &IngestError| counters::rejected(error.label(), 1);
        let (admitted, opened) = self.admit(protocol, parts, body).await.inspect_err(refused)?;
        let client = self.client_of(parts, &admitted.site, received_at, new_cookie);
        let context = context_of(&admitted.site, received_at, client);
        let (message, events_max) = (opened.message.clone(), self.settings.batch_events_max);
        let parse = move || protocol.parse(&message, &context, events_max);
        let Parsed { events, rejected } = heavy(opened.weight, parse).await.inspect_err(refused)?;
        drop(opened);

        let sent = events.len() + rejected.len();
        self.rates.check_sender(&admitted.sender, &admitted.site, sent).inspect_err(|error| {
            counters::rejected(error.label(), sent);
        })?;
        counters::rejected("invalid", rejected.len());
        let first = events.first().map(|event| (event.visitor_id, event.is_bot));
        let kept = self.quarantine.keep(&admitted.site, protocol.name(), received_at, &rejected, &admitted.sender);
        if events.is_empty() && !rejected.is_empty() {
            kept.await;
            let reason = format!("no event was taken; the first one: {}", rejected[0].reason);
            return Err(IngestError::Invalid { reason, rejected });
        }
        let accepted = events.len();
        let (durable, ()) = tokio::join!(self.batcher.append(events), kept);
        let duplicates = durable?.duplicates;
        let (visitor_id, is_bot) = first.unwrap_or_default();
        Ok(Taken { accepted, duplicates, rejected, visitor_id, is_bot })
    }

    /// Everything up to the events: who sends them, whether they may, and the body as it was meant.
    async fn admit(
        &self,
        protocol: &'static dyn Protocol,
        parts: &Parts,
        body: Body,
    ) -> Result<(Admitted, Opened<'_>), IngestError> {
        let events_max = self.settings.batch_events_max;
        let address = Message { uri: parts.uri.clone(), body: Bytes::new() };
        let early = async {
            self.rates.check_ip(self.ip_of(parts))?;
            let of_headers = keys::of_request(parts).map(|key| Sender::Key(key.into_owned()));
            let sender = match of_headers {
                Some(sender) => Some(sender),
                None => protocol.sender(&address, events_max)?,
            };
            match sender {
                Some(sender) => self.site_of(sender, parts).await.map(Some),
                None => Ok(None),
            }
        };
        let admitted = match early.await {
            Ok(admitted) => admitted,
            Err(error) => {
                body::discard(body).await;
                return Err(error);
            }
        };
        let opened = self.open(parts, body).await?;
        let admitted = match admitted {
            Some(admitted) => admitted,
            None => {
                let message = opened.message.clone();
                let sender = heavy(opened.weight, move || protocol.sender(&message, events_max)).await?;
                let sender = sender.ok_or_else(|| IngestError::Unauthorized {
                    reason: format!("there is no write key; send it as {}", keys::WAYS),
                })?;
                self.site_of(sender, parts).await?
            }
        };
        Ok((admitted, opened))
    }

    async fn site_of(&self, sender: Sender, parts: &Parts) -> Result<Admitted, IngestError> {
        let site = match &sender {
            Sender::Key(key) => self.directory.site_of_key(key).await?,
            Sender::Domain(domain) => self.directory.site_of_domain(domain).await?,
        };
        let origins = &site.settings.origins;
        if let Some(origin) = text_of(&parts.headers, header::ORIGIN)
            && !origins.is_empty()
            && !origins.iter().any(|allowed| allowed == origin)
        {
            let site_id = &site.site_id;
            let reason =
                format!("pages of {origin} may not send to {site_id}; `dewpond site set {site_id} --origin …`");
            return Err(IngestError::Forbidden { reason });
        }
        Ok(Admitted { site, sender })
    }

    /// Receives a body and decompresses it.
    pub(crate) async fn open_small(&self, parts: &Parts, body: Body) -> Result<Bytes, IngestError> {
        let received = self.limits.receive(body).await?;
        let encoding = Encoding::detect(&received.bytes, text_of(&parts.headers, header::CONTENT_ENCODING));
        encoding.inflate(received.bytes.clone(), INLINE_BYTES_MAX)
    }

    async fn open(&self, parts: &Parts, body: Body) -> Result<Opened<'_>, IngestError> {
        let received = self.limits.receive(body).await?;
        let encoding = Encoding::detect(&received.bytes, text_of(&parts.headers, header::CONTENT_ENCODING));
        let weight = received.bytes.len() * if encoding == Encoding::Plain { 1 } else { INFLATION };
        // Held until the events are read, so that a queue of large bodies stays within the memory.
        let turn = if weight > INLINE_BYTES_MAX { Some(self.turn().await) } else { None };
        let (bytes, bytes_max) = (received.bytes.clone(), self.settings.inflated_bytes_max);
        let body = heavy(weight, move || encoding.inflate(bytes, bytes_max)).await?;
        let message = Message { uri: parts.uri.clone(), body };
        Ok(Opened { message, weight, _received: received, _turn: turn })
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        self.large_bodies.acquire().await.expect("nobody closes this semaphore")
    }

    fn ip_of(&self, parts: &Parts) -> Option<IpAddr> {
        client_ip(self.peer_of(parts), &parts.headers, &self.settings.trusted_proxies)
    }

    fn peer_of(&self, parts: &Parts) -> Option<IpAddr> {
        parts.extensions.get::<Peer>().map(|peer| peer.0)
    }

    /// Who the request is from, as far as it is not said by its events.
    fn client_of(
        &self,
        parts: &Parts,
        site: &Site,
        received_at: DateTime<Utc>,
        new_cookie: &mut Option<Uuid>,
    ) -> Client {
        let settings = &site.settings;
        let says = |name: &'static str| text_of(&parts.headers, HeaderName::from_static(name)) == Some("1");
        let opted_out = settings.honor_opt_out && (says("sec-gpc") || says("dnt"));
        // Servers have no cookie jar: only pages, and the images on them, are given one.
        let is_page = parts.headers.contains_key(header::ORIGIN) || parts.method == Method::GET;
        let cookie_id = (settings.cookie && is_page && !opted_out)
            .then(|| cookie::find(&parts.headers).unwrap_or_else(|| *new_cookie.insert(Uuid::new_v4())).to_string());
        Client {
            user_agent: text_of(&parts.headers, header::USER_AGENT).map(str::to_owned),
            ip: self.ip_of(parts),
            cookie_id,
            salt: settings.cookieless.then(|| self.directory.salt_at(received_at)).flatten(),
            request_id: request_id(self.peer_of(parts), &parts.headers, &self.settings.trusted_proxies),
            opted_out,
            geography: self.geography.as_ref().map(GeographyFile::current),
        }
    }
}

fn context_of(site: &Site, received_at: DateTime<Utc>, client: Client) -> Context {
    Context {
        site_id: site.site_id.clone(),
        received_at_us: received_at.timestamp_micros(),
        window: Window::Live,
        client,
    }
}

/// Runs work whose time depends on the body: here if it is short, else on a thread that may be held.
async fn heavy<T: Send + 'static>(
    weight: usize,
    work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
) -> Result<T, IngestError> {
    if weight <= INLINE_BYTES_MAX {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(IngestError::Closing),
        },
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
