//! Properties of values and of the pure rules, over drawn inputs: money, quantities, ids, messages, the life of an order,
//! and a ledger and a gate under any sequence of calls.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use sale::books::{Books, audit};
use sale::contract;
use sale::memory::{MemoryGate, MemoryLedger};
use sale::message::{Decoded, decode, encode};
use sale::order::{Event, Reason, Source, Status, Step};
use sale::ports::*;
use sale::words::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The same inputs in every run; more of them with `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::with_cases(512) }
}

/// What stores in memory answer, which is at once.
fn now<T>(answer: impl Future<Output = Result<T, Fault>>) -> T {
    sim::poll_once(answer).expect("a store in memory does not wait").unwrap()
}

fn name() -> impl Strategy<Value = String> {
    "[!-~]{1,12}"
}

fn quantity() -> impl Strategy<Value = Quantity> {
    prop_oneof![1..=4u32, 1..=QUANTITY_MAX].prop_map(|units| Quantity::new(units).unwrap())
}

fn price() -> impl Strategy<Value = Price> {
    prop_oneof![0..=10i64, 0..=UNIT_PRICE_MAX].prop_map(|minor| Price::new(minor).unwrap())
}

prop_compose! {
    fn an_ask()(digest in any::<[u8; 16]>(), buyer in name(), quantity in quantity(), unit_price in price(), pay_within_s in any::<u32>(),
                asked_at in any::<i64>(), late in proptest::option::of((name(), any::<[u8; 16]>()))) -> Ask {
        let late = late.map(|(payment, expired)| Box::new(LatePayment { payment: payment.parse().unwrap(), expired: Digest(expired) }));
        let buyer = buyer.parse().unwrap_or_else(|_| "ann".parse().unwrap());
        Ask { digest: Digest(digest), buyer, quantity, unit_price, currency: "CNY".parse().unwrap(), pay_within_s, asked_at: Time(asked_at), late }
    }
}

prop_compose! {
    fn a_batch()(node in any::<u64>(), number in any::<u64>(), epoch in any::<u64>(), limit_per_buyer in any::<u32>(),
                 asks in prop::collection::btree_map(any::<[u8; 16]>(), an_ask(), 1..9)) -> Batch {
        let asks = asks.into_iter().map(|(digest, ask)| Ask { digest: Digest(digest), ..ask }).collect();
        Batch { id: BatchId { node, number }, sale: contract::sale("s1"), epoch: Epoch(epoch), limit_per_buyer, asks }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn prices_and_quantities_are_what_lies_within_their_limits(minor in any::<i64>(), units in any::<u32>()) {
        let (price, quantity) = (Price::new(minor), Quantity::new(units));
        prop_assert_eq!(price.is_ok(), (0..=UNIT_PRICE_MAX).contains(&minor));
        prop_assert_eq!(quantity.is_ok(), (1..=QUANTITY_MAX).contains(&units));
    }

    #[test]
    fn every_legal_amount_is_exact(price in price(), quantity in quantity()) {
        prop_assert_eq!(i128::from(price.times(quantity)), i128::from(price.minor()) * i128::from(quantity.get()));
    }

    #[test]
    fn time_does_not_wrap(at in any::<i64>(), ms in any::<i64>()) {
        let later = Time(at).after_ms(ms);
        prop_assert_eq!(later >= Time(at), ms >= 0 || later == Time(at));
        if at.checked_add(ms).is_some() && ms.checked_abs().is_some() {
            prop_assert_eq!(later.since_ms(Time(at)), ms);
        }
    }

    #[test]
    fn an_id_names_one_purchase(a in (name(), name()), b in (name(), name())) {
        let sale = contract::sale("s1");
        let id = |(buyer, key): &(String, String)| Some(OrderId::of_purchase(sale, &buyer.parse().ok()?, &key.parse().ok()?));
        if let (Some(one), Some(other)) = (id(&a), id(&b)) {
            prop_assert_eq!(one == other, a == b);
            prop_assert_eq!(one.to_string().parse::<OrderId>().ok(), Some(one));
            prop_assert_ne!(one, OrderId::of_late_payment(sale, &a.0.parse().unwrap(), &a.1.parse().unwrap()));
        }
    }

    #[test]
    fn where_a_name_ends_is_part_of_an_id(text in "[a-z]{2,12}", cut in 1..11usize, other in 1..11usize) {
        // The same letters, cut elsewhere into buyer and key.
        let id = |at: usize| {
            let (buyer, key) = text.split_at(at.min(text.len() - 1));
            OrderId::of_purchase(contract::sale("s1"), &buyer.parse().unwrap(), &key.parse().unwrap())
        };
        let cut_at = |at: usize| at.min(text.len() - 1);
        prop_assert_eq!(id(cut) == id(other), cut_at(cut) == cut_at(other));
    }

    #[test]
    fn a_batch_is_read_as_it_was_written(batch in a_batch()) {
        prop_assert_eq!(decode(&encode(&batch)), Decoded::Batch(batch));
    }

    #[test]
    fn c16_a_damaged_batch_is_no_batch(batch in a_batch(), at in any::<prop::sample::Index>(), bit in 0..8u8, torn in any::<bool>()) {
        let mut bytes = encode(&batch);
        let at = at.index(bytes.len());
        if torn { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        prop_assert!(!matches!(decode(&bytes), Decoded::Batch(_)), "byte {at}");
    }

    #[test]
    fn an_order_lives_once(events in prop::collection::vec(select(events()), 1..20)) {
        let (mut status, mut taken, mut died) = (Status::Processing, 0, false);
        for event in events {
            match status.on(event) {
                Step::Late(there) => prop_assert_eq!(there, status),
                Step::Move { to, stock } => {
                    prop_assert!(!died, "{:?} came back to life as {:?}", status, to);
                    taken += match stock {
                        sale::order::Stock::Take => 1,
                        sale::order::Stock::GiveBack => -1,
                        sale::order::Stock::Keep => 0,
                    };
                    (status, died) = (to, to.is_dead());
                }
            }
            prop_assert_eq!(taken, i32::from(status.is_live()), "{:?}", status);
        }
    }

    #[test]
    fn a_ledger_keeps_the_laws_whatever_it_is_asked(calls in prop::collection::vec(a_call(), 1..60)) {
        let sale = contract::sale("s1");
        let ledger = MemoryLedger::new(Time(1_000_000));
        now(ledger.create_sale(&contract::terms(sale), 6, "op")).unwrap();
        now(ledger.bump(BumpAsk { sale, seen: Epoch(0), run: RunId(1), to: Some(SaleStatus::Open), lease_ms: 1 }));
        let mut dead: BTreeMap<OrderId, Status> = BTreeMap::new();
        for call in calls {
            let first = do_call(&ledger, sale, &call);
            // The clock may end a time to pay in between; nothing else may.
            prop_assert_eq!(&first, &do_call(&ledger, sale, &call), "a second {:?}", &call);
            let books = now(ledger.books(sale)).unwrap();
            for order in &books.orders {
                let before = dead.get(&order.id());
                prop_assert!(before.is_none_or(|before| *before == order.status), "{:?} was final", before);
                if order.status.is_dead() {
                    dead.insert(order.id(), order.status);
                }
            }
            let report = audit(&[Books { ledger: books, gate: None, at_rest: false }], None);
            prop_assert!(report.breaches.is_empty(), "after {:?}: {:?}", call, report.breaches);
        }
    }

    #[test]
    fn a_gate_keeps_count_whatever_it_is_asked(calls in prop::collection::vec(a_gate_call(), 1..60)) {
        let (gate, sale) = (Arc::new(MemoryGate::new(RunId(1))), contract::sale("s1"));
        let fence = Fence { sale, epoch: Epoch(1), run: RunId(1) };
        now(gate.publish(fence, Opening { left: 9, raises: 0, holds: 0, withdrawals: Vec::new() })).unwrap();
        let (mut raised, mut number, mut given_up) = (0, 0, 0);
        for (batch, call) in (1..).zip(calls) {
            let before = now(gate.books(fence)).unwrap();
            match call {
                GateCall::Hold(asks) => {
                    let asks: BTreeMap<Digest, Ask> =
                        asks.into_iter().map(|(who, key, units)| contract::ask_keyed(sale, who, key, units)).map(|ask| (ask.digest, ask)).collect();
                    let batch = contract::batch(batch, sale, Epoch(1), asks.into_values().collect());
                    let (held, _) = now(gate.hold(fence, &batch)).unwrap();
                    prop_assert_eq!(&now(gate.hold(fence, &batch)).unwrap().0, &held, "a second hold of the same batch");
                    let after = now(gate.books(fence)).unwrap();
                    let more = after.holds.len() - before.holds.len();
                    let new = batch.asks.iter().filter(|ask| !before.holds.iter().any(|(digest, _)| *digest == ask.digest)).count();
                    prop_assert_eq!(more, if held == Held::All { new } else { 0 }, "whole or nothing");
                }
                GateCall::Release(who, key) => {
                    let digest = contract::ask_keyed(sale, who, key, 1).digest;
                    now(gate.release(fence, &[digest])).unwrap();
                    now(gate.release(fence, &[digest])).unwrap();
                }
                GateCall::Raise(units) => {
                    number += 1;
                    raised += units;
                    now(gate.raise(fence, number, units)).unwrap();
                    now(gate.raise(fence, number, units)).unwrap();
                }
                GateCall::Withdraw(key, units) => {
                    let it = Withdrawal { key: key.parse().unwrap(), units, actor: "op".into(), reason: "less".into() };
                    now(gate.withdraw(fence, &it)).unwrap();
                    now(gate.withdraw(fence, &it)).unwrap();
                }
                GateCall::Finish(key, give_back) => {
                    let key: MovementKey = key.parse().unwrap();
                    let pending = before.withdrawals.iter().find(|one| one.key == key).map_or(0, |one| one.units);
                    given_up += if give_back { 0 } else { pending };
                    now(gate.finish_withdrawal(fence, &key, give_back)).unwrap();
                    now(gate.finish_withdrawal(fence, &key, give_back)).unwrap();
                }
            }
            let books = now(gate.books(fence)).unwrap();
            let held: i64 = books.holds.iter().map(|(_, units)| i64::from(*units)).sum();
            let pending: i64 = books.withdrawals.iter().map(|one| one.units).sum();
            prop_assert!(books.fact.left >= 0);
            prop_assert_eq!(books.fact.left + held + pending + given_up, 9 + raised);
            for who in WHO {
                let theirs = KEYS.map(|key| contract::ask_keyed(sale, who, key, 1).digest);
                let units: u32 = books.holds.iter().filter(|(digest, _)| theirs.contains(digest)).map(|(_, units)| units).sum();
                prop_assert!(units <= 2, "{who} holds {units}");
            }
        }
    }
}

fn events() -> Vec<Event> {
    let plain = [Event::Confirm, Event::ConfirmPaid, Event::Pay, Event::Cancel, Event::Expire, Event::Refund];
    plain.into_iter().chain(Reason::ALL.map(Event::Reject)).collect()
}

const WHO: [&str; 3] = ["ann", "bob", "cat"];
const KEYS: [&str; 3] = ["k1", "k2", "k3"];

#[derive(Clone, Debug)]
enum GateCall {
    Hold(Vec<(&'static str, &'static str, u32)>),
    Release(&'static str, &'static str),
    Raise(i64),
    Withdraw(&'static str, i64),
    Finish(&'static str, bool),
}

fn a_gate_call() -> impl Strategy<Value = GateCall> {
    let (who, key) = (select(WHO.to_vec()), select(KEYS.to_vec()));
    prop_oneof![
        4 => prop::collection::vec((who.clone(), key.clone(), 1..3u32), 1..4).prop_map(GateCall::Hold),
        3 => (who, key.clone()).prop_map(|(who, key)| GateCall::Release(who, key)),
        1 => (1..3i64).prop_map(GateCall::Raise),
        1 => (key.clone(), 1..3i64).prop_map(|(key, units)| GateCall::Withdraw(key, units)),
        1 => (key, any::<bool>()).prop_map(|(key, give_back)| GateCall::Finish(key, give_back)),
    ]
}

#[derive(Clone, Debug)]
enum Call {
    Record(u64, Vec<(&'static str, &'static str, u32)>),
    Close(&'static str, &'static str, Closing, bool),
    Pay(&'static str, &'static str, &'static str, i64),
    RefundDue(&'static str),
    Refund(&'static str, &'static str),
    Raise(&'static str, i64),
    Withdraw(&'static str, i64),
    Later(u64),
}

fn a_call() -> impl Strategy<Value = Call> {
    let (who, key) = (select(WHO.to_vec()), select(KEYS.to_vec()));
    let closing = select(vec![Closing::Cancel, Closing::Expire, Closing::Lost]);
    prop_oneof![
        4 => (0..3u64, prop::collection::vec((who.clone(), key.clone(), 1..3u32), 1..4)).prop_map(|(epoch, asks)| Call::Record(epoch, asks)),
        3 => (who.clone(), key.clone(), closing, any::<bool>()).prop_map(|(who, key, closing, ask)| Call::Close(who, key, closing, ask)),
        2 => (who.clone(), key.clone(), key.clone(), 1..3i64).prop_map(|(who, key, payment, units)| Call::Pay(who, key, payment, units)),
        1 => key.clone().prop_map(Call::RefundDue),
        1 => (who, key.clone()).prop_map(|(who, key)| Call::Refund(who, key)),
        1 => (key.clone(), 1..3i64).prop_map(|(key, units)| Call::Raise(key, units)),
        1 => (key, 1..3i64).prop_map(|(key, units)| Call::Withdraw(key, units)),
        1 => (1..4_000_000u64).prop_map(Call::Later),
    ]
}

/// What a call came to, in words: compared with what the same call comes to when it is repeated.
fn do_call(ledger: &MemoryLedger, sale: SaleId, call: &Call) -> String {
    let id = |who: &str, key: &str| OrderId { sale, digest: contract::ask_keyed(sale, who, key, 1).digest };
    match call {
        Call::Record(epoch, asks) => {
            let asks = asks.iter().map(|(who, key, units)| contract::ask_keyed(sale, who, key, *units)).collect();
            let sheaf = Sheaf { sale, epoch: Epoch(*epoch), source: Source::Message, asks };
            format!("{:?}", now(ledger.record(vec![sheaf])).sheaves)
        }
        Call::Close(who, key, closing, with_ask) => {
            let ask = with_ask.then(|| contract::ask_keyed(sale, who, key, 1));
            match now(ledger.close(id(who, key), *closing, ask)) {
                Closed::Row(order, _) => format!("{order:?}"),
                Closed::NoRow => "no row".to_owned(),
            }
        }
        Call::Pay(who, key, payment, units) => {
            let paying = Paying { payment: payment.parse().unwrap(), order: id(who, key), amount: contract::UNIT_PRICE * units };
            format!("{:?}", now(ledger.pay(&paying)))
        }
        Call::RefundDue(payment) => format!("{:?}", now(ledger.refund_due(&payment.parse().unwrap()))),
        Call::Refund(who, key) => format!("{:?}", now(ledger.refund(id(who, key)))),
        Call::Raise(key, units) => format!("{:?}", now(ledger.raise(sale, &key.parse().unwrap(), *units, "op", "more"))),
        Call::Withdraw(key, units) => {
            let it = Withdrawal { key: key.parse().unwrap(), units: *units, actor: "op".into(), reason: "less".into() };
            format!("{:?}", now(ledger.withdraw(sale, Epoch(1), &it)))
        }
        Call::Later(ms) => {
            ledger.advance_ms(*ms);
            String::new()
        }
    }
}
