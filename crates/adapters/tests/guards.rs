//! Guards of the embedded stores that neither the ports' contract nor the tests of files need: each test here is the one
//! that notices when a line is left out.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

mod support;

use adapters::embedded::{EmbeddedQueue, QueueSettings};
use adapters::sqlite::SqliteLedger;
use sale::contract::{self, ask, hurried, late_ask, terms};
use sale::order::{Order, Reason, Source, Status};
use sale::ports::{BumpAsk, Bumped, Closed, Closing, Half, Ledger, Moved, Paid, Paying, Queue as _, SaleChange, Sheaf, Verdict};
use sale::words::{Ask, BatchId, Epoch, OrderId, RunId, SALES_MAX, SaleId, SaleStatus, Time};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{LIMIT, wait_until_told};
use tempfile::TempDir;

fn place(name: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    (directory, path)
}

fn log_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

/// What the disk would hold if the machine stopped now.
fn image(path: &Path) -> (TempDir, PathBuf) {
    let (directory, copy) = place("copy.db");
    std::fs::copy(path, &copy).unwrap();
    std::fs::copy(log_of(path), log_of(&copy)).unwrap();
    (directory, copy)
}

// ------------------------------------------------------------------------------------------------------ the queue

fn half(number: u64, bytes: usize) -> Half {
    Half { batch: BatchId { node: 7, number }, tag: "sku".into(), body: vec![number as u8; bytes] }
}

async fn commit(queue: &EmbeddedQueue, number: u64) {
    let receipt = queue.prepare(half(number, 8)).await.unwrap();
    queue.settle(receipt, Verdict::Commit).await;
}

#[test]
fn a_queue_of_another_version_is_refused() {
    let (_directory, path) = place("queue.db");
    drop(EmbeddedQueue::open(&path, QueueSettings::default()).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let refused = EmbeddedQueue::open(&path, QueueSettings::default()).unwrap_err().to_string();
    assert!(refused.contains("another version") && refused.contains("queue.db"), "{refused}");
}

#[tokio::test]
async fn c34_a_log_whose_head_is_damaged_is_refused() {
    let (_directory, path) = place("queue.db");
    let queue = EmbeddedQueue::open(&path, QueueSettings::default()).unwrap();
    for number in 1..=4 {
        queue.prepare(half(number, 100)).await.unwrap();
    }
    // The magic number, the page's size, the salt and the checksum: SQLite passes a log over that is wrong in any of them.
    for at in [1, 9, 17, 25] {
        let (_image, copy) = image(&path);
        let mut bytes = std::fs::read(log_of(&copy)).unwrap();
        bytes[at] ^= 1;
        std::fs::write(log_of(&copy), bytes).unwrap();
        let refused = EmbeddedQueue::open(&copy, QueueSettings::default()).unwrap_err().to_string();
        assert!(refused.contains("copy.db-wal") && refused.contains("its head is wrong"), "byte {at}: {refused}");
    }
}

#[tokio::test]
async fn what_could_not_be_stored_counts_no_longer_and_its_ids_are_reserved_again() {
    let (_directory, path) = place("queue.db");
    let settings = QueueSettings { halves_max: 2, file_max_bytes: 100_000, ..QueueSettings::default() };
    let queue = EmbeddedQueue::open(&path, settings.clone()).unwrap();
    // The first transaction reserves ids; it is rolled back, because the file may not grow that far.
    for _ in 0..3 {
        let fault = queue.prepare(half(1, 1_000_000)).await.unwrap_err();
        assert!(fault.what.contains("full"), "{fault}");
    }
    queue.prepare(half(2, 8)).await.unwrap();
    drop(queue);
    // An id that was given out is not given out again.
    let queue = EmbeddedQueue::open(&path, QueueSettings { halves_max: 100, ..settings }).unwrap();
    for number in 3..=10 {
        queue.prepare(half(number, 8)).await.unwrap();
    }
    assert_eq!(queue.backlog().await.unwrap().halves, 9);
}

#[tokio::test]
async fn a_message_that_comes_again_holds_up_no_other() {
    let (_directory, path) = place("queue.db");
    let queue = EmbeddedQueue::open(&path, QueueSettings::default()).unwrap();
    commit(&queue, 1).await;
    commit(&queue, 2).await;
    let first = queue.receive(1, 0).await.unwrap().remove(0);
    queue.later(vec![first.handle], 0).await;
    let bodies: Vec<u8> = queue.receive(2, 0).await.unwrap().iter().map(|message| message.body[0]).collect();
    assert_eq!(bodies, [2, 1]);
}

#[tokio::test]
async fn the_bytes_of_what_is_done_make_room() {
    let (_directory, path) = place("queue.db");
    let queue = EmbeddedQueue::open(&path, QueueSettings { bytes_max: 100, ..QueueSettings::default() }).unwrap();
    for number in 1..=5 {
        let receipt = queue.prepare(half(number, 60)).await.unwrap();
        assert!(queue.prepare(half(number, 60)).await.is_err(), "two do not fit");
        queue.settle(receipt, Verdict::Rollback).await;
    }
}

// ------------------------------------------------------------------------------------------------------- their logs

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.len())
}

