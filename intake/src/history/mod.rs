//! History: records of other products' exports and of servers' logs as events.
//!
//! A [`Format`] is a mapping file: how its files are told from others, which records are no events, and what becomes of
//! those that are. A mapping makes an item of a wire protocol from a record, and that protocol's own reader reads it. So
//! the same event is the same row whether it came over the network or in an export.
//!
//! Only imports use this. Reading files is theirs; everything here is pure.

mod country;
mod days;
mod format;
mod line;
mod value;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use lake::{Event, EventId, Salt, Source, event_column};
use serde_json::{Value as Json, json};

pub use self::days::{DaysSource, GoatCounterDays, PlausibleTable};
use self::format::Reading;
pub use self::format::{FileKind, Format, Join, TextTable, guess, record_of_columns, told};
pub use self::line::Header;
pub use self::value::Told;
use self::value::{Record, Value, text_of};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::Rejection;
pub use crate::protocol::body::field::Given;
use crate::protocol::body::field::TEXT_CHARS_MAX;
use crate::protocol::body::object::{self, Object};
use crate::protocol::imported::{self, Imported};
use crate::protocol::{amplitude, ga4, mixpanel, posthog, segment, snowplow, umami};

/// What makes a record without an id itself. Equal ones are told apart by their number.
pub type Content = [u8; 32];

/// What a record is.
#[derive(Clone, Debug, PartialEq)]
pub enum Row<'a> {
    /// An event, and its content if the record has no id.
    Event(Box<Event>, Option<Content>),
    /// No event, and what it is instead.
    LeftOut(Cow<'a, str>),
    /// An exported event that names another site.
    OfOtherSite,
}

impl Row<'_> {
    /// The same, for as long as anybody likes.
    pub fn into_owned(self) -> Row<'static> {
        match self {
            Self::Event(event, content) => Row::Event(event, content),
            Self::LeftOut(what) => Row::LeftOut(what.into_owned().into()),
            Self::OfOtherSite => Row::OfOtherSite,
        }
    }
}

/// A record as an object.
///
/// Fails with what is wrong with it.
pub fn object(json: &str) -> Result<Object, String> {
    object::read(json)
}

/// What may be kept of a record that is refused.
pub fn kept_of_refused(json: &str) -> String {
    match object::read(json) {
        Ok(record) => kept_of_record(record),
        Err(_) => Rejection::new(0, String::new(), json).event.into(),
    }
}

/// What may be kept of a record that is refused: no address and no agent, whatever its format calls them.
pub fn kept_of_record(mut record: Object) -> String {
    without_addresses(&mut record);
    Rejection::new(0, String::new(), &Json::Object(record).to_string()).event.into()
}

fn without_addresses(record: &mut Object) {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok();
    record.retain(|name, value| {
        let name = name.to_lowercase().replace(['_', '-', '.'], "");
        match value {
            _ if name.contains("agent") || name.contains("ipaddress") => false,
            Json::String(text) => !is_address(text) && !text.starts_with("Mozilla/"),
            _ => true,
        }
    });
    for value in record.values_mut() {
        match value {
            Json::Object(inner) => without_addresses(inner),
            Json::Array(items) => {
                items.retain(|item| !item.as_str().is_some_and(|text| is_address(text) || text.starts_with("Mozilla/")))
            }
            _ => {}
        }
    }
}

/// The id of the `nth` record, from 1, with a content.
pub fn nth_id(content: &Content, nth: u64) -> EventId {
    EventId::derived(&[b"import", content, &nth.to_le_bytes()])
}

/// Reads a record in the fields of the native protocol, as JSON.
///
/// Fails with a reason that names the field.
pub fn read_native(json: &str, context: &Context) -> Result<Row<'static>, String> {
    let mut content = None;
    let missing_id = || {
        let found: Content = blake3::hash(json.as_bytes()).into();
        content = Some(found);
        nth_id(&found, 1)
    };
    Ok(match imported::parse(json, context, missing_id)? {
        Imported::OfOtherSite => Row::OfOtherSite,
        Imported::Event(event) => Row::Event(event, content),
    })
}

