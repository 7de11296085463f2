//! The ledger in memory: the reference of [`Ledger`]. One lock is one transaction; its clock moves when it is told to.
//!
//! What is legal is decided by [`order::record`](crate::order::record) and [`Status::on`](crate::order::Status::on); this file only keeps what they say.

mod orders;
mod stock;

use crate::order::{Change, Order, Payment, PaymentState, Status, Stock};
use crate::ports::{
    BumpAsk, Bumped, Closed, Closing, Fault, Ledger, LedgerBooks, Moved, Movement, OrderPage, Paid, Paying, Recorded, Refunding,
    SaleChange, Sheaf, Withdrawal,
};
use crate::words::{Ask, BuyerId, Digest, Epoch, MovementKey, OrderId, PaymentId, Sale, SaleId, Terms, Time};
use async_trait::async_trait;
use orders::{overdue, pays};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A ledger in memory.
pub struct MemoryLedger {
    state: Mutex<State>,
    exclusive: AtomicBool,
}

struct State {
    now: Time,
    /// Counts the changes of orders.
    seq: u64,
    books: BTreeMap<SaleId, Book>,
    payments: BTreeMap<PaymentId, Payment>,
}

/// One sale and all that belongs to it.
struct Book {
    sale: Sale,
    /// What it was made with; `create_sale` compares it.
    first_units: i64,
    /// Until when nobody else may bump.
    lease: Option<Time>,
    orders: BTreeMap<Digest, Order>,
    /// Every order that was ever made, in the order of making.
    made: Vec<Digest>,
    made_by: BTreeMap<BuyerId, Vec<Digest>>,
    /// Each order's changes, with the ledger's sequence at each. Outlives a row that somebody deletes by hand.
    history: BTreeMap<Digest, Vec<(u64, Change)>>,
    movements: Vec<Movement>,
    /// Keys of withdrawals that were refused.
    refused: BTreeSet<MovementKey>,
}

impl MemoryLedger {
    /// An empty ledger whose clock stands at `now`.
    pub fn new(now: Time) -> Arc<Self> {
        let state = State { now, seq: 0, books: BTreeMap::new(), payments: BTreeMap::new() };
        Arc::new(Self { state: Mutex::new(state), exclusive: AtomicBool::new(false) })
    }

    /// Promises that no other node will write to it.
    pub fn promise_exclusive(&self) {
        self.exclusive.store(true, Ordering::Relaxed);
    }

    /// Sets the ledger's clock. It never goes back: an earlier time is passed over.
    pub fn set_now(&self, now: Time) {
        let mut state = self.lock();
        state.now = state.now.max(now);
    }

    /// Moves the ledger's clock on.
    pub fn advance_ms(&self, ms: u64) {
        let mut state = self.lock();
        state.now = state.now.after_ms(ms as i64);
    }

    /// Damage: deletes an order's row and leaves its history and the stock as they are. `false`: there was no row.
    pub fn delete_row_by_hand(&self, id: OrderId) -> bool {
        self.lock().books.get_mut(&id.sale).is_some_and(|book| book.orders.remove(&id.digest).is_some())
    }

