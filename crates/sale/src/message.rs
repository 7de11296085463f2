//! A batch as bytes: the body of a half message.
//!
//! `HC`, a version byte, a CRC-32 of what follows, then protobuf. A reader skips fields that it does not know; a version
//! that it does not know is left for a newer node; anything else that does not fit is poison. Nothing else is known of
//! the wire.

use crate::words::{Ask, BATCH_MAX, Batch, BatchId, BuyerId, Currency, Digest, Epoch, LatePayment, PaymentId, Price, Quantity, Time};
use prost::Message as _;
use std::cmp::Ordering;

const MAGIC: [u8; 2] = *b"HC";
const VERSION: u8 = 1;
const HEAD: usize = 7;

/// What a body turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decoded {
    /// A batch.
    Batch(Batch),
    /// Written by a later version: try again, a newer node may read it.
    Later(u8),
    /// No batch, and never will be: why.
    Poison(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct BatchBody {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    sale: String,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint32, tag = "4")]
    limit_per_buyer: u32,
    #[prost(message, repeated, tag = "5")]
    asks: Vec<AskBody>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AskBody {
    #[prost(bytes = "vec", tag = "1")]
    digest: Vec<u8>,
    #[prost(string, tag = "2")]
    buyer: String,
    #[prost(uint32, tag = "3")]
    quantity: u32,
    #[prost(int64, tag = "4")]
    unit_price: i64,
    #[prost(string, tag = "5")]
    currency: String,
    #[prost(uint32, tag = "6")]
    pay_within_s: u32,
    #[prost(int64, tag = "7")]
    asked_at: i64,
    #[prost(message, optional, tag = "8")]
    late: Option<LateBody>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LateBody {
    #[prost(string, tag = "1")]
    payment: String,
    #[prost(bytes = "vec", tag = "2")]
    expired: Vec<u8>,
}

/// The body of the batch's half message.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let body = BatchBody {
        id: batch.id.to_bytes().to_vec(),
        sale: batch.sale.as_str().to_owned(),
        epoch: batch.epoch.0,
        limit_per_buyer: batch.limit_per_buyer,
        asks: batch.asks.iter().map(AskBody::from).collect(),
    };
    let mut bytes = Vec::with_capacity(HEAD + body.encoded_len());
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&[0; 4]);
    body.encode(&mut bytes).expect("a Vec grows as needed");
    let sum = crc32fast::hash(&bytes[HEAD..]);
    bytes[3..HEAD].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Reads a body. Never panics, whatever the bytes.
pub fn decode(bytes: &[u8]) -> Decoded {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return Decoded::Poison(format!("{} bytes are too short for a batch", bytes.len()));
    };
    if head[..2] != MAGIC {
        return Decoded::Poison("the message does not begin as a batch does".into());
    }
    match head[2].cmp(&VERSION) {
        Ordering::Equal => {}
        Ordering::Greater => return Decoded::Later(head[2]),
        Ordering::Less => return Decoded::Poison(format!("version {} never was", head[2])),
    }
    if head[3..] != crc32fast::hash(rest).to_be_bytes() {
        return Decoded::Poison("the checksum does not fit".into());
    }
    match BatchBody::decode(rest).map_err(|e| e.to_string()).and_then(Batch::try_from) {
        Ok(batch) => Decoded::Batch(batch),
        Err(why) => Decoded::Poison(why),
    }
}

impl From<&Ask> for AskBody {
    fn from(ask: &Ask) -> Self {
        Self {
            digest: ask.digest.0.to_vec(),
            buyer: ask.buyer.as_str().to_owned(),
            quantity: ask.quantity.get(),
            unit_price: ask.unit_price.minor(),
            currency: ask.currency.as_str().to_owned(),
            pay_within_s: ask.pay_within_s,
            asked_at: ask.asked_at.0,
            late: ask.late.as_ref().map(|late| LateBody { payment: late.payment.as_str().to_owned(), expired: late.expired.0.to_vec() }),
        }
    }
}

impl TryFrom<AskBody> for Ask {
    type Error = String;

    fn try_from(body: AskBody) -> Result<Self, String> {
        let text = |e: crate::words::Invalid| e.what;
        let late = match body.late {
            None => None,
            Some(late) => {
                Some(Box::new(LatePayment { payment: late.payment.parse::<PaymentId>().map_err(text)?, expired: digest(late.expired)? }))
            }
        };
        Ok(Self {
            digest: digest(body.digest)?,
            buyer: body.buyer.parse::<BuyerId>().map_err(text)?,
            quantity: Quantity::new(body.quantity).map_err(text)?,
            unit_price: Price::new(body.unit_price).map_err(text)?,
            currency: body.currency.parse::<Currency>().map_err(text)?,
            pay_within_s: body.pay_within_s,
            asked_at: Time(body.asked_at),
            late,
        })
    }
}

impl TryFrom<BatchBody> for Batch {
    type Error = String;

    fn try_from(body: BatchBody) -> Result<Self, String> {
        if !(1..=BATCH_MAX).contains(&body.asks.len()) {
            return Err(format!("{} asks are no batch", body.asks.len()));
        }
        let mut digests: Vec<&[u8]> = body.asks.iter().map(|ask| &ask.digest[..]).collect();
        digests.sort_unstable();
        if digests.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a purchase stands twice in the batch".into());
        }
        let id = <[u8; 16]>::try_from(body.id).map_err(|_| "a batch's id is sixteen bytes")?;
        Ok(Self {
            id: BatchId::from_bytes(id),
            sale: body.sale.parse().map_err(|e: crate::words::Invalid| e.what)?,
            epoch: Epoch(body.epoch),
            limit_per_buyer: body.limit_per_buyer,
            asks: body.asks.into_iter().map(Ask::try_from).collect::<Result<_, _>>()?,
        })
    }
}

fn digest(bytes: Vec<u8>) -> Result<Digest, String> {
    <[u8; 16]>::try_from(bytes).map(Digest).map_err(|_| "a digest is sixteen bytes".to_owned())
}
