//! Ends a session's query when another connection asks for it and knows the session's secret.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::random;
use tokio_util::sync::CancellationToken;

/// The queries that can be ended, by session.
#[derive(Default)]
pub(crate) struct Cancellations {
    sessions: Mutex<HashMap<i32, Session>>,
}

struct Session {
    secret: i32,
    query: Option<CancellationToken>,
}

/// A session's place among them. Dropped, it is free.
pub(crate) struct CancelKey {
    all: Arc<Cancellations>,
    pub(crate) process: i32,
    pub(crate) secret: i32,
}

impl Cancellations {
    /// A place for a session.
    pub(crate) fn join(self: &Arc<Self>) -> CancelKey {
        let mut sessions = self.sessions.lock();
        let process = loop {
            let process = random::<i32>() & i32::MAX;
            if process != 0 && !sessions.contains_key(&process) {
                break process;
            }
        };
        let secret = random();
        sessions.insert(process, Session { secret, query: None });
        CancelKey { all: self.clone(), process, secret }
    }

    /// Ends the query of a session, if the secret is its own and it runs one. Nobody is told whether it was.
    pub(crate) fn cancel(&self, process: i32, secret: i32) {
        let sessions = self.sessions.lock();
        if let Some(session) = sessions.get(&process)
            && session.secret == secret
            && let Some(query) = &session.query
        {
            query.cancel();
        }
    }
}

impl CancelKey {
    /// A query begins: what ends it.
    pub(crate) fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(session) = self.all.sessions.lock().get_mut(&self.process) {
            session.query = Some(token.clone());
        }
        token
    }

    /// The query is over: what comes too late ends nothing that comes after it.
    pub(crate) fn end(&self) {
        if let Some(session) = self.all.sessions.lock().get_mut(&self.process) {
            session.query = None;
        }
    }
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        self.all.sessions.lock().remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_query_ends_and_only_with_its_secret() {
        let all = Arc::new(Cancellations::default());
        let key = all.join();
        let first = key.begin();
        all.cancel(key.process, key.secret.wrapping_add(1));
        assert!(!first.is_cancelled());
        key.end();
        all.cancel(key.process, key.secret);
        assert!(!first.is_cancelled(), "it was over");
        let second = key.begin();
        all.cancel(key.process, key.secret);
        assert!(second.is_cancelled());
        drop(key);
        assert!(all.sessions.lock().is_empty());
    }
}
