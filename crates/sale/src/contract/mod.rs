//! The suite that every adapter must pass: one function per promise of a port's prose.
//!
//! An adapter writes a rig (how to make its store, how to let time pass) and runs every promise on a rig of its own:
//!
//! ```text
//! for promise in contract::ledger::promises() {
//!     println!("ledger: {}", promise.name);   // the last name printed is the one that failed
//!     (promise.keep)(&MyRig::new().await).await;
//! }
//! ```
//!
//! A promise panics when it is broken. What a rig cannot do (reopen, damage) it says with `None` or `false`, and the
//! promise prints that it was skipped. The suite knows ports and nothing behind them; it spawns nothing and reads no clock.

pub mod gate;
pub mod queue;
pub mod ledger;

use crate::words::{
    Ask, Batch, BatchId, Digest, Epoch, LatePayment, OrderId, PaymentId, Price, PurchaseKey, Quantity, SaleId, Terms, Time,
};
use futures_util::future::BoxFuture;

/// One promise of a port, as a test of a store.
pub struct Promise<R: ?Sized + 'static> {
    /// What is promised; begins with the case's number where there is one.
    pub name: &'static str,
    /// Panics if the store of this fresh rig does not keep it.
    pub keep: for<'a> fn(&'a R) -> BoxFuture<'a, ()>,
}

/// A list of promises whose names are those of the functions, so that a name cannot say something else.
macro_rules! promises {
    ($rig:ty: $($($name:ident)::+),+ $(,)?) => {
        vec![$(crate::contract::Promise::<$rig> { name: crate::contract::last_word(stringify!($($name)::+)), keep: |rig| Box::pin($($name)::+(rig)) }),+]
    };
}
use promises;

fn last_word(path: &'static str) -> &'static str {
    path.rsplit("::").next().unwrap_or(path).trim()
}

fn skipped(promise: &str, why: &str) {
    println!("    skipped: {promise}: {why}");
}

/// A sequence from a seed: xorshift64*. Printed seeds make a failure repeatable.
pub struct Seeded(u64);

impl Seeded {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Minor units that one unit costs in every sale of the suite.
pub const UNIT_PRICE: i64 = 1_990;

/// A sale's id.
pub fn sale(text: &str) -> SaleId {
    text.parse().expect("the suite's sale ids are well formed")
}

/// Terms of a sale that is always open: two units a buyer, five seconds to pay.
pub fn terms(id: SaleId) -> Terms {
    Terms {
        id,
        title: "A hotcake".to_owned(),
        campaign: String::new(),
        goods_type: "hotcake".to_owned(),
        sku: format!("sku-{id}"),
        unit_price: Price::new(UNIT_PRICE).expect("within bounds"),
        currency: "CNY".parse().expect("well formed"),
        holdback: 0,
        limit_per_buyer: 2,
        quantity_max: 2,
        opens_at: Time(0),
        closes_at: Time(i64::MAX),
        pay_within_s: PAY_WITHIN_S,
    }
}

/// Seconds to pay in, in every ask of the suite but [`hurried`] ones.
pub const PAY_WITHIN_S: u32 = 3_600;

/// What `buyer` calls `key`, asked for `units` units.
pub fn ask_keyed(sale: SaleId, buyer: &str, key: &str, units: u32) -> Ask {
    let buyer = buyer.parse().expect("the suite's buyers are well formed");
    let key: PurchaseKey = key.parse().expect("the suite's keys are well formed");
    Ask {
        digest: OrderId::of_purchase(sale, &buyer, &key).digest,
        buyer,
        quantity: Quantity::new(units).expect("the suite's quantities are within bounds"),
        unit_price: Price::new(UNIT_PRICE).expect("within bounds"),
        currency: "CNY".parse().expect("well formed"),
        pay_within_s: PAY_WITHIN_S,
        asked_at: Time(1_000),
        late: None,
    }
}

/// The first purchase of `buyer`.
pub fn ask(sale: SaleId, buyer: &str, units: u32) -> Ask {
    ask_keyed(sale, buyer, "first", units)
}

/// The same ask with one second to pay in: for promises that wait until it is over.
pub fn hurried(ask: Ask) -> Ask {
    Ask { pay_within_s: 1, ..ask }
}

/// What a late payment on `expired` asks for.
pub fn late_ask(sale: SaleId, expired: &Ask, payment: &PaymentId) -> Ask {
    let digest = OrderId::of_late_payment(sale, &expired.buyer, payment).digest;
    Ask { digest, late: Some(Box::new(LatePayment { payment: payment.clone(), expired: expired.digest })), ..expired.clone() }
}

/// A batch of these asks, two units a buyer.
pub fn batch(number: u64, sale: SaleId, epoch: Epoch, asks: Vec<Ask>) -> Batch {
    Batch { id: BatchId { node: 7, number }, sale, epoch, limit_per_buyer: 2, asks }
}

/// One purchase of this many units for each of `count` buyers.
pub fn buyers_of(sale: SaleId, count: usize, units: u32) -> Vec<Ask> {
    (0..count).map(|n| ask(sale, &format!("buyer-{n}"), units)).collect()
}

fn id(sale: SaleId, ask: &Ask) -> OrderId {
    OrderId { sale, digest: ask.digest }
}

fn digests(asks: &[Ask]) -> Vec<Digest> {
    asks.iter().map(|ask| ask.digest).collect()
}
