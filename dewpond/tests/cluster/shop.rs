//! The lake of a small shop on disk.

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Event, Lake, Person, PersonId};
use tempfile::TempDir;

use crate::stored::{event_of, pend, publish};

/// Events that are published, and of those that are pending the new ones, the copies, and those of somebody erased.
pub const PUBLISHED: usize = 200;
pub const NEW: usize = 20;
pub const COPIES: usize = 10;
pub const ERASED: usize = 5;

/// A lake that is deleted with it.
pub struct TestLake {
    dir: TempDir,
}

impl TestLake {
    /// A lake whose table has the first events, and nothing pending.
    pub async fn published() -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap() };
        let lake = made.open();
        lake.add_site("shop", Utc::now()).await.unwrap();
        let events: Vec<Event> = (0..PUBLISHED).map(event).collect();
        // In two commits, so that dates have more than one file.
        let (odd, even): (Vec<_>, Vec<_>) = events.into_iter().enumerate().partition(|(number, _)| number % 2 == 1);
        for half in [odd, even] {
            publish(&lake, &half.into_iter().map(|(_, event)| event).collect::<Vec<_>>()).await;
        }
        made
    }

    /// The same, with pending events: new ones, copies of published ones, and those of somebody who was erased since.
    pub async fn with_pending() -> Self {
        let made = Self::published().await;
        let lake = made.open();
        let new: Vec<Event> = (PUBLISHED..PUBLISHED + NEW).map(event).collect();
        let copies: Vec<Event> = (0..COPIES).map(|number| event(number * 7)).collect();
        let of_eve = |number: usize| event_of("shop", "eve", &time(number), "page_view", "/secret");
        let mut pending = [new, copies].concat();
        pending.extend((0..ERASED).map(of_eve));
        pend(&lake, &pending).await;
        let eve = Person { site_id: "shop".into(), id: PersonId::User("eve".into()) };
        lake.record_erasure(&eve, [], Utc::now()).await.unwrap();
        made
    }

    pub fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub fn open(&self) -> Lake {
        Lake::open(self.path(), []).unwrap()
    }
}

/// A time of March 2026, two hours after that of the number before.
fn time(number: usize) -> String {
    let begin: DateTime<Utc> = "2026-03-01T00:30:00Z".parse().unwrap();
    (begin + TimeDelta::hours(2 * number as i64)).to_rfc3339()
}

/// An event of a small shop.
fn event(number: usize) -> Event {
    let name = ["page_view", "page_view", "signup", "page_view", "purchase"][number % 5];
    let path = ["/", "/pricing", "/docs", "/buy"][number % 4];
    let revenue = (name == "purchase").then_some(number as i128 * 10_000);
    let plan = ["free", "pro", "team"][number % 3];
    Event {
        revenue_e4: revenue,
        country: ["DE", "FR", "US"].get(number % 4).map(|country| (*country).to_owned()),
        channel: Some(["Direct", "Email", "Paid Search"][number % 3].into()),
        properties: Some(format!(r#"{{"items":[{{"qty":{},"sku":"A"}}],"plan":"{plan}","tags":["new"]}}"#, number % 6)),
        ..event_of("shop", &format!("user{}", number % 17), &time(number), name, path)
    }
}
