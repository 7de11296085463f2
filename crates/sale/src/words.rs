//! The words of a sale: ids, money, quantity, time, the ask, the sale, and the two kinds of "no".
//!
//! Every value is checked where it is made and cannot be wrong afterwards. This file knows no store and no wire.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// Most sales that one installation keeps open at once; a limit on every list that walks over sales.
pub const SALES_MAX: usize = 10_000;
/// Most purchases in one batch, so in one half message and one atomic gate decision.
pub const BATCH_MAX: usize = 512;
/// Longest Idempotency-Key, in bytes.
pub const KEY_MAX: usize = 255;
/// Longest buyer id, in bytes.
pub const BUYER_MAX: usize = 64;
/// Largest stock of a sale, in units: far above any sale, far below the overflow of any sum of amounts.
pub const UNITS_MAX: i64 = 1_000_000_000;
/// Largest unit price, in minor units. `UNIT_PRICE_MAX × QUANTITY_MAX` fits an `i64` with room to spare.
pub const UNIT_PRICE_MAX: i64 = 1_000_000_000_000;
/// Most units that one purchase may ask for, whatever the sale says.
pub const QUANTITY_MAX: u32 = 1_000;

/// What is wrong with a value from outside: a stable code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Stable, `snake_case`; part of the API's contract.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Invalid {
    /// One reason why a value is refused.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Invalid {}

/// A sale's short code: 1 to 20 of `a-z 0-9 -`, starting and ending with a letter or digit.
///
/// It is the hash tag of every key in the gate, part of every order id and of URLs, so nothing that any of them could
/// read as syntax may stand in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaleId {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl SaleId {
    /// Longest code.
    pub const MAX: usize = 20;

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("a sale's code is checked to be ASCII when it is made")
    }
}

impl FromStr for SaleId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = matches!(bytes.len(), 1..=Self::MAX)
            && bytes.iter().all(|&b| word(b) || b == b'-')
            && bytes.first().is_some_and(|&b| word(b))
            && bytes.last().is_some_and(|&b| word(b));
        if !fits {
            return Err(Invalid::new("invalid_sale_id", format!("a sale's id is 1 to {} of a-z, 0-9 and -, starting and ending with a letter or digit", Self::MAX)));
        }
        let mut id = Self { bytes: [0; Self::MAX], length: bytes.len() as u8 };
        id.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(id)
    }
}

impl fmt::Display for SaleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SaleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who buys: the verified subject of a token. 1 to 64 bytes, no control characters. Shared, because an ask is copied on
/// its way from the intake to the gate, and a copy must not cost an allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BuyerId(Arc<str>);

impl BuyerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BuyerId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.len() {
            1..=BUYER_MAX if !text.chars().any(char::is_control) => Ok(Self(text.into())),
            _ => Err(Invalid::new("invalid_buyer", format!("a buyer's id is 1 to {BUYER_MAX} bytes without control characters"))),
        }
    }
}

impl fmt::Display for BuyerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name that a buyer gives a purchase (`Idempotency-Key`): 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PurchaseKey(Box<str>);

impl PurchaseKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PurchaseKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.len() {
            1..=KEY_MAX if text.bytes().all(|b| (0x21..=0x7e).contains(&b)) => Ok(Self(text.into())),
            _ => Err(Invalid::new("invalid_idempotency_key", format!("an Idempotency-Key is 1 to {KEY_MAX} visible ASCII characters"))),
        }
    }
}

/// The part of an order's id that names the purchase: 128 bits of SHA-256 over (sale, buyer, key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

// A digest is uniform: half of it says as much to a table as all of it.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_le_bytes(std::array::from_fn(|i| self.0[i])));
    }
}

impl Digest {
    /// Thirty-two lower-case hex digits.
    pub fn hex(self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.0.iter().flat_map(|b| [HEX[usize::from(b >> 4)] as char, HEX[usize::from(b & 15)] as char]).collect()
    }

    /// Reads what [`Digest::hex`] writes; nothing else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let bytes = text.as_bytes();
        if bytes.len() != 32 {
            return None;
        }
        let mut out = [0; 16];
        for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
            *slot = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(out))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// An order's and its purchase's id: the sale's code and the digest, `demo-1f0c…`. The client names the purchase, so the
/// id is a function of (sale, buyer, key) and a retry finds the same hold, message and row on any node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderId {
    /// The sale that the order belongs to.
    pub sale: SaleId,
    /// What names the purchase in it.
    pub digest: Digest,
}

