//! Clients of PostgreSQL, unmodified, read a lake.

use std::path::PathBuf;

use tokio::process::Command;

use crate::harness::clients::{client, events, post_accepted};
use crate::harness::role::{Role, add_site, queries_dir, run_well};

const EVENTS: usize = 20;

/// A lake with events of two sites and its server; a key of the one that has `EVENTS`.
struct World {
    _dir: tempfile::TempDir,
    _roles: [Role; 2],
    port: String,
    key: String,
}

async fn start() -> World {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().to_str().unwrap().to_owned();
    let (shop, blog) = (add_site(&lake, "shop").await, add_site(&lake, "blog").await);
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--lake", &lake];
    let collector = Role::start(&[&["collector"][..], &listen].concat(), &[], "collector").await;
    for (key, count) in [(shop, EVENTS), (blog, 3)] {
        let body = events((0..count).map(|n| format!("event-{n}"))).into();
        post_accepted(&client(), &collector.url("collector"), &key, &body).await;
    }
    let added = run_well(&["key", "add", "--site", "shop", "--lake", &lake, "--json"], &[]).await;
    let added: serde_json::Value = serde_json::from_str(&added).unwrap();
    let key = added["read_key"].as_str().unwrap().to_owned();
    let queries = queries_dir();
    let serve = ["analytics", "--pg-listen", "127.0.0.1:0", "--queries", queries.to_str().unwrap()];
    let analytics = Role::start(&[&serve[..], &listen].concat(), &[], "analytics").await;
    let port = analytics.url("postgres").rsplit(':').next().unwrap().to_owned();
    World { _dir: dir, _roles: [collector, analytics], port, key }
}

impl World {
    /// What psql prints for some lines, for a client of the site.
    async fn psql(&self, lines: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args([
            "-X",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port,
            "-U",
            &self.key[..12],
            "dewpond",
        ]);
        psql.env("PGPASSWORD", &self.key).env("PAGER", "cat").env("PSQLRC", "/dev/null");
        for line in lines.lines() {
            psql.args(["-c", line]);
        }
        let output = psql.output().await.expect("psql is installed by `make tools`");
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // psql says this of PostgreSQL's own views and indexes, too, where there are none.
        let is_well = error.is_empty() || error == "Did not find any relations.\n";
        assert!(output.status.success() && is_well, "{lines}: {error}{out}");
        out.into_owned()
    }
}

#[tokio::test]
async fn psql_finds_tables_and_copies_an_answer() {
    let world = start().await;
    assert_eq!(world.psql("SELECT count(*), min(name) FROM events").await, format!("{EVENTS}|page_view\n"));
    let listed = world.psql("\\d").await;
    assert!(listed.contains("public|events|table|dewpond\n") && listed.lines().count() == 8, "{listed}");
    let described = world.psql("\\d events").await;
    assert!(described.contains("occurred_at|timestamp with time zone||not null|"), "{described}");
    for about in ["\\dt", "\\dn", "\\du", "\\l", "\\df", "\\di", "\\dv", "\\d+ events", "\\conninfo", "\\dp"] {
        world.psql(about).await;
    }
    assert!(world.psql("\\timing on\nSELECT 1").await.contains("Time: "));
    let copied = world.psql("\\copy (SELECT name, site_id FROM events LIMIT 1) TO STDOUT CSV HEADER").await;
    assert_eq!(copied, "name,site_id\npage_view,shop\n");
}

#[tokio::test]
async fn psycopg_and_sqlalchemy_read_what_a_key_opens() {
    let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: run it through `make test`, which installs the clients");
        return;
    };
    let world = start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres_clients/clients.py");
    let reading = Command::new(python)
        .args([script, &world.port, &world.key[..12], &world.key, &EVENTS.to_string()])
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&reading.stderr);
    assert!(reading.status.success(), "{error}");
}

/// Where Debian has its ODBC driver, on machines of some kind.
fn odbc_driver() -> Option<PathBuf> {
    let of_machine = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|dir| dir.path().join("odbc/psqlodbcw.so"));
    of_machine.into_iter().find(|driver| driver.exists())
}

#[tokio::test]
async fn odbc_reads_what_a_key_opens() {
    let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: run it through `make test`, which installs the client");
        return;
    };
    let has_client =
        Command::new(&python).args(["-c", "import pyodbc"]).output().await.is_ok_and(|found| found.status.success());
    let (Some(driver), true) = (odbc_driver(), has_client) else {
        println!("skipped: Debian's odbc-postgresql or pyodbc is missing, and `make tools` could not install them");
        return;
    };
    let world = start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres_clients/odbc.py");
    let reading = Command::new(python)
        .arg(script)
        .arg(driver)
        .args([&world.port, &world.key[..12], &world.key, &EVENTS.to_string()])
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&reading.stderr);
    assert!(reading.status.success(), "{error}");
}

/// Where Debian has the driver.
const JDBC: &str = "/usr/share/java/postgresql.jar";

#[tokio::test]
async fn jdbc_reads_what_a_key_opens() {
    let has_java = Command::new("javac").arg("-version").output().await.is_ok_and(|found| found.status.success());
    if !has_java || !std::path::Path::new(JDBC).exists() {
        println!("skipped: Java and {JDBC} are missing, and `make tools` could not install them");
        return;
    }
    let world = start().await;
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres_clients/Jdbc.java");
    let reading = Command::new("java")
        .args(["-cp", JDBC, program, &world.port, &world.key[..12], &world.key, &EVENTS.to_string()])
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&reading.stderr);
    assert!(reading.status.success(), "{error}");
}
