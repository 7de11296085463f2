//! Ports that fail on purpose: a decorator of each port asks a plan before every call, and a history may be kept of what
//! was asked and answered. It knows no protocol.

use crate::executor::{Group, pause};
use crate::history::{About, History, brief};
use async_trait::async_trait;
use sale::order::{Change, Order, Payment, Status};
use sale::ports::*;
use sale::words::*;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex};

/// What happens to one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It goes as it should.
    Pass,
    /// It does nothing and says so.
    Refuse,
    /// It does nothing, and the caller cannot know.
    Drop,
    /// It is done, and the caller cannot know.
    LoseReply,
    /// The caller's process dies before it.
    DieBefore,
    /// The caller's process dies after it.
    DieAfter,
    /// It is on its way for this long, in microseconds.
    Slow(u64),
    /// It is done at once, and its answer is on its way for this long.
    SlowReply(u64),
    /// The caller is told that nobody knows, and it is done this much later; of holds only.
    Later(u64),
}

impl Fate {
    /// The name under which it is counted; `None` when nothing happens to the call.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Pass => return None,
            Self::Refuse => "call refused",
            Self::Drop => "call lost",
            Self::LoseReply => "reply lost",
            Self::DieBefore => "crash before a call",
            Self::DieAfter => "crash after a call",
            Self::Slow(_) => "call slow",
            Self::SlowReply(_) => "reply slow",
            Self::Later(_) => "call late",
        })
    }

    fn words(self) -> &'static str {
        match self {
            Self::Pass => "passes",
            Self::Refuse => "REFUSED",
            Self::Drop => "LOST on its way",
            Self::LoseReply => "its REPLY IS LOST",
            Self::DieBefore => "the node DIES before it",
            Self::DieAfter => "the node DIES after it",
            Self::Slow(_) => "is slow",
            Self::SlowReply(_) => "its reply is slow",
            Self::Later(_) => "arrives LATE, its caller gives up",
        }
    }
}

/// Decides the fate of every call, and hears of deaths.
pub trait Plan: Send + Sync {
    /// What happens to this call of this process.
    fn fate(&self, call: &'static str, group: Group) -> Fate;
    /// A call was the last thing that the process did.
    fn died(&self, group: Group);
    /// A process has this much of the clock; for calls that are slow or late.
    fn clock(&self) -> Arc<dyn Clock>;
}

/// A port as one process sees it.
pub struct Faulty<P: ?Sized> {
    inner: Mutex<Arc<P>>,
    plan: Arc<dyn Plan>,
    group: Group,
    /// Calls that happen after their caller gave up.
    late: Arc<Mutex<Vec<Late>>>,
    history: Arc<History>,
}

/// A call that is still to be done.
pub type Late = (u64, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);

impl<P: ?Sized> Faulty<P> {
    /// What a process of this group reaches under this plan.
    pub fn new(inner: Arc<P>, plan: &Arc<dyn Plan>, group: Group, late: &Arc<Mutex<Vec<Late>>>, history: &Arc<History>) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(inner), plan: Arc::clone(plan), group, late: Arc::clone(late), history: Arc::clone(history) })
    }

    /// From now on this process reaches another one in its place.
    pub fn turn_to(&self, inner: Arc<P>) {
        *self.inner.lock().expect("nobody panics with it") = inner;
    }

    fn inner(&self) -> Arc<P> {
        Arc::clone(&self.inner.lock().expect("nobody panics with it"))
    }

    async fn around<T: Send + Debug>(
        &self,
        call: &'static str,
        about: impl FnOnce() -> About,
        done: impl Future<Output = Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        // Every call is a moment at which others may go first.
        pause().await;
        let fate = self.plan.fate(call, self.group);
        self.meets(fate, call, about, done).await
    }

    async fn meets<T: Send + Debug>(
        &self,
        fate: Fate,
        call: &'static str,
        about: impl FnOnce() -> About,
        done: impl Future<Output = Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        let about = self.history.is_kept().then(about);
        let done = async {
            let answer = done.await;
            if let Some(about) = &about {
                self.history.note(self.group, about, || format!("{call} {}: {}", about.text, brief(&answer)));
            }
            answer
        };
        if fate != Fate::Pass
            && let Some(about) = &about
        {
            self.history.note(self.group, about, || format!("{call} {}: {}", about.text, fate.words()));
        }
        match fate {
            Fate::Pass => done.await,
            Fate::Refuse => Err(Fault::none(format!("{call}: refused by the plan"))),
            Fate::Drop => Err(Fault::unknown(format!("{call}: lost by the plan"))),
            Fate::Later(_) => unreachable!("{call}: only a hold arrives after its caller gave up"),
            Fate::LoseReply => {
                let _ = done.await;
                pause().await;
                Err(Fault::unknown(format!("{call}: reply lost by the plan")))
            }
            Fate::DieBefore => self.die().await,
            Fate::DieAfter => {
                let _ = done.await;
                self.die().await
            }
            Fate::Slow(us) => {
                self.plan.clock().sleep_us(us).await;
                let answer = done.await;
                pause().await;
                answer
            }
            Fate::SlowReply(us) => {
                let answer = done.await;
                self.plan.clock().sleep_us(us).await;
                answer
            }
        }
    }

    /// For calls that answer nothing: lost or done.
    async fn hint(&self, call: &'static str, about: impl FnOnce() -> About, done: impl Future<Output = ()> + Send) {
        let _ = self
            .around(call, about, async {
                done.await;
                Ok(())
            })
            .await;
    }

    async fn die<T>(&self) -> T {
        self.plan.died(self.group);
        std::future::pending().await
    }
}

