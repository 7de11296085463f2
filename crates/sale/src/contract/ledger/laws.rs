//! Promises about all of it together: the laws L1 to L4 after any sequence and under concurrent callers, the clock, and
//! what a restart leaves.

use super::super::{Seeded, ask, ask_keyed, hurried, late_ask, skipped};
use super::{LedgerRig, UNITS, books, bump_ask, left, open_sale, open_sale_of, paying, payment_id, record_one, row, sheaf};
use crate::order::{Order, Status, Step};
use crate::ports::{BumpAsk, Bumped, Closing, Ledger, LedgerBooks, Sheaf, Withdrawal};
use crate::words::{Ask, BuyerId, Epoch, SaleId};
use futures_util::future;
use std::collections::BTreeMap;

/// Panics unless L1 to L4 hold in these books, by the audit and by this suite's own arithmetic: a fault in the one is
/// seen by the other.
pub(super) fn the_laws_hold(books: &LedgerBooks) {
    let report = crate::books::audit(&[crate::books::Books { gate: None, ledger: books.clone(), at_rest: false }], None);
    assert_eq!(report.breaches, [], "the audit");
    let sale = &books.sale;
    let live = || books.orders.iter().filter(|order| order.status.is_live());
    let live_units: i64 = live().map(|order| order.ask.quantity.units()).sum();
    assert!(sale.left >= 0, "L1: left is {}", sale.left);
    assert_eq!(sale.left + live_units, sale.allotment, "L1: left and live units make the allotment");
    assert_eq!(sale.allotment, books.movements.iter().map(|movement| movement.units).sum::<i64>(), "L1: movements make the allotment");
    let numbers: Vec<u64> = books.movements.iter().filter_map(|movement| movement.number).collect();
    assert_eq!(numbers, (1..=sale.raises).collect::<Vec<_>>(), "raises are numbered without a gap");

    let rows: BTreeMap<_, &Order> = books.orders.iter().map(|order| (order.ask.digest, order)).collect();
    assert_eq!(rows.len(), books.orders.len(), "L2: one row per purchase");
    let mut by_buyer: BTreeMap<&BuyerId, i64> = BTreeMap::new();
    for order in live() {
        *by_buyer.entry(&order.ask.buyer).or_default() += order.ask.quantity.units();
    }
    let limit = i64::from(sale.terms.limit_per_buyer);
    assert!(by_buyer.values().all(|units| *units <= limit), "L3: a buyer has at most {limit}: {by_buyer:?}");

    let mut statuses = BTreeMap::new();
    let mut changes: BTreeMap<_, u32> = BTreeMap::new();
    for change in &books.history {
        let before = statuses.insert(change.digest, change.to).unwrap_or(Status::Processing);
        assert_eq!(before, change.from, "L4: each change begins where the one before ended");
        assert!(legal(change.from, change.to), "L4: {:?} does not become {:?}", change.from, change.to);
        *changes.entry(change.digest).or_default() += 1;
    }
    assert_eq!(statuses, rows.iter().map(|(digest, order)| (*digest, order.status)).collect(), "L4: the history ends at the rows");
    for (digest, order) in rows {
        assert_eq!(changes[&digest], order.version, "a version counts the changes");
        assert_eq!(order.reason.is_some(), order.status == Status::Rejected, "a reason belongs to a rejection");
        assert_eq!(order.pay_by.is_some(), order.status == Status::Confirmed, "a time to pay belongs to a confirmed order");
    }
}

fn legal(from: Status, to: Status) -> bool {
    use crate::order::Event::{Cancel, Confirm, ConfirmPaid, Expire, Pay, Refund, Reject};
    let events = [Confirm, ConfirmPaid, Reject(crate::order::Reason::Lost), Pay, Cancel, Expire, Refund];
    events.into_iter().any(|event| matches!(from.on(event), Step::Move { to: reached, .. } if reached == to))
}

pub(super) async fn the_laws_hold_after_any_sequence(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    for seed in 1..=4 {
        println!("    seed {seed}");
        let mut seeded = Seeded::new(seed);
        let sale = open_sale_of(&*ledger, &format!("seed-{seed}"), 12).await;
        let mut known: Vec<Ask> = Vec::new();
        let (mut epoch, mut shown) = (Epoch(1), BTreeMap::new());
        for turn in 0..120 {
            one_turn(rig, &mut seeded, sale, &mut known, &mut epoch, turn).await;
            if turn % 10 == 0 {
                let books = books(&*ledger, sale).await;
                the_laws_hold(&books);
                what_is_final_stays(&mut shown, &books);
            }
        }
        let books = books(&*ledger, sale).await;
        the_laws_hold(&books);
        what_is_final_stays(&mut shown, &books);
        assert!(books.orders.len() > 20, "the sequence should do something");
    }
}

