//! Access tokens of a Google service account: <https://developers.google.com/identity/protocols/oauth2/service-account>.
//!
//! Whoever has the account's key signs that he is the account, and gets a token for an hour.

use std::sync::Arc;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use reqwest::{Client, Url};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::destination::SendError;
use crate::destination::answer::{address, body_of, unreached, words};

/// How long a signature says that it holds: the longest that Google takes.
const HOUR: TimeDelta = TimeDelta::hours(1);

/// A token is used until so long before it ends: a request takes its time.
const MARGIN: TimeDelta = TimeDelta::minutes(2);

/// Gets tokens, and keeps the newest.
pub(crate) struct GoogleToken {
    client: Client,
    email: String,
    key: RsaKeyPair,
    url: Url,
    scope: &'static str,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    kept: Mutex<Option<(String, DateTime<Utc>)>>,
}

/// The file that Google gives for a service account, as far as it is needed.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    token_uri: String,
}

impl GoogleToken {
    /// - `key`: the file that Google gives for the service account, JSON.
    ///
    /// Fails if it is none.
    pub(crate) fn new(
        client: Client,
        key: &str,
        scope: &'static str,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> anyhow::Result<Self> {
        let wanted = "its key must be the JSON file that Google gives for a service account";
        let file: KeyFile = serde_json::from_str(key).context(wanted)?;
        let pem: String = file.private_key.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(pem.trim()).context(wanted)?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|error| anyhow::anyhow!("{error}")).context(wanted)?;
        Ok(Self {
            client,
            email: file.client_email,
            key,
            url: address(&file.token_uri)?,
            scope,
            clock,
            kept: Mutex::default(),
        })
    }

    /// A token that holds for some time.
    pub(crate) async fn get(&self) -> Result<String, SendError> {
        let now = (self.clock)();
        if let Some((token, until)) = &*self.kept.lock()
            && *until > now
        {
            return Ok(token.clone());
        }
        let later = |reason: String| SendError::Later { reason, after: None };
        let assertion = self.assertion(now).map_err(|error| later(format!("could not sign: {error:#}")))?;
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
        let answer = self.client.post(self.url.clone()).form(&form).send().await.map_err(unreached)?;
        let status = answer.status();
        let said = body_of(answer).await;
        let Some(token) = said["access_token"].as_str().filter(|_| status.is_success()) else {
            let why = said["error_description"].as_str().or(said["error"].as_str()).unwrap_or_default();
            return Err(later(format!("Google gives no token: {status} {}", words(why))));
        };
        let seconds = said["expires_in"].as_i64().unwrap_or(HOUR.num_seconds());
        *self.kept.lock() = Some((token.to_owned(), now + TimeDelta::seconds(seconds) - MARGIN));
        Ok(token.to_owned())
    }

    /// Forgets the token, which was not taken.
    pub(crate) fn forget(&self) {
        *self.kept.lock() = None;
    }

    /// A signed claim to be the account.
    fn assertion(&self, now: DateTime<Utc>) -> anyhow::Result<String> {
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let claim = json!({
            "iss": self.email, "scope": self.scope, "aud": self.url.as_str(), "iat": now.timestamp(),
            "exp": (now + HOUR).timestamp(),
        });
        let signed = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claim));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| anyhow::anyhow!("the key does not sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
