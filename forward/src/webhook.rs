//! A webhook: batches of Segment's calls, posted as JSON and signed.

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use crate::batch::Batch;
use crate::destination::{Destination, Limits, SendError};
use crate::message::{Event, segment_call};

/// How long a request may take: receivers may write before they answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The limits of Segment's own batches, with room for the envelope.
const LIMITS: Limits = Limits { events_max: 1_000, bytes_max: 480 << 10 };

/// Posts batches to an address.
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    secret: Option<String>,
    token: Option<String>,
}

impl Webhook {
    /// Fails if the address is none.
    pub(crate) fn new(url: &str, secret: Option<String>, token: Option<String>) -> anyhow::Result<Self> {
        Ok(Self { client: client()?, url: address(url)?, secret, token })
    }
}

/// An address that can be posted to.
pub(crate) fn address(url: &str) -> anyhow::Result<Url> {
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    parsed.context("its address must begin with https:// or http://")
}

/// A client that follows no redirect: who is sent elsewhere should be told, since a post is not repeated there.
pub(crate) fn client() -> anyhow::Result<Client> {
    let client = Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("dewpond/", env!("CARGO_PKG_VERSION")));
    Ok(client.build()?)
}

/// What an answer means.
///
/// - `now`: when it was sent, by which a date is a pause.
pub(crate) fn judge(answer: reqwest::Result<Response>, now: DateTime<Utc>) -> Result<(), SendError> {
    let later = |reason: String| SendError::Later { reason, after: None };
    let answer = answer.map_err(|error| later(lake::whole_text(&error.without_url())))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let reason = status.to_string();
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(SendError::Never { reason })
        }
        // Anything else can be mended there: a wrong token, a path, a quota.
        _ => {
            let after = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
            Err(SendError::Later { reason, after: after.and_then(|after| pause_of(after, now)) })
        }
    }
}

/// The pause of a header `Retry-After`: seconds, or a date.
fn pause_of(after: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(after.trim()).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

#[async_trait]
impl Destination for Webhook {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn message(&self, event: &Event) -> Result<Json, String> {
        Ok(segment_call(event))
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let sent_at = batch.sent_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = json!({ "batch": batch.messages, "sentAt": sent_at }).to_string();
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        request = request.header("Idempotency-Key", &batch.id);
        if let Some(secret) = &self.secret {
            request = request.header("Dewpond-Signature", format!("sha256={}", signature(secret, &body)));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        judge(request.body(body).send().await, batch.sent_at)
    }
}

/// The HMAC-SHA256 of a body in hexadecimal digits.
fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(pause_of("7", now), Some(Duration::from_secs(7)));
        assert_eq!(pause_of("Sun, 01 Mar 2026 12:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(pause_of("Sun, 01 Mar 2026 11:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(pause_of("soon", now), None);
    }

    #[test]
    fn a_body_is_signed_as_others_sign_it() {
        // printf '{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(signature("secret", "{}"), "77325902caca812dc259733aacd046b73817372c777b8d95b402647474516e13");
    }
}
