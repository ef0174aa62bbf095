//! What an operator may set.

use std::time::Duration;

/// When the compactor works: crons of six fields, seconds first, in UTC.
#[derive(clap::Args, Clone, Debug)]
pub struct CompactorCrons {
    /// When to publish raw files into the table: a cron of six fields, seconds first, in UTC.
    #[arg(long, env = "DEWPOND_PUBLISH_CRON", default_value = "*/10 * * * * *", value_name = "CRON")]
    pub publish_cron: String,

    /// When to merge small files.
    #[arg(long, env = "DEWPOND_MERGE_CRON", default_value = "0 */5 * * * *", value_name = "CRON")]
    pub merge_cron: String,

    /// When to remove events that are older than their sites keep them, and to delete what nobody needs any more.
    #[arg(long, env = "DEWPOND_VACUUM_CRON", default_value = "0 7 * * * *", value_name = "CRON")]
    pub vacuum_cron: String,
}

/// How the compactor works.
#[derive(clap::Args, Clone, Debug)]
pub struct CompactorSettings {
    /// The size that merged files come close to, in bytes.
    #[arg(long, env = "DEWPOND_MERGE_TARGET_BYTES", default_value_t = 256 << 20, value_name = "BYTES")]
    pub merge_target_bytes: u64,

    /// Raw files that one commit publishes, in bytes; what is pending beyond it goes into the next commit.
    #[arg(long, env = "DEWPOND_PUBLISH_BYTES_MAX", default_value_t = 128 << 20, value_name = "BYTES")]
    pub publish_bytes_max: u64,

    /// How long a published raw file is kept: longer than the longest query.
    #[arg(long, env = "DEWPOND_RAW_GRACE", default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub raw_grace: Duration,

    /// How long a file that a merge has replaced is kept: longer than the longest query.
    #[arg(long, env = "DEWPOND_REPLACED_GRACE", default_value = "1d", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub replaced_grace: Duration,
}
