//! What lies in the queue, as delivery needs it: halves by their next check, ready messages in order, messages that are
//! away by the time of their return, and the changes that the disk has not seen yet.
//!
//! Knows no disk, no thread and no clock: time comes in with each call, in microseconds.

use sale::ports::{Backlog, Check, Handle, Message, Receipt, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A time in microseconds, by the queue's own clock.
pub(super) type Micros = u64;
/// Names a message: its row's key, signed because SQLite's are. Counts up from one, never used twice.
pub(super) type Id = i64;

/// What the disk must be told of a message, when it is convenient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// It was committed.
    Committed,
    /// It was rolled back or acknowledged.
    Gone,
}

/// Changes that the disk has not seen. A later change of a message replaces an earlier one.
#[derive(Default, Debug)]
pub(super) struct Hints {
    pub(super) changes: BTreeMap<Id, Change>,
    /// The greatest sequence that an acknowledgement named, if it has grown.
    pub(super) witness: Option<u64>,
}

impl Hints {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.witness.is_none()
    }
}

#[derive(Debug)]
struct Item {
    body: Vec<u8>,
    place: Place,
    deliveries: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Nobody settled it; its next check is due then.
    Half(Micros),
    Ready,
    /// Delivered, or given back with a delay; comes again then.
    Away(Micros),
}

/// The times that the queue keeps, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) check_after: Micros,
    pub(super) check_every: Micros,
    pub(super) invisible: Micros,
}

#[derive(Debug)]
pub(super) struct Shelf {
    times: Times,
    items: HashMap<Id, Item>,
    halves: BTreeSet<(Micros, Id)>,
    /// An id in here whose message is gone is passed over when its turn comes.
    ready: VecDeque<Id>,
    away: BTreeSet<(Micros, Id)>,
    hints: Hints,
    witness: Option<u64>,
    parked: u64,
    bytes: usize,
}

impl Shelf {
    pub(super) fn new(times: Times, witness: Option<u64>, parked: u64) -> Self {
        let hints = Hints::default();
        Self {
            times,
            items: HashMap::new(),
            halves: BTreeSet::new(),
            ready: VecDeque::new(),
            away: BTreeSet::new(),
            hints,
            witness,
            parked,
            bytes: 0,
        }
    }

    // --- what the disk has done

    /// A half message is on disk.
    pub(super) fn prepared(&mut self, id: Id, body: Vec<u8>, check_at: Micros) {
        self.halves.insert((check_at, id));
        self.put(id, body, Place::Half(check_at));
    }

    /// A committed message is on disk: found at opening, or replayed.
    pub(super) fn committed(&mut self, id: Id, body: Vec<u8>) {
        self.ready.push_back(id);
        self.put(id, body, Place::Ready);
    }

    /// The message was moved among the parked ones.
    pub(super) fn parked(&mut self, id: Id) {
        self.parked += 1;
        // It may have been acknowledged meanwhile: then what is still to be told of it no longer finds its row.
        self.remove(id);
    }

    /// A parked message was taken back; it comes as a new one.
    pub(super) fn replayed(&mut self, id: Id, body: Vec<u8>) {
        self.parked = self.parked.saturating_sub(1);
        self.committed(id, body);
    }

    /// What the disk should hear; it is no longer the shelf's until it is put back.
    pub(super) fn take_hints(&mut self) -> Hints {
        std::mem::take(&mut self.hints)
    }

    /// The disk did not take them. What came since is fresher.
    pub(super) fn put_back(&mut self, hints: Hints) {
        for (id, change) in hints.changes {
            self.hints.changes.entry(id).or_insert(change);
        }
        self.hints.witness = self.hints.witness.max(hints.witness);
    }

    pub(super) fn has_hints(&self) -> bool {
        !self.hints.is_empty()
    }

    // --- halves

    /// Whether a message became ready.
    pub(super) fn settle(&mut self, id: Id, verdict: Verdict, now: Micros) -> bool {
        let Some(item) = self.items.get_mut(&id) else { return false };
        let Place::Half(check_at) = item.place else { return false };
        self.halves.remove(&(check_at, id));
        match verdict {
            Verdict::Commit => {
                item.place = Place::Ready;
                self.ready.push_back(id);
                self.hints.changes.insert(id, Change::Committed);
                true
            }
            Verdict::Rollback => {
                self.remove(id);
                self.hints.changes.insert(id, Change::Gone);
                false
            }
            Verdict::Unknown => {
                let again = now + self.times.check_every;
                item.place = Place::Half(again);
                self.halves.insert((again, id));
                false
            }
        }
    }

