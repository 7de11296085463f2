//! The desk between the port and the disk: jobs that wait for a commit, hints that wait for a convenient one, and the
//! thread that carries both there, all that wait in one transaction.
//!
//! Knows when to write; knows neither SQL nor what a message means.

use super::disk::{Disk, Failed};
use super::memory::{Hints, Id, Micros, Shelf, receipt};
use crate::embedded::clock;
use sale::ports::{Effect, Fault, Half, Parked, Receipt};
use sale::words::Time;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// A failing disk is not asked more often than this for hints alone.
const HINTS_AGAIN_US: Micros = 200_000;
/// Transactions after which an idle moment is used to fold the log into the file.
const FOLD_AFTER: u64 = 64;

type Answer<T> = oneshot::Sender<Result<T, Fault>>;

/// What is answered after a commit.
#[derive(Debug)]
pub(super) enum Job {
    Prepare {
        half: Half,
        answer: Answer<Receipt>,
    },
    Park {
        id: Id,
        reason: String,
        at: Time,
        answer: Answer<()>,
    },
    Replay {
        parked: Id,
        answer: Answer<bool>,
    },
    /// Changes nothing.
    Pregrow {
        answer: Answer<()>,
    },
    /// Reads only.
    Parked {
        after: u64,
        max: usize,
        answer: Answer<Vec<Parked>>,
    },
}

impl Job {
    /// Half messages that it brings, and the bytes of their bodies.
    fn prepares(&self) -> (usize, usize) {
        match self {
            Self::Prepare { half, .. } => (1, half.body.len()),
            Self::Park { .. } | Self::Replay { .. } | Self::Pregrow { .. } | Self::Parked { .. } => (0, 0),
        }
    }
}

/// What callers and the thread share.
#[derive(Debug)]
pub(super) struct Desk {
    open: Mutex<Open>,
    work: Condvar,
    /// Wakes somebody who waits for committed messages.
    pub(super) arrived: Notify,
    /// Wakes who waits for checks, at the end only: checks come by time.
    pub(super) asked: Notify,
    pub(super) commits: AtomicU64,
    check_after: Micros,
    hint_after: Micros,
}

/// What lies on the desk.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) shelf: Shelf,
    pub(super) jobs: Vec<Job>,
    /// Half messages that are on their way to the disk, and the bytes of their bodies.
    pub(super) preparing: (usize, usize),
    /// When the oldest hint that the disk has not seen must go there by itself.
    hints_due: Option<Micros>,
    /// The thread waits without a limit and must be woken for a hint too.
    asleep: bool,
    stop: bool,
    /// The thread is gone: nothing will be answered any more.
    pub(super) gone: bool,
}

impl Open {
    /// The job is no longer on its way to the disk.
    fn left(&mut self, job: &Job) {
        let (halves, bytes) = job.prepares();
        self.preparing = (self.preparing.0 - halves, self.preparing.1 - bytes);
    }
}

