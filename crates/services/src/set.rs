//! A set: one of each server, in a directory of its own, on ports of its own that it keeps.

use crate::process::{Process, Running};
use crate::ready::{listens, says};
use crate::{install, mariadb, redis, rocketmq};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A server of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Redis.
    Redis,
    /// MariaDB.
    Mariadb,
    /// RocketMQ's name server.
    Namesrv,
    /// RocketMQ's broker, with its gRPC port.
    Broker,
}

impl Service {
    /// All, in the order in which they start.
    pub const ALL: [Self; 4] = [Self::Redis, Self::Mariadb, Self::Namesrv, Self::Broker];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Mariadb => "mariadb",
            Self::Namesrv => "namesrv",
            Self::Broker => "broker",
        }
    }

    /// The service of this name.
    pub fn named(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|service| service.as_str() == name);
        known.ok_or_else(|| format!("there is no service {name:?}; there are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// How a server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// No process of it runs.
    Down,
    /// It runs and stands still.
    Stopped(i32),
    /// It runs and does not answer: it starts, or it is ill.
    Silent(i32),
    /// It answers.
    Up(i32),
}

/// The ports of a set, on 127.0.0.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ports {
    /// Redis.
    pub redis: u16,
    /// MariaDB.
    pub mariadb: u16,
    /// The name server.
    pub namesrv: u16,
    /// The broker's remoting port; the port two below is the broker's too.
    pub broker: u16,
    /// The broker's port for its replicas.
    pub broker_ha: u16,
    /// The proxy's gRPC port: what clients connect to.
    pub grpc: u16,
    /// The proxy's own remoting port.
    pub proxy_remoting: u16,
}

/// One of each server.
#[derive(Clone, Debug)]
pub struct Set {
    /// The directory of all sets, and of the jars.
    pub(crate) root: PathBuf,
    directory: PathBuf,
    /// Where its servers listen.
    pub ports: Ports,
    /// Settings of the broker beyond those of every set.
    pub(crate) broker_settings: BTreeMap<String, String>,
    /// Settings of the proxy beyond those of every set.
    pub(crate) proxy_settings: BTreeMap<String, Value>,
    /// Options of the broker's Java machine.
    pub(crate) java_options: Vec<String>,
}

