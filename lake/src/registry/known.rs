//! Documents that are asked for at every request, as they were last read.
//!
//! Nothing here is older than the question: the store is asked each time which version is the newest, but only for those from
//! the known one on, and a version that is known is not read again.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use object_store::ObjectMeta;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::lake::Lake;
use crate::registry::documents::{newest, object_name};

/// What was made of documents, by their names.
#[derive(Default)]
pub(crate) struct KnownDocuments(Mutex<HashMap<&'static str, Known>>);

#[derive(Clone)]
struct Known {
    version: u64,
    /// What the version was made of. Another one of the same number is in a lake that somebody has put in place of this one.
    object: ObjectMeta,
    made: Arc<dyn Any + Send + Sync>,
}

impl Lake {
    /// What `make` makes of the newest version of a document; of the empty document if nobody wrote one.
    ///
    /// - `name`: of which the same is made each time.
    pub(crate) async fn known_document<T, R>(&self, name: &'static str, make: impl FnOnce(T) -> R) -> Result<Arc<R>>
    where
        T: DeserializeOwned + Default,
        R: Send + Sync + 'static,
    {
        let known = self.known_documents().0.lock().get(name).cloned();
        let mut listed = match &known {
            Some(known) => self.list_documents(name, Some(&object_name(known.version - 1))).await?,
            None => vec![],
        };
        if listed.is_empty() {
            listed = self.list_documents(name, None).await?;
        }
        let Some((version, object)) = newest(listed) else { return Ok(Arc::new(make(T::default()))) };
        if let Some(known) = known.filter(|known| known.object == object)
            && let Ok(made) = known.made.downcast::<R>()
        {
            return Ok(made);
        }
        let made = Arc::new(make(self.read_json(&object.location).await?));
        self.known_documents().0.lock().insert(name, Known { version, object, made: made.clone() });
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    async fn read(lake: &Lake) -> Arc<Vec<String>> {
        lake.known_document("words", |words: Vec<String>| words).await.unwrap()
    }

    async fn write(lake: &Lake, version: u64, words: &str) {
        let path = Path::from(format!("registry/words/{}", object_name(version)));
        lake.store().put(&path, PutPayload::from(words.to_owned())).await.unwrap();
    }

    #[tokio::test]
    async fn a_document_is_the_newest_and_read_once() {
        let lake = Lake::open("memory:///", []).unwrap();
        assert!(read(&lake).await.is_empty());
        write(&lake, 1, r#"["a"]"#).await;
        let first = read(&lake).await;
        assert_eq!(*first, ["a"]);
        assert!(Arc::ptr_eq(&first, &read(&lake).await), "it was read again");
        for version in 2..13 {
            write(&lake, version, &format!("[\"{version}\"]")).await;
            assert_eq!(*read(&lake).await, [version.to_string()]);
        }
    }

    #[tokio::test]
    async fn a_lake_in_place_of_another_has_documents_of_its_own() {
        let lake = Lake::open("memory:///", []).unwrap();
        for version in 1..4 {
            write(&lake, version, r#"["before"]"#).await;
        }
        assert_eq!(*read(&lake).await, ["before"]);
        write(&lake, 3, r#"["after"]"#).await;
        assert_eq!(*read(&lake).await, ["after"], "the same number");
        for version in 2..4 {
            let path = Path::from(format!("registry/words/{}", object_name(version)));
            lake.store().delete(&path).await.unwrap();
        }
        assert_eq!(*read(&lake).await, ["before"], "a lower number");
    }

    #[tokio::test]
    async fn sites_are_those_that_somebody_added_just_now() {
        let lake = Lake::open("memory:///", []).unwrap();
        for number in 0..12 {
            lake.add_site(&format!("site-{number}"), DateTime::UNIX_EPOCH).await.unwrap();
            assert_eq!(lake.sites().await.unwrap().sites().len(), number + 1);
        }
    }
}
