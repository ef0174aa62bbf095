//! The cookies of a browser that is signed in. Scripts do not see them, and pages of other sites cannot have them sent with
//! a request that changes anything.
//!
//! Their names begin with `__Host-`, so that browsers take them from this very host, over TLS, for all of its paths: no
//! sibling domain can plant a sign-in of its own. A browser that reaches this machine by its own name has no TLS and no
//! siblings, and gets them without.

use accounts::Tokens;
use axum::http::{HeaderMap, HeaderValue, header};
use chrono::{DateTime, Utc};

use super::this_machine::names_this_machine;

const ACCESS: &str = "dewpond_access";
const REFRESH: &str = "dewpond_refresh";

/// What a browser keeps while it is at a company's to sign in.
const BEGUN: &str = "dewpond_begun";

/// How long somebody may take there.
const BEGUN_FOR_S: i64 = 600;

/// The token that a request carries in a cookie.
pub(in crate::http) fn access(headers: &HeaderMap) -> Option<&str> {
    value(headers, ACCESS)
}

/// The token that renews, in a cookie.
pub(in crate::http) fn refresh(headers: &HeaderMap) -> Option<&str> {
    value(headers, REFRESH)
}

/// The first cookie of a name that has a value.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let prefix = prefix(headers);
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let found = pairs.find(|(known, value)| known.strip_prefix(prefix) == Some(name) && !value.is_empty());
    found.map(|(_, value)| value)
}

fn prefix(headers: &HeaderMap) -> &'static str {
    if names_this_machine(headers) { "" } else { "__Host-" }
}

/// The headers that keep tokens in the browser of a request.
///
/// - `headers`: of the request.
pub(in crate::http) fn keep(headers: &HeaderMap, tokens: &Tokens, now: DateTime<Utc>) -> Vec<HeaderValue> {
    let seconds = |until: DateTime<Utc>| (until - now).num_seconds().max(0);
    let access = cookie(headers, ACCESS, &tokens.access, "Lax", seconds(tokens.access_until));
    let refresh = tokens.refresh.as_deref();
    let refresh = refresh.map(|token| cookie(headers, REFRESH, token, "Strict", seconds(tokens.refresh_until)));
    [access].into_iter().chain(refresh).collect()
}

/// What a browser asked a company, as it was given.
pub(in crate::http) fn begun(headers: &HeaderMap) -> Option<&str> {
    value(headers, BEGUN)
}

/// The header that keeps what a browser asks a company. It comes back from there by a link of another site, so it is `Lax`.
pub(in crate::http) fn keep_begun(headers: &HeaderMap, asked: &str) -> HeaderValue {
    cookie(headers, BEGUN, asked, "Lax", BEGUN_FOR_S)
}

/// The header that takes it away.
pub(in crate::http) fn drop_begun(headers: &HeaderMap) -> HeaderValue {
    cookie(headers, BEGUN, "", "Lax", 0)
}

/// The headers that take them away.
pub(in crate::http) fn drop_all(headers: &HeaderMap) -> Vec<HeaderValue> {
    vec![cookie(headers, ACCESS, "", "Lax", 0), cookie(headers, REFRESH, "", "Strict", 0)]
}

fn cookie(headers: &HeaderMap, name: &str, value: &str, same_site: &str, seconds: i64) -> HeaderValue {
    let prefix = prefix(headers);
    let secure = if prefix.is_empty() { "" } else { "; Secure" };
    let text = format!("{prefix}{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&text).expect("tokens are printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, host.parse().unwrap()), (header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn a_cookie_is_secure_but_on_this_machine() {
        let until = DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1);
        let tokens =
            Tokens { access: "a".into(), access_until: until, refresh: Some("r".into()), refresh_until: until };
        for (host, access, refresh) in [
            (
                "dewpond.example",
                "__Host-dewpond_access=a; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Secure",
                "__Host-dewpond_refresh=r; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600; Secure",
            ),
            (
                "localhost:8081",
                "dewpond_access=a; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600",
                "dewpond_refresh=r; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600",
            ),
        ] {
            assert_eq!(keep(&headers(host, ""), &tokens, DateTime::UNIX_EPOCH), [access, refresh]);
        }
    }

    #[test]
    fn a_cookie_that_a_sibling_domain_can_plant_is_not_read() {
        for (host, cookie, expected) in [
            ("dewpond.example", "__Host-dewpond_access=a", Some("a")),
            ("dewpond.example", "x=1; __Host-dewpond_access=a; y", Some("a")),
            ("dewpond.example", "dewpond_access=a", None),
            ("dewpond.example", "__Host-dewpond_access=", None),
            ("localhost", "dewpond_access=a", Some("a")),
            ("localhost", "__Host-dewpond_access=a", None),
            ("localhost", "dewpond_access_2=a", None),
        ] {
            assert_eq!(access(&headers(host, cookie)), expected, "{host} {cookie}");
        }
    }
}
