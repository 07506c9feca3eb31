//! What a real API server says of every object. KUBECONFIG names it; nothing is stored.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::helm::{Chart, NAMESPACE, name};
use crate::cluster;
use crate::tools::{command, output, root};

/// Kinds of others that the chart makes objects of: a Go module and its file that defines one, and its name.
const DEFINITIONS: [(&str, &str, &str); 4] = [
    (PROMETHEUS, "monitoring.coreos.com_servicemonitors.yaml", "servicemonitors.monitoring.coreos.com"),
    (PROMETHEUS, "monitoring.coreos.com_podmonitors.yaml", "podmonitors.monitoring.coreos.com"),
    (PROMETHEUS, "monitoring.coreos.com_prometheusrules.yaml", "prometheusrules.monitoring.coreos.com"),
    (CERT_MANAGER, "crd-certificates.yaml", "certificates.cert-manager.io"),
];
/// A module, and its folder.
const PROMETHEUS: &str =
    "github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd";
const CERT_MANAGER: &str = "github.com/cert-manager/cert-manager@v1.18.2 deploy/crds";

pub(super) fn takes_every_object(chart: &Chart) -> Result<()> {
    if std::env::var_os("KUBECONFIG").is_none_or(|k| k.is_empty()) {
        println!(
            "      no API server was asked: KUBECONFIG is not set; `cargo xtask test --only api` sets it"
        );
        return Ok(());
    }
    let version = server_version()?;
    define_kinds()?;
    // Custom resources are no part of the chart, but their kinds are asked for by its roles.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    kubectl(&["apply", "-f", "-"], &namespace.to_string())?;
    let version = format!("--kube-version={version}");
    let mut wrong = Vec::new();
    let mut all = vec![("default values".to_owned(), chart.objects(&[&version])?)];
    for file in &chart.combinations {
        let values = format!("--values={}", file.display());
        all.push((name(file), chart.objects(&[&version, &values])?));
    }
    let mut count = 0;
    for (what, objects) in &all {
        count += objects.len();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        if let Err(error) =
            kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", "-"], &list.to_string())
        {
            wrong.push(format!("{what}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // config/default has a policy that older servers do not know.
    let minor = version.split('.').nth(1).and_then(|m| m.parse::<u32>().ok()).context("a version")?;
    if minor >= 30 {
        let folder = root().join("config/default").display().to_string();
        kubectl(&["apply", "--dry-run=server", "--validate=strict", "-k", &folder], "")?;
    }
    println!("      {count} objects of {} combinations, {version}", all.len());
    Ok(())
}

fn server_version() -> Result<String> {
    let said: Value = serde_json::from_str(&kubectl(&["get", "--raw", "/version"], "")?)?;
    let version = said["gitVersion"].as_str().context("the server tells no version")?;
    Ok(version.to_owned())
}

/// kubectl with something to read; a warning counts as an error.
fn kubectl(args: &[&str], input: &str) -> Result<String> {
    let mut child = command(cluster::program("kubectl")?, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("kubectl cannot be started")?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
    let said = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&said.stderr);
    if !said.status.success() || errors.contains("Warning:") {
        bail!("kubectl {}: {}", args.join(" "), errors.trim());
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Dir")]
    folder: std::path::PathBuf,
}

/// Kinds of others, from the Go modules that define them.
fn define_kinds() -> Result<()> {
    let mut wait =
        vec!["wait".to_owned(), "--for=condition=Established".to_owned(), "--timeout=60s".to_owned()];
    for (place, file, name) in DEFINITIONS {
        let (module, folder) = place.split_once(' ').context("a module and a folder")?;
        let said = output(&mut cluster::go(&["mod", "download", "-json", module])?)
            .with_context(|| format!("asking the Go module proxy for {module}"))?;
        let path = serde_json::from_str::<Module>(&said)?.folder.join(folder).join(file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // One of them is a template; its labels are all that Helm would fill in.
        let plain: Vec<&str> = text.lines().filter(|line| !line.contains("'{{")).collect();
        // They are longer than the annotation of a client-side apply.
        kubectl(&["apply", "--server-side", "-f", "-"], &plain.join("\n"))?;
        wait.push(format!("crd/{name}"));
    }
    kubectl(&wait.iter().map(String::as_str).collect::<Vec<_>>(), "").map(|_| ())
}
