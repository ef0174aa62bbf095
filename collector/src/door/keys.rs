//! Finds the write key of a request in its headers or its address.

use std::borrow::Cow;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

/// The ways to send a write key, for the refusals of senders that sent none.
pub(crate) const WAYS: &str =
    "`Authorization: Bearer <key>`, `X-Api-Key: <key>`, `?key=<key>`, \"key\" in the body, or as your SDK does";

/// The write key in the headers or the address, if there is one. The body may carry one, too.
pub(crate) fn of_request(parts: &Parts) -> Option<Cow<'_, str>> {
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = header(AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let basic = || {
        let (scheme, pair) = header(AUTHORIZATION.as_str())?.split_once(' ')?;
        let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(pair.trim()).ok()).flatten()?;
        let pair = String::from_utf8(pair).ok()?;
        // The key is the user name; the password is empty.
        Some(Cow::Owned(pair.split_once(':').map_or(&*pair, |(user, _)| user).to_owned()))
    };
    let query = || {
        let query = parts.uri.query()?.as_bytes();
        form_urlencoded::parse(query).find(|(name, _)| name == "key").map(|(_, key)| key)
    };
    let plain = bearer.or_else(|| header("x-api-key")).map(Cow::Borrowed);
    plain.or_else(basic).or_else(query).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_key_is_in_a_header_or_in_the_address() {
        check("/", &[("authorization", "Bearer k")], Some("k"));
        check("/", &[("Authorization", "bearer  k ")], Some("k"));
        check("/", &[("x-api-key", "k")], Some("k"));
        check("/?a=b&key=k%2B1", &[], Some("k+1"));
        check("/", &[("authorization", "Basic a2V5Og==")], Some("key"));
        check("/", &[("authorization", "Basic a2V5Og=="), ("x-api-key", "k")], Some("k"));
    }

    #[test]
    fn other_credentials_are_no_key() {
        check("/", &[], None);
        check("/?key=", &[], None);
        check("/", &[("authorization", "Basic !")], None);
        check("/", &[("authorization", "Digest a2V5Og==")], None);
    }

    #[track_caller]
    fn check(uri: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(of_request(&parts).as_deref(), expected);
    }
}
