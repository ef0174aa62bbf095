//! Why a request was not answered, and the one place where that becomes a status code.

use std::sync::Arc;

use accounts::AccountsError;
use analytics::HistoryError;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{EngineError, whole_text};
use lake::LakeError;
use serde_json::{Value, json};

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The request is wrong. Holds the `message` of the answer: words, or a list of them.
    Invalid(Value),
    /// The request does not carry the server's token.
    WithoutToken,
    /// The request carries neither a read key nor the server's token.
    WithoutKey,
    /// The request brings nothing but what a browser adds for any page, and no page of this server had it sent.
    CrossSite,
    /// Whoever asks is known and may not.
    MayNot(String),
    /// What was to be done to a person, an organisation or a sign-in was not.
    People(AccountsError),
    /// Somebody was faster. Holds what he left.
    Faster { current: Value },
    /// The request's body is too large.
    TooLarge {
        /// What it may have.
        bytes_max: usize,
    },
    /// As many queries run as may.
    Busy,
    /// A query that the sender wrote was not answered.
    Query(EngineError),
    /// There is no such thing.
    NotFound(String),
    /// There is nothing to show yet.
    NotYet(String),
    /// The lake was not read.
    Unread {
        /// What was to be read: "the events".
        what: &'static str,
        /// Why.
        error: Arc<EngineError>,
    },
}

impl ApiError {
    /// The request is wrong, in words for its author.
    pub(crate) fn invalid(message: impl Into<Value>) -> Self {
        Self::Invalid(message.into())
    }

    /// Turns an error of the engine into one of this API.
    pub(crate) fn unread<E: Into<Arc<EngineError>>>(what: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Unread { what, error: error.into() }
    }
}

/// Sorts an error of the history of reports.
pub(super) fn of_history(error: HistoryError) -> EngineError {
    match error {
        HistoryError::Lake(error) => EngineError::Lake(error),
        HistoryError::Shape(error) => EngineError::Defect { message: error.to_string() },
    }
}

/// The one place where an outcome becomes a status code: 400 asks for another request, 404 names what is not there, 503
/// asks to try again, 504 for less, and 500 needs a person.
fn status(error: &ApiError) -> StatusCode {
    match error {
        ApiError::Invalid(_) => StatusCode::BAD_REQUEST,
        ApiError::WithoutToken => StatusCode::UNAUTHORIZED,
        ApiError::NotFound(_) => StatusCode::NOT_FOUND,
        ApiError::NotYet(_) => StatusCode::SERVICE_UNAVAILABLE,
        ApiError::WithoutKey => StatusCode::UNAUTHORIZED,
        ApiError::CrossSite | ApiError::MayNot(_) => StatusCode::FORBIDDEN,
        ApiError::Faster { .. } => StatusCode::CONFLICT,
        ApiError::People(error) => match error {
            AccountsError::Invalid { .. } => StatusCode::BAD_REQUEST,
            AccountsError::NotSignedIn { .. } => StatusCode::UNAUTHORIZED,
            AccountsError::MayNot { .. } => StatusCode::FORBIDDEN,
            AccountsError::NotFound { .. } => StatusCode::NOT_FOUND,
            AccountsError::Conflict { .. } => StatusCode::CONFLICT,
            AccountsError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            AccountsError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            AccountsError::Lake(error) => status_of_lake(error),
        },
        ApiError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ApiError::Unread { error, .. } => status_of_engine(error),
        ApiError::Query(error) => status_of_engine(error),
    }
}

