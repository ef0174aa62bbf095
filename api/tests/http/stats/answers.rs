//! Answers with numbers that were counted by hand.

use lake::Event;
use serde_json::{Value as Json, json};

use super::{Stats, TOKEN, event, event_of, pend, served, shop, values};

#[tokio::test]
async fn single_numbers_are_those_of_the_metrics() {
    let server = shop().await;
    let all = "visitors,new_visitors,returning_visitors,page_views,events,sessions,engaged_sessions,bounce_rate,\
               engagement_rate,duration_s_mean,duration_s_median,engaged_s,engaged_s_mean,page_views_mean,revenue,\
               transactions,revenue_mean";
    let expected = json!([3, 2, 1, 6, 9, 4, 2, 0.5, 0.5, 390.75, 301.5, 20, 5.0, 1.25, 10.0, 1, 10.0]);
    assert_eq!(server.numbers(all, &[("currency", "EUR")]).await, expected);
    let nothing = json!([0, 0, 0, 0, 0, 0, 0, null, null, null, null, 0, null, null, 0.0, 0, null]);
    let march = [("currency", "EUR"), ("date_range", "2026-03-10,2026-03-11")];
    assert_eq!(server.numbers(all, &march).await, nothing);
    // Of another currency, and of both sites.
    assert_eq!(server.numbers("revenue,transactions", &[("currency", "USD")]).await, json!([0.0, 0]));
    let both = server.get("aggregate", &[("metrics", "visitors,sessions"), ("site", "shop,blog")]).await;
    assert_eq!(
        (values(&both, "visitors,sessions"), &both["query"]["sites"]),
        (json!([4, 5]), &json!(["blog", "shop"]))
    );
    let lake = server.get("aggregate", &[("metrics", "visitors,sessions")]).await;
    assert_eq!((values(&lake, "visitors,sessions"), &lake["query"]["sites"]), (json!([4, 5]), &Json::Null));
}

#[tokio::test]
async fn an_answer_says_what_was_counted_and_until_when_it_is_complete() {
    let server = shop().await;
    let asked = [("site", "shop"), ("date_range", "today"), ("filter", "path:is:/"), ("metrics", "visitors")];
    let answer = server.get("aggregate", &asked).await;
    let expected = json!({
        "query": {
            "sites": ["shop"], "from": "2026-03-31T00:00:00+02:00", "until": "2026-03-31T12:00:00+02:00",
            "time_zone": "Europe/Berlin", "filters": [["is", "path", ["/"]]], "metrics": ["visitors"], "currency": null,
        },
        "as_of": "2026-03-31T12:00:00+02:00", "complete_until": "2026-03-31T12:00:00+02:00", "lake_version": 1,
        "metrics": { "visitors": 1 },
    });
    assert_eq!(answer, expected);
    let body = json!({
        "site": "shop", "date_range": "today", "filters": [["is", "path", ["/"]]], "metrics": ["visitors"],
    });
    assert_eq!(server.post("aggregate", &body).await.2, expected);
    let past = server.get("aggregate", &[("site", "shop"), ("date_range", "yesterday")]).await;
    assert_eq!(past["complete_until"], "2026-03-31T00:00:00+02:00");
}

