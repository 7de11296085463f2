//! The embedded ledger against what a file can suffer: restarts, crashes, faults inside a transaction, clocks that
//! jump; damage and a hand in the rows have files of their own. The contract of its port is tried in `contract/`.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

mod by_hand;
mod damage;
#[path = "../support/mod.rs"]
mod support;

use adapters::sqlite::SqliteLedger;
use rusqlite::Connection;
use sale::contract::{self, Seeded, ask, ask_keyed, hurried, late_ask, terms};
use sale::order::{Order, Source, Status};
use sale::ports::{
    BumpAsk, Bumped, Closed, Closing, Ledger, LedgerBooks, Moved, Paid, Paying, Refunding, SaleChange, Sheaf, Unrecordable, Withdrawal,
};
use sale::words::{Ask, Epoch, OrderId, RunId, Sale, SaleId, SaleStatus, Time};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::wait_until_told;
use tempfile::TempDir;

fn hand(path: &Path) -> Connection {
    let sql = Connection::open(path).unwrap();
    sql.busy_timeout(Duration::from_secs(5)).unwrap();
    sql
}

fn delete_row(path: &Path, id: OrderId) {
    assert_eq!(hand(path).execute("delete from orders where digest = ?1", [id.digest.0.as_slice()]).unwrap(), 1);
}

// ------------------------------------------------------------------------------------------------ what tests share

fn fresh() -> (TempDir, PathBuf, SqliteLedger) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();
    (directory, path, ledger)
}

async fn open_sale(ledger: &dyn Ledger, name: &str, units: i64) -> SaleId {
    let id = contract::sale(name);
    ledger.create_sale(&terms(id), units, "test").await.unwrap().unwrap();
    let ask = BumpAsk { sale: id, seen: Epoch(0), run: RunId(7), to: Some(SaleStatus::Open), lease_ms: 0 };
    assert!(matches!(ledger.bump(ask).await.unwrap(), Bumped::Won(_)));
    id
}

fn sheaf(sale: SaleId, asks: Vec<Ask>) -> Sheaf {
    Sheaf { sale, epoch: Epoch(1), source: Source::Message, asks }
}

async fn record(ledger: &dyn Ledger, sale: SaleId, asks: Vec<Ask>) -> Vec<Order> {
    ledger.record(vec![sheaf(sale, asks)]).await.unwrap().sheaves.remove(0).unwrap()
}

fn paying(id: &str, order: &Order) -> Paying {
    Paying { payment: id.parse().unwrap(), order: order.id(), amount: order.ask.amount() }
}

async fn sale_now(ledger: &dyn Ledger, id: SaleId) -> Sale {
    ledger.sale(id).await.unwrap().unwrap()
}

/// Everything that the port shows of a ledger.
#[derive(PartialEq, Debug)]
struct Shown {
    seq: u64,
    books: Vec<LedgerBooks>,
    histories: Vec<Vec<sale::order::Change>>,
    payments: Vec<Vec<sale::order::Payment>>,
    pages: Vec<Vec<OrderId>>,
    looked_up: Vec<Option<Order>>,
    late: Vec<sale::order::Payment>,
}

async fn shown(ledger: &dyn Ledger, ids: &[OrderId]) -> Shown {
    let mut shown = Shown {
        seq: ledger.seq().await.unwrap(),
        books: Vec::new(),
        histories: Vec::new(),
        payments: Vec::new(),
        pages: Vec::new(),
        looked_up: ledger.orders(ids).await.unwrap(),
        late: ledger.late_payments(100).await.unwrap(),
    };
    for sale in ledger.sales().await.unwrap() {
        let books = ledger.books(sale.terms.id).await.unwrap().unwrap();
        assert_eq!(books.sale, sale);
        let (mut page, mut after) = (Vec::new(), None);
        loop {
            let next = ledger.page(sale.terms.id, after, 7).await.unwrap();
            page.extend(next.orders.iter().map(Order::id));
            after = next.next;
            if after.is_none() {
                break;
            }
        }
        shown.pages.push(page);
        shown.books.push(books);
    }
    for &id in ids {
        shown.histories.push(ledger.history(id).await.unwrap());
        shown.payments.push(ledger.payments(id).await.unwrap());
    }
    shown
}

