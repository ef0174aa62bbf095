//! Who may read what: the holder of a read key its sites, the holder of the token the whole lake.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use engine::ReadAccess;
use lake::{Lake, LakeError, ScramVerifier};
use rand::random;
use uuid::Uuid;

/// The user that reads the whole lake: with the token as password, or without one where none is needed.
pub(crate) const TOKEN_USER: &str = "dewpond";

/// How a user's name begins that is the beginning of a read key, and how long it is.
const KEY_BEGINNING: &str = "dpr_";
const PREFIX_CHARS: usize = 12;

/// What a client may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// All of the lake.
    Lake,
    /// The events of some sites.
    Sites(Vec<Arc<str>>),
}

/// What has to be shown by whoever says who he is.
pub(crate) enum Challenge {
    /// Nothing: the server listens on loopback and has no token.
    None(Access),
    /// Nothing would help: keys would, and this user names none. Only where whoever asks may know that.
    Nobody,
    /// The key.
    Key {
        verifier: ScramVerifier,
        /// What the key opens. `None` if there is no such key: the exchange goes on as if there were, and fails.
        access: Option<Access>,
    },
}

/// Keys to a lake.
pub(crate) struct Keys {
    lake: Lake,
    read_keys: ReadAccess,
    token: Option<ScramVerifier>,
    /// Users who need no key to read the whole lake.
    trusted: Vec<String>,
    /// Makes the salts of keys that do not exist: the same each time somebody asks.
    secret: u128,
}

impl Keys {
    /// - `trusted`: users who need no key to read the whole lake.
    pub(crate) fn new(lake: Lake, token: Option<&str>, trusted: Vec<String>) -> Self {
        let token = token.map(|token| ScramVerifier::new(token, Uuid::from_u128(random())));
        Self { read_keys: ReadAccess::new(lake.clone()), lake, token, trusted, secret: random() }
    }

    /// Whether anybody could log in.
    pub(crate) async fn are_there(&self) -> Result<bool, LakeError> {
        let keys = self.lake.read_keys().await?;
        Ok(self.token.is_some() || keys.keys().iter().any(|key| key.revoked_at.is_none()))
    }

    /// What a client has to show that calls itself `user`: the first characters of a read key.
    pub(crate) async fn challenge(&self, user: &str) -> Result<Challenge, LakeError> {
        if user == TOKEN_USER
            && let Some(token) = &self.token
        {
            return Ok(Challenge::Key { verifier: token.clone(), access: Some(Access::Lake) });
        }
        if !self.trusted.is_empty() && !user.starts_with(KEY_BEGINNING) {
            // A name that somebody believes to be confined must not read everything in silence.
            return Ok(match self.trusted.iter().any(|trusted| trusted == user) {
                true => Challenge::None(Access::Lake),
                false => Challenge::Nobody,
            });
        }
        // A name that cannot be a key's is not worth a reading.
        let key = match user.starts_with(KEY_BEGINNING) && user.len() == PREFIX_CHARS {
            true => self.read_keys.key_with_prefix(user).await?,
            false => None,
        };
        Ok(match key {
            Some(key) => Challenge::Key { access: Some(Access::Sites(key.sites)), verifier: key.scram },
            None => Challenge::Key { verifier: self.verifier_of_none(user), access: None },
        })
    }

    /// Whether a client may still read what it was let in for.
    pub(crate) async fn still_opens(&self, user: &str, access: &Access) -> Result<bool, LakeError> {
        match access {
            // Neither the token nor the trust ends while the server runs.
            Access::Lake => Ok(true),
            Access::Sites(sites) => {
                Ok(self.read_keys.key_with_prefix(user).await?.is_some_and(|key| key.sites == *sites))
            }
        }
    }

    /// Nobody has the key to this one. Whoever asks for the same name gets the same salt, as for a name that exists.
    fn verifier_of_none(&self, user: &str) -> ScramVerifier {
        let half = |which: u8| {
            let mut hasher = DefaultHasher::new();
            (self.secret, which, user).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        let salt = Uuid::from_u128((half(0) << 64) | half(1));
        ScramVerifier { salt, iterations: 4_096, stored_key: random(), server_key: random() }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    async fn opened(keys: &Keys, user: &str) -> String {
        match keys.challenge(user).await.unwrap() {
            Challenge::None(access) => format!("{access:?} for nothing"),
            Challenge::Nobody => "nobody".into(),
            Challenge::Key { access, .. } => format!("{access:?}"),
        }
    }

    #[tokio::test]
    async fn a_key_opens_its_sites_and_the_token_the_lake() {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.add_site("shop", DateTime::UNIX_EPOCH).await.unwrap();
        let key = lake.add_read_key(&["shop".to_owned()], "grafana", DateTime::UNIX_EPOCH).await.unwrap().read_key;

        let keys = Keys::new(lake.clone(), Some("secret"), vec![]);
        assert_eq!(opened(&keys, &key[..12]).await, "Some(Sites([\"shop\"]))");
        assert_eq!(opened(&keys, "dewpond").await, "Some(Lake)");
        for nobody in ["", "grafana", "shop", &key] {
            assert_eq!(opened(&keys, nobody).await, "None", "{nobody}");
        }
        // On loopback, whoever names a key has to show it.
        let trusting = Keys::new(lake, None, vec![TOKEN_USER.into(), "ada".into()]);
        assert_eq!(opened(&trusting, &key[..12]).await, "Some(Sites([\"shop\"]))");
        assert_eq!(opened(&trusting, "dpr_00000000").await, "None");
        for trusted in ["dewpond", "ada"] {
            assert_eq!(opened(&trusting, trusted).await, "Lake for nothing");
        }
        for nobody in ["postgres", "shop", "Dewpond", ""] {
            assert_eq!(opened(&trusting, nobody).await, "nobody");
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_has_a_salt_that_stays() {
        let keys = Keys::new(Lake::open("memory:///", []).unwrap(), Some("secret"), vec![]);
        let salt = async |user: &str| match keys.challenge(user).await.unwrap() {
            Challenge::Key { verifier, access: None } => verifier.salt,
            _ => panic!("{user} is nobody"),
        };
        assert_eq!(salt("a").await, salt("a").await);
        assert_ne!(salt("a").await, salt("b").await);
    }
}
