//! What a pass made of sessions is kept, the next follows what is new, and no answer depends on it.

use std::sync::Arc;

use engine::{Engine, EngineSettings, How, Param, Scope};
use lake::{Event, EventId, Lake, visitor_id};

use crate::random::Random;
use crate::shown::lines;
use crate::{event, lake, pend, publish};

const SESSIONS: &str = "SELECT count(*), count(DISTINCT visitor_id), sum(page_views) FROM sessions";

/// The answers of the next run for the lake and for the site, which are those of all events; with the files that were not
/// read, and the rows that were.
async fn run(engine: &Engine, sql: &str) -> ([Vec<String>; 2], usize, u64) {
    let view = Arc::new(engine.view().await.unwrap());
    let query = view.recurring(sql, &[]).await.unwrap();
    let mut answers = Vec::new();
    let mut used = None;
    for scope in [Scope::Lake, Scope::Site("shop".into())] {
        let (answer, how) = query.answer(&scope).await.unwrap();
        let full = view.session(&scope).unwrap().query(sql, &[]).await.unwrap();
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let (answer, full) = (sorted(lines(&answer, "-")), sorted(lines(&full, "-")));
        assert_eq!(answer, full, "{sql}");
        answers.push(answer);
        match how {
            How::Incremental(of_run) => used = Some(of_run),
            How::InFull { why } => panic!("{sql}: {why}"),
        }
    }
    let used = used.unwrap();
    (answers.try_into().unwrap(), used.known_files, used.rows_read)
}

fn engine_of(lake: &Lake) -> Engine {
    Engine::new(lake.clone(), &EngineSettings::default()).unwrap()
}

