//! `dewpond sql` as somebody at a terminal uses it, over a lake and over a server.

use tokio::process::Command;

use crate::harness::clients::{client, events, post_accepted};
use crate::harness::role::{DEWPOND, Role, add_site, queries_dir, run_well};

const EVENTS: usize = 23;

/// A lake with events of two sites, and what listens for both.
struct World {
    dir: tempfile::TempDir,
    lake: String,
    _collector: Role,
}

async fn start() -> World {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake").to_str().unwrap().to_owned();
    let (shop, blog) = (add_site(&lake, "shop").await, add_site(&lake, "blog").await);
    let listen = ["collector", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--lake", &lake];
    let collector = Role::start(&listen, &[], "collector").await;
    for (key, count) in [(shop, EVENTS), (blog, 3)] {
        let body = events((0..count).map(|n| format!("event-{n}"))).into();
        post_accepted(&client(), &collector.url("collector"), &key, &body).await;
    }
    World { dir, lake, _collector: collector }
}

impl World {
    async fn server(&self, token: &str) -> Role {
        let queries = queries_dir();
        let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--lake", &self.lake];
        // One at a time: what a cancelled query does not give back, nobody gets.
        let settings = ["--token", token, "--sql-queries-max", "1", "--queries", queries.to_str().unwrap()];
        Role::start(&[&["analytics"][..], &settings, &listen].concat(), &[], "analytics").await
    }

    async fn key_of(&self, site: &str) -> String {
        let added = run_well(&["key", "add", "--site", site, "--lake", &self.lake, "--json"], &[]).await;
        let added: serde_json::Value = serde_json::from_str(&added).unwrap();
        added["read_key"].as_str().unwrap().to_owned()
    }

    /// Types what the script types into the program.
    async fn converse(&self, python: &str, arguments: &[&str]) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/terminal.py");
        let home = self.dir.path().to_str().unwrap();
        let talking = Command::new(python).args([script, DEWPOND, home, &EVENTS.to_string()]).args(arguments).output();
        let talking = talking.await.unwrap();
        assert!(talking.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&talking.stderr));
    }
}

#[tokio::test]
async fn a_terminal_has_the_same_prompt_over_a_lake_and_over_a_server() {
    let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: run it through `make test`, which has a Python");
        return;
    };
    let world = start().await;
    world.converse(&python, &["--lake", &world.lake, "--site", "shop"]).await;
    let server = world.server("token").await;
    let url = server.url("analytics");
    world.converse(&python, &["--url", &url, "--key", &world.key_of("shop").await]).await;
    world.converse(&python, &["--url", &url, "--key", "token", "--site", "shop"]).await;
}

#[tokio::test]
async fn a_pipe_gets_the_same_answers_from_a_lake_and_from_a_server() {
    let world = start().await;
    let server = world.server("token").await;
    let url = server.url("analytics");
    let key = world.key_of("shop").await;
    let asked = async |arguments: &[&str], sql: &str| {
        let words = [&["sql", "--format", "csv"], arguments].concat();
        let mut asking = Command::new(DEWPOND);
        asking.args(words).env("DEWPOND_LOG", "error").env("DEWPOND_KEY", &key);
        asking.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut asking = asking.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut input = asking.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut input, sql.as_bytes()).await.unwrap();
        drop(input);
        let output = asking.wait_with_output().await.unwrap();
        (output.status.success(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()))
    };
    for sql in [
        "SELECT site_id, name, count(*) FROM events GROUP BY ALL; SELECT 1 AS one",
        "SELECT event_id, occurred_at, properties, is_bot, NULL AS nothing FROM events ORDER BY event_id;",
        "SELECT * FROM events WHERE false",
        "SELECT value, repeat('x', 100) AS x FROM generate_series(1, 50000) ORDER BY 1",
        "\\d sessions",
        "SELECT 1;\nSELECT visiter_id FROM events",
        "DROP TABLE events",
    ] {
        let of_lake = asked(&["--lake", &world.lake, "--site", "shop"], sql).await;
        assert_eq!(asked(&["--url", &url], sql).await, of_lake, "{sql}");
    }
    let (well, [_, error]) = asked(&["--url", &url, "--key", "wrong"], "SELECT 1").await;
    assert!(!well && error.contains("give it with --key"), "{error}");
    let (well, [_, error]) = asked(&["--url", "http://127.0.0.1:9"], "SELECT 1").await;
    assert!(!well && error.contains("cannot be asked"), "{error}");
}
