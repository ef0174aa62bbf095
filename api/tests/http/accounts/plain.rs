//! Pages without scripts, and pages of others that show a share in a frame.

use axum::body::to_bytes;

use super::*;

async fn page(server: &Stats, path: &str, brings: &Brings) -> (u16, HeaderMap, String) {
    let mut request = Request::get(path).header("host", HOST);
    match brings {
        Brings::Nothing => {}
        Brings::Bearer(token) => request = request.header("authorization", format!("Bearer {token}")),
        Brings::Cookies(cookies) => request = request.header("cookie", cookies),
    }
    let routes = api::router(server.api.clone(), Some(TOKEN.to_owned()));
    let answer = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = to_bytes(answer.into_body(), 1 << 22).await.unwrap();
    (status, headers, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn the_numbers_are_there_without_scripts_for_whoever_may_see_them() {
    let server = shop().await;
    let ada = ada(&server).await;
    let own = Brings::Cookies(ada.cookies.clone());
    let (status, headers, text) = page(&server, "/dashboard/numbers?site=shop", &own).await;
    assert_eq!(status, 200, "{text}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("script"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    // Ada, Bob and Carl in the last 30 days, and the page that most saw.
    for there in [r#"<dd class="number-value">3</dd>"#, ">/b</th>", ">Germany</th>", "Last 30 days"] {
        assert!(text.contains(there), "{there}: {text}");
    }
    assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
    // The first of one's own sites, where none is named.
    assert_eq!(page(&server, "/dashboard/numbers", &own).await.0, 200);
    let bob = bob(&server, &ada).await;
    let others = Brings::Cookies(bob.cookies.clone());
    let (status, _, text) = page(&server, "/dashboard/numbers?site=shop", &others).await;
    assert_eq!(status, 404, "{text}");
    let (status, _, text) = page(&server, "/dashboard/numbers?site=%3Cscript%3E", &others).await;
    assert!(status == 404 && !text.contains("<script"), "{text}");
    let (status, _, text) = page(&server, "/dashboard/numbers?site=shop", &Brings::Nothing).await;
    assert!(status == 401 && text.contains("Sign in first"), "{text}");

    // A link shows its part, whoever opens it, and one with a password none.
    let sent = json!({ "name": "Germans", "filters": [["is", "country", ["DE"]]] });
    let share = as_page(&server, "POST", "/v1/sites/shop/shares", &ada, sent).await.body;
    let link = format!("/dashboard/numbers?share={}", share["token"].as_str().unwrap());
    for brings in [&Brings::Nothing, &others] {
        let (status, headers, text) = page(&server, &link, brings).await;
        assert_eq!((status, headers["referrer-policy"].as_bytes()), (200, &b"no-referrer"[..]));
        assert!(text.contains(r#"<dd class="number-value">1</dd>"#) && !text.contains("<option"), "{text}");
    }
    assert_eq!(page(&server, &format!("{link}&site=blog"), &Brings::Nothing).await.0, 404);
    assert_eq!(page(&server, "/dashboard/numbers?share=dps_1", &own).await.0, 401);
    let sent = json!({ "name": "Closed", "password": "open sesame, please" });
    let closed = as_page(&server, "POST", "/v1/sites/shop/shares", &ada, sent).await.body;
    let link = format!("/dashboard/numbers?share={}", closed["token"].as_str().unwrap());
    assert_eq!(page(&server, &link, &Brings::Nothing).await.0, 401);
}

#[tokio::test]
async fn a_page_shows_a_share_in_a_frame_if_the_share_names_it() {
    let server = shop().await;
    let ada = ada(&server).await;
    let sent = json!({ "name": "For us", "origins": ["https://WWW.example.com/", "http://localhost:3000"] });
    let share = as_page(&server, "POST", "/v1/sites/shop/shares", &ada, sent).await;
    assert_eq!(share.status, 201, "{}", share.body);
    let origins = json!(["http://localhost:3000", "https://www.example.com"]);
    assert_eq!(share.body["origins"], origins);
    let (id, token) = (share.body["id"].as_str().unwrap(), share.body["token"].as_str().unwrap());
    let shown = |address: String| {
        let server = &server;
        async move {
            let (status, headers, _) = page(server, &address, &Brings::Nothing).await;
            assert_eq!(status, 200);
            let policy = headers["content-security-policy"].to_str().unwrap().to_owned();
            (policy.split("frame-ancestors ").nth(1).unwrap().to_owned(), headers.contains_key("x-frame-options"))
        }
    };
    let named = "http://localhost:3000 https://www.example.com".to_owned();
    assert_eq!(shown(format!("/dashboard/?embed={id}&theme=dark")).await, (named, false));
    let nobody = || ("'none'".to_owned(), true);
    for other in [String::new(), format!("?embed={token}"), "?embed=".into(), "?embed=%0d%0aa:b".into()] {
        assert_eq!(shown(format!("/dashboard/{other}")).await, nobody(), "{other}");
    }
    // Other pages of the dashboard are in no frame, and neither is one whose link has ended.
    assert_eq!(shown(format!("/dashboard/account?embed={id}")).await, nobody());
    let path = format!("/v1/sites/shop/shares/{id}");
    let mut ended = json!({ "name": "For us", "origins": origins, "expires_at": "2026-03-01T00:00:00Z", "version": 1 });
    assert_eq!(as_page(&server, "PUT", &path, &ada, ended.clone()).await.status, 200);
    assert_eq!(shown(format!("/dashboard/?embed={id}")).await, nobody());
    ended["origins"] = json!(["https://*.example.com"]);
    assert_eq!(as_page(&server, "PUT", &path, &ada, ended).await.status, 400);
}

#[tokio::test]
async fn destinations_and_imports_are_seen_by_members_and_paused_by_editors() {
    let server = shop().await;
    let ada = ada(&server).await;
    let spec = lake::DestinationSpec {
        name: "crm".into(),
        site_id: "shop".into(),
        created_at: chrono::DateTime::UNIX_EPOCH,
        target: lake::Target::Webhook {
            url: "https://hooks.example.com/secret".into(),
            secret_variable: None,
            token_variable: None,
        },
        filter: None,
        consent: None,
        fields: Default::default(),
        events_per_second_max: None,
        paused: false,
    };
    server.lake.add_destination(&spec).await.unwrap();
    let run = lake::ImportRun { accepted: 7, refused: 1, reasons: vec![("no name".into(), 1)], ..Default::default() };
    server.lake.note_import("shop", &run).await.unwrap();
    let vic = invited(&server, &ada, "vic@example.com", "viewer").await;
    let bob = bob(&server, &ada).await;
    let (destinations, imports) = ("/v1/sites/shop/destinations", "/v1/sites/shop/imports");
    for (person, status) in [(&ada, 200), (&vic, 200), (&bob, 404)] {
        for path in [destinations, imports] {
            assert_eq!(as_page(&server, "GET", path, person, Json::Null).await.status, status, "{path}");
        }
    }
    let seen = as_page(&server, "GET", destinations, &vic, Json::Null).await.body;
    assert_eq!(
        (&seen["results"][0]["state"], &seen["results"][0]["target"]),
        (&json!("not_begun"), &json!("hooks.example.com"))
    );
    let seen = as_page(&server, "GET", imports, &vic, Json::Null).await.body;
    assert_eq!(
        (&seen["results"][0]["accepted"], &seen["results"][0]["reasons"][0]["reason"]),
        (&json!(7), &json!("no name"))
    );
    let path = "/v1/sites/shop/destinations/crm";
    for (person, status) in [(&vic, 403), (&bob, 404), (&ada, 200)] {
        let sent = json!({ "paused": true });
        assert_eq!(as_page(&server, "PATCH", path, person, sent).await.status, status);
    }
    assert!(server.lake.destinations().await.unwrap()[0].paused);
    // Another site's, by the name of one's own site.
    server.lake.give_site("blog", Some(&ada.organisation)).await.unwrap();
    let beside = as_page(&server, "PATCH", "/v1/sites/blog/destinations/crm", &ada, json!({ "paused": false })).await;
    assert_eq!(beside.status, 404);
    let sent = json!({ "name": "Link" });
    let share = as_page(&server, "POST", "/v1/sites/shop/shares", &ada, sent).await.body;
    let link = Brings::Bearer(share["token"].as_str().unwrap().into());
    for path in [destinations, imports] {
        assert_eq!(send(&server, "GET", path, &link, &[], Json::Null).await.status, 403, "{path}");
    }
}
