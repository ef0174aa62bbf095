//! The progress of an import on the screen: a bar, and the first rejected events.

use std::fmt::Display;

use indicatif::{ProgressBar, ProgressStyle};

/// How many rejected events are shown. The others are only counted.
const REJECTIONS_SHOWN_MAX: u64 = 10;

/// The progress bar of an import.
pub(super) struct Progress {
    bar: ProgressBar,
    rejections_shown: u64,
}

impl Progress {
    /// - `total_bytes`: the size of all files together.
    pub(super) fn start(total_bytes: u64) -> anyhow::Result<Self> {
        let style = "{bar:40} {bytes}/{total_bytes}  {msg}  {elapsed} ({eta} left)";
        let bar = ProgressBar::new(total_bytes).with_style(ProgressStyle::with_template(style)?);
        Ok(Self { bar, rejections_shown: 0 })
    }

    /// - `bytes`: how much of all files has been read.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// - `events`: the number of accepted events so far.
    pub(super) fn wrote(&self, events: u64) {
        self.bar.set_message(format!("{events} events"));
    }

    /// Shows why an event was rejected, unless enough are shown already.
    pub(super) fn refused(&mut self, place: impl Display, reason: &str) {
        if self.rejections_shown < REJECTIONS_SHOWN_MAX {
            self.rejections_shown += 1;
            self.bar.suspend(|| eprintln!("rejected {place}: {reason}"));
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
