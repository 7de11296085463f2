//! The laws. One pure function, [`audit`], checks them all; tests, the load generator and the running server use it.
//!
//! It knows books and stories, no stores: what it is not given, it does not judge, and says so.

mod check;

use crate::order::{Order, Status};
use crate::ports::{GateBooks, LedgerBooks};
use crate::words::{BuyerId, OrderId, SaleId};
use check::{Audit, SaleBooks};
use std::collections::{BTreeMap, HashSet};

/// A law.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Law {
    /// `left ≥ 0`, and `left` + live units = allotment = restocks − withdrawals; no order was deleted.
    L1,
    /// One order per purchase id; what was final never lives again.
    L2,
    /// Live units of a buyer ≤ the sale's limit.
    L3,
    /// Every status change is legal and in the history; amounts are the frozen price × quantity.
    L4,
    /// Gate and ledger tell the same stock at any instant.
    L5,
    /// At rest: gate stock + holdback = ledger stock.
    L6,
    /// At rest: each hold has a live order and each live order its hold.
    L7,
    /// What was once shown as confirmed has its row: same owner, quantity, price.
    L8,
    /// What was only ever refused has no live order.
    L9,
    /// At rest: no purchase is stuck.
    L10,
    /// Paid stays paid, or is refunded; a late payment bought again or is due for refund.
    L11,
}

impl Law {
    /// All of them.
    pub const ALL: [Self; 11] =
        [Self::L1, Self::L2, Self::L3, Self::L4, Self::L5, Self::L6, Self::L7, Self::L8, Self::L9, Self::L10, Self::L11];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        ["L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "L11"][self as usize]
    }

    /// What it says, in a line.
    pub fn says(self) -> &'static str {
        match self {
            Self::L1 => "left ≥ 0, left + live units = allotment, no order deleted",
            Self::L2 => "one order per purchase, and the final never lives again",
            Self::L3 => "live units of a buyer within the sale's limit",
            Self::L4 => "every status change legal and in the history, amounts as frozen",
            Self::L5 => "gate and ledger tell the same stock",
            Self::L6 => "at rest: gate stock + holdback = ledger stock",
            Self::L7 => "at rest: each hold has a live order, each live order its hold",
            Self::L8 => "what was shown as confirmed is there, unchanged",
            Self::L9 => "what was only refused is not live",
            Self::L10 => "at rest: no purchase is stuck",
            Self::L11 => "paid stays paid or is refunded",
        }
    }
}

/// One answer that a buyer got about a purchase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Shown a row with this status.
    Row(Status),
    /// `processing`, without a row.
    Processing,
    /// Decided against: sold_out, limit_reached, not_open, ended, mismatch.
    Refused,
    /// 503 or 429: nothing was touched.
    Busy,
    /// No answer came.
    Nothing,
}

/// What one buyer was told about one purchase, in the order of the answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tale {
    /// Which purchase.
    pub id: OrderId,
    /// Whose.
    pub buyer: BuyerId,
    /// Units asked for.
    pub quantity: u32,
    /// The amount of the last row shown, if one was.
    pub amount: Option<i64>,
    /// The answers.
    pub told: Vec<Told>,
}

/// One breach of one law.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// Which law.
    pub law: Law,
    /// In which sale.
    pub sale: SaleId,
    /// What was found.
    pub what: String,
}

/// What became of one law in an audit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Checked, and holds.
    Holds,
    /// Checked, and broken.
    Breached,
    /// Not checked, and why.
    Unchecked(&'static str),
}

/// Figures of one sale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Which sale.
    pub sale: SaleId,
    /// Restocks minus withdrawals.
    pub allotment: i64,
    /// Units left in the ledger.
    pub left: i64,
    /// Units of live orders.
    pub live_units: i64,
    /// Units left in the gate, if it was read.
    pub gate_left: Option<i64>,
    /// Units kept out of the gate.
    pub holdback: i64,
    /// Holds in the gate, if it was read.
    pub holds: Option<usize>,
    /// Orders by status.
    pub orders: Vec<(Status, u64)>,
}

