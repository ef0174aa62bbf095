//! Why a query did not answer, by what its author can do.

use datafusion::error::DataFusionError;
use lake::LakeError;

/// Result of an engine operation.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Why a query did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The SQL is wrong. Change it.
    #[error("{message}")]
    Query {
        /// What is wrong, in words for the author of the SQL.
        message: String,
        /// The line it is on, counted from 1, where it is known.
        line: Option<u64>,
    },

    /// The SQL would change something, or read outside the lake. Only queries are answered.
    #[error("{statement} is not allowed: a query reads, and only the tables of the lake. {hint}")]
    ReadOnly {
        /// What the SQL tried.
        statement: String,
        /// What to do instead.
        hint: &'static str,
    },

    /// The query needs more memory or temporary disk than it may use. Ask for less, or raise the limit.
    #[error("the query needs more than its limit: {message}")]
    Limit {
        /// Which limit.
        message: String,
    },

    /// The lake did not answer.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// The query failed while it ran: a value that cannot be cast, a division by zero, a store that fails.
    #[error("the query failed: {message}")]
    Failed {
        /// What DataFusion says.
        message: String,
    },
}

impl EngineError {
    /// Whether a file of the snapshot was deleted while the query ran: a new snapshot helps.
    pub(crate) fn is_gone(error: &DataFusionError) -> bool {
        match error.find_root() {
            DataFusionError::ObjectStore(inner) => matches!(**inner, object_store::Error::NotFound { .. }),
            DataFusionError::ParquetError(inner) => inner.to_string().contains("NotFound"),
            _ => false,
        }
    }
}

impl From<DataFusionError> for EngineError {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::SQL(parser, _) => {
                let message = parser.to_string();
                let message = message.trim_start_matches("sql parser error: ").to_owned();
                Self::Query { line: line_of(&message), message }
            }
            root @ (DataFusionError::Plan(_)
            | DataFusionError::SchemaError(_, _)
            | DataFusionError::NotImplemented(_)) => Self::Query { message: plain(root), line: span_line(&error) },
            root @ DataFusionError::ResourcesExhausted(_) => Self::Limit { message: plain(root) },
            root => Self::Failed { message: plain(root) },
        }
    }
}

/// The error's own words, without the category that DataFusion puts before them.
fn plain(error: &DataFusionError) -> String {
    let message = error.strip_backtrace();
    for prefix in ["Error during planning: ", "Schema error: ", "Resources exhausted: ", "Execution error: "] {
        if let Some(rest) = message.strip_prefix(prefix) {
            return rest.to_owned();
        }
    }
    message
}

/// The line in a parser's "… at Line: 3, Column: 7".
fn line_of(message: &str) -> Option<u64> {
    let rest = message.rsplit_once("Line: ")?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn span_line(error: &DataFusionError) -> Option<u64> {
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => diagnostic.span.map(|span| span.start.line),
        DataFusionError::Context(_, inner) => span_line(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(span_line),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_error_names_its_line() {
        assert_eq!(line_of("Expected: an expression, found: FROM at Line: 12, Column: 7"), Some(12));
        assert_eq!(line_of("Unexpected end of statement"), None);
    }
}
