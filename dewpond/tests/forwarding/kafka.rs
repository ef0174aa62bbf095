//! Brokers of Kafka: those that librdkafka tests its own clients with, which speak the protocol and keep records in memory.
//! Skipped with a word where they cannot be had.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::harness::{Certificate, World, event};

/// A cluster, stopped when it is dropped.
struct Cluster {
    process: Child,
    brokers: String,
    records: Arc<Mutex<Vec<Json>>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Cluster {
    /// - `guard`: who stands before the brokers: the arguments of the script after the topic.
    fn start(topic: &str, guard: &[&str]) -> Option<Self> {
        let python = std::env::var("DEWPOND_TEST_PYTHON").unwrap_or_default();
        let import = Command::new(&python).args(["-c", "import confluent_kafka"]).output();
        if !import.is_ok_and(|done| done.status.success()) {
            assert!(std::env::var("CI").is_err(), "CI installs the brokers");
            eprintln!("skipped: there are no brokers of Kafka; `make test` installs them and sets DEWPOND_TEST_PYTHON");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka_broker/broker.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(topic)
            .args(guard)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let brokers = lines.next().unwrap().unwrap();
        let records: Arc<Mutex<Vec<Json>>> = Arc::default();
        let kept = records.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().push(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { process, brokers, records })
    }

    async fn wait_for(&self, count: usize) -> Vec<Json> {
        let started = Instant::now();
        loop {
            let records = self.records.lock().clone();
            if records.len() >= count {
                return records;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{} of {count} came", records.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_appended_by_visitor_and_in_order() {
    let Some(cluster) = Cluster::start("events", &[]) else { return };
    let world = World::new();
    world.add("bus", &["--kafka", "events", "--brokers", &cluster.brokers]);
    let visitor = |id: usize| format!("visitor-{}", id % 11);
    world.publish("shop", &(0..6_000).map(|id| event(id, &visitor(id), "a")).collect::<Vec<_>>());
    let _forward = world.forward();
    world.wait_for_delivered("bus", 6_000, 0).await;
    world.publish("shop", &(6_000..6_100).map(|id| event(id, &visitor(id), "b")).collect::<Vec<_>>());
    let records = cluster.wait_for(6_100).await;
    let mut partitions: HashMap<String, (i64, i64)> = HashMap::new();
    let mut in_order = records.clone();
    in_order.sort_by_key(|record| (record["partition"].as_i64(), record["offset"].as_i64()));
    for record in &in_order {
        let value = &record["value"];
        assert_eq!(record["key"].as_str().unwrap(), value["visitor_id"].to_string());
        assert_eq!(record["headers"]["event_id"], value["event_id"]);
        let at: chrono::DateTime<chrono::Utc> = value["occurred_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(record["at"], at.timestamp_millis());
        let (partition, n) = (record["partition"].as_i64().unwrap(), value["properties"]["n"].as_i64().unwrap());
        let before = partitions.insert(value["anonymous_id"].as_str().unwrap().to_owned(), (partition, n));
        assert!(before.is_none_or(|before| before.0 == partition && before.1 < n), "{record} after {before:?}");
    }
    assert_eq!((records.len(), partitions.len()), (6_100, 11));
    let used: std::collections::HashSet<i64> = partitions.values().map(|(partition, _)| *partition).collect();
    assert!(used.len() > 1, "all visitors are in one partition");
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_behind_tls_and_a_sign_in_are_reached_by_each_mechanism() {
    for (mechanism, options) in [
        ("SCRAM-SHA-512", &[] as &[&str]),
        ("SCRAM-SHA-256", &["--sasl-mechanism", "scram-sha-256"]),
        ("PLAIN", &["--sasl-mechanism", "plain"]),
    ] {
        let mut world = World::new();
        let Certificate { certificate, key } = Certificate::make(world.dir.path());
        let [certificate, key] = [certificate, key].map(|path| path.to_str().unwrap().to_owned());
        let Some(cluster) = Cluster::start("events", &[&certificate, &key, mechanism, "ann", "s3cret"]) else { return };
        let add = |name: &str, variable: &str, others: &[&str]| {
            let to =
                ["--kafka", "events", "--brokers", &cluster.brokers, "--user", "ann", "--secret-variable", variable];
            world.add(name, &[&to, options, others].concat());
        };
        add("bus", "KAFKA_PASSWORD", &["--tls"]);
        add("guesser", "WRONG_PASSWORD", &["--tls"]);
        world.publish("shop", &(0..60).map(|id| event(id, "a", "a")).collect::<Vec<_>>());
        let variables = [("KAFKA_PASSWORD", "s3cret"), ("WRONG_PASSWORD", "guess"), ("SSL_CERT_FILE", &certificate)];
        world.variables.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let _forward = world.forward();
        world.wait_for_delivered("bus", 60, 0).await;
        cluster.wait_for(60).await;
        let status = world.wait_for_failure("guesser").await;
        assert!(status.contains("SaslAuthenticationFailed"), "{mechanism}: {status}");
        assert_eq!(cluster.records.lock().len(), 60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_with_a_certificate_that_nobody_signed_get_nothing() {
    let mut world = World::new();
    let Certificate { certificate, key } = Certificate::make(world.dir.path());
    let guard = [certificate.to_str().unwrap(), key.to_str().unwrap(), "SCRAM-SHA-512", "ann", "s3cret"];
    let Some(cluster) = Cluster::start("events", &guard) else { return };
    let to = ["--kafka", "events", "--brokers", &cluster.brokers, "--tls"];
    world.add("bus", &[&to[..], &["--user", "ann", "--secret-variable", "KAFKA_PASSWORD"]].concat());
    world.publish("shop", &[event(1, "a", "a")]);
    world.variables.push(("KAFKA_PASSWORD".into(), "s3cret".into()));
    let _forward = world.forward();
    let status = world.wait_for_failure("bus").await;
    assert!(status.contains("certificate"), "{status}");
    assert!(cluster.records.lock().is_empty());
}

#[test]
fn a_password_is_not_sent_for_everybody_to_read() {
    let world = World::new();
    let plain =
        ["forward", "add", "bus", "--site", "shop", "--kafka", "events", "--brokers", "kafka:9092", "--user", "ann"];
    let refusal = world.refuse(&[&plain as &[&str], &["--secret-variable", "P", "--sasl-mechanism", "plain"]].concat());
    assert!(refusal.contains("add --tls"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_named_and_waited_for() {
    let world = World::new();
    world.add("bus", &["--kafka", "nothing", "--brokers", "127.0.0.1:1"]);
    world.publish("shop", &[event(1, "a", "a")]);
    let _forward = world.forward();
    world.wait_for_failure("bus").await;
}
