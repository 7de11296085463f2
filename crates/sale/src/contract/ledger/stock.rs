//! Promises about sales: their making, who decides, movements of stock, pages.

use super::super::{ask, sale, terms};
use super::{LedgerRig, UNITS, bump_ask, confirmed, left, open_sale, open_sale_of, record_one, sale_now, won};
use crate::order::Status;
use crate::ports::{BumpAsk, Bumped, Closing, Ledger, Moved, Movement, SaleChange, Withdrawal};
use crate::words::{Epoch, MovementKey, RunId, SaleId, SaleStatus, Terms, UNITS_MAX};
use std::collections::BTreeSet;

fn key(text: &str) -> MovementKey {
    text.parse().expect("the suite's keys are well formed")
}

fn withdrawal(text: &str, units: i64) -> Withdrawal {
    Withdrawal { key: key(text), units, actor: "suite".to_owned(), reason: "a pallet fell".to_owned() }
}

fn done(moved: Moved) -> Movement {
    match moved {
        Moved::Done(movement) => movement,
        other => panic!("the movement should stand: {other:?}"),
    }
}

async fn raise(ledger: &dyn Ledger, sale: SaleId, text: &str, units: i64) -> Moved {
    ledger.raise(sale, &key(text), units, "suite", "a pallet came").await.expect("answers")
}

async fn withdraw(ledger: &dyn Ledger, sale: SaleId, epoch: u64, text: &str, units: i64) -> Moved {
    ledger.withdraw(sale, Epoch(epoch), &withdrawal(text, units)).await.expect("answers")
}

pub(super) async fn a_sale_is_made_once_and_other_terms_are_refused(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let terms = Terms { title: "热卖 \"Hotcake\" 'n' co".to_owned(), holdback: 3, ..terms(sale("made")) };
    let made = ledger.create_sale(&terms, UNITS, "olga").await.expect("answers").expect("is new");
    assert_eq!((&made.terms, made.status, made.epoch, &made.stopped), (&terms, SaleStatus::Draft, Epoch(0), &None));
    assert_eq!((made.left, made.allotment, made.raises), (UNITS, UNITS, 1), "the first units are the first raise");
    assert_eq!(ledger.create_sale(&terms, UNITS, "pete").await, Ok(Ok(made.clone())), "the second call finds the first's");
    let dearer = Terms { limit_per_buyer: 3, ..terms.clone() };
    assert_eq!(ledger.create_sale(&dearer, UNITS, "olga").await, Ok(Err(made.clone())));
    assert_eq!(ledger.create_sale(&terms, UNITS + 1, "olga").await, Ok(Err(made.clone())));
    assert_eq!(ledger.sale(terms.id).await, Ok(Some(made.clone())));
    // The first units are compared, not the units of now.
    done(raise(&*ledger, terms.id, "more", 5).await);
    let now = ledger.create_sale(&terms, UNITS, "olga").await.expect("answers").expect("the same terms and units");
    assert_eq!((now.left, now.raises), (UNITS + 5, 2));
    assert_eq!(ledger.sale(sale("nowhere")).await, Ok(None));
    let other = ledger.create_sale(&super::terms(sale("a-first")), 0, "olga").await.expect("answers").expect("is new");
    assert_eq!(ledger.sales().await, Ok(vec![other, now]), "by id");
}

pub(super) async fn a_sale_changes_only_as_its_status_allows(rig: &dyn LedgerRig) {
    use SaleStatus::{Archived, Draft, Ended, Open, Paused};
    let ledger = rig.ledger();
    let (pause, end, archive) = (SaleChange::Pause, SaleChange::End, SaleChange::Archive);
    let steps = [
        (Draft, &pause, Draft),
        (Draft, &archive, Draft),
        (Open, &archive, Open),
        (Open, &pause, Paused),
        (Paused, &pause, Paused),
        (Paused, &archive, Paused),
        (Paused, &end, Ended),
        (Ended, &end, Ended),
        (Ended, &pause, Ended),
        (Ended, &archive, Archived),
        (Archived, &archive, Archived),
        (Archived, &end, Archived),
        (Archived, &pause, Archived),
    ];
    let id = sale("changes");
    ledger.create_sale(&terms(id), UNITS, "suite").await.expect("answers").expect("is new");
    for (from, change, to) in steps {
        if from == Open && sale_now(&*ledger, id).await.status == Draft {
            won(ledger.bump(bump_ask(id, Epoch(0))).await.expect("answers"));
        }
        assert_eq!(sale_now(&*ledger, id).await.status, from);
        let now = ledger.change_sale(id, change).await.expect("answers").expect("is there");
        assert_eq!(now.status, to, "{from:?} and {change:?}");
        assert_eq!(now, sale_now(&*ledger, id).await);
    }
    assert_eq!(sale_now(&*ledger, id).await.epoch, Epoch(1), "a change does not change who decides");
    // The first reason to stop is the one that stays.
    for why in ["first", "second"] {
        ledger.change_sale(id, &SaleChange::Stop(why.to_owned())).await.expect("answers");
    }
    assert_eq!(sale_now(&*ledger, id).await.stopped.as_deref(), Some("first"));
    assert_eq!(ledger.change_sale(sale("nowhere"), &pause).await, Ok(None));
}