impl OrderId {
    /// The id of the purchase that this buyer calls `key`.
    pub fn of_purchase(sale: SaleId, buyer: &BuyerId, key: &PurchaseKey) -> Self {
        Self::digest_of("purchase", sale, buyer, key.as_str())
    }

    /// The id of the purchase that a payment on an expired order becomes. Its name cannot meet a buyer's key, because
    /// the kind is part of the digest.
    pub fn of_late_payment(sale: SaleId, buyer: &BuyerId, payment: &PaymentId) -> Self {
        Self::digest_of("late-payment", sale, buyer, payment.as_str())
    }

    // None of the parts can contain the separator: each is checked to be free of control characters.
    fn digest_of(kind: &str, sale: SaleId, buyer: &BuyerId, name: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [kind, sale.as_str(), buyer.as_str()] {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(name);
        let whole = hash.finalize();
        let mut digest = [0; 16];
        digest.copy_from_slice(&whole[..16]);
        Self { sale, digest: Digest(digest) }
    }
}

// The digest is of the sale too.
impl Hash for OrderId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.sale, self.digest.hex())
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OrderId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("invalid_order_id", "an order's id is its sale's id, a dash and 32 hex digits");
        let (sale, digest) = text.rsplit_once('-').ok_or_else(wrong)?;
        Ok(Self { sale: sale.parse().map_err(|_| wrong())?, digest: Digest::from_hex(digest).ok_or_else(wrong)? })
    }
}

/// The payment gateway's name for a payment: 1 to 64 visible ASCII characters. Payments are idempotent by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PaymentId(Box<str>);

impl PaymentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PaymentId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.len() {
            1..=64 if text.bytes().all(|b| (0x21..=0x7e).contains(&b)) => Ok(Self(text.into())),
            _ => Err(Invalid::new("invalid_payment_id", "a payment's id is 1 to 64 visible ASCII characters")),
        }
    }
}

/// Names one movement of stock by an operator: 1 to 64 visible ASCII characters. A movement is done once per key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MovementKey(Box<str>);

impl MovementKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MovementKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.len() {
            1..=64 if text.bytes().all(|b| (0x21..=0x7e).contains(&b)) => Ok(Self(text.into())),
            _ => Err(Invalid::new("invalid_movement_key", "a movement's key is 1 to 64 visible ASCII characters")),
        }
    }
}

/// How many units one purchase takes: at least one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Quantity(u32);

impl Quantity {
    /// `1 ..= QUANTITY_MAX`; anything else is refused.
    pub fn new(units: u32) -> Result<Self, Invalid> {
        match units {
            1..=QUANTITY_MAX => Ok(Self(units)),
            _ => Err(Invalid::new("invalid_quantity", format!("a quantity is a whole number from 1 to {QUANTITY_MAX}"))),
        }
    }

    /// The number of units.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The same as a signed count, for sums with stock.
    pub fn units(self) -> i64 {
        i64::from(self.0)
    }
}

/// A three-letter ISO 4217 code. Only its form is checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is checked to be ASCII when it is made")
    }
}

impl FromStr for Currency {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(Invalid::new("invalid_currency", "a currency is three capital letters (ISO 4217), for example CNY")),
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in minor units (fen, cents) of a currency that stands beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price(i64);

impl Price {
    /// `0 ..= UNIT_PRICE_MAX` minor units.
    pub fn new(minor: i64) -> Result<Self, Invalid> {
        match minor {
            0..=UNIT_PRICE_MAX => Ok(Self(minor)),
            _ => Err(Invalid::new("invalid_unit_price", format!("a unit price is a whole number of minor units from 0 to {UNIT_PRICE_MAX}"))),
        }
    }

    /// Minor units.
    pub fn minor(self) -> i64 {
        self.0
    }

