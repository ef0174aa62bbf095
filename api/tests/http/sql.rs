//! `POST /v1/sql`, over connections as clients have them.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use api::{SqlSettings, router};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use engine::QueryLimits;
use lake::Lake;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::{append, noon, server_within};

/// A server on a port of its own, of a lake with three events of `shop` and two of `blog`.
struct Served {
    lake: Lake,
    base: String,
    _queries: tempfile::TempDir,
}

const TOKEN: &str = "token of the whole lake";

async fn served(token: Option<&str>, limits: QueryLimits, sql: SqlSettings) -> Served {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    for (site, ids) in [("shop", 0..3), ("blog", 10..12)] {
        lake.add_site(site, noon()).await.unwrap();
        append(&lake, site, ids).await;
    }
    let routes = router(server_within(&lake, queries.path(), limits, sql).api, token.map(str::to_owned));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Served { lake, base, _queries: queries }
}

/// A server on loopback, which needs no token.
async fn open() -> Served {
    served(None, QueryLimits::default(), SqlSettings::default()).await
}

impl Served {
    async fn key_of(&self, sites: &[&str]) -> String {
        let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
        self.lake.add_read_key(&sites, "", noon()).await.unwrap().read_key
    }

    async fn post(&self, key: Option<&str>, body: Json) -> Response {
        let request = Client::new().post(format!("{}/v1/sql", self.base)).json(&body);
        let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
        request.send().await.unwrap()
    }

