//! The client of a request: what its connection and headers say, and which visitor it is.

use std::net::IpAddr;
use std::sync::Arc;

use lake::{Event, Salt};

use crate::agent::{self, Hints};
use crate::geography::Geography;

/// What the request says about its client. The fields of an event take precedence.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The user agent of the request.
    pub user_agent: Option<String>,
    /// The client hints that came with the user agent.
    pub hints: Option<Hints>,
    /// The address of the client. Used, and not stored.
    pub ip: Option<IpAddr>,
    /// The anonymous id of the client's cookie, on sites that set one.
    pub cookie_id: Option<String>,
    /// The salt of the day, on sites that recognise visitors without an id for a day.
    pub salt: Option<Salt>,
    /// The domain that chose the site, if the client has no key.
    pub domain: Option<String>,
    /// The id that a trusted proxy gave the request. It is the same at each retry.
    pub request_id: Option<String>,
    /// Whether the client asks not to be tracked and the site honors that. Its events then carry no id.
    pub opted_out: bool,
    /// Maps addresses to places, if configured.
    pub geography: Option<Arc<Geography>>,
}

impl Client {
    /// Identifies the visitor of an event: by the user id, else the anonymous id, else the cookie, else a hash that is
    /// valid for a day.
    ///
    /// The visitor stays unknown if the client opted out, or if nothing tells visitors apart: a server that sends
    /// events without an id is not a visitor.
    pub(crate) fn identify(&self, event: &mut Event, user_agent: Option<&str>, ip: Option<IpAddr>) {
        if self.opted_out {
            (event.user_id, event.anonymous_id, event.session_id, event.visitor_id) = (None, None, None, None);
            if matches!(&*event.name, "identify" | "alias" | "group") {
                // The properties of these events describe the person.
                event.properties = None;
            }
            return;
        }
        if event.anonymous_id.is_none() {
            event.anonymous_id.clone_from(&self.cookie_id);
        }
        event.visitor_id =
            match (event.user_id.as_deref().or(event.anonymous_id.as_deref()), &self.salt, ip, user_agent) {
                (Some(identity), ..) => Some(lake::visitor_id(&event.site_id, identity)),
                (None, Some(salt), Some(ip), Some(user_agent)) if !agent::is_library(user_agent) => {
                    Some(lake::daily_visitor_id(&event.site_id, salt, ip, user_agent))
                }
                _ => None,
            };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

    fn client() -> Client {
        Client {
            user_agent: Some(CHROME.into()),
            ip: Some([192, 0, 2, 1].into()),
            cookie_id: Some("c".into()),
            salt: Some([7; 32]),
            ..Client::default()
        }
    }

    fn named(id: &str) -> Option<i64> {
        Some(lake::visitor_id("shop", id))
    }

    #[test]
    fn the_most_lasting_name_wins() {
        assert_eq!(visitor(&client(), Some("u"), Some("a")), named("u"));
        assert_eq!(visitor(&client(), None, Some("a")), named("a"));
        assert_eq!(visitor(&client(), None, None), named("c"));
        let daily = visitor(&Client { cookie_id: None, ..client() }, None, None);
        assert!(daily.is_some() && daily != named("c"));
        assert_eq!(visitor(&Client { cookie_id: None, salt: None, ..client() }, None, None), None);
    }

    #[test]
    fn a_daily_visitor_is_one_address_and_browser_of_one_day_on_one_site() {
        let base = Client { cookie_id: None, ..client() };
        let daily = |client: &Client| visitor(client, None, None);
        assert_eq!(daily(&base), daily(&base.clone()));
        for other in [
            Client { salt: Some([8; 32]), ..base.clone() },
            Client { ip: Some([192, 0, 2, 2].into()), ..base.clone() },
            Client { user_agent: Some(CHROME.replace("142", "143")), ..base.clone() },
        ] {
            assert_ne!(daily(&base), daily(&other));
        }
    }

    #[test]
    fn servers_that_name_nobody_are_no_visitors() {
        for user_agent in [None, Some("python-requests/2.32.3"), Some("curl/8.5.0")] {
            let server = Client { cookie_id: None, user_agent: user_agent.map(str::to_owned), ..client() };
            assert_eq!(visitor(&server, None, None), None, "{user_agent:?}");
        }
    }

    #[test]
    fn who_opts_out_stays_unnamed() {
        let client = Client { opted_out: true, ..client() };
        let mut event = Event {
            name: "identify".into(),
            user_id: Some("u".into()),
            session_id: Some("s".into()),
            properties: Some(r#"{"email":"ada@example.com"}"#.into()),
            ..Event::default()
        };
        client.identify(&mut event, None, None);
        assert_eq!((event.user_id, event.anonymous_id, event.session_id, event.visitor_id), (None, None, None, None));
        assert_eq!(event.properties, None);
    }

    fn visitor(client: &Client, user_id: Option<&str>, anonymous_id: Option<&str>) -> Option<i64> {
        let mut event = Event {
            site_id: "shop".into(),
            user_id: user_id.map(str::to_owned),
            anonymous_id: anonymous_id.map(str::to_owned),
            ..Event::default()
        };
        client.identify(&mut event, client.user_agent.as_deref(), client.ip);
        event.visitor_id
    }
}
