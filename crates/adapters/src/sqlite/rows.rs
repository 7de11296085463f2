//! The rows of orders and payments as the domain's values and back, and their checksums.
//!
//! It reads and writes one row; what a transaction is made of it does not know.

use super::Failure;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, params};
use sale::order::{Order, Payment, PaymentState, Reason, Status};
use sale::words::{Ask, BuyerId, Digest, Epoch, LatePayment, OrderId, PaymentId, Price, Quantity, SaleId, Time};

/// Finds what an order row names by a number.
pub(super) trait Names {
    fn sale_id(&self, key: u16) -> Option<SaleId>;
    fn digest_of(&self, row: u32) -> Option<Digest>;
}

/// The columns of an order in the order in which [`OrderRow::read`] takes them. A macro, so that statements are texts that
/// nobody has to build.
macro_rules! order_columns {
    () => {
        "\"row\", sale, digest, buyer, quantity, unit_price, currency, pay_within_s, asked_at, late, epoch, status, \
         reason, version, created_at, updated_at, first_seq, last_seq, successor"
    };
}
/// See the macro.
pub(super) const ORDER_COLUMNS: &str = order_columns!();
const ORDER_AT: &str = concat!("select ", order_columns!(), " from orders where \"row\" = ?1");

/// An order row, borrowed from SQLite or from an [`Order`].
#[derive(Clone, Copy)]
pub(super) struct OrderRow<'a> {
    pub(super) row: u32,
    pub(super) sale: u16,
    pub(super) digest: [u8; 16],
    pub(super) buyer: &'a str,
    pub(super) quantity: u32,
    pub(super) unit_price: i64,
    pub(super) currency: &'a str,
    pub(super) pay_within_s: u32,
    pub(super) asked_at: i64,
    /// The digest of the expired order, then the payment's id.
    pub(super) late: Option<&'a [u8]>,
    pub(super) epoch: u64,
    pub(super) status: Status,
    pub(super) reason: Option<Reason>,
    pub(super) version: u32,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) successor: Option<u32>,
}

/// An order and what the ledger alone knows of it.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) order: Order,
    pub(super) row: u32,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

fn out_of_range(column: usize, value: i64) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, value)
}

pub(super) fn word<T: Copy>(all: &[T], column: usize, code: i64) -> Result<T, rusqlite::Error> {
    usize::try_from(code).ok().and_then(|at| all.get(at)).copied().ok_or_else(|| out_of_range(column, code))
}

pub(super) fn whole<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error> {
    let value = match row.get_ref(column)? {
        ValueRef::Integer(value) => value,
        other => return Err(rusqlite::Error::InvalidColumnType(column, "an integer".into(), other.data_type())),
    };
    T::try_from(value).map_err(|_| out_of_range(column, value))
}

pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, rusqlite::Error> {
    row.get_ref(column)?.as_str().map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(text: &str) -> Result<T, rusqlite::Error> {
    text.parse().map_err(|e: T::Err| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
}

pub(super) fn valid<T>(value: Result<T, sale::words::Invalid>) -> Result<T, rusqlite::Error> {
    value.map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, Box::new(e)))
}

pub(super) fn null_or<T>(
    row: &Row<'_>,
    column: usize,
    read: impl FnOnce() -> Result<T, rusqlite::Error>,
) -> Result<Option<T>, rusqlite::Error> {
    if matches!(row.get_ref(column)?, ValueRef::Null) { Ok(None) } else { read().map(Some) }
}

