//! What each may see and do who is signed in.

use super::*;

#[tokio::test]
async fn who_signs_in_hears_who_he_is_and_gets_cookies_that_no_script_sees() {
    let server = shop().await;
    ada(&server).await;
    let login = json!({ "email": "Ada@example.com", "password": PASSWORD });
    let answer = send(&server, "POST", "/v1/auth/login", &Brings::Nothing, &[], login.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let set: Vec<&str> = answer.headers.get_all("set-cookie").into_iter().map(|one| one.to_str().unwrap()).collect();
    assert_eq!(set.len(), 2);
    for (cookie, name, same_site) in
        [(set[0], "__Host-dewpond_access=dpa_", "Lax"), (set[1], "__Host-dewpond_refresh=dpf_", "Strict")]
    {
        assert!(cookie.starts_with(name), "{cookie}");
        for part in ["; HttpOnly", "; Secure", "; Path=/;", &format!("; SameSite={same_site}")] {
            assert!(cookie.contains(part), "{cookie}");
        }
    }
    assert!(!answer.body.to_string().contains("dpa_"), "no token is where a script could read it");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let mut by_program = login;
    by_program["tokens"] = "body".into();
    let answer = send(&server, "POST", "/v1/auth/login", &Brings::Nothing, &[], by_program).await;
    assert!(!answer.headers.contains_key("set-cookie"));
    let bearer = Brings::Bearer(answer.body["access_token"].as_str().unwrap().into());
    let me = send(&server, "GET", "/v1/me", &bearer, &[], Json::Null).await.body;
    assert_eq!(
        (&me["kind"], &me["user"]["email"], &me["sites"][0]["id"], &me["sites"][0]["role"]),
        (&json!("person"), &json!("ada@example.com"), &json!("shop"), &json!("owner"))
    );
    let refreshed = json!({ "refresh_token": answer.body["refresh_token"] });
    let again = send(&server, "POST", "/v1/auth/refresh", &Brings::Nothing, &[], refreshed).await;
    assert_eq!((again.status, again.body["token_type"].as_str()), (200, Some("Bearer")));
}

#[tokio::test]
async fn each_kind_of_caller_hears_what_he_is() {
    let server = shop().await;
    let ada = ada(&server).await;
    let key = server.lake.add_read_key(&["shop".into()], "", chrono::DateTime::UNIX_EPOCH).await.unwrap().read_key;
    for (brings, kind, sites) in [
        (Brings::Bearer(TOKEN.into()), "operator", 2),
        (Brings::Bearer(key), "key", 1),
        (Brings::Cookies(ada.cookies), "person", 1),
    ] {
        let me = send(&server, "GET", "/v1/me", &brings, &[], Json::Null).await;
        assert_eq!((me.status, &me.body["kind"]), (200, &json!(kind)), "{}", me.body);
        assert_eq!(me.body["sites"].as_array().unwrap().len(), sites, "{kind}");
    }
    let nobody = send(&server, "GET", "/v1/me", &Brings::Nothing, &[("host", "x")], Json::Null).await;
    assert_eq!(nobody.status, 401);
}

/// What a viewer, an editor and an owner get, and somebody with a read key.
#[tokio::test]
async fn every_role_may_do_what_it_may() {
    let server = shop().await;
    let ada = ada(&server).await;
    let viewer = invited(&server, &ada, "vi@example.com", "viewer").await;
    let editor = invited(&server, &ada, "ed@example.com", "editor").await;
    let key = server.lake.add_read_key(&["shop".into()], "", chrono::DateTime::UNIX_EPOCH).await.unwrap().read_key;
    let org = &ada.organisation;
    let goal = |name: &str| json!({ "name": name, "kind": "event", "value": "purchase" });
    let cases: [(&str, String, Json, [u16; 4]); 13] = [
        ("GET", "/v1/sites/shop".into(), Json::Null, [200, 200, 200, 200]),
        ("GET", "/v1/sites/shop/goals".into(), Json::Null, [200, 200, 200, 200]),
        ("GET", "/v1/stats/aggregate?site=shop".into(), Json::Null, [200, 200, 200, 200]),
        ("PATCH", "/v1/sites/shop".into(), json!({}), [403, 200, 200, 403]),
        ("POST", "/v1/sites/shop/goals".into(), goal("ROLE"), [403, 201, 201, 403]),
        ("GET", "/v1/sites/shop/shares".into(), Json::Null, [403, 200, 200, 403]),
        ("GET", "/v1/sites/shop/keys".into(), Json::Null, [403, 200, 200, 403]),
        ("GET", format!("/v1/organisations/{org}/keys"), Json::Null, [403, 200, 200, 404]),
        ("GET", format!("/v1/organisations/{org}/members"), Json::Null, [200, 200, 200, 404]),
        ("GET", format!("/v1/organisations/{org}/invitations"), Json::Null, [403, 403, 200, 404]),
        ("POST", format!("/v1/organisations/{org}/invitations"), json!({ "role": "viewer" }), [403, 403, 201, 403]),
        ("POST", format!("/v1/organisations/{org}/sites"), json!({ "id": "ROLE" }), [403, 201, 201, 404]),
        ("POST", "/v1/sql".into(), json!({ "sql": "SELECT count(*) FROM audit_log" }), [400, 400, 200, 400]),
    ];
    for (method, path, sent, expected) in cases {
        for (at, expected) in expected.into_iter().enumerate() {
            let sent: Json = serde_json::from_str(&sent.to_string().replace("ROLE", &format!("role-{at}"))).unwrap();
            let answer = match [&viewer, &editor, &ada].get(at) {
                Some(person) => as_page(&server, method, &path, person, sent).await,
                None => send(&server, method, &path, &Brings::Bearer(key.clone()), &[], sent).await,
            };
            assert_eq!(answer.status, expected, "{method} {path} as {at}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn an_owner_reads_the_log_of_the_own_organisation_and_the_operator_reads_all() {
    let server = shop().await;
    let ada = ada(&server).await;
    let bob = bob(&server, &ada).await;
    let sql = json!({ "sql": "SELECT DISTINCT organisation FROM audit_log WHERE organisation IS NOT NULL ORDER BY 1" });
    let mut both = [ada.organisation.clone(), bob.organisation.clone()];
    both.sort();
    for (who, expected) in [
        (Brings::Cookies(ada.cookies.clone()), vec![ada.organisation.clone()]),
        (Brings::Cookies(bob.cookies.clone()), vec![bob.organisation.clone()]),
        (Brings::Bearer(TOKEN.into()), both.to_vec()),
    ] {
        let headers = [("sec-fetch-site", "same-origin")];
        let seen = send(&server, "POST", "/v1/sql", &who, &headers, sql.clone()).await;
        assert_eq!(seen.body["rows"], json!(expected.iter().map(|one| [one]).collect::<Vec<_>>()), "{}", seen.body);
    }
}

#[tokio::test]
async fn a_password_is_changed_and_other_sign_ins_end() {
    let server = shop().await;
    let ada = ada(&server).await;
    let login = json!({ "email": "ada@example.com", "password": PASSWORD });
    let other = cookies_of(&send(&server, "POST", "/v1/auth/login", &Brings::Nothing, &[], login).await);
    let sign_ins = as_page(&server, "GET", "/v1/me/sign-ins", &ada, Json::Null).await.body;
    let current: Vec<bool> =
        sign_ins["results"].as_array().unwrap().iter().map(|one| one["current"].as_bool().unwrap()).collect();
    assert_eq!(current.iter().filter(|current| **current).count(), 1);
    assert_eq!(current.len(), 2);
    let wrong = json!({ "current": "wrong horse battery", "new": "another horse battery" });
    assert_eq!(as_page(&server, "POST", "/v1/me/password", &ada, wrong).await.status, 403);
    let right = json!({ "current": PASSWORD, "new": "another horse battery" });
    let changed = as_page(&server, "POST", "/v1/me/password", &ada, right).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    for (cookies, status) in [(other, 401), (ada.cookies, 401), (cookies_of(&changed), 200)] {
        let me = send(&server, "GET", "/v1/me", &Brings::Cookies(cookies), &[], Json::Null).await;
        assert_eq!(me.status, status);
    }
}

#[tokio::test]
async fn a_site_belongs_to_whoever_adds_it_and_its_keys_are_shown_once() {
    let server = shop().await;
    let ada = ada(&server).await;
    let path = format!("/v1/organisations/{}/sites", ada.organisation);
    let sent = json!({ "id": "app", "domains": ["App.Example"], "time_zone": "Europe/Berlin" });
    let added = as_page(&server, "POST", &path, &ada, sent.clone()).await;
    assert_eq!((added.status, &added.body["settings"]["domains"]), (201, &json!(["app.example"])), "{}", added.body);
    let write_key = added.body["write_key"].as_str().unwrap();
    assert_eq!(server.lake.sites().await.unwrap().site_of_key(write_key).unwrap().site_id.as_ref(), "app");
    let shown = as_page(&server, "GET", "/v1/sites", &ada, Json::Null).await.body;
    assert_eq!(shown["results"].as_array().unwrap().len(), 2);
    assert!(!shown.to_string().contains(write_key));
    assert_eq!(as_page(&server, "POST", &path, &ada, sent).await.status, 409);
    let of_blog = json!({ "id": "BLOG" });
    let taken = as_page(&server, "POST", &path, &ada, of_blog).await;
    assert_eq!((taken.status, taken.body["message"].as_str()), (409, Some("the name or a domain is taken")));
    for (sent, words) in [
        (json!({ "id": "a b" }), "cannot be a site's name"),
        (json!({ "id": "x", "time_zone": "Berlin" }), "there is no time zone"),
        (json!({ "id": "x", "Domains": [] }), "unknown field"),
    ] {
        let refused = as_page(&server, "POST", &path, &ada, sent).await;
        assert!(refused.status == 400 && refused.body["message"].as_str().unwrap().contains(words), "{}", refused.body);
    }
}
