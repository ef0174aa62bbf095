//! Mixpanel's ingestion API: <https://developer.mixpanel.com/reference/ingestion-api>.
//!
//! `$mp_web_page_view` becomes `page_view`, `$identify` `identify`, `$create_alias` and `$merge` `alias`; updates of
//! profiles become `identify` and `group`, but a charge is an event of its own. Other names stay as they are.
//! Deduplicated by `$insert_id`. The library for Node sends none, and profiles have none: then the content counts, and the
//! time, or else the second of arrival.

use std::borrow::Cow;

use base64::Engine;
use http::StatusCode;
use instant::Unit;
use lake::EventId;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::field::{EVENT_ID_CHARS_MAX, LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::items;
use super::body::object::{self, BASE64, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;

/// The protocol with the answers that clients expect unless they ask for others.
pub const MIXPANEL: Mixpanel = Mixpanel { answers: Answers::Digit };

const NAME: &str = "mixpanel";

/// How an id says that it is a device's and not a person's.
const OF_DEVICE: &str = "$device:";

/// See the module.
pub struct Mixpanel {
    answers: Answers,
}

/// The form of answers that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// `1`, which the library for Node compares with.
    Digit,
    /// `{"status":1,"error":null}`: `verbose=1`.
    Verbose,
    /// `{"code":200,"status":"OK",…}`: `strict=1`, of imports.
    Strict,
    /// An image: `img=1`.
    Image,
}

impl Protocol for Mixpanel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spoken_in(&self, message: &Message) -> Option<&'static dyn Protocol> {
        let asks = |name: &str| param(message, name).is_some_and(|value| value == "1" || value == "true");
        Some(match (asks("verbose"), asks("strict"), asks("img")) {
            (true, ..) => &Mixpanel { answers: Answers::Verbose },
            (_, true, _) => &Mixpanel { answers: Answers::Strict },
            (.., true) => &Mixpanel { answers: Answers::Image },
            (false, false, false) => return None,
        })
    }

    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        match message.param("data") {
            Some(data) => sender_of(&decoded(&data)?, usize::MAX),
            None => Ok(None),
        }
    }

    fn sender_of_body(&self, message: &Message, events_max: usize) -> Result<Option<Sender>, IngestError> {
        sender_of(&data_of(message)?, events_max)
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        let data = data_of(message)?;
        let raw = object::raw(&data)?;
        let items = items_of(&raw, events_max)?;
        let read = match message.endpoint() {
            "engage" => read_profile,
            "groups" => read_group,
            _ => read_event,
        };
        // Servers ask not to be located themselves, and Mixpanel locates only those that ask for it.
        let is_located = param(message, "ip").is_some_and(|value| value == "1");
        let key = items.first().and_then(|first| key_of(first));
        let mut parsed = Parsed::default();
        for (index, item) in items.into_iter().enumerate() {
            let draft = match key_of(item) {
                named if named.is_some() && named != key => Err("it names a different key than the first event".into()),
                _ => object::read(item.get()).and_then(read),
            };
            let read = draft.and_then(|mut draft| {
                draft.skip_geography = !is_located && draft.ip.is_none();
                draft.id = draft.id.or_else(|| Some(id_of(item, &draft, context, index)));
                draft.complete(context, NAME, || context.missing_id(item.get(), index))
            });
            parsed.push(index, item.get(), read);
        }
        Ok(parsed)
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        match self.answers {
            Answers::Digit => Answer::Text(StatusCode::OK, "1"),
            Answers::Verbose => Answer::Json(StatusCode::OK, json!({ "status": 1, "error": null })),
            Answers::Strict => {
                let count = receipt.accepted;
                let mut answer = json!({ "code": 200, "num_records_imported": count, "status": "OK" });
                if !receipt.rejected.is_empty() {
                    answer["failed_records"] = failed(&receipt.rejected);
                }
                Answer::Json(StatusCode::OK, answer)
            }
            Answers::Image => Answer::Gif,
        }
    }

    fn refused(&self, status: StatusCode, error: &IngestError) -> Value {
        if self.answers != Answers::Strict {
            return json!({ "status": 0, "error": error.to_string() });
        }
        let reason = status.canonical_reason().unwrap_or_default();
        let mut answer = json!({ "code": status.as_u16(), "error": error.to_string(), "status": reason });
        if let IngestError::Invalid { rejected, .. } = error {
            answer["failed_records"] = failed(rejected);
        }
        answer
    }
}

