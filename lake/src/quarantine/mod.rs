//! Quarantine: events that were refused one by one, kept for a while with the reason, for those who look for what
//! is missing. No table with a log: files that are written once, listed, and deleted by age.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use parquet::arrow::ArrowWriter;
use serde_json::Value as Json;
use url::form_urlencoded;

use crate::erasure::Person;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::Hour;
use crate::parquet::reader::read_batches;
use crate::raw::lane::{AppendError, LaneSettings, put_until_confirmed};
use crate::schema::encoding::raw_properties;

/// The directory, and the name in SQL.
pub const QUARANTINE: &str = "quarantine";

/// An event that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEvent {
    /// The site it was sent to.
    pub site_id: Arc<str>,
    /// When it arrived, in microseconds since the epoch.
    pub received_at_us: i64,
    /// The protocol it came by.
    pub protocol: &'static str,
    /// Why it was refused, as the sender was told.
    pub reason: String,
    /// The event as it was sent, without what is not stored, and cut off if it is long.
    pub event: String,
}

/// A file of refused events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineFile {
    /// Path in the store.
    pub path: Path,
    /// Size.
    pub size_bytes: u64,
}

/// The columns of refused events.
pub fn quarantine_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let received_at = Field::new("received_at", time, false);
        Arc::new(Schema::new(vec![text("site_id"), received_at, text("protocol"), text("reason"), text("event")]))
    });
    SCHEMA.clone()
}

/// Encodes refused events as one Parquet file. Takes CPU time: call it off the request path.
pub fn encode_refused(refused: &[RefusedEvent]) -> Bytes {
    let text = |of: fn(&RefusedEvent) -> &str| Arc::new(StringArray::from_iter_values(refused.iter().map(of)));
    let times = TimestampMicrosecondArray::from_iter_values(refused.iter().map(|refused| refused.received_at_us));
    let batch = RecordBatch::try_new(
        quarantine_schema(),
        vec![
            text(|refused| &refused.site_id),
            Arc::new(times.with_timezone("UTC")),
            text(|refused| refused.protocol),
            text(|refused| &refused.reason),
            text(|refused| &refused.event),
        ],
    )
    .expect("columns are built in the schema's order");
    encode(&[batch])
}

fn encode(batches: &[RecordBatch]) -> Bytes {
    let mut file = Vec::new();
    let properties = raw_properties(&quarantine_schema(), batches);
    let mut writer = ArrowWriter::try_new(&mut file, quarantine_schema(), Some(properties))
        .expect("texts and times have a Parquet form");
    for batch in batches {
        writer.write(batch).expect("writing to memory does not fail");
    }
    writer.close().expect("writing to memory does not fail");
    file.into()
}

impl Lake {
    /// Puts a file of refused events. When this returns `Ok`, every query from now on sees them.
    ///
    /// - `file`: the bytes of [`encode_refused`].
    /// - `now`: the time of arrival, which chooses the directory.
    pub async fn put_refused(&self, file: Bytes, now: DateTime<Utc>, tries: LaneSettings) -> Result<(), AppendError> {
        let path = self.path(&format!("{}/{}.parquet", Hour::containing(now).dir_in(QUARANTINE), self.new_uuid()));
        put_until_confirmed(self, &path, &file, tries).await
    }

