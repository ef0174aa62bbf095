//! The server as clients meet it: over a socket, with a lake in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod answers;
mod catalogs;
mod hostile;

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use engine::{Engine, EngineSettings, Engines, QueryLimits};
use lake::{Event, EventId, Lake, Lakes, Lane, LaneId, LaneSettings, RawBatch};
use pgwire::{PgServer, PgSettings};
use tokio::net::TcpListener;
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A lake and its server, which ends when this is dropped.
struct Server {
    lake: Lake,
    lakes: Lakes,
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A server on loopback, where nobody needs a key who names none.
async fn serve(limits: QueryLimits) -> Server {
    serve_with(limits, None).await
}

async fn serve_with(limits: QueryLimits, token: Option<&str>) -> Server {
    let lake = Lake::open("memory:///", []).unwrap();
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let lakes = Lakes::from(lake.clone());
    let engines = Engines::new(engine, lakes.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = PgSettings { pg_listen: Some(address), pg_tls_cert: None, pg_tls_key: None, pg_clients_max: 20 };
    let server = PgServer::new(engines, &settings, address, limits, token, Some("ada")).await.unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(server.serve(listener, shutdown.clone()));
    Server { lake, lakes, address, shutdown }
}

/// Limits in which every test query ends.
fn wide() -> QueryLimits {
    QueryLimits { timeout: Duration::from_secs(60), ..QueryLimits::default() }
}

impl Server {
    /// Adds page views of a site, with the numbers in their ids and visitors.
    async fn add(&self, site: &str, ids: std::ops::Range<u32>) {
        self.add_to(&self.lake, site, ids).await;
    }

    async fn add_to(&self, lake: &Lake, site: &str, ids: std::ops::Range<u32>) {
        let mut batch = RawBatch::default();
        for id in ids {
            batch.push(&Event {
                event_id: EventId::from_client(&format!("{site}-{id}")),
                site_id: site.into(),
                name: "page_view".into(),
                occurred_at_us: noon().timestamp_micros() + i64::from(id) * 1_000_000,
                received_at_us: noon().timestamp_micros(),
                visitor_id: Some(i64::from(id)),
                url: Some(format!("https://{site}.example/")),
                properties: Some(r#"{"plan":"pro"}"#.into()),
                protocol: "native",
                ..Event::default()
            });
        }
        let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
        lane.append(batch.encode(), noon()).await.unwrap();
    }

    /// A client of the whole lake.
    async fn connect(&self) -> Client {
        self.connect_as("dewpond", "").await.unwrap()
    }

    async fn connect_as(&self, user: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.address.port()).user(user).password(password).dbname("dewpond");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A read key of a site, which is added.
    async fn key_of(&self, site: &str) -> String {
        self.lake.add_site(site, noon()).await.unwrap();
        self.lake.add_read_key(&[site.to_owned()], site, noon()).await.unwrap().read_key
    }
}

/// The rows of a query by the simple protocol, as text.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {}", said(&error)));
    let rows = messages.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()).collect()
}

/// The first value of a query's answer.
async fn value(client: &Client, sql: &str) -> String {
    rows(client, sql).await.first().and_then(|row| row[0].clone()).unwrap_or_else(|| "∅".into())
}

/// The code and the message with which a query is refused.
async fn refused(client: &Client, sql: &str) -> (String, String) {
    let error = client.simple_query(sql).await.err().unwrap_or_else(|| panic!("{sql} was answered"));
    let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
    (error.code().code().to_owned(), error.message().to_owned())
}

fn said(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| format!("{}: {}", error.code().code(), error.message()))
}
