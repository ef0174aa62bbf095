#!/usr/bin/env bash
# tokio-cron-scheduler reads the same schedule in two ways: Job::new and JobBuilder differ.
#
# What surprised: with a day of the month and a weekday, Job::new waits for a day that is both.
# JobBuilder fires on a day that is either, as cron does. "29 February, Monday" is in 2044 for the
# one and a Monday or a 29th of the next February for the other.
# Versions: tokio-cron-scheduler 0.15.1 with croner 3.0.1.
# What it means: moving a job from one way of making it to the other changes when it runs. Give
# only one of the two fields.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/src"
cat > "$tmp/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
chrono = { version = "=0.4.45", default-features = false }
croner = "=3.0.1"
tokio = { version = "=1.47.1", features = ["macros", "rt-multi-thread"] }
tokio-cron-scheduler = "=0.15.1"

[workspace]
TOML
cat > "$tmp/src/main.rs" <<'RUST'
use chrono::Utc;
use tokio_cron_scheduler::{Job, JobBuilder, JobScheduler};

/// Noon of 29 February, and Monday. The next day that is both is in 2044.
const SCHEDULE: &str = "0 0 12 29 2 1";

#[tokio::main]
async fn main() {
    let by_new = Job::new(SCHEDULE, |_, _| ()).expect("Job::new takes it");
    let by_builder = JobBuilder::new()
        .with_timezone(Utc)
        .with_cron_job_type()
        .with_schedule(SCHEDULE)
        .expect("JobBuilder takes it")
        .with_run_sync(Box::new(|_, _| ()))
        .build()
        .expect("JobBuilder builds it");
    let mut scheduler = JobScheduler::new().await.expect("a scheduler in memory");
    for (name, job) in [("Job::new", by_new), ("JobBuilder", by_builder)] {
        let id = scheduler.add(job).await.expect("the job is taken");
        let tick = scheduler.next_tick_for_job(id).await.expect("the job is known");
        let time = tick.expect("the job fires").to_rfc3339();
        eprintln!("{name}: next on {time}");
        let year = if time.starts_with("2044-02-29") { "on 29 February 2044" } else { "on another day" };
        println!("{name}: {year}");
    }
}
RUST
echo "tokio-cron-scheduler 0.15.1, croner 3.0.1"
got=$(cd "$tmp" && CARGO_TARGET_DIR="$tmp/target" cargo run --quiet)
expected='Job::new: on 29 February 2044
JobBuilder: on another day'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
