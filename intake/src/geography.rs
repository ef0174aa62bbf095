//! Geography: the country, region and city of an address, from a file in the MaxMind format.
//!
//! The format says how a file is searched, not what its records hold. Two shapes are common:
//!
//! | Shape | Records | Who writes it |
//! |---|---|---|
//! | nested | `{"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BE"}], "city": {"names": {"en": "Berlin"}}}` | MaxMind, DB-IP, IP2Location |
//! | flat | `{"country_code": "DE", "region": "Berlin", "city": "Berlin"}`, or the code in `country` | IPinfo, ip-location-db, ipdata |
//!
//! Files of networks and their owners (ASN), of anonymisers or connection types have the same format and no country.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};
use lake::Event;
use maxminddb::{LookupResult, Reader, WithinOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Records in which a country is looked for. The first ones are those of a few large networks, whose country may be unknown.
const SAMPLE_RECORDS: usize = 100_000;

/// A MaxMind file, in memory.
#[derive(Debug)]
pub struct Geography {
    reader: Reader<Vec<u8>>,
    shape: Shape,
}

/// What the records of a file look like. Found once, because an event's address is looked up while its sender waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Nested,
    Flat,
}

/// A place, as far as it is known.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place<'a> {
    country: Option<&'a str>,
    region: Option<&'a str>,
    city: Option<&'a str>,
}

/// A nested record. Only what is needed of it, because other fields differ from file to file.
#[derive(Deserialize)]
struct NestedRecord<'a> {
    #[serde(borrow)]
    country: Option<Named<'a>>,
    #[serde(borrow)]
    subdivisions: Option<Vec<Named<'a>>>,
    #[serde(borrow)]
    city: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    iso_code: Option<&'a str>,
    #[serde(borrow)]
    names: Option<Names<'a>>,
}

#[derive(Deserialize)]
struct Names<'a> {
    en: Option<&'a str>,
}

/// A flat record. Some files have an empty text for what is unknown.
#[derive(Deserialize)]
struct FlatRecord<'a> {
    /// The code, or the name beside `country_code`.
    country: Option<&'a str>,
    country_code: Option<&'a str>,
    region: Option<&'a str>,
    region_code: Option<&'a str>,
    state1: Option<&'a str>,
    city: Option<&'a str>,
}

impl Geography {
    /// Reads a file in the MaxMind format.
    ///
    /// Fails if it cannot be read, or if it has no countries.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        Self::read(file).with_context(|| format!("{} cannot be used for places", path.display()))
    }

    fn read(file: Vec<u8>) -> anyhow::Result<Self> {
        const GZIP: &[u8] = &[0x1f, 0x8b];
        if file.starts_with(GZIP) || file.starts_with(b"PK") {
            bail!("it is compressed; unpack it first");
        }
        let reader = Reader::from_source(file).context("it is not a MaxMind file (.mmdb)")?;
        let shape = shape_of(&reader)?;
        Ok(Self { reader, shape })
    }

    /// Fills the columns of the place, unless the sender set them. The address itself is not stored.
    pub fn fill(&self, event: &mut Event, ip: IpAddr) {
        // Some files have incomplete records. An unknown place does not make an event invalid.
        let Ok(found) = self.reader.lookup(ip) else { return };
        let Some(place) = self.shape.place(&found) else { return };
        let set = |column: &mut Option<String>, value: Option<&str>| {
            if column.is_none() {
                *column = value.map(str::to_owned);
            }
        };
        let country = place.country.map(str::to_ascii_uppercase);
        set(&mut event.country, country.as_deref());
        // The file's region and city belong to the file's country, which the sender may contradict.
        if event.country == country {
            set(&mut event.region, place.region);
            set(&mut event.city, place.city);
        }
    }
}

impl Shape {
    /// The place of a record in this shape; `None` if there is no record, or not in this shape.
    fn place<'a>(self, found: &LookupResult<'a, Vec<u8>>) -> Option<Place<'a>> {
        let place = match self {
            Self::Nested => found.decode::<NestedRecord<'a>>().ok()??.place(),
            Self::Flat => found.decode::<FlatRecord<'a>>().ok()??.place(),
        };
        let is_code = |code: &&str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        Some(Place { country: place.country.filter(is_code), ..place })
    }
}

impl<'a> NestedRecord<'a> {
    fn place(self) -> Place<'a> {
        let name = |named: &Named<'a>| known(named.names.as_ref().and_then(|names| names.en));
        let region = self.subdivisions.as_ref().and_then(|regions| regions.first());
        Place {
            country: self.country.and_then(|country| known(country.iso_code)),
            // DB-IP Lite and IP2Location name regions and have no codes of them.
            region: region.and_then(|region| known(region.iso_code).or_else(|| name(region))),
            city: self.city.as_ref().and_then(name),
        }
    }
}

impl<'a> FlatRecord<'a> {
    fn place(self) -> Place<'a> {
        let country = known(self.country_code).or_else(|| known(self.country));
        // Some write the code of a region with its country: DE-BE.
        let code = known(self.region_code).map(|code| code.split_once('-').map_or(code, |(_, region)| region));
        Place {
            country,
            region: code.or_else(|| known(self.region)).or_else(|| known(self.state1)),
            city: known(self.city),
        }
    }
}

