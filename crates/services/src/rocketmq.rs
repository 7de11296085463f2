//! Apache RocketMQ in two Java processes: the name server, and the proxy in local mode, which is broker and gRPC port in one.

use crate::install::jars;
use crate::ready::{listens, wait_until};
use crate::set::Set;
use rocketmq::Admin;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Each of a broker's threads that reads keeps 4 MiB outside the heap: with 256 MiB it runs out of them, and says nothing to who
/// receives.
const BROKER_MEMORY: [&str; 3] = ["-Xms256m", "-Xmx1g", "-XX:MaxDirectMemorySize=512m"];
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// A broker: where it listens, and what it is called.
pub struct Broker<'a> {
    pub set: &'a Set,
    /// The name of its process and of its directory.
    pub process: &'a str,
    /// As the cluster knows it.
    pub name: &'a str,
    pub port: u16,
    pub ha_port: u16,
}

/// A proxy: where it listens.
pub struct Proxy<'a> {
    pub set: &'a Set,
    pub process: &'a str,
    /// LOCAL, with a broker in it, or CLUSTER.
    pub mode: &'a str,
    pub grpc: u16,
    pub remoting: u16,
}

pub fn start_namesrv(set: &Set) -> Result<(), String> {
    let process = set.process("namesrv");
    let directory = set.place("namesrv")?;
    let text = format!("listenPort={}\nbindAddress=127.0.0.1\nkvConfigPath={}\n", set.ports.namesrv, directory.join("kv.json").display());
    let file = write(&directory, "namesrv.conf", &text)?;
    let mut command = java(&directory, &["-Xms64m", "-Xmx128m"], set);
    command.args(["org.apache.rocketmq.namesrv.NamesrvStartup", "-c", &file]);
    process.start(command)?;
    wait_until("namesrv", &process, || listens(set.ports.namesrv))
}

/// The broker of a set, in one process with its proxy.
pub fn start_broker(set: &Set) -> Result<(), String> {
    let broker = Broker { set, process: "broker", name: "broker-a", port: set.ports.broker, ha_port: set.ports.broker_ha };
    let proxy = Proxy { set, process: "broker", mode: "LOCAL", grpc: set.ports.grpc, remoting: set.ports.proxy_remoting };
    let directory = set.place("broker")?;
    let conf = write(&directory, "broker.conf", &broker.conf(&directory))?;
    let mut command = java(&directory, &BROKER_MEMORY, set);
    command.args(&set.java_options);
    command.args(["org.apache.rocketmq.proxy.ProxyStartup", "-pm", "local", "-n", &namesrv(set), "-bc", &conf]);
    command.args(["-pc", &write(&directory, "rmq-proxy.json", &proxy.json())?]);
    set.process("broker").start(command)?;
    broker.wait()?;
    wait_until("broker", &set.process("broker"), || listens(set.ports.grpc))
}

impl Broker<'_> {
    /// Starts it alone, without a proxy.
    pub fn start(&self) -> Result<(), String> {
        let directory = self.set.place(self.process)?;
        let conf = write(&directory, "broker.conf", &self.conf(&directory))?;
        let mut command = java(&directory, &BROKER_MEMORY, self.set);
        command.args(["org.apache.rocketmq.broker.BrokerStartup", "-c", &conf]);
        self.set.process(self.process).start(command)?;
        self.wait()
    }

    fn wait(&self) -> Result<(), String> {
        let process = self.set.process(self.process);
        wait_until(self.process, &process, || listens(self.port))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let admin = Admin::new(&namesrv(self.set), &format!("127.0.0.1:{}", self.port), ASK_LIMIT);
        wait_until(self.process, &process, || runtime.block_on(self.is_registered(&admin)))
    }

    /// The broker's first registration may find no name server, and the next try is ten seconds later. A change of its settings
    /// makes it register at once.
    async fn is_registered(&self, admin: &Admin) -> bool {
        let route = admin.route("SELF_TEST_TOPIC").await.ok().flatten();
        let brokers = route.as_ref().and_then(|route| route["brokerDatas"].as_array());
        if brokers.is_some_and(|brokers| brokers.iter().any(|broker| broker["brokerName"] == self.name)) {
            return true;
        }
        let nothing_new = BTreeMap::from([("brokerPermission".to_owned(), "6".to_owned())]);
        drop(admin.configure_broker(&nothing_new).await);
        false
    }
}

