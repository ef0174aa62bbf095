//! Posts changes of alerts to an address, signed and with retries.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use sha2::Sha256;

use super::AlertPost;

/// Tries of one post; the pause after each is twice the one before.
const TRIES_MAX: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How long one try may take. All of them and their pauses take less than [`super::TAKEN_OVER_AFTER`].
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// The address that alerts are posted to.
///
/// It may hold a password or a token, so logs name its host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("it is no address: {error}"))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(Self(url)),
            _ => Err("it begins with https:// or http://".to_owned()),
        }
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

/// The secret that posts are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(String);

impl FromStr for WebhookSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.is_empty() {
            true => Err("it is empty".to_owned()),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// A receiver of alerts.
#[derive(Clone)]
pub(crate) struct Webhook {
    url: WebhookUrl,
    secret: Option<WebhookSecret>,
    client: Client,
    first_pause: Duration,
}

/// What to do after a try.
enum Tried {
    Received,
    /// The receiver does not want it: sending it again will not help.
    Refused(String),
    Failed(String),
}

impl Webhook {
    pub(crate) fn new(url: WebhookUrl, secret: Option<WebhookSecret>) -> reqwest::Result<Self> {
        let client = Client::builder().timeout(TRY_TIMEOUT).user_agent(concat!("dewpond/", env!("CARGO_PKG_VERSION")));
        Ok(Self { url, secret, client: client.build()?, first_pause: FIRST_PAUSE })
    }

    /// Posts a change until it is received; gives up after some tries. Whether it need not be posted again.
    pub(crate) async fn post(&self, post: &AlertPost) -> bool {
        let body = serde_json::to_vec(post).expect("a post is plain data");
        let mut pause = self.first_pause;
        for attempt in 1..=TRIES_MAX {
            match self.try_post(post, &body).await {
                Tried::Received => {
                    metrics::counter!("dewpond_analytics_alerts_posted_total").increment(1);
                    return true;
                }
                Tried::Refused(reason) => {
                    self.warn(post, &reason, "the webhook refused an alert; it is not posted again");
                    return true;
                }
                Tried::Failed(reason) if attempt == TRIES_MAX => {
                    self.warn(post, &reason, "could not post an alert; a later run will");
                }
                Tried::Failed(reason) => {
                    tracing::debug!(metric = post.metric, reason, "an alert will be posted again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        false
    }

    fn warn(&self, post: &AlertPost, reason: &str, words: &str) {
        metrics::counter!("dewpond_analytics_alert_posts_failed_total").increment(1);
        tracing::warn!(metric = post.metric, site = post.site, webhook = ?self.url, reason, "{words}");
    }

    async fn try_post(&self, post: &AlertPost, body: &[u8]) -> Tried {
        let mut request = self.client.post(self.url.0.clone());
        request = request.header(CONTENT_TYPE, "application/json").header("Idempotency-Key", &post.id);
        if let Some(secret) = &self.secret {
            request = request.header("Dewpond-Signature", format!("sha256={}", signature(secret, body)));
        }
        match request.body(body.to_vec()).send().await {
            Ok(answer) => match answer.status() {
                status if status.is_success() => Tried::Received,
                status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
                    Tried::Failed(status.to_string())
                }
                status @ (StatusCode::BAD_REQUEST | StatusCode::GONE | StatusCode::UNPROCESSABLE_ENTITY) => {
                    Tried::Refused(status.to_string())
                }
                // A wrong token or path can be mended there.
                status => Tried::Failed(status.to_string()),
            },
            Err(error) => Tried::Failed(engine::whole_text(&error.without_url())),
        }
    }
}

/// The HMAC-SHA256 of a body in hexadecimal digits.
fn signature(secret: &WebhookSecret, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.0.as_bytes()).expect("a key of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_other_programs_sign_it() {
        // RFC 4231, case 2.
        let secret = "Jefe".parse().unwrap();
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(&secret, b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn an_address_is_one_of_http_and_its_token_is_not_shown() {
        let url: WebhookUrl = "https://user:pass@hooks.example.com/T0/secret?key=1".parse().unwrap();
        assert_eq!(format!("{url:?}"), "https://hooks.example.com/…");
        for wrong in ["hooks.example.com", "file:///etc/passwd", "ftp://a/b", ""] {
            assert!(wrong.parse::<WebhookUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_tries_end_before_another_process_takes_over() {
        let pauses: Duration = (0..TRIES_MAX - 1).map(|n| FIRST_PAUSE * 2_u32.pow(n)).sum();
        assert!(TRY_TIMEOUT * TRIES_MAX + pauses < super::super::TAKEN_OVER_AFTER.to_std().unwrap());
    }
}
