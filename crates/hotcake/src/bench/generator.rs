//! The load: one thread, non-blocking connections that are kept alive, as little work per request as it takes, because it
//! shares the machine with the server. Closed loop without a rate; with one, requests are due at fixed times and latency
//! counts from then, so that a slow server cannot slow its own measurement down.

use super::latency::Latency;
use super::line::Line;
use super::outcomes::{Outcome, Outcomes};
use super::run::{ANSWERED, CONFIRMED, End, Moment, OFFERED, Plan, Run, Steady, Stories};
use super::story::{Next, Step, Story};
use super::tokens::Tokens;
use super::wire::{self, Answer, Read, Requests, key_of};
use super::{clock, told};
use mio::event::Event;
use mio::{Events, Poll, Token};
use sale::books::Told;
use sale::order::Status;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Longest wait for the answer to one request; longer than any wait that is asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for all connections to stand.
const WARM_UP: Duration = Duration::from_secs(15);
/// How often slow things are looked at: time-outs, reconnects, the file of what was told, the live line.
const HOUSEKEEPING: Duration = Duration::from_millis(50);
/// Seconds that a look at an order waits for news.
const LOOK_WAIT_S: u32 = 3;

/// Runs the plan. `told` gets one line per purchase as its story ends; `live` is called now and then.
pub fn run(plan: &Plan, tokens: Tokens, told: Option<File>, live: &mut dyn FnMut(Moment)) -> std::io::Result<Run> {
    let mut load = Load::new(plan, tokens, told)?;
    if let Some(what) = load.warm_up()? {
        return Ok(load.finish(End::Unreachable(what)));
    }
    let end = load.drive(live)?;
    load.cut_the_rest();
    load.write_told()?;
    Ok(load.finish(end))
}

/// A request on its way: which purchase and which step. `None`: a warm-up.
type Job = Option<(u32, Step)>;

struct Load<'a> {
    plan: &'a Plan,
    requests: Requests,
    poll: Poll,
    lines: Vec<Line<Job>>,
    /// Lines that carried nothing when they were put here.
    idle: Vec<usize>,
    scratch: Vec<u8>,
    stories: Stories,
    /// When each purchase was due.
    due: Vec<Instant>,
    /// Steps that wait for their time.
    later: BinaryHeap<Reverse<(Instant, u32, Step)>>,
    /// The warm-up is over.
    running: bool,
    start: Instant,
    last_start: Instant,
    last_answer: Instant,
    ended: u32,
    outcomes: Outcomes,
    answered: Latency,
    confirmed: Latency,
    tenths: Vec<[u32; 3]>,
    told: Option<File>,
    told_bytes: Vec<u8>,
    cpu_at_start: f64,
    /// Why a request got no answer, until the next answer.
    unreachable: Option<String>,
    /// Purchases confirmed when the server could not be reached for the first time.
    accepted_before_loss: Option<u64>,
}

impl<'a> Load<'a> {
    fn new(plan: &'a Plan, tokens: Tokens, told: Option<File>) -> std::io::Result<Self> {
        let now = clock::now();
        let purchases = plan.purchases as usize;
        Ok(Self {
            plan,
            requests: Requests::new(&plan.host, plan.sale, plan.quantity, plan.wait_s),
            poll: Poll::new()?,
            lines: (0..plan.connections).map(|_| Line::new(plan.address, now)).collect(),
            idle: Vec::with_capacity(plan.connections),
            scratch: vec![0; 16 * 1024],
            stories: Stories { all: Vec::with_capacity(purchases), sale: plan.sale, quantity: plan.quantity, run: plan.run, tokens },
            due: Vec::with_capacity(purchases),
            later: BinaryHeap::new(),
            running: false,
            start: now,
            last_start: now,
            last_answer: now,
            ended: 0,
            outcomes: Outcomes::default(),
            answered: Latency::new(),
            confirmed: Latency::new(),
            tenths: Vec::new(),
            told,
            told_bytes: Vec::new(),
            cpu_at_start: 0.0,
            unreachable: None,
            accepted_before_loss: None,
        })
    }

