//! The ledger in memory: the reference of [`Ledger`]. One lock is one transaction; its clock moves when it is told to.
//!
//! What is legal is decided by [`order::record`] and [`Status::on`]; this file only keeps what they say.

use crate::order::{self, Change, Event, Footing, Order, Payment, PaymentState, Reason, Source, Status, Step, Stock};
use crate::ports::{
    BumpAsk, Bumped, Closed, Closing, Fault, Ledger, LedgerBooks, Moved, Movement, OrderPage, Paid, Paying, Rebuild, Recorded, Refunding,
    SaleChange, Sheaf, Unrecordable, Withdrawal,
};
use crate::words::{
    Ask, BuyerId, Digest, Epoch, MovementKey, OrderId, PaymentId, RunId, SALES_MAX, Sale, SaleId, SaleStatus, Terms, Time, UNITS_MAX,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A ledger in memory.
pub struct MemoryLedger {
    state: Mutex<State>,
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
    refused: BTreeMap<MovementKey, i64>,
}

/// Names the movement of a sale's first units.
pub const FIRST_UNITS_KEY: &str = "first-units";

impl MemoryLedger {
    /// An empty ledger whose clock stands at `now`.
    pub fn new(now: Time) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { now, seq: 0, books: BTreeMap::new(), payments: BTreeMap::new() }) })
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

impl State {
    fn order(&self, id: OrderId) -> Option<&Order> {
        self.books.get(&id.sale)?.orders.get(&id.digest)
    }

    fn note(&mut self, sale: SaleId, change: Change) {
        self.seq += 1;
        let book = self.books.get_mut(&sale).expect("only orders of known sales change");
        book.history.entry(change.digest).or_default().push((self.seq, change));
    }

    /// Makes the row of an ask that has none, as `event` has it. `None`: such an event makes no row.
    fn insert(&mut self, sale: SaleId, ask: Ask, event: Event, source: Source) -> Option<(Order, Step)> {
        let step = Status::Processing.on(event);
        let Step::Move { to, stock } = step else { return None };
        let now = self.now;
        let book = self.books.get_mut(&sale)?;
        let reason = if let Event::Reject(reason) = event { Some(reason) } else { None };
        let order = Order {
            sale,
            status: to,
            reason,
            epoch: book.sale.epoch,
            version: 1,
            created_at: now,
            updated_at: now,
            pay_by: (to == Status::Confirmed).then(|| now.after_ms(i64::from(ask.pay_within_s) * 1_000)),
            successor: None,
            ask,
        };
        let digest = order.ask.digest;
        book.move_stock(stock, &order.ask);
        book.made.push(digest);
        book.made_by.entry(order.ask.buyer.clone()).or_default().push(digest);
        book.orders.insert(digest, order.clone());
        self.note(sale, Change { digest, from: Status::Processing, to, at: now, source });
        Some((order, step))
    }

    /// What `event` does to a row that is there. `None`: there is no row.
    fn apply(&mut self, id: OrderId, event: Event, source: Source) -> Option<(Order, Step)> {
        let now = self.now;
        let book = self.books.get_mut(&id.sale)?;
        let order = book.orders.get_mut(&id.digest)?;
        let from = order.status;
        let step = from.on(event);
        let Step::Move { to, stock } = step else { return Some((order.clone(), step)) };
        order.status = to;
        order.version += 1;
        order.updated_at = now;
        order.pay_by = order.pay_by.filter(|_| to == Status::Confirmed);
        let order = order.clone();
        book.move_stock(stock, &order.ask);
        self.note(id.sale, Change { digest: id.digest, from, to, at: now, source });
        Some((order, step))
    }

    fn record_sheaf(&mut self, sheaf: Sheaf) -> Result<Vec<Order>, Unrecordable> {
        let book = self.books.get_mut(&sheaf.sale).ok_or(Unrecordable::UnknownSale)?;
        if book.sale.stopped.is_some() {
            return Err(Unrecordable::Stopped);
        }
        if let Some(ask) = sheaf.asks.iter().find(|ask| book.deleted_by_hand(ask.digest)) {
            book.stop_for_deleted(ask.digest);
            return Err(Unrecordable::DeletedByHand(ask.digest));
        }
        // Nothing is refused beyond this line: each ask has a row or gets one.
        Ok(sheaf.asks.into_iter().map(|ask| self.record_ask(sheaf.sale, sheaf.epoch, sheaf.source, ask)).collect())
    }