impl<'a> OrderRow<'a> {
    pub(super) fn read(r: &'a Row<'_>) -> Result<Self, rusqlite::Error> {
        let blob = |column: usize| {
            r.get_ref(column)?.as_blob().map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e)))
        };
        let digest = blob(2)?;
        Ok(Self {
            row: whole(r, 0)?,
            sale: whole(r, 1)?,
            digest: digest.try_into().map_err(|_| out_of_range(2, digest.len() as i64))?,
            buyer: text(r, 3)?,
            quantity: whole(r, 4)?,
            unit_price: whole(r, 5)?,
            currency: text(r, 6)?,
            pay_within_s: whole(r, 7)?,
            asked_at: whole(r, 8)?,
            late: null_or(r, 9, || blob(9))?,
            epoch: whole::<i64>(r, 10)? as u64,
            status: word(&Status::ALL, 11, whole(r, 11)?)?,
            reason: null_or(r, 12, || word(&Reason::ALL, 12, whole(r, 12)?))?,
            version: whole(r, 13)?,
            created_at: whole(r, 14)?,
            updated_at: whole(r, 15)?,
            first_seq: whole(r, 16)?,
            last_seq: whole(r, 17)?,
            successor: null_or(r, 18, || whole(r, 18))?,
        })
    }

    /// Borrows an order. `late` is [`late_bytes`] of it.
    pub(super) fn of(order: &'a Order, sale: u16, row: u32, seqs: (u64, u64), late: Option<&'a [u8]>) -> Self {
        let ask = &order.ask;
        Self {
            row,
            sale,
            digest: ask.digest.0,
            buyer: ask.buyer.as_str(),
            quantity: ask.quantity.get(),
            unit_price: ask.unit_price.minor(),
            currency: ask.currency.as_str(),
            pay_within_s: ask.pay_within_s,
            asked_at: ask.asked_at.0,
            late,
            epoch: order.epoch.0,
            status: order.status,
            reason: order.reason,
            version: order.version,
            created_at: order.created_at.0,
            updated_at: order.updated_at.0,
            first_seq: seqs.0,
            last_seq: seqs.1,
            successor: None,
        }
    }

    /// The checksum of everything but `successor`, which changes without a line of history and is proved by its payment.
    pub(super) fn crc(&self, buffer: &mut Vec<u8>) -> u32 {
        buffer.clear();
        buffer.extend_from_slice(&self.row.to_le_bytes());
        buffer.extend_from_slice(&self.sale.to_le_bytes());
        buffer.extend_from_slice(&self.digest);
        buffer.extend_from_slice(&self.quantity.to_le_bytes());
        buffer.extend_from_slice(&self.pay_within_s.to_le_bytes());
        buffer.extend_from_slice(&self.version.to_le_bytes());
        buffer.extend_from_slice(&[self.status as u8, self.reason.map_or(u8::MAX, |reason| reason as u8)]);
        for number in [self.unit_price, self.asked_at, self.created_at, self.updated_at] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.epoch, self.first_seq, self.last_seq] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        buffer.extend_from_slice(self.currency.as_bytes());
        buffer.push(self.buyer.len() as u8);
        buffer.extend_from_slice(self.buyer.as_bytes());
        if let Some(late) = self.late {
            buffer.push(1);
            buffer.extend_from_slice(late);
        }
        crc32fast::hash(buffer)
    }

    pub(super) fn insert(&self, statement: &mut CachedStatement<'_>) -> Result<(), rusqlite::Error> {
        statement.execute(params![
            self.row,
            self.sale,
            self.digest.as_slice(),
            self.buyer,
            self.quantity,
            self.unit_price,
            self.currency,
            self.pay_within_s,
            self.asked_at,
            self.late,
            self.epoch as i64,
            self.status as u8,
            self.reason.map(|reason| reason as u8),
            self.version,
            self.created_at,
            self.updated_at,
            self.first_seq as i64,
            self.last_seq as i64,
            self.successor,
        ])?;
        Ok(())
    }

    pub(super) fn kept(&self, names: &dyn Names) -> Result<Kept, Failure> {
        let lost =
            |what: &str, number: u32| Failure::Broken(format!("table `orders`, row {}: nothing is known of {what} {number}", self.row));
        let late = match self.late {
            None => None,
            Some(bytes) => Some(Box::new(late_payment(bytes)?)),
        };
        let successor = match self.successor {
            None => None,
            Some(row) => Some(names.digest_of(row).ok_or_else(|| lost("row", row))?),
        };
        let ask = Ask {
            digest: Digest(self.digest),
            buyer: parsed::<BuyerId>(self.buyer)?,
            quantity: valid(Quantity::new(self.quantity))?,
            unit_price: valid(Price::new(self.unit_price))?,
            currency: parsed(self.currency)?,
            pay_within_s: self.pay_within_s,
            asked_at: Time(self.asked_at),
            late,
        };
        let order = Order {
            sale: names.sale_id(self.sale).ok_or_else(|| lost("sale", u32::from(self.sale)))?,
            status: self.status,
            reason: self.reason,
            epoch: Epoch(self.epoch),
            version: self.version,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            pay_by: pay_by(self.status, Time(self.created_at), &ask),
            successor,
            ask,
        };
        Ok(Kept { order, row: self.row, first_seq: self.first_seq, last_seq: self.last_seq })
    }
}

/// Until when an order can be paid: of confirmed orders only.
pub(super) fn pay_by(status: Status, created_at: Time, ask: &Ask) -> Option<Time> {
    (status == Status::Confirmed).then(|| created_at.after_ms(i64::from(ask.pay_within_s) * 1_000))
}

/// The column `late` of an ask.
pub(super) fn late_bytes(ask: &Ask) -> Option<Vec<u8>> {
    ask.late.as_ref().map(|late| [&late.expired.0, late.payment.as_str().as_bytes()].concat())
}

