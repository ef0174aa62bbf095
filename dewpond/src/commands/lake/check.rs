//! `dewpond lake check`: reads everything in the lake and reports what is wrong.

use anyhow::bail;
use engine::text_table;
use lake::{Amount, CheckSettings, Checked, Finding, Lake, Severity, TABLES};
use serde_json::json;

use crate::sizes;

pub(super) async fn run(lake: &Lake, settings: CheckSettings, as_json: bool) -> anyhow::Result<()> {
    let checked = lake.check(&*TABLES, &settings).await?;
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
        "consumed": objects(&checked.consumed), "states": amount(&checked.states), "quarantine": amount(&checked.quarantine),
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
            sizes::human_bytes(amount.bytes),
        ]
    };
    let mut rows = Vec::new();
    for table in &checked.tables {
        rows.push(row(table.name.to_owned(), table.version, &table.live, true));
        rows.push(row(format!("{}, log", table.name), None, &table.log, false));
    }
    rows.push(row("raw, pending".to_owned(), None, &checked.pending, true));
    rows.push(row("raw, consumed (not read)".to_owned(), None, &checked.consumed, false));
    rows.push(row("states".to_owned(), None, &checked.states, true));
    rows.push(row("quarantine".to_owned(), None, &checked.quarantine, true));
    rows.push(row("registry".to_owned(), None, &checked.registry, false));
    println!("{}\n", lake.url());
    print!("{}", text_table::render(&["read", "version", "files", "rows", "size"], &rows));
    println!();
    for repaired in &checked.repaired {
        println!("repaired: {}", text_table::printable(repaired));
    }
    for finding in &checked.findings {
        println!(
            "{}: {}\n  {}",
            severity(finding.severity),
            text_table::printable(&place(lake, finding)),
            text_table::printable(&finding.message)
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
