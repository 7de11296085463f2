//! Names: of sales, buyers, purchases, orders, payments, movements, batches. Each is checked when it is read.

use super::{BUYER_MAX, Invalid, KEY_MAX};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

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
            return Err(Invalid::new(
                "invalid_sale_id",
                format!("a sale's id is 1 to {} of a-z, 0-9 and -, starting and ending with a letter or digit", Self::MAX),
            ));
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
        self.to_string()
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

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for (pair, b) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
        f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
        f.write_str(self.sale.as_str())?;
        f.write_str("-")?;
        fmt::Display::fmt(&self.digest, f)
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
    /// Names the movement of a sale's first units.
    pub fn first_units() -> Self {
        Self("first-units".into())
    }

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