pub(super) async fn a_bump_is_a_compare_and_set_with_a_lease(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let id = sale("bump");
    assert_eq!(ledger.bump(bump_ask(id, Epoch(0))).await, Ok(Bumped::NoSale));
    ledger.create_sale(&terms(id), UNITS, "suite").await.expect("answers").expect("is new");
    assert_eq!(ledger.bump(bump_ask(id, Epoch(3))).await, Ok(Bumped::Moved(Epoch(0))));
    let before = ledger.now().await.expect("answers");
    let rebuild = won(ledger.bump(bump_ask(id, Epoch(0))).await.expect("answers"));
    let now = sale_now(&*ledger, id).await;
    assert_eq!((now.epoch, now.run, now.status), (Epoch(1), RunId(77), SaleStatus::Open));
    assert_eq!(rebuild.sale, now);
    // C10: the second node has seen the old epoch, the third has seen the new one.
    let second = ledger.bump(bump_ask(id, Epoch(0))).await.expect("answers");
    assert!(matches!(second, Bumped::Moved(Epoch(1)) | Bumped::Leased(_)), "{second:?}");
    let Bumped::Leased(until) = ledger.bump(bump_ask(id, Epoch(1))).await.expect("answers") else { panic!("the lease still runs") };
    assert!(until >= before.after_ms(60_000));
    assert_eq!(sale_now(&*ledger, id).await, now, "who lost has changed nothing");
}

pub(super) async fn a_bump_is_of_a_sale_that_has_a_gate_then(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let refused = async |id, to, epoch| match ledger.bump(BumpAsk { to, ..bump_ask(id, epoch) }).await {
        Ok(Bumped::NotNow(status)) => status,
        other => panic!("a bump to {to:?}: {other:?}"),
    };
    let draft = sale("draft");
    ledger.create_sale(&terms(draft), UNITS, "suite").await.expect("answers").expect("is new");
    for to in [None, Some(SaleStatus::Draft), Some(SaleStatus::Paused), Some(SaleStatus::Archived)] {
        assert_eq!(refused(draft, to, Epoch(0)).await, SaleStatus::Draft);
    }
    let id = open_sale(&*ledger, "ending").await;
    ledger.change_sale(id, &SaleChange::End).await.expect("answers").expect("is there");
    for to in [SaleStatus::Draft, SaleStatus::Open, SaleStatus::Archived] {
        assert_eq!(refused(id, Some(to), Epoch(1)).await, SaleStatus::Ended);
    }
    ledger.change_sale(id, &SaleChange::Archive).await.expect("answers").expect("is there");
    for to in [None, Some(SaleStatus::Open), Some(SaleStatus::Ended)] {
        assert_eq!(refused(id, to, Epoch(1)).await, SaleStatus::Archived);
    }
    assert_eq!(sale_now(&*ledger, id).await.epoch, Epoch(1));
}

pub(super) async fn a_bump_after_the_lease_wins_and_a_whole_gate_ends_it(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let id = open_sale(&*ledger, "lease").await;
    // `open_sale` said whole, so its lease is over.
    let brief = BumpAsk { run: RunId(u64::MAX), lease_ms: 200, to: Some(SaleStatus::Paused), ..bump_ask(id, Epoch(1)) };
    let rebuild = won(ledger.bump(brief).await.expect("answers"));
    assert_eq!((rebuild.sale.epoch, rebuild.sale.run, rebuild.sale.status), (Epoch(2), RunId(u64::MAX), SaleStatus::Paused));
    rig.passes(250).await;
    // C09: the rebuilder died; the next one bumps again.
    assert_eq!(won(ledger.bump(bump_ask(id, Epoch(2))).await.expect("answers")).sale.epoch, Epoch(3));
    ledger.whole(id, Epoch(2)).await.expect("answers");
    let leased = ledger.bump(bump_ask(id, Epoch(3))).await.expect("answers");
    assert!(matches!(leased, Bumped::Leased(_)), "an older rebuild that comes to its end does not end this lease: {leased:?}");
    for _ in 0..2 {
        ledger.whole(id, Epoch(3)).await.expect("answers");
    }
    assert_eq!(won(ledger.bump(bump_ask(id, Epoch(3))).await.expect("answers")).sale.epoch, Epoch(4));
    ledger.whole(sale("nowhere"), Epoch(1)).await.expect("nothing to end is no fault");
}

