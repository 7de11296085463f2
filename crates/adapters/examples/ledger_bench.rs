//! How fast the embedded ledger records, what an order costs in processor time and memory, and how long a full file
//! takes to open. `cargo run --release -p adapters --example ledger_bench [ORDERS] [SHEAF] [DIRECTORY]`
//! With a directory that holds a ledger it only opens that, and leaves it there; one that it was told to make stays too.

use adapters::sqlite::SqliteLedger;
use sale::order::{Source, Status};
use sale::ports::{BumpAsk, Ledger, Sheaf};
use sale::words::{Ask, Currency, Epoch, OrderId, Price, Quantity, RunId, SaleId, SaleStatus, Terms, Time};
use std::path::Path;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn clock() -> Instant {
    Instant::now()
}

/// Seconds of processor time of this process, all threads.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}

fn terms(id: SaleId) -> Terms {
    Terms {
        id,
        title: "bench".into(),
        campaign: String::new(),
        goods_type: "bench".into(),
        sku: "bench".into(),
        unit_price: Price::new(1_990).expect("a price"),
        currency: "CNY".parse::<Currency>().expect("a currency"),
        holdback: 0,
        limit_per_buyer: 2,
        quantity_max: 2,
        opens_at: Time(0),
        closes_at: Time(i64::MAX),
        pay_within_s: 900,
    }
}

fn ask(sale: SaleId, number: usize, now: Time) -> Ask {
    let buyer = format!("buyer-{number:07}").parse().expect("a buyer");
    let key = format!("key-{number}").parse().expect("a key");
    Ask {
        digest: OrderId::of_purchase(sale, &buyer, &key).digest,
        buyer,
        quantity: Quantity::new(1).expect("one"),
        unit_price: Price::new(1_990).expect("a price"),
        currency: "CNY".parse().expect("a currency"),
        pay_within_s: 900,
        asked_at: now,
        late: None,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let argument = |at: usize| std::env::args().nth(at);
    let orders = argument(1).and_then(|text| text.parse().ok()).unwrap_or(200_000_usize);
    let sheaf = argument(2).and_then(|text| text.parse().ok()).unwrap_or(128_usize);
    let given = argument(3);
    let own = || format!("{}/hotcake-ledger-bench-{}", std::env::temp_dir().display(), std::process::id());
    let directory = given.clone().unwrap_or_else(own);
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = Path::new(&directory).join("ledger.db");

    if !path.exists() {
        record(&path, orders, sheaf).await;
    }
    open(&path, orders).await;
    if given.is_none() {
        std::fs::remove_dir_all(&directory).expect("the directory goes");
    }
}

async fn record(path: &Path, orders: usize, sheaf: usize) {
    let ledger = SqliteLedger::open(path).expect("opens");
    ledger.pregrow().await.expect("grows");
    let sale: SaleId = "bench".parse().expect("a sale");
    ledger.create_sale(&terms(sale), 900_000_000, "bench").await.expect("answers").ok();
    ledger.bump(BumpAsk { sale, seen: Epoch(0), run: RunId(1), to: Some(SaleStatus::Open), lease_ms: 0 }).await.expect("answers");
    let now = ledger.now().await.expect("answers");
    let sheaves: Vec<Sheaf> = (0..orders)
        .step_by(sheaf)
        .map(|from| Sheaf {
            sale,
            epoch: Epoch(1),
            source: Source::Message,
            asks: (from..(from + sheaf).min(orders)).map(|number| ask(sale, number, now)).collect(),
        })
        .collect();

    let (start, processor, mut slowest) = (clock(), processor_s(), Vec::with_capacity(sheaves.len()));
    for sheaf in sheaves {
        let begun = clock();
        let recorded = ledger.record(vec![sheaf]).await.expect("answers");
        slowest.push(begun.elapsed());
        let rows = recorded.sheaves[0].as_ref().expect("recorded");
        assert!(rows.iter().all(|order| order.status == Status::Confirmed));
    }
    let (passed, processor) = (start.elapsed().as_secs_f64(), processor_s() - processor);
    slowest.sort_unstable();
    let at = |share: f64| slowest[((slowest.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "record: {orders} orders in sheaves of {sheaf}: {:.0} orders/s, {:.2} us processor time an order; a sheaf p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        orders as f64 / passed,
        processor * 1e6 / orders as f64,
        at(0.5),
        at(0.99),
        at(1.0),
    );
}

async fn open(path: &Path, orders: usize) {
    let before = resident_bytes();
    let (begun, processor) = (clock(), processor_s());
    let ledger = SqliteLedger::open(path).expect("opens");
    let (passed, processor) = (begun.elapsed().as_secs_f64(), processor_s() - processor);
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    println!(
        "open: {passed:.2} s ({processor:.2} s of processor time), {:.0} bytes of file an order; {:.0} bytes resident an order, the page caches included",
        size as f64 / orders as f64,
        (resident_bytes() - before) / orders as f64
    );
    let index = ledger.index_bytes().await.expect("answers");
    println!("index: {:.1} bytes an order", index as f64 / orders as f64);
}
