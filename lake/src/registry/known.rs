//! Documents that are asked for at every request, as they were last read.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use object_store::ObjectMeta;
use parking_lot::Mutex;

/// What was made of documents, by their names.
#[derive(Default)]
pub(crate) struct KnownDocuments(Mutex<HashMap<&'static str, Known>>);

/// What was made of one version of a document.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) version: u64,
    /// The version itself. Another one of the same number is in a lake that somebody has put in place of this one.
    pub(crate) object: ObjectMeta,
    pub(crate) made: Arc<dyn Any + Send + Sync>,
}

impl KnownDocuments {
    pub(crate) fn get(&self, name: &str) -> Option<Known> {
        self.0.lock().get(name).cloned()
    }

    pub(crate) fn set(&self, name: &'static str, known: Known) {
        self.0.lock().insert(name, known);
    }
}
