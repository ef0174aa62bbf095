//! Settings of the collector: numbers an operator may change.

use std::num::NonZeroUsize;
use std::time::Duration;

use url::Url;

/// Settings of the collector.
///
/// Every flag has a twin in the environment; a flag wins over the environment.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Write a file once its first event has waited this long, for example `250ms`.
    ///
    /// Every file is one put, which costs money on an object store, so the default depends on the lake:
    /// 25ms on a local disk or in memory, 250ms elsewhere.
    #[arg(long, env = "DEWPOND_COLLECTOR_FLUSH_AFTER", value_parser = humantime::parse_duration)]
    pub flush_after: Option<Duration>,

    /// Write a file once its events take this much memory. The file is several times smaller.
    #[arg(long, env = "DEWPOND_COLLECTOR_FLUSH_BYTES", default_value_t = Self::default().flush_bytes)]
    pub flush_bytes: usize,

    /// Memory for events that wait to be durable. When it is full, senders are asked to come back later.
    #[arg(long, env = "DEWPOND_COLLECTOR_BUFFER_BYTES", default_value_t = Self::default().buffer_bytes)]
    pub buffer_bytes: usize,

    /// Memory for request bodies that are being received. When it is full, senders are asked to come back
    /// later.
    #[arg(long, env = "DEWPOND_COLLECTOR_RECEIVE_BYTES", default_value_t = Self::default().receive_bytes)]
    pub receive_bytes: usize,

    /// Files written at the same time. Each lane is a sequence of files of its own.
    #[arg(long, env = "DEWPOND_COLLECTOR_LANES", default_value_t = Self::default().lanes)]
    pub lanes: NonZeroUsize,

    /// The largest request body, as it is sent: compressed, if it is.
    #[arg(long, env = "DEWPOND_COLLECTOR_BODY_BYTES_MAX", default_value_t = Self::default().body_bytes_max)]
    pub body_bytes_max: usize,

    /// The largest request body after decompression.
    #[arg(long, env = "DEWPOND_COLLECTOR_INFLATED_BYTES_MAX", default_value_t = Self::default().inflated_bytes_max)]
    pub inflated_bytes_max: usize,

    /// The most events of one request.
    #[arg(long, env = "DEWPOND_COLLECTOR_BATCH_EVENTS_MAX", default_value_t = Self::default().batch_events_max)]
    pub batch_events_max: usize,

    /// Refuse the events of a file that the store has not confirmed after this long.
    #[arg(long, env = "DEWPOND_COLLECTOR_GIVE_UP_AFTER", default_value = "30s", value_parser = humantime::parse_duration)]
    pub give_up_after: Duration,

    /// Give up on a request whose body has not arrived after this long.
    #[arg(long, env = "DEWPOND_COLLECTOR_REQUEST_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub request_timeout: Duration,

    /// Look for new and revoked write keys this often.
    #[arg(long, env = "DEWPOND_COLLECTOR_DIRECTORY_REFRESH", default_value = "5s", value_parser = humantime::parse_duration)]
    pub directory_refresh: Duration,

    /// The most open connections. Further ones wait until one is closed.
    #[arg(long, env = "DEWPOND_COLLECTOR_CONNECTIONS_MAX", default_value_t = Self::default().connections_max)]
    pub connections_max: NonZeroUsize,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            flush_after: None,
            flush_bytes: 8 * MIB,
            buffer_bytes: 64 * MIB,
            receive_bytes: 256 * MIB,
            lanes: NonZeroUsize::MIN,
            body_bytes_max: 5 * MIB,
            inflated_bytes_max: 20 * MIB,
            batch_events_max: 10_000,
            give_up_after: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            directory_refresh: Duration::from_secs(5),
            connections_max: NonZeroUsize::new(10_000).expect("ten thousand is not zero"),
        }
    }
}

impl Settings {
    /// How long the first event of a file waits for more, for a lake at `lake_url`.
    pub fn flush_after(&self, lake_url: &Url) -> Duration {
        self.flush_after.unwrap_or(match lake_url.scheme() {
            "file" | "memory" => Duration::from_millis(25),
            _ => Duration::from_millis(250),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    #[test]
    fn the_defaults_of_the_flags_are_the_defaults_of_the_settings() {
        assert_eq!(check(&[]), Settings::default());
    }

    #[test]
    fn the_flush_interval_depends_on_the_store_unless_it_is_set() {
        let wait = |flags, url: &str| check(flags).flush_after(&url.parse().unwrap()).as_millis();
        assert_eq!(wait(&[], "file:///lake/"), 25);
        assert_eq!(wait(&[], "memory:///"), 25);
        assert_eq!(wait(&[], "s3://bucket/"), 250);
        assert_eq!(wait(&["--flush-after", "2s"], "s3://bucket/"), 2_000);
    }

    #[track_caller]
    fn check(flags: &[&str]) -> Settings {
        let command = Settings::augment_args(clap::Command::new("collector"));
        command.clone().debug_assert();
        let matches = command.get_matches_from([&["collector"], flags].concat());
        Settings::from_arg_matches(&matches).unwrap()
    }
}
