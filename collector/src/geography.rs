//! Where an address lies: country, region and city from a file in the MaxMind format.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use lake::Event;
use maxminddb::{Reader, geoip2};
use parking_lot::RwLock;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// A file of addresses, in memory.
#[derive(Debug)]
pub struct Geography {
    reader: Reader<Vec<u8>>,
}

impl Geography {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open_readfile(path)
            .with_context(|| format!("{} is no file in the MaxMind format (.mmdb)", path.display()))?;
        Ok(Self { reader })
    }

    /// Fills in where an event happened, as far as its sender has not said so. The address itself is not kept.
    pub(crate) fn fill(&self, event: &mut Event, ip: IpAddr) {
        // Some files have records that lack what they should have: an unknown place is no reason to refuse an event.
        let Ok(Some(city)) = self.reader.lookup(ip).and_then(|found| found.decode::<geoip2::City>()) else { return };
        let set = |column: &mut Option<String>, value: Option<&str>| {
            if column.is_none() {
                *column = value.map(str::to_owned);
            }
        };
        set(&mut event.country, city.country.iso_code);
        // A region or city that the sender named belongs to the sender's country, and ours to ours.
        if event.country.as_deref() == city.country.iso_code {
            set(&mut event.region, city.subdivisions.first().and_then(|region| region.iso_code));
            set(&mut event.city, city.city.names.english);
        }
    }
}

/// The geography as its file is now: a new file is read within seconds, and one that cannot be read changes nothing.
pub(crate) struct GeographyFile {
    current: Arc<RwLock<Arc<Geography>>>,
    _watching: AbortOnDropHandle<()>,
}

impl GeographyFile {
    /// Reads the file, and again whenever it has changed.
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
                            tracing::info!(path = %path.display(), "read the file of addresses again");
                        }
                        Err(error) => tracing::warn!(
                            error = &*error as &dyn std::error::Error,
                            "the new file of addresses cannot be read; the one before stays in use"
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
    use super::*;

    /// Addresses of the documentation: 192.0.2.0/24 in Berlin, 198.51.100.0/24 in France and no more.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/places.mmdb");
    /// The same with 192.0.2.0/24 in Hamburg.
    const NEWER_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/places-newer.mmdb");

    #[test]
    fn an_address_has_a_country_and_often_more() {
        check(Event::default(), [192, 0, 2, 7], "DE BE Berlin");
        check(Event::default(), [198, 51, 100, 7], "FR - -");
        check(Event::default(), [203, 0, 113, 7], "- - -");
    }

    #[test]
    fn what_the_sender_says_stays() {
        let said = |country: &str| Event { country: Some(country.into()), ..Event::default() };
        check(said("AT"), [192, 0, 2, 7], "AT - -");
        check(said("DE"), [192, 0, 2, 7], "DE BE Berlin");
    }

    #[tokio::test]
    async fn a_new_file_is_read_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("city.mmdb");
        std::fs::copy(FILE, &path).unwrap();
        let file = GeographyFile::watch(path.clone(), Duration::from_millis(5)).unwrap();
        assert_eq!(city(&file), "Berlin");
        std::fs::write(&path, "nonsense").unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(city(&file), "Berlin");
        std::fs::copy(NEWER_FILE, &path).unwrap();
        while city(&file) != "Hamburg" {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(GeographyFile::watch(dir.path().join("missing.mmdb"), Duration::from_secs(1)).is_err());
    }

    fn city(file: &GeographyFile) -> String {
        let mut event = Event::default();
        file.current().fill(&mut event, [192, 0, 2, 7].into());
        event.city.unwrap_or_default()
    }

    /// Compares `country region city`.
    #[track_caller]
    fn check(mut event: Event, ip: [u8; 4], expected: &str) {
        Geography::open(Path::new(FILE)).unwrap().fill(&mut event, ip.into());
        let parts = [event.country, event.region, event.city].map(|part| part.unwrap_or("-".into()));
        assert_eq!(parts.join(" "), expected);
    }
}
