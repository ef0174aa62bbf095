//! `dewpond analytics rebuild`: makes anew what was made of the events, after a query or a site's rules were changed.

use std::ops::Range;

use analytics::{Analytics, KeptStates, Past, PastDays, keeping, read_queries};
use anyhow::{Context, bail};
use chrono::{NaiveDate, Utc};
use indicatif::{ProgressBar, ProgressStyle};

use super::report::OfPast;
use crate::lake_flags::OneLakeFlags;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: OneLakeFlags,

    /// Make the reports of these days (UTC) anew, with the events that are in the lake now. The second day is not among them.
    ///
    /// Every run that history has of them is made again, and one of each day without any. Runs that were made like this
    /// before, by the same queries and the same rules of sites, stay.
    #[arg(long, value_name = "FROM..UNTIL", value_parser = days)]
    reports: Option<Range<NaiveDate>>,

    /// With --reports: of each day only the last run.
    #[arg(long, requires = "reports")]
    daily: bool,

    /// With --reports: also the runs that were made by the same queries and rules, for example after old events were imported.
    #[arg(long, requires = "reports")]
    replace: bool,

    /// Delete what recurring queries keep first, so that all of it is made again from the events.
    #[arg(long)]
    anew: bool,

    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    past: OfPast,
}

fn days(text: &str) -> Result<Range<NaiveDate>, String> {
    let (from, until) = text.split_once("..").ok_or("write two days, such as 2026-01-01..2026-02-01")?;
    let day = |text: &str| -> Result<NaiveDate, String> {
        text.trim().parse().map_err(|_| format!("{text:?} is no day such as 2026-01-31"))
    };
    let (from, until) = (day(from)?, day(until)?);
    match from < until {
        true => Ok(from..until),
        false => Err(format!("the first day must be before {until}, which is the first that is not made")),
    }
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lake = match flags.dry_run {
        true => flags.lake.open_existing(None).await?,
        false => flags.lake.open_for_writing().await?,
    };
    let engine = flags.past.engine(&lake).await?;
    let queries = read_queries(flags.past.queries())?;
    let keepers = keeping(&engine, &queries, Utc::now()).await?;
    let (mut files, mut states) = (0, 0);
    for keeper in &keepers {
        let (of_keeper, kept) = keeper.count().await?;
        (files, states) = (files + of_keeper, states + kept);
    }
    match flags.anew {
        true => println!("states: {states} are deleted, and made again from the events"),
        false => println!("states: {states} are kept, of {files} that {} queries could have", keepers.len()),
    }
    let analytics = flags.past.analytics(engine.clone());
    let past = flags.reports.clone().map(|days| PastDays { days, daily: flags.daily, replace: flags.replace });
    if let Some(past) = &past {
        let runs = analytics.past_runs(past).await?;
        println!(
            "reports: {} runs from {} until {} are made, for the whole lake and each site; {} are of these queries and rules \
             already",
            runs.to_make.len(),
            past.days.start,
            past.days.end,
            runs.made
        );
    }
    if flags.dry_run {
        return Ok(());
    }
    if flags.anew {
        let states = KeptStates::of(keeping(&engine, &queries, Utc::now()).await?).await?;
        states.delete(&lake).await?;
    }
    let bar = progress_bar(keepers.len(), "queries")?;
    let mut failed = Vec::new();
    for keeper in keepers {
        bar.set_message(keeper.name.clone());
        // The others are made all the same, and a report says of each query what is wrong with it.
        if let Err(error) = keeper.make().await {
            failed.push(format!("{}: {error:#}", keeper.name));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(past) = past {
        make_reports(&analytics, &past).await?;
    }
    if !failed.is_empty() {
        bail!("{} queries failed:\n{}", failed.len(), failed.join("\n"));
    }
    Ok(())
}

/// Makes the runs of past days, oldest first.
async fn make_reports(analytics: &Analytics, past: &PastDays) -> anyhow::Result<()> {
    let runs = analytics.past_runs(past).await?.to_make;
    let bar = progress_bar(runs.len(), "reports")?;
    for (number, at) in runs.iter().enumerate() {
        bar.set_message(at.format("%Y-%m-%d %H:%M").to_string());
        let made = analytics.report_at(*at, true).await;
        let made = made.with_context(|| {
            bar.abandon();
            format!("{number} of {} runs are made, and the same command goes on from there", runs.len())
        })?;
        if let Past::Made(reports) = made {
            for (name, metric) in reports.iter().flat_map(|report| &report.metrics) {
                if let Some(error) = &metric.error {
                    bar.suspend(|| eprintln!("{at} {name} failed: {error}"));
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{} runs were made", runs.len());
    Ok(())
}

fn progress_bar(length: usize, of: &str) -> anyhow::Result<ProgressBar> {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {of}  {{msg}}  {{elapsed}} ({{eta}} left)");
    Ok(ProgressBar::new(length as u64).with_style(ProgressStyle::with_template(&template)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_a_range() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(days("2026-01-01..2026-02-01"), Ok(day("2026-01-01")..day("2026-02-01")));
        for wrong in ["2026-01-01", "2026-01-01..", "2026-01-01..2026-01-01", "2026-02-01..2026-01-01", "1..2"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }
}
