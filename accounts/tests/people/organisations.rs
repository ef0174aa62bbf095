//! Who may do what in an organisation, and who is not to know that there is one.

use lake::Role;

use super::*;

#[tokio::test]
async fn the_first_is_an_owner_and_there_is_one_first() {
    let lake = lake();
    let (one, two) = (Service::new(lake.clone()), Service::new(lake));
    let client = client();
    let (a, b) = tokio::join!(
        one.register_first(person("ada@example.com"), None, &client, at(0)),
        two.register_first(person("eve@example.com"), None, &client, at(0)),
    );
    let mut outcomes = [outcome(&a), outcome(&b)];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["conflict", "done"]);
    let accounts = one.accounts_now().await.unwrap();
    assert_eq!((accounts.users.len(), accounts.organisations.len()), (1, 1));
    assert_eq!(accounts.memberships(&accounts.users[0].id).next().unwrap().1, Role::Owner);
}

#[tokio::test]
async fn an_invitation_is_taken_once_by_whom_it_is_for_until_it_ends() {
    let service = Service::new(lake());
    let (ada, shop) = ada(&service).await;
    let ada = actor(&ada.user);
    let invite = |email: Option<&'static str>| {
        let (service, ada, shop) = (&service, &ada, &shop);
        async move {
            service
                .invite(ada, shop, Offer { role: Role::Editor, email, days: Some(1) }, &client(), at(0))
                .await
                .unwrap()
        }
    };
    let open = invite(None).await;
    let register = |email: &'static str, token: String, second: i64| {
        let service = &service;
        async move { service.register_invited(person(email), &token, &client(), at(second)).await }
    };
    let client = client();
    let (a, b) = tokio::join!(
        service.register_invited(person("bob@example.com"), &open.token, &client, at(1)),
        service.register_invited(person("eve@example.com"), &open.token, &client, at(1)),
    );
    let mut outcomes = [outcome(&a), outcome(&b)];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["done", "not found"], "of two who take it at once one does");

    let for_cy = invite(Some("Cy@Example.com")).await;
    assert_eq!(outcome(&register("dan@example.com", for_cy.token.clone(), 2).await), "may not");
    assert_eq!(outcome(&register("cy@example.com", "dpi_guess".into(), 2).await), "not found");
    assert_eq!(outcome(&register("cy@example.com", for_cy.token.clone(), 86_400).await), "not found");
    assert_eq!(outcome(&register("cy@example.com", for_cy.token, 2).await), "done");

    let withdrawn = invite(None).await;
    service.withdraw_invitation(&ada, &shop, &withdrawn.invitation.id, &client, at(3)).await.unwrap();
    assert_eq!(outcome(&register("dan@example.com", withdrawn.token, 3).await), "not found");
    let downwards = service.invite(&ada, &shop, offer(lake::Role::Viewer), &client, at(3)).await.unwrap();
    service.accept_invitation(&ada, &downwards.token, &client, at(3)).await.unwrap();
    assert_eq!(ada.role_in(&service.accounts_now().await.unwrap(), Some(&shop)), Some(Role::Owner));
}

