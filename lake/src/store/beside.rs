//! Stores beside the lake's own: where events go to or come from.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, parse_url_opts};
use url::Url;

use crate::store::synced_local::SyncedLocal;

/// What whoever gives an address with credentials is told.
pub(crate) const WITHOUT_CREDENTIALS: &str =
    "an address must not carry credentials: set the store's own variables, such as AWS_ACCESS_KEY_ID";

/// Whether an address has a user or a password.
pub(crate) fn carries_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The variables that may configure a store, with the names that the `object_store` crate documents.
pub(crate) fn variables(
    environment: impl IntoIterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, String)> {
    let is_of_store = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
    environment.into_iter().filter(move |(name, _)| is_of_store(name))
}

/// Opens the store of a directory or an object at a local path or a URL, with its path there. On a local disk, what is put is
/// durable when the put returns, as in a lake. Changes nothing.
///
/// - `environment`: variables that may configure the store: those beginning with `AWS_`, `AZURE_` or `GOOGLE_`.
///
/// Fails if there can be no such store.
pub fn open_store(
    location: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> object_store::Result<(Arc<dyn ObjectStore>, Path)> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "URL", source };
    let url = match location.contains("://") {
        true => {
            let url = Url::parse(location).map_err(|error| failed(error.into()))?;
            // They would be logged with the address, and the store would not ask for them.
            if carries_credentials(&url) {
                return Err(failed(WITHOUT_CREDENTIALS.into()));
            }
            url
        }
        false => {
            let path = std::path::absolute(location).map_err(|error| failed(error.into()))?;
            Url::from_directory_path(path).map_err(|()| failed("it is not a path of this machine".into()))?
        }
    };
    match ObjectStoreScheme::parse(&url)? {
        (ObjectStoreScheme::Local, path) => Ok((Arc::new(SyncedLocal::new()), path)),
        _ => parse_url_opts(&url, variables(environment)).map(|(store, path)| (Arc::from(store), path)),
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn a_path_and_its_url_are_one_directory() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().to_str().unwrap().to_owned();
        let url = Url::from_directory_path(dir.path()).unwrap().to_string();
        for (name, location) in [("a", plain), ("b", url)] {
            let (store, root) = open_store(&location, []).unwrap();
            store.put(&root.join(name), "x".into()).await.unwrap();
            assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), b"x", "{location}");
        }
    }

    #[test]
    fn only_variables_of_stores_are_passed_on() {
        let environment = ["AWS_REGION", "AZURE_X", "GOOGLE_X", "HOME", "X_AWS_REGION"];
        let passed = variables(environment.map(|name| (name.to_owned(), String::new())));
        assert_eq!(passed.map(|(name, _)| name).collect::<Vec<_>>(), ["AWS_REGION", "AZURE_X", "GOOGLE_X"]);
        assert!(open_store("nonsense://x", []).is_err());
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        for location in ["s3://key:secret@bucket/archive", "https://key@bucket.example/archive", "s3://:secret@bucket"]
        {
            let error = open_store(location, []).err().unwrap().to_string();
            assert!(error.contains("AWS_ACCESS_KEY_ID") && !error.contains("secret"), "{error}");
        }
    }
}