async fn wait_until_grown(path: &Path, before: u64) {
    let grown = async {
        while length(path) <= before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, grown).await.unwrap_or_else(|_| panic!("{} did not grow in {LIMIT:?}", path.display()));
}

/// The length from which a log no longer grows: the writer folds it at 4,000 pages.
const GROWN: u64 = 4_000 * 4_096;

#[tokio::test]
async fn a_log_grown_ahead_has_its_whole_length_and_holds_what_it_held() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    let order = record(&ledger, sale, ask(sale, "ann", 1)).await;
    let before = ledger.books(sale).await.unwrap();
    assert!(length(&log_of(&path)) < GROWN);
    ledger.pregrow().await.unwrap();
    assert!(length(&log_of(&path)) >= GROWN);
    assert_eq!(ledger.books(sale).await.unwrap(), before);
    record(&ledger, sale, ask(sale, "ben", 1)).await;
    let (_image, copy) = image(&path);
    assert_eq!(SqliteLedger::open(&copy).unwrap().orders(&[order.id()]).await.unwrap(), [Some(order)]);

    let (_directory, path) = place("queue.db");
    let queue = EmbeddedQueue::open(&path, QueueSettings::default()).unwrap();
    queue.prepare(half(1, 8)).await.unwrap();
    assert!(length(&log_of(&path)) < GROWN);
    queue.pregrow().await.unwrap();
    assert!(length(&log_of(&path)) >= GROWN);
    queue.pregrow().await.unwrap();
    queue.prepare(half(2, 8)).await.unwrap();
    let (_image, copy) = image(&path);
    assert_eq!(EmbeddedQueue::open(&copy, QueueSettings::default()).unwrap().backlog().await.unwrap().halves, 2);
}

#[tokio::test]
async fn a_log_that_has_no_room_to_grow_says_so_and_work_goes_on() {
    let (_directory, path) = place("queue.db");
    let queue = EmbeddedQueue::open(&path, QueueSettings { file_max_bytes: 200_000, ..QueueSettings::default() }).unwrap();
    for _ in 0..2 {
        let fault = queue.pregrow().await.unwrap_err();
        assert!(fault.what.contains("full"), "{fault}");
        commit(&queue, 1).await;
    }
    assert_eq!(queue.backlog().await.unwrap().committed, 2);
}

#[tokio::test]
async fn the_ledgers_log_is_folded_beside_the_writer_before_it_is_full() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = contract::sale("one");
    ledger.create_sale(&terms(sale), 10_000, "test").await.unwrap().unwrap();
    assert!(matches!(bump(&ledger, sale, 0, SaleStatus::Open).await, Bumped::Won(_)));
    let before = length(&path);
    for n in 0..300 {
        let asks = (0..4).map(|at| ask(sale, &format!("b{n}-{at}"), 1)).collect();
        let sheaf = Sheaf { sale, epoch: Epoch(1), source: Source::Message, asks };
        ledger.record(vec![sheaf]).await.unwrap().sheaves.remove(0).unwrap();
    }
    // The writer by itself folds a full log only, and this one is not.
    assert!(length(&log_of(&path)) < GROWN);
    wait_until_grown(&path, before).await;
}

// ----------------------------------------------------------------------------------------------------- the ledger

const NOON: Time = Time(1_700_000_000_000);

async fn open_sale(ledger: &dyn Ledger, name: &str) -> SaleId {
    let id = contract::sale(name);
    ledger.create_sale(&terms(id), 20, "test").await.unwrap().unwrap();
    assert!(matches!(bump(ledger, id, 0, SaleStatus::Open).await, Bumped::Won(_)));
    id
}

async fn bump(ledger: &dyn Ledger, sale: SaleId, seen: u64, to: SaleStatus) -> Bumped {
    ledger.bump(BumpAsk { sale, seen: Epoch(seen), run: RunId(7), to: Some(to), lease_ms: 0 }).await.unwrap()
}

