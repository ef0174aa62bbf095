//! Who is on the other side: the same build of the program, over the same lake. Every request says it, and a worker refuses
//! whoever is another. Plans call functions by name and name files by place: a build with another `count`, or a lake with
//! other files there, would answer, and not what was asked.

use std::io;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use lake::{Lake, LakeError};
use tokio::sync::OnceCell;
use tonic::Status;

const BUILD: HeaderName = HeaderName::from_static("dewpond-build");
const LAKE: HeaderName = HeaderName::from_static("dewpond-lake");

/// Hex digits of a program's hash that a build is named by.
const HASH_DIGITS: usize = 16;

/// Which program it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Build(String);

impl Build {
    /// The build of the program that runs: its version, and a hash of its file, since one version is built more than once.
    pub(crate) fn of_this_program() -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(std::env::current_exe()?)?)?;
        let hash = hasher.finalize().to_hex();
        Ok(Self(format!("{} ({})", env!("CARGO_PKG_VERSION"), &hash[..HASH_DIGITS])))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

/// What a process says of itself, and wants others to say.
pub(crate) struct Greeting {
    build: Build,
    lake: Lake,
    /// Nobody knows it before the lake has its first table.
    identity: OnceCell<String>,
}

impl Greeting {
    pub(crate) fn new(build: Build, lake: Lake) -> Self {
        Self { build, lake, identity: OnceCell::new() }
    }

    pub(crate) fn build(&self) -> &Build {
        &self.build
    }

    /// Finds out which lake it is. `false` while there is no table yet, and so nothing for workers to read.
    pub(crate) async fn know_lake(&self) -> Result<bool, LakeError> {
        if self.identity.get().is_none()
            && let Some(identity) = self.lake.identity().await?
        {
            // Somebody else may have been first, with the same. Plans name files by their place in the store, so the lake has
            // to have the same place for both, too.
            let _ = self.identity.set(format!("{identity} at {}", self.lake.url()));
        }
        Ok(self.identity.get().is_some())
    }

    /// Adds what it says of itself to a request.
    pub(crate) fn say(&self, headers: &mut HeaderMap) {
        for (name, value) in [(BUILD, Some(self.build.name())), (LAKE, self.identity.get().map(String::as_str))] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
    }

    /// Checks what somebody says of himself.
    ///
    /// - `said`: the value of a header.
    pub(crate) fn check<'a>(&self, said: impl Fn(&str) -> Option<&'a str>) -> Result<(), Status> {
        let build = said(BUILD.as_str()).unwrap_or("no dewpond");
        if build != self.build.name() {
            return Err(Status::failed_precondition(format!(
                "this worker is dewpond {}, and whoever asks it is {build}: run the same build everywhere",
                self.build.name(),
            )));
        }
        let Some(identity) = self.identity.get() else {
            return Err(Status::unavailable("the lake of this worker has no table yet, or cannot be read"));
        };
        match said(LAKE.as_str()) == Some(identity.as_str()) {
            true => Ok(()),
            false => Err(Status::failed_precondition(format!(
                "this worker reads the lake at {}, and whoever asks it reads another one: give both the same --lake",
                self.lake.url(),
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(build: &str, lake: Option<&str>) -> Greeting {
        let greeting = Greeting::new(Build(build.to_owned()), Lake::open("memory:///", []).unwrap());
        if let Some(lake) = lake {
            greeting.identity.set(lake.to_owned()).unwrap();
        }
        greeting
    }

    #[test]
    fn another_build_and_another_lake_are_refused_in_words() {
        let same = ("0.1.0 (aaaa)", Some("lake"));
        check(same, same, None);
        check(same, ("0.1.0 (bbbb)", Some("lake")), Some("run the same build"));
        check(same, ("0.1.0 (aaaa)", Some("other")), Some("give both the same --lake"));
        check(same, ("0.1.0 (aaaa)", None), Some("give both the same --lake"));
        check(("0.1.0 (aaaa)", None), same, Some("no table yet"));
    }

    #[test]
    fn whoever_says_nothing_is_refused() {
        let error = greeting("0.1.0 (aaaa)", Some("lake")).check(|_| None).unwrap_err();
        assert!(error.message().contains("is no dewpond"), "{error}");
    }

    /// - `worker` and `asking`: build and lake of each.
    #[track_caller]
    fn check(worker: (&str, Option<&str>), asking: (&str, Option<&str>), refused: Option<&str>) {
        let mut headers = HeaderMap::new();
        greeting(asking.0, asking.1).say(&mut headers);
        let heard = greeting(worker.0, worker.1).check(|name| headers.get(name)?.to_str().ok());
        match (heard, refused) {
            (Ok(()), None) => {}
            (Err(error), Some(why)) => assert!(error.message().contains(why), "{error}"),
            (heard, refused) => panic!("{heard:?} is not {refused:?}"),
        }
    }
}
