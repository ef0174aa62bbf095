//! Requests that are refused, each in words that say what to do.

use serde_json::{Value as Json, json};

use super::{TOKEN, served, shop};

#[tokio::test]
async fn a_request_that_cannot_be_meant_is_refused_with_what_was_probably_meant() {
    let server = shop().await;
    for (path, parameters, words) in [
        ("aggregate", &[("Site", "shop")][..], "there is no parameter \"Site\": write site"),
        ("aggregate", &[("period", "7d")], "there is no parameter \"period\": write date_range"),
        ("aggregate", &[("dimensions", "os")], "there is no parameter \"dimensions\": there is site"),
        ("aggregate", &[("metrics", "vistors")], "there is no metric \"vistors\": did you mean visitors?"),
        ("aggregate", &[("metrics", "pageviews")], "there is no metric \"pageviews\": write page_views"),
        ("aggregate", &[("filter", "brwser:is:x")], "there is no dimension \"brwser\": did you mean browser?"),
        ("aggregate", &[("metrics", "revenue")], "revenue needs a currency"),
        ("aggregate", &[("date_range", "3661d")], "a range has at most 3660 days"),
        ("aggregate", &[("filters", "{}")], "filters are a list of filters"),
        ("timeseries", &[("interval", "minute")], "a series has at most 2000 points, and this one"),
        ("timeseries", &[("interval", "fortnight")], "there is no interval \"fortnight\": there is minute"),
        ("timeseries", &[("limit", "3")], "give dimensions=country"),
        ("timeseries", &[("limit", "21"), ("dimensions", "os")], "limit is a number from 1 to 20"),
        ("breakdown", &[], "name what to tell rows apart by"),
        ("breakdown", &[("dimensions", "os"), ("limit", "1001")], "limit is a number from 1 to 1000"),
        ("breakdown", &[("dimensions", "os"), ("order_by", "country")], "there is no column to order by"),
        ("breakdown", &[("dimensions", "os"), ("minimum", "sessions:1")], "there is no metric in this request"),
        ("funnel", &[("step", "path:is:/")], "a funnel has 2 to 10 steps, and this one 1"),
        ("funnel", &[("step", "path:is:/"), ("step", "x")], "is no filter"),
        ("funnel", &[("step", "path:is:/"), ("step", "path:is:/"), ("window", "soon")], "is no time"),
        ("retention", &[("interval", "hour")], "there is no interval \"hour\""),
        ("retention", &[("interval", "day"), ("date_range", "101d")], "at most 100 periods"),
        ("retention", &[("filter", "entry_page:is:/")], "entry_page is of sessions"),
        ("paths", &[("steps", "1")], "steps is a number from 2 to 10"),
        ("sessions", &[("visitor", "ada")], "is no visitor's id"),
        ("sessions/seven", &[], "\"seven\" is no session's id"),
        ("visitors", &[("order_by", "name")], "there is no column to order visitors by"),
        ("live", &[("date_range", "7d")], "there is no parameter \"date_range\": there is site"),
    ] {
        let (status, _, answer) = server.get_as(TOKEN, path, parameters).await;
        assert_eq!(status, 400, "{path} {parameters:?}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(words), "{path} {parameters:?}: {message}");
    }
    let (status, _, answer) = server.get_as(TOKEN, "agregate", &[]).await;
    assert_eq!(
        (status, answer),
        (404, json!({ "message": "there is no endpoint \"agregate\": did you mean aggregate?" }))
    );
    let (status, _, answer) = server.post("aggregate", &json!(["site"])).await;
    assert_eq!((status, answer["message"].as_str().unwrap().starts_with("the body is no JSON object")), (400, true));
    let (status, _, _) = server.post("aggregate", &json!({ "site": "x".repeat(300 << 10) })).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn whoever_has_a_key_asks_of_his_sites_and_learns_of_no_other() {
    let server = shop().await;
    let (shop, both) = (server.key_of(&["shop"]).await, server.key_of(&["shop", "blog"]).await);
    let visitors = async |key: &str, parameters: &[(&str, &str)]| {
        let (status, _, answer) = server.get_as(key, "aggregate", parameters).await;
        (status, if status == 200 { answer["metrics"]["visitors"].clone() } else { answer["message"].clone() })
    };
    assert_eq!(visitors(&shop, &[]).await, (200, json!(3)));
    assert_eq!(visitors(&both, &[]).await, (200, json!(4)));
    assert_eq!(visitors(&both, &[("site", "blog")]).await, (200, json!(1)));
    assert_eq!(visitors(&both, &[("site", "blog,shop")]).await, (200, json!(4)));
    assert_eq!(visitors(TOKEN, &[("site", "zoo")]).await, (404, json!("there is no site zoo")));
    assert_eq!(visitors(TOKEN, &[("site", "shop,zoo")]).await, (404, json!("there is no site zoo")));
    for sites in ["blog", "shop,blog"] {
        let others = visitors(&shop, &[("site", sites)]).await;
        assert_eq!(others, (404, json!("this key reads no site blog; it reads shop")), "{sites}");
        let none = visitors(&shop, &[("site", &sites.replace("blog", "zoo"))]).await;
        assert_eq!(none.1, json!("this key reads no site zoo; it reads shop"), "{sites}");
    }
    for path in ["breakdown?dimensions=site", "sessions", "visitors", "timeseries?dimensions=site&interval=day"] {
        let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
        let parameters: Vec<(&str, &str)> = parameters.split('&').filter_map(|one| one.split_once('=')).collect();
        let (status, _, answer) = server.get_as(&shop, path, &parameters).await;
        assert_eq!((status, answer.to_string().contains("blog")), (200, false), "{path}: {answer}");
    }
    for wrong in ["", "dpr_nobody", &shop[..20]] {
        let (status, headers, answer) = server.get_as(wrong, "aggregate", &[]).await;
        assert_eq!((status, headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"), "{answer}");
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_or_waits_too_long_is_told_so() {
    use std::time::Duration;

    use api::SqlSettings;
    use engine::QueryLimits;

    let server = served(&[], &[], "2026-03-31T10:00:00Z").await;
    let queries = tempfile::tempdir().unwrap();
    let limits = QueryLimits { timeout: Duration::from_nanos(1), ..QueryLimits::default() };
    let now = "2026-03-31T10:00:00Z".parse().unwrap();
    let api = crate::server_at(&server.lake, queries.path(), limits, SqlSettings::default(), now).api;
    let hasty = super::Stats { lake: server.lake.clone(), api, _queries: queries };
    let (status, headers, answer): (u16, _, Json) = hasty.get_as(TOKEN, "aggregate", &[]).await;
    assert!(status == 503 && headers["retry-after"] == "1" || status == 504, "{status} {answer}");
}
