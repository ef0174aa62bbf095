//! Runs: what one input holds of a visitor's sessions.
//!
//! A run is a maximal interval of a visitor's events in one input in which no pause exceeds the gap. Runs of several inputs
//! become sessions as a union of intervals, whatever the inputs are: so a run may also end earlier than it must, where a
//! day does or where a session will be cut.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, StringViewArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::error::ArrowError;

use crate::sessions::making::page_view::PageViewKey;

/// Identity of an event, by which events at the same instant are ordered; zeros if ids are not read.
pub(crate) type Id = [u8; 16];

/// When a page was viewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) at_us: i64,
    pub(crate) id: Id,
}

/// A page view and a slot of ten seconds in which it was pinged.
pub(crate) type Ping = (PageViewKey, i64);

/// Money in one currency, in ten-thousandths.
pub(crate) type Money = (Option<Arc<str>>, i128);

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Its site, among the sites of its batch.
    pub(crate) site: u32,
    pub(crate) visitor: i64,
    /// Whether its events are a user's, and not of somebody anonymous.
    pub(crate) known: bool,
    /// The first event.
    pub(crate) first: Moment,
    /// The time of the last event.
    pub(crate) end_us: i64,
    /// The day of all its events, if runs end where days do.
    pub(crate) day: i32,
    /// Events that are no pings.
    pub(crate) events: u64,
    pub(crate) page_views: u64,
    /// The first page view.
    pub(crate) entry: Option<Moment>,
    /// The last page view.
    pub(crate) exit: Option<Moment>,
    /// Its pings, among those of its batch: sorted, each once.
    pub(crate) pings: Range<u32>,
    /// Its money, among that of its batch.
    pub(crate) revenue: Range<u32>,
}

/// Runs in the order of their sites and visitors.
#[derive(Debug, Default)]
pub(crate) struct RunBatch {
    pub(crate) sites: Vec<Arc<str>>,
    pub(crate) runs: Vec<Run>,
    /// A text of each run, for each of the kept texts.
    pub(crate) texts: Vec<StringViewArray>,
    pub(crate) pings: Vec<Ping>,
    pub(crate) revenue: Vec<Money>,
}

impl RunBatch {
    pub(crate) fn site_of(&self, run: &Run) -> &Arc<str> {
        &self.sites[run.site as usize]
    }

    /// A text of a run.
    pub(crate) fn text(&self, text: usize, run: u32) -> Option<&str> {
        let texts = &self.texts[text];
        texts.is_valid(run as usize).then(|| texts.value(run as usize))
    }

    /// Some of the runs, as a batch that holds nothing else in memory.
    pub(crate) fn select(&self, rows: &[u32]) -> Result<Self, ArrowError> {
        let places = UInt32Array::from(rows.to_vec());
        let texts = self.texts.iter().map(|texts| {
            let chosen = take(texts, &places, None)?;
            Ok(chosen.as_any().downcast_ref::<StringViewArray>().expect("taken texts are texts").gc())
        });
        let mut chosen =
            Self { sites: self.sites.clone(), texts: texts.collect::<Result<_, ArrowError>>()?, ..Self::default() };
        for row in rows {
            let mut run = self.runs[*row as usize].clone();
            run.pings = append(&mut chosen.pings, &self.pings, &run.pings);
            run.revenue = append(&mut chosen.revenue, &self.revenue, &run.revenue);
            chosen.runs.push(run);
        }
        Ok(chosen)
    }

    /// About the memory that it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.runs.len() * size_of::<Run>()
            + self.pings.len() * size_of::<Ping>()
            + self.revenue.len() * size_of::<Money>()
            + self.texts.iter().map(Array::get_array_memory_size).sum::<usize>()
    }
}

/// Appends a part of `from`. Returns where it is.
fn append<T: Clone>(to: &mut Vec<T>, from: &[T], part: &Range<u32>) -> Range<u32> {
    let begin = to.len() as u32;
    to.extend_from_slice(&from[part.start as usize..part.end as usize]);
    begin..to.len() as u32
}
