//! People whom a company vouches for: who they become, and whose account nobody gets by an address.

use accounts::{Admission, Identity};
use lake::Role;

use super::*;

const ISSUER: &str = "https://login.example.com";

fn identity(subject: &str, email: &str) -> Identity {
    Identity {
        issuer: ISSUER.into(),
        subject: subject.into(),
        email: Some(email.into()),
        is_email_verified: true,
        name: Some("Grace Hopper".into()),
    }
}

fn admission(organisation: Option<&str>) -> Admission {
    Admission {
        domains: Some(vec!["example.com".into()]),
        organisation: organisation.map(str::to_owned),
        role: Role::Editor,
    }
}

#[tokio::test]
async fn somebody_new_joins_the_organisation_and_is_known_by_the_providers_name_for_him() {
    let service = Service::new(lake());
    ada(&service).await;
    let shop = admission(Some("Shop"));
    let come = |subject: &'static str, email: &'static str, second: i64| {
        let (service, shop) = (&service, &shop);
        async move { service.sign_in_by_provider(&identity(subject, email), shop, &client(), at(second)).await }
    };
    let grace = come("1", "Grace@Example.com", 1).await.unwrap().user;
    assert_eq!((&*grace.email, &*grace.name, grace.password.is_some()), ("grace@example.com", "Grace Hopper", false));
    let accounts = service.accounts_now().await.unwrap();
    assert_eq!(accounts.memberships(&grace.id).map(|(_, role)| role).collect::<Vec<_>>(), [Role::Editor]);
    // With another address she is the same; with her address somebody else is not.
    assert_eq!(come("1", "g.hopper@example.com", 2).await.unwrap().user.id, grace.id);
    assert_eq!(outcome(&come("2", "grace@example.com", 3).await), "conflict");
    // Whoever left the company's domain does not come in any more.
    assert_eq!(outcome(&come("1", "grace@elsewhere.example", 4).await), "may not");
    // Nobody new where nobody new is wanted, and none into what is not there.
    for (organisation, expected) in [(None, "may not"), (Some("Nowhere"), "conflict")] {
        let (new, admitted) = (identity("9", "new@example.com"), admission(organisation));
        let came = service.sign_in_by_provider(&new, &admitted, &client(), at(5)).await;
        assert_eq!(outcome(&came), expected);
    }
    assert_eq!(service.accounts_now().await.unwrap().users.len(), 2);
}

#[tokio::test]
async fn nobody_gets_an_account_by_its_address_alone() {
    let service = Service::new(lake());
    let (owner, shop) = ada(&service).await;
    let admitted = admission(Some("Shop"));
    // Eve has registered the address of Grace, before Grace came.
    let token = service.invite(&actor(&owner.user), &shop, offer(Role::Viewer), &client(), at(0)).await.unwrap().token;
    let eve = service.register_invited(person("grace@example.com"), &token, &client(), at(1)).await.unwrap();
    let grace = identity("1", "grace@example.com");
    assert_eq!(outcome(&service.sign_in_by_provider(&grace, &admitted, &client(), at(2)).await), "conflict");
    // Whoever is in it connects the two by himself, and only one person does.
    service.connect_identity(&eve.user.id, &grace, &admitted, &client(), at(3)).await.unwrap();
    assert_eq!(service.sign_in_by_provider(&grace, &admitted, &client(), at(4)).await.unwrap().user.id, eve.user.id);
    let second = service.connect_identity(&owner.user.id, &grace, &admitted, &client(), at(5)).await;
    assert_eq!(outcome(&second), "conflict");
    // An account that was made without any other way in is waiting for its person.
    let bare = NewPerson { email: "hedy@example.com".into(), ..NewPerson::default() };
    let hedy = service.add_person(bare, Some((&shop, Role::Viewer)), at(6)).await.unwrap();
    let came = service.sign_in_by_provider(&identity("3", "hedy@example.com"), &admitted, &client(), at(7)).await;
    assert_eq!(came.unwrap().user.id, hedy.id);
    assert_eq!(
        outcome(&service.sign_in_by_provider(&identity("4", "hedy@example.com"), &admitted, &client(), at(8)).await),
        "conflict",
        "it has its person"
    );
    // Who has no other way in keeps this one.
    assert_eq!(outcome(&service.disconnect_identity(&hedy.id, ISSUER, &client(), at(9)).await), "invalid");
    assert_eq!(outcome(&service.disconnect_identity(&eve.user.id, ISSUER, &client(), at(9)).await), "done");
    assert_eq!(outcome(&service.disconnect_identity(&eve.user.id, ISSUER, &client(), at(9)).await), "not found");
    assert_eq!(outcome(&service.sign_in_by_provider(&grace, &admitted, &client(), at(10)).await), "conflict");
}

#[tokio::test]
async fn of_two_servers_that_meet_somebody_new_at_once_one_makes_the_account() {
    let lake = lake();
    let (one, two) = (Service::new(lake.clone()), Service::new(lake));
    ada(&one).await;
    let (admitted, client, new) = (admission(Some("Shop")), client(), identity("1", "grace@example.com"));
    let (a, b) = tokio::join!(
        one.sign_in_by_provider(&new, &admitted, &client, at(1)),
        two.sign_in_by_provider(&new, &admitted, &client, at(1)),
    );
    assert_eq!(a.unwrap().user.id, b.unwrap().user.id);
    assert_eq!(one.accounts_now().await.unwrap().users.len(), 2);
}