/// A page view of somebody on each of 20 days of March, at ten.
fn days(who: &str) -> Vec<Event> {
    (1..=20).map(|day| event(who, &format!("2026-03-{day:02}T10:00:00Z"), "page_view", "/")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_visitors_of_whom_nothing_is_new_nothing_is_read_again() {
    let lake = lake(&days("ada"), &[], "UTC").await;
    let engine = engine_of(&lake);
    let first = run(&engine, SESSIONS).await;
    assert_eq!((&first.0[0][..], first.1, first.2), (&["20 1 20".to_owned()][..], 0, 20));
    let again = run(&engine, SESSIONS).await;
    assert_eq!((again.1, again.2), (20, 0));
    pend(&lake, &[event("eve", "2026-03-20T11:00:00Z", "page_view", "/")]).await;
    let pending = run(&engine, SESSIONS).await;
    assert_eq!((&pending.0[0][..], pending.1, pending.2), (&["21 2 21".to_owned()][..], 20, 1));
    // An event of long ago.
    publish(&lake, &[event("ada", "2026-03-05T10:20:00Z", "page_view", "/")]).await;
    let published = run(&engine, SESSIONS).await;
    assert_eq!((&published.0[1][..], published.1, published.2), (&["21 2 22".to_owned()][..], 20, 1));
    // As much is new as is worth reading all.
    publish(&lake, &days("bob")).await;
    let much = run(&engine, SESSIONS).await;
    assert_eq!((&much.0[0][..], much.1, much.2), (&["41 3 42".to_owned()][..], 0, 42));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_visitors_are_chosen_while_files_are_read() {
    let of = |n: usize, time: &str| event(&format!("user{n}"), time, "page_view", "/");
    let events: Vec<Event> = (0..1_000).map(|n| of(n, &format!("2026-03-{:02}T10:00:00Z", 1 + n % 20))).collect();
    let lake = lake(&events, &[], "UTC").await;
    let engine = engine_of(&lake);
    assert_eq!(run(&engine, SESSIONS).await.0[0], ["1000 1000 1000"]);
    let again: Vec<Event> = (0..200).map(|n| of(5 * n + 4, "2026-03-20T10:10:00Z")).collect();
    pend(&lake, &again).await;
    // Fifty of them were there ten minutes before.
    let (answers, known_files, rows_read) = run(&engine, SESSIONS).await;
    assert_eq!((&answers[0][..], known_files, rows_read), (&["1150 1000 1200".to_owned()][..], 20, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_of_time_moves_with_the_run() {
    const UNTIL: &str = "SELECT count(*), count(DISTINCT visitor_id) FROM sessions WHERE started_at < $until";
    let lake = lake(&[days("ada"), days("eve")].concat(), &[], "UTC").await;
    let engine = engine_of(&lake);
    let run = async |until: &str| {
        let view = Arc::new(engine.view().await.unwrap());
        let params = [("until".to_owned(), Param::Time(until.parse().unwrap()))];
        let (answer, how) = view.recurring(UNTIL, &params).await.unwrap().answer(&Scope::Lake).await.unwrap();
        let How::Incremental(used) = how else { panic!("{how:?}") };
        (lines(&answer, "-").concat(), used.known_files)
    };
    assert_eq!(run("2026-03-20T09:59:00Z").await, ("38 2".to_owned(), 0));
    // The sessions of the 20th were there before, and beyond the bound.
    assert_eq!(run("2026-03-20T10:00:00Z").await, ("38 2".to_owned(), 20));
    assert_eq!(run("2026-03-20T10:01:00Z").await, ("40 2".to_owned(), 20));
    assert_eq!(run("2026-03-19T12:00:00Z").await, ("38 2".to_owned(), 20));
    // Nothing happened between the bounds.
    assert_eq!(run("2026-03-19T13:00:00Z").await, ("38 2".to_owned(), 20));
    assert_eq!(run("2026-03-01T00:00:00Z").await, ("0 0".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_bounds_move_while_many_come_back() {
    const QUERIES: [&str; 6] = [
        "SELECT count(*), count(DISTINCT visitor_id), sum(duration_s), avg(page_views) FROM sessions
            WHERE started_at >= $from AND started_at < $until",
        // These two differ in what they leave out alone, and the next in when its sessions begin.
        "SELECT count(DISTINCT visitor_id), sum(revenue) FROM sessions
            WHERE started_at >= $from AND started_at < $until AND entry_page <> '/a'",
        "SELECT count(DISTINCT visitor_id), sum(revenue) FROM sessions
            WHERE started_at >= $from AND started_at < $until AND entry_page <> '/b'",
        "SELECT entry_page, count(DISTINCT visitor_id), sum(page_views) FROM sessions
            WHERE started_at >= $from AND started_at < $until GROUP BY 1",
        // Neither of these adds up.
        "SELECT count(DISTINCT visitor_id) FILTER (WHERE page_views > 1), count(DISTINCT visitor_id) FROM sessions
            WHERE started_at >= $from AND started_at < $until",
        "SELECT user_id IS NULL, count(*), count(DISTINCT visitor_id) FROM sessions
            WHERE started_at >= $from AND started_at < $until GROUP BY 1",
    ];
    let mut random = Random::new(1);
    let mut number = 0_u32;
    let mut of = |who: usize, minute: u64| {
        number += 1;
        let at = format!("2026-03-{:02}T{:02}:{:02}:00Z", 1 + minute / 1_440, minute / 60 % 24, minute % 60);
        let mut event = event(&format!("user{who}"), &at, "page_view", ["/", "/a", "/b"][number as usize % 3]);
        event.event_id = EventId(u128::from(number).to_be_bytes());
        // Cents, of every fifth event.
        (event.revenue_e4, event.currency) = match number % 5 {
            0 => (Some(i128::from(number) * 100), Some("EUR".into())),
            _ => (None, None),
        };
        event
    };
    // Every visitor on some of ten days.
    let events: Vec<Event> =
        (0..1_500).map(|_| of(random.below(400) as usize, random.below(10) * 1_440 + random.below(1_440))).collect();
    let lake = lake(&events, &[], "UTC").await;
    let engine = engine_of(&lake);
    let (mut followed, mut updated) = ([0; QUERIES.len()], [0; QUERIES.len()]);
    for step in 0..24_u64 {
        let now = 10 * 1_440 + step * 240;
        if step > 0 {
            let mut events: Vec<Event> =
                (0..30).map(|_| of(random.below(400) as usize, now - random.below(240))).collect();
            // One comes late, on each day in turn.
            events.push(of(random.below(400) as usize, (step % 10) * 1_440 + 700));
            match step % 3 {
                0 => publish(&lake, &events).await,
                _ => pend(&lake, &events).await,
            }
        }
        let time = |minute: u64| {
            let at = format!("2026-03-{:02}T{:02}:{:02}:00Z", 1 + minute / 1_440, minute / 60 % 24, minute % 60);
            Param::Time(at.parse().unwrap())
        };
        let view = Arc::new(engine.view().await.unwrap());
        // The last seven days and today, so that the lower bound moves each sixth time.
        let params = [("from".to_owned(), time(now / 1_440 * 1_440 - 7 * 1_440)), ("until".to_owned(), time(now))];
        for (sql, (followed, updated)) in QUERIES.into_iter().zip(followed.iter_mut().zip(&mut updated)) {
            let (answer, how) = view.recurring(sql, &params).await.unwrap().answer(&Scope::Lake).await.unwrap();
            let full = view.session(&Scope::Lake).unwrap().query(sql, &params).await.unwrap();
            let sorted = |mut lines: Vec<String>| {
                lines.sort();
                lines
            };
            assert_eq!(sorted(lines(&answer, "-")), sorted(lines(&full, "-")), "{sql} at {step}");
            let How::Incremental(used) = how else { panic!("{how:?}") };
            *followed += usize::from(used.known_files > 0);
            *updated += used.updated_tallies;
        }
    }
    // The first run reads all, and a run with another lower bound where that does not add up.
    assert_eq!(followed, [23, 23, 23, 23, 20, 20]);
    // What is counted of visitors is updated, but for runs with much that is new: no query puts another's in its place.
    assert!(updated[..4].iter().all(|updated| *updated >= 18), "{updated:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_names_more_than_once_is_made_and_counted_once() {
    let lake = lake(&[days("ada"), days("~x")].concat(), &[], "UTC").await;
    let engine = engine_of(&lake);
    // Each named twice, side by side and one above the other.
    let of = |groups: &str| {
        format!(
            "WITH days AS ({groups}), counts AS (SELECT day, count(DISTINCT visitor_id) AS users FROM days GROUP BY day) \
             SELECT a.day, a.users AS one, b.users AS other FROM counts a JOIN counts b ON a.day = b.day \
             UNION ALL SELECT day, -users, 0 FROM counts UNION ALL SELECT day, 0, count(*) FROM days GROUP BY day"
        )
    };
    let events = of("SELECT date AS day, visitor_id, count(*) AS n FROM events GROUP BY date, visitor_id");
    let sessions = of(
        "SELECT CAST(started_at AS DATE) AS day, visitor_id FROM sessions GROUP BY CAST(started_at AS DATE), visitor_id",
    );
    for sql in [&events, &sessions] {
        let view = Arc::new(engine.view().await.unwrap());
        let explained = view.recurring(sql, &[]).await.unwrap().explain().await.unwrap();
        assert_eq!((explained.why_in_full, explained.folds.len()), (None, 1), "{sql}");
        assert_eq!(run(&engine, sql).await.0[0].len(), 60);
    }
    // Of other days it is another.
    let both = "WITH days AS (SELECT date AS day, visitor_id FROM events GROUP BY date, visitor_id) \
                SELECT count(*) FROM days WHERE day < DATE '2026-03-05' UNION ALL SELECT count(*) FROM days";
    assert_eq!(run(&engine, both).await.0[0], ["40", "8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_ends_in_a_window_does_not_disturb_one_that_goes_on_through_it() {
    let at = |day: usize, minutes: usize, session: Option<&str>| {
        let (day, minutes) = (day + minutes / 1_440, minutes % 1_440);
        let mut event =
            event("ada", &format!("2026-03-{day:02}T{:02}:{:02}:00Z", minutes / 60, minutes % 60), "page_view", "/");
        event.session_id = session.map(Into::into);
        event
    };
    // Without an id from the 3rd to the evening of the 9th, and with one from the 7th on each 20 hours.
    let mut events: Vec<Event> = (0..6 * 1_440 + 1_200).step_by(25).map(|minutes| at(3, minutes, None)).collect();
    events.extend((0..10).map(|n| at(7, n * 1_200, Some("a"))));
    let lake = lake(&events, &[], "UTC").await;
    let engine = engine_of(&lake);
    let session = Arc::new(engine.view().await.unwrap()).session(&Scope::Lake).unwrap();
    let all = lines(&session.query("SELECT started_at, events, is_cut FROM sessions", &[]).await.unwrap(), "-");
    assert_eq!(all.len(), 12, "{all:?}");
    for hour in 0..9 * 24 {
        let from = format!("2026-03-{:02}T{:02}:30:00", 5 + hour / 24, hour % 24);
        let sql = format!("SELECT started_at, events, is_cut FROM sessions WHERE started_at >= '{from}Z'");
        let mut found = lines(&session.query(&sql, &[]).await.unwrap(), "-");
        let mut expected: Vec<String> = all.iter().filter(|line| line[..19] >= from[..]).cloned().collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "from {from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_joins_what_they_did_long_ago() {
    let at = |who: &str, time: &str| event(who, time, "page_view", "/");
    let mut events = days("eve");
    // Others who stay who they are, so that it is worth while to make only two visitors again.
    (0..40).for_each(|n| events.push(at(&format!("user{n}"), "2026-03-03T12:00:00Z")));
    events.extend([
        at("~x", "2026-03-02T10:00:00Z"),
        at("ada", "2026-03-02T10:10:00Z"),
        at("~y", "2026-03-19T10:00:00Z"),
    ]);
    let lake = lake(&events, &[], "UTC").await;
    let engine = engine_of(&lake);
    let (answers, _, _) = run(&engine, SESSIONS).await;
    assert_eq!(answers[0], ["63 44 63"]);
    // Two sessions of the second of March are one.
    pend(&lake, &[at("ada~x", "2026-03-20T12:00:00Z")]).await;
    let (answers, known_files, _) = run(&engine, SESSIONS).await;
    assert_eq!((&answers[0][..], known_files), (&["63 43 64".to_owned()][..], 20));
    // The anonymous id is somebody else's, so they are two again; and another one is Ada's.
    pend(&lake, &[at("bob~x", "2026-03-20T13:00:00Z"), at("ada~y", "2026-03-20T12:10:00Z")]).await;
    let (answers, known_files, _) = run(&engine, SESSIONS).await;
    assert_eq!((&answers[0][..], known_files), (&["65 43 66".to_owned()][..], 20));
    assert_eq!(run(&engine, SESSIONS).await.0[0], ["65 43 66"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_those_of_the_events_whatever_changes() {
    const QUERIES: [&str; 3] = [
        "SELECT date, count(*), count(DISTINCT visitor_id), sum(events) FROM sessions GROUP BY 1",
        "SELECT is_cut, date, count(*), sum(duration_s) FROM sessions GROUP BY 1, 2",
        "SELECT user_id IS NULL, count(*), count(DISTINCT visitor_id) FROM sessions GROUP BY 1",
    ];
    let of = |who: String, time: &str| event(&who, time, "page_view", "/");
    let user = |n: usize, time: &str| of(format!("user{n}"), time);
    let day = |n: usize| format!("2026-03-{:02}T10:00:00Z", 1 + n % 20);
    let mut events: Vec<Event> = (0..1_000).map(|n| user(n, &day(n))).collect();
    events.extend((0..60).map(|n| of(format!("~x{n}"), &day(n))));
    // Somebody whose tab says something each 25 minutes from the 17th on, so that an event cuts a chain.
    for minutes in (0..3 * 1_440).step_by(25) {
        let at = format!("2026-03-{:02}T{:02}:{:02}:00Z", 17 + minutes / 1_440, minutes / 60 % 24, minutes % 60);
        events.push(user(0, &at));
    }
    let lake = lake(&events, &[], "UTC").await;
    let engine = engine_of(&lake);
    for sql in QUERIES {
        run(&engine, sql).await;
    }
    let some = |who: &dyn Fn(usize) -> String, count: usize, time: &str| -> Vec<Event> {
        (0..count).map(|n| of(who(n), time)).collect()
    };
    let steps = [
        ("many come back", some(&|n| format!("user{}", 7 * n), 100, "2026-03-20T10:10:00Z")),
        ("events of long ago", some(&|n| format!("user{}", 7 * n + 1), 6, "2026-03-02T10:10:00Z")),
        ("the same come back", some(&|n| format!("user{}", 7 * n + 1), 40, "2026-03-20T10:20:00Z")),
        ("a chain goes on", vec![user(0, "2026-03-20T00:10:00Z"), user(0, "2026-03-16T23:50:00Z")]),
        ("some sign in", some(&|n| format!("user{n}~x{n}"), 10, "2026-03-20T10:30:00Z")),
        ("they come back", some(&|n| format!("~x{n}"), 30, "2026-03-20T12:00:00Z")),
        ("others sign in as them", some(&|n| format!("user{}~x{n}", 500 + n), 10, "2026-03-20T12:10:00Z")),
        ("days later", some(&|n| format!("user{}", 3 * n), 100, "2026-03-24T09:00:00Z")),
    ];
    for (what, events) in steps {
        pend(&lake, &events).await;
        for sql in QUERIES {
            let (_, known_files, _) = run(&engine, sql).await;
            assert_eq!(known_files, 20, "{sql}: {what}");
        }
    }
    // With another gap between sessions those of long ago are others, too.
    lake.change_site("shop", |settings| settings.session_gap_s = 300).await.unwrap();
    for events in [some(&|n| format!("user{n}"), 50, "2026-03-24T09:06:00Z"), vec![user(3, "2026-03-24T09:20:00Z")]] {
        pend(&lake, &events).await;
        for sql in QUERIES {
            run(&engine, sql).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_never_pauses_is_cut_as_if_all_were_read() {
    // Every 25 minutes from the first of March to the 20th, so that no day tells where a session began.
    let minutes = (0..19 * 24 * 60).step_by(25);
    let events: Vec<Event> = minutes
        .map(|minutes| {
            let at = format!("2026-03-{:02}T{:02}:{:02}:00Z", 1 + minutes / 1_440, minutes / 60 % 24, minutes % 60);
            event("robot", &at, "page_view", "/")
        })
        .collect();
    let lake = lake(&events, &[], "UTC").await;
    let engine = engine_of(&lake);
    for _ in 0..2 {
        // Each session has 58 events; 19 days have 1 095.
        assert_eq!(run(&engine, SESSIONS).await.0[0], ["19 1 1095"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_changes_no_answer() {
    const QUERIES: [&str; 8] = [
        SESSIONS,
        "SELECT is_bounce, count(DISTINCT visitor_id), avg(duration_s) FROM sessions GROUP BY 1 HAVING count(*) > 2",
        "SELECT count(DISTINCT visitor_id) FILTER (WHERE is_bounce), count(DISTINCT visitor_id), count(*) FROM sessions",
        // Any event of a visitor may name the user, and the next session tells that one was cut.
        "SELECT user_id, is_cut, count(*), sum(events) FROM sessions GROUP BY 1, 2",
        "SELECT entry_page, count(*), count(DISTINCT visitor_id), sum(engaged_s), sum(duration_s) FROM sessions
            WHERE started_at >= '2026-03-04T12:30:00Z' AND started_at < '2026-03-20T12:30:00Z' GROUP BY 1",
        "SELECT date, is_bounce, count(*) FROM sessions GROUP BY 1, 2",
        "SELECT exit_page, count(*) FROM sessions WHERE started_at < '2026-03-08T00:00:00Z' AND page_views > 1 GROUP BY 1",
        "SELECT n, count(*) FROM (SELECT visitor_id, count(*) AS n FROM sessions GROUP BY 1) GROUP BY 1",
    ];
    for seed in 0..2 {
        let mut random = Random::new(seed);
        let mut number = 0_u32;
        // Events of some days, a few of each visitor close together.
        let mut some = |random: &mut Random, count: u64, first_day: u64, days: u64| -> Vec<Event> {
            let begin_us = event("", "2026-03-01T00:00:00Z", "", "").occurred_at_us;
            let mut events = Vec::new();
            for _ in 0..count {
                number += 1;
                let (user, anonymous) = (random.below(12), random.below(16));
                let (user, anonymous) = (format!("u{user}"), format!("x{anonymous}"));
                let who = match random.below(8) {
                    0 => format!("{user}~{anonymous}"),
                    1..=3 => user,
                    // An anonymous id that is a user's, too.
                    4 => format!("~{user}"),
                    _ => format!("~{anonymous}"),
                };
                let quarters = (first_day + random.below(days)) * 96 + 40 + random.below(12);
                let mut event =
                    event(&who, "2026-03-01T00:00:00Z", "page_view", ["/", "/a", "/b"][random.below(3) as usize]);
                event.event_id = EventId(u128::from(number).to_be_bytes());
                event.occurred_at_us = begin_us + quarters as i64 * 900_000_000;
                event.session_id = random.choose(&[None, None, Some("s".to_owned())]).clone();
                event.site_id = (*random.choose(&["shop", "shop", "blog"])).into();
                let identity = event.user_id.as_ref().or(event.anonymous_id.as_ref()).unwrap();
                event.visitor_id = Some(visitor_id(&event.site_id, identity));
                events.push(event);
            }
            events
        };
        let lake = lake(&some(&mut random, 300, 0, 20), &[], "Europe/Berlin").await;
        let engine = engine_of(&lake);
        let check = async || {
            for sql in QUERIES {
                run(&engine, sql).await;
            }
        };
        check().await;
        for step in 0..6 {
            match step {
                0 => pend(&lake, &some(&mut random, 1, 19, 1)).await,
                1 => publish(&lake, &some(&mut random, 6, 18, 2)).await,
                2 => pend(&lake, &some(&mut random, 6, 17, 3)).await,
                3 => publish(&lake, &some(&mut random, 3, 0, 20)).await,
                4 => drop(lake.change_site("shop", |settings| settings.session_gap_s = 900).await.unwrap()),
                _ => publish(&lake, &some(&mut random, 4, 20, 2)).await,
            }
            check().await;
        }
    }
}
