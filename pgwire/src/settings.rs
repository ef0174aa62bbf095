//! What clients set at the beginning of a session and ask for: what changes nothing is taken, what would change answers is
//! refused.

use std::time::Duration;

use crate::catalog::VERSION;

/// Settings as they are, whatever a client sets: what `SHOW` and `current_setting` tell.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("server_version", VERSION),
    ("server_version_num", "140000"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("standard_conforming_strings", "on"),
    ("integer_datetimes", "on"),
    ("is_superuser", "off"),
    ("session_authorization", "dewpond"),
    ("default_transaction_read_only", "on"),
    ("in_hot_standby", "on"),
    ("scram_iterations", "4096"),
    ("application_name", ""),
    ("search_path", "public"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
    ("transaction_deferrable", "off"),
    ("default_transaction_isolation", "read committed"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("block_size", "8192"),
    ("bytea_output", "hex"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("extra_float_digits", "1"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("client_min_messages", "notice"),
    ("password_encryption", "scram-sha-256"),
    ("ssl", "on"),
];

/// Those that a client is told when its session begins.
pub(crate) const TOLD: &[&str] = &[
    "server_version",
    "server_encoding",
    "client_encoding",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "standard_conforming_strings",
    "integer_datetimes",
    "is_superuser",
    "default_transaction_read_only",
    "in_hot_standby",
];

/// What setting something does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that could be noticed.
    Nothing,
    /// Ends statements earlier than the server would. `None` is as late as the server does.
    Timeout(Option<Duration>),
}

/// Why something cannot be set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

/// What it means to set `name` to `value`.
pub(crate) fn change(name: &str, value: &str) -> Result<Change, Refused> {
    let lower = value.trim().to_lowercase();
    let refuse = |hint| Err(Refused { code: "0A000", message: format!("{name} cannot be {value:?} here"), hint });
    let only = |allowed: &[&str], hint| match lower == "default" || allowed.contains(&&*lower) {
        true => Ok(Change::Nothing),
        false => refuse(hint),
    };
    match &*name.to_lowercase() {
        "statement_timeout" => match timeout(&lower) {
            Some(timeout) => Ok(Change::Timeout(timeout)),
            None => Err(Refused {
                code: "22023",
                message: format!("{value:?} is no time"),
                hint: "Write milliseconds, or a number with a unit, such as '30s'.",
            }),
        },
        "timezone" => only(
            &["utc", "gmt", "etc/utc", "zulu", "etc/gmt", "universal", "+00:00", "+00", "0", "local"],
            "Days and hours are those of UTC unless the query says otherwise: write AT TIME ZONE 'Europe/Berlin'.",
        ),
        "client_encoding" | "names" => {
            only(&["utf8", "utf-8", "unicode", "sql_ascii"], "All text is UTF-8: set client_encoding to UTF8.")
        }
        "standard_conforming_strings" => {
            only(&["on", "true", "1", "yes"], "Strings are as in the standard: write '' for a quote.")
        }
        "datestyle" => match lower.contains("iso") || lower == "default" {
            true => Ok(Change::Nothing),
            false => refuse("Dates are written as 2026-03-01: set DateStyle to ISO."),
        },
        "intervalstyle" => {
            only(&["postgres"], "Intervals are written as PostgreSQL does: set IntervalStyle to postgres.")
        }
        "bytea_output" => only(&["hex"], "Bytes are written in hexadecimal: set bytea_output to hex."),
        "transaction_read_only" | "default_transaction_read_only" => {
            only(&["on", "true", "1", "yes"], "Nothing can be written here: leave the setting on.")
        }
        "role" | "session authorization" => refuse("Log in with the key of what you want to read."),
        // What changes how fast an answer comes, how it is logged, or whom it waits for changes no answer.
        "application_name"
        | "extra_float_digits"
        | "client_min_messages"
        | "search_path"
        | "lock_timeout"
        | "idle_in_transaction_session_timeout"
        | "idle_session_timeout"
        | "tcp_keepalives_idle"
        | "default_transaction_isolation"
        | "transaction_isolation"
        | "transaction"
        | "session characteristics"
        | "row_security"
        | "synchronous_commit"
        | "jit"
        | "geqo"
        | "work_mem"
        | "max_parallel_workers_per_gather"
        | "check_function_bodies"
        | "default_tablespace"
        | "default_with_oids"
        | "xmloption"
        | "lc_messages"
        | "lc_monetary"
        | "lc_numeric"
        | "lc_time"
        | "quote_all_identifiers"
        | "synchronize_seqscans"
        | "ssl_renegotiation_limit"
        | "plan_cache_mode"
        | "cursor_tuple_fraction"
        | "constraints"
        | "options" => Ok(Change::Nothing),
        _ => Err(Refused {
            code: "42704",
            message: format!("there is no setting {name}"),
            hint: "Limits are flags of the server; leave the SET out.",
        }),
    }
}

/// The value of a setting.
pub(crate) fn value(name: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// Milliseconds, or a number with a unit. Zero is no limit.
fn timeout(text: &str) -> Option<Option<Duration>> {
    if text == "default" {
        return Some(None);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim().parse().ok()?;
    let ms = match text[digits.len()..].trim() {
        "" | "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "min" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        "d" => number.checked_mul(86_400_000)?,
        _ => return None,
    };
    Some((ms > 0).then(|| Duration::from_millis(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_no_answer_is_taken_and_what_would_is_refused() {
        for (name, value) in [
            ("extra_float_digits", "3"),
            ("TimeZone", "UTC"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, DMY"),
            ("search_path", "public, x"),
            ("default_transaction_read_only", "on"),
        ] {
            assert_eq!(change(name, value), Ok(Change::Nothing), "{name} = {value}");
        }
        for (name, value, code) in [
            ("timezone", "Europe/Berlin", "0A000"),
            ("client_encoding", "LATIN1", "0A000"),
            ("DateStyle", "German", "0A000"),
            ("transaction_read_only", "off", "0A000"),
            ("role", "admin", "0A000"),
            ("datafusion.execution.target_partitions", "1000", "42704"),
            ("statement_timeout", "soon", "22023"),
        ] {
            assert_eq!(change(name, value).unwrap_err().code, code, "{name} = {value}");
        }
    }

    #[test]
    fn a_timeout_has_a_unit_or_is_in_milliseconds() {
        let seconds = |seconds| Ok(Change::Timeout(Some(Duration::from_secs(seconds))));
        assert_eq!(change("statement_timeout", "30000"), seconds(30));
        assert_eq!(change("statement_timeout", "30s"), seconds(30));
        assert_eq!(change("statement_timeout", "2min"), seconds(120));
        assert_eq!(change("statement_timeout", "0"), Ok(Change::Timeout(None)));
    }

    #[test]
    fn what_is_told_has_a_value() {
        assert!(TOLD.iter().all(|name| value(name).is_some()));
    }
}
