//! Logs of OpenTelemetry over OTLP/HTTP, in JSON and in Protocol Buffers:
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! A log record is an event: its name is the record's event name, or `log` without one. Attributes that have a column go
//! there, the others into `properties`. Deduplicated by `log.record.uid`, which OpenTelemetry defines for that; else by the
//! content of the request and the place in it, since exporters send the same request again. Not by the record alone:
//! clocks of programs are coarse, and a program may log the same many times within a millisecond.

mod json;
mod protobuf;

use http::StatusCode;
use lake::EventId;
use serde_json::{Value, json};

use super::body::field::{EVENT_ID_CHARS_MAX, LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object::{self, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::{IngestError, Rejection};

/// Bodies and answers in JSON.
pub const OTLP_JSON: Otlp = Otlp { encoding: Encoding::Json };

/// Bodies and answers in Protocol Buffers.
pub const OTLP_PROTOBUF: Otlp = Otlp { encoding: Encoding::Protobuf };

/// The content type of the second.
pub const PROTOBUF_TYPE: &str = "application/x-protobuf";

const NAME: &str = "otlp";

/// How deep values may nest: as deep as JSON may elsewhere.
const NESTED_MAX: u32 = 100;

/// The largest record, and the largest resource or scope. Parsing takes many times their size in memory.
const RECORD_BYTES_MAX: usize = 512 * 1024;
const SHARED_BYTES_MAX: usize = 64 * 1024;

/// How many refused records an answer names.
const NAMED_MAX: usize = 3;

/// See the module.
pub struct Otlp {
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Protobuf,
}

/// A log record, whatever it was encoded in.
#[derive(Debug, Default, PartialEq)]
struct LogRecord {
    /// When it happened, in nanoseconds since the epoch; 0 if that is not known.
    time_ns: u64,
    /// When it was collected; 0 if that is not known.
    observed_ns: u64,
    severity_number: i64,
    severity_text: String,
    event_name: String,
    body: Value,
    attributes: Object,
    /// In hexadecimal; empty without a trace.
    trace_id: String,
    span_id: String,
}

/// What records of a request have in common.
#[derive(Debug, Default)]
struct Origin {
    /// The attributes of the resource: the service, the host, the SDK.
    resource: Object,
    /// The name, version and attributes of the library that logs.
    scope: Object,
}

/// Takes the records one by one: what they have in common, the record as it was sent, and what was read of it.
type Take<'t> = dyn FnMut(&Origin, &[u8], Result<LogRecord, String>) + 't;

impl Protocol for Otlp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sender_of_body(&self, _: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        Ok(None)
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        // Services that run several times may log the same at the same time: the address that it comes from tells them apart.
        let ip = context.client.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let digest = EventId::derived(&[b"otlp request", &message.body, ip.as_bytes()]);
        let mut parsed = Parsed::default();
        let mut index = 0;
        let mut take = |origin: &Origin, sent: &[u8], record: Result<LogRecord, String>| {
            let read = record.and_then(|record| draft_of(record, origin)).and_then(|mut draft| {
                draft.id = draft.id.or_else(|| Some(id_of(digest, sent, &draft, context, index)));
                draft.complete(context, NAME, || context.missing_id("", index))
            });
            match read {
                Ok(event) => parsed.events.push(event),
                Err(reason) => parsed.rejected.push(Rejection::new(index, reason, &self.text_of(sent))),
            }
            index += 1;
        };
        match self.encoding {
            Encoding::Json => json::records(&message.body, events_max, &mut take)?,
            Encoding::Protobuf => protobuf::records(&message.body, events_max, &mut take)?,
        }
        Ok(parsed)
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        let rejected = receipt.rejected.len();
        match self.encoding {
            Encoding::Json if rejected == 0 => Answer::Json(StatusCode::OK, json!({})),
            Encoding::Json => {
                let reason = reason_of(&receipt.rejected);
                // Integers of 64 bits are texts in the JSON of Protocol Buffers.
                let partial = json!({ "rejectedLogRecords": rejected.to_string(), "errorMessage": reason });
                Answer::Json(StatusCode::OK, json!({ "partialSuccess": partial }))
            }
            Encoding::Protobuf => {
                let mut answer = Vec::new();
                if rejected > 0 {
                    let mut partial = Vec::new();
                    protobuf::put_varint(&mut partial, 1, rejected as u64);
                    protobuf::put_bytes(&mut partial, 2, reason_of(&receipt.rejected).as_bytes());
                    protobuf::put_bytes(&mut answer, 1, &partial);
                }
                Answer::Protobuf(StatusCode::OK, answer)
            }
        }
    }

    fn refused(&self, _: StatusCode, error: &IngestError) -> Value {
        json!({ "code": code_of(error), "message": error.to_string() })
    }

    fn refusal(&self, status: StatusCode, error: &IngestError) -> Answer {
        match self.encoding {
            Encoding::Json => Answer::Json(status, self.refused(status, error)),
            Encoding::Protobuf => {
                let mut answer = Vec::new();
                protobuf::put_varint(&mut answer, 1, code_of(error));
                protobuf::put_bytes(&mut answer, 2, error.to_string().as_bytes());
                Answer::Protobuf(status, answer)
            }
        }
    }
}

impl Otlp {
    /// A record as a text, for people to whom a refused one is shown.
    fn text_of(&self, sent: &[u8]) -> String {
        match self.encoding {
            Encoding::Json => String::from_utf8_lossy(sent).into_owned(),
            Encoding::Protobuf => {
                protobuf::read(sent).map_or_else(|reason| reason, |record| record.to_json().to_string())
            }
        }
    }
}

/// The code of an error in gRPC's terms, which the answers have beside the status. Exporters go by the status.
fn code_of(error: &IngestError) -> u64 {
    match error {
        IngestError::Invalid { .. } => 3,
        IngestError::Slow { .. } => 4,
        IngestError::Forbidden { .. } => 7,
        IngestError::TooOften { .. } | IngestError::TooLarge { .. } => 8,
        IngestError::Full { .. } | IngestError::NotDurable | IngestError::KeysUnavailable | IngestError::Closing => 14,
        IngestError::Unauthorized { .. } => 16,
    }
}

fn reason_of(rejected: &[Rejection]) -> String {
    let named = rejected.iter().take(NAMED_MAX).map(|one| format!("record {}: {}", one.index, one.reason));
    named.collect::<Vec<_>>().join("; ")
}

/// The id of a record without one, in a request with a digest.
fn id_of(digest: EventId, sent: &[u8], draft: &Draft, context: &Context, index: usize) -> EventId {
    match draft.created_us {
        Some(_) => EventId::derived(&[b"otlp record", &digest.0, &index.to_le_bytes()]),
        None => context.arrival_id(NAME, sent, index),
    }
}

fn draft_of(record: LogRecord, origin: &Origin) -> Result<Draft, String> {
    let LogRecord { time_ns, observed_ns, severity_number, severity_text, event_name, body, attributes, .. } = record;
    // Exporters are HTTP libraries, and what a server logs is no robot's.
    let mut draft = Draft { is_of_program: true, ..Draft::default() };
    let time_ns = if time_ns == 0 { observed_ns } else { time_ns };
    draft.created_us = i64::try_from(time_ns / 1_000).ok().filter(|time_us| *time_us > 0);
    let (mut properties, mut resource) = (attributes, origin.resource.clone());
    // An attribute of the record, or else of its resource: browsers and apps say there who they are.
    let mut take = |name: &str, chars_max: usize| -> Result<Option<String>, String> {
        Ok(object::take_text(&mut properties, name, chars_max)?.or(object::take_text(&mut resource, name, chars_max)?))
    };
    let id = take("log.record.uid", EVENT_ID_CHARS_MAX)?;
    draft.id = id.map(|id| EventId::from_client(&id));
    draft.user_agent = take("user_agent.original", LONG_CHARS_MAX)?;
    let event = &mut draft.event;
    let named = Some(event_name).filter(|name| !name.is_empty());
    event.name = named.or(take("event.name", NAME_CHARS_MAX)?).unwrap_or("log".into());
    if event.name.chars().count() > NAME_CHARS_MAX {
        return Err(format!("the event name is longer than {NAME_CHARS_MAX} characters"));
    }
    event.user_id = take("user.id", TEXT_CHARS_MAX)?.or(take("enduser.id", TEXT_CHARS_MAX)?);
    event.anonymous_id = take("app.installation.id", TEXT_CHARS_MAX)?.or(take("device.id", TEXT_CHARS_MAX)?);
    event.session_id = take("session.id", TEXT_CHARS_MAX)?;
    event.url = take("url.full", LONG_CHARS_MAX)?;
    event.language = take("browser.language", TEXT_CHARS_MAX)?;
    let sdk = [take("telemetry.sdk.name", TEXT_CHARS_MAX)?, take("telemetry.sdk.language", TEXT_CHARS_MAX)?];
    let version = take("telemetry.sdk.version", TEXT_CHARS_MAX)?.map(|version| format!("/{version}"));
    let sdk = sdk.into_iter().flatten().collect::<Vec<_>>().join("-");
    event.sdk = Some(sdk + &version.unwrap_or_default()).filter(|sdk| !sdk.is_empty());
    event.currency = take("currency", TEXT_CHARS_MAX)?;
    event.revenue_e4 = object::take_money_e4(&mut properties, "revenue");
    draft.ip = object::take_address(&mut properties, "client.address");

    for (name, value) in [
        ("body", body),
        ("severity", severity_text.into()),
        ("severity_number", if severity_number == 0 { Value::Null } else { severity_number.into() }),
        ("trace_id", record.trace_id.into()),
        ("span_id", record.span_id.into()),
        ("resource", resource.into()),
        ("scope", origin.scope.clone().into()),
    ] {
        let is_empty = value.is_null() || value == json!("") || value == json!({});
        if !is_empty {
            properties.entry(name).or_insert(value);
        }
    }
    draft.event.properties = object::properties(properties)?;
    Ok(draft)
}

impl LogRecord {
    /// The record as JSON for people, to whom a refused one is shown.
    fn to_json(&self) -> Value {
        json!({
            "timeUnixNano": self.time_ns.to_string(),
            "severityText": self.severity_text,
            "eventName": self.event_name,
            "body": self.body,
            "attributes": self.attributes,
        })
    }
}

/// Makes the scope's object, without what is empty.
fn scope_of(name: String, version: String, attributes: Object) -> Object {
    let fields = [("name", name.into()), ("version", version.into()), ("attributes", Value::Object(attributes))];
    let is_empty = |value: &Value| *value == json!("") || *value == json!({});
    fields.into_iter().filter(|(_, value)| !is_empty(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::client::Client;
    use crate::protocol::body::object::tests::{NOON_US, context, digest, message};

    /// One record in each encoding: `{"timeUnixNano": noon, "severityText": "INFO", "body": "hi", "eventName": "signup",
    /// "attributes": {"user.id": "u", "n": 3}}` of the service `shop`.
    const JSON: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeLogs":[{"scope":{"name":"lib"},"logRecords":[{"timeUnixNano":"1772366400000000000","severityNumber":9,
        "severityText":"INFO","body":{"stringValue":"hi"},"eventName":"signup","traceId":"0AF7651916CD43DD8448EB211C80319C",
        "attributes":[{"key":"user.id","value":{"stringValue":"u"}},{"key":"n","value":{"intValue":"3"}}]}]}]}]}"#;

    fn protobuf() -> Vec<u8> {
        let message = |fields: &[(u32, &[u8])]| {
            let mut bytes = Vec::new();
            fields.iter().for_each(|(number, content)| protobuf::put_bytes(&mut bytes, *number, content));
            bytes
        };
        let text = |text: &str| message(&[(1, text.as_bytes())]);
        let attribute = |key: &str, value: &[u8]| message(&[(1, key.as_bytes()), (2, value)]);
        let mut record = [&[0x09][..], &1_772_366_400_000_000_000_u64.to_le_bytes()].concat();
        protobuf::put_varint(&mut record, 2, 9);
        record.extend(message(&[
            (3, b"INFO"),
            (5, &text("hi")),
            (6, &attribute("user.id", &text("u"))),
            (6, &attribute("n", &[0x18, 3])),
            (9, &[0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c]),
            (12, b"signup"),
        ]));
        let scope = message(&[(1, &message(&[(1, b"lib")])), (2, &record)]);
        let resource = message(&[(1, &attribute("service.name", &text("shop")))]);
        // The resource comes last, as it may.
        message(&[(1, &message(&[(2, &scope), (1, &resource)]))])
    }

    #[test]
    fn a_record_is_an_event_in_either_encoding() {
        let of_json = OTLP_JSON.parse(&message("/v1/logs", JSON), &context(), 9).unwrap();
        let binary = Message { body: Bytes::from(protobuf()), ..message("/v1/logs", "") };
        let of_protobuf = OTLP_PROTOBUF.parse(&binary, &context(), 9).unwrap();
        for parsed in [of_json, of_protobuf] {
            assert_eq!(parsed.rejected, []);
            assert_eq!(
                digest(&parsed.events[0]),
                r#"signup | u | - | - | - | {"body":"hi","n":3,"resource":{"service.name":"shop"},"scope":{"name":"lib"},"severity":"INFO","severity_number":9,"trace_id":"0af7651916cd43dd8448eb211c80319c"}"#
            );
            assert_eq!((parsed.events[0].occurred_at_us, parsed.events[0].id_assigned), (NOON_US, false));
        }
    }

    #[test]
    fn attributes_fill_columns_from_the_record_or_its_resource() {
        let found = event(
            r#"{"attributes":[{"key":"session.id","value":{"stringValue":"s"}},{"key":"url.full","value":{"stringValue":"https://shop.example/"}},
                {"key":"revenue","value":{"doubleValue":19.9}},{"key":"currency","value":{"stringValue":"EUR"}},
                {"key":"event.name","value":{"stringValue":"buy"}},{"key":"log.record.uid","value":{"stringValue":"r-1"}}]}"#,
            r#"{"key":"device.id","value":{"stringValue":"d"}},{"key":"telemetry.sdk.name","value":{"stringValue":"opentelemetry"}},
               {"key":"telemetry.sdk.language","value":{"stringValue":"nodejs"}},{"key":"telemetry.sdk.version","value":{"stringValue":"2.0.1"}}"#,
        );
        assert_eq!(digest(&found), "buy | - | d | s | https://shop.example/ | -");
        assert_eq!((found.revenue_e4, found.currency.as_deref()), (Some(199_000), Some("EUR")));
        assert_eq!(found.sdk.as_deref(), Some("opentelemetry-nodejs/2.0.1"));
        assert_eq!(found.event_id, EventId::from_client("r-1"));
        assert_eq!(digest(&event("{}", "")), "log | - | - | - | - | -");
    }

    #[test]
    fn the_library_that_exports_is_no_robot() {
        let is_bot = |agent: &str, record: &str| {
            let client = Client { user_agent: Some(agent.into()), ..Client::default() };
            let context = Context { client, ..context() };
            OTLP_JSON.parse(&message("/v1/logs", &logs(record, "")), &context, 9).unwrap().events[0].is_bot
        };
        for exporter in ["OTel-OTLP-Exporter-Python/1.40.0", "OTel OTLP Exporter Go/1.32.0", "okhttp/4.12"] {
            assert!(!is_bot(exporter, "{}"), "{exporter}");
        }
        let robot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        assert!(is_bot(robot, "{}"));
        let named =
            format!(r#"{{"attributes":[{{"key":"user_agent.original","value":{{"stringValue":"{robot}"}}}}]}}"#);
        assert!(is_bot("OTel-OTLP-Exporter-Python/1.40.0", &named));
    }

    #[test]
    fn a_batch_sent_again_is_the_same_and_equal_records_in_one_are_not() {
        let record = r#"{"timeUnixNano":"1772366399000000000","body":{"stringValue":"hi"}}"#;
        let body = logs(&format!("{record},{record}"), "");
        let ids = |later_us: i64| {
            let context = Context { received_at_us: NOON_US + later_us, ..context() };
            let events = OTLP_JSON.parse(&message("/v1/logs", &body), &context, 9).unwrap().events;
            events.into_iter().map(|event| event.event_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(0), ids(60_000_000));
        assert_ne!(ids(0)[0], ids(0)[1]);
        let next = OTLP_JSON.parse(&message("/v1/logs", &logs(&format!("{record},{{}}"), "")), &context(), 9).unwrap();
        assert_ne!(next.events[0].event_id, ids(0)[0], "the same within a coarse clock's step, in the next batch");
    }

    #[test]
    fn records_that_are_refused_are_a_partial_success() {
        let body = logs(r#"{"timeUnixNano":"1000000000000000000"},{},7"#, "");
        let parsed = OTLP_JSON.parse(&message("/v1/logs", &body), &context(), 9).unwrap();
        let receipt = Receipt { accepted: parsed.events.len(), rejected: parsed.rejected, ..Receipt::default() };
        let Answer::Json(StatusCode::OK, answer) = OTLP_JSON.accepted(&receipt) else { panic!("no JSON") };
        assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "2");
        let reason = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
        assert!(reason.starts_with("record 0: ") && reason.contains("; record 2: "), "{reason}");
        let Answer::Protobuf(StatusCode::OK, answer) = OTLP_PROTOBUF.accepted(&receipt) else { panic!("no protobuf") };
        // { partial_success { rejected_log_records: 2 error_message: … } }, the message of the length before.
        let at = answer.iter().position(|byte| *byte == 0x08).unwrap();
        assert_eq!((answer[0], &answer[at..at + 3]), (0x0a, &[0x08, 2, 0x12][..]));
        assert!(answer.ends_with(reason.as_bytes()));

        let everything = Receipt { accepted: 1, ..Receipt::default() };
        assert_eq!(OTLP_JSON.accepted(&everything), Answer::Json(StatusCode::OK, json!({})));
        assert_eq!(OTLP_PROTOBUF.accepted(&everything), Answer::Protobuf(StatusCode::OK, vec![]));
    }

    #[test]
    fn refusals_are_a_status_in_the_encoding_of_the_request() {
        let error = IngestError::NotDurable;
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let Answer::Json(_, answer) = OTLP_JSON.refusal(status, &error) else { panic!("no JSON") };
        assert_eq!((&answer["code"], &answer["message"]), (&json!(14), &json!(error.to_string())));
        let Answer::Protobuf(_, answer) = OTLP_PROTOBUF.refusal(status, &error) else { panic!("no protobuf") };
        assert_eq!((&answer[..3], &answer[4..]), (&[0x08, 14, 0x12][..], error.to_string().as_bytes()));
    }

    #[test]
    fn values_of_every_kind_become_json() {
        let found = event(
            r#"{"body":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":1.5},{}]}}},
                {"key":"b","value":{"bytesValue":"aGk="}},{"key":"c","value":{"intValue":9007199254740993}},{"key":"d","value":{"doubleValue":"NaN"}}]}}}"#,
            "",
        );
        assert_eq!(
            found.properties.as_deref(),
            Some(r#"{"body":{"a":[true,1.5,null],"b":"aGk=","c":9007199254740993,"d":"NaN"}}"#)
        );
    }

    fn logs(records: &str, resource: &str) -> String {
        format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{resource}]}},"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#
        )
    }

    fn event(record: &str, resource: &str) -> lake::Event {
        let parsed = OTLP_JSON.parse(&message("/v1/logs", &logs(record, resource)), &context(), 9).unwrap();
        assert_eq!(parsed.rejected, []);
        parsed.events.into_iter().next().unwrap()
    }
}