fn status_of_engine(error: &EngineError) -> StatusCode {
    match error {
        EngineError::Query { .. } | EngineError::ReadOnly { .. } | EngineError::TooManyRows { .. } => {
            StatusCode::BAD_REQUEST
        }
        EngineError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        EngineError::Limit { .. } | EngineError::Disk { .. } => StatusCode::SERVICE_UNAVAILABLE,
        EngineError::Defect { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        EngineError::Lake(error) => status_of_lake(error),
    }
}

fn status_of_lake(error: &LakeError) -> StatusCode {
    match error {
        LakeError::Unavailable { .. } | LakeError::Gone { .. } | LakeError::Conflict { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        LakeError::Invalid { .. } => StatusCode::BAD_REQUEST,
        LakeError::NotFound { .. } => StatusCode::NOT_FOUND,
        LakeError::Unusable { .. } | LakeError::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        Self::People(error)
    }
}

/// An error of the lake in a change of what is kept there.
impl From<LakeError> for ApiError {
    fn from(error: LakeError) -> Self {
        Self::People(error.into())
    }
}

impl ApiError {
    /// The status of its answer.
    pub(crate) fn status(&self) -> StatusCode {
        status(self)
    }

    /// What the sender hears. The server's own troubles are for its log.
    pub(crate) fn words(&self) -> Value {
        match self {
            Self::Invalid(message) => json!({ "message": message }),
            Self::WithoutToken => json!({ "message": "send the server's token as \"Authorization: Bearer TOKEN\"" }),
            Self::WithoutKey => json!({
                "message": "send a read key, or the server's token, as \"Authorization: Bearer KEY\"",
                "hint": "`dewpond key add --site SITE` issues one",
            }),
            Self::CrossSite => json!({
                "message": "a page of another origin may not have this sent",
                "hint": "programs send a token as \"Authorization: Bearer TOKEN\" instead of cookies",
            }),
            Self::MayNot(message) => json!({ "message": message }),
            Self::Faster { current } => json!({
                "message": "somebody changed it meanwhile: look at what is there now, and change that",
                "current": current,
            }),
            Self::People(AccountsError::Lake(error)) => {
                let status = status(self);
                if status.is_server_error() {
                    tracing::error!("could not read or write accounts: {}", whole_text(error));
                }
                match status {
                    StatusCode::SERVICE_UNAVAILABLE => json!({ "message": "the store is away: try again" }),
                    _ => json!({ "message": "accounts cannot be read; the server's log says why" }),
                }
            }
            Self::People(error) => json!({ "message": error.to_string() }),
            Self::TooLarge { bytes_max } => json!({ "message": format!("a body has at most {bytes_max} bytes") }),
            Self::Busy => json!({ "message": "as many queries run as may: try again" }),
            Self::NotFound(message) | Self::NotYet(message) => json!({ "message": message }),
            Self::Unread { what, error } => unread(status(self), what, error),
            Self::Query(error) => match error {
                EngineError::ReadOnly { hint, .. } => json!({ "message": error.to_string(), "hint": hint }),
                EngineError::Timeout { .. } | EngineError::Limit { .. } => json!({ "message": error.to_string() }),
                error => unread(status(self), "the tables of the query", error),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, words) = (status(&self), Json(self.words()));
        match self {
            Self::Busy | Self::People(AccountsError::Busy) => {
                (status, [(header::RETRY_AFTER, "1")], words).into_response()
            }
            Self::People(AccountsError::TooMany { retry_after_s }) => {
                (status, [(header::RETRY_AFTER, retry_after_s.to_string())], words).into_response()
            }
            _ => (status, words).into_response(),
        }
    }
}

/// What the sender hears of an error of the engine.
fn unread(status: StatusCode, what: &str, error: &EngineError) -> Value {
    if status.is_server_error() {
        tracing::error!("could not read {what}: {}", whole_text(error));
    }
    match (status, error) {
        // The tables are there, and what is said of the disk names a directory of the server.
        (_, EngineError::Disk { .. }) => {
            json!({ "message": "there is no room for this on the server's temporary disk: ask for less, or try again" })
        }
        (StatusCode::SERVICE_UNAVAILABLE, _) => json!({ "message": format!("{what} cannot be read now; try again") }),
        (StatusCode::GATEWAY_TIMEOUT, _) => {
            json!({ "message": format!("{what} were not read in time; ask for a shorter period") })
        }
        (_, EngineError::Query { message, line, column }) => {
            json!({ "message": message, "line": line, "column": column })
        }
        (status, _) if status.is_server_error() => {
            json!({ "message": format!("{what} cannot be read; the server's log says why") })
        }
        (_, error) => json!({ "message": error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_status_says_what_the_sender_can_do() {
        let query = || EngineError::Query { message: "no table t".into(), line: Some(3), column: Some(7) };
        let read_only = || EngineError::ReadOnly { statement: "DROP".into(), hint: "" };
        check(400, query());
        check(400, read_only());
        check(503, EngineError::Limit { message: "pool".into() });
        check(504, EngineError::Timeout { after: Duration::from_secs(1), flag: "--query-timeout" });
        check(400, EngineError::TooManyRows { rows_max: 1, flag: "--query-rows-max" });
        check(503, EngineError::Disk { message: "full".into() });
        check(500, EngineError::Defect { message: "invariant".into() });
        let source = || "cause".into();
        check(503, LakeError::Unavailable { action: "read".into(), source: source() }.into());
        check(503, LakeError::Gone { object: "a".into() }.into());
        check(503, LakeError::Conflict { table: "events".into(), version: 1 }.into());
        check(500, LakeError::Corrupt { object: "a".into(), source: source() }.into());
        check(400, LakeError::Invalid { reason: "the name is no site's".into() }.into());
        check(404, LakeError::NotFound { reason: "there is no version 9".into() }.into());
        check(500, LakeError::Unusable { reason: "the log was lost".into() }.into());
    }

    #[track_caller]
    fn check(expected: u16, error: EngineError) {
        let text = error.to_string();
        let error = ApiError::unread("the events")(error);
        assert_eq!(error.into_response().status().as_u16(), expected, "{text}");
    }

    #[test]
    fn the_author_of_a_query_hears_where_it_is_wrong_and_nobody_hears_of_the_servers_files() {
        let query = EngineError::Query { message: "no table t".into(), line: Some(3), column: Some(7) };
        let body = unread(StatusCode::BAD_REQUEST, "the events", &query);
        assert_eq!(body, json!({ "message": "no table t", "line": 3, "column": 7 }));
        let lost = EngineError::Lake(LakeError::Corrupt { object: "secret/place".into(), source: "cut".into() });
        let body = unread(StatusCode::INTERNAL_SERVER_ERROR, "the events", &lost).to_string();
        assert!(!body.contains("secret"), "{body}");
        let full = EngineError::Disk { message: "secret/place: no space left".into() };
        let body = unread(StatusCode::SERVICE_UNAVAILABLE, "the events", &full).to_string();
        assert!(body.contains("temporary disk") && !body.contains("events") && !body.contains("secret"), "{body}");
    }
}
