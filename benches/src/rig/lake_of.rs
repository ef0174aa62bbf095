//! Makes lakes of any size, as the collector and the compactor would leave them, without running either.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use lake::{
    Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableFile, TableWriter, visitor_id,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// The site of all events, where there is one.
pub(crate) const SITE: &str = "default";

/// The name of a site by its number; names sort as numbers do.
pub(crate) fn site_name(sites: u32, number: u32) -> String {
    if sites == 1 { SITE.to_owned() } else { format!("site-{number:04}") }
}

/// The last day of every lake. Fixed, so that the same numbers make the same lake.
pub(crate) fn last_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 31).expect("March has 31 days")
}

/// Rows written to a file at a time.
const CHUNK_ROWS: usize = 8_192;

/// Pages of the site; earlier ones are viewed more often.
const PAGES: u32 = 400;

/// How the senders make ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// UUIDv7: the time, and 74 random bits.
    UuidV7,
    /// 128 random bits.
    Random,
}

/// The events to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Number of events.
    pub(crate) events: u64,
    /// Sites; the first ones have more visitors.
    pub(crate) sites: u32,
    /// Distinct visitors to choose from. A few come often, most once or twice.
    pub(crate) visitors: u64,
    /// The first instant.
    pub(crate) from: DateTime<Utc>,
    /// The instant after the last.
    pub(crate) until: DateTime<Utc>,
    /// The kind of their ids.
    pub(crate) ids: Ids,
    /// Bytes of properties per event; none if 0. They differ from event to event but compress a few hundred times.
    pub(crate) properties_bytes: usize,
    /// Seed of the random numbers.
    pub(crate) seed: u64,
}

/// The contents of a lake.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) rows: u64,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// All visitor ids, combined by exclusive or.
    pub(crate) visitor_ids_xor: i64,
}

/// Publishes `events` over the last `days` days: one sorted file a day, as merges leave them.
pub(crate) async fn published_days(
    lake: &Lake,
    events: u64,
    days: u64,
    sites: u32,
    visitors: u64,
    ids: Ids,
) -> anyhow::Result<Held> {
    let writes = (0..days).map(|back| {
        let (from, lake) = (midnight(last_day() - Days::new(back)), lake.clone());
        let until = from + TimeDelta::days(1);
        // The remainder falls on the last days.
        let events = events / days + u64::from(back < events % days);
        let traffic = Traffic { events, sites, visitors, from, until, ids, properties_bytes: 0, seed: back };
        async move { tokio::spawn(async move { write_sorted(&lake, traffic).await }).await? }
    });
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let written: Vec<(TableFile, i64)> = stream::iter(writes).buffer_unordered(cores).try_collect().await?;
    publish(lake, written).await
}

/// Publishes events of one day in files as the compactor leaves them at `traffic.until`: the last five minutes as
/// they were published every ten seconds, half an hour in files of five minutes, and large files of neighbouring
/// times before that.
pub(crate) async fn merged_day(lake: &Lake, traffic: Traffic) -> anyhow::Result<Held> {
    const FILE_ROWS: u64 = 8_000_000;
    let length = traffic.until - traffic.from;
    let rows_of = |part: TimeDelta| {
        (traffic.events as f64 * part.as_seconds_f64() / length.as_seconds_f64()).round().max(1.0) as u64
    };
    let mut parts = vec![TimeDelta::seconds(10); 30];
    parts.extend([TimeDelta::minutes(5); 5]);
    let rest = length - TimeDelta::minutes(30);
    let large_files = rows_of(rest).div_ceil(FILE_ROWS) as i32;
    parts.extend(vec![rest / large_files; large_files as usize]);
    let (mut until, mut written) = (traffic.until, Vec::new());
    for (part, seed) in parts.into_iter().zip(traffic.seed..) {
        let from = until - part;
        written.push(write_sorted(lake, Traffic { events: rows_of(part), from, until, seed, ..traffic }).await?);
        until = from;
    }
    publish(lake, written).await
}

