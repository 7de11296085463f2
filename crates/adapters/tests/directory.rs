//! The data directory: one process at a time, and what was there must still be there.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use adapters::embedded::{Directory, EmbeddedQueue, QueueSettings};

#[test]
fn a_second_opener_of_the_directory_is_told_who_has_it() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("a/data");
    let directory = Directory::open(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let sentence = Directory::open(&path).unwrap_err().to_string();
    assert!(sentence.contains(&format!("process {}", std::process::id())), "{sentence}");
    assert!(sentence.contains(&path.display().to_string()), "{sentence}");
    drop(directory);
    Directory::open(&path).expect("it was let go");
}

#[test]
fn who_is_patient_gets_a_directory_that_is_let_go_meanwhile() {
    let base = tempfile::tempdir().unwrap();
    let mut held = Some(Directory::open(base.path()).unwrap());
    let mut asked = 0;
    let sentence = Directory::open_patiently(base.path(), || {
        asked += 1;
        asked < 5
    });
    let sentence = sentence.unwrap_err().to_string();
    assert!(asked == 5 && sentence.contains(&format!("process {}", std::process::id())), "{asked}: {sentence}");
    let patient = Directory::open_patiently(base.path(), || held.take().is_some());
    drop(patient.expect("the holder let go while it was waited for"));
}

#[test]
fn c34_a_settled_directory_refuses_a_missing_or_empty_database() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path();
    let mut directory = Directory::open(path).unwrap();
    let (ledger, queue) = (directory.ledger_path(), directory.queue_path());
    assert!(!directory.settled());
    drop(EmbeddedQueue::open(&queue, QueueSettings::default()).unwrap());
    std::fs::write(&ledger, "a ledger").unwrap();
    directory.settle().unwrap();
    drop(directory);
    assert!(Directory::open(path).unwrap().settled());
    for (file, other) in [(&ledger, "ledger.db"), (&queue, "queue.db")] {
        let sound = std::fs::read(file).unwrap();
        std::fs::write(file, b"").unwrap();
        let sentence = Directory::open(path).unwrap_err().to_string();
        assert!(sentence.contains(other) && sentence.contains("is empty"), "{sentence}");
        std::fs::remove_file(file).unwrap();
        let sentence = Directory::open(path).unwrap_err().to_string();
        assert!(sentence.contains(other) && sentence.contains("is missing"), "{sentence}");
        std::fs::write(file, sound).unwrap();
    }
    std::fs::write(path.join("layout"), "hotcake data directory, layout 2\n").unwrap();
    assert!(Directory::open(path).unwrap_err().to_string().contains("later"));
    std::fs::write(path.join("layout"), "").unwrap();
    assert!(Directory::open(path).unwrap_err().to_string().contains("layout"));
}

#[test]
fn what_is_no_directory_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let sentence = Directory::open(&path).unwrap_err().to_string();
        assert!(sentence.contains(&file.display().to_string()), "{sentence}");
    }
}
