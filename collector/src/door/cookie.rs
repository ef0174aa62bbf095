//! The visitor cookie, on sites that set one: first-party, long-lived, and not readable by scripts.

use axum::http::{HeaderMap, header};
use uuid::Uuid;

use super::text_of;

/// The prefix of the name. The site's id follows, so that the sites of one collector do not share visitors.
const NAME: &str = "dewpond_";

/// 395 days. Browsers keep no cookie for more than 400.
const MAX_AGE_S: u32 = 395 * 86_400;

/// The visitor's id in a request's cookies; `None` if it is not a UUID.
pub(crate) fn find(headers: &HeaderMap, site_id: &str) -> Option<Uuid> {
    let is_ours = |name: &str| name.strip_prefix(NAME) == Some(site_id);
    // Other cookies of the site may hold any bytes.
    headers.get_all(header::COOKIE).into_iter().map(text_of).find_map(|cookies| {
        let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        cookies.find_map(|(name, value)| is_ours(name).then(|| Uuid::try_parse(value).ok()).flatten())
    })
}

/// The value of the `Set-Cookie` header that gives a visitor an id.
///
/// `SameSite=Lax` suffices, because the collector is on a subdomain of the site. Browsers accept `Secure` from
/// localhost, too.
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
        check(&format!("name=Jürgen; {NAME}shop={id}"), Some(id));
        check(&format!("{NAME}shop={id}; cart=größer"), Some(id));
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
