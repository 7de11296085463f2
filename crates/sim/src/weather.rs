//! Which faults a schedule has: each seed turns a random part of them on. They know parts and processes, no purchase.

use crate::World;
use crate::broker::Manners;
use crate::executor::{Group, Random};
use crate::faulty::Fate;
use sale::memory::{Memory, MemoryGate};
use sale::ports::Clock as _;
use sale::words::RunId;
use std::rc::Rc;

/// Percent of the half seconds in which the gate's memory is taken, for those that lag behind.
const REMEMBERED: u64 = 15;

/// Faults and their strength: percent of calls, of messages, or of the half seconds of the schedule. Zero is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weather {
    /// A call is refused.
    pub refuse: u64,
    /// A call or its reply is lost.
    pub lose: u64,
    /// The gate is asked what it decided of a batch, and the question or its answer is lost: the decision stays unknown.
    pub lose_decision: u64,
    /// A call or its reply takes up to two seconds.
    pub slow: u64,
    /// A hold arrives up to three seconds after its caller gave up.
    pub late_hold: u64,
    /// Per mille of calls at which the process dies.
    pub crash: u64,
    /// The gate is wiped, restarted, or rewound.
    pub gate_loss: u64,
    /// The gate fails over to what it was, and one node goes on with the old one.
    pub fail_over: u64,
    /// A node stands still for up to two minutes and goes on.
    pub freeze: u64,
    /// A node's own clock, or the ledger's, jumps ahead.
    pub clocks: u64,
    /// How bad the broker is.
    pub broker: Manners,
    /// Only calls that carry messages to the ledger fail.
    pub messages_only: bool,
}

