//! `/v1/shares/open`: what whoever has a link begins with.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::saved;
use crate::http::body::Sent;
use crate::http::caller::client::Sender;
use crate::http::caller::links;
use crate::http::error::ApiError;
use crate::http::state::Api;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new().route("/v1/shares/open", post(open))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    token: String,
    password: Option<String>,
}

/// What a link leads to, with what reads it. The link itself does, unless it has a password.
async fn open(
    State(api): State<Arc<Api>>,
    Sender(client): Sender,
    Sent(Open { token, password }): Sent<Open>,
) -> Result<Response, ApiError> {
    let now = (api.clock)();
    let hash = accounts::share_hash(&token);
    let shares = api.people.lake().shares().await?;
    let share = shares.iter().find(|share| links::has_token(share, &hash)).filter(|share| links::is_open(share, now));
    let share = share.ok_or_else(|| ApiError::NotFound("there is no such link, or it has ended".to_owned()))?;
    let mut answer = saved::opened(share);
    let Some(kept) = links::password(share) else {
        answer["access_token"] = token.into();
        answer["expires_in"] = links::expires_at(share).map(|end| (end - now).num_seconds()).into();
        return Ok(Json(answer).into_response());
    };
    let refused = |message: &str| {
        let body = json!({ "message": message, "password_needed": true });
        Ok((StatusCode::UNAUTHORIZED, Json(body)).into_response())
    };
    let Some(password) = password else { return refused("send the password of the link, too") };
    match api.people.open_share(&share.id, &password, Some(kept), &client, now).await {
        Ok(tokens) => {
            answer["expires_in"] = (tokens.access_until - now).num_seconds().into();
            answer["access_token"] = tokens.access.into();
            Ok(Json(answer).into_response())
        }
        Err(accounts::AccountsError::NotSignedIn { reason }) => refused(reason),
        Err(error) => Err(error.into()),
    }
}
