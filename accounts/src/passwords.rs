//! Passwords: which may be, their hashes, and how many are hashed at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use crate::error::{AccountsError, invalid};

/// What OWASP recommends for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;

/// Hashed at the same time: each takes 19 MiB and a core.
const CONCURRENT: usize = 2;

/// For how long a sign-in waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Characters of a password.
const CHARACTERS_MIN: usize = 10;
const BYTES_MAX: usize = 1_024;

/// The hash of nobody's password, which is checked for an address that nobody has: so that takes as long.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cy1zYWx0LTE2$Hk0tTlmF4pYn8m6q8yYw0m0JmI1m3Vq1W0aQk3bq0dE";

/// Hashes passwords, so many at a time.
pub(crate) struct Passwords {
    turns: Semaphore,
    hashed: AtomicU64,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { turns: Semaphore::new(CONCURRENT), hashed: AtomicU64::new(0) }
    }

    /// How many hashes were computed so far, by which tests tell that two requests take the same work.
    pub(crate) fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// The hash of a new password, as a PHC text.
    ///
    /// - `salt`: random, never used before.
    pub(crate) async fn hash(&self, password: &str, salt: Uuid) -> Result<String, AccountsError> {
        check(password)?;
        let (password, salt) = (password.to_owned(), salt.into_bytes());
        self.work(move || {
            let salt = SaltString::encode_b64(&salt).expect("sixteen bytes are a salt");
            let hash = hasher().hash_password(password.as_bytes(), &salt).expect("a password of this length is hashed");
            hash.to_string()
        })
        .await
    }

    /// Whether a password is the one of a hash. Without one it is none, which takes as long to say.
    pub(crate) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, AccountsError> {
        // Hashing very long texts would be work for nothing; nobody has one.
        let is_possible = password.len() <= BYTES_MAX;
        let password = if is_possible { password.to_owned() } else { String::new() };
        let is_known = hash.is_some() && is_possible;
        let hash = hash.unwrap_or(NOBODYS).to_owned();
        let is_right = self
            .work(move || {
                let hash = PasswordHash::new(&hash);
                // Compared in constant time, by `password_hash`.
                hash.is_ok_and(|hash| hasher().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(is_right && is_known)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccountsError> {
        let turn = timeout(WAIT_MAX, self.turns.acquire()).await.map_err(|_| AccountsError::Busy)?;
        let _turn = turn.expect("the turns are never closed");
        self.hashed.fetch_add(1, Ordering::Relaxed);
        Ok(tokio::task::spawn_blocking(work).await.expect("hashing does not panic"))
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("these are parameters of argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Whether a new password may be. Long ones may be anything.
fn check(password: &str) -> Result<(), AccountsError> {
    let mut distinct: Vec<char> = password.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    match password.chars().count() {
        CHARACTERS_MIN.. if password.len() <= BYTES_MAX && distinct.len() > 3 => Ok(()),
        CHARACTERS_MIN.. if password.len() <= BYTES_MAX => {
            Err(invalid("a password has more than three different characters"))
        }
        _ => {
            Err(invalid(format!("a password has at least {CHARACTERS_MIN} characters, and at most {BYTES_MAX} bytes")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse battery", Uuid::from_u128(7)).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(!hash.contains("correct"));
        for (password, is_right) in [
            ("correct horse battery", true),
            ("correct horse batterz", false),
            ("Correct horse battery", false),
            ("", false),
        ] {
            assert_eq!(passwords.verify(password, Some(&hash)).await.unwrap(), is_right, "{password}");
        }
        assert_ne!(passwords.hash("correct horse battery", Uuid::from_u128(8)).await.unwrap(), hash);
    }

    #[tokio::test]
    async fn a_password_of_nobody_takes_the_same_work_and_is_wrong() {
        let passwords = Passwords::new();
        assert!(PasswordHash::new(NOBODYS).is_ok());
        for (password, hash) in [("x", None), (&*"x".repeat(2_000), None), ("", Some("damaged"))] {
            let before = passwords.hashed();
            assert!(!passwords.verify(password, hash).await.unwrap());
            assert_eq!(passwords.hashed(), before + 1);
        }
    }

    #[test]
    fn short_and_monotonous_passwords_are_refused() {
        for password in ["", "123456789", "aaaaaaaaaaaa", "abababababab", &"xyz!".repeat(300)] {
            assert!(check(password).is_err(), "{password}");
        }
        for password in ["1234567890", "pässwörter", "correct horse battery"] {
            assert!(check(password).is_ok(), "{password}");
        }
    }
}
