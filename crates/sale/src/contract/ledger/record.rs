//! Promises of `record`: what an ask becomes, once.

use super::super::{ask, ask_keyed, id, sale, skipped};
use super::{LedgerRig, UNITS, books, left, open_sale, record, record_one, row, rows, sale_now, sheaf};
use crate::order::{Reason, Source, Status};
use crate::ports::{Closed, Closing, SaleChange, Sheaf, Unrecordable};
use crate::words::{Ask, Epoch, Price, Quantity};

pub(super) async fn an_ask_becomes_a_confirmed_order_and_takes_its_units(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "one").await;
    let asked = ask(sale, "ann", 2);
    let before = ledger.now().await.expect("answers");
    let order = record_one(&*ledger, sale, &asked).await;
    let after = ledger.now().await.expect("answers");
    assert_eq!((order.sale, &order.ask, order.status, order.reason), (sale, &asked, Status::Confirmed, None));
    assert_eq!((order.epoch, order.version, order.successor), (Epoch(1), 1, None));
    assert!(before <= order.created_at && order.created_at <= after, "the moment of acceptance is by the ledger's clock");
    assert_eq!(order.updated_at, order.created_at);
    assert_eq!(order.pay_by, Some(order.created_at.after_ms(i64::from(asked.pay_within_s) * 1_000)));
    assert_eq!(left(&*ledger, sale).await, UNITS - 2);
    assert_eq!(row(&*ledger, order.id()).await, Some(order), "what was answered is what is kept");
}

pub(super) async fn c12_a_second_record_finds_the_row_and_takes_nothing(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "again").await;
    let asks: Vec<Ask> = ["ann", "bob", "cid"].map(|buyer| ask(sale, buyer, 2)).into();
    let first = record(&*ledger, sale, asks.clone()).await;
    for _ in 0..4 {
        assert_eq!(record(&*ledger, sale, asks.clone()).await, first);
    }
    assert_eq!(left(&*ledger, sale).await, UNITS - 6);
    assert_eq!(books(&*ledger, sale).await.history.len(), 3, "a row that is found is no change");
}

pub(super) async fn c28_a_row_is_answered_whatever_the_new_content(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "other").await;
    let asked = ask(sale, "ann", 1);
    let first = record_one(&*ledger, sale, &asked).await;
    let other = Ask { quantity: Quantity::new(2).expect("fits"), unit_price: Price::new(1).expect("fits"), ..asked };
    assert_eq!(record_one(&*ledger, sale, &other).await, first);
    // A later epoch in the sheaf changes nothing either: the row is looked for before anything is weighed.
    let later = Sheaf { epoch: Epoch(9), ..sheaf(sale, vec![other]) };
    assert_eq!(rows(ledger.record(vec![later]).await.expect("answers")), vec![vec![first]]);
    assert_eq!(left(&*ledger, sale).await, UNITS - 1);
}

pub(super) async fn a_purchase_may_stand_twice_in_a_sheaf_and_in_several_sheaves(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "twice").await;
    let (ann, bob) = (ask(sale, "ann", 2), ask(sale, "bob", 1));
    let sheaves = vec![sheaf(sale, vec![ann.clone(), ann.clone()]), sheaf(sale, vec![bob.clone(), ann.clone()]), sheaf(sale, vec![bob])];
    let rows = rows(ledger.record(sheaves).await.expect("answers"));
    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!((&rows[0][0], &rows[0][0]), (&rows[0][1], &rows[1][1]));
    assert_eq!(rows[1][0], rows[2][0]);
    assert!(rows.iter().flatten().all(|order| order.status == Status::Confirmed));
    assert_eq!(left(&*ledger, sale).await, UNITS - 3);
}

pub(super) async fn c25_what_the_stock_does_not_cover_is_rejected_and_less_still_sells(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = super::open_sale_of(&*ledger, "short", 3).await;
    // In one sheaf: two fit, two more do not, one more does.
    let asks = vec![ask(sale, "ann", 2), ask(sale, "bob", 2), ask(sale, "cid", 1), ask(sale, "dan", 1)];
    let rows = record(&*ledger, sale, asks.clone()).await;
    let told: Vec<_> = rows.iter().map(|order| (order.status, order.reason)).collect();
    let sold_out = (Status::Rejected, Some(Reason::SoldOut));
    assert_eq!(told, [(Status::Confirmed, None), sold_out, (Status::Confirmed, None), sold_out]);
    assert_eq!(rows[1].pay_by, None, "only a confirmed order has a time to pay");
    assert_eq!(left(&*ledger, sale).await, 0);
    // Rejected is for ever, whatever comes back later.
    ledger.close(id(sale, &asks[0]), Closing::Cancel, None).await.expect("answers");
    assert_eq!(left(&*ledger, sale).await, 2);
    assert_eq!(record_one(&*ledger, sale, &asks[1]).await, rows[1]);
    assert_eq!(left(&*ledger, sale).await, 2);
}

