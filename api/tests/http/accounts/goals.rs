//! Goals and what else the stats API says since there are accounts: numbers counted by hand in the events of `shop`.

use super::*;

async fn with_goals() -> (Stats, Person) {
    let server = shop().await;
    let ada = ada(&server).await;
    for goal in [
        json!({ "name": "Buy", "kind": "event", "value": "purchase" }),
        json!({ "name": "Page B", "kind": "page", "value": "/b*" }),
        json!({ "name": "Banner", "kind": "object", "value": "banner" }),
        json!({ "name": "German page", "kind": "page", "value": "/**", "filters": [["is", "country", ["DE"]]] }),
    ] {
        let added = as_page(&server, "POST", "/v1/sites/shop/goals", &ada, goal).await;
        assert_eq!(added.status, 201, "{}", added.body);
    }
    (server, ada)
}

async fn get(server: &Stats, ada: &Person, path: &str) -> Json {
    let answer = as_page(server, "GET", &format!("/v1/stats/{path}"), ada, Json::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// In March come Ada, Bob, Carl; Ada and Bob see `/b`, Carl buys and sees the banner. Somebody without an id counts nowhere
/// but in events.
#[tokio::test]
async fn each_goal_is_counted_as_its_filter_says() {
    let (server, ada) = with_goals().await;
    let answer = get(&server, &ada, "goals?site=shop&date_range=2026-03-28,2026-03-31").await;
    assert_eq!(answer["visitors"], 3);
    let rows: Vec<Json> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["goal"]["name"], row["events"], row["visitors"], row["sessions"]]))
        .collect();
    assert_eq!(
        rows,
        [
            json!(["Buy", 1, 1, 1]),
            json!(["Page B", 2, 2, 2]),
            json!(["Banner", 1, 1, 1]),
            json!(["German page", 1, 1, 1])
        ]
    );
    assert_eq!(answer["results"][0]["conversion_rate"], json!(1.0 / 3.0));
}

#[tokio::test]
async fn a_goal_is_a_filter_a_step_and_conversions() {
    let (server, ada) = with_goals().await;
    let range = "site=shop&date_range=2026-03-28,2026-03-31";
    let filtered =
        get(&server, &ada, &format!("aggregate?{range}&filter=goal:is:Page%20B&metrics=visitors,page_views")).await;
    assert_eq!(filtered["metrics"], json!({ "visitors": 2, "page_views": 2 }));
    let others = get(&server, &ada, &format!("aggregate?{range}&filter=goal:is_not:Page%20B,Buy&metrics=events")).await;
    // All but two page views of /b and the purchase: nine events without pings, one of them nobody's.
    assert_eq!(others["metrics"], json!({ "events": 6 }));
    let metrics = "metrics=visitors,conversions,converted_visitors,conversion_rate&goal=Page%20B";
    let single = get(&server, &ada, &format!("aggregate?{range}&{metrics}")).await;
    let expected = json!({ "visitors": 3, "conversions": 2, "converted_visitors": 2, "conversion_rate": 2.0 / 3.0 });
    assert_eq!(single["metrics"], expected);
    let by_browser =
        get(&server, &ada, &format!("breakdown?{range}&{metrics}&dimensions=browser&order_by=browser:asc")).await;
    assert_eq!(
        by_browser["results"],
        json!([
            {
                "dimensions": { "browser": "Firefox" },
                "metrics": { "visitors": 1, "conversions": 0, "converted_visitors": 0, "conversion_rate": 0.0 },
            },
            {
                "dimensions": { "browser": null },
                "metrics": { "visitors": 2, "conversions": 2, "converted_visitors": 2, "conversion_rate": 1.0 },
            },
        ])
    );
    let series =
        get(&server, &ada, &format!("timeseries?{range}&metrics=conversions&goal=Page%20B&interval=day")).await;
    let days: Vec<&Json> =
        series["results"].as_array().unwrap().iter().map(|day| &day["metrics"]["conversions"]).collect();
    // Both past midnight in Berlin.
    assert_eq!(days, [&json!(0), &json!(1), &json!(1), &json!(0)]);
    let funnel = get(&server, &ada, &format!("funnel?{range}&step=path:is:/&step=goal:is:Page%20B")).await;
    assert_eq!((&funnel["steps"][0]["visitors"], &funnel["steps"][1]["visitors"]), (&json!(2), &json!(1)));
    for (path, words) in [
        ("aggregate?site=shop&metrics=conversion_rate", "needs a goal"),
        ("aggregate?site=shop&metrics=conversions&goal=Nothing", "there is no goal \"Nothing\": there is Buy, Page B"),
        ("aggregate?site=shop&filter=goal:contains:x", "a goal is named"),
        ("breakdown?site=shop&dimensions=goal", "goal is no dimension of rows"),
    ] {
        let refused = as_page(&server, "GET", &format!("/v1/stats/{path}"), &ada, Json::Null).await;
        assert!(refused.status == 400 && refused.body["message"].as_str().unwrap().contains(words), "{}", refused.body);
    }
}

#[tokio::test]
async fn all_time_begins_with_the_first_event_and_robots_are_counted_apart() {
    let (server, ada) = with_goals().await;
    let all = get(&server, &ada, "aggregate?site=shop&date_range=all&metrics=events").await;
    assert_eq!((&all["query"]["from"], &all["metrics"]["events"]), (&json!("2026-02-10T00:00:00+01:00"), &json!(10)));
    let robots = get(&server, &ada, "robots?site=shop&date_range=all").await;
    assert_eq!((&robots["events"], &robots["page_views"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_heatmap_has_every_hour_of_the_week_by_the_clock_of_the_site() {
    let (server, ada) = with_goals().await;
    let map = get(&server, &ada, "heatmap?site=shop&date_range=all&metrics=page_views,visitors").await;
    let cells = map["results"].as_array().unwrap();
    assert_eq!(cells.len(), 168);
    let seen: Vec<Json> = cells
        .iter()
        .filter(|cell| cell["metrics"]["page_views"] != 0)
        .map(|cell| json!([cell["weekday"], cell["hour"], cell["metrics"]["page_views"], cell["metrics"]["visitors"]]))
        .collect();
    // Monday 0:30 (Bob), Tuesday 10:30 (nobody), 11:00 (Carl, and Ada in February), Saturday 23:50 (Ada), Sunday 0:05 (Ada),
    // 23:30 (Bob).
    let expected = [
        json!([1, 0, 1, 1]),
        json!([2, 10, 1, 0]),
        json!([2, 11, 2, 2]),
        json!([6, 23, 1, 1]),
        json!([7, 0, 1, 1]),
        json!([7, 23, 1, 1]),
    ];
    assert_eq!(seen, expected);
}
