//! The words of a sale: ids, money, quantity, time, the ask, the sale, and the two kinds of "no".
//!
//! Every value is checked where it is made and cannot be wrong afterwards. Nothing here knows a store or a wire.

mod ids;
mod amounts;
mod asks;
mod sales;

pub use amounts::{Currency, Epoch, Price, Quantity, RunId, Time};
pub use asks::{Ask, Batch, LatePayment};
pub use ids::{BatchId, BuyerId, Digest, MovementKey, OrderId, PaymentId, PurchaseKey, SaleId};
pub use sales::{LABEL_MAX, Sale, SaleStatus, Terms};

use std::fmt;

/// Most sales that one installation keeps open at once; a limit on every list that walks over sales.
pub const SALES_MAX: usize = 10_000;
/// Most purchases in one batch, so in one half message and one atomic gate decision.
pub const BATCH_MAX: usize = 512;
/// Longest Idempotency-Key, in bytes.
pub const KEY_MAX: usize = 255;
/// Longest buyer id, in bytes.
pub const BUYER_MAX: usize = 64;
/// Largest stock of a sale, in units: far above any sale, far below the overflow of any sum of amounts.
pub const UNITS_MAX: i64 = 1_000_000_000;
/// Largest unit price, in minor units. `UNIT_PRICE_MAX × QUANTITY_MAX` fits an `i64` with room to spare.
pub const UNIT_PRICE_MAX: i64 = 1_000_000_000_000;
/// Most units that one purchase may ask for, whatever the sale says.
pub const QUANTITY_MAX: u32 = 1_000;

/// What is wrong with a value from outside: a stable code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Stable, `snake_case`; part of the API's contract.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Invalid {
    /// One reason why a value is refused.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Invalid {}

/// An expected answer: the purchase was decided against. Stands in `Ok`; a [`Fault`](crate::ports::Fault) never becomes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such sale, or it is a draft.
    UnknownSale,
    /// Selling has not begun; it begins at this time.
    NotOpen(Time),
    /// Selling is over.
    Ended,
    /// The quantity is above what one purchase may take.
    Quantity {
        /// Most units in one purchase of this sale.
        quantity_max: u32,
    },
    /// Fewer units are left than were asked for.
    SoldOut {
        /// Units left when it was decided.
        left: i64,
    },
    /// The buyer has as many units as the sale allows; names a live order of theirs.
    LimitReached(OrderId),
    /// The key names a purchase with other content.
    Mismatch,
}

/// Nothing was decided and nothing was touched; the same request may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Busy {
    /// An operator has paused the sale, or a law was found broken.
    Paused,
    /// The gate is being rebuilt.
    Recovering,
    /// Too much is on its way, or a store does not answer.
    Overloaded,
}
