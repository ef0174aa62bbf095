//! The metrics of the collector.
//!
//! Two sums hold whenever no request is being worked on, because each counter is raised together with its
//! counterpart: `received = accepted + rejected`, and `accepted = durable + deduplicated`. A request that is
//! refused before its events are told apart counts as one event.

use std::time::Duration;

use intake::IngestError;
use metrics::{Histogram, counter, describe_counter, describe_gauge, describe_histogram, histogram};

const RECEIVED: &str = "dewpond_collector_events_received_total";
const ACCEPTED: &str = "dewpond_collector_events_accepted_total";
const REJECTED: &str = "dewpond_collector_events_rejected_total";
const DEDUPLICATED: &str = "dewpond_collector_events_deduplicated_total";
const DURABLE: &str = "dewpond_collector_events_durable_total";
const QUARANTINED: &str = "dewpond_collector_events_quarantined_total";
const NOT_QUARANTINED: &str = "dewpond_collector_events_not_quarantined_total";
const FILES_PUT: &str = "dewpond_collector_files_put_total";
const BYTES_PUT: &str = "dewpond_collector_bytes_put_total";
const ACK_SECONDS: &str = "dewpond_collector_ack_seconds";
const PUT_SECONDS: &str = "dewpond_collector_put_seconds";

/// Gauge: memory of events that wait to be durable.
pub(crate) const BUFFER_BYTES: &str = "dewpond_collector_buffer_bytes";
/// Gauge: memory of refused events that wait to be written.
pub(crate) const QUARANTINE_BYTES: &str = "dewpond_collector_quarantine_bytes";
/// Gauge: memory of request bodies that are being received.
pub(crate) const RECEIVE_BYTES: &str = "dewpond_collector_receive_bytes";

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    describe_counter!(RECEIVED, "Events that arrived: accepted + rejected");
    describe_counter!(ACCEPTED, "Events acknowledged: durable + deduplicated");
    describe_counter!(REJECTED, "Events refused, by reason");
    describe_counter!(DEDUPLICATED, "Events acknowledged because the same file already has them");
    describe_counter!(DURABLE, "Events written");
    describe_counter!(QUARANTINED, "Refused events kept in quarantine");
    describe_counter!(NOT_QUARANTINED, "Refused events beyond a site's hourly allowance, or that could not be written");
    describe_counter!(FILES_PUT, "Files written");
    describe_counter!(BYTES_PUT, "Bytes of the files written");
    describe_histogram!(ACK_SECONDS, "From an event's entry into a batch to its acknowledgement");
    describe_histogram!(PUT_SECONDS, "From the start of a put to its confirmation, including retries");
    describe_gauge!(BUFFER_BYTES, "Memory of events that wait to be durable");
    describe_gauge!(QUARANTINE_BYTES, "Memory of refused events that wait to be written");
    describe_gauge!(RECEIVE_BYTES, "Memory of request bodies that are being received");
}

/// Counts events that were refused with `error`.
pub(crate) fn refused(error: &IngestError, events: usize) {
    rejected(reason(error), events);
}

/// Counts events that were invalid in themselves, beside others of their request.
pub(crate) fn invalid(events: usize) {
    rejected(INVALID, events);
}

fn rejected(reason: &'static str, events: usize) {
    if events == 0 {
        return;
    }
    counter!(RECEIVED).increment(events as u64);
    counter!(REJECTED, "reason" => reason).increment(events as u64);
}

const INVALID: &str = "invalid";

/// The label of an error in the count of rejected events.
fn reason(error: &IngestError) -> &'static str {
    match error {
        IngestError::Invalid { .. } => INVALID,
        IngestError::Unauthorized { .. } => "unauthorized",
        IngestError::Forbidden { .. } => "forbidden",
        IngestError::TooOften { .. } => "rate",
        IngestError::Slow { .. } => "timeout",
        IngestError::TooLarge { .. } => "too_large",
        IngestError::Full { .. } | IngestError::NotDurable | IngestError::KeysUnavailable | IngestError::Closing => {
            "unavailable"
        }
    }
}

/// Counts refused events that were kept.
pub(crate) fn quarantined(events: usize) {
    counter!(QUARANTINED).increment(events as u64);
}

/// Counts refused events that were not kept.
pub(crate) fn not_quarantined(events: usize) {
    counter!(NOT_QUARANTINED).increment(events as u64);
}

/// Counts a file that was confirmed, with its events.
pub(crate) fn put(durable: usize, deduplicated: usize, file_bytes: usize, took: Duration) {
    counter!(RECEIVED).increment((durable + deduplicated) as u64);
    counter!(ACCEPTED).increment((durable + deduplicated) as u64);
    counter!(DURABLE).increment(durable as u64);
    counter!(DEDUPLICATED).increment(deduplicated as u64);
    counter!(FILES_PUT).increment(1);
    counter!(BYTES_PUT).increment(file_bytes as u64);
    histogram!(PUT_SECONDS).record(took);
}

/// The histogram of acknowledgement times. Get it once per file: finding it costs more than a record.
pub(crate) fn acknowledgements() -> Histogram {
    histogram!(ACK_SECONDS)
}
