//! Admission as a table, and what a sale may become.

use super::*;

fn sale_as(status: SaleStatus) -> Sale {
    let terms = Terms { opens_at: Time(100), closes_at: Time(200), quantity_max: 2, ..terms("s1") };
    Sale { terms, status, epoch: Epoch(1), run: RunId(1), left: 5, allotment: 5, raises: 1, stopped: None }
}

#[test]
fn admission_says_what_the_first_link_denies() {
    use Refusal::{Ended, NotOpen, Quantity, UnknownSale};
    use SaleStatus::{Archived, Draft, Ended as End, Open, Paused};
    let (no, wait) = (|refusal| Some(Denied::Refused(refusal)), |busy| Some(Denied::Busy(busy)));
    let too_many = || no(Quantity { quantity_max: 2 });
    let rows = [
        (Open, true, 1, 150, None),
        (Open, true, 2, 100, None),
        (Open, true, 2, 199, None),
        (Open, true, 0, 150, too_many()),
        (Open, true, 3, 150, too_many()),
        (Open, true, u32::MAX, 150, too_many()),
        (Open, true, 1, 99, no(NotOpen(Time(100)))),
        (Open, true, 1, 200, no(Ended)),
        (Open, true, 1, 201, no(Ended)),
        (Open, false, 1, 150, wait(Busy::Recovering)),
        (Open, false, 1, 200, no(Ended)),
        (Paused, true, 1, 150, wait(Busy::Paused)),
        (Paused, true, 1, 99, no(NotOpen(Time(100)))),
        (End, true, 1, 150, no(Ended)),
        (End, true, 3, 150, too_many()),
        (Archived, true, 1, 150, no(Ended)),
        (Draft, true, 1, 150, no(UnknownSale)),
        (Draft, false, 3, 99, no(UnknownSale)),
    ];
    for (status, whole, quantity, now, denied) in rows {
        let said = admit(&sale_as(status), whole, quantity, Time(now));
        assert_eq!(said.map(|admitted| admitted.quantity.get()), denied.map_or(Ok(quantity), Err), "{status:?} {whole} {quantity} {now}");
    }
    let stopped = Sale { stopped: Some("a row is missing".into()), ..sale_as(Open) };
    assert_eq!(admit(&stopped, true, 1, Time(150)).unwrap_err(), Denied::Busy(Busy::Paused));
    assert_eq!(admit_late(&stopped, true).unwrap_err(), Denied::Busy(Busy::Paused));
    // A late payment buys whatever the time, until the archive.
    for (status, whole, denied) in [
        (Open, true, None),
        (Paused, true, None),
        (End, true, None),
        (End, false, wait(Busy::Recovering)),
        (Archived, true, no(Ended)),
        (Draft, true, no(UnknownSale)),
    ] {
        assert_eq!(admit_late(&sale_as(status), whole).err(), denied, "{status:?} {whole}");
    }
}

#[test]
fn an_archive_waits_for_what_can_still_change() {
    let settled: Vec<_> = Status::ALL.into_iter().filter(|status| !is_settled(*status)).collect();
    assert_eq!(settled, [Status::Processing, Status::Confirmed]);
}

#[test]
fn a_sale_becomes_only_what_its_table_says() {
    use SaleStatus::{Archived, Draft, Ended, Open, Paused};
    let all = [Draft, Open, Paused, Ended, Archived];
    let table = [
        (Draft, vec![Open]),
        (Open, vec![Open, Paused, Ended]),
        (Paused, vec![Open, Paused, Ended]),
        (Ended, vec![Ended, Archived]),
        (Archived, vec![Archived]),
    ];
    for (from, to) in table {
        assert_eq!(all.into_iter().filter(|to| from.may_become(*to)).collect::<Vec<_>>(), to, "{from:?}");
    }
    assert_eq!(all.into_iter().filter(|status| status.has_gate()).collect::<Vec<_>>(), [Open, Paused, Ended]);
}
