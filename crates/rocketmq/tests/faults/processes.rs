//! Clients that are processes of their own: killed, idle, without a broker.

use crate::lab::{INVISIBLE, POLL, Plan, SECOND, SOON, lock, message, wait_out, wait_within};
use crate::{CHILD, lab_of};
use rocketmq::admin::TopicKind;
use rocketmq::{Access, Observer, SimpleConsumer, Subscription, Verdict};
use services::Service;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

pub async fn a_process_killed_leaves_its_half_messages_to_another() {
    let lab = lab_of("kill-client");
    let topic = lab.topic("orphans", TopicKind::Transaction).await;
    let inbox = lab.inbox(&topic).await;
    let mut child = Process::start(&format!("prepare {} {topic}", lab.set.rocketmq_url()));
    child.wait_for("prepared").await;
    let plan = Plan::default();
    plan.say("orphan", &[Verdict::Commit]);
    let sibling = plan.producer(lab.access(), &topic).await;
    child.kill9();
    inbox.wait_for("orphan").await;
    assert!(plan.checks("orphan") >= 1);
    sibling.shutdown().await.expect("goodbye");
}

pub async fn an_idle_client_rests_and_one_without_a_broker_does_not_spin() {
    let lab = lab_of("idle");
    let topic = lab.topic("idle", TopicKind::Transaction).await;
    let group = lab.group("idle").await;
    let mut child = Process::start(&format!("idle {} {topic} {group}", lab.set.rocketmq_url()));
    child.wait_for("ready").await;
    let (idle, lines) = child.spends(30 * SECOND).await;
    println!("idle producer and polling consumer: {:.2} % of a core, {lines} lines in 30 s", idle * 100.0);
    assert!(idle < 0.02, "{idle}");
    lab.kill9(Service::Broker).await;
    let (alone, lines) = child.spends(60 * SECOND).await;
    println!("without a broker: {:.2} % of a core, {lines} lines in 60 s", alone * 100.0);
    assert!(alone < 0.10, "{alone}");
    assert!(lines < 60, "{lines} lines");
    lab.up(Service::Broker).await;
    child.wait_for("sent again").await;
    child.kill9();
}

/// A child of this program, and what it prints.
struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn start(job: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program).env(CHILD, job).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn({
            let lines = lines.clone();
            move || output.lines().map_while(Result::ok).for_each(|line| lock(&lines).push(line))
        });
        Self { child, lines }
    }

    async fn wait_for(&self, line: &str) {
        let said = wait_within(SOON, async || lock(&self.lines).iter().any(|said| said == line)).await;
        assert!(said, "it does not say {line:?}: {:?}", lock(&self.lines));
    }

    /// The share of a core that it uses in this time, and the lines that it prints.
    async fn spends(&mut self, time: Duration) -> (f64, usize) {
        let used = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
            let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
            // User and system time are the 14th and 15th field of all; two stand before the bracket.
            fields[11..=12].iter().map(|field| field.parse::<u64>().expect("a number")).sum::<u64>()
        };
        let (before, said) = (used(), lock(&self.lines).len());
        wait_out(time).await;
        // In hundredths of a second, on every Linux.
        ((used() - before) as f64 / 100.0 / time.as_secs_f64(), lock(&self.lines).len() - said)
    }

    fn kill9(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a child does: `prepare URL TOPIC` leaves a half message and knows nothing of it; `idle URL TOPIC GROUP` has a producer
/// and a consumer that asks again and again, and sends once it can after it could not.
pub async fn child(job: String) {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stdout).init();
    let words: Vec<&str> = job.split(' ').collect();
    let access = Access::new(words[1]).expect("a URL");
    let topic = words[2].to_owned();
    let producer = Plan::default().producer(access.clone().with_observer(Arc::new(Silent)), &topic).await;
    match words[0] {
        "prepare" => {
            drop(producer.prepare(&message(&topic, "orphan")).await.expect("stored"));
            println!("prepared");
            std::future::pending::<()>().await;
        }
        "idle" => {
            let consumer = SimpleConsumer::start(access, words[3], &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
            assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
            println!("ready");
            let mut had_failed = false;
            loop {
                match consumer.receive(&topic, 32, INVISIBLE).await {
                    Err(_) => had_failed = true,
                    Ok(_) if had_failed => {
                        producer.prepare(&message(&topic, "back")).await.expect("stored").commit().await.expect("told");
                        println!("sent again");
                        had_failed = false;
                    }
                    Ok(_) => {}
                }
            }
        }
        other => panic!("no job {other}"),
    }
}

struct Silent;

impl Observer for Silent {}