fn failed(rejected: &[crate::Rejection]) -> Value {
    rejected.iter().map(|one| json!({ "index": one.index, "message": one.reason })).collect()
}

/// Whether a body is a form and not JSON.
fn is_form(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    // Bytes beyond ASCII are a byte order mark.
    first.is_some_and(|byte| byte.is_ascii() && !matches!(byte, b'{' | b'['))
}

/// A parameter of the address, or a field of a form.
fn param(message: &Message, name: &str) -> Option<String> {
    message.param(name).or_else(|| {
        let mut fields = url::form_urlencoded::parse(Some(&message.body[..]).filter(|body| is_form(body))?);
        fields.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    })
}

/// The JSON of a request: its body, or the field or parameter `data`.
fn data_of(message: &Message) -> Result<Cow<'_, [u8]>, IngestError> {
    if !message.body.is_empty() && !is_form(&message.body) {
        return Ok(Cow::Borrowed(&message.body));
    }
    let data = param(message, "data").ok_or_else(|| IngestError::invalid("`data` is missing: events in Base64"))?;
    Ok(decoded(&data)?.into_owned().into())
}

/// The content of `data`: JSON, in Base64 or as it is.
fn decoded(data: &str) -> Result<Cow<'_, [u8]>, IngestError> {
    if data.trim_start().starts_with(['{', '[']) {
        return Ok(Cow::Borrowed(data.as_bytes()));
    }
    BASE64
        .decode(object::base64_of(data))
        .map(Cow::Owned)
        .map_err(|error| IngestError::invalid(format!("`data` is neither JSON nor Base64: {error}")))
}

fn items_of(raw: &RawValue, events_max: usize) -> Result<Vec<&RawValue>, IngestError> {
    if raw.get().starts_with('[') { items::read_array(raw, events_max) } else { Ok(vec![raw]) }
}

fn sender_of(data: &[u8], events_max: usize) -> Result<Option<Sender>, IngestError> {
    let raw = object::raw(data)?;
    let items = items_of(&raw, events_max)?;
    Ok(items.first().and_then(|item| key_of(item)).map(Sender::Key))
}

/// The token of an event or of an update of a profile.
fn key_of(item: &RawValue) -> Option<String> {
    object::field(item, "$token").or_else(|| object::field(object::inner(item, "properties")?, "token"))
}

/// The id of an event without one: a copy with the same time is the same, however late it comes.
fn id_of(item: &RawValue, draft: &Draft, context: &Context, index: usize) -> EventId {
    let content = item.get().as_bytes();
    match draft.created_us {
        Some(_) => EventId::derived(&[b"mixpanel event", content, &index.to_le_bytes()]),
        None => context.arrival_id(NAME, content, index),
    }
}

/// Sets the visitor: an id that says that it is a device's is no person's.
fn identify(draft: &mut Draft, distinct_id: Option<String>, user_id: Option<String>, device_id: Option<String>) {
    let event = &mut draft.event;
    let device_of = |id: &str| id.strip_prefix(OF_DEVICE).map(str::to_owned);
    (event.user_id, event.anonymous_id) = match (distinct_id, user_id) {
        (Some(id), user_id) if id.starts_with(OF_DEVICE) => (user_id, device_of(&id)),
        (Some(id), user_id) if device_id.as_deref() == Some(&*id) => (user_id, Some(id)),
        (distinct_id, user_id) => (user_id.or(distinct_id), device_id),
    };
}

