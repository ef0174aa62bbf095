//! What is kept of a site, shares, and the OpenAPI document beside what the server does.

use super::*;

async fn add(server: &Stats, ada: &Person, kind: &str, sent: Json) -> Json {
    let added = as_page(server, "POST", &format!("/v1/sites/shop/{kind}"), ada, sent).await;
    assert_eq!(added.status, 201, "{kind}: {}", added.body);
    added.body
}

fn examples() -> [(&'static str, Json); 6] {
    [
        (
            "goals",
            json!({ "name": "Buy", "kind": "event", "value": "purchase", "filters": [["is", "country", ["DE"]]] }),
        ),
        ("segments", json!({ "name": "Germans", "filters": [["is", "country", ["DE"]]] })),
        ("funnels", json!({ "name": "Shop", "steps": ["path:is:/", "name:is:purchase"], "window": "7d" })),
        ("annotations", json!({ "at": "2026-03-01T12:00:00Z", "until": null, "text": "Launch" })),
        ("shares", json!({ "name": "Board", "filters": [], "expires_at": null, "origins": [] })),
        (
            "email-reports",
            json!({ "recipient": "ada@example.com", "interval": "month", "language": "de", "filters": [] }),
        ),
    ]
}

#[tokio::test]
async fn everything_that_is_kept_is_added_read_changed_and_removed_alike() {
    let server = shop().await;
    let ada = ada(&server).await;
    for (kind, sent) in examples() {
        let added = add(&server, &ada, kind, sent.clone()).await;
        let path = format!("/v1/sites/shop/{kind}/{}", added["id"].as_str().unwrap());
        let read = as_page(&server, "GET", &path, &ada, Json::Null).await.body;
        for (name, value) in sent.as_object().unwrap() {
            assert_eq!(&read[name], value, "{kind} {name}");
        }
        assert_eq!((&read["version"], &read["created_by"]), (&json!(1), &json!("ada@example.com")));
        let mut changed = sent.clone();
        changed["version"] = 1.into();
        let first = as_page(&server, "PUT", &path, &ada, changed.clone()).await;
        assert_eq!((first.status, &first.body["version"]), (200, &json!(2)), "{kind}: {}", first.body);
        let second = as_page(&server, "PUT", &path, &ada, changed.clone()).await;
        assert_eq!((second.status, &second.body["current"]), (409, &first.body), "{kind}: somebody was faster");
        changed.as_object_mut().unwrap().remove("version");
        assert_eq!(as_page(&server, "PUT", &path, &ada, changed).await.status, 400, "{kind}: no version");
        let mut odd = sent;
        odd["odd"] = 1.into();
        assert_eq!(as_page(&server, "POST", &format!("/v1/sites/shop/{kind}"), &ada, odd).await.status, 400);
        assert_eq!(as_page(&server, "DELETE", &path, &ada, Json::Null).await.status, 204);
        assert_eq!(as_page(&server, "DELETE", &path, &ada, Json::Null).await.status, 404);
    }
}

#[tokio::test]
async fn a_link_reads_its_part_of_its_site_until_it_is_removed() {
    let server = shop().await;
    let ada = ada(&server).await;
    let sent = json!({ "name": "Germans", "filters": [["is", "country", ["DE"]]] });
    let share = add(&server, &ada, "shares", sent).await;
    let token = share["token"].as_str().unwrap().to_owned();
    let open = |token: String, password: Option<&'static str>| {
        let server = &server;
        async move {
            let sent = json!({ "token": token, "password": password });
            send(server, "POST", "/v1/shares/open", &Brings::Nothing, &[], sent).await
        }
    };
    let opened = open(token.clone(), None).await.body;
    assert_eq!((&opened["site"], &opened["access_token"]), (&json!("shop"), &json!(token)));
    let link = Brings::Bearer(token.clone());
    let get = |path: &'static str| {
        let (server, link) = (&server, &link);
        async move { send(server, "GET", path, link, &[], Json::Null).await }
    };
    let all = as_page(&server, "GET", "/v1/stats/aggregate?site=shop&metrics=visitors", &ada, Json::Null).await.body;
    let part = get("/v1/stats/aggregate?metrics=visitors").await.body;
    assert_eq!(
        (&all["metrics"]["visitors"], &part["metrics"]["visitors"]),
        (&json!(3), &json!(1)),
        "Carl alone is German"
    );
    // Whatever is asked beside it, the filter holds.
    let wide = "/v1/stats/breakdown?dimensions=country&filter=country:is:DE|country:exists_not";
    assert_eq!(
        get(wide).await.body["results"],
        json!([{ "dimensions": { "country": "DE" }, "metrics": { "visitors": 1 } }])
    );
    for (path, status) in [
        ("/v1/me", 200),
        ("/v1/sites", 200),
        ("/v1/sites/shop/goals", 200),
        ("/v1/sites/shop/shares", 403),
        ("/v1/sites/shop/keys", 403),
        ("/v1/sites/blog", 404),
        ("/v1/organisations", 200),
        ("/v1/stats/aggregate?site=blog", 404),
        ("/v1/stats/sessions", 403),
        ("/v1/stats/visitors", 403),
        ("/v1/stats/sessions/1.2", 403),
        ("/v1/stats/breakdown?dimensions=user_id", 400),
        ("/v1/stats/aggregate?filter=user_id:is:ada", 400),
        ("/metrics?site=shop", 403),
        ("/visits?site=shop", 403),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    assert_eq!(get("/v1/organisations").await.body["results"], json!([]));
    let sql = send(&server, "POST", "/v1/sql", &link, &[], json!({ "sql": "SELECT 1" })).await;
    assert_eq!(sql.status, 403);
    let path = format!("/v1/sites/shop/shares/{}", share["id"].as_str().unwrap());
    assert_eq!(send(&server, "DELETE", &path, &link, &[], Json::Null).await.status, 403);

    // With a password the link alone does not do, and one that was opened before ends with it.
    let mut protected = json!({ "name": "Germans", "filters": [], "password": "open sesame, please", "version": 1 });
    let changed = as_page(&server, "PUT", &path, &ada, protected.clone()).await;
    assert_eq!((changed.status, &changed.body["has_password"]), (200, &json!(true)), "{}", changed.body);
    assert!(!changed.body.to_string().contains("argon2"));
    assert_eq!(get("/v1/me").await.status, 401);
    for password in [None, Some("open barley")] {
        let refused = open(token.clone(), password).await;
        assert_eq!((refused.status, &refused.body["password_needed"]), (401, &json!(true)));
    }
    let opened = open(token.clone(), Some("open sesame, please")).await.body;
    let by_password = Brings::Bearer(opened["access_token"].as_str().unwrap().into());
    assert_eq!(send(&server, "GET", "/v1/me", &by_password, &[], Json::Null).await.body["kind"], "share");
    // Left out it stays.
    protected.as_object_mut().unwrap().remove("password");
    protected["version"] = 2.into();
    assert_eq!(as_page(&server, "PUT", &path, &ada, protected).await.body["has_password"], true);

    assert_eq!(as_page(&server, "DELETE", &path, &ada, Json::Null).await.status, 204);
    assert_eq!(send(&server, "GET", "/v1/me", &by_password, &[], Json::Null).await.status, 401);
    assert_eq!(open(token, Some("open sesame, please")).await.status, 404);
    let expired = json!({ "name": "Old", "expires_at": "2026-03-01T00:00:00Z" });
    let expired = add(&server, &ada, "shares", expired).await["token"].as_str().unwrap().to_owned();
    assert_eq!(open(expired.clone(), None).await.status, 404);
    assert_eq!(send(&server, "GET", "/v1/me", &Brings::Bearer(expired), &[], Json::Null).await.status, 401);
}

