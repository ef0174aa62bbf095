//! The cookie that names a visitor on sites which set one: first-party, long-lived, out of reach of scripts.

use axum::http::{HeaderMap, header};
use uuid::Uuid;

const NAME: &str = "dewpond_id";

/// 395 days: browsers keep none longer than 400.
const MAX_AGE_S: u32 = 395 * 86_400;

/// The id in a request's cookie. What is no id of ours counts as none.
pub(crate) fn find(headers: &HeaderMap) -> Option<Uuid> {
    let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut cookies = texts.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find_map(|(name, value)| (name == NAME).then(|| Uuid::try_parse(value).ok()).flatten())
}

/// The header that gives a visitor an id.
///
/// `SameSite=Lax`, since the collector has a name below the site's own; `Secure`, which browsers take from localhost
/// too.
pub(crate) fn set(id: Uuid) -> String {
    format!("{NAME}={id}; Max-Age={MAX_AGE_S}; Path=/; HttpOnly; Secure; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_among_other_cookies_and_nonsense_is_not() {
        let id = Uuid::new_v4();
        check(&format!("a=b; {NAME}={id}; c=d"), Some(id));
        check(&format!("a=b;{NAME}={id}"), Some(id));
        check(&format!("{NAME}=nonsense"), None);
        check(&format!("x{NAME}={id}"), None);
        check("", None);
    }

    #[test]
    fn what_is_set_is_found() {
        let id = Uuid::new_v4();
        let header = set(id);
        check(header.split(';').next().unwrap(), Some(id));
    }

    #[track_caller]
    fn check(cookies: &str, expected: Option<Uuid>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookies.parse().unwrap());
        assert_eq!(find(&headers), expected);
    }
}
