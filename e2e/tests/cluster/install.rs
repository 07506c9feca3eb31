//! helm install, and every command of the first page of the documentation.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::bed::{
    GUEST, HOST, Live, NAMESPACE, Said, agent_pod, condition, get, helm, kubectl, kubectl_quiet, program,
    root, until_printed, wait,
};

/// Values of the bed: images that were built here, a network without Services.
pub(crate) const VALUES: &str = "e2e/tests/cluster/values.yaml";

pub(crate) fn install() -> Result<()> {
    helm(&["lint", "charts/tetragon", "-f", VALUES])?;
    helm(&["install", "tetragon", "charts/tetragon", "-n", NAMESPACE, "-f", VALUES])?;
    kubectl(&["rollout", "status", "-n", NAMESPACE, "ds/tetragon", "--timeout=1800s"])?;
    kubectl(&["rollout", "status", "-n", NAMESPACE, "deploy/tetragon-operator", "--timeout=1800s"])?;
    for node in [HOST, GUEST] {
        wait(&format!("{node} is Ready"), || {
            let object = get(&["tetragonnode", node])?;
            ensure!(condition(&object, "Ready").is_some_and(|(s, _)| s == "True"), "{object}");
            Ok(())
        })?;
    }
    kubectl(&["get", "tetragonnodes"])?;
    let guest = get(&["tetragonnode", GUEST])?;
    let can = |what: &str| guest["status"]["capabilities"][what] == Value::Bool(true);
    ensure!(can("btf") && can("kprobes") && can("lsm") && can("cgroupV2"), "{}", guest["status"]);
    Ok(())
}

pub(crate) fn seed_commands() -> Result<()> {
    let pods = kubectl(&["get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=tetragon"])?;
    ensure!(pods.matches("Running").count() == 2, "two agents run:\n{pods}");
    let live = [Live::start("ds/tetragon", &["--process-only"])?];
    // Which of the agents it follows is kubectl's choice.
    until_printed(&live, "/usr/bin/tetra version", || {
        for node in [HOST, GUEST] {
            let pod = agent_pod(node)?;
            kubectl(&["exec", "-n", NAMESPACE, &pod, "-c", "tetragon", "--", "tetra", "version"])?;
        }
        Ok(())
    })?;
    let lines = live[0].printed();
    let command =
        format!("exec -n {NAMESPACE} ds/tetragon -c tetragon -- tetra getevents -o compact --process-only");
    eprintln!("$ kubectl {command}\n{}", lines.lines().take(12).collect::<Vec<_>>().join("\n"));
    ensure!(
        lines.lines().any(|l| l.contains("process") && l.contains("/usr/bin/tetra")),
        "the exec of tetra is seen:\n{lines}"
    );
    for node in [HOST, GUEST] {
        let pod = agent_pod(node)?;
        let status = kubectl(&["exec", "-n", NAMESPACE, &pod, "-c", "tetragon", "--", "tetra", "status"])?;
        ensure!(status.contains("Health Status: running"), "{status}");
    }
    let logs = kubectl(&["logs", "-n", NAMESPACE, "ds/tetragon", "-c", "export-stdout", "--tail=5"])?;
    let line = logs.lines().next().unwrap_or_default();
    let event: Value = serde_json::from_str(line)?;
    ensure!(event["node_name"].is_string(), "the exported events stand in the container's log: {logs}");
    Ok(())
}

/// What Helm has made for gRPC, decoded.
pub(crate) fn certificate(key: &str) -> Result<String> {
    let template = format!("{{{{index .data \"{key}\" | base64decode}}}}");
    kubectl_quiet(&[
        "get",
        "secret",
        "tetragon-server-certs",
        "-n",
        NAMESPACE,
        "-o",
        &format!("go-template={template}"),
    ])
}

/// The agent of this machine is reached over the network by who trusts its certificate, and by nobody without TLS.
pub(crate) fn grpc_has_a_certificate() -> Result<()> {
    let ca = root().join("target/cluster-grpc-ca.crt").display().to_string();
    std::fs::write(&ca, certificate("ca.crt")?)?;
    let tetra = |flags: &[&str]| -> Result<Said> {
        let output = Command::new(root().join("target/dist/tetra"))
            .args(["status", "--retries", "0", "--server-address", "127.0.0.1:54321"])
            .args(flags)
            .output()?;
        let said = Said::new(&output);
        eprintln!("$ tetra status --server-address 127.0.0.1:54321 {}\n{}", flags.join(" "), said.all());
        Ok(said)
    };
    let trust = ["--tls-ca-cert-files", &ca, "--tls-server-name"];
    let good = tetra(&[&trust[..], &["host1.tetragon-grpc.cilium.io"]].concat())?;
    ensure!(good.stdout.contains("Health Status: running"), "{}", good.all());
    let other = tetra(&[&trust[..], &["host1.example.org"]].concat())?;
    ensure!(other.code == Some(1) && other.stderr.contains("not valid for name"), "{}", other.all());
    ensure!(tetra(&[])?.code == Some(1), "without TLS nothing is told");
    Ok(())
}

/// A real Prometheus scrapes agent and operator; promtool accepts what they say.
pub(crate) fn prometheus() -> Result<()> {
    let folder = root().join("target/cluster-prometheus");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("prometheus.yml");
    let jobs = "\
global: {scrape_interval: 1s}
scrape_configs:
- job_name: tetragon
  static_configs: [{targets: ['127.0.0.1:2112']}]
- job_name: tetragon-operator
  static_configs: [{targets: ['127.0.0.1:2113']}]
";
    std::fs::write(&config, jobs)?;
    let mut server = Command::new(program("PROMETHEUS")?)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg("--web.listen-address=127.0.0.1:19090")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log"))?)
        .spawn()?;
    let asked = wait("prometheus has both", || {
        let up = query("up")?;
        let all = up["data"]["result"].as_array().cloned().unwrap_or_default();
        ensure!(all.len() == 2 && all.iter().all(|r| r["value"][1] == "1"), "{up}");
        let info = query("tetragon_build_info")?;
        ensure!(info["data"]["result"].as_array().is_some_and(|r| !r.is_empty()), "{info}");
        let policies = query("tetragon_operator_policies")?;
        ensure!(policies["data"]["result"].as_array().is_some_and(|r| !r.is_empty()), "{policies}");
        Ok(())
    });
    server.kill()?;
    server.wait()?;
    asked?;
    for port in [2112, 2113] {
        let metrics = fetch(&format!("http://127.0.0.1:{port}/metrics"))?;
        let said = crate::bed::run("PROMTOOL", &["check", "metrics"], &metrics)?;
        ensure!(said.code == Some(0), "port {port}: {}", said.all());
    }
    let monitor = get(&["service", "tetragon", "-n", NAMESPACE])?;
    let ports = monitor["spec"]["ports"].as_array().cloned().unwrap_or_default();
    ensure!(ports.iter().any(|p| p["name"] == "metrics" && p["port"] == 2112), "{monitor}");
    Ok(())
}

fn query(text: &str) -> Result<Value> {
    Ok(serde_json::from_str(&fetch(&format!("http://127.0.0.1:19090/api/v1/query?query={text}"))?)?)
}

fn fetch(url: &str) -> Result<String> {
    let output = Command::new("curl").args(["-fsS", "-m", "5", url]).output()?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
