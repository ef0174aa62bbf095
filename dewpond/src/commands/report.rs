//! `dewpond report`: prints the latest report, or makes that of a past day.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use analytics::{Analytics, AnalyticsSettings, METRIC_ROWS_MAX, Metric, Past, Report, latest_report};
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use cluster::WorkersFlags;
use engine::{Engine, EngineSettings, QueryLimits, text_table};
use lake::Lake;
use schedule::Cron;
use serde_json::Value as Json;

use crate::lake_flags::{LakeFlags, clock};

/// How many rows of a metric are shown by default.
pub(crate) const ROWS_SHOWN: usize = 10;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Print the report of this site instead of the whole lake.
    #[arg(long, value_name = "ID")]
    site: Option<String>,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    /// How many rows of each metric to show.
    #[arg(long, default_value_t = ROWS_SHOWN, value_name = "N")]
    rows: usize,

    /// Make the report of a time in the past, such as 2026-03-01T23:59:59Z or 2026-03-01 (midnight UTC), with the events that
    /// are in the lake now, and keep it in history under that time, for the whole lake and all sites.
    ///
    /// If history has a run of that time, it is printed and nothing is made.
    #[arg(long, value_name = "TIME", value_parser = past_time)]
    at: Option<DateTime<Utc>>,

    /// With --at: make the report anew, in the place of the one in history.
    #[arg(long, requires = "at")]
    replace: bool,

    #[command(flatten)]
    past: OfPast,
}

/// How the report of a past time is made.
#[derive(clap::Args, Debug)]
pub(crate) struct OfPast {
    /// Directory of the metrics: one `.sql` file each.
    #[arg(long, env = "DEWPOND_QUERIES", default_value = "queries", value_name = "DIR")]
    queries: PathBuf,

    /// When the job runs: history has one run from one tick to the next.
    #[arg(long, env = "DEWPOND_REPORT_CRON", default_value = "0 * * * * *", value_name = "CRON")]
    cron: Cron,

    #[command(flatten)]
    limits: QueryLimits,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    workers: WorkersFlags,
}

fn past_time(text: &str) -> Result<DateTime<Utc>, String> {
    instant::parse(text).map_err(|unreadable| format!("it {unreadable}"))
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lake = flags.lake.open_of_site(flags.site.as_deref()).await?;
    let report = match flags.at {
        Some(at) => of_past(&lake, &flags, at).await?,
        None => latest_report(&lake, flags.site.as_deref())
            .await?
            .context("there is no report yet; `dewpond analytics --once` makes one")?,
    };
    match flags.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", render(&report, flags.rows)),
    }
    Ok(())
}

impl OfPast {
    /// The directory of the metrics.
    pub(crate) fn queries(&self) -> &Path {
        &self.queries
    }

    /// A job that touches neither a cache nor alerts.
    pub(crate) fn analytics(&self, engine: Engine) -> Arc<Analytics> {
        let settings = AnalyticsSettings {
            queries: self.queries.clone(),
            cron: self.cron.clone(),
            metric_timeout: self.limits.timeout,
            metric_rows_max: self.limits.rows_max.unwrap_or(METRIC_ROWS_MAX),
            memcached: None,
            memcached_login: None,
            memcached_timeout: Duration::ZERO,
            alert_webhook: None,
            alert_secret: None,
        };
        Analytics::new(engine, settings, clock())
    }

    /// The engine that the queries run on.
    pub(crate) async fn engine(&self, lake: &Lake) -> anyhow::Result<Engine> {
        Ok(cluster::with_workers(Engine::new(lake.clone(), &self.engine)?, &self.workers).await?)
    }
}

async fn of_past(lake: &Lake, flags: &Flags, at: DateTime<Utc>) -> anyhow::Result<Report> {
    let analytics = flags.past.analytics(flags.past.engine(lake).await?);
    let (reports, made) = match analytics.report_at(at, flags.replace).await? {
        Past::Made(reports) => (reports, true),
        Past::InHistory(reports) => (reports, false),
    };
    if !made {
        eprintln!("history has this report already; --replace makes it anew");
    }
    let report = reports.into_iter().find(|report| report.site == flags.site);
    match (report, &flags.site) {
        (Some(report), _) => Ok(report),
        (None, Some(site)) => bail!("history has no report of the site {site} at that time; --replace makes one"),
        (None, None) => bail!("no metric is of the whole lake; add --site"),
    }
}

