//! The frame of a page without scripts: its style is the dashboard's.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::html::escape;
use crate::http::dashboard;
use crate::words::Language;

/// No script, no style but the dashboard's, no frame around it. What is in it came from anybody and is only ever text.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// A page.
///
/// - `body`: HTML, in which all that came from others is escaped.
pub(in crate::http) fn page(status: StatusCode, language: Language, title: &str, body: &str) -> Response {
    let (code, title) = (language.code(), escape(title));
    let style = dashboard::file_named("plain-", ".css").unwrap_or_default();
    let icon = dashboard::file_named("icon-", ".svg").unwrap_or_default();
    let html = format!(
        r#"<!doctype html>
<html lang="{code}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="icon" href="/dashboard/{icon}" type="image/svg+xml">
<link rel="stylesheet" href="/dashboard/{style}">
</head>
<body class="plain">
{body}
</body>
</html>
"#
    );
    let mut response = (status, html).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        // The address may hold a secret.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page with a sentence and perhaps a form.
pub(in crate::http) fn note(status: StatusCode, language: Language, sentence: &str, more: &str) -> Response {
    let body = format!(r#"<main class="no-script"><h1>Dewpond</h1><p>{}</p>{more}</main>"#, escape(sentence));
    page(status, language, "Dewpond", &body)
}
