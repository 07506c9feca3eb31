//! The tests that need Kubernetes, each on a cluster of its own that is taken down afterwards: the parts
//! against a bare control plane (the newest and the oldest), and the whole on real nodes.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::build::{TARGET, cargo};
use crate::cluster;
use crate::tools::{itself, run, say};

/// Kubernetes' versions that the parts are tested with.
const VERSIONS: [&str; 2] = ["1.37", "1.24"];

/// The chart's objects, the operator and the agent, each alone, against a real API server.
pub(crate) fn parts() -> Result<()> {
    for version in VERSIONS {
        with_cluster(&format!("parts-{}", version.replace('.', "-")), &["--version", version], |env| {
            say(&format!("the chart against Kubernetes {version}"));
            run(itself(["chart-test", "--only", "API server"])?.envs(env.iter().cloned()))?;
            let tests =
                [("tetragon-operator", "api"), ("tetragon-operator", "policies"), ("tetragon-agent", "k8s")];
            for (package, test) in tests {
                say(&format!("{package} against Kubernetes {version}"));
                let test = ["test", "--package", package, "--features", "api-tests", "--test", test];
                run(cargo(test)
                    .args(["--target", TARGET])
                    .envs(env.iter().cloned())
                    .env("INSTA_UPDATE", "no"))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Everything installed by helm on a node of this machine and one in a guest.
pub(crate) fn whole() -> Result<()> {
    this(&["image"])?;
    with_cluster("whole", &["--nodes", "host:1,guest:1"], |env| {
        for image in ["tetragon", "tetragon-operator"] {
            let archive = crate::tools::root().join(format!("target/image/{image}.tar"));
            this(&["cluster", "load-image", "--name", "whole", &archive.display().to_string()])?;
        }
        let test = ["test", "--package", "tetragon-e2e", "--test", "cluster", "--target", TARGET];
        run(cargo(test).envs(env.iter().cloned()).env("TETRAGON_CLUSTER", "1"))
    })
}

/// Makes a cluster, does something with it, and takes it down whatever came of that.
fn with_cluster(
    name: &str,
    options: &[&str],
    test: impl FnOnce(&[(&'static str, PathBuf)]) -> Result<()>,
) -> Result<()> {
    if std::env::var_os("KUBECONFIG").is_some_and(|k| !k.is_empty()) {
        bail!("KUBECONFIG is set: these tests change a cluster as they like, and make their own; unset it");
    }
    let mut up = vec!["cluster", "up", "--name", name];
    up.extend(options);
    let tested = this(&up).and_then(|()| test(&environment(name)?));
    // What failed first is what is told.
    let down = this(&["cluster", "down", "--name", name]);
    tested.and(down)
}

/// Where the tests find their tools.
fn environment(name: &str) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut all = vec![("KUBECONFIG", cluster::kubeconfig(name)?), ("XTASK", std::env::current_exe()?)];
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