impl Desk {
    pub(super) fn new(shelf: Shelf, check_after: Micros, hint_after: Micros) -> Self {
        let open = Open { shelf, jobs: Vec::new(), preparing: (0, 0), hints_due: None, asleep: false, stop: false, gone: false };
        Self {
            open: Mutex::new(open),
            work: Condvar::new(),
            arrived: Notify::new(),
            asked: Notify::new(),
            commits: AtomicU64::new(0),
            check_after,
            hint_after,
        }
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Open> {
        // A panic under the lock stops the queue's thread, which says so by `gone`; callers only change what is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays a job on the desk and wakes the thread.
    pub(super) fn push(&self, mut open: MutexGuard<'_, Open>, job: Job) {
        let (halves, bytes) = job.prepares();
        open.preparing = (open.preparing.0 + halves, open.preparing.1 + bytes);
        open.jobs.push(job);
        drop(open);
        self.work.notify_one();
    }

    /// Sees to it that what changed in memory reaches the disk, by and by.
    pub(super) fn hinted(&self, mut open: MutexGuard<'_, Open>) {
        if open.hints_due.is_some() || !open.shelf.has_hints() {
            return;
        }
        open.hints_due = Some(clock::elapsed_us() + self.hint_after);
        let wake = open.asleep;
        drop(open);
        if wake {
            self.work.notify_one();
        }
    }

    /// Lets the thread write what waits and end.
    pub(super) fn stop(&self) {
        self.open().stop = true;
        self.work.notify_one();
    }

    /// The thread's life.
    pub(super) fn run(&self, mut disk: Disk) {
        let _gone = Gone(self);
        let mut unfolded = 0;
        while let Some((jobs, hints)) = self.next(&mut disk, &mut unfolded) {
            unfolded += 1;
            self.write(&mut disk, jobs, hints);
        }
    }

    /// Waits for work and takes all of it. `None`: the end.
    fn next(&self, disk: &mut Disk, unfolded: &mut u64) -> Option<(Vec<Job>, Hints)> {
        let mut open = self.open();
        // After work, stay awake once for as long as a hint may wait: the hints that follow a commit need no waking then.
        let mut linger = true;
        loop {
            let now = clock::elapsed_us();
            let hints_due = open.hints_due.is_some_and(|due| due <= now || open.stop);
            if !open.jobs.is_empty() || hints_due {
                open.hints_due = None;
                return Some((std::mem::take(&mut open.jobs), open.shelf.take_hints()));
            }
            if open.stop {
                return None;
            }
            let wait = match open.hints_due {
                Some(due) => due - now,
                None if linger => self.hint_after,
                None => {
                    if *unfolded >= FOLD_AFTER {
                        drop(open);
                        disk.fold_log();
                        *unfolded = 0;
                        open = self.open();
                        continue;
                    }
                    open.asleep = true;
                    open = self.work.wait(open).unwrap_or_else(PoisonError::into_inner);
                    open.asleep = false;
                    continue;
                }
            };
            let (again, timeout) = self.work.wait_timeout(open, Duration::from_micros(wait)).unwrap_or_else(PoisonError::into_inner);
            open = again;
            linger &= !timeout.timed_out();
        }
    }

    fn write(&self, disk: &mut Disk, jobs: Vec<Job>, hints: Hints) {
        let (reading, writing): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| matches!(job, Job::Parked { .. } | Job::Pregrow { .. }));
        if !writing.is_empty() || !hints.is_empty() {
            match transaction(disk, &writing, &hints) {
                Ok(done) => {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    self.wrote(writing, done);
                }
                Err(fault) => {
                    {
                        let mut open = self.open();
                        writing.iter().for_each(|job| open.left(job));
                        open.shelf.put_back(hints);
                        if open.shelf.has_hints() && !open.stop {
                            open.hints_due = Some(clock::elapsed_us() + HINTS_AGAIN_US);
                        }
                    }
                    refuse(writing, &fault);
                    // The disk may be full: this lets the next write use the log's room again.
                    disk.fold_log();
                }
            }
        }
        for job in reading {
            // Whoever gave up waiting has dropped the receiver.
            match job {
                Job::Parked { after, max, answer } => {
                    let _ = answer.send(disk.parked(after, max).map_err(|e| fault(disk, Effect::None, "read its parked messages", &e)));
                }
                Job::Pregrow { answer } => {
                    let _ = answer.send(disk.pregrow().map_err(|e| fault(disk, Effect::None, "grow its log", &e)));
                }
                job => unreachable!("{job:?} writes"),
            }
        }
    }

    /// The transaction stands: first the memory, then the answers.
    fn wrote(&self, jobs: Vec<Job>, done: Vec<Done>) {
        let mut answers: Vec<Box<dyn FnOnce()>> = Vec::with_capacity(jobs.len());
        let mut arrived = false;
        let mut open = self.open();
        let check_at = clock::elapsed_us() + self.check_after;
        for (job, done) in jobs.into_iter().zip(done) {
            open.left(&job);
            match (job, done) {
                (Job::Prepare { half, answer }, Done::Prepared(id)) => {
                    open.shelf.prepared(id, half.body, check_at);
                    answers.push(Box::new(move || drop(answer.send(Ok(receipt(id))))));
                }
                (Job::Park { id, answer, .. }, Done::Parked(moved)) => {
                    if moved {
                        open.shelf.parked(id);
                    }
                    answers.push(Box::new(move || drop(answer.send(Ok(())))));
                }
                (Job::Replay { answer, .. }, Done::Replayed(found)) => {
                    let replayed = found.is_some();
                    if let Some((id, body)) = found {
                        open.shelf.replayed(id, body);
                        arrived = true;
                    }
                    answers.push(Box::new(move || drop(answer.send(Ok(replayed)))));
                }
                (job, done) => unreachable!("{job:?} is not answered by {done:?}"),
            }
        }
        drop(open);
        for answer in answers {
            answer();
        }
        if arrived {
            self.arrived.notify_one();
        }
    }
}

/// What a job came to, while its transaction is open.
#[derive(Debug)]
enum Done {
    Prepared(Id),
    Parked(bool),
    Replayed(Option<(Id, Vec<u8>)>),
}

fn transaction(disk: &mut Disk, jobs: &[Job], hints: &Hints) -> Result<Vec<Done>, Fault> {
    let written = disk
        .begin()
        .and_then(|()| disk.hints(hints))
        .and_then(|()| jobs.iter().map(|job| perform(disk, job)).collect::<Result<Vec<_>, _>>());
    match written {
        Ok(done) => match disk.commit() {
            Ok(()) => Ok(done),
            Err(e) => {
                // What could not be written lacks its mark, which comes last. What could not be synced may be whole.
                let effect = if disk.roll_back() && Disk::wrote_no_commit(&e) { Effect::None } else { Effect::Unknown };
                Err(fault(disk, effect, "commit", &e))
            }
        },
        Err(e) => {
            let effect = if disk.roll_back() { Effect::None } else { Effect::Unknown };
            Err(fault(disk, effect, "write", &e))
        }
    }
}

fn perform(disk: &mut Disk, job: &Job) -> Result<Done, Failed> {
    match job {
        Job::Prepare { half, .. } => disk.prepare(half).map(Done::Prepared),
        Job::Park { id, reason, at, .. } => disk.park(*id, reason, *at).map(Done::Parked),
        Job::Replay { parked, .. } => disk.replay(*parked).map(Done::Replayed),
        Job::Pregrow { .. } | Job::Parked { .. } => unreachable!("what only reads stands in no transaction"),
    }
}

fn refuse(jobs: Vec<Job>, fault: &Fault) {
    for job in jobs {
        let fault = fault.clone();
        // Whoever gave up waiting has dropped the receiver.
        match job {
            Job::Prepare { answer, .. } => drop(answer.send(Err(fault))),
            Job::Park { answer, .. } => drop(answer.send(Err(fault))),
            Job::Replay { answer, .. } => drop(answer.send(Err(fault))),
            Job::Pregrow { answer } => drop(answer.send(Err(fault))),
            Job::Parked { answer, .. } => drop(answer.send(Err(fault))),
        }
    }
}

fn fault(disk: &Disk, effect: Effect, verb: &str, error: &Failed) -> Fault {
    Fault { effect, what: format!("the queue {} could not {verb}: {error}", disk.path().display()) }
}

/// Says that the thread is gone, however it went, and lets go of who still waits.
struct Gone<'a>(&'a Desk);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut open = self.0.open();
        open.gone = true;
        let jobs = std::mem::take(&mut open.jobs);
        drop(open);
        refuse(jobs, &Fault::none("the queue is closed"));
        self.0.arrived.notify_waiters();
        self.0.asked.notify_waiters();
    }
}
