//! `cargo xtask services`: Redis, MariaDB and RocketMQ as private processes, for a person at a desk. Installs what is missing
//! where that is possible. Knows the verbs; how a server starts and is known to be ready stands in the crate `services`.

use crate::machine;
use crate::steps::now;
use services::{Service, Set, Status, install};
use std::path::Path;

const VERBS: &str = "up, down, status, wipe, kill9 NAME, stop NAME, cont NAME";

/// Runs a verb on one set: `main`, or the one that `--set` names.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let (mut name, mut words) = ("main".to_owned(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--set" => name = args.next().ok_or("--set needs a name")?.clone(),
            flag if flag.starts_with('-') => return Err(format!("there is no flag {flag}")),
            word => words.push(word.to_owned()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (verb, of) = words.split_first().ok_or_else(|| format!("a verb is missing; there are {VERBS}"))?;
    let named: Vec<Service> = of.iter().map(|name| Service::named(name)).collect::<Result<_, _>>()?;
    let set = Set::open(&root.join("target/services"), &name)?;
    let all = if named.is_empty() { Service::ALL.to_vec() } else { named.clone() };
    match *verb {
        "up" => up(&set, &all),
        // The broker before its name server.
        "down" => all.into_iter().rev().try_for_each(|service| set.down(service)).map(|()| show(&set)),
        "status" => {
            show(&set);
            Ok(())
        }
        "wipe" if named.is_empty() => set.wipe().map(|()| show(&set)),
        "kill9" | "stop" | "cont" if named.is_empty() => Err(format!("{verb} needs the name of a service")),
        "kill9" => named.into_iter().try_for_each(|service| set.kill9(service)).map(|()| show(&set)),
        "stop" => named.into_iter().try_for_each(|service| set.stop(service)).map(|()| show(&set)),
        "cont" => named.into_iter().try_for_each(|service| set.cont(service)).map(|()| show(&set)),
        other => Err(format!("there is no verb {other:?}, or it takes no names; there are {VERBS}")),
    }
}

fn up(set: &Set, services: &[Service]) -> Result<(), String> {
    machine::install(&install::missing())?;
    for &service in services {
        let since = now();
        set.up(service)?;
        println!("{:<8} answers after {:.1} s", service.as_str(), since.elapsed().as_secs_f64());
    }
    show(set);
    Ok(())
}

fn show(set: &Set) {
    for service in Service::ALL {
        let (state, pid) = match set.status(service) {
            Status::Down => ("down", None),
            Status::Stopped(pid) => ("stands still", Some(pid)),
            Status::Silent(pid) => ("does not answer", Some(pid)),
            Status::Up(pid) => ("up", Some(pid)),
        };
        let url = match service {
            Service::Redis => set.redis_url(),
            Service::Mariadb => set.mariadb_url(),
            Service::Namesrv => format!("127.0.0.1:{}", set.ports.namesrv),
            Service::Broker => set.rocketmq_url(),
        };
        let pid = pid.map(|pid| format!("process {pid}")).unwrap_or_default();
        println!("{:<8} {state:<16} {pid:<16} {url}", service.as_str());
    }
}