async fn record(ledger: &dyn Ledger, sale: SaleId, ask: Ask) -> Order {
    let sheaf = Sheaf { sale, epoch: Epoch(1), source: Source::Message, asks: vec![ask] };
    ledger.record(vec![sheaf]).await.unwrap().sheaves.remove(0).unwrap().remove(0)
}

fn id(sale: SaleId, ask: &Ask) -> OrderId {
    OrderId { sale, digest: ask.digest }
}

fn refusal(path: &Path) -> String {
    SqliteLedger::open(path).err().expect("it is refused").to_string()
}

#[tokio::test]
async fn c21_a_time_that_was_told_is_not_undercut_after_a_crash_however_little_the_clock_went_back() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open_at(&path, NOON).unwrap();
    open_sale(&ledger, "one").await;
    // The file knows a time three seconds ahead. A second later it crashes, and the wall clock is a little behind.
    let told = wait_until_told(&ledger, NOON.after_ms(1_000)).await;
    let (_image, copy) = image(&path);
    assert!(SqliteLedger::open_at(&copy, NOON.after_ms(600)).unwrap().now().await.unwrap() >= told);
    // Nothing is written for longer than the mark runs ahead: then the clock itself moves the mark.
    let told = wait_until_told(&ledger, NOON.after_ms(3_200)).await;
    let (_image, copy) = image(&path);
    assert!(SqliteLedger::open_at(&copy, NOON).unwrap().now().await.unwrap() >= told);
}

#[tokio::test]
async fn c21_a_proper_end_stores_its_time_and_the_next_start_goes_on_from_it() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open_at(&path, NOON).unwrap();
    open_sale(&ledger, "one").await;
    let told = ledger.now().await.unwrap();
    drop(ledger);
    let next = SqliteLedger::open_at(&path, told).unwrap().now().await.unwrap();
    assert!(next >= told && next.since_ms(told) < 1_000, "{} ms were skipped", next.since_ms(told));
}

#[tokio::test]
async fn c34_a_ledger_of_no_version_or_with_other_tables_is_refused() {
    let (_directory, path) = place("ledger.db");
    drop(SqliteLedger::open(&path).unwrap());
    let hand = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    hand("pragma user_version = 0");
    assert!(refusal(&path).contains("never was"), "{}", refusal(&path));
    hand("pragma user_version = 1; alter table orders add column helpful integer");
    assert!(refusal(&path).contains("table `orders` is not what version 1 made"), "{}", refusal(&path));
}

#[tokio::test]
async fn c34_what_only_sqlites_own_check_sees_is_refused() {
    const PAGE: usize = 4_096;
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    record(&ledger, sale, ask(sale, "a", 1)).await;
    drop(ledger);
    let sound = std::fs::read(&path).unwrap();
    let (mut pages, mut refused) = (0, 0);
    // The count of lost bytes in the head of a leaf: no row depends on it.
    for page in (PAGE..sound.len()).step_by(PAGE).filter(|&page| sound[page] == 0x0d) {
        let mut damaged = sound.clone();
        damaged[page + 7] = 60;
        std::fs::write(&path, damaged).unwrap();
        pages += 1;
        refused += usize::from(refusal(&path).contains("SQLite's check of its structure"));
    }
    assert!(pages > 3 && refused == pages, "{refused} of {pages}");
}

#[tokio::test]
async fn c34_a_history_that_lost_its_end_is_refused() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    for buyer in ["a", "b"] {
        record(&ledger, sale, ask(sale, buyer, 1)).await;
    }
    drop(ledger);
    let hand = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(hand.execute("delete from order_history where seq = (select max(seq) from order_history)", []).unwrap(), 1);
    drop(hand);
    assert!(refusal(&path).contains("table `orders`: row 2 has not the history that it names"), "{}", refusal(&path));
}

#[tokio::test]
async fn c55_a_row_deleted_by_hand_stops_its_sale_whoever_closes_it() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    let order = record(&ledger, sale, ask(sale, "a", 1)).await;
    let hand = rusqlite::Connection::open(&path).unwrap();
    hand.busy_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(hand.execute("delete from orders", []).unwrap(), 1);
    assert_eq!(ledger.close(order.id(), Closing::Cancel, Some(order.ask)).await.unwrap(), Closed::NoRow);
    let stopped = ledger.sale(sale).await.unwrap().unwrap().stopped.expect("stopped");
    assert!(stopped.contains("deleted by hand"), "{stopped}");
}