#[tokio::test]
async fn every_operation_of_the_document_is_there_and_answers_as_it_says() {
    let server = shop().await;
    let ada = ada(&server).await;
    let document = send(&server, "GET", "/v1/openapi.json", &Brings::Nothing, &[], Json::Null).await.body;
    let mut kept = std::collections::HashMap::new();
    for (kind, sent) in examples() {
        kept.insert(kind, add(&server, &ada, kind, sent).await["id"].as_str().unwrap().to_owned());
    }
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if path.contains("logout") || path == "/v1/me/password" {
                continue;
            }
            let kind = path.split('/').nth(4).unwrap_or_default();
            let address = path
                .replace("{item}", kept.get(kind).map_or("none", String::as_str))
                .replace("{site}", "shop")
                .replace("/v1/organisations/{id}", &format!("/v1/organisations/{}", ada.organisation))
                .replace(['{', '}'], "");
            let sent = if operation["requestBody"].is_object() { json!({}) } else { Json::Null };
            let answer = as_page(&server, &method.to_uppercase(), &address, &ada, sent).await;
            let response = &operation["responses"][answer.status.to_string()];
            assert!(response.is_object(), "{method} {path} answers {}: {}", answer.status, answer.body);
            let words = answer.body["message"].to_string();
            assert!(answer.status != 405 && !words.contains("there is only"), "{method} {path} is not there: {words}");
            if let Some(schema) = response["content"]["application/json"].get("schema")
                && let Err(wrong) = document::valid(&document, schema, &answer.body)
            {
                panic!("{method} {path} {}: {wrong}\n{}", answer.status, answer.body);
            }
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked}");
}
