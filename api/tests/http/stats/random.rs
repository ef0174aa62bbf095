//! Random filters and ranges over random events, beside plain Rust.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use lake::Event;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::plain::{OF_EVENTS, OF_SESSIONS, Rule, World};
use super::{event, served, values};

const METRICS: &str = "visitors,page_views,events,sessions,bounce_rate,duration_s_mean";

/// Clocks go forward in Berlin in the night of the second day.
const BEGIN: &str = "2026-03-28T00:00:00Z";
const MINUTES: i64 = 3 * 24 * 60;

fn at(minute: i64) -> DateTime<Utc> {
    BEGIN.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn any_event() -> impl Strategy<Value = Event> {
    let texts =
        |texts: &[&'static str]| select(texts.to_vec()).prop_map(|text| (!text.is_empty()).then(|| text.to_owned()));
    (
        select(vec!["~x", "~y", "ada~x", "ada", "bob~y", "bob", "~z", ""]),
        // Near one another, so that sessions have several events.
        (0..MINUTES / 240, 0_i64..200),
        select(vec!["page_view", "page_view", "signup"]),
        select(vec!["/", "/a", "/b", "/a/b"]),
        (texts(&["", "Firefox", "Chrome"]), texts(&["", "DE", "AT"]), texts(&["", "", "", "tab"])),
        select(vec!["", "{\"plan\":\"pro\"}", "{\"plan\":\"free\"}", "{\"other\":1}"]),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(who, (block, minute), name, path, (browser, country, session_id), properties, is_bot)| Event {
            browser,
            country,
            session_id,
            properties: (!properties.is_empty()).then(|| properties.to_owned()),
            is_bot,
            ..event(who, &written(at(block * 240 + minute)), name, path)
        })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let value = |dimension: &str| {
        let texts = match dimension {
            "browser" => vec!["Firefox", "Chrome", "Fire"],
            "country" => vec!["DE", "AT"],
            "name" => vec!["page_view", "signup"],
            "properties.plan" => vec!["pro", "free"],
            _ => vec!["/", "/a", "/b", "b"],
        };
        select(texts).prop_map(str::to_owned)
    };
    let dimensions: Vec<&'static str> = OF_SESSIONS.into_iter().chain(OF_EVENTS).collect();
    let operators = vec!["is", "is", "is_not", "contains", "contains_not", "starts_with", "ends_with_not"];
    let test = (select(dimensions.clone()), select(operators)).prop_flat_map(move |(dimension, operator)| {
        prop::collection::vec(value(dimension), 1..3).prop_map(move |values| Rule::Test(operator, dimension, values))
    });
    let exists = (select(dimensions), select(vec!["exists", "exists_not"]))
        .prop_map(|(dimension, operator)| Rule::Test(operator, dimension, vec![]));
    prop_oneof![3 => test, 1 => exists].prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Rule::All),
            prop::collection::vec(inner.clone(), 1..3).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::None(Box::new(rule))),
        ]
    })
}

/// A request: its filter, its dimension, and minutes from when to when.
fn any_request() -> impl Strategy<Value = (Rule, Option<&'static str>, i64, i64)> {
    let dimensions = OF_SESSIONS.into_iter().chain(OF_EVENTS).map(Some).chain([None, None]);
    let rule = prop_oneof![4 => any_rule(), 1 => Just(Rule::All(vec![]))];
    let range = prop_oneof![Just((0, MINUTES)), (0..MINUTES, 1..MINUTES)];
    (rule, select(dimensions.collect::<Vec<_>>()), range)
        .prop_map(|(rule, dimension, (from, length))| (rule, dimension, from, (from + length).min(MINUTES)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn numbers_are_those_of_plain_rust_over_the_events(
        events in prop::collection::vec(any_event(), 0..40),
        published in 0_usize..40,
        requests in prop::collection::vec(any_request(), 6),
    ) {
        // Of events with one id only one counts.
        let mut events = events;
        events.sort_by_key(|event| event.event_id);
        events.dedup_by_key(|event| event.event_id);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&events, published.min(events.len()), &requests))?;
    }
}

/// How many lakes are made; more in a campaign.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12)
}

/// Numbers to nine digits: JSON is read with less than all digits of a double.
fn rounded(numbers: &Json) -> Json {
    let round = |number: &Json| match number.as_f64() {
        Some(number) => json!(format!("{number:.9}")),
        None => number.clone(),
    };
    numbers.as_array().unwrap().iter().map(round).collect()
}

type Request = (Rule, Option<&'static str>, i64, i64);

async fn check(events: &[Event], published: usize, requests: &[Request]) -> Result<(), TestCaseError> {
    let server = served(&events[..published], &events[published..], &written(at(MINUTES))).await;
    let world = World::new(events);
    for (rule, dimension, from, until) in requests {
        let (from, until) = (at(*from), at(*until));
        let expected = world.numbers(rule, *dimension, from.timestamp_micros(), until.timestamp_micros());
        let mut asked = json!({
            "site": "shop", "from": written(from), "until": written(until), "filters": [rule.to_json()],
            "metrics": METRICS.split(',').collect::<Vec<_>>(),
        });
        let (path, found) = match dimension {
            None => ("aggregate", None),
            Some(dimension) => {
                asked["dimensions"] = json!([dimension]);
                asked["limit"] = json!(1_000);
                ("breakdown", Some(*dimension))
            }
        };
        let (status, _, answer) = server.post(path, &asked).await;
        prop_assert_eq!(status, 200, "{} {}", asked, answer);
        match found {
            None => {
                prop_assert_eq!(
                    rounded(&values(&answer, METRICS)),
                    rounded(&expected[&Some(String::new())]),
                    "{}",
                    asked
                );
            }
            Some(dimension) => {
                let rows = answer["results"].as_array().unwrap();
                prop_assert_eq!(rows.len(), expected.len(), "{}\n{}\n{:?}", asked, answer, expected);
                for row in rows {
                    let key = row["dimensions"][dimension].as_str().map(str::to_owned);
                    prop_assert_eq!(
                        Some(rounded(&values(row, METRICS))),
                        expected.get(&key).map(rounded),
                        "{} {:?}",
                        asked,
                        key
                    );
                }
            }
        }
        if dimension.is_none() {
            series(&server, &world, rule, (from, until), asked).await?;
        }
    }
    Ok(())
}

/// Each day of a series has the numbers of its own time.
async fn series(
    server: &super::Stats,
    world: &World<'_>,
    rule: &Rule,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    mut asked: Json,
) -> Result<(), TestCaseError> {
    asked["interval"] = json!("day");
    let (status, _, answer) = server.post("timeseries", &asked).await;
    prop_assert_eq!(status, 200, "{} {}", asked, answer);
    let time = |text: &Json| text.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let days = answer["results"].as_array().unwrap();
    prop_assert_eq!((time(&days[0]["from"]), time(&days[days.len() - 1]["until"])), (from, until));
    for day in days {
        let (from, until) = (time(&day["from"]), time(&day["until"]));
        let expected = world.numbers(rule, None, from.timestamp_micros(), until.timestamp_micros());
        prop_assert_eq!(rounded(&values(day, METRICS)), rounded(&expected[&Some(String::new())]), "{} {}", asked, day);
    }
    Ok(())
}