#[tokio::test]
async fn c19_a_tombstone_is_of_the_ask_that_was_named() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    let (ann, bob) = (ask(sale, "ann", 1), ask(sale, "bob", 1));
    assert_eq!(ledger.close(id(sale, &ann), Closing::Lost, Some(bob.clone())).await.unwrap(), Closed::NoRow);
    assert_eq!(ledger.orders(&[id(sale, &ann), id(sale, &bob)]).await.unwrap(), [None, None]);
}

#[tokio::test]
async fn a_sale_that_has_ended_is_neither_opened_nor_restocked() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    for (change, status) in [(SaleChange::End, SaleStatus::Ended), (SaleChange::Archive, SaleStatus::Archived)] {
        ledger.change_sale(sale, &change).await.unwrap();
        assert!(matches!(bump(&ledger, sale, 1, SaleStatus::Open).await, Bumped::NotNow(now) if now == status));
        // Nor is there anything to sell in it any more.
        let raised = ledger.raise(sale, &"more".parse().unwrap(), 1, "op", "more").await.unwrap();
        assert_eq!(raised, Moved::NotNow);
    }
    // An archived sale has no gate to rebuild.
    assert!(matches!(bump(&ledger, sale, 1, SaleStatus::Archived).await, Bumped::NotNow(SaleStatus::Archived)));
    assert_eq!(ledger.sale(sale).await.unwrap().unwrap().epoch, Epoch(1));
}

#[tokio::test]
async fn a_ledger_keeps_its_most_sales_and_says_so() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let all: Vec<_> = (0..SALES_MAX).map(|n| terms(contract::sale(&format!("s-{n}")))).collect();
    for made in futures_util::future::join_all(all.iter().map(|terms| ledger.create_sale(terms, 1, "test"))).await {
        made.unwrap().unwrap();
    }
    let fault = ledger.create_sale(&terms(contract::sale("one-more")), 1, "test").await.unwrap_err();
    assert!(fault.what.contains("its most"), "{fault}");
    assert!(ledger.create_sale(&all[0], 1, "test").await.unwrap().is_ok(), "one that is there is answered");
}

/// An order that nobody paid in time, and nobody closed.
async fn overdue(ledger: &dyn Ledger, sale: SaleId, buyer: &str) -> Order {
    let order = record(ledger, sale, hurried(ask(sale, buyer, 1))).await;
    wait_until_told(ledger, order.pay_by.unwrap()).await;
    order
}

fn paying(payment: &str, order: &Order) -> Paying {
    Paying { payment: payment.parse().unwrap(), order: order.id(), amount: order.ask.amount() }
}

#[tokio::test]
async fn a_late_ask_is_paid_by_the_payment_of_its_own_order_alone() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    let (ann, bob) = (overdue(&ledger, sale, "ann").await, overdue(&ledger, sale, "bob").await);
    for order in [&ann, &bob] {
        assert!(matches!(ledger.close(order.id(), Closing::Expire, None).await.unwrap(), Closed::Row(..)));
    }
    let paid = paying("p", &ann);
    assert!(matches!(ledger.pay(&paid).await.unwrap(), Paid::Late(_)));
    let stolen = record(&ledger, sale, late_ask(sale, &bob.ask, &paid.payment)).await;
    assert_eq!((stolen.status, stolen.reason), (Status::Rejected, Some(Reason::RefundDue)));
    let bought = record(&ledger, sale, late_ask(sale, &ann.ask, &paid.payment)).await;
    assert_eq!(bought.status, Status::Paid);
}

#[tokio::test]
async fn what_one_transaction_does_its_later_jobs_see() {
    let (_directory, path) = place("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one").await;
    let order = overdue(&ledger, sale, "ann").await;
    // While the writer is busy with a large sheaf, a payment, the same again and a question wait together for it.
    let sheaf = Sheaf { sale, epoch: Epoch(1), source: Source::Message, asks: contract::buyers_of(sale, 5_000, 1) };
    let payment = paying("p", &order);
    let (_, first, second, due) = tokio::join!(ledger.record(vec![sheaf]), ledger.pay(&payment), ledger.pay(&payment), ledger.due(10));
    for paid in [first, second] {
        assert!(matches!(paid, Ok(Paid::Settled(_))), "{paid:?}");
    }
    assert_eq!(due.unwrap(), [], "it has just been paid");
    assert_eq!(ledger.payments(order.id()).await.unwrap().len(), 1);
}
