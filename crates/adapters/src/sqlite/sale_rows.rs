//! The rows of sales, their stock and their movements as the domain's values and back, and their checksums.
//!
//! It reads and writes one row; what a transaction is made of it does not know.

use super::rows::{Sum, null_or, parsed, text, valid, whole, word};
use rusqlite::Row;
use sale::ports::Movement;
use sale::words::{Epoch, Price, RunId, Sale, SaleStatus, Terms, Time};
use std::sync::Arc;

/// A sale and its stock, as the writer keeps them.
#[derive(Clone)]
pub(super) struct SaleState {
    pub(super) key: u16,
    pub(super) terms: Arc<Terms>,
    pub(super) first_units: i64,
    pub(super) status: SaleStatus,
    pub(super) stopped: Option<String>,
    pub(super) left: i64,
    pub(super) version: i64,
    pub(super) allotment: i64,
    pub(super) raises: u64,
    pub(super) epoch: Epoch,
    pub(super) run: RunId,
    pub(super) lease_until: i64,
    /// The checksums as the file has them: of the sale's row and of the stock's.
    pub(super) crcs: (u32, u32),
    pub(super) by_hand: bool,
}

/// The columns of a sale and its stock in the order in which [`SaleState::read`] takes them.
pub(super) const SALE_SELECT: &str = "select sales.sale, id, title, campaign, goods_type, sku, unit_price, currency, holdback, limit_per_buyer, quantity_max, \
     opens_at, closes_at, pay_within_s, first_units, status, stopped, sales.crc, \
     \"left\", stock.version, allotment, raises, epoch, run, lease_until, stock.crc, by_hand from sales join stock on stock.sale = sales.sale";

impl SaleState {
    pub(super) fn read(r: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let terms = Terms {
            id: parsed(text(r, 1)?)?,
            title: text(r, 2)?.to_owned(),
            campaign: text(r, 3)?.to_owned(),
            goods_type: text(r, 4)?.to_owned(),
            sku: text(r, 5)?.to_owned(),
            unit_price: valid(Price::new(whole(r, 6)?))?,
            currency: parsed(text(r, 7)?)?,
            holdback: whole(r, 8)?,
            limit_per_buyer: whole(r, 9)?,
            quantity_max: whole(r, 10)?,
            opens_at: Time(whole(r, 11)?),
            closes_at: Time(whole(r, 12)?),
            pay_within_s: whole(r, 13)?,
        };
        Ok(Self {
            key: whole(r, 0)?,
            terms: Arc::new(terms),
            first_units: whole(r, 14)?,
            status: word(&SaleStatus::ALL, 15, whole(r, 15)?)?,
            stopped: null_or(r, 16, || text(r, 16).map(str::to_owned))?,
            left: whole(r, 18)?,
            version: whole(r, 19)?,
            allotment: whole(r, 20)?,
            raises: whole::<i64>(r, 21)? as u64,
            epoch: Epoch(whole::<i64>(r, 22)? as u64),
            run: RunId(whole::<i64>(r, 23)? as u64),
            lease_until: whole(r, 24)?,
            crcs: (whole(r, 17)?, whole(r, 25)?),
            by_hand: whole::<i64>(r, 26)? != 0,
        })
    }

    pub(super) fn sale(&self) -> Sale {
        Sale {
            terms: Terms::clone(&self.terms),
            status: self.status,
            epoch: self.epoch,
            run: self.run,
            left: self.left,
            allotment: self.allotment,
            raises: self.raises,
            stopped: self.stopped.clone(),
        }
    }

    /// What the checksum of the sale's row must be.
    pub(super) fn sale_crc(&self) -> u32 {
        let t = &self.terms;
        let mut sum = Sum::new();
        sum.number(self.key.into());
        for text in [t.id.as_str(), &t.title, &t.campaign, &t.goods_type, &t.sku, t.currency.as_str()] {
            sum.text(text);
        }
        for number in [t.unit_price.minor(), t.holdback, t.limit_per_buyer.into(), t.quantity_max.into(), t.opens_at.0, t.closes_at.0] {
            sum.number(number);
        }
        for number in [t.pay_within_s.into(), self.first_units, self.status as i64] {
            sum.number(number);
        }
        sum.text(self.stopped.as_deref().unwrap_or("-"));
        sum.number(self.stopped.is_some().into());
        sum.end()
    }

    /// What the checksum of the stock's row must be.
    pub(super) fn stock_crc(&self) -> u32 {
        let mut sum = Sum::new();
        for number in [
            self.key.into(),
            self.left,
            self.version,
            self.allotment,
            self.raises as i64,
            self.epoch.0 as i64,
            self.run.0 as i64,
            self.lease_until,
        ] {
            sum.number(number);
        }
        sum.end()
    }
}

// ---------------------------------------------------------------------------------------------------- movements

/// A movement's row; a refused withdrawal has one too.
pub(super) struct MovementRow {
    pub(super) row: i64,
    pub(super) sale: u16,
    pub(super) movement: Movement,
    pub(super) refused: bool,
    pub(super) crc: u32,
}

/// The columns of a movement in the order in which [`MovementRow::read`] takes them.
pub(super) const MOVEMENT_SELECT: &str = "select \"row\", sale, \"key\", units, number, actor, reason, at, refused, crc from movements";

impl MovementRow {
    pub(super) fn read(r: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let movement = Movement {
            key: parsed(text(r, 2)?)?,
            units: whole(r, 3)?,
            number: null_or(r, 4, || whole::<i64>(r, 4))?.map(|number| number as u64),
            actor: text(r, 5)?.to_owned(),
            reason: text(r, 6)?.to_owned(),
            at: Time(whole(r, 7)?),
        };
        Ok(Self { row: whole(r, 0)?, sale: whole(r, 1)?, movement, refused: whole::<i64>(r, 8)? != 0, crc: whole(r, 9)? })
    }

    pub(super) fn sum(&self) -> u32 {
        let m = &self.movement;
        let mut sum = Sum::new();
        for number in [self.row, self.sale.into(), m.units, m.at.0, self.refused.into()] {
            sum.number(number);
        }
        sum.maybe(m.number.map(|number| number as i64));
        for text in [m.key.as_str(), &m.actor, &m.reason] {
            sum.text(text);
        }
        sum.end()
    }
}