pub(super) async fn a_bump_reads_live_orders_and_withdrawals(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "reads").await;
    let (kept, paid) = (confirmed(&*ledger, sale, "ann").await, confirmed(&*ledger, sale, "bob").await);
    let cancelled = confirmed(&*ledger, sale, "cid").await;
    ledger.pay(&super::paying("p-1", &paid)).await.expect("answers");
    ledger.close(cancelled.id(), Closing::Cancel, None).await.expect("answers");
    done(raise(&*ledger, sale, "up", 4).await);
    done(withdraw(&*ledger, sale, 1, "down", 3).await);
    assert_eq!(withdraw(&*ledger, sale, 1, "too-far", 100).await, Moved::Refused);
    let rebuild = won(ledger.bump(bump_ask(sale, Epoch(1))).await.expect("answers"));
    let live: BTreeSet<_> = rebuild.live.iter().map(|ask| ask.digest).collect();
    assert_eq!(live, BTreeSet::from([kept.ask.digest, paid.ask.digest]), "live orders, of whatever epoch");
    assert!(rebuild.live.contains(&kept.ask), "with the whole ask");
    assert_eq!(rebuild.withdrawals, [key("down")]);
    assert_eq!((rebuild.sale.left, rebuild.sale.raises, rebuild.sale.allotment), (UNITS + 4 - 3 - 2, 2, UNITS + 4 - 3));
}

pub(super) async fn c38_a_raise_is_done_once_and_numbered(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "raise").await;
    let first = done(raise(&*ledger, sale, "monday", 5).await);
    assert_eq!((first.units, first.number, first.actor.as_str(), first.reason.as_str()), (5, Some(2), "suite", "a pallet came"));
    assert_eq!(done(raise(&*ledger, sale, "monday", 5).await), first, "one key, one raise");
    assert_eq!(raise(&*ledger, sale, "monday", 6).await, Moved::Mismatch(first.clone()));
    let second = done(raise(&*ledger, sale, "tuesday", 7).await);
    assert_eq!(second.number, Some(3), "numbers have no gap");
    let now = sale_now(&*ledger, sale).await;
    assert_eq!((now.left, now.allotment, now.raises), (UNITS + 12, UNITS + 12, 3));
    done(withdraw(&*ledger, sale, 1, "down", 1).await);
    assert_eq!(ledger.raises(sale, 1, 10).await, Ok(vec![first.clone(), second.clone()]));
    assert_eq!(ledger.raises(sale, 1, 1).await, Ok(vec![first.clone()]));
    assert_eq!(ledger.raises(sale, 2, 10).await, Ok(vec![second]));
    assert_eq!(ledger.raises(sale, 0, 10).await.expect("answers").len(), 3, "the first units are the first raise");
    assert_eq!(ledger.movement(sale, &key("monday")).await, Ok(Some(first)));
    assert_eq!(ledger.movement(sale, &key("sunday")).await, Ok(None));
    // A key belongs to its sale.
    let other = open_sale(&*ledger, "raise-2").await;
    assert_eq!(done(raise(&*ledger, other, "monday", 9).await).units, 9);
    assert_eq!(raise(&*ledger, super::sale("nowhere"), "monday", 5).await, Moved::NotNow);
}

pub(super) async fn c39_a_raise_beyond_all_bounds_is_refused(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "bounds").await;
    for (text, units) in [("most", UNITS_MAX), ("more", UNITS_MAX - UNITS + 1), ("max", i64::MAX), ("none", 0), ("less", -1)] {
        assert_eq!(raise(&*ledger, sale, text, units).await, Moved::Refused, "{units} units");
    }
    assert_eq!(sale_now(&*ledger, sale).await.raises, 1);
    done(raise(&*ledger, sale, "to-the-brim", UNITS_MAX - UNITS).await);
    assert_eq!(left(&*ledger, sale).await, UNITS_MAX);
}

