//! Days of another product beside the site's own events.

use lake::{DayKind, ImportedDay, ImportedDays};
use serde_json::{Value as Json, json};

use super::{Stats, event, served};

/// Numbers of a day as Plausible exports them: visitors, visits, page views, bounces, seconds.
fn day(day: &str, kind: DayKind, dimensions: &[(&'static str, &str)], numbers: [i64; 5]) -> ImportedDay {
    let names = ["visitors", "visits", "page_views", "bounces", "visit_duration_s"];
    ImportedDay {
        day: day.parse().unwrap(),
        kind,
        dimensions: dimensions.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        numbers: names.into_iter().zip(numbers).collect(),
    }
}

/// The site's own events begin on 28 March: two visits, one of them a bounce, with three page views. Imported are three days
/// before, and that day.
async fn shop() -> Stats {
    let own = [
        event("~x", "2026-03-28T10:00:00Z", "page_view", "/a"),
        event("~x", "2026-03-28T10:05:00Z", "page_view", "/b"),
        event("~y", "2026-03-28T11:00:00Z", "page_view", "/a"),
    ];
    let server = served(&own, &[], "2026-03-31T10:00:00Z").await;
    let mut days = ImportedDays::new("shop", "plausible");
    for row in [
        day("2026-03-25", DayKind::Days, &[], [5, 6, 10, 2, 100]),
        day("2026-03-26", DayKind::Days, &[], [4, 4, 4, 4, 0]),
        day("2026-03-28", DayKind::Days, &[], [900, 900, 900, 900, 900]),
        day("2026-03-25", DayKind::Pages, &[("hostname", "shop.example"), ("path", "/a")], [3, 4, 6, 0, 0]),
        day("2026-03-26", DayKind::Pages, &[("hostname", "shop.example"), ("path", "/a")], [2, 2, 2, 0, 0]),
        day("2026-03-26", DayKind::Pages, &[("hostname", "shop.example"), ("path", "/old")], [1, 1, 2, 0, 0]),
        day("2026-03-25", DayKind::Browsers, &[("browser", "Firefox"), ("browser_version", "140")], [5, 6, 10, 2, 100]),
    ] {
        days.push(&row);
    }
    server.lake.keep_imported_days(&mut days).await.unwrap();
    let mut days = ImportedDays::new("shop", "goatcounter");
    days.push(&ImportedDay {
        numbers: vec![("visits", 77)],
        ..day("2026-03-20", DayKind::Pages, &[("path", "/a")], [0; 5])
    });
    server.lake.keep_imported_days(&mut days).await.unwrap();
    server
}

const RANGE: (&str, &str) = ("date_range", "2026-03-24,2026-03-30");
const WITH: (&str, &str) = ("with_imported", "true");

#[tokio::test]
async fn numbers_that_add_up_are_added_until_the_first_day_of_ones_own() {
    let server = shop().await;
    let metrics = ("metrics", "page_views,sessions,bounce_rate,duration_s_mean,visitors,events");
    let answer = server.get("aggregate", &[("site", "shop"), RANGE, metrics, WITH]).await;
    let expected = json!({
        "page_views": 17, "sessions": 12, "bounce_rate": 7.0 / 12.0, "duration_s_mean": 400.0 / 12.0, "visitors": null,
        "events": null,
    });
    assert_eq!(rounded(&answer["metrics"]), rounded(&expected));
    assert_eq!(answer["imported"], true);
    let expected = json!({"sources": ["plausible"], "from": "2026-03-25", "until": "2026-03-28", "without": ["visitors", "events"]});
    assert_eq!(answer["imported_days"], expected);
}

#[tokio::test]
async fn nothing_is_added_unless_it_is_asked_for() {
    let server = shop().await;
    let asked = [("site", "shop"), RANGE, ("metrics", "page_views,visitors")];
    let answer = server.get("aggregate", &asked).await;
    assert_eq!((&answer["metrics"], answer.get("imported")), (&json!({"page_views": 3, "visitors": 2}), None));
    let without = server.get("aggregate", &[&asked[..], &[("with_imported", "false")]].concat()).await;
    assert_eq!(without["metrics"], answer["metrics"]);
}

#[tokio::test]
async fn a_day_knows_its_visitors_and_a_week_does_not() {
    let server = shop().await;
    let asked = [("site", "shop"), RANGE, ("metrics", "visitors,page_views"), WITH];
    let by = |interval| [&asked[..], &[("interval", interval)]].concat();
    let days = server.get("timeseries", &by("day")).await;
    let shown = |answer: &Json| -> Vec<(Json, Json)> {
        let points = answer["results"].as_array().unwrap().iter();
        points.map(|point| (point["metrics"]["visitors"].clone(), point["metrics"]["page_views"].clone())).collect()
    };
    let numbers = [(0, 0), (5, 10), (4, 4), (0, 0), (2, 3), (0, 0), (0, 0)];
    assert_eq!(shown(&days), numbers.map(|(visitors, views)| (json!(visitors), json!(views))));
    let weeks = server.get("timeseries", &by("week")).await;
    assert_eq!(shown(&weeks), [(Json::Null, json!(17)), (json!(0), json!(0))]);
    let hours = server.get("timeseries", &by("hour")).await;
    assert_eq!((&hours["imported"], &hours["imported_reason"]), (&json!(false), &json!("imported days have no hours")));
}

#[tokio::test]
async fn rows_of_a_breakdown_are_put_together_with_those_of_the_import() {
    let server = shop().await;
    let asked = [("site", "shop"), RANGE, ("dimensions", "path"), ("metrics", "page_views,visitors"), WITH];
    let answer = server.get("breakdown", &asked).await;
    let of_row =
        |row: &Json| json!([row["dimensions"]["path"], row["metrics"]["page_views"], row["metrics"]["visitors"]]);
    let rows: Vec<Json> = answer["results"].as_array().unwrap().iter().map(of_row).collect();
    assert_eq!(json!(rows), json!([["/a", 10, null], ["/old", 2, null], ["/b", 1, 1]]));
    assert_eq!(answer["total_rows"], 3);
    for (more, why) in [
        (("dimensions", "channel"), "imported days are not told apart by these dimensions"),
        (("dimensions", "browser,os"), "imported days are not told apart by these dimensions"),
    ] {
        let answer = server.get("breakdown", &[("site", "shop"), RANGE, more, ("metrics", "sessions"), WITH]).await;
        assert_eq!((&answer["imported"], &answer["imported_reason"]), (&json!(false), &json!(why)), "{more:?}");
    }
    let filtered = server
        .get("aggregate", &[("site", "shop"), RANGE, ("metrics", "page_views"), ("filter", "path:is:/a"), WITH])
        .await;
    assert_eq!((&filtered["imported"], &filtered["metrics"]["page_views"]), (&json!(false), &json!(2)));
}

#[tokio::test]
async fn of_two_sources_the_one_with_more_days_is_used_and_another_range_is_compared_with_its_own_days() {
    let server = shop().await;
    let asked = [
        ("site", "shop"),
        ("date_range", "2026-03-26,2026-03-28"),
        ("compare", "2026-03-24,2026-03-25"),
        ("metrics", "page_views"),
        WITH,
    ];
    let answer = server.get("aggregate", &asked).await;
    assert_eq!(answer["metrics"]["page_views"], 7);
    assert_eq!(answer["comparison"]["metrics"]["page_views"], 10);
    let of_page = [("site", "shop"), ("date_range", "2026-03-19,2026-03-21"), ("dimensions", "path"), WITH];
    let answer = server.get("breakdown", &[&of_page[..], &[("metrics", "sessions,page_views")]].concat()).await;
    assert_eq!(answer["results"][0]["metrics"], json!({"sessions": 77, "page_views": null}));
    let all =
        server.get("aggregate", &[("site", "shop"), ("date_range", "all"), ("metrics", "page_views"), WITH]).await;
    assert!(all["query"]["from"].as_str().unwrap().starts_with("2026-03-20"), "{all}");
}

#[tokio::test]
async fn a_new_import_is_in_the_next_answer_and_another_site_sees_none_of_it() {
    let server = shop().await;
    let asked = [("site", "shop"), RANGE, ("metrics", "page_views"), WITH];
    assert_eq!(server.get("aggregate", &asked).await["metrics"]["page_views"], 17);
    server.lake.remove_imported_days("shop", "plausible").await.unwrap();
    let answer = server.get("aggregate", &asked).await;
    assert_eq!((&answer["metrics"]["page_views"], &answer["imported"]), (&json!(3), &json!(false)));
    let key = server.key_of(&["blog"]).await;
    let (status, _, answer) = server.get_as(&key, "aggregate", &[RANGE, ("metrics", "page_views"), WITH]).await;
    assert_eq!((status, &answer["imported"]), (200, &json!(false)));
}

/// Numbers to nine places.
fn rounded(numbers: &Json) -> Vec<(String, String)> {
    let shown = |number: &Json| number.as_f64().map_or("null".to_owned(), |number| format!("{number:.9}"));
    numbers.as_object().unwrap().iter().map(|(name, number)| (name.clone(), shown(number))).collect()
}
