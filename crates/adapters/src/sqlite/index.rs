//! The index in the process: which row an order has, how many units a buyer has live, which payments belong to what.
//!
//! It stands in for the unique keys that the file does not have (see the migration), so it must equal the rows: it is
//! built from them when the ledger is opened and changed only after a commit. It knows no SQL.

pub(super) use super::tally::Life;
use super::tally::Tally;
use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};
use sale::order::Status;
use sale::words::{Digest, SaleId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

/// Slots of one chunk of the arena: it grows by a chunk, never by copying.
const CHUNK: usize = 4_096;
/// Tables are split, so that one that doubles stops the writer for the time of a small table.
const SHARDS: usize = 64;

/// What the index keeps of one order row, at the place of its row number.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) digest: [u8; 16],
    pub(super) sale: u16,
    pub(super) life: Life,
}

/// See the file's head.
pub(super) struct Index {
    sales: Vec<SaleId>,
    keys: HashMap<SaleId, u16, RandomState>,
    chunks: Vec<Vec<Slot>>,
    rows: [HashTable<u32>; SHARDS],
    seeds: (u64, u64),
    names: RandomState,
    payments: HashTable<(u32, u32)>,
    payments_of: HashTable<(u32, u32)>,
    late: BTreeSet<u32>,
    tally: Tally,
}

// Whoever chooses keys can grind digests, so the table's hash has seeds of its own.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b | 1);
    (wide >> 64) as u64 ^ wide as u64
}

fn spread(n: u32) -> u64 {
    fold(u64::from(n) ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93)
}

fn shard(hash: u64) -> usize {
    // hashbrown takes the lowest and the highest bits.
    (hash >> 40) as usize % SHARDS
}

fn halves(digest: &[u8; 16]) -> (u64, u64) {
    let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| digest[at + i]));
    (half(0), half(8))
}

impl Index {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self {
            sales: Vec::new(),
            keys: HashMap::with_hasher(RandomState::new()),
            chunks: Vec::new(),
            rows: std::array::from_fn(|_| HashTable::new()),
            seeds: (random.hash_one(1), random.hash_one(2)),
            names: RandomState::new(),
            payments: HashTable::new(),
            payments_of: HashTable::new(),
            late: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    // ---- sales: the key of a sale in the file is its place here, counted from one

    pub(super) fn add_sale(&mut self, id: SaleId) {
        self.sales.push(id);
        self.keys.insert(id, self.sales.len() as u16);
    }

    pub(super) fn sale_key(&self, id: SaleId) -> Option<u16> {
        self.keys.get(&id).copied()
    }

    pub(super) fn sale_id(&self, key: u16) -> Option<SaleId> {
        self.sales.get(usize::from(key).checked_sub(1)?).copied()
    }

    // ---- orders

    fn hash(&self, sale: u16, digest: &[u8; 16]) -> u64 {
        let (a, b) = halves(digest);
        fold(a ^ self.seeds.0, b ^ self.seeds.1 ^ u64::from(sale) << 48)
    }

    /// Row numbers run from one to this one.
    pub(super) fn rows(&self) -> u32 {
        self.chunks.last().map_or(0, |last| ((self.chunks.len() - 1) * CHUNK + last.len()) as u32)
    }

