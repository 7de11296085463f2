//! What happens when a ledger is opened: every row is read once, compared with the history and its checksum, and the
//! index is built from it.
//!
//! Damage is refused with the table's name. A row that somebody deleted, or a stock that somebody wrote, is no damage:
//! the sale is stopped, and the audit says the rest. What no checksum sees: the last transactions cut off whole (a queue
//! that remembers the ledger's sequence sees that), and a change that was made together with its checksums.

use super::history::Stored;
use super::index::{Index, Life, LiveParts, LiveUnits, Slot, Waiting};
use super::rows::{ORDER_COLUMNS, OrderRow, PAYMENT_SELECT, PaymentRow, Sum};
use super::sale_rows::{MOVEMENT_SELECT, MovementRow, SALE_SELECT, SaleState};
use rusqlite::Connection;
use sale::order::{PaymentState, Status};
use std::collections::BTreeMap;

/// What was read.
pub(super) struct Loaded {
    pub(super) index: Index,
    pub(super) live: LiveUnits,
    pub(super) waiting: Waiting,
    pub(super) sales: Vec<SaleState>,
    pub(super) next_seq: u64,
    pub(super) next_payment: u32,
    /// The greatest time in the file.
    pub(super) floor_ms: i64,
    /// Sales to be stopped, by their place, and why.
    pub(super) stops: Vec<(usize, String)>,
}

/// A table that is damaged, and how.
pub(super) struct Damage {
    pub(super) table: &'static str,
    pub(super) what: String,
}

fn damage<T>(table: &'static str, what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage { table, what: what.into() })
}

/// Turns SQLite's errors into damage of a table.
fn of<T>(table: &'static str, result: Result<T, rusqlite::Error>) -> Result<T, Damage> {
    result.map_err(|e| Damage { table, what: e.to_string() })
}

/// The checksum of the clock's mark.
pub(super) fn mark_crc(mark_ms: i64) -> u32 {
    let mut sum = Sum::new();
    sum.text("clock");
    sum.number(mark_ms);
    sum.end()
}

/// What the check needs of an order row until its history was read.
#[derive(Clone, Copy)]
struct Proof {
    crc: u32,
    status: Status,
    present: bool,
    first_seq: u32,
    last_seq: u32,
    /// The last row of history that named it.
    seen: u32,
    successor: u32,
}

const NO_PROOF: Proof = Proof { crc: 0, status: Status::Processing, present: false, first_seq: 0, last_seq: 0, seen: 0, successor: 0 };

/// Reads everything. `half` reads the same file: the rows of orders are read from two ends at once.
pub(super) fn load(sql: &Connection, half: Connection) -> Result<Loaded, Damage> {
    let mut loaded = Loaded {
        index: Index::new(),
        live: LiveUnits::new(),
        waiting: Waiting::new(),
        sales: Vec::new(),
        next_seq: 1,
        next_payment: 1,
        floor_ms: 0,
        stops: Vec::new(),
    };
    read_meta(sql, &mut loaded)?;
    read_sales(sql, &mut loaded)?;
    read_movements(sql, &mut loaded)?;
    // The index takes rows in their order, those that only the history knows included, so it comes last.
    let (mut proofs, mut slots, live_units) = read_orders(sql, half, &mut loaded)?;
    read_history(sql, &mut loaded, &mut proofs, &mut slots)?;
    fill_index(&mut loaded, slots)?;
    let bought = read_payments(sql, &mut loaded, proofs.len())?;
    for (at, proof) in proofs.iter().enumerate().filter(|(_, proof)| proof.present) {
        // Several late payments of one order may have bought; its row names the last.
        let proved = bought.get(&(at as u32 + 1)).map_or(proof.successor == 0, |rows| rows.contains(&proof.successor));
        if !proved {
            return damage("orders", format!("row {}: its successor is not what its payments bought", at + 1));
        }
    }
    for (at, (state, live)) in loaded.sales.iter().zip(live_units).enumerate() {
        if state.left + live != state.allotment {
            let why =
                format!("L1: {} left and {live} live units of {} are not its allotment of {}", state.left, state.terms.id, state.allotment);
            loaded.stops.push((at, why));
        }
    }
    Ok(loaded)
}

