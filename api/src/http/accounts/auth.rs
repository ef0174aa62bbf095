//! `/v1/auth`: how one becomes known, stays so, and stops being so.

use std::sync::Arc;

use accounts::{NewPerson, Signed};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::shown::{self, TokensIn};
use crate::http::body::{Nothing, Sent};
use crate::http::caller::access::{Access, Caller};
use crate::http::caller::client::Sender;
use crate::http::caller::cookies;
use crate::http::caller::cross_site;
use crate::http::caller::this_machine;
use crate::http::error::ApiError;
use crate::http::state::Api;

pub(super) fn router(access: Arc<Access>) -> Router<Arc<Api>> {
    let register = move |state, method, headers, sender, sent| register(access, state, method, headers, sender, sent);
    Router::new()
        .route("/v1/auth/options", get(options))
        .route("/v1/auth/register", post(register))
        .route("/v1/auth/login", post(login))
        .route("/v1/auth/passkey/options", post(ask_for_passkey))
        .route("/v1/auth/passkey", post(login_by_passkey))
        .route("/v1/auth/refresh", post(refresh))
        .route("/v1/auth/logout", post(logout))
        .route("/v1/invitations/look", post(look))
}

/// What a page for signing in offers.
async fn options(State(api): State<Arc<Api>>) -> Result<Json<Value>, ApiError> {
    let accounts = api.people.accounts().await?;
    let offered = api.outward.providers.iter();
    let offered = offered.map(|one| json!({ "id": one.id, "name": one.name, "issuer": one.issuer }));
    Ok(Json(json!({
        "first_owner_needed": accounts.users.is_empty(), "passkeys": true, "providers": offered.collect::<Vec<_>>(),
        "sends_email": api.outward.smtp.is_some(),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    email: String,
    password: String,
    name: Option<String>,
    organisation: Option<String>,
    invitation: Option<String>,
    #[serde(default)]
    tokens: TokensIn,
}

async fn register(
    access: Arc<Access>,
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
    Sender(client): Sender,
    Sent(sent): Sent<Register>,
) -> Result<Response, ApiError> {
    refuse_forged(&method, &headers)?;
    let now = (api.clock)();
    let new = NewPerson { email: sent.email, name: sent.name, password: Some(sent.password) };
    let signed = match &sent.invitation {
        Some(token) => api.people.register_invited(new, token, &client, now).await?,
        None => {
            // Who comes first owns everything, so that is for whoever runs the installation.
            let caller = access.caller(&method, &headers).await;
            if !matches!(caller, Ok(Caller::Operator)) {
                return Err(ApiError::MayNot(
                    "the first owner is registered on the server's own machine, with the server's token, or by `dewpond \
                     user add`; everybody else needs an invitation"
                        .to_owned(),
                ));
            }
            api.people.register_first(new, sent.organisation.as_deref(), &client, now).await?
        }
    };
    answer(&api, &headers, StatusCode::CREATED, sent.tokens, &signed).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    email: String,
    password: String,
    #[serde(default)]
    tokens: TokensIn,
}

async fn login(
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
    Sender(client): Sender,
    Sent(sent): Sent<Login>,
) -> Result<Response, ApiError> {
    refuse_forged(&method, &headers)?;
    let signed = api.people.sign_in(&sent.email, &sent.password, &client, (api.clock)()).await?;
    let signed = match signed {
        Ok(signed) => signed,
        Err(user) => {
            let asked = api.people.ask_for_second(&user, &rp_id(&headers)?, (api.clock)()).await?;
            return Ok(Json(json!({ "second_factor": shown::question(&asked) })).into_response());
        }
    };
    end_former(&api, &headers, &client).await?;
    answer(&api, &headers, StatusCode::OK, sent.tokens, &signed).await
}

/// The host for which passkeys are made, which browsers compare with that of the page.
pub(super) fn rp_id(headers: &HeaderMap) -> Result<String, ApiError> {
    this_machine::host(headers).ok_or_else(|| ApiError::invalid("the request names no host"))
}

/// What a browser asks a device that holds a passkey, of whoever it may be.
async fn ask_for_passkey(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Value>, ApiError> {
    let asked = api.people.ask_for_passkey(&rp_id(&headers)?, (api.clock)()).await?;
    Ok(Json(shown::question(&asked)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginByPasskey {
    id: String,
    credential: Value,
    #[serde(default)]
    tokens: TokensIn,
}

async fn login_by_passkey(
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
    Sender(client): Sender,
    Sent(sent): Sent<LoginByPasskey>,
) -> Result<Response, ApiError> {
    refuse_forged(&method, &headers)?;
    let signed = api.people.sign_in_by_passkey(&sent.id, &sent.credential, &client, (api.clock)()).await?;
    end_former(&api, &headers, &client).await?;
    answer(&api, &headers, StatusCode::OK, sent.tokens, &signed).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: Option<String>,
}

async fn refresh(
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
    Sender(client): Sender,
    Sent(sent): Sent<Refresh>,
) -> Result<Response, ApiError> {
    let how = if sent.refresh_token.is_some() { TokensIn::Body } else { TokensIn::Cookie };
    let token = match &sent.refresh_token {
        Some(token) => Some(token.as_str()),
        None if cross_site::may_be_forged(&method, &headers) => return Err(ApiError::CrossSite),
        None => cookies::refresh(&headers),
    };
    let renewed = api.people.refresh(token.unwrap_or_default(), &client, (api.clock)()).await;
    match renewed {
        Ok(signed) => answer(&api, &headers, StatusCode::OK, how, &signed).await,
        Err(refused @ accounts::AccountsError::NotSignedIn { .. }) if how == TokensIn::Cookie => {
            // A browser shall not go on bringing what is void.
            Ok(shown::with_cookies(ApiError::from(refused).into_response(), cookies::drop_all(&headers)))
        }
        Err(refused) => Err(refused.into()),
    }
}

async fn logout(
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
    Sender(client): Sender,
    Sent(sent): Sent<Refresh>,
) -> Result<Response, ApiError> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|sent| sent.to_str().ok()?.strip_prefix("Bearer "));
    // Whoever sends a token of his own ends that one, and not what a browser adds.
    let may_be_forged = cross_site::may_be_forged(&method, &headers);
    let of_cookies = match may_be_forged {
        false => [cookies::access(&headers), cookies::refresh(&headers)],
        true if bearer.is_none() && sent.refresh_token.is_none() => return Err(ApiError::CrossSite),
        true => [None, None],
    };
    let sent = [bearer, sent.refresh_token.as_deref()];
    let tokens: Vec<String> = of_cookies.into_iter().chain(sent).flatten().map(str::to_owned).collect();
    for token in tokens {
        api.people.sign_out(&token, &client, (api.clock)()).await?;
    }
    let cookies = if may_be_forged { vec![] } else { cookies::drop_all(&headers) };
    Ok(shown::with_cookies(StatusCode::NO_CONTENT.into_response(), cookies))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    token: String,
}

/// What an invitation is to, for whoever has it.
async fn look(State(api): State<Arc<Api>>, Sent(Look { token }): Sent<Look>) -> Result<Json<Value>, ApiError> {
    let invited = api.people.look_at_invitation(&token, (api.clock)()).await?;
    Ok(Json(json!({
        "organisation": invited.organisation, "role": invited.role, "email": invited.email,
        "expires_at": invited.expires_at,
    })))
}

/// A page of another origin shall sign nobody in: he would go on as somebody else without knowing.
fn refuse_forged(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    match cross_site::is_forged(method, headers) {
        true => Err(ApiError::CrossSite),
        false => Ok(()),
    }
}

/// Ends the sign-in that a browser had before it gets another.
pub(super) async fn end_former(api: &Api, headers: &HeaderMap, client: &accounts::Client) -> Result<(), ApiError> {
    let former: Vec<String> =
        [cookies::access(headers), cookies::refresh(headers)].into_iter().flatten().map(str::to_owned).collect();
    for token in former {
        api.people.sign_out(&token, client, (api.clock)()).await?;
    }
    Ok(())
}

async fn answer(
    api: &Api,
    headers: &HeaderMap,
    status: StatusCode,
    how: TokensIn,
    signed: &Signed,
) -> Result<Response, ApiError> {
    let (accounts, directory) = (api.people.accounts().await?, api.people.lake().sites().await?);
    Ok(shown::signed(headers, status, how, signed, &accounts, &directory, (api.clock)()))
}