pub(super) async fn c26_the_buyers_limit_counts_within_a_sheaf_and_across_sheaves(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "limit").await;
    let keyed = |buyer, key, units| ask_keyed(sale, buyer, key, units);
    let within = record(&*ledger, sale, vec![keyed("ann", "a", 1), keyed("ann", "b", 1), keyed("ann", "c", 1), keyed("bob", "a", 2)]).await;
    let limit = (Status::Rejected, Some(Reason::LimitReached));
    let told: Vec<_> = within.iter().map(|order| (order.status, order.reason)).collect();
    assert_eq!(told, [(Status::Confirmed, None), (Status::Confirmed, None), limit, (Status::Confirmed, None)]);
    // Across the sheaves of one call, and across calls.
    let sheaves = vec![sheaf(sale, vec![keyed("cid", "a", 1)]), sheaf(sale, vec![keyed("cid", "b", 2), keyed("cid", "c", 1)])];
    let across = rows(ledger.record(sheaves).await.expect("answers"));
    assert_eq!((across[1][0].status, across[1][0].reason), limit);
    assert_eq!(across[1][1].status, Status::Confirmed);
    let later = record_one(&*ledger, sale, &keyed("cid", "d", 1)).await;
    assert_eq!((later.status, later.reason), limit);
    assert_eq!(left(&*ledger, sale).await, UNITS - 6);
    // The limit is the sale's: the same buyer in another sale begins at nothing.
    let other = open_sale(&*ledger, "limit-2").await;
    assert_eq!(record_one(&*ledger, other, &ask(other, "ann", 2)).await.status, Status::Confirmed);
}

pub(super) async fn dead_orders_do_not_count_for_the_limit(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "dead").await;
    let first = record_one(&*ledger, sale, &ask_keyed(sale, "ann", "a", 2)).await;
    ledger.close(first.id(), Closing::Cancel, None).await.expect("answers");
    assert_eq!(record_one(&*ledger, sale, &ask_keyed(sale, "ann", "b", 2)).await.status, Status::Confirmed);
    assert_eq!(record_one(&*ledger, sale, &ask_keyed(sale, "ann", "c", 1)).await.reason, Some(Reason::LimitReached));
    assert_eq!(left(&*ledger, sale).await, UNITS - 2);
}

pub(super) async fn a_stale_epoch_becomes_a_rejected_row_for_ever(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "stale").await;
    for (buyer, epoch) in [("ann", Epoch(0)), ("bob", Epoch(2))] {
        let asked = ask(sale, buyer, 1);
        let stale = Sheaf { epoch, ..sheaf(sale, vec![asked.clone()]) };
        let row = rows(ledger.record(vec![stale]).await.expect("answers")).remove(0).remove(0);
        assert_eq!((row.status, row.reason), (Status::Rejected, Some(Reason::StaleEpoch)), "epoch {epoch:?} is not the sale's");
        assert_eq!(record_one(&*ledger, sale, &asked).await, row, "the right epoch comes too late");
    }
    assert_eq!(left(&*ledger, sale).await, UNITS);
}

pub(super) async fn c16_an_unknown_sale_does_not_hold_up_its_neighbours(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let known = open_sale(&*ledger, "known").await;
    let unknown = sale("unknown");
    let sheaves = vec![
        sheaf(known, vec![ask(known, "ann", 1)]),
        sheaf(unknown, vec![ask(unknown, "ann", 1)]),
        sheaf(known, vec![ask(known, "bob", 1)]),
    ];
    let recorded = ledger.record(sheaves).await.expect("answers");
    assert_eq!(recorded.sheaves[1], Err(Unrecordable::UnknownSale));
    for at in [0, 2] {
        assert_eq!(recorded.sheaves[at].as_ref().expect("is recorded")[0].status, Status::Confirmed);
    }
    assert_eq!(left(&*ledger, known).await, UNITS - 2);
    assert_eq!(ledger.orders(&[id(unknown, &ask(unknown, "ann", 1))]).await.expect("answers"), [None]);
}

