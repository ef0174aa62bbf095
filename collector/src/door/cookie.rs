//! The cookie that names a visitor on sites which set one: first-party, long-lived, out of reach of scripts.

use axum::http::{HeaderMap, header};
use uuid::Uuid;

/// A site's id follows, so that sites of one collector do not share their visitors.
const NAME: &str = "dewpond_";

/// 395 days: browsers keep none longer than 400.
const MAX_AGE_S: u32 = 395 * 86_400;

/// The id in a request's cookie. What is no id of ours counts as none.
pub(crate) fn find(headers: &HeaderMap, site_id: &str) -> Option<Uuid> {
    let is_ours = |name: &str| name.strip_prefix(NAME) == Some(site_id);
    let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut cookies = texts.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find_map(|(name, value)| is_ours(name).then(|| Uuid::try_parse(value).ok()).flatten())
}

/// The header that gives a visitor an id.
///
/// `SameSite=Lax`, since the collector has a name below the site's own; `Secure`, which browsers take from localhost
/// too.
pub(crate) fn set(id: Uuid, site_id: &str) -> String {
    format!("{NAME}{site_id}={id}; Max-Age={MAX_AGE_S}; Path=/; HttpOnly; Secure; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_among_other_cookies_and_nonsense_is_not() {
        let id = Uuid::new_v4();
        check(&format!("a=b; {NAME}shop={id}; c=d"), Some(id));
        check(&format!("a=b;{NAME}shop={id}"), Some(id));
        check(&format!("{NAME}shop=nonsense"), None);
        check(&format!("{NAME}blog={id}"), None);
        check("", None);
    }

    #[test]
    fn what_is_set_is_found() {
        let id = Uuid::new_v4();
        let header = set(id, "shop");
        check(header.split(';').next().unwrap(), Some(id));
    }

    #[track_caller]
    fn check(cookies: &str, expected: Option<Uuid>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookies.parse().unwrap());
        assert_eq!(find(&headers, "shop"), expected);
    }
}