fn namesrv(set: &Set) -> String {
    format!("127.0.0.1:{}", set.ports.namesrv)
}

fn java(directory: &Path, memory: &[&str], set: &Set) -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Drocketmq.home.dir={}", directory.display())).arg(format!("-Duser.home={}", directory.display()));
    command.args(["-Dfile.encoding=UTF-8", "-XX:+UseSerialGC"]).args(memory);
    command.arg("-cp").arg(format!("{}/*", jars(&set.root).display())).current_dir(directory);
    command
}

impl Broker<'_> {
    /// Half messages are checked back after one and a half to three seconds, and for long: what the broker counts as a check also
    /// counts while nobody is there to be asked.
    fn conf(&self, directory: &Path) -> String {
        let store = directory.join("store");
        let settings = [
            ("brokerClusterName", "DefaultCluster".to_owned()),
            ("brokerName", self.name.to_owned()),
            ("brokerId", "0".to_owned()),
            ("brokerIP1", "127.0.0.1".to_owned()),
            ("bindAddress", "127.0.0.1".to_owned()),
            ("listenPort", self.port.to_string()),
            ("haListenPort", self.ha_port.to_string()),
            ("namesrvAddr", namesrv(self.set)),
            ("storePathRootDir", store.display().to_string()),
            ("storePathCommitLog", store.join("commitlog").display().to_string()),
            ("mappedFileSizeCommitLog", "67108864".to_owned()),
            ("mappedFileSizeConsumeQueue", "600000".to_owned()),
            ("maxHashSlotNum", "50000".to_owned()),
            ("maxIndexNum", "200000".to_owned()),
            ("mappedFileSizeTimerLog", "10485760".to_owned()),
            ("flushDiskType", "SYNC_FLUSH".to_owned()),
            ("brokerRole", "ASYNC_MASTER".to_owned()),
            ("deleteWhen", "04".to_owned()),
            ("fileReservedTime", "72".to_owned()),
            ("diskMaxUsedSpaceRatio", "88".to_owned()),
            ("autoCreateTopicEnable", "false".to_owned()),
            ("autoCreateSubscriptionGroup", "false".to_owned()),
            // Above the interval in which settlements are written together, or what was committed is checked again and comes twice.
            ("transactionTimeOut", "1500".to_owned()),
            ("transactionCheckInterval", "500".to_owned()),
            ("transactionCheckMax", "1000".to_owned()),
            ("transactionOpBatchInterval", "100".to_owned()),
            ("flushConsumerOffsetInterval", "500".to_owned()),
            ("recallMessageEnable", "true".to_owned()),
            ("timerWheelEnable", "true".to_owned()),
            ("waitTimeMillsInSendQueue", "2000".to_owned()),
        ];
        let mut settings = BTreeMap::from(settings.map(|(key, value)| (key.to_owned(), value)));
        settings.extend(self.set.broker_settings.clone());
        settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }
}

impl Proxy<'_> {
    /// Starts it alone, without a broker.
    pub fn start(&self) -> Result<(), String> {
        let directory = self.set.place(self.process)?;
        let mut command = java(&directory, &["-Xms128m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m"], self.set);
        command.args(["org.apache.rocketmq.proxy.ProxyStartup", "-pm", "cluster", "-n", &namesrv(self.set)]);
        command.args(["-pc", &write(&directory, "rmq-proxy.json", &self.json())?]);
        let process = self.set.process(self.process);
        process.start(command)?;
        wait_until(self.process, &process, || listens(self.grpc))
    }

    fn json(&self) -> String {
        let mut settings = serde_json::json!({
            "rocketMQClusterName": "DefaultCluster",
            "proxyMode": self.mode,
            "namesrvAddr": namesrv(self.set),
            "grpcServerPort": self.grpc,
            "remotingListenPort": self.remoting,
            "localServeAddr": "127.0.0.1",
            // Several proxies of one machine have several ports; it would name its own for all.
            "useEndpointPortFromRequest": true,
            // A commit that comes later is refused, and the check-back must do it.
            "transactionDataExpireMillis": 600_000,
        });
        for (key, value) in &self.set.proxy_settings {
            settings[key] = value.clone();
        }
        settings.to_string()
    }
}

fn write(directory: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = directory.join(name);
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path.display().to_string())
}