    async fn ask(&self, key: Option<&str>, sql: &str) -> (u16, Json) {
        let answer = self.post(key, json!({ "sql": sql })).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn rows(&self, sql: &str) -> Json {
        let (status, answer) = self.ask(None, sql).await;
        assert_eq!(status, 200, "{sql}: {answer}");
        answer["rows"].clone()
    }

    async fn bytes(&self, sql: &str, format: &str) -> Bytes {
        let answer = self.post(None, json!({ "sql": sql, "format": format })).await;
        assert_eq!(answer.status(), StatusCode::OK, "{sql} as {format}");
        answer.bytes().await.unwrap()
    }
}

fn read_arrow(bytes: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(bytes, None).unwrap().map(Result::unwrap).collect()
}

fn read_parquet(bytes: Bytes) -> Vec<RecordBatch> {
    ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn every_format_reads_back() {
    let server = open().await;
    let sql = "SELECT visitor_id, site_id FROM events WHERE visitor_id <> 1 ORDER BY visitor_id";
    let json: Json = serde_json::from_slice(&server.bytes(sql, "json").await).unwrap();
    assert_eq!(json["columns"], json!(["visitor_id", "site_id"]));
    assert_eq!(json["rows"], json!([[0, "shop"], [2, "shop"], [10, "blog"], [11, "blog"]]));
    assert_eq!(json["row_count"], 4);
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let lines = text(server.bytes(sql, "ndjson").await);
    assert!(lines.starts_with("{\"visitor_id\":0,\"site_id\":\"shop\"}\n") && lines.lines().count() == 4, "{lines}");
    assert_eq!(text(server.bytes(sql, "csv").await), "visitor_id,site_id\n0,shop\n2,shop\n10,blog\n11,blog\n");
    for rows in [read_arrow(&server.bytes(sql, "arrow").await), read_parquet(server.bytes(sql, "parquet").await)] {
        let ids: Vec<i64> =
            rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(ids, [0, 2, 10, 11]);
    }
    // Answers that are streamed, and answers without a row.
    let many = "SELECT value, 'x' || value AS text FROM generate_series(1, 200000)";
    let count = |rows: &[RecordBatch]| rows.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(count(&read_arrow(&server.bytes(many, "arrow").await)), 200_000);
    assert_eq!(count(&read_parquet(server.bytes(many, "parquet").await)), 200_000);
    assert_eq!(text(server.bytes(many, "csv").await).lines().count(), 200_001);
    let json: Json = serde_json::from_slice(&server.bytes(many, "json").await).unwrap();
    assert_eq!((json["rows"].as_array().unwrap().len(), &json["row_count"]), (200_000, &json!(200_000)));
    assert_eq!(text(server.bytes("SELECT 1 AS n WHERE false", "csv").await), "n\n");
    assert_eq!(count(&read_parquet(server.bytes("SELECT 1 AS n WHERE false", "parquet").await)), 0);
}

#[tokio::test]
async fn the_format_is_that_which_the_client_accepts_and_the_sql_may_be_the_body() {
    let server = open().await;
    let url = format!("{}/v1/sql?site=blog", server.base);
    let sql = "SELECT count(*) AS n, $site AS site FROM events";
    let send = async |accept: &str| Client::new().post(&url).header("accept", accept).body(sql).send().await.unwrap();
    let csv = send("text/csv").await;
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.text().await.unwrap(), "n,site\n2,blog\n");
    let nobody = send("text/html").await;
    assert_eq!(nobody.status(), StatusCode::BAD_REQUEST);
    let params = json!({ "from": "2026-03-01T11:00:00Z", "site": "shop", "least": 1 });
    let sql = "SELECT count(*) FROM events WHERE occurred_at >= $from AND site_id = $site AND visitor_id >= $least";
    let answer: Json = server.post(None, json!({ "sql": sql, "params": params })).await.json().await.unwrap();
    assert_eq!(answer["rows"], json!([[2]]), "{answer}");
}

#[tokio::test]
async fn whoever_has_a_key_reads_his_sites_and_learns_of_no_other() {
    let server = served(Some(TOKEN), QueryLimits::default(), SqlSettings::default()).await;
    let (shop, blog, both) =
        (server.key_of(&["shop"]).await, server.key_of(&["blog"]).await, server.key_of(&["shop", "blog"]).await);
    let sites = "SELECT string_agg(DISTINCT site_id, ' ' ORDER BY site_id), count(*) FROM events";
    for (key, expected) in [
        (shop.as_str(), json!([["shop", 3]])),
        (&blog, json!([["blog", 2]])),
        (&both, json!([["blog shop", 5]])),
        (TOKEN, json!([["blog shop", 5]])),
    ] {
        let (status, answer) = server.ask(Some(key), sites).await;
        assert_eq!((status, &answer["rows"]), (200, &expected), "{answer}");
    }
    let of_site = async |key: &str, site: &str| {
        let answer = server.post(Some(key), json!({ "sql": sites, "site": site })).await;
        (answer.status().as_u16(), answer.json::<Json>().await.unwrap())
    };
    assert_eq!(of_site(&both, "blog").await.1["rows"], json!([["blog", 2]]));
    assert_eq!(of_site(TOKEN, "blog").await.1["rows"], json!([["blog", 2]]));
    assert_eq!(of_site(TOKEN, "zoo").await, (404, json!({ "message": "there is no site zoo" })));
    // A site of others and one that is not there: the same words but for the name that was sent.
    let (others, none) = (of_site(&shop, "blog").await, of_site(&shop, "zoo").await);
    assert_eq!(others, (404, json!({ "message": "this key reads no site blog; it reads shop" })));
    assert_eq!(none.1.to_string(), others.1.to_string().replace("blog", "zoo"));
    for sql in [
        "SELECT count(*) FROM events WHERE site_id = 'blog' OR true",
        "SELECT count(*) FROM sessions WHERE site_id = 'blog' OR true",
        "SELECT count(*) FROM quarantine WHERE site_id = 'blog'",
        "SELECT table_name FROM information_schema.tables ORDER BY 1",
    ] {
        let (with_others, without) = (server.ask(Some(&shop), sql).await, server.ask(Some(&shop), sql).await);
        assert_eq!(with_others, without);
        assert!(!with_others.1["rows"].to_string().contains("blog"), "{}", with_others.1);
    }
    // A condition that fails for events of the other site alone.
    let sql = "SELECT count(*) FROM events WHERE 1 / (CASE WHEN site_id = 'blog' THEN 0 ELSE 1 END) = 1";
    assert_eq!(server.ask(Some(&shop), sql).await.1["rows"], json!([[3]]));
    let (status, plan) = server.ask(Some(&shop), "EXPLAIN ANALYZE SELECT count(*) FROM events").await;
    assert!(status == 400 && !plan.to_string().contains("parquet"), "{plan}");

    // One whose key is wrong, or revoked before he used it, hears what one without a key hears.
    let revoked = server.key_of(&["shop"]).await;
    server.lake.revoke_read_key(&revoked, noon()).await.unwrap();
    let write_key = server.lake.add_key("shop", noon()).await.unwrap().write_key;
    let refused = server.ask(None, sites).await;
    assert_eq!(refused.0, 401);
    for wrong in [revoked.as_str(), &write_key, "", &shop[..43], &format!("dpr_{}", "0".repeat(40))] {
        assert_eq!(server.ask(Some(wrong), sites).await, refused, "{wrong}");
    }
    let metrics = Client::new().get(format!("{}/visits", server.base)).bearer_auth(&shop).send().await.unwrap();
    assert_eq!(metrics.status(), StatusCode::UNAUTHORIZED, "visits are of all sites");
}

#[tokio::test]
async fn a_page_that_leads_its_reader_to_this_machine_reads_nothing() {
    let server = open().await;
    let ask = async |host: &str| {
        let request = Client::new().post(format!("{}/v1/sql", server.base)).header("host", host).body("SELECT 1");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("localhost:8081").await, 200);
    assert_eq!(ask("evil.example:8081").await, 401);
}

#[tokio::test]
async fn what_is_no_query_or_a_wrong_one_is_refused_in_words() {
    let server = open().await;
    let nested = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let deep = format!("SELECT 1 WHERE 1 IN {}", "(SELECT 1 WHERE 1 IN ".repeat(2_000));
    for sql in [
        "COPY events TO '/tmp/out.csv'",
        "COPY (SELECT 1) TO 's3://bucket/out'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "INSERT INTO events VALUES (1)",
        "UPDATE events SET name = 'x'",
        "DELETE FROM events",
        "DROP TABLE events",
        "TRUNCATE events",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('events/')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM other.events",
        "SELECT nope FROM events",
        "SELECT 1 / 0",
        "SELECT $missing",
        &nested,
        &deep,
    ] {
        let (status, answer) = server.ask(None, sql).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(status == 400 && !message.is_empty(), "{}: {status} {answer}", &sql[..sql.len().min(80)]);
        assert!(!message.contains("root:"), "{answer}");
    }
    let (_, wrong) = server.ask(None, "SELECT count(*)\nFROM events\nWHERE nmae = 'x'").await;
    assert_eq!((&wrong["line"], &wrong["column"]), (&json!(3), &json!(7)), "{wrong}");
    assert!(wrong["message"].as_str().unwrap().contains("name"), "{wrong}");
    let (_, writes) = server.ask(None, "DROP TABLE events").await;
    assert!(writes["hint"].as_str().unwrap().contains("SELECT"), "{writes}");

    let raw = async |content_type: &str, body: Vec<u8>| {
        let request = Client::new().post(format!("{}/v1/sql", server.base)).header("content-type", content_type);
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Json>().await.unwrap()["message"].to_string())
    };
    assert_eq!(raw("text/plain", b"SELECT '\xff'".to_vec()).await.0, 400);
    assert_eq!(raw("application/json", b"{\"sql\": ".to_vec()).await.0, 400);
    let large = raw("text/plain", format!("SELECT '{}'", "x".repeat(300 << 10)).into_bytes()).await;
    assert_eq!((large.0, large.1.contains("at most 262144 bytes")), (413, true), "{large:?}");
}

