//! What is asked for, its terms frozen, and what travels together.

use super::{BatchId, BuyerId, Currency, Digest, Epoch, PaymentId, Price, Quantity, SaleId, Time};

/// A late payment that wants to buy again: the payment, and the expired order that it was meant for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LatePayment {
    /// The payment that pays for the new purchase.
    pub payment: PaymentId,
    /// The order that had expired.
    pub expired: Digest,
}

/// One purchase as it was asked for, with its terms frozen. Nothing re-validates an accepted ask: what it says is what
/// the order says, whatever the sale says later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The purchase's id within its sale.
    pub digest: Digest,
    /// Who buys.
    pub buyer: BuyerId,
    /// How many units.
    pub quantity: Quantity,
    /// Price of one unit, in minor units of `currency`.
    pub unit_price: Price,
    /// The currency of the price.
    pub currency: Currency,
    /// Seconds to pay in, counted from the moment the ledger recorded the order.
    pub pay_within_s: u32,
    /// When the node took the ask, by the ledger's clock as it knew it.
    pub asked_at: Time,
    /// Set when a late payment buys.
    pub late: Option<Box<LatePayment>>,
}

impl Ask {
    /// Whether `other` is the same purchase with the same content. Terms may differ: the first ask's are kept.
    pub fn same_content(&self, other: &Self) -> bool {
        self.digest == other.digest && self.quantity == other.quantity
    }

    /// What the order costs, in minor units.
    pub fn amount(&self) -> i64 {
        self.unit_price.times(self.quantity)
    }
}

/// Asks that share one half message, one gate decision and one record. Its content is fixed before the decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The batch's own name; decisions are kept under it.
    pub id: BatchId,
    /// All asks are of this sale.
    pub sale: SaleId,
    /// The epoch under which the batch was made; it never carries a fresher one.
    pub epoch: Epoch,
    /// Units that one buyer may have live in the sale, as the sale's terms said when the batch was made.
    pub limit_per_buyer: u32,
    /// 1 to [`BATCH_MAX`] asks; a purchase stands at most once.
    pub asks: Vec<Ask>,
}
