//! Each law as a check over one sale's books, or over the tales.

use super::{Accepted, BREACHES_MAX, Books, Breach, LATE_PAYMENT, Law, NOT_AT_REST, NOT_WHOLE, Tale, Told, live_units};
use crate::order::{Change, Event, Order, Payment, PaymentState, Reason, Status, Step};
use crate::ports::{GateBooks, LedgerBooks};
use crate::words::{BuyerId, Digest, MovementKey, OrderId, SaleId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// An audit under way.
pub(super) struct Audit {
    /// The sale that is looked at.
    pub(super) sale: Option<SaleId>,
    pub(super) breaches: Vec<Breach>,
    pub(super) unchecked: BTreeMap<Law, &'static str>,
    pub(super) broken: HashSet<Law>,
    pub(super) accepted: Accepted,
}

/// A sale's books with what is looked up often.
pub(super) struct SaleBooks<'a> {
    pub(super) id: SaleId,
    books: &'a Books,
    ledger: &'a LedgerBooks,
    orders: HashMap<Digest, &'a Order>,
}

impl<'a> SaleBooks<'a> {
    pub(super) fn new(books: &'a Books) -> Self {
        let orders = books.ledger.orders.iter().map(|order| (order.ask.digest, order)).collect();
        Self { id: books.ledger.sale.terms.id, books, ledger: &books.ledger, orders }
    }

    fn is_live(&self, digest: Digest) -> bool {
        self.orders.get(&digest).is_some_and(|order| order.status.is_live())
    }
}

impl Audit {
    fn breach(&mut self, law: Law, what: String) {
        self.broken.insert(law);
        if self.breaches.len() < BREACHES_MAX {
            let sale = self.sale.expect("what is broken is broken in a sale");
            self.breaches.push(Breach { law, sale, what });
        }
    }

    pub(super) fn skip(&mut self, law: Law, why: &'static str) {
        self.unchecked.entry(law).or_insert(why);
    }

