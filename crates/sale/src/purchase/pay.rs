//! Payments. One that comes for an expired order is a *new purchase* by the sale's own flow; if it gets none, it is due
//! for a refund. The ledger settles a late payment in the transaction that records what it bought.

use super::Engine;
use super::intake::Outcome;
use crate::admit::{Denied, admit_late};
use crate::order::{Order, Payment, PaymentState};
use crate::ports::{Fault, Paid, Paying};
use crate::words::{Ask, LatePayment, OrderId, PaymentId};

/// How long a late payment's purchase is waited for before its payer is answered `late`; the clock's pass goes on.
const LATE_WAIT_US: u64 = 3_000_000;
/// Late payments that one pass takes up.
const LATE_MAX: usize = 100;

impl Engine {
    /// Takes a payment; idempotent by its id. A late one buys again here.
    pub async fn pay(&self, paying: &Paying) -> Result<Paid, Fault> {
        let paid = self.stores.ledger.pay(paying).await?;
        match paid {
            Paid::Late(expired) => {
                let payment = Payment {
                    id: paying.payment.clone(),
                    order: paying.order,
                    amount: paying.amount,
                    state: PaymentState::Late,
                    bought: None,
                    at: expired.updated_at,
                };
                self.buy_late(*expired, &payment, LATE_WAIT_US).await
            }
            Paid::Settled(ref order) => {
                self.tell(order);
                Ok(paid)
            }
            Paid::Bought(_) | Paid::RefundDue(_) | Paid::Refunded(_) | Paid::NoOrder | Paid::WrongAmount(_) | Paid::Mismatch => Ok(paid),
        }
    }

    /// Notes that the payment gateway has given a payment of this order back, if it was due. Answers the payment as it is,
    /// or `None` when the order has no such payment.
    pub async fn refunded(&self, order: OrderId, payment: &PaymentId) -> Result<Option<Payment>, Fault> {
        // A payment never changes its order.
        match self.stores.ledger.payments(order).await?.iter().any(|known| known.id == *payment) {
            true => self.stores.ledger.refunded(payment).await,
            false => Ok(None),
        }
    }

    /// Finishes late payments that nobody finished.
    pub(super) async fn finish_late_payments(&self) -> Result<(), Fault> {
        for payment in self.stores.ledger.late_payments(LATE_MAX).await? {
            if let Some(expired) = self.stores.ledger.orders(&[payment.order]).await?.into_iter().next().flatten() {
                self.buy_late(expired, &payment, 0).await?;
            }
        }
        Ok(())
    }

    /// Buys again with a late payment, or marks it for refund.
    async fn buy_late(&self, expired: Order, payment: &Payment, wait_us: u64) -> Result<Paid, Fault> {
        let id = OrderId::of_late_payment(expired.sale, &expired.ask.buyer, &payment.id);
        let Some(desk) = self.desk(expired.sale) else { return Ok(Paid::Late(Box::new(expired))) };
        if let Err(denied) = admit_late(&desk.sale(), desk.is_whole()) {
            return match denied {
                Denied::Refused(_) => self.give_back(expired, payment).await,
                Denied::Busy(_) => Ok(Paid::Late(Box::new(expired))),
            };
        }
        let late = LatePayment { payment: payment.id.clone(), expired: expired.ask.digest };
        let ask = Ask { digest: id.digest, asked_at: self.ledger_now(), late: Some(Box::new(late)), ..expired.ask.clone() };
        // The pass does not wait: it finds the row the next time round.
        let until_us = (wait_us > 0).then(|| self.stores.clock.elapsed_us() + wait_us);
        // An earlier try may have bought it: its row is looked up first.
        let Ok(outcome) = self.submit(&desk, ask, true, until_us) else { return Ok(Paid::Late(Box::new(expired))) };
        match outcome.await {
            // A row settles the payment or does not, together with itself: the payment says which.
            Ok(Outcome::Row(_) | Outcome::Refused(_)) => self.give_back(expired, payment).await,
            Ok(Outcome::Processing | Outcome::Busy(_)) | Err(_) => Ok(Paid::Late(Box::new(expired))),
        }
    }

    /// The payment bought nothing. By compare-and-set: a record that is on its way finds it and rejects its order, or has
    /// settled it before, and then that is the answer.
    async fn give_back(&self, expired: Order, payment: &Payment) -> Result<Paid, Fault> {
        let now = self.stores.ledger.refund_due(&payment.id).await?;
        let bought = match now.as_ref().filter(|payment| payment.state == PaymentState::Settled).and_then(|payment| payment.bought) {
            Some(digest) => self.stores.ledger.orders(&[OrderId { sale: expired.sale, digest }]).await?.into_iter().next().flatten(),
            None => None,
        };
        Ok(match bought {
            Some(order) => Paid::Bought(Box::new(order)),
            None => Paid::RefundDue(Box::new(expired)),
        })
    }
}