    /// Opens every connection and sends one harmless request over each. Returns why, if they do not all stand.
    fn warm_up(&mut self) -> std::io::Result<Option<String>> {
        let begun = clock::now();
        (0..self.lines.len()).for_each(|at| self.open(at, begun));
        let mut events = Events::with_capacity(self.lines.len());
        while !self.lines.iter().all(Line::is_free) {
            self.poll.poll(&mut events, Some(HOUSEKEEPING)).or_else(interrupted)?;
            events.iter().for_each(|event| self.attend(event));
            let now = clock::now();
            self.reopen(now);
            let waited = now.duration_since(begun);
            if waited > WARM_UP || (self.unreachable.is_some() && waited > self.plan.patience) {
                return Ok(Some(self.why_unreachable()));
            }
        }
        self.running = true;
        self.start = clock::now();
        self.last_start = self.start;
        self.last_answer = self.start;
        self.cpu_at_start = clock::thread_cpu_s();
        Ok(None)
    }

    fn drive(&mut self, live: &mut dyn FnMut(Moment)) -> std::io::Result<End> {
        let mut events = Events::with_capacity(self.lines.len());
        let mut kept = self.start;
        loop {
            let now = clock::now();
            self.start_what_is_due(now);
            if self.next_due(now).is_none() && self.ended as usize == self.stories.count() {
                return Ok(End::Done);
            }
            if now.duration_since(kept) >= HOUSEKEEPING {
                kept = now;
                self.housekeep(now)?;
                live(self.moment(now));
                if self.unreachable.is_some() && now.duration_since(self.last_answer) > self.plan.patience {
                    return Ok(End::Unreachable(self.why_unreachable()));
                }
            }
            let timeout = self.timeout(now);
            self.poll.poll(&mut events, Some(timeout)).or_else(interrupted)?;
            if events.is_empty() && timeout.is_zero() {
                // Below the resolution of the poll, and better than burning the processor that the server needs.
                std::thread::sleep(Duration::from_micros(30));
            }
            events.iter().for_each(|event| self.attend(event));
        }
    }

    /// How long to wait for events: until something is due, in the poll's resolution of a millisecond.
    fn timeout(&self, now: Instant) -> Duration {
        let step = self.later.peek().map(|Reverse((at, ..))| *at);
        let free = self.idle.last().is_some_and(|at| self.lines[*at].is_free());
        let next = step.into_iter().chain(self.next_due(now)).min().filter(|_| free);
        let until = next.map_or(HOUSEKEEPING, |at| at.saturating_duration_since(now)).min(HOUSEKEEPING);
        if until < Duration::from_micros(1500) { Duration::ZERO } else { until - Duration::from_millis(1) }
    }

