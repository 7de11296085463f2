//! One row of `order_history`: what one record, or one change, did to the orders of one sale, packed.
//!
//! ```text
//! at (8) | entry (34) … | crc (4)                                      little endian; the crc covers seq, sale and all before
//! entry: digest (16) | order row (4) | previous seq of the order (8, zero: none) | from and to (1) | source (1) | row's crc (4)
//! ```
//! The row's checksum is that of the order row as this change left it. Of what a change means it knows nothing.

use super::Failure;
use rusqlite::{Connection, params};
use sale::order::{Change, Source, Status};
use sale::words::{Digest, Time};

const ENTRY: usize = 34;
const HEAD: usize = 8;
const TAIL: usize = 4;

/// One order's change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) digest: [u8; 16],
    pub(super) row: u32,
    pub(super) previous: u64,
    pub(super) from: Status,
    pub(super) to: Status,
    pub(super) source: Source,
    pub(super) row_crc: u32,
}

impl Entry {
    pub(super) fn change(&self, at: i64) -> Change {
        Change { digest: Digest(self.digest), from: self.from, to: self.to, at: Time(at), source: self.source }
    }

    fn pack(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(&self.row.to_le_bytes());
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        bytes.push((self.from as u8) << 4 | self.to as u8);
        bytes.push(self.source as u8);
        bytes.extend_from_slice(&self.row_crc.to_le_bytes());
    }

    fn unpack(bytes: &[u8; ENTRY]) -> Option<Self> {
        let part = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let status = |code: u8| Status::ALL.get(usize::from(code)).copied();
        Some(Self {
            digest: std::array::from_fn(|i| bytes[i]),
            row: part(16),
            previous: u64::from(part(20)) | u64::from(part(24)) << 32,
            from: status(bytes[28] >> 4)?,
            to: status(bytes[28] & 15)?,
            source: Source::ALL.get(usize::from(bytes[29])).copied()?,
            row_crc: part(30),
        })
    }
}

/// A row of `order_history` in the making.
pub(super) struct Leaf {
    pub(super) seq: u64,
    sale: u16,
    bytes: Vec<u8>,
}

impl Leaf {
    pub(super) fn new(seq: u64, sale: u16, at: i64, entries: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD + entries * ENTRY + TAIL);
        bytes.extend_from_slice(&at.to_le_bytes());
        Self { seq, sale, bytes }
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        entry.pack(&mut self.bytes);
    }

    pub(super) fn insert(mut self, sql: &Connection) -> Result<(), Failure> {
        let crc = crc(self.seq, self.sale, &self.bytes);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        let mut statement = sql.prepare_cached("insert into order_history (seq, sale, entries) values (?1, ?2, ?3)")?;
        statement.execute(params![self.seq as i64, self.sale, self.bytes])?;
        Ok(())
    }
}

fn crc(seq: u64, sale: u16, bytes: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&seq.to_le_bytes());
    hash.update(&sale.to_le_bytes());
    hash.update(bytes);
    hash.finalize()
}

/// A stored row of `order_history`, checked.
pub(super) struct Stored<'a> {
    pub(super) at: i64,
    bytes: &'a [u8],
}

impl<'a> Stored<'a> {
    /// `None`: the bytes do not fit their checksum.
    pub(super) fn read(seq: u64, sale: u16, blob: &'a [u8]) -> Option<Self> {
        let (bytes, sum) = blob.split_last_chunk::<TAIL>()?;
        let (at, entries) = bytes.split_first_chunk::<HEAD>()?;
        let fits = crc(seq, sale, bytes) == u32::from_le_bytes(*sum) && entries.len() % ENTRY == 0;
        fits.then_some(Self { at: i64::from_le_bytes(*at), bytes: entries })
    }

    /// Its entries; `None` for one that no version wrote.
    pub(super) fn entries(&self) -> impl Iterator<Item = Option<Entry>> + 'a {
        self.bytes.as_chunks::<ENTRY>().0.iter().map(Entry::unpack)
    }
}

/// Calls `each` for every change of the sale whose row of history is at or after `from`, in the order of their making.
pub(super) fn walk(sql: &Connection, sale: u16, from: u64, mut each: impl FnMut(i64, Entry)) -> Result<(), Failure> {
    let mut statement = sql.prepare_cached("select seq, entries from order_history where seq >= ?1 and sale = ?2 order by seq")?;
    let mut rows = statement.query(params![from as i64, sale])?;
    while let Some(r) = rows.next()? {
        let seq = r.get::<_, i64>(0)? as u64;
        unpacked(seq, sale, r.get_ref(1)?.as_blob().unwrap_or_default(), &mut each)?;
    }
    Ok(())
}

/// An order's changes, newest first, along the chain that begins at `last`.
pub(super) fn chain(sql: &Connection, sale: u16, row: u32, last: u64) -> Result<Vec<Change>, Failure> {
    let mut statement = sql.prepare_cached("select entries from order_history where seq = ?1")?;
    let (mut changes, mut seq) = (Vec::new(), last);
    while seq != 0 {
        let mut rows = statement.query([seq as i64])?;
        let Some(r) = rows.next()? else { return Err(damaged(seq)) };
        let mut previous = None;
        unpacked(seq, sale, r.get_ref(0)?.as_blob().unwrap_or_default(), &mut |at, entry| {
            if entry.row == row {
                changes.push(entry.change(at));
                previous = Some(entry.previous);
            }
        })?;
        // Each step goes back, so the walk ends.
        seq = previous.filter(|&previous| previous < seq).ok_or_else(|| damaged(seq))?;
    }
    Ok(changes)
}

fn unpacked(seq: u64, sale: u16, blob: &[u8], each: &mut dyn FnMut(i64, Entry)) -> Result<(), Failure> {
    let stored = Stored::read(seq, sale, blob).ok_or_else(|| damaged(seq))?;
    for entry in stored.entries() {
        each(stored.at, entry.ok_or_else(|| damaged(seq))?);
    }
    Ok(())
}

fn damaged(seq: u64) -> Failure {
    Failure::Broken(format!("table `order_history`, seq {seq}: it does not fit its checksum or its chain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_read_and_any_flipped_bit_is_found() {
        let mut leaf = Leaf::new(7, 2, 1_234, 2);
        let entry = |n: u8| Entry {
            digest: [n; 16],
            row: u32::from(n) + 70_000,
            previous: u64::from(n) << 33,
            from: Status::Confirmed,
            to: Status::Refunded,
            source: Source::Ticket,
            row_crc: 0xdead_beef,
        };
        leaf.add(&entry(1));
        leaf.add(&entry(9));
        let mut bytes = leaf.bytes.clone();
        bytes.extend_from_slice(&crc(7, 2, &leaf.bytes).to_le_bytes());
        let stored = Stored::read(7, 2, &bytes).expect("it is whole");
        assert_eq!((stored.at, stored.entries().flatten().collect::<Vec<_>>()), (1_234, vec![entry(1), entry(9)]));
        assert!(Stored::read(8, 2, &bytes).is_none() && Stored::read(7, 3, &bytes).is_none());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Stored::read(7, 2, &bytes).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
