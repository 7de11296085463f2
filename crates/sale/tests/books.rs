//! Each law seen to fail: true books, one forgery a line, and the law that must notice it.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use sale::books::{Accepted, Books, Law, Tale, Told, Verdict, audit};
use sale::order::{Payment, PaymentState, Source, Status};
use sale::ports::{Fence, Gate as _, Ledger as _, Movement, Paying, Withdrawal};
use sale::purchase::Answer;
use sale::words::*;
use sim::{World, buyer, terms};
use std::cell::RefCell;
use std::rc::Rc;

/// A lawful sale at rest: ann has paid, bob is confirmed, cat has cancelled; one restock, one withdrawal.
fn lawful() -> (Books, Vec<Tale>) {
    let world = World::new(None);
    let sale = terms("s1").id;
    let (w, taken) = (Rc::clone(&world), Rc::new(RefCell::new(None)));
    let out = Rc::clone(&taken);
    world.start(1);
    world.run_script(async move {
        w.ask(1, |engine| async move { engine.create(&terms("s1"), 5, "op").await }).await.unwrap().unwrap().unwrap();
        w.ask(1, move |engine| async move { engine.open(sale).await }).await.unwrap().unwrap();
        for who in ["ann", "bob", "cat"] {
            let Answer::Row(order) = w.insist(1, sale, who, "k", 1).await else { panic!() };
            if who == "ann" {
                let paying = Paying { payment: "p1".parse().unwrap(), order: order.id(), amount: 9_900 };
                w.ask(1, move |engine| async move { engine.pay(&paying).await }).await.unwrap().unwrap();
                w.show(1, order.id(), who, None).await;
            }
            if who == "cat" {
                w.cancel(1, order.id(), who, None).await.unwrap();
            }
        }
        let key: MovementKey = "r1".parse().unwrap();
        w.ask(1, move |engine| async move { engine.restock(sale, &key, 2, "op", "more").await }).await.unwrap().unwrap();
        let less = Withdrawal { key: "w1".parse().unwrap(), units: 1, actor: "op".into(), reason: "less".into() };
        w.ask(1, move |engine| async move { engine.withdraw(sale, &less).await }).await.unwrap().unwrap();
        let row = w.ledger.sale(sale).await.unwrap().unwrap();
        let gate = w.gate().books(Fence { sale, epoch: row.epoch, run: row.run }).await.unwrap().unwrap();
        let ledger = w.ledger.books(sale).await.unwrap().unwrap();
        *out.borrow_mut() = Some(Books { gate: Some(gate), ledger, at_rest: true });
    });
    let books = taken.borrow_mut().take().unwrap();
    (books, world.tales())
}

fn order<'a>(books: &'a mut Books, who: &str) -> &'a mut sale::order::Order {
    books.ledger.orders.iter_mut().find(|order| order.ask.buyer == buyer(who)).unwrap()
}

fn tale<'a>(tales: &'a mut [Tale], who: &str) -> &'a mut Tale {
    tales.iter_mut().find(|tale| tale.buyer == buyer(who)).unwrap()
}

#[test]
fn true_books_break_no_law() {
    let (books, tales) = lawful();
    let report = audit(&[books], Some(&tales));
    assert_eq!(report.breaches, []);
    assert!(report.laws.iter().all(|(_, verdict)| *verdict == Verdict::Holds), "{:?}", report.laws);
}

#[test]
fn what_was_told_as_accepted_is_counted_and_found() {
    let (mut books, tales) = lawful();
    let accepted = |books: &Books| audit(std::slice::from_ref(books), Some(&tales)).accepted;
    assert_eq!(accepted(&books), Some(Accepted { told: 3, found: 3 }));
    books.ledger.orders.retain(|order| order.ask.buyer != buyer("bob"));
    order(&mut books, "cat").ask.buyer = buyer("dan");
    assert_eq!(accepted(&books), Some(Accepted { told: 3, found: 1 }));
    assert_eq!(audit(&[books], None).accepted, None, "nobody said what buyers were told");
}

