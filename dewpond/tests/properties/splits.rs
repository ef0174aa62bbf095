//! However the same events are split over files, lanes and publishes, and however often they are sent, rows and answers are
//! the same.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lake::{EVENTS, Event, EventId};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases;
use crate::events::{DAY_US, Row, row};
use crate::lake_state::LakeState;

const LANES: usize = 3;
const SITES: [&str; 2] = ["blog", "shop"];
const MINUTE_US: i64 = 60_000_000;

/// One or two files, so that publishing takes several commits.
const PUBLISH_BYTES_MAX: u64 = 20 << 10;

fn now() -> DateTime<Utc> {
    "2026-03-31T12:00:00Z".parse().unwrap()
}

/// Where an event's time comes from, which decides how much the times of its copies differ.
#[derive(Clone, Copy, Debug)]
enum Timed {
    /// The client's time, the same for each copy.
    ByClient,
    /// The client's time, corrected a little differently for each copy.
    Corrected { jitter_us: i64 },
    /// The time of arrival.
    ByArrival,
    /// The client's time with an old `sent_at`: each copy looks as if its clock were further behind.
    SentAsItWas,
}

/// An event and its copies, in order of arrival.
fn copies() -> impl Strategy<Value = Vec<Event>> {
    let timed = prop_oneof![
        4 => Just(Timed::ByClient),
        1 => (0..7 * MINUTE_US).prop_map(|jitter_us| Timed::Corrected { jitter_us }),
        1 => Just(Timed::ByArrival),
        1 => Just(Timed::SentAsItWas),
    ];
    let times = (timed, 0..40 * DAY_US, prop::collection::vec(prop_oneof![1..1_000_i64, 1..DAY_US], 0..3));
    let who = (0..1_000_000_u32, select(&SITES[..]), option::weighted(0.9, 0..6_i64), option::weighted(0.3, 0..3_u8));
    let name = select(&["page_view", "page_ping", "object_in_view", "purchase"][..]);
    let what = (name, option::of(0..4_u8), option::of(-99_999_999_i128..99_999_999), prop::bool::weighted(0.1));
    (times, who, what).prop_map(
        |((timed, age_us, delays_us), (id, site, visitor_id, session), (name, page, revenue_e4, is_bot))| {
            let first_at_us = now().timestamp_micros() - age_us;
            let mut received_at_us = first_at_us + 10;
            let mut copies = Vec::new();
            for (copy, delay_us) in [0].into_iter().chain(delays_us).enumerate() {
                received_at_us += delay_us;
                let late_us = received_at_us - first_at_us;
                let (occurred_at_us, corrected_by_us) = match timed {
                    Timed::ByClient => (first_at_us, None),
                    Timed::Corrected { jitter_us } if copy % 2 == 1 => (first_at_us - jitter_us, Some(-jitter_us)),
                    Timed::Corrected { jitter_us } => (first_at_us + jitter_us, Some(jitter_us)),
                    Timed::ByArrival => (received_at_us, None),
                    Timed::SentAsItWas => (first_at_us + late_us, Some(late_us)),
                };
                copies.push(Event {
                    event_id: EventId::from_client(&id.to_string()),
                    site_id: site.into(),
                    name: name.into(),
                    occurred_at_us,
                    received_at_us,
                    corrected_by_us,
                    visitor_id,
                    session_id: session.map(|session| session.to_string()),
                    hostname: page.map(|_| format!("{site}.example")),
                    path: page.map(|page| format!("/{page}")),
                    title: Some(format!("copy {copy}")),
                    revenue_e4,
                    is_bot,
                    protocol: "native",
                    ..Event::default()
                });
            }
            copies
        },
    )
}

/// How events reach the table: their order, the files and lanes they are split into, and what the compactor does after each
/// file.
#[derive(Clone, Debug)]
struct Way {
    order: Vec<u32>,
    files: Vec<(usize, usize, Compaction)>,
}

#[derive(Clone, Copy, Debug)]
enum Compaction {
    Nothing,
    Publish,
    PublishAndMerge,
    All,
}

