//! A table of a real server of PostgreSQL, as Debian has it. Skipped with a word where there is none.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Certificate, World, event};

/// A server, stopped when it is dropped.
struct Server {
    dir: TempDir,
    port: u16,
    programs: PathBuf,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = as_user(&self.programs.join("pg_ctl"))
            .args(["stop", "--mode", "immediate", "--pgdata"])
            .arg(self.dir.path().join("data"))
            .output();
        let _ = self.process.wait();
    }
}

/// A program of PostgreSQL, which none of them lets root run.
fn as_user(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

impl Server {
    /// Starts a server that takes encrypted connections alone, with passwords. `None` where there is none to be had.
    fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let programs = versions.map(|version| version.unwrap().path().join("bin")).max()?;
        if !programs.join("initdb").exists() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "s3cret\n").unwrap();
        let Certificate { certificate, key } = Certificate::make(dir.path());
        let _ = Command::new("chown").args(["-R", "postgres"]).arg(dir.path()).output();
        let data = dir.path().join("data");
        done(
            as_user(&programs.join("initdb"))
                .args(["--username", "dew", "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"])
                .arg(format!("--pwfile={}", dir.path().join("password").display()))
                .arg("--pgdata")
                .arg(&data)
                .output(),
        );
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = as_user(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=localhost", "-c", "ssl=on", "-c", "fsync=off"])
            .args(["-c", &format!("ssl_key_file={}", key.display())])
            .args(["-c", &format!("ssl_cert_file={}", certificate.display())])
            .args(["-c", &format!("unix_socket_directories={}", dir.path().display())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { dir, port, programs, process };
        let started = Instant::now();
        while !server.sql("SELECT 1").status.success() {
            assert!(started.elapsed() < Duration::from_secs(30), "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(server)
    }

    fn url(&self) -> String {
        format!("postgresql://dew:s3cret@localhost:{}/postgres?sslmode=require", self.port)
    }

    fn sql(&self, sql: &str) -> Output {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([&self.url(), "--no-psqlrc", "--quiet", "--csv", "--tuples-only", "-c", sql]).output().unwrap()
    }

    #[track_caller]
    fn ask(&self, sql: &str) -> String {
        let output = self.sql(sql);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[track_caller]
fn done(output: std::io::Result<Output>) {
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_inserted_once_however_often_they_are_sent() {
    let Some(server) = Server::start() else {
        assert!(std::env::var("CI").is_err(), "CI installs a server of PostgreSQL");
        eprintln!("skipped: there is no server of PostgreSQL; scripts/install-test-tools installs one");
        return;
    };
    let mut world = World::new();
    world.variables.push(("DATABASE".into(), server.url()));
    let certificate = server.dir.path().join("certificate.pem");
    world.variables.push(("SSL_CERT_FILE".into(), certificate.to_str().unwrap().into()));
    server.ask("CREATE SCHEMA web");
    world.add("warehouse", &["--postgres", "web.events", "--secret-variable", "DATABASE"]);
    let mut events: Vec<_> = (0..2_500).map(|id| event(id, &format!("v-{}", id % 7), "a")).collect();
    events[1] = json!({
        "event_id": uuid::Uuid::from_u128(1).to_string(), "name": "tab\tnew\nline \\N \"quotes\"", "anonymous_id": "v-1",
        "timestamp": "2026-03-01T12:00:01.25Z", "revenue": 19.99, "currency": "EUR", "url": "https://shop.example/käse?a=1",
        "properties": {"text": "a\tb\\n", "deep": [1, {"x": null}]},
    });
    // PostgreSQL takes no character 0 in JSON. The others are to go on.
    events[1_234]["broken"] = "a\u{0}b".into();
    world.publish("shop", &events);
    let forward = world.forward();
    world.wait_for_delivered("warehouse", 2_499, 1).await;
    assert_eq!(server.ask("SELECT count(*), count(DISTINCT visitor_id) FROM web.events"), "2499,7\n");
    let row = "SELECT name, occurred_at AT TIME ZONE 'UTC', revenue, url, hostname, properties ->> 'text', properties #>> '{deep,0}', \
               is_bot FROM web.events WHERE event_id = '00000000-0000-0000-0000-000000000001'";
    assert_eq!(
        server.ask(row),
        "\"tab\tnew\nline \\N \"\"quotes\"\"\",2026-03-01 12:00:01.25,19.9900,https://shop.example/käse?a=1,shop.example,a\tb\\n,1,f\n"
    );
    let refused = world.ask("SELECT reason, json_get_int(event, 'n') AS n FROM quarantine");
    assert!(refused.contains("warehouse: db error"), "{refused}");
    // All of it again, and a column that somebody dropped.
    server.ask("ALTER TABLE web.events DROP COLUMN city");
    drop(forward);
    world.run(&["forward", "from", "warehouse", "2026-03-01"]);
    let _forward = world.forward();
    world.wait_for_delivered("warehouse", 2 * 2_499, 2).await;
    assert_eq!(server.ask("SELECT count(*), count(city) FROM web.events"), "2499,0\n");
}
