//! etcd, the API server, the controllers and the scheduler.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::components::{NEWEST, program};
use super::pki::Pki;
use super::state::State;
use crate::tools::{PATIENCE, command, output, say};

/// Names of the daemons, in the order of their start.
pub(crate) const ETCD: &str = "etcd";
pub(crate) const API_SERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLERS: &str = "kube-controller-manager";
pub(crate) const SCHEDULER: &str = "kube-scheduler";

/// What is written down: who changed what, but not what it says. Tests count writes with it.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: Metadata
";

/// Starts what does not run yet, and waits until the API server and the controllers work.
pub(crate) fn up(state: &mut State, pki: &Pki) -> Result<()> {
    for (user, file) in [
        ("admin", state.kubeconfig()),
        ("controller-manager", pki.file("controller-manager.kubeconfig")),
        ("scheduler", pki.file("scheduler.kubeconfig")),
    ] {
        pki.write_kubeconfig(user, state, &file)?;
    }
    state.start(ETCD, &etcd(state)?)?;
    start_api_server(state, pki)?;
    if state.start(CONTROLLERS, &controllers(state, pki)?)? {
        say("cluster: starting the controllers");
    }
    // The newest scheduler waits for kinds that older API servers do not have; those get no nodes.
    if state.version == NEWEST {
        state.start(SCHEDULER, &scheduler(state, pki)?)?;
    }
    // It is among the first things that the controllers make, and pods cannot be made without it.
    let account = ["get", "serviceaccount", "default", "-n", "default", "-o", "name"];
    state.wait_for(CONTROLLERS, PATIENCE, || kubectl(state, &account).is_ok())
}

/// Starts the API server unless it runs, and waits until it is ready.
pub(crate) fn start_api_server(state: &mut State, pki: &Pki) -> Result<()> {
    if state.start(API_SERVER, &api_server(state, pki)?)? {
        say(&format!("cluster: starting the API server {}", state.version));
    }
    state.wait_for(API_SERVER, PATIENCE, || kubectl(state, &["get", "--raw=/readyz"]).is_ok())
}

/// Stops the control plane, the API server first.
pub(crate) fn down(state: &mut State) -> Result<()> {
    for name in [SCHEDULER, CONTROLLERS, API_SERVER, ETCD] {
        // The API server takes a minute to say goodbye to its watchers; what it knows is in etcd.
        let kindly = if name == API_SERVER { Duration::ZERO } else { Duration::from_secs(5) };
        state.stop(name, kindly)?;
    }
    Ok(())
}

/// Asks the cluster something, as its administrator.
pub(crate) fn kubectl(state: &State, arguments: &[&str]) -> Result<String> {
    let program = program("kubectl", &state.version)?;
    let mut kubectl = command(program, ["--request-timeout=10s"]);
    output(kubectl.args(arguments).env("KUBECONFIG", state.kubeconfig()))
}

fn etcd(state: &State) -> Result<Command> {
    let address = state.network().loopback();
    let (clients, peers) = (format!("http://{address}:2379"), format!("http://{address}:2380"));
    let mut etcd = command(program("etcd", &state.version)?, ["--name", "etcd", "--data-dir"]);
    etcd.arg(state.folder().join("etcd"));
    // Nothing here must survive the machine's power failing.
    etcd.arg("--unsafe-no-fsync");
    etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    etcd.args(["--initial-cluster", &format!("etcd={peers}"), "--log-level", "warn"]);
    Ok(etcd)
}

fn api_server(state: &State, pki: &Pki) -> Result<Command> {
    let policy = state.folder().join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY).with_context(|| format!("writing {}", policy.display()))?;
    let network = state.network();
    let audit = state.folder().join("audit.log");
    let mut server = Command::new(program(API_SERVER, &state.version)?);
    for (flag, value) in [
        ("etcd-servers", format!("http://{}:2379", network.loopback())),
        ("bind-address", network.api_server()),
        ("secure-port", "443".into()),
        ("service-cluster-ip-range", network.services()),
        ("allow-privileged", "true".into()),
        ("authorization-mode", "Node,RBAC".into()),
        ("enable-admission-plugins", "NodeRestriction".into()),
        // Webhooks are asked at the addresses of their pods: there is no kube-proxy.
        ("enable-aggregator-routing", "true".into()),
        ("service-account-issuer", "https://kubernetes.default.svc".into()),
        // Guests are slow to answer.
        ("kubelet-timeout", "30s".into()),
        ("kubelet-preferred-address-types", "InternalIP".into()),
        ("audit-policy-file", policy.display().to_string()),
        ("audit-log-path", audit.display().to_string()),
    ] {
        server.arg(format!("--{flag}={value}"));
    }
    for (flag, file) in [
        ("client-ca-file", "ca.crt"),
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
        ("kubelet-client-certificate", "kubelet-client.crt"),
        ("kubelet-client-key", "kubelet-client.key"),
    ] {
        server.arg(format!("--{flag}={}", pki.file(file).display()));
    }
    Ok(server)
}

fn controllers(state: &State, pki: &Pki) -> Result<Command> {
    let mut controllers = Command::new(program(CONTROLLERS, &state.version)?);
    as_user(&mut controllers, &pki.file("controller-manager.kubeconfig").display().to_string());
    let address = state.network().loopback();
    controllers.args([&format!("--bind-address={address}"), "--use-service-account-credentials=true"]);
    // Guests are slow to say that they are there.
    controllers.arg("--node-monitor-grace-period=300s");
    // It makes the folder.
    controllers.arg("--flex-volume-plugin-dir").arg(state.folder().join("volume-plugins"));
    for (flag, file) in [
        ("service-account-private-key-file", "sa.key"),
        ("root-ca-file", "ca.crt"),
        ("cluster-signing-cert-file", "ca.crt"),
        ("cluster-signing-key-file", "ca.key"),
    ] {
        controllers.arg(format!("--{flag}={}", pki.file(file).display()));
    }
    Ok(controllers)
}

fn scheduler(state: &State, pki: &Pki) -> Result<Command> {
    let mut scheduler = Command::new(program(SCHEDULER, &state.version)?);
    as_user(&mut scheduler, &pki.file("scheduler.kubeconfig").display().to_string());
    scheduler.arg(format!("--bind-address={}", state.network().loopback()));
    Ok(scheduler)
}

fn as_user(command: &mut Command, kubeconfig: &str) {
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        command.arg(format!("--{flag}={kubeconfig}"));
    }
    command.arg("--leader-elect=false");
}
