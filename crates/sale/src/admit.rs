//! The chain of checks before anything is touched: each link is one function, its refusal one code.
//!
//! Admission reads what the node knows and nothing else; it never waits. Links say `sold_out`, `ended` and `limit_reached`
//! of nobody who might have a purchase under that id already: those are looked up first (`purchase::buy`).

use crate::order::Status;
use crate::words::{Busy, Quantity, Refusal, Sale, SaleStatus, Time};

/// An admitted wish: proof that the chain was walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// The quantity, checked.
    pub quantity: Quantity,
}

/// Why a wish goes no further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// Decided against, unless the id has a purchase already.
    Refused(Refusal),
    /// Nothing was decided.
    Busy(Busy),
}

/// Walks the chain for a new purchase.
pub fn admit(sale: &Sale, whole: bool, quantity: u32, now: Time) -> Result<Admitted, Denied> {
    shown(sale)?;
    let quantity = quantity_fits(sale, quantity)?;
    selling(sale, now)?;
    running(sale, whole)?;
    Ok(Admitted { quantity })
}

/// Walks the links that a late payment does not skip: it may buy until the sale's archive, whatever the time.
pub fn admit_late(sale: &Sale, whole: bool) -> Result<(), Denied> {
    shown(sale)?;
    match sale.status {
        SaleStatus::Archived => Err(Denied::Refused(Refusal::Ended)),
        SaleStatus::Draft | SaleStatus::Open | SaleStatus::Paused | SaleStatus::Ended => fenced(sale, whole),
    }
}

fn shown(sale: &Sale) -> Result<(), Denied> {
    match sale.status {
        SaleStatus::Draft => Err(Denied::Refused(Refusal::UnknownSale)),
        SaleStatus::Open | SaleStatus::Paused | SaleStatus::Ended | SaleStatus::Archived => Ok(()),
    }
}

fn quantity_fits(sale: &Sale, quantity: u32) -> Result<Quantity, Denied> {
    let refused = Denied::Refused(Refusal::Quantity { quantity_max: sale.terms.quantity_max });
    match Quantity::new(quantity) {
        Ok(checked) if quantity <= sale.terms.quantity_max => Ok(checked),
        Ok(_) | Err(_) => Err(refused),
    }
}

fn selling(sale: &Sale, now: Time) -> Result<(), Denied> {
    let over = matches!(sale.status, SaleStatus::Ended | SaleStatus::Archived) || now >= sale.terms.closes_at;
    if over {
        Err(Denied::Refused(Refusal::Ended))
    } else if now < sale.terms.opens_at {
        Err(Denied::Refused(Refusal::NotOpen(sale.terms.opens_at)))
    } else {
        Ok(())
    }
}

fn running(sale: &Sale, whole: bool) -> Result<(), Denied> {
    match sale.status {
        SaleStatus::Paused => Err(Denied::Busy(Busy::Paused)),
        SaleStatus::Draft | SaleStatus::Open | SaleStatus::Ended | SaleStatus::Archived => fenced(sale, whole),
    }
}

fn fenced(sale: &Sale, whole: bool) -> Result<(), Denied> {
    if sale.stopped.is_some() {
        Err(Denied::Busy(Busy::Paused))
    } else if !whole {
        Err(Denied::Busy(Busy::Recovering))
    } else {
        Ok(())
    }
}

/// Whether an order in this status can still change: what an archive waits for.
pub fn is_settled(status: Status) -> bool {
    match status {
        Status::Paid | Status::Cancelled | Status::Expired | Status::Rejected | Status::Refunded => true,
        Status::Processing | Status::Confirmed => false,
    }
}
