//! A load before and after: its plan, and what came of it. Knows no sockets.

use super::latency::{LEFT_OUT, Quantiles};
use super::outcomes::Outcomes;
use super::story::{Intent, Story};
use super::tokens::Tokens;
use super::wire::key_of;
use sale::books::Tale;
use sale::words::{BuyerId, OrderId, PurchaseKey, SaleId};
use std::net::SocketAddr;
use std::time::Duration;

/// What to do.
pub struct Plan {
    /// The buyers' API.
    pub address: SocketAddr,
    /// As it stands in `Host`.
    pub host: String,
    /// What is bought.
    pub sale: SaleId,
    /// How many purchases are asked for.
    pub purchases: u32,
    /// Units of each.
    pub quantity: u32,
    /// Connections, so also the most requests on their way.
    pub connections: usize,
    /// Requests due each second; none: the loop is closed.
    pub rate: Option<f64>,
    /// No new purchase after this.
    pub seconds: Option<Duration>,
    /// `Prefer: wait` of a purchase.
    pub wait_s: u32,
    /// Of confirmed orders.
    pub cancel_percent: u8,
    /// Of confirmed orders.
    pub pay_percent: u8,
    /// How long the server may be unreachable.
    pub patience: Duration,
    /// Names the run: in keys, buyers and draws.
    pub run: u32,
}

impl Plan {
    /// What the buyer of a purchase means to do with it, drawn from the run's name: the same for the same run.
    pub fn intent(&self, number: u32) -> Intent {
        // One step of splitmix64.
        let mut x = (u64::from(self.run) << 32 | u64::from(number)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = ((x ^ (x >> 31)) % 100) as u8;
        if drawn < self.cancel_percent {
            Intent::Cancel
        } else if drawn < self.cancel_percent.saturating_add(self.pay_percent) {
            Intent::Pay
        } else {
            Intent::Keep
        }
    }
}

/// Why the load ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// All was asked for, or the time was over.
    Done,
    /// The server could not be reached for longer than the patience.
    Unreachable(String),
}

/// What came of it.
pub struct Run {
    /// Why it ended.
    pub end: End,
    /// How every purchase ended.
    pub outcomes: Outcomes,
    /// From when a purchase was due to the first answer that decides or says "on its way".
    pub answered: Quantiles,
    /// From when a purchase was due to the row.
    pub confirmed: Quantiles,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Purchases asked for.
    pub started: u32,
    /// Purchases that had been confirmed when the server could not be reached for the first time.
    pub accepted_before_loss: Option<u64>,
    /// Per second, in the steady part: after the first half second, until the last new purchase.
    pub steady: Steady,
    /// Confirmed in each tenth of a second since the start.
    pub confirmed_by_tenth: Vec<u32>,
    /// Processor time of this thread per purchase, in microseconds.
    pub cpu_us: f64,
    /// Every purchase that was asked for, in its order.
    pub stories: Stories,
}

/// Rates of the steady part of a run, per second.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize)]
pub struct Steady {
    /// Purchases asked for.
    pub offered: f64,
    /// Answers to purchases, of any kind.
    pub answered: f64,
    /// Orders confirmed.
    pub confirmed: f64,
    /// How long the steady part was.
    pub seconds: f64,
}

/// Places in the counts of a tenth of a second.
pub const OFFERED: usize = 0;
/// Answers to purchases.
pub const ANSWERED: usize = 1;
/// Orders confirmed.
pub const CONFIRMED: usize = 2;

impl Steady {
    /// Rates between the first half second and the last new purchase, in whole tenths; of the whole run if it was too short.
    pub fn of(tenths: &[[u32; 3]], last_start: Duration, last_answer: Duration) -> Steady {
        let first = (LEFT_OUT.as_millis() / 100) as usize;
        let last = (last_start.as_millis() / 100) as usize;
        let (part, seconds) = match tenths.get(first..last) {
            Some(part) if part.len() >= first => (part, part.len() as f64 / 10.0),
            _ => (tenths, last_answer.as_secs_f64().max(1e-3)),
        };
        let rate = |what: usize| part.iter().map(|tenth| f64::from(tenth[what])).sum::<f64>() / seconds;
        Steady { offered: rate(OFFERED), answered: rate(ANSWERED), confirmed: rate(CONFIRMED), seconds }
    }
}

/// What every buyer was told.
pub struct Stories {
    /// By the purchase's number.
    pub all: Vec<Story>,
    /// The buyers.
    pub tokens: Tokens,
    /// What was bought.
    pub sale: SaleId,
    /// Units of each purchase.
    pub quantity: u32,
    /// The run's name.
    pub run: u32,
}

impl Stories {
    /// One purchase as the audit reads it.
    pub fn tale(&self, number: usize) -> Tale {
        let story = &self.all[number];
        let (id, buyer) = self.names(number as u32);
        Tale { id, buyer, quantity: self.quantity, amount: story.amount, told: story.told.clone() }
    }

    /// A purchase's id, as the server computes it.
    pub fn id_of(&self, number: u32) -> OrderId {
        self.names(number).0
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    fn names(&self, number: u32) -> (OrderId, BuyerId) {
        let buyer: BuyerId = self.tokens.name(number % self.tokens.count()).parse().expect("the names of buyers are made to be valid");
        let key = key_of(self.run, number);
        let key: PurchaseKey = std::str::from_utf8(&key).expect("a key is hex").parse().expect("hex is a valid key");
        (OrderId::of_purchase(self.sale, &buyer, &key), buyer)
    }
}

/// Counts of one moment, for the live line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Since the start.
    pub elapsed: Duration,
    /// Purchases asked for.
    pub started: u32,
    /// Purchases whose story has ended.
    pub ended: u32,
    /// Orders confirmed.
    pub confirmed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_part_leaves_out_the_start_and_the_tail() {
        let mut tenths = vec![[9, 9, 9]; 5];
        tenths.extend([[3, 2, 1]; 10]);
        tenths.extend([[0, 7, 7]; 4]);
        let rates = Steady::of(&tenths, Duration::from_millis(1549), Duration::from_millis(1890));
        assert_eq!(rates, Steady { offered: 30.0, answered: 20.0, confirmed: 10.0, seconds: 1.0 });
        let short = Steady::of(&[[4, 4, 2]], Duration::from_millis(50), Duration::from_millis(100));
        assert_eq!((short.offered, short.confirmed), (40.0, 20.0));
    }
}