/// The draft of an event.
pub(crate) fn read_event(mut item: Object) -> Result<Draft, String> {
    let mut draft = Draft::default();
    let name = object::take_text(&mut item, "event", NAME_CHARS_MAX)?.ok_or("`event` is missing: what happened")?;
    let mut properties = object::take_object(&mut item, "properties").unwrap_or_default();
    let id = object::take_text(&mut properties, "$insert_id", EVENT_ID_CHARS_MAX)?;
    draft.id = id.map(|id| EventId::from_client(&id));
    draft.created_us = object::take_time_us(&mut properties, "time", Unit::Seconds)?;
    let mut take = |name| object::take_text(&mut properties, name, TEXT_CHARS_MAX);
    let (distinct_id, user_id, device_id) = (take("distinct_id")?, take("$user_id")?, take("$device_id")?);
    match &*name {
        "$identify" => {
            let user_id = take("$identified_id")?.or(distinct_id).or(user_id);
            let earlier_id = take("$anon_distinct_id")?.or(take("$anon_id")?).or(device_id);
            identify(&mut draft, None, user_id, earlier_id.map(without_prefix));
        }
        "$create_alias" => identify(&mut draft, None, take("alias")?, distinct_id.map(without_prefix)),
        "$merge" => {
            let ids = properties.remove("$distinct_ids").unwrap_or_default();
            let id = |index| ids.get(index).and_then(Value::as_str).map(str::to_owned);
            identify(&mut draft, None, id(0), id(1).map(without_prefix));
        }
        _ => identify(&mut draft, distinct_id, user_id, device_id),
    }

    let event = &mut draft.event;
    event.name = match &*name {
        "$mp_web_page_view" => "page_view".into(),
        "$identify" => "identify".into(),
        "$create_alias" | "$merge" => "alias".into(),
        _ => name,
    };
    let mut take = |name, chars_max| object::take_text(&mut properties, name, chars_max);
    event.url = take("$current_url", LONG_CHARS_MAX)?.or(take("current_url", LONG_CHARS_MAX)?);
    event.referrer = take("$referrer", LONG_CHARS_MAX)?;
    event.title = take("current_page_title", LONG_CHARS_MAX)?;
    draft.user_agent = take("$user_agent", LONG_CHARS_MAX)?;
    let (width, height) = (take("$screen_width", TEXT_CHARS_MAX)?, take("$screen_height", TEXT_CHARS_MAX)?);
    event.screen = width.zip(height).map(|(width, height)| format!("{width}x{height}"));
    let (library, version) = (take("mp_lib", TEXT_CHARS_MAX)?, take("$lib_version", TEXT_CHARS_MAX)?);
    event.sdk = library.map(|library| {
        let version = version.map(|version| format!("/{version}")).unwrap_or_default();
        format!("mixpanel-{library}{version}")
    });
    object::take_campaign(&mut properties, event)?;
    event.currency = object::take_text(&mut properties, "currency", TEXT_CHARS_MAX)?;
    event.revenue_e4 = object::take_money_e4(&mut properties, "revenue");
    let named = object::take_address(&mut properties, "ip");
    draft.ip = named.or(object::take_address(&mut properties, "$ip"));
    for repeated in [
        "token",
        "$mp_api_endpoint",
        "$mp_api_timestamp_ms",
        "$referring_domain",
        "current_domain",
        "current_url_path",
        "current_url_protocol",
        "current_url_search",
    ] {
        properties.remove(repeated);
    }
    draft.event.properties = object::properties(properties)?;
    Ok(draft)
}

fn without_prefix(id: String) -> String {
    id.strip_prefix(OF_DEVICE).map(str::to_owned).unwrap_or(id)
}

/// An update of a person's profile. What the person was charged is an event of its own.
fn read_profile(mut item: Object) -> Result<Draft, String> {
    let mut draft = Draft::default();
    let distinct_id = object::take_text(&mut item, "$distinct_id", TEXT_CHARS_MAX)?;
    let distinct_id = distinct_id.ok_or("`$distinct_id` is missing: whose profile it is")?;
    identify(&mut draft, Some(distinct_id), None, None);
    draft.ip = object::take_address(&mut item, "$ip");
    draft.created_us = object::take_time_us(&mut item, "$time", Unit::Seconds)?;
    let charge = object::take_object(&mut item, "$append").map(|mut append| {
        let charge = object::take_object(&mut append, "$transactions");
        if !append.is_empty() {
            item.insert("$append".into(), append.into());
        }
        charge
    });
    let properties = match charge.flatten() {
        Some(mut charge) => {
            draft.event.name = "charge".into();
            draft.event.revenue_e4 = object::take_money_e4(&mut charge, "$amount");
            draft.created_us = object::take_time_us(&mut charge, "$time", Unit::Seconds)?.or(draft.created_us);
            charge
        }
        None => {
            draft.event.name = "identify".into();
            profile(item)
        }
    };
    draft.event.properties = object::properties(properties)?;
    Ok(draft)
}

