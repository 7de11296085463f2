//! The ledger's transactions about a sale as a whole: its making, who decides, movements of stock.

use super::{Book, FIRST_UNITS_KEY, State};
use crate::ports::{BumpAsk, Bumped, Fault, Moved, Movement, Rebuild, Withdrawal};
use crate::words::{Epoch, RunId, SALES_MAX, Sale, SaleId, SaleStatus, Terms, UNITS_MAX};
use std::collections::BTreeMap;

impl State {
    pub(super) fn raise(&mut self, sale: SaleId, movement: Movement) -> Moved {
        let Some(book) = self.books.get_mut(&sale) else { return Moved::NotNow };
        if let Some(before) = book.movement(&movement.key) {
            return if before.units == movement.units { Moved::Done(before.clone()) } else { Moved::Mismatch(before.clone()) };
        }
        if matches!(book.sale.status, SaleStatus::Ended | SaleStatus::Archived) {
            return Moved::NotNow;
        }
        if book.refused.contains_key(&movement.key) || movement.units <= 0 || movement.units > UNITS_MAX - book.sale.allotment {
            return Moved::Refused;
        }
        book.sale.raises += 1;
        book.sale.left += movement.units;
        book.sale.allotment += movement.units;
        let movement = Movement { number: Some(book.sale.raises), ..movement };
        book.movements.push(movement.clone());
        Moved::Done(movement)
    }

    pub(super) fn withdraw(&mut self, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Moved {
        let now = self.now;
        let Some(book) = self.books.get_mut(&sale) else { return Moved::NotNow };
        // What stands under the key is the answer whatever the epoch is by now.
        if let Some(before) = book.movement(&withdrawal.key) {
            return if before.units == -withdrawal.units { Moved::Done(before.clone()) } else { Moved::Mismatch(before.clone()) };
        }
        if book.refused.contains_key(&withdrawal.key) {
            return Moved::Refused;
        }
        if !book.sale.status.has_gate() {
            return Moved::NotNow;
        }
        if book.sale.epoch != epoch {
            return Moved::Stale;
        }
        if withdrawal.units <= 0 || book.sale.left < withdrawal.units {
            book.refused.insert(withdrawal.key.clone(), withdrawal.units);
            return Moved::Refused;
        }
        book.sale.left -= withdrawal.units;
        book.sale.allotment -= withdrawal.units;
        let movement = Movement {
            key: withdrawal.key.clone(),
            units: -withdrawal.units,
            number: None,
            actor: withdrawal.actor.clone(),
            reason: withdrawal.reason.clone(),
            at: now,
        };
        book.movements.push(movement.clone());
        Moved::Done(movement)
    }

    pub(super) fn bump(&mut self, ask: BumpAsk) -> Bumped {
        let now = self.now;
        let Some(book) = self.books.get_mut(&ask.sale) else { return Bumped::NoSale };
        if book.sale.epoch != ask.seen {
            return Bumped::Moved(book.sale.epoch);
        }
        let to = ask.to.unwrap_or(book.sale.status);
        if !(book.sale.status.may_become(to) && to.has_gate()) {
            return Bumped::NotNow(book.sale.status);
        }
        if let Some(until) = book.lease.filter(|&until| until > now) {
            return Bumped::Leased(until);
        }
        book.sale.epoch = ask.seen.next();
        book.sale.run = ask.run;
        book.sale.status = to;
        if ask.to == Some(SaleStatus::Open) {
            book.sale.stopped = None;
        }
        book.lease = Some(now.after_ms(ask.lease_ms));
        Bumped::Won(Box::new(Rebuild {
            sale: book.sale.clone(),
            live: book.orders_made().filter(|(_, order)| order.status.is_live()).map(|(_, order)| order.ask.clone()).collect(),
            withdrawals: book.movements.iter().filter(|movement| movement.number.is_none()).map(|movement| movement.key.clone()).collect(),
        }))
    }

    pub(super) fn create(&mut self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault> {
        if let Some(book) = self.books.get(&terms.id) {
            let same = book.sale.terms == *terms && book.first_units == units;
            return Ok(if same { Ok(book.sale.clone()) } else { Err(book.sale.clone()) });
        }
        if self.books.len() >= SALES_MAX {
            return Err(Fault::none(format!("the ledger keeps {SALES_MAX} sales, its most")));
        }
        let first = Movement {
            key: FIRST_UNITS_KEY.parse().expect("this key is visible ASCII"),
            units,
            number: Some(1),
            actor: actor.to_owned(),
            reason: "the sale's first units".to_owned(),
            at: self.now,
        };
        let sale = Sale {
            terms: terms.clone(),
            status: SaleStatus::Draft,
            epoch: Epoch::default(),
            run: RunId::default(),
            left: units,
            allotment: units,
            raises: 1,
            stopped: None,
        };
        let book = Book {
            sale: sale.clone(),
            first_units: units,
            lease: None,
            orders: BTreeMap::new(),
            made: Vec::new(),
            made_by: BTreeMap::new(),
            history: BTreeMap::new(),
            movements: vec![first],
            refused: BTreeMap::new(),
        };
        self.books.insert(terms.id, book);
        Ok(Ok(sale))
    }
}
