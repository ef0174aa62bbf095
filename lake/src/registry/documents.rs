//! Versioned documents that roles share. This file does not know what they say.
//!
//! A document is a sequence of versions. Each is an object that is created once and never changed, and the highest
//! version counts. Of two writers that race for a version one wins; the other reads the winner's and tries again.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode, PutOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::REGISTRY_DIR;
use crate::registry::known::Known;

impl Lake {
    /// The newest version of a document, with its number; version 0 is the empty document nobody wrote.
    pub(crate) async fn read_document<T: DeserializeOwned + Default>(&self, name: &str) -> Result<(u64, T)> {
        let Some((version, object)) = newest(self.list_documents(name, None).await?) else {
            return Ok((0, T::default()));
        };
        Ok((version, self.read_json(&object.location).await?))
    }

    /// What `make` makes of the newest version of a document; of the empty document if nobody wrote one. For documents that
    /// are asked for at every request: the store is asked which version is the newest, but only for those from the known one
    /// on, and a version that is known is not read again.
    ///
    /// - `name`: of which the same is made each time.
    pub(crate) async fn known_document<T, R>(&self, name: &'static str, make: impl FnOnce(T) -> R) -> Result<Arc<R>>
    where
        T: DeserializeOwned + Default,
        R: Send + Sync + 'static,
    {
        let known = self.known_documents().get(name);
        let mut found = match &known {
            Some(known) => {
                let before = object_name(known.version.saturating_sub(1));
                newest(self.list_documents(name, Some(&before)).await?)
            }
            None => None,
        };
        if found.is_none() {
            found = newest(self.list_documents(name, None).await?);
        }
        let Some((version, object)) = found else { return Ok(Arc::new(make(T::default()))) };
        if let Some(known) = known.filter(|known| known.object == object)
            && let Ok(made) = known.made.downcast::<R>()
        {
            return Ok(made);
        }
        let made = Arc::new(make(self.read_json(&object.location).await?));
        self.known_documents().set(name, Known { version, object, made: made.clone() });
        Ok(made)
    }

    /// One version of a document. Versions never change.
    pub(crate) async fn read_version_of<T: DeserializeOwned>(&self, name: &str, version: u64) -> Result<T> {
        self.read_json(&self.path(&document_path(name, version))).await
    }

    /// The versions of a document, or those whose objects have names behind another one.
    async fn list_documents(&self, name: &str, after: Option<&str>) -> Result<Vec<ObjectMeta>> {
        let dir = format!("{REGISTRY_DIR}/{name}");
        match after {
            Some(after) => self.list_after(&dir, after).await,
            None => self.list(&dir).await,
        }
    }

    async fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Result<T> {
        let read = async { self.store().get(path).await?.bytes().await };
        let bytes = read.await.map_err(|error| LakeError::store(format!("read {path}"), error))?;
        serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(path.to_string(), error))
    }

    /// Applies `change` to the newest version, which it is told the number of, and creates the next one; again if
    /// somebody was faster.
    pub(crate) async fn update_document<T>(
        &self,
        name: &str,
        change: impl FnMut(u64, &mut T) -> Result<()>,
    ) -> Result<()>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        self.change_document(name, change).await
    }

    /// The same of a change that has an outcome, and fails in words of its own. Of several tries the last one's counts.
    pub(crate) async fn change_document<T, R, E>(
        &self,
        name: &str,
        mut change: impl FnMut(u64, &mut T) -> Result<R, E>,
    ) -> Result<R, E>
    where
        T: Serialize + DeserializeOwned + Default,
        E: From<LakeError>,
    {
        const TRIES: u32 = 20;
        let writer = self.new_uuid().to_string();
        let mut in_doubt: Option<(Path, object_store::Error, R)> = None;
        for _ in 0..TRIES {
            let (version, mut document) = self.read_document::<T>(name).await?;
            // A put that nobody knew of may have landed since: to change the document again would be once too often.
            if let Some((path, _, outcome)) = in_doubt.take() {
                match self.read_json::<Writer>(&path).await {
                    Ok(found) if found.writer == writer => return Ok(outcome),
                    Ok(_) | Err(LakeError::Gone { .. }) => {}
                    Err(unreadable) => return Err(unreadable.into()),
                }
            }
            let outcome = change(version, &mut document)?;
            let next = Versioned { writer: writer.clone(), document };
            let path = self.path(&document_path(name, version + 1));
            let bytes = serde_json::to_vec_pretty(&next).expect("a registry document is plain data");
            match self.store().put_opts(&path, bytes.into(), PutOptions::from(PutMode::Create)).await {
                Ok(_) => return Ok(outcome),
                Err(
                    error
                    @ (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }),
                ) => return Err(LakeError::store(format!("write {path}"), error).into()),
                // An answer may be lost or wrong: whose version lies there now?
                Err(error) => match self.read_json::<Writer>(&path).await {
                    Ok(found) if found.writer == writer => return Ok(outcome),
                    Ok(_) => in_doubt = None,
                    Err(LakeError::Gone { .. }) => {
                        tracing::warn!(%path, error = &error as &dyn std::error::Error, "trying again to write a document");
                        in_doubt = Some((path, error, outcome));
                    }
                    Err(unreadable) => return Err(unreadable.into()),
                },
            }
        }
        let action = format!("write registry/{name}");
        let error = match in_doubt {
            Some((_, error, _)) => LakeError::unavailable(action, error),
            None => LakeError::unavailable(action, "others wrote it at every try"),
        };
        Err(error.into())
    }
}

/// A document with the mark of who wrote it, by which a writer knows its own version again.
#[derive(Serialize)]
struct Versioned<T> {
    writer: String,
    #[serde(flatten)]
    document: T,
}

#[derive(Deserialize)]
pub(crate) struct Writer {
    writer: String,
}

/// The newest of some versions of a document, with its number.
fn newest(objects: Vec<ObjectMeta>) -> Option<(u64, ObjectMeta)> {
    let versions = objects.into_iter().filter_map(|object| Some((version_of(&object.location)?, object)));
    versions.max_by_key(|(version, _)| *version)
}

/// The name of the object of a version. Names are in the order of the versions.
fn object_name(version: u64) -> String {
    format!("{version:012}.json")
}

fn document_path(name: &str, version: u64) -> String {
    format!("{REGISTRY_DIR}/{name}/{}", object_name(version))
}

pub(crate) fn version_of(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use object_store::PutPayload;

    use super::*;

    #[tokio::test]
    async fn concurrent_writers_lose_nothing() {
        let lake = Lake::open("memory:///", []).unwrap();
        let names: Vec<String> = (0..8).map(|site| format!("site-{site}")).collect();
        futures::future::join_all(names.iter().map(|name| lake.add_site(name, DateTime::UNIX_EPOCH)))
            .await
            .into_iter()
            .for_each(|added| drop(added.unwrap()));
        assert_eq!(lake.sites().await.unwrap().sites().len(), 8);
    }

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
