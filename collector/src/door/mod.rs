//! The door: the way of one request from its bytes to its answer, whatever its protocol.

mod body;
mod cookie;
mod geography_file;
mod inflate;
mod keys;
mod peer;
mod rate;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::available_parallelism;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use intake::protocol::{Message, Parsed, Protocol, Sender, Taken};
use intake::{Client, Context, Ids, IngestError, Window, cut};
use lake::Site;
use tokio::sync::Semaphore;
use url::Url;
use uuid::Uuid;

use body::{Limits, Received};
pub(crate) use geography_file::GeographyFile;
use inflate::Encoding;
pub(crate) use keys::WAYS;
pub(crate) use peer::Peer;
use peer::{client_ip, request_id};
use rate::Rates;

use crate::Clock;
use crate::batch::Batcher;
use crate::budget::Budget;
use crate::counters;
use crate::directory::Directory;
use crate::http::answer;
use crate::quarantine::Quarantine;
use crate::settings::Settings;

/// Bodies above this are read on threads that may be held; smaller ones take less time than getting there.
const INLINE_BYTES_MAX: usize = 256 * 1024;

// The future of a request is allocated for each, so what only few requests need has a box of its own.

/// What a request needs.
pub(crate) struct Door {
    pub(crate) directory: Directory,
    batcher: Batcher,
    quarantine: Arc<Quarantine>,
    rates: Rates,
    geography: Option<GeographyFile>,
    clock: Clock,
    ids: Ids,
    limits: Limits,
    settings: Settings,
    /// Large bodies that are worked on at the same time: bounds both the threads and the memory they take.
    large_bodies: Arc<Semaphore>,
}

/// Somebody who may send, and to which site.
struct Admitted {
    site: Arc<Site>,
    sender: Sender,
}

/// A body that was received and decompressed, with the memory that it takes.
struct Opened {
    message: Message,
    received: Arc<Received>,
}

/// A request that was read.
struct Read {
    parsed: Parsed,
    site: Arc<Site>,
    received_at: DateTime<Utc>,
    /// The cookie to set.
    cookie: Option<String>,
    opted_out: bool,
}

