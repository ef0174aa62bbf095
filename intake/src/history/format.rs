//! Formats of exports: mapping files, those that come with Dewpond and the user's own. Pure.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use lake::{Source, event_column};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;

use super::line::{Header, Lines};
use super::value::{self, Field, Told, Value, Written};
use crate::protocol::body::object::Object;

/// How files of one kind are read, and what becomes of their records. `docs/IMPORT.md` explains the file.
#[derive(Clone, Debug)]
pub struct Format {
    /// How `--format` calls it, or the name of the user's file.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// The table that text files are, if they are one.
    pub table: Option<TextTable>,
    pub(super) protocol: Reading,
    pub(super) files: Vec<FileKind>,
    pub(super) lines: Option<Lines>,
    signs: Vec<Field>,
    pub(super) empty: Vec<String>,
    pub(super) json: Vec<String>,
    pub(super) pairs: Vec<String>,
    pub(super) id: Vec<Value>,
    pub(super) fields: Vec<(String, Value)>,
    pub(super) whole: bool,
    pub(super) drop: Vec<String>,
    pub(super) skip: Vec<Skip>,
    pub(super) item: Vec<(String, Value)>,
    pub(super) columns: Vec<(String, Value)>,
    /// Files of values that belong to the records of others.
    pub join: Option<Join>,
}

/// What a file is, as far as it says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// JSON objects, one after the other or in an array.
    Json,
    /// Lines of text: a table or a log.
    Text,
    /// Parquet.
    Parquet,
    /// Avro.
    Avro,
}

/// Whose reader reads the items that a mapping makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reading {
    #[default]
    Native,
    Segment,
    Posthog,
    Umami,
    Ga4,
    Snowplow,
    Amplitude,
    Mixpanel,
}

/// A table of text.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextTable {
    /// What stands between values.
    pub separator: char,
    /// The names of the columns, where the first line does not have them.
    pub header: Vec<String>,
    /// Whether values may stand in quotes.
    pub quotes: bool,
}

impl Default for TextTable {
    fn default() -> Self {
        Self { separator: ',', header: vec![], quotes: true }
    }
}

/// Files whose values belong to the records of other files of the same import.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The columns that only these files have.
    signs: Vec<String>,
    /// The columns with the id of the record; the first that is there counts.
    pub key: Vec<String>,
    /// The column with the name of the value.
    pub name: String,
    /// The columns of which one has the value.
    pub value: Vec<String>,
    /// The one of them whose text is a number.
    #[serde(default)]
    pub number: Option<String>,
    /// The field of the records in which their values are put.
    pub into: String,
    /// The field of the records with their id.
    pub of: String,
}

