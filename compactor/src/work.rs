//! Why a piece of work fails, and when to retry it with a new plan.

use std::time::{Duration, Instant};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use engine::EngineError;
use lake::LakeError;

/// How often a piece of work is tried against competing commits before it is left to the next run.
const CONFLICT_TRIES: u32 = 5;

/// Work that is done again after so long says so: a command that repeats it in silence seems to hang.
const SAID_AFTER: Duration = Duration::from_secs(5);

/// Why a piece of work was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    /// The lake failed, or another commit came first.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// The rows could not be read or sorted.
    #[error(transparent)]
    Engine(#[from] EngineError),

    /// Expired events could not be put into the archive, so they were not removed.
    #[error("could not archive expired events, so they stay: {reason}")]
    Archive {
        /// What the store says.
        reason: String,
    },

    /// An event's time has no calendar date.
    #[error("an event lies outside the calendar")]
    OutsideTheCalendar,

    /// Work on another thread was aborted.
    #[error("the work was aborted")]
    Stopped,

    /// Erased events had to be added to the list of erasures, which made the plan void.
    #[error("erased events were added to the list of erasures: plan again")]
    ErasuresListed,

    /// A merge or removal read a different number of rows than the log records for its files. Nothing was committed.
    #[error("the log records {expected} rows, but {found} were read; `dewpond lake check` says more")]
    Changed {
        /// Rows recorded in the log.
        expected: u64,
        /// Rows read.
        found: u64,
    },
}

impl From<DataFusionError> for WorkError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<ArrowError> for WorkError {
    fn from(error: ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

impl WorkError {
    /// The error for a file that the newest version still has: if it is missing, it is lost, and a new plan does not help.
    pub(crate) fn with_gone_as_lost(self) -> Self {
        match self {
            Self::Lake(LakeError::Gone { object }) => {
                Self::Lake(LakeError::Corrupt { object, source: "it is not in the store".into() })
            }
            error => error,
        }
    }

    /// Whether a plan from a new snapshot may succeed right away.
    pub(crate) fn wants_new_plan(&self) -> bool {
        matches!(self, Self::ErasuresListed | Self::Lake(LakeError::Conflict { .. } | LakeError::Gone { .. }))
    }
}

/// Does a piece of work, and repeats it with a new plan while competing commits make its plan void.
pub(crate) async fn with_new_plans<T, F>(work: impl Fn() -> F) -> Result<T, WorkError>
where
    F: Future<Output = Result<T, WorkError>>,
{
    let mut tries = 1;
    let started = Instant::now();
    loop {
        match work().await {
            Err(error) if error.wants_new_plan() && tries < CONFLICT_TRIES => {
                metrics::counter!("dewpond_compactor_conflicts_total").increment(1);
                let spent = started.elapsed();
                match spent < SAID_AFTER {
                    true => tracing::debug!(%error, "planning again"),
                    false => tracing::info!(
                        "another came first, so the work of {} s is done again: {error}",
                        spent.as_secs()
                    ),
                }
                tries += 1;
            }
            other => return other,
        }
    }
}
