//! Somebody's hands in the ledger's rows (C55): the sale stops, and nothing is repaired.

use super::*;

#[tokio::test]
async fn c55_a_row_deleted_while_the_ledger_was_closed_stops_its_sale_only() {
    let (_directory, path, ledger) = fresh();
    let (one, two) = (open_sale(&ledger, "one", 20).await, open_sale(&ledger, "two", 20).await);
    let rows = record(&ledger, one, vec![ask(one, "a", 1), ask(one, "b", 1)]).await;
    record(&ledger, two, vec![ask(two, "a", 1)]).await;
    // The newest row of all, too: its number must not be given again.
    let newest = record(&ledger, one, vec![ask(one, "c", 1)]).await.remove(0);
    drop(ledger);
    delete_row(&path, rows[0].id());
    delete_row(&path, newest.id());
    for _ in 0..2 {
        let ledger = SqliteLedger::open(&path).unwrap();
        let stopped = sale_now(&ledger, one).await.stopped.expect("stopped");
        assert!(stopped.contains(&rows[0].id().to_string()), "{stopped}");
        assert_eq!(sale_now(&ledger, two).await.stopped, None);
        assert_eq!(sale_now(&ledger, one).await.left, 17, "nothing is repaired in silence");
        assert_eq!(ledger.orders(&[rows[0].id(), rows[1].id()]).await.unwrap(), [None, Some(rows[1].clone())]);
        assert_eq!(ledger.history(rows[0].id()).await.unwrap().len(), 1, "the history outlives the row");
        let recorded = ledger.record(vec![sheaf(one, vec![ask(one, "a", 1)]), sheaf(two, vec![ask(two, "d", 1)])]).await.unwrap();
        assert_eq!(recorded.sheaves[0], Err(Unrecordable::Stopped));
        assert!(recorded.sheaves[1].is_ok());
        assert_eq!(ledger.close(rows[0].id(), Closing::Cancel, Some(ask(one, "a", 1))).await.unwrap(), Closed::NoRow);
    }
}

#[tokio::test]
async fn c55_a_row_deleted_while_the_ledger_runs_is_found_by_whoever_asks_for_it() {
    let (_directory, path, ledger) = fresh();
    let sale = open_sale(&ledger, "one", 20).await;
    let rows = record(&ledger, sale, vec![ask(sale, "a", 1), ask(sale, "b", 1)]).await;
    delete_row(&path, rows[0].id());
    let sheaves = vec![sheaf(sale, vec![ask(sale, "c", 1), ask(sale, "a", 1)]), sheaf(sale, vec![ask(sale, "d", 1)])];
    let recorded = ledger.record(sheaves).await.unwrap();
    assert_eq!(recorded.sheaves, [Err(Unrecordable::DeletedByHand(rows[0].ask.digest)), Err(Unrecordable::Stopped)]);
    drop(ledger);
    let ledger = SqliteLedger::open(&path).unwrap();
    assert!(sale_now(&ledger, sale).await.stopped.is_some());
    assert_eq!(ledger.books(sale).await.unwrap().unwrap().orders, rows[1..], "nothing else was recorded");
}

#[tokio::test]
async fn c55_a_stock_written_by_hand_stops_the_sale() {
    let (_directory, path, ledger) = fresh();
    let (one, two) = (open_sale(&ledger, "one", 20).await, open_sale(&ledger, "two", 20).await);
    record(&ledger, one, vec![ask(one, "a", 1)]).await;
    // While it runs.
    hand(&path).execute("update stock set \"left\" = 500 where sale = 1", []).unwrap();
    let recorded = ledger.record(vec![sheaf(one, vec![ask(one, "b", 1)])]).await.unwrap();
    assert_eq!(recorded.sheaves, [Err(Unrecordable::Stopped)]);
    assert_eq!(sale_now(&ledger, one).await.left, 500, "nothing is repaired in silence");
    drop(ledger);
    // While it is closed.
    hand(&path).execute("update stock set \"left\" = 7 where sale = 2", []).unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    for sale in [one, two] {
        assert!(sale_now(&ledger, sale).await.stopped.expect("stopped").contains("by hand"));
    }
    assert_eq!(sale_now(&ledger, two).await.left, 7);
    // The units of a cancelled order come back on top of what the hand wrote, and the file stays in order.
    ledger.close(OrderId { sale: one, digest: ask(one, "a", 1).digest }, Closing::Cancel, None).await.unwrap();
    drop(ledger);
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(sale_now(&ledger, one).await.left, 501);
    assert!(sale_now(&ledger, one).await.stopped.is_some());
}
