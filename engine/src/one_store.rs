//! The one store that plans may read. DataFusion's own registry opens the local disk, too, for whoever names a file of it.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use object_store::ObjectStore;
use url::{Position, Url};

/// The store of a lake, and no other.
#[derive(Debug)]
pub(crate) struct OneStore {
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
}

impl OneStore {
    pub(crate) fn new(url: ObjectStoreUrl, store: Arc<dyn ObjectStore>) -> Self {
        Self { url, store }
    }
}

impl ObjectStoreRegistry for OneStore {
    /// None joins it.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let place = |url: &Url| url[..Position::BeforePath].to_owned();
        match place(url) == place(self.url.as_ref()) {
            true => Ok(self.store.clone()),
            false => Err(DataFusionError::Plan(format!("{} is not the lake's store", place(url)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn no_store_but_the_lakes_is_read() {
        check("s3://bucket", "s3://bucket/lake/events/a.parquet", true);
        check("s3://bucket", "s3://other/lake/events/a.parquet", false);
        check("s3://bucket", "file:///etc/passwd", false);
        check("file://", "file:///srv/lake/events/a.parquet", true);
        check("memory://", "file:///etc/passwd", false);
    }

    #[track_caller]
    fn check(store: &str, asked: &str, expected: bool) {
        let stores = OneStore::new(ObjectStoreUrl::parse(store).unwrap(), Arc::new(InMemory::new()));
        stores.register_store(&Url::parse(asked).unwrap(), Arc::new(InMemory::new()));
        assert_eq!(stores.get_store(&Url::parse(asked).unwrap()).is_ok(), expected, "{asked}");
    }
}
