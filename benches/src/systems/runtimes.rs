//! The tokio runtimes of the systems that live on tokio (raw tokio, ractor, kameo).

use tokio::runtime::{Builder, Runtime};

/// A runtime as `#[tokio::main]` makes it, with this many worker threads.
pub(super) fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("a runtime can be started")
}

/// Runs `driver` on a worker of the runtime, not on this thread, and returns its result.
pub(super) fn drive<F>(runtime: &Runtime, driver: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.block_on(runtime.spawn(driver)).expect("the driver of the scenario does not panic")
}
