//! What somebody tries who is not signed in, or is, as another.

use super::*;

#[tokio::test]
async fn beyond_this_machine_nobody_becomes_the_first_owner_by_coming_first() {
    let server = shop().await;
    let sent = json!({ "email": "eve@example.com", "password": PASSWORD });
    for brings in [Brings::Nothing, Brings::Bearer("guess".into()), Brings::Bearer(server.key().await)] {
        let refused = send(&server, "POST", "/v1/auth/register", &brings, &[], sent.clone()).await;
        assert_eq!(refused.status, 403, "{brings:?}: {}", refused.body);
    }
    ada(&server).await;
    let again = send(&server, "POST", "/v1/auth/register", &Brings::Bearer(TOKEN.into()), &[], sent).await;
    assert_eq!(again.status, 409, "not even the operator makes a second first one");
}

/// A page of another origin has a browser send what it likes, with the cookies of whoever looks at it.
#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_signs_nobody_in_or_out() {
    let server = shop().await;
    let ada = ada(&server).await;
    let login = json!({ "email": "ada@example.com", "password": PASSWORD });
    let site = "/v1/sites/shop";
    let cookies = Brings::Cookies(ada.cookies.clone());
    let operator = Brings::Bearer(TOKEN.into());
    for (method, path, brings, headers, sent, status) in [
        ("PATCH", site, &cookies, &[("sec-fetch-site", "cross-site")][..], json!({ "cookieless": false }), 403),
        ("PATCH", site, &cookies, &[("sec-fetch-site", "same-site")], json!({ "cookieless": false }), 403),
        ("PATCH", site, &cookies, &[("origin", "https://evil.example")], json!({ "cookieless": false }), 403),
        ("PATCH", site, &cookies, &[("origin", "null")], json!({ "cookieless": false }), 403),
        ("PATCH", site, &cookies, &[], json!({ "cookieless": false }), 403),
        ("PATCH", site, &cookies, &[("origin", "https://dewpond.example")], json!({}), 200),
        ("PATCH", site, &cookies, &[("sec-fetch-site", "same-origin")], json!({}), 200),
        ("POST", "/v1/sql", &cookies, &[("sec-fetch-site", "cross-site")], json!({ "sql": "SELECT 1" }), 403),
        ("POST", "/v1/stats/aggregate", &cookies, &[("origin", "https://evil.example")], json!({}), 403),
        ("POST", "/v1/auth/login", &Brings::Nothing, &[("sec-fetch-site", "cross-site")], login.clone(), 403),
        ("POST", "/v1/auth/login", &Brings::Nothing, &[("origin", "https://evil.example")], login.clone(), 403),
        ("POST", "/v1/auth/login", &Brings::Nothing, &[], login, 200),
        ("POST", "/v1/auth/logout", &cookies, &[("sec-fetch-site", "cross-site")], json!({}), 403),
        ("POST", "/v1/auth/logout", &cookies, &[("sec-fetch-site", "same-site")], json!({ "refresh_token": "x" }), 204),
        ("POST", "/v1/auth/refresh", &cookies, &[("sec-fetch-site", "cross-site")], json!({}), 403),
        ("POST", "/v1/auth/logout-everywhere", &cookies, &[("sec-fetch-site", "cross-site")], json!({}), 403),
        // Whoever brings a secret that no browser adds may come from anywhere.
        ("PATCH", site, &operator, &[("origin", "https://evil.example")], json!({}), 200),
        ("GET", "/v1/me", &cookies, &[("sec-fetch-site", "cross-site")], Json::Null, 200),
    ] {
        let answer = send(&server, method, path, brings, headers, sent).await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}: {}", answer.body);
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "no page of another origin reads it");
    }
    let settings = &as_page(&server, "GET", site, &ada, Json::Null).await.body["settings"];
    assert_eq!(settings["cookieless"], true);
}

#[tokio::test]
async fn a_browser_that_signs_in_gets_tokens_that_nobody_knew() {
    let server = shop().await;
    ada(&server).await;
    let login = json!({ "email": "ada@example.com", "password": PASSWORD });
    let sign_in = |brings: Brings| {
        let (server, login) = (&server, login.clone());
        async move { send(server, "POST", "/v1/auth/login", &brings, &[], login).await }
    };
    // Somebody planted his own sign-in, or one that he made up.
    let planted = cookies_of(&sign_in(Brings::Nothing).await);
    let made_up = format!("__Host-dewpond_access=dpa_{}", "0".repeat(136));
    for planted in [planted.clone(), made_up] {
        let answer = sign_in(Brings::Cookies(planted.clone())).await;
        let fresh = cookies_of(&answer);
        for pair in planted.split("; ") {
            assert!(!fresh.contains(pair), "what was planted is not used");
        }
        let me = send(&server, "GET", "/v1/me", &Brings::Cookies(planted), &[], Json::Null).await;
        assert_eq!(me.status, 401, "and ends");
        let me = send(&server, "GET", "/v1/me", &Brings::Cookies(fresh), &[], Json::Null).await;
        assert_eq!(me.status, 200);
    }
    // A cookie that a sibling domain can set, without the prefix, is none.
    let sibling = planted.replace("__Host-", "");
    assert_eq!(send(&server, "GET", "/v1/me", &Brings::Cookies(sibling), &[], Json::Null).await.status, 401);
}

