//! `dewpond lake history`: the newest versions of a table.

use engine::text_table;
use lake::{Lake, TableSpec};
use serde_json::json;

pub(super) async fn run(lake: &Lake, spec: &'static TableSpec, limit: usize, as_json: bool) -> anyhow::Result<()> {
    let entries = lake.table(spec).history(limit).await?;
    if as_json {
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "version": entry.version, "operation": entry.operation, "committed_at": entry.committed_at,
                    "files_added": entry.files_added, "files_removed": entry.files_removed,
                    "rows_added": entry.rows_added, "rows_removed": entry.rows_removed, "lanes": entry.lanes,
                })
            })
            .collect();
        println!("{}", json!(entries));
        return Ok(());
    }
    let rows = |rows: Option<u64>| rows.map_or(String::new(), |rows| rows.to_string());
    let table_rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            vec![
                entry.version.to_string(),
                entry.committed_at.map_or(String::new(), |at| at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
                entry.operation.clone().unwrap_or_default(),
                entry.files_added.to_string(),
                entry.files_removed.to_string(),
                rows(entry.rows_added),
                rows(entry.rows_removed),
                entry.lanes.to_string(),
            ]
        })
        .collect();
    let columns = ["version", "committed", "operation", "files added", "removed", "rows added", "removed", "lanes"];
    print!("{}", text_table::render(&columns, &table_rows));
    Ok(())
}
