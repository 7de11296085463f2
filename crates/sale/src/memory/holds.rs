//! The holds of one sale, compactly: found by purchase, listed by buyer, walked in the order of their making.
//!
//! Memory per held order is a promise (400 B in all), so nothing here is stored twice: the two tables hold slot numbers
//! only and compare through the slots. It knows nothing of stock and limits.

use crate::words::{Ask, BuyerId, Digest};
use hashbrown::{HashMap, HashTable};
use std::hash::{BuildHasherDefault, DefaultHasher};

/// A table for fewer grows in no time.
const RESERVE_MIN: usize = 4_096;
/// Most holds that room is made for in advance; the tables take some twenty bytes for each.
const RESERVE_MAX: usize = 1 << 20;
/// Slots per chunk. Chunks never move, so growing costs one chunk and not a copy of everything.
const CHUNK: usize = 1024;
const NONE: u32 = u32::MAX;
/// Tables are split, so that one that doubles stops the gate for the time of a small table.
const SHARDS: usize = 64;

#[derive(Clone)]
struct Slot {
    ask: Ask,
    /// The same buyer's hold before this one.
    before: u32,
}

/// A set of holds.
#[derive(Clone, Default)]
pub struct Holds {
    chunks: Vec<Vec<Option<Slot>>>,
    by_digest: Table,
    /// The newest hold of each buyer.
    by_buyer: Table,
    /// Purchases whose hold was released.
    closed: HashMap<Digest, (), BuildHasherDefault<DefaultHasher>>,
}

fn shard(hash: u64) -> usize {
    // hashbrown takes the lowest and the highest bits.
    (hash >> 40) as usize % SHARDS
}

/// Slot numbers by a hash of what stands in the slot.
#[derive(Clone)]
struct Table([HashTable<u32>; SHARDS]);

impl Default for Table {
    fn default() -> Self {
        Self(std::array::from_fn(|_| HashTable::new()))
    }
}

impl Table {
    fn find(&self, hash: u64, same: impl Fn(&u32) -> bool) -> Option<u32> {
        self.0[shard(hash)].find(hash, same).copied()
    }

    fn of_mut(&mut self, hash: u64) -> &mut HashTable<u32> {
        &mut self.0[shard(hash)]
    }

    /// Puts a slot in. A table that is full grows fourfold: what it holds is moved seldom, as when a million holds are loaded.
    fn insert(&mut self, hash: u64, at: u32, rehash: impl Fn(&u32) -> u64) {
        let table = self.of_mut(hash);
        if table.len() == table.capacity() {
            table.reserve(table.len() * 3 + 1, &rehash);
        }
        table.insert_unique(hash, at, rehash);
    }

    fn reserve(&mut self, more: usize, rehash: impl Fn(&u32) -> u64) {
        // Hashes do not fall evenly: a little more for each.
        let each = more / SHARDS + more / SHARDS / 8 + 1;
        self.0.iter_mut().for_each(|table| table.reserve(each, &rehash));
    }
}

impl Holds {
    /// The hold of a purchase.
    pub fn get(&self, digest: Digest) -> Option<&Ask> {
        let at = self.by_digest.find(spread(digest), |&at| self.slot(at).ask.digest == digest)?;
        Some(&self.slot(at).ask)
    }

    /// Whether the purchase was held and released.
    pub fn is_closed(&self, digest: Digest) -> bool {
        self.closed.contains_key(&digest)
    }

    /// All holds of a buyer, newest first.
    pub fn of<'a>(&'a self, buyer: &'a BuyerId) -> impl Iterator<Item = &'a Ask> {
        let mut at = self.by_buyer.find(hash(buyer), |&at| self.slot(at).ask.buyer == *buyer).unwrap_or(NONE);
        std::iter::from_fn(move || {
            let slot = (at != NONE).then(|| self.slot(at))?;
            at = slot.before;
            Some(&slot.ask)
        })
    }

    /// Units that a buyer holds.
    pub fn units_of(&self, buyer: &BuyerId) -> i64 {
        self.of(buyer).map(|ask| ask.quantity.units()).sum()
    }