/// Leaves events as pending raw files.
pub(crate) async fn pending(lake: &Lake, traffic: Traffic, file_rows: usize) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(traffic.seed);
    let mut visits = rows(traffic, &mut rng);
    visits.sort_unstable_by_key(|row| row.at_us);
    let id = uuid::Builder::from_unix_timestamp_millis(traffic.until.timestamp_millis().max(0) as u64, &rng.random());
    let mut lane = Lane::start(lake.clone(), LaneId(id.into_uuid()), LaneSettings::default());
    for chunk in visits.chunks(file_rows) {
        (lane, _) = lane.append(batch(chunk, traffic, &mut rng).encode(), traffic.until).await?;
    }
    Ok(())
}

/// The midnight at which a day begins.
pub(crate) fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Writes a file. Returns it with its visitor ids, combined by exclusive or.
async fn write_sorted(lake: &Lake, traffic: Traffic) -> anyhow::Result<(TableFile, i64)> {
    let mut rng = StdRng::seed_from_u64(traffic.seed);
    let mut visits = rows(traffic, &mut rng);
    visits.sort_unstable_by_key(|row| (row.site, row.visitor_id, row.at_us));
    let mut writer = TableWriter::start(&lake.table(&EVENTS), traffic.from.date_naive())?;
    for chunk in visits.chunks(CHUNK_ROWS) {
        writer.write(&batch(chunk, traffic, &mut rng).into_batch()).await?;
    }
    let visitor_ids_xor = visits.iter().fold(0, |xor: i64, row| xor ^ row.visitor_id);
    Ok((writer.finish().await?, visitor_ids_xor))
}

async fn publish(lake: &Lake, written: Vec<(TableFile, i64)>) -> anyhow::Result<Held> {
    let visitor_ids_xor = written.iter().fold(0, |xor: i64, (_, of_file)| xor ^ *of_file);
    let adds: Vec<TableFile> = written.into_iter().map(|(file, _)| file).collect();
    let held = Held {
        rows: adds.iter().map(|file| file.rows).sum(),
        files: adds.len(),
        bytes: adds.iter().map(|file| file.size_bytes).sum(),
        visitor_ids_xor,
    };
    let table = lake.table(&EVENTS);
    let base = table.load().await?;
    let change = Change::publish(adds, vec![], Default::default());
    table.commit(change, base).await?;
    Ok(held)
}

/// An event before it is written: small, because a whole day is sorted in memory.
#[derive(Clone, Copy)]
struct Row {
    site: u32,
    visitor_id: i64,
    visitor: u64,
    at_us: i64,
    page: u32,
    name: &'static str,
    from_search: bool,
}

