//! A cluster of RocketMQ: one name server, two brokers, two proxies that know both.

use crate::rocketmq::{Broker, Proxy};
use crate::set::{Service, Set, free_port, kept};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What may die alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Member {
    /// The first broker.
    BrokerA,
    /// The second broker.
    BrokerB,
    /// The first proxy.
    ProxyA,
    /// The second proxy.
    ProxyB,
}

impl Member {
    /// All, in the order in which they start.
    pub const ALL: [Self; 4] = [Self::BrokerA, Self::BrokerB, Self::ProxyA, Self::ProxyB];

    fn as_str(self) -> &'static str {
        match self {
            Self::BrokerA => "broker-a",
            Self::BrokerB => "broker-b",
            Self::ProxyA => "proxy-a",
            Self::ProxyB => "proxy-b",
        }
    }
}

/// The second port is the broker's for replicas, the proxy's for remoting.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ports([(u16, u16); 4]);

/// One name server, two brokers, two proxies, in the directory of a set.
#[derive(Clone, Debug)]
pub struct Cluster {
    set: Set,
    ports: Ports,
}

impl Cluster {
    /// The cluster of this name under a root; made, with free ports, if there is none.
    pub fn open(root: &Path, name: &str) -> Result<Self, String> {
        let set = Set::open(root, name)?;
        let ports = kept(&set.directory().join("cluster.json"), || {
            let mut held = Vec::new();
            let mut pair = |below| Ok::<_, String>((free_port(below, &mut held)?, free_port(0, &mut held)?));
            Ok(Ports([pair(2)?, pair(2)?, pair(0)?, pair(0)?]))
        })?;
        Ok(Self { set, ports })
    }

    /// The name server's port.
    pub fn namesrv_port(&self) -> u16 {
        self.set.ports.namesrv
    }

    /// The brokers' remoting ports.
    pub fn broker_ports(&self) -> [u16; 2] {
        [self.ports.0[0].0, self.ports.0[1].0]
    }

    /// The proxies' gRPC ports.
    pub fn grpc_ports(&self) -> [u16; 2] {
        [self.ports.0[2].0, self.ports.0[3].0]
    }

    /// Starts all and comes back when they answer.
    pub fn up_all(&self) -> Result<(), String> {
        self.set.up(Service::Namesrv)?;
        Member::ALL.into_iter().try_for_each(|member| self.up(member))
    }

    /// Starts one and comes back when it answers.
    pub fn up(&self, member: Member) -> Result<(), String> {
        let (set, process) = (&self.set, member.as_str());
        let (port, second) = self.ports.0[member as usize];
        match member {
            Member::BrokerA | Member::BrokerB => Broker { set, process, name: process, port, ha_port: second }.start(),
            Member::ProxyA | Member::ProxyB => Proxy { set, process, mode: "CLUSTER", grpc: port, remoting: second }.start(),
        }
    }

    /// kill -9.
    pub fn kill9(&self, member: Member) -> Result<(), String> {
        self.set.process(member.as_str()).kill9()
    }

    /// kill -9 of all, and everything that they stored is gone; their ports stay theirs.
    pub fn wipe(&self) -> Result<(), String> {
        for member in Member::ALL {
            self.kill9(member)?;
            self.set.remove(member.as_str())?;
        }
        self.set.wipe()
    }
}
