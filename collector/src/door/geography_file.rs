//! The geography file of `--geoip`, reloaded when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use intake::Geography;
use parking_lot::RwLock;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// The current geography. A new file is loaded within seconds; if it cannot be used, the old one stays.
pub(crate) struct GeographyFile {
    current: Arc<RwLock<Arc<Geography>>>,
    _watching: AbortOnDropHandle<()>,
}

impl GeographyFile {
    /// Reads the file now, and again whenever it changes.
    ///
    /// - `every`: how often to look for a change.
    pub(crate) fn watch(path: PathBuf, every: Duration) -> anyhow::Result<Self> {
        let mut seen = modified(&path);
        let current = Arc::new(RwLock::new(Arc::new(Geography::open(&path)?)));
        let watching = tokio::spawn({
            let current = current.clone();
            async move {
                loop {
                    sleep(every).await;
                    let now = modified(&path);
                    if now == seen || now.is_none() {
                        continue;
                    }
                    seen = now;
                    let file = path.clone();
                    let read = tokio::task::spawn_blocking(move || Geography::open(&file)).await;
                    match read.map_err(anyhow::Error::from).and_then(|read| read) {
                        Ok(read) => {
                            *current.write() = Arc::new(read);
                            tracing::info!(path = %path.display(), "reloaded the geography file");
                        }
                        Err(error) => tracing::warn!(
                            error = &*error as &dyn std::error::Error,
                            "the new geography file cannot be used; the old one stays in use"
                        ),
                    }
                }
            }
        });
        Ok(Self { current, _watching: AbortOnDropHandle::new(watching) })
    }

    pub(crate) fn current(&self) -> Arc<Geography> {
        self.current.read().clone()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

#[cfg(test)]
mod tests {
    use lake::Event;

    use super::*;

    /// Addresses of the documentation: 192.0.2.0/24 in Berlin, 198.51.100.0/24 in France and no more.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../intake/tests/places.mmdb");
    /// The same with 192.0.2.0/24 in Hamburg.
    const NEWER_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../intake/tests/places-newer.mmdb");
    /// The owner of 192.0.2.0/24, and no place.
    const FILE_WITHOUT_PLACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../intake/tests/owners.mmdb");

    #[tokio::test]
    async fn a_new_file_is_read_and_one_that_is_broken_or_has_no_places_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("city.mmdb");
        std::fs::copy(FILE, &path).unwrap();
        let file = GeographyFile::watch(path.clone(), Duration::from_millis(5)).unwrap();
        assert_eq!(city(&file), "Berlin");
        std::fs::write(&path, "nonsense").unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(city(&file), "Berlin");
        std::fs::copy(FILE_WITHOUT_PLACES, &path).unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(city(&file), "Berlin");
        std::fs::copy(NEWER_FILE, &path).unwrap();
        while city(&file) != "Hamburg" {
            sleep(Duration::from_millis(5)).await;
        }
        for unusable in [dir.path().join("missing.mmdb"), FILE_WITHOUT_PLACES.into()] {
            let refused = GeographyFile::watch(unusable, Duration::from_secs(1)).err().unwrap();
            assert!(
                ["could not read", "no countries"].iter().any(|why| format!("{refused:#}").contains(why)),
                "{refused:#}"
            );
        }
    }

    fn city(file: &GeographyFile) -> String {
        let mut event = Event::default();
        file.current().fill(&mut event, [192, 0, 2, 7].into());
        event.city.unwrap_or_default()
    }
}
