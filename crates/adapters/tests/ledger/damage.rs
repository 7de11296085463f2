//! Damage of the ledger's file and of its log (C34): refused with its name, or harmless.

use super::*;

#[tokio::test]
async fn c34_a_flipped_byte_is_refused_or_changes_nothing() {
    let (directory, path, ledger) = fresh();
    let (_, ids) = busy(&ledger, 3).await;
    drop(ledger);
    let good = fs::read(&path).unwrap();
    // Opening alone moves the clock's mark, so the comparison is with what was opened once.
    let ledger = SqliteLedger::open(&path).unwrap();
    let before = shown(&ledger, &ids).await;
    drop(ledger);
    let mut random = Seeded::new(34);
    let (mut refused, mut harmless) = (0, 0);
    let copy = directory.path().join("copy.db");
    for round in 0..400 {
        // Every other one in a page that is written to; most bytes of a young file are zeros that nobody reads.
        let at = match round % 2 {
            0 => random.below(good.len() as u64) as usize,
            _ => loop {
                let at = random.below(good.len() as u64) as usize;
                if good[at] != 0 {
                    break at;
                }
            },
        };
        let bit = 1 << random.below(8);
        let mut bad = good.clone();
        bad[at] ^= bit;
        let _ = fs::remove_file(copy.with_extension("db-wal"));
        let _ = fs::remove_file(copy.with_extension("db-shm"));
        fs::write(&copy, bad).unwrap();
        match SqliteLedger::open(&copy) {
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.contains("copy.db") && text.contains("; "), "{text}");
            }
            Ok(ledger) => {
                harmless += 1;
                assert_eq!(shown(&ledger, &ids).await, before, "byte {at}, bit {bit}");
                sound(&ledger).await;
            }
        }
    }
    println!("{refused} refused, {harmless} harmless, of a file of {} bytes", good.len());
    assert!(refused > 130 && harmless > 20, "{refused} refused, {harmless} harmless");
}

#[tokio::test]
async fn c34_what_is_no_ledger_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let refused = |what: &str| {
        let error = SqliteLedger::open(&path).err().expect(what).to_string();
        assert!(error.contains("ledger.db") && error.contains(what), "{error}");
    };
    fs::write(&path, b"").unwrap();
    refused("the file is empty");
    fs::write(&path, "dear diary, today I sold ten thousand cakes").unwrap();
    refused("not a SQLite database");
    fs::remove_file(&path).unwrap();
    hand(&path).execute_batch("create table cakes (name text)").unwrap();
    refused("not a ledger of Hotcake");
    fs::remove_file(&path).unwrap();
    fs::write(path.with_extension("db-wal"), "a log without its file").unwrap();
    refused("the file is gone");
    fs::remove_file(path.with_extension("db-wal")).unwrap();
    drop(SqliteLedger::open(&path).unwrap());
    hand(&path).execute_batch("pragma user_version = 2").unwrap();
    refused("version 2");
    hand(&path).execute_batch("pragma user_version = 1; create index helpful on orders (digest)").unwrap();
    refused("its schema");
}

#[tokio::test]
async fn c34_damage_of_each_table_is_named() {
    let (directory, path, ledger) = fresh();
    busy(&ledger, 4).await;
    drop(ledger);
    let good = fs::read(&path).unwrap();
    let copy = directory.path().join("copy.db");
    for (table, damage) in [
        ("orders", "update orders set quantity = 2 where \"row\" = 3"),
        ("orders", "update orders set status = 2, version = 2 where status = 1"),
        ("orders", "update orders set successor = 1 where \"row\" = 2"),
        ("orders", "update orders set successor = null where successor is not null"),
        ("orders", "update orders set sale = 77 where \"row\" = 2"),
        ("orders", "update orders set \"row\" = 4000000000 where \"row\" = 2"),
        ("orders", "update orders set digest = (select digest from orders where \"row\" = 3) where \"row\" = 2"),
        ("order_history", "delete from order_history where seq = 4"),
        ("order_history", "update order_history set sale = 3 - sale where seq = 4"),
        ("order_history", "update order_history set entries = zeroblob(length(entries)) where seq = 4"),
        ("sales", "update sales set limit_per_buyer = 5 where sale = 1"),
        ("stock", "delete from stock where sale = 1"),
        ("movements", "update movements set units = units + 1 where \"row\" = 1"),
        ("movements", "delete from movements where \"row\" = 2"),
        ("payments", "update payments set amount = amount + 1 where \"row\" = 2"),
        ("payments", "delete from payments where \"row\" = 2"),
        ("meta", "update meta set value = value + 1"),
    ] {
        fs::write(&copy, &good).unwrap();
        let by_hand = hand(&copy);
        assert!(by_hand.execute(damage, []).unwrap() > 0, "{damage}");
        drop(by_hand);
        let error = SqliteLedger::open(&copy).err().expect(damage).to_string();
        assert!(error.contains(&format!("`{table}`")) && error.contains("copy.db"), "{damage}: {error}");
    }
}

#[tokio::test]
async fn c34_a_flipped_byte_in_the_middle_of_the_log_is_refused() {
    let (_directory, path, ledger) = fresh();
    let id = open_sale(&ledger, "log", 100).await;
    for number in 0..20 {
        record(&ledger, id, vec![ask(id, &format!("buyer-{number}"), 1)]).await;
    }
    // As a kill -9 leaves it: the log is there, and holds what was acknowledged.
    let copy = tempfile::tempdir().unwrap();
    let (database, log) = (copy.path().join("ledger.db"), copy.path().join("ledger.db-wal"));
    fs::copy(&path, &database).unwrap();
    fs::copy(path.with_extension("db-wal"), &log).unwrap();
    let whole = fs::read(&log).unwrap();
    let written = whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count();
    let mut damaged = whole.clone();
    damaged[written / 2] ^= 1;
    fs::write(&log, &damaged).unwrap();
    let refused = SqliteLedger::open(&database).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("ledger.db-wal"), "{refused}");
    fs::write(&log, &whole).unwrap();
    let opened = SqliteLedger::open(&database).unwrap();
    assert_eq!(sale_now(&opened, id).await.left, 80);
}
