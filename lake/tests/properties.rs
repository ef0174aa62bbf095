//! What must hold for every event, time and id.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use lake::{Event, EventId, Hour, Lake, Lane, LaneId, LaneSettings, RawBatch, read_batches, visitor_id};
use proptest::prelude::*;
use uuid::Uuid;

/// Cases of a test run; a campaign asks for more with `PROPTEST_CASES`.
fn cases(few: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(few), failure_persistence: None, ..ProptestConfig::default() }
}

/// Any instant that chrono can write with four digits of the year, before the epoch too.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_135_596_800_000_000_i64..253_402_300_800_000_000)
        .prop_map(|us| DateTime::from_timestamp_micros(us).expect("within the years 1 to 9999"))
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(prop_oneof![Just(String::new()), "\\PC{0,12}", any::<String>()])
}

prop_compose! {
    fn event()(
        id in any::<[u8; 16]>(),
        site in prop_oneof!["[a-z]{1,3}", any::<String>()],
        name in any::<String>(),
        occurred_at_us in any::<i64>(),
        received_at_us in any::<i64>(),
        (corrected_by_us, visitor_id) in any::<(Option<i64>, Option<i64>)>(),
        (user_id, url, title, properties) in (text(), text(), text(), text()),
        revenue_e4 in proptest::option::of(-999_999_999_999_999_999_i128..=999_999_999_999_999_999),
        is_bot in any::<bool>(),
    ) -> Event {
        Event {
            event_id: EventId(id), site_id: site.into(), name, occurred_at_us, received_at_us, corrected_by_us, visitor_id,
            user_id, url, title, properties, revenue_e4, is_bot, protocol: "native", ..Event::default()
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_uuid_in_any_case_is_its_own_bytes(bytes in any::<[u8; 16]>(), upper in any::<bool>()) {
        let text = Uuid::from_bytes(bytes).hyphenated().to_string();
        let text = if upper { text.to_uppercase() } else { text };
        prop_assert_eq!(EventId::from_client(&text), EventId(bytes));
    }

    #[test]
    fn ids_that_are_no_uuids_differ_as_their_texts_do(a in "\\PC{0,40}", b in "\\PC{0,40}") {
        prop_assume!([&a, &b].iter().all(|id| Uuid::try_parse(id).is_err()));
        prop_assert_eq!(EventId::from_client(&a) == EventId::from_client(&b), a == b);
    }

    #[test]
    fn other_spellings_of_a_uuid_are_other_ids(bytes in any::<[u8; 16]>()) {
        let uuid = Uuid::from_bytes(bytes);
        let spellings = [uuid.simple().to_string(), uuid.braced().to_string(), uuid.urn().to_string()];
        for spelling in spellings {
            prop_assert_ne!(EventId::from_client(&spelling), EventId(bytes));
        }
    }

    #[test]
    fn a_visitor_is_a_site_and_an_identity(a in "\\PC{0,6}", b in "\\PC{0,6}", c in "\\PC{0,6}", d in "\\PC{0,6}") {
        prop_assert_eq!(visitor_id(&a, &b) == visitor_id(&c, &d), (&a, &b) == (&c, &d));
    }

    #[test]
    fn every_instant_lies_in_one_hour_and_directories_sort_as_hours_do(a in instant(), b in instant()) {
        let (hour_a, hour_b) = (Hour::containing(a), Hour::containing(b));
        prop_assert_eq!(hour_a.cmp(&hour_b), hour_a.dir().cmp(&hour_b.dir()));
        prop_assert_eq!(hour_a.dir(), a.format("raw/date=%Y-%m-%d/hour=%H").to_string());
        let minute_later = Hour::containing(a + TimeDelta::minutes(1));
        prop_assert!(minute_later == hour_a || minute_later == Hour::containing(a + TimeDelta::hours(1)));
    }
}

#[tokio::test]
async fn a_raw_file_that_is_torn_at_any_byte_is_corrupt() {
    let mut batch = RawBatch::default();
    for id in 0..3 {
        let event_id = EventId([id; 16]);
        batch.push(&Event { event_id, site_id: "shop".into(), name: "page_view".into(), ..Event::default() });
    }
    let whole = batch.encode();
    for length in 0..whole.len() {
        let lake = Lake::open("memory:///", []).unwrap();
        let lane = Lane::start(lake.clone(), LaneId(Uuid::from_u128(1)), LaneSettings::default());
        lane.append(whole.slice(..length), DateTime::UNIX_EPOCH).await.unwrap();
        let snapshot = lake.snapshot().await.unwrap();
        let searched = lake.survey_pending(&snapshot.pending, &snapshot.events).await.unwrap();
        assert_eq!(searched.damaged.len(), 1, "{length} of {} bytes", whole.len());
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn what_is_put_into_a_raw_file_comes_out_of_it_each_event_once(events in proptest::collection::vec(event(), 1..40)) {
        let (mut written, mut seen) = (RawBatch::default(), HashSet::new());
        let mut kept = RawBatch::default();
        for event in events.iter().chain(&events) {
            let is_new = seen.insert((event.site_id.clone(), event.event_id));
            prop_assert_eq!(written.push(event), is_new);
            if is_new {
                kept.push(event);
            }
        }
        let expected = kept.into_batch();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = runtime.block_on(async {
            let lake = Lake::open("memory:///", []).unwrap();
            let lane = Lane::start(lake.clone(), LaneId(Uuid::now_v7()), LaneSettings::default());
            let (_, file) = lane.append(written.encode(), DateTime::UNIX_EPOCH).await.unwrap();
            let listed = lake.snapshot().await.unwrap().pending;
            assert_eq!(listed.len(), 1);
            assert_eq!((listed[0].lane, listed[0].seq, listed[0].size_bytes), (file.lane, 1, file.size_bytes));
            let schema = expected.schema();
            let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await.unwrap();
            let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
            let schema: Arc<arrow::datatypes::Schema> = batches[0].schema();
            concat_batches(&schema, &batches).unwrap()
        });
        prop_assert_eq!(read, expected);
    }
}
