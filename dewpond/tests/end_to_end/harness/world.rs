//! All roles in one process on `memory://`, without anything installed.

use std::path::Path;
use std::sync::Arc;

use analytics::read_queries;
use chrono::{DateTime, Utc};
use clap::Parser;
use collector::{Collector, Settings};
use compactor::{Compactor, CompactorSettings};
use engine::{Engine, EngineSettings, Scope, params, to_json_rows};
use lake::Lake;
use serde_json::Value as Json;
use tokio::net::TcpListener;

pub struct World {
    pub lake: Lake,
    pub engine: Engine,
    pub compactor: Compactor,
    pub key: String,
    pub collectors: Vec<String>,
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    compactor: CompactorSettings,
}

/// The compactor's default settings.
pub fn compactor_settings() -> CompactorSettings {
    Defaults::parse_from(["test"]).compactor
}

impl World {
    /// Starts this many collectors on a new lake with one site.
    pub async fn start(collectors: usize) -> Self {
        let lake = Lake::open("memory:///", []).unwrap();
        let key = lake.add_site("shop", Utc::now()).await.unwrap().write_key;
        let mut urls = Vec::new();
        for _ in 0..collectors {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            urls.push(format!("http://{}", listener.local_addr().unwrap()));
            let collector = Collector::start(lake.clone(), &Settings::default(), Arc::new(Utc::now)).await.unwrap();
            tokio::spawn(collector.serve(listener, std::future::pending()));
        }
        let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
        let compactor = Compactor::new(engine.clone(), compactor_settings(), Arc::new(Utc::now));
        Self { lake, engine, compactor, key, collectors: urls }
    }

    /// The single number that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        number(&self.engine, sql).await
    }

    /// The answers of all queries in `queries/` as of `now`, by name.
    pub async fn answers(&self, now: DateTime<Utc>) -> Vec<(String, Vec<Vec<Json>>)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
        let session = self.engine.view().await.unwrap().session(&Scope::Lake).unwrap();
        let mut answers = Vec::new();
        for query in read_queries(&dir).unwrap() {
            let answer = session.query(&query.sql.unwrap(), &params::of_period(now, None, "UTC")).await;
            let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", query.name));
            answers.push((query.name, to_json_rows(&answer).unwrap()));
        }
        answers
    }
}

/// The single number that a query returns.
pub async fn number(engine: &Engine, sql: &str) -> i64 {
    let session = engine.view().await.unwrap().session(&Scope::Lake).unwrap();
    let answer = session.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    to_json_rows(&answer).unwrap()[0][0].as_i64().unwrap()
}
