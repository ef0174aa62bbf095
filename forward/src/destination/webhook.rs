//! A webhook: batches of Segment's calls, posted as JSON and signed.

use async_trait::async_trait;
use chrono::SecondsFormat;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Serialize;
use serde_json::Value as Json;
use sha2::Sha256;

use crate::batch::Batch;
use crate::destination::answer::{address, client, judge};
use crate::destination::{Destination, Limits, SendError};
use crate::message::{Event, segment_call};

/// The limits of Segment's own batches, with room for the envelope.
const LIMITS: Limits = Limits { events_max: 1_000, bytes_max: 480 << 10 };

/// What is posted: the messages as they are, of which no copy is made.
#[derive(Serialize)]
struct Body<'a> {
    batch: &'a [Json],
    #[serde(rename = "sentAt")]
    sent_at: String,
}

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
        let body = serde_json::to_string(&Body { batch: &batch.messages, sent_at })
            .map_err(|error| SendError::Never { reason: error.to_string() })?;
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
    fn a_body_is_signed_as_others_sign_it() {
        // printf '{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(signature("secret", "{}"), "77325902caca812dc259733aacd046b73817372c777b8d95b402647474516e13");
    }
}
