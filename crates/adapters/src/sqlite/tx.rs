//! A transaction under way: what the jobs read and change in it.
//!
//! What it finds out stands in the file and in the [`Draft`](super::writer::Draft); nothing here commits.

use super::Failure;
use super::clock::MARK_MS;
use super::index::{BuyerName, Life, Slot};
use super::rows::{self, Kept, Names};
use super::sale_rows::SaleState;
use super::writer::State;
use rusqlite::{Connection, params};
use sale::order::Status;
use sale::words::{Digest, OrderId, SaleId};

/// A transaction under way.
pub(super) struct Tx<'a> {
    pub(super) sql: &'a Connection,
    pub(super) state: &'a mut State,
    /// The ledger's clock, the same in the whole transaction.
    pub(super) now_ms: i64,
}

/// Where an order is.
pub(super) enum Place {
    NoSale,
    /// The sale's place, and no row.
    NoRow(usize),
    /// It has a history, and its row is gone.
    Deleted(usize),
    Row(usize, Box<Kept>),
}

impl Names for Tx<'_> {
    fn sale_id(&self, key: u16) -> Option<SaleId> {
        self.state.sales.get(usize::from(key).checked_sub(1)?).map(|state| state.terms.id)
    }

    fn digest_of(&self, row: u32) -> Option<Digest> {
        let draft = &self.state.draft;
        if row >= draft.first_row {
            return draft.slots.get((row - draft.first_row) as usize).map(|slot| Digest(slot.digest));
        }
        self.state.shared.read().slot(row).map(|slot| Digest(slot.digest))
    }
}

