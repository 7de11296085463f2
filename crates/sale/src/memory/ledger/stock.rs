//! The ledger's transactions about a sale as a whole: its making, who decides, movements of stock.

use super::{Book, State};
use crate::ports::{BumpAsk, Bumped, Fault, Moved, Movement, Rebuild, Withdrawal};
use crate::stock::{self, Footing, Known, Moving};
use crate::words::{Epoch, MovementKey, RunId, SALES_MAX, Sale, SaleId, SaleStatus, Terms};
use std::collections::{BTreeMap, BTreeSet};

impl State {
    pub(super) fn raise(&mut self, sale: SaleId, movement: Movement) -> Moved {
        let Some(book) = self.books.get_mut(&sale) else { return Moved::NotNow };
        match stock::raise(book.known(&movement.key), book.footing(), movement.units) {
            Ok(units) => {
                book.sale.raises += 1;
                book.moved(units, Movement { number: Some(book.sale.raises), ..movement })
            }
            Err(answer) => answer,
        }
    }

    pub(super) fn withdraw(&mut self, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Moved {
        let now = self.now;
        let Some(book) = self.books.get_mut(&sale) else { return Moved::NotNow };
        match stock::withdraw(book.known(&withdrawal.key), book.footing(), epoch, withdrawal.units) {
            Moving::Do(units) => {
                let Withdrawal { key, actor, reason, .. } = withdrawal.clone();
                book.moved(units, Movement { key, units, number: None, actor, reason, at: now })
            }
            Moving::Answer(answer) => answer,
            Moving::Refuse => book.refused(&withdrawal.key),
        }
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
            key: MovementKey::first_units(),
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
            refused: BTreeSet::new(),
        };
        self.books.insert(terms.id, book);
        Ok(Ok(sale))
    }
}

impl Book {
    fn footing(&self) -> Footing {
        let Sale { status, epoch, left, allotment, .. } = self.sale;
        Footing { status, epoch, left, allotment }
    }

    fn known(&self, key: &MovementKey) -> Option<Known> {
        match self.movement(key) {
            Some(movement) => Some(Known::Done(movement.clone())),
            None => self.refused.contains(key).then_some(Known::Refused),
        }
    }

    fn moved(&mut self, units: i64, movement: Movement) -> Moved {
        self.sale.left += units;
        self.sale.allotment += units;
        self.movements.push(movement.clone());
        Moved::Done(movement)
    }

    fn refused(&mut self, key: &MovementKey) -> Moved {
        self.refused.insert(key.clone());
        Moved::Refused
    }
}
