//! What the embedded queue takes at most, and a disk that is full.

use super::*;

#[tokio::test]
async fn every_limit_refuses_before_anything_is_stored() {
    let (_directory, path) = place();
    let s = settings();
    let cases = [
        ("half messages", QueueSettings { halves_max: 3, ..s.clone() }),
        ("messages that are not done", QueueSettings { messages_max: 3, ..s.clone() }),
        ("bytes of messages", QueueSettings { bytes_max: 300, ..s.clone() }),
        ("takes no body", QueueSettings { body_max: 100, ..s.clone() }),
        ("calls wait", QueueSettings { jobs_max: 1, ..s.clone() }),
    ];
    for (at, (word, settings)) in cases.into_iter().enumerate() {
        let path = path.with_extension(format!("{at}.db"));
        let queue = EmbeddedQueue::open(&path, settings).unwrap();
        let answers = join_all((1..=8).map(|number| queue.prepare(half(number)))).await;
        let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(!refused.is_empty() && refused.len() < 8, "{word}: {answers:?}");
        for fault in refused {
            assert_eq!(fault.effect, Effect::None);
            assert!(fault.what.contains(word) && fault.what.contains("queue."), "{word}: {fault}");
        }
        assert_eq!(queue.backlog().await.unwrap().halves as usize, answers.iter().filter(|answer| answer.is_ok()).count());
    }
    let queue = EmbeddedQueue::open(&path, QueueSettings { parked_max: 1, ..settings() }).unwrap();
    commit(&queue, 1).await;
    commit(&queue, 2).await;
    let messages = queue.receive(2, 0).await.unwrap();
    queue.park(messages[0].handle.clone(), "").await.unwrap();
    let fault = queue.park(messages[1].handle.clone(), "").await.unwrap_err();
    assert!(fault.what.contains("put aside"), "{fault}");
}

#[tokio::test]
async fn c34_a_full_disk_is_no_false_ok_and_later_calls_go_on() {
    let (_directory, path) = place();
    let queue = EmbeddedQueue::open(&path, QueueSettings { file_max_bytes: 200 << 10, ..settings() }).unwrap();
    let big = |number: u64| Half { body: vec![number as u8; 9_000], ..half(number) };
    let mut receipts = Vec::new();
    let fault = loop {
        match queue.prepare(big(receipts.len() as u64)).await {
            Ok(receipt) => receipts.push(receipt),
            Err(fault) => break fault,
        }
        assert!(receipts.len() < 40, "200 KiB do not hold 40 times 9 KB");
    };
    assert_eq!(fault.effect, Effect::None);
    assert!(fault.what.contains("full") && fault.what.contains("queue.db"), "{fault}");
    // A hint that rides with a transaction that fails is not forgotten.
    let kept = receipts.remove(0);
    queue.settle(kept, Verdict::Commit).await;
    for fault in join_all((50..60).map(|number| queue.prepare(big(number)))).await {
        assert_eq!(fault.expect_err("there is no room for even one").effect, Effect::None);
    }
    {
        let (_image, image) = image(&path);
        let there = open(&image).backlog().await.unwrap();
        assert_eq!((there.halves + there.committed) as usize, 1 + receipts.len(), "what was answered is there, and nothing else");
    }
    for receipt in receipts {
        queue.settle(receipt, Verdict::Rollback).await;
    }
    queue.prepare(big(99)).await.expect("there is room again");
    let (_image, image) = image(&path);
    let there = open(&image).backlog().await.unwrap();
    assert_eq!((there.halves, there.committed), (1, 1));
}
