//! A cluster's addresses: a bridge on this machine that host nodes, guests and their pods share.
//!
//! The API server listens at the first address of the services' range, which is the address of the Service
//! `kubernetes`: so pods reach it although there is no kube-proxy. Nodes and pods are one flat network: the
//! API server reaches every webhook and kubelet, and a test every pod.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::state::{Node, NodeKind};
use crate::tools::{command, output, run};

const INTERFACES: &str = "/sys/class/net";

/// The addresses of one cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) slot: u8,
}

impl Network {
    /// The bridge's name.
    pub(crate) fn bridge(self) -> String {
        format!("tetragon{}", self.slot)
    }

    /// Where services' addresses are from.
    pub(crate) fn services(self) -> String {
        format!("10.96.{}.0/24", self.slot)
    }

    /// Where the API server listens.
    pub(crate) fn api_server(self) -> String {
        format!("10.96.{}.1", self.slot)
    }

    /// Where that listens which only this machine needs: etcd, the controllers' health.
    pub(crate) fn loopback(self) -> String {
        format!("127.96.{}.1", self.slot)
    }

    /// The network of nodes and pods: 16 times 256 addresses.
    pub(crate) fn subnet(self) -> String {
        format!("10.97.{}.0/20", u16::from(self.slot) * 16)
    }

    /// This machine's address in it.
    pub(crate) fn gateway(self) -> String {
        format!("10.97.{}.1", u16::from(self.slot) * 16)
    }

    /// A node's address.
    pub(crate) fn node(self, node: &Node) -> String {
        let base = if node.kind == NodeKind::Host { 10 } else { 20 };
        format!("10.97.{}.{}", u16::from(self.slot) * 16, base + node.number)
    }

    /// The first three numbers of the addresses of a node's pods.
    pub(crate) fn pods(self, node: &Node) -> String {
        let base = if node.kind == NodeKind::Host { 0 } else { 7 };
        format!("10.97.{}", u16::from(self.slot) * 16 + u16::from(base + node.number))
    }

    /// Whether there is a cluster with these addresses.
    pub(crate) fn exists(self) -> bool {
        Path::new(INTERFACES).join(self.bridge()).exists()
    }

    /// Makes the bridge, unless it is there.
    pub(crate) fn up(self) -> Result<()> {
        let bridge = self.bridge();
        if !self.exists() {
            ip(&["link", "add", &bridge, "type", "bridge"])?;
        }
        self.address(&format!("{}/20", self.gateway()))?;
        self.address(&format!("{}/32", self.api_server()))?;
        ip(&["link", "set", &bridge, "up"])
    }

    /// Gives the bridge a further address.
    pub(crate) fn address(self, address: &str) -> Result<()> {
        let bridge = self.bridge();
        let has = output(&mut command("ip", ["-o", "-4", "addr", "show", "dev", &bridge]))?;
        if has.split_whitespace().any(|w| w == address) {
            return Ok(());
        }
        ip(&["addr", "add", address, "dev", &bridge])
    }

    /// A virtual network card for a guest, on the bridge. Its name begins with the bridge's.
    pub(crate) fn tap(self, name: &str) -> Result<()> {
        if !Path::new(INTERFACES).join(name).exists() {
            ip(&["tuntap", "add", name, "mode", "tap"])?;
        }
        ip(&["link", "set", name, "master", &self.bridge(), "up"])
    }

    /// Removes a network card.
    pub(crate) fn remove(self, name: &str) -> Result<()> {
        ip(&["link", "del", name])
    }

    /// Removes the bridge and the guests' cards. Those of pods are gone with the pods.
    pub(crate) fn down(self) -> Result<()> {
        for entry in fs::read_dir(INTERFACES)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.strip_prefix(&self.bridge()).is_some_and(|rest| rest.starts_with('g')) {
                self.remove(&name)?;
            }
        }
        if self.exists() { self.remove(&self.bridge()) } else { Ok(()) }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(&mut command("ip", arguments))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cluster::state::SLOTS;

    #[test]
    fn no_address_is_given_twice() {
        let mut seen = HashSet::new();
        for slot in 0..SLOTS {
            let network = Network { slot };
            assert!(seen.insert(network.gateway()) && seen.insert(network.api_server()));
            for kind in [NodeKind::Host, NodeKind::Guest] {
                for number in 1..=super::super::NODES {
                    let node = Node { kind, number, kernel: None };
                    assert!(seen.insert(network.node(&node)), "{node:?}");
                    assert!(seen.insert(network.pods(&node)), "{node:?}");
                    assert_ne!(network.pods(&node), network.gateway().rsplit_once('.').expect("dots").0);
                }
            }
        }
    }
}