    /// Adds a hold; the purchase must not be held. It is no longer `closed`.
    pub fn insert(&mut self, ask: Ask) {
        let at = u32::try_from(self.slots()).ok().filter(|&at| at != NONE).expect("a sale has fewer than 2^32 holds in one epoch");
        self.closed.remove(&ask.digest);
        let (digest, buyer) = (spread(ask.digest), hash(&ask.buyer));
        let chunks = &self.chunks;
        let before = match self.by_buyer.of_mut(buyer).find_mut(buyer, |&at| slot(chunks, at).ask.buyer == ask.buyer) {
            Some(newest) => std::mem::replace(newest, at),
            None => NONE,
        };
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(Some(Slot { ask, before })),
            Some(_) | None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Some(Slot { ask, before }));
                self.chunks.push(chunk);
            }
        }
        let chunks = &self.chunks;
        if before == NONE {
            self.by_buyer.insert(buyer, at, |&at| hash(&slot(chunks, at).ask.buyer));
        }
        self.by_digest.insert(digest, at, |&at| spread(slot(chunks, at).ask.digest));
    }

    /// Removes a hold, marks its purchase as closed and returns it.
    pub fn close(&mut self, digest: Digest) -> Option<Ask> {
        let chunks = &self.chunks;
        let hash = spread(digest);
        let entry = self.by_digest.of_mut(hash).find_entry(hash, |&at| slot(chunks, at).ask.digest == digest).ok()?;
        let (at, _) = entry.remove();
        let gone = self.chunks[at as usize / CHUNK][at as usize % CHUNK].take().expect("the table names slots that are there");
        self.unlink(at, &gone);
        self.closed.insert(digest, ());
        Some(gone.ask)
    }

    /// Takes a slot out of its buyer's chain. The slot is empty already, so the chain is walked by number.
    fn unlink(&mut self, at: u32, gone: &Slot) {
        let chunks = &self.chunks;
        let same = |&other: &u32| {
            other == at
                || chunks[other as usize / CHUNK][other as usize % CHUNK].as_ref().is_some_and(|slot| slot.ask.buyer == gone.ask.buyer)
        };
        let buyer = hash(&gone.ask.buyer);
        let entry = self.by_buyer.of_mut(buyer).find_entry(buyer, same).expect("each hold is in its buyer's chain");
        let newest = *entry.get();
        if newest == at {
            let (_, vacant) = entry.remove();
            if gone.before != NONE {
                vacant.insert(gone.before);
            }
            return;
        }
        let mut later = newest;
        while self.slot(later).before != at {
            later = self.slot(later).before;
        }
        self.chunks[later as usize / CHUNK][later as usize % CHUNK].as_mut().expect("a chain has no gaps").before = gone.before;
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        if more < RESERVE_MIN {
            return;
        }
        let (more, chunks) = (more.min(RESERVE_MAX), &self.chunks);
        self.by_digest.reserve(more, |&at| spread(slot(chunks, at).ask.digest));
        self.by_buyer.reserve(more, |&at| hash(&slot(chunks, at).ask.buyer));
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.by_digest.0.iter().map(HashTable::len).sum::<usize>() as u64
    }

    /// All holds, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Ask> {
        self.chunks.iter().flatten().flatten().map(|slot| &slot.ask)
    }

    /// At most `max` holds from position `after` on, and the position to go on from.
    pub fn page(&self, after: u64, max: usize) -> (Vec<Ask>, Option<u64>) {
        let mut at = usize::try_from(after).unwrap_or(usize::MAX);
        let mut holds = Vec::new();
        while at < self.slots() && holds.len() < max {
            if let Some(slot) = &self.chunks[at / CHUNK][at % CHUNK] {
                holds.push(slot.ask.clone());
            }
            at += 1;
        }
        (holds, (at < self.slots()).then_some(at as u64))
    }

    fn slots(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    fn slot(&self, at: u32) -> &Slot {
        slot(&self.chunks, at)
    }
}

fn slot(chunks: &[Vec<Option<Slot>>], at: u32) -> &Slot {
    chunks[at as usize / CHUNK][at as usize % CHUNK].as_ref().expect("the tables name slots that are there")
}

/// A digest is uniform already.
fn spread(digest: Digest) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| digest.0[i]))
}

// Folded products, eight bytes at a time. Fixed keys: the domain draws no randomness, and a buyer's id is chosen by the shop,
// not by the buyer.
fn hash(buyer: &BuyerId) -> u64 {
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide >> 64) as u64 ^ wide as u64
    };
    let bytes = buyer.as_str().as_bytes();
    let sum = bytes.chunks(8).fold(bytes.len() as u64 ^ 0x9e37_79b9_7f4a_7c15, |sum, chunk| {
        let word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        fold(sum ^ word, 0xd6e8_feb8_6659_fd93)
    });
    fold(sum ^ 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ask_keyed, sale};
    use std::collections::BTreeMap;

    /// As many as make every table grow several times, with and without room made for them.
    #[test]
    fn holds_are_found_listed_and_walked_as_in_a_plain_map() {
        for room in [0, RESERVE_MIN, 100_000] {
            let (mut holds, mut plain) = (Holds::default(), BTreeMap::new());
            holds.reserve(room);
            for n in 0_u32..20_000 {
                let ask = ask_keyed(sale("s1"), &format!("buyer-{}", n / 2), &format!("k{n}"), 1);
                holds.insert(ask.clone());
                plain.insert(ask.digest, ask.clone());
                if n % 3 == 0 {
                    assert_eq!(holds.close(ask.digest).as_ref(), plain.remove(&ask.digest).as_ref());
                    assert!(holds.close(ask.digest).is_none() && holds.is_closed(ask.digest));
                }
            }
            assert_eq!(holds.len(), plain.len() as u64);
            let mut units: BTreeMap<&BuyerId, i64> = BTreeMap::new();
            for ask in plain.values() {
                assert_eq!(holds.get(ask.digest), Some(ask));
                *units.entry(&ask.buyer).or_default() += 1;
            }
            assert!(units.iter().all(|(buyer, &units)| holds.units_of(buyer) == units && holds.of(buyer).all(|ask| ask.buyer == **buyer)));
            assert!(holds.iter().map(|ask| ask.digest).all(|digest| plain.contains_key(&digest)));
        }
    }
}
