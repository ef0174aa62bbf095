//! Clients that want more than they may have.

use std::time::Duration;

use engine::QueryLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{noon, refused, rows, said, serve, serve_with, value, wide};

/// Takes longer than any test may, and as much of the processor as it gets.
const ENDLESS: &str =
    "SELECT sum(a.value * b.value % 7) FROM generate_series(1, 1000000) AS a, generate_series(1, 10000000) AS b";

#[tokio::test]
async fn a_key_opens_its_site_and_nothing_tells_of_another() {
    let server = serve(wide()).await;
    let (shop, blog) = (server.key_of("shop").await, server.key_of("blog").await);
    server.add("shop", 0..3).await;
    server.add("blog", 0..5).await;

    let client = server.connect_as(&shop[..12], &shop).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM events").await, "3");
    let both = server.lake.add_read_key(&["shop".to_owned(), "blog".to_owned()], "both", noon()).await.unwrap();
    let of_both = server.connect_as(&both.read_key[..12], &both.read_key).await.unwrap();
    assert_eq!(value(&of_both, "SELECT count(*) FROM events").await, "8");

    for sql in [
        "SELECT * FROM events WHERE site_id = 'blog'",
        "SELECT * FROM events WHERE site_id <> 'shop' OR url LIKE '%blog%'",
        "SELECT * FROM public.events e FULL JOIN events f ON false WHERE coalesce(e.site_id, f.site_id) <> 'shop'",
        "WITH e AS (SELECT site_id FROM events) SELECT * FROM e WHERE site_id IN (SELECT 'blog')",
        "SELECT * FROM sessions WHERE site_id = 'blog'",
        "SELECT * FROM visitors WHERE site_id = 'blog'",
        "SELECT * FROM visitor_days WHERE site_id = 'blog'",
        "SELECT * FROM identities WHERE site_id = 'blog'",
        "SELECT * FROM reports WHERE site_id IS DISTINCT FROM 'shop'",
        "SELECT * FROM quarantine WHERE site_id IS DISTINCT FROM 'shop'",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM pg_roles WHERE rolname LIKE '%blog%' OR rolname LIKE 'dpr%'",
        "SELECT * FROM pg_settings WHERE setting LIKE '%blog%'",
    ] {
        assert_eq!(rows(&client, sql).await, [] as [Vec<Option<String>>; 0], "{sql}");
    }
    // Plans name files and count rows of all sites, and messages may have values.
    for sql in [
        "EXPLAIN SELECT * FROM events",
        "EXPLAIN ANALYZE SELECT count(*) FROM events",
        "SELECT count(*) FROM events WHERE url::int = 1",
    ] {
        let (_, message) = refused(&client, sql).await;
        assert!(!message.contains("blog"), "{sql}: {message}");
    }
    // Who names the key of another needs that key.
    let denied = server.connect_as(&blog[..12], &shop).await.err().unwrap();
    assert_eq!(denied.code().unwrap().code(), "28P01");
}

#[tokio::test]
async fn whoever_has_no_key_learns_nothing_where_one_is_needed() {
    let server = serve_with(wide(), Some("secret")).await;
    let key = server.key_of("shop").await;
    server.add("shop", 0..3).await;
    let whole = server.connect_as("dewpond", "secret").await.unwrap();
    assert_eq!(value(&whole, "SELECT count(*) FROM events").await, "3");
    let mut told = Vec::new();
    for (user, password) in [
        ("dewpond", "wrong"),
        ("shop", "x"),
        ("dpr_00000000", "x"),
        (&key[..12], "x"),
        ("nobody", "x"),
        ("nobody", &key),
    ] {
        let error = server.connect_as(user, password).await.err().unwrap();
        told.push(said(&error).replace(user, "U"));
    }
    told.dedup();
    assert_eq!(told, ["28P01: the key is not that of user \"U\""]);
}

#[tokio::test]
async fn a_key_that_is_revoked_opens_nothing_more() {
    let server = serve(wide()).await;
    let key = server.key_of("shop").await;
    let client = server.connect_as(&key[..12], &key).await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await, "1");
    server.lake.revoke_read_key(&key, noon()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(refused(&client, "SELECT 1").await, ("28000".into(), "the key was revoked".into()));
    assert!(client.simple_query("SELECT 1").await.is_err(), "the session ended");
}

