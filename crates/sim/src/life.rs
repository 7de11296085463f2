//! A whole life of a sale, step by step: every verb of the protocol once, while one or two of its calls fail in a given way.
//!
//! The list of calls is not typed in: a run without failures writes it down. Knows no seed; the same life with the same blows
//! ends the same.

use crate::executor::Group;
use crate::faulty::Fate;
use crate::{REST_US, World, terms};
use futures_util::future::{join, join_all};
use sale::order::{Order, Status};
use sale::ports::{Clock as _, Paid, Paying, Refunding, Withdrawal};
use sale::purchase::{Answer, Cancelled, Operated, Shown, Stocked};
use sale::words::*;
use std::rc::Rc;

/// What fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blow {
    /// A call, in this way.
    Call(Fate),
    /// The gate is empty when the call comes.
    Wiped,
}

/// All blows.
pub const BLOWS: [Blow; 6] = [
    Blow::Call(Fate::Refuse),
    Blow::Call(Fate::Drop),
    Blow::Call(Fate::LoseReply),
    Blow::Call(Fate::DieBefore),
    Blow::Call(Fate::DieAfter),
    Blow::Wiped,
];

/// Which life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// Purchases that are made side by side, and so in one batch.
    pub batch: usize,
    /// Server processes; the steps go round them.
    pub nodes: Group,
    /// The gate dies with its node.
    pub embedded: bool,
}

impl Life {
    /// Batches of one, two and three; a gate that outlives its node, one that does not, and two nodes.
    pub const ALL: [Self; 9] = {
        let mut all = [Self { batch: 1, nodes: 1, embedded: false }; 9];
        let mut at = 0;
        while at < 9 {
            all[at].batch = at % 3 + 1;
            all[at].embedded = at / 3 == 1;
            all[at].nodes = if at / 3 == 2 { 2 } else { 1 };
            at += 1;
        }
        all
    };
}

/// How a life ended.
pub struct Lived {
    /// The calls of ports, in their order.
    pub calls: Vec<&'static str>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What happened, if it was kept.
    pub history: String,
}

/// Lives one life; each blow falls on the call of its number. Then all heals, comes to rest, and is audited.
pub fn live(life: Life, blows: &[(usize, Blow)], keep: bool) -> Lived {
    let world = World::with(None, |world| {
        world.embedded = life.embedded;
        // Who asks side by side goes in one batch.
        world.settings.gather_us = 500;
        world.settings.gather_from = 0;
    });
    if keep {
        world.history.keep();
    }
    let (sale, calm) = (terms("s1").id, blows.is_empty());
    let (mut count, blows, gate) = (0, blows.to_vec(), world.gate());
    world.fates(move |_, _| {
        count += 1;
        match blows.iter().find(|(at, _)| *at == count - 1) {
            Some((_, Blow::Call(fate))) => *fate,
            Some((_, Blow::Wiped)) => {
                gate.wipe();
                Fate::Pass
            }
            None => Fate::Pass,
        }
    });
    world.catching(|| {
        (1..=life.nodes).for_each(|node| world.start(node));
        world.watch();
        let script = Rc::clone(&world);
        world.run_script(async move { Script { world: script, life, calm, step: 0 }.run().await });
    });
    let calls = world.calls();
    if world.failure().is_none() {
        world.catching(|| {
            world.heal();
            let resting = Rc::clone(&world);
            world.run_script(async move { resting.comes_to_rest(REST_US / 8).await });
        });
    }
    let failure = world.failure().map(|failure| failure.what);
    let history = failure.as_ref().filter(|_| keep).map(|failure| world.history.of(failure, sale, 120)).unwrap_or_default();
    world.executor.clear();
    Lived { calls, failure, history }
}

struct Script {
    world: Rc<World>,
    life: Life,
    /// Nothing fails, so every step ends as it is meant to. Else it may come too late.
    calm: bool,
    step: u32,
}

/// Asks until it is answered like this: a node that died is started again, as its supervisor would.
macro_rules! until {
    ($world:expr, $node:expr, $ask:expr, $answer:pat $(if $guard:expr)?) => {
        until!($world, $node, $ask, $answer $(if $guard)? => ())
    };
    ($world:expr, $node:expr, $ask:expr, $answer:pat $(if $guard:expr)? => $value:expr) => {
        loop {
            if !$world.is_up($node) {
                $world.start($node);
            }
            match $ask.await {
                $answer $(if $guard)? => break $value,
                _ => $world.clock.sleep_us(200_000).await,
            }
        }
    };
}

/// The same for an operator's verb; the names in brackets are cloned for each try.
macro_rules! operate {
    ($self:ident, [$($own:ident),*] $engine:ident => $verb:expr, $answer:pat) => {{
        let node = $self.node();
        until!($self.world, node, {
            $(let $own = $own.clone();)*
            $self.world.ask(node, move |$engine| async move { $verb })
        }, Some(Ok($answer)))
    }};
}

impl Script {
    /// The node of the next step.
    fn node(&mut self) -> Group {
        self.step += 1;
        1 + self.step % self.life.nodes
    }

