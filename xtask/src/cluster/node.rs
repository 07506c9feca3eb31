//! What nodes have in common wherever they run: the files that configure containerd, kubelet and pods' network.
//!
//! A node has the usual paths (/run/containerd/containerd.sock, /var/lib/kubelet, /var/log/pods), also on this
//! machine, where it has a mount namespace of its own.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::images::PAUSE;
use super::network::Network;
use super::pki::Pki;
use super::state::{Node, State};

/// Where the parts of a node are that differ from node to node.
pub(crate) struct Place<'a> {
    /// The folder with the files that are made here.
    pub(crate) etc: &'a Path,
    /// The bridge that pods are on.
    pub(crate) bridge: &'a str,
    /// The cgroup that pods are in.
    pub(crate) cgroup: &'a str,
}

/// The files of a node: their names in its `etc`, and what is in them.
pub(crate) fn files(
    state: &State,
    pki: &Pki,
    name: &str,
    node: &Node,
    place: &Place<'_>,
) -> Result<Vec<(&'static str, String)>> {
    let network = state.network();
    let address = network.node(node);
    pki.node(name, &address)?;
    Ok(vec![
        ("ca.crt", fs::read_to_string(pki.file("ca.crt"))?),
        ("node.crt", fs::read_to_string(pki.file(&format!("{name}.crt")))?),
        ("node.key", fs::read_to_string(pki.file(&format!("{name}.key")))?),
        ("kubeconfig", pki.kubeconfig(name, state)?),
        ("kubelet.yaml", kubelet(place, &address)),
        ("cni/10-pods.conflist", pod_network(network, node, place.bridge)),
    ])
}

/// containerd's configuration.
pub(crate) fn containerd(etc: &Path, plugins: &Path) -> String {
    format!(
        r#"version = 3

[plugins.'io.containerd.internal.v1.opt']
  path = "/var/lib/containerd/opt"

# A node has a /run of its own, so this is each node's own socket.
[plugins.'io.containerd.nri.v1.nri']
  disable = false
  socket_path = "/run/nri/nri.sock"
  plugin_registration_timeout = "60s"
  plugin_request_timeout = "60s"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE}"

[plugins.'io.containerd.cri.v1.runtime']
  # A machine may refuse to make processes less likely to be killed.
  restrict_oom_score_adj = true

  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{etc}/cni"

# A node in a guest is slow: what takes a second elsewhere takes ten there.
[timeouts]
  'io.containerd.timeout.metrics.shimstats' = "60s"
  'io.containerd.timeout.shim.cleanup' = "60s"
  'io.containerd.timeout.shim.load' = "60s"
  'io.containerd.timeout.shim.shutdown' = "60s"
  'io.containerd.timeout.task.state' = "60s"
"#,
        etc = etc.display(),
        plugins = plugins.display(),
    )
}

fn kubelet(place: &Place<'_>, address: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: \"{etc}/ca.crt\"}}
authorization: {{mode: Webhook}}
tlsCertFile: \"{etc}/node.crt\"
tlsPrivateKeyFile: \"{etc}/node.key\"
address: {address}
healthzBindAddress: {address}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
volumePluginDir: /var/lib/kubelet/volume-plugins
resolvConf: \"{etc}/resolv.conf\"
cgroupDriver: cgroupfs
# Tests look for events in the logs of agents, which `kubectl logs` shows the newest file of.
containerLogMaxSize: 1Gi
cgroupRoot: {cgroup}
# Machines with cgroup v1 are nodes, too.
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
# No pod is put off and no image removed because the disk is nearly full: images come from no registry.
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
runtimeRequestTimeout: 10m
# A slow node does less that nobody looks at, and is not taken for one that is down.
nodeStatusUpdateFrequency: 30s
nodeLeaseDurationSeconds: 200
volumeStatsAggPeriod: -1s
containerLogMonitorInterval: 1m
maxPods: 60
",
        etc = place.etc.display(),
        cgroup = place.cgroup,
    )
}

/// The kubelet's arguments.
pub(crate) fn kubelet_arguments(etc: &Path, name: &str, address: &str) -> Vec<String> {
    let etc = etc.display();
    vec![
        format!("--config={etc}/kubelet.yaml"),
        format!("--kubeconfig={etc}/kubeconfig"),
        format!("--hostname-override={name}"),
        format!("--node-ip={address}"),
        "--v=1".into(),
    ]
}

/// How pods get addresses: they are ports of a bridge, in one flat network with the nodes.
fn pod_network(network: Network, node: &Node, bridge: &str) -> String {
    let pods = network.pods(node);
    let configuration = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": bridge,
            "ipam": {
                "type": "host-local",
                "ranges": [[{
                    "subnet": network.subnet(),
                    "rangeStart": format!("{pods}.2"),
                    "rangeEnd": format!("{pods}.250"),
                    "gateway": network.gateway(),
                }]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    configuration.to_string()
}
