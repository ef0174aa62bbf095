//! `/v1/me`: who one is, and one's sign-ins.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use lake::Passkey;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{auth, shown};
use crate::http::body::{Nothing, Sent};
use crate::http::caller::access::Caller;
use crate::http::caller::client::Sender;
use crate::http::caller::cookies;
use crate::http::error::ApiError;
use crate::http::state::Api;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/me", get(me).patch(change))
        .route("/v1/me/password", post(change_password))
        .route("/v1/me/sign-ins", get(sign_ins))
        .route("/v1/me/sign-ins/{id}", delete(end_sign_in))
        .route("/v1/me/passkeys", get(passkeys).post(add_passkey))
        .route("/v1/me/passkeys/options", post(ask_for_new_passkey))
        .route("/v1/me/passkeys/{id}", delete(remove_passkey))
        .route("/v1/auth/logout-everywhere", post(sign_out_everywhere))
        .route("/v1/invitations/accept", post(accept))
}

async fn me(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, ApiError> {
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    Ok(Json(shown::me(&caller, &accounts, &directory)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: Option<String>,
    passkey_required: Option<bool>,
}

async fn change(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Sent(sent): Sent<Change>,
) -> Result<Json<Value>, ApiError> {
    let actor = caller.must_act()?;
    let user = api.people.change_profile(&actor, sent.name.as_deref(), sent.passkey_required).await?;
    let caller = Caller::Person { user, family: String::new() };
    me(State(api), Extension(caller)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    current: Option<String>,
    new: String,
    #[serde(default)]
    tokens: shown::TokensIn,
}

async fn change_password(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Sender(client): Sender,
    Sent(sent): Sent<ChangePassword>,
) -> Result<Response, ApiError> {
    let (actor, now) = (caller.must_act()?, (api.clock)());
    let signed = api.people.change_password(&actor, sent.current.as_deref(), &sent.new, &client, now).await;
    let signed = match signed {
        // The person is signed in; what he typed is wrong.
        Err(accounts::AccountsError::NotSignedIn { .. }) => {
            return Err(ApiError::MayNot("the current password is wrong".to_owned()));
        }
        signed => signed?,
    };
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    Ok(shown::signed(&headers, StatusCode::OK, sent.tokens, &signed, &accounts, &directory, now))
}

async fn sign_ins(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Result<Json<Value>, ApiError> {
    let Caller::Person { user, family } = &caller else { return Ok(shown::list([])) };
    let sign_ins = api.people.sign_ins(&user.id, (api.clock)()).await?;
    Ok(shown::list(sign_ins.into_iter().map(|one| {
        json!({
            "id": one.family, "created_at": one.began_at, "last_used_at": one.issued_at, "user_agent": one.user_agent,
            "current": one.family == *family,
        })
    })))
}

async fn end_sign_in(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    api.people.end_sign_in(&caller.must_act()?, &id, &client, (api.clock)()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown_passkey(passkey: &Passkey) -> Value {
    json!({ "id": passkey.id, "name": passkey.name, "created_at": passkey.created_at })
}

async fn passkeys(Extension(caller): Extension<Caller>) -> Json<Value> {
    match &caller {
        Caller::Person { user, .. } => shown::list(user.passkeys.iter().map(shown_passkey)),
        _ => shown::list([]),
    }
}

async fn ask_for_new_passkey(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Value>, ApiError> {
    let rp_id = auth::rp_id(&headers)?;
    let asked = api.people.ask_for_new_passkey(&caller.must_act()?, &rp_id, (api.clock)()).await?;
    Ok(Json(shown::question(&asked)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddPasskey {
    id: String,
    name: String,
    credential: Value,
}

async fn add_passkey(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Sender(client): Sender,
    Sent(sent): Sent<AddPasskey>,
) -> Result<Response, ApiError> {
    let AddPasskey { id, name, credential } = sent;
    let added = api.people.add_passkey(&caller.must_act()?, &id, &name, &credential, &client, (api.clock)()).await?;
    Ok((StatusCode::CREATED, Json(shown_passkey(&added))).into_response())
}

async fn remove_passkey(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Sender(client): Sender,
) -> Result<StatusCode, ApiError> {
    api.people.remove_passkey(&caller.must_act()?, &id, &client, (api.clock)()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sign_out_everywhere(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Sender(client): Sender,
) -> Result<Response, ApiError> {
    api.people.sign_out_everywhere(&caller.must_act()?, &client, (api.clock)()).await?;
    Ok(shown::with_cookies(StatusCode::NO_CONTENT.into_response(), cookies::drop_all(&headers)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    token: String,
}

async fn accept(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Sender(client): Sender,
    Sent(Accept { token }): Sent<Accept>,
) -> Result<Json<Value>, ApiError> {
    api.people.accept_invitation(&caller.must_act()?, &token, &client, (api.clock)()).await?;
    me(State(api), Extension(caller)).await
}
