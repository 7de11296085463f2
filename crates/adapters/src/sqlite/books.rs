//! Reading: what can be answered from one snapshot of the file, on a thread and a connection of its own, so that no
//! reader waits for the writer. It writes nothing.

use super::rows::{self, Names, ORDER_COLUMNS, OrderRow, PAYMENT_SELECT, PaymentRow};
use super::sale_rows::{MOVEMENT_SELECT, MovementRow, SALE_SELECT, SaleState};
use super::{Failure, Shared, history};
use rusqlite::{Connection, Params, Row, params};
use sale::order::{Change, Order, Payment, PaymentState};
use sale::ports::{LedgerBooks, Movement, OrderPage};
use sale::words::{MovementKey, OrderId, Sale, SaleId};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A question to the reader.
pub(super) type Question = Box<dyn FnOnce(&Reader) + Send>;

/// The reader's thread.
pub(super) struct Reader {
    pub(super) sql: Connection,
    pub(super) shared: Arc<Shared>,
}

impl Reader {
    /// Answers until all senders are gone.
    pub(super) fn run(self, mut questions: mpsc::Receiver<Question>) {
        while let Some(question) = questions.blocking_recv() {
            question(&self);
        }
    }

    /// Runs `read` in one snapshot.
    pub(super) fn snapshot<T>(&self, read: impl FnOnce(&Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.sql.execute_batch("begin")?;
        let answer = read(self);
        self.sql.execute_batch("rollback")?;
        answer
    }

    fn all<T, P: Params>(&self, select: &str, binds: P, mut read: impl FnMut(&Row<'_>) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
        let mut statement = self.sql.prepare_cached(select)?;
        let mut rows = statement.query(binds)?;
        let mut found = Vec::new();
        while let Some(r) = rows.next()? {
            found.push(read(r)?);
        }
        Ok(found)
    }

    fn key(&self, sale: SaleId) -> Option<u16> {
        self.shared.read().sale_key(sale)
    }

    fn row(&self, id: OrderId) -> Option<(u16, u32)> {
        let index = self.shared.read();
        let key = index.sale_key(id.sale)?;
        index.find(key, id.digest).map(|row| (key, row))
    }

    fn names(&self) -> &dyn Names {
        &*self.shared
    }

    pub(super) fn sale(&self, id: SaleId) -> Result<Option<Sale>, Failure> {
        let found = self.all(&format!("{SALE_SELECT} where id = ?1"), [id.as_str()], |r| Ok(SaleState::read(r)?.sale()))?;
        Ok(found.into_iter().next())
    }

    pub(super) fn sales(&self) -> Result<Vec<Sale>, Failure> {
        self.all(&format!("{SALE_SELECT} order by id"), [], |r| Ok(SaleState::read(r)?.sale()))
    }

    pub(super) fn orders(&self, ids: &[OrderId]) -> Result<Vec<Option<Order>>, Failure> {
        let one = |id: &OrderId| match self.row(*id) {
            None => Ok(None),
            Some((_, row)) => Ok(rows::order_at(&self.sql, self.names(), row)?.map(|kept| kept.order)),
        };
        ids.iter().map(one).collect()
    }

    pub(super) fn page(&self, sale: SaleId, after: Option<u64>, max: usize) -> Result<OrderPage, Failure> {
        let mut page = OrderPage { orders: Vec::new(), next: None };
        let Some(key) = self.key(sale) else { return Ok(page) };
        let mut before = after.map_or(u32::MAX, |after| u32::try_from(after).unwrap_or(u32::MAX));
        let mut last = None;
        loop {
            // One more than is asked for tells whether there is a next page.
            let wanted = max.saturating_add(1) - page.orders.len();
            let candidates: Vec<u32> = self.shared.read().newest(key, before).take(wanted.min(1_000)).collect();
            let Some(&lowest) = candidates.last() else { return Ok(page) };
            before = lowest;
            for row in candidates {
                // Deleted by hand, or newer than this snapshot.
                let Some(kept) = rows::order_at(&self.sql, self.names(), row)? else { continue };
                if page.orders.len() == max {
                    page.next = last;
                    return Ok(page);
                }
                last = Some(u64::from(row));
                page.orders.push(kept.order);
            }
        }
    }

    pub(super) fn history(&self, id: OrderId) -> Result<Vec<Change>, Failure> {
        let Some((sale, row)) = self.row(id) else { return Ok(Vec::new()) };
        let mut changes = Vec::new();
        match rows::order_at(&self.sql, self.names(), row)? {
            Some(kept) => {
                changes = history::chain(&self.sql, sale, row, kept.last_seq)?;
                changes.reverse();
            }
            // Deleted by hand: its chain's end went with it.
            None => history::walk(&self.sql, sale, 0, |at, entry| changes.extend((entry.row == row).then(|| entry.change(at))))?,
        }
        Ok(changes)
    }

    pub(super) fn payments(&self, id: OrderId) -> Result<Vec<Payment>, Failure> {
        let Some((_, row)) = self.row(id) else { return Ok(Vec::new()) };
        let rows = self.shared.read().payments_of(row);
        self.payments_at(&rows, usize::MAX, |_| true)
    }

    pub(super) fn late_payments(&self, max: usize) -> Result<Vec<Payment>, Failure> {
        // Some may be late no longer in this snapshot; the next call brings the others.
        let rows: Vec<u32> = self.shared.read().late().take(max).collect();
        self.payments_at(&rows, max, |payment| payment.state == PaymentState::Late)
    }

    fn payments_at(&self, rows: &[u32], max: usize, wanted: impl Fn(&PaymentRow) -> bool) -> Result<Vec<Payment>, Failure> {
        let mut payments = Vec::new();
        for &row in rows.iter().take(max) {
            if let Some(payment) = rows::payment_at(&self.sql, row)?.filter(&wanted) {
                payments.push(payment.payment(self.names())?);
            }
        }
        Ok(payments)
    }

    pub(super) fn raises(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Failure> {
        let Some(key) = self.key(sale) else { return Ok(Vec::new()) };
        let select = format!("{MOVEMENT_SELECT} where sale = ?1 and number > ?2 order by number limit ?3");
        self.all(&select, params![key, clamp(after), clamp(max as u64)], |r| Ok(MovementRow::read(r)?.movement))
    }

    pub(super) fn movement(&self, sale: SaleId, key: &MovementKey) -> Result<Option<Movement>, Failure> {
        let Some(sale) = self.key(sale) else { return Ok(None) };
        let select = format!("{MOVEMENT_SELECT} where sale = ?1 and \"key\" = ?2 and refused = 0");
        Ok(self.all(&select, params![sale, key.as_str()], |r| Ok(MovementRow::read(r)?.movement))?.into_iter().next())
    }

    pub(super) fn movements(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Failure> {
        let Some(key) = self.key(sale) else { return Ok(Vec::new()) };
        let select = format!("{MOVEMENT_SELECT} where sale = ?1 and refused = 0 order by \"row\" limit ?3 offset ?2");
        self.all(&select, params![key, clamp(after), clamp(max as u64)], |r| Ok(MovementRow::read(r)?.movement))
    }

    pub(super) fn books(&self, id: SaleId) -> Result<Option<LedgerBooks>, Failure> {
        let (Some(sale), Some(key)) = (self.sale(id)?, self.key(id)) else { return Ok(None) };
        let (first, last) = self.shared.read().span(key).unwrap_or((1, 0));
        let select = format!("select {ORDER_COLUMNS} from orders where \"row\" between ?1 and ?2 and sale = ?3 order by \"row\"");
        let orders = self.all(&select, params![first, last, key], |r| Ok(OrderRow::read(r)?.kept(self.names())?.order))?;
        let mut history = Vec::new();
        history::walk(&self.sql, key, 0, |at, entry| history.push(entry.change(at)))?;
        let movements = self.movements(id, 0, usize::MAX)?;
        let select = format!("{PAYMENT_SELECT} where sale = ?1 order by \"row\"");
        let payments = self.all(&select, [key], |r| PaymentRow::read(r)?.payment(self.names()))?;
        Ok(Some(LedgerBooks { sale, orders, history, movements, payments }))
    }
}

fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
