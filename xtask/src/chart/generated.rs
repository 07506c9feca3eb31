//! What is made from something else, and must not differ from it: the chart's copies of the CRDs, the kustomize bases
//! (from what the chart renders), and the tables of docs/helm.md (from the comments of values.yaml).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::helm::{Chart, documents, hook};
use super::reference;
use crate::cluster;
use crate::tools::{command, output, root, say};

/// Where the kustomize bases put everything.
const NAMESPACE: &str = "kube-system";
/// What the bases that are not in config/default are rendered with.
const OPTIONAL: &[&str] = &[
    "--set=tetragon.prometheus.serviceMonitor.enabled=true",
    "--set=tetragon.prometheus.prometheusRule.enabled=true",
    "--set=tetragonOperator.prometheus.serviceMonitor.enabled=true",
    "--set=networkPolicy.enabled=true",
];
/// Each template's place; those below are in config/default.
const OBJECTS: &[(&str, &str)] = &[
    ("agent-configmap", "agent/configmap"),
    ("agent-daemonset", "agent/daemonset"),
    ("agent-service", "agent/service"),
    ("agent-rbac", "rbac/agent"),
    ("operator-configmap", "operator/configmap"),
    ("operator-deployment", "operator/deployment"),
    ("operator-services", "operator/services"),
    ("operator-rbac", "rbac/operator"),
    ("operator-webhook", "webhook/configuration"),
    ("node-owner-policy", "node-owner/policy"),
];
/// And these are for those who add them.
const MORE: &[(&str, &str)] = &[
    ("agent-monitors", "prometheus/agent"),
    ("operator-monitor", "prometheus/operator"),
    ("prometheus-rule", "prometheus/rule"),
    ("network-policy", "network-policy/operator"),
];
/// Lines that only mean something to helm.
const OF_HELM: &[&str] = &["helm.sh/chart:", "app.kubernetes.io/managed-by:", "checksum/configmap:"];

/// Every generated file with its content.
fn files(chart: &Chart) -> Result<BTreeMap<PathBuf, String>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(root().join("config/crd"))?.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "kustomization.yaml" {
            all.insert(chart.path("files/crds").join(&name), fs::read_to_string(path)?);
        }
    }
    let default = by_template(&chart.template(NAMESPACE, &[])?)?;
    let optional = by_template(&chart.template(NAMESPACE, OPTIONAL)?)?;
    for (objects, places) in [(&default, OBJECTS), (&optional, MORE)] {
        for (template, place) in places {
            let text = objects.get(*template).with_context(|| format!("{template}.yaml renders nothing"))?;
            all.insert(root().join(format!("config/{place}.yaml")), text.clone());
        }
    }
    if let Some(new) = default.keys().find(|t| OBJECTS.iter().all(|(known, _)| known != t)) {
        bail!("{new}.yaml has no place in config/: give it one in xtask/src/chart/generated.rs");
    }
    all.insert(root().join("docs/helm.md"), reference::page(chart)?);
    Ok(all)
}

/// What each template has rendered, without what is helm's.
fn by_template(manifest: &str) -> Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let head = "# Source: tetragon/templates/";
    for document in manifest.split("---\n").filter(|d| !d.trim().is_empty()) {
        if document.contains("helm.sh/hook:") {
            continue;
        }
        let (first, rest) = document.split_once('\n').unwrap_or_default();
        let template = first.strip_prefix(head).and_then(|t| t.strip_suffix(".yaml"));
        let template = template.with_context(|| format!("`{first}` names no template"))?;
        let kept = rest.lines().filter(|l| !OF_HELM.iter().any(|h| l.trim_start().starts_with(h)));
        let text: String = kept.filter(|l| !l.trim().is_empty()).flat_map(|l| [l, "\n"]).collect();
        let file = all.entry(template.to_owned()).or_insert_with(|| {
            "# Made by `cargo xtask chart-test --write` from charts/tetragon: do not edit.\n".into()
        });
        *file += "---\n";
        *file += &text;
    }
    Ok(all)
}

pub(super) fn write(chart: &Chart) -> Result<()> {
    for (path, text) in files(chart)? {
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            say(&format!("wrote {}", path.strip_prefix(root()).unwrap_or(&path).display()));
        }
    }
    Ok(())
}

