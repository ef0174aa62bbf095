//! `dewpond lake check`: reads everything in the lake and reports what is wrong.

use std::path::Path;

use analytics::{KeptStates, keeping, read_queries};
use anyhow::bail;
use engine::{Engine, EngineSettings, text_table};
use indicatif::{ProgressBar, ProgressStyle};
use lake::{Amount, CheckSettings, Checked, Finding, Lake, Severity, TABLES};
use rand::seq::index;
use serde_json::json;

use crate::sizes;

/// How many states are made again where not all are.
const STATES_COMPARED: usize = 16;

/// How many states were made again, of how many that the metrics keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Compared {
    states: usize,
    of: usize,
}

pub(super) async fn run(
    lake: &Lake,
    settings: CheckSettings,
    as_json: bool,
    deep: bool,
    queries: &Path,
) -> anyhow::Result<()> {
    let mut checked = lake.check(&*TABLES, &settings).await?;
    // What the files of events give is only known while they are whole.
    let compared = match checked.has_errors() || checked.states.files == 0 {
        true => None,
        false => Some(compare_states(lake, &settings, deep, queries, &mut checked).await?),
    };
    if as_json {
        println!("{}", checked_json(lake, &checked, compared));
    } else {
        print_checked(lake, &checked, compared, queries);
    }
    match checked.findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 => Ok(()),
        1 => bail!("the lake has an error"),
        errors => bail!("the lake has {errors} errors"),
    }
}

/// Makes states again from the events of their files. One that is wrong becomes a finding.
async fn compare_states(
    lake: &Lake,
    settings: &CheckSettings,
    deep: bool,
    queries: &Path,
    checked: &mut Checked,
) -> anyhow::Result<Compared> {
    // Without the metrics nobody knows what a state is of.
    let queries = if queries.is_dir() { read_queries(queries)? } else { vec![] };
    let engine = EngineSettings { spill_dir: Some(settings.spill_dir.clone()), ..EngineSettings::default() };
    let engine = Engine::new(lake.clone(), &engine)?;
    let states = KeptStates::of(keeping(&engine, &queries, settings.now).await?).await?;
    let chosen = match deep {
        true => (0..states.len()).collect(),
        false => index::sample(&mut rand::rng(), states.len(), states.len().min(STATES_COMPARED)).into_vec(),
    };
    let compared = Compared { states: chosen.len(), of: states.len() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} states  {elapsed} ({eta} left)")?;
    let bar = ProgressBar::new(chosen.len() as u64).with_style(style);
    for number in chosen {
        if let Some(wrong) = states.check(number).await? {
            let object = lake.state_path(wrong.state.definition, &wrong.state.file).to_string();
            if settings.repair {
                lake.delete_state(wrong.state.definition, &wrong.state.file).await?;
                checked.repaired.push(format!("deleted {object}, which was not what its file gives"));
            } else {
                let message = format!(
                    "it is not what {} gives for {}, so answers made of it are wrong; delete it, or run `dewpond lake check \
                     --repair --deep`, and the next run makes it again",
                    wrong.state.file.path, wrong.query
                );
                checked.findings.push(Finding { severity: Severity::Error, object, message });
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    checked.findings.sort_by(|a, b| (a.severity, &a.object).cmp(&(b.severity, &b.object)));
    Ok(compared)
}

fn checked_json(lake: &Lake, checked: &Checked, compared: Option<Compared>) -> serde_json::Value {
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
        "consumed": objects(&checked.consumed), "states": amount(&checked.states),
        "states_compared": compared.map(|compared| compared.states), "quarantine": amount(&checked.quarantine),
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

fn print_checked(lake: &Lake, checked: &Checked, compared: Option<Compared>, queries: &Path) {
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
    if let Some(Compared { states, of }) = compared {
        let rest = match (checked.states.files as usize).saturating_sub(of) {
            0 => String::new(),
            unknown => format!("; {unknown} are of no query in {}", queries.display()),
        };
        let deep = if states < of { "; --deep compares all" } else { "" };
        println!("{states} of {of} states were made again from their files and compared{deep}{rest}\n");
    }
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
