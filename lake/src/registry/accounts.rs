//! People, their organisations, and who is what in them. One document, so that what must hold between them holds in every
//! version of it: an e-mail address is one person's, and no organisation is without an owner.
//!
//! Nothing that expires is here: versions are kept for ever. Sign-ins are [objects of their own](crate::sign_ins).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{LakeError, Result};
use crate::lake::Lake;

pub(crate) const ACCOUNTS: &str = "accounts";

/// All people and organisations, as the document is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accounts {
    /// The people, in the order they came.
    #[serde(default)]
    pub users: Vec<User>,
    /// The organisations, in the order they were made.
    #[serde(default)]
    pub organisations: Vec<Organisation>,
}

/// Somebody who can sign in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The address that nobody else has, in the form in which addresses are compared.
    pub email: String,
    /// What others read.
    pub name: String,
    /// When the person came.
    pub created_at: DateTime<Utc>,
    /// The password's hash as a PHC text; none of somebody who signs in by other means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Grows when all sign-ins end. Those that began with a lower number are void.
    #[serde(default)]
    pub sign_in_epoch: u64,
    /// The keys of the person's devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passkeys: Vec<Passkey>,
    /// Whether a password alone does not sign the person in.
    #[serde(default)]
    pub passkey_required: bool,
    /// What other providers call the person: the provider's id and its name for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<(String, String)>,
}

/// A key of a device, whose secret the device keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passkey {
    /// The credential's id, in Base64 for addresses.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// What checks the device's signatures. Whoever made it knows what it says.
    pub key: Value,
}

/// People who see the same sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organisation {
    /// 32 hexadecimal digits.
    pub id: String,
    /// What people read.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// How often it was changed, by which whoever changes it says what he has read.
    #[serde(default)]
    pub version: u64,
    /// Who is what in it; one owner at least.
    pub members: Vec<Member>,
    /// Invitations that nobody has taken yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invitations: Vec<Invitation>,
}

/// What somebody is in an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The person.
    pub user_id: String,
    /// What he or she may do.
    pub role: Role,
    /// Since when.
    pub joined_at: DateTime<Utc>,
}

/// What a member may do. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the sites, and what is kept of them.
    Viewer,
    /// Adds sites, and changes them, their keys and what is kept of them.
    Editor,
    /// Says who is a member, and reads the audit log.
    Owner,
}

/// A place in an organisation for whoever has its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// 32 hexadecimal digits.
    pub id: String,
    /// BLAKE3 of its token, in hexadecimal. Tokens are random, so a plain hash cannot be guessed back.
    pub hash: String,
    /// What whoever takes it becomes.
    pub role: Role,
    /// The only address that may take it, if it is for one.
    pub email: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Role {
    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }
}

impl Accounts {
    /// The person of an id.
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The person of an address, which is in the form in which addresses are compared.
    pub fn user_of_email(&self, email: &str) -> Option<&User> {
        self.users.iter().find(|user| user.email == email)
    }

    /// The organisation of an id.
    pub fn organisation(&self, id: &str) -> Option<&Organisation> {
        self.organisations.iter().find(|organisation| organisation.id == id)
    }

    /// What somebody is in each organisation that he is a member of.
    pub fn memberships<'a>(&'a self, user_id: &'a str) -> impl Iterator<Item = (&'a Organisation, Role)> {
        self.organisations.iter().filter_map(move |organisation| Some((organisation, organisation.role_of(user_id)?)))
    }

    /// What no version of the document may be, in words; `None` if it may be.
    fn fault(&self) -> Option<String> {
        let twice = |user: &User| self.users.iter().filter(|other| other.email == user.email).count() > 1;
        if let Some(user) = self.users.iter().find(|user| twice(user)) {
            return Some(format!("the address {} would be two people's", user.email));
        }
        let is_owned = |organisation: &Organisation| organisation.members.iter().any(|one| one.role == Role::Owner);
        if let Some(organisation) = self.organisations.iter().find(|organisation| !is_owned(organisation)) {
            return Some(format!("the organisation {} would be without an owner", organisation.name));
        }
        None
    }
}

impl Organisation {
    /// What somebody is in it, if anything.
    pub fn role_of(&self, user_id: &str) -> Option<Role> {
        self.members.iter().find(|member| member.user_id == user_id).map(|member| member.role)
    }
}