impl Set {
    /// The set of this name under a root; made, with free ports, if there is none.
    pub fn open(root: &Path, name: &str) -> Result<Self, String> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(format!("a set's name has letters, digits and -, not {name:?}"));
        }
        let root = std::path::absolute(root).map_err(|e| format!("{}: {e}", root.display()))?;
        let directory = root.join("sets").join(name);
        fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        let ports = kept(&directory.join("ports.json"), free_ports)?;
        Ok(Self { root, directory, ports, broker_settings: BTreeMap::new(), proxy_settings: BTreeMap::new(), java_options: Vec::new() })
    }

    /// With a setting of the broker, by its name in `broker.conf`. It holds for starts by this value.
    pub fn with_broker_setting(mut self, name: &str, value: impl ToString) -> Self {
        self.broker_settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// With a setting of the proxy, by its name in `rmq-proxy.json`. It holds for starts by this value.
    pub fn with_proxy_setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.proxy_settings.insert(name.to_owned(), value.into());
        self
    }

    /// With an option of the broker's Java machine. It holds for starts by this value.
    pub fn with_java_option(mut self, option: &str) -> Self {
        self.java_options.push(option.to_owned());
        self
    }

    /// The URL of its Redis.
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.ports.redis)
    }

    /// The URL of its database, with user and password.
    pub fn mariadb_url(&self) -> String {
        format!("mysql://hotcake:hotcake@127.0.0.1:{}/hotcake", self.ports.mariadb)
    }

    /// The URL of its proxy.
    pub fn rocketmq_url(&self) -> String {
        format!("rocketmq://127.0.0.1:{}", self.ports.grpc)
    }

    /// Starts a server and comes back when it answers. One that answers already is left alone.
    pub fn up(&self, service: Service) -> Result<(), String> {
        match self.status(service) {
            Status::Up(_) => return Ok(()),
            Status::Stopped(_) | Status::Silent(_) => self.kill9(service)?,
            Status::Down => {}
        }
        match service {
            Service::Redis => redis::start(self),
            Service::Mariadb => mariadb::start(self),
            Service::Namesrv => install::fetch_jars(&self.root).and_then(|()| rocketmq::start_namesrv(self)),
            Service::Broker => install::fetch_jars(&self.root).and_then(|()| rocketmq::start_broker(self)),
        }
    }

    /// Asks a server to end and comes back when it is gone. What it stored stays.
    pub fn down(&self, service: Service) -> Result<(), String> {
        self.process(service.as_str()).end()
    }

    /// kill -9.
    pub fn kill9(&self, service: Service) -> Result<(), String> {
        self.process(service.as_str()).kill9()
    }

    /// Lets a server stand still.
    pub fn stop(&self, service: Service) -> Result<(), String> {
        self.process(service.as_str()).stand_still(true)
    }

    /// Lets a server go on.
    pub fn cont(&self, service: Service) -> Result<(), String> {
        self.process(service.as_str()).stand_still(false)
    }

    /// kill -9 of all, and everything that they stored is gone; their ports stay theirs.
    pub fn wipe(&self) -> Result<(), String> {
        for service in Service::ALL {
            self.kill9(service)?;
            self.remove(service.as_str())?;
        }
        Ok(())
    }

    /// Removes what a server stored.
    pub(crate) fn remove(&self, name: &str) -> Result<(), String> {
        let place = self.directory.join(name);
        if place.exists() {
            fs::remove_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
        }
        Ok(())
    }

    /// Where it keeps everything.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How a server is.
    pub fn status(&self, service: Service) -> Status {
        let Some(Running { pid, stopped }) = self.process(service.as_str()).running() else { return Status::Down };
        let answers = || match service {
            Service::Redis => says(self.ports.redis, b"PING\r\n").starts_with(b"+PONG"),
            Service::Mariadb => says(self.ports.mariadb, b"").get(4) == Some(&10),
            Service::Namesrv => listens(self.ports.namesrv),
            Service::Broker => listens(self.ports.broker) && listens(self.ports.grpc),
        };
        match stopped {
            true => Status::Stopped(pid),
            false if answers() => Status::Up(pid),
            false => Status::Silent(pid),
        }
    }

    pub(crate) fn process(&self, name: &str) -> Process {
        Process::new(self.directory.join(name))
    }

    /// A server's own directory.
    pub(crate) fn place(&self, name: &str) -> Result<PathBuf, String> {
        let place = self.directory.join(name);
        fs::create_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
        Ok(place)
    }
}

/// What a file says; made, and written there, if there is none.
pub fn kept<T: Serialize + DeserializeOwned>(note: &Path, make: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", note.display());
    match fs::read(note) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| format!("{}. Remove the set's directory.", fail(&e))),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let made = make()?;
            let text = serde_json::to_vec(&made).map_err(|e| fail(&e))?;
            fs::write(note, text).map_err(|e| fail(&e))?;
            Ok(made)
        }
        Err(e) => Err(fail(&e)),
    }
}

/// A port that nobody listens on now, and whose neighbour so far below is free too. What is held is chosen by nobody else.
pub fn free_port(below: u16, held: &mut Vec<TcpListener>) -> Result<u16, String> {
    let fail = |e: std::io::Error| format!("no free port: {e}");
    for _ in 0..100 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(fail)?;
        let port = listener.local_addr().map_err(fail)?.port();
        let also = if below == 0 { None } else { TcpListener::bind(("127.0.0.1", port - below)).ok() };
        let fits = below == 0 || also.is_some();
        held.push(listener);
        held.extend(also);
        if fits {
            return Ok(port);
        }
    }
    Err(format!("no two free ports that stand {below} apart"))
}

fn free_ports() -> Result<Ports, String> {
    let mut held = Vec::new();
    let mut free = |below| free_port(below, &mut held);
    Ok(Ports {
        redis: free(0)?,
        mariadb: free(0)?,
        namesrv: free(0)?,
        // The broker listens two below its port as well.
        broker: free(2)?,
        broker_ha: free(0)?,
        grpc: free(0)?,
        proxy_remoting: free(0)?,
    })
}
