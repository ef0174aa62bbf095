//! A piece of work: why it fails, and when a new plan may help.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use engine::EngineError;
use lake::LakeError;

/// Tries of one piece of work against other compactors before it is left to the next run.
const CONFLICT_TRIES: u32 = 5;

/// Why a piece of work was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    /// The lake failed, or somebody else's commit came first.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// The rows could not be read or sorted.
    #[error(transparent)]
    Engine(#[from] EngineError),

    /// An event's time is none that a date can be told of.
    #[error("an event lies outside the calendar")]
    OutsideTheCalendar,

    /// Work on another thread ended before its time.
    #[error("the work was stopped")]
    Stopped,

    /// The plan's erased events were put on the list of erasures, which made the plan void.
    #[error("erased events that were not on the list are on it now: plan again")]
    ErasuresListed,

    /// A merge or a removal read another number of rows than the log says its files hold. Nothing was committed.
    #[error("{expected} rows by the log were read as {found}; `dewpond lake check` says more")]
    Changed {
        /// Rows by the log.
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
    /// The error of a file that is live: if it is not there, it is lost, and a new plan does not help.
    pub(crate) fn of_a_live_file(self) -> Self {
        match self {
            Self::Lake(LakeError::Gone { object }) => {
                Self::Lake(LakeError::Corrupt { object, source: "it is not in the store".into() })
            }
            error => error,
        }
    }

    /// Whether a plan from a new snapshot may succeed at once.
    pub(crate) fn wants_new_plan(&self) -> bool {
        matches!(self, Self::ErasuresListed | Self::Lake(LakeError::Conflict { .. } | LakeError::Gone { .. }))
    }
}

/// Does a piece of work, and again from a new plan while others' commits make it void.
pub(crate) async fn with_new_plans<T, F>(work: impl Fn() -> F) -> Result<T, WorkError>
where
    F: Future<Output = Result<T, WorkError>>,
{
    let mut tries = 1;
    loop {
        match work().await {
            Err(error) if error.wants_new_plan() && tries < CONFLICT_TRIES => {
                metrics::counter!("dewpond_compactor_conflicts_total").increment(1);
                tracing::debug!(%error, "planning again");
                tries += 1;
            }
            other => return other,
        }
    }
}