/// Records that are no events.
#[derive(Clone, Debug)]
pub(super) struct Skip {
    what: String,
    value: Value,
    matching: Option<Regex>,
    unless: Option<Regex>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct WrittenFormat {
    title: String,
    protocol: Reading,
    files: Vec<FileKind>,
    table: Option<TextTable>,
    lines: Option<WrittenLines>,
    signs: Vec<String>,
    empty: Vec<String>,
    json: Vec<String>,
    pairs: Vec<String>,
    id: Vec<Written>,
    fields: BTreeMap<String, Written>,
    whole: bool,
    drop: Vec<String>,
    skip: Vec<WrittenSkip>,
    item: BTreeMap<String, Written>,
    columns: BTreeMap<String, Written>,
    join: Option<Join>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenLines {
    patterns: Vec<String>,
    w3c: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSkip {
    what: String,
    value: Written,
    matching: Option<String>,
    unless: Option<String>,
}

/// The formats that come with Dewpond. A file is taken for the first that it can be, so those that ask for more come first.
const SHIPPED: [(&str, &str); 20] = [
    ("ga4", include_str!("../../formats/ga4.toml")),
    ("snowplow", include_str!("../../formats/snowplow.toml")),
    ("rudderstack", include_str!("../../formats/rudderstack.toml")),
    ("segment", include_str!("../../formats/segment.toml")),
    ("posthog", include_str!("../../formats/posthog.toml")),
    ("umami", include_str!("../../formats/umami.toml")),
    ("goatcounter", include_str!("../../formats/goatcounter.toml")),
    ("amplitude", include_str!("../../formats/amplitude.toml")),
    ("mixpanel", include_str!("../../formats/mixpanel.toml")),
    ("caddy", include_str!("../../formats/caddy.toml")),
    ("traefik", include_str!("../../formats/traefik.toml")),
    ("nginx-json", include_str!("../../formats/nginx-json.toml")),
    ("cloudfront", include_str!("../../formats/cloudfront.toml")),
    ("iis", include_str!("../../formats/iis.toml")),
    ("alb", include_str!("../../formats/alb.toml")),
    ("s3", include_str!("../../formats/s3.toml")),
    ("haproxy", include_str!("../../formats/haproxy.toml")),
    ("vhost", include_str!("../../formats/vhost.toml")),
    ("combined", include_str!("../../formats/combined.toml")),
    ("common", include_str!("../../formats/common.toml")),
];

/// What all logs of servers have in common.
const ACCESS: &str = include_str!("../../formats/access.inc.toml");

impl Format {
    /// The formats that come with Dewpond.
    pub fn shipped() -> &'static [Self] {
        static FORMATS: LazyLock<Vec<Format>> = LazyLock::new(|| {
            let read = |(name, toml): &(&str, &str)| {
                Format::parse(name, toml).unwrap_or_else(|error| panic!("the format {name} is wrong: {error}"))
            };
            SHIPPED.iter().map(read).collect()
        });
        &FORMATS
    }

    /// Reads a mapping file.
    ///
    /// Fails with what is wrong with it.
    pub fn parse(name: &str, toml: &str) -> Result<Self, String> {
        let mut table: toml::Table = toml::from_str(toml).map_err(|error| error.to_string())?;
        if let Some(of) = table.remove("access_log") {
            if of.as_bool() != Some(true) {
                return Err("`access_log` must be true, or left out".into());
            }
            let shared: toml::Table = toml::from_str(ACCESS).map_err(|error| error.to_string())?;
            merge(&mut table, shared);
        }
        let written: WrittenFormat = table.try_into().map_err(|error: toml::de::Error| error.to_string())?;
        Self::new(name, written)
    }

    fn new(name: &str, written: WrittenFormat) -> Result<Self, String> {
        let values = |named: BTreeMap<String, Written>| {
            let read = |(name, value): (String, Written)| {
                let value = Value::new(value).map_err(|error| format!("`{name}`: {error}"))?;
                Ok::<_, String>((name, value))
            };
            named.into_iter().map(read).collect::<Result<Vec<_>, _>>()
        };
        for column in written.columns.keys() {
            let is_set = event_column(column)
                .is_some_and(|column| matches!(column.source, Source::Text(..) | Source::Flag(..)))
                && !matches!(&**column, "site_id" | "name" | "protocol" | "properties" | "id_assigned");
            if !is_set {
                return Err(format!("`columns.{column}` is no column that an import may set"));
            }
        }
        let lines = match written.lines {
            Some(WrittenLines { w3c: true, .. }) => Some(Lines::W3c),
            Some(WrittenLines { patterns, .. }) => {
                Some(Lines::Matching(patterns.iter().map(|text| value::pattern(text)).collect::<Result<_, _>>()?))
            }
            None => None,
        };
        let mut files = written.files;
        if files.is_empty() {
            files = vec![if lines.is_some() || written.table.is_some() { FileKind::Text } else { FileKind::Json }];
        }
        let is_text = files.contains(&FileKind::Text);
        if is_text && written.table.is_none() && lines.is_none() {
            return Err("a format of text has a `table` or `lines`".into());
        }
        if !written.whole && written.item.is_empty() {
            return Err("`item` is missing: what becomes of a record".into());
        }
        Ok(Self {
            name: name.to_owned(),
            title: if written.title.is_empty() { name.to_owned() } else { written.title },
            table: written.table,
            protocol: written.protocol,
            files,
            lines,
            signs: written.signs.iter().map(|sign| Field::new(sign)).collect(),
            empty: written.empty,
            json: written.json,
            pairs: written.pairs,
            id: written.id.into_iter().map(Value::new).collect::<Result<_, _>>()?,
            whole: written.whole,
            drop: written.drop,
            skip: written.skip.into_iter().map(Skip::new).collect::<Result<_, _>>()?,
            fields: values(written.fields)?,
            item: values(written.item)?,
            columns: values(written.columns)?,
            join: written.join,
        })
    }

    /// Whether files of a kind may be of this format.
    pub fn reads(&self, kind: FileKind) -> bool {
        self.files.contains(&kind)
    }

    /// Whether text files are logs, whose lines are read by [`Format::record`].
    pub fn is_log(&self) -> bool {
        self.lines.is_some()
    }

    /// The record of a line of a log.
    pub fn record(&self, line: &str, header: &Header) -> Option<Object> {
        self.lines.as_ref()?.record(line, header)
    }

    /// Whether some records are of this format: most of them have all that only its records have.
    pub fn fits(&self, records: &[Object]) -> bool {
        let fitting = records.iter().filter(|record| self.signs.iter().all(|sign| sign.is_in(record))).count();
        fitting > 0 && fitting * 2 >= records.len()
    }

    /// Whether some lines are of this log: most of them match.
    pub fn fits_lines(&self, lines: &[String]) -> bool {
        let mut header = Header::default();
        let lines: Vec<&String> = lines.iter().filter(|line| !header.take(line)).collect();
        let records: Vec<Object> = lines.iter().filter_map(|line| self.record(line, &header)).collect();
        !records.is_empty() && records.len() * 2 >= lines.len() && self.fits(&records)
    }

    /// What records need to be of this format, for refusals.
    pub fn needs(&self) -> String {
        if self.signs.is_empty() {
            return "lines of its form".into();
        }
        self.signs.iter().map(|sign| format!("`{}`", sign.name())).collect::<Vec<_>>().join(", ")
    }
}

impl Join {
    /// Whether a file with these columns has values of other records.
    pub fn fits(&self, columns: &[String]) -> bool {
        self.signs.iter().all(|sign| columns.contains(sign))
    }
}

impl Skip {
    fn new(written: WrittenSkip) -> Result<Self, String> {
        Ok(Self {
            what: written.what,
            value: Value::new(written.value)?,
            matching: written.matching.as_deref().map(value::pattern).transpose()?,
            unless: written.unless.as_deref().map(value::pattern).transpose()?,
        })
    }

    /// What a record is that is left out.
    pub(super) fn applies(&self, record: value::Record<'_>) -> Result<Option<&str>, String> {
        let text = self.value.of(record)?.map(|found| value::text_of(&found));
        let text = text.as_deref().unwrap_or_default();
        let is_out = self.matching.as_ref().is_some_and(|pattern| pattern.is_match(text))
            || self.unless.as_ref().is_some_and(|pattern| !pattern.is_match(text));
        Ok(is_out.then_some(&*self.what))
    }
}

/// Adds what a table lacks.
fn merge(table: &mut toml::Table, shared: toml::Table) {
    for (name, value) in shared {
        match (table.get_mut(&name), value) {
            (Some(toml::Value::Table(own)), toml::Value::Table(shared)) => merge(own, shared),
            (Some(toml::Value::Array(own)), toml::Value::Array(shared)) => own.extend(shared),
            (Some(_), _) => {}
            (None, value) => drop(table.insert(name, value)),
        }
    }
}

/// The format that records, or lines, are most likely of.
pub fn guess(kind: FileKind, records: &[Object], lines: &[String]) -> Option<&'static Format> {
    Format::shipped().iter().find(|format| {
        let is_table = format.table.as_ref().is_some_and(|table| table.header.is_empty());
        format.reads(kind)
            && match kind {
                FileKind::Text if format.is_log() => format.fits_lines(lines),
                FileKind::Text if !is_table => format.fits_width(lines),
                _ => format.fits(records),
            }
    })
}

impl Format {
    /// Whether the lines of a table without a header have the right number of columns.
    pub fn fits_width(&self, lines: &[String]) -> bool {
        let Some(table) = &self.table else { return false };
        let fitting = lines.iter().filter(|line| line.split(table.separator).count() == table.header.len()).count();
        fitting > 0 && fitting * 2 >= lines.len()
    }
}

/// What is told of an import, from the texts of flags.
///
/// - `zone`: such as `Europe/Berlin`.
/// - `variables`: each `NAME=VALUE`.
///
/// Fails with what is wrong.
pub fn told(zone: &str, variables: &[String]) -> Result<Told, String> {
    let zone = zone.parse().map_err(|_| format!("{zone:?} is no time zone; write it as in Europe/Berlin"))?;
    let split = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} must be NAME=VALUE"))?;
        Ok::<_, String>((name.to_owned(), value.to_owned()))
    };
    Ok(Told { zone, variables: variables.iter().map(split).collect::<Result<_, _>>()? })
}

