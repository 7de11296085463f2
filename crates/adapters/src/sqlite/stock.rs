//! Sales and their stock: making a sale, its status, the epoch, and numbered movements.

use super::Failure;
use super::rows::{self, OrderRow};
use super::sale_rows::{MOVEMENT_SELECT, MovementRow, SaleState};
use super::tx::Tx;
use rusqlite::params;
use sale::ports::{BumpAsk, Bumped, Fault, Moved, Movement, Rebuild, SaleChange, Withdrawal};
use sale::stock::{self, Footing, Known, Moving};
use sale::words::{Ask, Epoch, MovementKey, RunId, SALES_MAX, Sale, SaleId, SaleStatus, Terms, Time};
use std::sync::Arc;

/// [`sale::ports::Ledger::create_sale`].
pub(super) fn create(tx: &mut Tx<'_>, terms: &Terms, units: i64, actor: &str) -> Result<Result<Result<Sale, Sale>, Fault>, Failure> {
    if let Some(at) = tx.sale_at(terms.id) {
        let state = &tx.state.sales[at];
        let same = *state.terms == *terms && state.first_units == units;
        return Ok(Ok(if same { Ok(state.sale()) } else { Err(state.sale()) }));
    }
    if tx.state.sales.len() >= SALES_MAX {
        return Ok(Err(Fault::none(format!("the ledger keeps {SALES_MAX} sales, its most; start another ledger"))));
    }
    let key = tx.state.sales.len() as u16 + 1;
    let mut state = SaleState {
        key,
        terms: Arc::new(terms.clone()),
        first_units: units,
        status: SaleStatus::Draft,
        stopped: None,
        left: units,
        version: 1,
        allotment: units,
        raises: 1,
        epoch: Epoch::default(),
        run: RunId::default(),
        lease_until: 0,
        crcs: (0, 0),
        by_hand: false,
    };
    state.crcs = (state.sale_crc(), state.stock_crc());
    insert(tx, &state)?;
    let sale = state.sale();
    tx.state.sales.push(state);
    let first = Movement {
        key: MovementKey::first_units(),
        units,
        number: Some(1),
        actor: actor.to_owned(),
        reason: "the sale's first units".to_owned(),
        at: Time(tx.now_ms),
    };
    insert_movement(tx, key, &first, false)?;
    Ok(Ok(Ok(sale)))
}

fn insert(tx: &Tx<'_>, s: &SaleState) -> Result<(), Failure> {
    let t = &s.terms;
    tx.sql
        .prepare_cached(
            "insert into sales (sale, id, title, campaign, goods_type, sku, unit_price, currency, holdback, limit_per_buyer, quantity_max, \
             opens_at, closes_at, pay_within_s, first_units, status, stopped, crc) \
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(params![
            s.key,
            t.id.as_str(),
            t.title,
            t.campaign,
            t.goods_type,
            t.sku,
            t.unit_price.minor(),
            t.currency.as_str(),
            t.holdback,
            t.limit_per_buyer,
            t.quantity_max,
            t.opens_at.0,
            t.closes_at.0,
            t.pay_within_s,
            s.first_units,
            s.status as u8,
            s.stopped,
            s.crcs.0,
        ])?;
    tx.sql
        .prepare_cached(
            "insert into stock (sale, \"left\", version, allotment, raises, epoch, run, lease_until, crc) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![s.key, s.left, s.version, s.allotment, s.raises as i64, s.epoch.0 as i64, s.run.0 as i64, s.lease_until, s.crcs.1])?;
    Ok(())
}

/// [`sale::ports::Ledger::change_sale`].
pub(super) fn change(tx: &mut Tx<'_>, sale: SaleId, change: &SaleChange) -> Result<Option<Sale>, Failure> {
    let Some(at) = tx.sale_at(sale) else { return Ok(None) };
    let status = tx.state.sales[at].status;
    match change.to() {
        Ok(to) if to != status && status.may_become(to) => tx.change_sale(at, |s| s.status = to)?,
        Ok(_) => {}
        Err(why) => tx.stop(at, why.to_owned())?,
    }
    Ok(Some(tx.state.sales[at].sale()))
}

/// [`sale::ports::Ledger::bump`].
pub(super) fn bump(tx: &mut Tx<'_>, ask: BumpAsk) -> Result<Bumped, Failure> {
    let Some(at) = tx.sale_at(ask.sale) else { return Ok(Bumped::NoSale) };
    tx.check_stock(at)?;
    let state = &tx.state.sales[at];
    if state.epoch != ask.seen {
        return Ok(Bumped::Moved(state.epoch));
    }
    let to = ask.to.unwrap_or(state.status);
    if !(state.status.may_become(to) && to.has_gate()) {
        return Ok(Bumped::NotNow(state.status));
    }
    if state.lease_until > tx.now_ms {
        return Ok(Bumped::Leased(Time(state.lease_until)));
    }
    let (key, now) = (state.key, Time(tx.now_ms));
    let looked = ask.to == Some(SaleStatus::Open) && state.stopped.is_some();
    if state.status != to || looked {
        tx.change_sale(at, |s| {
            s.status = to;
            s.stopped = s.stopped.take().filter(|_| !looked);
        })?;
    }
    tx.change_stock(at, |s| {
        s.epoch = ask.seen.next();
        s.run = ask.run;
        s.lease_until = now.after_ms(ask.lease_ms).0;
    })?;
    let live = live_asks(tx, key)?;
    let mut statement =
        tx.sql.prepare_cached("select \"key\" from movements where sale = ?1 and number is null and refused = 0 order by \"row\"")?;
    let keys = statement.query_map([key], |r| r.get::<_, String>(0))?;
    let mut withdrawals = Vec::new();
    for text in keys {
        let text = text?;
        withdrawals.push(text.parse().map_err(|e| Failure::Broken(format!("table `movements`, key {text}: {e}")))?);
    }
    Ok(Bumped::Won(Box::new(Rebuild { sale: tx.state.sales[at].sale(), live, withdrawals })))
}

