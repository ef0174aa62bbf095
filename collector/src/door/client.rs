//! The client of a request: what its connection and its headers say, and the cookie that names its visitor.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use intake::Client;
use intake::agent::Hints;
use intake::protocol::Sender;

use super::admit::SiteAccess;
use super::geography_file::GeographyFile;
use super::peer::{Peer, client_ip, request_id};
use super::{Door, cookie, header_text};

impl Door {
    /// The client of a request, and the value of `Set-Cookie` if the site names visitors by a cookie.
    pub(super) fn client_of(
        &self,
        parts: &Parts,
        SiteAccess { site, home, sender }: &SiteAccess,
        received_at: DateTime<Utc>,
    ) -> (Client, Option<String>) {
        let settings = &site.settings;
        let is_set =
            |name: &'static str| header_text(&parts.headers, HeaderName::from_static(name)).as_deref() == Some("1");
        let opted_out = settings.honor_opt_out && (is_set("sec-gpc") || is_set("dnt"));
        // Snowplow's trackers send this to keep one request anonymous.
        let anonymous = parts.headers.contains_key("sp-anonymous");
        let cookie_id = match settings.cookie && !opted_out && !anonymous {
            true => cookie::find(&parts.headers, &site.site_id)
                .or_else(|| returns_cookies(parts).then(|| self.ids.random())),
            false => None,
        };
        let client = Client {
            user_agent: header_text(&parts.headers, header::USER_AGENT).map(Cow::into_owned),
            hints: Hints::of_headers(&parts.headers),
            ip: self.ip_of(parts),
            cookie_id: cookie_id.map(|id| id.to_string()),
            salt: (settings.cookieless && !anonymous).then(|| home.salts.at(received_at)).flatten(),
            domain: match sender {
                Sender::Domain(domain) => Some(domain.clone()),
                Sender::Key(_) => None,
            },
            request_id: request_id(peer_of(parts), &parts.headers, &self.settings.trusted_proxies),
            opted_out,
            geography: self.geography.as_ref().filter(|_| !anonymous).map(GeographyFile::current),
        };
        // Set again with every request, so that it lasts as long as the visitor keeps coming back.
        (client, cookie_id.map(|id| cookie::set(id, &site.site_id)))
    }

    /// The address of the client, behind the proxies that are trusted.
    pub(super) fn ip_of(&self, parts: &Parts) -> Option<IpAddr> {
        client_ip(peer_of(parts), &parts.headers, &self.settings.trusted_proxies)
    }
}

fn peer_of(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.0)
}

/// Whether the client will return a cookie that is set now with its next request. If not, each event would be a new
/// visitor. Trackers of other protocols send no cookies, and browsers send none with images in mails or on other sites.
fn returns_cookies(parts: &Parts) -> bool {
    let from = header_text(&parts.headers, HeaderName::from_static("sec-fetch-site"));
    let is_native = parts.uri.path().starts_with("/v1/events") || parts.uri.path().starts_with("/v1/pixel.gif");
    is_native && matches!(from.as_deref(), Some("same-origin" | "same-site"))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_cookie_is_returned_to_the_native_api_from_pages_of_the_same_site() {
        check("/v1/events", Some("same-site"), true);
        check("/v1/events/", Some("same-origin"), true);
        check("/v1/pixel.gif?name=a", Some("same-site"), true);
        check("/v1/pixel.gif", Some("cross-site"), false);
        check("/v1/events", None, false);
        check("/api/send", Some("same-origin"), false);
    }

    #[track_caller]
    fn check(uri: &str, from: Option<&str>, expected: bool) {
        let mut request = Request::builder().uri(uri);
        if let Some(from) = from {
            request = request.header("sec-fetch-site", from);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(returns_cookies(&parts), expected, "{uri} from {from:?}");
    }
}