impl Lake {
    /// The people and organisations as they are now.
    pub async fn accounts(&self) -> Result<Arc<Accounts>> {
        self.registry().known_document(ACCOUNTS, |accounts: Accounts| accounts).await
    }

    /// Changes people and organisations. `change` is asked again if somebody else was faster, with what he left.
    ///
    /// Fails as `change` does, and with [`LakeError::Invalid`] if two people would have one address or an organisation no
    /// owner.
    pub async fn change_accounts<R, E: From<LakeError>>(
        &self,
        mut change: impl FnMut(&mut Accounts) -> Result<R, E>,
    ) -> Result<R, E> {
        self.registry()
            .change_document(ACCOUNTS, |_, accounts: &mut Accounts| {
                let outcome = change(accounts)?;
                match accounts.fault() {
                    Some(reason) => Err(LakeError::Invalid { reason }.into()),
                    None => Ok(outcome),
                }
            })
            .await
    }

    /// A new id: 32 hexadecimal digits that nobody else has.
    pub fn new_id(&self) -> String {
        self.new_uuid().simple().to_string()
    }

    /// A new secret behind a beginning that says what it is for: 256 random bits in hexadecimal.
    pub fn new_secret(&self, beginning: &str) -> String {
        let bits = [self.new_uuid(), self.new_uuid(), self.new_uuid()].map(uuid::Uuid::into_bytes).concat();
        format!("{beginning}{}", blake3::hash(&bits).to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, email: &str) -> User {
        User {
            id: id.into(),
            email: email.into(),
            name: id.into(),
            created_at: DateTime::UNIX_EPOCH,
            password: None,
            sign_in_epoch: 0,
            passkeys: vec![],
            passkey_required: false,
            identities: vec![],
        }
    }

    fn organisation(members: &[(&str, Role)]) -> Organisation {
        let member = |(user_id, role): &(&str, Role)| Member {
            user_id: (*user_id).into(),
            role: *role,
            joined_at: DateTime::UNIX_EPOCH,
        };
        Organisation {
            id: "o".into(),
            name: "Shop".into(),
            created_at: DateTime::UNIX_EPOCH,
            version: 1,
            members: members.iter().map(member).collect(),
            invitations: vec![],
        }
    }

    async fn change(lake: &Lake, change: impl Fn(&mut Accounts)) -> Result<()> {
        lake.change_accounts(|accounts| {
            change(accounts);
            Ok::<_, LakeError>(())
        })
        .await
    }

    #[tokio::test]
    async fn an_address_is_one_persons_and_an_organisation_has_an_owner() {
        let lake = Lake::open("memory:///", []).unwrap();
        change(&lake, |accounts| accounts.users.push(user("a", "ada@example.com"))).await.unwrap();
        let twice = change(&lake, |accounts| accounts.users.push(user("b", "ada@example.com"))).await;
        assert!(matches!(twice, Err(LakeError::Invalid { .. })), "{twice:?}");
        let orphan = organisation(&[("a", Role::Editor)]);
        let orphaned = change(&lake, |accounts| accounts.organisations.push(orphan.clone())).await;
        assert!(matches!(orphaned, Err(LakeError::Invalid { .. })), "{orphaned:?}");
        let owned = organisation(&[("a", Role::Owner)]);
        change(&lake, |accounts| accounts.organisations.push(owned.clone())).await.unwrap();
        let accounts = lake.accounts().await.unwrap();
        assert_eq!(accounts.users.len(), 1);
        assert_eq!(accounts.memberships("a").map(|(_, role)| role).collect::<Vec<_>>(), [Role::Owner]);
    }

    #[tokio::test]
    async fn writers_at_the_same_time_lose_nothing_and_one_address_goes_to_one_of_them() {
        let lake = Lake::open("memory:///", []).unwrap();
        let added = futures::future::join_all((0..8).map(|id| {
            let lake = &lake;
            async move {
                let id = id.to_string();
                change(lake, |accounts| accounts.users.push(user(&id, &format!("{id}@example.com")))).await.unwrap();
                change(lake, |accounts| accounts.users.push(user(&format!("{id}b"), "one@example.com"))).await.is_ok()
            }
        }))
        .await;
        assert_eq!(added.iter().filter(|added| **added).count(), 1);
        assert_eq!(lake.accounts().await.unwrap().users.len(), 9);
    }
}