    /// When the next new purchase is due, if one is to come. In a closed loop it is due as soon as a connection is free.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let number = self.stories.count() as u32;
        let due = self.plan.rate.map_or(now, |rate| self.start + Duration::from_secs_f64(f64::from(number) / rate));
        let over = number >= self.plan.purchases || self.plan.seconds.is_some_and(|seconds| due >= self.start + seconds);
        if over { None } else { Some(due) }
    }

    /// Starts, on free connections, first the steps that waited for their time, then new purchases.
    fn start_what_is_due(&mut self, now: Instant) {
        if !self.running {
            return;
        }
        while let Some(&at) = self.idle.last() {
            if self.lines[at].is_free() {
                let Some((number, step)) = self.take_due(now) else { return };
                self.ask(at, number, step, now);
            }
            // Also a connection that was cut, or opened again since it was put here.
            self.idle.pop();
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<(u32, Step)> {
        if self.later.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            return self.later.pop().map(|Reverse((_, number, step))| (number, step));
        }
        let due = self.next_due(now).filter(|due| *due <= now)?;
        let number = self.stories.count() as u32;
        self.stories.all.push(Story::new(self.plan.intent(number)));
        self.due.push(due);
        self.last_start = now;
        self.count(now, OFFERED);
        Some((number, Step::Buy))
    }

    fn ask(&mut self, at: usize, number: u32, step: Step, now: Instant) {
        let Self { requests, stories, plan, .. } = self;
        let token = stories.tokens.of(number % stories.tokens.count());
        let sent = self.lines[at].send(Some((number, step)), now, |out| match step {
            Step::Buy => requests.buy(out, token, &key_of(plan.run, number)),
            Step::Look => match stories.all[number as usize].location.as_deref() {
                Some(path) => requests.look(out, token, path, LOOK_WAIT_S),
                None => requests.look(out, token, &format!("/v1/orders/{}", stories.id_of(number)), LOOK_WAIT_S),
            },
            Step::Cancel => requests.act(out, token, stories.id_of(number), "cancel", &key_of(plan.run, number)),
            Step::Pay => requests.act(out, token, stories.id_of(number), "pay", &key_of(plan.run, number)),
        });
        if !sent {
            self.cut(at, "the connection was cut");
        }
    }

    /// Reads and writes what a connection is ready for.
    fn attend(&mut self, event: &Event) {
        let at = event.token().0;
        if event.is_writable() && !self.lines[at].flush() {
            if self.running && self.accepted_before_loss.is_none() {
                self.accepted_before_loss = Some(self.tenths.iter().map(|tenth| u64::from(tenth[CONFIRMED])).sum());
            }
            return self.cut(at, "connection refused");
        }
        if !event.is_readable() && !event.is_read_closed() {
            return;
        }
        let open = self.lines[at].receive(&mut self.scratch) && !event.is_read_closed();
        // Taken out for a moment, because an answer points into it while everything else changes.
        let mut whole = false;
        let mut input = std::mem::take(&mut self.lines[at].input);
        let length = input.len();
        let end = match wire::read(&input) {
            Read::Partial if open => None,
            Read::Partial => Some("the connection was cut"),
            Read::Broken(why) => Some(why),
            Read::Whole(answer, taken) => {
                self.hear(at, &answer);
                whole = true;
                // More than was asked for: whatever it is, it must not be read as the next answer.
                if open && !answer.close && taken == length { None } else { Some("the server closed the connection") }
            }
        };
        if whole {
            input.clear();
        }
        self.lines[at].input = input;
        match end {
            Some(why) => self.cut(at, why),
            None => self.start_what_is_due(clock::now()),
        }
    }

    fn hear(&mut self, at: usize, answer: &Answer<'_>) {
        let now = clock::now();
        self.last_answer = now;
        self.unreachable = None;
        self.idle.push(at);
        // None: an answer that nobody asked for; some servers say so before they close an idle connection.
        let Some(Some((number, step))) = self.lines[at].done() else { return };
        let story = &mut self.stories.all[number as usize];
        let next = story.heard(step, answer);
        let due = self.due[number as usize];
        let (after, took) = (due.saturating_duration_since(self.start), now.saturating_duration_since(due));
        if step == Step::Buy && story.told.last() != Some(&Told::Busy) && answer.status < 500 {
            self.answered.note(after, took);
            self.count(now, ANSWERED);
        }
        let story = &self.stories.all[number as usize];
        if matches!(step, Step::Buy | Step::Look) && answer.status < 300 && story.told.last() == Some(&Told::Row(Status::Confirmed)) {
            self.confirmed.note(after, took);
            self.count(now, CONFIRMED);
        }
        self.follow(number, next, now);
    }

    fn follow(&mut self, number: u32, next: Next, now: Instant) {
        match next {
            Next::Ask(step, pause) => self.later.push(Reverse((now + pause, number, step))),
            Next::End(outcome) => self.end(number, outcome),
        }
    }

    fn end(&mut self, number: u32, outcome: Outcome) {
        self.outcomes.note(outcome, 1);
        self.ended += 1;
        self.stories.all[number as usize].ended = true;
        if self.told.is_some() {
            told::write(&self.stories.tale(number as usize), &mut self.told_bytes);
        }
    }

    /// A connection is gone: what it carried has no answer. It is opened again a little later.
    fn cut(&mut self, at: usize, why: &str) {
        let now = clock::now();
        let Some(job) = self.lines[at].close(self.poll.registry(), now) else { return };
        self.unreachable = Some(why.to_owned());
        if let Some((number, step)) = job {
            let next = self.stories.all[number as usize].lost(step);
            self.follow(number, next, now);
        }
    }

    /// The load is over: what is still on its way got no answer, and what waits for its turn stays as it is.
    fn cut_the_rest(&mut self) {
        (0..self.lines.len()).for_each(|at| self.cut(at, "the load is over"));
        for number in 0..self.stories.count() as u32 {
            let story = &self.stories.all[number as usize];
            if !story.ended {
                self.end(number, story.cut());
            }
        }
    }

    fn housekeep(&mut self, now: Instant) -> std::io::Result<()> {
        for at in 0..self.lines.len() {
            if self.lines[at].waits_since(now).is_some_and(|waited| waited > ANSWER_TIMEOUT) {
                self.cut(at, "no answer came in time");
            }
        }
        self.reopen(now);
        self.write_told()
    }

    fn reopen(&mut self, now: Instant) {
        for at in 0..self.lines.len() {
            if self.lines[at].may_reopen(now) {
                self.open(at, now);
            }
        }
    }

    /// Opens a connection and sends a harmless request, so that the first purchase over it meets a warm one.
    fn open(&mut self, at: usize, now: Instant) {
        let Self { lines, requests, stories, plan, poll, .. } = self;
        lines[at].open(poll.registry(), Token(at), now);
        lines[at].send(None, now, |out| requests.get(out, &format!("/v1/sales/{}", plan.sale), stories.tokens.of(0)));
    }

    fn write_told(&mut self) -> std::io::Result<()> {
        let Some(told) = self.told.as_mut() else { return Ok(()) };
        told.write_all(&self.told_bytes)?;
        told.flush()?;
        self.told_bytes.clear();
        Ok(())
    }

    fn why_unreachable(&mut self) -> String {
        let why = self.unreachable.take().unwrap_or_else(|| "it does not answer".to_owned());
        format!("{}: {why}", self.plan.address)
    }

    fn count(&mut self, now: Instant, what: usize) {
        let tenth = (now.saturating_duration_since(self.start).as_millis() / 100) as usize;
        if self.tenths.len() <= tenth {
            self.tenths.resize(tenth + 1, [0; 3]);
        }
        self.tenths[tenth][what] += 1;
    }

    fn moment(&self, now: Instant) -> Moment {
        let confirmed = self.tenths.iter().map(|tenth| tenth[CONFIRMED]).sum();
        Moment { elapsed: now.duration_since(self.start), started: self.stories.count() as u32, ended: self.ended, confirmed }
    }

    fn finish(mut self, end: End) -> Run {
        let started = self.stories.count() as u32;
        // With a time limit, what its end left out was never asked for; without one, somebody meant to ask for all.
        let unsent = if self.plan.seconds.is_some() { 0 } else { self.plan.purchases - started };
        self.outcomes.note(Outcome::Unsent, unsent.into());
        Run {
            end,
            outcomes: self.outcomes,
            answered: self.answered.quantiles(),
            confirmed: self.confirmed.quantiles(),
            elapsed: self.last_answer.duration_since(self.start),
            started,
            accepted_before_loss: self.accepted_before_loss,
            steady: Steady::of(&self.tenths, self.last_start.duration_since(self.start), self.last_answer.duration_since(self.start)),
            confirmed_by_tenth: self.tenths.iter().map(|tenth| tenth[CONFIRMED]).collect(),
            cpu_us: (clock::thread_cpu_s() - self.cpu_at_start) * 1e6 / f64::from(started.max(1)),
            stories: self.stories,
        }
    }
}

fn interrupted(e: std::io::Error) -> std::io::Result<()> {
    if e.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(e) }
}
