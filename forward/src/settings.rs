//! Settings of the forwarder.

use std::time::Duration;

/// Settings of the forwarder, with the flags that set them.
#[derive(clap::Args, Clone, Debug)]
pub struct ForwardSettings {
    /// How often the log is asked for new events.
    #[arg(long, env = "DEWPOND_FORWARD_POLL", default_value = "1s", value_name = "TIME",
          value_parser = humantime::parse_duration)]
    pub forward_poll: Duration,

    /// How long another forwarder that says nothing is waited for before its destinations are taken over.
    #[arg(long, env = "DEWPOND_FORWARD_TAKE_OVER", default_value = "30s", value_name = "TIME",
          value_parser = humantime::parse_duration)]
    pub forward_take_over: Duration,

    /// The longest pause between two tries to reach a destination.
    #[arg(long, env = "DEWPOND_FORWARD_PAUSE_MAX", default_value = "5m", value_name = "TIME",
          value_parser = humantime::parse_duration)]
    pub forward_pause_max: Duration,
}

impl Default for ForwardSettings {
    fn default() -> Self {
        Self {
            forward_poll: Duration::from_secs(1),
            forward_take_over: Duration::from_secs(30),
            forward_pause_max: Duration::from_secs(300),
        }
    }
}
