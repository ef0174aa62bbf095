//! Who does something, and what he may. Pure.

use lake::{Accounts, Organisation, Role};

use crate::error::{AccountsError, not_found};

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever runs the installation: he has the server's token, or sits at the machine.
    Operator,
    /// A person.
    Person {
        /// The id.
        user_id: String,
        /// The address, for the audit log.
        email: String,
    },
}

impl Actor {
    /// The person's id.
    pub fn user_id(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Person { user_id, .. } => Some(user_id),
        }
    }

    /// The person's address.
    pub fn email(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Person { email, .. } => Some(email),
        }
    }

    /// What he is in an organisation, if anything. The operator owns all, and what is of none.
    ///
    /// - `organisation`: `None` for what belongs to no organisation.
    pub fn role_in(&self, accounts: &Accounts, organisation: Option<&str>) -> Option<Role> {
        match (self, organisation) {
            (Self::Operator, None) => Some(Role::Owner),
            (Self::Operator, Some(id)) => accounts.organisation(id).map(|_| Role::Owner),
            (Self::Person { .. }, None) => None,
            (Self::Person { user_id, .. }, Some(id)) => accounts.organisation(id)?.role_of(user_id),
        }
    }
}

/// The organisation, of somebody who has this role in it or a higher one. To whoever is no member it is not there.
pub(crate) fn organisation_for<'a>(
    accounts: &'a mut Accounts,
    actor: &Actor,
    id: &str,
    needed: Role,
) -> Result<&'a mut Organisation, AccountsError> {
    let role = actor.role_in(accounts, Some(id));
    may(role, needed, || format!("there is no organisation {id}"))?;
    let found = accounts.organisations.iter_mut().find(|organisation| organisation.id == id);
    found.ok_or_else(|| not_found(format!("there is no organisation {id}")))
}

/// Whether somebody of a role may do what another needs.
///
/// - `missing`: the words for somebody who may not know that there is such a thing.
pub fn may(role: Option<Role>, needed: Role, missing: impl Fn() -> String) -> Result<(), AccountsError> {
    match role {
        None => Err(not_found(missing())),
        Some(role) if role >= needed => Ok(()),
        Some(role) => Err(AccountsError::MayNot {
            reason: match needed {
                Role::Owner => format!("you are {} here: an owner may do that", role.name()),
                _ => format!("you are {} here: an editor or an owner may do that", role.name()),
            },
        }),
    }
}
