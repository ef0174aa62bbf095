//! Files that the collector serves to browsers: the tracker and the demo site.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::resource::Resource;
use crate::door::Door;
use crate::settings::Settings;

/// The tracker, built from `web/`.
const TRACKER: &str = include_str!("../../../web/dist/tracker.js");

/// The placeholder in the tracker for its settings.
const CONFIG: &str = "\"__DEWPOND_CONFIG__\"";

/// Browsers cache the tracker for an hour. For a week after that they may use it while they fetch a newer one.
const CACHED: &str = "public, max-age=3600, stale-while-revalidate=604800";

/// A version of the tracker only ever gets fixes.
const CACHED_VERSION: &str = "public, max-age=86400, stale-while-revalidate=604800";

/// What pages of the collector's own ask Chromium browsers to say: the version of Windows and macOS, the browser's whole
/// version, the shape of the device. Browsers heed it in the answer to a page and nowhere else, so scripts and answers to
/// events do without.
const ACCEPT_CH: &str = "Sec-CH-UA-Platform-Version, Sec-CH-UA-Full-Version-List, Sec-CH-UA-Form-Factors";

/// The pages of the demo site.
const DEMO: [(&str, &str, &[u8]); 9] = [
    ("index.html", "text/html; charset=utf-8", include_bytes!("../../../web/demo/index.html")),
    ("form.html", "text/html; charset=utf-8", include_bytes!("../../../web/demo/form.html")),
    ("shop.html", "text/html; charset=utf-8", include_bytes!("../../../web/demo/shop.html")),
    ("app.html", "text/html; charset=utf-8", include_bytes!("../../../web/demo/app.html")),
    ("privacy.html", "text/html; charset=utf-8", include_bytes!("../../../web/demo/privacy.html")),
    ("panel.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/demo/panel.js")),
    ("style.css", "text/css; charset=utf-8", include_bytes!("../../../web/demo/style.css")),
    ("hero.svg", "image/svg+xml", include_bytes!("../../../web/demo/hero.svg")),
    ("prices.csv", "text/csv; charset=utf-8", include_bytes!("../../../web/demo/prices.csv")),
];

/// Serves the tracker, under its usual names and the configured one, and the demo site if it is switched on. Lists
/// the tracker alone.
pub(super) fn resource(settings: &Settings) -> Resource {
    let mut router = Router::new()
        .route("/tracker.js", get(|door, query, headers| tracker(door, query, headers, CACHED)))
        .route("/tracker.v1.js", get(|door, query, headers| tracker(door, query, headers, CACHED_VERSION)));
    if let Some(name) = &settings.tracker_name {
        router = router.route(&format!("/{name}"), get(|door, query, headers| tracker(door, query, headers, CACHED)));
    }
    if settings.demo_site {
        router = router
            .route("/demo", get(|| async { Redirect::permanent("/demo/") }))
            .route("/demo/", get(|| demo(Path("index.html".to_owned()))))
            .route("/demo/{page}", get(demo));
    }
    Resource { endpoints: vec!["GET /tracker.js".to_owned()], router }
}

/// The site that a page's tracker sends to.
#[derive(Deserialize)]
struct TrackerQuery {
    /// One of a site's domains.
    site: Option<String>,
    /// A write key.
    key: Option<String>,
}

/// The tracker, set up for a site.
async fn tracker(
    State(door): State<Arc<Door>>,
    Query(query): Query<TrackerQuery>,
    headers: HeaderMap,
    cached: &'static str,
) -> Response {
    let mut config = json!({});
    let mut site = None;
    if let Some(name) = &query.site {
        config["site"] = json!(name);
        site = door.directory.known_site_of_domain(name);
    }
    if let Some(key) = &query.key {
        config["key"] = json!(key);
        site = door.directory.known_site_of_key(key);
    }
    // The site's privacy settings, so that they need not be repeated in the page.
    if let Some(site) = site {
        config["cookie"] = json!(site.settings.cookie);
        config["respectGpc"] = json!(site.settings.honor_opt_out);
    }
    let script = TRACKER.replacen(CONFIG, &config.to_string(), 1);
    let etag = format!("\"{}\"", &blake3::hash(script.as_bytes()).to_hex()[..16]);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let is_known = known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8".to_owned()),
        (header::CACHE_CONTROL, cached.to_owned()),
        (header::ETAG, etag),
        // Cross-origin isolated pages may load it, too.
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin".to_owned()),
    ];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, script).into_response(),
    }
}

async fn demo(Path(page): Path<String>) -> Response {
    match DEMO.iter().find(|(name, ..)| *name == page) {
        Some((_, content_type, bytes)) => {
            let headers =
                [(header::CONTENT_TYPE, *content_type), (header::HeaderName::from_static("accept-ch"), ACCEPT_CH)];
            (headers, *bytes).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no such page").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracker_has_one_place_for_its_settings() {
        assert_eq!(TRACKER.matches(CONFIG).count(), 1);
    }
}
