//! What people, organisations and sites look like in answers. Pure.

use std::sync::Arc;

use accounts::{Actor, Asked, Signed};
use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use lake::{Accounts, Organisation, Role, Site, SiteDirectory, User};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::caller::access::Caller;
use crate::http::caller::cookies;
use crate::http::caller::links;

/// How somebody wants his tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokensIn {
    /// In cookies, which no script sees.
    #[default]
    Cookie,
    /// In the answer, for programs.
    Body,
}

/// Who somebody is, and of what.
pub(super) fn me(caller: &Caller, accounts: &Accounts, directory: &SiteDirectory) -> Value {
    let kind = match caller {
        Caller::Operator => "operator",
        Caller::Person { .. } => "person",
        Caller::Key(_) => "key",
        Caller::Link(_) => "share",
    };
    let user = match caller {
        Caller::Person { user, .. } => self::user(user),
        _ => Value::Null,
    };
    let share = match caller {
        Caller::Link(share) => json!({ "name": share.says.get("name"), "filters": links::filters(share) }),
        _ => Value::Null,
    };
    let sites = caller.sites(directory, accounts).map(|(site, role)| {
        // Whoever is no member is not to know whose a site is.
        let organisation = caller.actor().and(site.organisation.as_deref());
        json!({ "id": site.site_id, "organisation": organisation, "role": role })
    });
    json!({
        "kind": kind,
        "user": user,
        "organisations": organisations(caller, accounts, directory),
        "sites": sites.collect::<Vec<_>>(),
        "share": share,
    })
}

/// The organisations of somebody.
pub(super) fn organisations(caller: &Caller, accounts: &Accounts, directory: &SiteDirectory) -> Vec<Value> {
    let Some(actor) = caller.actor() else { return vec![] };
    let own = accounts.organisations.iter();
    own.filter_map(|one| Some(organisation(one, actor.role_in(accounts, Some(&one.id))?, directory))).collect()
}

/// An organisation, for somebody of a role in it, with the address of its own lake if it has one.
pub(super) fn organisation(organisation: &Organisation, role: Role, directory: &SiteDirectory) -> Value {
    let Organisation { id, name, created_at, version, .. } = organisation;
    let lake = directory.lake_of(id).map(|lake| &lake.url);
    json!({ "id": id, "name": name, "created_at": created_at, "role": role, "version": version, "lake": lake })
}

/// A person, for himself.
pub(super) fn user(user: &User) -> Value {
    json!({
        "id": user.id, "email": user.email, "name": user.name, "created_at": user.created_at,
        "has_password": user.password.is_some(), "passkey_required": user.passkey_required,
        "identities": user.identities.iter().map(|(issuer, _)| issuer).collect::<Vec<_>>(),
    })
}

/// A site, for somebody of a role there.
pub(super) fn site(site: &Site, role: Role, actor: Option<&Actor>) -> Value {
    json!({
        "id": site.site_id, "organisation": actor.and(site.organisation.as_deref()), "role": role,
        "created_at": site.created_at, "retention_days": site.retention_days, "settings": site.settings,
    })
}

/// The answer to somebody who has just signed in.
///
/// - `headers`: of the request.
pub(super) fn signed(
    headers: &HeaderMap,
    status: StatusCode,
    how: TokensIn,
    signed: &Signed,
    accounts: &Accounts,
    directory: &SiteDirectory,
    now: DateTime<Utc>,
) -> Response {
    let caller = Caller::Person { user: signed.user.clone(), family: String::new() };
    let mut body = me(&caller, accounts, directory);
    let tokens = &signed.tokens;
    if how == TokensIn::Body {
        body["access_token"] = tokens.access.clone().into();
        body["refresh_token"] = tokens.refresh.clone().into();
        body["token_type"] = "Bearer".into();
        body["expires_in"] = (tokens.access_until - now).num_seconds().into();
        return (status, Json(body)).into_response();
    }
    with_cookies((status, Json(body)).into_response(), cookies::keep(headers, tokens, now))
}

/// An answer that sets cookies.
pub(super) fn with_cookies(mut response: Response, cookies: Vec<axum::http::HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// What a browser is to ask of a device.
pub(super) fn question(asked: &Asked) -> Value {
    json!({ "id": asked.id, "publicKey": asked.public_key })
}

/// A page of things.
pub(super) fn list(results: impl IntoIterator<Item = Value>) -> Json<Value> {
    Json(json!({ "results": results.into_iter().collect::<Vec<_>>() }))
}

/// The site of an id, for somebody who may know of it, and what he is there.
pub(super) fn find_site<'a>(
    caller: &Caller,
    id: &str,
    accounts: &Accounts,
    directory: &'a SiteDirectory,
) -> Option<(&'a Arc<Site>, Role)> {
    let site = directory.site(id)?;
    Some((site, caller.role_on(site, accounts)?))
}
