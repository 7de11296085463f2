//! Whether SQLite's write-ahead log was damaged in its middle.
//!
//! SQLite reads its log up to the first frame whose checksum is wrong and takes the rest for a write that a crash cut
//! off. A flipped byte in the middle would thus silently drop what was acknowledged after it. But with `synchronous=full`
//! a transaction is begun only when the one before is on disk, so a wrong frame with a whole transaction *after* its own
//! is no crash: it is damage. What stays undetected: damage in the log's last transaction, and a log that was cut off.
//!
//! Knows the format (sqlite.org/fileformat2.html, section 4) and nothing of what the pages say.

use super::{OpenError, file};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
/// The magic number's last bit says how the checksums read the words.
const MAGIC: u32 = 0x377f_0682;

/// Refuses the log of this database if it is damaged in its middle. Nobody may be writing it.
pub fn check(database: &Path) -> Result<(), OpenError> {
    let path = file::beside(database, "-wal");
    let verdict = match File::open(&path) {
        Ok(file) => damage(BufReader::with_capacity(1 << 16, file)),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => Err(e),
    };
    let what = match verdict {
        Ok(None) => return Ok(()),
        Ok(Some(what)) => format!("is damaged: {what}, and what was committed after it would be lost"),
        Err(e) => format!("cannot be read: {e}"),
    };
    Err(OpenError::new(format!("the log {} {what}. Restore the data directory from one backup.", path.display())))
}

struct Frame {
    commits: bool,
    salt: [u8; 8],
    /// The checksum that stands in the frame.
    stored: [u32; 2],
    /// Its first eight bytes and its page: what the checksum goes over, after the one of the frame before.
    over: Vec<u8>,
}

fn damage(mut log: impl Read) -> std::io::Result<Option<String>> {
    let mut head = [0; HEAD];
    if !fill(&mut log, &mut head)? {
        return Ok(None);
    }
    let big = word(&head, 0) & 1 == 1;
    let page = word(&head, 8) as usize;
    let form = word(&head, 0) & !1 == MAGIC && page.is_power_of_two() && (512..=65_536).contains(&page);
    let stored = [word(&head, 24), word(&head, 28)];
    let sound = form && sum([0; 2], &head[..24], big) == stored;
    // SQLite ignores a log whose head is broken as a whole. Its frames still say whether it was one: then they are read
    // as this program writes them.
    let (page, big) = if sound { (page, big) } else { (4_096, cfg!(target_endian = "big")) };
    let mut salt: Option<[u8; 8]> = sound.then(|| head[16..24].try_into().expect("eight bytes"));
    // The checksum in front of a frame, as it stands in the log and as it comes to: one of them may be what is damaged.
    let (mut stands, mut comes_to) = (sound.then_some(stored), sound.then_some(stored));
    let mut wrong = (!sound).then_some(0_u64);
    let mut committed_since = !sound;
    let mut number = 0;
    while let Some(frame) = Frame::read(&mut log, page)? {
        number += 1;
        // Frames of an earlier round of the log have another salt, and fit nothing.
        let same = *salt.get_or_insert(frame.salt) == frame.salt;
        let after = |before: Option<[u32; 2]>| before.map(|before| sum(before, &frame.over, big));
        // Against both, so that what follows a wrong frame can be judged.
        let by_sum = after(comes_to);
        let fits = same && (by_sum == Some(frame.stored) || (stands != comes_to && after(stands) == Some(frame.stored)));
        match wrong {
            // A whole transaction stands behind the wrong frame's own: its last frame says so, and what is left of a
            // rollback, or of the log before it began anew, has none that fits.
            Some(first) if fits && committed_since && frame.commits => return Ok(Some(describe(first))),
            Some(_) => committed_since = (same && frame.commits) || (fits && committed_since),
            None if !fits => {
                wrong = Some(number);
                committed_since = frame.commits;
            }
            None => {}
        }
        stands = Some(frame.stored);
        comes_to = if fits { stands } else { by_sum.or(stands) };
    }
    Ok(None)
}

fn describe(first: u64) -> String {
    if first == 0 { "its head is wrong".to_owned() } else { format!("frame {first} is wrong") }
}

impl Frame {
    fn read(log: &mut impl Read, page: usize) -> std::io::Result<Option<Self>> {
        let mut bytes = vec![0; FRAME_HEAD + page];
        if !fill(log, &mut bytes)? {
            return Ok(None);
        }
        let salt = bytes[8..16].try_into().expect("eight bytes");
        let (commits, stored) = (word(&bytes, 4) != 0, [word(&bytes, 16), word(&bytes, 20)]);
        bytes.drain(8..FRAME_HEAD);
        Ok(Some(Self { commits, salt, stored, over: bytes }))
    }
}

/// SQLite's checksum: two sums that feed each other, over pairs of words.
fn sum(before: [u32; 2], bytes: &[u8], big: bool) -> [u32; 2] {
    let [mut a, mut b] = before;
    for pair in bytes.chunks_exact(8) {
        let read = |at: usize| {
            let word: [u8; 4] = pair[at..at + 4].try_into().expect("four bytes");
            if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        a = a.wrapping_add(read(0)).wrapping_add(b);
        b = b.wrapping_add(read(4)).wrapping_add(a);
    }
    [a, b]
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Whether there was that much to read.
fn fill(log: &mut impl Read, bytes: &mut [u8]) -> std::io::Result<bool> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
