//! Closing orders, and which of them are due. What is legal is decided by `Status::on`.

use super::Failure;
use super::history::Leaf;
use super::record;
use super::rows;
use super::tx::{Place, Tx};
use sale::order::{Event, Reason, Source, Status, Step, Stock};
use sale::ports::{Closed, Closing};
use sale::words::{Ask, OrderId};

/// [`sale::ports::Ledger::close`].
pub(super) fn close(tx: &mut Tx<'_>, id: OrderId, closing: Closing, ask: Option<&Ask>) -> Result<Closed, Failure> {
    let (event, source) = match closing {
        Closing::Cancel => (Event::Cancel, Source::Buyer),
        Closing::Expire => (Event::Expire, Source::Clock),
        Closing::Lost => (Event::Reject(Reason::Lost), Source::Ticket),
    };
    let at = match tx.place(id)? {
        Place::NoSale => return Ok(Closed::NoRow),
        Place::Deleted(at) => {
            tx.stop_for_deleted(at, id.digest)?;
            return Ok(Closed::NoRow);
        }
        Place::NoRow(at) => at,
        Place::Row(at, mut kept) => {
            let early = closing == Closing::Expire && kept.order.pay_by.is_some_and(|pay_by| pay_by.0 > tx.now_ms);
            let step = if early { Step::Late(kept.order.status) } else { record::change(tx, at, &mut kept, event, source)? };
            return Ok(Closed::Row(Box::new(kept.order), step));
        }
    };
    tx.check_stock(at)?;
    // A stopped sale records nothing, a tombstone neither.
    let Some(ask) = ask.filter(|ask| ask.digest == id.digest && tx.state.sales[at].stopped.is_none()) else { return Ok(Closed::NoRow) };
    let step = Status::Processing.on(event);
    let Step::Move { stock: Stock::Keep, .. } = step else { return Ok(Closed::NoRow) };
    let seq = tx.take_seq();
    let mut leaf = Leaf::new(seq, tx.state.sales[at].key, tx.now_ms, 1);
    let made = record::make(tx, &mut tx.sql.prepare_cached(record::INSERT)?, at, ask, event, source, &mut leaf)?;
    leaf.insert(tx.sql)?;
    Ok(made.map_or(Closed::NoRow, |(kept, _)| Closed::Row(Box::new(kept.order), step)))
}

/// [`sale::ports::Ledger::due`].
pub(super) fn due(tx: &mut Tx<'_>, max: usize) -> Result<Vec<OrderId>, Failure> {
    let lines = tx.state.waiting.candidates(&tx.state.shared.read(), tx.now_ms, max);
    let mut due: Vec<(i64, OrderId)> = Vec::new();
    for (pay_within_s, rows) in lines {
        for row in rows {
            // The index knows what is committed; this transaction may have closed it.
            let Some(kept) = rows::order_at(tx.sql, tx, row)?.filter(|kept| kept.order.status == Status::Confirmed) else { continue };
            let pay_by = kept.order.created_at.0.saturating_add(i64::from(pay_within_s) * 1_000);
            tx.state.waiting.not_before(pay_within_s, row, pay_by);
            if pay_by > tx.now_ms {
                break;
            }
            due.push((pay_by, kept.order.id()));
        }
    }
    due.sort_unstable();
    Ok(due.into_iter().take(max).map(|(_, id)| id).collect())
}
