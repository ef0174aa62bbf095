//! Work that serves everyone who asked for it before it began.
//!
//! The collector commits in groups; this is the same for reading. While one value is being made, those who ask for it
//! wait together for the next one, which begins when this one is done. So nobody gets a value that is older than their
//! question, and however many ask, at most one value is being made and one is waited for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, WeakShared};
use parking_lot::Mutex;

use crate::error::EngineError;

/// A value or an error, for everyone who waited for it.
pub(crate) type SharedResult<T> = Result<Arc<T>, Arc<EngineError>>;

type Making<T> = BoxFuture<'static, SharedResult<T>>;

/// The group that waits, and the turn of the one whose value is being made.
pub(crate) struct Group<T> {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What those who ask now wait for: its making has not begun. It lives for as long as one of them waits.
    next: Arc<Mutex<Option<WeakShared<Making<T>>>>>,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self { turn: Arc::default(), next: Arc::default() }
    }
}

impl<T: Send + Sync + 'static> Group<T> {
    /// A value that `make` began to make after this call.
    ///
    /// Whoever of the group is still there drives the work: a caller that goes away takes nothing from the others, and
    /// work that nobody waits for any more is dropped.
    pub(crate) async fn join<F>(&self, make: impl FnOnce() -> F + Send + 'static) -> SharedResult<T>
    where
        F: Future<Output = Result<T, EngineError>> + Send + 'static,
    {
        let making = {
            let mut next = self.next.lock();
            match next.as_ref().and_then(WeakShared::upgrade) {
                Some(making) => making,
                None => {
                    let making = self.make_in_turn(make).shared();
                    *next = making.downgrade();
                    making
                }
            }
        };
        making.await
    }

    fn make_in_turn<F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Making<T>
    where
        F: Future<Output = Result<T, EngineError>> + Send + 'static,
    {
        let (turn, next) = (self.turn.clone(), self.next.clone());
        async move {
            let _turn = turn.lock().await;
            // From here on nobody joins this group. The lock orders this before the work and after every join.
            *next.lock() = None;
            match AssertUnwindSafe(make()).catch_unwind().await {
                Ok(made) => made.map(Arc::new).map_err(Arc::new),
                Err(_) => Err(Arc::new(EngineError::Defect { message: "reading the lake panicked".into() })),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::sync::Semaphore;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    /// Makes numbers from 1 on, each once the gate lets it.
    #[derive(Clone)]
    struct Numbers {
        group: Arc<Group<usize>>,
        begun: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
    }

    impl Numbers {
        fn new() -> Self {
            Self { group: Arc::default(), begun: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
        }

        /// Somebody who asks now and waits.
        async fn ask(&self) -> JoinHandle<SharedResult<usize>> {
            let this = self.clone();
            let asked = tokio::spawn(async move {
                let (begun, gate) = (this.begun.clone(), this.gate.clone());
                let make = move || async move {
                    let number = begun.fetch_add(1, SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    Ok(number)
                };
                this.group.join(make).await
            });
            settle().await;
            asked
        }

        fn begun(&self) -> usize {
            self.begun.load(SeqCst)
        }
    }

    /// Lets every task go as far as it can.
    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    async fn number(asked: JoinHandle<SharedResult<usize>>) -> usize {
        *asked.await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn those_who_come_while_one_is_made_share_the_next() {
        let numbers = Numbers::new();
        let first = numbers.ask().await;
        let mut others = Vec::new();
        for _ in 0..11 {
            others.push(numbers.ask().await);
        }
        assert_eq!(numbers.begun(), 1);
        numbers.gate.add_permits(2);
        assert_eq!(number(first).await, 1);
        for other in others {
            assert_eq!(number(other).await, 2);
        }
        assert_eq!(numbers.begun(), 2);
    }

    #[tokio::test]
    async fn nobody_gets_what_began_before_they_came() {
        let numbers = Numbers::new();
        let (first, second) = (numbers.ask().await, numbers.ask().await);
        numbers.gate.add_permits(1);
        assert_eq!(number(first).await, 1);
        settle().await;
        // The second has begun.
        assert_eq!(numbers.begun(), 2);
        let third = numbers.ask().await;
        numbers.gate.add_permits(2);
        assert_eq!((number(second).await, number(third).await), (2, 3));
        // Nothing is kept for those who come when nobody waits.
        numbers.gate.add_permits(1);
        assert_eq!(number(numbers.ask().await).await, 4);
    }

    #[tokio::test]
    async fn the_first_of_a_group_may_go_away_and_the_others_get_the_value() {
        for leaves_while_it_is_made in [false, true] {
            let numbers = Numbers::new();
            let running = numbers.ask().await;
            let (leader, follower) = (numbers.ask().await, numbers.ask().await);
            if leaves_while_it_is_made {
                numbers.gate.add_permits(1);
                settle().await;
                assert_eq!(numbers.begun(), 2);
            }
            leader.abort();
            settle().await;
            numbers.gate.add_permits(2);
            assert_eq!((number(running).await, number(follower).await), (1, 2));
        }
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_makes_room_for_the_next() {
        let numbers = Numbers::new();
        let (running, waiting) = (numbers.ask().await, numbers.ask().await);
        running.abort();
        settle().await;
        // Its turn was over when it was dropped, without the gate.
        assert_eq!(numbers.begun(), 2);
        waiting.abort();
        settle().await;
        numbers.gate.add_permits(1);
        assert_eq!(number(numbers.ask().await).await, 3);
    }

    #[tokio::test]
    async fn an_error_is_everyones_and_the_next_begins_anew() {
        let group: Arc<Group<usize>> = Arc::default();
        let gate = Arc::new(Semaphore::new(0));
        let ask = |fails: bool| {
            let (group, gate) = (group.clone(), gate.clone());
            let make = move || async move {
                gate.acquire().await.unwrap().forget();
                match fails {
                    true => Err(EngineError::Defect { message: "no".into() }),
                    false => Ok(7),
                }
            };
            tokio::spawn(async move { group.join(make).await })
        };
        let first = ask(false);
        settle().await;
        let (second, third) = (ask(true), ask(true));
        settle().await;
        gate.add_permits(3);
        assert_eq!(number(first).await, 7);
        for failed in [second, third] {
            assert!(matches!(&*failed.await.unwrap().unwrap_err(), EngineError::Defect { .. }));
        }
        assert_eq!(number(ask(false)).await, 7);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_group_alone() {
        let group: Group<usize> = Group::default();
        let panicking = group.join(|| async { panic!("as the test wants") }).await;
        assert!(matches!(&*panicking.unwrap_err(), EngineError::Defect { .. }));
        assert_eq!(*group.join(|| async { Ok(1) }).await.unwrap(), 1);
    }
}
