//! The compactor publishes raw files into the table `events`, merges small files into large sorted ones, removes
//! expired and erased rows, thins the history of reports, keeps the sessions of days that are over for other engines, and
//! deletes files that no version needs.
//!
//! Publishing and merging improve speed and change no answer: every query returns the same with the compactor switched
//! off or killed at any step.
//!
//! Any number of compactors may run on one lake. Each one plans from a snapshot, writes new files, and commits. If another
//! commit has made its plan void, it throws the new files away and plans again.

mod archive;
mod compactor;
mod merge;
mod plan;
mod publish;
mod removal;
mod retention;
mod sessions;
mod settings;
mod sort;
mod thinning;
mod work;

pub use archive::Archive;
pub use compactor::Compactor;
pub use merge::Merged;
pub use plan::{Merge, MergePolicy, PublishPlan, plan_merges, plan_publish};
pub use publish::Published;
pub use removal::{ErasureDone, Removed};
pub use sessions::{SessionsKept, first_open_day};
pub use settings::{CompactorCrons, CompactorSettings, ReportsKept};
