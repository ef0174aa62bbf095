//! Answers as people read them.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use engine::QueryResult;

/// The rows of an answer, a line each, their cells divided by spaces.
///
/// - `null`: how a null is shown.
pub(crate) fn lines(answer: &QueryResult, null: &str) -> Vec<String> {
    let options = FormatOptions::default().with_null(null);
    let mut lines = Vec::new();
    for batch in &answer.batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "));
        }
    }
    lines
}
