//! What queries answer, by both protocols.

use std::time::{Duration, SystemTime};

use engine::QueryLimits;
use futures::TryStreamExt;
use lake::SiteSettings;
use tokio_postgres::error::ErrorPosition;

use crate::{noon, refused, rows, said, serve, value, wide};

#[tokio::test]
async fn each_statement_sees_what_was_acknowledged_before_it() {
    let server = serve(wide()).await;
    let client = server.connect().await;
    assert_eq!(value(&client, "SELECT count(*) FROM events").await, "0");
    server.add("shop", 0..3).await;
    assert_eq!(value(&client, "SELECT count(*) FROM events").await, "3");
    client.batch_execute("BEGIN").await.unwrap();
    server.add("shop", 3..5).await;
    assert_eq!(value(&client, "SELECT count(*) FROM events").await, "5");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(
        rows(&client, "SELECT 1; SELECT 'a;b' AS x, NULL").await,
        [vec![Some("1".to_owned())], vec![Some("a;b".to_owned()), None]]
    );
}

#[tokio::test]
async fn parameters_have_the_types_of_what_they_are_compared_with_and_answers_are_binary() {
    let server = serve(wide()).await;
    server.add("shop", 0..10).await;
    let client = server.connect().await;
    let statement = client
        .prepare("SELECT name, visitor_id, occurred_at FROM events WHERE visitor_id > $1 AND name = $2 AND occurred_at < $3 ORDER BY visitor_id LIMIT $4")
        .await
        .unwrap();
    let types: Vec<&str> = statement.params().iter().map(|of| of.name()).collect();
    assert_eq!(types, ["int8", "text", "timestamptz", "int8"]);
    let columns: Vec<&str> = statement.columns().iter().map(|column| column.type_().name()).collect();
    assert_eq!(columns, ["text", "int8", "timestamptz"]);

    let until = SystemTime::from(noon()) + Duration::from_secs(8);
    let found = client.query(&statement, &[&4_i64, &"page_view", &until, &2_i64]).await.unwrap();
    assert_eq!(found.iter().map(|row| row.get::<_, i64>(1)).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(found[0].get::<_, SystemTime>(2), SystemTime::from(noon()) + Duration::from_secs(5));

    let listed = client.query("SELECT count(*) FROM events WHERE visitor_id = ANY($1)", &[&vec![1_i64, 2, 99]]).await;
    assert_eq!(listed.unwrap()[0].get::<_, i64>(0), 2);
    let echoed =
        client.query_one("SELECT $1, $2::int, 1.5::float8, true, DATE '2026-03-01'::text", &[&"007", &7_i32]).await;
    let echoed = echoed.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert_eq!((echoed.get::<_, &str>(0), echoed.get::<_, i32>(1)), ("007", 7));
    assert_eq!((echoed.get::<_, f64>(2), echoed.get::<_, bool>(3)), (1.5, true));
}

#[tokio::test]
async fn an_error_says_where_and_what_to_do() {
    let server = serve(wide()).await;
    let client = server.connect().await;
    let error = client.simple_query("SELECT 1;\nSELECT visiter_id FROM events").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.message()), ("42703", "there is no column visiter_id"));
    assert_eq!(error.hint(), Some("Did you mean visitor_id?"));
    assert_eq!(error.position(), Some(&ErrorPosition::Original(18)));
    for (sql, code) in [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT frobnicate(1)", "42883"),
        ("SELECT 1 / 0", "22012"),
        ("SELECT 'x'::int", "22P02"),
        ("SET timezone = 'Europe/Berlin'", "0A000"),
        ("SHOW nothing", "42704"),
        ("FETCH c", "34000"),
    ] {
        assert_eq!(refused(&client, sql).await.0, code, "{sql}");
    }
}

#[tokio::test]
async fn a_transaction_that_failed_does_nothing_more() {
    let server = serve(wide()).await;
    let client = server.connect().await;
    client.batch_execute("BEGIN; SAVEPOINT a").await.unwrap();
    refused(&client, "SELECT nothing").await;
    assert_eq!(refused(&client, "SELECT 1").await.0, "25P02");
    client.batch_execute("ROLLBACK TO SAVEPOINT a").await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await, "1");
    client.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn rows_come_in_portions_and_cursors_end_with_their_transaction() {
    let server = serve(wide()).await;
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    // Also where the last portion is as large as it may be.
    for (count, expected) in [(25, [10, 10, 5]), (20, [10, 10, 0])] {
        let series = format!("SELECT * FROM generate_series(1, {count}) AS t(n) ORDER BY n");
        let statement = transaction.prepare(&series).await.unwrap();
        let portal = transaction.bind(&statement, &[]).await.unwrap();
        let mut sizes = Vec::new();
        loop {
            let found = transaction.query_portal(&portal, 10).await.unwrap();
            sizes.push(found.len());
            if found.len() < 10 {
                break;
            }
        }
        assert_eq!(sizes, expected);
    }
    transaction
        .batch_execute("DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 5) AS t(n) ORDER BY n")
        .await
        .unwrap();
    assert_eq!(rows(transaction.client(), "FETCH 2 FROM c; FETCH ALL FROM c; FETCH c").await.len(), 5);
    transaction.batch_execute("DECLARE d CURSOR FOR SELECT * FROM generate_series(1, 4)").await.unwrap();
    assert_eq!(
        rows(transaction.client(), "FETCH 2 FROM d; FETCH 2 FROM d; FETCH 2 FROM d; FETCH 2 FROM d").await.len(),
        4
    );
    transaction.commit().await.unwrap();
    assert_eq!(refused(&client, "FETCH c").await.0, "34000");
}