/// L2: nobody rises from the dead, and nothing that was shown goes away.
fn what_is_final_stays(shown: &mut BTreeMap<crate::words::Digest, Order>, books: &LedgerBooks) {
    let now: BTreeMap<_, _> = books.orders.iter().map(|order| (order.ask.digest, order.clone())).collect();
    for (digest, before) in shown.iter() {
        let after = now.get(digest).expect("a row that was shown is there for ever");
        assert_eq!(before.ask, after.ask, "what was asked does not change");
        if before.status.is_dead() {
            assert_eq!(before.status, after.status, "what is final stays");
        }
    }
    *shown = now;
}

async fn one_turn(rig: &dyn LedgerRig, seeded: &mut Seeded, sale: SaleId, known: &mut Vec<Ask>, epoch: &mut Epoch, turn: u64) {
    let ledger = rig.ledger();
    let some = |seeded: &mut Seeded, known: &[Ask]| (!known.is_empty()).then(|| seeded.pick(known).clone());
    match seeded.below(12) {
        0..=4 => {
            let mut asks = Vec::new();
            for n in 0..=seeded.below(3) {
                let buyer = format!("buyer-{}", seeded.below(9));
                let fresh = ask_keyed(sale, &buyer, &format!("{turn}-{n}"), 1 + seeded.below(2) as u32);
                let asked = if seeded.below(4) == 0 { some(seeded, known).unwrap_or(fresh) } else { fresh };
                asks.push(if seeded.below(2) == 0 { hurried(asked) } else { asked });
            }
            known.extend(asks.clone());
            let decided = if seeded.below(8) == 0 { Epoch(epoch.0 - 1) } else { *epoch };
            let sheaf = Sheaf { epoch: decided, ..sheaf(sale, asks) };
            ledger.record(vec![sheaf.clone(), sheaf]).await.expect("answers");
        }
        5 | 6 => {
            let fresh = ask_keyed(sale, "hasty", &format!("{turn}"), 1);
            let asked = some(seeded, known).unwrap_or(fresh);
            let closing = *seeded.pick(&[Closing::Cancel, Closing::Expire, Closing::Lost]);
            known.push(asked.clone());
            ledger.close(super::super::id(sale, &asked), closing, Some(asked)).await.expect("answers");
        }
        7 | 8 => {
            let Some(asked) = some(seeded, known) else { return };
            let Some(order) = row(&*ledger, super::super::id(sale, &asked)).await else { return };
            let name = format!("{sale}-pay-{}", seeded.below(40));
            ledger.pay(&paying(&name, &order)).await.expect("answers");
        }
        9 => {
            let Some(asked) = some(seeded, known) else { return };
            ledger.refund(super::super::id(sale, &asked)).await.expect("answers");
        }
        10 => {
            let key = format!("move-{}", seeded.below(20)).parse().expect("well formed");
            if seeded.below(2) == 0 {
                ledger.raise(sale, &key, 1 + seeded.below(3) as i64, "suite", "").await.expect("answers");
            } else {
                let units = 1 + seeded.below(3) as i64;
                let withdrawal = Withdrawal { key, units, actor: "suite".to_owned(), reason: String::new() };
                ledger.withdraw(sale, *epoch, &withdrawal).await.expect("answers");
            }
        }
        _ => time_and_rebuilds(rig, seeded, sale, epoch).await,
    }
}

async fn time_and_rebuilds(rig: &dyn LedgerRig, seeded: &mut Seeded, sale: SaleId, epoch: &mut Epoch) {
    let ledger = rig.ledger();
    if seeded.below(4) == 0 {
        let ask = BumpAsk { lease_ms: 0, ..bump_ask(sale, *epoch) };
        if let Bumped::Won(rebuild) = ledger.bump(ask).await.expect("answers") {
            *epoch = rebuild.sale.epoch;
        }
        return;
    }
    rig.passes(400).await;
    for id in ledger.due(3).await.expect("answers") {
        ledger.close(id, Closing::Expire, None).await.expect("answers");
    }
    for payment in ledger.late_payments(3).await.expect("answers") {
        let Some(expired) = row(&*ledger, payment.order).await.filter(|order| order.sale == sale) else { continue };
        if seeded.below(3) == 0 {
            ledger.refund_due(&payment.id).await.expect("answers");
        }
        record_late(&*ledger, sale, *epoch, late_ask(sale, &expired.ask, &payment.id)).await;
        ledger.refund_due(&payment.id).await.expect("answers");
    }
}

async fn record_late(ledger: &dyn Ledger, sale: SaleId, epoch: Epoch, ask: Ask) {
    ledger.record(vec![Sheaf { epoch, ..sheaf(sale, vec![ask]) }]).await.expect("answers");
}

