//! The ledger's transactions about orders: record, close, pay, refund.

use super::State;
use crate::order::{self, Change, Event, Footing, Order, Payment, PaymentState, Reason, Source, Status, Step};
use crate::ports::{Closed, Closing, Paid, Paying, Refunding, Sheaf, Unrecordable};
use crate::words::{Ask, Epoch, OrderId, SaleId, Time};

impl State {
    pub(super) fn order(&self, id: OrderId) -> Option<&Order> {
        self.books.get(&id.sale)?.orders.get(&id.digest)
    }

    pub(super) fn note(&mut self, sale: SaleId, change: Change) {
        self.seq += 1;
        let book = self.books.get_mut(&sale).expect("only orders of known sales change");
        book.history.entry(change.digest).or_default().push((self.seq, change));
    }

    /// Makes the row of an ask that has none, as `event` has it. `None`: such an event makes no row.
    pub(super) fn insert(&mut self, sale: SaleId, ask: Ask, event: Event, source: Source) -> Option<(Order, Step)> {
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
    pub(super) fn apply(&mut self, id: OrderId, event: Event, source: Source) -> Option<(Order, Step)> {
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

    pub(super) fn record_sheaf(&mut self, sheaf: Sheaf) -> Result<Vec<Order>, Unrecordable> {
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

    pub(super) fn record_ask(&mut self, sale: SaleId, decided: Epoch, source: Source, ask: Ask) -> Order {
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

    pub(super) fn close(&mut self, id: OrderId, closing: Closing, ask: Option<Ask>) -> Closed {
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

    pub(super) fn pay(&mut self, paying: &Paying) -> Paid {
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

    pub(super) fn paid_before(&self, payment: &Payment, paying: &Paying) -> Paid {
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

    pub(super) fn refund(&mut self, id: OrderId) -> Refunding {
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
}

pub(super) fn overdue(order: &Order, now: Time) -> bool {
    order.pay_by.is_some_and(|pay_by| pay_by <= now)
}

/// The order that a payment paid, or is meant for.
pub(super) fn pays(payment: &Payment) -> OrderId {
    OrderId { sale: payment.order.sale, digest: payment.bought.unwrap_or(payment.order.digest) }
}

pub(super) fn paid_as(state: PaymentState, order: Order) -> Paid {
    let order = Box::new(order);
    match state {
        PaymentState::Settled => Paid::Settled(order),
        PaymentState::Late => Paid::Late(order),
        PaymentState::RefundDue => Paid::RefundDue(order),
        PaymentState::Refunded => Paid::Refunded(order),
    }
}