#[tokio::test]
async fn an_answer_is_copied_to_the_client() {
    let server = serve(wide()).await;
    server.add("shop", 0..2).await;
    let client = server.connect().await;
    let copied = async |sql: &str| {
        let lines = client.copy_out(sql).await.unwrap_or_else(|error| panic!("{sql}: {}", said(&error)));
        let parts: Vec<_> = lines.try_collect().await.unwrap();
        String::from_utf8(parts.concat()).unwrap()
    };
    let csv = "COPY (SELECT visitor_id AS v, url, title FROM events ORDER BY 1) TO STDOUT (FORMAT csv, HEADER)";
    assert_eq!(copied(csv).await, "v,url,title\n0,https://shop.example/,\n1,https://shop.example/,\n");
    assert_eq!(copied("COPY (SELECT 'a\tb', NULL) TO STDOUT").await, "a\\tb\t\\N\n");
    assert_eq!(copied("COPY events (site_id, name) TO STDOUT").await, "shop\tpage_view\nshop\tpage_view\n");
}

#[tokio::test]
async fn a_key_reads_the_lake_that_its_sites_lie_in() {
    let server = serve(wide()).await;
    server.lake.add_site("shop", noon()).await.unwrap();
    server.lakes.set("acme", "memory:///", None).await.unwrap();
    server.lake.add_site_of("acme-shop", Some("acme"), SiteSettings::default(), noon()).await.unwrap();
    server.add("shop", 0..2).await;
    server.add_to(&server.lakes.of_site("acme-shop").await.unwrap(), "acme-shop", 0..3).await;
    let client_of = async |sites: &[&str]| {
        let sites: Vec<String> = sites.iter().map(|site| (*site).to_owned()).collect();
        let key = server.lake.add_read_key(&sites, "", noon()).await.unwrap().read_key;
        server.connect_as(&key[..12], &key).await.unwrap()
    };
    let count = "SELECT count(*) FROM events";
    assert_eq!(value(&client_of(&["acme-shop"]).await, count).await, "3");
    assert_eq!(value(&client_of(&["shop"]).await, count).await, "2");
    assert_eq!(value(&server.connect().await, count).await, "2", "the whole main lake");
    let both = client_of(&["acme-shop", "shop"]).await;
    let (code, message) = refused(&both, count).await;
    assert!(code == "0A000" && message.contains("lie in two lakes"), "{code} {message}");
    // What reads no lake is answered all the same.
    assert_eq!(value(&both, "SELECT 1").await, "1");
}

/// Takes longer than any test may.
const ENDLESS: &str =
    "SELECT sum(a.value * b.value % 7) FROM generate_series(1, 1000000) AS a, generate_series(1, 10000000) AS b";

#[tokio::test]
async fn a_query_ends_when_the_client_cancels_it_and_the_session_goes_on() {
    let server = serve(wide()).await;
    let client = server.connect().await;
    let cancel = client.cancel_token();
    let query = client.simple_query(ENDLESS);
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), query), cancelling);
    let error = ended.expect("it ends").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
    assert_eq!(value(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_query_ends_at_its_wall_clock_or_the_clients() {
    let server = serve(QueryLimits { timeout: Duration::from_secs(2), rows_max: Some(100), ..wide() }).await;
    let client = server.connect().await;
    assert_eq!(refused(&client, ENDLESS).await.0, "57014");
    client.batch_execute("SET statement_timeout = '100ms'").await.unwrap();
    let began = std::time::Instant::now();
    assert_eq!(refused(&client, ENDLESS).await.0, "57014");
    assert!(began.elapsed() < Duration::from_millis(1_800), "{:?}", began.elapsed());
    client.batch_execute("SET statement_timeout TO DEFAULT").await.unwrap();
    assert_eq!(refused(&client, "SELECT * FROM generate_series(1, 101)").await.0, "54000");
}
