//! A single-threaded executor in virtual time: which task goes next is drawn from a seed, and a group of tasks can die at
//! once, as a process does. It knows nothing of sales.

use sale::memory::ManualClock;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

/// Small, fast, and the same everywhere.
pub struct Random(Cell<u64>);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut z = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(z);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Tasks that live and die together.
pub type Group = u32;

/// The numbers of tasks that were woken, in their order; some may be gone.
type Woken = Arc<Mutex<Vec<usize>>>;

struct Bell {
    task: usize,
    woken: Woken,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        wake(&self.woken, self.task);
    }
}

fn lock(woken: &Woken) -> MutexGuard<'_, Vec<usize>> {
    woken.lock().expect("nobody panics with it")
}

fn wake(woken: &Woken, task: usize) {
    let mut woken = lock(woken);
    if let Err(place) = woken.binary_search(&task) {
        woken.insert(place, task);
    }
}

struct Task {
    group: Group,
    number: usize,
    waker: Waker,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// Runs tasks until a condition holds.
pub struct Executor {
    clock: Arc<ManualClock>,
    random: Option<Rc<Random>>,
    /// By number; those that are over leave their place empty.
    tasks: RefCell<Vec<Option<Task>>>,
    born: RefCell<Vec<Task>>,
    killed: RefCell<Vec<Group>>,
    frozen: RefCell<BTreeSet<Group>>,
    woken: Woken,
    /// Those that can go on, in a list that is kept from step to step.
    ready: RefCell<Vec<usize>>,
    next: Cell<usize>,
}

impl Executor {
    /// With `random`, the next task is drawn; without, tasks go in the order of their birth.
    pub fn new(clock: Arc<ManualClock>, random: Option<Rc<Random>>) -> Rc<Self> {
        Rc::new(Self {
            clock,
            random,
            tasks: RefCell::default(),
            born: RefCell::default(),
            killed: RefCell::default(),
            frozen: RefCell::default(),
            woken: Woken::default(),
            ready: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Adds a task to a group.
    pub fn spawn(&self, group: Group, future: impl Future<Output = ()> + 'static) {
        let number = self.next.replace(self.next.get() + 1);
        let waker = Waker::from(Arc::new(Bell { task: number, woken: Arc::clone(&self.woken) }));
        self.born.borrow_mut().push(Task { group, number, waker, future: Box::pin(future) });
    }

    /// All tasks of the group are gone before anything else runs.
    pub fn kill(&self, group: Group) {
        // Also those that were born a moment ago; whoever is born after this line lives.
        self.born.borrow_mut().retain(|task| task.group != group);
        self.killed.borrow_mut().push(group);
    }

    /// All tasks are gone: a world that is over holds itself by them.
    pub fn clear(&self) {
        let (tasks, born) = (std::mem::take(&mut *self.tasks.borrow_mut()), std::mem::take(&mut *self.born.borrow_mut()));
        drop((tasks, born));
    }

    /// Nothing of the group goes on until it is thawed, and time passes: a process that is stopped, or starved.
    pub fn freeze(&self, group: Group) {
        self.frozen.borrow_mut().insert(group);
    }

    /// The group goes on where it stood.
    pub fn thaw(&self, group: Group) {
        self.frozen.borrow_mut().remove(&group);
    }

    /// Runs until `done`, which is asked before every step, says so. `Err`: `steps_max` steps were not enough, or nothing can ever happen again.
    ///
    /// # Errors
    /// Why the condition never held.
    pub fn run_until(&self, steps_max: u64, done: impl Fn() -> bool) -> Result<u64, &'static str> {
        for step in 0..steps_max {
            if done() {
                return Ok(step);
            }
            self.births_and_deaths();
            self.find_ready();
            let ready = self.ready.borrow();
            let Some(&first) = ready.first() else {
                if !self.clock.advance_to_next() {
                    return Err("nothing can happen any more");
                }
                continue;
            };
            let id = self.random.as_ref().map_or(first, |random| ready[random.below(ready.len() as u64) as usize]);
            drop(ready);
            let mut task = self.tasks.borrow_mut()[id].take().expect("it was there a moment ago");
            lock(&self.woken).retain(|&woken| woken != id);
            if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_pending() {
                self.tasks.borrow_mut()[id] = Some(task);
            }
        }
        Err("too many steps")
    }

    fn find_ready(&self) {
        let (frozen, tasks, mut ready) = (self.frozen.borrow(), self.tasks.borrow(), self.ready.borrow_mut());
        ready.clear();
        lock(&self.woken).retain(|&id| {
            let Some(task) = &tasks[id] else { return false };
            if !frozen.contains(&task.group) {
                ready.push(id);
            }
            true
        });
    }

    fn births_and_deaths(&self) {
        let killed = std::mem::take(&mut *self.killed.borrow_mut());
        if !killed.is_empty() {
            let is_dead = |task: &Task| killed.contains(&task.group);
            let dead: Vec<_> = self.tasks.borrow_mut().iter_mut().filter_map(|task| task.take_if(|task| is_dead(task))).collect();
            drop(dead);
        }
        let (mut tasks, mut born) = (self.tasks.borrow_mut(), self.born.borrow_mut());
        tasks.resize_with(self.next.get(), || None);
        for task in born.drain(..) {
            wake(&self.woken, task.number);
            let place = task.number;
            tasks[place] = Some(task);
        }
    }
}

/// Lets every other task that can run go first, or not, as the seed says.
pub async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
