//! The table `sessions`, which other engines read: the sessions of days that are over, as SQL makes them of the events.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use compactor::{Compactor, SessionsKept};
use engine::{QueryResult, Scope, to_json_rows};
use futures::TryStreamExt;
use lake::{
    CheckSettings, Event, EventId, Lane, Person, PersonId, RawBatch, SESSIONS, TABLES, TableFile, read_batches,
    visitor_id,
};
use object_store::ObjectStoreExt;
use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::harness::world::{World, compactor_settings};

const MARCH: &str = "2026-03-01T10:00:00Z";

/// A lake whose events and whose compactor's time the test sets.
struct Kept {
    world: World,
    compactor: Compactor,
    now: Arc<Mutex<DateTime<Utc>>>,
    lane: Option<Lane>,
}

impl Kept {
    async fn start() -> Self {
        let world = World::start(0).await;
        let now = Arc::new(Mutex::new(MARCH.parse().unwrap()));
        let clock = now.clone();
        let compactor = Compactor::new(world.engine.clone(), compactor_settings(), Arc::new(move || *clock.lock()));
        let lane = Some(Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default()));
        Self { world, compactor, now, lane }
    }

    /// Publishes page views, each of a user, so many minutes after the first day's ten o'clock.
    async fn publish(&mut self, views: impl IntoIterator<Item = (&'static str, i64)>) {
        let first: DateTime<Utc> = MARCH.parse().unwrap();
        let mut batch = RawBatch::default();
        for (user, minutes) in views {
            let at_us = (first + TimeDelta::minutes(minutes)).timestamp_micros();
            batch.push(&Event {
                event_id: EventId::from_client(&format!("{user} {minutes}")),
                site_id: "shop".into(),
                name: "page_view".into(),
                path: Some(format!("/{minutes}")),
                occurred_at_us: at_us,
                received_at_us: at_us + 1,
                visitor_id: Some(visitor_id("shop", user)),
                user_id: Some(user.into()),
                protocol: "native",
                ..Event::default()
            });
        }
        let (lane, _) = self.lane.take().unwrap().append(batch.encode(), Utc::now()).await.unwrap();
        self.lane = Some(lane);
        self.compactor.publish().await.unwrap();
    }

    /// Lets the compactor look so many days after the first.
    async fn look_after(&self, days: i64) -> Option<SessionsKept> {
        *self.now.lock() = MARCH.parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(days);
        self.compactor.keep_sessions_of_today().await.unwrap()
    }

    async fn files(&self) -> Vec<TableFile> {
        let mut files = self.world.lake.table(&SESSIONS).load().await.unwrap().files.clone();
        files.sort_by_key(|file| file.date);
        files
    }

    async fn days(&self) -> Vec<NaiveDate> {
        self.files().await.iter().filter_map(|file| file.date).collect()
    }

    /// The table has what SQL says of these days, and the lake is sound.
    async fn check(&self, days: &[&str]) {
        let names: Vec<&str> = SESSIONS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut kept: Vec<Vec<Json>> = Vec::new();
        for file in self.files().await {
            let batches = read_batches(self.world.lake.store(), &file.path, file.size_bytes, &names).await.unwrap();
            let answer =
                QueryResult { schema: SESSIONS.file_schema.clone(), batches: batches.try_collect().await.unwrap() };
            let date = Json::from(file.date.unwrap().to_string());
            let rows = to_json_rows(&answer).unwrap();
            kept.extend(rows.into_iter().map(|row| row.into_iter().chain([date.clone()]).collect::<Vec<_>>()));
        }
        let session = self.world.engine.view().await.unwrap().session(&Scope::Lake).unwrap();
        let list: Vec<String> = days.iter().map(|day| format!("'{day}'")).collect();
        let sql = format!(
            "SELECT {}, date FROM sessions WHERE CAST(date AS TEXT) IN ({}) ORDER BY date, site_id, visitor_id, started_at",
            names.join(", "),
            list.join(", ")
        );
        let expected = to_json_rows(&session.query(&sql, &[]).await.unwrap()).unwrap();
        assert!(!expected.is_empty());
        assert_eq!(kept, expected);
        let checked = self.world.lake.check(&*TABLES, &check_settings()).await.unwrap();
        assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    }
}

