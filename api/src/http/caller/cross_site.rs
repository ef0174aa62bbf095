//! Whether a page of another origin had a browser send a request. Pure.
//!
//! A browser adds the person's cookies to whatever a page has it send, so a request that changes something and brings
//! nothing but cookies is taken only from pages of this server. Browsers say where a request comes from in
//! `Sec-Fetch-Site`, and in `Origin` where they do not send that one (to a plain `http` address, for example). Neither can be
//! set by a page. A second copy of a token in the page would do the same, and a script of a sibling domain could plant one.

use axum::http::{HeaderMap, Method, header};

/// Whether a request that changes something and brings only what a browser adds by itself may be another origin's page's.
pub(in crate::http) fn may_be_forged(method: &Method, headers: &HeaderMap) -> bool {
    // A browser says at least one of the two. What is no browser brings a token.
    !only_reads(method) && is_of_this_origin(headers) != Some(true)
}

/// The same of one for which a program need bring nothing: whether a browser says that it is another origin's page's.
pub(in crate::http) fn is_forged(method: &Method, headers: &HeaderMap) -> bool {
    !only_reads(method) && is_of_this_origin(headers) == Some(false)
}

fn only_reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a browser sends a request for a page of this server; `None` if nothing says so.
fn is_of_this_origin(headers: &HeaderMap) -> Option<bool> {
    if let Some(site) = headers.get("sec-fetch-site") {
        // `none`: the person typed the address.
        return Some(site == "same-origin" || site == "none");
    }
    let origin = headers.get(header::ORIGIN)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let of_origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    Some(of_origin.is_some() && of_origin == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_origins_page_has_sent_is_not_taken() {
        for (method, sent, forged) in [
            ("POST", &[("sec-fetch-site", "same-origin")][..], false),
            ("POST", &[("sec-fetch-site", "same-origin"), ("origin", "https://dewpond.example")], false),
            ("POST", &[("sec-fetch-site", "none")], false),
            ("POST", &[("sec-fetch-site", "same-site")], true),
            ("POST", &[("sec-fetch-site", "cross-site")], true),
            ("POST", &[("sec-fetch-site", "cross-site"), ("origin", "https://dewpond.example")], true),
            ("POST", &[("origin", "https://dewpond.example")], false),
            ("POST", &[("origin", "https://evil.example")], true),
            ("POST", &[("origin", "https://dewpond.example.evil.example")], true),
            ("POST", &[("origin", "https://dewpond.example:444")], true),
            ("POST", &[("origin", "null")], true),
            ("POST", &[("origin", "")], true),
            ("POST", &[], true),
            ("DELETE", &[("sec-fetch-site", "cross-site")], true),
            ("PATCH", &[], true),
            ("GET", &[("sec-fetch-site", "cross-site")], false),
        ] {
            let mut headers = HeaderMap::from_iter([(header::HOST, "dewpond.example".parse().unwrap())]);
            for (name, value) in sent {
                headers.insert(*name, value.parse().unwrap());
            }
            assert_eq!(may_be_forged(&method.parse().unwrap(), &headers), forged, "{method} {sent:?}");
        }
    }

    #[test]
    fn a_program_need_not_say_where_it_is_from() {
        assert!(!is_forged(&Method::POST, &HeaderMap::new()));
        let headers = HeaderMap::from_iter([(header::ORIGIN, "https://evil.example".parse().unwrap())]);
        assert!(is_forged(&Method::POST, &headers));
        assert!(!is_forged(&Method::GET, &headers));
    }
}