    /// Removes the refused events of a site in which a person's id is a value, whatever it is the value of. Returns how many.
    /// Safe to repeat, and beside others who do it for somebody else.
    ///
    /// Takes away rather too much than too little: nobody counts refused events. Fails with [`LakeError::Corrupt`] if a file
    /// cannot be read, once the others are done.
    pub async fn erase_quarantined(&self, person: &Person) -> Result<usize> {
        let (mut erased, mut damaged) = (0, None);
        let mut files = self.refused_in_order().await?;
        while let Some(file) = files.pop_front() {
            let (staying, leaving) = match self.read_refused_but(&file, person).await {
                Ok(read) => read,
                Err(LakeError::Gone { .. }) => {
                    files = self.refused_in_order().await?;
                    continue;
                }
                // Nobody can read it, and the others still go.
                Err(error @ LakeError::Corrupt { .. }) => {
                    damaged = damaged.or(Some(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if leaving == 0 {
                continue;
            }
            let next = successor(&file.path);
            match self.store().put_opts(&next, encode(&staying).into(), PutOptions::from(PutMode::Create)).await {
                Ok(_) => {
                    let others = self.refused_in_order().await?;
                    self.delete(vec![(file.path, file.size_bytes)]).await?;
                    if others.iter().any(|other| has_gone_on(&other.path, &next)) {
                        // Its name was free again, since others had gone on from it: what they took out is in ours.
                        self.delete(vec![(next, 0)]).await?;
                        files = self.refused_in_order().await?;
                    } else {
                        erased += leaving;
                    }
                }
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    // Some stores say so of a put that met another one, though nothing landed.
                    let landed = self.store().head(&next).await;
                    landed.map_err(|error| LakeError::store(format!("look for {next}"), error))?;
                    self.delete(vec![(file.path, file.size_bytes)]).await?;
                    files = self.refused_in_order().await?;
                }
                Err(error) => return Err(LakeError::store(format!("write {next}"), error)),
            }
        }
        damaged.map_or(Ok(erased), Err)
    }

    /// The files of refused events, each before its successor: if both are there, what was taken out of the successor
    /// is still in the file.
    async fn refused_in_order(&self) -> Result<VecDeque<QuarantineFile>> {
        let mut files = self.quarantine_files().await?;
        files.sort_by(|a, b| generation(&a.path).cmp(&generation(&b.path)));
        Ok(files.into())
    }

    /// The rows of a file that do not mention a person, and how many do.
    async fn read_refused_but(&self, file: &QuarantineFile, person: &Person) -> Result<(Vec<RecordBatch>, usize)> {
        let mut batches = self.read_refused(file).await?;
        let (mut staying, mut leaving) = (Vec::new(), 0);
        while let Some(batch) = batches.try_next().await? {
            let (sites, events) = (batch["site_id"].as_string::<i32>(), batch["event"].as_string::<i32>());
            let stays = |row| sites.value(row) != &*person.site_id || !mentions(events.value(row), person.id.value());
            let stays: BooleanArray = (0..batch.num_rows()).map(|row| Some(stays(row))).collect();
            leaving += stays.false_count();
            let rows = filter_record_batch(&batch, &stays);
            staying.push(rows.map_err(|error| LakeError::corrupt(file.path.to_string(), error))?);
        }
        Ok((staying, leaving))
    }

    /// The rows of a file of refused events. Fails as [`read_batches`] does.
    pub(crate) async fn read_refused(&self, file: &QuarantineFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let schema = quarantine_schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        read_batches(self.store(), &file.path, file.size_bytes, &columns).await
    }

    /// The files of refused events, in the order of their arrival hours.
    pub async fn quarantine_files(&self) -> Result<Vec<QuarantineFile>> {
        let objects = self.list(QUARANTINE).await?.into_iter();
        let mut files: Vec<_> = objects
            .filter(|object| object.location.extension() == Some("parquet"))
            .map(|object| QuarantineFile { path: object.location, size_bytes: object.size })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

/// How deep addresses and JSON are looked for within each other's values.
const NESTED_MAX: u32 = 4;

/// Whether an event that was refused has an id as one of its values: of its JSON, or of the parameters that a pixel sends.
fn mentions(event: &str, id: &str) -> bool {
    if has_parameter(event, id, NESTED_MAX) {
        return true;
    }
    match serde_json::from_str(event) {
        Ok(json) => has_value(&json, id, NESTED_MAX),
        // No JSON, or cut off.
        Err(_) => {
            let quoted = serde_json::to_string(id).expect("a string can always be written as JSON");
            has_word(event, &quoted[1..quoted.len() - 1])
        }
    }
}

fn has_value(json: &Json, id: &str, nested_max: u32) -> bool {
    match json {
        Json::String(text) => is_or_has(text, id, nested_max),
        Json::Number(number) => number.to_string() == id,
        Json::Array(values) => values.iter().any(|value| has_value(value, id, nested_max)),
        Json::Object(fields) => fields.iter().any(|(name, value)| name == id || has_value(value, id, nested_max)),
        Json::Null | Json::Bool(_) => false,
    }
}

/// Whether a text is an id, or an address with it, or JSON with it.
fn is_or_has(text: &str, id: &str, nested_max: u32) -> bool {
    if text == id {
        return true;
    }
    // Somebody may nest them without end.
    let Some(nested_max) = nested_max.checked_sub(1) else { return has_word(text, id) };
    let address = text.split_once('#').map_or(text, |(address, _)| address);
    address.split_once('?').is_some_and(|(_, parameters)| has_parameter(parameters, id, nested_max))
        || (text.starts_with(['{', '['])
            && serde_json::from_str(text).is_ok_and(|json| has_value(&json, id, nested_max)))
}

/// Whether one of an address's parameters is or has an id, as it was before it was encoded.
fn has_parameter(parameters: &str, id: &str, nested_max: u32) -> bool {
    form_urlencoded::parse(parameters.as_bytes()).any(|(_, value)| is_or_has(&value, id, nested_max))
}

/// Whether a text has an id that does not go on in letters or digits on either side.
fn has_word(text: &str, id: &str) -> bool {
    text.match_indices(id).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + id.len()..].chars().next());
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// The file that takes a file's place: `a.parquet`, `a_1.parquet`, `a_2.parquet`. It is written though it be empty: a file
/// has one successor, or two who take out a person each would make two.
fn successor(path: &Path) -> Path {
    let (first, number) = generation(path);
    Path::from(format!("{first}_{}.parquet", number + 1))
}

/// Whether a file is a later successor of the same one as another.
fn has_gone_on(path: &Path, from: &Path) -> bool {
    let ((first, number), (of, before)) = (generation(path), generation(from));
    first == of && number > before
}

/// The first of a file's predecessors, without its ending, and how many there were.
fn generation(path: &Path) -> (&str, u64) {
    let stem = path.as_ref().strip_suffix(".parquet").unwrap_or(path.as_ref());
    match stem.rsplit_once('_').and_then(|(first, number)| Some((first, number.parse().ok()?))) {
        Some(generation) => generation,
        None => (stem, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erasure::PersonId;

    #[tokio::test]
    async fn a_refused_event_is_kept_as_it_was_sent() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = RefusedEvent {
            site_id: "shop".into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: "{}".into(),
        };
        let file = encode_refused(std::slice::from_ref(&refused));
        lake.put_refused(file, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let files = lake.quarantine_files().await.unwrap();
        assert!(files[0].path.as_ref().starts_with("quarantine/date=1970-01-01/hour=00/"), "{}", files[0].path);
        let rows = read_batches(lake.store(), &files[0].path, files[0].size_bytes, &["event", "reason"]).await.unwrap();
        let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        assert_eq!(rows[0]["reason"].as_string::<i32>().value(0), "`name` is missing");
        assert_eq!(rows[0]["event"].as_string::<i32>().value(0), "{}");
    }

    #[tokio::test]
    async fn what_mentions_an_erased_person_leaves_the_site_and_nothing_else_does() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = |site: &str, event: &str| RefusedEvent {
            site_id: site.into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: event.into(),
        };
        let of_ada = r#"{"user_id":"ada \"a\""}"#;
        let of_ada_in_a_pixel = "name=x&user_id=ada+%22a%22";
        let file = encode_refused(&[refused("shop", of_ada), refused("shop", "{}"), refused("blog", of_ada)]);
        lake.put_refused(file, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let only_ada = encode_refused(&[refused("shop", of_ada), refused("shop", of_ada_in_a_pixel)]);
        lake.put_refused(only_ada, DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let ada = Person { site_id: "shop".into(), id: PersonId::User(r#"ada "a""#.into()) };
        assert_eq!(lake.erase_quarantined(&ada).await.unwrap(), 3);
        assert_eq!(lake.erase_quarantined(&ada).await.unwrap(), 0);
        assert_eq!(
            quarantined(&lake).await,
            [("blog".to_owned(), of_ada.to_owned()), ("shop".to_owned(), "{}".to_owned())]
        );
    }

    #[test]
    fn an_id_is_mentioned_where_it_is_a_value_and_not_where_it_is_a_part_of_one() {
        check("42", r#"{"user_id":"42"}"#, true);
        check("42", r#"{"traits":[{"id":42}]}"#, true);
        check("42", r#"{"42":{"seen":true}}"#, true);
        check("42", r#"{"url":"https://shop.example/?user=42&x=1"}"#, true);
        check("42", r#"{"data":"{\"userId\":\"42\"}"}"#, true);
        check("42", r#"{"url":"https://shop.example/?user=42#top"}"#, true);
        check("42", "name=x&uid=42", true);
        check("42", "name=&url=https%3A%2F%2Fshop%2F%3Fuser%3D42", true);
        check("42", "properties=%7B%22userId%22%3A%2242%22%7D", true);
        check("42", &format!("{}42", "?a=".repeat(3_000)), true);
        check("42", r#"{"user_id":"42","name":"cut o"#, true);
        check("a b", r#"{"user_id":"a b","cut o"#, true);
        check("42", r#"{"user_id":"142","revenue":42.5,"timestamp":"2026-01-01T10:42:00Z"}"#, false);
        check("42", "name=x&uid=142", false);
        check("42", "name=&url=https%3A%2F%2Fshop%2F%3Fuser%3D142", false);
        check("42", r#"{"user_id":"142","cut o"#, false);
        check("dan", r#"{"title":"danger zone"}"#, false);

        #[track_caller]
        fn check(id: &str, event: &str, expected: bool) {
            assert_eq!(mentions(event, id), expected, "{event}");
        }
    }

    #[tokio::test]
    async fn two_who_erase_a_person_each_leave_neither_and_everybody_else_once() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = ["ada", "bob", "eve"].map(|user| RefusedEvent {
            site_id: "shop".into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: format!(r#"{{"user_id":"{user}"}}"#),
        });
        lake.put_refused(encode_refused(&refused), DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        let person = |id: &str| Person { site_id: "shop".into(), id: PersonId::User(id.into()) };

        // Somebody read the file for Bob and is slow; meanwhile another takes Ada out.
        let file = lake.quarantine_files().await.unwrap().remove(0);
        let original = lake.store().get(&file.path).await.unwrap().bytes().await.unwrap();
        assert_eq!(lake.erase_quarantined(&person("ada")).await.unwrap(), 1);
        lake.store().put(&file.path, original.clone().into()).await.unwrap();
        assert_eq!(lake.erase_quarantined(&person("bob")).await.unwrap(), 1);
        assert_eq!(quarantined(&lake).await, [("shop".to_owned(), r#"{"user_id":"eve"}"#.to_owned())]);

        // Once more, so that the name of the first successor is free again.
        lake.store().put(&file.path, original.into()).await.unwrap();
        assert_eq!(lake.erase_quarantined(&person("bob")).await.unwrap(), 0);
        assert_eq!(quarantined(&lake).await, [("shop".to_owned(), r#"{"user_id":"eve"}"#.to_owned())]);
    }

    #[tokio::test]
    async fn a_damaged_file_is_told_and_does_not_keep_the_others() {
        let lake = Lake::open("memory:///", []).unwrap();
        let refused = ["ada", "bob"].map(|user| RefusedEvent {
            site_id: "shop".into(),
            received_at_us: 7,
            protocol: "native",
            reason: "`name` is missing".into(),
            event: format!(r#"{{"user_id":"{user}"}}"#),
        });
        for _ in 0..5 {
            lake.put_refused(encode_refused(&refused), DateTime::UNIX_EPOCH, LaneSettings::default()).await.unwrap();
        }
        let torn = lake.refused_in_order().await.unwrap().remove(2).unwrap();
        lake.store().put(&torn.path, "torn".into()).await.unwrap();
        let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        let error = lake.erase_quarantined(&ada).await.unwrap_err();
        assert!(
            matches!(&error, LakeError::Corrupt { .. }) && error.to_string().contains(torn.path.as_ref()),
            "{error}"
        );
        lake.store().delete(&torn.path).await.unwrap();
        assert_eq!(quarantined(&lake).await, vec![("shop".to_owned(), r#"{"user_id":"bob"}"#.to_owned()); 4]);
    }

    #[test]
    fn a_file_comes_before_its_successors() {
        let file = Path::from("quarantine/date=2026-01-01/hour=01/a.parquet");
        let tenth = (0..10).fold(file.clone(), |path, _| successor(&path));
        assert_eq!(tenth.as_ref(), "quarantine/date=2026-01-01/hour=01/a_10.parquet");
        let ninth = Path::from("quarantine/date=2026-01-01/hour=01/a_9.parquet");
        assert!(generation(&file) < generation(&ninth) && generation(&ninth) < generation(&tenth));
        assert!(has_gone_on(&tenth, &ninth) && !has_gone_on(&ninth, &tenth));
    }

    /// All refused events: the site and the event of each.
    async fn quarantined(lake: &Lake) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for file in lake.quarantine_files().await.unwrap() {
            let rows = read_batches(lake.store(), &file.path, file.size_bytes, &["site_id", "event"]).await.unwrap();
            for batch in rows.try_collect::<Vec<RecordBatch>>().await.unwrap() {
                let (sites, events) = (batch["site_id"].as_string::<i32>(), batch["event"].as_string::<i32>());
                found.extend((0..batch.num_rows()).map(|row| (sites.value(row).into(), events.value(row).into())));
            }
        }
        found.sort();
        found
    }
}
