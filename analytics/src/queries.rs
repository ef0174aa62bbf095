//! The metrics: one `.sql` file each. They are read anew at every run, so a new file is a new metric.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// One metric as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryFile {
    /// The metric's name: the file's, without `.sql`.
    pub name: String,
    /// What is counted: the first sentence of the comment at the top, if there is one.
    pub title: Option<String>,
    /// The query.
    pub sql: String,
    /// The file.
    pub path: PathBuf,
}

/// Reads the metrics in a directory, by name. Other files and subdirectories are left alone.
///
/// Fails if the directory or one of its files cannot be read: a report must not lose a metric in silence.
pub fn read_queries(dir: &Path) -> anyhow::Result<Vec<QueryFile>> {
    let entries = std::fs::read_dir(dir).with_context(|| {
        format!("could not read {}: give the directory of the .sql files with --queries", dir.display())
    })?;
    let mut queries = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("could not read {}", dir.display()))?.path();
        if path.extension().is_none_or(|extension| extension != "sql") || path.is_dir() {
            continue;
        }
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if name.starts_with('.') {
            // An editor's temporary file.
            continue;
        }
        let sql = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        queries.push(QueryFile { name: name.to_owned(), title: title(&sql), sql, path });
    }
    queries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(queries)
}

/// The first sentence of the leading `--` comment.
fn title(sql: &str) -> Option<String> {
    let comment: Vec<&str> = sql
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty())
        .map_while(|line| line.strip_prefix("--"))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let comment = comment.join(" ");
    let sentence = comment.split_once(". ").map_or(comment.as_str(), |(first, _)| first);
    let sentence = sentence.trim_end_matches('.').trim();
    (!sentence.is_empty()).then(|| sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_the_first_sentence_of_the_first_comment() {
        check("-- Events.\n-- All of them.\nSELECT 1", Some("Events"));
        check("\n-- Sessions per day,\n-- over 30 days. More.\n\nSELECT 1", Some("Sessions per day, over 30 days"));
        check("-- Events\n--\n-- Details.\nSELECT 1", Some("Events"));
        check("SELECT 1 -- no title", None);
        check("--\nSELECT 1", None);
    }

    #[test]
    fn only_sql_files_are_metrics() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.sql", "a.sql", "README.md", ".a.sql", "a.sql~"] {
            std::fs::write(dir.path().join(name), "SELECT 1").unwrap();
        }
        let names: Vec<String> = read_queries(dir.path()).unwrap().into_iter().map(|query| query.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = read_queries(Path::new("/no/such/queries")).unwrap_err();
        assert!(error.to_string().contains("/no/such/queries"), "{error}");
    }

    #[track_caller]
    fn check(sql: &str, expected: Option<&str>) {
        assert_eq!(title(sql).as_deref(), expected);
    }
}