    pub(super) fn slot(&self, row: u32) -> Option<&Slot> {
        let at = (row as usize).checked_sub(1)?;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// The row of an order. The rows may not have it (see [`Life::Deleted`]).
    pub(super) fn find(&self, sale: u16, digest: Digest) -> Option<u32> {
        let hash = self.hash(sale, &digest.0);
        let same = |row: &u32| self.slot(*row).is_some_and(|slot| slot.digest == digest.0 && slot.sale == sale);
        self.rows[shard(hash)].find(hash, same).copied()
    }

    /// The status of an order that has a row.
    pub(super) fn status(&self, sale: SaleId, digest: Digest) -> Option<Status> {
        match self.slot(self.find(self.sale_key(sale)?, digest)?)?.life {
            Life::Row(status) => Some(status),
            Life::Deleted => None,
        }
    }

    /// The statuses that the orders of a sale have, and how many have each.
    pub(super) fn counts(&self, sale: SaleId) -> Vec<(Status, u64)> {
        self.sale_key(sale).map_or_else(Vec::new, |key| self.tally.of(key))
    }

    /// Appends the next row. `false`: the order has a row already, and nothing was done.
    pub(super) fn append(&mut self, slot: Slot) -> bool {
        let (row, hash, seeds) = (self.rows() + 1, self.hash(slot.sale, &slot.digest), self.seeds);
        let chunks = &self.chunks;
        let at = |row: &u32| &chunks[(*row as usize - 1) / CHUNK][(*row as usize - 1) % CHUNK];
        let same = |row: &u32| at(row).digest == slot.digest && at(row).sale == slot.sale;
        let rehash = |row: &u32| {
            let (a, b) = halves(&at(row).digest);
            fold(a ^ seeds.0, b ^ seeds.1 ^ u64::from(at(row).sale) << 48)
        };
        match self.rows[shard(hash)].entry(hash, same, rehash) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(place) => drop(place.insert(row)),
        }
        self.tally.enter(slot.sale, slot.life);
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(slot),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(slot);
                self.chunks.push(chunk);
            }
        }
        true
    }

    /// Takes all rows of a file into an empty index, table by table, so that each table stays in the processor's cache
    /// while it is filled. `Err`: this row has the id of another.
    pub(super) fn fill(&mut self, slots: &[Slot]) -> Result<(), u32> {
        let mut parts: [Vec<(u64, u32)>; SHARDS] = std::array::from_fn(|_| Vec::with_capacity(slots.len() / SHARDS * 9 / 8));
        for (slot, row) in slots.iter().zip(1..) {
            let hash = self.hash(slot.sale, &slot.digest);
            parts[shard(hash)].push((hash, row));
        }
        for (table, part) in self.rows.iter_mut().zip(parts) {
            table.reserve(part.len(), |_| unreachable!("an empty table moves nothing"));
            for (hash, row) in part {
                let slot = &slots[row as usize - 1];
                let same = |other: &u32| {
                    let other = &slots[*other as usize - 1];
                    other.digest == slot.digest && other.sale == slot.sale
                };
                match table.entry(hash, same, |_| unreachable!("there is room for all of the part")) {
                    Entry::Occupied(_) => return Err(row),
                    Entry::Vacant(place) => drop(place.insert(row)),
                }
            }
        }
        slots.iter().for_each(|slot| self.tally.enter(slot.sale, slot.life));
        for chunk in slots.chunks(CHUNK) {
            let mut whole = Vec::with_capacity(CHUNK);
            whole.extend_from_slice(chunk);
            self.chunks.push(whole);
        }
        Ok(())
    }

    pub(super) fn set_life(&mut self, row: u32, life: Life) {
        let at = row as usize - 1;
        if let Some(slot) = self.chunks.get_mut(at / CHUNK).and_then(|chunk| chunk.get_mut(at % CHUNK)) {
            self.tally.leave(slot.sale, slot.life);
            self.tally.enter(slot.sale, life);
            slot.life = life;
        }
    }

    /// Rows of a sale, newest first, below `before`.
    pub(super) fn newest(&self, sale: u16, before: u32) -> impl Iterator<Item = u32> + '_ {
        let from = before.saturating_sub(1).min(self.rows());
        (1..=from).rev().filter(move |&row| self.slot(row).is_some_and(|slot| slot.sale == sale))
    }

    /// The first and the last row of a sale.
    pub(super) fn span(&self, sale: u16) -> Option<(u32, u32)> {
        let last = self.newest(sale, u32::MAX).next()?;
        let first = (1..=last).find(|&row| self.slot(row).is_some_and(|slot| slot.sale == sale))?;
        Some((first, last))
    }

    // ---- payments: candidates only, the rows decide

    pub(super) fn tag(&self, payment: &str) -> u32 {
        self.names.hash_one(payment) as u32
    }

    pub(super) fn add_payment(&mut self, tag: u32, payment: u32) {
        self.payments.insert_unique(spread(tag), (tag, payment), |entry| spread(entry.0));
    }

    pub(super) fn link_payment(&mut self, order: u32, payment: u32) {
        let hash = spread(order);
        if self.payments_of.find(hash, |entry| *entry == (order, payment)).is_none() {
            self.payments_of.insert_unique(hash, (order, payment), |entry| spread(entry.0));
        }
    }

    pub(super) fn payments_named(&self, tag: u32) -> Vec<u32> {
        self.payments.iter_hash(spread(tag)).filter(|entry| entry.0 == tag).map(|entry| entry.1).collect()
    }

    pub(super) fn payments_of(&self, order: u32) -> Vec<u32> {
        let mut rows: Vec<_> = self.payments_of.iter_hash(spread(order)).filter(|entry| entry.0 == order).map(|entry| entry.1).collect();
        rows.sort_unstable();
        rows
    }

    pub(super) fn set_late(&mut self, payment: u32, late: bool) {
        if late {
            self.late.insert(payment);
        } else {
            self.late.remove(&payment);
        }
    }

    pub(super) fn late(&self) -> impl Iterator<Item = u32> + '_ {
        self.late.iter().copied()
    }

    /// Bytes that the orders' part has taken.
    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<Slot>()).sum();
        slots + self.rows.iter().map(HashTable::allocation_size).sum::<usize>()
    }
}

