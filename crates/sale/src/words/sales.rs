//! A sale: what an operator says of it, and where it is in its life.

use super::{Currency, Epoch, Invalid, Price, QUANTITY_MAX, RunId, SaleId, Time, UNITS_MAX};

/// Where a sale is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SaleStatus {
    /// Made, not yet shown to buyers.
    Draft,
    /// Sells between `opens_at` and `closes_at`.
    Open,
    /// Stopped by an operator; can be opened again.
    Paused,
    /// Over. Orders are still paid, cancelled and expired.
    Ended,
    /// Out of the gate. The ledger keeps it and answers retries.
    Archived,
}

impl SaleStatus {
    /// All of them, in the order of a sale's life.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Open, Self::Paused, Self::Ended, Self::Archived];

    /// The word used in SQL, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Archived => "archived",
        }
    }

    /// Reads [`SaleStatus::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether a sale of this status may be given that one; the same again counts, where somebody may ask for it twice.
    pub fn may_become(self, to: Self) -> bool {
        match to {
            Self::Draft => false,
            Self::Open => matches!(self, Self::Draft | Self::Open | Self::Paused),
            Self::Paused => matches!(self, Self::Open | Self::Paused),
            Self::Ended => matches!(self, Self::Open | Self::Paused | Self::Ended),
            Self::Archived => matches!(self, Self::Ended | Self::Archived),
        }
    }

    /// Whether the gate holds this sale's stock: from its opening until its archive.
    pub fn has_gate(self) -> bool {
        match self {
            Self::Open | Self::Paused | Self::Ended => true,
            Self::Draft | Self::Archived => false,
        }
    }
}

/// What an operator says of a sale. One sale sells one SKU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The sale's code.
    pub id: SaleId,
    /// Shown to buyers.
    pub title: String,
    /// A label that several sales may share; may be empty.
    pub campaign: String,
    /// The message's tag in the queue.
    pub goods_type: String,
    /// What is sold.
    pub sku: String,
    /// Price of one unit.
    pub unit_price: Price,
    /// The price's currency.
    pub currency: Currency,
    /// Units kept out of the gate: better undersold than oversold.
    pub holdback: i64,
    /// Units that one buyer may have live.
    pub limit_per_buyer: u32,
    /// Most units in one purchase.
    pub quantity_max: u32,
    /// Selling starts, by the ledger's clock.
    pub opens_at: Time,
    /// Selling ends, by the ledger's clock.
    pub closes_at: Time,
    /// Seconds to pay in.
    pub pay_within_s: u32,
}

/// Longest title, campaign, goods type or SKU, in bytes.
pub const LABEL_MAX: usize = 128;

impl Terms {
    /// Every fault of the terms, each with the JSON pointer of its field. `units` are the sale's first units.
    pub fn faults(&self, units: i64) -> Vec<(&'static str, Invalid)> {
        let mut faults = Vec::new();
        let mut check = |pointer, fits: bool, code, what: &str| {
            if !fits {
                faults.push((pointer, Invalid::new(code, what)));
            }
        };
        let label = |text: &str| text.len() <= LABEL_MAX && !text.chars().any(char::is_control);
        check(
            "/title",
            label(&self.title) && !self.title.is_empty(),
            "invalid_title",
            "a title is 1 to 128 bytes without control characters",
        );
        check("/campaign", label(&self.campaign), "invalid_campaign", "a campaign is at most 128 bytes without control characters");
        // The goods type becomes a message tag, where `|` and `*` are syntax.
        let tag =
            matches!(self.goods_type.len(), 1..=64) && self.goods_type.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        check("/goods_type", tag, "invalid_goods_type", "a goods type is 1 to 64 of a-z, A-Z, 0-9, - and _");
        check("/sku", label(&self.sku) && !self.sku.is_empty(), "invalid_sku", "a SKU is 1 to 128 bytes without control characters");
        check("/units", (0..=UNITS_MAX).contains(&units), "invalid_units", "units is a whole number from 0 to 1000000000");
        check(
            "/holdback",
            (0..=units.max(0)).contains(&self.holdback),
            "invalid_holdback",
            "holdback is a whole number from 0 to the sale's units",
        );
        check(
            "/quantity_max",
            (1..=QUANTITY_MAX).contains(&self.quantity_max),
            "invalid_quantity_max",
            "quantity_max is a whole number from 1 to 1000",
        );
        let limit = self.limit_per_buyer >= self.quantity_max && i64::from(self.limit_per_buyer) <= UNITS_MAX;
        check(
            "/limit_per_buyer",
            limit,
            "invalid_limit_per_buyer",
            "limit_per_buyer is at least quantity_max, or nobody could buy that many, and at most 1000000000",
        );
        check("/closes_at", self.closes_at > self.opens_at, "invalid_closes_at", "closes_at is later than opens_at");
        check(
            "/pay_within_s",
            (1..=604_800).contains(&self.pay_within_s),
            "invalid_pay_within_s",
            "pay_within_s is from 1 second to 7 days",
        );
        faults
    }
}

/// A sale as the ledger keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// What the operator said.
    pub terms: Terms,
    /// Where it is in its life.
    pub status: SaleStatus,
    /// Who decides now.
    pub epoch: Epoch,
    /// The gate's life that the last bump stored.
    pub run: RunId,
    /// Units not taken by a live order, by the ledger.
    pub left: i64,
    /// Restocks (the first units are one) minus withdrawals.
    pub allotment: i64,
    /// The number of the last raise.
    pub raises: u64,
    /// Set when a law was found broken: the sale admits and records nothing until an operator has looked.
    pub stopped: Option<String>,
}
