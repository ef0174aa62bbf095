//! Mistakes by operators and query authors give one clear line and a non-zero exit status, never a panic.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::harness::role::{Role, add_site, queries_dir, run, run_under, run_well};

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_on_the_command_line_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let queries = queries_dir();
    let queries = queries.to_str().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();

    check(&["query", "--lake", lake, "-e", "SELECT 1"], "there is no lake at").await;
    run_well(&["site", "add", "shop", "--lake", lake], &[]).await;
    check(&["query", "--lake", "ftp://nowhere/lake", "-e", "SELECT 1"], "ftp://nowhere/lake").await;
    check(&["compactor", "--lake", file.to_str().unwrap(), "--once"], "as a lake").await;
    check(&["collector", "--lake", lake, "--listen", &taken, "--admin-listen", "127.0.0.1:0"], "--listen").await;
    check(&["analytics", "--lake", lake, "--queries", "/no/such/dir", "--once"], "/no/such/dir").await;
    check(&["analytics", "--lake", lake, "--queries", queries, "--listen", "0.0.0.0:0"], "--token").await;
    check(&["collector", "--lake", lake, "--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"], "--admin-token")
        .await;
    check(&["compactor", "--lake", lake, "--admin-listen", "127.0.0.1:0", "--publish-cron", "* * *"], "seconds first")
        .await;
    check(&["import", "--lake", lake, "--site", "shop", "/no/such/file.ndjson"], "/no/such/file.ndjson").await;
    check(&["import", "--lake", lake, "--site", "a b", file.to_str().unwrap()], "file").await;
    check(&["site", "add", "a b", "--lake", lake], "cannot be a site's name").await;
    check(&["site", "key", "add", "nobody", "--lake", lake], "there is no site nobody").await;
    check(&["report", "--lake", lake], "there is no report yet").await;
    check(&["report", "--lake", lake, "--site", "shpo"], "there is no site shpo").await;
    check(&["query", "--lake", lake, "--site", "shpo", "-e", "SELECT 1"], "there is no site shpo").await;
    check(&["query", "--lake", lake, "-e", "SELECT 1", "--format", "parquet"], "-o").await;
    check(&["query", "--lake", lake, "SELECT 1"], "-e").await;
    check(&["query", "--lake", lake], "<FILE.sql|--execute <SQL>>").await;
    check(&["query", "--lake", dir.path().to_str().unwrap(), "-e", "SELECT 1"], "there is no lake at").await;
    check(&["lake", "erase", "--lake", lake, "--site", "shop"], "--anonymous <ID>").await;
    for (retention, expected) in
        [("400", "400d"), ("never", "forever"), ("3d", "4 days at least"), ("99999999d", "forever")]
    {
        check(&["site", "set", "shop", "--lake", lake, "--retention", retention], expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_wrong_or_writes_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    run_well(&["site", "add", "shop", "--lake", lake], &[]).await;
    let sql = async |sql: &str, expected: &str| check(&["query", "--lake", lake, "-e", sql], expected).await;
    sql("SELECT nonsense FROM events", "nonsense").await;
    sql("SELECT * FROM nowhere", "nowhere").await;
    sql("SELEC 1", "SELEC").await;
    sql("SELECT 1; SELECT 2", "write one query").await;
    sql("SELECT * FROM events WHERE name = $missing", "missing").await;
    sql("CREATE TABLE t AS SELECT 1", "not allowed").await;
    sql("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "dewpond import").await;
    sql("INSERT INTO events SELECT * FROM events", "not allowed").await;
    sql("DROP TABLE events", "not allowed").await;
    sql("COPY events TO '/tmp/x.csv'", "COPY").await;
    sql("SET datafusion.execution.batch_size = 1", "not allowed").await;
    sql("EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events", "not allowed").await;
    sql("SELECT * FROM '/etc/passwd'", "/etc/passwd").await;
    let nested = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    sql(&nested, "").await;

    let file = dir.path().join("broken.sql");
    std::fs::write(&file, "-- Title.\nSELECT count(*)\nFROM events\nWHERE nme = 'x'\n").unwrap();
    check(&["query", "--lake", lake, file.to_str().unwrap()], "broken.sql:4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_metric_is_reported_by_name_line_and_reason_and_takes_no_other_down() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, queries) = (dir.path().join("lake"), dir.path().join("queries"));
    std::fs::create_dir(&queries).unwrap();
    std::fs::write(queries.join("good.sql"), "-- Good.\nSELECT count(*) AS n FROM events").unwrap();
    std::fs::write(queries.join("broken.sql"), "-- Broken.\nSELECT\nFROM WHERE").unwrap();
    std::fs::write(queries.join("divides.sql"), "SELECT 1 / 0").unwrap();
    let (lake, queries) = (lake.to_str().unwrap(), queries.to_str().unwrap());
    let sample = dir.path().join("sample.ndjson");
    std::fs::write(&sample, "{\"name\": \"a\", \"timestamp\": \"2024-01-01T00:00:00Z\"}\nnot json\n").unwrap();
    let imported = run_well(&["import", "--lake", lake, "--site", "shop", sample.to_str().unwrap()], &[]).await;
    assert!(imported.contains("imported 1 events") && imported.contains("1 rejected"), "{imported}");

    std::fs::write(Path::new(queries).join("cafes.sql"), b"-- Caf\xe9s.\nSELECT 1").unwrap();
    let once = ["analytics", "--lake", lake, "--queries", queries, "--once"];
    check(&once, "3 of 4 metrics failed: broken, cafes, divides").await;
    let report: Json = serde_json::from_str(&run_well(&["report", "--lake", lake, "--json"], &[]).await).unwrap();
    assert_eq!(report["metrics"]["good"]["value"], 1);
    let error = |metric: &str| report["metrics"][metric]["error"].as_str().unwrap().to_owned();
    assert!(error("broken").starts_with("broken.sql:3: "), "{}", error("broken"));
    assert!(error("divides").contains("ivide by zero"), "{}", error("divides"));
    assert!(error("cafes").starts_with("cafes.sql: a letter in line 1 is not in UTF-8"), "{}", error("cafes"));
    assert_eq!(report["metrics"]["broken"]["rows"], Json::Null);
    assert_eq!(report["metrics"]["broken"]["title"], "Broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_event_is_named_by_its_line_however_lines_end() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    for (name, end) in [("unix.csv", "\n"), ("windows.csv", "\r\n")] {
        let file = dir.path().join(name);
        let lines = ["name,timestamp", "a,2024-01-01T00:00:00Z", "\"b\nc\",2024-01-01T00:00:00Z", "d,yesterday", ""];
        std::fs::write(&file, lines.join(end)).unwrap();
        let args = ["import", "--lake", lake.to_str().unwrap(), "--site", "shop", file.to_str().unwrap()];
        let (succeeded, _, stderr) = run(&args, &[]).await;
        assert!(succeeded && stderr.contains(&format!("{name}:5: `timestamp`")), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_answer_that_goes_away_ends_the_command_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    add_site(lake, "shop").await;
    let query = "SELECT * FROM generate_series(1, 1000)";
    for args in [&["site", "list", "--lake", lake][..], &["query", "--lake", lake, "-e", query]] {
        let (_, stderr) = run_under(&["sh", "-c", "\"$0\" \"$@\" | { exec <&-; sleep 1; }"], args).await;
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_named_and_not_waited_for_for_ever() {
    let env: Vec<(String, String)> = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let (succeeded, _, stderr) = run(&["compactor", "--lake", "s3://bucket/lake", "--once"], &env).await;
    assert!(!succeeded && stderr.contains("s3://bucket/lake"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_loses_nothing_and_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let args = [
        "up",
        "--lake",
        lake,
        "--queries",
        queries_dir().to_str().unwrap(),
        "--collector-listen",
        "127.0.0.1:0",
        "--analytics-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]
    .map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let up = Role::start(&args, &[], "analytics").await;
    let key = std::fs::read_to_string(dir.path().join("lake.key")).unwrap();
    let client = crate::harness::clients::client();
    let url = up.url("collector");
    let posts = (0..50).map(|n| {
        let body = json!({"event_id": format!("event-{n}"), "name": "page_view"});
        let (client, url, key) = (client.clone(), url.clone(), key.trim().to_owned());
        async move {
            crate::harness::clients::post(&client, &url, &key, &body)
                .await
                .is_ok_and(|response| response.status() == 202)
        }
    });
    let acknowledged = futures::future::join_all(posts).await.into_iter().filter(|&taken| taken).count();
    assert_eq!(acknowledged, 50);
    let metrics = client.get(format!("{}/metrics", up.url("admin"))).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("dewpond_collector_events_received_total 50"), "{metrics}");
    assert!(up.stop().await.success());
    let counted =
        run_well(&["query", "--lake", lake, "-e", "SELECT count(*) AS n FROM events", "--format", "csv"], &[]).await;
    assert_eq!(counted, "n\n50\n");
}

async fn check(args: &[&str], expected: &str) {
    let (succeeded, stdout, stderr) = run(args, &[]).await;
    assert!(!succeeded, "{args:?} succeeded: {stdout}");
    assert!(stderr.contains(expected), "{args:?} said:\n{stderr}");
    assert!(!stderr.contains("panicked"), "{args:?} said:\n{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{args:?} said:\n{stderr}");
}
