//! Who sends a request, and what he may see. One function decides it for all routes: [`Access::caller`].
//!
//! | He brings | He is |
//! |---|---|
//! | the server's token | the operator |
//! | a read key | whoever has the key |
//! | the token of a person's sign-in, as a bearer or a cookie | the person |
//! | the token of a share, or the one he got for its password | whoever has the link |
//! | nothing, to this machine by its own name, and there is no token | the operator |

use std::sync::Arc;

use accounts::{Actor, Service, is_access_token, is_share_token, share_hash};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use engine::{Engine, EngineError, ReadAccess};
use lake::{Accounts, ReadKey, Role, SavedItem, Site, SiteDirectory, User};
use serde_json::Value;

use super::cross_site;
use super::reader::{By, Reader};
use super::this_machine::names_this_machine;
use super::{cookies, links};
use crate::http::error::ApiError;

/// Who may do what.
pub(in crate::http) struct Access {
    token: Option<blake3::Hash>,
    keys: ReadAccess,
    engine: Engine,
    people: Arc<Service>,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

/// Who sends a request.
#[derive(Clone, Debug)]
pub(in crate::http) enum Caller {
    /// Whoever runs the installation.
    Operator,
    /// Somebody who is signed in.
    Person {
        user: User,
        /// The sign-in.
        family: String,
    },
    /// Whoever has a read key.
    Key(ReadKey),
    /// Whoever has the link of a share.
    Link(SavedItem),
}

impl Access {
    /// - `token`: what opens the whole lake; without one it is open to this machine.
    pub(in crate::http) fn new(
        token: Option<&str>,
        engine: Engine,
        people: Arc<Service>,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Self {
        let keys = ReadAccess::new(engine.lake().clone());
        Self { token: token.map(|token| blake3::hash(token.as_bytes())), keys, engine, people, clock }
    }

    /// Who sends a request. Fails with [`ApiError::WithoutKey`] if he shows nothing that holds.
    pub(in crate::http) async fn caller(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if let Some(sent) = headers.get(header::AUTHORIZATION) {
            let sent = sent.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default();
            return self.bearer(sent).await;
        }
        // All that he brings now a browser would have added by itself.
        let (caller, may_be_forged) = match cookies::access(headers) {
            Some(token) => (self.person_or_link(token).await?, cross_site::may_be_forged(method, headers)),
            // Programs on this machine bring nothing, not even what tells them from browsers.
            None if self.token.is_none() && names_this_machine(headers) => {
                (Caller::Operator, cross_site::is_forged(method, headers))
            }
            None => return Err(ApiError::WithoutKey),
        };
        match may_be_forged {
            true => Err(ApiError::CrossSite),
            false => Ok(caller),
        }
    }

    async fn bearer(&self, sent: &[u8]) -> Result<Caller, ApiError> {
        // Hashes have one length, and are compared in constant time.
        if self.token.is_some_and(|token| token == blake3::hash(sent)) {
            return Ok(Caller::Operator);
        }
        let sent = str::from_utf8(sent).unwrap_or_default();
        if is_access_token(sent) {
            return self.person_or_link(sent).await;
        }
        if is_share_token(sent) {
            let share = self.shares().await?.into_iter().find(|share| links::has_token(share, &share_hash(sent)));
            // The link alone does not do for one with a password.
            let share = share.filter(|share| links::is_open(share, (self.clock)()) && !links::has_password(share));
            return share.map(Caller::Link).ok_or(ApiError::WithoutKey);
        }
        let key = self.keys.key(sent).await;
        let key = key.map_err(EngineError::from).map_err(ApiError::unread("the read keys"))?;
        key.map(Caller::Key).ok_or(ApiError::WithoutKey)
    }

    async fn person_or_link(&self, token: &str) -> Result<Caller, ApiError> {
        let signed_in = self.people.signed_in(token, (self.clock)()).await?.ok_or(ApiError::WithoutKey)?;
        let accounts = self.people.accounts().await?;
        if let Some(user) = signed_in.user(&accounts) {
            return Ok(Caller::Person { user: user.clone(), family: signed_in.family });
        }
        let share = self.shares().await?.into_iter().find(|share| share.id == signed_in.subject);
        let share = share.filter(|share| links::is_open(share, (self.clock)()));
        share.map(Caller::Link).ok_or(ApiError::WithoutKey)
    }

    async fn shares(&self) -> Result<Vec<SavedItem>, ApiError> {
        let shares = self.people.lake().shares().await;
        shares.map_err(EngineError::from).map_err(ApiError::unread("the shares"))
    }

    /// What somebody reads.
    pub(in crate::http) async fn reader(&self, caller: &Caller) -> Result<Reader, ApiError> {
        let (sites, share, by): (Vec<Arc<str>>, _, _) = match caller {
            Caller::Operator => return Ok(Reader::Everything),
            Caller::Key(key) => (key.sites.clone(), key.prefix.clone(), By::Key),
            Caller::Link(share) => {
                let filters: Vec<Value> = links::filters(share);
                (vec![share.site_id.as_str().into()], share.id.clone(), By::Link { filters: filters.into() })
            }
            Caller::Person { user, .. } => {
                let directory = self.people.lake().sites().await;
                let directory = directory.map_err(EngineError::from).map_err(ApiError::unread("the sites"))?;
                let accounts = self.people.accounts().await?;
                let owned = accounts.memberships(&user.id).filter(|(_, role)| *role == Role::Owner);
                let owned: Vec<Arc<str>> = owned.map(|(organisation, _)| organisation.id.as_str().into()).collect();
                let sites = caller.sites(&directory, &accounts).map(|(site, _)| site.site_id.clone()).collect();
                (sites, user.id.clone(), By::Membership { owned: owned.into() })
            }
        };
        Ok(Reader::Sites { sites: sites.into(), share: Some(self.engine.share_of(&share)), by })
    }
}

impl Caller {
    /// Who does something, if he may do anything but read.
    pub(in crate::http) fn actor(&self) -> Option<Actor> {
        match self {
            Self::Operator => Some(Actor::Operator),
            Self::Person { user, .. } => Some(Actor::Person { user_id: user.id.clone(), email: user.email.clone() }),
            Self::Key(_) | Self::Link(_) => None,
        }
    }

