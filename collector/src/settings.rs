//! Settings of the collector. The doc comments are the help texts.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
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

    /// Memory for events that wait to be durable. When it is full, senders are told to retry later.
    #[arg(long, env = "DEWPOND_COLLECTOR_BUFFER_BYTES", default_value_t = Self::default().buffer_bytes)]
    pub buffer_bytes: usize,

    /// Memory for request bodies that are being received. When it is full, senders are told to retry later.
    #[arg(long, env = "DEWPOND_COLLECTOR_RECEIVE_BYTES", default_value_t = Self::default().receive_bytes)]
    pub receive_bytes: usize,

    /// The number of lanes. Lanes write files at the same time; each writes its own sequence of files.
    #[arg(long, env = "DEWPOND_COLLECTOR_LANES", default_value_t = Self::default().lanes)]
    pub lanes: NonZeroUsize,

    /// The largest request body as it is sent, before decompression.
    #[arg(long, env = "DEWPOND_COLLECTOR_BODY_BYTES_MAX", default_value_t = Self::default().body_bytes_max)]
    pub body_bytes_max: usize,

    /// The largest request body after decompression.
    #[arg(long, env = "DEWPOND_COLLECTOR_INFLATED_BYTES_MAX", default_value_t = Self::default().inflated_bytes_max)]
    pub inflated_bytes_max: usize,

    /// The most events in one request.
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

    /// The most events per second that each write key may send to this collector. A site's own limit takes precedence.
    /// Unused allowance is saved for 10 seconds. No limit if not given.
    #[arg(long, env = "DEWPOND_COLLECTOR_KEY_EVENTS_PER_SECOND_MAX", value_name = "N")]
    pub key_events_per_second_max: Option<NonZeroU32>,

    /// The most requests per second that each client address may make to this collector. List load balancers in
    /// --trusted-proxies: otherwise all their clients share one address. No limit if not given.
    #[arg(long, env = "DEWPOND_COLLECTOR_IP_REQUESTS_PER_SECOND_MAX", value_name = "N")]
    pub ip_requests_per_second_max: Option<NonZeroU32>,

    /// Networks of trusted load balancers, such as 10.0.0.0/8,127.0.0.1/32.
    ///
    /// Their `X-Forwarded-For` gives the client's address. Their `X-Request-Id` identifies a request that they send
    /// again, so that its events count once even without ids.
    #[arg(long, env = "DEWPOND_COLLECTOR_TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse_network, value_name = "NETWORK")]
    pub trusted_proxies: Vec<IpNet>,

    /// A MaxMind file (.mmdb) that maps addresses to country, region and city. Reloaded when it changes. Addresses are
    /// not stored.
    #[arg(long, env = "DEWPOND_COLLECTOR_GEOIP", value_name = "FILE")]
    pub geoip: Option<PathBuf>,

    /// The most refused events kept in quarantine per site and hour.
    #[arg(long, env = "DEWPOND_COLLECTOR_QUARANTINE_EVENTS_PER_HOUR_MAX", default_value_t = Self::default().quarantine_events_per_hour_max)]
    pub quarantine_events_per_hour_max: u32,

    /// Also serve the tracker under this name, such as hello.js. Blockers know the usual names.
    #[arg(long, env = "DEWPOND_COLLECTOR_TRACKER_NAME", value_parser = parse_script_name, value_name = "NAME")]
    pub tracker_name: Option<String>,

    /// Serve the demo site under /demo/.
    #[arg(long, env = "DEWPOND_COLLECTOR_DEMO_SITE")]
    pub demo_site: bool,
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "expected a network, such as 10.0.0.0/8, or an address".into())
}

fn parse_script_name(text: &str) -> Result<String, String> {
    let name = text.trim_start_matches('/');
    let fits = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    if matches!(name, "tracker.js" | "tracker.v1.js") {
        return Err("the tracker is always served under this name".into());
    }
    match name.ends_with(".js") && name.chars().all(fits) {
        true => Ok(name.to_owned()),
        false => Err("the name may have letters, digits, '.', '_' and '-', and must end in .js".into()),
    }
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
            key_events_per_second_max: None,
            ip_requests_per_second_max: None,
            trusted_proxies: vec![],
            geoip: None,
            quarantine_events_per_hour_max: 1_000,
            tracker_name: None,
            demo_site: false,
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

    #[test]
    fn a_network_may_be_one_address() {
        let found = check(&["--trusted-proxies", "10.0.0.0/8,127.0.0.1"]).trusted_proxies;
        assert_eq!(found.iter().map(IpNet::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "127.0.0.1/32"]);
    }

    #[track_caller]
    fn check(flags: &[&str]) -> Settings {
        let command = Settings::augment_args(clap::Command::new("collector"));
        command.clone().debug_assert();
        let matches = command.get_matches_from([&["collector"], flags].concat());
        Settings::from_arg_matches(&matches).unwrap()
    }
}
