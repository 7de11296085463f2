//! A purchase's life on one node, step by step, without faults.

#![allow(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use sale::order::Status;
use sale::ports::{Paid, Paying};
use sale::purchase::{Answer, Cancelled};
use sale::words::*;
use sim::World;
use std::rc::Rc;

/// A world with one node and one open sale.
fn open_sale(units: i64, edit: impl FnOnce(&mut Terms)) -> (Rc<World>, SaleId) {
    let world = World::new(None);
    let sale = world.open_sale(1, units, edit);
    (world, sale)
}

#[test]
fn a_purchase_is_confirmed_paid_and_shown() {
    let (world, sale) = open_sale(3, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let Answer::Row(order) = w.insist(1, sale, "ann", "k1", 1).await else { panic!() };
        assert_eq!(order.status, Status::Confirmed);
        let paying = Paying { payment: "p1".parse().unwrap(), order: order.id(), amount: 9_900 };
        let paid = w.ask(1, move |engine| async move { engine.pay(&paying).await }).await.unwrap().unwrap();
        assert!(matches!(paid, Paid::Settled(_)), "{paid:?}");
        let Answer::Row(again) = w.insist(1, sale, "ann", "k1", 1).await else { panic!() };
        assert_eq!(again.status, Status::Paid);
    });
}

#[test]
fn a_cancelled_unit_is_sold_again() {
    let (world, sale) = open_sale(1, |_| {});
    let w = Rc::clone(&world);
    world.run(async move {
        let Answer::Row(order) = w.insist(1, sale, "ann", "k1", 1).await else { panic!() };
        assert!(matches!(w.insist(1, sale, "bob", "k1", 1).await, Answer::Refused(Refusal::SoldOut { left: 0 })));
        assert!(matches!(w.cancel(1, order.id(), "ann", None).await, Some(Cancelled::Done(_))));
        assert!(matches!(w.insist(1, sale, "bob", "k1", 1).await, Answer::Row(order) if order.status == Status::Confirmed));
    });
}
