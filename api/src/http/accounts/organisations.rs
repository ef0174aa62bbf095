//! `/v1/organisations`: their members, invitations, sites and read keys.

use std::sync::Arc;

use accounts::{Actor, Offer, may};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch};
use axum::{Extension, Json, Router};
use lake::{Accounts, Invitation, Organisation, ReadKey, Role, SiteDirectory, SiteSettings};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{shown, sites};
use crate::http::body::Sent;
use crate::http::caller::access::Caller;
use crate::http::caller::client::Sender;
use crate::http::error::ApiError;
use crate::http::state::Api;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/organisations", get(list).post(add))
        .route("/v1/organisations/{id}", get(show).patch(rename))
        .route("/v1/organisations/{id}/members", get(members))
        .route("/v1/organisations/{id}/members/{user}", patch(change_member).delete(remove_member))
        .route("/v1/organisations/{id}/invitations", get(invitations).post(invite))
        .route("/v1/organisations/{id}/invitations/{invitation}", delete(withdraw))
        .route("/v1/organisations/{id}/sites", get(sites).post(add_site))
        .route("/v1/organisations/{id}/keys", get(keys).post(add_key))
        .route("/v1/organisations/{id}/keys/{prefix}", delete(revoke_key))
}

/// The organisation of an id, for somebody who is at least this there.
fn find<'a>(
    caller: &Caller,
    accounts: &'a Accounts,
    id: &str,
    needed: Role,
) -> Result<(&'a Organisation, Role, Actor), ApiError> {
    let missing = || format!("there is no organisation {id}");
    let Some(actor) = caller.actor() else { return Err(ApiError::NotFound(missing())) };
    let role = actor.role_in(accounts, Some(id));
    may(role, needed, missing)?;
    match accounts.organisation(id).zip(role) {
        Some((organisation, role)) => Ok((organisation, role, actor)),
        None => Err(ApiError::NotFound(missing())),
    }
}