/// A text, unless it stands for nothing.
fn known(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !matches!(*text, "" | "-"))
}

/// The shape of a file's records. Fails if they have no country in either.
fn shape_of(reader: &Reader<Vec<u8>>) -> anyhow::Result<Shape> {
    let mut fields = None;
    for record in reader.networks(WithinOptions::default()).context("its networks cannot be read")?.take(SAMPLE_RECORDS)
    {
        let record = record.context("its networks cannot be read")?;
        let has_country = |shape: &Shape| shape.place(&record).is_some_and(|place| place.country.is_some());
        if let Some(shape) = [Shape::Nested, Shape::Flat].into_iter().find(has_country) {
            return Ok(shape);
        }
        if fields.is_none() {
            fields = record.decode::<BTreeMap<String, IgnoredAny>>().ok().flatten();
        }
    }
    let of = &reader.metadata().database_type;
    let fields: Vec<String> = fields.unwrap_or_default().into_keys().collect();
    let fields = if fields.is_empty() { "nothing".into() } else { fields.join(", ") };
    bail!(
        "it has no countries (a file of {of}, whose records hold {fields}); use one of countries or cities, such as \
         GeoLite2-City, DB-IP City Lite, IP2Location LITE DB11 or IPinfo Lite"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

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

    #[test]
    fn records_of_every_common_shape_are_read() {
        for (made_by, record, expected) in [
            (
                "MaxMind GeoLite2-City",
                json!({"city": {"geoname_id": 2950159, "names": {"de": "Berlin", "en": "Berlin"}},
                       "country": {"geoname_id": 2921044, "is_in_european_union": true, "iso_code": "DE"},
                       "subdivisions": [{"geoname_id": 2950157, "iso_code": "BE", "names": {"en": "State of Berlin"}}]}),
                "DE BE Berlin",
            ),
            ("MaxMind GeoLite2-Country", json!({"continent": {"code": "EU"}, "country": {"iso_code": "DE"}}), "DE - -"),
            (
                "DB-IP City Lite",
                json!({"city": {"names": {"en": "Berlin"}}, "country": {"iso_code": "DE", "names": {"en": "Germany"}},
                       "subdivisions": [{"names": {"en": "Land Berlin"}}]}),
                "DE Land Berlin Berlin",
            ),
            (
                "IP2Location LITE DB11",
                json!({"city": {"names": {"en": "Berlin"}}, "country": {"iso_code": "DE"}, "postal": {"code": "10115"},
                       "subdivisions": [{"names": {"en": "Berlin"}}]}),
                "DE Berlin Berlin",
            ),
            ("IP2Location, unknown", json!({"city": {"names": {"en": "-"}}, "country": {"iso_code": "-"}}), "- - -"),
            (
                "IPinfo Lite",
                json!({"as_domain": "telekom.de", "as_name": "Deutsche Telekom AG", "asn": "AS3320", "continent": "Europe",
                       "continent_code": "EU", "country": "Germany", "country_code": "DE"}),
                "DE - -",
            ),
            ("IPinfo country, older", json!({"continent": "EU", "country": "DE", "country_name": "Germany"}), "DE - -"),
            (
                "IPinfo location",
                json!({"city": "Berlin", "country": "DE", "lat": "52.52437", "region": "State of Berlin", "timezone": "Europe/Berlin"}),
                "DE State of Berlin Berlin",
            ),
            (
                "ipdata",
                json!({"city": "Berlin", "country_code": "DE", "country_name": "Germany", "region": "Berlin", "region_code": "DE-BE"}),
                "DE BE Berlin",
            ),
            (
                "ip-location-db, cities",
                json!({"city": "Berlin", "country_code": "DE", "state1": "Land Berlin", "state2": "", "postcode": ""}),
                "DE Land Berlin Berlin",
            ),
            ("ip-location-db, countries in small letters", json!({"country_code": "de"}), "DE - -"),
        ] {
            // An address of the first record is in a country, so that the file can be read.
            let is_flat = record["country"].is_string() || record["country_code"].is_string();
            let first = if is_flat { json!({"country_code": "FR"}) } else { json!({"country": {"iso_code": "FR"}}) };
            let file = mmdb("a test", &[([10, 0, 0], first), ([192, 0, 2], record)]);
            let place = place_in(&Geography::read(file).unwrap(), Event::default(), [192, 0, 2, 7]);
            assert_eq!(place, expected, "{made_by}");
        }
    }

    #[test]
    fn a_file_without_countries_is_refused_with_what_it_has() {
        for (database_type, record, fields) in [
            (
                "GeoLite2-ASN",
                json!({"autonomous_system_number": 3320, "autonomous_system_organization": "Deutsche Telekom AG"}),
                "autonomous_system_number, autonomous_system_organization",
            ),
            (
                "GeoIP2-Anonymous-IP",
                json!({"is_anonymous": true, "is_hosting_provider": true}),
                "is_anonymous, is_hosting",
            ),
            ("GeoIP2-Connection-Type", json!({"connection_type": "Cable/DSL"}), "connection_type"),
            (
                "ipinfo asn.mmdb",
                json!({"asn": "AS3320", "domain": "telekom.de", "name": "Telekom"}),
                "asn, domain, name",
            ),
            ("a list of names", json!({"country": "Germany"}), "country"),
            ("empty records", json!({}), "nothing"),
        ] {
            let refused = Geography::read(mmdb(database_type, &[([192, 0, 2], record)])).unwrap_err();
            let expected = format!("it has no countries (a file of {database_type}, whose records hold {fields}");
            assert!(refused.to_string().starts_with(&expected), "{refused}");
        }
        let empty = Geography::read(mmdb("GeoLite2-City", &[])).unwrap_err();
        assert!(empty.to_string().contains("whose records hold nothing"), "{empty}");
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_what_to_do() {
        for (file, reason) in [
            (&b"\x1f\x8b\x08\x00"[..], "it is compressed; unpack it first"),
            (b"PK\x03\x04", "it is compressed; unpack it first"),
            (b"network,geoname_id\n1.0.0.0/24,2077456\n", "it is not a MaxMind file (.mmdb)"),
            (b"", "it is not a MaxMind file (.mmdb)"),
        ] {
            assert_eq!(Geography::read(file.to_vec()).unwrap_err().to_string(), reason);
        }
    }

    /// Compares `country region city`.
    #[track_caller]
    fn check(event: Event, ip: [u8; 4], expected: &str) {
        assert_eq!(place_in(&Geography::open(Path::new(FILE)).unwrap(), event, ip), expected);
    }

    fn place_in(geography: &Geography, mut event: Event, ip: [u8; 4]) -> String {
        geography.fill(&mut event, ip.into());
        [event.country, event.region, event.city].map(|part| part.unwrap_or("-".into())).join(" ")
    }

    /// A file in the MaxMind format with a record for each network of 256 addresses.
    fn mmdb(database_type: &str, records: &[([u8; 3], Json)]) -> Vec<u8> {
        const NOTHING: usize = usize::MAX;
        const RECORD: usize = usize::MAX / 2;
        let (mut nodes, mut data, mut offsets) = (vec![[NOTHING; 2]], Vec::new(), Vec::new());
        for (network, record) in records {
            let bits: Vec<usize> =
                network.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1))).collect();
            let (last, path) = bits.split_last().unwrap();
            let mut node = 0;
            for bit in path {
                if nodes[node][*bit] == NOTHING {
                    nodes[node][*bit] = nodes.len();
                    nodes.push([NOTHING; 2]);
                }
                node = nodes[node][*bit];
            }
            nodes[node][*last] = RECORD + offsets.len();
            offsets.push(data.len());
            encode(record, &mut data);
        }
        let count = nodes.len();
        let mut file = Vec::new();
        for side in nodes.into_iter().flatten() {
            let value = match side {
                NOTHING => count,
                record if record >= RECORD => count + 16 + offsets[record - RECORD],
                node => node,
            };
            file.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
        }
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(&data);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let metadata = json!({
            "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "ip_version": 4,
            "database_type": database_type, "description": {}, "languages": ["en"], "node_count": count, "record_size": 24,
        });
        encode(&metadata, &mut file);
        file
    }

    /// A value of the format's data section: a byte of type and length, the length if it is long, the value.
    fn encode(value: &Json, data: &mut Vec<u8>) {
        match value {
            Json::Object(fields) => {
                begin(data, 7, fields.len());
                for (name, value) in fields {
                    encode(&json!(name), data);
                    match (&**name, value.as_u64()) {
                        // The format has integers of several sizes, and the metadata's must be these.
                        ("build_epoch", Some(number)) => encode_integer(9, number, data),
                        ("node_count", Some(number)) => encode_integer(6, number, data),
                        (_, Some(number)) if number < 1 << 16 => encode_integer(5, number, data),
                        (_, Some(number)) => encode_integer(6, number, data),
                        _ => encode(value, data),
                    }
                }
            }
            Json::Array(values) => {
                begin(data, 11, values.len());
                values.iter().for_each(|value| encode(value, data));
            }
            Json::String(text) => {
                begin(data, 2, text.len());
                data.extend_from_slice(text.as_bytes());
            }
            Json::Bool(flag) => begin(data, 14, usize::from(*flag)),
            Json::Null | Json::Number(_) => unreachable!("no record here has one outside an object"),
        }
    }

    fn encode_integer(kind: u8, number: u64, data: &mut Vec<u8>) {
        let bytes: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        begin(data, kind, bytes.len());
        data.extend(bytes);
    }

    /// The type of a value, and its length.
    fn begin(data: &mut Vec<u8>, kind: u8, length: usize) {
        let length = length as u8;
        let (short, long) = if length < 29 { (length, None) } else { (29, Some(length - 29)) };
        match kind {
            0..=7 => data.push(kind << 5 | short),
            _ => data.extend([short, kind - 7]),
        }
        data.extend(long);
    }
}