    fn check(&mut self, law: Law, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.breach(law, what());
        }
    }

    /// L1 to L4: one ledger snapshot.
    pub(super) fn ledger(&mut self, books: &SaleBooks<'_>) {
        let (id, sale) = (books.id, &books.ledger.sale);
        let live = live_units(&books.ledger.orders);
        let moved: i64 = books.ledger.movements.iter().map(|movement| movement.units).sum();
        self.check(Law::L1, sale.left >= 0, || format!("{id}: left is {}", sale.left));
        self.check(Law::L1, sale.left + live == sale.allotment, || {
            format!("{id}: left {} + live units {live} is not the allotment {}", sale.left, sale.allotment)
        });
        self.check(Law::L1, moved == sale.allotment, || format!("{id}: the movements sum to {moved}, the allotment is {}", sale.allotment));
        self.check(Law::L2, books.orders.len() == books.ledger.orders.len(), || {
            format!("{id}: {} orders for {} purchases", books.ledger.orders.len(), books.orders.len())
        });
        let mut units: BTreeMap<&BuyerId, i64> = BTreeMap::new();
        for order in books.ledger.orders.iter().filter(|order| order.status.is_live()) {
            *units.entry(&order.ask.buyer).or_default() += order.ask.quantity.units();
        }
        for (_, units) in units.into_iter().filter(|&(_, units)| units > i64::from(sale.terms.limit_per_buyer)) {
            self.breach(Law::L3, format!("{id}: a buyer has {units} live units, the limit is {}", sale.terms.limit_per_buyer));
        }
        self.histories(books);
    }

    /// L2 and L4: what the history says of each order.
    fn histories(&mut self, books: &SaleBooks<'_>) {
        let mut last: HashMap<Digest, &Change> = HashMap::new();
        for change in &books.ledger.history {
            let id = OrderId { sale: books.id, digest: change.digest };
            let before = last.insert(change.digest, change);
            let from = before.map_or(Status::Processing, |before| before.to);
            self.check(Law::L4, change.from == from, || {
                format!("{id}: was {}, and its history goes on from {}", from.as_str(), change.from.as_str())
            });
            self.check(Law::L4, is_legal(change.from, change.to), || {
                format!("{id}: {} to {} is no step", change.from.as_str(), change.to.as_str())
            });
            self.check(Law::L4, before.is_none_or(|before| before.at <= change.at), || format!("{id}: its history goes back in time"));
            let order = books.orders.get(&change.digest);
            if let (Status::Expired, Some(before), Some(order)) = (change.to, before, order) {
                let until = before.at.after_ms(i64::from(order.ask.pay_within_s) * 1_000);
                self.check(Law::L4, change.at >= until, || format!("{id}: expired before its time to pay was over"));
            }
            self.check(Law::L2, !(from.is_dead() && change.to.is_live()), || format!("{id}: was {}, and lives again", from.as_str()));
            self.check(Law::L1, order.is_some(), || format!("{id}: has a history but no row: deleted by hand"));
        }
        let terms = &books.ledger.sale.terms;
        for order in &books.ledger.orders {
            let price = order.ask.unit_price == terms.unit_price && order.ask.currency == terms.currency;
            self.check(Law::L4, price, || format!("{}: has another price than its sale", order.id()));
            let told = last.get(&order.ask.digest).map(|change| change.to);
            self.check(Law::L4, told == Some(order.status), || {
                format!("{}: is {}, its history ends with {}", order.id(), order.status.as_str(), told.map_or("nothing", Status::as_str))
            });
        }
    }

    /// L5 to L7 and L10: the gate against the ledger.
    pub(super) fn gate(&mut self, books: &SaleBooks<'_>) {
        let (id, ledger) = (books.id, books.ledger);
        if !ledger.sale.status.has_gate() {
            return;
        }
        let Some(gate) = &books.books.gate else {
            for law in [Law::L5, Law::L6, Law::L7, Law::L10] {
                self.skip(law, NOT_WHOLE);
            }
            return;
        };
        let holds: HashSet<Digest> = gate.holds.iter().map(|&(digest, _)| digest).collect();
        let holdback = ledger.sale.terms.holdback;
        let dead_holds: i64 = gate.holds.iter().filter(|(digest, _)| !books.is_live(*digest)).map(|&(_, units)| i64::from(units)).sum();
        let raises: i64 = ledger
            .movements
            .iter()
            .filter(|movement| movement.number.is_some_and(|number| number > gate.raises))
            .map(|movement| movement.units)
            .sum();
        let in_ledger = |key: &MovementKey| ledger.movements.iter().any(|movement| movement.number.is_none() && movement.key == *key);
        let in_gate = |key: &MovementKey| gate.withdrawn.contains(key) || gate.withdrawals.iter().any(|withdrawal| withdrawal.key == *key);
        let going: i64 = gate.withdrawals.iter().filter(|withdrawal| !in_ledger(&withdrawal.key)).map(|withdrawal| withdrawal.units).sum();
        let unknown: i64 = ledger
            .movements
            .iter()
            .filter(|movement| movement.number.is_none() && !in_gate(&movement.key))
            .map(|movement| -movement.units)
            .sum();
        let without_hold: i64 = ledger
            .orders
            .iter()
            .filter(|order| order.status.is_live() && !holds.contains(&order.ask.digest))
            .map(|order| order.ask.quantity.units())
            .sum();
        let (by_gate, by_ledger) = (gate.fact.left + holdback + dead_holds + going + raises, ledger.sale.left + without_hold + unknown);
        self.check(Law::L5, by_gate == by_ledger, || {
            format!(
                "{id}: gate {} + holdback {holdback} + holds not live {dead_holds} + withdrawals going {going} + raises to come {raises} = {by_gate}, \
                 but ledger {} + live without hold {without_hold} + withdrawals unknown to the gate {unknown} = {by_ledger}",
                gate.fact.left, ledger.sale.left
            )
        });
        self.check(Law::L5, gate.fact.left >= 0, || format!("{id}: the gate's left is {}: what is held back was sold", gate.fact.left));
        if books.books.at_rest {
            self.rest(books, gate, &holds);
        } else {
            for law in [Law::L6, Law::L7, Law::L10] {
                self.skip(law, NOT_AT_REST);
            }
        }
    }

    /// L6, L7 and L10: nothing is on its way.
    fn rest(&mut self, books: &SaleBooks<'_>, gate: &GateBooks, holds: &HashSet<Digest>) {
        let (id, sale) = (books.id, &books.ledger.sale);
        self.check(Law::L6, gate.fact.left + sale.terms.holdback == sale.left, || {
            format!("{id}: gate {} + holdback {} is not the ledger's {}", gate.fact.left, sale.terms.holdback, sale.left)
        });
        for &(digest, units) in &gate.holds {
            let other = books.orders.get(&digest).filter(|order| order.ask.quantity.get() != units);
            self.check(Law::L7, other.is_none(), || format!("{id}-{}: is held with {units} units and its order has others", digest.hex()));
        }
        for &(digest, _) in gate.holds.iter().filter(|(digest, _)| !books.is_live(*digest)) {
            let order = OrderId { sale: id, digest };
            let status = books.orders.get(&digest).map_or("missing", |order| order.status.as_str());
            self.breach(Law::L7, format!("{order}: is held and its order is {status}"));
            self.check(Law::L10, status != "missing", || format!("{order}: is held and nobody records it"));
        }
        for order in &books.ledger.orders {
            self.check(Law::L7, !order.status.is_live() || holds.contains(&order.ask.digest), || {
                format!("{}: lives without a hold", order.id())
            });
            self.check(Law::L10, order.status != Status::Processing, || format!("{}: is stuck in processing", order.id()));
        }
    }

    /// L4 and L11: what was paid.
    pub(super) fn payments(&mut self, books: &SaleBooks<'_>) {
        for payment in &books.ledger.payments {
            match payment.state {
                PaymentState::Settled => self.settled(books, payment),
                PaymentState::Late => self.skip(Law::L11, LATE_PAYMENT),
                PaymentState::RefundDue | PaymentState::Refunded => {}
            }
        }
        let mut once = HashSet::new();
        for payment in books.ledger.payments.iter().filter(|payment| payment.state == PaymentState::Settled) {
            let paid = payment.bought.unwrap_or(payment.order.digest);
            self.check(Law::L11, once.insert(paid), || format!("{}-{}: is paid twice", books.id, paid.hex()));
        }
        let paid_by: HashSet<Digest> = books.ledger.payments.iter().map(|payment| payment.bought.unwrap_or(payment.order.digest)).collect();
        for order in books.ledger.orders.iter().filter(|order| order.status == Status::Paid) {
            self.check(Law::L11, paid_by.contains(&order.ask.digest), || format!("{}: is paid by no payment", order.id()));
        }
    }

    fn settled(&mut self, books: &SaleBooks<'_>, payment: &Payment) {
        let paid = payment.bought.unwrap_or(payment.order.digest);
        let id = OrderId { sale: books.id, digest: paid };
        let Some(order) = books.orders.get(&paid) else {
            return self.breach(Law::L11, format!("{id}: was paid and has no row"));
        };
        self.check(Law::L11, matches!(order.status, Status::Paid | Status::Refunded), || {
            format!("{id}: was paid and is {}", order.status.as_str())
        });
        self.check(Law::L4, payment.amount == order.ask.amount(), || {
            format!("{id}: costs {} and was paid {}", order.ask.amount(), payment.amount)
        });
    }

    /// L8 to L11: what buyers were told.
    pub(super) fn tales(&mut self, books: &[Books], tales: &[Tale]) {
        let sales: HashMap<SaleId, SaleBooks<'_>> = books.iter().map(|one| (one.ledger.sale.terms.id, SaleBooks::new(one))).collect();
        for tale in tales {
            self.sale = Some(tale.id.sale);
            let order = sales.get(&tale.id.sale).and_then(|sale| sale.orders.get(&tale.id.digest)).copied();
            self.shown(tale, order);
            let refused = |told: &Told| matches!(told, Told::Refused | Told::Busy);
            let only_refused = !tale.told.is_empty() && tale.told.iter().all(refused);
            self.check(Law::L9, !(only_refused && order.is_some_and(|order| order.status.is_live())), || {
                format!("{}: every try was refused, and it is live", tale.id)
            });
        }
    }

    fn shown(&mut self, tale: &Tale, order: Option<&Order>) {
        let was = |statuses: &[Status]| tale.told.iter().any(|told| matches!(told, Told::Row(status) if statuses.contains(status)));
        if was(&[Status::Confirmed, Status::Paid]) {
            self.accepted.told += 1;
            match order {
                None => self.breach(Law::L8, format!("{}: was shown as confirmed and has no row", tale.id)),
                Some(order) => {
                    let same = order.ask.buyer == tale.buyer
                        && order.ask.quantity.get() == tale.quantity
                        && tale.amount.is_none_or(|amount| amount == order.ask.amount());
                    self.accepted.found += u64::from(same);
                    self.check(Law::L8, same, || format!("{}: was shown as confirmed with another owner, quantity or price", tale.id));
                    self.check(Law::L8, order.status != Status::Rejected, || {
                        format!("{}: was shown as confirmed and is {}", tale.id, order.status.as_str())
                    });
                }
            }
        }
        if was(&[Status::Cancelled, Status::Expired, Status::Rejected, Status::Refunded]) {
            self.check(Law::L8, order.is_some_and(|order| order.status.is_dead()), || {
                format!("{}: was shown as dead and is {}", tale.id, order.map_or("missing", |order| order.status.as_str()))
            });
        }
        if was(&[Status::Paid]) {
            let kept = order.is_some_and(|order| matches!(order.status, Status::Paid | Status::Refunded));
            self.check(Law::L11, kept, || {
                format!("{}: was shown as paid and is {}", tale.id, order.map_or("missing", |order| order.status.as_str()))
            });
        }
    }
}

/// Whether some event leads from one status to the other.
fn is_legal(from: Status, to: Status) -> bool {
    let events = [Event::Confirm, Event::ConfirmPaid, Event::Reject(Reason::Lost), Event::Pay, Event::Cancel, Event::Expire, Event::Refund];
    events.into_iter().any(|event| matches!(from.on(event), Step::Move { to: there, .. } if there == to))
}