/// Reads a row of a table in the fields of the native protocol, which has an `event_id`. It becomes what its JSON would.
///
/// Fails with a reason that names the field.
pub fn read_row(fields: Vec<(Cow<'_, str>, Given<'_>)>, context: &Context) -> Result<Row<'static>, String> {
    // The id is there.
    let missing_id = || EventId::derived(&[b"import"]);
    Ok(match imported::read(fields, context, missing_id)? {
        Imported::OfOtherSite => Row::OfOtherSite,
        Imported::Event(event) => Row::Event(event, None),
    })
}

impl Format {
    /// Reads a record.
    ///
    /// - `salt`: of the import, if visitors without an id are to be told apart for a day by their address and agent.
    ///
    /// Fails with a reason that names the field.
    pub fn read(
        &self,
        mut fields: Object,
        told: &Told,
        context: &Context,
        salt: Option<&Salt>,
    ) -> Result<Row<'_>, String> {
        self.unfold(&mut fields);
        let named = values(&self.fields, Record { fields: &fields, told, empty: &self.empty })?;
        fields.extend(named.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let record = Record { fields: &fields, told, empty: &self.empty };
        for skip in &self.skip {
            if let Some(what) = skip.applies(record)? {
                return Ok(Row::LeftOut(what.to_owned().into()));
            }
        }
        let made = values(&self.item, record)?;
        let columns = values(&self.columns, record)?;
        let content = self.content(record)?;
        let mut item = if self.whole { fields } else { Object::new() };
        for name in &self.drop {
            item.remove(name);
        }
        for (name, value) in made {
            insert_at(&mut item, name, value);
        }
        let (protocol, mut draft) = match self.protocol {
            Reading::Native => return read_mapped(item, columns, context, salt, content),
            Reading::Segment => ("segment", segment::read_item(item, None, None, &Object::new())?.0),
            Reading::Posthog => ("posthog", posthog::read_item(item, None)?),
            Reading::Umami => ("umami", umami::read(item, "")?),
            Reading::Amplitude => ("amplitude", amplitude::read_item(item, None)?.0),
            Reading::Mixpanel => ("mixpanel", mixpanel::read_event(item)?),
            Reading::Snowplow => ("snowplow", snowplow::read(item)?),
            Reading::Ga4 => {
                let client = ["client_id", "user_id", "user_properties", "user_agent"];
                let client = client.iter().filter_map(|name| Some(((*name).to_owned(), item.remove(*name)?))).collect();
                ("ga4", ga4::read_event(item, client, None)?.0)
            }
        };
        for (name, value) in columns {
            fill(&mut draft.event, name, &value)?;
        }
        let created_us = draft.created_us.ok_or("it has no time")?;
        let needs_id = draft.id.is_none();
        let context = of_day(context, &draft, created_us, salt);
        let event = draft.complete(&context, protocol, || nth_id(&content, 1))?;
        Ok(Row::Event(Box::new(Event { id_assigned: false, ..event }), needs_id.then_some(content)))
    }

    /// Puts right what exports fold: JSON in texts, and lists of names and values.
    fn unfold(&self, fields: &mut Object) {
        for name in &self.json {
            if let Some(Json::String(text)) = fields.get(name)
                && let Ok(read) = crate::json::read::<Json>(text)
            {
                fields.insert(name.clone(), read);
            }
        }
        for name in &self.pairs {
            if let Some(found) = fields.get_mut(name) {
                *found = object_of_pairs(found.take());
            }
        }
    }

    fn content(&self, record: Record<'_>) -> Result<Content, String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &str| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        if self.id.is_empty() {
            let mut all = Json::Object(record.fields.clone());
            all.sort_all_objects();
            add(&all.to_string());
        }
        for part in &self.id {
            add(&part.of(record)?.map(|found| text_of(&found)).unwrap_or_default());
        }
        Ok(hasher.finalize().into())
    }
}

/// The values of a record that it has, with the names that they get.
fn values<'a>(named: &'a [(String, Value)], record: Record<'_>) -> Result<Vec<(&'a str, Json)>, String> {
    let mut found = Vec::new();
    for (name, value) in named {
        let value = value.of(record).map_err(|error| format!("`{name}`: {error}"))?;
        found.extend(value.map(|value| (&**name, value)));
    }
    Ok(found)
}