    pub(super) fn due_checks(&mut self, max: usize, now: Micros) -> Vec<Check> {
        let mut checks = Vec::new();
        while checks.len() < max {
            let Some(&(check_at, id)) = self.halves.first().filter(|(check_at, _)| *check_at <= now) else { break };
            self.halves.remove(&(check_at, id));
            let item = self.items.get_mut(&id).expect("what is among the halves is on the shelf");
            let again = now + self.times.check_every;
            item.place = Place::Half(again);
            self.halves.insert((again, id));
            checks.push(Check { receipt: receipt(id), body: item.body.clone() });
        }
        checks
    }

    /// When the next check is due.
    pub(super) fn next_check(&self) -> Option<Micros> {
        self.halves.first().map(|(check_at, _)| *check_at)
    }

    // --- committed messages

    pub(super) fn take(&mut self, max: usize, now: Micros) -> Vec<Message> {
        while let Some(&(until, id)) = self.away.first().filter(|(until, _)| *until <= now) {
            self.away.remove(&(until, id));
            self.items.get_mut(&id).expect("what is away is on the shelf").place = Place::Ready;
            // At the end: a message that nobody can record holds up no other.
            self.ready.push_back(id);
        }
        let mut messages = Vec::new();
        while messages.len() < max {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(item) = self.items.get_mut(&id) else { continue };
            let until = now + self.times.invisible;
            item.place = Place::Away(until);
            self.away.insert((until, id));
            item.deliveries = item.deliveries.saturating_add(1);
            let handle = Handle(format!("{id}:{}", item.deliveries));
            messages.push(Message { handle, body: item.body.clone(), deliveries: item.deliveries });
        }
        messages
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next message comes back.
    pub(super) fn next_return(&self) -> Option<Micros> {
        self.away.first().map(|(until, _)| *until)
    }

    /// The message is done, whichever of its deliveries is meant.
    pub(super) fn ack(&mut self, handle: &Handle) {
        let Some((id, _)) = parse(handle) else { return };
        if self.is_committed(id) {
            self.remove(id);
            self.hints.changes.insert(id, Change::Gone);
        }
    }

    /// The greatest sequence stays.
    pub(super) fn witness_seen(&mut self, ledger_seq: u64) {
        if self.witness < Some(ledger_seq) {
            self.witness = Some(ledger_seq);
            self.hints.witness = self.witness;
        }
    }

    /// Speaks of that delivery only: one that came to its end by time was given to somebody else since.
    pub(super) fn later(&mut self, handle: &Handle, again: Micros) {
        let Some((id, delivery)) = parse(handle) else { return };
        let Some(item) = self.items.get_mut(&id).filter(|item| item.deliveries == delivery) else { return };
        let Place::Away(until) = item.place else { return };
        self.away.remove(&(until, id));
        self.away.insert((again, id));
        item.place = Place::Away(again);
    }

    /// Whether the message is here and may be delivered.
    pub(super) fn is_committed(&self, id: Id) -> bool {
        matches!(self.items.get(&id), Some(Item { place: Place::Ready | Place::Away(_), .. }))
    }

    // --- how much

    pub(super) fn witness(&self) -> Option<u64> {
        self.witness
    }

    pub(super) fn backlog(&self) -> Backlog {
        let (halves, all) = (self.halves.len() as u64, self.items.len() as u64);
        Backlog { halves, committed: all - halves, parked: self.parked }
    }

    /// Bytes of all bodies.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn put(&mut self, id: Id, body: Vec<u8>, place: Place) {
        self.bytes += body.len();
        self.items.insert(id, Item { body, place, deliveries: 0 });
    }

    fn remove(&mut self, id: Id) {
        let Some(item) = self.items.remove(&id) else { return };
        self.bytes -= item.body.len();
        match item.place {
            Place::Half(check_at) => self.halves.remove(&(check_at, id)),
            Place::Away(until) => self.away.remove(&(until, id)),
            Place::Ready => true,
        };
    }
}

pub(super) fn receipt(id: Id) -> Receipt {
    Receipt(id.to_string())
}

pub(super) fn half_of(receipt: &Receipt) -> Option<Id> {
    receipt.0.parse().ok()
}

/// The message and which of its deliveries.
pub(super) fn parse(handle: &Handle) -> Option<(Id, u32)> {
    let (id, delivery) = handle.0.split_once(':')?;
    Some((id.parse().ok()?, delivery.parse().ok()?))
}
