//! The embedded stores' files, as a kill -9 leaves them, and damaged: whoever opens them refuses with the file's name, or
//! shows what was there. Knows the files by name; of what is in them only what the stores show.

use crate::config::Config;
use crate::stores;
use crate::up::demo_terms;
use adapters::embedded::clock::date;
use sale::books::{Books, audit};
use sale::message::{Decoded, decode};
use sale::order::Order;
use sale::ports::{Half, LedgerBooks, Paying, Verdict, Withdrawal};
use sale::purchase::{Answer, Engine, Wish};
use sale::words::{Ask, Batch, BatchId, Digest, Epoch, MovementKey, OrderId, SaleId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Runtime;

/// The files, the logs behind them. A log may be cut off, and then its last transactions are gone whole.
const FILES: [&str; 5] = ["ledger.db", "queue.db", "layout", "ledger.db-wal", "queue.db-wal"];
const FIRST_LOG: usize = 3;
const SECTOR: usize = 512;

/// What the stores show.
#[derive(PartialEq, Debug)]
struct Shown {
    books: Vec<LedgerBooks>,
    halves: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
    parked: Vec<(Vec<u8>, String)>,
    witness: Option<u64>,
}

struct Stage {
    runtime: Runtime,
    directory: PathBuf,
    files: Vec<Vec<u8>>,
    shown: Shown,
    /// Every purchase that was ever made.
    asks: BTreeMap<Digest, Ask>,
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Eight bytes are a damage: which file, where, what, and with what.
pub fn files(bytes: &[u8]) {
    STAGE.with_borrow_mut(|slot| {
        let stage = slot.get_or_insert_with(Stage::new);
        let (mut files, mut log_too) = (stage.files.iter().cloned().map(Some).collect::<Vec<_>>(), false);
        for damage in bytes.chunks_exact(8).take(16) {
            let which = usize::from(damage[0]) % FILES.len();
            log_too |= which >= FIRST_LOG;
            hurt(&mut files[which], damage);
        }
        let untouched = files.iter().zip(&stage.files).all(|(now, before)| now.as_ref() == Some(before));
        for (name, content) in FILES.iter().zip(&files) {
            let path = stage.directory.join(name);
            let written = match content {
                Some(content) => fs::write(&path, content),
                None => fs::remove_file(&path).or(Ok(())),
            };
            written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
        for name in ["ledger.db-shm", "queue.db-shm"] {
            drop(fs::remove_file(stage.directory.join(name)));
        }
        match stage.runtime.block_on(show(&stage.directory)) {
            Err(why) => {
                assert!(!untouched, "a kill -9 is no damage: {why}");
                assert!(FILES.iter().any(|name| why.contains(name)), "no file is named: {why}");
            }
            Ok(shown) => stage.judge(&shown, log_too),
        }
    });
}

/// One damage to a file; a missing file stays missing.
fn hurt(file: &mut Option<Vec<u8>>, damage: &[u8]) {
    let Some(bytes) = file else { return };
    if bytes.is_empty() {
        return;
    }
    let at = usize::from(damage[1]) << 16 | usize::from(damage[2]) << 8 | usize::from(damage[3]);
    let at = at % bytes.len();
    let sector = at / SECTOR * SECTOR..bytes.len().min(at / SECTOR * SECTOR + SECTOR);
    match damage[4] % 7 {
        0 => bytes[at] ^= damage[5].max(1),
        1 => bytes[at..].iter_mut().zip(&damage[5..]).for_each(|(byte, new)| *byte = *new),
        2 => bytes.truncate(at),
        3 => bytes[sector].fill(0),
        4 => {
            // An old sector in the place of a new one.
            let from = usize::from(damage[5]) * SECTOR % bytes.len();
            let old = bytes[from..bytes.len().min(from + sector.len())].to_vec();
            bytes[sector].iter_mut().zip(old).for_each(|(byte, new)| *byte = new);
        }
        5 => bytes.extend_from_slice(&damage[5..]),
        _ => *file = None,
    }
}

async fn show(directory: &Path) -> Result<Shown, String> {
    let opened = stores::open(&Config::default(), directory).await?;
    let (ledger, queue) = (&opened.stores.ledger, &opened.stores.queue);
    let mut books = Vec::new();
    for sale in ledger.sales().await.map_err(|e| e.what)? {
        books.extend(ledger.books(sale.terms.id).await.map_err(|e| e.what)?);
    }
    let parked = queue.parked(0, 100).await.map_err(|e| e.what)?;
    Ok(Shown {
        books,
        halves: queue.checks(100, 0).await.map_err(|e| e.what)?.into_iter().map(|check| check.body).collect(),
        messages: queue.receive(100, 0).await.map_err(|e| e.what)?.into_iter().map(|message| message.body).collect(),
        parked: parked.into_iter().map(|parked| (parked.body, parked.reason)).collect(),
        witness: queue.witness().await.map_err(|e| e.what)?,
    })
}

impl Stage {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("hotcake-files-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut asks = BTreeMap::new();
        // Closed once, so that the files have what the logs have not.
        runtime.block_on(async {
            let opened = stores::open(&Config::default(), &directory).await.expect("an empty directory");
            live(&opened, 0, &mut asks).await;
        });
        let files = runtime.block_on(async {
            let opened = stores::open(&Config::default(), &directory).await.expect("what was closed a moment ago");
            live(&opened, 10, &mut asks).await;
            FILES.map(|name| fs::read(directory.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))).to_vec()
        });
        let shown = runtime.block_on(show(&directory)).expect("what was closed a moment ago");
        Self { runtime, directory, files, shown, asks }
    }

    fn judge(&self, shown: &Shown, log_too: bool) {
        let stopped = shown.books.iter().any(|books| books.sale.stopped.is_some());
        if !log_too && !stopped {
            assert_eq!(*shown, self.shown, "what is shown is not what was there");
        }
        for books in &shown.books {
            let there = self.shown.books.iter().find(|there| there.sale.terms.id == books.sale.terms.id);
            let there = there.unwrap_or_else(|| panic!("there was no sale {}", books.sale.terms.id));
            assert_eq!(books.sale.terms, there.sale.terms);
            for order in &books.orders {
                assert_eq!(self.asks.get(&order.ask.digest), Some(&order.ask), "nobody asked for {}", order.id());
            }
            let is_beginning = books.history.len() <= there.history.len() && there.history.starts_with(&books.history);
            assert!(is_beginning || stopped, "another history: {:?}", books.history);
            let ledger = [Books { gate: None, ledger: books.clone(), at_rest: false }];
            let breaches = audit(&ledger, None).breaches;
            assert!(breaches.is_empty() || stopped, "{breaches:?}");
        }
        for body in shown.halves.iter().chain(&shown.messages).chain(shown.parked.iter().map(|(body, _)| body)) {
            match decode(body) {
                Decoded::Batch(batch) => {
                    assert!(batch.asks.iter().all(|ask| self.asks.get(&ask.digest) == Some(ask)), "nobody sent {batch:?}");
                }
                other => assert_eq!(body, POISON, "{other:?}"),
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

const POISON: &[u8] = b"poison";

/// A small sale: bought, paid, cancelled, restocked, withdrawn; then a message that was not recorded, a half message that
/// nobody settled, and one that was parked.
async fn live(opened: &stores::Opened, from: u64, asks: &mut BTreeMap<Digest, Ask>) {
    let stores = opened.stores.clone();
    let engine = Engine::new(stores, Config::default().settings(), from + 1, &[(1, b"a secret".to_vec())]);
    let sale: SaleId = "demo".parse().expect("an id");
    engine.start().await.expect("the stores answer");
    if from == 0 {
        let terms = demo_terms(sale, "Butter hotcake", date().after_ms(-60_000));
        engine.create(&terms, 30, "op").await.expect("the stores answer").expect("a new sale");
        engine.open(sale).await.expect("the stores answer");
    }
    for n in from..from + 8 {
        let order = buy(&engine, sale, n, true).await.expect("it was recorded");
        match n % 4 {
            0 => {
                let paying = Paying { payment: format!("p{n}").parse().expect("an id"), order: order.id(), amount: order.ask.amount() };
                engine.pay(&paying).await.expect("the stores answer");
            }
            1 => drop(engine.cancel(order.id(), &order.ask.buyer, None).await.expect("the stores answer")),
            _ => {}
        }
        asks.insert(order.ask.digest, order.ask);
    }
    let key: MovementKey = format!("r{from}").parse().expect("a key");
    engine.restock(sale, &key, 3, "op", "more").await.expect("the stores answer");
    let less = Withdrawal { key: format!("w{from}").parse().expect("a key"), units: 1, actor: "op".into(), reason: "less".into() };
    engine.withdraw(sale, &less).await.expect("the stores answer");
    buy(&engine, sale, from + 8, false).await;
    if let Some(Decoded::Batch(batch)) = opened.stores.queue.receive(1, 0).await.expect("it answers").first().map(|sent| decode(&sent.body))
    {
        asks.extend(batch.asks.into_iter().map(|ask| (ask.digest, ask)));
    }
    let ask = asks.values().next().expect("somebody bought").clone();
    let digest = Digest([from as u8; 16]);
    let ask = Ask { digest, ..ask };
    let batch = Batch { id: BatchId { node: 99, number: from }, sale, epoch: Epoch(1), limit_per_buyer: 2, asks: vec![ask.clone()] };
    asks.insert(digest, ask);
    let half = Half { batch: batch.id, tag: "goods".into(), body: sale::message::encode(&batch) };
    opened.stores.queue.prepare(half).await.expect("it answers");
    let half = Half { batch: BatchId { node: 98, number: from }, tag: "goods".into(), body: POISON.to_vec() };
    let receipt = opened.stores.queue.prepare(half).await.expect("it answers");
    opened.stores.queue.settle(receipt, Verdict::Commit).await;
    engine.record_pass(100).await.expect("the stores answer");
}

async fn buy(engine: &Arc<Engine>, sale: SaleId, n: u64, records: bool) -> Option<Order> {
    let wish = Wish {
        sale,
        buyer: format!("buyer-{n}").parse().expect("a name"),
        key: "k".parse().expect("a key"),
        quantity: 1,
        wait_ms: 0,
        ticket: None,
    };
    let id = OrderId::of_purchase(sale, &wish.buyer, &wish.key);
    let (told, ()) = tokio::join!(engine.buy(wish), engine.intake_pass(1));
    assert!(matches!(told, Answer::Processing { .. } | Answer::Row(_)), "{told:?}");
    if !records {
        return None;
    }
    engine.record_pass(1_000).await.expect("the stores answer");
    engine.ledger().orders(&[id]).await.expect("it answers").remove(0)
}
