//! The compactor's settings: schedules, sizes and graces.

use std::time::Duration;

use schedule::Cron;

/// When each job runs.
#[derive(clap::Args, Clone, Debug)]
pub struct CompactorCrons {
    /// When to publish raw files into the table: a cron in UTC of second, minute, hour, day of month, month and day of week
    /// (1 is Monday; a day must match both day fields).
    #[arg(long, env = "DEWPOND_PUBLISH_CRON", default_value = "*/10 * * * * *", value_name = "CRON")]
    pub publish_cron: Cron,

    /// When to merge small files.
    #[arg(long, env = "DEWPOND_MERGE_CRON", default_value = "0 */5 * * * *", value_name = "CRON")]
    pub merge_cron: Cron,

    /// When to remove expired events and delete files that are no longer needed.
    #[arg(long, env = "DEWPOND_VACUUM_CRON", default_value = "0 7 * * * *", value_name = "CRON")]
    pub vacuum_cron: Cron,

    /// When to look whether another day is over: then its sessions join the table `sessions`, which other engines read.
    #[arg(long, env = "DEWPOND_SESSIONS_CRON", default_value = "0 41 * * * *", value_name = "CRON")]
    pub sessions_cron: Cron,

    /// Keep no table `sessions` in the lake. SQL has it all the same.
    #[arg(long, env = "DEWPOND_NO_SESSIONS_TABLE", action = clap::ArgAction::SetTrue)]
    pub no_sessions_table: bool,
}

/// Sizes of commits and files, and how long files are kept that are no longer needed.
#[derive(clap::Args, Clone, Debug)]
pub struct CompactorSettings {
    /// Target size of merged files, in bytes.
    #[arg(long, env = "DEWPOND_MERGE_TARGET_BYTES", default_value_t = 256 << 20, value_name = "BYTES")]
    pub merge_target_bytes: u64,

    /// The most bytes of raw files that one commit publishes; the rest goes into the next commit.
    #[arg(long, env = "DEWPOND_PUBLISH_BYTES_MAX", default_value_t = 128 << 20, value_name = "BYTES")]
    pub publish_bytes_max: u64,

    /// How long to keep a raw file after it is published. Must be longer than the longest query.
    #[arg(long, env = "DEWPOND_RAW_GRACE", default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub raw_grace: Duration,

    /// How long to keep a table file after a merge or removal has replaced it. Must be longer than the longest query.
    #[arg(long, env = "DEWPOND_REPLACED_GRACE", default_value = "1d", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub replaced_grace: Duration,

    /// How long to keep a table file after a merge has replaced it if a destination that is behind has not had its rows yet.
    /// They leave earlier once rows were erased or have expired.
    #[arg(long, env = "DEWPOND_FOLLOWED_GRACE", default_value = "7d", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub followed_grace: Duration,

    /// Which runs of the report history keeps.
    #[command(flatten)]
    pub reports: ReportsKept,
}

/// Which runs of the report history keeps, by their age. The newest run always stays.
#[derive(clap::Args, Clone, Debug)]
pub struct ReportsKept {
    /// How long history keeps every run of the report; then the last of each hour.
    #[arg(long, env = "DEWPOND_REPORTS_EVERY_RUN_FOR", default_value = "1d", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub reports_every_run_for: Duration,

    /// How long history keeps the last run of each hour; then the last of each day (UTC).
    #[arg(long, env = "DEWPOND_REPORTS_HOURLY_FOR", default_value = "90d", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub reports_hourly_for: Duration,

    /// How long history keeps the last run of each day; forever if not given.
    #[arg(long, env = "DEWPOND_REPORTS_DAILY_FOR", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub reports_daily_for: Option<Duration>,
}

impl Default for ReportsKept {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3_600);
        Self { reports_every_run_for: days(1), reports_hourly_for: days(90), reports_daily_for: None }
    }
}
