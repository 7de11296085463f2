//! Promises about an order after its record: cancel, expire, lose, pay, buy again, refund.

use super::super::{ask, ask_keyed, hurried, id, late_ask};
use super::{LedgerRig, UNITS, books, confirmed, left, open_sale, paying, payment_id, record_one, row};
use crate::order::{Order, Payment, PaymentState, Reason, Source, Status, Step, Stock};
use crate::ports::{Closed, Closing, Ledger, Paid, Paying, Refunding};
use crate::words::{Ask, OrderId, PaymentId, SaleId};

async fn close(ledger: &dyn Ledger, id: OrderId, closing: Closing, ask: Option<Ask>) -> (Order, Step) {
    match ledger.close(id, closing, ask).await.expect("answers") {
        Closed::Row(order, step) => (*order, step),
        Closed::NoRow => panic!("{id} should have a row after {closing:?}"),
    }
}

pub(super) async fn a_cancel_gives_the_units_back_once(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "cancel").await;
    let order = record_one(&*ledger, sale, &ask(sale, "ann", 2)).await;
    let (cancelled, step) = close(&*ledger, order.id(), Closing::Cancel, None).await;
    assert_eq!(step, Step::Move { to: Status::Cancelled, stock: Stock::GiveBack });
    assert_eq!((cancelled.status, cancelled.version, cancelled.pay_by), (Status::Cancelled, 2, None));
    assert_eq!(cancelled.created_at, order.created_at);
    assert_eq!(left(&*ledger, sale).await, UNITS);
    for closing in [Closing::Cancel, Closing::Expire, Closing::Lost] {
        let ask = Some(order.ask.clone());
        assert_eq!(close(&*ledger, order.id(), closing, ask).await, (cancelled.clone(), Step::Late(Status::Cancelled)));
    }
    // The late message finds the row.
    assert_eq!(record_one(&*ledger, sale, &order.ask).await, cancelled);
    assert_eq!(left(&*ledger, sale).await, UNITS);
}

pub(super) async fn c19_a_cancel_before_the_record_leaves_a_tombstone(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "tombstone").await;
    let asked = ask(sale, "ann", 2);
    let (tombstone, step) = close(&*ledger, id(sale, &asked), Closing::Cancel, Some(asked.clone())).await;
    assert_eq!(step, Step::Move { to: Status::Cancelled, stock: Stock::Keep }, "nothing was taken, so nothing comes back");
    assert_eq!((tombstone.status, tombstone.reason, tombstone.version), (Status::Cancelled, None, 1));
    assert_eq!(tombstone.ask, asked);
    assert_eq!(record_one(&*ledger, sale, &asked).await, tombstone, "C17: the late message finds it");
    assert_eq!(close(&*ledger, id(sale, &asked), Closing::Cancel, Some(asked)).await, (tombstone, Step::Late(Status::Cancelled)));
    assert_eq!(left(&*ledger, sale).await, UNITS);
}

pub(super) async fn c56_a_lost_purchase_becomes_a_rejected_row(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "lost").await;
    let asked = ask(sale, "ann", 1);
    let (lost, step) = close(&*ledger, id(sale, &asked), Closing::Lost, Some(asked.clone())).await;
    assert_eq!(step, Step::Move { to: Status::Rejected, stock: Stock::Keep });
    assert_eq!((lost.status, lost.reason), (Status::Rejected, Some(Reason::Lost)));
    assert_eq!(record_one(&*ledger, sale, &asked).await, lost);
    // What is there is not lost.
    let order = confirmed(&*ledger, sale, "bob").await;
    assert_eq!(close(&*ledger, order.id(), Closing::Lost, Some(order.ask.clone())).await, (order, Step::Late(Status::Confirmed)));
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
}

pub(super) async fn closing_without_row_and_ask_does_nothing(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "nothing").await;
    let asked = ask(sale, "ann", 1);
    for closing in [Closing::Cancel, Closing::Expire, Closing::Lost] {
        assert_eq!(ledger.close(id(sale, &asked), closing, None).await, Ok(Closed::NoRow));
    }
    // What was never confirmed cannot run out of time, so an expiry makes no row.
    assert_eq!(ledger.close(id(sale, &asked), Closing::Expire, Some(asked.clone())).await, Ok(Closed::NoRow));
    let unknown = super::sale("unknown");
    assert_eq!(ledger.close(id(unknown, &ask(unknown, "ann", 1)), Closing::Cancel, Some(ask(unknown, "ann", 1))).await, Ok(Closed::NoRow));
    assert!(books(&*ledger, sale).await.history.is_empty());
}

