//! `dewpond lake stats`: files, rows and bytes of every table, and what is pending.

use std::collections::BTreeSet;

use engine::text_table;
use lake::{IMPORTED_DAYS, Lake, REPORTS};
use serde_json::json;

use crate::sizes;

pub(super) async fn run(lake: &Lake, as_json: bool) -> anyhow::Result<()> {
    let snapshot = lake.snapshot().await?;
    let reports = lake.table(&REPORTS).load().await?;
    let imported_days = lake.table(&IMPORTED_DAYS).load().await?;
    let states = lake.states_size().await?;
    let pending_bytes: u64 = snapshot.pending.iter().map(|file| file.size_bytes).sum();
    let consumed_bytes: u64 = snapshot.consumed.iter().map(|file| file.size_bytes).sum();
    let lanes: BTreeSet<_> = snapshot.pending.iter().chain(&snapshot.consumed).map(|file| file.lane).collect();
    let dates: BTreeSet<_> = snapshot.events.files.iter().filter_map(|file| file.date).collect();
    if as_json {
        println!(
            "{}",
            json!({
                "lake": lake.url().as_str(),
                "events": {
                    "version": snapshot.events.version, "files": snapshot.events.files.len(),
                    "rows": snapshot.events.rows(), "bytes": snapshot.events.size_bytes(),
                    "first_date": dates.first(), "last_date": dates.last(),
                },
                "pending": {"files": snapshot.pending.len(), "bytes": pending_bytes},
                "consumed": {"files": snapshot.consumed.len(), "bytes": consumed_bytes},
                "lanes": lanes.len(),
                "reports": {
                    "version": reports.version, "files": reports.files.len(),
                    "rows": reports.rows(), "bytes": reports.size_bytes(),
                },
                "imported_days": {
                    "version": imported_days.version, "files": imported_days.files.len(),
                    "rows": imported_days.rows(), "bytes": imported_days.size_bytes(),
                },
                "states": {"queries": states.definitions, "files": states.states, "bytes": states.bytes},
            })
        );
        return Ok(());
    }
    let version = |version: Option<u64>| version.map_or("none".to_owned(), |version| version.to_string());
    let row = |name: &str, at: String, files: usize, rows: String, bytes: u64| {
        vec![name.to_owned(), at, files.to_string(), rows, sizes::human_bytes(bytes)]
    };
    println!("{}", lake.url());
    if let (Some(first), Some(last)) = (dates.first(), dates.last()) {
        println!("events from {first} to {last}; {} lanes in the raw tier", lanes.len());
    }
    println!();
    print!(
        "{}",
        text_table::render(
            &["part", "version", "files", "rows", "size"],
            &[
                row(
                    "events",
                    version(snapshot.events.version),
                    snapshot.events.files.len(),
                    snapshot.events.rows().to_string(),
                    snapshot.events.size_bytes()
                ),
                row("raw, pending", String::new(), snapshot.pending.len(), String::new(), pending_bytes),
                row("raw, consumed", String::new(), snapshot.consumed.len(), String::new(), consumed_bytes),
                row(
                    "reports",
                    version(reports.version),
                    reports.files.len(),
                    reports.rows().to_string(),
                    reports.size_bytes()
                ),
                row(
                    "imported days",
                    version(imported_days.version),
                    imported_days.files.len(),
                    imported_days.rows().to_string(),
                    imported_days.size_bytes()
                ),
                row("states", String::new(), states.states, String::new(), states.bytes),
            ]
        )
    );
    Ok(())
}
