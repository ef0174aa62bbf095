//! `/v1/sites/{site}/email-reports/{id}/…`: how the mails of a report went, and one to try how it looks. The reports
//! themselves are [kept](super::saved) as goals and their like are.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use lake::{Role, SavedKind};
use serde_json::{Value, json};

use super::{shown, sites};
use crate::http::body::{Nothing, Sent};
use crate::http::caller::access::Caller;
use crate::http::caller::client::Sender;
use crate::http::error::ApiError;
use crate::http::state::Api;
use crate::mail::sender::NoTest;
use crate::mail::subscription::Subscription;

/// Mails that are shown, the newest first.
const SHOWN: usize = 12;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/sites/{site}/email-reports/{id}/mails", get(mails))
        .route("/v1/sites/{site}/email-reports/{id}/test", post(test))
}

async fn mails(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((site, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let subscription = find(&api, &caller, &site, &id).await?;
    let lake = api.people.lake();
    let mut shown = vec![];
    for mail in lake.mails_of(&subscription.id).await?.iter().take(SHOWN) {
        let reason = lake.reason_of_mail(&subscription.id, mail).await?;
        shown.push(json!({
            "period": mail.period, "state": mail.state.name(), "at": mail.at, "attempt": mail.attempt, "reason": reason,
        }));
    }
    Ok(shown::list(shown))
}

async fn test(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((site, id)): Path<(String, String)>,
    Sender(client): Sender,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<StatusCode, ApiError> {
    let (found, _) = sites::find(&api, &caller, &site, Role::Editor).await?;
    let (actor, subscription) = (caller.must_act()?, find(&api, &caller, &site, &id).await?);
    let conflict = |reason: String| Err(accounts::AccountsError::Conflict { reason }.into());
    match api.send_test_mail(&subscription).await {
        Ok(()) => {
            let organisation = found.organisation.as_deref();
            api.people.note(&actor, "email-reports.test", organisation, &id, &client, (api.clock)()).await;
            Ok(StatusCode::NO_CONTENT)
        }
        Err(NoTest::NoServer) => conflict("this server sends no mail: --smtp-url says through which server".to_owned()),
        Err(NoTest::NotSent(reason)) => conflict(reason),
        Err(NoTest::TooMany { retry_after_s }) => Err(accounts::AccountsError::TooMany { retry_after_s }.into()),
        Err(NoTest::Figures(error)) => Err(error),
    }
}

async fn find(api: &Api, caller: &Caller, site: &str, id: &str) -> Result<Subscription, ApiError> {
    sites::find(api, caller, site, Role::Editor).await?;
    let items = api.people.lake().saved(site, SavedKind::EmailReports).await?;
    let found = items.iter().filter(|item| item.id == id).find_map(Subscription::of);
    found.ok_or_else(|| ApiError::NotFound(format!("there is no {id} among the e-mail reports of this site")))
}