/// Reads an item in the fields of the native protocol.
fn read_mapped(
    mut item: Object,
    columns: Vec<(&str, Json)>,
    context: &Context,
    salt: Option<&Salt>,
    content: Content,
) -> Result<Row<'static>, String> {
    for (name, value) in columns {
        item.insert(name.to_owned(), value);
    }
    let at = item.get("timestamp").filter(|at| !at.is_null()).ok_or("it has no time")?;
    let at = instant::parse(&text_of(at)).map_err(|unreadable| format!("`timestamp` {unreadable}"))?;
    let context = match salt {
        Some(salt) => &with_salt(context, salt, at.timestamp_micros()),
        None => context,
    };
    let mut needs_id = false;
    let missing_id = || {
        needs_id = true;
        nth_id(&content, 1)
    };
    Ok(match imported::parse(&Json::Object(item).to_string(), context, missing_id)? {
        Imported::OfOtherSite => Row::OfOtherSite,
        Imported::Event(event) => Row::Event(event, needs_id.then_some(content)),
    })
}

/// The context of an event with the salt of its day, if its visitor can be told by nothing else.
fn of_day<'a>(context: &'a Context, draft: &Draft, at_us: i64, salt: Option<&Salt>) -> Cow<'a, Context> {
    let is_named = draft.event.user_id.is_some() || draft.event.anonymous_id.is_some();
    match salt.filter(|_| !is_named && draft.ip.is_some()) {
        Some(salt) => Cow::Owned(with_salt(context, salt, at_us)),
        None => Cow::Borrowed(context),
    }
}

/// The salt of a day is made from that of the import, which nobody knows when it is over.
fn with_salt(context: &Context, salt: &Salt, at_us: i64) -> Context {
    let day = at_us.div_euclid(86_400_000_000);
    let mut context = context.clone();
    context.client.salt = Some(blake3::keyed_hash(salt, &day.to_le_bytes()).into());
    context
}

/// Sets a column that nothing else has set.
fn fill(event: &mut Event, name: &str, value: &Json) -> Result<(), String> {
    let Some(column) = event_column(name) else { return Ok(()) };
    match column.source {
        Source::Text(get, set) if get(event).is_none() => {
            let text = text_of(value);
            if text.chars().count() > TEXT_CHARS_MAX {
                return Err(format!("`{name}` is longer than {TEXT_CHARS_MAX} characters"));
            }
            set(event, Some(text));
        }
        Source::Flag(_, set) => set(event, value == &Json::Bool(true)),
        _ => {}
    }
    Ok(())
}

/// Puts a value at a place such as `payload.url`.
fn insert_at(object: &mut Object, place: &str, value: Json) {
    match place.split_once('.') {
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| json!({}));
            if let Json::Object(inner) = inner {
                insert_at(inner, rest, value);
            }
        }
        None => drop(object.insert(place.to_owned(), value)),
    }
}

/// The object of a list of names and values, as BigQuery keeps parameters: `[{"key": "a", "value": {"int_value": "1"}}]`.
/// Parquet files of some writers have each item in an object of its own.
fn object_of_pairs(list: Json) -> Json {
    let items = match list {
        Json::Object(mut wrapped) if wrapped.get("list").is_some_and(Json::is_array) => wrapped["list"].take(),
        other => other,
    };
    let Json::Array(items) = items else { return items };
    let mut object = Object::new();
    for mut item in items {
        for wrapper in ["element", "item", "array_element"] {
            if item.get(wrapper).is_some_and(Json::is_object) {
                item = item[wrapper].take();
            }
        }
        let (Some(key), value) = (item["key"].as_str().map(str::to_owned), item["value"].take()) else { continue };
        if let Some(value) = typed(value) {
            object.insert(key, value);
        }
    }
    Json::Object(object)
}

/// The value of a parameter, of which one of several fields is set. JSON has 64-bit integers as texts.
fn typed(value: Json) -> Option<Json> {
    let Json::Object(fields) = value else { return Some(value).filter(|value| !value.is_null()) };
    fields.into_iter().filter(|(_, value)| !value.is_null()).find_map(|(name, value)| match (&*name, &value) {
        ("string_value", _) | (_, Json::Number(_)) => Some(value),
        ("int_value" | "float_value" | "double_value", Json::String(text)) => {
            Some(serde_json::from_str::<serde_json::Number>(text).map_or(value, Json::Number))
        }
        _ => None,
    })
}
