//! Signing in and out, and tokens that somebody else has.

use super::*;

async fn sign_in(service: &Service, email: &str, password: &str, second: i64) -> Result<Signed, AccountsError> {
    service.sign_in(email, password, &client(), at(second)).await.map(|signed| signed.unwrap())
}

async fn is_signed_in(service: &Service, token: &str, second: i64) -> bool {
    let signed_in = service.signed_in(token, at(second)).await.unwrap();
    let accounts = service.accounts().await.unwrap();
    signed_in.is_some_and(|one| one.user(&accounts).is_some())
}

#[tokio::test]
async fn who_is_not_there_is_refused_like_who_mistypes() {
    let service = Service::new(lake());
    ada(&service).await;
    let mut refusals = vec![];
    for (email, password) in [
        ("ada@example.com", "wrong horse battery"),
        ("eve@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
        ("ada@example.com", ""),
        ("ada@example.com", &"x".repeat(100_000)),
    ] {
        let before = service.hashed();
        let refused = sign_in(&service, email, password, 1).await;
        assert_eq!(outcome(&refused), "not signed in");
        refusals.push((refused.unwrap_err().to_string(), service.hashed() - before));
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    assert_eq!(refusals[0].1, 1, "each took the work of one hash");
    assert_eq!(outcome(&sign_in(&service, " ADA@example.com", PASSWORD, 1).await), "done");
}

#[tokio::test]
async fn guesses_are_counted_for_somebody_and_for_nobody_alike() {
    for email in ["ada@example.com", "eve@example.com"] {
        let service = Service::new(lake());
        ada(&service).await;
        for second in 0..10 {
            assert_eq!(outcome(&sign_in(&service, email, "wrong", second).await), "not signed in");
        }
        let before = service.hashed();
        assert_eq!(outcome(&sign_in(&service, email, PASSWORD, 10).await), "too many");
        assert_eq!(service.hashed(), before, "and cost no work any more");
        let elsewhere = Client { address: Some("192.0.2.2".into()), ..client() };
        let other = service.sign_in("ada@example.com", PASSWORD, &elsewhere, at(10)).await;
        assert_eq!(outcome(&other), "done", "who guesses locks nobody out");
    }
}

#[tokio::test]
async fn a_token_that_was_used_ends_the_whole_sign_in() {
    let service = Service::new(lake());
    let (signed, _) = ada(&service).await;
    let stolen = signed.tokens.refresh.unwrap();
    let renewed = service.refresh(&stolen, &client(), at(60)).await.unwrap().tokens;
    assert!(is_signed_in(&service, &renewed.access, 61).await);
    assert!(is_signed_in(&service, &signed.tokens.access, 61).await, "requests under way go on");
    // A second tab of the same browser, and nobody else, comes in the same moment.
    assert_eq!(outcome(&service.refresh(&stolen, &client(), at(69)).await), "conflict");
    assert!(is_signed_in(&service, &renewed.access, 69).await);
    assert_eq!(outcome(&service.refresh(&stolen, &client(), at(71)).await), "not signed in");
    for token in [&renewed.access, &signed.tokens.access] {
        assert!(!is_signed_in(&service, token, 71).await);
    }
    let newest = renewed.refresh.unwrap();
    assert_eq!(outcome(&service.refresh(&newest, &client(), at(72)).await), "not signed in");
    let log = service.lake().audit_log().await.unwrap();
    assert!(log.iter().any(|entry| entry.action == "sign_in.reuse" && entry.outcome == "refused"));
}

#[tokio::test]
async fn of_two_servers_that_renew_a_token_at_once_one_does() {
    let lake = lake();
    let (one, two) = (Service::new(lake.clone()), Service::new(lake));
    let token = ada(&one).await.0.tokens.refresh.unwrap();
    let client = client();
    let (a, b) = tokio::join!(one.refresh(&token, &client, at(5)), two.refresh(&token, &client, at(5)));
    let mut outcomes = [outcome(&a), outcome(&b)];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["conflict", "done"]);
}

#[tokio::test]
async fn tokens_expire_and_what_is_nearly_one_is_none() {
    let service = Service::new(lake());
    let (signed, _) = ada(&service).await;
    let (access, refresh) = (signed.tokens.access, signed.tokens.refresh.unwrap());
    assert!(is_signed_in(&service, &access, 3_599).await);
    assert!(!is_signed_in(&service, &access, 3_600).await);
    let flipped = |token: &str| {
        let last = if token.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &token[..token.len() - 1])
    };
    for other in [flipped(&access), refresh.replacen("dpf_", "dpa_", 1), access[..139].to_owned(), String::new()] {
        assert!(!is_signed_in(&service, &other, 1).await, "{other}");
    }
    for other in [flipped(&refresh), access.replacen("dpa_", "dpf_", 1)] {
        assert_eq!(outcome(&service.refresh(&other, &client(), at(1)).await), "not signed in");
    }
    let month = 30 * 86_400;
    assert_eq!(outcome(&service.refresh(&refresh, &client(), at(month)).await), "not signed in");
    // Who comes every week has to sign in again after three months.
    let mut token = refresh;
    for week in 1..=12 {
        token = service.refresh(&token, &client(), at(week * 7 * 86_400)).await.unwrap().tokens.refresh.unwrap();
    }
    assert_eq!(outcome(&service.refresh(&token, &client(), at(91 * 86_400)).await), "not signed in");
}

