//! Finds the write key of a request in its headers or its address.

use std::borrow::Cow;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::text_of;

/// The ways to send a write key, for the refusals of senders that sent none.
pub(crate) const WAYS: &str =
    "`Authorization: Bearer <key>`, `X-Api-Key: <key>`, `?key=<key>`, \"key\" in the body, or as your SDK does";

/// The write key in the headers or the address, if there is one. The body may carry one, too.
pub(crate) fn of_request(parts: &Parts) -> Option<Cow<'_, str>> {
    let header = |name| parts.headers.get(name).map(text_of).map(trimmed);
    // What stands behind the scheme, if it is this one.
    let credentials = |scheme: &str| {
        let value = header(AUTHORIZATION.as_str())?;
        let (found, rest) = value.split_once(' ')?;
        found.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
    };
    let bearer = || credentials("bearer").map(Cow::Owned);
    let basic = || {
        let pair = STANDARD.decode(credentials("basic")?).ok()?;
        // The key is the user name. The password is empty or anything, in any encoding.
        let key = pair.split(|byte| *byte == b':').next().unwrap_or_default();
        Some(Cow::Owned(String::from_utf8_lossy(key).into_owned()))
    };
    let query = || {
        let query = parts.uri.query()?.as_bytes();
        form_urlencoded::parse(query).find(|(name, _)| name == "key").map(|(_, key)| key)
    };
    // Jitsu's keys have a secret behind a colon, and its library insists on one.
    let jitsu = || Some(Cow::Owned(header("x-write-key")?.split(':').next()?.to_owned()));
    bearer().or_else(|| header("x-api-key")).or_else(basic).or_else(jitsu).or_else(query).filter(|key| !key.is_empty())
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text.trim().into(),
        Cow::Owned(text) => text.trim().to_owned().into(),
    }
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
        check("/", &[("x-write-key", "k:anything")], Some("k"));
        check("/", &[("x-write-key", "k")], Some("k"));
    }

    #[test]
    fn a_key_of_odd_bytes_is_a_key_and_a_password_of_odd_bytes_takes_none_away() {
        check("/", &[("x-api-key", "schlüssel")], Some("schlüssel"));
        check("/", &[("authorization", "Bearer schlüssel")], Some("schlüssel"));
        check("/?key=%FF", &[], Some("\u{fffd}"));
        // key:pässwort in Latin-1, as a browser encodes it.
        check("/", &[("authorization", "Basic a2V5OnDkc3N3b3J0")], Some("key"));
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