/// Names a buyer in a sale: 128 bits under keys that this process drew, so that nobody can make two names meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BuyerName([u32; 4]);

/// Live units by buyer and sale; buyers without any are not kept.
pub(super) struct LiveUnits {
    keys: (RandomState, RandomState),
    units: [HashTable<(BuyerName, u32)>; SHARDS],
}

impl LiveUnits {
    pub(super) fn new() -> Self {
        Self { keys: (RandomState::new(), RandomState::new()), units: std::array::from_fn(|_| HashTable::new()) }
    }

    pub(super) fn name(&self, sale: u16, buyer: &str) -> BuyerName {
        let (a, b) = (self.keys.0.hash_one((sale, buyer)), self.keys.1.hash_one((sale, buyer)));
        BuyerName([a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32])
    }

    pub(super) fn get(&self, name: BuyerName) -> i64 {
        let hash = name.hash();
        self.units[shard(hash)].find(hash, |entry| entry.0 == name).map_or(0, |entry| i64::from(entry.1))
    }

    /// Adds units, or takes them off. Below zero nothing lives; the sum is bounded by the stock, so by an `u32`.
    pub(super) fn add(&mut self, name: BuyerName, delta: i64) {
        let hash = name.hash();
        let sum = |before: u32| u32::try_from((i64::from(before) + delta).max(0)).unwrap_or(u32::MAX);
        let table = &mut self.units[shard(hash)];
        match table.find_entry(hash, |entry| entry.0 == name) {
            Ok(mut entry) => match sum(entry.get().1) {
                0 => drop(entry.remove()),
                units => entry.get_mut().1 = units,
            },
            Err(_) if sum(0) == 0 => {}
            Err(_) => drop(table.insert_unique(hash, (name, sum(0)), |entry| entry.0.hash())),
        }
    }

    /// Adds many, table by table, so that each stays in the processor's cache while it is filled.
    pub(super) fn fill<const N: usize>(&mut self, parts: [LiveParts; N]) {
        let mut parts = parts;
        for at in 0..SHARDS {
            for part in &mut parts {
                for (name, units) in std::mem::take(&mut part.0[at]) {
                    self.add(name, i64::from(units));
                }
            }
        }
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.units.iter().map(HashTable::allocation_size).sum()
    }
}

/// Buyers' units, sorted by the table that they belong to.
pub(super) struct LiveParts([Vec<(BuyerName, u32)>; SHARDS]);

impl Default for LiveParts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Vec::new()))
    }
}

impl LiveParts {
    pub(super) fn push(&mut self, name: BuyerName, units: u32) {
        self.0[shard(name.hash())].push((name, units));
    }
}

impl BuyerName {
    fn hash(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 32
    }
}

/// Confirmed orders that wait for their payment, in lines of equal time to pay. Orders are appended in the order of
/// their time, so each line is sorted by itself and costs four bytes an order. Who waits no longer (see [`Life`]) leaves
/// when it comes to stand first.
pub(super) struct Waiting {
    lines: BTreeMap<u32, Line>,
}

/// Orders with one time to pay.
#[derive(Default)]
struct Line {
    rows: VecDeque<u32>,
    /// The first of them is not due before this.
    not_before: i64,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { lines: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, pay_within_s: u32, row: u32) {
        self.lines.entry(pay_within_s).or_default().rows.push_back(row);
    }

    /// At most `max` rows of each line that may be overdue at `now_ms`, oldest first, with their time to pay.
    pub(super) fn candidates(&mut self, index: &Index, now_ms: i64, max: usize) -> Vec<(u32, Vec<u32>)> {
        let waits = |row: &u32| index.slot(*row).is_some_and(|slot| slot.life.waits());
        let mut candidates = Vec::new();
        self.lines.retain(|&pay_within_s, line| {
            if line.not_before > now_ms {
                return true;
            }
            while line.rows.front().is_some_and(|row| !waits(row)) {
                line.rows.pop_front();
            }
            candidates.push((pay_within_s, line.rows.iter().copied().filter(waits).take(max).collect()));
            !line.rows.is_empty()
        });
        candidates
    }

    /// The first of a line is not due before this.
    pub(super) fn not_before(&mut self, pay_within_s: u32, row: u32, pay_by: i64) {
        if let Some(line) = self.lines.get_mut(&pay_within_s).filter(|line| line.rows.front() == Some(&row)) {
            line.not_before = pay_by;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.lines.values().map(|line| line.rows.capacity() * size_of::<u32>()).sum()
    }
}
