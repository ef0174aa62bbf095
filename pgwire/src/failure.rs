//! Why a statement was not answered, as clients are told: with a code of PostgreSQL's, and where in the statement it is.

use engine::EngineError;
use lake::{LakeError, whole_text};

use crate::messages::Report;

/// Why a statement was not answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client is told, and the session goes on.
    Told(Report),
    /// The client is told, and the session ends.
    Fatal(Report),
    /// Nobody is there to be told.
    Gone,
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::Told(report)
    }
}

/// A report with a code and a message.
pub(crate) fn report(code: &'static str, message: impl Into<String>) -> Report {
    Report { code, message: message.into(), hint: None, position: None }
}

/// A report that also says what to do.
pub(crate) fn advice(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Report {
    Report { hint: Some(hint.into()), ..report(code, message) }
}

/// That the client wanted the statement to end.
pub(crate) fn cancelled() -> Report {
    report("57014", "the query was cancelled at the user's request")
}

/// What the engine says.
///
/// - `sql`: the statement, if the places in it that the engine names are those in the client's text, and how many characters
///   of that text stand before it.
pub(crate) fn of_engine(error: &EngineError, sql: Option<(&str, usize)>) -> Report {
    match error {
        EngineError::Query { message, line, column } => {
            let place = sql.and_then(|(sql, before)| Some(before + position(sql, (*line)?, (*column)?)?));
            let (message, hint) = apart(message);
            Report { code: code_of(message), message: message.to_owned(), hint, position: place }
        }
        EngineError::ReadOnly { statement, hint } => advice(
            "25006",
            format!("{statement} is not allowed: a query reads, and only the tables of the lake"),
            *hint,
        ),
        EngineError::Limit { .. } => advice(
            "53200",
            "the query needs more memory or temporary disk than queries may use",
            "Ask for less, such as fewer days or groups, or try again when fewer queries run.",
        ),
        EngineError::Timeout { after, .. } => advice(
            "57014",
            format!("the query took longer than {} seconds", after.as_secs_f64()),
            "Ask for less, such as fewer days.",
        ),
        EngineError::TooManyRows { rows_max, .. } => {
            advice("54000", format!("the answer has more than {rows_max} rows"), "Count or group them, or add a LIMIT.")
        }
        EngineError::Lake(LakeError::Unavailable { .. } | LakeError::Gone { .. }) => {
            tracing::warn!(error = whole_text(error), "a query could not read the lake");
            advice("58030", "the lake cannot be read at the moment", "Try again.")
        }
        EngineError::Disk { .. } | EngineError::Lake(_) | EngineError::Defect { .. } => {
            tracing::error!(error = whole_text(error), "a query failed");
            report("XX000", "the query failed; the server's log says why")
        }
    }
}

/// What is wrong, and what to write, which the engine says in one sentence.
fn apart(message: &str) -> (&str, Option<String>) {
    for mark in [": write ", ": did you mean ", ": cast "] {
        if let Some((what, _)) = message.split_once(mark) {
            let hint = &message[what.len() + 2..];
            let mut letters = hint.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            return (what, Some(format!("{first}{}", letters.as_str())));
        }
    }
    (message, None)
}

/// The code that fits what the engine says. Clients show it; some look for the first ones.
fn code_of(message: &str) -> &'static str {
    let codes = [
        ("there is no column", "42703"),
        ("there is no table", "42P01"),
        ("there is no function", "42883"),
        ("there is no value for", "42P02"),
        ("there is no", "42883"),
        ("ivide by zero", "22012"),
        ("verflow", "22003"),
        ("ambiguous", "42702"),
        ("must appear in the GROUP BY", "42803"),
        ("not supported", "0A000"),
        ("not understood", "0A000"),
        ("Cannot cast string", "22P02"),
        ("is none", "22P02"),
        ("nested too deeply", "54001"),
    ];
    let code = codes.iter().find(|(mark, _)| message.contains(mark));
    code.map_or("42601", |(_, code)| code)
}

/// The character of a text at a line and a column, all counted from 1.
fn position(text: &str, line: u64, column: u64) -> Option<usize> {
    let lines_before = text.split('\n').take(usize::try_from(line).ok()?.checked_sub(1)?);
    let before: usize = lines_before.map(|line| line.chars().count() + 1).sum();
    Some(before + usize::try_from(column).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(message: &str, line: u64, column: u64) -> EngineError {
        EngineError::Query { message: message.into(), line: Some(line), column: Some(column) }
    }

    #[test]
    fn an_error_has_a_code_a_place_and_a_hint() {
        let error = query("there is no column visiter: did you mean visitor?", 2, 7);
        let expected = Report {
            code: "42703",
            message: "there is no column visiter".into(),
            hint: Some("Did you mean visitor?".into()),
            position: Some(16),
        };
        assert_eq!(of_engine(&error, Some(("SELECT ä\nWHERE visiter", 0))), expected.clone());
        assert_eq!(of_engine(&error, Some(("SELECT ä\nWHERE visiter", 5))).position, Some(21));
        assert_eq!(of_engine(&error, None), Report { position: None, ..expected });
    }

    #[test]
    fn what_is_wrong_with_the_server_is_for_its_log() {
        let defect = EngineError::Defect { message: "a path /of/this/machine".into() };
        let told = of_engine(&defect, None);
        assert_eq!((told.code, told.message.contains("/of/this")), ("XX000", false));
    }
}
