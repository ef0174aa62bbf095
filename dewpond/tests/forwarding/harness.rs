//! A lake, the binary, and a receiver that answers as a test wants.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// The secret of signatures.
pub const SECRET: (&str, &str) = ("FORWARD_SECRET", "secret");

/// A lake with a site.
pub struct World {
    pub dir: TempDir,
    /// Variables of the forwarder's environment, beside the secret.
    pub variables: Vec<(String, String)>,
}

/// A forwarder. Killed with SIGKILL when it is dropped.
pub struct Forward(Child);

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), variables: vec![] };
        world.run(&["site", "add", "shop"]);
        world.run(&["site", "add", "blog"]);
        world
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dewpond"));
        command
            .args(args)
            .env("DEWPOND_LAKE", self.dir.path().join("lake"))
            .env("DEWPOND_LOG", "warn")
            .env(SECRET.0, SECRET.1)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary, which must succeed. Returns what it says.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?} failed: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs the binary, which must fail. Returns the error.
    #[track_caller]
    pub fn refuse(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(!output.status.success(), "{args:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Imports events and publishes them.
    pub fn publish(&self, site: &str, events: &[Json]) {
        let file = self.dir.path().join("events.ndjson");
        let lines: String = events.iter().map(|event| event.to_string() + "\n").collect();
        std::fs::write(&file, lines).unwrap();
        self.run(&["import", "--site", site, file.to_str().unwrap()]);
        self.compact();
    }

    /// Publishes, merges, removes and vacuums. Files that were replaced are deleted when the store's clock is a minute on.
    pub fn compact(&self) {
        self.run(&["compactor", "--once"]);
    }

    /// Adds a destination.
    pub fn add(&self, name: &str, args: &[&str]) {
        self.run(&[&["forward", "add", name, "--site", "shop"], args].concat());
    }

    /// Starts a forwarder that is in a hurry.
    pub fn forward(&self) -> Forward {
        let mut args =
            vec!["forward", "--forward-poll", "50ms", "--forward-take-over", "1s", "--forward-pause-max", "200ms"];
        args.extend(["--admin-listen", "127.0.0.1:0"]);
        let child = self.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Forward(child)
    }

    /// Waits until so many events of a destination were delivered, and so many refused.
    pub async fn wait_for_delivered(&self, name: &str, delivered: u64, refused: u64) {
        let is_there = |own: &Json| own["delivered"] == delivered && own["refused"] == refused;
        self.wait_until(name, Duration::from_secs(60), is_there).await;
    }

    /// Waits until a destination fails. Returns its status, with the reason.
    pub async fn wait_for_failure(&self, name: &str) -> String {
        let fails = |own: &Json| own.to_string().contains("failing since");
        self.wait_until(name, Duration::from_secs(90), fails).await.to_string()
    }

    /// Waits until something holds of a destination's status. Returns the status.
    async fn wait_until(&self, name: &str, at_most: Duration, holds: impl Fn(&Json) -> bool) -> Json {
        let started = Instant::now();
        loop {
            let status = self.run(&["forward", "status", "--json"]);
            let all: Vec<Json> = serde_json::from_str(&status).unwrap();
            let own = all.into_iter().find(|one| one["destination"] == name).unwrap();
            if holds(&own) {
                return own;
            }
            assert!(started.elapsed() < at_most, "{status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn ask(&self, sql: &str) -> String {
        self.run(&["query", "--format", "csv", "-e", sql])
    }
}

/// A certificate of this machine that nobody has signed.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub fn make(dir: &Path) -> Self {
        let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
        let done = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Self { certificate, key }
    }
}

/// An event of a visitor.
pub fn event(id: usize, visitor: &str, name: &str) -> Json {
    let at = chrono::DateTime::from_timestamp(1_772_366_400 + id as i64, 0).unwrap();
    json!({"event_id": uuid::Uuid::from_u128(id as u128).to_string(), "name": name, "anonymous_id": visitor,
           "timestamp": at.to_rfc3339(), "n": id})
}

/// What a receiver got, and how it answers.
#[derive(Clone, Default)]
pub struct Receiver {
    got: Arc<Mutex<Got>>,
}

/// How a receiver answers a body.
pub type Answer = Box<dyn Fn(&Json, usize) -> (StatusCode, &'static str) + Send>;

#[derive(Default)]
struct Got {
    taken: Vec<Post>,
    requests: usize,
    answer: Option<Answer>,
}

/// A post that was answered with a success.
#[derive(Clone, Debug)]
pub struct Post {
    pub uri: String,
    pub headers: HashMap<String, String>,
    pub body: Json,
}

impl Receiver {
    /// Starts to listen. Returns the address to post to.
    pub async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/events", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Answers like this from now on. The second argument counts requests.
    pub fn answer(&self, answer: impl Fn(&Json, usize) -> (StatusCode, &'static str) + Send + 'static) {
        self.got.lock().answer = Some(Box::new(answer));
    }

    pub fn posts(&self) -> Vec<Post> {
        self.got.lock().taken.clone()
    }

    /// The numbers of the events that were taken, in order.
    pub fn numbers(&self) -> Vec<u64> {
        let posts = self.posts();
        let calls = posts.iter().flat_map(|post| post.body["batch"].as_array().cloned().unwrap_or_default());
        calls.filter_map(|call| call["properties"]["n"].as_u64()).collect()
    }

    /// Waits until so many events were taken.
    pub async fn wait_for(&self, events: usize) {
        let started = Instant::now();
        while self.numbers().len() < events {
            assert!(started.elapsed() < Duration::from_secs(60), "{} of {events} came", self.numbers().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let json: Json = serde_json::from_slice(&body).unwrap_or_default();
    let mut got = receiver.got.lock();
    got.requests += 1;
    let count = got.requests;
    let (status, after) = got.answer.as_ref().map_or((StatusCode::OK, ""), |answer| answer(&json, count));
    if status.is_success() {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let post = Post { uri: uri.to_string(), headers: headers.collect(), body: json };
        got.taken.push(post);
    }
    let headers = [("Retry-After", after)];
    if after.is_empty() { status.into_response() } else { (status, headers).into_response() }
}
