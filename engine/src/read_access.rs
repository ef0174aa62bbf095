//! Who may read: the lake's read keys, as fresh as they need to be.
//!
//! They are read when somebody asks and not at an interval, so a server that nobody asks costs no requests.

use std::sync::Arc;
use std::time::Duration;

use lake::{Lake, LakeError, ReadKey, ReadKeys, is_read_key};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// For how long a key is believed. A revoked one works no longer than this.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// The pause between readings, so that a flood of unknown keys cannot hammer the store.
const PAUSE: Duration = Duration::from_secs(1);

/// The store has this long to answer. Whoever brings an unknown key waits for it.
const READING_TIMEOUT: Duration = Duration::from_secs(5);

/// The read keys of a lake. They are read again for a key that is not known, so a new one works at once, and for one that
/// was read more than five seconds ago.
pub struct ReadAccess {
    lake: Lake,
    state: RwLock<State>,
    /// Held by whoever reads, so that all who wait share what he finds.
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Arc<ReadKeys>,
    /// When the last reading began.
    read_at: Option<Instant>,
    /// Why the last reading failed, if it did.
    failed: Option<String>,
}

impl ReadAccess {
    /// The keys of `lake`, of which none is read yet.
    pub fn new(lake: Lake) -> Self {
        Self { lake, state: RwLock::default(), turn: Mutex::default() }
    }

    /// The key that this text is; `None` if it is unknown or revoked.
    ///
    /// Fails with [`LakeError::Unavailable`] if the store cannot say. A key that was valid when it could stays so.
    pub async fn key(&self, text: &str) -> Result<Option<ReadKey>, LakeError> {
        // A text that cannot be a key is not worth a reading.
        if !is_read_key(text) {
            return Ok(None);
        }
        self.find(|keys| keys.key_of(text).cloned()).await
    }

    /// The key that has this prefix, which whoever names it has yet to prove; otherwise as [`key`](Self::key).
    pub async fn key_with_prefix(&self, prefix: &str) -> Result<Option<ReadKey>, LakeError> {
        self.find(|keys| keys.with_prefix(prefix).cloned()).await
    }

    async fn find(&self, find: impl Fn(&ReadKeys) -> Option<ReadKey>) -> Result<Option<ReadKey>, LakeError> {
        let came_at = Instant::now();
        let is_fresh = |state: &State| state.read_at.is_some_and(|at| at + FRESH_FOR > came_at);
        let known = || {
            let state = self.state.read();
            (find(&state.keys), is_fresh(&state))
        };
        if let (Some(key), true) = known() {
            return Ok(Some(key));
        }
        let _turn = self.turn.lock().await;
        // A reading that began after this call came answers it. An earlier one does not say whether an unknown key was
        // issued since.
        let last = self.state.read().read_at;
        let is_answered = last.is_some_and(|at| at > came_at) || matches!(known(), (Some(_), true));
        if !is_answered {
            if let Some(at) = last {
                sleep_until(at + PAUSE).await;
            }
            self.read().await;
        }
        match (known().0, &self.state.read().failed) {
            (Some(key), _) => Ok(Some(key)),
            (None, None) => Ok(None),
            (None, Some(why)) => {
                Err(LakeError::Unavailable { action: "read the read keys".into(), source: why.clone().into() })
            }
        }
    }

    async fn read(&self) {
        let began_at = Instant::now();
        let read = timeout(READING_TIMEOUT, self.lake.read_keys()).await;
        let mut state = self.state.write();
        state.read_at = Some(began_at);
        let why = match read {
            Ok(Ok(keys)) => {
                (state.keys, state.failed) = (keys, None);
                return;
            }
            Ok(Err(error)) => lake::whole_text(&error),
            Err(elapsed) => elapsed.to_string(),
        };
        // Once per outage, not once per try.
        if state.failed.replace(why.clone()).is_none() {
            tracing::warn!(why, "could not read the read keys; known ones stay valid");
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use object_store::ObjectStoreExt;
    use object_store::path::Path;

    use super::*;

    const NOW: DateTime<chrono::Utc> = DateTime::UNIX_EPOCH;

    async fn issue(lake: &Lake) -> String {
        lake.add_read_key(&["shop".into()], "", NOW).await.unwrap().read_key
    }

    async fn is_valid(access: &ReadAccess, key: &str) -> bool {
        access.key(key).await.unwrap().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_works_at_once_and_a_revoked_one_for_five_seconds_more_at_most() {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.add_site("shop", NOW).await.unwrap();
        let access = ReadAccess::new(lake.clone());
        let one = issue(&lake).await;
        assert!(is_valid(&access, &one).await);
        let two = issue(&lake).await;
        assert!(is_valid(&access, &two).await && access.key_with_prefix(&two[..12]).await.unwrap().is_some());
        lake.revoke_read_key(&one, NOW).await.unwrap();
        tokio::time::advance(FRESH_FOR).await;
        assert!(!is_valid(&access, &one).await && is_valid(&access, &two).await);
        assert!(!is_valid(&access, "dpr_guess").await && !is_valid(&access, "").await);
    }

    #[tokio::test(start_paused = true)]
    async fn known_keys_outlive_a_registry_that_cannot_be_read_and_nobody_else_is_refused_for_good() {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.add_site("shop", NOW).await.unwrap();
        let access = ReadAccess::new(lake.clone());
        let known = issue(&lake).await;
        assert!(is_valid(&access, &known).await);
        lake.store().put(&Path::from("registry/read_keys/000000000009.json"), "{".into()).await.unwrap();
        tokio::time::advance(FRESH_FOR).await;
        assert!(is_valid(&access, &known).await);
        let unknown = access.key(&known.replace(&known[20..], &"0".repeat(24))).await;
        assert!(matches!(unknown, Err(LakeError::Unavailable { .. })), "{unknown:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_unknown_keys_is_one_reading_a_second() {
        let access = ReadAccess::new(Lake::open("memory:///", []).unwrap());
        let began_at = Instant::now();
        let guesses = (0..50).map(|n| format!("dpr_{n:040}"));
        let access = &access;
        futures::future::join_all(guesses.map(async |guess| assert!(!is_valid(access, &guess).await))).await;
        assert!(began_at.elapsed() <= PAUSE, "{:?}", began_at.elapsed());
        assert!(!is_valid(access, &format!("dpr_{:040}", 99)).await);
        assert!(began_at.elapsed() >= PAUSE);
    }
}
