//! What the queries of a role may use.

use std::path::PathBuf;

use crate::folds::settings::StateSettings;
use crate::limits::floors;

/// What queries may use.
#[derive(clap::Args, Clone, Debug)]
pub struct EngineSettings {
    /// Memory that all queries of a role share, in bytes, at least 67108864; beyond it they spill to disk.
    #[arg(long, env = "DEWPOND_MEMORY_BYTES", default_value_t = 1 << 30, value_parser = floors::memory_bytes, value_name = "BYTES")]
    pub memory_bytes: usize,

    /// Temporary disk space that all queries of a role share, in bytes.
    #[arg(long, env = "DEWPOND_SPILL_BYTES", default_value_t = 100 << 30, value_name = "BYTES")]
    pub spill_bytes: u64,

    /// Where queries spill to; the system's directory for temporary files if not given.
    #[arg(long, env = "DEWPOND_SPILL_DIR", value_name = "DIR")]
    pub spill_dir: Option<PathBuf>,

    /// Threads of a query; the number of cores if not given.
    #[arg(long, env = "DEWPOND_QUERY_THREADS", value_name = "N")]
    pub query_threads: Option<usize>,

    /// What recurring queries keep in the lake.
    #[command(flatten)]
    pub states: StateSettings,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            spill_bytes: 100 << 30,
            spill_dir: None,
            query_threads: None,
            states: StateSettings::default(),
        }
    }
}