fn compaction() -> impl Strategy<Value = Compaction> {
    prop_oneof![
        4 => Just(Compaction::Nothing),
        2 => Just(Compaction::Publish),
        1 => Just(Compaction::PublishAndMerge),
        1 => Just(Compaction::All),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    let files = prop::collection::vec((0..LANES, 1..12_usize, compaction()), 1..6);
    (prop::collection::vec(any::<u32>(), 1..40), files).prop_map(|(order, files)| Way { order, files })
}

/// All copies of all events in the given order. Copies of one event stay in order of arrival.
fn arrange<'a>(events: &'a [Vec<Event>], order: &[u32]) -> Vec<&'a Event> {
    let mut sends: Vec<(u32, usize)> = Vec::new();
    for (number, copies) in events.iter().enumerate() {
        for copy in 0..copies.len() {
            let place = order[(number * 7 + copy * 3) % order.len()]
                .wrapping_mul(number as u32 + 1)
                .rotate_left(copy as u32 * 11);
            sends.push((place, number));
        }
    }
    sends.sort_unstable();
    let mut next: Vec<_> = events.iter().map(|copies| copies.iter()).collect();
    sends.into_iter().map(|(_, number)| next[number].next().expect("each copy is sent once")).collect()
}

/// A lake after the events have reached it in the given way.
async fn follow(way: &Way, events: &[Vec<Event>]) -> LakeState {
    let mut state = LakeState::new(LANES, PUBLISH_BYTES_MAX);
    let sends = arrange(events, &way.order);
    let (mut left, mut files) = (&sends[..], way.files.iter().cycle());
    while !left.is_empty() {
        let (lane, length, compaction) = files.next().expect("a cycle does not end");
        let (file, later) = left.split_at((*length).min(left.len()));
        state.append(*lane, file.iter().copied()).await;
        left = later;
        compact(&mut state, *compaction).await;
    }
    state
}

async fn compact(state: &mut LakeState, compaction: Compaction) {
    if !matches!(compaction, Compaction::Nothing) {
        state.publish().await;
    }
    if matches!(compaction, Compaction::PublishAndMerge | Compaction::All) {
        state.merge().await;
    }
    if matches!(compaction, Compaction::All) {
        state.vacuum().await;
    }
}

/// Different events have different ids.
fn unique(events: Vec<Vec<Event>>) -> Vec<Vec<Event>> {
    let unique: BTreeMap<_, _> =
        events.into_iter().map(|copies| ((copies[0].site_id.clone(), copies[0].event_id), copies)).collect();
    unique.into_values().collect()
}

proptest! {
    #![proptest_config(cases(3))]

    #[test]
    fn every_way_to_the_table_gives_the_same_rows_and_the_same_answers(
        events in prop::collection::vec(copies(), 1..30).prop_map(unique),
        ways in (way(), way()),
    ) {
        let mut expected: Vec<Row> = events.iter().map(|copies| row(&copies[0])).collect();
        expected.sort();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = follow(&ways.0, &events).await;
            assert_eq!(one.rows().await, expected, "one way");
            let other = follow(&ways.1, &events).await;
            assert_eq!(other.rows().await, expected, "the other way");
            let answers = one.answers(now(), SITES[0]).await;
            assert_eq!(other.answers(now(), SITES[0]).await, answers, "answers of both ways");
            other.publish().await;
            assert_eq!(other.rows().await, expected, "the other way, all published");
        });
    }
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn of_pending_copies_the_one_in_the_file_that_came_first_stays(
        sends in prop::collection::vec((0..8_u8, 0..4_i64), 1..60),
        files in prop::collection::vec((0..LANES, 1..9_usize), 1..8),
    ) {
        let events: Vec<Event> = sends.iter().enumerate().map(|(number, (id, arrival_us))| Event {
            event_id: EventId([*id; 16]),
            site_id: SITES[0].into(),
            name: "page_view".into(),
            occurred_at_us: now().timestamp_micros(),
            received_at_us: now().timestamp_micros() + 1 + arrival_us,
            title: Some(format!("copy {number}")),
            protocol: "native",
            ..Event::default()
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut state = LakeState::new(LANES, PUBLISH_BYTES_MAX);
            let (mut left, mut cuts) = (&events[..], files.iter().cycle());
            while !left.is_empty() {
                let (lane, length) = cuts.next().unwrap();
                let (file, later) = left.split_at((*length).min(left.len()));
                state.append(*lane, file).await;
                left = later;
            }
            let mut kept: BTreeMap<EventId, &Event> = BTreeMap::new();
            for event in &events {
                kept.entry(event.event_id).or_insert(event);
            }
            let mut expected: Vec<Row> = kept.values().map(|event| row(event)).collect();
            expected.sort();
            assert_eq!(state.rows().await, expected, "pending");
            state.publish().await;
            assert_eq!(state.rows().await, expected, "published");
        });
    }
}

