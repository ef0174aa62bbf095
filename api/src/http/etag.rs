//! Entity tags: whether a reader has what he asks for.

use axum::http::{HeaderMap, header};

/// Whether `If-None-Match` names a tag, weak or not.
pub(super) fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    let etag = plain(etag);
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked.split(',').map(plain).any(|one| one == etag || one == "*")
}

/// A tag without the mark of a weak one.
fn plain(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}
