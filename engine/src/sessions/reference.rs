//! Sessions by a plain reading of their definition, over all events in one list; and what the tables answer for the same
//! events, however they are divided among files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Offset, TimeDelta, TimeZone};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::compute::cast;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::HashSet;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use lake::{EVENTS, Event, EventId, RawBatch, visitor_id};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::sync::mpsc;

use crate::sessions::identities::{Identities, Presence, Stitching};
use crate::sessions::making::days::SECOND_US;
use crate::sessions::making::window::Window;
use crate::sessions::output::{Columns, Kind};
use crate::sessions::rules::{Rules, SiteRules};
use crate::sessions::scan::{Scan, TimesOfEvents};
use crate::sessions::wanted::Wanted;
use crate::tables::files::view_types;

const MINUTE_US: i64 = 60 * SECOND_US;

/// An hour before midnight UTC of the last day of a month, so that histories cross it.
fn begin_us() -> i64 {
    "2026-03-28T22:00:00Z".parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros()
}

fn default_rules() -> SiteRules {
    SiteRules::default()
}

// What the definition says.

/// The events that count, of one visitor after stitching.
fn by_visitor(events: &[Event]) -> BTreeMap<(String, i64), Vec<Event>> {
    let mut users: BTreeMap<(String, String), (i64, String)> = BTreeMap::new();
    for event in events.iter().filter(|event| !event.is_bot) {
        if let (Some(user), Some(anonymous)) = (&event.user_id, &event.anonymous_id) {
            let last = users.entry((event.site_id.to_string(), anonymous.clone())).or_default();
            *last = (*last).clone().max((event.occurred_at_us, user.clone()));
        }
    }
    let mut visitors: BTreeMap<(String, i64), Vec<Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| !event.is_bot) {
        let Some(mut visitor) = event.visitor_id else { continue };
        let mut event = event.clone();
        if event.user_id.is_none()
            && let Some(anonymous) = &event.anonymous_id
            && let Some((_, user)) = users.get(&(event.site_id.to_string(), anonymous.clone()))
        {
            visitor = visitor_id(&event.site_id, user);
            event.user_id = Some(user.clone());
        }
        visitors.entry((event.site_id.to_string(), visitor)).or_default().push(event);
    }
    for events in visitors.values_mut() {
        events.sort_by_key(|event| (event.occurred_at_us, event.event_id));
    }
    visitors
}

struct NaiveSession {
    events: Vec<Event>,
    is_cut: bool,
}

/// The sessions of one visitor's events, which are in order.
fn naive_sessions(events: &[Event], rules: &SiteRules) -> Vec<NaiveSession> {
    let mut by_id: BTreeMap<Option<String>, Vec<Event>> = BTreeMap::new();
    for event in events {
        by_id.entry(event.session_id.clone()).or_default().push(event.clone());
    }
    let mut sessions = Vec::new();
    for (id, events) in by_id {
        let mut chain: Vec<NaiveSession> = Vec::new();
        let mut before_us = None;
        for event in events {
            let at_us = event.occurred_at_us;
            let goes_on = before_us.is_some_and(|before_us| match id {
                Some(_) => at_us - before_us < rules.cap_us,
                None => at_us - before_us <= rules.gap_us,
            });
            before_us = Some(at_us);
            if !goes_on {
                sessions.append(&mut chain);
            }
            match chain.last_mut() {
                Some(session) if at_us - session.events[0].occurred_at_us < rules.cap_us => session.events.push(event),
                _ => chain.push(NaiveSession { events: vec![event], is_cut: false }),
            }
            let is_cut = chain.len() > 1;
            chain.iter_mut().for_each(|session| session.is_cut = is_cut);
        }
        sessions.append(&mut chain);
    }
    sessions
}

fn is_ping(event: &&Event) -> bool {
    event.name == "page_ping"
}

fn is_view(event: &&Event) -> bool {
    event.name == "page_view"
}

fn naive_engaged_s(events: &[Event]) -> i64 {
    let view = |event: &Event| match event.properties.as_deref().and_then(|text| text.split_once("\"page_view_id\":")) {
        Some((_, id)) => id.to_owned(),
        None => format!("{:?} {:?}", event.hostname, event.path),
    };
    let pings = events.iter().filter(is_ping);
    let slots: BTreeSet<(String, i64)> =
        pings.map(|event| (view(event), event.occurred_at_us.div_euclid(10 * SECOND_US))).collect();
    let views: BTreeSet<&String> = slots.iter().map(|(view, _)| view).collect();
    10 * (slots.len() - views.len()) as i64 + 5 * views.len() as i64
}