#[tokio::test]
async fn numbers_are_compared_with_those_of_another_time() {
    let server = shop().await;
    let metrics = "visitors,page_views,bounce_rate";
    let asked = [("site", "shop"), ("metrics", metrics), ("compare", "previous_period")];
    let answer = server.get("aggregate", &asked).await;
    let expected = json!({
        "metrics": { "visitors": 1, "page_views": 1, "bounce_rate": 1.0 },
        "change": { "visitors": 2.0, "page_views": 5.0, "bounce_rate": -0.5 },
    });
    assert_eq!(answer["comparison"], expected, "{answer}");
    let range = json!({ "from": "2026-01-31T00:00:00+01:00", "until": "2026-03-01T12:00:00+01:00" });
    assert_eq!(answer["query"]["compare"], range);
    let year = [("site", "shop"), ("metrics", metrics), ("compare", "previous_year")];
    let none = server.get("aggregate", &year).await;
    assert_eq!(none["comparison"]["change"], json!({ "visitors": null, "page_views": null, "bounce_rate": null }));

    let pages = [("site", "shop"), ("metrics", "page_views"), ("dimensions", "path"), ("compare", "previous_period")];
    let rows = server.get("breakdown", &pages).await;
    let row = |path: &str| {
        rows["results"].as_array().unwrap().iter().find(|row| row["dimensions"]["path"] == path).unwrap()["comparison"]
            .clone()
    };
    assert_eq!(row("/"), json!({ "metrics": { "page_views": 1 }, "change": { "page_views": 2.0 } }));
    assert_eq!(row("/a"), json!({ "metrics": { "page_views": 0 }, "change": { "page_views": null } }));

    let days = [("site", "shop"), ("date_range", "2026-03-28,2026-03-29"), ("compare", "2026-02-10,2026-02-10")];
    let days = [&days[..], &[("interval", "day")]].concat();
    let series = server.get("timeseries", &days).await;
    let first = json!({
        "from": "2026-02-10T00:00:00+01:00", "until": "2026-02-11T00:00:00+01:00", "metrics": { "visitors": 1 },
        "change": { "visitors": 0.0 },
    });
    assert_eq!(series["results"][0]["comparison"], first, "{series}");
    assert_eq!(series["results"][1]["comparison"], Json::Null);
}

#[tokio::test]
async fn every_interval_of_a_series_is_there() {
    let server = shop().await;
    let metrics = "visitors,sessions,events,new_visitors";
    let points = async |parameters: &[(&str, &str)]| {
        let own = [("site", "shop"), ("metrics", metrics)];
        let answer = server.get("timeseries", &[&own, parameters].concat()).await;
        let shown = |point: &Json| format!("{} {}", point["from"].as_str().unwrap(), values(point, metrics));
        answer["results"].as_array().unwrap().iter().map(shown).collect::<Vec<_>>()
    };
    let days = points(&[]).await;
    assert_eq!((days.len(), days[0].as_str()), (30, "2026-03-02T00:00:00+01:00 [0,0,0,0]"));
    let expected = [
        "2026-03-28T00:00:00+01:00 [1,1,1,0]",
        "2026-03-29T00:00:00+01:00 [2,1,3,1]",
        "2026-03-30T00:00:00+02:00 [1,1,1,0]",
        "2026-03-31T00:00:00+02:00 [1,1,4,1]",
    ];
    assert_eq!(days[26..], expected);
    // The short day has 23 hours.
    let hours = points(&[("date_range", "2026-03-29,2026-03-29"), ("interval", "hour")]).await;
    assert_eq!(hours.len(), 23);
    assert_eq!(
        hours[0..3],
        [
            "2026-03-29T00:00:00+01:00 [1,0,2,0]",
            "2026-03-29T01:00:00+01:00 [0,0,0,0]",
            "2026-03-29T03:00:00+02:00 [0,0,0,0]",
        ]
    );
    assert_eq!(hours[22], "2026-03-29T23:00:00+02:00 [1,1,1,1]");
    let weeks = points(&[("interval", "week")]).await;
    assert_eq!(weeks[3..], ["2026-03-23T00:00:00+01:00 [2,2,4,1]", "2026-03-30T00:00:00+02:00 [2,2,5,1]"]);
    let months = points(&[("interval", "month"), ("date_range", "2mo")]).await;
    assert_eq!(months, ["2026-02-01T00:00:00+01:00 [1,1,1,1]", "2026-03-01T00:00:00+01:00 [3,4,9,2]"]);
    let minutes = points(&[("from", "2026-03-31T08:59:30Z"), ("until", "2026-03-31T09:01:00Z")]).await;
    assert_eq!(minutes, ["2026-03-31T10:59:30+02:00 [0,0,0,0]", "2026-03-31T11:00:00+02:00 [1,1,2,1]"]);
}