pub(super) async fn c21_an_order_expires_only_when_its_time_is_over_by_the_ledgers_clock(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "expire").await;
    let order = confirmed(&*ledger, sale, "ann").await;
    assert_eq!(close(&*ledger, order.id(), Closing::Expire, None).await, (order.clone(), Step::Late(Status::Confirmed)), "too early");
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
    let hurried = record_one(&*ledger, sale, &hurried(ask(sale, "bob", 2))).await;
    rig.passes(1_100).await;
    let (expired, step) = close(&*ledger, hurried.id(), Closing::Expire, None).await;
    assert_eq!(step, Step::Move { to: Status::Expired, stock: Stock::GiveBack });
    assert_eq!((expired.status, expired.pay_by), (Status::Expired, None));
    assert!(Some(expired.updated_at) >= hurried.pay_by);
    assert_eq!(close(&*ledger, hurried.id(), Closing::Expire, None).await, (expired, Step::Late(Status::Expired)), "C20: once");
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
    assert_eq!(row(&*ledger, order.id()).await, Some(order), "its hour is not over");
}

pub(super) async fn due_names_the_longest_overdue_first_and_confirmed_orders_only(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "due").await;
    let first = record_one(&*ledger, sale, &hurried(ask(sale, "zoe", 1))).await;
    rig.passes(20).await;
    let second = record_one(&*ledger, sale, &hurried(ask(sale, "ann", 1))).await;
    let paid = record_one(&*ledger, sale, &hurried(ask(sale, "bob", 1))).await;
    ledger.pay(&paying("p-1", &paid)).await.expect("answers");
    confirmed(&*ledger, sale, "cid").await;
    rig.passes(1_100).await;
    assert_eq!(ledger.due(10).await.expect("answers"), [first.id(), second.id()]);
    assert_eq!(ledger.due(1).await.expect("answers"), [first.id()]);
    close(&*ledger, first.id(), Closing::Expire, None).await;
    assert_eq!(ledger.due(10).await.expect("answers"), [second.id()]);
}

pub(super) async fn a_payment_settles_once_and_is_answered_again(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "pay").await;
    let order = confirmed(&*ledger, sale, "ann").await;
    let Paid::Settled(paid) = ledger.pay(&paying("p-1", &order)).await.expect("answers") else { panic!("a confirmed order can be paid") };
    assert_eq!((paid.status, paid.version, paid.pay_by), (Status::Paid, 2, None));
    assert_eq!(ledger.pay(&paying("p-1", &order)).await, Ok(Paid::Settled(paid.clone())), "the same payment, the same answer");
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
    assert_eq!(close(&*ledger, order.id(), Closing::Cancel, None).await, (*paid, Step::Late(Status::Paid)));
    let payments = ledger.payments(order.id()).await.expect("answers");
    assert_eq!(payments.len(), 1);
    let Payment { id, order: of, amount, state, bought, at } = &payments[0];
    assert_eq!((id, *of, *amount, *state, *bought), (&payment_id("p-1"), order.id(), order.ask.amount(), PaymentState::Settled, None));
    assert!(*at >= order.created_at);
}

pub(super) async fn a_payment_of_another_order_or_amount_does_nothing(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "wrong").await;
    let (ann, bob) = (confirmed(&*ledger, sale, "ann").await, confirmed(&*ledger, sale, "bob").await);
    let nobody = id(sale, &ask(sale, "nobody", 1));
    assert_eq!(ledger.pay(&Paying { order: nobody, ..paying("p-0", &ann) }).await, Ok(Paid::NoOrder));
    let amount = ann.ask.amount();
    for wrong in [amount - 1, amount + 1, 0, -amount] {
        assert_eq!(ledger.pay(&Paying { amount: wrong, ..paying("p-1", &ann) }).await, Ok(Paid::WrongAmount(amount)));
    }
    assert_eq!(row(&*ledger, ann.id()).await, Some(ann.clone()));
    assert!(ledger.payments(ann.id()).await.expect("answers").is_empty(), "a payment that did nothing leaves nothing");
    // Its id is still free; once it stands for an order, it stands for no other.
    assert!(matches!(ledger.pay(&paying("p-1", &ann)).await, Ok(Paid::Settled(_))));
    assert_eq!(ledger.pay(&paying("p-1", &bob)).await, Ok(Paid::Mismatch));
    assert_eq!(ledger.pay(&Paying { amount: 1, ..paying("p-1", &ann) }).await, Ok(Paid::Mismatch));
    assert_eq!(row(&*ledger, bob.id()).await, Some(bob));
}

