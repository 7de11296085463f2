//! Recording: asks become orders, and the stock is taken for good, all in one transaction.
//!
//! What becomes of an ask is decided by the domain's `order::record`; this file reads what it must know and keeps what
//! it says.

use super::Failure;
use super::history::{Entry, Leaf};
use super::index::Life;
use super::payments;
use super::rows::{self, Kept, OrderRow};
use super::tx::Tx;
use rusqlite::CachedStatement;
use sale::order::{self, Event, Footing, Order, PaymentState, Source, Status, Step, Stock};
use sale::ports::{Recorded, Sheaf, Unrecordable};
use sale::words::{Ask, LatePayment, Time};

/// What one record does to one sale: a row of history, and units.
struct Page {
    /// The sale's place.
    at: usize,
    leaf: Leaf,
    taken: i64,
}

/// [`sale::ports::Ledger::record`].
pub(super) fn record(tx: &mut Tx<'_>, sheaves: &[Sheaf]) -> Result<Recorded, Failure> {
    let mut pages: Vec<Page> = Vec::new();
    let mut insert = tx.sql.prepare_cached(INSERT)?;
    let mut answers = Vec::with_capacity(sheaves.len());
    for sheaf in sheaves {
        answers.push(record_sheaf(tx, &mut insert, &mut pages, sheaf)?);
    }
    for page in pages {
        page.leaf.insert(tx.sql)?;
        if page.taken != 0 {
            tx.change_stock(page.at, |s| s.left -= page.taken)?;
        }
    }
    Ok(Recorded { sheaves: answers, seq: tx.seq() })
}

fn record_sheaf(
    tx: &mut Tx<'_>,
    insert: &mut CachedStatement<'_>,
    pages: &mut Vec<Page>,
    sheaf: &Sheaf,
) -> Result<Result<Vec<Order>, Unrecordable>, Failure> {
    let Some(at) = tx.sale_at(sheaf.sale) else { return Ok(Err(Unrecordable::UnknownSale)) };
    tx.check_stock(at)?;
    if tx.state.sales[at].stopped.is_some() {
        return Ok(Err(Unrecordable::Stopped));
    }
    let mut found = Vec::with_capacity(sheaf.asks.len());
    for ask in &sheaf.asks {
        let kept = match tx.find(at, ask.digest) {
            None => None,
            Some(row) => match rows::order_at(tx.sql, tx, row)? {
                Some(kept) => Some(kept.order),
                None => {
                    tx.stop_for_deleted(at, ask.digest)?;
                    return Ok(Err(Unrecordable::DeletedByHand(ask.digest)));
                }
            },
        };
        found.push(kept);
    }
    // Nothing is left out beyond this line: each ask has a row or gets one.
    let mut orders = Vec::with_capacity(sheaf.asks.len());
    for (ask, kept) in sheaf.asks.iter().zip(found) {
        let order = match kept {
            Some(order) => order,
            None => record_ask(tx, insert, pages, at, sheaf, ask)?,
        };
        orders.push(order);
    }
    Ok(Ok(orders))
}

fn record_ask(
    tx: &mut Tx<'_>,
    insert: &mut CachedStatement<'_>,
    pages: &mut Vec<Page>,
    at: usize,
    sheaf: &Sheaf,
    ask: &Ask,
) -> Result<Order, Failure> {
    // The same purchase may stand in this sheaf a second time; the index was asked before.
    if let Some(row) = tx.find_drafted(at, ask.digest) {
        let kept = rows::order_at(tx.sql, tx, row)?;
        return kept
            .map(|kept| kept.order)
            .ok_or_else(|| Failure::Broken(format!("table `orders`: row {row} vanished in its transaction")));
    }
    let payment = match &ask.late {
        None => None,
        Some(late) => payments::of_late(tx, at, late)?,
    };
    let buyer = tx.buyer(at, ask.buyer.as_str());
    let taken = pages.iter().find(|page| page.at == at).map_or(0, |page| page.taken);
    let state = &tx.state.sales[at];
    let footing = Footing {
        epoch: state.epoch,
        left: state.left - taken,
        buyer_live: tx.live_units(buyer),
        limit_per_buyer: i64::from(state.terms.limit_per_buyer),
        payment: payment.as_ref().map(|payment| payment.state),
    };
    let event = order::record(ask, sheaf.epoch, footing);
    let page = page_of(tx, pages, at, sheaf.asks.len());
    let made = make(tx, insert, at, ask, event, sheaf.source, &mut page.leaf)?;
    let Some((kept, stock)) = made else {
        return Err(Failure::Broken(format!("{event:?} made no row of an ask: a fault in the program")));
    };
    if stock == Stock::Take {
        page.taken += ask.quantity.units();
        tx.add_live(buyer, ask.quantity.units());
    }
    if let (Event::ConfirmPaid, Some(late), Some(payment)) = (event, &ask.late, payment) {
        settle_late(tx, at, late, payment, kept.row)?;
    }
    Ok(kept.order)
}

