//! The agent as `tetra` and a scraper of metrics see it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::agent::{self, Agent, Following, Metrics, tetra, tetra_alone};
use crate::hammer::{self, Hammer};

const POLICY: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: over-grpc}
spec:
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: ["/hd/denied"]}]
      matchActions: [{action: Override, argError: -13}]
"#;
const FILE: &str = "/tmp/over-grpc.yaml";
/// Certificates.
const TLS: &str = "/run/tls";
const ADDRESS: &str = "127.0.0.1:54321";

/// The scenario.
pub(crate) fn run() -> Result<String> {
    std::fs::create_dir_all("/hd")?;
    std::fs::write("/hd/denied", "x")?;
    std::fs::write(FILE, POLICY)?;
    agent::prepare(&[])?;
    let agent = Agent::start(&[])?;
    let status = tetra(&["status"])?;
    ensure!(status.contains("running"), "tetra status says: {status}");
    let following = Following::start(&["-o", "compact", "--color", "never"])?;
    let steps: [(&[&str], &str, bool); 6] = [
        (&["add", FILE], "enabled", true),
        (&["set-mode", "over-grpc", "monitor"], "monitor", false),
        (&["set-mode", "over-grpc", "enforce"], "enforce", true),
        (&["disable", "over-grpc"], "disabled", false),
        (&["enable", "over-grpc"], "enabled", true),
        (&["delete", "over-grpc"], "", false),
    ];
    ensure!(!denied()?, "denied before there is a policy");
    for (args, state, denies) in steps {
        if state.is_empty() {
            // A policy's series end with it.
            metrics()?;
        }
        tetra(&[&["tracingpolicy"], args].concat())?;
        let list = tetra(&["tracingpolicy", "list"])?;
        let row = list.lines().find(|l| l.split_whitespace().nth(1) == Some("over-grpc"));
        match (row, state) {
            (None, "") => {}
            (Some(row), state) if !state.is_empty() && row.split_whitespace().any(|w| w == state) => {}
            _ => anyhow::bail!(
                "after `tetra tracingpolicy {}` the list is not in the state `{state}`:\n{list}",
                args.join(" ")
            ),
        }
        ensure!(
            denied()? == denies,
            "after `tetra tracingpolicy {}` the open is not {}",
            args.join(" "),
            if denies { "denied" } else { "allowed" }
        );
    }
    for (args, says) in [(["add", "/etc/passwd"], "apiVersion"), (["delete", "none-such"], "does not exist")]
    {
        let error = tetra(&[&["tracingpolicy"], &args[..]].concat())
            .err()
            .map(|e| format!("{e:#}"))
            .unwrap_or_default();
        ensure!(
            error.contains(says) || error.contains("error"),
            "`tetra tracingpolicy {}` says: {error}",
            args.join(" ")
        );
    }
    let compact = following.stop()?;
    // Two opens are reported in each of the states enforce, monitor, enforce, enforce.
    for (line, count) in [("🔒 LSM", 4), ("🚀 process", 7), ("💥 exit", 7)] {
        let with = |l: &&str| l.starts_with(line) && l.contains("/bin/hammer");
        let n = compact.lines().filter(with).count();
        ensure!(
            n >= count,
            "{n} compact lines `{line} ... /bin/hammer` instead of {count} at least:\n{compact}"
        );
    }
    agent.stop()?;
    let connections = with_tls()?;
    Ok(format!(
        "{} steps, {} compact lines, {connections} connections with TLS",
        steps.len(),
        compact.lines().count()
    ))
}

/// gRPC on TCP with TLS, for clients with a certificate. The files come late and change.
fn with_tls() -> Result<usize> {
    let file = |name: &str| format!("{TLS}/{name}");
    let put = |name: &str, text: &str| std::fs::write(file(name), text).context("writing a certificate");
    std::fs::create_dir_all(TLS)?;
    let [certificate, own_key, ca] = ["tls.crt", "tls.key", "ca.crt"].map(file);
    let agent = Agent::start(&[
        "--server-address",
        ADDRESS,
        "--server-tls-cert-file",
        &certificate,
        "--server-tls-key-file",
        &own_key,
        "--server-tls-client-ca-files",
        &ca,
        "--server-tls-require-client-cert",
    ])?;
    // The socket beside it needs no flags.
    ensure!(tetra_alone(&["status"])?.contains("running"), "the socket is not served");
    let [cert, key] = ["client.crt", "client.key"].map(file);
    let trust = ["--server-address", ADDRESS, "--tls-ca-cert-files", &ca];
    let own = [&trust[..], &["--tls-cert-file", &cert, "--tls-key-file", &key]].concat();
    let status = |flags: &[&str]| tetra_alone(&[&["status", "--retries", "0"], flags].concat());
    let mut connections = 0;
    for round in 0..2 {
        let authority = Authority::new()?;
        let ((server, server_key), (client, client_key)) = (authority.certify()?, authority.certify()?);
        put("ca.crt", &authority.pem)?;
        put("client.crt", &client)?;
        put("client.key", &client_key)?;
        // Not yet the agent's.
        ensure!(status(&own).is_err(), "round {round}: the agent has a certificate that nobody gave it");
        put("tls.crt", &server)?;
        put("tls.key", &server_key)?;
        ensure!(status(&own)?.contains("running"), "round {round}: the agent does not answer");
        let refused = status(&trust).err().context("a client without a certificate is served")?.to_string();
        ensure!(
            refused.contains("does the agent ask its clients for a certificate?"),
            "a client without a certificate: {refused}"
        );
        connections += 3;
    }
    let log = agent.stop()?;
    ensure!(
        log.contains("no client can connect until the files are in order"),
        "nothing is said of TLS:\n{log}"
    );
    Ok(connections)
}

/// Signs for this machine.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Result<Authority> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), pem })
    }

    /// A certificate and its key, PEM.
    fn certify(&self) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

/// The seed's four names are served, and two that count nearly the same thing agree: of processes that
/// ran before the agent there are events too.
fn metrics() -> Result<()> {
    let metrics = Metrics::scrape()?;
    for name in [
        "tetragon_events_total",
        "tetragon_policy_events_total",
        "tetragon_process_exec_total",
        "tetragon_missed_events_total",
    ] {
        ensure!(metrics.has(name), "there is no metric {name}");
    }
    let (execs, events) = (
        metrics.sum("tetragon_process_exec_total", &[]),
        metrics.sum("tetragon_events_total", &["type=\"PROCESS_EXEC\""]),
    );
    ensure!(
        execs > 7 && execs <= events,
        "tetragon_process_exec_total {execs}, PROCESS_EXEC events {events}"
    );
    Ok(())
}

/// Whether an open of the file is refused now, in a process of its own.
fn denied() -> Result<bool> {
    let mut hammer = Hammer::start(&["--calls", "1"], &["open:/hd/denied"])?;
    hammer.go()?;
    let counts = hammer.finish()?;
    std::thread::sleep(Duration::from_millis(50));
    Ok(hammer::failed(&counts, 0) == 1)
}