#[async_trait]
impl Gate for Faulty<dyn Gate> {
    async fn run(&self) -> Result<RunId, Fault> {
        self.around("gate.run", About::nobody, self.inner().run()).await
    }
    async fn look(&self, fence: Fence, limit: u32, asks: &[Ask]) -> Result<Fenced<(Vec<Seen>, Fact)>, Fault> {
        self.around("gate.look", || About::asks(asks), self.inner().look(fence, limit, asks)).await
    }
    async fn hold(&self, fence: Fence, batch: &Batch) -> Result<Fenced<(Held, Fact)>, Fault> {
        pause().await;
        let fate = self.plan.fate("gate.hold", self.group);
        if let Fate::Later(us) = fate {
            let (inner, batch) = (self.inner(), batch.clone());
            let (history, group) = (Arc::clone(&self.history), self.group);
            if history.is_kept() {
                history.note(group, &About::asks(&batch.asks).of(batch.id), || {
                    format!("gate.hold {}: on its way for {us} µs, its caller gives up", batch.id)
                });
            }
            let late = async move {
                let held = inner.hold(fence, &batch).await;
                history.note(group, &About::asks(&batch.asks).of(batch.id), || format!("gate.hold {} arrives: {}", batch.id, brief(&held)));
            };
            self.late.lock().expect("nobody panics with it").push((us, Box::pin(late)));
            return Err(Fault::unknown("gate.hold: on its way for long"));
        }
        self.meets(fate, "gate.hold", || About::asks(&batch.asks).of(batch.id), self.inner().hold(fence, batch)).await
    }
    async fn decision_or_void(&self, fence: Fence, batch: BatchId) -> Result<Fenced<Decision>, Fault> {
        self.around("gate.decision_or_void", || About::nobody().of(batch), self.inner().decision_or_void(fence, batch)).await
    }
    async fn held(&self, fence: Fence, digests: &[Digest]) -> Result<Fenced<Vec<Option<Ask>>>, Fault> {
        self.around("gate.held", || About::digests(digests), self.inner().held(fence, digests)).await
    }
    async fn holds(&self, fence: Fence, after: u64, max: usize) -> Result<Fenced<HoldPage>, Fault> {
        self.around("gate.holds", About::nobody, self.inner().holds(fence, after, max)).await
    }
    async fn release(&self, fence: Fence, digests: &[Digest]) -> Result<Fenced<Fact>, Fault> {
        self.around("gate.release", || About::digests(digests), self.inner().release(fence, digests)).await
    }
    async fn raise(&self, fence: Fence, number: u64, units: i64) -> Result<Fenced<(u64, Fact)>, Fault> {
        self.around("gate.raise", About::nobody, self.inner().raise(fence, number, units)).await
    }
    async fn withdraw(&self, fence: Fence, withdrawal: &Withdrawal) -> Result<Fenced<(WithdrawHeld, Fact)>, Fault> {
        self.around("gate.withdraw", About::nobody, self.inner().withdraw(fence, withdrawal)).await
    }
    async fn finish_withdrawal(&self, fence: Fence, key: &MovementKey, give_back: bool) -> Result<Fenced<Fact>, Fault> {
        self.around("gate.finish_withdrawal", About::nobody, self.inner().finish_withdrawal(fence, key, give_back)).await
    }
    async fn pending(&self, fence: Fence) -> Result<Fenced<(u64, Vec<Withdrawal>)>, Fault> {
        self.around("gate.pending", About::nobody, self.inner().pending(fence)).await
    }
    async fn fact(&self, fence: Fence) -> Result<Fenced<Fact>, Fault> {
        self.around("gate.fact", About::nobody, self.inner().fact(fence)).await
    }
    async fn books(&self, fence: Fence) -> Result<Fenced<GateBooks>, Fault> {
        self.around("gate.books", About::nobody, self.inner().books(fence)).await
    }
    async fn load(&self, fence: Fence, holds: Vec<Ask>) -> Result<Fenced<()>, Fault> {
        let about = if self.history.is_kept() { holds.clone() } else { Vec::new() };
        self.around("gate.load", || About::asks(&about), self.inner().load(fence, holds)).await
    }
    async fn publish(&self, fence: Fence, opening: Opening) -> Result<Fenced<Fact>, Fault> {
        self.around("gate.publish", About::nobody, self.inner().publish(fence, opening)).await
    }
    async fn drop_sale(&self, fence: Fence) -> Result<(), Fault> {
        self.around("gate.drop_sale", About::nobody, self.inner().drop_sale(fence)).await
    }
}

