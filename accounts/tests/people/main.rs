//! People, sign-ins and organisations over a store: what attackers try, two servers at once, and a process that dies.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod identities;
mod kills;
mod organisations;
mod sign_ins;

use accounts::{AccountsError, Actor, Client, NewPerson, Offer, Service, Signed};
use chrono::{DateTime, TimeDelta, Utc};
use lake::{Lake, User};

const PASSWORD: &str = "correct horse battery";

fn at(seconds: i64) -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn lake() -> Lake {
    Lake::open("memory:///", []).unwrap()
}

fn client() -> Client {
    Client { address: Some("192.0.2.1".into()), user_agent: "Firefox".into() }
}

fn person(email: &str) -> NewPerson {
    NewPerson { email: email.into(), name: None, password: Some(PASSWORD.into()) }
}

fn offer(role: lake::Role) -> Offer<'static> {
    Offer { role, email: None, days: None }
}

fn actor(user: &User) -> Actor {
    Actor::Person { user_id: user.id.clone(), email: user.email.clone() }
}

/// The first owner, and her organisation.
async fn ada(service: &Service) -> (Signed, String) {
    let signed = service.register_first(person("ada@example.com"), Some("Shop"), &client(), at(0)).await.unwrap();
    let organisation = service.accounts_now().await.unwrap().organisations[0].id.clone();
    (signed, organisation)
}

/// How a call ended, in a word.
fn outcome<T>(result: &Result<T, AccountsError>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(AccountsError::Invalid { .. }) => "invalid",
        Err(AccountsError::NotSignedIn { .. }) => "not signed in",
        Err(AccountsError::MayNot { .. }) => "may not",
        Err(AccountsError::NotFound { .. }) => "not found",
        Err(AccountsError::Conflict { .. }) => "conflict",
        Err(AccountsError::TooMany { .. }) => "too many",
        Err(AccountsError::Busy) => "busy",
        Err(AccountsError::Lake(_)) => "lake",
    }
}
