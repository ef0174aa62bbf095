//! A shop's history, imported: its sessions, and the funnel from a product to a purchase, as another engine counts them.

use std::fmt::Write as _;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::harness::role::run_well;

/// What a visitor did, one step after the other.
const FUNNEL: &str = "WITH viewed AS (
    SELECT visitor_id, min(occurred_at) AS at FROM events
    WHERE name = 'product_view' AND visitor_id IS NOT NULL GROUP BY 1
), added AS (
    SELECT visitor_id, min(e.occurred_at) AS at FROM events e JOIN viewed v USING (visitor_id)
    WHERE e.name = 'add_to_cart' AND e.occurred_at >= v.at GROUP BY 1
), checked_out AS (
    SELECT visitor_id, min(e.occurred_at) AS at FROM events e JOIN added a USING (visitor_id)
    WHERE e.name = 'checkout_step' AND e.occurred_at >= a.at GROUP BY 1
), bought AS (
    SELECT visitor_id, min(e.occurred_at) AS at FROM events e JOIN checked_out c USING (visitor_id)
    WHERE e.name = 'transaction' AND e.occurred_at >= c.at GROUP BY 1
)
SELECT (SELECT count(*) FROM viewed) AS viewed, (SELECT count(*) FROM added) AS added,
    (SELECT count(*) FROM checked_out) AS checked_out, (SELECT count(*) FROM bought) AS bought";

/// Sessions that have an id, as a reader of the file counts them. An id that stands on events of nobody is none.
const SESSIONS_OF_THE_FILE: &str = "SELECT count(DISTINCT (visitor_id, session_id)) AS sessions FROM events \
    WHERE visitor_id IS NOT NULL AND session_id IS NOT NULL";

/// The shape of exports of shops: a blank between day and time, some events without a visitor, one of these with the id of
/// a session.
#[tokio::test]
async fn a_session_id_on_events_of_nobody_is_no_session() {
    let ada = |name: &str, at: &str| line(name, at, Some("ada"), Some("s1"));
    let history = [
        ada("product_view", "09:00:00.5"),
        ada("add_to_cart", "09:01:00"),
        // Hours later, but in the same session.
        ada("checkout_step", "17:00:00"),
        ada("transaction", "17:00:00"),
        // In the wrong order.
        line("add_to_cart", "10:00:00", Some("ben"), Some("s2")),
        line("product_view", "10:05:00", Some("ben"), Some("s2")),
        line("checkout_step", "10:06:00", Some("ben"), Some("s2")),
        // Nobody's.
        line("checkout_step", "11:00:00", None, Some("s3")),
        line("transaction", "12:00:00", None, None),
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.ndjson");
    std::fs::write(&file, history.concat()).unwrap();
    let lake = import(&file).await;
    // Three ids are in the file, and two sessions.
    let ids = "SELECT count(DISTINCT session_id) AS ids, count(*) AS events FROM events";
    assert_eq!(ours(&lake, ids).await, [json!(3), json!(9)]);
    let sessions = "SELECT count(session_id) AS with_id, count(*) AS sessions, sum(events) AS events FROM sessions";
    assert_eq!(ours(&lake, sessions).await, [json!(2), json!(2), json!(7)]);
    assert_eq!(ours(&lake, FUNNEL).await, [json!(2), json!(1), json!(1), json!(1)]);
}

#[tokio::test]
async fn sessions_and_the_funnel_of_an_imported_shop_are_those_that_duckdb_counts_in_its_file() {
    let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: run it through `make test`, which installs DuckDB");
        return;
    };
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.ndjson");
    std::fs::write(&file, history(&mut StdRng::seed_from_u64(seed))).unwrap();
    let lake = import(&file).await;
    assert_eq!(ours(&lake, FUNNEL).await, theirs(&python, &file, FUNNEL).await);
    let sessions = "SELECT count(session_id) AS sessions FROM sessions";
    assert_eq!(ours(&lake, sessions).await, theirs(&python, &file, SESSIONS_OF_THE_FILE).await);
    let events = "SELECT count(*) AS events FROM events";
    assert_eq!(ours(&lake, events).await, theirs(&python, &file, events).await);
}

/// A history of some hundred events: visitors with up to four sessions, each shorter than a day, and events of nobody.
fn history(rng: &mut StdRng) -> String {
    const NAMES: [&str; 6] =
        ["product_view", "product_view", "list_view", "add_to_cart", "checkout_step", "transaction"];
    let mut history = String::new();
    let mut next = |rng: &mut StdRng, visitor: Option<&str>, session: Option<&str>| {
        let at =
            format!("{:02}:{:02}:{:02}.25", rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60));
        write!(history, "{}", line(NAMES[rng.random_range(0..NAMES.len())], &at, visitor, session)).unwrap();
    };
    for visitor in 0..40 {
        for session in 0..rng.random_range(1..5) {
            for _ in 0..rng.random_range(1..8) {
                next(rng, Some(&format!("v{visitor}")), Some(&format!("s{visitor}-{session}")));
            }
        }
    }
    for nobody in 0..12 {
        let session = rng.random_bool(0.3).then(|| format!("n{nobody}"));
        next(rng, None, session.as_deref());
    }
    history
}

/// A line of the file. Without a visitor or a session, the key is left out or null.
fn line(name: &str, at: &str, visitor: Option<&str>, session: Option<&str>) -> String {
    let mut event = json!({
        "event_id": uuid::Uuid::now_v7(), "name": name, "timestamp": format!("2022-12-22 {at}+00:00"),
        "session_id": session, "url": "http://localhost:3000/commerce",
        "properties": {"product": [{"id": "1236", "price": "12.0", "name": null}]},
    });
    if let Some(visitor) = visitor {
        event["anonymous_id"] = visitor.into();
    }
    format!("{event}\n")
}

/// A lake beside the file that the file was imported into, and published in part.
async fn import(file: &Path) -> String {
    let lake = file.with_file_name("lake").to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(file).unwrap();
    let half = text.lines().count() / 2;
    let part = file.with_file_name("half.ndjson");
    std::fs::write(&part, text.lines().take(half).fold(String::new(), |lines, line| lines + line + "\n")).unwrap();
    run_well(&["import", "--lake", &lake, "--site", "shop", part.to_str().unwrap()], &[]).await;
    run_well(&["compactor", "--lake", &lake, "--once"], &[]).await;
    // The first half once more, and the rest, which is pending.
    run_well(&["import", "--lake", &lake, "--site", "shop", file.to_str().unwrap()], &[]).await;
    lake
}

/// The one row of our answer.
async fn ours(lake: &str, sql: &str) -> Vec<Json> {
    let answer = run_well(&["query", "-e", sql, "--lake", lake, "--format", "csv"], &[]).await;
    let row = answer.lines().nth(1).unwrap();
    row.split(',').map(|value| serde_json::from_str(value).unwrap()).collect()
}

/// The one row of DuckDB's answer.
async fn theirs(python: &str, file: &Path, sql: &str) -> Vec<Json> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shop.py");
    let output = Command::new(python).arg(script).arg(file).arg(sql).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Vec<Json>> = serde_json::from_slice(&output.stdout).unwrap();
    rows.into_iter().next().unwrap()
}