#[async_trait]
impl Queue for Faulty<dyn Queue> {
    async fn prepare(&self, half: Half) -> Result<Receipt, Fault> {
        let body = if self.history.is_kept() { half.body.clone() } else { Vec::new() };
        self.around("queue.prepare", || About::body(&body), self.inner().prepare(half)).await
    }
    async fn settle(&self, receipt: Receipt, verdict: Verdict) {
        self.hint("queue.settle", About::nobody, self.inner().settle(receipt, verdict)).await;
    }
    async fn checks(&self, max: usize, wait_ms: u64) -> Result<Vec<Check>, Fault> {
        self.around("queue.checks", About::nobody, self.inner().checks(max, wait_ms)).await
    }
    async fn receive(&self, max: usize, wait_ms: u64) -> Result<Vec<Message>, Fault> {
        self.around("queue.receive", About::nobody, self.inner().receive(max, wait_ms)).await
    }
    async fn ack(&self, handles: Vec<Handle>, ledger_seq: u64) {
        self.hint("queue.ack", About::nobody, self.inner().ack(handles, ledger_seq)).await;
    }
    async fn later(&self, handles: Vec<Handle>, delay_ms: u64) {
        self.hint("queue.later", About::nobody, self.inner().later(handles, delay_ms)).await;
    }
    async fn park(&self, handle: Handle, reason: &str) -> Result<(), Fault> {
        self.around("queue.park", About::nobody, self.inner().park(handle, reason)).await
    }
    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, Fault> {
        self.around("queue.parked", About::nobody, self.inner().parked(after, max)).await
    }
    async fn replay(&self, id: u64) -> Result<bool, Fault> {
        self.around("queue.replay", About::nobody, self.inner().replay(id)).await
    }
    async fn backlog(&self) -> Result<Backlog, Fault> {
        self.around("queue.backlog", About::nobody, self.inner().backlog()).await
    }
    async fn witness(&self) -> Result<Option<u64>, Fault> {
        self.around("queue.witness", About::nobody, self.inner().witness()).await
    }
}

