//! What a state was made of: one file of `events`, or all files of the dates before one.

use std::collections::HashMap;

use chrono::NaiveDate;

use crate::event::EventId;
use crate::table::file::TableFile;

/// What a state was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSource {
    pub(super) name: String,
    pub(super) rows: u64,
}

impl From<&TableFile> for StateSource {
    fn from(file: &TableFile) -> Self {
        Self { name: name_in(&file.log_path).to_owned(), rows: file.rows }
    }
}

/// The name by which a state knows the file of a path in the log.
pub(super) fn name_in(log_path: &str) -> &str {
    log_path.rsplit('/').next().unwrap_or(log_path)
}

/// What the names of states of several files begin with.
const BEFORE: &str = "before-";

impl StateSource {
    /// All files of the dates before `until`.
    ///
    /// - `files`: all files of `events`, by their paths in the log, with the rows of each.
    pub fn before<'a>(files: impl IntoIterator<Item = (&'a str, u64)>, until: NaiveDate) -> Self {
        let mut chosen: Vec<(&str, u64)> =
            files.into_iter().filter(|(path, _)| date_of(path).is_some_and(|date| date < until)).collect();
        chosen.sort_unstable();
        let names: Vec<&[u8]> = chosen.iter().map(|(path, _)| name_in(path).as_bytes()).collect();
        let digits: String = EventId::derived(&names).0.iter().map(|byte| format!("{byte:02x}")).collect();
        let rows = chosen.iter().map(|(_, rows)| rows).sum();
        Self { name: format!("{BEFORE}{until}-{digits}.parquet"), rows }
    }
}

/// The date in a file's path in the log.
fn date_of(log_path: &str) -> Option<NaiveDate> {
    log_path.strip_prefix("date=")?.split('/').next()?.parse().ok()
}

/// What a table has that states may be of.
#[derive(Debug, Default)]
pub(crate) struct LiveSources {
    files: HashMap<String, u64>,
}

impl LiveSources {
    /// - `files`: paths in the log, with the rows of each.
    pub(crate) fn new(files: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self { files: files.into_iter().collect() }
    }

    /// The rows of what the state of a name was made of, if the table has it.
    ///
    /// - `states`: their names.
    pub(crate) fn rows_of<'a>(&self, states: impl IntoIterator<Item = &'a str>) -> HashMap<&'a str, u64> {
        let of_files: HashMap<&str, u64> = self.files.iter().map(|(path, rows)| (name_in(path), *rows)).collect();
        let mut before: HashMap<NaiveDate, StateSource> = HashMap::new();
        let live = states.into_iter().filter_map(|state| {
            let Some(until) = state.strip_prefix(BEFORE).and_then(|rest| rest.get(..10)?.parse().ok()) else {
                return of_files.get(state).map(|rows| (state, *rows));
            };
            let source = before.entry(until).or_insert_with(|| self.before(until));
            (source.name == state).then_some((state, source.rows))
        });
        live.collect()
    }

    fn before(&self, until: NaiveDate) -> StateSource {
        StateSource::before(self.files.iter().map(|(path, rows)| (path.as_str(), *rows)), until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_several_files_is_live_as_long_as_the_table_has_these_and_no_others_of_their_dates() {
        let files =
            [("date=2026-03-01/a.parquet", 1), ("date=2026-03-02/b.parquet", 2), ("date=2026-03-03/c.parquet", 4)];
        let until = "2026-03-03".parse().unwrap();
        let source = StateSource::before(files, until);
        assert_eq!(source.rows, 3);
        let check = |files: &[(&str, u64)], expected: Option<u64>| {
            let live = LiveSources::new(files.iter().map(|(path, rows)| ((*path).to_owned(), *rows)));
            let names = [source.name.as_str(), "a.parquet", "gone.parquet"];
            let rows = live.rows_of(names);
            assert_eq!(rows.get(source.name.as_str()).copied(), expected, "{files:?}");
            assert_eq!((rows.get("a.parquet"), rows.get("gone.parquet")), (Some(&1), None));
        };
        check(&files, Some(3));
        check(&[files[1], files[0]], Some(3));
        check(&[files[0], files[2]], None);
        check(&[&files[..], &[("date=2026-03-01/late.parquet", 1)]].concat(), None);
    }
}
