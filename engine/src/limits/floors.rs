//! The least that queries may be given. Less is refused when a process starts, not found out from failing queries.

use std::time::Duration;

/// The least memory of queries. Every operator that can spill has an equal share of it, and with two threads a metric that
/// comes with Dewpond has eight of them: 8 MiB each, which a sort needs to merge what it spilled. With this the metrics answer
/// over a million events of a hundred thousand visitors.
pub const MEMORY_BYTES_MIN: usize = 64 << 20;

/// No query ends within less.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// Reads how much memory queries may use. Fails, in words, below [`MEMORY_BYTES_MIN`].
pub(crate) fn memory_bytes(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|_| "it is a whole number of bytes, such as 1073741824".to_owned())?;
    match bytes >= MEMORY_BYTES_MIN {
        true => Ok(bytes),
        false => Err(format!(
            "queries need at least {MEMORY_BYTES_MIN} (64 MiB): with less, sorts and joins fail or stall as they spill"
        )),
    }
}

/// Reads how long a query may take. Fails, in words, for a time so short that no query could end.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match timeout >= TIMEOUT_MIN {
        true => Ok(timeout),
        false => Err(format!("no query ends within less than {}", humantime::format_duration(TIMEOUT_MIN))),
    }
}