/// L1 and L3, the chain of each history, and that a retry finds each row: the index equals the rows.
async fn sound(ledger: &dyn Ledger) {
    for sale in ledger.sales().await.unwrap() {
        let books = ledger.books(sale.terms.id).await.unwrap().unwrap();
        let live: i64 = books.orders.iter().filter(|order| order.status.is_live()).map(|order| order.ask.quantity.units()).sum();
        assert_eq!(books.sale.left + live, books.sale.allotment, "L1 of {}", sale.terms.id);
        assert_eq!(books.sale.allotment, books.movements.iter().map(|movement| movement.units).sum::<i64>());
        for order in &books.orders {
            let history = ledger.history(order.id()).await.unwrap();
            let of_books: Vec<_> = books.history.iter().copied().filter(|change| change.digest == order.ask.digest).collect();
            assert_eq!(history, of_books);
            assert_eq!(history.last().map(|change| change.to), Some(order.status));
            assert_eq!(history.len(), order.version as usize);
        }
        if sale.stopped.is_none() && !books.orders.is_empty() {
            let seq = ledger.seq().await.unwrap();
            let asks = books.orders.iter().map(|order| order.ask.clone()).collect();
            assert_eq!(record(ledger, sale.terms.id, asks).await, books.orders);
            assert_eq!(ledger.seq().await.unwrap(), seq, "a retry changes nothing");
        }
    }
}

/// A ledger in which everything happened once. Its sales, and all ids.
async fn busy(ledger: &dyn Ledger, seed: u64) -> (Vec<SaleId>, Vec<OrderId>) {
    let mut random = Seeded::new(seed);
    let sales = vec![open_sale(ledger, "one", 60).await, open_sale(ledger, "two", 25).await];
    let mut ids = Vec::new();
    for round in 0..12 {
        let mut sheaves = Vec::new();
        for &sale in &sales {
            let asks: Vec<Ask> =
                (0..random.below(9)).map(|n| ask_keyed(sale, &format!("b{}", random.below(30)), &format!("{round}-{n}"), 1)).collect();
            ids.extend(asks.iter().map(|ask| OrderId { sale, digest: ask.digest }));
            sheaves.push(sheaf(sale, asks));
        }
        ledger.record(sheaves).await.unwrap();
    }
    let rows: Vec<Order> = ledger.orders(&ids).await.unwrap().into_iter().flatten().collect();
    for (at, order) in rows.iter().enumerate() {
        match random.below(4) {
            0 => drop(ledger.close(order.id(), Closing::Cancel, None).await.unwrap()),
            1 => drop(ledger.pay(&paying(&format!("p{at}"), order)).await.unwrap()),
            2 if ledger.pay(&paying(&format!("p{at}"), order)).await.is_ok() => drop(ledger.refund(order.id()).await.unwrap()),
            _ => {}
        }
    }
    let tombstone = ask(sales[0], "nobody", 1);
    ids.push(OrderId { sale: sales[0], digest: tombstone.digest });
    ledger.close(*ids.last().unwrap(), Closing::Lost, Some(tombstone)).await.unwrap();
    let key = |text: &str| text.parse().unwrap();
    ledger.raise(sales[0], &key("more"), 9, "op", "more").await.unwrap();
    let withdrawal = |name: &str, units| Withdrawal { key: key(name), units, actor: "op".into(), reason: "back".into() };
    assert!(matches!(ledger.withdraw(sales[0], Epoch(1), &withdrawal("w", 2)).await.unwrap(), Moved::Done(_)));
    assert_eq!(ledger.withdraw(sales[0], Epoch(1), &withdrawal("x", 5_000)).await.unwrap(), Moved::Refused);
    // One that expires, is paid too late, and buys again.
    let old = hurried(ask(sales[0], "slow", 1));
    let row = record(ledger, sales[0], vec![old.clone()]).await.remove(0);
    wait_until_told(ledger, row.pay_by.unwrap()).await;
    assert!(matches!(ledger.close(row.id(), Closing::Expire, None).await.unwrap(), Closed::Row(..)));
    for (payment, buys) in [("late-1", true), ("late-2", false)] {
        assert!(matches!(ledger.pay(&paying(payment, &row)).await.unwrap(), Paid::Late(_)));
        if buys {
            let again = record(ledger, sales[0], vec![late_ask(sales[0], &old, &payment.parse().unwrap())]).await.remove(0);
            assert_eq!(again.status, Status::Paid);
            ids.push(again.id());
        }
    }
    ids.push(row.id());
    (sales, ids)
}

// ------------------------------------------------------------------------------------------------ restarts, faults

#[tokio::test]
async fn reopening_keeps_everything() {
    let (_directory, path, ledger) = fresh();
    let (_, ids) = busy(&ledger, 1).await;
    sound(&ledger).await;
    let before = shown(&ledger, &ids).await;
    assert_eq!((before.books.len(), before.late.len()), (2, 1));
    drop(ledger);
    assert!(!path.with_extension("db-wal").exists(), "a clean close leaves no log behind");
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(shown(&ledger, &ids).await, before);
    sound(&ledger).await;
}