    /// Damage: writes the stock's figure without a movement. `false`: there is no such sale.
    pub fn set_left_by_hand(&self, sale: SaleId, left: i64) -> bool {
        self.lock().books.get_mut(&sale).map(|book| book.sale.left = left).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Book {
    fn buyer_live(&self, buyer: &BuyerId) -> i64 {
        let theirs = self.made_by.get(buyer).into_iter().flatten();
        theirs
            .filter_map(|digest| self.orders.get(digest))
            .filter(|order| order.status.is_live())
            .map(|order| order.ask.quantity.units())
            .sum()
    }

    /// A history without a row: only a hand can do that.
    fn deleted_by_hand(&self, digest: Digest) -> bool {
        self.history.contains_key(&digest) && !self.orders.contains_key(&digest)
    }

    fn stop(&mut self, why: String) {
        // The first reason is the one to look into.
        self.sale.stopped.get_or_insert(why);
    }

    fn stop_for_deleted(&mut self, digest: Digest) {
        let id = OrderId { sale: self.sale.terms.id, digest };
        self.stop(format!("order {id} has a history but no row: it was deleted by hand"));
    }

    fn movement(&self, key: &MovementKey) -> Option<&Movement> {
        self.movements.iter().find(|movement| movement.key == *key)
    }

    fn orders_made(&self) -> impl DoubleEndedIterator<Item = (usize, &Order)> {
        self.made.iter().enumerate().filter_map(|(at, digest)| self.orders.get(digest).map(|order| (at, order)))
    }

    fn move_stock(&mut self, stock: Stock, ask: &Ask) {
        match stock {
            Stock::Take => self.sale.left -= ask.quantity.units(),
            Stock::GiveBack => self.sale.left += ask.quantity.units(),
            Stock::Keep => {}
        }
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    fn is_exclusive(&self) -> bool {
        self.exclusive.load(Ordering::Relaxed)
    }

    async fn now(&self) -> Result<Time, Fault> {
        Ok(self.lock().now)
    }

    async fn seq(&self) -> Result<u64, Fault> {
        Ok(self.lock().seq)
    }

    async fn create_sale(&self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault> {
        self.lock().create(terms, units, actor)
    }

    async fn sale(&self, sale: SaleId) -> Result<Option<Sale>, Fault> {
        Ok(self.lock().books.get(&sale).map(|book| book.sale.clone()))
    }

    async fn sales(&self) -> Result<Vec<Sale>, Fault> {
        Ok(self.lock().books.values().map(|book| book.sale.clone()).collect())
    }

    async fn change_sale(&self, sale: SaleId, change: &SaleChange) -> Result<Option<Sale>, Fault> {
        let mut state = self.lock();
        let Some(book) = state.books.get_mut(&sale) else { return Ok(None) };
        match change.to() {
            Ok(to) if book.sale.status.may_become(to) => book.sale.status = to,
            Ok(_) => {}
            Err(why) => book.stop(why.to_owned()),
        }
        Ok(Some(book.sale.clone()))
    }

    async fn bump(&self, ask: BumpAsk) -> Result<Bumped, Fault> {
        Ok(self.lock().bump(ask))
    }

    async fn whole(&self, sale: SaleId, epoch: Epoch) -> Result<(), Fault> {
        let mut state = self.lock();
        if let Some(book) = state.books.get_mut(&sale).filter(|book| book.sale.epoch == epoch) {
            book.lease = None;
        }
        Ok(())
    }

    async fn record(&self, sheaves: Vec<Sheaf>) -> Result<Recorded, Fault> {
        let mut state = self.lock();
        let sheaves = sheaves.into_iter().map(|sheaf| state.record_sheaf(sheaf)).collect();
        Ok(Recorded { sheaves, seq: state.seq })
    }

    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Option<Order>>, Fault> {
        let state = self.lock();
        Ok(ids.iter().map(|&id| state.order(id).cloned()).collect())
    }

    async fn statuses(&self, ids: &[OrderId]) -> Result<Vec<Option<Status>>, Fault> {
        let state = self.lock();
        Ok(ids.iter().map(|&id| state.order(id).map(|order| order.status)).collect())
    }

    async fn counts(&self, sale: SaleId) -> Result<Vec<(Status, u64)>, Fault> {
        let state = self.lock();
        let orders = || state.books.get(&sale).into_iter().flat_map(|book| book.orders.values());
        let count = |status| (status, orders().filter(|order| order.status == status).count() as u64);
        Ok(Status::ALL.into_iter().map(count).filter(|&(_, count)| count > 0).collect())
    }

    async fn close(&self, id: OrderId, closing: Closing, ask: Option<Ask>) -> Result<Closed, Fault> {
        Ok(self.lock().close(id, closing, ask))
    }

    async fn due(&self, max: usize) -> Result<Vec<OrderId>, Fault> {
        let state = self.lock();
        let orders = state.books.values().flat_map(|book| book.orders.values());
        let mut due: Vec<_> = orders.filter(|order| overdue(order, state.now)).map(|order| (order.pay_by, order.id())).collect();
        due.sort();
        Ok(due.into_iter().take(max).map(|(_, id)| id).collect())
    }

    async fn pay(&self, paying: &Paying) -> Result<Paid, Fault> {
        Ok(self.lock().pay(paying))
    }

    async fn refund_due(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault> {
        let mut state = self.lock();
        let Some(payment) = state.payments.get_mut(payment) else { return Ok(None) };
        if payment.state == PaymentState::Late {
            payment.state = PaymentState::RefundDue;
        }
        Ok(Some(payment.clone()))
    }

    async fn refunded(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault> {
        let mut state = self.lock();
        let Some(payment) = state.payments.get_mut(payment) else { return Ok(None) };
        if payment.state == PaymentState::RefundDue {
            payment.state = PaymentState::Refunded;
        }
        Ok(Some(payment.clone()))
    }

    async fn late_payments(&self, max: usize) -> Result<Vec<Payment>, Fault> {
        let state = self.lock();
        Ok(state.payments.values().filter(|payment| payment.state == PaymentState::Late).take(max).cloned().collect())
    }

    async fn refund(&self, id: OrderId) -> Result<Refunding, Fault> {
        Ok(self.lock().refund(id))
    }

    async fn raise(&self, sale: SaleId, key: &MovementKey, units: i64, actor: &str, reason: &str) -> Result<Moved, Fault> {
        let mut state = self.lock();
        let movement =
            Movement { key: key.clone(), units, number: None, actor: actor.to_owned(), reason: reason.to_owned(), at: state.now };
        Ok(state.raise(sale, movement))
    }

    async fn raises(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault> {
        let state = self.lock();
        let movements = state.books.get(&sale).into_iter().flat_map(|book| &book.movements);
        Ok(movements.filter(|movement| movement.number.is_some_and(|number| number > after)).take(max).cloned().collect())
    }

    async fn withdraw(&self, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Result<Moved, Fault> {
        Ok(self.lock().withdraw(sale, epoch, withdrawal))
    }

    async fn movement(&self, sale: SaleId, key: &MovementKey) -> Result<Option<Movement>, Fault> {
        Ok(self.lock().books.get(&sale).and_then(|book| book.movement(key)).cloned())
    }

    async fn movements(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault> {
        let state = self.lock();
        let movements = state.books.get(&sale).into_iter().flat_map(|book| &book.movements);
        Ok(movements.skip(after as usize).take(max).cloned().collect())
    }

    async fn page(&self, sale: SaleId, after: Option<u64>, max: usize) -> Result<OrderPage, Fault> {
        let state = self.lock();
        let before = after.map_or(usize::MAX, |after| after as usize);
        let older = state.books.get(&sale).into_iter().flat_map(|book| book.orders_made().rev()).filter(|(at, _)| *at < before);
        // One more than is asked for tells whether there is a next page.
        let found: Vec<_> = older.take(max.saturating_add(1)).collect();
        let next = if found.len() > max { found[..max].last().map(|(at, _)| *at as u64) } else { None };
        Ok(OrderPage { orders: found.into_iter().take(max).map(|(_, order)| order.clone()).collect(), next })
    }

    async fn history(&self, id: OrderId) -> Result<Vec<Change>, Fault> {
        let state = self.lock();
        let changes = state.books.get(&id.sale).and_then(|book| book.history.get(&id.digest));
        Ok(changes.into_iter().flatten().map(|(_, change)| *change).collect())
    }

    async fn payments(&self, id: OrderId) -> Result<Vec<Payment>, Fault> {
        let state = self.lock();
        Ok(state.payments.values().filter(|payment| payment.order == id || pays(payment) == id).cloned().collect())
    }

    async fn books(&self, sale: SaleId) -> Result<Option<LedgerBooks>, Fault> {
        let state = self.lock();
        let Some(book) = state.books.get(&sale) else { return Ok(None) };
        let mut history: Vec<_> = book.history.values().flatten().copied().collect();
        history.sort_by_key(|(seq, _)| *seq);
        Ok(Some(LedgerBooks {
            sale: book.sale.clone(),
            orders: book.orders_made().map(|(_, order)| order.clone()).collect(),
            history: history.into_iter().map(|(_, change)| change).collect(),
            movements: book.movements.clone(),
            payments: state.payments.values().filter(|payment| payment.order.sale == sale).cloned().collect(),
        }))
    }
}