pub(super) async fn a_withdrawal_is_done_once_and_fenced(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "withdraw").await;
    let first = done(withdraw(&*ledger, sale, 1, "down", 4).await);
    assert_eq!((first.units, first.number), (-4, None));
    assert_eq!(done(withdraw(&*ledger, sale, 1, "down", 4).await), first);
    assert_eq!(withdraw(&*ledger, sale, 1, "down", 3).await, Moved::Mismatch(first.clone()));
    assert!(matches!(raise(&*ledger, sale, "down", 4).await, Moved::Mismatch(_)), "raises and withdrawals share their keys");
    for epoch in [0, 2] {
        assert_eq!(withdraw(&*ledger, sale, epoch, "stale", 1).await, Moved::Stale);
    }
    let now = sale_now(&*ledger, sale).await;
    assert_eq!((now.left, now.allotment, now.raises), (UNITS - 4, UNITS - 4, 1));
    done(withdraw(&*ledger, sale, 1, "stale", 1).await);
    // After a rebuild the key still finds what it stands for.
    won(ledger.bump(bump_ask(sale, Epoch(1))).await.expect("answers"));
    assert_eq!(done(withdraw(&*ledger, sale, 1, "down", 4).await), first);
    assert_eq!(withdraw(&*ledger, super::sale("nowhere"), 1, "down", 1).await, Moved::NotNow);
    let draft = super::sale("draft");
    ledger.create_sale(&terms(draft), UNITS, "suite").await.expect("answers").expect("is new");
    assert_eq!(withdraw(&*ledger, draft, 0, "down", 1).await, Moved::NotNow, "a draft has no gate that could hold it");
}

pub(super) async fn c39_a_refused_withdrawal_is_remembered(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale_of(&*ledger, "refused", 5).await;
    record_one(&*ledger, sale, &ask(sale, "ann", 2)).await;
    assert_eq!(withdraw(&*ledger, sale, 1, "four", 4).await, Moved::Refused);
    assert_eq!(left(&*ledger, sale).await, 3);
    done(raise(&*ledger, sale, "up", 10).await);
    assert_eq!(withdraw(&*ledger, sale, 1, "four", 4).await, Moved::Refused, "the key was refused, whatever is left now");
    assert_eq!(ledger.movement(sale, &key("four")).await, Ok(None));
    assert_eq!(ledger.movements(sale, 0, 10).await.expect("answers").len(), 2, "a refusal is no movement");
    done(withdraw(&*ledger, sale, 1, "all", 13).await);
    assert_eq!(left(&*ledger, sale).await, 0);
}

pub(super) async fn movements_come_in_pages(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let sale = open_sale(&*ledger, "movements").await;
    raise(&*ledger, sale, "z", 1).await;
    withdraw(&*ledger, sale, 1, "y", 2).await;
    raise(&*ledger, sale, "a", 3).await;
    let all = ledger.movements(sale, 0, 10).await.expect("answers");
    assert_eq!(all.iter().map(|movement| movement.units).collect::<Vec<_>>(), [UNITS, 1, -2, 3], "in the order of their making");
    assert_eq!(all[0].actor, "suite");
    assert_eq!(ledger.movements(sale, 0, 3).await.expect("answers"), all[..3]);
    assert_eq!(ledger.movements(sale, 3, 3).await.expect("answers"), all[3..]);
    assert_eq!(ledger.movements(sale, 4, 3).await, Ok(vec![]));
    assert_eq!(super::books(&*ledger, sale).await.movements, all);
}

pub(super) async fn orders_come_in_pages_newest_first(rig: &dyn LedgerRig) {
    let ledger = rig.ledger();
    let (sale, other) = (open_sale_of(&*ledger, "pages", 5).await, open_sale(&*ledger, "pages-2").await);
    let mut made = Vec::new();
    for n in 0..7 {
        made.insert(0, record_one(&*ledger, sale, &ask(sale, &format!("buyer-{n}"), 1)).await);
        confirmed(&*ledger, other, &format!("buyer-{n}")).await;
    }
    assert_eq!(made[0].status, Status::Rejected, "a rejected row is a row");
    for max in [1, 3, 6, 7, 8] {
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.page(sale, after, max).await.expect("answers");
            assert!(page.orders.len() <= max);
            walked.extend(page.orders);
            assert!(walked.len() <= made.len(), "the walk comes to an end");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(walked, made, "pages of {max}");
    }
    // What is made during a walk does not shift it.
    let first = ledger.page(sale, None, 2).await.expect("answers");
    record_one(&*ledger, sale, &ask(sale, "late", 1)).await;
    assert_eq!(ledger.page(sale, first.next, 2).await.expect("answers").orders, made[2..4]);
    let whole = ledger.page(sale, None, made.len() + 1).await.expect("answers");
    assert_eq!((whole.orders.len(), whole.next), (made.len() + 1, None), "a page that is just full is the last one");
    let nowhere = ledger.page(super::sale("nowhere"), None, 5).await.expect("answers");
    assert_eq!((nowhere.orders, nowhere.next), (vec![], None));
}
