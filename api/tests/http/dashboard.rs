//! The dashboard's files, and what it asks first: which sites there are, and how the lake is.

use axum::http::StatusCode;
use lake::Lake;
use serde_json::{Value as Json, json};

use crate::{append, body, get, noon, server};

const TOKEN: &str = "token of the whole lake";

#[tokio::test]
async fn the_page_is_open_and_what_it_shows_is_not() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let server = server(&lake, queries.path());
    for uri in ["/dashboard/", "/dashboard/sessions?site=shop"] {
        let page = get(&server, uri, None, Some(TOKEN)).await;
        assert_eq!(page.status(), StatusCode::OK, "{uri}");
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers()["cache-control"], "no-cache");
    }
    let person = get(&server, "/", Some(("accept", "text/html,*/*;q=0.8")), Some(TOKEN)).await;
    assert_eq!(
        (person.status(), person.headers()["location"].as_bytes()),
        (StatusCode::SEE_OTHER, &b"/dashboard/"[..])
    );
    let program = body(get(&server, "/", None, Some(TOKEN)).await).await;
    assert_eq!(program["service"], "dewpond analytics");
    for uri in ["/v1/sites", "/v1/lake", "/metrics"] {
        assert_eq!(get(&server, uri, None, Some(TOKEN)).await.status(), StatusCode::UNAUTHORIZED, "{uri}");
    }
    assert_eq!(get(&server, "/dashboard/none.js", None, None).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_key_learns_of_its_sites_alone_and_not_how_the_lake_is() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    for site in ["shop", "blog"] {
        lake.add_site(site, noon()).await.unwrap();
    }
    append(&lake, "shop", 0..3).await;
    let server = server(&lake, queries.path());
    let key = lake.add_read_key(&["blog".to_owned()], "", noon()).await.unwrap().read_key;
    let ids =
        |sites: Json| sites["results"].as_array().unwrap().iter().map(|site| site["id"].clone()).collect::<Json>();

    let bearer = format!("Bearer {key}");
    let sites = body(get(&server, "/v1/sites", Some(("authorization", &bearer)), Some(TOKEN)).await).await;
    assert_eq!(sites["results"][0]["settings"]["time_zone"], "UTC");
    assert_eq!(ids(sites), json!(["blog"]));
    let refused = get(&server, "/v1/lake", Some(("authorization", &bearer)), Some(TOKEN)).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);

    let bearer = format!("Bearer {TOKEN}");
    let sites = body(get(&server, "/v1/sites", Some(("authorization", &bearer)), Some(TOKEN)).await).await;
    assert_eq!(ids(sites), json!(["shop", "blog"]));
    let health = body(get(&server, "/v1/lake", Some(("authorization", &bearer)), Some(TOKEN)).await).await;
    assert_eq!(health["pending"]["files"], 1);
    assert_eq!(health["events"]["rows"], 0);
    let unknown = get(&server, "/v1/lake?site=shop", Some(("authorization", &bearer)), Some(TOKEN)).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
}