/// A kind of fault: its name, and how it is turned off.
pub type Kind = (&'static str, fn(&mut Weather));

/// What can be turned off, one by one, to find what a failure needs.
pub const KINDS: [Kind; 15] = [
    ("refused calls", |w| w.refuse = 0),
    ("lost calls and replies", |w| w.lose = 0),
    ("lost decisions", |w| w.lose_decision = 0),
    ("slow calls", |w| w.slow = 0),
    ("late holds", |w| w.late_hold = 0),
    ("crashes", |w| w.crash = 0),
    ("losses of the gate", |w| w.gate_loss = 0),
    ("fail-overs", |w| w.fail_over = 0),
    ("nodes that stand still", |w| w.freeze = 0),
    ("clocks that jump", |w| w.clocks = 0),
    ("duplicates", |w| w.broker.duplicate = 0),
    ("late and unordered deliveries", |w| {
        w.broker.late = 0;
        w.broker.disorder = false;
    }),
    ("forgotten settlements", |w| w.broker.forget = 0),
    ("poison", |w| w.broker.poison = 0),
    ("dropped half messages", |w| w.broker.drop_half = 0),
];

impl Weather {
    /// A random part of the faults.
    pub fn draw(random: &Random) -> Self {
        let some = |percent| if random.chance(50) { percent } else { 0 };
        let often = |percent: u64| if random.chance(15) { percent * 6 } else { percent };
        Self {
            refuse: some(3),
            lose: often(some(3)),
            lose_decision: some(50),
            slow: some(5),
            late_hold: some(10),
            crash: some(1),
            gate_loss: some(8),
            fail_over: some(5),
            freeze: some(6),
            clocks: some(10),
            broker: Manners {
                duplicate: some(20),
                late: some(15),
                forget: some(15),
                poison: some(5),
                drop_half: some(20),
                disorder: random.chance(50),
            },
            messages_only: false,
        }
    }

    /// What a world can bear whose nodes do not reconcile: no fault that only the reconciler repairs.
    #[must_use]
    pub fn by_messages_alone(self) -> Self {
        let broker = Manners { drop_half: 0, ..self.broker };
        let Self { refuse, lose, lose_decision, slow, .. } = self;
        Self { refuse, lose, lose_decision, slow, broker, messages_only: true, ..Self::default() }
    }

    /// What happens to a call.
    pub fn fate(&self, random: &Random, call: &'static str) -> Fate {
        const CARRY: [&str; 5] = ["queue.settle", "queue.checks", "queue.receive", "ledger.record", "gate.decision_or_void"];
        if self.messages_only && !CARRY.contains(&call) {
            return Fate::Pass;
        }
        if call == "gate.hold" && random.chance(self.late_hold) {
            return Fate::Later(random.below(3_000_000));
        }
        if call == "gate.decision_or_void" && random.chance(self.lose_decision) {
            return [Fate::Drop, Fate::LoseReply][random.below(2) as usize];
        }
        match random.below(1_000) {
            n if n < self.crash => [Fate::DieBefore, Fate::DieAfter][random.below(2) as usize],
            n if self.refuse > 0 && (10..10 + self.refuse * 10).contains(&n) => Fate::Refuse,
            n if (100..100 + self.lose * 10).contains(&n) => [Fate::Drop, Fate::LoseReply][random.below(2) as usize],
            n if (500..500 + self.slow * 10).contains(&n) => {
                [Fate::Slow, Fate::SlowReply][random.below(2) as usize](random.below(2_000_000))
            }
            _ => Fate::Pass,
        }
    }

    /// What happens to whole parts while a schedule runs. Dead nodes come back.
    pub async fn pass(self, world: Rc<World>, nodes: u32) {
        world.broker.misbehave(self.broker);
        let mut memory = world.gate().remember();
        let mut left_behind: Option<(Group, u64)> = None;
        let mut frozen: Option<(Group, u64)> = None;
        for life in 0..20u64 {
            world.clock.sleep_us(500_000).await;
            let now_us = world.clock.elapsed_us();
            for node in (1..=nodes).filter(|&node| !world.is_up(node)) {
                world.start(node);
            }
            if left_behind.is_some_and(|(_, until_us)| now_us >= until_us) {
                world.turn_all();
                left_behind = None;
            }
            if let Some((node, until_us)) = frozen
                && now_us >= until_us
            {
                world.executor.thaw(node);
                frozen = None;
            }
            let node = 1 + world.random.below(u64::from(nodes)) as Group;
            // What a rewound gate and a lagging replica have.
            if world.random.chance(REMEMBERED) {
                memory = world.gate().remember();
            }
            if world.random.chance(self.gate_loss) {
                lose_gate(&world, &memory, RunId(1_000 + life));
            }
            if left_behind.is_none() && world.random.chance(self.fail_over) {
                world.fates.count("fail-over to a lagging replica");
                let behind = world.random.chance(70).then_some(node);
                world.fail_over(&memory, RunId(3_000 + life), behind);
                left_behind = behind.map(|node| (node, now_us + world.random.below(6_000_000)));
            }
            if frozen.is_none() && world.random.chance(self.freeze) {
                world.fates.count("node stands still");
                world.history.everybody(node, || "stands still".to_owned());
                world.executor.freeze(node);
                frozen = Some((node, now_us + world.random.below(120_000_000)));
            }
            if world.random.chance(self.clocks) {
                world.fates.count("clock jumps");
                match world.random.below(3) {
                    0 => world.ledger_jumps(world.random.below(8_000)),
                    _ => world.skew(node, world.random.below(7_200_000_000)),
                }
            }
        }
        // Who stands still for longer than the schedule goes on at its end, long after everybody else.
        if let Some((node, until_us)) = frozen {
            world.clock.sleep_us(until_us.saturating_sub(world.clock.elapsed_us())).await;
            world.executor.thaw(node);
        }
    }
}

fn lose_gate(world: &World, memory: &Memory, run: RunId) {
    let (what, lose): (_, fn(&MemoryGate, &Memory, RunId)) = match world.random.below(3) {
        0 => ("gate wiped", |gate, _, _| gate.wipe()),
        1 => ("gate restarted", |gate, _, run| gate.restart(run)),
        _ => ("gate rewound", |gate, memory, run| gate.rewind(memory, run)),
    };
    world.fates.count(what);
    world.history.everybody(0, || what.to_owned());
    lose(&world.gate(), memory, run);
}
