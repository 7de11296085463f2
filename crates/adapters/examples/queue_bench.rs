//! Measures the embedded queue by itself: one task prepares and settles batches, another receives and acknowledges them.
//!
//! `cargo run --release -p adapters --example queue_bench [batches] [body bytes] [lanes] [directory]`. Figures are of this machine.

use adapters::embedded::{EmbeddedQueue, QueueSettings, SystemClock};
use sale::ports::{Clock as _, Half, Queue as _, Verdict};
use sale::words::BatchId;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let batches: u64 = args.next().map_or(Ok(20_000), |text| text.parse())?;
    let bytes: usize = args.next().map_or(Ok(8_192), |text| text.parse())?;
    let lanes: u64 = args.next().map_or(Ok(1), |text| text.parse())?;
    let directory = args.next().map_or_else(|| std::env::temp_dir().join(format!("queue-bench-{}", std::process::id())), PathBuf::from);
    std::fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    println!("{batches} batches of {bytes} bytes, {lanes} at once, in {}", directory.display());
    let queue = EmbeddedQueue::open(&directory.join("queue.db"), QueueSettings::default())?;
    runtime.block_on(run("busy", &queue, batches, bytes, lanes))?;
    drop(queue);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

async fn run(name: &str, queue: &EmbeddedQueue, batches: u64, bytes: usize, lanes: u64) -> Result<(), Box<dyn Error>> {
    let clock = SystemClock::new()?;
    let (from, cpu_from, commits_from) = (clock.elapsed_us(), cpu_us()?, queue.commits());
    let lane = |lane: u64| {
        let clock = &clock;
        async move {
            let mut took = Vec::new();
            for number in 0..batches / lanes {
                // The bodies differ, or the disk's page would not change.
                let body: Vec<u8> = (0..bytes).map(|at| (at as u64 ^ number) as u8).collect();
                let half = Half { batch: BatchId { node: lane, number }, tag: "sku".into(), body };
                let asked = clock.elapsed_us();
                let receipt = queue.prepare(half).await?;
                took.push(clock.elapsed_us() - asked);
                queue.settle(receipt, Verdict::Commit).await;
            }
            Ok::<_, sale::ports::Fault>(took)
        }
    };
    let consumer = async {
        let mut done = 0;
        while done < batches / lanes * lanes {
            let messages = queue.receive(32, 1_000).await?;
            done += messages.len() as u64;
            queue.ack(messages.into_iter().map(|message| message.handle).collect(), done).await;
        }
        Ok::<_, sale::ports::Fault>(())
    };
    let producers = futures_util::future::try_join_all((0..lanes).map(lane));
    let (took, ()) = tokio::try_join!(producers, consumer)?;
    let (us, cpu) = (clock.elapsed_us() - from, cpu_us()? - cpu_from);
    let mut took: Vec<u64> = took.into_iter().flatten().collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{name}: {:.0} batches/s, {:.1} µs CPU per batch, {:.2} commits per batch; prepare p50 {} µs, p99 {} µs, p99.9 {} µs, worst {} µs",
        batches as f64 * 1e6 / us as f64,
        cpu as f64 / batches as f64,
        (queue.commits() - commits_from) as f64 / batches as f64,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    Ok(())
}

/// User and system time of this process, in microseconds; the kernel counts in hundredths of a second.
fn cpu_us() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').ok_or("the kernel writes the name in brackets")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks * 10_000)
}