pub(super) async fn c24_concurrent_callers_never_oversell(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "crowd").await;
    // Forty buyers, each asked for by three callers at once, and a canceller among them.
    let calls = (0..120).map(|n| {
        let ledger = ledger.clone();
        async move { record_one(&*ledger, sale, &ask(sale, &format!("buyer-{}", n % 40), 1)).await }
    });
    let cancels =
        (0..3).map(|n| {
            let ledger = ledger.clone();
            async move {
                ledger.close(super::super::id(sale, &ask(sale, &format!("buyer-{n}"), 1)), Closing::Cancel, None).await.expect("answers")
            }
        });
    let (orders, _) = future::join(future::join_all(calls), future::join_all(cancels)).await;
    let books = books(&*ledger, sale).await;
    the_laws_hold(&books);
    assert_eq!(books.orders.len(), 40, "one row per purchase");
    assert!(orders.iter().all(|order| order.status != Status::Processing));
    let live = books.orders.iter().filter(|order| order.status.is_live()).count() as i64;
    assert_eq!(live + left(&*ledger, sale).await, UNITS);
}

pub(super) async fn c26_concurrent_callers_never_pass_a_buyers_limit(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "greedy").await;
    let calls = (0..12).map(|n| {
        let ledger = ledger.clone();
        async move { record_one(&*ledger, sale, &ask_keyed(sale, "ann", &format!("key-{n}"), 1)).await }
    });
    let orders = future::join_all(calls).await;
    assert_eq!(orders.iter().filter(|order| order.status == Status::Confirmed).count(), 2);
    the_laws_hold(&books(&*ledger, sale).await);
    assert_eq!(left(&*ledger, sale).await, UNITS - 2);
}

pub(super) async fn time_does_not_go_back(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let mut before = ledger.now().await.expect("answers");
    for n in 0..20 {
        if n % 5 == 0 {
            rig.passes(3).await;
        }
        let now = ledger.now().await.expect("answers");
        assert!(now >= before);
        before = now;
    }
    rig.passes(30).await;
    assert!(ledger.now().await.expect("answers").since_ms(before) >= 30, "and it does go on");
}

pub(super) async fn what_was_answered_is_there_after_a_restart(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "durable").await;
    let order = record_one(&*ledger, sale, &ask(sale, "ann", 2)).await;
    let expired = record_one(&*ledger, sale, &hurried(ask(sale, "bob", 1))).await;
    rig.passes(1_100).await;
    ledger.close(expired.id(), Closing::Expire, None).await.expect("answers");
    ledger.pay(&paying("p-1", &order)).await.expect("answers");
    ledger.pay(&paying("p-2", &expired)).await.expect("answers");
    let bought = record_one(&*ledger, sale, &late_ask(sale, &expired.ask, &payment_id("p-2"))).await;
    let key = "up".parse().expect("well formed");
    ledger.raise(sale, &key, 3, "suite", "").await.expect("answers");
    let too_many = Withdrawal { key: "down".parse().expect("well formed"), units: 99, actor: "suite".to_owned(), reason: String::new() };
    ledger.withdraw(sale, Epoch(1), &too_many).await.expect("answers");
    let Bumped::Won(_) = ledger.bump(bump_ask(sale, Epoch(1))).await.expect("answers") else { panic!("the lease was ended") };
    let before = (books(&*ledger, sale).await, ledger.seq().await.expect("answers"), ledger.now().await.expect("answers"));
    drop(ledger);
    if !rig.reopen().await {
        return skipped("what_was_answered_is_there_after_a_restart", "this ledger lives in memory only");
    }
    let ledger = rig.ledger();
    assert_eq!((books(&*ledger, sale).await, ledger.seq().await.expect("answers")), (before.0.clone(), before.1));
    assert!(ledger.now().await.expect("answers") >= before.2, "the clock does not go back over a restart");
    the_laws_hold(&before.0);
    // What goes by memory in a careless ledger: limits, duplicates, refused keys, the lease.
    assert_eq!(record_one(&*ledger, sale, &bought.ask).await, bought);
    let third = Sheaf { epoch: Epoch(2), ..sheaf(sale, vec![ask_keyed(sale, "ann", "third", 1)]) };
    assert_eq!(super::rows(ledger.record(vec![third]).await.expect("answers"))[0][0].status, Status::Rejected);
    assert_eq!(ledger.withdraw(sale, Epoch(2), &Withdrawal { units: 99, ..too_many }).await, Ok(crate::ports::Moved::Refused));
    assert!(matches!(ledger.bump(bump_ask(sale, Epoch(2))).await, Ok(Bumped::Leased(_))));
    the_laws_hold(&books(&*ledger, sale).await);
}
