//! The readers of bytes from outside, and what must hold for every input: no panic, no hang, bounded memory, and
//! an error of the declared kinds or a right answer.
//!
//! A [`Target`] is one reader. `tests/mutations.rs` runs each of them on changed copies of its seeds, as a part of
//! `make test`; `main.rs` runs one of them under libFuzzer, which follows the coverage (`make fuzz`).

#![allow(clippy::unwrap_used, reason = "a target that cannot go on has found something")]

mod door;
mod erasures;
mod events;
mod history;
mod log;
mod raw_file;
mod raw_names;
mod read_keys;
mod sites;

use std::future::Future;

use lake::{Event, EventId, RawBatch};

/// A reader of bytes from outside.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Valid inputs, which are mutated.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads one input. Panics if an invariant does not hold.
    pub read: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "door", seeds: door::seeds, read: door::read },
    Target { name: "events", seeds: events::seeds, read: events::read },
    Target { name: "history", seeds: history::seeds, read: history::read },
    Target { name: "raw_names", seeds: raw_names::seeds, read: raw_names::read },
    Target { name: "raw_file", seeds: raw_file::seeds, read: raw_file::read },
    Target { name: "read_keys", seeds: read_keys::seeds, read: read_keys::read },
    Target { name: "sites", seeds: sites::seeds, read: sites::read },
    Target { name: "erasures", seeds: erasures::seeds, read: erasures::read },
    Target { name: "log", seeds: log::seeds, read: log::read },
];

/// Runs the async part of a target to completion.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// A raw file of a few events.
fn raw_batch(events: u32) -> RawBatch {
    let mut batch = RawBatch::default();
    for n in 0..events {
        let at_us = 1_772_366_400_000_000 + i64::from(n) * 1_000_003;
        batch.push(&Event {
            event_id: EventId::from_client(&n.to_string()),
            site_id: "shop".into(),
            name: "page_view".into(),
            occurred_at_us: at_us,
            received_at_us: at_us + 1,
            visitor_id: Some(i64::from(n % 7)),
            url: Some(format!("https://shop.example/{n}")),
            revenue_e4: (n % 3 == 0).then_some(i128::from(n) * 1_234),
            properties: Some(format!("{{\"n\":{n}}}")),
            protocol: "native",
            ..Event::default()
        });
    }
    batch
}