    /// What `quantity` units cost, in minor units. Cannot overflow: both factors are bounded.
    pub fn times(self, quantity: Quantity) -> i64 {
        self.0.checked_mul(quantity.units()).expect("UNIT_PRICE_MAX × QUANTITY_MAX fits an i64")
    }
}

/// A point in time by the *ledger's* clock, in milliseconds since 1970 UTC. Every deadline is compared in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub i64);

impl Time {
    /// The point `ms` milliseconds later.
    pub fn after_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; negative if `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which decider of a sale's stock is meant. The ledger keeps it; it is raised whenever who decides changes, and fences
/// every hold, message and record of before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch that a bump moves to.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which life of the gate's store is meant: changes when the store restarts, fails over or is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct RunId(pub u64);

/// Names a batch: who made it (a node's random name) and its number there. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BatchId {
    /// The node's name, drawn when the process starts.
    pub node: u64,
    /// Counts up in that process.
    pub number: u64,
}

impl BatchId {
    /// Sixteen bytes, for keys and messages.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.node.to_be_bytes());
        out[8..].copy_from_slice(&self.number.to_be_bytes());
        out
    }

    /// Reads what [`BatchId::to_bytes`] writes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let half = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        Self { node: half(0), number: half(8) }
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.node, self.number)
    }
}

/// A late payment that wants to buy again: the payment, and the expired order that it was meant for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LatePayment {
    /// The payment that pays for the new purchase.
    pub payment: PaymentId,
    /// The order that had expired.
    pub expired: Digest,
}

/// One purchase as it was asked for, with its terms frozen. Nothing re-validates an accepted ask: what it says is what
/// the order says, whatever the sale says later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The purchase's id within its sale.
    pub digest: Digest,
    /// Who buys.
    pub buyer: BuyerId,
    /// How many units.
    pub quantity: Quantity,
    /// Price of one unit, in minor units of `currency`.
    pub unit_price: Price,
    /// The currency of the price.
    pub currency: Currency,
    /// Seconds to pay in, counted from the moment the ledger recorded the order.
    pub pay_within_s: u32,
    /// When the node took the ask, by the ledger's clock as it knew it.
    pub asked_at: Time,
    /// Set when a late payment buys.
    pub late: Option<Box<LatePayment>>,
}

impl Ask {
    /// Whether `other` is the same purchase with the same content. Terms may differ: the first ask's are kept.
    pub fn same_content(&self, other: &Self) -> bool {
        self.digest == other.digest && self.quantity == other.quantity
    }

    /// What the order costs, in minor units.
    pub fn amount(&self) -> i64 {
        self.unit_price.times(self.quantity)
    }
}

/// Asks that share one half message, one gate decision and one record. Its content is fixed before the decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The batch's own name; decisions are kept under it.
    pub id: BatchId,
    /// All asks are of this sale.
    pub sale: SaleId,
    /// The epoch under which the batch was made; it never carries a fresher one.
    pub epoch: Epoch,
    /// Units that one buyer may have live in the sale, as the sale's terms said when the batch was made.
    pub limit_per_buyer: u32,
    /// 1 to [`BATCH_MAX`] asks; a purchase stands at most once.
    pub asks: Vec<Ask>,
}

/// Where a sale is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SaleStatus {
    /// Made, not yet shown to buyers.
    Draft,
    /// Sells between `opens_at` and `closes_at`.
    Open,
    /// Stopped by an operator; can be opened again.
    Paused,
    /// Over. Orders are still paid, cancelled and expired.
    Ended,
    /// Out of the gate. The ledger keeps it and answers retries.
    Archived,
}

impl SaleStatus {
    /// All of them, in the order of a sale's life.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Open, Self::Paused, Self::Ended, Self::Archived];

    /// The word used in SQL, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Archived => "archived",
        }
    }

    /// Reads [`SaleStatus::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether a sale of this status may be given that one; the same again counts, where somebody may ask for it twice.
    pub fn may_become(self, to: Self) -> bool {
        match to {
            Self::Draft => false,
            Self::Open => matches!(self, Self::Draft | Self::Open | Self::Paused),
            Self::Paused => matches!(self, Self::Open | Self::Paused),
            Self::Ended => matches!(self, Self::Open | Self::Paused | Self::Ended),
            Self::Archived => matches!(self, Self::Ended | Self::Archived),
        }
    }

    /// Whether the gate holds this sale's stock: from its opening until its archive.
    pub fn has_gate(self) -> bool {
        match self {
            Self::Open | Self::Paused | Self::Ended => true,
            Self::Draft | Self::Archived => false,
        }
    }
}

/// What an operator says of a sale. One sale sells one SKU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The sale's code.
    pub id: SaleId,
    /// Shown to buyers.
    pub title: String,
    /// A label that several sales may share; may be empty.
    pub campaign: String,
    /// The message's tag in the queue.
    pub goods_type: String,
    /// What is sold.
    pub sku: String,
    /// Price of one unit.
    pub unit_price: Price,
    /// The price's currency.
    pub currency: Currency,
    /// Units kept out of the gate: better undersold than oversold.
    pub holdback: i64,
    /// Units that one buyer may have live.
    pub limit_per_buyer: u32,
    /// Most units in one purchase.
    pub quantity_max: u32,
    /// Selling starts, by the ledger's clock.
    pub opens_at: Time,
    /// Selling ends, by the ledger's clock.
    pub closes_at: Time,
    /// Seconds to pay in.
    pub pay_within_s: u32,
}

