//! The names of a table's columns, as CSV and Parquet files have them. Pure.

/// The names of the columns of a file, as fields of an event.
#[derive(Debug)]
pub(in crate::commands::import) struct Names {
    names: Vec<String>,
    are_exported: bool,
}

impl Names {
    /// Some databases write all names in capitals. A file with a `NAME` and without a `name` is one of theirs.
    pub(in crate::commands::import) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut names: Vec<String> = names.map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        let is_named = |names: &[String]| names.iter().any(|name| name == "name");
        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        if !is_named(&names) && is_named(&lower) {
            names = lower;
        }
        let are_exported = names.iter().any(|name| name == "occurred_at");
        Self { names, are_exported }
    }

    pub(in crate::commands::import) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether they are of an export of `events`.
    pub(in crate::commands::import) fn are_exported(&self) -> bool {
        self.are_exported
    }
}

/// Whether a column has the numbers of the rows, which pandas writes unless it is told not to.
pub(in crate::commands::import) fn is_row_number(name: &str) -> bool {
    name.is_empty() || name.starts_with("__index_level_")
}
