//! A topic of Kafka, or of anything that speaks its protocol.
//!
//! A record is an event as JSON, its key the visitor, and its partition that which Kafka's own clients choose for the key. So
//! a visitor's events are in one partition, in their order. A batch that is sent again comes again: `event_id`, in the record
//! and in its headers, tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use lake::SaslMechanism;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use serde_json::Value as Json;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::batch::Batch;
use crate::destination::answer::words;
use crate::destination::tls::client_config;
use crate::destination::{Destination, Limits, SendError};
use crate::message::Event;

/// A broker takes 1 MiB at a time unless it is told otherwise; some of it is for what is around the values.
const LIMITS: Limits = Limits { events_max: 5_000, bytes_max: 700 << 10 };

/// How long a batch may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// For how long the client itself tries again.
const TRIES: Duration = Duration::from_secs(20);

/// Appends events to a topic.
pub(crate) struct Kafka {
    brokers: Vec<String>,
    topic: String,
    sign_in: Option<SaslConfig>,
    tls: Option<Arc<ClientConfig>>,
    partitions: Mutex<Option<Arc<[PartitionClient]>>>,
}

impl Kafka {
    /// - `sign_in`: user and password, by a mechanism.
    /// - `tls`: whether connections are encrypted.
    ///
    /// Fails if TLS cannot be had, and if the password would be sent for everybody to read.
    pub(crate) fn new(
        brokers: &[String],
        topic: &str,
        sign_in: Option<(String, String)>,
        mechanism: SaslMechanism,
        tls: bool,
    ) -> anyhow::Result<Self> {
        if sign_in.is_some() && mechanism == SaslMechanism::Plain && !tls {
            bail!("SASL by PLAIN would send the password for everybody to read: add the destination with --tls");
        }
        let sign_in = sign_in.map(|(user, password)| {
            let credentials = Credentials::new(user, password);
            match mechanism {
                SaslMechanism::Plain => SaslConfig::Plain(credentials),
                SaslMechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                SaslMechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            }
        });
        let tls = tls.then(client_config).transpose()?;
        Ok(Self { brokers: brokers.to_vec(), topic: topic.to_owned(), sign_in, tls, partitions: Mutex::default() })
    }

    async fn connect(&self) -> Result<Arc<[PartitionClient]>, SendError> {
        let backoff = BackoffConfig { deadline: Some(TRIES), ..BackoffConfig::default() };
        let mut builder = ClientBuilder::new(self.brokers.clone()).client_id("dewpond").backoff_config(backoff);
        if let Some(sign_in) = &self.sign_in {
            builder = builder.sasl_config(sign_in.clone());
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(tls.clone());
        }
        let client = builder.build().await.map_err(|error| judge(&error))?;
        let topics = client.list_topics().await.map_err(|error| judge(&error))?;
        let Some(topic) = topics.into_iter().find(|topic| topic.name == self.topic) else {
            return Err(SendError::Later {
                reason: format!("there is no topic {}: create it", self.topic),
                after: None,
            });
        };
        let partitions = topic
            .partitions
            .into_iter()
            .map(|partition| client.partition_client(self.topic.clone(), partition, UnknownTopicHandling::Error));
        Ok(try_join_all(partitions).await.map_err(|error| judge(&error))?.into())
    }

    async fn append(&self, batch: &Batch) -> Result<(), SendError> {
        let mut kept = self.partitions.lock().await;
        let partitions = match kept.take() {
            Some(partitions) => partitions,
            None => self.connect().await?,
        };
        let mut records: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
        for message in &batch.messages {
            let key = key_of(message);
            records.entry(partition_of(key.as_bytes(), partitions.len())).or_default().push(record_of(message, key));
        }
        let appended = records.into_iter().map(|(at, records)| partitions[at].produce(records, Compression::Gzip));
        let outcomes = futures::future::join_all(appended).await;
        for outcome in outcomes {
            // After anything else the partitions are looked up anew: their leaders may have changed.
            outcome.map_err(|error| judge(&error))?;
        }
        *kept = Some(partitions);
        Ok(())
    }
}

#[async_trait]
impl Destination for Kafka {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn message(&self, event: &Event) -> Result<Json, String> {
        Ok(Json::Object(event.clone()))
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        match timeout(TIMEOUT, self.append(batch)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(SendError::Later { reason: format!("it took longer than {} s", TIMEOUT.as_secs()), after: None })
            }
        }
    }
}

/// What an error means: what is too large stays so, and all else can be mended there.
fn judge(error: &Error) -> SendError {
    let reason = words(&lake::whole_text(error));
    match error {
        Error::ServerError {
            protocol_error: ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge,
            ..
        } => SendError::Never { reason },
        _ => SendError::Later { reason, after: None },
    }
}

fn key_of(message: &Json) -> String {
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    let visitor = message.get("visitor_id").filter(|id| !id.is_null()).map(Json::to_string);
    visitor.or_else(|| text("event_id")).unwrap_or_default()
}

fn record_of(message: &Json, key: String) -> Record {
    let at = message["occurred_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok()).unwrap_or_default();
    let id = message["event_id"].as_str().map(|id| ("event_id".to_owned(), id.as_bytes().to_vec()));
    Record {
        key: Some(key.into_bytes()),
        value: Some(message.to_string().into_bytes()),
        headers: id.into_iter().collect(),
        timestamp: at,
    }
}

/// The partition that Kafka's own clients choose for a key.
fn partition_of(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)
}

/// MurmurHash 2 of 32 bits with Kafka's seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_partition_that_kafkas_clients_choose() {
        // From the tests of Kafka's own clients.
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
    }

    #[test]
    fn the_key_is_the_visitor_and_of_nobody_the_event() {
        assert_eq!(key_of(&serde_json::json!({"event_id": "e", "visitor_id": -7})), "-7");
        assert_eq!(key_of(&serde_json::json!({"event_id": "e"})), "e");
    }
}