#[test]
fn each_forgery_is_noticed_by_its_law() {
    type Forge = fn(&mut Books, &mut Vec<Tale>);
    let forgeries: &[(Law, &str, Forge)] = &[
        (Law::L1, "a unit is missing", |books, _| books.ledger.sale.left -= 1),
        // All sums are right, and yet more was sold than there was.
        (Law::L1, "stock below zero", |books, _| {
            let less = books.ledger.sale.left + 1;
            books.ledger.sale.left -= less;
            books.ledger.sale.allotment -= less;
            books.ledger.movements[0].units -= less;
        }),
        (Law::L1, "an allotment that no movement made", |books, _| {
            books.ledger.sale.allotment += 1;
            books.ledger.sale.left += 1;
        }),
        (Law::L1, "a row deleted by hand", |books, _| books.ledger.orders.retain(|order| order.ask.buyer != buyer("cat"))),
        (Law::L2, "two rows of one purchase", |books, _| {
            let twin = order(books, "cat").clone();
            books.ledger.orders.push(twin);
        }),
        (Law::L2, "a cancelled order lives again", |books, _| {
            let cat = order(books, "cat").ask.digest;
            let mut change = *books.ledger.history.iter().rfind(|change| change.digest == cat).unwrap();
            (change.from, change.to) = (Status::Cancelled, Status::Confirmed);
            books.ledger.history.push(change);
        }),
        (Law::L3, "a buyer above the limit", |books, _| books.ledger.sale.terms.limit_per_buyer = 0),
        (Law::L4, "a status that the history does not know", |books, _| order(books, "bob").status = Status::Paid),
        (Law::L4, "a step that is none", |books, _| {
            let bob = order(books, "bob").ask.digest;
            let mut change = *books.ledger.history.iter().rfind(|change| change.digest == bob).unwrap();
            (change.from, change.to, change.source) = (Status::Confirmed, Status::Refunded, Source::Operator);
            books.ledger.history.push(change);
            order(books, "bob").status = Status::Refunded;
        }),
        (Law::L4, "a change that does not follow the one before", |books, _| {
            let bob = order(books, "bob").ask.digest;
            let mut change = *books.ledger.history.iter().rfind(|change| change.digest == bob).unwrap();
            (change.from, change.to, change.source) = (Status::Paid, Status::Refunded, Source::Operator);
            books.ledger.history.push(change);
            order(books, "bob").status = Status::Refunded;
        }),
        (Law::L4, "a history that goes back in time", |books, _| {
            let last = books.ledger.history.len() - 1;
            books.ledger.history[last].at = Time(0);
        }),
        (Law::L4, "an order expired before its time to pay was over", |books, _| {
            let bob = order(books, "bob").ask.digest;
            let mut change = *books.ledger.history.iter().rfind(|change| change.digest == bob).unwrap();
            (change.from, change.to, change.source) = (Status::Confirmed, Status::Expired, Source::Clock);
            change.at = change.at.after_ms(59_999);
            books.ledger.history.push(change);
            order(books, "bob").status = Status::Expired;
        }),
        (Law::L4, "a price that is not the sale's", |books, _| books.ledger.sale.terms.unit_price = Price::new(1).unwrap()),
        (Law::L4, "a currency that is not the sale's", |books, _| books.ledger.sale.terms.currency = "EUR".parse().unwrap()),
        (Law::L8, "a purchase that was shown as cancelled and lives", |books, tales| {
            let bob = order(books, "bob").id();
            tales.iter_mut().find(|tale| tale.id == bob).unwrap().told.push(Told::Row(Status::Cancelled));
        }),
        (Law::L4, "an order without a history", |books, _| {
            let bob = order(books, "bob").ask.digest;
            books.ledger.history.retain(|change| change.digest != bob);
        }),
        (Law::L4, "a payment of another amount", |books, _| books.ledger.payments[0].amount += 1),
        (Law::L5, "the gate has a unit too many", |books, _| books.gate.as_mut().unwrap().fact.left += 1),
        (Law::L5, "a hold without its unit", |books, _| {
            books.gate.as_mut().unwrap().holds.push((Digest([9; 16]), 1));
        }),
        (Law::L5, "a raise applied that never was", |books, _| books.gate.as_mut().unwrap().raises = 1),
        (Law::L5, "a withdrawal that the gate forgot", |books, _| books.gate.as_mut().unwrap().withdrawn.clear()),
        (Law::L6, "a leak at rest", |books, _| books.gate.as_mut().unwrap().fact.left -= 1),
        (Law::L6, "a holdback that the gate sells", |books, _| books.ledger.sale.terms.holdback = 1),
        (Law::L7, "a live order without its hold", |books, _| {
            let bob = order(books, "bob").ask.digest;
            books.gate.as_mut().unwrap().holds.retain(|&(digest, _)| digest != bob);
        }),
        (Law::L5, "what is held back was sold", |books, _| {
            books.gate.as_mut().unwrap().fact.left = -1;
            books.ledger.sale.terms.holdback = books.ledger.sale.left + 1;
        }),
        (Law::L7, "a hold of other units", |books, _| {
            books.gate.as_mut().unwrap().holds[0].1 = 2;
        }),
        (Law::L11, "an order paid twice", |books, _| {
            let mut twin = books.ledger.payments[0].clone();
            twin.id = "p2".parse().unwrap();
            books.ledger.payments.push(twin);
        }),
        (Law::L7, "a hold of a dead order", |books, _| {
            let cat = order(books, "cat").ask.digest;
            books.gate.as_mut().unwrap().holds.push((cat, 1));
        }),
        (Law::L8, "a confirmed order is gone", |books, _| books.ledger.orders.retain(|order| order.ask.buyer != buyer("bob"))),
        (Law::L8, "a confirmed order changed its owner", |books, _| order(books, "bob").ask.buyer = buyer("eve")),
        (Law::L8, "a confirmed order changed its quantity", |books, tales| {
            order(books, "bob").ask.quantity = Quantity::new(2).unwrap();
            tale(tales, "bob").amount = None;
        }),
        (Law::L8, "a confirmed order changed its price", |books, _| order(books, "bob").ask.unit_price = Price::new(1).unwrap()),
        (Law::L8, "a confirmed order turned out rejected", |books, _| order(books, "bob").status = Status::Rejected),
        (Law::L9, "only refused, and live", |_, tales| tale(tales, "bob").told = vec![Told::Refused, Told::Refused]),
        (Law::L9, "only refused and put off, and live", |_, tales| tale(tales, "bob").told = vec![Told::Busy, Told::Refused]),
        (Law::L10, "a hold that nobody records", |books, _| books.gate.as_mut().unwrap().holds.push((Digest([9; 16]), 1))),
        (Law::L10, "a row stuck in processing", |books, _| order(books, "cat").status = Status::Processing),
        // Nobody was told of it: the books alone must say so.
        (Law::L11, "a paid order was cancelled", |books, tales| {
            order(books, "ann").status = Status::Cancelled;
            tales.clear();
        }),
        (Law::L11, "a payment without its order", |books, tales| {
            books.ledger.orders.retain(|order| order.ask.buyer != buyer("ann"));
            tales.clear();
        }),
        (Law::L11, "a paid order without a payment", |books, _| books.ledger.payments.clear()),
        (Law::L11, "shown as paid, and is not", |_, tales| tale(tales, "bob").told.push(Told::Row(Status::Paid))),
    ];
    for (law, what, forge) in forgeries {
        let (mut books, mut tales) = lawful();
        forge(&mut books, &mut tales);
        let report = audit(&[books], Some(&tales));
        assert!(report.breaches.iter().any(|breach| breach.law == *law), "{law:?}: {what}: noticed by {:?} only", report.breaches);
        assert_eq!(report.laws.iter().find(|(named, _)| named == law).unwrap().1, Verdict::Breached, "{what}");
    }
    let laws: std::collections::BTreeSet<Law> = forgeries.iter().map(|(law, ..)| *law).collect();
    assert_eq!(laws.len(), Law::ALL.len(), "every law has a forgery");
}