fn naive_day(at_us: i64, rules: &SiteRules) -> NaiveDate {
    let at = DateTime::from_timestamp_micros(at_us).unwrap().naive_utc();
    match rules.zone {
        None => at.date(),
        Some(zone) => {
            (at + TimeDelta::seconds(zone.offset_from_utc_datetime(&at).fix().local_minus_utc().into())).date()
        }
    }
}

fn time(at_us: i64) -> String {
    DateTime::from_timestamp_micros(at_us).unwrap().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

fn text(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn naive(kind: Kind, events: &[Event], rules: &SiteRules) -> Vec<String> {
    let mut rows = Vec::new();
    for ((site, visitor), events) in by_visitor(events) {
        let sessions = naive_sessions(&events, rules);
        let user = text(&events.iter().find_map(|event| event.user_id.clone()));
        let count = |of: &[Event]| of.iter().filter(|event| !is_ping(event)).count();
        let views = |of: &[Event]| of.iter().filter(is_view).count();
        match kind {
            Kind::Sessions => rows.extend(sessions.iter().map(|session| {
                let events = &session.events;
                let (first, last) = (&events[0], events.last().unwrap());
                let start_us = first.occurred_at_us;
                let duration_s = last.occurred_at_us.div_euclid(SECOND_US) - start_us.div_euclid(SECOND_US);
                let engaged_s = naive_engaged_s(events);
                let is_bounce = count(events) == 1 && views(events) == 1 && engaged_s < 10;
                let entry = events.iter().find(is_view).cloned().unwrap_or_default();
                let exit = events.iter().rfind(is_view).cloned().unwrap_or_default();
                let mut sums: BTreeMap<Option<String>, i128> = BTreeMap::new();
                for event in events {
                    if let Some(amount) = event.revenue_e4 {
                        *sums.entry(event.currency.clone()).or_default() += amount;
                    }
                }
                let (revenue, currency) = match sums.into_iter().collect::<Vec<_>>().as_slice() {
                    [(currency, sum)] => (format!("{}.{:04}", sum / 10_000, sum % 10_000), text(currency)),
                    _ => (String::new(), String::new()),
                };
                [
                    site.clone(),
                    visitor.to_string(),
                    text(&first.session_id),
                    user.clone(),
                    time(start_us),
                    time(last.occurred_at_us),
                    naive_day(start_us, rules).to_string(),
                    duration_s.to_string(),
                    count(events).to_string(),
                    views(events).to_string(),
                    engaged_s.to_string(),
                    is_bounce.to_string(),
                    text(&entry.hostname),
                    text(&entry.path),
                    text(&exit.hostname),
                    text(&exit.path),
                    text(&first.referrer_host),
                    text(&first.channel),
                    text(&first.utm_source),
                    text(&first.utm_medium),
                    text(&first.utm_campaign),
                    text(&first.browser),
                    text(&first.os),
                    text(&first.device),
                    text(&first.country),
                    text(&first.language),
                    revenue,
                    currency,
                    first.session_id.is_some().to_string(),
                    session.is_cut.to_string(),
                ]
                .join("|")
            })),
            Kind::VisitorDays => {
                let days: BTreeSet<NaiveDate> =
                    events.iter().map(|event| naive_day(event.occurred_at_us, rules)).collect();
                let first_day = *days.first().unwrap();
                rows.extend(days.into_iter().map(|day| {
                    let of_day: Vec<Event> =
                        events.iter().filter(|event| naive_day(event.occurred_at_us, rules) == day).cloned().collect();
                    let begun: Vec<&NaiveSession> = sessions
                        .iter()
                        .filter(|session| naive_day(session.events[0].occurred_at_us, rules) == day)
                        .collect();
                    let engaged_s: i64 = begun.iter().map(|session| naive_engaged_s(&session.events)).sum();
                    [
                        site.clone(),
                        day.to_string(),
                        visitor.to_string(),
                        count(&of_day).to_string(),
                        views(&of_day).to_string(),
                        begun.len().to_string(),
                        engaged_s.to_string(),
                        (day == first_day).to_string(),
                    ]
                    .join("|")
                }));
            }
            Kind::Visitors => {
                let first = &events[0];
                let entry = events.iter().find(is_view).cloned().unwrap_or_default();
                rows.push(
                    [
                        site.clone(),
                        visitor.to_string(),
                        user,
                        time(first.occurred_at_us),
                        time(events.last().unwrap().occurred_at_us),
                        count(&events).to_string(),
                        views(&events).to_string(),
                        sessions.len().to_string(),
                        text(&entry.hostname),
                        text(&entry.path),
                        text(&first.referrer_host),
                        text(&first.channel),
                        text(&first.utm_source),
                        text(&first.utm_medium),
                        text(&first.utm_campaign),
                    ]
                    .join("|"),
                );
            }
        }
    }
    rows.sort();
    rows
}

// What the tables say.

/// Events as a file has them: in the table's order, a few rows at a time.
fn input(mut events: Vec<Event>, batch_rows: usize) -> Vec<RecordBatch> {
    events.sort_by_key(|event| (event.site_id.clone(), event.visitor_id, event.occurred_at_us));
    let schema = view_types(&EVENTS.file_schema);
    let batches = events.chunks(batch_rows).map(|events| {
        let mut raw = RawBatch::default();
        assert!(events.iter().all(|event| raw.push(event)));
        let raw = raw.into_batch();
        let columns = schema.fields().iter().map(|field| cast(&raw[field.name().as_str()], field.data_type()).unwrap());
        RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
    });
    batches.collect()
}

async fn answer(
    kind: Kind,
    projection: Option<&Vec<usize>>,
    inputs: &[Vec<RecordBatch>],
    rules: &SiteRules,
) -> Vec<String> {
    answer_of(kind, projection, inputs, None, None, rules).await
}

/// Answers for some visitors, or for sessions from a time on, of events from another time on.
async fn answer_of(
    kind: Kind,
    projection: Option<&Vec<usize>>,
    inputs: &[Vec<RecordBatch>],
    window: Option<Window>,
    only: Option<HashSet<i64>>,
    rules: &SiteRules,
) -> Vec<String> {
    let mut identities = Identities::default();
    for batch in inputs.iter().flatten() {
        let mut part = Identities::default();
        part.add(batch);
        identities.merge(part);
    }
    let (mut presence, named) = (Presence::default(), identities.visitors());
    for batch in inputs.iter().flatten() {
        let mut part = Presence::default();
        part.add(batch, &named);
        presence.merge(part);
    }
    let stitching = Stitching::new(&identities, &presence);
    let mut columns = Columns::new(kind, projection).unwrap();
    columns.wanted.users = stitching.tells_users();
    let schema = view_types(&EVENTS.file_schema);
    let times = Wanted { sessions: true, users: columns.wanted.users, ..Wanted::default() };
    let plan_of = |wanted: &Wanted| -> Arc<dyn ExecutionPlan> {
        MemorySourceConfig::try_new_exec(inputs, schema.clone(), Some(wanted.columns())).unwrap()
    };
    let context: Arc<TaskContext> = SessionContext::new().task_ctx();
    let scan = Scan {
        columns: Arc::new(columns.clone()),
        rules: Arc::new(Rules::all_alike(rules.clone())),
        stitching: Arc::new(stitching),
        only_site: None,
        only: only.map(Arc::new),
        window,
        inputs: vec![plan_of(&columns.wanted)],
        times: TimesOfEvents { inputs: vec![plan_of(&times)], wanted: Arc::new(times) },
        context,
    };
    let (sender, mut receiver) = mpsc::channel(1);
    let scan = tokio::spawn(scan.run(sender));
    let mut rows = Vec::new();
    while let Some(batch) = receiver.recv().await {
        let batch = batch.unwrap();
        let options = FormatOptions::default().with_timestamp_tz_format(None);
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    scan.await.unwrap().unwrap();
    rows.sort();
    rows
}

// Events for tests.

fn event(number: u64, minutes: f64) -> Event {
    Event {
        event_id: EventId(u128::from(number).to_be_bytes()),
        site_id: "shop".into(),
        name: "page_view".into(),
        occurred_at_us: begin_us() + (minutes * MINUTE_US as f64) as i64,
        visitor_id: Some(visitor_id("shop", "a")),
        anonymous_id: Some("a".into()),
        path: Some(format!("/{number}")),
        protocol: "native",
        ..Event::default()
    }
}

prop_compose! {
    /// Few values of everything, so that what matters happens often: pauses of exactly the gap, ties, two tabs, both edges of
    /// the cap, anonymous ids that are users elsewhere.
    fn some_event()(
        number in 0_u128..1_000_000_000,
        site in select(&["blog", "shop"][..]),
        name in select(&["page_view", "page_view", "page_ping", "page_ping", "order"][..]),
        slot in 0_i64..160,
        off_us in select(&[0, 0, 0, 1, -1, 7 * SECOND_US, 14_999_999][..]),
        user in select(&[None, None, Some("ada"), Some("bob"), Some("x")][..]),
        anonymous in select(&[None, Some("x"), Some("y"), Some("ada")][..]),
        session in select(&[None, None, None, Some("a session id that views do not hold"), Some("s")][..]),
        path in select(&["/", "/a", "/a path that is longer than a view"][..]),
        referrer in select(&[None, Some("google.com"), Some("news.example.com")][..]),
        revenue in select(&[None, None, Some((10_000, "EUR")), Some((25_500, "EUR")), Some((100, "USD"))][..]),
        page_view_id in select(&[None, Some("1"), Some("2")][..]),
        is_bot in prop::bool::weighted(0.05),
    ) -> Event {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let identity = user.or(anonymous);
        Event {
            event_id: EventId(number.to_be_bytes()),
            site_id: site.into(),
            name: name.into(),
            occurred_at_us: begin_us() + slot * 15 * MINUTE_US + off_us,
            visitor_id: identity.map(|identity| visitor_id(site, identity)),
            user_id: owned(user),
            anonymous_id: owned(anonymous),
            session_id: owned(session),
            hostname: Some("shop.example.com".into()),
            path: Some(path.into()),
            referrer_host: owned(referrer),
            channel: owned(referrer),
            utm_campaign: Some((number % 7).to_string()),
            browser: Some((number % 5).to_string()),
            revenue_e4: revenue.map(|(amount, _)| amount),
            currency: revenue.map(|(_, currency)| currency.to_owned()),
            properties: page_view_id.map(|id| format!("{{\"page_view_id\":\"{id}\"}}")),
            is_bot,
            protocol: "native",
            ..Event::default()
        }
    }
}

fn some_rules() -> impl Strategy<Value = SiteRules> {
    let zones = select(&[None, Some("Europe/Berlin"), Some("America/St_Johns")][..]);
    (select(&[15, 30, 31][..]), select(&[60, 120, 1_440][..]), zones).prop_map(|(gap, cap, zone)| SiteRules {
        gap_us: gap * MINUTE_US,
        cap_us: cap * MINUTE_US,
        zone: zone.map(|name| name.parse::<Tz>().unwrap()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_division_of_the_events_gives_the_sessions_of_the_definition(
        events in prop::collection::vec((some_event(), 0_usize..5), 0..40),
        rules in some_rules(),
        batch_rows in 1_usize..9,
        column: prop::sample::Index,
        from_slot in -10_i64..170,
        before_slots in select(&[0_i64, 1, 4, 8, 96, 192][..]),
        parity in 0_i64..2,
    ) {
        let mut files: Vec<Vec<Event>> = vec![vec![]; 5];
        let mut all: Vec<Event> = Vec::new();
        for (event, file) in &events {
            if all.iter().any(|other| other.event_id == event.event_id) {
                continue;
            }
            all.push(event.clone());
            files[*file].push(event.clone());
        }
        let inputs: Vec<_> = files.into_iter().map(|events| input(events, batch_rows)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for kind in [Kind::Sessions, Kind::VisitorDays, Kind::Visitors] {
            let found = runtime.block_on(answer(kind, None, &inputs, &rules));
            prop_assert_eq!(&found, &naive(kind, &all, &rules), "{:?}", kind);
            // One column alone reads other columns of events, and answers the same.
            let column = column.index(kind.schema().fields().len());
            let one = runtime.block_on(answer(kind, Some(&vec![column]), &inputs, &rules));
            let mut of_all: Vec<String> =
                found.iter().map(|row| row.split('|').nth(column).unwrap().to_owned()).collect();
            of_all.sort();
            prop_assert_eq!(one, of_all, "column {} of {:?}", column, kind);
            // Some visitors alone.
            let is_chosen = |row: &&String| visitor_in(kind, row) & 1 == parity;
            let chosen: Vec<String> = found.iter().filter(is_chosen).cloned().collect();
            let only = chosen.iter().map(|row| visitor_in(kind, row)).collect();
            let found = runtime.block_on(answer_of(kind, None, &inputs, None, Some(only), &rules));
            prop_assert_eq!(found, chosen, "some visitors of {:?}", kind);
        }
        // Sessions from a time on, of events of a window that is long enough to tell.
        let sessions_from_us = begin_us() + from_slot * 15 * MINUTE_US;
        let events_from_us = sessions_from_us - 2 * rules.cap_us - before_slots * 15 * MINUTE_US;
        let window = Some(Window { events_from_us, sessions_from_us });
        let user = Kind::Sessions.schema().index_of("user_id").unwrap();
        let columns: Vec<usize> =
            (0..Kind::Sessions.schema().fields().len()).filter(|column| *column != user).collect();
        let started = Kind::Sessions.schema().index_of("started_at").unwrap();
        let mut expected: Vec<String> = Vec::new();
        for row in naive(Kind::Sessions, &all, &rules) {
            let mut cells: Vec<&str> = row.split('|').collect();
            if cells[started].parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros() >= sessions_from_us {
                cells.remove(user);
                expected.push(cells.join("|"));
            }
        }
        expected.sort();
        let found = runtime.block_on(answer_of(Kind::Sessions, Some(&columns), &inputs, window, None, &rules));
        prop_assert_eq!(found, expected, "{:?}", window);
    }
}

/// The visitor of a row with all columns.
fn visitor_in(kind: Kind, row: &str) -> i64 {
    row.split('|').nth(kind.schema().index_of("visitor_id").unwrap()).unwrap().parse().unwrap()
}

/// The sessions of events, each in one of four inputs, by the default rules: their duration, events, engaged time, whether
/// they are bounces, entry and exit page, the client's id, and whether they were cut.
#[track_caller]
fn check(events: &[(Event, usize)], expected: &[&str]) {
    let all: Vec<Event> = events.iter().map(|(event, _)| event.clone()).collect();
    let mut files = vec![vec![]; 4];
    events.iter().for_each(|(event, file)| files[*file].push(event.clone()));
    let inputs: Vec<_> = files.into_iter().map(|events| input(events, 2)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(answer(Kind::Sessions, None, &inputs, &default_rules()));
    assert_eq!(found, naive(Kind::Sessions, &all, &default_rules()));
    let schema = Kind::Sessions.schema();
    let columns = ["duration_s", "events", "engaged_s", "is_bounce", "entry_page", "exit_page", "session_id", "is_cut"];
    let rows: Vec<String> = found
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            columns.map(|name| cells[schema.index_of(name).unwrap()]).join(" ")
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_pause_of_exactly_the_gap_stays_in_and_a_microsecond_more_splits() {
    check(&[(event(1, 0.0), 0), (event(2, 30.0), 1)], &["1800 2 0 false /1 /2  false"]);
    let mut later = event(2, 30.0);
    later.occurred_at_us += 1;
    check(&[(event(1, 0.0), 0), (later, 1)], &["0 1 0 true /1 /1  false", "0 1 0 true /2 /2  false"]);
}

#[test]
fn midnight_splits_nothing() {
    check(&[(event(1, 119.0), 0), (event(2, 121.0), 1)], &["120 2 0 false /1 /2  false"]);
}

#[test]
fn a_late_event_joins_two_sessions() {
    let apart = [(event(1, 0.0), 0), (event(2, 50.0), 1)];
    check(&apart, &["0 1 0 true /1 /1  false", "0 1 0 true /2 /2  false"]);
    check(&[&apart[..], &[(event(3, 25.0), 2)]].concat(), &["3000 3 0 false /1 /2  false"]);
}

#[test]
fn two_tabs_are_one_session_and_two_client_sessions_are_two() {
    let tab = |number, minutes, id: &str| Event { session_id: Some(id.into()), ..event(number, minutes) };
    check(&[(event(1, 0.0), 0), (event(2, 1.0), 0), (event(3, 2.0), 0)], &["120 3 0 false /1 /3  false"]);
    check(
        &[(tab(1, 0.0, "a"), 0), (tab(2, 1.0, "b"), 0), (tab(3, 300.0, "a"), 1)],
        &["18000 2 0 false /1 /3 a false", "0 1 0 true /2 /2 b false"],
    );
}

#[test]
fn an_event_24_hours_after_the_first_begins_another_session() {
    // Every half hour for 24 hours: the 49th event comes exactly 24 hours after the first.
    let day: Vec<(Event, usize)> =
        (0..=48_u32).map(|n| (event(n.into(), f64::from(n) * 30.0), n as usize % 3)).collect();
    check(&day[..48], &["84600 48 0 false /0 /47  false"]);
    check(&day, &["84600 48 0 false /0 /47  true", "0 1 0 true /48 /48  true"]);
}

#[test]
fn each_session_of_a_chain_is_cut_24_hours_after_its_own_first_event() {
    // Every 26 minutes: the 57th event comes after 1 456 minutes, the 112th after 2 886, and the 113th after 2 912, which is
    // the first after 1 456 + 1 440.
    let days: Vec<(Event, usize)> =
        (0..=112_u32).map(|n| (event(n.into(), f64::from(n) * 26.0), n as usize % 3)).collect();
    let expected = ["85800 56 0 false /0 /55  true", "85800 56 0 false /56 /111  true", "0 1 0 true /112 /112  true"];
    check(&days, &expected);
}

#[test]
fn a_clients_session_goes_on_after_any_pause_shorter_than_24_hours() {
    let of_id = |number, minutes| Event { session_id: Some("a".into()), ..event(number, minutes) };
    let mut almost = of_id(2, 1_440.0);
    almost.occurred_at_us -= 1;
    check(&[(of_id(1, 0.0), 0), (almost, 1)], &["86399 2 0 false /1 /2 a false"]);
    // After 24 hours the cap ends nothing that would have gone on.
    let apart = [(of_id(1, 0.0), 0), (of_id(2, 1_440.0), 1)];
    check(&apart, &["0 1 0 true /1 /1 a false", "0 1 0 true /2 /2 a false"]);
    let cut = [(of_id(1, 0.0), 0), (of_id(2, 1_000.0), 1), (of_id(3, 1_500.0), 2), (of_id(4, 4_000.0), 0)];
    check(&cut, &["60000 2 0 false /1 /2 a true", "0 1 0 true /3 /3 a true", "0 1 0 true /4 /4 a false"]);
}

#[test]
fn events_without_the_clients_id_between_events_with_it_are_a_session_of_their_own() {
    let of_id = |number, minutes| Event { session_id: Some("a".into()), ..event(number, minutes) };
    let mixed = [(of_id(1, 0.0), 0), (event(2, 10.0), 0), (of_id(3, 20.0), 1), (event(4, 50.0), 1)];
    check(&mixed, &["1200 2 0 false /1 /3 a false", "0 1 0 true /2 /2  false", "0 1 0 true /4 /4  false"]);
}

#[test]
fn of_events_at_the_same_instant_the_smaller_id_is_first() {
    let at_once = |number| event(number, 0.0);
    for [one, two, three] in [[0, 0, 0], [0, 1, 2], [2, 1, 0], [1, 0, 1]] {
        check(&[(at_once(2), two), (at_once(3), three), (at_once(1), one)], &["0 3 0 false /1 /3  false"]);
    }
}

#[test]
fn looking_at_a_page_counts_five_seconds_and_ten_for_each_later_slot() {
    let ping = |number, seconds: f64| Event {
        name: "page_ping".into(),
        path: Some("/1".into()),
        ..event(number, seconds / 60.0)
    };
    let view = (event(1, 0.0), 0);
    check(&[view.clone(), (ping(2, 3.0), 0)], &["3 1 5 true /1 /1  false"]);
    check(&[view.clone(), (ping(2, 3.0), 0), (ping(3, 9.0), 1)], &["9 1 5 true /1 /1  false"]);
    check(&[view, (ping(2, 3.0), 0), (ping(3, 13.0), 1)], &["13 1 15 false /1 /1  false"]);
}

#[test]
fn what_was_done_before_signing_in_and_after_signing_out_is_the_users() {
    let ada = visitor_id("shop", "ada");
    let known =
        |number, minutes| Event { user_id: Some("ada".into()), visitor_id: Some(ada), ..event(number, minutes) };
    // One session, though its visitor ids differ.
    check(&[(event(1, 0.0), 0), (known(2, 5.0), 1), (event(3, 10.0), 0)], &["600 3 0 false /1 /3  false"]);
}