/// Visits until there are enough events.
fn rows(traffic: Traffic, rng: &mut StdRng) -> Vec<Row> {
    let (from_us, until_us) = (traffic.from.timestamp_micros(), traffic.until.timestamp_micros());
    let wanted = traffic.events as usize;
    let mut rows = Vec::with_capacity(wanted + 64);
    while rows.len() < wanted {
        // Cubing a uniform number makes low visitor numbers frequent.
        let visitor = (rng.random::<f64>().powi(3) * traffic.visitors as f64) as u64;
        // A visitor has one site; cubing it once more makes the first sites large.
        let spread = (visitor.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64;
        let site = (spread.powi(3) * f64::from(traffic.sites)) as u32;
        let visitor_id = visitor_id(&site_name(traffic.sites, site), &format!("visitor-{visitor}"));
        let from_search = rng.random_bool(0.4);
        let mut at_us = rng.random_range(from_us..until_us);
        for _ in 0..1 + (rng.random::<f64>().powi(2) * 6.0) as usize {
            let page = (rng.random::<f64>().powi(3) * f64::from(PAGES)) as u32;
            let mut push = |name, after_us| {
                at_us += after_us;
                // Events beyond the range have not happened yet.
                if at_us < until_us {
                    rows.push(Row { site, visitor_id, visitor, at_us, page, name, from_search });
                }
            };
            push("page_view", 0);
            if rng.random_bool(0.5) {
                push("object_in_view", rng.random_range(1_000_000..5_000_000));
            }
            if rng.random_bool(0.4) {
                push("page_ping", 10_000_000);
            }
            if rng.random_bool(0.1) {
                push("object_interaction", rng.random_range(2_000_000..20_000_000));
            }
            if rng.random_bool(0.01) {
                push("purchase", 30_000_000);
            }
            // Now and then a visitor returns after a break: a new session.
            at_us += if rng.random_bool(0.03) { 45 * 60_000_000 } else { rng.random_range(3_000_000..90_000_000) };
        }
    }
    rows.truncate(wanted);
    rows
}

fn batch(rows: &[Row], traffic: Traffic, rng: &mut StdRng) -> RawBatch {
    let mut batch = RawBatch::default();
    for row in rows {
        batch.push(&event(row, traffic, rng));
    }
    batch
}

fn event(row: &Row, traffic: Traffic, rng: &mut StdRng) -> Event {
    let text = |text: &str| Some(text.to_owned());
    let path = if row.page == 0 { "/".to_owned() } else { format!("/catalogue/{}/item-{}", row.page % 20, row.page) };
    let (browser, browser_version, os, os_version, device) = match row.visitor % 4 {
        0 => ("Chrome", "142.0.0.0", "Windows", "10", "desktop"),
        1 => ("Safari", "18.6", "iOS", "18.6", "mobile"),
        2 => ("Firefox", "145.0", "Linux", "", "desktop"),
        _ => ("Chrome", "142.0.0.0", "Android", "15", "mobile"),
    };
    let is_purchase = row.name == "purchase";
    Event {
        event_id: match traffic.ids {
            Ids::UuidV7 => EventId(uuid_v7(row.at_us, rng).into_bytes()),
            Ids::Random => EventId(rng.random()),
        },
        site_id: site_name(traffic.sites, row.site).into(),
        name: row.name.to_owned(),
        occurred_at_us: row.at_us,
        received_at_us: row.at_us + rng.random_range(50_000..2_000_000),
        visitor_id: Some(row.visitor_id),
        user_id: row.visitor.is_multiple_of(5).then(|| format!("customer-{}", row.visitor)),
        anonymous_id: Some(format!("visitor-{}", row.visitor)),
        url: Some(format!("https://shop.example{path}")),
        hostname: text("shop.example"),
        title: Some(format!("Page {}", row.page)),
        path: Some(path),
        referrer: row.from_search.then(|| "https://www.google.com/".to_owned()),
        referrer_host: row.from_search.then(|| "www.google.com".to_owned()),
        browser: text(browser),
        browser_version: text(browser_version),
        os: text(os),
        os_version: text(os_version).filter(|version| !version.is_empty()),
        device: text(device),
        language: text("en"),
        object: row.name.starts_with("object").then(|| "newsletter-banner".to_owned()),
        revenue_e4: is_purchase.then(|| rng.random_range(90_000..990_000)),
        currency: is_purchase.then(|| "EUR".to_owned()),
        is_bot: row.visitor % 50 == 49,
        protocol: "native",
        properties: (traffic.properties_bytes > 0).then(|| properties(traffic.properties_bytes, rng)),
        ..Event::default()
    }
}

fn properties(bytes: usize, rng: &mut StdRng) -> String {
    format!(r#"{{"number":"{:016x}","padding":"{}"}}"#, rng.random::<u64>(), "-".repeat(bytes))
}

fn uuid_v7(at_us: i64, rng: &mut StdRng) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis((at_us / 1_000).max(0) as u64, &rng.random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lake_holds_what_was_asked_for() {
        let lake = Lake::open("memory:///", []).unwrap();
        let held = published_days(&lake, 1_003, 4, 3, 100, Ids::UuidV7).await.unwrap();
        assert_eq!((held.rows, held.files), (1_003, 4));
        let from = midnight(last_day());
        let until = from + TimeDelta::hours(1);
        let (ids, sites) = (Ids::Random, 3);
        let traffic = Traffic { events: 50, sites, visitors: 10, from, until, ids, properties_bytes: 9, seed: 9 };
        pending(&lake, traffic, 20).await.unwrap();
        let snapshot = lake.snapshot().await.unwrap();
        assert_eq!((snapshot.events.rows(), snapshot.pending.len()), (1_003, 3));
        let found = lake.survey_pending(&snapshot.pending, &snapshot.events).await.unwrap();
        assert_eq!((found.rows, found.rows_left_out()), (50, 0));
    }
}
