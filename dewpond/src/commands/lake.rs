//! `dewpond lake`: what the lake holds, the history of its tables, and whether it is sound.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use chrono::Utc;
use clap::Subcommand;
use lake::{Amount, CheckSettings, Checked, EVENTS, Finding, Lake, REPORTS, Severity, TableSpec};
use serde_json::json;

use super::erase;
use crate::lake_flags::LakeFlags;
use crate::table;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show files, rows and bytes of every table, and what is pending.
    Stats {
        #[command(flatten)]
        lake: LakeFlags,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Erase a person: remove their events from the lake, and leave out copies that arrive later.
    Erase(Box<erase::Flags>),
    /// List the newest versions of a table, with the numbers and times that `query --as-of` takes.
    History {
        #[command(flatten)]
        lake: LakeFlags,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// The table whose versions to list.
        #[arg(long, value_parser = ["events", "reports"], default_value = "events")]
        table: String,
        /// How many versions to list.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Read everything in the lake and report what is wrong.
    ///
    /// Reads every log entry, checkpoint, checksum, live file and pending raw file completely. An error means that a row is
    /// lost, duplicated, unreadable or answered wrongly; a warning only costs speed or space. Exits with status 1 if there
    /// is an error. Can run while the lake is in use.
    Check {
        #[command(flatten)]
        lake: LakeFlags,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Repair what can be derived from the log: replace checkpoints and checksums that are missing or disagree with the
        /// log's entries, and delete orphaned files older than 7 days.
        ///
        /// Never touches log entries, live files, raw files or the registry.
        #[arg(long)]
        repair: bool,
        /// Directory for sorting ids, 16 bytes per event [default: the system's temporary directory].
        #[arg(long, env = "DEWPOND_SPILL_DIR", value_name = "DIR")]
        spill_dir: Option<PathBuf>,
    },
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::Erase(flags) => erase::run(*flags).await,
        Command::Stats { lake, json } => stats(&lake.open_existing().await?, json).await,
        Command::History { lake, json, table, limit } => {
            let spec = if table == REPORTS.name { &REPORTS } else { &EVENTS };
            history(&lake.open_existing().await?, spec, limit, json).await
        }
        Command::Check { lake, json, repair, spill_dir } => {
            let spill_dir = spill_dir.unwrap_or_else(std::env::temp_dir);
            check(&lake.open_existing().await?, CheckSettings { now: Utc::now(), spill_dir, repair }, json).await
        }
    }
}

async fn stats(lake: &Lake, as_json: bool) -> anyhow::Result<()> {
    let snapshot = lake.snapshot().await?;
    let reports = lake.table(&REPORTS).load().await?;
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
            })
        );
        return Ok(());
    }
    let version = |version: Option<u64>| version.map_or("none".to_owned(), |version| version.to_string());
    let row = |name: &str, at: String, files: usize, rows: String, bytes: u64| {
        vec![name.to_owned(), at, files.to_string(), rows, human_bytes(bytes)]
    };
    println!("{}", lake.url());
    if let (Some(first), Some(last)) = (dates.first(), dates.last()) {
        println!("events from {first} to {last}; {} lanes in the raw tier", lanes.len());
    }
    println!();
    print!(
        "{}",
        table::render(
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
            ]
        )
    );
    Ok(())
}

async fn history(lake: &Lake, spec: &'static TableSpec, limit: usize, as_json: bool) -> anyhow::Result<()> {
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
    print!("{}", table::render(&columns, &table_rows));
    Ok(())
}

async fn check(lake: &Lake, settings: CheckSettings, as_json: bool) -> anyhow::Result<()> {
    let checked = lake.check(&[&EVENTS, &REPORTS], &settings).await?;
    if as_json {
        println!("{}", checked_json(lake, &checked));
    } else {
        print_checked(lake, &checked);
    }
    match checked.findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 => Ok(()),
        1 => bail!("the lake has an error"),
        errors => bail!("the lake has {errors} errors"),
    }
}

fn checked_json(lake: &Lake, checked: &Checked) -> serde_json::Value {
    let amount = |amount: &Amount| json!({"files": amount.files, "rows": amount.rows, "bytes": amount.bytes});
    let objects = |amount: &Amount| json!({"files": amount.files, "bytes": amount.bytes});
    let tables: serde_json::Map<String, serde_json::Value> = checked
        .tables
        .iter()
        .map(|table| {
            let (log, live) = (objects(&table.log), amount(&table.live));
            (table.name.to_owned(), json!({"version": table.version, "log": log, "live": live}))
        })
        .collect();
    let findings: Vec<_> = checked
        .findings
        .iter()
        .map(|finding| {
            let severity = severity(finding.severity);
            json!({"severity": severity, "object": place(lake, finding), "message": finding.message})
        })
        .collect();
    json!({
        "lake": lake.url().as_str(), "tables": tables, "pending": amount(&checked.pending),
        "consumed": objects(&checked.consumed), "quarantine": amount(&checked.quarantine),
        "registry": objects(&checked.registry),
        "repaired": checked.repaired, "findings": findings,
    })
}

/// The object of a finding: a path on a local disk, a key in a bucket.
fn place(lake: &Lake, finding: &Finding) -> String {
    match lake.url().scheme() {
        "file" => format!("/{}", finding.object),
        _ => finding.object.clone(),
    }
}

fn print_checked(lake: &Lake, checked: &Checked) {
    let row = |part: String, version: Option<u64>, amount: &Amount, has_rows: bool| {
        vec![
            part,
            version.map_or(String::new(), |version| version.to_string()),
            amount.files.to_string(),
            if has_rows { amount.rows.to_string() } else { String::new() },
            human_bytes(amount.bytes),
        ]
    };
    let mut rows = Vec::new();
    for table in &checked.tables {
        rows.push(row(table.name.to_owned(), table.version, &table.live, true));
        rows.push(row(format!("{}, log", table.name), None, &table.log, false));
    }
    rows.push(row("raw, pending".to_owned(), None, &checked.pending, true));
    rows.push(row("raw, consumed (not read)".to_owned(), None, &checked.consumed, false));
    rows.push(row("quarantine".to_owned(), None, &checked.quarantine, true));
    rows.push(row("registry".to_owned(), None, &checked.registry, false));
    println!("{}\n", lake.url());
    print!("{}", table::render(&["read", "version", "files", "rows", "size"], &rows));
    println!();
    for repaired in &checked.repaired {
        println!("repaired: {}", table::printable(repaired));
    }
    for finding in &checked.findings {
        println!(
            "{}: {}\n  {}",
            severity(finding.severity),
            table::printable(&place(lake, finding)),
            table::printable(&finding.message)
        );
    }
    if checked.findings.is_empty() {
        println!("Nothing is wrong.");
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn human_bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