#[test]
fn what_is_under_way_is_no_breach_of_l5() {
    // Each moves units between the two sides of the equation.
    let (mut books, tales) = lawful();
    let key: MovementKey = "w2".parse().unwrap();
    let gate = books.gate.as_mut().unwrap();
    gate.withdrawals.push(Withdrawal { key, units: 2, actor: "op".into(), reason: String::new() });
    gate.fact.left -= 2;
    gate.holds.push((Digest([9; 16]), 1));
    gate.fact.left -= 1;
    let (bob, units) = gate.holds.remove(0);
    assert!(books.ledger.orders.iter().any(|order| order.ask.digest == bob && order.status.is_live()), "a live order lost its hold");
    gate.fact.left += i64::from(units);
    let raise = Movement {
        key: "r2".parse().unwrap(),
        units: 3,
        number: Some(books.ledger.sale.raises + 1),
        actor: "op".into(),
        reason: String::new(),
        at: Time(1),
    };
    books.ledger.movements.push(raise);
    books.ledger.sale.left += 3;
    books.ledger.sale.allotment += 3;
    books.at_rest = false;
    let report = audit(&[books], Some(&tales));
    assert_eq!(report.breaches, []);
    assert!(report.laws.contains(&(Law::L5, Verdict::Holds)));
    assert!(report.laws.iter().any(|(law, verdict)| *law == Law::L6 && matches!(verdict, Verdict::Unchecked(_))));
}

