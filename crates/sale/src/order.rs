//! The life of an order: one total function, [`Status::on`], and the row that the ledger keeps.
//!
//! Ledgers call it inside their transaction, so that what is legal is decided here and nowhere else.

use crate::words::{Ask, Digest, Epoch, OrderId, PaymentId, SaleId, Time};

/// Where an order is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// On its way: asked for, perhaps held, not recorded. The ledger has not taken its stock.
    Processing,
    /// Accepted: the ledger took the stock. Waits for payment.
    Confirmed,
    /// Paid.
    Paid,
    /// Cancelled by the buyer. Final.
    Cancelled,
    /// Not paid in time. Final.
    Expired,
    /// The ledger refused it after a hold. Final.
    Rejected,
    /// Paid, then refunded; the units were given back. Final.
    Refunded,
}

/// What happens to an order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The ledger takes the stock for it.
    Confirm,
    /// The ledger takes the stock for it and a late payment has paid it already.
    ConfirmPaid,
    /// The ledger does not take the stock, for this reason.
    Reject(Reason),
    /// Its payment arrived.
    Pay,
    /// Its buyer does not want it.
    Cancel,
    /// Its time to pay is over.
    Expire,
    /// Its payment is given back.
    Refund,
}

/// Why the ledger refused an order. A buyer reads it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The ledger had fewer units left than were asked for.
    SoldOut,
    /// The buyer had as many live units as the sale allows.
    LimitReached,
    /// It was decided by a gate that no longer decides.
    StaleEpoch,
    /// It left neither a hold nor a row within the stuck limit.
    Lost,
    /// Its late payment is given back, so there is nothing to buy with.
    RefundDue,
}

/// What an event does to an order's status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The status changes, and the stock with it.
    Move {
        /// The new status.
        to: Status,
        /// What the ledger's stock does in the same transaction.
        stock: Stock,
    },
    /// The event came too late or again: nothing changes and the status is the answer.
    Late(Status),
}

/// What a step does to the ledger's stock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stock {
    /// The order's units leave the stock.
    Take,
    /// The order's units come back.
    GiveBack,
    /// The stock stays.
    Keep,
}

impl Status {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 7] =
        [Self::Processing, Self::Confirmed, Self::Paid, Self::Cancelled, Self::Expired, Self::Rejected, Self::Refunded];

    /// What `event` does to an order in this status. Total: every pair is written down.
    pub fn on(self, event: Event) -> Step {
        use Event::{Cancel, Confirm, ConfirmPaid, Expire, Pay, Refund, Reject};
        use Status::{Cancelled, Confirmed, Expired, Paid, Processing, Refunded, Rejected};
        match (self, event) {
            (Processing, Confirm) => Step::Move { to: Confirmed, stock: Stock::Take },
            (Processing, ConfirmPaid) => Step::Move { to: Paid, stock: Stock::Take },
            (Processing, Reject(_)) => Step::Move { to: Rejected, stock: Stock::Keep },
            // A tombstone: the late message finds it.
            (Processing, Cancel) => Step::Move { to: Cancelled, stock: Stock::Keep },
            (Confirmed, Pay) => Step::Move { to: Paid, stock: Stock::Keep },
            (Confirmed, Cancel) => Step::Move { to: Cancelled, stock: Stock::GiveBack },
            (Confirmed, Expire) => Step::Move { to: Expired, stock: Stock::GiveBack },
            (Paid, Refund) => Step::Move { to: Refunded, stock: Stock::GiveBack },
            (Processing, Pay | Expire | Refund)
            | (Confirmed, Confirm | ConfirmPaid | Reject(_) | Refund)
            | (Paid, Confirm | ConfirmPaid | Reject(_) | Pay | Cancel | Expire)
            | (Cancelled | Expired | Rejected | Refunded, Confirm | ConfirmPaid | Reject(_) | Pay | Cancel | Expire | Refund) => {
                Step::Late(self)
            }
        }
    }

    /// Whether the ledger has taken the order's units and not given them back.
    pub fn is_live(self) -> bool {
        match self {
            Self::Confirmed | Self::Paid => true,
            Self::Processing | Self::Cancelled | Self::Expired | Self::Rejected | Self::Refunded => false,
        }
    }

    /// Whether the order never lives again.
    pub fn is_dead(self) -> bool {
        match self {
            Self::Cancelled | Self::Expired | Self::Rejected | Self::Refunded => true,
            Self::Processing | Self::Confirmed | Self::Paid => false,
        }
    }

    /// The word used in SQL, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Confirmed => "confirmed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Refunded => "refunded",
        }
    }

    /// Reads [`Status::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::SoldOut, Self::LimitReached, Self::StaleEpoch, Self::Lost, Self::RefundDue];

    /// The word used in SQL, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SoldOut => "sold_out",
            Self::LimitReached => "limit_reached",
            Self::StaleEpoch => "stale_epoch",
            Self::Lost => "lost",
            Self::RefundDue => "refund_due",
        }
    }

    /// Reads [`Reason::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// An order as the ledger keeps it: the ask as it was frozen, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// The sale that it belongs to.
    pub sale: SaleId,
    /// What was asked for, unchanged for ever.
    pub ask: Ask,
    /// Where it is in its life.
    pub status: Status,
    /// Why it was rejected.
    pub reason: Option<Reason>,
    /// The epoch that it was recorded under.
    pub epoch: Epoch,
    /// Counts the changes of its status; the `id` of its events.
    pub version: u32,
    /// When the ledger recorded it: the moment of acceptance.
    pub created_at: Time,
    /// When its status changed last.
    pub updated_at: Time,
    /// Until when it can be paid, by the ledger's clock; of confirmed orders only.
    pub pay_by: Option<Time>,
    /// The order that a late payment bought in its place.
    pub successor: Option<Digest>,
}