/// A value that is none of a record, for tables whose columns are known and whose values are not.
pub fn record_of_columns(columns: &[String]) -> Object {
    columns.iter().map(|name| (name.clone(), Json::Null)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_that_come_with_dewpond_can_be_read() {
        assert_eq!(Format::shipped().len(), SHIPPED.len());
        let snowplow = Format::shipped().iter().find(|format| format.name == "snowplow").unwrap();
        assert_eq!(snowplow.table.as_ref().unwrap().header.len(), 131);
    }

    #[test]
    fn what_is_wrong_in_a_mapping_file_is_named() {
        let wrong = |toml: &str| Format::parse("mine", toml).unwrap_err();
        assert!(wrong("[item]\nname = {").contains("TOML parse error"));
        assert!(wrong("itme = 1").contains("unknown field `itme`"));
        assert!(wrong("files = [\"json\"]").starts_with("`item` is missing"));
        assert!(wrong("files = [\"text\"]\n[item]\nname = \"a\"").starts_with("a format of text has"));
        assert!(wrong("[item]\nname = { from = \"a\", is = 1 }").starts_with("`name`: a value has one of"));
        assert!(wrong("whole = true\n[columns]\nsite_id = \"a\"").starts_with("`columns.site_id` is no column"));
        assert!(wrong("protocol = \"smtp\"").contains("unknown variant `smtp`"));
    }
}
