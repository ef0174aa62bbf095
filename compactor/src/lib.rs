//! The compactor: publishes raw files into the table `events`, merges small files into large sorted ones,
//! and deletes what nobody needs. It improves speed and changes no answer: with the compactor switched off,
//! or dead at any step, every query returns the same.
//!
//! Any number of compactors may run on one lake. Each plans on a snapshot, works aside, and commits; whoever
//! finds that another commit made its plan void throws the work away and plans again.

mod compactor;
mod merge;
mod plan;
mod publish;
mod removal;
mod retention;
mod settings;
mod sort;
mod work;

pub use compactor::Compactor;
pub use merge::Merged;
pub use plan::{Merge, MergePolicy, PublishPlan, plan_merges, plan_publish};
pub use publish::Published;
pub use removal::{ErasureDone, Removed};
pub use settings::{CompactorCrons, CompactorSettings};