#[test]
fn what_is_held_back_and_what_both_stores_know_is_no_breach() {
    let (mut books, tales) = lawful();
    books.ledger.sale.terms.holdback = 1;
    books.gate.as_mut().unwrap().fact.left -= 1;
    assert_eq!(audit(std::slice::from_ref(&books), Some(&tales)).breaches, []);
    // The ledger has it, the gate has not heard so yet.
    let gate = books.gate.as_mut().unwrap();
    let key = gate.withdrawn.pop().unwrap();
    gate.withdrawals.push(Withdrawal { key, units: 1, actor: "op".into(), reason: "less".into() });
    assert_eq!(audit(&[books], Some(&tales)).breaches, []);
}

#[test]
fn breaches_are_listed_up_to_a_limit() {
    let (mut books, _) = lawful();
    let digests = (0..2 * sale::books::BREACHES_MAX).map(|n| [n.to_be_bytes(), [7; 8]].concat().try_into().unwrap());
    books.gate.as_mut().unwrap().holds.extend(digests.map(|digest| (Digest(digest), 1)));
    assert_eq!(audit(&[books], None).breaches.len(), sale::books::BREACHES_MAX);
}

#[test]
fn what_cannot_be_checked_is_not_said_to_hold() {
    let (mut books, tales) = lawful();
    books.gate = None;
    let payment = Payment {
        id: "late".parse().unwrap(),
        order: books.ledger.orders[0].id(),
        amount: 9_900,
        state: PaymentState::Late,
        bought: None,
        at: Time(1),
    };
    books.ledger.payments.push(payment);
    let unchecked = |report: sale::books::Report| -> Vec<Law> {
        report.laws.into_iter().filter(|(_, verdict)| matches!(verdict, Verdict::Unchecked(_))).map(|(law, _)| law).collect()
    };
    assert_eq!(unchecked(audit(&[books.clone()], None)), [Law::L5, Law::L6, Law::L7, Law::L8, Law::L9, Law::L10, Law::L11]);
    assert_eq!(unchecked(audit(&[books.clone()], Some(&tales))), [Law::L5, Law::L6, Law::L7, Law::L10, Law::L11]);
    // What is on its way is told from what nobody said: only the former is worth another audit.
    let waiting = |books: &Books| audit(std::slice::from_ref(books), None).waiting().collect::<Vec<_>>();
    let (whole, late) = ("the gate of a sale is not whole", "a late payment is on its way");
    assert_eq!(waiting(&books), [whole, whole, whole, whole, late]);
    let (at_rest, _) = lawful();
    assert_eq!(waiting(&at_rest), [""; 0]);
    assert_eq!(waiting(&Books { at_rest: false, ..at_rest }), ["a sale is not at rest"; 3]);
    // What could not be checked in one sale and is broken in another is broken.
    let mut leaking = lawful().0;
    leaking.gate.as_mut().unwrap().fact.left -= 1;
    let both = audit(&[books, leaking], Some(&tales));
    for law in [Law::L5, Law::L6] {
        assert!(both.laws.contains(&(law, Verdict::Breached)), "{law:?}");
    }
    assert_eq!(unchecked(audit(&[], Some(&[]))).len(), Law::ALL.len());
}

#[test]
fn the_figures_are_those_of_the_books() {
    let (books, _) = lawful();
    let report = audit(std::slice::from_ref(&books), None);
    let figures = &report.sales[0];
    assert_eq!((figures.allotment, figures.left, figures.live_units, figures.gate_left, figures.holds), (6, 4, 2, Some(4), Some(2)));
    assert_eq!(figures.orders, [(Status::Confirmed, 1), (Status::Paid, 1), (Status::Cancelled, 1)]);
}
