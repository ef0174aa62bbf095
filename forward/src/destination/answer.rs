//! What an answer over HTTP means, and the client that asks.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value as Json;

use crate::destination::SendError;

/// How long a request may take: receivers may write before they answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// So much is kept of what a destination says.
const WORDS_CHARS_MAX: usize = 300;

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

/// What an answer means by its status alone.
///
/// - `now`: when it was sent, by which a date is a pause.
pub(crate) fn judge(answer: reqwest::Result<Response>, now: DateTime<Utc>) -> Result<(), SendError> {
    let answer = answer.map_err(unreached)?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(refused(status, answer.headers(), status.to_string(), now)) }
}

/// A destination that was not reached, or did not answer in time.
pub(crate) fn unreached(error: reqwest::Error) -> SendError {
    SendError::Later { reason: lake::whole_text(&error.without_url()), after: None }
}

/// A refusal.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, reason: String, now: DateTime<Utc>) -> SendError {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            SendError::Never { reason }
        }
        // Anything else can be mended there: a wrong token, a path, a quota.
        _ => {
            let after = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok());
            SendError::Later { reason, after: after.and_then(|after| pause_of(after, now)) }
        }
    }
}

/// The body of an answer, as far as it is JSON.
pub(crate) async fn body_of(answer: Response) -> Json {
    let text = answer.text().await.unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Json::Null)
}

/// What a destination says, short enough to be kept.
pub(crate) fn words(text: &str) -> String {
    text.chars().take(WORDS_CHARS_MAX).collect()
}

/// The pause of a header `Retry-After`: seconds, or a date.
fn pause_of(after: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(after.trim()).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
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
}
