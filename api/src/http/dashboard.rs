//! The dashboard: one page and the files that it loads, which are part of the binary. They are the same for everybody;
//! what the page shows it asks of `/v1/…`, with the rights of whoever looks.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};

use super::caller::links;
use super::state::Api;

/// What `npm run build` makes of `web/dashboard`. Each file is there as it is, and as `.br` and `.gz` if that is smaller.
static FILES: Dir = include_dir!("$CARGO_MANIFEST_DIR/../web/dist/dashboard");

/// The page itself.
const PAGE: &str = "index.html";

/// Scripts, styles and answers come from this server, and from nowhere else. Nothing is run or styled by text in the page,
/// so that a name or a property of an event, which anybody may have sent, is never more than text. Which pages may show it in
/// a frame follows.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors ";

/// The files' names have a hash of their content.
const CACHED_FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The routes of the dashboard, which need no key.
pub(super) fn router() -> Router<Arc<Api>> {
    let page_of = |State(api): State<Arc<Api>>, RawQuery(query): RawQuery, headers: HeaderMap| async move {
        page(&headers, &framed_by(&api, query.as_deref()).await)
    };
    Router::new()
        .route("/dashboard", get(|| async { Redirect::permanent("/dashboard/") }))
        .route("/dashboard/", get(page_of))
        .route(
            "/dashboard/{*path}",
            get(|Path(path): Path<String>, headers: HeaderMap| async move { file(&path, &headers) }),
        )
}

/// Whose pages may show the overview in a frame: those that a share allows, whose id is in the address. Its secret is behind
/// the `#`, which is not sent. What is shown there is what the link shows, whoever is signed in.
async fn framed_by(api: &Api, query: Option<&str>) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let Some(id) = pairs.into_iter().find(|(name, _)| name == "embed").map(|(_, id)| id) else { return vec![] };
    // A store that is away lets nobody.
    let shares = api.people.lake().shares().await.unwrap_or_default();
    let share = shares.iter().find(|share| share.id == *id).filter(|share| links::is_open(share, (api.clock)()));
    share.map(links::origins).unwrap_or_default()
}

/// Whether a request is a person's, who opens an address in a browser.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|kind| kind.trim().starts_with("text/html"))
}

/// A file, or the page: the addresses of its views are its own.
fn file(path: &str, headers: &HeaderMap) -> Response {
    match FILES.get_file(path) {
        Some(_) if path != PAGE => with_encoding(path, CACHED_FOR_EVER, headers),
        None if path.rsplit('/').next().is_some_and(|name| name.contains('.')) => {
            (StatusCode::NOT_FOUND, "no such file").into_response()
        }
        _ => page(headers, &[]),
    }
}

/// The name of a file, by how it begins and ends: between the two is a hash of its content.
pub(super) fn file_named(begin: &str, end: &str) -> Option<&'static str> {
    let names = FILES.files().filter_map(|file| file.path().to_str());
    names.into_iter().find(|name| name.starts_with(begin) && name.ends_with(end))
}

/// - `framed_by`: origins whose pages may show it in a frame.
fn page(headers: &HeaderMap, framed_by: &[String]) -> Response {
    // Asked for anew each time, for it names the files of one release.
    let mut response = with_encoding(PAGE, "no-cache", headers);
    let ancestors = if framed_by.is_empty() { "'none'".to_owned() } else { framed_by.join(" ") };
    let policy = HeaderValue::from_str(&format!("{CONTENT_SECURITY_POLICY}{ancestors}"));
    let policy = policy.expect("origins are written in ASCII");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    if framed_by.is_empty() {
        response.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    for (name, value) in [
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The file in the smallest form that the client reads.
fn with_encoding(path: &str, cached: &'static str, headers: &HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    let packed = [("br", "br"), ("gzip", "gz")].into_iter().filter(|(name, _)| is_accepted(accepted, name));
    let packed = packed.filter_map(|(name, ending)| Some((name, FILES.get_file(format!("{path}.{ending}"))?))).next();
    let common = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, cached),
        (header::VARY, "Accept-Encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    match (packed, FILES.get_file(path)) {
        (Some((name, file)), _) => (common, [(header::CONTENT_ENCODING, name)], file.contents()).into_response(),
        (None, Some(file)) => (common, file.contents()).into_response(),
        (None, None) => (StatusCode::NOT_FOUND, "this build has no dashboard").into_response(),
    }
}

/// Whether `Accept-Encoding` names an encoding, and not to refuse it.
fn is_accepted(accepted: &str, encoding: &str) -> bool {
    accepted.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        named && !parts.any(|weight| weight.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_sent_to_those_who_name_it() {
        for (accepted, br, gzip) in [
            ("", false, false),
            ("gzip, deflate, br, zstd", true, true),
            ("gzip;q=1.0, br;q=0", false, true),
            ("GZIP", false, true),
            ("brotli", false, false),
        ] {
            assert_eq!((is_accepted(accepted, "br"), is_accepted(accepted, "gzip")), (br, gzip), "{accepted}");
        }
    }

    #[test]
    fn every_file_that_the_page_names_is_there_and_nothing_in_it_runs_or_styles_by_itself() {
        let page = FILES.get_file(PAGE).and_then(|page| page.contents_utf8()).expect("the page is built");
        let names = page.split(['"', '\'']).filter_map(|text| text.strip_prefix("/dashboard/"));
        let names: Vec<_> = names.filter(|name| name.contains('.')).collect();
        assert!(names.len() >= 2, "{names:?}");
        for name in names {
            assert_eq!(file(name, &HeaderMap::new()).status(), StatusCode::OK, "{name}");
        }
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<script>"), "{page}");
    }

    #[test]
    fn an_address_of_a_view_is_the_page_and_one_of_a_file_that_is_not_there_is_not() {
        for (path, status, html) in [
            ("", StatusCode::OK, true),
            ("sql", StatusCode::OK, true),
            ("sessions/-61728.1774687", StatusCode::NOT_FOUND, false),
            ("index.html", StatusCode::OK, true),
            ("app-OLDHASH.js", StatusCode::NOT_FOUND, false),
            ("../Cargo.toml", StatusCode::NOT_FOUND, false),
        ] {
            let response = file(path, &HeaderMap::new());
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY), html, "{path}");
        }
    }

    #[test]
    fn a_browser_that_asks_for_a_page_gets_the_dashboard() {
        let accepts = |kinds: &str| is_wanted(&HeaderMap::from_iter([(header::ACCEPT, kinds.parse().unwrap())]));
        assert!(accepts("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!accepts("*/*") && !accepts("application/json") && !is_wanted(&HeaderMap::new()));
    }
}
