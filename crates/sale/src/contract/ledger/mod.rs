//! What every [`Ledger`] promises. It knows the port's prose, and SQL not at all.

mod record;
mod life;
mod stock;
mod laws;

use super::{Promise, ask, promises, sale, terms};
use crate::order::{Order, Source};
use crate::ports::{BumpAsk, Bumped, Ledger, LedgerBooks, Paying, Rebuild, Recorded, Sheaf, Unrecordable};
use crate::words::{Ask, Epoch, OrderId, PaymentId, RunId, Sale, SaleId, SaleStatus};
use async_trait::async_trait;
use std::sync::Arc;

/// How the suite gets at one kind of ledger. A rig serves one promise.
#[async_trait]
pub trait LedgerRig: Send + Sync {
    /// The rig's ledger, empty at first; the same one at each call.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// Lets at least `ms` pass by the ledger's clock.
    async fn passes(&self, ms: u64);

    /// Closes the ledger and opens it again, as a restart of the process does; `ledger` answers the new one from then
    /// on. `false`: it lives in memory only.
    async fn reopen(&self) -> bool {
        false
    }

    /// Damage: deletes an order's row behind the ledger's back, and nothing else. `false`: the rig cannot.
    async fn delete_row_by_hand(&self, _id: OrderId) -> bool {
        false
    }
}

/// All of them.
pub fn promises() -> Vec<Promise<dyn LedgerRig>> {
    promises![dyn LedgerRig:
        record::an_ask_becomes_a_confirmed_order_and_takes_its_units,
        record::c12_a_second_record_finds_the_row_and_takes_nothing,
        record::c28_a_row_is_answered_whatever_the_new_content,
        record::a_purchase_may_stand_twice_in_a_sheaf_and_in_several_sheaves,
        record::c25_what_the_stock_does_not_cover_is_rejected_and_less_still_sells,
        record::c26_the_buyers_limit_counts_within_a_sheaf_and_across_sheaves,
        record::dead_orders_do_not_count_for_the_limit,
        record::a_stale_epoch_becomes_a_rejected_row_for_ever,
        record::c16_an_unknown_sale_does_not_hold_up_its_neighbours,
        record::c37_what_was_asked_is_kept_word_for_word,
        record::a_stopped_sale_records_nothing,
        record::c55_a_row_deleted_by_hand_stops_the_sale_and_nothing_is_recorded,
        record::the_sequence_counts_up_with_changes_only,
        life::a_cancel_gives_the_units_back_once,
        life::c19_a_cancel_before_the_record_leaves_a_tombstone,
        life::c56_a_lost_purchase_becomes_a_rejected_row,
        life::closing_without_row_and_ask_does_nothing,
        life::c21_an_order_expires_only_when_its_time_is_over_by_the_ledgers_clock,
        life::due_names_the_longest_overdue_first_and_confirmed_orders_only,
        life::a_payment_settles_once_and_is_answered_again,
        life::a_payment_of_another_order_or_amount_does_nothing,
        life::a_payment_on_a_dead_or_paid_order_is_refund_due,
        life::a_late_payment_buys_again_and_names_the_successor,
        life::a_late_payment_that_is_refund_due_buys_nothing,
        life::a_late_ask_without_its_payment_is_rejected,
        life::a_late_ask_that_is_sold_out_can_be_refunded,
        life::only_a_payment_that_is_due_becomes_refunded,
        life::orders_are_counted_by_status,
        life::a_refund_gives_the_units_back_once,
        life::the_history_tells_every_change,
        stock::a_sale_is_made_once_and_other_terms_are_refused,
        stock::a_sale_changes_only_as_its_status_allows,
        stock::a_bump_is_a_compare_and_set_with_a_lease,
        stock::a_bump_is_of_a_sale_that_has_a_gate_then,
        stock::a_bump_after_the_lease_wins_and_a_whole_gate_ends_it,
        stock::a_bump_reads_live_orders_and_withdrawals,
        stock::c38_a_raise_is_done_once_and_numbered,
        stock::c39_a_raise_beyond_all_bounds_is_refused,
        stock::a_withdrawal_is_done_once_and_fenced,
        stock::c39_a_refused_withdrawal_is_remembered,
        stock::movements_come_in_pages,
        stock::orders_come_in_pages_newest_first,
        laws::the_laws_hold_after_any_sequence,
        laws::c24_concurrent_callers_never_oversell,
        laws::c26_concurrent_callers_never_pass_a_buyers_limit,
        laws::time_does_not_go_back,
        laws::what_was_answered_is_there_after_a_restart,
    ]
}