/// An audit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Every law, in order.
    pub laws: Vec<(Law, Verdict)>,
    /// What was found broken; at most [`BREACHES_MAX`].
    pub breaches: Vec<Breach>,
    /// Figures per sale.
    pub sales: Vec<Figures>,
    /// What became of the purchases that buyers were shown as accepted, if somebody said what they were told.
    pub accepted: Option<Accepted>,
}

/// Purchases that buyers were shown as accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// So many were shown as confirmed or paid.
    pub told: u64,
    /// So many of them have a row of the same content.
    pub found: u64,
}

/// Why a law was not checked: something was on its way, and a later audit will tell.
pub const ON_ITS_WAY: [&str; 3] = [NOT_AT_REST, NOT_WHOLE, LATE_PAYMENT];
const NOT_AT_REST: &str = "a sale is not at rest";
const NOT_WHOLE: &str = "the gate of a sale is not whole";
const LATE_PAYMENT: &str = "a late payment is on its way";

impl Report {
    /// For each law that was left unchecked because something was on its way: what.
    pub fn waiting(&self) -> impl Iterator<Item = &'static str> {
        self.laws.iter().filter_map(|&(_, verdict)| match verdict {
            Verdict::Unchecked(why) if ON_ITS_WAY.contains(&why) => Some(why),
            Verdict::Unchecked(_) | Verdict::Holds | Verdict::Breached => None,
        })
    }
}

/// Breaches that a report lists; a broken million is told by its first thousand.
pub const BREACHES_MAX: usize = 1_000;

/// One sale's books: the gate's first, the ledger's second.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Books {
    /// The gate's, if it has the sale and is of the ledger's epoch.
    pub gate: Option<GateBooks>,
    /// The ledger's.
    pub ledger: LedgerBooks,
    /// Nothing was on its way, and a reconciler's walk over holds of every age found nothing to do.
    pub at_rest: bool,
}

/// Checks every law that the given books and tales allow to check.
pub fn audit(books: &[Books], told: Option<&[Tale]>) -> Report {
    let mut audit =
        Audit { sale: None, breaches: Vec::new(), unchecked: BTreeMap::new(), broken: HashSet::new(), accepted: Accepted::default() };
    for one in books {
        let sale = SaleBooks::new(one);
        audit.sale = Some(sale.id);
        audit.ledger(&sale);
        audit.gate(&sale);
        audit.payments(&sale);
    }
    match told {
        Some(tales) => audit.tales(books, tales),
        None => {
            for law in [Law::L8, Law::L9] {
                audit.skip(law, "nobody said what buyers were told");
            }
        }
    }
    if books.is_empty() {
        Law::ALL.into_iter().for_each(|law| audit.skip(law, "there is no sale"));
    }
    let verdict = |law| match audit.unchecked.get(&law) {
        _ if audit.broken.contains(&law) => Verdict::Breached,
        Some(&why) => Verdict::Unchecked(why),
        None => Verdict::Holds,
    };
    Report {
        laws: Law::ALL.into_iter().map(|law| (law, verdict(law))).collect(),
        sales: books.iter().map(figures).collect(),
        accepted: told.map(|_| audit.accepted),
        breaches: audit.breaches,
    }
}

fn live_units(orders: &[Order]) -> i64 {
    orders.iter().filter(|order| order.status.is_live()).map(|order| order.ask.quantity.units()).sum()
}

fn figures(books: &Books) -> Figures {
    let (sale, orders) = (&books.ledger.sale, &books.ledger.orders);
    let count = |status| (status, orders.iter().filter(|order| order.status == status).count() as u64);
    Figures {
        sale: sale.terms.id,
        allotment: sale.allotment,
        left: sale.left,
        live_units: live_units(orders),
        gate_left: books.gate.as_ref().map(|gate| gate.fact.left),
        holdback: sale.terms.holdback,
        holds: books.gate.as_ref().map(|gate| gate.holds.len()),
        orders: Status::ALL.into_iter().map(count).filter(|&(_, count)| count > 0).collect(),
    }
}
