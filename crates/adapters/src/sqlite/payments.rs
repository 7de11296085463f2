//! Payments and refunds. What a payment does to its order is decided by `Status::on`.

use super::Failure;
use super::record;
use super::rows::{self, PaymentRow};
use super::tx::{Place, Tx};
use rusqlite::params;
use sale::order::{Event, Order, Payment, PaymentState, Source, Status, Step};
use sale::ports::{Paid, Paying, Refunding};
use sale::words::{LatePayment, OrderId, PaymentId};

/// The payment of that name, if there is one.
fn named(tx: &Tx<'_>, id: &PaymentId) -> Result<Option<PaymentRow>, Failure> {
    let index = tx.state.shared.read();
    let tag = index.tag(id.as_str());
    let mut candidates = index.payments_named(tag);
    drop(index);
    candidates.extend(tx.state.draft.payments.iter().filter(|entry| entry.0 == tag).map(|entry| entry.1));
    for row in candidates {
        if let Some(payment) = rows::payment_at(tx.sql, row)?.filter(|payment| payment.id == *id) {
            return Ok(Some(payment));
        }
    }
    Ok(None)
}

/// The payment that a late ask names, if the ledger knows it and it was meant for that order.
pub(super) fn of_late(tx: &Tx<'_>, at: usize, late: &LatePayment) -> Result<Option<PaymentRow>, Failure> {
    let meant_for = tx.find(at, late.expired);
    Ok(named(tx, &late.payment)?.filter(|payment| Some(payment.order_row) == meant_for))
}

fn insert(tx: &mut Tx<'_>, payment: &mut PaymentRow) -> Result<(), Failure> {
    payment.crc = payment.sum();
    let mut statement = tx.sql.prepare_cached(
        "insert into payments (\"row\", id, sale, order_row, amount, state, bought_row, at, crc) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let p = payment;
    statement.execute(params![p.row, p.id.as_str(), p.sale, p.order_row, p.amount, p.state as u8, p.bought_row, p.at, p.crc])?;
    let tag = tx.state.shared.read().tag(p.id.as_str());
    tx.state.draft.payments.push((tag, p.row, p.order_row));
    if p.state == PaymentState::Late {
        tx.state.draft.late.push((p.row, true));
    }
    Ok(())
}

/// Writes what may change of a payment.
pub(super) fn update(tx: &mut Tx<'_>, payment: &mut PaymentRow) -> Result<(), Failure> {
    payment.crc = payment.sum();
    let mut statement = tx.sql.prepare_cached("update payments set state = ?2, bought_row = ?3, crc = ?4 where \"row\" = ?1")?;
    statement.execute(params![payment.row, payment.state as u8, payment.bought_row, payment.crc])?;
    tx.state.draft.late.push((payment.row, payment.state == PaymentState::Late));
    Ok(())
}

/// [`sale::ports::Ledger::pay`].
pub(super) fn pay(tx: &mut Tx<'_>, paying: &Paying) -> Result<Paid, Failure> {
    if let Some(payment) = named(tx, &paying.payment)? {
        return paid_before(tx, &payment, paying);
    }
    let Place::Row(at, mut kept) = tx.place(paying.order)? else { return Ok(Paid::NoOrder) };
    let amount = kept.order.ask.amount();
    if paying.amount != amount {
        return Ok(Paid::WrongAmount(amount));
    }
    let step = record::change(tx, at, &mut kept, Event::Pay, Source::Payment)?;
    let state = match step {
        Step::Move { .. } => PaymentState::Settled,
        Step::Late(Status::Expired) => PaymentState::Late,
        Step::Late(Status::Cancelled | Status::Rejected | Status::Paid | Status::Refunded) => PaymentState::RefundDue,
        // Not accepted yet, so nothing to pay for.
        Step::Late(Status::Processing) => return Ok(Paid::NoOrder),
        Step::Late(Status::Confirmed) => {
            return Err(Failure::Broken("a confirmed order refused its payment: a fault in the program".into()));
        }
    };
    let row = tx.state.draft.next_payment;
    tx.state.draft.next_payment += 1;
    let sale = tx.state.sales[at].key;
    let mut payment =
        PaymentRow { row, id: paying.payment.clone(), sale, order_row: kept.row, amount, state, bought_row: None, at: tx.now_ms, crc: 0 };
    insert(tx, &mut payment)?;
    Ok(paid_as(state, kept.order))
}

fn paid_before(tx: &Tx<'_>, payment: &PaymentRow, paying: &Paying) -> Result<Paid, Failure> {
    let known = payment.payment(tx)?;
    if known.order != paying.order || known.amount != paying.amount {
        return Ok(Paid::Mismatch);
    }
    let Some(order) = record::order_of(tx, payment.pays())? else { return Ok(Paid::NoOrder) };
    Ok(match (payment.state, payment.bought_row) {
        (PaymentState::Settled, Some(_)) => Paid::Bought(Box::new(order)),
        (state, _) => paid_as(state, order),
    })
}

fn paid_as(state: PaymentState, order: Order) -> Paid {
    let order = Box::new(order);
    match state {
        PaymentState::Settled => Paid::Settled(order),
        PaymentState::Late => Paid::Late(order),
        PaymentState::RefundDue => Paid::RefundDue(order),
        PaymentState::Refunded => Paid::Refunded(order),
    }
}

/// [`sale::ports::Ledger::refund_due`].
pub(super) fn refund_due(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Option<Payment>, Failure> {
    move_on(tx, id, PaymentState::Late, PaymentState::RefundDue)
}

/// [`sale::ports::Ledger::refunded`].
pub(super) fn refunded(tx: &mut Tx<'_>, id: &PaymentId) -> Result<Option<Payment>, Failure> {
    move_on(tx, id, PaymentState::RefundDue, PaymentState::Refunded)
}

/// A payment's compare-and-set.
fn move_on(tx: &mut Tx<'_>, id: &PaymentId, from: PaymentState, to: PaymentState) -> Result<Option<Payment>, Failure> {
    let Some(mut payment) = named(tx, id)? else { return Ok(None) };
    if payment.state == from {
        payment.state = to;
        update(tx, &mut payment)?;
    }
    payment.payment(tx).map(Some)
}

/// [`sale::ports::Ledger::refund`].
pub(super) fn refund(tx: &mut Tx<'_>, id: OrderId) -> Result<Refunding, Failure> {
    let Place::Row(at, mut kept) = tx.place(id)? else { return Ok(Refunding::NoOrder) };
    match record::change(tx, at, &mut kept, Event::Refund, Source::Operator)? {
        Step::Move { .. } => {
            for row in of_order(tx, kept.row) {
                let Some(mut payment) = rows::payment_at(tx.sql, row)? else { continue };
                if payment.state == PaymentState::Settled && payment.pays() == kept.row {
                    payment.state = PaymentState::Refunded;
                    update(tx, &mut payment)?;
                }
            }
            Ok(Refunding::Refunded(Box::new(kept.order)))
        }
        Step::Late(Status::Refunded) => Ok(Refunding::Refunded(Box::new(kept.order))),
        Step::Late(_) => Ok(Refunding::NotPaid(Box::new(kept.order))),
    }
}

/// Rows of the payments that name an order row, those of this transaction included.
fn of_order(tx: &Tx<'_>, order: u32) -> Vec<u32> {
    let mut rows = tx.state.shared.read().payments_of(order);
    let draft = &tx.state.draft;
    rows.extend(draft.payments.iter().filter(|entry| entry.2 == order).map(|entry| entry.1));
    rows.extend(draft.links.iter().filter(|entry| entry.0 == order).map(|entry| entry.1));
    rows
}