pub(super) async fn a_payment_on_a_dead_or_paid_order_is_refund_due(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "dead-pay").await;
    let cancelled = confirmed(&*ledger, sale, "ann").await;
    close(&*ledger, cancelled.id(), Closing::Cancel, None).await;
    let lost = ask(sale, "bob", 1);
    let (rejected, _) = close(&*ledger, id(sale, &lost), Closing::Lost, Some(lost)).await;
    let paid = confirmed(&*ledger, sale, "cid").await;
    ledger.pay(&paying("p-0", &paid)).await.expect("answers");
    for (payment, order, status) in
        [("p-1", &cancelled, Status::Cancelled), ("p-2", &rejected, Status::Rejected), ("p-3", &paid, Status::Paid)]
    {
        for _ in 0..2 {
            let Paid::RefundDue(order) = ledger.pay(&paying(payment, order)).await.expect("answers") else {
                panic!("{payment} buys nothing")
            };
            assert_eq!(order.status, status);
        }
    }
    assert!(ledger.late_payments(10).await.expect("answers").is_empty());
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
}

/// An order that expired, and a payment that came for it afterwards.
async fn paid_too_late(rig: &dyn LedgerRig, sale: SaleId, buyer: &str, payment: &str) -> (Order, PaymentId) {
    let ledger = rig.ledger();
    let order = record_one(&*ledger, sale, &hurried(ask_keyed(sale, buyer, "late", 1))).await;
    rig.passes(1_100).await;
    close(&*ledger, order.id(), Closing::Expire, None).await;
    let Paid::Late(expired) = ledger.pay(&paying(payment, &order)).await.expect("answers") else { panic!("the order had expired") };
    assert_eq!(expired.status, Status::Expired);
    (*expired, payment_id(payment))
}

async fn state_of(ledger: &dyn Ledger, order: &Order, payment: &PaymentId) -> Payment {
    let payments = ledger.payments(order.id()).await.expect("answers");
    payments.into_iter().find(|kept| kept.id == *payment).expect("the payment is kept")
}

pub(super) async fn a_late_payment_buys_again_and_names_the_successor(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "late").await;
    let (expired, payment) = paid_too_late(rig, sale, "ann", "p-1").await;
    let waiting = ledger.late_payments(10).await.expect("answers");
    assert_eq!(
        waiting.iter().map(|late| (&late.id, late.order, late.state)).collect::<Vec<_>>(),
        [(&payment, expired.id(), PaymentState::Late)]
    );
    assert!(ledger.late_payments(0).await.expect("answers").is_empty());
    assert_eq!(ledger.pay(&paying("p-1", &expired)).await, Ok(Paid::Late(Box::new(expired.clone()))), "the same payment, the same answer");

    let again = late_ask(sale, &expired.ask, &payment);
    let bought = record_one(&*ledger, sale, &again).await;
    assert_eq!((bought.status, bought.pay_by, &bought.ask), (Status::Paid, None, &again));
    assert_eq!(record_one(&*ledger, sale, &again).await, bought);
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
    let old = row(&*ledger, expired.id()).await.expect("is there");
    assert_eq!((old.status, old.successor), (Status::Expired, Some(again.digest)), "it stays expired and names its successor");
    let kept = state_of(&*ledger, &expired, &payment).await;
    assert_eq!((kept.state, kept.bought), (PaymentState::Settled, Some(again.digest)));
    assert_eq!(ledger.pay(&paying("p-1", &expired)).await, Ok(Paid::Bought(Box::new(bought))));
    assert!(ledger.late_payments(10).await.expect("answers").is_empty());
    // The purchase won: a give-back of the same payment comes too late.
    let after = ledger.refund_due(&payment).await.expect("answers").expect("is known");
    assert_eq!(after.state, PaymentState::Settled);
}

pub(super) async fn a_late_payment_that_is_refund_due_buys_nothing(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "late-2").await;
    let (expired, payment) = paid_too_late(rig, sale, "ann", "p-1").await;
    for _ in 0..2 {
        let due = ledger.refund_due(&payment).await.expect("answers").expect("is known");
        assert_eq!((due.id, due.state), (payment.clone(), PaymentState::RefundDue));
    }
    assert!(matches!(ledger.pay(&paying("p-1", &expired)).await, Ok(Paid::RefundDue(_))));
    let order = record_one(&*ledger, sale, &late_ask(sale, &expired.ask, &payment)).await;
    assert_eq!((order.status, order.reason), (Status::Rejected, Some(Reason::RefundDue)));
    assert_eq!(row(&*ledger, expired.id()).await.expect("is there").successor, None);
    assert_eq!(state_of(&*ledger, &expired, &payment).await.state, PaymentState::RefundDue);
    assert_eq!(left(&*ledger, sale).await, UNITS);
    assert_eq!(ledger.refund_due(&payment_id("p-unknown")).await, Ok(None));
}

