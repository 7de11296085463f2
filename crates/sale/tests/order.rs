//! The life of an order as a table, and what recording decides.

use sale::contract::{ask, late_ask, sale};
use sale::order::{Event, Footing, PaymentState, Reason, Source, Status, Step, Stock, record};
use sale::words::Epoch;

/// Each status against each event: what it becomes, and whether its units leave the stock (-), come back (+) or stay (=).
/// A dot: too late, nothing changes.
const TABLE: &str = "
.           confirm     confirm_paid  reject     pay    cancel      expire    refund
processing  confirmed-  paid-         rejected=  .      cancelled=  .         .
confirmed   .           .             .          paid=  cancelled+  expired+  .
paid        .           .             .          .      .           .         refunded+
cancelled   .           .             .          .      .           .         .
expired     .           .             .          .      .           .         .
rejected    .           .             .          .      .           .         .
refunded    .           .             .          .      .           .         .
";

fn events(name: &str) -> Vec<Event> {
    match name {
        "confirm" => vec![Event::Confirm],
        "confirm_paid" => vec![Event::ConfirmPaid],
        "reject" => Reason::ALL.map(Event::Reject).into(),
        "pay" => vec![Event::Pay],
        "cancel" => vec![Event::Cancel],
        "expire" => vec![Event::Expire],
        "refund" => vec![Event::Refund],
        other => panic!("no event is called {other}"),
    }
}

fn step(from: Status, cell: &str) -> Step {
    if cell == "." {
        return Step::Late(from);
    }
    let (to, sign) = cell.split_at(cell.len() - 1);
    let stock = match sign {
        "-" => Stock::Take,
        "+" => Stock::GiveBack,
        "=" => Stock::Keep,
        other => panic!("{other} is no sign"),
    };
    Step::Move { to: Status::parse(to).expect("the table names statuses"), stock }
}

#[test]
fn every_status_answers_every_event_as_the_table_says() {
    let mut lines = TABLE.trim().lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let mut pairs = 0;
    for line in lines {
        assert_eq!(line.len(), names.len());
        let from = Status::parse(line[0]).unwrap();
        for (name, cell) in names.iter().zip(&line).skip(1) {
            for event in events(name) {
                assert_eq!(from.on(event), step(from, cell), "{} on {name}", from.as_str());
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 7 * 7);
}

#[test]
fn units_leave_the_stock_on_the_way_into_life_and_come_back_on_the_way_out() {
    let all = ["confirm", "confirm_paid", "reject", "pay", "cancel", "expire", "refund"].into_iter().flat_map(events);
    for (from, event) in Status::ALL.into_iter().flat_map(|from| all.clone().map(move |event| (from, event))) {
        let Step::Move { to, stock } = from.on(event) else { continue };
        let expected = match (from.is_live(), to.is_live()) {
            (false, true) => Stock::Take,
            (true, false) => Stock::GiveBack,
            (false, false) | (true, true) => Stock::Keep,
        };
        assert_eq!(stock, expected, "{from:?} on {event:?}");
        assert!(!from.is_dead(), "{from:?} is final");
    }
}

#[test]
fn a_status_is_on_its_way_or_live_or_dead() {
    for status in Status::ALL {
        let on_its_way = status == Status::Processing;
        assert_eq!(u8::from(on_its_way) + u8::from(status.is_live()) + u8::from(status.is_dead()), 1, "{status:?}");
    }
}

#[test]
fn words_are_read_as_they_are_written() {
    assert!(Status::ALL.into_iter().all(|word| Status::parse(word.as_str()) == Some(word)));
    assert!(Reason::ALL.into_iter().all(|word| Reason::parse(word.as_str()) == Some(word)));
    assert!(Source::ALL.into_iter().all(|word| Source::parse(word.as_str()) == Some(word)));
    assert!(PaymentState::ALL.into_iter().all(|word| PaymentState::parse(word.as_str()) == Some(word)));
    for text in ["", "Paid", "paid ", "unknown"] {
        assert_eq!((Status::parse(text), Reason::parse(text), Source::parse(text), PaymentState::parse(text)), (None, None, None, None));
    }
}

#[test]
fn recording_weighs_epoch_then_payment_then_limit_then_stock() {
    use PaymentState::{Late, RefundDue, Refunded, Settled};
    let sound = Footing { epoch: Epoch(5), left: 2, buyer_live: 0, limit_per_buyer: 2, payment: None };
    let sale = sale("record");
    let plain = ask(sale, "ann", 2);
    let late = late_ask(sale, &plain, &"p-1".parse().unwrap());
    let reject = Event::Reject;
    let check = |ask, decided, footing, expect| assert_eq!(record(ask, Epoch(decided), footing), expect, "{footing:?}");

    check(&plain, 5, sound, Event::Confirm);
    check(&plain, 4, sound, reject(Reason::StaleEpoch));
    check(&plain, 6, sound, reject(Reason::StaleEpoch));
    check(&plain, 5, Footing { left: 1, ..sound }, reject(Reason::SoldOut));
    check(&plain, 5, Footing { left: i64::MAX, buyer_live: 1, ..sound }, reject(Reason::LimitReached));
    check(&plain, 5, Footing { buyer_live: 1, limit_per_buyer: 3, ..sound }, Event::Confirm);
    check(&late, 5, Footing { payment: Some(Late), ..sound }, Event::ConfirmPaid);
    for payment in [None, Some(Settled), Some(RefundDue), Some(Refunded)] {
        check(&late, 5, Footing { payment, ..sound }, reject(Reason::RefundDue));
    }
    // What is wrong first is said: each of these has everything wrong from its line on.
    let wrong = Footing { left: 0, buyer_live: 2, ..sound };
    check(&late, 4, wrong, reject(Reason::StaleEpoch));
    check(&late, 5, wrong, reject(Reason::RefundDue));
    check(&late, 5, Footing { payment: Some(Late), ..wrong }, reject(Reason::LimitReached));
    check(&late, 5, Footing { payment: Some(Late), buyer_live: 0, ..wrong }, reject(Reason::SoldOut));
}
