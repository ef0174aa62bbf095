//! Entity tags: whether a reader has what he asks for.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

/// What a request says in `If-None-Match`, without a copy of its other headers.
pub(super) struct IfNoneMatch(Option<HeaderValue>);

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(header::IF_NONE_MATCH).cloned()))
    }
}

impl IfNoneMatch {
    /// Whether it names a tag, weak or not.
    pub(super) fn names(&self, etag: &str) -> bool {
        self.0.as_ref().is_some_and(|asked| names(asked, etag))
    }
}

/// Whether `If-None-Match` names a tag, weak or not.
pub(super) fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    headers.get(header::IF_NONE_MATCH).is_some_and(|asked| names(asked, etag))
}

fn names(asked: &HeaderValue, etag: &str) -> bool {
    let (asked, etag) = (asked.to_str().unwrap_or_default(), plain(etag));
    asked.split(',').map(plain).any(|one| one == etag || one == "*")
}

/// A tag without the mark of a weak one.
fn plain(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}
