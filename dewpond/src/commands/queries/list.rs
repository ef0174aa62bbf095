//! `dewpond queries list`.

use analytics::{MetricScope, QueryFile};
use engine::text_table;

use super::Dir;

pub(super) fn run(dir: &Dir) -> anyhow::Result<()> {
    print!("{}", render(&dir.read()?));
    Ok(())
}

fn render(queries: &[QueryFile]) -> String {
    let rows: Vec<Vec<String>> = queries.iter().map(row).collect();
    text_table::render(&["query", "title", "unit", "scope", "schedule", "alert"], &rows)
}

fn row(query: &QueryFile) -> Vec<String> {
    let header = &query.header;
    let title = match &query.sql {
        Ok(_) => header.title.clone().unwrap_or_default(),
        Err(reason) => format!("cannot be read: {reason}"),
    };
    let scope = match header.scope {
        MetricScope::Lake => "lake",
        MetricScope::Site => "site",
        MetricScope::Both => "both",
    };
    vec![
        query.name.clone(),
        title,
        header.unit.clone().unwrap_or_default(),
        scope.to_owned(),
        header.schedule.as_ref().map_or_else(|| "every run".to_owned(), ToString::to_string),
        header.alert.as_ref().map(ToString::to_string).unwrap_or_default(),
    ]
}