fn check_settings() -> CheckSettings {
    CheckSettings { now: Utc::now(), spill_dir: std::env::temp_dir(), repair: false }
}

const DAY: i64 = 24 * 60;

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_days_that_are_over_are_kept_and_written_again_only_where_they_change() {
    let mut kept = Kept::start().await;
    // Ada twice on the first day, the second time past midnight; Bob on the second; Eve on a day that is not over.
    kept.publish([("ada", 0), ("ada", 20), ("ada", 830), ("ada", 850), ("bob", DAY), ("eve", 6 * DAY)]).await;
    assert_eq!(kept.look_after(4).await, Some(SessionsKept::default()), "no day is over");
    assert_eq!(kept.look_after(5).await, Some(SessionsKept { days: 1, days_written: 1, rows_written: 2 }));
    kept.check(&["2026-03-01"]).await;
    assert_eq!(kept.look_after(5).await, None, "there has been a pass today");
    assert_eq!(kept.look_after(7).await, Some(SessionsKept { days: 2, days_written: 1, rows_written: 1 }));
    kept.check(&["2026-03-01", "2026-03-02"]).await;

    // Late events: another session of the first day. The second day's file stays what it is.
    let before = kept.files().await;
    kept.publish([("mia", 5), ("mia", 6)]).await;
    assert_eq!(kept.look_after(8).await, Some(SessionsKept { days: 2, days_written: 1, rows_written: 3 }));
    kept.check(&["2026-03-01", "2026-03-02"]).await;
    let after = kept.files().await;
    assert_eq!((before[0] == after[0], before[1] == after[1]), (false, true));

    // One more view of a session that is kept: the last row of the day is another.
    kept.publish([("mia", 7)]).await;
    assert_eq!(kept.look_after(9).await, Some(SessionsKept { days: 2, days_written: 1, rows_written: 3 }));
    kept.check(&["2026-03-01", "2026-03-02"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_has_no_session_in_the_table() {
    let mut kept = Kept::start().await;
    kept.publish([("ada", 0), ("bob", 0), ("ada", DAY)]).await;
    kept.look_after(9).await.unwrap();
    kept.check(&["2026-03-01", "2026-03-02"]).await;
    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    kept.compactor.erase(&ada).await.unwrap();
    kept.check(&["2026-03-01"]).await;
    assert_eq!(kept.days().await.len(), 1, "nobody is left on the second day");

    // An erasure that was interrupted before the table was made anew is completed by whoever removes the rest.
    let bob = Person { site_id: "shop".into(), id: PersonId::User("bob".into()) };
    kept.publish([("eve", 1)]).await;
    kept.look_after(10).await.unwrap();
    kept.world.lake.record_erasure(&bob, [], Utc::now()).await.unwrap();
    assert_eq!(kept.files().await[0].rows, 2);
    kept.compactor.remove().await.unwrap();
    assert_eq!(kept.files().await[0].rows, 1);
    kept.check(&["2026-03-01"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_of_the_table_is_made_again() {
    let mut kept = Kept::start().await;
    kept.publish([("ada", 0), ("bob", 0)]).await;
    kept.look_after(9).await.unwrap();
    let file = kept.files().await[0].clone();
    kept.world.lake.store().put(&file.path, "torn".into()).await.unwrap();
    assert_eq!(kept.look_after(10).await, Some(SessionsKept { days: 1, days_written: 1, rows_written: 2 }));
    assert_ne!(kept.files().await[0].path, file.path);
    kept.check(&["2026-03-01"]).await;
}