impl Door {
    pub(crate) fn new(
        directory: Directory,
        batcher: Batcher,
        quarantine: Arc<Quarantine>,
        geography: Option<GeographyFile>,
        clock: Clock,
        ids: Ids,
        settings: &Settings,
    ) -> Self {
        Self {
            directory,
            batcher,
            quarantine,
            rates: Rates::new(settings),
            geography,
            clock,
            ids,
            limits: Limits {
                bytes_max: settings.body_bytes_max,
                timeout: settings.request_timeout,
                memory: Budget::new(settings.receive_bytes, counters::RECEIVE_BYTES),
            },
            settings: settings.clone(),
            large_bodies: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))),
        }
    }

    /// The name of a session that begins now.
    pub(crate) fn new_session_id(&self) -> Uuid {
        self.ids.at((self.clock)().timestamp_micros())
    }

    /// The settings that the collector was started with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes a request's events: answers when every good one is durable, or says why not.
    pub(crate) async fn take(&self, protocol: &'static dyn Protocol, request: Request) -> Response {
        let read = match self.read(protocol, request).await {
            Ok(read) => read,
            Err(error) => return answer::refusal(protocol, &error),
        };
        // From here on the request is gone: thousands wait for the disk at a time, and what they hold lies cold.
        let Read { parsed, site, received_at, cookie, opted_out } = read;
        match self.keep(protocol, parsed, &site, received_at, opted_out).await {
            Ok(taken) => {
                let mut response = answer::response(protocol.accepted(&taken));
                if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
                    response.headers_mut().insert(header::SET_COOKIE, cookie);
                }
                response
            }
            Err(error) => answer::refusal(protocol, &error),
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
        let client = self.client_of(&parts, &admitted, received_at, &mut None);
        Ok((opened.message.clone(), context_of(&admitted.site, received_at, client, self.ids.clone())))
    }

    /// Receives a request and reads its events.
    async fn read(&self, protocol: &'static dyn Protocol, request: Request) -> Result<Read, IngestError> {
        // Once for the whole request, and before the body, which may be slow to come.
        let received_at = (self.clock)();
        let refused = |error: &IngestError| counters::rejected(error.label(), 1);
        let (parts, body) = request.into_parts();
        let (admitted, opened) = self.admit(protocol, &parts, body).await.inspect_err(refused)?;
        let mut cookie = None;
        let client = self.client_of(&parts, &admitted, received_at, &mut cookie);
        let opted_out = client.opted_out;
        let context = context_of(&admitted.site, received_at, client, self.ids.clone());
        let (message, events_max) = (opened.message.clone(), self.settings.batch_events_max);
        let parse = move || protocol.parse(&message, &context, events_max);
        let parsed = self.work(opened.message.body.len(), &opened.received, parse).await.inspect_err(refused)?;

        let sent = parsed.events.len() + parsed.rejected.len();
        self.rates.check_sender(&admitted.sender, &admitted.site, sent).inspect_err(|error| {
            counters::rejected(error.label(), sent);
        })?;
        counters::rejected("invalid", parsed.rejected.len());
        Ok(Read { parsed, site: admitted.site, received_at, cookie, opted_out })
    }

    /// Makes the good events durable, and keeps the bad ones apart.
    async fn keep(
        &self,
        protocol: &'static dyn Protocol,
        parsed: Parsed,
        site: &Site,
        received_at: DateTime<Utc>,
        opted_out: bool,
    ) -> Result<Taken, IngestError> {
        let Parsed { events, mut rejected } = parsed;
        let accepted = events.len();
        let (visitor_id, is_bot) = events.first().map(|event| (event.visitor_id, event.is_bot)).unwrap_or_default();
        let durable = if rejected.is_empty() {
            self.batcher.append(events).await
        } else {
            let texts = rejected.iter_mut().map(|one| std::mem::take(&mut one.event));
            let texts = if opted_out { vec![] } else { texts.collect() };
            let kept = self.quarantine.keep(site, protocol.name(), received_at, &rejected, texts).boxed();
            if events.is_empty() {
                kept.await;
                let reason = format!("no event was taken; the first one: {}", rejected[0].reason);
                return Err(IngestError::Invalid { reason, rejected });
            }
            tokio::join!(self.batcher.append(events), kept).0
        };
        let duplicates = durable?.duplicates;
        Ok(Taken { accepted, duplicates, rejected, visitor_id, is_bot })
    }

    /// Everything up to the events: who sends them, whether they may, and the body as it was meant.
    async fn admit(
        &self,
        protocol: &'static dyn Protocol,
        parts: &Parts,
        body: Body,
    ) -> Result<(Admitted, Opened), IngestError> {
        let events_max = self.settings.batch_events_max;
        let address = Message { uri: parts.uri.clone(), body: Bytes::new() };
        let admitted = match self.admit_early(protocol, &address, parts).await {
            Ok(admitted) => admitted,
            Err(error) => {
                body::discard(body).boxed().await;
                return Err(error);
            }
        };
        let opened = self.open(parts, body).await?;
        let admitted = match admitted {
            Some(admitted) => admitted,
            None => {
                let (message, body_bytes) = (opened.message.clone(), opened.message.body.len());
                let find = move || protocol.sender_of_body(&message, events_max);
                let sender = self.work(body_bytes, &opened.received, find).await?;
                let sender = sender.ok_or_else(|| IngestError::Unauthorized {
                    reason: format!("there is no write key; send it as {}", keys::WAYS),
                })?;
                self.site_of(sender, parts).await?
            }
        };
        Ok((admitted, opened))
    }

    /// Who sends a request, if its headers or its address say so.
    async fn admit_early(
        &self,
        protocol: &'static dyn Protocol,
        address: &Message,
        parts: &Parts,
    ) -> Result<Option<Admitted>, IngestError> {
        self.rates.check_ip(self.ip_of(parts))?;
        let of_headers = keys::of_request(parts).map(|key| Sender::Key(key.into_owned()));
        let sender = match of_headers {
            Some(sender) => Some(sender),
            None => protocol.sender_of_address(address)?,
        };
        match sender {
            Some(sender) => self.site_of(sender, parts).await.map(Some),
            None => Ok(None),
        }
    }

    async fn site_of(&self, sender: Sender, parts: &Parts) -> Result<Admitted, IngestError> {
        let known = match &sender {
            Sender::Key(key) => self.directory.known_site_of_key(key),
            Sender::Domain(domain) => self.directory.known_site(domain),
        };
        let site = match known {
            Some(site) => site,
            None => self.look_for(&sender).boxed().await?,
        };
        let origins = &site.settings.origins;
        if !origins.is_empty()
            && let Some(origin) = origin_of(parts)
            && !origins.iter().any(|allowed| **allowed == *origin)
        {
            let (site_id, origin) = (&site.site_id, cut(&origin, ORIGIN_BYTES_MAX));
            let reason =
                format!("pages of {origin} may not send to {site_id}; `dewpond site set {site_id} --origin …`");
            return Err(IngestError::Forbidden { reason });
        }
        Ok(Admitted { site, sender })
    }

    async fn look_for(&self, sender: &Sender) -> Result<Arc<Site>, IngestError> {
        match sender {
            Sender::Key(key) => self.directory.site_of_key(key).await,
            Sender::Domain(domain) => self.directory.site_of_domain(domain).await,
        }
    }

    /// Receives a body and decompresses it.
    pub(crate) async fn open_small(&self, parts: &Parts, body: Body) -> Result<Bytes, IngestError> {
        let received = self.limits.receive(body).await?;
        let encoding = Encoding::detect(&received.bytes, text_of(&parts.headers, header::CONTENT_ENCODING));
        encoding.inflate(received.bytes.clone(), INLINE_BYTES_MAX)
    }

    async fn open(&self, parts: &Parts, body: Body) -> Result<Opened, IngestError> {
        let mut received = self.limits.receive(body).await?;
        let encoding = Encoding::detect(&received.bytes, text_of(&parts.headers, header::CONTENT_ENCODING));
        let (bytes, bytes_max) = (received.bytes.clone(), self.settings.inflated_bytes_max);
        if encoding == Encoding::Plain {
            let body = encoding.inflate(bytes, bytes_max)?;
            return Ok(Opened { message: Message { uri: parts.uri.clone(), body }, received: Arc::new(received) });
        }
        // Most are small, whatever they are compressed to. How small cannot be told from outside.
        let body = match encoding.inflate(bytes.clone(), INLINE_BYTES_MAX.min(bytes_max)) {
            Err(IngestError::TooLarge { .. }) if bytes_max > INLINE_BYTES_MAX => {
                let held = Arc::new(received);
                let inflated = self.work(bytes_max, &held, move || encoding.inflate(bytes, bytes_max)).await?;
                received = Arc::into_inner(held).ok_or(IngestError::Closing)?;
                inflated
            }
            inflated => inflated?,
        };
        received.grow(body.len()).map_err(|used_bytes| IngestError::Full { used_bytes })?;
        Ok(Opened { message: Message { uri: parts.uri.clone(), body }, received: Arc::new(received) })
    }

    /// Runs work whose time depends on a body: here if that is small, else on a thread that may be held, when there is
    /// a turn for it. The turn and the memory belong to the work: they are held until it is done, also when the
    /// sender hangs up meanwhile.
    async fn work<T: Send + 'static>(
        &self,
        body_bytes: usize,
        received: &Arc<Received>,
        work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
    ) -> Result<T, IngestError> {
        if body_bytes <= INLINE_BYTES_MAX {
            return work();
        }
        self.work_aside(received, work).boxed().await
    }

    async fn work_aside<T: Send + 'static>(
        &self,
        received: &Arc<Received>,
        work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
    ) -> Result<T, IngestError> {
        let turn = self.large_bodies.clone().acquire_owned().await.expect("nobody closes this semaphore");
        let received = received.clone();
        let work = move || {
            let done = work();
            drop((turn, received));
            done
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(IngestError::Closing),
            },
        }
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
        Admitted { site, sender }: &Admitted,
        received_at: DateTime<Utc>,
        set_cookie: &mut Option<String>,
    ) -> Client {
        let settings = &site.settings;
        let says = |name: &'static str| text_of(&parts.headers, HeaderName::from_static(name)) == Some("1");
        let opted_out = settings.honor_opt_out && (says("sec-gpc") || says("dnt"));
        // Snowplow's trackers say it for one request.
        let anonymous = parts.headers.contains_key("sp-anonymous");
        let cookie_id = (settings.cookie && !opted_out && !anonymous)
            .then(|| {
                cookie::find(&parts.headers, &site.site_id).or_else(|| keeps_cookies(parts).then(|| self.ids.random()))
            })
            .flatten()
            .map(|id| {
                // Each time, so that it lasts as long as the visitor comes back.
                *set_cookie = Some(cookie::set(id, &site.site_id));
                id.to_string()
            });
        Client {
            user_agent: text_of(&parts.headers, header::USER_AGENT).map(str::to_owned),
            ip: self.ip_of(parts),
            cookie_id,
            salt: (settings.cookieless && !anonymous).then(|| self.directory.salt_at(received_at)).flatten(),
            domain: match sender {
                Sender::Domain(domain) => Some(domain.clone()),
                Sender::Key(_) => None,
            },
            request_id: request_id(self.peer_of(parts), &parts.headers, &self.settings.trusted_proxies),
            opted_out,
            geography: self.geography.as_ref().filter(|_| !anonymous).map(GeographyFile::current),
        }
    }
}

/// Whether a cookie that is set now comes back with the next request: else each event would be a new visitor. Scripts
/// of other protocols send none, and images in mails and on other sites are not allowed to.
fn keeps_cookies(parts: &Parts) -> bool {
    let from = text_of(&parts.headers, HeaderName::from_static("sec-fetch-site"));
    let is_ours = parts.uri.path().starts_with("/v1/events") || parts.uri.path().starts_with("/v1/pixel.gif");
    is_ours && matches!(from, Some("same-origin" | "same-site"))
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

/// Where the page lies that sends a request; none for servers. Images carry no `Origin`, and most say who shows them.
fn origin_of(parts: &Parts) -> Option<Cow<'_, str>> {
    if let Some(origin) = text_of(&parts.headers, header::ORIGIN) {
        return Some(origin.into());
    }
    let referrer = text_of(&parts.headers, header::REFERER).filter(|_| parts.method == Method::GET)?;
    Some(Url::parse(referrer).ok()?.origin().ascii_serialization().into())
}

/// Longer ones are quoted in part.
const ORIGIN_BYTES_MAX: usize = 255;

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
