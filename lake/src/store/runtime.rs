//! What the lake's code runs on: threads for blocking work, and the engine of the Delta kernel.

use std::panic::resume_unwind;
use std::sync::{Arc, LazyLock};

use delta_kernel::Engine;
use delta_kernel_default_engine::DefaultEngineBuilder;
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use futures::future::{BoxFuture, FutureExt};
use object_store::ObjectStore;
use parquet::basic::{Compression, ZstdLevel};
use tokio_util::task::AbortOnDropHandle;

use crate::store::kernel_engine::StrictEngine;
use crate::store::sabotage::Sabotage;

/// Where the kernel, whose interface blocks, does its I/O. A runtime of its own, because its checkpoints
/// read and write at once and would wait for themselves on a single thread; one for the process, because a
/// runtime must not be dropped on an async thread.
static KERNEL_RUNTIME: LazyLock<Arc<TokioMultiThreadExecutor>> = LazyLock::new(|| {
    const THREADS: usize = 2;
    let executor = TokioMultiThreadExecutor::new_owned_runtime(Some(THREADS), None);
    Arc::new(executor.expect("a process that cannot start two threads cannot do anything else"))
});

/// Where work that would hold up an async thread is done.
pub trait Threads: Send + Sync + 'static {
    /// Does `work` aside; ends when it has ended.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, Result<(), Panicked>>;
}

/// Work that was done aside did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked")]
pub struct Panicked;

/// What a lake runs on. Everything that happens at a time or in an order of its own comes from here and from
/// the store, so that a simulation can bring both.
#[derive(Clone)]
pub struct LakeRuntime {
    /// Replays and writes Delta logs.
    pub kernel: Arc<dyn Engine>,
    /// Where work that blocks is done.
    pub threads: Arc<dyn Threads>,
    /// Versions from one checkpoint to the next: the most that a new reader has to replay.
    pub checkpoint_every: u64,
    /// How many of the newest entries stay in a log whose old ones are deleted. A commit that was planned on a version
    /// further back is planned again.
    pub log_entries_kept: u64,
    /// How the files of tables are compressed.
    pub table_compression: Compression,
    pub(crate) sabotage: Option<Sabotage>,
}

const CHECKPOINT_EVERY: u64 = 100;

/// Far more than are committed during the longest run of a job.
const LOG_ENTRIES_KEPT: u64 = 1_000;

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(3).expect("3 is a zstd level"))
}

impl LakeRuntime {
    /// A runtime of its own parts.
    pub fn new(kernel: Arc<dyn Engine>, threads: Arc<dyn Threads>) -> Self {
        let kernel = Arc::new(StrictEngine::new(kernel));
        Self {
            kernel,
            threads,
            checkpoint_every: CHECKPOINT_EVERY,
            log_entries_kept: LOG_ENTRIES_KEPT,
            table_compression: zstd(),
            sabotage: None,
        }
    }

    /// The runtime of a real process: the kernel's own engine over `store`, and Tokio's threads.
    pub fn of_process(store: Arc<dyn ObjectStore>) -> Self {
        let kernel = DefaultEngineBuilder::new(store).with_task_executor(KERNEL_RUNTIME.clone()).build();
        Self::new(Arc::new(kernel), Arc::new(TokioThreads))
    }

    /// Breaks the protocol on purpose.
    #[cfg(feature = "sabotage")]
    pub fn sabotaged(self, sabotage: Sabotage) -> Self {
        Self { sabotage: Some(sabotage), ..self }
    }

    /// Does `work` aside and returns what it returned.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.threads.run(Box::new(move || drop(sender.send(work())))).await?;
        receiver.await.map_err(|_| Panicked)
    }
}

/// Runs work on a task of its own, so that another core can take it. The work is aborted with the caller, and a panic
/// continues in the caller.
pub async fn on_own_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    // Only the end of the runtime can abort it otherwise, and that drops the caller too.
    task.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

struct TokioThreads;

impl Threads for TokioThreads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, Result<(), Panicked>> {
        // Started now: work of a future that is dropped is finished all the same.
        let running = tokio::task::spawn_blocking(work);
        async move { running.await.map_err(|_| Panicked) }.boxed()
    }
}
