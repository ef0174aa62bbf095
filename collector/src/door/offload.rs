//! CPU work on bodies: inline for small ones, on blocking threads for large ones.

use std::sync::Arc;
use std::thread::available_parallelism;

use futures::FutureExt;
use intake::IngestError;
use tokio::sync::Semaphore;

use super::body::RawBody;

/// Work on bodies up to this size takes less time than handing it to another thread.
pub(super) const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Blocking threads for large bodies, as many at a time as there are cores. This bounds both the threads and the
/// memory that they take.
pub(super) struct Offload {
    permits: Arc<Semaphore>,
}

impl Offload {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))) }
    }

    /// Runs work on a body that takes `body_bytes` decompressed, inline if it is small.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        body_bytes: usize,
        body: &Arc<RawBody>,
        work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
    ) -> Result<T, IngestError> {
        match body_bytes <= INLINE_BYTES_MAX {
            true => work(),
            false => self.run_aside(body, work).await,
        }
    }

    /// Runs work on a blocking thread, once one is free. The work owns the permit and the body's memory: both are held
    /// until it is done, even if the sender hangs up meanwhile.
    pub(super) async fn run_aside<T: Send + 'static>(
        &self,
        body: &Arc<RawBody>,
        work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
    ) -> Result<T, IngestError> {
        self.spawn(body.clone(), work).boxed().await
    }

    async fn spawn<T: Send + 'static>(
        &self,
        body: Arc<RawBody>,
        work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
    ) -> Result<T, IngestError> {
        let permit = self.permits.clone().acquire_owned().await.expect("nobody closes this semaphore");
        let work = move || {
            let result = work();
            drop((permit, body));
            result
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(IngestError::Closing),
            },
        }
    }
}
