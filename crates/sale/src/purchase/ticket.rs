//! Tickets: what a 202 carries in its `Location`, so that a purchase that left nothing behind can still be asked for.
//!
//! A ticket is `number.time.quantity.price.MAC` over (id, buyer, those), so any node with the key can check it and build
//! the `rejected` row of a purchase that was lost. It says nothing of whether the purchase was held.

use crate::words::{Ask, BuyerId, Currency, OrderId, Price, Quantity, Time};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Bytes of a ticket's body: key number, time, quantity, price, currency, seconds to pay.
const BODY: usize = 1 + 8 + 4 + 8 + 3 + 4;
/// Bytes of its MAC, truncated to 128 bits.
const MAC: usize = 16;

/// The keys that nodes share. The first signs, all verify: a key is replaced by putting a new one in front.
#[derive(Clone)]
pub struct Tickets {
    keys: Vec<(u8, Hmac<Sha256>)>,
}

impl Tickets {
    /// `keys`: number and secret of each; at least one.
    pub fn new(keys: &[(u8, Vec<u8>)]) -> Self {
        assert!(!keys.is_empty(), "tickets need a key: the configuration makes one if none is given");
        let key = |(number, secret): &(u8, Vec<u8>)| (*number, Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"));
        Self { keys: keys.iter().map(key).collect() }
    }

    /// The ticket of a purchase; its time is the ask's.
    pub fn issue(&self, id: OrderId, ask: &Ask) -> String {
        let (number, key) = &self.keys[0];
        let mut bytes = [0; BODY + MAC];
        bytes[0] = *number;
        bytes[1..9].copy_from_slice(&ask.asked_at.0.to_be_bytes());
        bytes[9..13].copy_from_slice(&ask.quantity.get().to_be_bytes());
        bytes[13..21].copy_from_slice(&ask.unit_price.minor().to_be_bytes());
        bytes[21..24].copy_from_slice(ask.currency.as_str().as_bytes());
        bytes[24..28].copy_from_slice(&ask.pay_within_s.to_be_bytes());
        let mac = mac(key, id, &ask.buyer, &bytes[..BODY]);
        bytes[BODY..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The ask that a ticket was issued for, if it is one of ours for this purchase of this buyer.
    pub fn read(&self, ticket: &str, id: OrderId, buyer: &BuyerId) -> Option<Ask> {
        let bytes: [u8; BODY + MAC] = URL_SAFE_NO_PAD.decode(ticket).ok()?.try_into().ok()?;
        let (body, theirs) = bytes.split_at(BODY);
        let (_, key) = self.keys.iter().find(|(number, _)| *number == body[0])?;
        if !bool::from(mac(key, id, buyer, body).ct_eq(theirs)) {
            return None;
        }
        let long = |at: usize| i64::from_be_bytes(std::array::from_fn(|i| body[at + i]));
        let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| body[at + i]));
        Some(Ask {
            digest: id.digest,
            buyer: buyer.clone(),
            quantity: Quantity::new(word(9)).ok()?,
            unit_price: Price::new(long(13)).ok()?,
            currency: std::str::from_utf8(&body[21..24]).ok()?.parse::<Currency>().ok()?,
            pay_within_s: word(24),
            asked_at: Time(long(1)),
            late: None,
        })
    }
}

fn mac(key: &Hmac<Sha256>, id: OrderId, buyer: &BuyerId, body: &[u8]) -> [u8; MAC] {
    let mut mac = key.clone();
    // Every part before the buyer has a fixed length or ends with a byte that cannot stand in it.
    mac.update(b"ticket\0");
    mac.update(body);
    mac.update(id.sale.as_str().as_bytes());
    mac.update(&[0]);
    mac.update(&id.digest.0);
    mac.update(buyer.as_str().as_bytes());
    let whole = mac.finalize().into_bytes();
    std::array::from_fn(|i| whole[i])
}
