//! `POST /v1/sql`: a query of whoever has a read key, or of the whole lake with the server's token.

mod answering;
pub(crate) mod asked;
mod encoder;
mod format;
pub(super) mod kept;
pub(crate) mod question;
pub(crate) mod shared;
mod turn;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};

use self::answering::{Answering, Beginning, count};
use self::format::Format;
use self::kept::AnswerKey;
use self::question::Question;
use super::caller::reader::Reader;
use super::error::ApiError;
use super::etag::matches_etag;
use super::query_string::QueryString;
use super::state::Api;

/// A query is a page of text.
pub(crate) const SQL_BYTES_MAX: usize = 256 << 10;

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new().route("/v1/sql", post(sql).layer(DefaultBodyLimit::max(SQL_BYTES_MAX)))
}

async fn sql(
    State(api): State<Arc<Api>>,
    Extension(reader): Extension<Reader>,
    query: QueryString,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    answer(&api, &reader, query, &headers, body).await.inspect_err(|_| count("refused"))
}

fn key_of(question: &Question, format: Format) -> AnswerKey {
    AnswerKey::new(&question.asked, &question.params, &question.part, format, question.events)
}

/// The answer that is kept, or that it is what the reader has; nothing if the query has to be asked.
fn kept(api: &Api, question: &Question, format: Format, headers: &HeaderMap) -> Option<Response> {
    let key = key_of(question, format);
    // Nobody was told the tag of an answer that is another one each time.
    if matches_etag(headers, &key.etag()) {
        count("unchanged");
        return Some(with_headers(StatusCode::NOT_MODIFIED.into_response(), format, Some((key, "hit"))));
    }
    let kept = api.sql.kept.get(&key)?;
    count("kept");
    Some(with_headers(Body::from(kept).into_response(), format, Some((key, "hit"))))
}

async fn answer(
    api: &Api,
    reader: &Reader,
    query: QueryString,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let [format, site] = query.read(["format", "site"]).map_err(ApiError::invalid)?;
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge { bytes_max: SQL_BYTES_MAX },
        _ => ApiError::invalid(error.body_text()),
    })?;
    let (asked, format) = asked::read(headers, &body, format, site).map_err(ApiError::invalid)?;

    let at_once = api.turn_at_once(reader);
    let mut question = Question::prepare(api, reader, asked).await?;
    if let Some(kept) = kept(api, &question, format, headers) {
        return Ok(kept);
    }
    let turn = match at_once {
        Some(turn) => turn,
        None => {
            let asked = question.into_asked();
            let turn = api.turn(reader).await?;
            // Files that a view names do not stay for ever, and others may have asked the same meanwhile.
            question = Question::prepare(api, reader, asked).await?;
            if let Some(kept) = kept(api, &question, format, headers) {
                return Ok(kept);
            }
            turn
        }
    };
    let key = key_of(&question, format);
    let names_now = question.names_now;
    let rows = question.put().await?;
    let key = (rows.is_repeatable() && !names_now).then_some(key);
    let mut answering = Answering::start(rows, format, api.sql.settings.bytes_max, turn)?;
    let body = match answering.begin().await? {
        Beginning::Whole(whole) => {
            if let Some(key) = key {
                api.sql.kept.keep(key, whole.clone());
            }
            count("whole");
            Body::from(whole)
        }
        Beginning::Part(beginning) => answering.stream(beginning),
    };
    Ok(with_headers(body.into_response(), format, key.map(|key| (key, "miss"))))
}

/// - `found`: the key of an answer that may be kept, and whether it was.
fn with_headers(mut response: Response, format: Format, found: Option<(AnswerKey, &'static str)>) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept, authorization"));
    // Readers may keep it and must ask whether it still holds: an event may come at any moment.
    let caching = if found.is_some() { "private, no-cache" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Some((key, x_cache)) = found {
        headers.insert("x-cache", HeaderValue::from_static(x_cache));
        headers.insert(header::ETAG, key.etag().parse().expect("a tag is printable ASCII"));
    }
    response
}
