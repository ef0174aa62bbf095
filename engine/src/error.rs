//! Why a query was not answered, by what its author can do.
//!
//! DataFusion hands errors on in wrappers of its own, of Arrow's and of Parquet's. [`EngineError`] is decided by the
//! types of the whole chain, never by its text.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;
use lake::{LakeError, whole_text};

use crate::advice;

/// Result of an engine operation.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The SQL is wrong, or a value that it computes with: a text that is not a number, a division by zero. Change it.
    #[error("{message}")]
    Query {
        /// What is wrong, in words for the author of the SQL.
        message: String,
        /// The line it is on, counted from 1, where it is known.
        line: Option<u64>,
        /// The column it begins at, counted from 1, where it is known.
        column: Option<u64>,
    },

    /// The SQL would change something, or read outside the lake. Only queries are answered.
    #[error("{statement} is not allowed: a query reads, and only the tables of the lake. {hint}")]
    ReadOnly {
        /// What the SQL tried.
        statement: String,
        /// What to do instead.
        hint: &'static str,
    },

    /// The query needs more memory or temporary disk than it may use. Ask for less, raise the limit, or try again when
    /// fewer queries run.
    #[error(
        "the query needs more memory or temporary disk than queries may use: ask for less, such as fewer days or groups, \
         raise --memory-bytes or --spill-bytes, or try again when fewer queries run. {message}"
    )]
    Limit {
        /// Which limit.
        message: String,
    },

    /// The query ran for longer than it may. Ask for less, or raise the limit.
    #[error(
        "gave up after {}: ask for less, such as fewer days, or raise {flag}", humantime::format_duration(*after)
    )]
    Timeout {
        /// The limit.
        after: Duration,
        /// The flag that raises it.
        flag: &'static str,
    },

    /// The answer has more rows than it may. Ask for fewer, or raise the limit.
    #[error("the answer has more than {rows_max} rows: count or group them, add a LIMIT, or raise {flag}")]
    TooManyRows {
        /// The limit.
        rows_max: u64,
        /// The flag that raises it.
        flag: &'static str,
    },

    /// The temporary disk space could not be used. Try again, or look at the directory.
    #[error("the temporary disk space cannot be used: {message}")]
    Disk {
        /// What the system says.
        message: String,
    },

    /// The lake or a file of it could not be read. [`LakeError`] says what to do.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// A defect of Dewpond or of a library. A person must look.
    #[error("the query failed on a defect: {message}")]
    Defect {
        /// What the library says.
        message: String,
    },
}