#[tokio::test]
async fn c34_after_a_crash_with_a_torn_tail_every_answered_row_is_there() {
    let (directory, path, ledger) = fresh();
    let (_, ids) = busy(&ledger, 2).await;
    let before = shown(&ledger, &ids).await;
    // What a kill leaves: the file and its log as they are now.
    let log = fs::read(path.with_extension("db-wal")).unwrap();
    for (at, torn) in [0, 1, 23, 24, 25, 600, 4_119, 4_121].into_iter().enumerate() {
        let copy = directory.path().join(format!("copy{at}.db"));
        fs::copy(&path, &copy).unwrap();
        let tail: Vec<u8> = log.iter().rev().take(torn).copied().collect();
        fs::write(copy.with_extension("db-wal"), [log.clone(), tail].concat()).unwrap();
        let again = SqliteLedger::open(&copy).unwrap();
        assert_eq!(shown(&again, &ids).await, before, "{torn} torn bytes");
        sound(&again).await;
    }
}

#[tokio::test]
async fn a_fault_inside_a_transaction_leaves_index_and_rows_as_they_were() {
    let (_directory, path, ledger) = fresh();
    let sale = open_sale(&ledger, "one", 20).await;
    record(&ledger, sale, vec![ask(sale, "a", 1), ask(sale, "b", 2)]).await;
    let by_hand = hand(&path);
    by_hand
        .execute_batch("create trigger boom before insert on orders when new.buyer = 'boom' begin select raise(abort, 'boom'); end")
        .unwrap();
    let before = shown(&ledger, &[]).await;
    let bad = vec![ask(sale, "c", 2), ask(sale, "a", 1), ask(sale, "boom", 1)];
    let fault = ledger.record(vec![sheaf(sale, bad.clone())]).await.unwrap_err();
    assert_eq!(fault.effect, sale::ports::Effect::None);
    assert_eq!(shown(&ledger, &[]).await, before);
    sound(&ledger).await;
    // In one group with others: it fails alone.
    let good = |buyer: &str| ledger.record(vec![sheaf(sale, vec![ask(sale, buyer, 2)])]);
    let (one, failed, two, cancelled) = tokio::join!(
        good("d"),
        ledger.record(vec![sheaf(sale, bad.clone())]),
        good("e"),
        ledger.close(OrderId { sale, digest: ask(sale, "b", 2).digest }, Closing::Cancel, None)
    );
    assert!(failed.is_err() && cancelled.is_ok());
    for row in [one, two] {
        assert_eq!(row.unwrap().sheaves.remove(0).unwrap()[0].status, Status::Confirmed);
    }
    sound(&ledger).await;
    by_hand.execute_batch("drop trigger boom").unwrap();
    // Nothing of the failed tries is remembered: neither an id nor units.
    let rows = record(&ledger, sale, bad).await;
    assert!(rows.iter().all(|order| order.status == Status::Confirmed), "{rows:?}");
    // `c` has two units live, the limit.
    let third = record(&ledger, sale, vec![ask_keyed(sale, "c", "third", 1)]).await.remove(0);
    assert_eq!(third.status, Status::Rejected);
    let before = shown(&ledger, &[]).await;
    drop(ledger);
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(shown(&ledger, &[]).await, before);
    let fourth = record(&ledger, sale, vec![ask_keyed(sale, "c", "fourth", 1)]).await.remove(0);
    assert_eq!(fourth.status, Status::Rejected, "the limit holds over a restart");
    sound(&ledger).await;
}

/// Set in the victim only: the ledger's file.
const FULL: &str = "HOTCAKE_TEST_FULL_LEDGER";

/// Does nothing by itself: it is what `c34_a_disk_that_takes_no_more_is_no_false_ok` starts.
#[tokio::test]
async fn the_victim_of_a_full_disk() {
    let Some(path) = std::env::var_os(FULL).map(PathBuf::from) else {
        return println!("a victim only when started by the full disk's test");
    };
    let ledger = SqliteLedger::open(&path).unwrap();
    let sale = open_sale(&ledger, "one", 1_000_000).await;
    let mut refused = 0;
    // Far more than fits.
    for number in 0..5_000 {
        match ledger.record(vec![sheaf(sale, (0..10).map(|n| ask(sale, &format!("b{number}-{n}"), 1)).collect())]).await {
            Ok(_) => println!("@ recorded {number}"),
            Err(fault) => {
                println!("@ refused {number}: {fault}");
                refused += 1;
            }
        }
        if refused == 5 {
            sound(&ledger).await;
            println!("@ sound");
            std::process::exit(0);
        }
    }
}

