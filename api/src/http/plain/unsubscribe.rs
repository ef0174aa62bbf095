//! `/unsubscribe`: ends the mails of whoever has their link, without signing in. To look changes nothing, because programs
//! that check mails follow their links; a button does, of the page or of the mail program (RFC 8058).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use lake::SavedKind;

use super::page::note;
use crate::http::caller::client::Sender;
use crate::http::error::ApiError;
use crate::http::query_string::QueryString;
use crate::http::state::Api;
use crate::mail::subscription::Subscription;
use crate::words::{Language, Word};

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new().route("/unsubscribe", get(ask).post(end))
}

async fn ask(State(api): State<Arc<Api>>, query: QueryString, headers: HeaderMap) -> Result<Response, ApiError> {
    let Some(found) = find(&api, query).await? else { return Ok(gone(&headers)) };
    let language = found.language;
    // The address of the form is that of the page, with its token.
    let button = format!(
        r#"<form method="post"><button class="button primary" type="submit">{}</button></form>"#,
        language.say(Word::Unsubscribe)
    );
    let sentence = format!("{}: {}", found.site, language.say(Word::UnsubscribeQuestion));
    Ok(note(StatusCode::OK, language, &sentence, &button))
}

async fn end(
    State(api): State<Arc<Api>>,
    query: QueryString,
    headers: HeaderMap,
    Sender(client): Sender,
) -> Result<Response, ApiError> {
    let Some(found) = find(&api, query).await? else { return Ok(gone(&headers)) };
    let ended = api.people.lake().change_saved(&found.site, SavedKind::EmailReports, |items| {
        items.retain(|item| item.id != found.id);
        Ok::<_, ApiError>(())
    });
    ended.await?;
    let organisation = api.people.lake().sites().await?.site(&found.site).and_then(|site| site.organisation.clone());
    api.people.note_unsubscribed(organisation.as_deref(), &found.id, &client, (api.clock)()).await;
    Ok(note(StatusCode::OK, found.language, found.language.say(Word::Unsubscribed), ""))
}

/// The report whose link this is. One that is not there and a token that is wrong are the same.
async fn find(api: &Api, query: QueryString) -> Result<Option<Subscription>, ApiError> {
    let [site, report, token] = query.read(["site", "report", "token"]).map_err(ApiError::invalid)?;
    let (Some(site), Some(report), Some(token)) = (site, report, token) else { return Ok(None) };
    let items = api.people.lake().saved(&site, SavedKind::EmailReports).await?;
    let found = items.iter().filter_map(Subscription::of).find(|one| one.id == report);
    Ok(found.filter(|one| one.has_secret(&token)))
}

fn gone(headers: &HeaderMap) -> Response {
    let language = language(headers);
    note(StatusCode::NOT_FOUND, language, language.say(Word::LinkIsGone), "")
}

fn language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|accepted| accepted.to_str().ok());
    Language::accepted(accepted.unwrap_or_default())
}
