//! How a world comes to rest, and its audit.

use super::{NATURE, World, poll_once};
use crate::faulty::Fate;
use sale::books::{Books, Report, audit};
use sale::ports::{Clock as _, Fence, Gate as _, Ledger as _};
use std::cell::Cell;
use std::rc::Rc;

impl World {
    /// Audits the stores themselves as they are at this instant, by the books of the gate and then the ledger.
    pub fn audit_now(&self, at_rest: bool) -> Report {
        let now = |future: std::pin::Pin<Box<dyn Future<Output = Option<Vec<Books>>> + '_>>| poll_once(future).flatten();
        let books = now(Box::pin(async {
            let mut books = Vec::new();
            for sale in self.ledger.sales().await.ok()? {
                let fence = Fence { sale: sale.terms.id, epoch: sale.epoch, run: sale.run };
                let gate = self.gate().books(fence).await.ok()?.ok();
                let ledger = self.ledger.books(sale.terms.id).await.ok()??;
                books.push(Books { at_rest: at_rest && gate.is_some(), gate, ledger });
            }
            Some(books)
        }))
        .expect("stores in memory answer at once");
        audit(&books, Some(&self.tales()))
    }

    /// Runs a script to its end, then lets everything come to rest with no further faults, and audits.
    pub fn run(self: &Rc<Self>, script: impl Future<Output = ()> + 'static) {
        self.run_script(script);
        self.rest();
        self.assert_lawful(true);
    }

    /// Runs a script to its end.
    pub fn run_script(self: &Rc<Self>, script: impl Future<Output = ()> + 'static) {
        let done = Rc::new(Cell::new(false));
        let end = Rc::clone(&done);
        self.executor.spawn(NATURE, async move {
            script.await;
            end.set(true);
        });
        let ran = self.executor.run_until(3_000_000, || done.get());
        assert!(
            ran.is_ok(),
            "the script came to no end: {}; calls: {:?}",
            ran.unwrap_err(),
            self.calls().iter().rev().take(30).collect::<Vec<_>>()
        );
    }

    /// Lets everything come to rest: no faults, all nodes up, until nothing changes for longer than any period.
    pub fn rest(self: &Rc<Self>) {
        self.heal();
        let world = Rc::clone(self);
        self.run_script(async move { world.clock.sleep_us(30_000_000).await });
    }

    /// All faults end, and whoever was up once is up again.
    pub fn heal(self: &Rc<Self>) {
        self.fates(|_, _| Fate::Pass);
        self.healed.set(true);
        self.broker.behave();
        self.turn_all();
        self.history.everybody(NATURE, || "all faults end".to_owned());
        let world = Rc::clone(self);
        self.run_script(async move {
            let once_up = world.started.borrow().clone();
            world.clock.sleep_us(50_000).await;
            for group in once_up {
                world.executor.thaw(group);
                if !world.is_up(group) {
                    world.start(group);
                }
            }
        });
    }

    /// Every law holds.
    ///
    /// # Panics
    /// One does not.
    pub fn assert_lawful(&self, at_rest: bool) {
        let report = self.audit_now(at_rest);
        assert!(report.breaches.is_empty(), "{:#?}\n{:#?}", report.breaches, report.sales);
        if at_rest {
            for (law, verdict) in &report.laws {
                assert_eq!(*verdict, sale::books::Verdict::Holds, "{}", law.as_str());
            }
        }
    }
}
