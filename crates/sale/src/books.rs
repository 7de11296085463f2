//! The laws.
#![allow(missing_docs)] // skeleton

use crate::order::Status;
use crate::ports::{GateBooks, LedgerBooks};
use crate::words::{BuyerId, OrderId};

/// A law, by its number in the design.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Law { L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11 }

/// One answer that a buyer got for a purchase, in the order in which they came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Shown a row with this status.
    Row(Status),
    /// `processing`, without a row.
    Processing,
    /// A refusal: sold_out, limit_reached, not_open, ended, mismatch.
    Refused,
    /// 503 or 429: nothing was touched.
    Busy,
    /// No answer came (connection lost, time-out).
    Nothing,
}

/// What one buyer was told about one purchase.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tale {
    pub id: OrderId,
    pub buyer: BuyerId,
    pub quantity: u32,
    /// The amount of the last row shown, if one was.
    pub amount: Option<i64>,
    pub told: Vec<Told>,
}

/// One breach of one law.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach { pub law: Law, pub what: String }

/// What became of one law in an audit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict { Holds, Breached, Unchecked(&'static str) }

/// Figures of one sale, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    pub sale: crate::words::SaleId,
    pub allotment: i64,
    pub left: i64,
    pub live_units: i64,
    pub gate_left: Option<i64>,
    pub holdback: i64,
    pub holds: Option<usize>,
    pub orders: Vec<(Status, u64)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report { pub laws: Vec<(Law, Verdict)>, pub breaches: Vec<Breach>, pub sales: Vec<Figures> }

/// One sale's books: gate first, ledger second. `at_rest`: nothing is on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Books { pub gate: Option<GateBooks>, pub ledger: LedgerBooks, pub at_rest: bool }

pub fn audit(_books: &[Books], _told: Option<&[Tale]>) -> Report { todo!() }
