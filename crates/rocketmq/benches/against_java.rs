//! This client against the official Java client: half message and commit, receive and acknowledge, on one broker, in turn.
//!
//!     cargo bench -p rocketmq                      # three rounds of four seconds a point, after one to warm up
//!     cargo bench -p rocketmq -- ROUNDS SECONDS [WORDS]    # of the points, those whose name has all words
//!
//! Each client is a process that lives through all rounds, as a server's would, and does what a line tells it, a second at a time
//! in turn. Ratios are ours divided by Java's, of medians of the rounds; CPU is that of the client's process, per operation. Java's
//! `ack` takes one message; all of a receive are under way at once.

#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark runs by the machine's clock")]

use rocketmq::admin::{Admin, TopicKind};
use rocketmq::{Access, Message, Producer, SimpleConsumer, Subscription, TransactionalProducer, Verdict};
use services::{Service, Set};
use std::error::Error;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Set in the child that is our client.
const CHILD: &str = "ROCKETMQ_BENCH_URL";
const WAYS: [usize; 3] = [1, 8, 64];
const SIZES: [usize; 2] = [200, 20 << 10];

fn main() -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match std::env::var(CHILD) {
        Ok(url) => runtime.block_on(client(&url)),
        Err(_) => {
            // Cargo adds one of its own.
            let mut words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
            let mut number = |default| match words.first().and_then(|word| word.parse().ok()) {
                Some(number) => (number, drop(words.remove(0))).0,
                None => default,
            };
            let (rounds, seconds) = (number(3), number(4));
            bench(&runtime, rounds, seconds, &words)
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services")
}

/// One point: what is done, and how.
#[derive(Clone, Copy)]
struct Point {
    work: &'static str,
    flush: &'static str,
    ways: usize,
    size: usize,
}

impl Point {
    fn all(flush: &'static str) -> Vec<Self> {
        let of = |work| SIZES.map(|size| WAYS.map(|ways| Self { work, flush, ways, size })).concat();
        ["tx", "consume"].into_iter().flat_map(of).collect()
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} B, {} at once", self.work, self.flush, self.size, self.ways)
    }
}

/// Operations a second, and seconds of processor per operation: one of each round.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    costs: Vec<f64>,
}

/// What was done in the turns of one round.
#[derive(Default)]
struct Sum {
    operations: f64,
    /// In seconds.
    took: f64,
    /// In seconds.
    processor: f64,
}

