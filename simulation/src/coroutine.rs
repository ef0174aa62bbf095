//! Runs blocking work as coroutines, one step at a time.
//!
//! The Delta kernel blocks its thread while its I/O runs elsewhere. Here each kernel call has a thread of its own, but only
//! one thread of the whole simulation runs at any time: the runtime waits while the call computes, and the call waits while
//! the runtime does the I/O, along with everything else due at that simulated time. The runtime therefore decides the order
//! of all operations, and it follows from the seed.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use delta_kernel::{KernelError, KernelResult};
use delta_kernel_default_engine::executor::TaskExecutor;
use futures::future::{BoxFuture, FutureExt};
use lake::{Panicked, Threads};
use parking_lot::Mutex;
use tokio::runtime::{EnterGuard, Handle};

use crate::fault_store::atomically;

/// What a call asks of the runtime.
enum Request {
    /// Run this future, which sends its output back itself.
    Run(BoxFuture<'static, ()>),
    /// The call has returned, or panicked.
    Ended { well: bool },
}

thread_local! {
    /// The channel to the runtime, on a thread that runs a call.
    static RUNTIME: RefCell<Option<Sender<Request>>> = const { RefCell::new(None) };
}

/// The kernel's executor and the lake's threads, as coroutines of the runtime in which this was created.
#[derive(Clone)]
pub struct Coroutines {
    runtime: Handle,
}

impl Coroutines {
    /// Must be called within the simulation's runtime.
    pub fn new() -> Self {
        Self { runtime: Handle::current() }
    }
}

impl Threads for Coroutines {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, Result<(), Panicked>> {
        async move {
            let (sender, requests) = channel();
            on_a_thread(Box::new(move || {
                RUNTIME.set(Some(sender.clone()));
                let well = catch_unwind(AssertUnwindSafe(work)).is_ok();
                RUNTIME.set(None);
                // Nobody listens if the process has been killed in the meantime.
                let _ = sender.send(Request::Ended { well });
            }));
            loop {
                match requests.recv() {
                    Ok(Request::Run(io)) => io.await,
                    Ok(Request::Ended { well: true }) => return Ok(()),
                    Ok(Request::Ended { well: false }) | Err(_) => return Err(Panicked),
                }
            }
        }
        .boxed()
    }
}

type Work = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Idle workers of the simulation on this thread: starting one takes longer than most calls. They are not shared with
    /// other simulations, because a worker stays on the core of the thread that started it.
    static IDLE: Arc<Mutex<Vec<Sender<Work>>>> = Arc::default();
}

/// Runs `work` on a worker thread that does nothing else meanwhile.
fn on_a_thread(work: Work) {
    let idle = IDLE.with(Arc::clone);
    let next = idle.lock().pop();
    let worker = next.unwrap_or_else(|| {
        let (worker, works) = channel::<Work>();
        let again = worker.clone();
        thread::spawn(move || {
            for work in works {
                work();
                idle.lock().push(again.clone());
            }
        });
        worker
    });
    worker.send(work).expect("an idle thread waits for work");
}

/// Unwinds the thread of a call whose process was killed.
struct Killed;

impl TaskExecutor for Coroutines {
    type Guard<'a> = EnterGuard<'a>;

    fn block_on<T>(&self, task: T) -> T::Output
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        let Some(runtime) = RUNTIME.with_borrow(Clone::clone) else {
            // The runtime itself is here, inside the I/O of another call: a checkpoint reads while it writes.
            return atomically(|| futures::executor::block_on(task));
        };
        let (sender, output) = channel();
        let io = async move { drop(sender.send(task.await)) };
        let asked = runtime.send(Request::Run(io.boxed())).is_ok();
        match output.recv() {
            Ok(output) if asked => output,
            _ => resume_unwind(Box::new(Killed)),
        }
    }

    fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime.spawn(task);
    }

    fn spawn_blocking<T, R>(&self, task: T) -> BoxFuture<'_, KernelResult<R>>
    where
        T: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        async move { Ok::<_, KernelError>(task()) }.boxed()
    }

    fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}
