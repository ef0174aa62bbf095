//! What recurring queries keep in the lake.

/// Which files of `events` get states.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct StateSettings {
    /// Size from which a recurring query keeps in the lake what a file of events gave it, in bytes. Smaller files are merged
    /// soon, and are kept in memory alone: a state costs a request.
    #[arg(long, env = "DEWPOND_STATE_FILE_BYTES_MIN", default_value_t = 256 << 10, value_name = "BYTES")]
    pub state_file_bytes_min: u64,

    /// The largest part of a file's size that a state of it may take. A larger one saves too little to be kept.
    #[arg(long, env = "DEWPOND_STATE_SHARE_MAX", default_value_t = 0.05, value_name = "PART")]
    pub state_share_max: f64,
}

impl Default for StateSettings {
    fn default() -> Self {
        Self { state_file_bytes_min: 256 << 10, state_share_max: 0.05 }
    }
}