/// A report as text: the single numbers first, then a table for each other metric, then the failures.
pub(crate) fn render(report: &Report, rows_shown: usize) -> String {
    let of = report.site.as_deref().map_or("all sites".to_owned(), |site| format!("site {site}"));
    let mut text = format!("Report of {of}, {}\n\n", report.generated_at.format("%Y-%m-%d %H:%M:%S UTC"));
    if let Some(elsewhere) = report.metrics.values().find_map(|metric| metric.details.sites_elsewhere) {
        text += &format!("Without {elsewhere} site(s) in lakes of their organisations' own: --site prints theirs.\n\n");
    }
    let numbers: Vec<Vec<String>> = report
        .metrics
        .iter()
        .filter_map(|(name, metric)| {
            Some(vec![name.clone(), cell(metric.value.as_ref()?), metric.title.clone().unwrap_or_default()])
        })
        .collect();
    if !numbers.is_empty() {
        text += &text_table::render(&["metric", "value", ""], &numbers);
    }
    for (name, metric) in &report.metrics {
        if metric.value.is_none() && metric.error.is_none() {
            text += &format!("\n{}\n\n", metric.title.as_ref().unwrap_or(name));
            text += &render_rows(metric, rows_shown);
        }
    }
    for (name, metric) in &report.metrics {
        if let Some(alert) = metric.details.alert.as_ref().filter(|alert| alert.firing) {
            text += &format!(
                "\nalert: {name}, {}, since {}\n",
                alert.condition,
                alert.since.format("%Y-%m-%d %H:%M:%S UTC")
            );
        }
    }
    for (name, metric) in &report.metrics {
        if let Some(error) = &metric.error {
            text += &format!("\n{name} failed: {error}\n");
        }
    }
    text
}

fn render_rows(metric: &Metric, rows_shown: usize) -> String {
    let (Some(columns), Some(rows)) = (&metric.columns, &metric.rows) else { return String::new() };
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    // Show the end of a series and the beginning of a ranking. A series has a day in its first column.
    let is_series = columns.first().is_some_and(|column| *column == "day");
    let hidden = rows.len().saturating_sub(rows_shown);
    let shown = if is_series { &rows[hidden..] } else { &rows[..rows.len() - hidden] };
    let cells: Vec<Vec<String>> = shown.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut text = text_table::render(&columns, &cells);
    if hidden > 0 {
        let which = if is_series { "earlier" } else { "more" };
        text += &format!("({hidden} {which} rows)\n");
    }
    text
}

fn cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.trim_end_matches("T00:00:00Z").trim_end_matches("T00:00:00").to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_come_first_then_tables_then_failures() {
        let metric = |columns: &[&str], rows| {
            Metric::answered(Some("Title".into()), columns.iter().map(|&name| name.to_owned()).collect(), rows, 1)
        };
        let report = Report {
            generated_at: DateTime::UNIX_EPOCH,
            complete_until: DateTime::UNIX_EPOCH,
            lake_version: 1,
            site: None,
            metrics: [
                ("broken".to_owned(), Metric::failed(None, "broken.sql:3: no table".into(), 1)),
                ("events".to_owned(), metric(&["events"], vec![vec![json!(7)]])),
                (
                    "pages".to_owned(),
                    metric(&["path", "views"], vec![vec![json!("/a"), json!(2)], vec![json!("/b"), json!(1)]]),
                ),
            ]
            .into(),
        };
        let text = render(&report, 1);
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is not in\n{text}"));
        assert!(place("events      7") < place("/a") && place("/a") < place("broken failed: broken.sql:3: no table"));
        assert!(text.contains("(1 more rows)") && !text.contains("/b"), "{text}");
    }
}
