//! The only place that spawns. Every task has a name, a stop signal and a join. Knows which of the engine's passes go
//! round and how often; knows nothing of what they do.

use crate::config::{CLOCK_EVERY_MS, RECONCILE_EVERY_MS, WATCH_EVERY_MS};
use sale::ports::Fault;
use sale::purchase::Engine;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long one pass waits for work before it looks for the stop signal.
const PASS_WAIT_MS: u64 = 250;
/// Milliseconds between two looks at those who wait too long.
const PATIENCE_EVERY_MS: u64 = 20;
/// Milliseconds after a fault before the pass goes round again: the period is the retry.
const AFTER_FAULT_MS: u64 = 200;

/// All tasks of the process, in two crews: those that serve (they stop first) and those that finish what is on its way.
#[derive(Clone, Debug)]
pub struct Tasks {
    serving: TaskTracker,
    closing: CancellationToken,
    /// True before `closing` tells anybody.
    is_closing: Arc<AtomicBool>,
    working: TaskTracker,
    stopping: CancellationToken,
}

impl Tasks {
    /// Nothing runs.
    pub fn new() -> Self {
        Self {
            serving: TaskTracker::new(),
            closing: CancellationToken::new(),
            is_closing: Arc::default(),
            working: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Runs a task that serves, on the thread that calls; it looks at `closing` itself.
    pub fn serve(&self, task: impl Future<Output = ()> + Send + 'static) {
        start(&self.serving, task);
    }

    /// Starts this many threads that serve, each with a runtime of its own: a connection stays on its thread, and nothing
    /// is stolen. Each runs what `first` makes for it; the threads end when serving has ended.
    pub fn serve_on_threads<F>(&self, threads: usize, first: impl Fn() -> F) -> std::io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for number in 0..threads {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (tasks, first) = (self.clone(), first());
            std::thread::Builder::new().name(format!("http-{number}")).spawn(move || {
                runtime.block_on(async {
                    tasks.serve(first);
                    tasks.closing().await;
                    tasks.served().await;
                });
            })?;
        }
        Ok(())
    }

    /// Resolves when serving is to end.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Whether serving is to end: a look that costs nothing.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// The answer, unless serving is to end before there is one.
    pub async fn unless_closing<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = work => Some(answer),
            () = self.closing.cancelled() => None,
        }
    }

    /// Runs work to its end even if the asker goes away midway. `None`: it panicked, which was logged.
    pub async fn to_the_end<T: Send + 'static>(&self, name: &'static str, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        start(&self.serving, async move {
            // Nobody may be there any more to be told.
            let _ = tell.send(work.await);
        });
        match told.await {
            Ok(answer) => Some(answer),
            Err(_) => {
                tracing::error!(name, "a task ended in a panic");
                None
            }
        }
    }

    /// Starts the engine's passes. They stop last: they carry what is on its way.
    pub fn run_engine(&self, engine: &Arc<Engine>) {
        self.go_round("intake", engine, 0, |engine| async move {
            engine.intake_pass(PASS_WAIT_MS).await;
            Ok(())
        });
        self.go_round("record", engine, 0, |engine| async move { engine.record_pass(PASS_WAIT_MS).await });
        self.go_round("check-back", engine, 0, |engine| async move { engine.check_back_pass(PASS_WAIT_MS).await });
        self.go_round("reconcile", engine, RECONCILE_EVERY_MS, |engine| async move {
            let found = engine.reconcile_pass().await?;
            if !found.clean() {
                tracing::info!(?found, "the reconciler mended differences");
            }
            Ok(())
        });
        self.go_round("clock", engine, CLOCK_EVERY_MS, |engine| async move { engine.clock_pass().await });
        self.go_round("watch", engine, WATCH_EVERY_MS, |engine| async move {
            if let Some(what) = engine.take_fault() {
                tracing::warn!(what, "a store gave no answer; the protocol went on by another way");
            }
            engine.watch_pass().await
        });
        self.go_round("patience", engine, PATIENCE_EVERY_MS, |engine| async move {
            engine.patience_pass().await;
            Ok(())
        });
    }

    fn go_round<F>(&self, name: &'static str, engine: &Arc<Engine>, every_ms: u64, pass: impl Fn(Arc<Engine>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let (engine, stopping) = (engine.clone(), self.stopping.clone());
        start(&self.working, async move {
            let mut faulty = false;
            while !stopping.is_cancelled() {
                let pause_ms = match pass(engine.clone()).await {
                    Ok(()) => {
                        if std::mem::take(&mut faulty) {
                            tracing::info!(name, "works again");
                        }
                        every_ms
                    }
                    Err(fault) => {
                        // The first of a row; the metrics count the others.
                        if !std::mem::replace(&mut faulty, true) {
                            tracing::warn!(name, what = %fault.what, "a pass met a store that gave no answer; it goes round again");
                        }
                        every_ms.max(AFTER_FAULT_MS)
                    }
                };
                if pause_ms > 0 {
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
                        () = stopping.cancelled() => {}
                    }
                }
            }
        });
    }

    /// Tells everything that serves to end.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.closing.cancel();
        self.serving.close();
    }

    /// Resolves when nothing serves any more. After [`Tasks::close`].
    pub async fn served(&self) {
        self.serving.wait().await;
    }

    /// Tells the engine's passes to end and waits for them.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.working.close();
        self.working.wait().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that spawns: the tracker is the join")]
fn start(tracker: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(tracker.track_future(task));
}