#[tokio::test]
async fn no_answer_tells_who_has_an_account() {
    let server = shop().await;
    let ada = ada(&server).await;
    let mut seen = vec![];
    for (email, password) in [("ada@example.com", "wrong horse battery"), ("eve@example.com", PASSWORD), ("x", "")] {
        let sent = json!({ "email": email, "password": password });
        let refused = send(&server, "POST", "/v1/auth/login", &Brings::Nothing, &[], sent).await;
        let headers: Vec<&str> = refused.headers.keys().map(|name| name.as_str()).collect();
        seen.push((refused.status, refused.body, format!("{headers:?}")));
    }
    assert_eq!(seen[0].0, 401);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    // Nor does registering, to whoever has no invitation.
    let mut seen = vec![];
    for email in ["ada@example.com", "eve@example.com"] {
        let sent = json!({ "email": email, "password": PASSWORD, "invitation": "dpi_guess" });
        let refused = send(&server, "POST", "/v1/auth/register", &Brings::Nothing, &[], sent).await;
        seen.push((refused.status, refused.body));
    }
    assert_eq!(seen[0], seen[1]);
    // An invitation for an address says nothing of whether that has an account.
    let path = format!("/v1/organisations/{}/invitations", ada.organisation);
    for email in ["ada@example.com", "eve@example.com"] {
        let sent = json!({ "role": "viewer", "email": email });
        assert_eq!(as_page(&server, "POST", &path, &ada, sent).await.status, 201);
    }
}

