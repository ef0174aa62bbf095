//! Who asks on the routes that take SQL, and what he may read: the whole lake with the server's token, some sites with a
//! read key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::{Engine, EngineError, ReadAccess, Scope, Share, SqlSession, View};

use super::error::ApiError;

/// Who may read.
pub(super) struct Access {
    token: Option<blake3::Hash>,
    keys: ReadAccess,
    engine: Engine,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// Somebody who may read everything.
    Everything,
    /// Somebody who may read these sites, and learn of no other.
    Sites {
        sites: Arc<[Arc<str>]>,
        /// What he may take of what all share, if he came with a key.
        share: Option<Arc<Share>>,
    },
}

/// What a reader asks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// All or one site of the lake, for somebody who may read everything.
    Lake(Option<Arc<str>>),
    /// Sites of somebody who may read no others.
    Sites(Arc<[Arc<str>]>),
}

impl Access {
    /// - `token`: what opens the whole lake; without one it is open to this machine.
    pub(super) fn new(token: Option<&str>, engine: Engine) -> Self {
        let keys = ReadAccess::new(engine.lake().clone());
        Self { token: token.map(|token| blake3::hash(token.as_bytes())), keys, engine }
    }

    async fn reader(&self, headers: &HeaderMap) -> Result<Reader, ApiError> {
        let sent = headers.get(header::AUTHORIZATION);
        let Some(sent) = sent else {
            return match (self.token, names_this_machine(headers)) {
                (None, true) => Ok(Reader::Everything),
                // Somebody's page may have led his browser here by a name that it resolved to this machine.
                _ => Err(ApiError::WithoutKey),
            };
        };
        let sent = sent.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default();
        // Hashes have one length, and are compared in constant time.
        if self.token.is_some_and(|token| token == blake3::hash(sent)) {
            return Ok(Reader::Everything);
        }
        let key = self.keys.key(str::from_utf8(sent).unwrap_or_default()).await;
        let key = key.map_err(EngineError::from).map_err(ApiError::unread("the read keys"))?;
        let key = key.ok_or(ApiError::WithoutKey)?;
        Ok(Reader::Sites { share: Some(self.engine.share_of(&key.prefix)), sites: key.sites.into() })
    }
}

/// Puts the [`Reader`] into the request's extensions, or refuses the request.
pub(super) async fn identify(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match access.reader(request.headers()).await {
        Ok(reader) => {
            request.extensions_mut().insert(reader);
            next.run(request).await
        }
        Err(refused @ ApiError::WithoutKey) => ([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Whether a request was sent to this machine by its own name or address.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let host = host.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

impl Reader {
    /// What a request asks of: the site it names, or all that its sender may read.
    ///
    /// Fails in the same words for a site that is not there and for one that he may not know of.
    pub(crate) fn part(&self, site: Option<&str>) -> Result<Part, ApiError> {
        match (self, site) {
            (Self::Everything, site) => Ok(Part::Lake(site.map(Into::into))),
            (Self::Sites { sites, .. }, None) => Ok(Part::Sites(sites.clone())),
            (Self::Sites { sites, .. }, Some(site)) => match sites.iter().find(|own| &***own == site) {
                Some(own) => Ok(Part::Sites([own.clone()].into())),
                None => {
                    Err(ApiError::NotFound(format!("this key reads no site {site}; it reads {}", sites.join(", "))))
                }
            },
        }
    }

    /// The same of several sites: all that its sender may read if none is named.
    pub(crate) fn part_of(&self, sites: &[String]) -> Result<Part, ApiError> {
        match sites {
            [] => self.part(None),
            [site] => self.part(Some(site)),
            sites => {
                sites.iter().try_for_each(|site| self.part(Some(site)).map(drop))?;
                let mut sites: Vec<Arc<str>> = sites.iter().map(|site| site.as_str().into()).collect();
                sites.sort();
                sites.dedup();
                Ok(Part::Sites(sites.into()))
            }
        }
    }

    /// What he may take, if that is less than everything.
    pub(crate) fn share(&self) -> Option<&Arc<Share>> {
        match self {
            Self::Everything => None,
            Self::Sites { share, .. } => share.as_ref(),
        }
    }
}

impl Part {
    /// The site, if it is one.
    pub(crate) fn site(&self) -> Option<&Arc<str>> {
        match self {
            Self::Lake(site) => site.as_ref(),
            Self::Sites(sites) => match &**sites {
                [site] => Some(site),
                _ => None,
            },
        }
    }

    /// A session in which SQL sees this part.
    ///
    /// - `share`: what whoever asks may take.
    pub(crate) fn session(&self, view: &View, share: Option<&Share>) -> Result<SqlSession, EngineError> {
        match self {
            Self::Lake(None) => view.session(&Scope::Lake),
            Self::Lake(Some(site)) => view.session(&Scope::Site(site.to_string())),
            Self::Sites(sites) => view.confined_session(sites, share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names_go_without_a_key() {
        for (host, own) in [
            ("localhost:8081", true),
            ("LOCALHOST", true),
            ("127.0.0.1:8081", true),
            ("127.1.2.3", true),
            ("[::1]:8081", true),
            ("evil.example", false),
            ("localhost.evil.example:8081", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1:8081", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(names_this_machine(&headers), own, "{host}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn a_site_that_is_not_there_and_one_of_others_are_refused_alike() {
        let reader = Reader::Sites { sites: ["shop".into(), "blog".into()].into(), share: None };
        assert_eq!(reader.part(None).unwrap(), Part::Sites(["shop".into(), "blog".into()].into()));
        assert_eq!(reader.part(Some("blog")).unwrap(), Part::Sites(["blog".into()].into()));
        let ApiError::NotFound(words) = reader.part(Some("Blog")).unwrap_err() else { panic!("it is not found") };
        assert_eq!(words, "this key reads no site Blog; it reads shop, blog");
        assert_eq!(Reader::Everything.part(Some("zoo")).unwrap(), Part::Lake(Some("zoo".into())));
    }
}