#[tokio::test]
async fn c34_a_disk_that_takes_no_more_is_no_false_ok() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    // The kernel refuses to let a file grow beyond a limit.
    let victim = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_victim_of_a_full_disk", "--nocapture", "--test-threads=1"])
        .env(FULL, &path)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&victim.stdout).into_owned();
    assert!(victim.status.success() && out.contains("@ sound"), "{out}{}", String::from_utf8_lossy(&victim.stderr));
    let recorded: Vec<u64> = out.lines().filter_map(|line| line.rsplit_once("@ recorded ")?.1.parse().ok()).collect();
    assert!(recorded.len() > 5, "{out}");
    let ledger = SqliteLedger::open(&path).unwrap();
    sound(&ledger).await;
    let sale = contract::sale("one");
    for number in recorded {
        let ids: Vec<OrderId> = (0..10).map(|n| OrderId { sale, digest: ask(sale, &format!("b{number}-{n}"), 1).digest }).collect();
        assert!(ledger.orders(&ids).await.unwrap().iter().all(Option::is_some), "{number} was answered with Ok");
    }
    record(&ledger, sale, vec![ask(sale, "afterwards", 1)]).await;
}

// ------------------------------------------------------------------------------------------------------ c21: clock

#[tokio::test]
async fn c21_the_clock_never_goes_back_over_a_restart() {
    const HOUR_MS: i64 = 3_600_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let noon = Time(1_700_000_000_000);
    let ledger = SqliteLedger::open_at(&path, noon).unwrap();
    let sale = open_sale(&ledger, "one", 5).await;
    let order = record(&ledger, sale, vec![ask(sale, "a", 1)]).await.remove(0);
    let told = ledger.now().await.unwrap();
    assert!(told >= noon && told.since_ms(noon) < HOUR_MS);
    drop(ledger);
    // Two hours back: it goes on from where it was, and the order is not late for it.
    let ledger = SqliteLedger::open_at(&path, noon.after_ms(-2 * HOUR_MS)).unwrap();
    let back = ledger.now().await.unwrap();
    assert!(back >= told && back.since_ms(told) < HOUR_MS, "{back:?}");
    wait_until_told(&ledger, back.after_ms(2)).await;
    assert_eq!(ledger.due(10).await.unwrap(), []);
    // A crash right now, and the wall clock back again: even a time that was told and never stored is not undercut.
    let told = ledger.now().await.unwrap();
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    drop(ledger);
    let crashed = SqliteLedger::open_at(&copy, noon).unwrap();
    assert!(crashed.now().await.unwrap() >= told);
    drop(crashed);
    // A restart two hours later: the deadline has passed by the ledger's clock.
    let ledger = SqliteLedger::open_at(&path, noon.after_ms(2 * HOUR_MS)).unwrap();
    assert!(ledger.now().await.unwrap() >= noon.after_ms(2 * HOUR_MS));
    assert_eq!(ledger.due(10).await.unwrap(), [order.id()]);
    assert!(matches!(ledger.close(order.id(), Closing::Expire, None).await.unwrap(), Closed::Row(row, _) if row.status == Status::Expired));
    assert_eq!(ledger.due(10).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_due_is_known_after_a_restart_and_paid_orders_are_not_due() {
    let (_directory, path, ledger) = fresh();
    let (one, two) = (open_sale(&ledger, "one", 50).await, open_sale(&ledger, "two", 50).await);
    let mut due = Vec::new();
    let mut last = Time(0);
    for n in 0..12 {
        let sale = if n % 3 == 0 { two } else { one };
        let row = record(&ledger, sale, vec![hurried(ask(sale, &format!("b{n}"), 1)), ask(sale, &format!("c{n}"), 1)]).await.remove(0);
        if n % 4 == 1 {
            assert!(matches!(ledger.pay(&paying(&format!("p{n}"), &row)).await.unwrap(), Paid::Settled(_)));
        } else {
            due.push((row.pay_by.unwrap(), row.id()));
            last = row.pay_by.unwrap();
        }
        // Each in a millisecond of its own: of those that are equally overdue the port says no order.
        wait_until_told(&ledger, row.created_at.after_ms(1)).await;
    }
    due.sort();
    let due: Vec<OrderId> = due.into_iter().map(|(_, id)| id).collect();
    wait_until_told(&ledger, last).await;
    assert_eq!(ledger.due(100).await.unwrap(), due);
    assert_eq!(ledger.due(3).await.unwrap(), due[..3]);
    // Paid in the same group in which it is asked who is due.
    let first = ledger.orders(&due[..1]).await.unwrap().remove(0).unwrap();
    let payment = paying("just", &first);
    let (paid, _) = tokio::join!(ledger.pay(&payment), ledger.due(100));
    assert!(matches!(paid.unwrap(), Paid::Settled(_)));
    assert!(matches!(ledger.refund(due[0]).await.unwrap(), Refunding::Refunded(_)));
    assert_eq!(ledger.due(100).await.unwrap(), due[1..]);
    drop(ledger);
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.due(100).await.unwrap(), due[1..]);
    ledger.change_sale(one, &SaleChange::Stop("test".into())).await.unwrap();
    assert_eq!(ledger.due(100).await.unwrap(), due[1..], "a stopped sale's orders still expire");
}