/// What each may do, by role; a stranger hears what he would hear if there were no such organisation.
#[tokio::test]
async fn every_role_may_do_what_it_may_and_a_stranger_learns_nothing() {
    for (role, rename, invites, changes_role, removes_other, leaves) in [
        (Some(Role::Viewer), "may not", "may not", "may not", "may not", "done"),
        (Some(Role::Editor), "may not", "may not", "may not", "may not", "done"),
        (Some(Role::Owner), "done", "done", "done", "done", "done"),
        (None, "not found", "not found", "not found", "not found", "not found"),
    ] {
        let service = Service::new(lake());
        let (owner, shop) = ada(&service).await;
        let joined =
            service.add_person(person("bob@example.com"), role.map(|role| (&*shop, role)), at(0)).await.unwrap();
        let bob = actor(&joined);
        let (client, nobody) = (client(), "0".repeat(32));
        for (id, is_shop) in [(&shop, true), (&nobody, false)] {
            let expected = |word: &'static str| if is_shop { word } else { "not found" };
            let renamed = service.rename_organisation(&bob, id, "Mine", None).await;
            assert_eq!(outcome(&renamed), expected(rename), "{role:?}");
            let invited = service.invite(&bob, id, offer(lake::Role::Owner), &client, at(1)).await;
            assert_eq!(outcome(&invited), expected(invites), "{role:?}");
            let changed = service.change_role(&bob, id, &owner.user.id, Role::Owner, &client, at(1)).await;
            assert_eq!(outcome(&changed), expected(changes_role), "{role:?}");
            if let (Err(one), true) = (&renamed, role.is_none()) {
                assert_eq!(one.to_string(), format!("there is no organisation {id}"));
            }
            if !is_shop {
                continue;
            }
            let left = service.remove_member(&bob, id, &bob_id(&bob), &client, at(1)).await;
            assert_eq!(outcome(&left), leaves, "{role:?}");
            if let Some(role) = role {
                let gone = service.rename_organisation(&bob, id, "Mine", None).await;
                assert_eq!(outcome(&gone), "not found", "who left is a stranger");
                join(&service, &shop, &joined, role).await;
            }
            let removed = service.remove_member(&bob, id, &owner.user.id, &client, at(1)).await;
            assert_eq!(outcome(&removed), removes_other, "{role:?}");
        }
    }
}

fn bob_id(bob: &Actor) -> String {
    bob.user_id().unwrap().to_owned()
}

async fn join(service: &Service, organisation: &str, user: &User, role: Role) {
    let issued = service.invite(&Actor::Operator, organisation, offer(role), &client(), at(1)).await.unwrap();
    service.accept_invitation(&actor(user), &issued.token, &client(), at(1)).await.unwrap();
}

#[tokio::test]
async fn the_last_owner_stays() {
    let service = Service::new(lake());
    let (owner, shop) = ada(&service).await;
    let ada = actor(&owner.user);
    let client = client();
    let left = service.remove_member(&ada, &shop, &owner.user.id, &client, at(1)).await;
    assert_eq!(outcome(&left), "conflict");
    let demoted = service.change_role(&ada, &shop, &owner.user.id, Role::Viewer, &client, at(1)).await;
    assert_eq!(outcome(&demoted), "conflict");
    service.add_person(person("bob@example.com"), Some((&shop, Role::Viewer)), at(1)).await.unwrap();
    let removed = service.remove_person("ada@example.com", at(1)).await;
    assert_eq!(outcome(&removed), "invalid", "with her the organisation would be nobody's");
    service.remove_person("bob@example.com", at(1)).await.unwrap();
    service.remove_person("ada@example.com", at(1)).await.unwrap();
    let accounts = service.accounts_now().await.unwrap();
    assert_eq!((accounts.users.len(), accounts.organisations.len()), (0, 0));
}

#[tokio::test]
async fn of_two_who_rename_what_they_read_one_is_told_that_it_changed() {
    let lake = lake();
    let (one, two) = (Service::new(lake.clone()), Service::new(lake));
    let (owner, shop) = ada(&one).await;
    let ada = actor(&owner.user);
    let (a, b) = tokio::join!(
        one.rename_organisation(&ada, &shop, "One", Some(1)),
        two.rename_organisation(&ada, &shop, "Two", Some(1)),
    );
    let mut outcomes = [outcome(&a), outcome(&b)];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["conflict", "done"]);
}

#[tokio::test]
async fn what_was_done_and_refused_is_in_the_audit_log() {
    let service = Service::new(lake());
    let (owner, shop) = ada(&service).await;
    let _ = service.sign_in("ada@example.com", "wrong", &client(), at(1)).await;
    service.invite(&actor(&owner.user), &shop, offer(lake::Role::Viewer), &client(), at(2)).await.unwrap();
    let log = service.lake().audit_log().await.unwrap();
    let mut seen: Vec<(&str, &str, bool)> =
        log.iter().map(|entry| (&*entry.action, &*entry.outcome, entry.organisation.is_some())).collect();
    seen.sort_unstable();
    let expected = [
        ("invitation.add", "done", true),
        ("register", "done", true),
        ("sign_in", "done", false),
        ("sign_in", "refused", false),
    ];
    assert_eq!(seen, expected);
    assert!(log.iter().all(|entry| entry.user_id.as_deref() == Some(&owner.user.id)));
}
