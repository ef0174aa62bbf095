//! People, organisations, sites and what is kept of them, over HTTP: what attackers try, and what each may see.

mod attacks;
mod documents;
mod goals;
mod killed_senders;
mod mails;
mod plain;
mod roles;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::stats::{Stats, TOKEN, document, shop};

const PASSWORD: &str = "correct horse battery";
const HOST: &str = "dewpond.example";

/// An answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Json,
}

/// What a request brings.
#[derive(Clone, Debug, PartialEq)]
enum Brings {
    Nothing,
    Bearer(String),
    Cookies(String),
}

/// Somebody who is signed in, by cookies, in an organisation of his own.
struct Person {
    cookies: String,
    organisation: String,
}

/// Sends a request, and holds the answer against the document.
async fn send(
    server: &Stats,
    method: &str,
    path: &str,
    brings: &Brings,
    headers: &[(&str, &str)],
    sent: Json,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("host", HOST);
    match brings {
        Brings::Nothing => {}
        Brings::Bearer(token) => request = request.header("authorization", format!("Bearer {token}")),
        Brings::Cookies(cookies) => request = request.header("cookie", cookies),
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !sent.is_null() {
        request = request.header("content-type", "application/json");
    }
    let body = if sent.is_null() { Body::empty() } else { Body::from(sent.to_string()) };
    let routes = api::router(server.api.clone(), Some(TOKEN.to_owned()));
    let answer = routes.oneshot(request.body(body).unwrap()).await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = to_bytes(answer.into_body(), 1 << 22).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
    Answer { status, headers, body }
}

/// The same from a page of this server.
async fn as_page(server: &Stats, method: &str, path: &str, person: &Person, sent: Json) -> Answer {
    let brings = Brings::Cookies(person.cookies.clone());
    send(server, method, path, &brings, &[("sec-fetch-site", "same-origin")], sent).await
}

/// The cookies that an answer sets, as a browser sends them back.
fn cookies_of(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").into_iter().map(|cookie| cookie.to_str().unwrap());
    set.map(|cookie| cookie.split(';').next().unwrap()).collect::<Vec<_>>().join("; ")
}

fn person(answer: &Answer) -> Person {
    assert!(answer.status < 300, "{}: {}", answer.status, answer.body);
    let organisation = answer.body["organisations"][0]["id"].as_str().unwrap_or_default().to_owned();
    Person { cookies: cookies_of(answer), organisation }
}

/// Ada, the first owner, whose organisation has the site `shop`.
async fn ada(server: &Stats) -> Person {
    let sent = json!({ "email": "ada@example.com", "password": PASSWORD, "organisation": "Shop" });
    let ada = person(&send(server, "POST", "/v1/auth/register", &Brings::Bearer(TOKEN.into()), &[], sent).await);
    server.lake.give_site("shop", Some(&ada.organisation)).await.unwrap();
    ada
}

/// Somebody whom Ada invites.
async fn invited(server: &Stats, ada: &Person, email: &str, role: &str) -> Person {
    let path = format!("/v1/organisations/{}/invitations", ada.organisation);
    let invitation = as_page(server, "POST", &path, ada, json!({ "role": role })).await;
    assert_eq!(invitation.status, 201, "{}", invitation.body);
    let sent = json!({ "email": email, "password": PASSWORD, "invitation": invitation.body["token"] });
    person(&send(server, "POST", "/v1/auth/register", &Brings::Nothing, &[], sent).await)
}

/// Bob, who has an organisation of his own with the site `blog`.
async fn bob(server: &Stats, ada: &Person) -> Person {
    let mut bob = invited(server, ada, "bob@example.com", "viewer").await;
    let added = as_page(server, "POST", "/v1/organisations", &bob, json!({ "name": "Blog" })).await;
    let me = as_page(server, "GET", "/v1/me", &bob, Json::Null).await.body["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/organisations/{}/members/{me}", ada.organisation);
    let left = as_page(server, "DELETE", &path, &bob, Json::Null).await;
    assert_eq!(left.status, 204, "{}", left.body);
    bob.organisation = added.body["id"].as_str().unwrap().to_owned();
    server.lake.give_site("blog", Some(&bob.organisation)).await.unwrap();
    bob
}