#[tokio::test]
async fn the_hour_that_comes_twice_is_two_hours_and_the_long_day_is_one() {
    let long = [
        event("ada", "2026-10-25T00:30:00Z", "page_view", "/"),
        event("bob", "2026-10-25T01:30:00Z", "page_view", "/"),
        event("bob", "2026-10-25T22:59:59Z", "page_view", "/"),
        event("bob", "2026-10-25T23:00:00Z", "page_view", "/"),
    ];
    let server = served(&long[..2], &long[2..], "2026-10-26T12:00:00Z").await;
    let day = [("site", "shop"), ("date_range", "2026-10-25,2026-10-25")];
    let hours = server.get("timeseries", &day).await;
    assert_eq!((hours["results"].as_array().unwrap().len(), &hours["interval"]), (25, &json!("hour")));
    for (at, from) in [(2, "2026-10-25T02:00:00+02:00"), (3, "2026-10-25T02:00:00+01:00")] {
        assert_eq!(
            (&hours["results"][at]["from"], &hours["results"][at]["metrics"]["visitors"]),
            (&json!(from), &json!(1))
        );
    }
    assert_eq!(server.numbers("page_views,visitors,sessions", &day[1..]).await, json!([3, 2, 3]));
    let days = server
        .get("timeseries", &[("site", "shop"), ("date_range", "2d"), ("metrics", "page_views"), ("interval", "day")])
        .await;
    let counts: Vec<&Json> =
        days["results"].as_array().unwrap().iter().map(|day| &day["metrics"]["page_views"]).collect();
    assert_eq!(counts, [&json!(3), &json!(1)]);
}