/// An update of a group's profile. A group is no visitor.
fn read_group(mut item: Object) -> Result<Draft, String> {
    let mut draft = Draft::default();
    draft.event.name = "group".into();
    draft.created_us = object::take_time_us(&mut item, "$time", Unit::Seconds)?;
    let mut names = Object::new();
    for (field, name) in [("$group_key", "group_key"), ("$group_id", "group_id")] {
        let found = object::take_text(&mut item, field, TEXT_CHARS_MAX)?;
        names.insert(name.into(), found.ok_or_else(|| format!("`{field}` is missing: which group it is"))?.into());
    }
    names.extend(profile(item));
    draft.event.properties = object::properties(names)?;
    Ok(draft)
}

fn profile(mut item: Object) -> Object {
    for meta in ["$token", "$ignore_time", "$ignore_alias", "$ip", "$device_id", "$user_id"] {
        item.remove(meta);
    }
    object::traits(item)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, context, digest, event, message, parse, refuse};

    #[test]
    fn events_have_the_visitor_that_their_ids_mean() {
        check("/track", r#"{"event":"a","properties":{"distinct_id":"u","n":3}}"#, r#"a | u | - | - | - | {"n":3}"#);
        check(
            "/track",
            r#"{"event":"$mp_web_page_view","properties":{"distinct_id":"$device:d","$device_id":"d","$current_url":"https://shop.example/","current_url_path":"/"}}"#,
            "page_view | - | d | - | https://shop.example/ | -",
        );
        check(
            "/track",
            r#"{"event":"a","properties":{"distinct_id":"u","$user_id":"u","$device_id":"d"}}"#,
            "a | u | d | - | - | -",
        );
        check("/track", r#"{"event":"a","properties":{"distinct_id":"d","$device_id":"d"}}"#, "a | - | d | - | - | -");
        check("/track", r#"{"event":"a"}"#, "a | - | - | - | - | -");
    }

    #[test]
    fn ids_are_linked() {
        for (event, expected) in [
            (r#"{"event":"$identify","properties":{"distinct_id":"u","$anon_distinct_id":"$device:d"}}"#, "identify"),
            (r#"{"event":"$identify","properties":{"$identified_id":"u","$anon_id":"d"}}"#, "identify"),
            (r#"{"event":"$create_alias","properties":{"distinct_id":"d","alias":"u"}}"#, "alias"),
            (r#"{"event":"$merge","properties":{"$distinct_ids":["u","d"]}}"#, "alias"),
        ] {
            check("/track", event, &format!("{expected} | u | d | - | - | -"));
        }
    }

    #[test]
    fn updates_of_profiles_are_traits_and_a_charge_is_revenue() {
        check(
            "/engage",
            r#"{"$token":"k","$distinct_id":"u","$set":{"plan":"pro"},"$add":{"n":1},"$ignore_time":true}"#,
            r#"identify | u | - | - | - | {"$add":{"n":1},"plan":"pro"}"#,
        );
        check(
            "/engage",
            r#"{"$distinct_id":"$device:d","$unset":["a"]}"#,
            r#"identify | - | d | - | - | {"$unset":["a"]}"#,
        );
        let body =
            r#"{"$distinct_id":"u","$append":{"$transactions":{"$amount":19.9,"$time":"2026-03-01T11:00:00","n":1}}}"#;
        let found = event(&MIXPANEL, "/engage/", body);
        assert_eq!(digest(&found), r#"charge | u | - | - | - | {"n":1}"#);
        assert_eq!((found.revenue_e4, found.occurred_at_us), (Some(199_000), NOON_US - 3_600_000_000));
        check(
            "/groups",
            r#"{"$token":"k","$group_key":"company","$group_id":"acme","$set":{"seats":3}}"#,
            r#"group | - | - | - | - | {"group_id":"acme","group_key":"company","seats":3}"#,
        );
    }

    #[test]
    fn data_comes_in_every_form() {
        let one = r#"{"event":"a","properties":{"token":"k","distinct_id":"ü"}}"#;
        let base64 = STANDARD.encode(one).replace('=', "%3D").replace('+', "%2B");
        let plain: String = url::form_urlencoded::byte_serialize(one.as_bytes()).collect();
        for (path, body) in [
            (format!("/track?data={base64}&ip=0"), String::new()),
            ("/track/".to_owned(), format!("data={base64}")),
            ("/track/?verbose=1".to_owned(), format!("ip=1&data={plain}&verbose=1")),
            ("/import".to_owned(), one.to_owned()),
            ("/track".to_owned(), format!(" [{one}]")),
        ] {
            let message = message(&path, &body);
            let sender = MIXPANEL.sender_of_address(&message).unwrap();
            let sender = sender.or_else(|| MIXPANEL.sender_of_body(&message, 9).unwrap());
            assert_eq!(sender, Some(Sender::Key("k".into())), "{path} {body}");
            assert_eq!(digest(&event(&MIXPANEL, &path, &body)), "a | ü | - | - | - | -", "{path} {body}");
        }
        assert!(refuse(&MIXPANEL, "/track", "").starts_with("`data` is missing"));
        assert!(refuse(&MIXPANEL, "/track?data=!", "").starts_with("`data` is neither JSON nor Base64"));
        let others = r#"[{"event":"a","properties":{"token":"k"}},{"event":"b","properties":{"token":"l"}}]"#;
        assert!(parse(&MIXPANEL, "/track", others).rejected[0].reason.starts_with("it names a different key"));
    }

    #[test]
    fn an_id_identifies_and_else_the_content_with_its_time() {
        let id = |item: &str, later_us: i64| {
            let context = Context { received_at_us: NOON_US + later_us, ..context() };
            MIXPANEL.parse(&message("/track", item), &context, 9).unwrap().events[0].event_id
        };
        let named = r#"{"event":"a","properties":{"$insert_id":"i"}}"#;
        assert_eq!(id(named, 0), EventId::from_client("i"));
        let timed = r#"{"event":"a","properties":{"time":1772366399}}"#;
        assert_eq!(id(timed, 0), id(timed, 60_000_000));
        let bare = r#"{"event":"a","properties":{}}"#;
        assert_eq!(id(bare, 0), id(bare, 900_000));
        assert_ne!(id(bare, 0), id(bare, 1_000_000));
        assert_eq!(event(&MIXPANEL, "/track", timed).occurred_at_us, NOON_US - 1_000_000);
        for path in ["/engage", "/groups"] {
            let update = r#"{"$distinct_id":"u","$group_key":"a","$group_id":"b","$time":1772366399}"#;
            assert_eq!(event(&MIXPANEL, path, update).occurred_at_us, NOON_US - 1_000_000, "{path}");
        }
        let millis = r#"{"event":"a","properties":{"time":1772366399500}}"#;
        assert_eq!(event(&MIXPANEL, "/track", millis).occurred_at_us, NOON_US - 500_000);
    }

    #[test]
    fn answers_have_the_form_that_is_asked_for() {
        let receipt = Receipt { accepted: 1, ..Receipt::default() };
        let answers = |path: &str, body: &str| {
            let message = message(path, body);
            let protocol = MIXPANEL.spoken_in(&message).unwrap_or(&MIXPANEL);
            (protocol.accepted(&receipt), protocol.refused(StatusCode::BAD_REQUEST, &IngestError::invalid("no")))
        };
        let ok = |body| Answer::Json(StatusCode::OK, body);
        let refused = json!({ "status": 0, "error": "no" });
        assert_eq!(answers("/track?ip=0&verbose=0", ""), (Answer::Text(StatusCode::OK, "1"), refused.clone()));
        let verbose = ok(json!({ "status": 1, "error": null }));
        assert_eq!(answers("/track/?verbose=1", ""), (verbose.clone(), refused.clone()));
        assert_eq!(answers("/engage", "data=e30&verbose=1"), (verbose, refused.clone()));
        assert_eq!(answers("/track?img=1", ""), (Answer::Gif, refused));
        let strict = ok(json!({ "code": 200, "num_records_imported": 1, "status": "OK" }));
        let failed = json!({ "code": 400, "error": "no", "status": "Bad Request", "failed_records": [] });
        assert_eq!(answers("/import?strict=1", "[]"), (strict, failed));
    }

    #[track_caller]
    fn check(path: &str, item: &str, expected: &str) {
        assert_eq!(digest(&event(&MIXPANEL, path, item)), expected);
    }
}