impl Tx<'_> {
    /// The ledger's sequence as it is in this transaction.
    pub(super) fn seq(&self) -> u64 {
        self.state.draft.next_seq - 1
    }

    /// Takes the next number of the sequence.
    pub(super) fn take_seq(&mut self) -> u64 {
        self.state.draft.next_seq += 1;
        self.state.draft.next_seq - 1
    }

    pub(super) fn sale_at(&self, id: SaleId) -> Option<usize> {
        let known = self.state.shared.read().sale_key(id).map(|key| usize::from(key) - 1);
        let new = || (self.state.draft.sales_before..self.state.sales.len()).find(|&at| self.state.sales[at].terms.id == id);
        known.or_else(new)
    }

    /// The row of an order, in this transaction.
    pub(super) fn find(&self, at: usize, digest: Digest) -> Option<u32> {
        self.find_drafted(at, digest).or_else(|| self.state.shared.read().find(self.state.sales[at].key, digest))
    }

    /// The row of an order that this transaction has made.
    pub(super) fn find_drafted(&self, at: usize, digest: Digest) -> Option<u32> {
        self.state.draft.rows.get(&(self.state.sales[at].key, digest)).copied()
    }

    pub(super) fn place(&self, id: OrderId) -> Result<Place, Failure> {
        let Some(at) = self.sale_at(id.sale) else { return Ok(Place::NoSale) };
        let Some(row) = self.find(at, id.digest) else { return Ok(Place::NoRow(at)) };
        Ok(rows::order_at(self.sql, self, row)?.map_or(Place::Deleted(at), |kept| Place::Row(at, Box::new(kept))))
    }

    /// Notes the next order row; answers its number.
    pub(super) fn add_order(&mut self, at: usize, digest: Digest, status: Status) -> Result<u32, Failure> {
        let (draft, sale) = (&mut self.state.draft, self.state.sales[at].key);
        let row = draft.next_row();
        if row == u32::MAX {
            return Err(Failure::Broken("the ledger holds 4294967294 orders, its most; start a new one".into()));
        }
        draft.slots.push(Slot { digest: digest.0, sale, life: Life::Row(status) });
        draft.rows.insert((sale, digest), row);
        Ok(row)
    }

    pub(super) fn buyer(&self, at: usize, buyer: &str) -> BuyerName {
        self.state.live.name(self.state.sales[at].key, buyer)
    }

    pub(super) fn live_units(&self, buyer: BuyerName) -> i64 {
        self.state.live.get(buyer) + self.state.draft.live.get(&buyer).copied().unwrap_or(0)
    }

    pub(super) fn add_live(&mut self, buyer: BuyerName, delta: i64) {
        *self.state.draft.live.entry(buyer).or_insert(0) += delta;
    }

    // ---- sales

    fn save(&mut self, at: usize) {
        if at < self.state.draft.sales_before {
            self.state.draft.before.push((at, self.state.sales[at].clone()));
        }
    }

    /// Compares a sale's stock with its row, once in a transaction. A row that somebody changed by hand is taken as it
    /// is, and the sale is stopped: nothing is repaired in silence.
    pub(super) fn check_stock(&mut self, at: usize) -> Result<(), Failure> {
        if self.state.draft.checked.contains(&at) {
            return Ok(());
        }
        self.state.draft.checked.push(at);
        let key = self.state.sales[at].key;
        let mut statement = self
            .sql
            .prepare_cached("select \"left\", version, allotment, raises, epoch, run, lease_until, crc from stock where sale = ?1")?;
        let mut found = statement.query([key])?;
        let gone = || Failure::Broken(format!("table `stock`: the row of sale {key} is gone"));
        let r = found.next()?.ok_or_else(gone)?;
        let figures: [i64; 8] = [r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?, r.get(7)?];
        let s = &self.state.sales[at];
        let known = [s.left, s.version, s.allotment, s.raises as i64, s.epoch.0 as i64, s.run.0 as i64, s.lease_until, i64::from(s.crcs.1)];
        if figures == known {
            return Ok(());
        }
        self.save(at);
        let s = &mut self.state.sales[at];
        let why = format!("the stock of {} was changed by hand: {} left, the ledger had {} left", s.terms.id, figures[0], s.left);
        (s.left, s.version, s.allotment, s.raises) = (figures[0], figures[1], figures[2], figures[3] as u64);
        (s.epoch.0, s.run.0, s.lease_until) = (figures[4] as u64, figures[5] as u64, figures[6]);
        self.stop(at, why)
    }

    /// Changes a sale's figures and writes its stock row.
    pub(super) fn change_stock(&mut self, at: usize, change: impl FnOnce(&mut SaleState)) -> Result<(), Failure> {
        self.check_stock(at)?;
        self.save(at);
        let s = &mut self.state.sales[at];
        let (left, version) = (s.left, s.version);
        change(s);
        s.version += 1;
        s.crcs.1 = s.stock_crc();
        // `left >= quantity` in one statement: the last word on overselling is the file's.
        let mut statement = self.sql.prepare_cached(
            "update stock set \"left\" = \"left\" + ?2, version = ?3, allotment = ?4, raises = ?5, epoch = ?6, run = ?7, lease_until = ?8, crc = ?9 \
             where sale = ?1 and version = ?10 and \"left\" >= -?2",
        )?;
        let (raises, epoch, run) = (s.raises as i64, s.epoch.0 as i64, s.run.0 as i64);
        let changed = statement.execute(params![
            s.key,
            s.left - left,
            s.version,
            s.allotment,
            raises,
            epoch,
            run,
            s.lease_until,
            s.crcs.1,
            version
        ])?;
        if changed != 1 {
            return Err(Failure::Broken(format!(
                "table `stock`: sale {} has not the {left} units left that were reckoned with",
                s.terms.id
            )));
        }
        Ok(())
    }

    /// Changes a sale's status or its stop and writes its row.
    pub(super) fn change_sale(&mut self, at: usize, change: impl FnOnce(&mut SaleState)) -> Result<(), Failure> {
        self.save(at);
        let s = &mut self.state.sales[at];
        change(s);
        s.crcs.0 = s.sale_crc();
        let mut statement = self.sql.prepare_cached("update sales set status = ?2, stopped = ?3, crc = ?4 where sale = ?1")?;
        if statement.execute(params![s.key, s.status as u8, s.stopped, s.crcs.0])? != 1 {
            return Err(Failure::Broken(format!("table `sales`: the row of sale {} is gone", s.terms.id)));
        }
        Ok(())
    }

    /// Stops a sale. The first reason stays: it is the one to look into.
    pub(super) fn stop(&mut self, at: usize, why: String) -> Result<(), Failure> {
        if self.state.sales[at].stopped.is_some() {
            return Ok(());
        }
        self.change_sale(at, |s| s.stopped = Some(why))
    }

    pub(super) fn stop_for_deleted(&mut self, at: usize, digest: Digest) -> Result<(), Failure> {
        if let Some(row) = self.find(at, digest) {
            self.state.draft.lives.push((row, Life::Deleted));
        }
        let id = OrderId { sale: self.state.sales[at].terms.id, digest };
        self.stop(at, format!("order {id} has a history but no row: it was deleted by hand"))
    }

    pub(super) fn mark_time(&mut self) -> Result<(), Failure> {
        if self.now_ms + MARK_MS / 2 <= self.state.clock.mark_ms() {
            return Ok(());
        }
        let mark_ms = self.now_ms + MARK_MS;
        write_mark(self.sql, mark_ms)?;
        self.state.draft.mark_ms = Some(mark_ms);
        Ok(())
    }
}

/// Stores the time up to which times may be given out.
pub(super) fn write_mark(sql: &Connection, mark_ms: i64) -> Result<(), Failure> {
    let crc = super::check::mark_crc(mark_ms);
    sql.prepare_cached(
        "insert into meta (name, value, crc) values ('clock', ?1, ?2) on conflict (name) do update set value = ?1, crc = ?2",
    )?
    .execute(params![mark_ms, crc])?;
    Ok(())
}