    /// The same, or why not.
    pub(in crate::http) fn must_act(&self) -> Result<Actor, ApiError> {
        self.actor().ok_or_else(|| {
            ApiError::MayNot("a key and a link read: sign in, or send the server's token, to do that".to_owned())
        })
    }

    /// What he is for a site: what he may do there follows from it. `None` if he may not know of it.
    pub(in crate::http) fn role_on(&self, site: &Site, accounts: &Accounts) -> Option<Role> {
        match self {
            Self::Key(key) => key.sites.contains(&site.site_id).then_some(Role::Viewer),
            Self::Link(share) => (*share.site_id == *site.site_id).then_some(Role::Viewer),
            Self::Operator => Some(Role::Owner),
            Self::Person { .. } => self.actor()?.role_in(accounts, site.organisation.as_deref()),
        }
    }

    /// The sites that he may know of, and what he is for each.
    pub(in crate::http) fn sites<'a>(
        &'a self,
        directory: &'a SiteDirectory,
        accounts: &'a Accounts,
    ) -> impl Iterator<Item = (&'a Arc<Site>, Role)> {
        directory.sites().iter().filter_map(|site| Some((site, self.role_on(site, accounts)?)))
    }
}

/// Puts the [`Caller`] and the [`Reader`] into the request's extensions, or refuses the request.
pub(in crate::http) async fn identify(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let (method, headers) = (request.method(), request.headers());
    let identified = async {
        let caller = access.caller(method, headers).await?;
        let reader = access.reader(&caller).await?;
        Ok::<_, ApiError>((caller, reader))
    };
    match identified.await {
        Ok((caller, reader)) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(reader);
            next.run(request).await
        }
        Err(refused @ ApiError::WithoutKey) => ([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// The same for routes that are open to this machine without a token, whatever a browser says of it: reports, which nobody
/// changes.
pub(in crate::http) async fn identify_for_reports(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (method, headers) = (request.method(), request.headers());
    let shows_nothing = !headers.contains_key(header::AUTHORIZATION) && cookies::access(headers).is_none();
    if access.token.is_none() && shows_nothing {
        request.extensions_mut().insert(Reader::Everything);
        return next.run(request).await;
    }
    let reader = match access.caller(method, headers).await {
        // A read key reads events, and no reports.
        Ok(Caller::Key(_)) if access.token.is_some() => Err(ApiError::WithoutKey),
        Ok(Caller::Key(_)) => Ok(Reader::Everything),
        Ok(caller) => access.reader(&caller).await,
        // What means nothing here keeps nobody from what is open.
        Err(ApiError::WithoutKey) if access.token.is_none() => Ok(Reader::Everything),
        Err(refused) => Err(refused),
    };
    match reader {
        Ok(reader) => {
            request.extensions_mut().insert(reader);
            next.run(request).await
        }
        Err(ApiError::WithoutKey) => ([(header::WWW_AUTHENTICATE, "Bearer")], ApiError::WithoutToken).into_response(),
        Err(refused) => refused.into_response(),
    }
}