fn read_meta(sql: &Connection, loaded: &mut Loaded) -> Result<(), Damage> {
    let read = || {
        let mut statement = sql.prepare("select name, value, crc from meta")?;
        statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?, r.get::<_, u32>(2)?)))?.collect::<Result<Vec<_>, _>>()
    };
    for (name, value, crc) in of("meta", read())? {
        if name != "clock" || crc != mark_crc(value) {
            return damage("meta", format!("row {name:?} does not fit its checksum"));
        }
        loaded.floor_ms = value;
    }
    Ok(())
}

fn read_sales(sql: &Connection, loaded: &mut Loaded) -> Result<(), Damage> {
    let read = || {
        let mut statement = sql.prepare(&format!("{SALE_SELECT} order by sales.sale"))?;
        statement.query_map([], SaleState::read)?.collect::<Result<Vec<_>, _>>()
    };
    let count = |table: &str| sql.query_row(&format!("select count(*) from {table}"), [], |r| r.get::<_, i64>(0));
    loaded.sales = of("sales", read())?;
    if of("stock", count("stock"))? != loaded.sales.len() as i64 || of("sales", count("sales"))? != loaded.sales.len() as i64 {
        return damage("stock", "the tables `sales` and `stock` have not the same sales");
    }
    for (at, state) in loaded.sales.iter().enumerate() {
        let id = state.terms.id;
        if usize::from(state.key) != at + 1 {
            return damage("sales", format!("sale {} is missing", at + 1));
        }
        if state.crcs.0 != state.sale_crc() {
            return damage("sales", format!("the row of {id} does not fit its checksum"));
        }
        if state.crcs.1 != state.stock_crc() {
            if !state.by_hand {
                return damage("stock", format!("the row of {id} does not fit its checksum"));
            }
            loaded.stops.push((at, format!("the stock of {id} was changed by hand: {} left", state.left)));
        }
        loaded.index.add_sale(id);
    }
    Ok(())
}

fn read_movements(sql: &Connection, loaded: &mut Loaded) -> Result<(), Damage> {
    let read = || {
        let mut statement = sql.prepare(&format!("{MOVEMENT_SELECT} order by \"row\""))?;
        statement.query_map([], MovementRow::read)?.collect::<Result<Vec<_>, _>>()
    };
    let mut sums = vec![(0_i64, 0_u64); loaded.sales.len()];
    for (at, row) in of("movements", read())?.into_iter().enumerate() {
        if row.crc != row.sum() || row.row != at as i64 + 1 {
            return damage("movements", format!("row {} does not fit its checksum, or one before it is missing", row.row));
        }
        let Some(sum) = usize::from(row.sale).checked_sub(1).and_then(|at| sums.get_mut(at)) else {
            return damage("movements", format!("row {} is of an unknown sale", row.row));
        };
        if !row.refused {
            sum.0 += row.movement.units;
            sum.1 += u64::from(row.movement.number.is_some());
        }
        loaded.floor_ms = loaded.floor_ms.max(row.movement.at.0);
    }
    for (state, sum) in loaded.sales.iter().zip(sums) {
        if (state.allotment, state.raises) != sum && !state.by_hand {
            return damage("movements", format!("the movements of {} are not its allotment", state.terms.id));
        }
    }
    Ok(())
}

type Slots = Vec<Option<Slot>>;

/// What was read of a run of order rows.
struct Part {
    proofs: Vec<Proof>,
    slots: Slots,
    /// By the sale's place.
    live_units: Vec<i64>,
    live: LiveParts,
    /// Time to pay and row.
    waiting: Vec<(u32, u32)>,
}