#[tokio::test]
async fn several_sites_are_on_one_axis() {
    let server = shop().await;
    let asked = [
        ("dimensions", "site"),
        ("date_range", "2026-03-30,2026-03-31"),
        ("metrics", "page_views"),
        ("interval", "day"),
    ];
    let answer = server.get("timeseries", &asked).await;
    let lines: Vec<Json> = answer["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let points = line["results"].as_array().unwrap().iter().map(|point| point["metrics"]["page_views"].clone());
            json!([line["dimensions"]["site"], points.collect::<Vec<_>>()])
        })
        .collect();
    assert_eq!(lines, [json!(["shop", [1, 2]]), json!(["blog", [0, 1]])]);
    let one = server.get("timeseries", &[&asked[..], &[("limit", "1")]].concat()).await;
    assert_eq!(one["series"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn rows_are_those_of_the_metrics() {
    let server = shop().await;
    let page_views = [("filter", "name:is:page_view")];
    let top_pages = json!([["shop.example", "/", 3, 2], ["shop.example", "/b", 2, 2], ["shop.example", "/a", 1, 1]]);
    assert_eq!(server.rows("hostname,path", "page_views,visitors", &page_views).await, top_pages);
    // Visitors of a page have viewed it, whatever else happened there.
    assert_eq!(server.rows("hostname,path", "page_views,visitors", &[]).await, top_pages);
    let (by, named) = ("sessions,visitors,page_views", [("filter", "entry_page:exists")]);
    let entry_pages =
        json!([["shop.example", "/", 2, 2, 2], ["shop.example", "/a", 1, 1, 2], ["shop.example", "/b", 1, 1, 1]]);
    assert_eq!(server.rows("entry_hostname,entry_page", by, &named).await, entry_pages);
    let exit_pages = json!([["shop.example", "/", 2, 2, 2], ["shop.example", "/b", 2, 2, 3]]);
    assert_eq!(server.rows("exit_hostname,exit_page", by, &[]).await, exit_pages);
    assert_eq!(server.rows("referrer_host", by, &[]).await, json!([[null, 3, 2, 3], ["google.com", 1, 1, 2]]));
    assert_eq!(server.rows("browser", by, &[]).await, json!([[null, 3, 2, 4], ["Firefox", 1, 1, 1]]));
    assert_eq!(server.rows("country", by, &[]).await, json!([[null, 3, 2, 4], ["DE", 1, 1, 1]]));
    assert_eq!(server.rows("channel", by, &[]).await, json!([[null, 4, 3, 5]]));
    let campaigns = [("filter", "utm_source:exists|utm_medium:exists|utm_campaign:exists")];
    assert_eq!(server.rows("utm_source,utm_medium,utm_campaign", by, &campaigns).await, json!([]));
    let names = json!([
        ["page_view", 6, 3],
        ["login", 1, 1],
        ["object_in_view", 1, 1],
        ["purchase", 1, 1],
        ["page_ping", 0, 2]
    ]);
    assert_eq!(server.rows("name", "events,visitors", &[]).await, names);
    let revenue = server.rows("currency", "transactions,revenue", &[("minimum", "transactions:1")]).await;
    assert_eq!(revenue, json!([["EUR", 1, 10.0]]));
    assert_eq!(server.rows("properties.plan", "events", &[]).await, json!([[null, 8], ["pro", 1]]));
    assert_eq!(
        server
            .rows("properties.items", "events", &[("minimum", "events:1"), ("filter", "properties.items:exists")])
            .await,
        json!([["3", 1]])
    );
    let sites = server.get("breakdown", &[("dimensions", "site"), ("metrics", "visitors,sessions")]).await;
    let shown = json!([
        { "dimensions": { "site": "shop" }, "metrics": { "visitors": 3, "sessions": 4 } },
        { "dimensions": { "site": "blog" }, "metrics": { "visitors": 1, "sessions": 1 } },
    ]);
    assert_eq!(sites["results"], shown);
}

#[tokio::test]
async fn a_table_is_searched_sorted_cut_and_turned_page_by_page() {
    let server = shop().await;
    let pages = async |parameters: &[(&str, &str)]| server.rows("path", "page_views", parameters).await;
    assert_eq!(pages(&[("order_by", "path:desc")]).await, json!([["/b", 2], ["/a", 1], ["/", 3]]));
    assert_eq!(pages(&[("order_by", "page_views:asc")]).await, json!([["/a", 1], ["/b", 2], ["/", 3]]));
    assert_eq!(pages(&[("search", "A")]).await, json!([["/a", 1]]));
    assert_eq!(pages(&[("search", "%")]).await, json!([]));
    assert_eq!(pages(&[("minimum", "page_views:2")]).await, json!([["/", 3], ["/b", 2]]));
    assert_eq!(pages(&[("limit", "1"), ("offset", "1")]).await, json!([["/b", 2]]));
    let page = [("site", "shop"), ("dimensions", "path"), ("limit", "1")];
    for (offset, rows) in [("0", 1), ("2", 1), ("3", 0)] {
        let answer = server.get("breakdown", &[&page[..], &[("offset", offset)]].concat()).await;
        assert_eq!((answer["results"].as_array().unwrap().len(), &answer["total_rows"]), (rows, &json!(3)));
    }
}

#[tokio::test]
async fn a_filter_on_events_chooses_events_and_sessions_that_have_one() {
    let server = shop().await;
    let numbers = async |filter: &str| {
        server.numbers("visitors,page_views,events,sessions,bounce_rate,duration_s_mean", &[("filter", filter)]).await
    };
    assert_eq!(numbers("path:is:/b").await, json!([2, 2, 3, 2, 0.5, 480.0]));
    assert_eq!(numbers("name:is:purchase").await, json!([1, 0, 1, 1, 0.0, 600.0]));
    assert_eq!(numbers("properties.plan:is:pro").await, json!([1, 0, 1, 1, 0.0, 600.0]));
    assert_eq!(numbers("properties.plan:is_not:pro").await, json!([3, 6, 8, 4, 0.5, 390.75]));
    assert_eq!(numbers("path:is:/a|name:is:purchase").await, json!([2, 1, 2, 2, 0.0, 780.0]));
    assert_eq!(numbers("path:contains:nowhere").await, json!([0, 0, 0, 0, null, null]));
}

#[tokio::test]
async fn a_filter_on_sessions_counts_whole_sessions() {
    let server = shop().await;
    let numbers = async |filters: &[(&str, &str)]| {
        server.numbers("visitors,page_views,events,sessions,bounce_rate,duration_s_mean", filters).await
    };
    let of = async |filter: &str| numbers(&[("filter", filter)]).await;
    assert_eq!(of("browser:is:Firefox").await, json!([1, 1, 3, 1, 0.0, 600.0]));
    assert_eq!(of("browser:is_not:Firefox").await, json!([2, 4, 5, 3, 1.0 - 1.0 / 3.0, 321.0]));
    assert_eq!(of("entry_page:is:/").await, json!([2, 2, 4, 2, 0.5, 301.5]));
    // What Carl's last event says is not where his session came from.
    assert_eq!(of("channel:is:Direct").await, json!([0, 0, 0, 0, null, null]));
    // Both kinds: events that match, of sessions that match.
    assert_eq!(
        numbers(&[("filter", "entry_page:is:/a"), ("filter", "path:is:/b")]).await,
        json!([1, 1, 2, 1, 0.0, 960.0])
    );
    assert_eq!(of("entry_page:is:/a|path:is:/b").await, json!([2, 3, 4, 2, 0.5, 480.0]));
    let money = [("filter", "browser:is:Firefox"), ("currency", "EUR")];
    assert_eq!(server.numbers("revenue,transactions,sessions", &money).await, json!([10.0, 1, 1]));
    assert_eq!(
        server.numbers("new_visitors,returning_visitors", &[("filter", "entry_page:is:/a")]).await,
        json!([0, 1])
    );
    assert_eq!(
        server.rows("path", "visitors,sessions", &[("filter", "browser:exists_not")]).await,
        json!([["/b", 2, 2], ["/", 1, 1], ["/a", 1, 1]])
    );
}

#[tokio::test]
async fn a_session_is_asked_for_by_what_its_client_calls_it_too() {
    // Two tabs of Ada's at the same time, each a session of the client's, and an event outside of both.
    let tab =
        |id: &str, at: &str, path: &str| Event { session_id: Some(id.into()), ..event("ada", at, "page_view", path) };
    let events = [
        tab("one/1", "2026-03-10T09:00:00Z", "/a"),
        tab("two", "2026-03-10T09:00:01Z", "/b"),
        tab("one/1", "2026-03-10T11:00:00Z", "/c"),
        event("ada", "2026-03-10T09:00:02Z", "page_view", "/d"),
    ];
    let server = served(&events[..2], &events[2..], "2026-03-10T12:00:00Z").await;
    let list = server.get("sessions", &[("site", "shop")]).await;
    assert_eq!(list["total_rows"], 3, "{list}");
    let mut timelines = Vec::new();
    for session in list["results"].as_array().unwrap() {
        let id = session["id"].as_str().unwrap().replace('/', "%2F");
        let timeline = server.get(&format!("sessions/{id}"), &[("site", "shop")]).await;
        assert_eq!(timeline["session"]["id"], session["id"]);
        let paths: Vec<&str> =
            timeline["events"].as_array().unwrap().iter().map(|event| event["path"].as_str().unwrap()).collect();
        timelines.push(format!("{} {}", session["duration_s"], paths.join(" ")));
    }
    assert_eq!(timelines, ["0 /d", "0 /b", "7200 /a /c"]);
    assert_eq!(server.numbers("sessions,duration_s_mean", &[("filter", "path:is:/c")]).await, json!([1, 7200.0]));
}

#[tokio::test]
async fn sessions_are_listed_and_shown_one_by_one() {
    let server = shop().await;
    let list = server.get("sessions", &[("site", "shop"), ("limit", "2")]).await;
    assert_eq!(list["total_rows"], 4);
    let carl = &list["results"][0];
    for (name, value) in [
        ("started_at", json!("2026-03-31T11:00:00+02:00")),
        ("ended_at", json!("2026-03-31T11:10:00+02:00")),
        ("duration_s", json!(600)),
        ("events", json!(3)),
        ("page_views", json!(1)),
        ("engaged_s", json!(15)),
        ("is_bounce", json!(false)),
        ("entry_page", json!("/")),
        ("browser", json!("Firefox")),
        ("revenue", json!(10.0)),
        ("currency", json!("EUR")),
        ("site", json!("shop")),
    ] {
        assert_eq!(carl[name], value, "{name}");
    }
    let id = carl["id"].as_str().unwrap();
    let timeline = server.get(&format!("sessions/{id}"), &[]).await;
    let names: Vec<&Json> = timeline["events"].as_array().unwrap().iter().map(|event| &event["name"]).collect();
    assert_eq!(names, ["page_view", "object_in_view", "purchase"]);
    assert_eq!(timeline["total_events"], 3);
    assert_eq!(timeline["events"][2]["properties"], json!({ "plan": "pro", "items": 3 }));
    assert_eq!(timeline["events"][2]["occurred_at"], "2026-03-31T11:10:00+02:00", "in the zone that all sites have");

    let of_ada = server.get("sessions", &[("site", "shop"), ("filter", "name:is:login")]).await;
    assert_eq!((of_ada["total_rows"].clone(), of_ada["results"][0]["page_views"].clone()), (json!(1), json!(2)));
    let visitor = of_ada["results"][0]["visitor"].as_str().unwrap();
    let her_id = of_ada["results"][0]["id"].as_str().unwrap();
    let hers = server.get(&format!("sessions/{her_id}"), &[("site", "shop")]).await;
    assert_eq!((hers["session"]["user_id"].clone(), hers["events"].as_array().unwrap().len()), (json!("ada"), 3));
    let of_visitor = server.get("sessions", &[("visitor", visitor), ("date_range", "2mo")]).await;
    assert_eq!(of_visitor["total_rows"], 2, "anonymously in February, too");
    let missing = server.get_as(TOKEN, "sessions/5.1774687800000000", &[]).await;
    assert_eq!(
        (missing.0, missing.2["message"].as_str().unwrap().starts_with("there is no session 5.17746")),
        (404, true)
    );
    let blog = server.key_of(&["blog"]).await;
    assert_eq!(
        server.get_as(&blog, &format!("sessions/{id}"), &[]).await.0,
        404,
        "another site's session is not there"
    );
}

#[tokio::test]
async fn people_are_listed_with_their_first_and_last_visit() {
    let server = shop().await;
    let list = server.get("visitors", &[("site", "shop")]).await;
    let shown: Vec<Json> = list["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["user_id"], one["first_seen_at"], one["last_seen_at"], one["events"], one["sessions"]]))
        .collect();
    assert_eq!(
        shown,
        [
            json!([null, "2026-03-31T11:00:00+02:00", "2026-03-31T11:10:00+02:00", 3, 1]),
            json!(["bob", "2026-03-29T23:30:00+02:00", "2026-03-30T00:30:00+02:00", 2, 2]),
            json!(["ada", "2026-02-10T11:00:00+01:00", "2026-03-29T00:06:00+01:00", 4, 2]),
        ]
    );
    let found = server.get("visitors", &[("site", "shop"), ("search", "AD")]).await;
    assert_eq!((&found["total_rows"], &found["results"][0]["user_id"]), (&json!(1), &json!("ada")));
    let firefox = server.get("visitors", &[("site", "shop"), ("filter", "browser:is:Firefox")]).await;
    assert_eq!(firefox["total_rows"], 1);
    let sorted = server.get("visitors", &[("site", "shop"), ("order_by", "events:desc"), ("limit", "1")]).await;
    assert_eq!((&sorted["total_rows"], &sorted["results"][0]["user_id"]), (&json!(3), &json!("ada")));
}

#[tokio::test]
async fn steps_of_a_funnel_come_one_after_the_other() {
    let server = shop().await;
    let funnel = async |parameters: &[(&str, &str)]| {
        let answer = server.get("funnel", &[&[("site", "shop")], parameters].concat()).await;
        let steps = answer["steps"].as_array().unwrap().iter().map(|step| step["visitors"].clone());
        (steps.collect::<Json>(), answer["conversion"].clone())
    };
    let steps = [("step", "path:is:/,/a"), ("step", "path:is:/b")];
    assert_eq!(funnel(&steps).await, (json!([3, 2]), json!(2.0 / 3.0)));
    assert_eq!(funnel(&[&steps[..], &[("step", "name:is:login")]].concat()).await.0, json!([3, 2, 1]));
    assert_eq!(funnel(&[&steps[..], &[("window", "30m")]].concat()).await.0, json!([3, 1]));
    assert_eq!(funnel(&[("step", "name:is:login"), ("step", "path:is:/a")]).await, (json!([1, 0]), json!(0.0)));
    assert_eq!(funnel(&[&steps[..], &[("filter", "browser:exists_not")]].concat()).await.0, json!([2, 2]));
    assert_eq!(funnel(&[("step", "entry_page:is:/"), ("step", "name:is:purchase")]).await.0, json!([2, 1]));
    let compared = server.get("funnel", &[&steps[..], &[("compare", "previous_period")]].concat()).await;
    assert_eq!(compared["comparison"]["steps"][0]["visitors"], 1, "{compared}");
    let body = json!({ "site": "shop", "steps": ["path:is:/,/a", ["is", "path", ["/b"]]] });
    assert_eq!(server.post("funnel", &body).await.2["steps"][1]["visitors"], 2);
}

#[tokio::test]
async fn retention_is_that_of_the_metrics() {
    let server = shop().await;
    let cohorts = async |parameters: &[(&str, &str)]| {
        let answer = server.get("retention", &[&[("site", "shop")], parameters].concat()).await;
        let cohort = |cohort: &Json| {
            let periods = cohort["periods"].as_array().unwrap().iter();
            let periods = periods.map(|one| json!([one["period"], one["visitors"], one["retention"]]));
            json!([cohort["cohort"], cohort["visitors"], periods.collect::<Vec<_>>()])
        };
        answer["cohorts"].as_array().unwrap().iter().map(cohort).collect::<Json>()
    };
    let weeks = json!([["2026-03-23", 1, [[0, 1, 1.0], [1, 1, 1.0]]], ["2026-03-30", 1, [[0, 1, 1.0]]]]);
    assert_eq!(cohorts(&[]).await, weeks);
    let days = json!([["2026-03-29", 1, [[0, 1, 1.0], [1, 1, 1.0], [2, 0, 0.0]]], ["2026-03-31", 1, [[0, 1, 1.0]]]]);
    assert_eq!(cohorts(&[("interval", "day")]).await, days);
    let months = json!([["2026-02-01", 1, [[0, 1, 1.0], [1, 1, 1.0]]], ["2026-03-01", 2, [[0, 2, 1.0]]]]);
    assert_eq!(cohorts(&[("interval", "month"), ("date_range", "12mo")]).await, months);
    let on_b = json!([["2026-03-23", 1, [[0, 1, 1.0], [1, 0, 0.0]]], ["2026-03-30", 1, [[0, 1, 1.0]]]]);
    assert_eq!(cohorts(&[("filter", "path:is:/b")]).await, on_b);
}

#[tokio::test]
async fn paths_are_pages_that_follow_one_another() {
    let view =
        |who: &str, minute: u32, path: &str| event(who, &format!("2026-03-10T09:{minute:02}:00Z"), "page_view", path);
    let events = [
        view("ada", 0, "/"),
        view("ada", 1, "/"),
        view("ada", 2, "/pricing"),
        view("ada", 3, "/signup"),
        view("bob", 0, "/"),
        view("bob", 1, "/blog"),
        view("carl", 0, "/"),
        view("dora", 0, "/pricing"),
        view("dora", 1, "/"),
    ];
    let server = served(&events[..4], &events[4..], "2026-03-10T12:00:00Z").await;
    let answer = server.get("paths", &[("site", "shop"), ("steps", "2")]).await;
    let expected = json!([
        { "step": 1, "sessions": 4, "pages": [
            { "path": "/", "sessions": 3, "exits": 1 }, { "path": "/pricing", "sessions": 1, "exits": 0 },
        ] },
        { "step": 2, "sessions": 3, "pages": [
            { "path": "/", "sessions": 1, "exits": 1 }, { "path": "/blog", "sessions": 1, "exits": 1 },
            { "path": "/pricing", "sessions": 1, "exits": 0 },
        ] },
    ]);
    assert_eq!(answer["steps"], expected);
    let links = json!([
        { "step": 1, "from": "/", "to": "/blog", "sessions": 1 },
        { "step": 1, "from": "/", "to": "/pricing", "sessions": 1 },
        { "step": 1, "from": "/pricing", "to": "/", "sessions": 1 },
    ]);
    assert_eq!(answer["links"], links);
    let started = server.get("paths", &[("site", "shop"), ("start", "/pricing")]).await;
    let first = json!({ "step": 1, "sessions": 2, "pages": [{ "path": "/pricing", "sessions": 2, "exits": 0 }] });
    assert_eq!(started["steps"][0], first);
    let few = server.get("paths", &[("site", "shop"), ("steps", "2"), ("limit", "1")]).await;
    let others = json!([{ "path": "/", "sessions": 1, "exits": 1 }, { "path": null, "sessions": 2, "exits": 1 }]);
    assert_eq!(few["steps"][1]["pages"], others);
    let chosen = server.get("paths", &[("site", "shop"), ("filter", "path:is:/signup")]).await;
    let sessions: Vec<&Json> = chosen["steps"].as_array().unwrap().iter().map(|step| &step["sessions"]).collect();
    assert_eq!(sessions, [&json!(1), &json!(1), &json!(1), &json!(0)]);
}

#[tokio::test]
async fn the_last_minutes_are_counted_with_what_is_pending() {
    let views = [
        event("ada", "2026-03-31T09:29:59Z", "page_view", "/"),
        event("ada", "2026-03-31T09:30:00Z", "page_view", "/"),
        event("bob", "2026-03-31T09:54:59Z", "page_view", "/"),
        event("bob", "2026-03-31T09:55:00Z", "page_view", "/"),
        event("~c", "2026-03-31T09:59:59Z", "signup", "/"),
    ];
    let server = served(&views[..2], &views[2..], "2026-03-31T10:00:00Z").await;
    let live = server.get("live", &[("site", "shop")]).await;
    assert_eq!(live["metrics"], json!({ "visitors": 2, "page_views": 1, "events": 2 }));
    let realtime = server.get("realtime", &[("site", "shop")]).await;
    assert_eq!(realtime["metrics"], json!({ "visitors": 3, "page_views": 3, "events": 4 }));
    let minutes = realtime["results"].as_array().unwrap();
    let views: Vec<u64> = minutes.iter().map(|one| one["metrics"]["page_views"].as_u64().unwrap()).collect();
    let mut expected = vec![0; 30];
    (expected[0], expected[24], expected[25]) = (1, 1, 1);
    assert_eq!(views, expected);
    assert_eq!(minutes[0]["from"], "2026-03-31T11:30:00+02:00");
    pend(&server.lake, &[event("~d", "2026-03-31T09:59:59.5Z", "page_view", "/")]).await;
    assert_eq!(server.get("live", &[("site", "shop")]).await["metrics"]["visitors"], 3, "at once");
}

#[tokio::test]
async fn an_answer_is_kept_while_no_event_comes_and_sessions_are_what_they_were() {
    let server = shop().await;
    let found = async |server: &Stats| {
        let (_, headers, answer) = server.get_as(TOKEN, "aggregate", &[("site", "shop")]).await;
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        (header("x-cache"), header("etag"), answer["metrics"]["sessions"].clone())
    };
    let (first, again) = (found(&server).await, found(&server).await);
    assert_eq!((first.0.as_str(), again.0.as_str(), &first.1), ("miss", "hit", &again.1));
    assert_eq!((&first.2, &again.2), (&json!(4), &json!(4)));
    let uri = "/v1/stats/aggregate?site=shop";
    let request = axum::http::Request::get(uri).header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(server.send(request.header("if-none-match", &first.1), axum::body::Body::empty()).await.0, 304);
    pend(&server.lake, &[event_of("shop", "eve", "2026-03-31T09:59:00Z", "page_view", "/")]).await;
    let later = found(&server).await;
    assert_eq!((later.0.as_str(), &later.2), ("miss", &json!(5)));
    server.lake.change_site("shop", |settings| settings.session_gap_s = 3_600).await.unwrap();
    let longer = found(&server).await;
    assert_eq!((longer.0.as_str(), &longer.2), ("miss", &json!(4)), "Bob's two sessions are one");
}