pub(super) fn are_fresh(chart: &Chart) -> Result<()> {
    let all = files(chart)?;
    let differs = |(path, text): &(&PathBuf, &String)| fs::read_to_string(path).ok().as_ref() != Some(*text);
    let stale: Vec<_> = all.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect();
    ensure!(
        stale.is_empty(),
        "stale: {}; `cargo xtask chart-test --write` makes them anew",
        stale.join(", ")
    );
    let crds: BTreeSet<PathBuf> =
        fs::read_dir(chart.path("files/crds"))?.flatten().map(|entry| entry.path()).collect();
    let surplus: Vec<_> = crds.iter().filter(|path| !all.contains_key(*path)).collect();
    ensure!(surplus.is_empty(), "{surplus:?} are in the chart and not in config/crd");
    Ok(())
}

/// `kubectl kustomize config/default` gives the objects of the chart's default values, and the CRDs.
pub(super) fn kustomize_makes_the_same(chart: &Chart) -> Result<()> {
    let mut of_chart =
        by_identity(&stripped(&chart.template(NAMESPACE, &["--set=crds.installMethod=helm"])?))?;
    // Who installs the CRDs is the one difference.
    let key = "ConfigMap/tetragon-operator-config";
    let plain = by_identity(&stripped(&chart.template(NAMESPACE, &[])?))?;
    of_chart.extend(plain.into_iter().filter(|(id, _)| id == key || id == "ClusterRole/tetragon-operator"));
    let kubectl = cluster::program("kubectl")?;
    let mut of_kustomize = by_identity(&output(&mut command(
        &kubectl,
        ["kustomize".into(), root().join("config/default").display().to_string()],
    ))?)?;
    // Pods are made anew by another annotation, which kustomize has not.
    for objects in [&mut of_chart, &mut of_kustomize] {
        for object in objects.values_mut() {
            forget(object, "helm.sh/resource-policy");
        }
    }
    let ids = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    ensure!(
        ids(&of_chart) == ids(&of_kustomize),
        "the chart has {:?}, kustomize has {:?}",
        ids(&of_chart),
        ids(&of_kustomize)
    );
    for (id, object) in &of_chart {
        ensure!(*object == of_kustomize[id], "{id} differs:\n{object}\n{}", of_kustomize[id]);
    }
    for (_, place) in MORE {
        let folder = root().join("config").join(place.split('/').next().unwrap_or_default());
        output(&mut command(&kubectl, ["kustomize".into(), folder.display().to_string()]))?;
    }
    namespace_is_followed(&kubectl)
}

/// Somebody's own kustomization in another namespace: nothing names the old one.
fn namespace_is_followed(kubectl: &std::path::Path) -> Result<()> {
    // kustomize takes no absolute paths.
    let folder = root().join("target/kustomize");
    fs::create_dir_all(&folder)?;
    let text = "namespace: elsewhere\nresources: [../../config/default]\n";
    fs::write(folder.join("kustomization.yaml"), text)?;
    let made = output(&mut command(kubectl, ["kustomize".into(), folder.display().to_string()]))?;
    // The default of exportDenyList means that namespace, wherever the agents are.
    let meant = |line: &str| line.trim_start().starts_with("{\"namespace\":");
    let old: Vec<&str> = made.lines().filter(|l| l.contains(NAMESPACE) && !meant(l)).collect();
    ensure!(old.is_empty(), "in another namespace these still name {NAMESPACE}:\n{}", old.join("\n"));
    Ok(())
}

fn stripped(manifest: &str) -> String {
    let kept = manifest.lines().filter(|l| !OF_HELM.iter().any(|h| l.trim_start().starts_with(h)));
    kept.flat_map(|l| [l, "\n"]).collect()
}

fn by_identity(manifest: &str) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for object in documents(manifest)?.into_iter().filter(|o| hook(o).is_none()) {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        all.insert(format!("{}/{}", text("/kind"), text("/metadata/name")), object);
    }
    Ok(all)
}

fn forget(object: &mut Value, annotation: &str) {
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(annotation);
    }
}