fn read_orders(sql: &Connection, half: Connection, loaded: &mut Loaded) -> Result<(Vec<Proof>, Slots, Vec<i64>), Damage> {
    let last = of("orders", sql.query_row("select coalesce(max(\"row\"), 0) from orders", [], |r| r.get::<_, i64>(0)))?;
    let (middle, sales, names) = (last / 2, loaded.sales.len(), &loaded.live);
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(move || read_part(&{ half }, middle + 1, i64::MAX, sales, names));
        let first = read_part(sql, i64::MIN, middle, sales, names);
        (first, second.join().expect("reading rows does not panic"))
    });
    let (mut first, mut second) = (first?, second?);
    if usize::try_from(middle).is_ok_and(|middle| middle > first.slots.len() + GAP_MAX) {
        return damage("orders", format!("row {last} stands where it cannot"));
    }
    // Rows that are missing before the middle are looked for in the history.
    first.proofs.resize(middle.max(0) as usize, NO_PROOF);
    first.slots.resize(middle.max(0) as usize, None);
    first.proofs.append(&mut second.proofs);
    first.slots.append(&mut second.slots);
    for (sum, units) in first.live_units.iter_mut().zip(second.live_units) {
        *sum += units;
    }
    loaded.live.fill([first.live, second.live]);
    for (pay_within_s, row) in first.waiting.into_iter().chain(second.waiting) {
        loaded.waiting.push(pay_within_s, row);
    }
    Ok((first.proofs, first.slots, first.live_units))
}

fn read_part(sql: &Connection, from: i64, to: i64, sales: usize, names: &LiveUnits) -> Result<Part, Damage> {
    let table = "orders";
    let before = from.max(1) as usize - 1;
    let mut part =
        Part { proofs: Vec::new(), slots: Vec::new(), live_units: vec![0; sales], live: LiveParts::default(), waiting: Vec::new() };
    let select = format!("select {ORDER_COLUMNS} from orders where \"row\" between ?1 and ?2 order by \"row\"");
    let mut statement = of(table, sql.prepare(&select))?;
    let mut rows = of(table, statement.query([from, to]))?;
    let mut buffer = Vec::with_capacity(256);
    while let Some(r) = of(table, rows.next())? {
        let row = of(table, OrderRow::read(r))?;
        let Some(units) = usize::from(row.sale).checked_sub(1).and_then(|at| part.live_units.get_mut(at)) else {
            return damage(table, format!("row {} is of an unknown sale", row.row));
        };
        // A flipped row number must not make this grow without end; the history tells which rows may be missing.
        let at = (row.row as usize).checked_sub(before + 1).filter(|at| (part.slots.len()..=part.slots.len() + GAP_MAX).contains(at));
        let Some(at) = at else { return damage(table, format!("row {} stands where it cannot", row.row)) };
        part.slots.resize(at, None);
        part.proofs.resize(at, NO_PROOF);
        let life = Life::Row(row.status);
        part.slots.push(Some(Slot { digest: row.digest, sale: row.sale, life }));
        let seq = |seq: u64| u32::try_from(seq).map_err(|_| Damage { table, what: format!("row {}: seq {seq} is too great", row.row) });
        // No row has the number zero; a successor that says so is nobody's.
        let successor = row.successor.map_or(0, |row| if row == 0 { u32::MAX } else { row });
        let (crc, first_seq, last_seq) = (row.crc(&mut buffer), seq(row.first_seq)?, seq(row.last_seq)?);
        part.proofs.push(Proof { crc, status: row.status, present: true, first_seq, last_seq, seen: 0, successor });
        if row.status.is_live() {
            *units += i64::from(row.quantity);
            part.live.push(names.name(row.sale, row.buyer), row.quantity);
        }
        if life.waits() {
            part.waiting.push((row.pay_within_s, row.row));
        }
    }
    Ok(part)
}

/// Most rows that may be missing in one place before it is called damage.
const GAP_MAX: usize = 1_000_000;

fn fill_index(loaded: &mut Loaded, slots: Slots) -> Result<(), Damage> {
    let mut all = Vec::with_capacity(slots.len());
    for (at, slot) in slots.into_iter().enumerate() {
        let Some(slot) = slot else { return damage("orders", format!("row {} is missing and the history does not know it", at + 1)) };
        if slot.life == Life::Deleted {
            let sale = usize::from(slot.sale) - 1;
            let id = sale::words::OrderId { sale: loaded.sales[sale].terms.id, digest: sale::words::Digest(slot.digest) };
            loaded.stops.push((sale, format!("order {id} has a history but no row: it was deleted by hand")));
        }
        all.push(slot);
    }
    loaded.index.fill(&all).map_err(|row| Damage { table: "orders", what: format!("row {row} has the id of another row") })
}