    /// The names of those who buy side by side.
    fn crowd(&self, name: &str) -> Vec<String> {
        (1..=self.life.batch).map(|n| format!("{name}{n}")).collect()
    }

    async fn run(mut self) {
        let world = Rc::clone(&self.world);
        let n = self.life.batch as i64;
        let mut terms = terms("s1");
        terms.holdback = 1;
        let (sale, pay_within_s) = (terms.id, terms.pay_within_s);
        operate!(self, [terms] engine => engine.create(&terms, 2 * n + 4, "op").await, Ok(_));
        operate!(self, [] engine => engine.open(sale).await, Operated::Done(_));

        // Paid; cancelled; expired and paid too late.
        let node = self.node();
        let anns = self.buy(node, sale, "ann", 1).await;
        for (at, ann) in anns.iter().enumerate() {
            let paid = self.pay(ann.id(), &format!("p-ann-{at}")).await;
            assert!(matches!(paid, Paid::Settled(_)) || !self.calm, "{paid:?}");
        }
        let node = self.node();
        for bob in self.buy(node, sale, "bob", if n == 1 { 2 } else { 1 }).await {
            self.cancel(&bob).await;
        }
        let node = self.node();
        let cats = self.buy(node, sale, "cat", 1).await;
        world.ledger_jumps(1_000 * u64::from(pay_within_s) + 1);
        for cat in &cats {
            let node = self.node();
            let who = cat.ask.buyer.as_str();
            until!(world, node, world.show(node, cat.id(), who, None), Some(Shown::Row(order)) if order.status == Status::Expired);
        }
        let late = self.pay(cats[0].id(), "p-cat").await;
        assert!(matches!(late, Paid::Bought(_)) || !self.calm, "{late:?}");

        // A batch, and one of it that does not fit its buyer's limit.
        let node = self.node();
        let calm = self.calm;
        let over = async {
            let answer = until!(world, node, world.buy(node, sale, "ann1", "k2", 2, 2_000), Some(Answer::Refused(refusal)) => refusal);
            assert!(matches!(answer, Refusal::LimitReached { .. }) || !calm, "{answer:?}");
        };
        let (dans, ()) = join(self.buy(node, sale, "dan", 1), over).await;

        let key: MovementKey = "r1".parse().unwrap();
        operate!(self, [key] engine => engine.restock(sale, &key, 2, "op", "found a box").await, Stocked::Done(_));
        let withdrawal = Withdrawal { key: "w1".parse().unwrap(), units: 3, actor: "op".into(), reason: "a broken one".into() };
        operate!(self, [withdrawal] engine => engine.withdraw(sale, &withdrawal).await, Stocked::Done(_));
        operate!(self, [] engine => engine.reconcile(sale).await, _);
        // A rebuild makes gate and ledger agree, whatever was wrong with them: so they must before.
        world.comes_to_rest(0).await;
        operate!(self, [] engine => engine.rebuild(sale).await, _);

        // Held before the rebuild, ended after it. One unit is left: two are too many.
        let node = self.node();
        let told =
            until!(world, node, world.buy(node, sale, "eve", "k1", 2, 2_000), Some(told @ (Answer::Refused(_) | Answer::Row(_))) => told);
        let sold_out = Answer::Refused(Refusal::SoldOut { left: 1 });
        assert!(told == sold_out || !self.calm, "{told:?}");
        for dan in dans.iter().skip(1) {
            self.cancel(dan).await;
        }
        let paid = self.pay(dans[0].id(), "p-dan").await;
        assert!(matches!(paid, Paid::Settled(_)) || !self.calm, "{paid:?}");
        let ann = anns[0].id();
        operate!(self, [] engine => engine.refund(ann).await, Refunding::Refunded(_) | Refunding::NotPaid(_));
        world.comes_to_rest(0).await;
        operate!(self, [] engine => engine.close_sale(sale).await, Operated::Done(_));
    }

    /// A crowd buys side by side.
    async fn buy(&self, node: Group, sale: SaleId, name: &str, quantity: u32) -> Vec<Box<Order>> {
        let world = &self.world;
        let one = |who: String| async move {
            until!(world, node, world.buy(node, sale, &who, "k1", quantity, 2_000), Some(Answer::Row(order)) => order)
        };
        join_all(self.crowd(name).into_iter().map(one)).await
    }

    async fn cancel(&mut self, order: &Order) {
        let (node, world) = (self.node(), &self.world);
        let who = order.ask.buyer.as_str();
        until!(world, node, world.cancel(node, order.id(), who, None), Some(Cancelled::Done(_) | Cancelled::Late(_)));
    }

    async fn pay(&mut self, order: OrderId, payment: &str) -> Paid {
        let (node, world) = (self.node(), &self.world);
        let paying = Paying { payment: payment.parse().unwrap(), order, amount: 9_900 };
        until!(world, node, {
            let paying = paying.clone();
            world.ask(node, move |engine| async move { engine.pay(&paying).await })
        }, Some(Ok(paid)) if !matches!(paid, Paid::Late(_)) => paid)
    }
}
