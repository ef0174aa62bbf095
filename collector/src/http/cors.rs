//! Cross-origin requests (CORS): any page may send events, but only pages of an origin that a site names may send
//! cookies.
//!
//! This is not a layer of the router: thousands of requests wait for the disk at a time, and a layer holds memory for
//! each of them. See the [Fetch standard](https://fetch.spec.whatwg.org/#http-cors-protocol).

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::protocols::MIXPANEL_PATHS;
use crate::directory::Directory;
use crate::door::text_of;
use intake::protocol::snowplow;

/// How long browsers may cache the answer to a preflight request.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// A page that sends a request.
pub(super) struct Page {
    origin: HeaderValue,
    /// Whether the page may send cookies: its origin is one that a site names. Sites that no longer set a cookie count
    /// too, because their pages use a cached tracker for a while.
    with_cookie: bool,
}

impl Page {
    /// The page of a request, if it comes from one.
    pub(super) fn of(request: &Request, directory: &Directory) -> Option<Self> {
        let origin = request.headers().get(header::ORIGIN)?;
        // These always ask to send cookies, and drop their events if they may not. They are given none.
        let path = request.uri().path().trim_end_matches('/');
        let insists = path == snowplow::PATH || MIXPANEL_PATHS.contains(&path);
        let with_cookie = insists || directory.has_origin(&text_of(origin));
        // A copy, because a header keeps the whole buffer of its connection alive.
        let origin = HeaderValue::from_bytes(origin.as_bytes()).ok()?;
        Some(Self { origin, with_cookie })
    }

    /// Lets the page read an answer.
    pub(super) fn let_read(self, headers: &mut HeaderMap) {
        self.allow(headers);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }

    fn allow(self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        if self.with_cookie {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// The answer to a preflight request: the page may send what it asks for.
pub(super) fn preflight(page: Option<Page>, asked: &HeaderMap) -> Response {
    let mut response = Body::empty().into_response();
    let headers = response.headers_mut();
    if let Some(page) = page {
        page.allow(headers);
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST"));
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    vary(headers, header::ACCESS_CONTROL_REQUEST_HEADERS);
    response
}

/// Tells caches that the answer depends on a header of the request.
pub(super) fn vary(headers: &mut HeaderMap, by: HeaderName) {
    headers.append(header::VARY, by.into());
}