fn bench(runtime: &tokio::runtime::Runtime, rounds: usize, seconds: usize, words: &[String]) -> Done {
    let missing = services::install::missing();
    if !missing.is_empty() {
        return Err(format!("missing: {}", missing.join(" ")).into());
    }
    let jars = fetch_reference()?;
    let mut ratios: Vec<(&str, f64, f64)> = Vec::new();
    println!("{:<34} {:>9} {:>9} {:>7} {:>7}", "point", "ours/s", "Java's/s", "ratio", "CPU");
    for flush in ["ASYNC_FLUSH", "SYNC_FLUSH"] {
        let mut points = Point::all(flush);
        points.retain(|point| words.iter().all(|word| point.to_string().split([' ', ',']).any(|part| part == word)));
        if points.is_empty() {
            continue;
        }
        let set = Set::open(&root(), "bench")?.with_broker_setting("flushDiskType", flush);
        set.wipe()?;
        set.up(Service::Namesrv)?;
        set.up(Service::Broker)?;
        let measured = measure(runtime, &set, &jars, rounds, seconds, points);
        set.wipe()?;
        for (point, [ours, java]) in measured? {
            let (rate, cost) = (median(&ours.rates) / median(&java.rates), median(&ours.costs) / median(&java.costs));
            ratios.push((point.work, rate, cost));
            println!("{:<34} {:>9.0} {:>9.0} {rate:>7.2} {cost:>7.2}", point.to_string(), median(&ours.rates), median(&java.rates));
        }
    }
    for work in ["tx", "consume", ""] {
        let of_work = ratios.iter().filter(|(of, ..)| work.is_empty() || *of == work);
        let (rates, costs): (Vec<f64>, Vec<f64>) = of_work.map(|(_, rate, cost)| (rate, cost)).unzip();
        if rates.is_empty() {
            continue;
        }
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let name = if work.is_empty() { "all" } else { work };
        println!("{name}: median ratio {:.2}, least {least:.2}; CPU per operation, median {:.2}", median(&rates), median(&costs));
    }
    Ok(())
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    set: &Set,
    jars: &Path,
    rounds: usize,
    seconds: usize,
    points: Vec<Point>,
) -> Done<Vec<(Point, [Figures; 2])>> {
    let (namesrv, broker) = (format!("127.0.0.1:{}", set.ports.namesrv), format!("127.0.0.1:{}", set.ports.broker));
    let admin = Admin::new(&namesrv, &broker, Duration::from_secs(3));
    let filler = runtime.block_on(async {
        admin.create_topic("bench_tx", TopicKind::Transaction, 8).await?;
        admin.create_topic("bench_plain", TopicKind::Normal, 8).await?;
        admin.create_group("bench", 17, false).await?;
        for topic in ["bench_tx", "bench_plain"] {
            while admin.route(topic).await?.is_none() {
                sleep(Duration::from_millis(50)).await;
            }
        }
        Producer::start(Access::new(&set.rocketmq_url())?, &["bench_plain"]).await
    })?;
    let filler = Arc::new(filler);
    let ours =
        Command::new(std::env::current_exe()?).env(CHILD, set.rocketmq_url()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let java = Command::new("java")
        .args(["-Xmx1g", "-cp", &format!("{}/*", jars.display())])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reference/Reference.java"))
        .arg(format!("127.0.0.1:{}", set.ports.grpc))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut clients = [Worker::new(ours)?, Worker::new(java)?];
    let mut measured: Vec<(Point, [Figures; 2])> = points.into_iter().map(|point| (point, Default::default())).collect();
    // The first round warms up the Java machines, the broker's too.
    for round in 0..=rounds {
        for (point, figures) in &mut measured {
            let mut sums = [Sum::default(), Sum::default()];
            // A second each, or what takes about one: ours, Java's, Java's, ours. What the machine does meanwhile hits both.
            let (turns, amount) = match (point.work, point.size) {
                ("tx", _) => (2 * seconds, 1),
                (_, 0..1_000) => (4, 1_000 * seconds * point.ways.min(3)),
                _ => (4, 250 * seconds * point.ways.min(3)),
            };
            for turn in 0..turns {
                let which = (round + turn.div_ceil(2)) % 2;
                if point.work == "consume" {
                    runtime.block_on(fill(&filler, amount, point.size))?;
                }
                // Who still waits for a message when all are there is given one more.
                let release = || runtime.block_on(fill(&filler, 1, point.size));
                clients[which].work(&format!("{} {} {} {amount}", point.work, point.ways, point.size), &mut sums[which], release)?;
            }
            if round > 0 {
                for (figures, sum) in figures.iter_mut().zip(&sums) {
                    figures.rates.push(sum.operations / sum.took);
                    figures.costs.push(sum.processor / sum.operations);
                }
            }
        }
    }
    Ok(measured)
}

async fn fill(producer: &Arc<Producer>, amount: usize, size: usize) -> Done {
    let mut all = JoinSet::new();
    for way in 0..32 {
        let producer = producer.clone();
        all.spawn(async move {
            let message = Message::new("bench_plain", vec![0; size]).with_tag("t").with_key("k");
            for _ in (way..amount).step_by(32) {
                producer.send(&message).await?;
            }
            Ok(())
        });
    }
    all.join_all().await.into_iter().collect()
}

/// A client's process.
struct Worker {
    child: Child,
    told: ChildStdin,
    says: mpsc::Receiver<String>,
}

impl Worker {
    fn new(mut child: Child) -> Done<Self> {
        let told = child.stdin.take().ok_or("a child without an input")?;
        let output = BufReader::new(child.stdout.take().ok_or("a child without an output")?);
        let (say, says) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        let worker = Self { child, told, says };
        match worker.says.recv()?.as_str() {
            "ready" => Ok(worker),
            other => Err(format!("a client does not start: {other:?}").into()),
        }
    }

    /// Lets it do what a line says, until it rests.
    fn work(&mut self, line: &str, sum: &mut Sum, release: impl Fn() -> Done) -> Done {
        let before = self.processor()?;
        writeln!(self.told, "{line}")?;
        let answer = self.says.recv()?;
        let (operations, took) = answer.split_once(' ').ok_or_else(|| format!("a client says {answer:?}"))?;
        sum.operations += operations.parse::<f64>()?;
        sum.took += took.parse::<f64>()?;
        sum.processor += self.processor()? - before;
        loop {
            match self.says.recv_timeout(Duration::from_millis(20)) {
                Ok(line) if line == "rest" => return Ok(()),
                Err(mpsc::RecvTimeoutError::Timeout) => release()?,
                other => return Err(format!("a client does not come to rest: {other:?}").into()),
            }
        }
    }

    fn processor(&self) -> Done<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no name")?.1.split_whitespace().collect();
        Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The Java client's jars, from Maven Central; and a compiler, which the Java machine for servers alone has not.
fn fetch_reference() -> Done<PathBuf> {
    let place = root().join("rocketmq-client-java");
    if !place.exists() {
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reference/pom.xml");
        let target = root().join("reference-fetch");
        std::fs::create_dir_all(&target)?;
        std::fs::copy(pom, target.join("pom.xml"))?;
        let output = Command::new("mvn")
            .args(["-B", "-q", "package", &format!("-Djars={}", std::path::absolute(&place)?.display())])
            .current_dir(&target)
            .output()?;
        if !output.status.success() {
            return Err(format!("mvn: {}", String::from_utf8_lossy(&output.stdout)).into());
        }
    }
    if Command::new("javac").arg("-version").output().is_err() {
        return Err("javac is missing: apt install default-jdk-headless".into());
    }
    Ok(place)
}

/// Our client, told what to do by lines on its input.
async fn client(url: &str) -> Done {
    let access = Access::new(url)?;
    let producer = TransactionalProducer::start(access.clone(), &["bench_tx"], |_| async { Verdict::Commit }).await?;
    let consumer = SimpleConsumer::start(access, "bench", &[Subscription::all("bench_plain")], Duration::from_secs(5)).await?;
    let (producer, consumer) = (Arc::new(producer), Arc::new(consumer));
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let (ways, size, amount) = (words[1].parse()?, words[2].parse()?, words[3].parse()?);
        match words[0] {
            "tx" => transactions(&producer, ways, size, amount).await?,
            _ => consume(&consumer, ways, amount).await?,
        }
        println!("rest");
    }
    Ok(())
}

async fn transactions(producer: &Arc<TransactionalProducer>, ways: usize, size: usize, seconds: u64) -> Done {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut all: JoinSet<Done> = JoinSet::new();
    let since = Instant::now();
    for _ in 0..ways {
        let (producer, stop, done) = (producer.clone(), stop.clone(), done.clone());
        all.spawn(async move {
            let message = Message::new("bench_tx", vec![0; size]).with_tag("t").with_key("k");
            while !stop.load(Ordering::Relaxed) {
                producer.prepare(&message).await?.commit().await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    println!("{} {}", done.load(Ordering::Relaxed), since.elapsed().as_secs_f64());
    all.join_all().await.into_iter().collect()
}

async fn consume(consumer: &Arc<SimpleConsumer>, ways: usize, amount: u64) -> Done {
    let done = Arc::new(AtomicU64::new(0));
    let since = Instant::now();
    let mut all: JoinSet<Done> = JoinSet::new();
    for _ in 0..ways {
        let (consumer, done) = (consumer.clone(), done.clone());
        all.spawn(async move {
            while done.load(Ordering::Relaxed) < amount {
                let deliveries = consumer.receive("bench_plain", 32, Duration::from_secs(60)).await?;
                consumer.ack(&deliveries).await.into_iter().collect::<Result<Vec<()>, _>>()?;
                let count = deliveries.len() as u64;
                let before = done.fetch_add(count, Ordering::Relaxed);
                if before < amount && before + count >= amount {
                    println!("{amount} {}", since.elapsed().as_secs_f64());
                }
            }
            Ok(())
        });
    }
    all.join_all().await.into_iter().collect()
}
