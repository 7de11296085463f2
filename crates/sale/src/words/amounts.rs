//! What is counted: units, money, time, epochs. Arithmetic is checked, or cannot overflow by the bounds.

use super::{Invalid, QUANTITY_MAX, UNIT_PRICE_MAX};
use std::fmt;
use std::str::FromStr;

/// How many units one purchase takes: at least one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Quantity(u32);

impl Quantity {
    /// `1 ..= QUANTITY_MAX`; anything else is refused.
    pub fn new(units: u32) -> Result<Self, Invalid> {
        match units {
            1..=QUANTITY_MAX => Ok(Self(units)),
            _ => Err(Invalid::new("invalid_quantity", format!("a quantity is a whole number from 1 to {QUANTITY_MAX}"))),
        }
    }

    /// The number of units.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The same as a signed count, for sums with stock.
    pub fn units(self) -> i64 {
        i64::from(self.0)
    }
}

/// A three-letter ISO 4217 code. Only its form is checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is checked to be ASCII when it is made")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(Invalid::new("invalid_currency", "a currency is three capital letters (ISO 4217), for example CNY")),
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in minor units (fen, cents) of a currency that stands beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price(i64);

impl Price {
    /// `0 ..= UNIT_PRICE_MAX` minor units.
    pub fn new(minor: i64) -> Result<Self, Invalid> {
        match minor {
            0..=UNIT_PRICE_MAX => Ok(Self(minor)),
            _ => {
                Err(Invalid::new("invalid_unit_price", format!("a unit price is a whole number of minor units from 0 to {UNIT_PRICE_MAX}")))
            }
        }
    }

    /// Minor units.
    pub fn minor(self) -> i64 {
        self.0
    }

    /// What `quantity` units cost, in minor units. Cannot overflow: both factors are bounded.
    pub fn times(self, quantity: Quantity) -> i64 {
        self.0.checked_mul(quantity.units()).expect("UNIT_PRICE_MAX × QUANTITY_MAX fits an i64")
    }
}

/// A point in time by the *ledger's* clock, in milliseconds since 1970 UTC. Every deadline is compared in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub i64);

impl Time {
    /// The point `ms` milliseconds later.
    pub fn after_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; negative if `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which decider of a sale's stock is meant. The ledger keeps it; it is raised whenever who decides changes, and fences
/// every hold, message and record of before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch that a bump moves to.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which life of the gate's store is meant: changes when the store restarts, fails over or is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct RunId(pub u64);
