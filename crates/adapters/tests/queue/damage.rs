//! Damage of the embedded queue's file and of its log (C34): found, or harmless.

use super::*;

/// A queue with something in every table, closed; what it holds, as `contents` shows it.
async fn filled(path: &Path) {
    let queue = open(path);
    for number in 1..=30 {
        commit(&queue, number).await;
    }
    let messages = queue.receive(4, 0).await.unwrap();
    queue.park(messages[0].handle.clone(), "why").await.unwrap();
    queue.ack(messages[1..3].iter().map(|message| message.handle.clone()).collect(), 77).await;
    for number in 31..=36 {
        queue.prepare(half(number)).await.unwrap();
    }
}

type Contents = (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<(Vec<u8>, String, i64)>, Option<u64>);

async fn contents(queue: &EmbeddedQueue) -> Contents {
    let parked = queue.parked(0, 100).await.unwrap();
    (
        queue.checks(1_000, 0).await.unwrap().into_iter().map(|check| check.body).collect(),
        queue.receive(1_000, 0).await.unwrap().into_iter().map(|message| message.body).collect(),
        parked.into_iter().map(|parked| (parked.body, parked.reason, parked.at.0)).collect(),
        queue.witness().await.unwrap(),
    )
}

struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[tokio::test]
async fn c34_a_flipped_byte_is_found_or_harmless() {
    let (_directory, path) = place();
    filled(&path).await;
    let sound = std::fs::read(&path).unwrap();
    let expected = contents(&open(&path)).await;
    assert_eq!((expected.0.len(), expected.1.len(), expected.2.len(), expected.3), (6, 27, 1, Some(77)));
    let mut random = Seeded(0x5eed);
    let (mut refused, mut harmless) = (0, 0);
    for round in 0..400 {
        let (at, bit) = (random.below(sound.len()), 1 << random.below(8));
        let mut bytes = sound.clone();
        bytes[at] ^= bit;
        let (_copy_directory, copy) = place();
        std::fs::write(&copy, &bytes).unwrap();
        match EmbeddedQueue::open(&copy, settings()) {
            Err(e) => {
                let sentence = e.to_string();
                assert!(sentence.contains("queue.db"), "{sentence}");
                refused += 1;
            }
            Ok(queue) => {
                assert!(contents(&queue).await == expected, "round {round}: byte {at} bit {bit} changed what is told");
                harmless += 1;
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 200, "most of the file is bodies; only {refused} of 400 were refused");
}

#[tokio::test]
async fn c34_damage_of_a_row_is_refused_naming_file_and_table() {
    let (_directory, path) = place();
    filled(&path).await;
    let sound = std::fs::read(&path).unwrap();
    // Inside the bodies of a message and of the parked one: no structure of SQLite is touched there.
    for (needle, table) in [(body(30), "message"), (body(1), "parked")] {
        let at = sound.windows(16).position(|window| window == &needle[..16]).expect("the body is in the file");
        let mut bytes = sound.clone();
        bytes[at + 3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let sentence = EmbeddedQueue::open(&path, settings()).unwrap_err().to_string();
        assert!(sentence.contains("queue.db") && sentence.contains(&format!("table {table}")), "{sentence}");
        assert!(sentence.contains("Restore"), "it says the next step: {sentence}");
    }
    std::fs::write(&path, &sound).unwrap();
    open(&path);
}

#[tokio::test]
async fn c34_a_number_changed_by_hand_is_refused() {
    for name in ["witness", "ids"] {
        let (_directory, path) = place();
        filled(&path).await;
        let hand = rusqlite::Connection::open(&path).unwrap();
        assert_eq!(hand.execute("update meta set value = value - 1 where name = ?", [name]).unwrap(), 1);
        hand.close().unwrap();
        let sentence = EmbeddedQueue::open(&path, settings()).unwrap_err().to_string();
        assert!(sentence.contains("table meta") && sentence.contains(name), "{sentence}");
    }
}

#[tokio::test]
async fn c34_a_row_that_its_page_no_longer_counts_is_missed() {
    const PAGE: usize = 4_096;
    /// SQLite's mark of a page that has rows.
    const LEAF: u8 = 0x0d;
    let (_directory, path) = place();
    filled(&path).await;
    let sound = std::fs::read(&path).unwrap();
    let expected = contents(&open(&path)).await;
    let mut refused = 0;
    // The first page begins with the file's head instead.
    for at in (PAGE..sound.len()).step_by(PAGE) {
        let count = u16::from_be_bytes([sound[at + 3], sound[at + 4]]);
        if sound[at] != LEAF || !(1..=200).contains(&count) {
            continue;
        }
        let mut bytes = sound.clone();
        bytes[at + 3..at + 5].copy_from_slice(&(count - 1).to_be_bytes());
        let (_copy_directory, copy) = place();
        std::fs::write(&copy, &bytes).unwrap();
        match EmbeddedQueue::open(&copy, settings()) {
            Err(_) => refused += 1,
            Ok(queue) => assert!(contents(&queue).await == expected, "a row of page {} is gone without a word", at / PAGE + 1),
        }
    }
    assert!(refused >= 3, "the messages' pages and the parked one's: {refused} refused");
}

#[tokio::test]
async fn c34_what_is_not_a_database_is_refused_and_left_alone() {
    let cases: [(&str, &[u8]); 4] = [
        ("is empty", b""),
        ("too short", b"hello"),
        ("not a database", b"this is a text of more than sixteen bytes\n"),
        ("", b"SQLite format 3\0 and no more"),
    ];
    for (word, bytes) in cases {
        let (_directory, path) = place();
        std::fs::write(&path, bytes).unwrap();
        let sentence = EmbeddedQueue::open(&path, settings()).unwrap_err().to_string();
        assert!(sentence.contains("queue.db") && sentence.contains(word), "{sentence}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "a refused file is not touched");
    }
    let (directory, path) = place();
    let another = rusqlite::Connection::open(&path).unwrap();
    another.execute_batch("create table message (id)").unwrap();
    another.close().unwrap();
    let sentence = EmbeddedQueue::open(&path, settings()).unwrap_err().to_string();
    assert!(sentence.contains("not a queue"), "{sentence}");
    let sentence = EmbeddedQueue::open(directory.path(), settings()).unwrap_err().to_string();
    assert!(sentence.contains(&directory.path().display().to_string()), "{sentence}");
}

#[tokio::test]
async fn c34_a_cut_off_file_is_refused() {
    let (_directory, path) = place();
    filled(&path).await;
    let sound = std::fs::read(&path).unwrap();
    for keep in [sound.len() / 2, sound.len() - 4_096, sound.len() - 1, 4_096, 100] {
        std::fs::write(&path, &sound[..keep]).unwrap();
        assert!(EmbeddedQueue::open(&path, settings()).is_err(), "{keep} of {} bytes", sound.len());
    }
}

#[tokio::test]
async fn c34_a_torn_tail_loses_nothing_that_was_answered() {
    let (_directory, path) = place();
    let queue = open(&path);
    for number in 0..20 {
        queue.prepare(half(number)).await.unwrap();
    }
    let (_sound_image, sound) = image(&path);
    let whole = std::fs::metadata(format!("{}-wal", sound.display())).unwrap().len();
    // The transaction of this one is torn off in the middle, as a crash before its answer does.
    queue.prepare(half(100)).await.unwrap();
    let (_torn_image, torn) = image(&path);
    let log = format!("{}-wal", torn.display());
    let bytes = std::fs::read(&log).unwrap();
    assert!(bytes.len() as u64 > whole);
    std::fs::write(&log, &bytes[..(whole as usize + bytes.len()) / 2]).unwrap();
    assert_eq!(found(&torn).await.0, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn c34_a_flipped_byte_in_the_log_is_found_unless_it_could_be_a_torn_tail() {
    let (_directory, path) = place();
    let queue = open(&path);
    for number in 0..20 {
        queue.prepare(half(number)).await.unwrap();
    }
    let (_before_last, before_last) = image(&path);
    let settled = std::fs::metadata(format!("{}-wal", before_last.display())).unwrap().len() as usize;
    queue.prepare(half(20)).await.unwrap();
    let (_sound_image, sound) = image(&path);
    let (database, log) = (std::fs::read(&sound).unwrap(), std::fs::read(format!("{}-wal", sound.display())).unwrap());
    let mut random = Seeded(0xf00d);
    for round in 0..300 {
        let (at, bit) = (random.below(log.len()), 1 << random.below(8));
        let mut bytes = log.clone();
        bytes[at] ^= bit;
        let (_copy_directory, copy) = place();
        std::fs::write(&copy, &database).unwrap();
        std::fs::write(format!("{}-wal", copy.display()), &bytes).unwrap();
        match EmbeddedQueue::open(&copy, settings()) {
            Err(e) => assert!(e.to_string().contains("queue.db"), "{e}"),
            Ok(queue) => {
                let there = checked(&queue.checks(1_000, 0).await.unwrap());
                let least = if at < settled { 21 } else { 20 };
                assert!(there.len() >= least, "round {round}: byte {at} bit {bit} of {} lost {there:?} without a word", log.len());
            }
        }
    }
    // A database that is gone while its log is there.
    std::fs::remove_file(&sound).unwrap();
    assert!(EmbeddedQueue::open(&sound, settings()).unwrap_err().to_string().contains("is missing"));
}

#[tokio::test]
async fn a_second_opener_of_the_file_is_refused() {
    let (_directory, path) = place();
    let _queue = open(&path);
    let sentence = EmbeddedQueue::open(&path, settings()).unwrap_err().to_string();
    assert!(sentence.contains("queue.db") && sentence.contains("open"), "{sentence}");
}
