//! Unmodified clients: official SDKs with each request sent twice, or refused at first, and our tracker in a real browser.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::role::{Role, add_site, run_well};

/// Events per SDK: enough for several calls of every kind.
const EVENTS_PER_SDK: usize = 42;

const SDKS: [&str; 11] = [
    "segment",
    "rudderstack",
    "posthog",
    "umami",
    "snowplow",
    "plausible",
    "amplitude",
    "mixpanel",
    "jitsu",
    "otel_json",
    "otel_protobuf",
];

/// Those that send again what was refused, or whose callers do.
const PERSISTENT: [&str; 6] = ["segment", "posthog", "amplitude", "mixpanel", "otel_json", "otel_protobuf"];

fn dir(below_the_root: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(below_the_root)
}

/// Node.js in a directory with packages, which `make test` installs.
pub(super) fn node(dir: &str, args: &[&str]) -> Command {
    let dir = self::dir(dir);
    assert!(dir.join("node_modules").exists(), "install the packages of {}: `make tools` does it", dir.display());
    let mut command = Command::new("node");
    command.args(args).current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    command
}

/// Adds a site that senders may also name as a domain, and returns its key.
pub(super) async fn add_open_site(lake: &str, name: &str) -> String {
    let key = add_site(lake, name).await;
    run_well(&["site", "set", name, "--lake", lake, "--domain", name], &[]).await;
    key
}

/// The rows of a query, as objects.
pub(super) async fn query(lake: &str, sql: &str) -> Vec<Json> {
    let rows = run_well(&["query", "--lake", lake, "--format", "ndjson", "-e", sql], &[]).await;
    rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Visits pages with a browser, at most for `limit`. At each of its lines `SENT`, `DOWN` and `UP` it waits until `obey` has done
/// what the line is about. Returns the last other line.
pub(super) async fn visit(mut browser: Command, limit: Duration, mut obey: impl AsyncFnMut(&str)) -> String {
    let mut browser = browser.stdin(Stdio::piped()).spawn().unwrap();
    let mut commands = browser.stdin.take().unwrap();
    let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    let visit = async {
        let mut last = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if ["SENT", "DOWN", "UP"].contains(&&*line) {
                obey(&line).await;
                commands.write_all(b"ok\n").await.unwrap();
            } else {
                last = line;
            }
        }
        last
    };
    let last = timeout(limit, visit).await.expect("a visit ends in time");
    assert!(browser.wait().await.unwrap().success(), "the visit failed; see its output above");
    last
}

/// The stored name of an event that an SDK sent.
fn stored_name(sent: &Json) -> String {
    match sent["kind"].as_str().unwrap() {
        "custom" => sent["event"].as_str().unwrap().to_owned(),
        "screen" => "screen_view".into(),
        kind => kind.to_owned(),
    }
}