#[async_trait]
impl Ledger for Faulty<dyn Ledger> {
    fn is_exclusive(&self) -> bool {
        self.inner().is_exclusive()
    }
    async fn now(&self) -> Result<Time, Fault> {
        self.around("ledger.now", About::nobody, self.inner().now()).await
    }
    async fn seq(&self) -> Result<u64, Fault> {
        self.around("ledger.seq", About::nobody, self.inner().seq()).await
    }
    async fn create_sale(&self, terms: &Terms, units: i64, actor: &str) -> Result<Result<Sale, Sale>, Fault> {
        self.around("ledger.create_sale", About::nobody, self.inner().create_sale(terms, units, actor)).await
    }
    async fn sale(&self, sale: SaleId) -> Result<Option<Sale>, Fault> {
        self.around("ledger.sale", About::nobody, self.inner().sale(sale)).await
    }
    async fn sales(&self) -> Result<Vec<Sale>, Fault> {
        self.around("ledger.sales", About::nobody, self.inner().sales()).await
    }
    async fn change_sale(&self, sale: SaleId, change: &SaleChange) -> Result<Option<Sale>, Fault> {
        self.around("ledger.change_sale", About::nobody, self.inner().change_sale(sale, change)).await
    }
    async fn bump(&self, ask: BumpAsk) -> Result<Bumped, Fault> {
        self.around("ledger.bump", About::nobody, self.inner().bump(ask)).await
    }
    async fn whole(&self, sale: SaleId, epoch: Epoch) -> Result<(), Fault> {
        self.around("ledger.whole", About::nobody, self.inner().whole(sale, epoch)).await
    }
    async fn record(&self, sheaves: Vec<Sheaf>) -> Result<Recorded, Fault> {
        let about = if self.history.is_kept() { sheaves.clone() } else { Vec::new() };
        self.around("ledger.record", || About::sheaves(&about), self.inner().record(sheaves)).await
    }
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Option<Order>>, Fault> {
        self.around("ledger.orders", || About::ids(ids), self.inner().orders(ids)).await
    }
    async fn statuses(&self, ids: &[OrderId]) -> Result<Vec<Option<Status>>, Fault> {
        self.around("ledger.statuses", || About::ids(ids), self.inner().statuses(ids)).await
    }
    async fn counts(&self, sale: SaleId) -> Result<Vec<(Status, u64)>, Fault> {
        self.around("ledger.counts", About::nobody, self.inner().counts(sale)).await
    }
    async fn close(&self, id: OrderId, closing: Closing, ask: Option<Ask>) -> Result<Closed, Fault> {
        self.around("ledger.close", || About::ids(&[id]), self.inner().close(id, closing, ask)).await
    }
    async fn due(&self, max: usize) -> Result<Vec<OrderId>, Fault> {
        self.around("ledger.due", About::nobody, self.inner().due(max)).await
    }
    async fn pay(&self, paying: &Paying) -> Result<Paid, Fault> {
        self.around("ledger.pay", || About::ids(&[paying.order]), self.inner().pay(paying)).await
    }
    async fn refund_due(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault> {
        self.around("ledger.refund_due", About::nobody, self.inner().refund_due(payment)).await
    }
    async fn refunded(&self, payment: &PaymentId) -> Result<Option<Payment>, Fault> {
        self.around("ledger.refunded", About::nobody, self.inner().refunded(payment)).await
    }
    async fn late_payments(&self, max: usize) -> Result<Vec<Payment>, Fault> {
        self.around("ledger.late_payments", About::nobody, self.inner().late_payments(max)).await
    }
    async fn refund(&self, id: OrderId) -> Result<Refunding, Fault> {
        self.around("ledger.refund", || About::ids(&[id]), self.inner().refund(id)).await
    }
    async fn raise(&self, sale: SaleId, key: &MovementKey, units: i64, actor: &str, reason: &str) -> Result<Moved, Fault> {
        self.around("ledger.raise", About::nobody, self.inner().raise(sale, key, units, actor, reason)).await
    }
    async fn raises(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault> {
        self.around("ledger.raises", About::nobody, self.inner().raises(sale, after, max)).await
    }
    async fn withdraw(&self, sale: SaleId, epoch: Epoch, withdrawal: &Withdrawal) -> Result<Moved, Fault> {
        self.around("ledger.withdraw", About::nobody, self.inner().withdraw(sale, epoch, withdrawal)).await
    }
    async fn movement(&self, sale: SaleId, key: &MovementKey) -> Result<Option<Movement>, Fault> {
        self.around("ledger.movement", About::nobody, self.inner().movement(sale, key)).await
    }
    async fn movements(&self, sale: SaleId, after: u64, max: usize) -> Result<Vec<Movement>, Fault> {
        self.around("ledger.movements", About::nobody, self.inner().movements(sale, after, max)).await
    }
    async fn page(&self, sale: SaleId, after: Option<u64>, max: usize) -> Result<OrderPage, Fault> {
        self.around("ledger.page", About::nobody, self.inner().page(sale, after, max)).await
    }
    async fn history(&self, id: OrderId) -> Result<Vec<Change>, Fault> {
        self.around("ledger.history", || About::ids(&[id]), self.inner().history(id)).await
    }
    async fn payments(&self, id: OrderId) -> Result<Vec<Payment>, Fault> {
        self.around("ledger.payments", || About::ids(&[id]), self.inner().payments(id)).await
    }
    async fn books(&self, sale: SaleId) -> Result<Option<LedgerBooks>, Fault> {
        self.around("ledger.books", About::nobody, self.inner().books(sale)).await
    }
}
