//! The metrics: one `.sql` file each. They are read anew at every run, so a new file is a new metric.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::header::Header;

/// A query is a page of text; a larger file is something else under a wrong name.
const SQL_BYTES_MAX: u64 = 1 << 20;

/// One metric as its author wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryFile {
    /// The metric's name: the file's, without `.sql`.
    pub name: String,
    /// What the comment at its top says of it.
    pub header: Header,
    /// The query, or why there is none, in words for its author.
    pub sql: Result<String, String>,
    /// The file.
    pub path: PathBuf,
}

/// Reads the metrics in a directory, by name. Other files and subdirectories are left alone. A file that cannot be read is
/// a metric without a query: a report must not lose one in silence, nor the others because of it.
///
/// Fails if the directory cannot be read.
pub fn read_queries(dir: &Path) -> anyhow::Result<Vec<QueryFile>> {
    let entries = fs::read_dir(dir).with_context(|| {
        format!("could not read {}: give the directory of the .sql files with --queries", dir.display())
    })?;
    let mut queries = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("could not read {}", dir.display()))?.path();
        if path.extension().is_none_or(|extension| extension != "sql") || path.is_dir() {
            continue;
        }
        let Some(name) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        if name.starts_with('.') {
            // An editor's temporary file.
            continue;
        }
        let mut sql = read_sql(&path).map_err(|error| format!("{error:#}"));
        if sql.is_err() && fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            // It was deleted since it was listed.
            continue;
        }
        let header = match sql.as_deref().map(Header::parse) {
            Ok(Ok(header)) => header,
            Ok(Err(error)) => {
                sql = Err(format!("line {}: {error}", error.line));
                Header::default()
            }
            Err(_) => Header::default(),
        };
        queries.push(QueryFile { name, header, sql, path });
    }
    queries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(queries)
}

/// Reads the text of a query. Fails in words that say what is wrong with the file.
pub fn read_sql(path: &Path) -> anyhow::Result<String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            bail!("the file is a link to one that does not exist")
        }
        Err(error) => return Err(error).context("the file cannot be read"),
    };
    // Reading a pipe might never end.
    if !metadata.is_file() {
        bail!("this is not a file");
    }
    if metadata.len() > SQL_BYTES_MAX {
        bail!("the file is larger than a query can be ({} bytes)", metadata.len());
    }
    text(fs::read(path).context("the file cannot be read")?)
}

fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        bail!("the file is in UTF-16: save it in UTF-8");
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            bail!("a letter in line {line} is not in UTF-8: save the file in UTF-8");
        }
    };
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with("--")) {
        bail!("the file has no query in it");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_file_that_cannot_be_read_is_a_metric_that_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let cases: [(&str, &[u8], Result<&str, &str>); 9] = [
            ("plain", b"SELECT 1", Ok("SELECT 1")),
            ("editor_of_windows", b"\xef\xbb\xbfSELECT 1", Ok("SELECT 1")),
            ("utf8", "-- Caf\u{e9}s.\nSELECT 1".as_bytes(), Ok("-- Caf\u{e9}s.\nSELECT 1")),
            ("latin1", b"-- One.\n-- Caf\xe9s.\nSELECT 1", Err("line 2 is not in UTF-8")),
            ("mistyped", b"-- One.\n-- alrt: value < 1\nSELECT 1", Err("line 2: there is no setting \"alrt\"")),
            ("powershell", b"\xff\xfeS\0E\0", Err("UTF-16")),
            ("touched", b"", Err("no query in it")),
            ("a_comment", b"-- Soon.\n\n", Err("no query in it")),
            ("a_dump", &[b' '; SQL_BYTES_MAX as usize + 1], Err("larger than a query")),
        ];
        for (name, bytes, _) in cases {
            std::fs::write(path(&format!("{name}.sql")), bytes).unwrap();
        }
        std::os::unix::fs::symlink(path("nowhere"), path("dangling.sql")).unwrap();
        std::os::unix::fs::symlink("around.sql", path("around.sql")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(path("socket.sql")).unwrap();

        let others = [
            ("dangling", Err("link to one that does not exist")),
            ("around", Err("cannot be read")),
            ("socket", Err("not a file")),
        ];
        let mut expected: Vec<_> = cases.iter().map(|(name, _, sql)| (*name, *sql)).chain(others).collect();
        expected.sort_unstable_by_key(|(name, _)| *name);
        let read = read_queries(dir.path()).unwrap();
        assert_eq!(read.len(), expected.len());
        for (query, (name, sql)) in read.iter().zip(expected) {
            assert_eq!(query.name, name);
            match (&query.sql, sql) {
                (Ok(read), Ok(sql)) => assert_eq!(read, sql, "{name}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{name}: {reason}"),
                (read, _) => panic!("{name}: {read:?}"),
            }
        }
        drop(socket);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = read_queries(Path::new("/no/such/queries")).unwrap_err();
        assert!(error.to_string().contains("/no/such/queries"), "{error}");
    }
}
