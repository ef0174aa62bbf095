//! `dewpond queries check`: what is wrong with each query, before a report says so.

use std::path::Path;

use analytics::{Alert, Header, read_sql};
use anyhow::bail;
use chrono::{DateTime, Utc};
use engine::{Engine, EngineError, EngineSettings, Scope, View, params};
use lake::Lake;

use super::Dir;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    dir: Dir,

    /// Plan the queries on this lake; on an empty one in memory if not given.
    #[arg(long = "lake", env = "DEWPOND_LAKE", value_name = "URL")]
    lake: Option<String>,
}

/// A fault of a query, at a place in its file.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: Option<u64>,
    column: Option<u64>,
    reason: String,
}

pub(super) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lake = match &flags.lake {
        Some(location) => Lake::open(location, std::env::vars())?,
        None => Lake::open("memory:///", [])?,
    };
    let view = Engine::new(lake, &EngineSettings::default())?.view().await?;
    let queries = flags.dir.read()?;
    let mut failed = 0;
    for query in &queries {
        let faults = examine(&query.path, &view, Utc::now()).await;
        failed += usize::from(!faults.is_empty());
        for fault in faults {
            println!("{}", describe(&query.path, &fault));
        }
    }
    match (failed, queries.len()) {
        (_, 0) => bail!("there are no .sql files in {}", flags.dir.queries.display()),
        (0, all) => println!("{all} queries are good"),
        (failed, all) => bail!("{failed} of {all} queries would fail"),
    }
    Ok(())
}

/// `file:line:column: reason`, as editors find it.
fn describe(path: &Path, fault: &Fault) -> String {
    let place: String = [fault.line, fault.column].into_iter().flatten().map(|number| format!("{number}:")).collect();
    format!("{}:{place} {}", path.display(), fault.reason)
}

/// What is wrong with a file. The first fault of its header, or else of its query.
async fn examine(path: &Path, view: &View, now: DateTime<Utc>) -> Vec<Fault> {
    let sql = match read_sql(path) {
        Ok(sql) => sql,
        Err(error) => return vec![Fault { line: None, column: None, reason: format!("{error:#}") }],
    };
    let header = match Header::parse(&sql) {
        Ok(header) => header,
        Err(error) => {
            return vec![Fault { line: Some(error.line), column: Some(error.column), reason: error.to_string() }];
        }
    };
    match columns_of(&sql, &header, view, now).await {
        Err(EngineError::Query { message, line, column }) => vec![Fault { line, column, reason: message }],
        Err(error) => vec![Fault { line: None, column: None, reason: engine::whole_text(&error) }],
        Ok(columns) => {
            let fault = header.alert.as_ref().and_then(|alert| fault_of_alert(alert, &columns));
            let line = || sql.lines().position(|line| line.contains("alert:")).map(|at| at as u64 + 1);
            fault.map(|reason| Fault { line: line(), column: None, reason }).into_iter().collect()
        }
    }
}

/// Plans a query, and names its columns.
async fn columns_of(sql: &str, header: &Header, view: &View, now: DateTime<Utc>) -> Result<Vec<String>, EngineError> {
    let mut params = params::of_period(now, Some("site"), "UTC");
    header.complete(&mut params);
    let rows = view.session(&Scope::Lake)?.plan(sql, &params).await?;
    let columns = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    rows.create_physical_plan().await?;
    Ok(columns)
}

fn fault_of_alert(alert: &Alert, columns: &[String]) -> Option<String> {
    match (alert.column.as_str(), columns) {
        (name, columns) if columns.iter().any(|column| column == name) => None,
        ("value", [_]) => None,
        ("value", columns) => Some(format!(
            "alert: value is the number of an answer of one column, and this has {}: name one of {}",
            columns.len(),
            columns.join(", ")
        )),
        (name, columns) => {
            Some(format!("alert: the answer has no column {name:?}: name one of {}", columns.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_good_query_has_no_fault() {
        check("-- Events.\nSELECT count(*) AS n FROM events WHERE occurred_at < $until AND site_id = $site", &[]).await;
        check("-- param: days = 7\n-- alert: value < 1\nSELECT $days AS n", &[]).await;
        check("-- alert: n < 1\nSELECT 1 AS n, 2 AS m", &[]).await;
    }

    #[tokio::test]
    async fn a_fault_has_its_line_and_column_and_what_to_write() {
        check("SELECT count(*)\nFROM events\nWHERE site_i = 'a'", &["q.sql:3:7:", "site_id"]).await;
        check("SELECT 1\nFORM events x", &["q.sql:2:"]).await;
        check("SELECT count(*) FROM event", &["event"]).await;
        check("-- Events.\n-- schedule: 0 * * * *\nSELECT 1", &["q.sql:2:4:", "put a 0 in front"]).await;
        check("SELECT $days AS n", &["$days", "--param days=VALUE"]).await;
        check("DROP TABLE events", &["DropTable is not allowed"]).await;
        check("", &["no query in it"]).await;
        check("-- alert: value < 1\nSELECT 1 AS n, 2 AS m", &["q.sql:1:", "name one of n, m"]).await;
        check("-- alert: k < 1\nSELECT 1 AS n", &["q.sql:1:", "no column \"k\""]).await;
        check("SELECT name + 1 FROM events", &["q.sql:"]).await;
    }

    async fn check(sql: &str, parts: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.sql");
        std::fs::write(&path, sql).unwrap();
        let engine = Engine::new(Lake::open("memory:///", []).unwrap(), &EngineSettings::default()).unwrap();
        let faults = examine(&path, &engine.view().await.unwrap(), DateTime::UNIX_EPOCH).await;
        let said = faults.iter().map(|fault| describe(&path, fault)).collect::<Vec<_>>().join("\n");
        assert_eq!(faults.is_empty(), parts.is_empty(), "{sql}: {said}");
        for part in parts {
            assert!(said.contains(part), "{sql}: {said}");
        }
    }
}
