//! What somebody sees who waits for an import: a bar, and the first of the events that were rejected.

use std::fmt::Display;

use indicatif::{ProgressBar, ProgressStyle};

/// Rejected events that are shown; the rest is only counted.
const REJECTIONS_SHOWN_MAX: u64 = 10;

/// How far an import is.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Bytes of the files before the one that is being read.
    files_before_bytes: u64,
    rejections_shown: u64,
}

impl Progress {
    /// - `total_bytes`: the size of all files together.
    pub(super) fn start(total_bytes: u64) -> anyhow::Result<Self> {
        let style = "{bar:40} {bytes}/{total_bytes}  {msg}  {elapsed} ({eta} left)";
        let bar = ProgressBar::new(total_bytes).with_style(ProgressStyle::with_template(style)?);
        Ok(Self { bar, files_before_bytes: 0, rejections_shown: 0 })
    }

    /// - `bytes`: what of the current file has been read.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.set_position(self.files_before_bytes + bytes);
    }

    /// - `bytes`: the size of the file that has been read to its end.
    pub(super) fn end_file(&mut self, bytes: u64) {
        self.files_before_bytes += bytes;
        self.bar.set_position(self.files_before_bytes);
    }

    /// - `events`: how many of all files have been accepted so far.
    pub(super) fn wrote(&self, events: u64) {
        self.bar.set_message(format!("{events} events"));
    }

    /// Shows why an event was rejected, unless enough are shown already.
    pub(super) fn rejected(&mut self, place: impl Display, reason: &str) {
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