/// The asks of all live orders of a sale.
fn live_asks(tx: &Tx<'_>, key: u16) -> Result<Vec<Ask>, Failure> {
    // This transaction's own rows lie behind the index's last.
    let first = tx.state.shared.read().span(key).map_or(0, |(first, _)| first);
    let columns = rows::ORDER_COLUMNS;
    // Status codes: 1 confirmed, 2 paid.
    let select = format!("select {columns} from orders where \"row\" >= ?1 and sale = ?2 and status in (1, 2) order by \"row\"");
    let mut statement = tx.sql.prepare_cached(&select)?;
    let mut found = statement.query(params![first, key])?;
    let mut live = Vec::new();
    while let Some(r) = found.next()? {
        live.push(OrderRow::read(r)?.kept(tx)?.order.ask);
    }
    Ok(live)
}

/// [`sale::ports::Ledger::whole`].
pub(super) fn whole(tx: &mut Tx<'_>, sale: SaleId, epoch: Epoch) -> Result<(), Failure> {
    let Some(at) = tx.sale_at(sale) else { return Ok(()) };
    if tx.state.sales[at].epoch == epoch && tx.state.sales[at].lease_until != 0 {
        tx.change_stock(at, |s| s.lease_until = 0)?;
    }
    Ok(())
}

// -------------------------------------------------------------------------------------------------------- movements

fn insert_movement(tx: &Tx<'_>, sale: u16, movement: &Movement, refused: bool) -> Result<(), Failure> {
    let row = tx.sql.query_row("select coalesce(max(\"row\"), 0) + 1 from movements", [], |r| r.get(0))?;
    let stored = MovementRow { row, sale, movement: movement.clone(), refused, crc: 0 };
    let m = &stored.movement;
    let mut statement = tx.sql.prepare_cached(
        "insert into movements (\"row\", sale, \"key\", units, number, actor, reason, at, refused, crc) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let number = m.number.map(|number| number as i64);
    statement.execute(params![row, sale, m.key.as_str(), m.units, number, m.actor, m.reason, m.at.0, refused, stored.sum()])?;
    Ok(())
}

fn by_key(tx: &Tx<'_>, sale: u16, key: &MovementKey) -> Result<Option<MovementRow>, Failure> {
    let mut statement = tx.sql.prepare_cached(&format!("{MOVEMENT_SELECT} where sale = ?1 and \"key\" = ?2"))?;
    let mut found = statement.query(params![sale, key.as_str()])?;
    Ok(found.next()?.map(MovementRow::read).transpose()?)
}

fn footing(sale: &SaleState) -> Footing {
    Footing { status: sale.status, epoch: sale.epoch, left: sale.left, allotment: sale.allotment }
}

/// [`sale::ports::Ledger::raise`].
pub(super) fn raise(tx: &mut Tx<'_>, sale: SaleId, mut movement: Movement) -> Result<Moved, Failure> {
    let Some(at) = tx.sale_at(sale) else { return Ok(Moved::NotNow) };
    movement.at = Time(tx.now_ms);
    let known = known_by(tx, at, &movement.key)?;
    match stock::raise(known, footing(&tx.state.sales[at]), movement.units) {
        Ok(units) => {
            movement.number = Some(tx.state.sales[at].raises + 1);
            tx.change_stock(at, |s| {
                s.raises += 1;
                s.left += units;
                s.allotment += units;
            })?;
            insert_movement(tx, tx.state.sales[at].key, &movement, false)?;
            Ok(Moved::Done(movement))
        }
        Err(answer) => Ok(answer),
    }
}

/// [`sale::ports::Ledger::withdraw`].
pub(super) fn withdraw(tx: &mut Tx<'_>, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Result<Moved, Failure> {
    let Some(at) = tx.sale_at(sale) else { return Ok(Moved::NotNow) };
    let movement = Movement {
        key: withdrawal.key.clone(),
        units: -withdrawal.units,
        number: None,
        actor: withdrawal.actor.clone(),
        reason: withdrawal.reason.clone(),
        at: Time(tx.now_ms),
    };
    let known = known_by(tx, at, &withdrawal.key)?;
    match stock::withdraw(known, footing(&tx.state.sales[at]), epoch, withdrawal.units) {
        Moving::Do(units) => {
            insert_movement(tx, tx.state.sales[at].key, &movement, false)?;
            tx.change_stock(at, |s| {
                s.left += units;
                s.allotment += units;
            })?;
            Ok(Moved::Done(movement))
        }
        Moving::Answer(answer) => Ok(answer),
        Moving::Refuse => refused(tx, at, &movement),
    }
}

/// What stands under the key. Only a key that is free needs a stock that nobody has changed by hand.
fn known_by(tx: &mut Tx<'_>, at: usize, key: &MovementKey) -> Result<Option<Known>, Failure> {
    let known = by_key(tx, tx.state.sales[at].key, key)?.map(|row| if row.refused { Known::Refused } else { Known::Done(row.movement) });
    if known.is_none() {
        tx.check_stock(at)?;
    }
    Ok(known)
}

fn refused(tx: &Tx<'_>, at: usize, movement: &Movement) -> Result<Moved, Failure> {
    insert_movement(tx, tx.state.sales[at].key, movement, true)?;
    Ok(Moved::Refused)
}