#[tokio::test]
async fn a_new_password_ends_all_other_sign_ins() {
    let service = Service::new(lake());
    let (first, _) = ada(&service).await;
    let second = sign_in(&service, "ada@example.com", PASSWORD, 1).await.unwrap();
    let ada = actor(&first.user);
    let change = |current: Option<&'static str>, new: &'static str| {
        let (service, ada) = (&service, &ada);
        async move { service.change_password(ada, current, new, &client(), at(2)).await }
    };
    assert_eq!(outcome(&change(None, "another horse battery").await), "invalid");
    assert_eq!(outcome(&change(Some("wrong"), "another horse battery").await), "not signed in");
    assert_eq!(outcome(&change(Some(PASSWORD), "short").await), "invalid");
    assert!(is_signed_in(&service, &second.tokens.access, 3).await);
    let third = change(Some(PASSWORD), "another horse battery").await.unwrap();
    for old in [&first, &second] {
        assert!(!is_signed_in(&service, &old.tokens.access, 3).await);
        let refresh = old.tokens.refresh.as_deref().unwrap();
        assert_eq!(outcome(&service.refresh(refresh, &client(), at(3)).await), "not signed in");
    }
    assert!(is_signed_in(&service, &third.tokens.access, 3).await);
    assert_eq!(outcome(&sign_in(&service, "ada@example.com", PASSWORD, 4).await), "not signed in");
    assert_eq!(outcome(&sign_in(&service, "ada@example.com", "another horse battery", 4).await), "done");
}

#[tokio::test]
async fn who_signs_out_is_out_and_nobody_signs_another_out() {
    let service = Service::new(lake());
    let (first, _) = ada(&service).await;
    let second = sign_in(&service, "ada@example.com", PASSWORD, 1).await.unwrap();
    assert_eq!(service.sign_ins(&first.user.id, at(1)).await.unwrap().len(), 2);
    // Its id alone ends no sign-in.
    let guess = format!("{}{}", &first.tokens.access[..76], "0".repeat(64));
    service.sign_out(&guess, &client(), at(1)).await.unwrap();
    assert!(is_signed_in(&service, &first.tokens.access, 1).await);
    service.sign_out(&first.tokens.access, &client(), at(1)).await.unwrap();
    assert!(!is_signed_in(&service, &first.tokens.access, 1).await);
    assert!(is_signed_in(&service, &second.tokens.access, 1).await);

    let invited = invite(&service, &first).await;
    let bob = service.register_invited(person("bob@example.com"), &invited, &client(), at(1)).await.unwrap();
    let family = service.sign_ins(&second.user.id, at(1)).await.unwrap()[0].family.clone();
    let ended = service.end_sign_in(&actor(&bob.user), &family, &client(), at(1)).await;
    assert_eq!(outcome(&ended), "not found");
    service.sign_out_everywhere(&actor(&first.user), &client(), at(2)).await.unwrap();
    assert!(!is_signed_in(&service, &second.tokens.access, 2).await);
    assert!(is_signed_in(&service, &bob.tokens.access, 2).await);
}

async fn invite(service: &Service, owner: &Signed) -> String {
    let organisation = service.accounts_now().await.unwrap().organisations[0].id.clone();
    let issued = service.invite(&actor(&owner.user), &organisation, offer(lake::Role::Viewer), &client(), at(0)).await;
    issued.unwrap().token
}

#[tokio::test(start_paused = true)]
async fn what_one_server_ends_another_refuses_within_five_seconds() {
    let lake = lake();
    let (one, two) = (Service::new(lake.clone()), Service::new(lake));
    let (signed, _) = ada(&one).await;
    assert!(is_signed_in(&two, &signed.tokens.access, 1).await);
    one.sign_out(&signed.tokens.access, &client(), at(1)).await.unwrap();
    assert!(!is_signed_in(&one, &signed.tokens.access, 1).await);
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    assert!(!is_signed_in(&two, &signed.tokens.access, 6).await);
}

#[tokio::test]
async fn no_secret_is_kept() {
    let lake = lake();
    let service = Service::new(lake.clone());
    let (signed, organisation) = ada(&service).await;
    let issued =
        service.invite(&actor(&signed.user), &organisation, offer(lake::Role::Viewer), &client(), at(0)).await.unwrap();
    let secrets = [PASSWORD, &signed.tokens.access, signed.tokens.refresh.as_deref().unwrap(), &issued.token];
    let store = lake.store();
    let mut seen = 0;
    let mut listed = futures::TryStreamExt::try_collect::<Vec<_>>(store.list(None)).await.unwrap();
    listed.retain(|object| object.size > 0);
    for object in listed {
        let bytes = object_store::ObjectStoreExt::get(&*store, &object.location).await.unwrap().bytes().await.unwrap();
        let text = format!("{} {}", object.location, String::from_utf8_lossy(&bytes));
        for secret in secrets {
            assert!(!text.contains(&secret[secret.len().saturating_sub(20)..]), "{}", object.location);
        }
        seen += 1;
    }
    assert!(seen > 4, "documents, a sign-in and the audit log");
}