#[tokio::test]
async fn who_guesses_is_told_to_wait() {
    let server = shop().await;
    ada(&server).await;
    let sent = json!({ "email": "ada@example.com", "password": "wrong" });
    let mut last = send(&server, "POST", "/v1/auth/login", &Brings::Nothing, &[], sent.clone()).await;
    for _ in 0..10 {
        last = send(&server, "POST", "/v1/auth/login", &Brings::Nothing, &[], sent.clone()).await;
    }
    assert_eq!(last.status, 429, "{}", last.body);
    assert!(last.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
}

/// What is another organisation's is answered word for word as what is not there.
#[tokio::test]
async fn what_is_anothers_is_as_if_it_were_not_there() {
    let server = shop().await;
    let ada = ada(&server).await;
    let bob = bob(&server, &ada).await;
    let goal = json!({ "name": "Buy", "kind": "event", "value": "purchase" });
    let goal =
        as_page(&server, "POST", "/v1/sites/shop/goals", &ada, goal).await.body["id"].as_str().unwrap().to_owned();
    let keys = as_page(&server, "GET", "/v1/sites/shop/keys", &ada, Json::Null).await.body;
    let prefix = keys["results"][0]["prefix"].as_str().unwrap().to_owned();
    let ada_id =
        as_page(&server, "GET", "/v1/me", &ada, Json::Null).await.body["user"]["id"].as_str().unwrap().to_owned();
    let (shop, nobody) = (ada.organisation.clone(), "0".repeat(32));
    let name = json!({ "name": "Mine" });
    for (method, path, sent) in [
        ("GET", "/v1/organisations/ORG".to_owned(), Json::Null),
        ("PATCH", "/v1/organisations/ORG".into(), name.clone()),
        ("GET", "/v1/organisations/ORG/members".into(), Json::Null),
        ("PATCH", format!("/v1/organisations/ORG/members/{ada_id}"), json!({ "role": "viewer" })),
        ("DELETE", format!("/v1/organisations/ORG/members/{ada_id}"), Json::Null),
        ("GET", "/v1/organisations/ORG/invitations".into(), Json::Null),
        ("POST", "/v1/organisations/ORG/invitations".into(), json!({ "role": "owner" })),
        ("GET", "/v1/organisations/ORG/sites".into(), Json::Null),
        ("POST", "/v1/organisations/ORG/sites".into(), json!({ "id": "new" })),
        ("GET", "/v1/organisations/ORG/keys".into(), Json::Null),
        ("POST", "/v1/organisations/ORG/keys".into(), json!({ "sites": ["shop"] })),
        ("DELETE", "/v1/organisations/ORG/keys/dpr_12345678".into(), Json::Null),
        ("GET", "/v1/sites/SITE".into(), Json::Null),
        ("PATCH", "/v1/sites/SITE".into(), json!({ "cookieless": false })),
        ("GET", "/v1/sites/SITE/keys".into(), Json::Null),
        ("POST", "/v1/sites/SITE/keys".into(), json!({})),
        ("DELETE", format!("/v1/sites/SITE/keys/{prefix}"), Json::Null),
        ("GET", "/v1/sites/SITE/goals".into(), Json::Null),
        ("POST", "/v1/sites/SITE/goals".into(), json!({ "name": "x", "kind": "event", "value": "x" })),
        ("GET", format!("/v1/sites/SITE/goals/{goal}"), Json::Null),
        ("DELETE", format!("/v1/sites/SITE/goals/{goal}"), Json::Null),
        ("GET", "/v1/sites/SITE/shares".into(), Json::Null),
        ("GET", "/v1/stats/aggregate?site=SITE".into(), Json::Null),
        ("GET", "/v1/stats/goals?site=SITE".into(), Json::Null),
        ("GET", "/metrics?site=SITE".into(), Json::Null),
        ("GET", "/metrics/history?metric=events&site=SITE".into(), Json::Null),
        ("GET", "/visits?site=SITE".into(), Json::Null),
        ("POST", "/v1/sql?site=SITE".into(), json!({ "sql": "SELECT count(*) FROM events" })),
    ] {
        let with = |org: &str, site: &str, text: &str| text.replace("ORG", org).replace("SITE", site);
        let asked = |org: &str, site: &str| {
            let (path, sent) = (with(org, site, &path), with(org, site, &sent.to_string()));
            let (server, bob) = (&server, &bob);
            async move { as_page(server, method, &path, bob, serde_json::from_str(&sent).unwrap()).await }
        };
        let (anothers, nowhere) = (asked(&shop, "shop").await, asked(&nobody, "zoo").await);
        assert_eq!(anothers.status, 404, "{method} {path}: {}", anothers.body);
        let blank =
            |answer: &Answer, org: &str, site: &str| answer.body.to_string().replace(org, "ORG").replace(site, "SITE");
        assert_eq!(nowhere.status, 404, "{method} {path}");
        assert_eq!(blank(&anothers, &shop, "shop"), blank(&nowhere, &nobody, "zoo"), "{method} {path}");
    }
    // And nothing was done.
    let kept = as_page(&server, "GET", "/v1/sites/shop/goals", &ada, Json::Null).await.body;
    assert_eq!(kept["results"].as_array().unwrap().len(), 1);
    let sql = json!({ "sql": "SELECT DISTINCT site_id FROM events" });
    let seen = as_page(&server, "POST", "/v1/sql", &bob, sql).await.body;
    assert_eq!(seen["rows"], json!([["blog"]]), "{seen}");
}

#[tokio::test]
async fn what_was_taken_away_opens_nothing_at_once() {
    let server = shop().await;
    let ada = ada(&server).await;
    let cy = invited(&server, &ada, "cy@example.com", "editor").await;
    let path = format!("/v1/organisations/{}/keys", ada.organisation);
    let key = as_page(&server, "POST", &path, &cy, json!({ "name": "grafana", "sites": ["shop"] })).await.body;
    let read_key = key["read_key"].as_str().unwrap().to_owned();
    let numbers = "/v1/stats/aggregate?site=shop&date_range=7d";
    let reads = |brings: Brings| {
        let server = &server;
        async move { send(server, "GET", numbers, &brings, &[], Json::Null).await.status }
    };
    assert_eq!(reads(Brings::Bearer(read_key.clone())).await, 200);
    assert_eq!(reads(Brings::Cookies(cy.cookies.clone())).await, 200);
    let revoke = format!("{path}/{}", key["prefix"].as_str().unwrap());
    assert_eq!(as_page(&server, "DELETE", &revoke, &ada, Json::Null).await.status, 204);
    assert_eq!(as_page(&server, "DELETE", &revoke, &ada, Json::Null).await.status, 404);
    assert_eq!(reads(Brings::Bearer(read_key)).await, 401);

    let me = as_page(&server, "GET", "/v1/me", &cy, Json::Null).await.body;
    let member = format!("/v1/organisations/{}/members/{}", ada.organisation, me["user"]["id"].as_str().unwrap());
    assert_eq!(as_page(&server, "DELETE", &member, &ada, Json::Null).await.status, 204);
    assert_eq!(reads(Brings::Cookies(cy.cookies.clone())).await, 404);
    assert_eq!(as_page(&server, "POST", "/v1/auth/logout", &cy, json!({})).await.status, 204);
    assert_eq!(reads(Brings::Cookies(cy.cookies)).await, 401);
}

impl Stats {
    /// A read key of `shop`.
    async fn key(&self) -> String {
        self.lake.add_read_key(&["shop".to_owned()], "", chrono::DateTime::UNIX_EPOCH).await.unwrap().read_key
    }
}