async fn list(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, ApiError> {
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    Ok(shown::list(shown::organisations(&caller, &accounts, &directory)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    name: String,
}

async fn add(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Sender(client): Sender,
    Sent(sent): Sent<Add>,
) -> Result<Response, ApiError> {
    let added = api.people.add_organisation(&caller.must_act()?, &sent.name, &client, (api.clock)()).await?;
    let directory = api.people.lake().sites().await?;
    Ok((StatusCode::CREATED, Json(shown::organisation(&added, Role::Owner, &directory))).into_response())
}

async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    let (organisation, role, _) = find(&caller, &accounts, &id, Role::Viewer)?;
    Ok(Json(shown::organisation(organisation, role, &directory)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    name: String,
    version: Option<u64>,
}

async fn rename(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sent(sent): Sent<Rename>,
) -> Result<Json<Value>, ApiError> {
    let renamed = api.people.rename_organisation(&caller.must_act()?, &id, &sent.name, sent.version).await?;
    Ok(Json(shown::organisation(&renamed, Role::Owner, &*api.people.lake().sites().await?)))
}

async fn members(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let accounts = api.people.accounts().await?;
    let (organisation, ..) = find(&caller, &accounts, &id, Role::Viewer)?;
    Ok(shown::list(organisation.members.iter().filter_map(|member| {
        let user = accounts.user(&member.user_id)?;
        let (role, joined_at) = (member.role, member.joined_at);
        Some(json!({ "id": user.id, "email": user.email, "name": user.name, "role": role, "joined_at": joined_at }))
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeMember {
    role: Role,
}

async fn change_member(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((id, user)): Path<(String, String)>,
    Sender(client): Sender,
    Sent(ChangeMember { role }): Sent<ChangeMember>,
) -> Result<Json<Value>, ApiError> {
    let actor = caller.must_act()?;
    let member = api.people.change_role(&actor, &id, &user, role, &client, (api.clock)()).await?;
    let accounts = api.people.accounts().await?;
    let user = accounts.user(&user);
    Ok(Json(json!({
        "id": member.user_id, "email": user.map(|user| &user.email), "name": user.map(|user| &user.name),
        "role": member.role, "joined_at": member.joined_at,
    })))
}

async fn remove_member(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((id, user)): Path<(String, String)>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    api.people.remove_member(&caller.must_act()?, &id, &user, &client, (api.clock)()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown_invitation(invitation: &Invitation) -> Value {
    let Invitation { id, role, email, created_at, expires_at, .. } = invitation;
    json!({ "id": id, "role": role, "email": email, "created_at": created_at, "expires_at": expires_at })
}

async fn invitations(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (accounts, now) = (api.people.accounts().await?, (api.clock)());
    let (organisation, ..) = find(&caller, &accounts, &id, Role::Owner)?;
    let open = organisation.invitations.iter().filter(|invitation| now < invitation.expires_at);
    Ok(shown::list(open.map(shown_invitation)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invite {
    role: Role,
    email: Option<String>,
    expires_in_days: Option<u32>,
}

async fn invite(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
    Sent(sent): Sent<Invite>,
) -> Result<Response, ApiError> {
    let offer = Offer { role: sent.role, email: sent.email.as_deref(), days: sent.expires_in_days };
    let issued = api.people.invite(&caller.must_act()?, &id, offer, &client, (api.clock)()).await?;
    let mut shown = shown_invitation(&issued.invitation);
    shown["token"] = issued.token.into();
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

async fn withdraw(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((id, invitation)): Path<(String, String)>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    api.people.withdraw_invitation(&caller.must_act()?, &id, &invitation, &client, (api.clock)()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sites(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    let (_, role, actor) = find(&caller, &accounts, &id, Role::Viewer)?;
    let own = directory.sites().iter().filter(|site| site.organisation.as_deref() == Some(&*id));
    Ok(shown::list(own.map(|site| shown::site(site, role, Some(&actor)))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddSite {
    id: String,
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    origins: Vec<String>,
    time_zone: Option<String>,
}

async fn add_site(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
    Sent(sent): Sent<AddSite>,
) -> Result<Response, ApiError> {
    let (accounts, now) = (api.people.accounts_now().await?, (api.clock)());
    let (_, role, actor) = find(&caller, &accounts, &id, Role::Editor)?;
    let mut settings = SiteSettings { domains: sent.domains, origins: sent.origins, ..SiteSettings::default() };
    if let Some(zone) = sent.time_zone {
        sites::check_zone(&zone)?;
        settings.time_zone = zone;
    }
    let lake = api.people.lake();
    let issued = lake.add_site_of(&sent.id, Some(&id), settings, now).await.map_err(sites::not_whose)?;
    api.people.note(&actor, "site.add", Some(&id), &issued.site_id, &client, now).await;
    let directory = lake.sites().await?;
    let mut shown =
        directory.site(&issued.site_id).map_or_else(|| json!({}), |site| shown::site(site, role, Some(&actor)));
    shown["write_key"] = issued.write_key.into();
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// Whether there is such a site in an organisation.
fn is_site_of(site: &str, organisation: &str, directory: &SiteDirectory) -> bool {
    directory.site(site).is_some_and(|site| site.organisation.as_deref() == Some(organisation))
}

/// The read keys of an organisation: those that read nothing but its sites.
fn is_of(key: &ReadKey, organisation: &str, directory: &SiteDirectory) -> bool {
    key.sites.iter().all(|site| is_site_of(site, organisation, directory))
}

fn shown_key(key: &ReadKey) -> Value {
    let ReadKey { prefix, name, sites, created_at, revoked_at, .. } = key;
    json!({ "prefix": prefix, "name": name, "sites": sites, "created_at": created_at, "revoked_at": revoked_at })
}

async fn keys(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    find(&caller, &*api.people.accounts().await?, &id, Role::Editor)?;
    let (directory, keys) = (api.people.lake().sites().await?, api.people.lake().read_keys().await?);
    Ok(shown::list(keys.keys().iter().filter(|key| is_of(key, &id, &directory)).map(shown_key)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddKey {
    #[serde(default)]
    name: String,
    sites: Vec<String>,
}

async fn add_key(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
    Sent(sent): Sent<AddKey>,
) -> Result<Response, ApiError> {
    let (accounts, lake) = (api.people.accounts_now().await?, api.people.lake());
    let (_, _, actor) = find(&caller, &accounts, &id, Role::Editor)?;
    let directory = lake.sites().await?;
    if let Some(missing) = sent.sites.iter().find(|name| !is_site_of(name, &id, &directory)) {
        return Err(ApiError::NotFound(format!("there is no site {missing} in this organisation")));
    }
    let now = (api.clock)();
    let issued = lake.add_read_key(&sent.sites, &sent.name, now).await?;
    let keys = lake.read_keys().await?;
    let key = keys.key_of(&issued.read_key).map_or_else(|| json!({}), shown_key);
    api.people.note(&actor, "read_key.add", Some(&id), key["prefix"].as_str().unwrap_or_default(), &client, now).await;
    let mut shown = key;
    shown["read_key"] = issued.read_key.into();
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

async fn revoke_key(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((id, prefix)): Path<(String, String)>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    let (accounts, lake) = (api.people.accounts_now().await?, api.people.lake());
    let (_, _, actor) = find(&caller, &accounts, &id, Role::Editor)?;
    let (directory, keys) = (lake.sites().await?, lake.read_keys().await?);
    let missing = || ApiError::NotFound("there is no such valid key in this organisation".to_owned());
    let key = keys.with_prefix(&prefix).filter(|key| is_of(key, &id, &directory)).ok_or_else(missing)?;
    lake.revoke_read_key(&key.prefix, (api.clock)()).await?;
    api.people.note(&actor, "read_key.revoke", Some(&id), &prefix, &client, (api.clock)()).await;
    Ok(StatusCode::NO_CONTENT)
}
