//! `/v1/sites`: what somebody reads, its settings and its write keys.

use std::num::NonZeroU32;
use std::sync::Arc;

use accounts::may;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};
use lake::{Role, Site};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::shown;
use crate::http::body::{Nothing, Sent};
use crate::http::caller::access::Caller;
use crate::http::caller::client::Sender;
use crate::http::error::ApiError;
use crate::http::state::Api;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/sites", get(list))
        .route("/v1/sites/{site}", get(show).patch(change))
        .route("/v1/sites/{site}/keys", get(keys).post(add_key))
        .route("/v1/sites/{site}/keys/{prefix}", delete(revoke_key))
}

/// A site for somebody who is at least this there. Who may not know of it hears that it is not there.
pub(super) async fn find(api: &Api, caller: &Caller, id: &str, needed: Role) -> Result<(Arc<Site>, Role), ApiError> {
    // Whoever is about to change something is asked of what holds now.
    let accounts = match needed {
        Role::Viewer => api.people.accounts().await?,
        Role::Editor | Role::Owner => api.people.accounts_now().await?,
    };
    let directory = api.people.lake().sites().await?;
    let found = shown::find_site(caller, id, &accounts, &directory);
    may(found.map(|(_, role)| role), needed, || format!("there is no site {id}"))?;
    match found {
        Some((site, role)) => Ok((site.clone(), role)),
        None => Err(ApiError::NotFound(format!("there is no site {id}"))),
    }
}

async fn list(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, ApiError> {
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    let actor = caller.actor();
    let sites = caller.sites(&directory, &accounts).map(|(site, role)| shown::site(site, role, actor.as_ref()));
    Ok(shown::list(sites.collect::<Vec<_>>()))
}

async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (site, role) = find(&api, &caller, &id, Role::Viewer).await?;
    Ok(Json(shown::site(&site, role, caller.actor().as_ref())))
}

/// Settings that are to be others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    domains: Option<Vec<String>>,
    origins: Option<Vec<String>>,
    cookie: Option<bool>,
    cookieless: Option<bool>,
    honor_opt_out: Option<bool>,
    /// `null` takes the bound away.
    #[serde(default, deserialize_with = "said")]
    events_per_second_max: Option<Option<NonZeroU32>>,
    session_gap_s: Option<u32>,
    session_cap_s: Option<u32>,
    time_zone: Option<String>,
}

/// A field that is there, `null` too.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

async fn change(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
    Sent(sent): Sent<Change>,
) -> Result<Json<Value>, ApiError> {
    let (site, role) = find(&api, &caller, &id, Role::Editor).await?;
    let actor = caller.must_act()?;
    if let Some(zone) = &sent.time_zone {
        check_zone(zone)?;
    }
    let changed = api.people.lake().change_site(&id, |settings| {
        settings.domains = sent.domains.clone().unwrap_or_else(|| settings.domains.clone());
        settings.origins = sent.origins.clone().unwrap_or_else(|| settings.origins.clone());
        settings.cookie = sent.cookie.unwrap_or(settings.cookie);
        settings.cookieless = sent.cookieless.unwrap_or(settings.cookieless);
        settings.honor_opt_out = sent.honor_opt_out.unwrap_or(settings.honor_opt_out);
        settings.events_per_second_max = sent.events_per_second_max.unwrap_or(settings.events_per_second_max);
        settings.session_gap_s = sent.session_gap_s.unwrap_or(settings.session_gap_s);
        settings.session_cap_s = sent.session_cap_s.unwrap_or(settings.session_cap_s);
        settings.time_zone = sent.time_zone.clone().unwrap_or_else(|| settings.time_zone.clone());
    });
    let settings = changed.await.map_err(not_whose)?;
    api.people.note(&actor, "site.change", site.organisation.as_deref(), &id, &client, (api.clock)()).await;
    let site = Site { settings, ..(*site).clone() };
    Ok(Json(shown::site(&site, role, Some(&actor))))
}

/// A name or a domain that is taken is refused without saying by whom.
pub(super) fn not_whose(error: lake::LakeError) -> ApiError {
    match error {
        lake::LakeError::Invalid { reason } if reason.contains("already") => {
            ApiError::People(accounts::AccountsError::Conflict { reason: "the name or a domain is taken".to_owned() })
        }
        error => error.into(),
    }
}

/// Fails for a zone that reports could not count by.
pub(super) fn check_zone(name: &str) -> Result<(), ApiError> {
    match engine::params::is_time_zone(name) {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "there is no time zone {name:?}: write a name such as Europe/Berlin, or UTC"
        ))),
    }
}

async fn keys(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (site, _) = find(&api, &caller, &id, Role::Editor).await?;
    let shown = site
        .keys
        .iter()
        .map(|key| json!({ "prefix": key.prefix, "created_at": key.created_at, "revoked_at": key.revoked_at }));
    Ok(shown::list(shown.collect::<Vec<_>>()))
}

async fn add_key(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Response, ApiError> {
    let (site, _) = find(&api, &caller, &id, Role::Editor).await?;
    let (actor, now) = (caller.must_act()?, (api.clock)());
    let issued = api.people.lake().add_key(&id, now).await?;
    let prefix: String = issued.write_key.chars().take(12).collect();
    api.people.note(&actor, "write_key.add", site.organisation.as_deref(), &prefix, &client, now).await;
    let shown = json!({ "prefix": prefix, "created_at": now, "revoked_at": null, "write_key": issued.write_key });
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

async fn revoke_key(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((id, prefix)): Path<(String, String)>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    let (site, _) = find(&api, &caller, &id, Role::Editor).await?;
    let (actor, now) = (caller.must_act()?, (api.clock)());
    let is_one = site.keys.iter().any(|key| key.prefix == prefix && key.revoked_at.is_none());
    if !is_one {
        return Err(ApiError::NotFound(format!("site {id} has no such valid key")));
    }
    api.people.lake().revoke_key(&id, &prefix, now).await?;
    api.people.note(&actor, "write_key.revoke", site.organisation.as_deref(), &prefix, &client, now).await;
    Ok(StatusCode::NO_CONTENT)
}
