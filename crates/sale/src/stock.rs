//! What becomes of a raise or a withdrawal: pure functions that every ledger asks inside its transaction.
//!
//! It knows what a sale's stock is made of; how a ledger keeps it, and what a gate does with it, it does not know.

use crate::ports::{Moved, Movement};
use crate::words::{Epoch, SaleStatus, UNITS_MAX};

/// What stands under a movement's key. Whatever is true by now, it is the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
    /// A movement that was done.
    Done(Movement),
    /// A refusal that is remembered.
    Refused,
}

/// What a ledger knows of a sale whose stock is to be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footing {
    /// Its status.
    pub status: SaleStatus,
    /// Its epoch.
    pub epoch: Epoch,
    /// Units left.
    pub left: i64,
    /// Raises minus withdrawals.
    pub allotment: i64,
}

/// What a ledger does with a withdrawal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moving {
    /// Writes it, and adds these units to `left` and `allotment`.
    Do(i64),
    /// Writes nothing; this is the answer.
    Answer(Moved),
    /// Remembers under its key that it was refused, and answers so.
    Refuse,
}

/// A raise by `units`: what the ledger adds to `left` and `allotment`, or the answer if it writes nothing.
pub fn raise(known: Option<Known>, sale: Footing, units: i64) -> Result<i64, Moved> {
    if let Some(known) = known {
        return Err(before(known, units));
    }
    match sale.status {
        SaleStatus::Ended | SaleStatus::Archived => Err(Moved::NotNow),
        SaleStatus::Draft | SaleStatus::Open | SaleStatus::Paused if units > 0 && units <= UNITS_MAX - sale.allotment => Ok(units),
        SaleStatus::Draft | SaleStatus::Open | SaleStatus::Paused => Err(Moved::Refused),
    }
}

/// A withdrawal of `units` that a gate holds in the epoch `held`.
pub fn withdraw(known: Option<Known>, sale: Footing, held: Epoch, units: i64) -> Moving {
    if let Some(known) = known {
        return Moving::Answer(before(known, -units));
    }
    if !sale.status.has_gate() {
        Moving::Answer(Moved::NotNow)
    } else if sale.epoch != held {
        Moving::Answer(Moved::Stale)
    } else if units <= 0 || sale.left < units {
        Moving::Refuse
    } else {
        Moving::Do(-units)
    }
}

fn before(known: Known, units: i64) -> Moved {
    match known {
        Known::Done(movement) if movement.units == units => Moved::Done(movement),
        Known::Done(movement) => Moved::Mismatch(movement),
        Known::Refused => Moved::Refused,
    }
}