pub(super) async fn c37_what_was_asked_is_kept_word_for_word(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "frozen").await;
    // Terms that differ from the sale's, and a buyer's id in which SQL and a path would stumble.
    let asked = Ask {
        unit_price: Price::new(0).expect("fits"),
        currency: "JPY".parse().expect("well formed"),
        pay_within_s: 604_800,
        ..ask(sale, "o'neill; drop table orders -- 日本 %_", 1)
    };
    let order = record_one(&*ledger, sale, &asked).await;
    assert_eq!(order.ask, asked);
    assert_eq!(row(&*ledger, order.id()).await.expect("is there").ask, asked);
    let great = Ask { unit_price: Price::new(crate::words::UNIT_PRICE_MAX).expect("fits"), ..ask(sale, "bob", 2) };
    assert_eq!(record_one(&*ledger, sale, &great).await.ask.amount(), 2 * crate::words::UNIT_PRICE_MAX);
    assert_eq!(books(&*ledger, sale).await.orders[0].ask, asked);
}

pub(super) async fn a_stopped_sale_records_nothing(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let (sale, other) = (open_sale(&*ledger, "stopped").await, open_sale(&*ledger, "running").await);
    let stopped = ledger.change_sale(sale, &SaleChange::Stop("L1 is broken".to_owned())).await.expect("answers").expect("is there");
    assert_eq!(stopped.stopped.as_deref(), Some("L1 is broken"));
    let sheaves = vec![sheaf(sale, vec![ask(sale, "ann", 1)]), sheaf(other, vec![ask(other, "ann", 1)])];
    let recorded = ledger.record(sheaves).await.expect("answers");
    assert_eq!(recorded.sheaves[0], Err(Unrecordable::Stopped));
    assert!(recorded.sheaves[1].is_ok());
    let tombstone = ledger.close(id(sale, &ask(sale, "ann", 1)), Closing::Cancel, Some(ask(sale, "ann", 1))).await;
    assert!(!matches!(tombstone, Ok(Closed::Row(..))), "a tombstone is a record too: {tombstone:?}");
    assert!(books(&*ledger, sale).await.orders.is_empty());
    assert_eq!(left(&*ledger, sale).await, UNITS);
}

pub(super) async fn c55_a_row_deleted_by_hand_stops_the_sale_and_nothing_is_recorded(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let (sale, other) = (open_sale(&*ledger, "damaged").await, open_sale(&*ledger, "sound").await);
    let (ann, bob) = (ask(sale, "ann", 1), ask(sale, "bob", 1));
    record_one(&*ledger, sale, &ann).await;
    if !rig.delete_row_by_hand(id(sale, &ann)).await {
        return skipped("c55", "this rig cannot delete a row by hand");
    }
    let sheaves = vec![sheaf(sale, vec![bob.clone(), ann.clone()]), sheaf(other, vec![ask(other, "ann", 1)])];
    let recorded = ledger.record(sheaves).await.expect("answers");
    assert_eq!(recorded.sheaves[0], Err(Unrecordable::DeletedByHand(ann.digest)));
    assert!(recorded.sheaves[1].is_ok(), "another sale is not held up");
    assert!(sale_now(&*ledger, sale).await.stopped.is_some());
    assert_eq!(row(&*ledger, id(sale, &bob)).await, None, "its sheaf was left out whole");
    assert!(ledger.record(vec![sheaf(sale, vec![bob])]).await.expect("answers").sheaves[0].is_err());
    let tombstone = ledger.close(id(sale, &ann), Closing::Cancel, Some(ann.clone())).await;
    assert!(!matches!(tombstone, Ok(Closed::Row(..))), "nothing is repaired silently: {tombstone:?}");
    assert_eq!(left(&*ledger, sale).await, UNITS - 1, "the stock stays as the damage left it");
}

pub(super) async fn the_sequence_counts_up_with_changes_only(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "seq").await;
    let first = ledger.record(vec![sheaf(sale, vec![ask(sale, "ann", 1)])]).await.expect("answers").seq;
    let again = ledger.record(vec![sheaf(sale, vec![ask(sale, "ann", 1)])]).await.expect("answers").seq;
    assert_eq!(first, again, "a row that is found is no change");
    let from_hold = Sheaf { source: Source::Hold, ..sheaf(sale, vec![ask(sale, "bob", 1)]) };
    let second = ledger.record(vec![from_hold]).await.expect("answers").seq;
    assert!(second > first);
    ledger.close(id(sale, &ask(sale, "bob", 1)), Closing::Cancel, None).await.expect("answers");
    let third = ledger.seq().await.expect("answers");
    assert!(third > second);
    assert_eq!(ledger.record(vec![]).await.expect("answers").seq, third);
}
