//! Recurring queries: the answer from what is kept of files is the answer from the events.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Engine, EngineError, EngineSettings, How, QueryResult, Scope, StateSettings, to_json_rows};
use serde_json::Value as Json;

use crate::generated::{is_same, query};
use crate::harness::view_of;
use crate::random::Random;

/// How many generated queries a test run has; a campaign sets more with `DEWPOND_FOLD_QUERIES`.
fn queries() -> usize {
    std::env::var("DEWPOND_FOLD_QUERIES").ok().and_then(|queries| queries.parse().ok()).unwrap_or(40)
}

/// A state of every file, however small.
fn every_file() -> EngineSettings {
    let states = StateSettings { state_file_bytes_min: 0, state_share_max: f64::MAX };
    EngineSettings { states, ..EngineSettings::default() }
}

fn scopes() -> [Scope; 3] {
    [Scope::Lake, Scope::Site("shop".into()), Scope::Site("blog".into())]
}

fn rows(answer: &QueryResult) -> Vec<Vec<Json>> {
    to_json_rows(answer).unwrap()
}

/// Whether answers are the same, but for the order of rows where the query gives none, and for what doubles lose.
fn same(mut one: Vec<Vec<Json>>, mut other: Vec<Vec<Json>>) -> bool {
    for rows in [&mut one, &mut other] {
        rows.sort_by_key(|row| Json::from(row.clone()).to_string());
    }
    let same_row = |one: &Vec<Json>, other: &Vec<Json>| one.iter().zip(other).all(|(one, other)| is_same(one, other));
    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| same_row(one, other))
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_queries_answer_the_same_from_states_as_from_events() {
    const QUERIES_A_LAKE: usize = 20;
    let (mut asked, mut incremental, mut wrong) = (0, 0, Vec::new());
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    while asked < queries() {
        let mut random = Random::new(1_000_000 + asked as u64);
        let first = Arc::new(view_of(&mut random, "shop blog shop", &every_file()).await);
        for _ in 0..QUERIES_A_LAKE {
            let sql = query(&mut random);
            asked += 1;
            let full = match first.session(&Scope::Lake).unwrap().query(&sql, &[]).await {
                Ok(answer) => answer,
                // The generator's queries are not all understood; what is refused is refused either way.
                Err(EngineError::Query { .. }) => continue,
                Err(error) => panic!("{sql}: {error}"),
            };
            drop(full);
            // The second time from memory, and by another process from the lake.
            let other = Engine::new(first.engine().lake().clone(), &every_file()).unwrap().view().await.unwrap();
            let other = Arc::new(other);
            for (turn, view) in [&first, &first, &other].into_iter().enumerate() {
                let recurring = view.recurring(&sql, &[]).await.unwrap();
                for scope in scopes() {
                    let expected = rows(&view.session(&scope).unwrap().query(&sql, &[]).await.unwrap());
                    match recurring.answer(&scope).await {
                        Ok((answer, how)) => {
                            let answer = rows(&answer);
                            if !same(answer.clone(), expected.clone()) {
                                wrong.push(format!("turn {turn}, {scope:?}: {sql}\n  {answer:?}\n  {expected:?}"));
                            }
                            match how {
                                How::Incremental(_) => incremental += 1,
                                How::InFull { why } => *reasons.entry(why).or_default() += 1,
                            }
                        }
                        Err(error) => wrong.push(format!("turn {turn}, {scope:?}: {sql}\n  {error}")),
                    }
                }
            }
        }
    }
    println!("{incremental} incremental answers of {asked} queries; else {reasons:#?}");
    let shown = wrong.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} wrong of {asked} queries:\n{shown}", wrong.len());
    assert!(incremental > asked, "only {incremental} answers of {asked} queries were incremental");
}
