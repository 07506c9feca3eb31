//! The tests that need Kubernetes, each on a cluster of its own that is taken down afterwards: the parts
//! against a bare control plane (the newest and the oldest), and the whole on real nodes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::build::workspace;
use crate::cluster;
use crate::test::LONG;
use crate::tools::{itself, root, run, say};

/// Kubernetes' versions that the parts are tested with, and the order of the tests: they mostly wait, so both
/// versions are tested at once; `k8s` judges by what processes of this machine do, so one at a time.
const VERSIONS: [(&str, [&str; 3]); 2] =
    [("1.37", ["api", "policies", "k8s"]), ("1.24", ["k8s", "api", "policies"])];

/// Held by who runs `k8s`.
static ALONE: Mutex<()> = Mutex::new(());

/// The chart's objects, the operator and the agent, each alone, against real API servers.
pub(crate) fn parts() -> Result<()> {
    // What both would build at once, and make.
    run(workspace(["test", "--no-run"]).args(["--test", "api", "--test", "policies", "--test", "k8s"]))?;
    let folder = root().join("target/api");
    std::fs::create_dir_all(&folder)?;
    std::thread::scope(|scope| {
        let start = |(version, tests)| {
            let log = folder.join(format!("{version}.log"));
            say(&format!("Kubernetes {version}: the tests write to {}", log.display()));
            (version, scope.spawn(move || part(version, tests, &log)))
        };
        let all = VERSIONS.map(start);
        let ended = all.map(|(version, thread)| match thread.join() {
            Ok(result) => result.with_context(|| format!("Kubernetes {version}")),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // Both have ended; the first error is told, the other one stands in its log.
        ended.into_iter().collect()
    })
}

/// One version, on a cluster of its own.
fn part(version: &str, tests: [&str; 3], log: &Path) -> Result<()> {
    shown_on_failure(log, |shown| {
        with_cluster(&format!("parts-{}", version.replace('.', "-")), &["--version", version], |env| {
            logged(itself(["chart-test", "--only", "API server"])?.envs(env.iter().cloned()), shown)?;
            for test in tests {
                let begin = Instant::now();
                let _alone = (test == "k8s").then(|| ALONE.lock());
                let mut command = workspace(["test", "--test", test]);
                logged(command.envs(env.iter().cloned()).env("INSTA_UPDATE", "no"), shown)
                    .with_context(|| format!("`{test}` failed"))?;
                say(&format!(
                    "Kubernetes {version}: {test} passed after {:.0} s",
                    begin.elapsed().as_secs_f64()
                ));
            }
            Ok(())
        })
    })
}

/// Does something whose output goes to a new file, and shows the file when it fails.
fn shown_on_failure(log: &Path, run: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let result = run(&File::create(log)?);
    if result.is_err() {
        eprintln!("{}", std::fs::read_to_string(log)?);
    }
    result
}

/// Runs this program with its output in a file of `target/`, which is shown when it fails.
pub(crate) fn into_file(name: &str, args: &[&str]) -> Result<()> {
    let log = root().join(format!("target/{name}.log"));
    say(&format!("`xtask {}` runs beside what follows and writes to {}", args.join(" "), log.display()));
    shown_on_failure(&log, |shown| logged(&mut itself(args)?, shown))
}

/// The last line of a file.
pub(crate) fn last_line(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().last().unwrap_or_default().trim().to_owned()
}

/// Runs a command whose output goes to a file.
fn logged(command: &mut Command, log: &File) -> Result<()> {
    run(command.stdout(log.try_clone()?).stderr(log.try_clone()?))
}

/// Everything installed by helm on a node of this machine and one in a guest.
pub(crate) fn whole(long: bool) -> Result<()> {
    this(&["image"])?;
    with_cluster("whole", &["--nodes", "host:1,guest:1"], |env| {
        for image in ["tetragon", "tetragon-operator"] {
            let archive = root().join(format!("target/image/{image}.tar"));
            this(&["cluster", "load-image", "--name", "whole", &archive.display().to_string()])?;
        }
        let mut tests = workspace(["test", "--test", "cluster"]);
        run(tests.envs(env.iter().cloned()).env(LONG, if long { "1" } else { "" }))
    })
}

/// Makes a cluster, does something with it, and takes it down whatever came of that. Nobody else's is touched:
/// [`cluster::without_kubeconfig`] is called before.
fn with_cluster(
    name: &str,
    options: &[&str],
    test: impl FnOnce(&[(&'static str, PathBuf)]) -> Result<()>,
) -> Result<()> {
    let mut up = vec!["cluster", "up", "--name", name];
    up.extend(options);
    let tested = this(&up).and_then(|()| test(&environment(name)?));
    // What failed first is what is told.
    let down = this(&["cluster", "down", "--name", name]);
    tested.and(down)
}

/// Where the tests find their tools.
fn environment(name: &str) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut all = vec![("KUBECONFIG", cluster::own_kubeconfig(name)?), ("XTASK", std::env::current_exe()?)];
    all.push(("CLUSTER_NAME", name.into()));
    for (variable, program) in [
        ("KUBECTL", "kubectl"),
        ("HELM", "helm"),
        ("PROMETHEUS", "prometheus"),
        ("PROMTOOL", "promtool"),
        ("LUA", "lua"),
    ] {
        all.push((variable, cluster::program(program)?));
    }
    Ok(all)
}

fn this(args: &[&str]) -> Result<()> {
    run(&mut itself(args)?)
}