/// How often each combination of name, user and revenue occurs. All SDKs send these three.
fn counted(rows: impl Iterator<Item = (String, Json, Json)>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for (name, user, revenue) in rows {
        let revenue = revenue.as_f64().or_else(|| revenue.as_str()?.parse().ok()).unwrap_or_default();
        *counts.entry(format!("{name} {} {revenue}", user.as_str().unwrap_or("-"))).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_are_counted_once_though_every_request_comes_twice() {
    count_once(&SDKS, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_are_counted_once_though_every_first_answer_is_a_refusal() {
    count_once(&PERSISTENT, &["--refuse-first"]).await;
}

/// Sends events with each SDK through a duplicator with these flags, and compares what is stored with what was sent.
async fn count_once(sdks: &[&str], duplicator_flags: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let mut keys = Vec::new();
    for sdk in sdks {
        keys.push(add_open_site(lake, &format!("{sdk}.example")).await);
    }
    let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--trusted-proxies", "127.0.0.1"];
    let collector = Role::start(&[&["collector", "--lake", lake], &flags[..]].concat(), &[], "collector").await;
    let url = collector.url("collector");

    let mut duplicator =
        node("dewpond/tests/sdks", &[&["duplicator.js", "--to", &url], duplicator_flags].concat()).spawn().unwrap();
    let mut lines = BufReader::new(duplicator.stdout.take().unwrap()).lines();
    let port: Json = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    let proxy = format!("http://127.0.0.1:{}", port["port"]);

    for (sdk, key) in sdks.iter().zip(&keys) {
        let (site, count) = (format!("{sdk}.example"), EVENTS_PER_SDK.to_string());
        let args =
            ["send.js", "--sdk", *sdk, "--url", &*proxy, "--key", &**key, "--domain", &*site, "--count", &*count];
        let output = timeout(Duration::from_secs(120), node("dewpond/tests/sdks", &args).output()).await;
        let output = output.expect("an SDK delivers within two minutes").unwrap();
        assert!(output.status.success(), "{sdk} did not deliver its events");
        let sent: Json = serde_json::from_slice(&output.stdout).unwrap();
        let sent = sent["sent"].as_array().unwrap();
        assert_eq!(sent.len(), EVENTS_PER_SDK, "{sdk}");
        let expected =
            counted(sent.iter().map(|sent| (stored_name(sent), sent["user"].clone(), sent["revenue"].clone())));
        let sql = format!("SELECT name, user_id, revenue FROM events WHERE site_id = '{site}'");
        let stored = query(lake, &sql).await;
        let stored = counted(
            stored
                .into_iter()
                .map(|row| (row["name"].as_str().unwrap().to_owned(), row["user_id"].clone(), row["revenue"].clone())),
        );
        assert_eq!(stored, expected, "{sdk}");
    }
    let refused = query(lake, "SELECT * FROM quarantine").await;
    assert!(refused.is_empty(), "{refused:?}");
    // The ids of people, in protocols that link them.
    let linked =
        "SELECT DISTINCT anonymous_id FROM events WHERE name IN ('identify', 'alias') AND anonymous_id IS NOT NULL";
    assert!(!query(lake, linked).await.is_empty());
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_loses_nothing_while_the_collector_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    add_open_site(lake, "demo").await;
    let start = async |listen: &str| {
        Role::start(
            &["collector", "--lake", lake, "--listen", listen, "--admin-listen", "127.0.0.1:0", "--demo-site"],
            &[],
            "collector",
        )
        .await
    };
    let mut collector = Some(start("127.0.0.1:0").await);
    let url = collector.as_ref().unwrap().url("collector");
    let listen = url.strip_prefix("http://").unwrap().to_owned();

    let mut browser = node("web", &["tracker/tests/browser/collector.mjs"]);
    browser.env("DEWPOND_URL", &url);
    let last = visit(browser, Duration::from_secs(180), async |line| match line {
        "DOWN" => collector.take().unwrap().kill().await,
        _ => collector = Some(start(&listen).await),
    })
    .await;

    let queued: Json = serde_json::from_str(&last).unwrap();
    let by_id = |rows: &[Json], id: &str| {
        let rows = rows.iter().map(|row| (row[id].as_str().unwrap().to_lowercase(), row["name"].clone()));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    };
    let queued = by_id(queued["events"].as_array().unwrap(), "event_id");
    let sql = "SELECT encode(event_id, 'hex') AS id, name FROM events WHERE NOT is_bot";
    let stored: Vec<_> = by_id(&query(lake, sql).await, "id");
    let hex = |id: &str| id.replace('-', "");
    let queued: Vec<_> = queued.into_iter().map(|(id, name)| (hex(&id), name)).collect();
    assert_eq!(stored, queued, "each event that the tracker queued is stored once");
    for name in [
        "page_view",
        "page_ping",
        "object_in_view",
        "object_interaction",
        "outbound_click",
        "file_download",
        "identify",
    ] {
        assert!(stored.iter().any(|(_, found)| found == name), "no {name} among {stored:?}");
    }
    collector.unwrap().stop().await;
}