#[tokio::test]
async fn on_this_machine_only_names_that_say_so_read_everything_without_a_key() {
    let server = serve(wide()).await;
    server.add("shop", 0..3).await;
    for own in ["dewpond", "ada"] {
        let client = server.connect_as(own, "").await.unwrap();
        assert_eq!(value(&client, "SELECT count(*) FROM events").await, "3");
    }
    for other in ["postgres", "grafana", "shop", "root"] {
        let error = server.connect_as(other, "").await.err().unwrap();
        let error = error.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.message()), ("28000", &*format!("there is no user {other:?}")));
        assert!(error.hint().unwrap().contains("The user dewpond reads the whole lake"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_all_queries_and_connections_it_can_have_leaves_others_theirs() {
    let server = serve(wide()).await;
    let (greedy, modest) = (server.key_of("shop").await, server.key_of("blog").await);
    server.add("blog", 0..5).await;
    let mut greedy_ones = Vec::new();
    let refused = loop {
        match server.connect_as(&greedy[..12], &greedy).await {
            Ok(client) => greedy_ones.push(client),
            Err(error) => break said(&error),
        }
    };
    // Of the twenty places.
    assert_eq!(greedy_ones.len(), 10);
    assert_eq!(refused, "53300: this key has as many connections as are left for others");
    let mut running = tokio::task::JoinSet::new();
    for client in greedy_ones {
        running.spawn(async move { client.simple_query(ENDLESS).await.map(drop) });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let asked = async {
            let client = server.connect_as(&modest[..12], &modest).await.unwrap();
            value(&client, "SELECT count(*) FROM events").await
        };
        let counted = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert_eq!(counted.expect("it is answered while the others run"), "5");
    }
    assert_eq!(running.len(), 10, "none of the others has ended");
    assert!(running.try_join_next().is_none());
}

#[tokio::test]
async fn a_session_of_a_key_that_waits_for_its_own_cursors_is_told() {
    let server = serve(wide()).await;
    let key = server.key_of("shop").await;
    let client = server.connect_as(&key[..12], &key).await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    for cursor in 0..8 {
        let declared = format!("DECLARE c{cursor} CURSOR FOR SELECT * FROM generate_series(1, 1000000)");
        client.batch_execute(&format!("{declared}; FETCH 1 FROM c{cursor}")).await.unwrap();
    }
    assert_eq!(
        refused(&client, "SELECT 1").await,
        ("53300".into(), "as many queries of this key run as may: 8".into())
    );
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn nothing_is_written_and_no_file_is_read() {
    let server = serve(wide()).await;
    server.add("shop", 0..1).await;
    let client = server.connect().await;
    for sql in [
        "INSERT INTO events (name) VALUES ('x')",
        "DELETE FROM events",
        "UPDATE events SET name = 'x'",
        "DROP TABLE events",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "TRUNCATE events",
        "COPY events TO '/tmp/stolen'",
        "COPY events FROM '/etc/passwd'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (DELETE FROM events) TO STDOUT",
        "DECLARE c CURSOR FOR DELETE FROM events",
        "EXPLAIN DELETE FROM events",
        "EXPLAIN ANALYZE INSERT INTO events (name) VALUES ('x')",
        "PREPARE p AS DELETE FROM events",
        "EXECUTE p",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT * INTO t FROM events",
        "SET datafusion.catalog.location = '/etc'",
        "SET ROLE dewpond",
        "SELECT 1; DROP TABLE events",
        "GRANT ALL ON events TO public",
        "VACUUM",
        "DO $$ BEGIN END $$",
        "CALL x()",
    ] {
        let (code, message) = refused(&client, sql).await;
        assert_ne!(code, "XX000", "{sql}: {message}");
    }
    assert_eq!(value(&client, "SELECT count(*) FROM events").await, "1");
    // What is set is set for nobody.
    assert_eq!(value(&client, "SELECT set_config('search_path', '', false)").await, "");
    assert_eq!(value(&client, "SHOW search_path").await, "public");
}

#[tokio::test]
async fn a_session_holds_no_more_than_its_share() {
    let server = serve(QueryLimits { timeout: Duration::from_secs(2), ..wide() }).await;
    let client = server.connect().await;
    let mut statements = Vec::new();
    let error = loop {
        match client.prepare("SELECT 1").await {
            Ok(statement) => statements.push(statement),
            Err(error) => break error,
        }
        assert!(statements.len() <= 1_000);
    };
    assert_eq!(error.code().unwrap().code(), "53200");
    drop(statements);

    let nested = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    refused(&client, &nested).await;
    // A cursor that is not read ends with its time.
    client.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 100000000)").await.unwrap();
    assert_eq!(rows(&client, "FETCH 1 FROM c").await.len(), 1);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(refused(&client, "FETCH 1 FROM c").await.0, "57014");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_left_when_its_time_is_over() {
    let server = serve(QueryLimits { timeout: Duration::from_secs(2), ..wide() }).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"\0\0\0\x16\0\x03\0\0user\0dewpond\0\0").await.unwrap();
    socket.write_all(&message(b'Q', b"SELECT * FROM generate_series(1, 1000000000)\0")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    // What was sent before is still there; then the connection ends.
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        let mut part = vec![0; 1 << 16];
        while matches!(socket.read(&mut part).await, Ok(read) if read > 0) {}
    });
    ended.await.expect("the connection ends");
}

#[tokio::test]
async fn bytes_that_are_no_message_end_one_connection_and_no_other() {
    let server = serve(wide()).await;
    let client = server.connect().await;
    let startup = &b"\0\0\0\x16\0\x03\0\0user\0dewpond\0\0"[..];
    let huge = [&b"Q"[..], &i32::MAX.to_be_bytes()].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        vec![0x16, 3, 1, 0, 1, 0],
        [startup, &huge].concat(),
        [startup, &message(b'?', b"")].concat(),
        [startup, &message(b'B', b"\0\0\xff\xff")].concat(),
        [startup, &message(b'p', b"surprise\0")].concat(),
        b"\0\0\0\x08\0\x02\0\0".to_vec(),
    ] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(15), async {
            let mut told = Vec::new();
            let _ = socket.read_to_end(&mut told).await;
        });
        ended.await.unwrap_or_else(|_| panic!("{bytes:?} goes on"));
    }
    assert_eq!(value(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn too_many_clients_are_told_so() {
    let server = serve(wide()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.connect().await);
    }
    let error = server.connect_as("dewpond", "").await.err().unwrap();
    assert_eq!(error.code().map(|code| code.code()), Some("53300"));
    clients.pop();
    for _ in 0..50 {
        if server.connect_as("dewpond", "").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the place of a client that left is not free");
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}
