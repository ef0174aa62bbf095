//! What SDKs ask before they send: settings and feature flags.

use axum::Json;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use intake::protocol::posthog;
use intake::protocol::setup::{self, Reached};
use serde::Deserialize;

use super::resource::Resource;
use crate::door::text_of;

/// Every page load asks: a few minutes of an old answer do no harm. Private, because it depends on how the page reached us.
const CACHED: &str = "private, max-age=300";

pub(super) fn resource() -> Resource {
    let no_flags = || post(|| async { Json(posthog::no_flags()) });
    Resource::default()
        .endpoint("POST", "/flags", no_flags())
        .endpoint("POST", "/decide", no_flags())
        .endpoint("GET", "/sourceConfig", get(rudderstack))
        .endpoint("GET", "/v1/projects/{key}/settings", get(segment))
        .endpoint("GET", "/array/{key}/config", get(posthog_config))
        .endpoint("GET", "/array/{key}/config.js", get(posthog_script))
}

async fn segment(Path(key): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    cached(Json(setup::segment(&key, &reached(&uri, &headers))))
}

#[derive(Deserialize)]
struct SourceQuery {
    #[serde(rename = "writeKey", default)]
    write_key: String,
}

async fn rudderstack(Query(query): Query<SourceQuery>) -> Response {
    cached(Json(setup::rudderstack(&query.write_key)))
}

async fn posthog_config(Path(key): Path<String>) -> Response {
    cached(Json(setup::posthog(&key)))
}

async fn posthog_script(Path(key): Path<String>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    cached((kind, setup::posthog_script(&key)))
}

fn cached(answer: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, CACHED), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], answer).into_response()
}

/// Where the page that asks reached this collector: the host that it named, and TLS if a proxy says so or the page itself was
/// loaded by it, since browsers let such a page send in no other way but to this machine.
fn reached(uri: &Uri, headers: &HeaderMap) -> Reached {
    let text = |name: &str| headers.get(name).map(text_of);
    // HTTP/2 has the host in the address. A forwarded host is anybody's claim, and it would be where a page sends its events.
    let host = text("host").or_else(|| uri.authority().map(|host| host.as_str().into())).unwrap_or_default();
    let is_this_machine = ["localhost", "127.", "[::1]"].iter().any(|own| host.starts_with(own));
    let ended_tls = text("x-forwarded-proto")
        .is_some_and(|list| list.split(',').next().is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https")));
    let page_has_tls =
        ["origin", "referer"].iter().any(|name| text(name).is_some_and(|url| url.starts_with("https://")));
    Reached { securely: ended_tls || (page_has_tls && !is_this_machine), host: host.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_behind_a_proxy_is_reached_at_the_proxy() {
        check(&[("host", "127.0.0.1:8080")], false, "127.0.0.1:8080");
        check(&[("host", "events.shop.example"), ("x-forwarded-proto", "https")], true, "events.shop.example");
        check(&[("host", "10.0.0.7:8080"), ("x-forwarded-host", "elsewhere.example")], false, "10.0.0.7:8080");
        check(&[("host", "events.shop.example"), ("origin", "https://shop.example")], true, "events.shop.example");
        check(&[("host", "events.shop.example"), ("referer", "https://shop.example/")], true, "events.shop.example");
        check(&[("host", "localhost"), ("origin", "http://localhost:3000")], false, "localhost");
        check(&[("host", "localhost:8080"), ("origin", "https://shop.example")], false, "localhost:8080");
        // A proxy behind the one that ends TLS.
        let inner = [("host", "e.example"), ("origin", "https://shop.example"), ("x-forwarded-proto", "http")];
        check(&inner, true, "e.example");
    }

    fn check(sent: &[(&'static str, &str)], securely: bool, host: &str) {
        let headers = sent.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let uri = Uri::from_static("/v1/projects/key/settings");
        assert_eq!(reached(&uri, &headers), Reached { securely, host: host.to_owned() });
    }
}
