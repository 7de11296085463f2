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

const ASK_LIMIT: Duration = Duration::from_secs(3);

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

pub fn start_broker(set: &Set) -> Result<(), String> {
    let process = set.process("broker");
    let directory = set.place("broker")?;
    let conf = write(&directory, "broker.conf", &broker_conf(set, &directory))?;
    let proxy = write(&directory, "rmq-proxy.json", &proxy_json(set))?;
    let mut command = java(&directory, &["-Xms256m", "-Xmx1g", "-XX:MaxDirectMemorySize=512m"], set);
    let namesrv = format!("127.0.0.1:{}", set.ports.namesrv);
    command.args(["org.apache.rocketmq.proxy.ProxyStartup", "-pm", "local", "-n", &namesrv, "-bc", &conf, "-pc", &proxy]);
    process.start(command)?;
    wait_until("broker", &process, || listens(set.ports.broker))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let admin = Admin::new(&namesrv, &format!("127.0.0.1:{}", set.ports.broker), ASK_LIMIT);
    wait_until("broker", &process, || runtime.block_on(is_registered(&admin)))?;
    wait_until("broker", &process, || listens(set.ports.grpc))
}

/// The broker's first registration may find no name server, and the next try is ten seconds later. A change of its settings
/// makes it register at once.
async fn is_registered(admin: &Admin) -> bool {
    if matches!(admin.route("SELF_TEST_TOPIC").await, Ok(Some(_))) {
        return true;
    }
    let nothing_new = BTreeMap::from([("brokerPermission".to_owned(), "6".to_owned())]);
    drop(admin.configure_broker(&nothing_new).await);
    false
}

fn java(directory: &Path, memory: &[&str], set: &Set) -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Drocketmq.home.dir={}", directory.display())).arg(format!("-Duser.home={}", directory.display()));
    command.args(["-Dfile.encoding=UTF-8", "-XX:+UseSerialGC"]).args(memory);
    command.arg("-cp").arg(format!("{}/*", jars(&set.root).display())).current_dir(directory);
    command
}

/// Half messages are checked back after one and a half to three seconds, and for long: what the broker counts as a check also
/// counts while nobody is there to be asked.
fn broker_conf(set: &Set, directory: &Path) -> String {
    let store = directory.join("store");
    let settings = [
        ("brokerClusterName", "DefaultCluster".to_owned()),
        ("brokerName", "broker-a".to_owned()),
        ("brokerId", "0".to_owned()),
        ("brokerIP1", "127.0.0.1".to_owned()),
        ("bindAddress", "127.0.0.1".to_owned()),
        ("listenPort", set.ports.broker.to_string()),
        ("haListenPort", set.ports.broker_ha.to_string()),
        ("namesrvAddr", format!("127.0.0.1:{}", set.ports.namesrv)),
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
    settings.map(|(key, value)| format!("{key}={value}\n")).concat()
}

fn proxy_json(set: &Set) -> String {
    serde_json::json!({
        "rocketMQClusterName": "DefaultCluster",
        "proxyMode": "LOCAL",
        "namesrvAddr": format!("127.0.0.1:{}", set.ports.namesrv),
        "grpcServerPort": set.ports.grpc,
        "remotingListenPort": set.ports.proxy_remoting,
        "localServeAddr": "127.0.0.1",
        // A commit that comes later is refused, and the check-back must do it.
        "transactionDataExpireMillis": 600_000,
    })
    .to_string()
}

fn write(directory: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = directory.join(name);
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path.display().to_string())
}
