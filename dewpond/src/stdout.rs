//! The standard output of a command, whose reader may go away: `dewpond query … | head`.
//!
//! The process then ends quietly. The signal SIGPIPE would do the same, but it would also end a command whose connection to
//! the store breaks, instead of letting it retry.

use std::io::{self, Write};
use std::panic;
use std::process::exit;

/// The exit status that shells report for a process ended by SIGPIPE.
const ENDED_BY_SIGPIPE: i32 = 128 + 13;

/// The standard output as a writer.
pub(crate) struct Stdout(io::Stdout);

impl Stdout {
    pub(crate) fn new() -> Self {
        Self(io::stdout())
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(end_if_nobody_reads)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(end_if_nobody_reads)
    }
}

fn end_if_nobody_reads(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        exit(ENDED_BY_SIGPIPE);
    }
    error
}

/// Ends the process where `println!` would panic because nobody reads.
pub(crate) fn end_when_nobody_reads() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        if panicked.payload_as_str().is_some_and(|message| message.starts_with("failed printing to stdout")) {
            exit(ENDED_BY_SIGPIPE);
        }
        report(panicked);
    }));
}