/// Longest title, campaign, goods type or SKU, in bytes.
pub const LABEL_MAX: usize = 128;

impl Terms {
    /// Every fault of the terms, each with the JSON pointer of its field. `units` are the sale's first units.
    pub fn faults(&self, units: i64) -> Vec<(&'static str, Invalid)> {
        let mut faults = Vec::new();
        let mut check = |pointer, fits: bool, code, what: &str| {
            if !fits {
                faults.push((pointer, Invalid::new(code, what)));
            }
        };
        let label = |text: &str| text.len() <= LABEL_MAX && !text.chars().any(char::is_control);
        check("/title", label(&self.title) && !self.title.is_empty(), "invalid_title", "a title is 1 to 128 bytes without control characters");
        check("/campaign", label(&self.campaign), "invalid_campaign", "a campaign is at most 128 bytes without control characters");
        // The goods type becomes a message tag, where `|` and `*` are syntax.
        let tag = matches!(self.goods_type.len(), 1..=64) && self.goods_type.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        check("/goods_type", tag, "invalid_goods_type", "a goods type is 1 to 64 of a-z, A-Z, 0-9, - and _");
        check("/sku", label(&self.sku) && !self.sku.is_empty(), "invalid_sku", "a SKU is 1 to 128 bytes without control characters");
        check("/units", (0..=UNITS_MAX).contains(&units), "invalid_units", "units is a whole number from 0 to 1000000000");
        check("/holdback", (0..=units.max(0)).contains(&self.holdback), "invalid_holdback", "holdback is a whole number from 0 to the sale's units");
        check("/quantity_max", (1..=QUANTITY_MAX).contains(&self.quantity_max), "invalid_quantity_max", "quantity_max is a whole number from 1 to 1000");
        let limit = self.limit_per_buyer >= self.quantity_max && i64::from(self.limit_per_buyer) <= UNITS_MAX;
        check("/limit_per_buyer", limit, "invalid_limit_per_buyer", "limit_per_buyer is at least quantity_max, or nobody could buy that many, and at most 1000000000");
        check("/closes_at", self.closes_at > self.opens_at, "invalid_closes_at", "closes_at is later than opens_at");
        check("/pay_within_s", (1..=604_800).contains(&self.pay_within_s), "invalid_pay_within_s", "pay_within_s is from 1 second to 7 days");
        faults
    }
}

/// A sale as the ledger keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// What the operator said.
    pub terms: Terms,
    /// Where it is in its life.
    pub status: SaleStatus,
    /// Who decides now.
    pub epoch: Epoch,
    /// The gate's life that the last bump stored.
    pub run: RunId,
    /// Units not taken by a live order, by the ledger.
    pub left: i64,
    /// Restocks (the first units are one) minus withdrawals.
    pub allotment: i64,
    /// The number of the last raise.
    pub raises: u64,
    /// Set when a law was found broken: the sale admits and records nothing until an operator has looked.
    pub stopped: Option<String>,
}

/// An expected answer: the purchase was decided against. Stands in `Ok`; a [`Fault`](crate::ports::Fault) never becomes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such sale, or it is a draft.
    UnknownSale,
    /// Selling has not begun; it begins at this time.
    NotOpen(Time),
    /// Selling is over.
    Ended,
    /// The quantity is above what one purchase may take.
    Quantity {
        /// Most units in one purchase of this sale.
        quantity_max: u32,
    },
    /// Fewer units are left than were asked for.
    SoldOut {
        /// Units left when it was decided.
        left: i64,
    },
    /// The buyer has as many units as the sale allows; names a live order of theirs.
    LimitReached(OrderId),
    /// The key names a purchase with other content.
    Mismatch,
}

/// Nothing was decided and nothing was touched; the same request may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Busy {
    /// An operator has paused the sale, or a law was found broken.
    Paused,
    /// The gate is being rebuilt.
    Recovering,
    /// Too much is on its way, or a store does not answer.
    Overloaded,
}