    fn record_ask(&mut self, sale: SaleId, decided: Epoch, source: Source, ask: Ask) -> Order {
        if let Some(order) = self.order(OrderId { sale, digest: ask.digest }) {
            return order.clone();
        }
        let late = ask.late.clone();
        let payment = late.as_ref().and_then(|late| {
            let meant_for = OrderId { sale, digest: late.expired };
            self.payments.get(&late.payment).filter(|payment| payment.order == meant_for).map(|payment| payment.state)
        });
        let book = &self.books[&sale];
        let footing = Footing {
            epoch: book.sale.epoch,
            left: book.sale.left,
            buyer_live: book.buyer_live(&ask.buyer),
            limit_per_buyer: i64::from(book.sale.terms.limit_per_buyer),
            payment,
        };
        let event = order::record(&ask, decided, footing);
        let (order, _) = self.insert(sale, ask, event, source).expect("each event of `order::record` moves an order that is processing");
        if let (Event::ConfirmPaid, Some(late)) = (event, late) {
            let payment = self.payments.get_mut(&late.payment).expect("`order::record` confirms a late ask only if its payment is late");
            payment.state = PaymentState::Settled;
            payment.bought = Some(order.ask.digest);
            let expired = self.books.get_mut(&sale).and_then(|book| book.orders.get_mut(&late.expired));
            if let Some(expired) = expired {
                expired.successor = Some(order.ask.digest);
            }
        }
        order
    }

    fn close(&mut self, id: OrderId, closing: Closing, ask: Option<Ask>) -> Closed {
        let (event, source) = match closing {
            Closing::Cancel => (Event::Cancel, Source::Buyer),
            Closing::Expire => (Event::Expire, Source::Clock),
            Closing::Lost => (Event::Reject(Reason::Lost), Source::Ticket),
        };
        if let Some(order) = self.order(id) {
            if closing == Closing::Expire && order.status == Status::Confirmed && !overdue(order, self.now) {
                return Closed::Row(Box::new(order.clone()), Step::Late(order.status));
            }
            let (order, step) = self.apply(id, event, source).expect("the row is there");
            return Closed::Row(Box::new(order), step);
        }
        let Some(book) = self.books.get_mut(&id.sale) else { return Closed::NoRow };
        if book.deleted_by_hand(id.digest) {
            book.stop_for_deleted(id.digest);
        }
        let made = match ask.filter(|ask| ask.digest == id.digest) {
            // A stopped sale records nothing, a tombstone neither.
            Some(ask) if book.sale.stopped.is_none() => self.insert(id.sale, ask, event, source),
            _ => None,
        };
        made.map_or(Closed::NoRow, |(order, step)| Closed::Row(Box::new(order), step))
    }

    fn pay(&mut self, paying: &Paying) -> Paid {
        if let Some(payment) = self.payments.get(&paying.payment).cloned() {
            return self.paid_before(&payment, paying);
        }
        let Some(order) = self.order(paying.order) else { return Paid::NoOrder };
        let amount = order.ask.amount();
        if paying.amount != amount {
            return Paid::WrongAmount(amount);
        }
        let (order, step) = self.apply(paying.order, Event::Pay, Source::Payment).expect("the row is there");
        let state = match step {
            Step::Move { .. } => PaymentState::Settled,
            Step::Late(Status::Expired) => PaymentState::Late,
            Step::Late(Status::Cancelled | Status::Rejected | Status::Paid | Status::Refunded) => PaymentState::RefundDue,
            // Not accepted yet, so nothing to pay for.
            Step::Late(Status::Processing) => return Paid::NoOrder,
            Step::Late(Status::Confirmed) => unreachable!("a confirmed order can be paid"),
        };
        let payment = Payment { id: paying.payment.clone(), order: paying.order, amount, state, bought: None, at: self.now };
        self.payments.insert(paying.payment.clone(), payment);
        paid_as(state, order)
    }

    fn paid_before(&self, payment: &Payment, paying: &Paying) -> Paid {
        if payment.order != paying.order || payment.amount != paying.amount {
            return Paid::Mismatch;
        }
        let bought = payment.bought.map(|digest| OrderId { sale: payment.order.sale, digest });
        let Some(order) = self.order(bought.unwrap_or(payment.order)).cloned() else { return Paid::NoOrder };
        match (payment.state, bought) {
            (PaymentState::Settled, Some(_)) => Paid::Bought(Box::new(order)),
            (state, _) => paid_as(state, order),
        }
    }

    fn refund(&mut self, id: OrderId) -> Refunding {
        let Some((order, step)) = self.apply(id, Event::Refund, Source::Operator) else { return Refunding::NoOrder };
        match step {
            Step::Move { .. } => {
                let paid_it = |payment: &&mut Payment| payment.state == PaymentState::Settled && pays(payment) == id;
                self.payments.values_mut().filter(paid_it).for_each(|payment| payment.state = PaymentState::Refunded);
                Refunding::Refunded(Box::new(order))
            }
            Step::Late(Status::Refunded) => Refunding::Refunded(Box::new(order)),
            Step::Late(_) => Refunding::NotPaid(Box::new(order)),
        }
    }