// ------------------------------------------------------------------------------------------- what the promises share

/// Units of [`open_sale`].
const UNITS: i64 = 10;

/// An open sale of [`UNITS`] units, two a buyer, in epoch 1.
async fn open_sale(ledger: &dyn Ledger, name: &str) -> SaleId {
    open_sale_of(ledger, name, UNITS).await
}

async fn open_sale_of(ledger: &dyn Ledger, name: &str, units: i64) -> SaleId {
    let id = sale(name);
    ledger.create_sale(&terms(id), units, "suite").await.expect("answers").expect("is new");
    won(ledger.bump(bump_ask(id, Epoch(0))).await.expect("answers"));
    ledger.whole(id, Epoch(1)).await.expect("answers");
    id
}

fn bump_ask(sale: SaleId, seen: Epoch) -> BumpAsk {
    BumpAsk { sale, seen, run: RunId(77), to: Some(SaleStatus::Open), lease_ms: 60_000 }
}

fn won(bumped: Bumped) -> Rebuild {
    match bumped {
        Bumped::Won(rebuild) => *rebuild,
        other => panic!("the bump should have won: {other:?}"),
    }
}

fn sheaf(sale: SaleId, asks: Vec<Ask>) -> Sheaf {
    Sheaf { sale, epoch: Epoch(1), source: Source::Message, asks }
}

/// Records one sheaf of epoch 1; its rows.
async fn record(ledger: &dyn Ledger, sale: SaleId, asks: Vec<Ask>) -> Vec<Order> {
    rows(ledger.record(vec![sheaf(sale, asks)]).await.expect("answers")).remove(0)
}

/// Records one ask; its row.
async fn record_one(ledger: &dyn Ledger, sale: SaleId, ask: &Ask) -> Order {
    record(ledger, sale, vec![ask.clone()]).await.remove(0)
}

fn rows(recorded: Recorded) -> Vec<Vec<Order>> {
    recorded.sheaves.into_iter().map(|sheaf: Result<_, Unrecordable>| sheaf.expect("the sheaf can be recorded")).collect()
}

async fn row(ledger: &dyn Ledger, id: OrderId) -> Option<Order> {
    let row = ledger.orders(&[id]).await.expect("answers").remove(0);
    let status = ledger.statuses(&[id]).await.expect("answers").remove(0);
    assert_eq!(status, row.as_ref().map(|row| row.status), "an order's status is the one of its row");
    row
}

async fn sale_now(ledger: &dyn Ledger, id: SaleId) -> Sale {
    ledger.sale(id).await.expect("answers").expect("is there")
}

async fn left(ledger: &dyn Ledger, id: SaleId) -> i64 {
    sale_now(ledger, id).await.left
}

async fn books(ledger: &dyn Ledger, id: SaleId) -> LedgerBooks {
    ledger.books(id).await.expect("answers").expect("is there")
}

fn paying(payment: &str, order: &Order) -> Paying {
    Paying { payment: payment_id(payment), order: order.id(), amount: order.ask.amount() }
}

fn payment_id(text: &str) -> PaymentId {
    text.parse().expect("the suite's payment ids are well formed")
}

/// An order of one unit with its row.
async fn confirmed(ledger: &dyn Ledger, sale: SaleId, buyer: &str) -> Order {
    record_one(ledger, sale, &ask(sale, buyer, 1)).await
}
