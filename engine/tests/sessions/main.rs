//! Sessions, visitors and identities as tables of SQL, and the metrics over them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod following;
mod kept_states;
#[path = "../sql/generated/random.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod random;
mod report;
#[path = "../shown/mod.rs"]
mod shown;
#[path = "../stored/mod.rs"]
mod stored;
mod tables;

use chrono::DateTime;
use engine::{Engine, EngineSettings, Param, QueryResult, Scope, SqlSession};
use lake::{Event, Lake};

use shown::lines;
use stored::{event_of, pend, publish};

/// An event of a visitor of the site `shop`; see [`event_of`].
fn event(who: &str, at: &str, name: &str, path: &str) -> Event {
    event_of("shop", who, at, name, path)
}

/// A lake with the site `shop`, of which some events are published, a file a date, and the others are pending.
async fn lake(published: &[Event], pending: &[Event], time_zone: &str) -> Lake {
    let lake = Lake::open("memory:///", []).unwrap();
    lake.add_site("shop", DateTime::UNIX_EPOCH).await.unwrap();
    lake.change_site("shop", |settings| settings.time_zone = time_zone.into()).await.unwrap();
    publish(&lake, published).await;
    pend(&lake, pending).await;
    lake
}

async fn session(lake: &Lake, scope: Scope) -> SqlSession {
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    engine.view().await.unwrap().session(&scope).unwrap()
}

/// The rows of an answer, a line each, their cells divided by spaces; nulls are `-`.
async fn rows(session: &SqlSession, sql: &str, params: &[(String, Param)]) -> Vec<String> {
    let answer: QueryResult =
        session.query(sql, params).await.unwrap_or_else(|error| panic!("{sql}\n{error}: {error:?}"));
    lines(&answer, "-")
}