    fn raise(&mut self, sale: SaleId, movement: Movement) -> Moved {
        let Some(book) = self.books.get_mut(&sale) else { return Moved::NotNow };
        if let Some(before) = book.movement(&movement.key) {
            return if before.units == movement.units { Moved::Done(before.clone()) } else { Moved::Mismatch(before.clone()) };
        }
        if matches!(book.sale.status, SaleStatus::Ended | SaleStatus::Archived) {
            return Moved::NotNow;
        }
        if book.refused.contains_key(&movement.key) || movement.units <= 0 || movement.units > UNITS_MAX - book.sale.allotment {
            return Moved::Refused;
        }
        book.sale.raises += 1;
        book.sale.left += movement.units;
        book.sale.allotment += movement.units;
        let movement = Movement { number: Some(book.sale.raises), ..movement };
        book.movements.push(movement.clone());
        Moved::Done(movement)
    }

    fn withdraw(&mut self, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Moved {
        let now = self.now;
        let Some(book) = self.books.get_mut(&sale) else { return Moved::NotNow };
        // What stands under the key is the answer whatever the epoch is by now.
        if let Some(before) = book.movement(&withdrawal.key) {
            return if before.units == -withdrawal.units { Moved::Done(before.clone()) } else { Moved::Mismatch(before.clone()) };
        }
        if book.refused.contains_key(&withdrawal.key) {
            return Moved::Refused;
        }
        if !book.sale.status.has_gate() {
            return Moved::NotNow;
        }
        if book.sale.epoch != epoch {
            return Moved::Stale;
        }
        if withdrawal.units <= 0 || book.sale.left < withdrawal.units {
            book.refused.insert(withdrawal.key.clone(), withdrawal.units);
            return Moved::Refused;
        }
        book.sale.left -= withdrawal.units;
        book.sale.allotment -= withdrawal.units;
        let movement = Movement {
            key: withdrawal.key.clone(),
            units: -withdrawal.units,
            number: None,
            actor: withdrawal.actor.clone(),
            reason: withdrawal.reason.clone(),
            at: now,
        };
        book.movements.push(movement.clone());
        Moved::Done(movement)
    }

    fn bump(&mut self, ask: BumpAsk) -> Bumped {
        let now = self.now;
        let Some(book) = self.books.get_mut(&ask.sale) else { return Bumped::NoSale };
        if book.sale.epoch != ask.seen {
            return Bumped::Moved(book.sale.epoch);
        }
        if let Some(until) = book.lease.filter(|&until| until > now) {
            return Bumped::Leased(until);
        }
        book.sale.epoch = ask.seen.next();
        book.sale.run = ask.run;
        book.sale.status = ask.to;
        book.lease = Some(now.after_ms(ask.lease_ms));
        Bumped::Won(Box::new(Rebuild {
            sale: book.sale.clone(),
            live: book.orders_made().filter(|(_, order)| order.status.is_live()).map(|(_, order)| order.ask.clone()).collect(),
            withdrawals: book.movements.iter().filter(|movement| movement.number.is_none()).map(|movement| movement.key.clone()).collect(),
        }))
    }

    fn create(&mut self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault> {
        if let Some(book) = self.books.get(&terms.id) {
            let same = book.sale.terms == *terms && book.first_units == units;
            return Ok(if same { Ok(book.sale.clone()) } else { Err(book.sale.clone()) });
        }
        if self.books.len() >= SALES_MAX {
            return Err(Fault::none(format!("the ledger keeps {SALES_MAX} sales, its most")));
        }
        let first = Movement {
            key: FIRST_UNITS_KEY.parse().expect("this key is visible ASCII"),
            units,
            number: Some(1),
            actor: actor.to_owned(),
            reason: "the sale's first units".to_owned(),
            at: self.now,
        };
        let sale = Sale {
            terms: terms.clone(),
            status: SaleStatus::Draft,
            epoch: Epoch::default(),
            run: RunId::default(),
            left: units,
            allotment: units,
            raises: 1,
            stopped: None,
        };
        let book = Book {
            sale: sale.clone(),
            first_units: units,
            lease: None,
            orders: BTreeMap::new(),
            made: Vec::new(),
            made_by: BTreeMap::new(),
            history: BTreeMap::new(),
            movements: vec![first],
            refused: BTreeMap::new(),
        };
        self.books.insert(terms.id, book);
        Ok(Ok(sale))
    }
}

fn overdue(order: &Order, now: Time) -> bool {
    order.pay_by.is_some_and(|pay_by| pay_by <= now)
}

/// The order that a payment paid, or is meant for.
fn pays(payment: &Payment) -> OrderId {
    OrderId { sale: payment.order.sale, digest: payment.bought.unwrap_or(payment.order.digest) }
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

#[async_trait]
impl Ledger for MemoryLedger {
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
        match (change, book.sale.status) {
            (SaleChange::Pause, SaleStatus::Open) => book.sale.status = SaleStatus::Paused,
            (SaleChange::End, SaleStatus::Open | SaleStatus::Paused) => book.sale.status = SaleStatus::Ended,
            (SaleChange::Archive, SaleStatus::Ended) => book.sale.status = SaleStatus::Archived,
            (SaleChange::Stop(why), _) => book.stop(why.clone()),
            (SaleChange::Pause | SaleChange::End | SaleChange::Archive, _) => {}
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