fn late_payment(bytes: &[u8]) -> Result<LatePayment, rusqlite::Error> {
    let Some((digest, id)) = bytes.split_first_chunk::<16>() else { return Err(out_of_range(9, bytes.len() as i64)) };
    let id = std::str::from_utf8(id).map_err(|e| rusqlite::Error::Utf8Error(9, e))?;
    Ok(LatePayment { expired: Digest(*digest), payment: parsed::<PaymentId>(id)? })
}

/// One order by its row. `None`: the rows do not have it.
pub(super) fn order_at(sql: &Connection, names: &dyn Names, row: u32) -> Result<Option<Kept>, Failure> {
    let mut statement = sql.prepare_cached(ORDER_AT)?;
    let mut rows = statement.query([row])?;
    match rows.next()? {
        None => Ok(None),
        Some(r) => OrderRow::read(r)?.kept(names).map(Some),
    }
}

// ------------------------------------------------------------------------------------------------------- checksums

/// A checksum over columns.
pub(super) struct Sum(crc32fast::Hasher);

impl Sum {
    pub(super) fn new() -> Self {
        Self(crc32fast::Hasher::new())
    }

    pub(super) fn number(&mut self, number: i64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as i64);
        self.0.update(text.as_bytes());
    }

    pub(super) fn maybe(&mut self, number: Option<i64>) {
        self.number(number.unwrap_or(i64::MIN));
    }

    pub(super) fn end(self) -> u32 {
        self.0.finalize()
    }
}

// ----------------------------------------------------------------------------------------------------- payments

/// A payment's row.
#[derive(Clone)]
pub(super) struct PaymentRow {
    pub(super) row: u32,
    pub(super) id: PaymentId,
    pub(super) sale: u16,
    pub(super) order_row: u32,
    pub(super) amount: i64,
    pub(super) state: PaymentState,
    pub(super) bought_row: Option<u32>,
    pub(super) at: i64,
    pub(super) crc: u32,
}

/// The columns of a payment in the order in which [`PaymentRow::read`] takes them.
pub(super) const PAYMENT_SELECT: &str = "select \"row\", id, sale, order_row, amount, state, bought_row, at, crc from payments";

impl PaymentRow {
    pub(super) fn read(r: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            row: whole(r, 0)?,
            id: parsed(text(r, 1)?)?,
            sale: whole(r, 2)?,
            order_row: whole(r, 3)?,
            amount: whole(r, 4)?,
            state: word(&PaymentState::ALL, 5, whole(r, 5)?)?,
            bought_row: null_or(r, 6, || whole(r, 6))?,
            at: whole(r, 7)?,
            crc: whole(r, 8)?,
        })
    }

    pub(super) fn sum(&self) -> u32 {
        let mut sum = Sum::new();
        for number in [self.row.into(), self.sale.into(), self.order_row.into(), self.amount, self.state as i64, self.at] {
            sum.number(number);
        }
        sum.maybe(self.bought_row.map(i64::from));
        sum.text(self.id.as_str());
        sum.end()
    }

    /// The row of the order that this payment paid, or is meant for.
    pub(super) fn pays(&self) -> u32 {
        self.bought_row.unwrap_or(self.order_row)
    }

    pub(super) fn payment(&self, names: &dyn Names) -> Result<Payment, Failure> {
        let lost = |row: u32| Failure::Broken(format!("table `payments`, row {}: nothing is known of order row {row}", self.row));
        let sale = names.sale_id(self.sale).ok_or_else(|| lost(self.order_row))?;
        let digest = names.digest_of(self.order_row).ok_or_else(|| lost(self.order_row))?;
        let bought = match self.bought_row {
            None => None,
            Some(row) => Some(names.digest_of(row).ok_or_else(|| lost(row))?),
        };
        Ok(Payment {
            id: self.id.clone(),
            order: OrderId { sale, digest },
            amount: self.amount,
            state: self.state,
            bought,
            at: Time(self.at),
        })
    }
}

/// One payment by its row.
pub(super) fn payment_at(sql: &Connection, row: u32) -> Result<Option<PaymentRow>, Failure> {
    let mut statement = sql.prepare_cached(&format!("{PAYMENT_SELECT} where \"row\" = ?1"))?;
    let mut rows = statement.query([row])?;
    Ok(rows.next()?.map(PaymentRow::read).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sale::words::SaleStatus;

    #[test]
    fn a_code_in_the_file_is_the_place_in_the_domains_list() {
        assert!(Status::ALL.iter().enumerate().all(|(at, &word)| word as usize == at));
        assert!(Reason::ALL.iter().enumerate().all(|(at, &word)| word as usize == at));
        assert!(SaleStatus::ALL.iter().enumerate().all(|(at, &word)| word as usize == at));
        assert!(PaymentState::ALL.iter().enumerate().all(|(at, &word)| word as usize == at));
        assert!(sale::order::Source::ALL.iter().enumerate().all(|(at, &word)| word as usize == at));
    }
}