pub(super) async fn a_late_ask_without_its_payment_is_rejected(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "late-3").await;
    let asked = late_ask(sale, &ask(sale, "ann", 1), &payment_id("p-unknown"));
    let order = record_one(&*ledger, sale, &asked).await;
    assert_eq!((order.status, order.reason, order.ask), (Status::Rejected, Some(Reason::RefundDue), asked));
    // A payment that settled its own order pays for no second one.
    let paid = confirmed(&*ledger, sale, "bob").await;
    ledger.pay(&paying("p-1", &paid)).await.expect("answers");
    let order = record_one(&*ledger, sale, &late_ask(sale, &paid.ask, &payment_id("p-1"))).await;
    assert_eq!((order.status, order.reason), (Status::Rejected, Some(Reason::RefundDue)));
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
}

pub(super) async fn a_late_ask_that_is_sold_out_can_be_refunded(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = super::open_sale_of(&*ledger, "late-4", 1).await;
    let (expired, payment) = paid_too_late(rig, sale, "ann", "p-1").await;
    confirmed(&*ledger, sale, "bob").await;
    let order = record_one(&*ledger, sale, &late_ask(sale, &expired.ask, &payment)).await;
    assert_eq!((order.status, order.reason), (Status::Rejected, Some(Reason::SoldOut)));
    let due = ledger.refund_due(&payment).await.expect("answers").expect("is known");
    assert_eq!((due.state, due.bought), (PaymentState::RefundDue, None));
    assert_eq!(left(&*ledger, sale).await, 0);
}

pub(super) async fn only_a_payment_that_is_due_becomes_refunded(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "given-back").await;
    let paid = confirmed(&*ledger, sale, "ann").await;
    ledger.pay(&paying("p-1", &paid)).await.expect("answers");
    ledger.pay(&paying("p-2", &paid)).await.expect("answers");
    let state = |payment: Option<Payment>| payment.expect("is known").state;
    assert_eq!(state(ledger.refunded(&payment_id("p-1")).await.expect("answers")), PaymentState::Settled, "it paid the order");
    for _ in 0..2 {
        let refunded = ledger.refunded(&payment_id("p-2")).await.expect("answers").expect("is known");
        assert_eq!((refunded.id, refunded.state, refunded.order), (payment_id("p-2"), PaymentState::Refunded, paid.id()));
    }
    assert_eq!(state(ledger.refund_due(&payment_id("p-2")).await.expect("answers")), PaymentState::Refunded, "it does not go back");
    assert!(matches!(ledger.pay(&paying("p-2", &paid)).await, Ok(Paid::Refunded(_))));
    assert_eq!(ledger.refunded(&payment_id("p-unknown")).await, Ok(None));

    let (expired, late) = paid_too_late(rig, sale, "bob", "p-3").await;
    assert_eq!(state(ledger.refunded(&late).await.expect("answers")), PaymentState::Late, "it is still buying");
    assert_eq!(ledger.late_payments(10).await.expect("answers").len(), 1);
    ledger.refund_due(&late).await.expect("answers");
    ledger.refunded(&late).await.expect("answers");
    let order = record_one(&*ledger, sale, &late_ask(sale, &expired.ask, &late)).await;
    assert_eq!((order.status, order.reason), (Status::Rejected, Some(Reason::RefundDue)), "nobody buys with what was given back");
    drop(ledger);
    rig.reopen().await;
    let ledger = rig.ledger();
    assert_eq!(state_of(&*ledger, &paid, &payment_id("p-2")).await.state, PaymentState::Refunded);
    let now = row(&*ledger, paid.id()).await.expect("is there");
    assert_eq!((now.status, left(&*ledger, sale).await), (Status::Paid, UNITS - 1), "the order keeps its units");
}