impl From<DataFusionError> for EngineError {
    fn from(error: DataFusionError) -> Self {
        let chain = || successors(Some(&error as Link<'_>), |link| next(*link));
        let cause = chain().find_map(cause).unwrap_or_else(|| {
            // Parquet wraps what other libraries say of the bytes that they were to decode.
            match chain().any(|link| link.is::<ParquetError>()) {
                true => Self::Lake(damaged(chain().last().unwrap_or(&error))),
                false => Self::Defect { message: error.strip_backtrace() },
            }
        });
        match (cause, chain().find_map(span_start)) {
            (Self::Query { message, line: None, .. }, Some((line, column))) => {
                Self::Query { message, line: Some(line), column: Some(column) }
            }
            (cause, _) => cause,
        }
    }
}

type Link<'a> = &'a (dyn StdError + 'static);

/// The error that `link` wraps. `std::io` hides the one it was made of.
fn next(link: Link<'_>) -> Option<Link<'_>> {
    match link.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => link.source(),
    }
}

/// What one error of a chain means; `None` if it only wraps the next one, or is not known here.
fn cause(link: Link<'_>) -> Option<EngineError> {
    if let Some(error) = link.downcast_ref::<DataFusionError>() {
        return of_datafusion(error);
    }
    // `source` of an `Arc` passes over the error in it.
    if let Some(error) = link.downcast_ref::<Arc<DataFusionError>>() {
        return of_datafusion(error);
    }
    // A reader that ran out of something says so itself.
    match link.downcast_ref::<EngineError>() {
        Some(EngineError::Limit { message }) => return Some(EngineError::Limit { message: message.clone() }),
        Some(EngineError::Disk { message }) => return Some(EngineError::Disk { message: message.clone() }),
        _ => {}
    }
    if let Some(error) = link.downcast_ref::<LakeError>() {
        return Some(EngineError::Lake(copy(error)));
    }
    if let Some(error) = link.downcast_ref::<object_store::Error>() {
        return Some(EngineError::Lake(of_store(error)));
    }
    if let Some(error) = link.downcast_ref::<ArrowError>() {
        return of_arrow(error);
    }
    if let Some(error) = link.downcast_ref::<ParquetError>() {
        return match error {
            ParquetError::External(inner) if !is_of_decoding(inner.as_ref()) => None,
            error => Some(EngineError::Lake(damaged(error))),
        };
    }
    match link.downcast_ref::<io::Error>() {
        Some(error) if wraps_a_cause(error) => None,
        Some(error) => Some(EngineError::Disk { message: error.to_string() }),
        None => None,
    }
}

/// Whether an error that Parquet wraps came of the bytes it was to decode: decompression reports it as an I/O error, and
/// values as an error of Arrow's. Nothing else is done with rows there.
fn is_of_decoding(error: Link<'_>) -> bool {
    match error.downcast_ref::<ArrowError>() {
        Some(ArrowError::ExternalError(_) | ArrowError::IoError(..)) => false,
        Some(_) => true,
        None => error.downcast_ref::<io::Error>().is_some_and(|error| !wraps_a_cause(error)),
    }
}

/// Whether what an I/O error was made of says more than it does.
fn wraps_a_cause(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    successors(Some(inner as Link<'_>), |link| next(*link))
        .any(|link| cause(link).is_some() || link.is::<ParquetError>())
}

fn of_datafusion(error: &DataFusionError) -> Option<EngineError> {
    Some(match error {
        DataFusionError::SQL(parser, _) => of_parser(parser),
        DataFusionError::Plan(message) | DataFusionError::Execution(message) => query(advice::in_plain_words(message)),
        DataFusionError::NotImplemented(message) => query(advice::unsupported(message)),
        DataFusionError::SchemaError(error, _) => query(match &**error {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let columns: Vec<String> = valid_fields.iter().map(|column| column.name.clone()).collect();
                advice::unknown_column(&field.name, &columns)
            }
            error => advice::in_plain_words(&error.to_string()),
        }),
        DataFusionError::ResourcesExhausted(message) => EngineError::Limit { message: message.clone() },
        DataFusionError::Internal(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::ExecutionJoin(_)
        | DataFusionError::Substrait(_)
        | DataFusionError::Ffi(_) => EngineError::Defect { message: error.strip_backtrace() },
        DataFusionError::ArrowError(..)
        | DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_)
        | DataFusionError::External(_)
        | DataFusionError::Context(..)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::Collection(_)
        | DataFusionError::Shared(_) => return None,
    })
}

fn of_arrow(error: &ArrowError) -> Option<EngineError> {
    Some(match error {
        ArrowError::NotYetImplemented(_)
        | ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::SchemaError(_)
        | ArrowError::ComputeError(_)
        | ArrowError::DivideByZero
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::InvalidArgumentError(_)
        | ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError
        | ArrowError::OffsetOverflowError(_) => query(error.to_string()),
        ArrowError::MemoryError(message) => EngineError::Limit { message: message.clone() },
        // Only files of the lake are Parquet.
        ArrowError::ParquetError(_) => EngineError::Lake(damaged(error)),
        ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::AvroError(_)
        | ArrowError::IpcError(_)
        | ArrowError::CDataInterface(_) => EngineError::Defect { message: error.to_string() },
        ArrowError::ExternalError(_) | ArrowError::IoError(..) => return None,
    })
}

fn of_parser(error: &ParserError) -> EngineError {
    match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
            let (line, column) = (number_after(message, "Line: "), number_after(message, "Column: "));
            // Snowflake's way into JSON.
            let hint = if message.contains("found: :") { "; a property is written properties->>'plan'" } else { "" };
            EngineError::Query { message: format!("{message}{hint}"), line, column }
        }
        ParserError::RecursionLimitExceeded => query("the SQL is nested too deeply"),
    }
}

fn of_store(error: &object_store::Error) -> LakeError {
    match error {
        object_store::Error::NotFound { path, .. } => LakeError::Gone { object: path.clone() },
        error => LakeError::Unavailable { action: "read a file of the query".into(), source: whole_text(error).into() },
    }
}

fn damaged(error: Link<'_>) -> LakeError {
    LakeError::Corrupt { object: "a file of the query".into(), source: whole_text(error).into() }
}

fn query(message: impl Into<String>) -> EngineError {
    EngineError::Query { message: message.into(), line: None, column: None }
}

/// The same error once more. Several readers may share the first, and what it was made of cannot be copied: its words
/// can.
pub(crate) fn copy(error: &LakeError) -> LakeError {
    let source = || error.source().map(whole_text).unwrap_or_default().into();
    match error {
        LakeError::Unavailable { action, .. } => LakeError::Unavailable { action: action.clone(), source: source() },
        LakeError::Invalid { reason } => LakeError::Invalid { reason: reason.clone() },
        LakeError::NotFound { reason } => LakeError::NotFound { reason: reason.clone() },
        LakeError::Unusable { reason } => LakeError::Unusable { reason: reason.clone() },
        LakeError::Corrupt { object, .. } => LakeError::Corrupt { object: object.clone(), source: source() },
        LakeError::Gone { object } => LakeError::Gone { object: object.clone() },
        LakeError::Conflict { table, version } => LakeError::Conflict { table: table.clone(), version: *version },
    }
}

/// The number in a parser's "… at Line: 3, Column: 7".
fn number_after(message: &str, name: &str) -> Option<u64> {
    let rest = message.rsplit_once(name)?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Where in the SQL the fault is, as line and column, if the planner says so.
fn span_start(link: Link<'_>) -> Option<(u64, u64)> {
    let error = link.downcast_ref().or_else(|| link.downcast_ref::<Arc<DataFusionError>>().map(AsRef::as_ref))?;
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => diagnostic.span.map(|span| (span.start.line, span.start.column)),
        DataFusionError::Collection(errors) => {
            errors.iter().find_map(|error| successors(Some(error as Link<'_>), |link| next(*link)).find_map(span_start))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::{Diagnostic, Location, Span};

    use super::*;

    #[test]
    fn a_parser_error_names_its_line_and_column() {
        let message = "Expected: an expression, found: FROM at Line: 12, Column: 7";
        assert_eq!((number_after(message, "Line: "), number_after(message, "Column: ")), (Some(12), Some(7)));
        assert_eq!(number_after("Unexpected end of statement", "Line: "), None);
    }

    fn missing() -> object_store::Error {
        object_store::Error::NotFound { path: "events/a.parquet".into(), source: "404".into() }
    }

    fn slow_down() -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: "SlowDown".into() }
    }

    fn arrow(error: ArrowError) -> DataFusionError {
        DataFusionError::ArrowError(Box::new(error), None)
    }

    fn parquet(error: ParquetError) -> DataFusionError {
        DataFusionError::ParquetError(Box::new(error))
    }

    fn external(error: impl StdError + Send + Sync + 'static) -> DataFusionError {
        DataFusionError::External(Box::new(error))
    }

    type Wrap = fn(DataFusionError) -> DataFusionError;
    type Make = fn() -> DataFusionError;

    /// Each way in which libraries wrap an error on its way up.
    fn wrapped() -> Vec<(&'static str, Wrap)> {
        vec![
            ("bare", |error| error),
            ("context", |error| error.context("while scanning")),
            ("diagnostic", |error| error.with_diagnostic(Diagnostic::new_error("here", None))),
            ("shared", |error| DataFusionError::Shared(Arc::new(error))),
            ("collection", |error| DataFusionError::Collection(vec![error])),
            ("external", external),
            ("arc in external", |error| external(Arc::new(error))),
            ("arrow", |error| arrow(ArrowError::ExternalError(Box::new(error)))),
            ("parquet", |error| parquet(ParquetError::External(Box::new(error)))),
            ("io", |error| DataFusionError::IoError(io::Error::other(error))),
            ("io of arrow", |error| arrow(ArrowError::IoError("spill".into(), io::Error::other(error)))),
            ("several", |error| {
                let error = DataFusionError::Shared(Arc::new(error.context("join")));
                arrow(ArrowError::ExternalError(Box::new(external(error).context("repartition"))))
            }),
        ]
    }

    #[test]
    fn an_error_keeps_its_kind_however_deep_it_is_wrapped() {
        let cases: Vec<(Make, &str)> = vec![
            (|| DataFusionError::Plan("no table t".into()), "query"),
            (|| DataFusionError::Execution("cannot parse".into()), "query"),
            (|| DataFusionError::NotImplemented("that".into()), "query"),
            (|| ParserError::ParserError("Expected: x at Line: 3, Column: 7".into()).into(), "query"),
            (|| ParserError::TokenizerError("Unterminated string".into()).into(), "query"),
            (|| ParserError::RecursionLimitExceeded.into(), "query"),
            (|| arrow(ArrowError::CastError("no number".into())), "query"),
            (|| arrow(ArrowError::ParseError("no time".into())), "query"),
            (|| arrow(ArrowError::DivideByZero), "query"),
            (|| arrow(ArrowError::ArithmeticOverflow("sum".into())), "query"),
            (|| arrow(ArrowError::ComputeError("regex".into())), "query"),
            (|| DataFusionError::ResourcesExhausted("pool".into()), "limit"),
            (|| arrow(ArrowError::MemoryError("buffer".into())), "limit"),
            (|| DataFusionError::IoError(io::ErrorKind::StorageFull.into()), "disk"),
            (|| arrow(ArrowError::IoError("spill".into(), io::ErrorKind::StorageFull.into())), "disk"),
            (|| DataFusionError::IoError(io::Error::other("the spill limit")), "disk"),
            (|| missing().into(), "gone"),
            (|| parquet(missing().into()), "gone"),
            (|| external(missing()), "gone"),
            (|| slow_down().into(), "unavailable"),
            (|| parquet(slow_down().into()), "unavailable"),
            (|| arrow(ArrowError::ExternalError(Box::new(slow_down()))), "unavailable"),
            (|| external(LakeError::Gone { object: "a".into() }), "gone"),
            (|| external(LakeError::Unavailable { action: "list".into(), source: "503".into() }), "unavailable"),
            (|| external(LakeError::Corrupt { object: "a".into(), source: missing().into() }), "corrupt"),
            (|| external(LakeError::Conflict { table: "events".into(), version: 7 }), "conflict"),
            (|| parquet(ParquetError::General("bad magic".into())), "corrupt"),
            (|| parquet(ParquetError::EOF("3 bytes".into())), "corrupt"),
            (|| parquet(ParquetError::External(Box::new(std::fmt::Error))), "corrupt"),
            (|| parquet(ParquetError::External(Box::new(io::Error::other("unknown frame")))), "corrupt"),
            (|| parquet(ArrowError::InvalidArgumentError("no UTF-8".into()).into()), "corrupt"),
            (|| arrow(ArrowError::ParquetError("page".into())), "corrupt"),
            (|| DataFusionError::Internal("invariant".into()), "defect"),
            (|| DataFusionError::Configuration("option".into()), "defect"),
            (|| arrow(ArrowError::IpcError("frame".into())), "defect"),
        ];
        for (make, expected) in cases {
            for (how, wrap) in wrapped() {
                let error = wrap(make());
                let text = error.to_string();
                assert_eq!(kind(&error.into()), expected, "{how}: {text}");
            }
        }
        // Nobody knows this one. In a Parquet error it would be bytes that cannot be decoded.
        assert_eq!(kind(&external(std::fmt::Error).into()), "defect");
    }

    fn kind(error: &EngineError) -> &'static str {
        match error {
            EngineError::Query { .. } => "query",
            EngineError::ReadOnly { .. } => "read only",
            EngineError::Limit { .. } => "limit",
            EngineError::Timeout { .. } => "timeout",
            EngineError::TooManyRows { .. } => "rows",
            EngineError::Disk { .. } => "disk",
            EngineError::Defect { .. } => "defect",
            EngineError::Lake(LakeError::Gone { .. }) => "gone",
            EngineError::Lake(LakeError::Unavailable { .. }) => "unavailable",
            EngineError::Lake(LakeError::Corrupt { .. }) => "corrupt",
            EngineError::Lake(LakeError::Conflict { .. }) => "conflict",
            EngineError::Lake(_) => "another one of the lake",
        }
    }

    #[test]
    fn words_that_another_error_has_decide_nothing() {
        let error = DataFusionError::Execution("NotFound: ResourcesExhausted, Object Store error".into());
        assert_eq!(kind(&error.into()), "query");
    }

    #[test]
    fn a_planners_span_is_the_place_in_the_sql() {
        let start = Location { line: 3, column: 9 };
        let diagnostic = Diagnostic::new_error("no such column", Some(Span { start, end: start }));
        for (how, wrap) in wrapped() {
            let error = wrap(DataFusionError::Plan("no such column".into()).with_diagnostic(diagnostic.clone()));
            match EngineError::from(error) {
                EngineError::Query { message, line: Some(3), column: Some(9) } if message == "no such column" => {}
                other => panic!("{how}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_error_of_the_lake_keeps_its_words() {
        let inner = LakeError::Unavailable { action: "read events/a.parquet".into(), source: slow_down().into() };
        let error = EngineError::from(DataFusionError::Shared(Arc::new(external(inner))));
        assert_eq!(error.to_string(), "the store could not read events/a.parquet");
        let source = StdError::source(&error).unwrap().to_string();
        assert!(source.contains("SlowDown"), "{source}");
    }
}
