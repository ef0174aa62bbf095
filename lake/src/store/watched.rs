//! A store that says when it keeps its callers waiting.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// A request, or a commit, is reported when it has taken this long.
pub(crate) const REPORTED_AFTER: Duration = Duration::from_secs(5);

/// Many requests wait for one store: one report in this time is enough.
const BETWEEN_REPORTS: Duration = Duration::from_secs(5);

/// A store whose requests are reported in the log while they take long, retries included: a command that seems to hang says
/// what it waits for.
#[derive(Debug)]
pub(crate) struct Watched {
    store: Arc<dyn ObjectStore>,
    reports: Arc<Reports>,
}

#[derive(Debug, Default)]
struct Reports {
    last: Mutex<Option<Instant>>,
}

impl Watched {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, reports: Arc::default() }
    }

    fn watch_stream<T: Send + 'static>(
        &self,
        action: &'static str,
        path: Option<Path>,
        items: BoxStream<'static, T>,
    ) -> BoxStream<'static, T> {
        let reports = self.reports.clone();
        unfold((items, reports, path), move |(mut items, reports, path)| async move {
            let item = reports.watch(action, path.as_ref(), items.next()).await?;
            Some((item, (items, reports, path)))
        })
        // Readers may ask once more after the end.
        .fuse()
        .boxed()
    }
}

impl Reports {
    async fn watch<T>(&self, action: &str, path: Option<&Path>, request: impl Future<Output = T>) -> T {
        tokio::pin!(request);
        let started = Instant::now();
        loop {
            tokio::select! {
                // Nearly always ready before the timer is even set.
                biased;
                outcome = &mut request => return outcome,
                () = sleep(REPORTED_AFTER) => self.report(action, path, started),
            }
        }
    }

    fn report(&self, action: &str, path: Option<&Path>, started: Instant) {
        let now = Instant::now();
        let mut last = self.last.lock();
        if last.is_some_and(|last| now - last < BETWEEN_REPORTS) {
            return;
        }
        *last = Some(now);
        let waited_s = started.elapsed().as_secs();
        match path {
            Some(path) => tracing::warn!("waiting for the store to {action} {path}, {waited_s} s so far"),
            None => tracing::warn!("waiting for the store to {action}, {waited_s} s so far"),
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.reports.watch("write", Some(path), self.store.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.reports.watch("write", Some(path), self.store.put_multipart_opts(path, options)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = self.reports.watch("read", Some(path), self.store.get_opts(path, options)).await?;
        found.payload = match found.payload {
            GetResultPayload::Stream(bytes) => {
                GetResultPayload::Stream(self.watch_stream("read", Some(path.clone()), bytes))
            }
            file => file,
        };
        Ok(found)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reports.watch("read", Some(path), self.store.get_ranges(path, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.watch_stream("delete objects", None, self.store.delete_stream(paths))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.watch_stream("list", prefix.cloned(), self.store.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.watch_stream("list", prefix.cloned(), self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reports.watch("list", prefix, self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.reports.watch("copy", Some(from), self.store.copy_opts(from, to, options)).await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_long_is_reported_now_and_then_until_it_ends() {
        let reports = Reports::default();
        let mut request = pin!(reports.watch("read", None, std::future::pending::<()>()));
        let mut reported = vec![];
        for second in 1..=16 {
            assert!(poll!(&mut request).is_pending());
            advance(Duration::from_secs(1)).await;
            assert!(poll!(&mut request).is_pending());
            if *reports.last.lock() == Some(Instant::now()) {
                reported.push(second);
            }
        }
        assert_eq!(reported, [5, 10, 15]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_that_wait_are_one_report() {
        let reports = Reports::default();
        let mut first = pin!(reports.watch("read", None, std::future::pending::<()>()));
        assert!(poll!(&mut first).is_pending());
        advance(Duration::from_secs(2)).await;
        let mut second = pin!(reports.watch("read", None, std::future::pending::<()>()));
        assert!(poll!(&mut second).is_pending());
        advance(Duration::from_secs(3)).await;
        assert!(poll!(&mut first).is_pending());
        let at = *reports.last.lock();
        assert_eq!(at, Some(Instant::now()));
        advance(Duration::from_secs(2)).await;
        assert!(poll!(&mut second).is_pending());
        assert_eq!(*reports.last.lock(), at);
    }

    #[tokio::test]
    async fn everything_goes_through() {
        let store = Watched::new(Arc::new(InMemory::new()));
        let path = Path::from("a/b");
        store.put(&path, PutPayload::from_static(b"bytes")).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "bytes");
        let mut listed = store.list(None);
        assert!(listed.next().await.is_some() && listed.next().await.is_none() && listed.next().await.is_none());
        assert_eq!(store.list_with_offset(None, &path).count().await, 0);
        store.delete(&path).await.unwrap();
        assert_eq!(store.list(None).count().await, 0);
    }
}