/// An event whose id other events use too, and how far apart in time it and an earlier copy may lie.
fn reused_id() -> impl Strategy<Value = (Event, i64)> {
    let minute = prop_oneof![4 => 0..120_i64, 1 => 0..6 * 24 * 60_i64];
    (0..3_u8, minute, 0..3_u8).prop_map(|(id, minute, timed)| {
        let received_at_us = now().timestamp_micros() - minute * MINUTE_US;
        let (occurred_at_us, corrected_by_us, reach_us) = match timed {
            0 => (received_at_us - 10, None, 15 * MINUTE_US),
            1 => (received_at_us, None, 3 * DAY_US),
            _ => (received_at_us, Some(8 * MINUTE_US), 3 * DAY_US),
        };
        let event = Event {
            event_id: EventId([id; 16]),
            site_id: SITES[0].into(),
            name: "page_view".into(),
            occurred_at_us,
            received_at_us,
            corrected_by_us,
            protocol: "native",
            ..Event::default()
        };
        (event, reach_us)
    })
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn of_events_with_one_id_and_times_of_their_own_the_compactor_changes_none(
        sends in prop::collection::vec(reused_id(), 1..80),
        files in prop::collection::vec((0..LANES, 1..4_usize, compaction()), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut state = LakeState::new(LANES, PUBLISH_BYTES_MAX);
            let mut kept: Vec<&Event> = Vec::new();
            let (mut left, mut files) = (&sends[..], files.iter().cycle());
            while !left.is_empty() {
                let (lane, length, compaction) = files.next().unwrap();
                let (file, later) = left.split_at((*length).min(left.len()));
                left = later;
                // A collector writes an id only once into a file.
                let ids_in_file: BTreeMap<EventId, &(Event, i64)> =
                    file.iter().rev().map(|send| (send.0.event_id, send)).collect();
                for (event, reach_us) in ids_in_file.values() {
                    let is_copy_of = |other: &&Event| {
                        other.event_id == event.event_id
                            && (other.occurred_at_us - event.occurred_at_us).abs() <= *reach_us
                    };
                    if !kept.iter().any(is_copy_of) {
                        kept.push(event);
                    }
                }
                let mut expected: Vec<Row> = kept.iter().map(|event| row(event)).collect();
                expected.sort();
                state.append(*lane, file.iter().map(|(event, _)| event)).await;
                assert_eq!(state.rows().await, expected, "pending");
                compact(&mut state, *compaction).await;
                assert_eq!(state.rows().await, expected, "after {compaction:?}");
            }
        });
    }
}

#[tokio::test]
async fn what_a_version_has_consumed_is_in_it_though_a_copy_that_was_received_earlier_comes_later() {
    // From a collector whose clock is behind. A query that lists the raw tier between the two sees only the first file.
    let copy = |received_at_us| Event {
        event_id: EventId([1; 16]),
        site_id: SITES[0].into(),
        name: "page_view".into(),
        occurred_at_us: now().timestamp_micros(),
        received_at_us: now().timestamp_micros() + received_at_us,
        protocol: "native",
        ..Event::default()
    };
    let mut state = LakeState::new(LANES, 1);
    state.append(1, [&copy(2)]).await;
    state.append(0, [&copy(1)]).await;
    state.publish().await;
    let rows = async |version| state.lake.table(&EVENTS).load_at(version).await.unwrap().rows();
    assert_eq!((rows(1).await, rows(2).await), (1, 1));
}
