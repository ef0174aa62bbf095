//! Geography: the country, region and city of an address, from a file in the MaxMind format.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use lake::Event;
use maxminddb::{Reader, geoip2};

/// A MaxMind file, in memory.
#[derive(Debug)]
pub struct Geography {
    reader: Reader<Vec<u8>>,
}

impl Geography {
    /// Reads a file in the MaxMind format.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let reader =
            Reader::open_readfile(path).with_context(|| format!("{} is not a MaxMind file (.mmdb)", path.display()))?;
        Ok(Self { reader })
    }

    /// Fills the columns of the place, unless the sender set them. The address itself is not stored.
    pub fn fill(&self, event: &mut Event, ip: IpAddr) {
        // Some files have incomplete records. An unknown place does not make an event invalid.
        let Ok(Some(city)) = self.reader.lookup(ip).and_then(|found| found.decode::<geoip2::City>()) else { return };
        let set = |column: &mut Option<String>, value: Option<&str>| {
            if column.is_none() {
                *column = value.map(str::to_owned);
            }
        };
        set(&mut event.country, city.country.iso_code);
        // The file's region and city belong to the file's country, which the sender may contradict.
        if event.country.as_deref() == city.country.iso_code {
            set(&mut event.region, city.subdivisions.first().and_then(|region| region.iso_code));
            set(&mut event.city, city.city.names.english);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses of the documentation: 192.0.2.0/24 in Berlin, 198.51.100.0/24 in France and no more.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/places.mmdb");

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

    /// Compares `country region city`.
    #[track_caller]
    fn check(mut event: Event, ip: [u8; 4], expected: &str) {
        Geography::open(Path::new(FILE)).unwrap().fill(&mut event, ip.into());
        let parts = [event.country, event.region, event.city].map(|part| part.unwrap_or("-".into()));
        assert_eq!(parts.join(" "), expected);
    }
}