fn read_history(sql: &Connection, loaded: &mut Loaded, proofs: &mut Vec<Proof>, slots: &mut Slots) -> Result<(), Damage> {
    let table = "order_history";
    let mut statement = of(table, sql.prepare("select seq, sale, entries from order_history order by seq"))?;
    let mut rows = of(table, statement.query([]))?;
    while let Some(r) = of(table, rows.next())? {
        let (seq, sale) = (of(table, r.get::<_, i64>(0))? as u64, of(table, r.get::<_, u16>(1))?);
        if seq != loaded.next_seq || seq > u64::from(u32::MAX) {
            return damage(table, format!("seq {} is missing", loaded.next_seq));
        }
        loaded.next_seq += 1;
        let blob = of(table, r.get_ref(2))?.as_blob().unwrap_or_default();
        let known = (1..=loaded.sales.len()).contains(&usize::from(sale));
        let Some(stored) = Stored::read(seq, sale, blob).filter(|_| known) else {
            return damage(table, format!("seq {seq} does not fit its checksum"));
        };
        loaded.floor_ms = loaded.floor_ms.max(stored.at);
        for entry in stored.entries() {
            let Some(entry) = entry.filter(|entry| entry.row > 0) else {
                return damage(table, format!("seq {seq} has an entry that no version wrote"));
            };
            let at = entry.row as usize - 1;
            if at >= slots.len() {
                slots.resize(at + 1, None);
                proofs.resize(at + 1, NO_PROOF);
            }
            let proof = &mut proofs[at];
            if u64::from(proof.seen) != entry.previous {
                return damage(table, format!("seq {seq} does not follow on what was there of row {}", entry.row));
            }
            proof.seen = seq as u32;
            if !proof.present {
                slots[at] = Some(Slot { digest: entry.digest, sale, life: Life::Deleted });
            } else if slots[at].is_none_or(|slot| slot.digest != entry.digest || slot.sale != sale)
                || (entry.previous == 0 && proof.first_seq != proof.seen)
                || (proof.last_seq == proof.seen && (proof.crc != entry.row_crc || proof.status != entry.to))
            {
                return damage("orders", format!("row {} does not fit its history (seq {seq})", entry.row));
            }
        }
    }
    match proofs.iter().position(|proof| proof.present && (proof.last_seq != proof.seen || proof.seen == 0)) {
        Some(at) => damage("orders", format!("row {} has not the history that it names", at + 1)),
        None => Ok(()),
    }
}

/// Answers, by the row of the expired order, what late payments have bought.
fn read_payments(sql: &Connection, loaded: &mut Loaded, orders: usize) -> Result<BTreeMap<u32, Vec<u32>>, Damage> {
    let table = "payments";
    let mut bought = BTreeMap::<u32, Vec<u32>>::new();
    let mut statement = of(table, sql.prepare(&format!("{PAYMENT_SELECT} order by \"row\"")))?;
    let mut rows = of(table, statement.query([]))?;
    while let Some(r) = of(table, rows.next())? {
        let payment = of(table, PaymentRow::read(r))?;
        let known = |row: u32| (1..=orders).contains(&(row as usize));
        if payment.crc != payment.sum() || payment.row != loaded.next_payment || !known(payment.order_row) || !known(payment.pays()) {
            return damage(table, format!("row {} does not fit its checksum, or one before it is missing", payment.row));
        }
        loaded.next_payment += 1;
        loaded.floor_ms = loaded.floor_ms.max(payment.at);
        let index = &mut loaded.index;
        index.add_payment(index.tag(payment.id.as_str()), payment.row);
        index.link_payment(payment.order_row, payment.row);
        index.set_late(payment.row, payment.state == PaymentState::Late);
        if let Some(row) = payment.bought_row {
            index.link_payment(row, payment.row);
            bought.entry(payment.order_row).or_default().push(row);
        }
    }
    Ok(bought)
}