fn page_of<'a>(tx: &mut Tx<'_>, pages: &'a mut Vec<Page>, at: usize, entries: usize) -> &'a mut Page {
    let place = pages.iter().position(|page| page.at == at).unwrap_or_else(|| {
        let seq = tx.take_seq();
        pages.push(Page { at, leaf: Leaf::new(seq, tx.state.sales[at].key, tx.now_ms, entries), taken: 0 });
        pages.len() - 1
    });
    &mut pages[place]
}

/// The row of an ask that has none, as `event` has it, and what the stock does. `None`: such an event makes no row.
pub(super) fn make(
    tx: &mut Tx<'_>,
    insert: &mut CachedStatement<'_>,
    at: usize,
    ask: &Ask,
    event: Event,
    source: Source,
    leaf: &mut Leaf,
) -> Result<Option<(Kept, Stock)>, Failure> {
    let Step::Move { to, stock } = Status::Processing.on(event) else { return Ok(None) };
    let now = Time(tx.now_ms);
    let order = Order {
        sale: tx.state.sales[at].terms.id,
        status: to,
        reason: if let Event::Reject(reason) = event { Some(reason) } else { None },
        epoch: tx.state.sales[at].epoch,
        version: 1,
        created_at: now,
        updated_at: now,
        pay_by: rows::pay_by(to, now, ask),
        successor: None,
        ask: ask.clone(),
    };
    let row = tx.add_order(at, ask.digest, to)?;
    let late = rows::late_bytes(ask);
    let stored = OrderRow::of(&order, tx.state.sales[at].key, row, (leaf.seq, leaf.seq), late.as_deref());
    let mut buffer = Vec::with_capacity(192);
    let row_crc = stored.crc(&mut buffer);
    stored.insert(insert)?;
    leaf.add(&Entry { digest: ask.digest.0, row, previous: 0, from: Status::Processing, to, source, row_crc });
    if to == Status::Confirmed {
        tx.state.draft.waiting.push((ask.pay_within_s, row));
    }
    Ok(Some((Kept { order, row, first_seq: leaf.seq, last_seq: leaf.seq }, stock)))
}

/// Appends an order.
pub(super) const INSERT: &str = "insert into orders (\"row\", sale, digest, buyer, quantity, unit_price, currency, pay_within_s, asked_at, late, epoch, status, \
     reason, version, created_at, updated_at, first_seq, last_seq, successor) \
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";

/// The late payment has bought: it is settled, and the expired order names its successor.
fn settle_late(tx: &mut Tx<'_>, at: usize, late: &LatePayment, mut payment: rows::PaymentRow, bought: u32) -> Result<(), Failure> {
    payment.state = PaymentState::Settled;
    payment.bought_row = Some(bought);
    payments::update(tx, &mut payment)?;
    tx.state.draft.links.push((bought, payment.row));
    if let Some(expired) = tx.find(at, late.expired) {
        let mut statement = tx.sql.prepare_cached("update orders set successor = ?2 where \"row\" = ?1")?;
        statement.execute([expired, bought])?;
    }
    Ok(())
}

/// What became of an order that is there.
pub(super) fn change(tx: &mut Tx<'_>, at: usize, kept: &mut Kept, event: Event, source: Source) -> Result<Step, Failure> {
    let from = kept.order.status;
    let step = from.on(event);
    let Step::Move { to, stock } = step else { return Ok(step) };
    let (previous, seq) = (kept.last_seq, tx.take_seq());
    kept.last_seq = seq;
    kept.order.status = to;
    kept.order.version += 1;
    kept.order.updated_at = Time(tx.now_ms);
    kept.order.pay_by = rows::pay_by(to, kept.order.created_at, &kept.order.ask);
    let key = tx.state.sales[at].key;
    let late = rows::late_bytes(&kept.order.ask);
    let row_crc = OrderRow::of(&kept.order, key, kept.row, (kept.first_seq, seq), late.as_deref()).crc(&mut Vec::with_capacity(192));
    let mut statement =
        tx.sql.prepare_cached("update orders set status = ?2, version = ?3, updated_at = ?4, last_seq = ?5 where \"row\" = ?1")?;
    statement.execute(rusqlite::params![kept.row, to as u8, kept.order.version, tx.now_ms, seq as i64])?;
    let mut leaf = Leaf::new(seq, key, tx.now_ms, 1);
    leaf.add(&Entry { digest: kept.order.ask.digest.0, row: kept.row, previous, from, to, source, row_crc });
    leaf.insert(tx.sql)?;
    let units = kept.order.ask.quantity.units();
    match stock {
        Stock::Keep => {}
        Stock::Take => tx.change_stock(at, |s| s.left -= units)?,
        Stock::GiveBack => tx.change_stock(at, |s| s.left += units)?,
    }
    tx.state.draft.lives.push((kept.row, Life::Row(to)));
    if from.is_live() != to.is_live() {
        let buyer = tx.buyer(at, kept.order.ask.buyer.as_str());
        tx.add_live(buyer, if to.is_live() { units } else { -units });
    }
    Ok(step)
}

/// The order of a row, for answers that name an order by its digest.
pub(super) fn order_of(tx: &Tx<'_>, row: u32) -> Result<Option<Order>, Failure> {
    Ok(rows::order_at(tx.sql, tx, row)?.map(|kept| kept.order))
}