pub(super) async fn orders_are_counted_by_status(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let (sale, other) = (open_sale(&*ledger, "counted").await, open_sale(&*ledger, "counted-2").await);
    assert_eq!(ledger.counts(sale).await, Ok(Vec::new()));
    confirmed(&*ledger, other, "ann").await;
    for buyer in ["ann", "bob", "cid", "dan"] {
        confirmed(&*ledger, sale, buyer).await;
    }
    let [paid, cancelled] = ["bob", "cid"].map(|buyer| id(sale, &ask(sale, buyer, 1)));
    let paid = row(&*ledger, paid).await.expect("is there");
    ledger.pay(&paying("p-1", &paid)).await.expect("answers");
    close(&*ledger, cancelled, Closing::Cancel, None).await;
    let lost = ask(sale, "eve", 1);
    close(&*ledger, id(sale, &lost), Closing::Lost, Some(lost)).await;
    let counts = [(Status::Confirmed, 2), (Status::Paid, 1), (Status::Cancelled, 1), (Status::Rejected, 1)];
    assert_eq!(ledger.counts(sale).await, Ok(counts.to_vec()));
    drop(ledger);
    rig.reopen().await;
    let ledger = rig.ledger();
    assert_eq!(ledger.counts(sale).await, Ok(counts.to_vec()));
    ledger.refund(paid.id()).await.expect("answers");
    assert_eq!(
        ledger.counts(sale).await.map(|counts| counts[1..].to_vec()),
        Ok(vec![(Status::Cancelled, 1), (Status::Rejected, 1), (Status::Refunded, 1)])
    );
    assert_eq!(ledger.counts(other).await, Ok(vec![(Status::Confirmed, 1)]));
}

pub(super) async fn a_refund_gives_the_units_back_once(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "refund").await;
    let order = record_one(&*ledger, sale, &ask(sale, "ann", 2)).await;
    assert_eq!(ledger.refund(order.id()).await, Ok(Refunding::NotPaid(Box::new(order.clone()))));
    assert_eq!(ledger.refund(id(sale, &ask(sale, "nobody", 1))).await, Ok(Refunding::NoOrder));
    ledger.pay(&paying("p-1", &order)).await.expect("answers");
    let other = record_one(&*ledger, sale, &ask(sale, "bob", 1)).await;
    ledger.pay(&paying("p-bob", &other)).await.expect("answers");
    let Refunding::Refunded(refunded) = ledger.refund(order.id()).await.expect("answers") else { panic!("a paid order can be refunded") };
    assert_eq!((refunded.status, refunded.version), (Status::Refunded, 3));
    assert_eq!(ledger.refund(order.id()).await, Ok(Refunding::Refunded(refunded.clone())));
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
    let theirs = ledger.payments(other.id()).await.expect("answers");
    let theirs: Vec<_> = theirs.into_iter().map(|payment| (payment.id, payment.state)).collect();
    assert_eq!(theirs, [(payment_id("p-bob"), PaymentState::Settled)], "another order's payment stays, and no other is listed with it");
    assert_eq!(ledger.pay(&paying("p-1", &order)).await, Ok(Paid::Refunded(refunded)), "the payment has moved on with its order");
    assert!(matches!(ledger.pay(&paying("p-2", &order)).await, Ok(Paid::RefundDue(_))));
    // Its units can be bought again, by the same buyer too.
    assert_eq!(record_one(&*ledger, sale, &ask_keyed(sale, "ann", "again", 2)).await.status, Status::Confirmed);
}

pub(super) async fn the_history_tells_every_change(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "history").await;
    let order = confirmed(&*ledger, sale, "ann").await;
    ledger.pay(&paying("p-1", &order)).await.expect("answers");
    close(&*ledger, order.id(), Closing::Cancel, None).await;
    ledger.refund(order.id()).await.expect("answers");
    let (tombstone, _) = close(&*ledger, id(sale, &ask(sale, "bob", 1)), Closing::Cancel, Some(ask(sale, "bob", 1))).await;
    let history = ledger.history(order.id()).await.expect("answers");
    let told: Vec<_> = history.iter().map(|change| (change.from, change.to, change.source)).collect();
    assert_eq!(
        told,
        [
            (Status::Processing, Status::Confirmed, Source::Message),
            (Status::Confirmed, Status::Paid, Source::Payment),
            (Status::Paid, Status::Refunded, Source::Operator),
        ]
    );
    assert!(history.is_sorted_by_key(|change| change.at));
    assert!(history.iter().all(|change| change.digest == order.ask.digest));
    let of_tombstone = ledger.history(tombstone.id()).await.expect("answers");
    assert_eq!(
        of_tombstone.iter().map(|change| (change.from, change.to, change.source)).collect::<Vec<_>>(),
        [(Status::Processing, Status::Cancelled, Source::Buyer)]
    );
    assert_eq!(books(&*ledger, sale).await.history, [history, of_tombstone].concat());
}
