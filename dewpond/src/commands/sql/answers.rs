//! What a source answers: rows, tables with their columns, and why there is no answer.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use engine::EngineError;

/// A table and its columns.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// A column, with its type as it is written in SQL.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql_type: String,
    pub(super) is_nullable: bool,
}

/// The rows of an answer.
pub(super) type Rows = (SchemaRef, Vec<RecordBatch>);

/// Why a statement was not answered.
#[derive(Debug)]
pub(super) enum Refusal {
    /// In words for its author, with the line and the column that they are about, each from 1, if they are about one.
    Words(String, Option<(u64, u64)>),
    Other(anyhow::Error),
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let place = match &error {
            EngineError::Query { line: Some(line), column: Some(column), .. } => Some((*line, *column)),
            _ => None,
        };
        Self::Words(lake::whole_text(&error), place)
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl Refusal {
    /// The same as an error, which shows the place in the statement.
    pub(super) fn of(self, sql: &str) -> anyhow::Error {
        let (words, place) = match self {
            Self::Words(words, place) => (words, place),
            Self::Other(error) => return error,
        };
        let line = |(line, column): (u64, u64)| {
            let text = sql.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
            let blank = " ".repeat(usize::try_from(column).ok()?.saturating_sub(1));
            Some(format!("{text}\n{blank}^"))
        };
        match place.and_then(line) {
            Some(line) => anyhow::anyhow!("{words}\n{line}"),
            None => anyhow::anyhow!(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_points_at_its_place() {
        let error = EngineError::Query { message: "there is no column x".into(), line: Some(2), column: Some(8) };
        let shown = Refusal::from(error).of("-- a\nSELECT x").to_string();
        assert_eq!(shown, "there is no column x\nSELECT x\n       ^");
        assert_eq!(Refusal::Words("no".into(), Some((9, 1))).of("SELECT 1").to_string(), "no");
    }
}
