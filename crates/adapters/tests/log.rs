//! The check of SQLite's write-ahead log, on logs that SQLite wrote and a crash tore: what a torn write leaves is no damage,
//! whatever stands behind it; what was flipped in the middle is. Knows no table of ours.

use adapters::embedded::log::check;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;

/// A database whose last transaction is under the knife: the log before it and with it.
struct Torn {
    directory: tempfile::TempDir,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Torn {
    /// `past` makes what stands in the log before; then come small commits, and the last one of several pages.
    fn of(past: impl FnOnce(&Connection)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.db");
        let sql = Connection::open(&path).expect("opened");
        sql.execute_batch("pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 0; pragma cache_size = -64; create table t (n, x)")
            .expect("made");
        past(&sql);
        for n in 0..5 {
            sql.execute("insert into t values (?, zeroblob(100))", [n]).expect("committed");
        }
        let log = || std::fs::read(wal(&path)).expect("the log is there");
        let before = log();
        sql.execute("insert into t values (99, randomblob(30000))", []).expect("committed");
        let torn = Self { before, after: log(), directory };
        drop(sql);
        torn
    }

    /// The bytes that the last transaction wrote.
    fn span(&self) -> std::ops::Range<usize> {
        let same = |at: &usize| self.before.get(*at) == self.after.get(*at);
        let first = (0..self.after.len()).find(|at| !same(at)).expect("it wrote something");
        let last = (0..self.after.len()).rfind(|at| !same(at)).expect("it wrote something");
        first..last + 1
    }

    /// The log with these bytes of the last transaction on disk, and the others as they were.
    fn with(&self, written: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut log = self.after.clone();
        let mut end = self.before.len();
        for at in self.span() {
            if written(at) {
                end = end.max(at + 1);
            } else {
                log[at] = self.before.get(at).copied().unwrap_or(0);
            }
        }
        log.truncate(end);
        log
    }

    /// Whether the check takes the database with this log for whole.
    fn is_whole(&self, log: &[u8]) -> bool {
        let path = self.directory.path().join("copy.db");
        std::fs::write(wal(&path), log).expect("written");
        check(&path).is_ok()
    }
}

fn wal(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// What stands behind the last commit: nothing; a rolled-back transaction of the same round; an earlier round.
fn pasts() -> [(&'static str, Torn); 3] {
    let rolled_back = |sql: &Connection| {
        sql.execute("insert into t values (1, zeroblob(100))", []).expect("committed");
        sql.execute_batch("begin; insert into t values (2, randomblob(400000)); rollback").expect("rolled back");
    };
    let earlier_round = |sql: &Connection| {
        for n in 0..60 {
            sql.execute("insert into t values (?, randomblob(5000))", [n]).expect("committed");
        }
        sql.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(())).expect("folded");
    };
    [("nothing", Torn::of(|_| ())), ("a rollback", Torn::of(rolled_back)), ("an earlier round", Torn::of(earlier_round))]
}

#[test]
fn c34_a_torn_last_commit_is_no_damage_whatever_stands_behind_it() {
    for (past, torn) in pasts() {
        let span = torn.span();
        // Each word of a frame's head, and some places in its page.
        let cuts = span.clone().step_by(8).filter(|cut| (cut - span.start) % (4_096 + 24) < 40 || cut % 256 < 8);
        for cut in cuts.chain([span.end]) {
            assert!(torn.is_whole(&torn.with(|at| at < cut)), "behind it {past}: cut at {cut} of {span:?}");
        }
        // A disk may write sectors in any order; what is drawn here follows from the round.
        let mut draw = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..200 {
            draw = draw.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let log = torn.with(|at| draw.rotate_left((at / SECTOR % 64) as u32) & 1 == 1);
            assert!(torn.is_whole(&log), "behind it {past}: sectors of round {round}");
        }
    }
}

#[test]
fn c34_a_byte_that_flipped_in_front_of_the_last_commit_is_damage() {
    for (past, torn) in pasts() {
        let end = torn.span().start;
        // The last commit but one may be the one that was hit: behind it stands one whole transaction.
        for at in (0..end).step_by(53) {
            let mut log = torn.after.clone();
            log[at] ^= 1 << (at % 8);
            assert!(!torn.is_whole(&log), "behind it {past}: byte {at} of {end}");
        }
    }
}