/// More rows than an answer that is sent whole has.
const MANY: &str = "SELECT value, 'some text of the row ' || value AS text FROM generate_series(1, 1000000)";

/// A query that ends long after everybody has gone home.
const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value % 7 = b.value % 5";

#[tokio::test]
async fn a_limit_that_is_reached_before_the_answer_begins_is_a_status() {
    let limits = QueryLimits { rows_max: Some(10), timeout: Duration::from_secs(2), ..QueryLimits::default() };
    let server = served(None, limits, SqlSettings { bytes_max: 1_000, ..SqlSettings::default() }).await;
    for (sql, expected, words) in [
        ("SELECT value FROM generate_series(1, 11)", 400, "more than 10 rows"),
        ("SELECT repeat('x', 2000)", 400, "more than 1000 bytes"),
        (ENDLESS, 504, "gave up after 2s"),
    ] {
        let (status, answer) = server.ask(None, sql).await;
        assert_eq!(status, expected, "{sql}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(server.rows("SELECT count(*) FROM events").await, json!([[5]]));
}

#[tokio::test]
async fn a_cut_answer_is_none_in_any_format() {
    let limits = QueryLimits { rows_max: Some(100_000), ..QueryLimits::default() };
    let by_rows = served(None, limits, SqlSettings::default()).await;
    let sql = SqlSettings { bytes_max: 3 << 20, ..SqlSettings::default() };
    let by_bytes = served(None, QueryLimits::default(), sql).await;
    for (server, words) in [(&by_rows, "more than 100000 rows"), (&by_bytes, "more than 3145728 bytes")] {
        for format in ["json", "ndjson", "csv", "arrow", "parquet"] {
            let mut answer = server.post(None, json!({ "sql": MANY, "format": format })).await;
            // Parquet has written little when half a million rows have gone in.
            if format == "parquet" && answer.status() == StatusCode::BAD_REQUEST {
                continue;
            }
            assert_eq!(answer.status(), StatusCode::OK, "{format}");
            let mut kept = Vec::new();
            let ended = loop {
                match answer.chunk().await {
                    Ok(Some(chunk)) => kept.extend_from_slice(&chunk),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            // Parquet of a million rows has less than eight million bytes.
            if ended.is_ok() && format == "parquet" && words.contains("bytes") {
                continue;
            }
            assert!(ended.is_err(), "{format}, {words}: a client hears that the body has no end");
            let text = String::from_utf8_lossy(&kept);
            match format {
                "json" => assert!(serde_json::from_slice::<Json>(&kept).is_err() && text.contains(words), "{format}"),
                "ndjson" => {
                    let last: Json = serde_json::from_str(text.lines().last().unwrap()).unwrap();
                    assert!(last["error"]["message"].as_str().unwrap().contains(words), "{last}");
                }
                "arrow" => assert!(StreamReader::try_new(&*kept, None).unwrap().any(|rows| rows.is_err())),
                "parquet" => assert!(ParquetRecordBatchReaderBuilder::try_new(Bytes::from(kept)).is_err()),
                _ => {}
            }
        }
    }
}

/// One query at a time, so that a next one is answered only when the one before has let go of everything.
fn one_at_a_time() -> SqlSettings {
    SqlSettings { queries_max: NonZeroUsize::MIN, ..SqlSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_when_its_client_goes_away() {
    let server = served(None, QueryLimits::default(), one_at_a_time()).await;
    let impatient = Client::builder().timeout(Duration::from_millis(500)).build().unwrap();
    let gave_up = impatient.post(format!("{}/v1/sql", server.base)).body(ENDLESS).send().await;
    assert!(gave_up.unwrap_err().is_timeout());
    let asked_at = Instant::now();
    assert_eq!(server.rows("SELECT 1").await, json!([[1]]));
    // One who has read a part of the answer.
    let pairs = "SELECT a.value, b.value AS other FROM generate_series(1, 100000) a, generate_series(1, 100000) b";
    let mut answer = server.post(None, json!({ "sql": pairs, "format": "csv" })).await;
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    assert_eq!(server.rows("SELECT 2").await, json!([[2]]));
    assert!(asked_at.elapsed() < Duration::from_secs(60), "{:?}", asked_at.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_kept_waits_for_no_query() {
    let server = served(None, QueryLimits::default(), one_at_a_time()).await;
    let stats = format!("{}/v1/stats/aggregate?metrics=events&date_range=12mo", server.base);
    let ask = async || {
        let answer = Client::new().get(&stats).timeout(Duration::from_secs(20)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        (answer.headers()["x-cache"].clone(), answer.json::<Json>().await.unwrap()["metrics"].clone())
    };
    let count = "SELECT count(*) FROM events";
    let (first, rows) = (ask().await, server.rows(count).await);
    assert_eq!(first.0, "miss");
    let endless = Client::new().post(format!("{}/v1/sql", server.base)).body(ENDLESS).send();
    let endless = tokio::spawn(endless);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.rows(count).await, rows);
    let again = ask().await;
    assert_eq!((again.0.to_str().unwrap(), &again.1), ("hit", &first.1));
    assert!(!endless.is_finished(), "the one turn is taken");
    endless.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_all_queries_it_can_have_leaves_others_theirs() {
    let [queries_max, key_queries_max] = [4, 2].map(|max| NonZeroUsize::new(max).unwrap());
    let sql = SqlSettings { queries_max, key_queries_max, ..SqlSettings::default() };
    let server = served(Some(TOKEN), QueryLimits::default(), sql).await;
    let (greedy, modest) = (server.key_of(&["shop"]).await, server.key_of(&["blog"]).await);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let asked = Client::new().post(format!("{}/v1/sql", server.base)).bearer_auth(&greedy).body(ENDLESS).send();
        running.spawn(async move { asked.await.unwrap().status() });
    }
    // Two run and 64 wait: the others are told to come again.
    for _ in 0..34 {
        assert_eq!(running.join_next().await.unwrap().unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    for key in [&*modest, TOKEN] {
        let asked = server.ask(Some(key), "SELECT count(*) FROM events WHERE site_id = 'blog'");
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert_eq!(answer.expect("it is answered while the others run").1["rows"], json!([[2]]));
    }
    assert!(running.try_join_next().is_none(), "the others run or wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_reads_nothing_keeps_no_query_beyond_its_time() {
    let limits = QueryLimits { timeout: Duration::from_secs(3), ..QueryLimits::default() };
    let server = served(None, limits, one_at_a_time()).await;
    let pairs = "SELECT a.value, b.value AS other FROM generate_series(1, 100000) a, generate_series(1, 100000) b";
    let mut stalled = server.post(None, json!({ "sql": pairs, "format": "ndjson" })).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(server.rows("SELECT 1").await, json!([[1]]));
    let ended = loop {
        match stalled.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err(), "what he did not get is no end");
}

#[tokio::test]
async fn an_answer_is_kept_while_no_event_comes_and_for_nobody_else() {
    let server = served(Some(TOKEN), QueryLimits::default(), SqlSettings::default()).await;
    let shop = server.key_of(&["shop"]).await;
    let ask = async |key: &str, sql: &str, etag: Option<&str>| {
        let request = Client::new().post(format!("{}/v1/sql", server.base)).bearer_auth(key).body(sql.to_owned());
        let request = if let Some(etag) = etag { request.header("if-none-match", etag) } else { request };
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (found, etag, status) = (header("x-cache"), header("etag"), answer.status().as_u16());
        (found.unwrap_or("none".into()), etag, status, answer.text().await.unwrap())
    };
    let count = "SELECT count(*) AS n FROM events";
    let first = ask(TOKEN, count, None).await;
    let again = ask(TOKEN, count, None).await;
    assert_eq!((first.0.as_str(), again.0.as_str()), ("miss", "hit"));
    assert_eq!((&first.1, &first.3), (&again.1, &again.3));
    assert_eq!(ask(TOKEN, count, first.1.as_deref()).await.2, 304);
    let of_shop = ask(&shop, count, first.1.as_deref()).await;
    assert_eq!((of_shop.0.as_str(), of_shop.2), ("miss", 200), "it is another answer for another reader");
    assert!(of_shop.3.contains("[3]"), "{}", of_shop.3);

    append(&server.lake, "shop", 3..4).await;
    let later = ask(TOKEN, count, first.1.as_deref()).await;
    assert_eq!((later.0.as_str(), later.2), ("miss", 200));
    assert!(later.3.contains("[6]") && later.1 != first.1, "{}", later.3);
    for changing in ["SELECT now()", "SELECT random()", "SELECT $now", "SELECT count(*) FROM reports"] {
        for _ in 0..2 {
            let answer = ask(TOKEN, changing, None).await;
            assert_eq!((answer.0.as_str(), answer.1), ("none", None), "{changing}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_at_once_get_each_his_own_answer() {
    let server = open().await;
    let asked = (0..100).map(|n| {
        let sql = format!("SELECT {n} AS n, count(*) FROM events");
        let server = &server;
        async move { assert_eq!(server.rows(&sql).await, json!([[n, 5]])) }
    });
    futures::future::join_all(asked).await;
}
