//! Queries as they are published: each is answered right as it was typed, or refused with words that say what to write, and
//! what is then written is answered right.
//!
//! `queries.txt` has a block for each: the dialect and the source that it stands for, the query, and behind `=` its answer.
//! Where it is refused, a part of the message stands behind `!` and what is written instead behind `>`. Behind `~` stands the
//! same in DuckDB's words, whose answer is compared, too.

use engine::{EngineError, SqlSession, to_json_rows};
use lake::{Event, EventId};
use serde_json::Value as Json;

use crate::generated::{duckdb, export, is_same, python};
use crate::harness::{session_over, text};

/// Number, time, visitor (0 for nobody), name, path, revenue (0 for none), country, properties. The last one is pending.
type Row = (u32, &'static str, i64, &'static str, &'static str, i128, &'static str, &'static str);

const ROWS: &[Row] = &[
    (1, "2026-03-02T09:00:00Z", 1, "page_view", "/", 0, "DE", r#"{"plan":"free"}"#),
    (2, "2026-03-02T09:05:00Z", 1, "page_view", "/pricing", 0, "DE", ""),
    (3, "2026-03-02T09:10:00Z", 1, "signup", "/signup", 0, "DE", r#"{"plan":"free"}"#),
    (
        4,
        "2026-03-03T10:00:00Z",
        1,
        "purchase",
        "/buy",
        30,
        "DE",
        r#"{"items":[{"qty":2,"sku":"A"},{"qty":1,"sku":"B"}],"plan":"free","tags":["new","vip"]}"#,
    ),
    (5, "2026-03-10T11:00:00Z", 1, "page_view", "/", 0, "DE", ""),
    (
        6,
        "2026-03-17T12:00:00Z",
        1,
        "purchase",
        "/buy",
        50,
        "DE",
        r#"{"items":[{"qty":1,"sku":"A"}],"plan":"pro","tags":["vip"]}"#,
    ),
    (7, "2026-03-02T22:30:00Z", 2, "page_view", "/pricing", 0, "FR", ""),
    (8, "2026-03-02T23:10:00Z", 2, "signup", "/signup", 0, "FR", r#"{"plan":"pro"}"#),
    (9, "2026-03-04T08:00:00Z", 2, "page_view", "/docs", 0, "FR", ""),
    (10, "2026-03-04T08:20:00Z", 2, "purchase", "/buy", 20, "FR", r#"{"items":[{"qty":4,"sku":"B"}],"plan":"pro"}"#),
    (11, "2026-03-03T23:50:00Z", 3, "page_view", "/", 0, "DE", ""),
    (12, "2026-03-04T00:10:00Z", 3, "page_view", "/pricing", 0, "DE", ""),
    (13, "2026-03-11T07:00:00Z", 3, "signup", "/signup", 0, "DE", r#"{"plan":"free"}"#),
    (14, "2026-03-09T10:00:00Z", 4, "page_view", "/", 0, "", ""),
    (15, "2026-03-09T10:02:00Z", 4, "page_view", "/docs", 0, "", ""),
    (16, "2026-03-10T15:00:00Z", 5, "page_view", "/pricing", 0, "US", ""),
    (17, "2026-03-10T15:30:00Z", 5, "signup", "/signup", 0, "US", r#"{"plan":"team"}"#),
    (18, "2026-03-10T15:31:00Z", 5, "purchase", "/buy", 100, "US", r#"{"items":[],"plan":"team","tags":[]}"#),
    (19, "2026-03-12T06:00:00Z", 0, "page_view", "/", 0, "", ""),
    (20, "2026-03-16T09:00:00Z", 2, "page_view", "/docs", 0, "FR", ""),
];

fn event(row: &Row) -> Event {
    let (number, at, visitor, name, path, revenue, country, properties) = *row;
    let at: chrono::DateTime<chrono::Utc> = at.parse().unwrap();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    // What brought a visitor first.
    let channel = match number {
        1 => Some("Organic Search"),
        7 | 16 => Some("Paid Search"),
        11 => Some("Direct"),
        14 => Some("Referral"),
        5 => Some("Email"),
        _ => None,
    };
    Event {
        event_id: EventId::from_client(&format!("00000000-0000-4000-8000-{number:012}")),
        site_id: "shop".into(),
        name: name.into(),
        occurred_at_us: at.timestamp_micros(),
        received_at_us: at.timestamp_micros(),
        visitor_id: (visitor > 0).then_some(visitor),
        path: Some(path.into()),
        channel: channel.map(Into::into),
        revenue_e4: (revenue > 0).then_some(revenue * 10_000),
        country: given(country),
        properties: given(properties),
        protocol: "native",
        ..Event::default()
    }
}

/// A session over the events of a small shop.
pub(crate) async fn shop() -> SqlSession {
    let events: Vec<Event> = ROWS.iter().map(event).collect();
    let (published, pending) = events.split_at(events.len() - 1);
    session_over(published, pending).await
}

/// A block of the file.
struct Published {
    title: &'static str,
    sql: &'static str,
    /// What the refusal says, and what is written instead.
    refusal: Option<(&'static str, &'static str)>,
    answer: &'static str,
    in_duckdb: Option<&'static str>,
}

fn published() -> Vec<Published> {
    let blocks = include_str!("queries.txt").split("\n\n").map(|block| {
        let line = |mark: &str| block.lines().find_map(|line| line.strip_prefix(mark));
        let sql = block.lines().nth(1).unwrap_or_else(|| panic!("{block}"));
        Published {
            title: line("# ").unwrap_or_else(|| panic!("{block}")),
            sql,
            refusal: line("! ").map(|message| (message, line("> ").unwrap_or_else(|| panic!("{block}")))),
            answer: line("= ").unwrap_or_else(|| panic!("{block}")),
            in_duckdb: line("~ "),
        }
    });
    blocks.collect()
}

#[tokio::test]
async fn published_queries_are_answered_as_typed_or_say_what_to_write() {
    let session = shop().await;
    let queries = published();
    let mut wrong = String::new();
    for query in &queries {
        let sql = match query.refusal {
            None => query.sql,
            Some((part, instead)) => {
                match session.query(query.sql, &[]).await {
                    Err(EngineError::Query { message, .. }) if message.contains(part) => {}
                    Err(error) => wrong += &format!("\n{}\n{}\n  says {error}", query.title, query.sql),
                    Ok(answer) => {
                        wrong += &format!("\n{}\n{}\n  is answered: {}", query.title, query.sql, text(&answer));
                    }
                }
                instead
            }
        };
        match session.query(sql, &[]).await {
            Ok(answer) if text(&answer) == query.answer => {}
            Ok(answer) => wrong += &format!("\n{}\n{sql}\n  is {}\n  not {}", query.title, text(&answer), query.answer),
            Err(error) => wrong += &format!("\n{}\n{sql}\n  is refused: {error}", query.title),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let refused = queries.iter().filter(|query| query.refusal.is_some()).count();
    assert!(queries.len() >= 60 && refused * 100 <= queries.len() * 15, "{refused} of {} are refused", queries.len());
    for dialect in ["PostgreSQL", "BigQuery", "Snowflake", "ClickHouse", "DuckDB", "HogQL"] {
        assert!(queries.iter().filter(|query| query.title.starts_with(dialect)).count() >= 6, "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn published_queries_are_answered_as_by_duckdb() {
    let Some(python) = python() else { return };
    let session = shop().await;
    let queries: Vec<Published> = published().into_iter().filter(|query| query.in_duckdb.is_some()).collect();
    let file = export(&session, 0).await;
    let theirs: Vec<String> = queries.iter().filter_map(|query| query.in_duckdb).map(str::to_owned).collect();
    let theirs = duckdb(&python, &file, &theirs, "");
    std::fs::remove_file(file).unwrap();
    let mut wrong = String::new();
    for (query, theirs) in queries.iter().zip(theirs) {
        let answer = match session.query(query.sql, &[]).await {
            Ok(answer) => answer,
            Err(error) => {
                wrong += &format!("\n{}\n  is refused: {error}", query.sql);
                continue;
            }
        };
        let ours = to_json_rows(&answer).unwrap();
        let same = theirs.as_array().is_some_and(|theirs| {
            theirs.len() == ours.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| {
                    let theirs = theirs.as_array().unwrap();
                    ours.len() == theirs.len()
                        && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, &as_text(theirs)))
                })
        });
        if !same {
            wrong += &format!("\n{}\n  ours   {}\n  theirs {theirs}", query.sql, Json::from(ours.concat()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(queries.len() >= 30, "only {} are compared", queries.len());
}

/// A list as it is shown here; anything else as it is.
fn as_text(value: &Json) -> Json {
    let plain = |member: &Json| member.as_str().map_or_else(|| member.to_string(), str::to_owned);
    match value {
        Json::Array(members) => Json::from(format!("[{}]", members.iter().map(plain).collect::<Vec<_>>().join(", "))),
        value => value.clone(),
    }
}
