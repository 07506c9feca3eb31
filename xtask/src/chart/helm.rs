//! helm, and what it renders.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster;
use crate::conformance::parse_yaml;
use crate::tools::{cache, command, output, root, run};

/// Where a release goes in the tests: not where it goes by default, so that nothing can name that by chance.
pub(super) const NAMESPACE: &str = "somewhere";
/// Kubernetes' versions at which the chart makes different objects, and the newest.
pub(super) const VERSIONS: [&str; 4] = ["1.24.0", "1.29.0", "1.30.0", "1.37.0"];

/// The chart of this repository.
#[derive(Debug)]
pub(super) struct Chart {
    helm: PathBuf,
    folder: PathBuf,
    /// Combinations of values that people use.
    pub(super) combinations: Vec<PathBuf>,
    all: OnceCell<Vec<(String, Vec<Value>)>>,
}

impl Chart {
    pub(super) fn new() -> Result<Chart> {
        let folder = root().join("charts/tetragon");
        let list = fs::read_dir(folder.join("ci")).context("reading the chart's combinations of values")?;
        let mut combinations: Vec<PathBuf> =
            list.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
        combinations.sort();
        ensure!(!combinations.is_empty(), "charts/tetragon/ci has no values");
        Ok(Chart { helm: cluster::program("helm")?, folder, combinations, all: OnceCell::new() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file of the chart that holds one YAML document.
    pub(super) fn yaml(&self, name: &str) -> Result<Value> {
        let text = fs::read_to_string(self.path(name)).with_context(|| format!("reading {name}"))?;
        parse_yaml(&text).with_context(|| name.to_owned())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut helm = command(&self.helm, args);
        // What a developer has set for their own helm.
        helm.env_remove("HELM_NAMESPACE").env_remove("KUBECONFIG");
        helm
    }

    /// The manifests of a release `tetragon`.
    pub(super) fn template(&self, namespace: &str, options: &[&str]) -> Result<String> {
        self.release("tetragon", namespace, options)
    }

    /// The manifests of a release.
    pub(super) fn release(&self, name: &str, namespace: &str, options: &[&str]) -> Result<String> {
        let mut helm = self.command(&["template", name]);
        output(helm.arg(&self.folder).args(["--namespace", namespace]).args(options))
    }

    /// The objects of a release, without those of hooks.
    pub(super) fn objects(&self, options: &[&str]) -> Result<Vec<Value>> {
        let mut all = documents(&self.template(NAMESPACE, options)?)?;
        all.retain(|object| hook(object).is_none());
        Ok(all)
    }

    /// Every combination at every version, with a name for messages. Rendered once: three tests look at them.
    pub(super) fn all(&self) -> Result<&[(String, Vec<Value>)]> {
        if self.all.get().is_none() {
            let _ = self.all.set(self.render_all()?);
        }
        Ok(self.all.get().map_or(&[], Vec::as_slice))
    }

    fn render_all(&self) -> Result<Vec<(String, Vec<Value>)>> {
        let mut all = Vec::new();
        for version in VERSIONS {
            let version = format!("--kube-version={version}");
            all.push((format!("default values, {version}"), self.objects(&[&version])?));
            for file in &self.combinations {
                let values = format!("--values={}", file.display());
                all.push((format!("{}, {version}", name(file)), self.objects(&[&version, &values])?));
            }
        }
        Ok(all)
    }

    /// Why helm refuses these values; `Err` if it does not.
    pub(super) fn refusal(&self, options: &[&str]) -> Result<String> {
        match self.template(NAMESPACE, options) {
            Ok(_) => bail!("{} is accepted", options.join(" ")),
            Err(error) => Ok(format!("{error:#}")),
        }
    }
}

/// When helm makes it, if not with the release.
pub(super) fn hook(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations/helm.sh~1hook")?.as_str()
}

pub(super) fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The documents of helm's output.
pub(super) fn documents(text: &str) -> Result<Vec<Value>> {
    let parts = text.split("\n---\n").map(|t| t.trim_start_matches("---\n"));
    let all = parts.filter(|t| t.lines().any(|l| !l.is_empty() && !l.starts_with('#')));
    all.map(|t| parse_yaml(t).with_context(|| t.to_owned())).collect()
}

pub(super) fn lint(chart: &Chart) -> Result<()> {
    let mut options: Vec<String> =
        chart.combinations.iter().map(|file| format!("--values={}", file.display())).collect();
    options.insert(0, String::new());
    for values in options {
        let mut helm = chart.command(&["lint", "--strict"]);
        helm.arg(&chart.folder).args(Some(&values).filter(|v| !v.is_empty()));
        output(&mut helm)?;
    }
    Ok(())
}

/// The notes. helm prints them only when it installs: a copy of the chart has them in a template.
fn notes_of(chart: &Chart, options: &[&str]) -> Result<String> {
    let copy = Chart {
        helm: chart.helm.clone(),
        folder: cache().join("chart/notes"),
        combinations: Vec::new(),
        all: OnceCell::new(),
    };
    let _ = fs::remove_dir_all(&copy.folder);
    fs::create_dir_all(copy.folder.with_file_name(""))?;
    run(command("cp", ["-r"]).arg(&chart.folder).arg(&copy.folder))?;
    let notes = fs::read_to_string(copy.path("templates/NOTES.txt"))?;
    fs::remove_file(copy.path("templates/NOTES.txt"))?;
    let template = format!(
        "{{{{- define \"notes\" }}}}{notes}{{{{ end -}}}}\nkind: Notes\nmetadata: {{name: notes}}\ntext: {{{{ include \"notes\" . | toJson }}}}\n"
    );
    fs::write(copy.path("templates/notes.yaml"), template)?;
    let objects = copy.objects(options)?;
    let text = objects.iter().find(|o| o["kind"] == "Notes").and_then(|o| o["text"].as_str());
    Ok(text.context("the notes render nothing")?.to_owned())
}

/// What the notes say when nothing ties the write of a TetragonNode to a node.
const OPEN: &str = "the TetragonNodes of other";

pub(super) fn notes(chart: &Chart) -> Result<()> {
    for (options, said, unsaid) in [
        (&["--kube-version=1.29.0"][..], Some(OPEN), None),
        (&["--kube-version=1.30.0"], Some("helm uninstall"), Some(OPEN)),
        (&["--set=tetragon.nodeOwnerPolicy.enabled=false"], Some(OPEN), None),
        (
            &[
                "--set=tetragon.enableK8sAPI=false,tetragon.exportDenyList=,tetragon.nodeOwnerPolicy.enabled=false",
            ],
            None,
            Some(OPEN),
        ),
        (&["--set=tetragon.enableKeepSensorsOnExit=false"], None, Some("helm uninstall")),
        (
            &["--set=tetragon.enableK8sAPI=false,tetragon.exportDenyList="],
            Some("until the node restarts"),
            None,
        ),
        (&["--set=tetragon.securityContext.privileged=true"], Some("privileged"), None),
        (&["--set=crds.installMethod=none"], Some("No CRDs are made"), None),
        (&["--set=tetragonOperator.enabled=false"], Some("tetragonOperator.enabled is false"), None),
        (
            &["--set=tetragonOperator.enabled=false,crds.installMethod=helm"],
            None,
            Some("tetragonOperator.enabled is false"),
        ),
        (
            &["--kube-version=1.32.0", "--set=tetragonOperator.hostUsers=false"],
            Some("hostUsers: false needs Kubernetes 1.33, and this is v1.32.0"),
            None,
        ),
        (&["--kube-version=1.33.0", "--set=tetragonOperator.hostUsers=false"], None, Some("hostUsers")),
        (&["--set=tetragonOperator.webhook.enabled=false"], Some("not checked when they are applied"), None),
        (&["--set=tetragon.gops.enabled=true"], Some("do nothing here: tetragon.gops.enabled."), None),
        (&["--set=tetragon.gops.enabled=false"], None, Some("do nothing here")),
    ] {
        let notes = notes_of(chart, options)?;
        if let Some(said) = said {
            ensure!(notes.contains(said), "{options:?}: the notes do not say `{said}`:\n{notes}");
        }
        if let Some(unsaid) = unsaid {
            ensure!(!notes.contains(unsaid), "{options:?}: the notes say `{unsaid}`:\n{notes}");
        }
    }
    Ok(())
}