impl Order {
    /// The order's id.
    pub fn id(&self) -> OrderId {
        OrderId { sale: self.sale, digest: self.ask.digest }
    }
}

/// Where a change of an order came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// A message of the queue.
    Message,
    /// Its hold in the gate, by the reconciler or a retry.
    Hold,
    /// Its buyer.
    Buyer,
    /// A payment.
    Payment,
    /// The ledger's clock.
    Clock,
    /// An operator.
    Operator,
    /// A ticket older than the stuck limit.
    Ticket,
}

impl Source {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 7] = [Self::Message, Self::Hold, Self::Buyer, Self::Payment, Self::Clock, Self::Operator, Self::Ticket];

    /// The word used in SQL, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Hold => "hold",
            Self::Buyer => "buyer",
            Self::Payment => "payment",
            Self::Clock => "clock",
            Self::Operator => "operator",
            Self::Ticket => "ticket",
        }
    }

    /// Reads [`Source::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// One line of an order's history. `from` is [`Status::Processing`] for the line that made the row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which order of the sale.
    pub digest: Digest,
    /// The status before.
    pub from: Status,
    /// The status after.
    pub to: Status,
    /// When, by the ledger's clock.
    pub at: Time,
    /// Who did it.
    pub source: Source,
}

/// Where a payment is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PaymentState {
    /// It paid its order.
    Settled,
    /// It came for an expired order and is buying again.
    Late,
    /// It bought nothing and is to be given back.
    RefundDue,
    /// It was given back.
    Refunded,
}

impl PaymentState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Settled, Self::Late, Self::RefundDue, Self::Refunded];

    /// The word used in SQL, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Late => "late",
            Self::RefundDue => "refund_due",
            Self::Refunded => "refunded",
        }
    }

    /// Reads [`PaymentState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A payment as the ledger keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// The payment gateway's name for it.
    pub id: PaymentId,
    /// The order that it was meant for.
    pub order: OrderId,
    /// In minor units of the order's currency.
    pub amount: i64,
    /// Where it is in its life.
    pub state: PaymentState,
    /// The order that it bought, when it came late and bought again.
    pub bought: Option<Digest>,
    /// When the ledger first saw it.
    pub at: Time,
}

/// What a ledger knows when it records an ask that has no row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footing {
    /// The sale's epoch.
    pub epoch: Epoch,
    /// Units left.
    pub left: i64,
    /// Live units of the buyer in the sale.
    pub buyer_live: i64,
    /// Live units that the sale allows a buyer.
    pub limit_per_buyer: i64,
    /// The state of the late payment that buys, if one does and the ledger knows it.
    pub payment: Option<PaymentState>,
}

/// What recording does with an ask that has no row, decided under `decided` by a gate. Every ledger asks this function.
pub fn record(ask: &Ask, decided: Epoch, footing: Footing) -> Event {
    let units = ask.quantity.units();
    if decided != footing.epoch {
        Event::Reject(Reason::StaleEpoch)
    } else if ask.late.is_some() && footing.payment != Some(PaymentState::Late) {
        Event::Reject(Reason::RefundDue)
    } else if footing.buyer_live + units > footing.limit_per_buyer {
        Event::Reject(Reason::LimitReached)
    } else if footing.left < units {
        Event::Reject(Reason::SoldOut)
    } else if ask.late.is_some() {
        Event::ConfirmPaid
    } else {
        Event::Confirm
    }
}
