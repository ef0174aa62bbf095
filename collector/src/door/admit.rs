//! Admission: who sends a request, and whether they may send to that site from where they are.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Method, header};
use futures::FutureExt;
use intake::protocol::{Message, Protocol, Sender};
use intake::{IngestError, truncated};
use lake::Site;
use url::Url;

use super::open::OpenRequest;
use super::{Door, header_text, keys};
use crate::homes::Home;

/// Origins longer than this are quoted in part.
const ORIGIN_BYTES_MAX: usize = 255;

/// Domains longer than this are looked up and quoted in part. No site may have one.
const DOMAIN_BYTES_MAX: usize = 256;

/// A sender, and the site that it may send to.
pub(super) struct SiteAccess {
    pub(super) site: Arc<Site>,
    /// Where its events go.
    pub(super) home: Arc<Home>,
    pub(super) sender: Sender,
}

impl Door {
    /// Counts the request of its address, and admits the sender that the headers or the address name. `None` if
    /// neither names one: the body may.
    pub(super) async fn admit_by_head(
        &self,
        protocol: &'static dyn Protocol,
        head: &Message,
        parts: &Parts,
    ) -> Result<Option<SiteAccess>, IngestError> {
        self.rates.check_ip(self.ip_of(parts))?;
        let sender = match keys::of_request(parts) {
            Some(key) => Some(Sender::Key(key.into_owned())),
            None => protocol.sender_of_address(head)?,
        };
        match sender {
            Some(sender) => self.admit(sender, parts).await.map(Some),
            None => Ok(None),
        }
    }

    /// Admits the sender that the body names.
    pub(super) async fn admit_by_body(
        &self,
        protocol: &'static dyn Protocol,
        request: &OpenRequest,
        parts: &Parts,
    ) -> Result<SiteAccess, IngestError> {
        let (message, events_max) = (request.message.clone(), self.settings.batch_events_max);
        let body_bytes = message.body.len();
        let find = move || protocol.sender_of_body(&message, events_max);
        let sender = self.offload.run(body_bytes, &request.raw, find).await?.ok_or_else(|| {
            IngestError::Unauthorized { reason: format!("there is no write key; send it as {}", keys::WAYS) }
        })?;
        self.admit(sender, parts).await
    }

    async fn admit(&self, sender: Sender, parts: &Parts) -> Result<SiteAccess, IngestError> {
        let known = match &sender {
            Sender::Key(key) => self.directory.known_site_of_key(key),
            Sender::Domain(domain) => self.directory.known_site_of_domain(domain),
        };
        let site = match known {
            Some(site) => site,
            None => self.look_up(&sender).boxed().await?,
        };
        check_origin(&site, parts)?;
        let home = match self.homes.known(&site)? {
            Some(home) => home,
            None => self.homes.of(&site).boxed().await?,
        };
        Ok(SiteAccess { site, home, sender })
    }

    async fn look_up(&self, sender: &Sender) -> Result<Arc<Site>, IngestError> {
        match sender {
            Sender::Key(key) => self.directory.site_of_key(key).await?.ok_or_else(|| IngestError::Unauthorized {
                reason: format!("the write key is unknown or revoked; send a valid one as {}", keys::WAYS),
            }),
            Sender::Domain(domain) => {
                let domain = truncated(domain, DOMAIN_BYTES_MAX);
                self.directory.site_of_domain(domain).await?.ok_or_else(|| {
                    IngestError::invalid(format!(
                        "no site takes events of {domain:?} without a write key; \
                         `dewpond site set NAME --domain {domain}` allows it"
                    ))
                })
            }
        }
    }
}

/// Checks that the page that sends a request has one of the origins that the site allows. Servers have no origin and
/// always pass.
fn check_origin(site: &Site, parts: &Parts) -> Result<(), IngestError> {
    let origins = &site.settings.origins;
    if !origins.is_empty()
        && let Some(origin) = origin_of(parts)
        && !site.settings.names_origin(&origin)
    {
        let (site_id, origin) = (&site.site_id, truncated(&origin, ORIGIN_BYTES_MAX));
        let reason =
            format!("pages of {origin} may not send to {site_id}; `dewpond site set {site_id} --origin …` allows them");
        return Err(IngestError::Forbidden { reason });
    }
    Ok(())
}

/// The origin of the page that sends a request; `None` for servers. Browsers send no `Origin` with images, but most
/// send a `Referer`.
fn origin_of(parts: &Parts) -> Option<Cow<'_, str>> {
    if let Some(origin) = header_text(&parts.headers, header::ORIGIN) {
        return Some(origin);
    }
    let referrer = header_text(&parts.headers, header::REFERER).filter(|_| parts.method == Method::GET)?;
    let url = Url::parse(&referrer).ok()?;
    let origin = url.origin();
    Some(match url.host_str() {
        // Apps have schemes of their own, which the URL standard gives no origin.
        Some(host) if !origin.is_tuple() => format!("{}://{host}", url.scheme()).into(),
        _ => origin.ascii_serialization().into(),
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_page_has_the_origin_that_its_browser_names() {
        check("POST", &[("origin", "https://shop.example")], Some("https://shop.example"));
        check("POST", &[("origin", "null"), ("referer", "https://shop.example/a")], Some("null"));
    }

    #[test]
    fn an_image_has_the_origin_of_the_page_that_shows_it() {
        check("GET", &[("referer", "https://shop.example:8443/a?b=c")], Some("https://shop.example:8443"));
        check("GET", &[("referer", "capacitor://localhost/index.html")], Some("capacitor://localhost"));
        check("GET", &[("referer", "nonsense")], None);
        // Mail programs and old browsers encode nothing.
        check("GET", &[("referer", "https://shop.example/größe?q=日本")], Some("https://shop.example"));
        check("GET", &[("origin", "https://bücher.example")], Some("https://bücher.example"));
    }

    #[test]
    fn a_server_has_no_origin() {
        check("POST", &[], None);
        check("POST", &[("referer", "https://shop.example/a")], None);
    }

    #[track_caller]
    fn check(method: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(origin_of(&parts).as_deref(), expected);
    }
}
