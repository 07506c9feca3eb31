//! The programs of a cluster: built from the Go module proxy or unpacked from Debian's packages, once.
//!
//! Nothing is installed. `KUBEBUILDER_ASSETS`, a folder as envtest makes it, is preferred when it is set.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::download;
use crate::apt::{retry, unpack};
use crate::progress::{self, Counting};
use crate::tools::{cache, command, find, output, root, say};

/// The newest Kubernetes that the project is tested with.
pub(crate) const NEWEST: &str = "v1.37.2";
/// The oldest one.
pub(crate) const OLDEST: &str = "v1.24.17";
const HELM: &str = "v3.22.0";
/// What the chart's templates see as the cluster's version unless a cluster is asked.
const HELM_KUBERNETES: (&str, &str) = ("v1", "37");

/// What there is of every version.
const API_SERVER: &str = "kube-apiserver";
/// What there is of the newest version only. Its controllers serve older API servers, too, as far as the
/// tests need them: service accounts, garbage collection, namespaces, Deployments.
const OF_NEWEST: &[&str] = &["kube-controller-manager", "kube-scheduler", "kubelet", "kubectl"];

/// A program from Debian's packages: its name, the suite, the packages to unpack together, where it is.
struct Package {
    program: &'static str,
    suite: &'static str,
    packages: &'static [&'static str],
    path: &'static str,
}

/// Suites are the oldest that have what is needed: containerd 2, etcd 3.5 (which need not flush to disk), a
/// Prometheus with `promtool check metrics`.
const PACKAGES: &[Package] = &[
    Package { program: "etcd", suite: "trixie", packages: &["etcd-server"], path: "usr/bin/etcd" },
    Package { program: "containerd", suite: "sid", packages: &["containerd"], path: "usr/bin/containerd" },
    Package { program: "runc", suite: "bookworm", packages: &["runc"], path: "usr/sbin/runc" },
    Package {
        program: "cni",
        suite: "bookworm",
        packages: &["containernetworking-plugins"],
        path: "usr/lib/cni",
    },
    Package {
        program: "prometheus",
        suite: "bookworm",
        packages: &["prometheus"],
        path: "usr/bin/prometheus",
    },
    Package { program: "promtool", suite: "bookworm", packages: &["prometheus"], path: "usr/bin/promtool" },
    Package { program: "lua", suite: "bookworm", packages: &["lua5.4"], path: "usr/bin/lua5.4" },
];

/// The full version of `1.37`, `1.24` or `1.30.4`: `v1.37.2`.
pub(crate) fn version(asked: &str) -> Result<String> {
    let asked = asked.strip_prefix('v').unwrap_or(asked);
    for known in [NEWEST, OLDEST] {
        if known[1..].rsplit_once('.').is_some_and(|(minor, _)| minor == asked) {
            return Ok(known.to_owned());
        }
    }
    let numbers: Vec<_> = asked.split('.').collect();
    let digits = |n: &&str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    if numbers.len() != 3 || numbers[0] != "1" || !numbers.iter().all(digits) {
        bail!(
            "`{asked}` is no version of Kubernetes; right would be 1.37, 1.24, or all of it: {}",
            &NEWEST[1..]
        );
    }
    Ok(format!("v{asked}"))
}

/// Everything that the project's tests need of a version, made now instead of when it is first used.
pub(crate) fn build(version: &str, names: &[String]) -> Result<()> {
    let known: Vec<&str> = all();
    if let Some(wrong) = names.iter().find(|n| !known.contains(&n.as_str())) {
        bail!("there is no component `{wrong}`; right would be one of {}", known.join(", "));
    }
    for name in known {
        if names.is_empty() || names.iter().any(|n| n == name) {
            println!("{name:<24} {}", program(name, version)?.display());
        }
    }
    Ok(())
}

/// What the demo's cluster runs.
pub(crate) fn for_demo() -> Result<()> {
    node_packages()?;
    // Kubernetes' build uses what helm's leaves, and leaves nothing.
    for name in ["helm", "etcd", API_SERVER].iter().chain(OF_NEWEST) {
        program(name, NEWEST)?;
    }
    Ok(())
}

fn all() -> Vec<&'static str> {
    let packages = PACKAGES.iter().map(|p| p.program);
    // Kubernetes' build uses what helm's leaves, and leaves nothing.
    ["helm", API_SERVER]
        .into_iter()
        .chain(OF_NEWEST.iter().copied())
        .chain(packages)
        .chain(["search-server"])
        .collect()
}

/// A program, made when the cache lacks it.
pub(crate) fn program(name: &str, version: &str) -> Result<PathBuf> {
    if let Some(given) = given(name) {
        return Ok(given);
    }
    if name == API_SERVER {
        return kubernetes(name, version);
    }
    if OF_NEWEST.contains(&name) {
        return kubernetes(name, NEWEST);
    }
    match name {
        "helm" => return helm(),
        "search-server" => return search_jars(),
        _ => {}
    }
    let package = PACKAGES.iter().find(|p| p.program == name);
    package.with_context(|| format!("there is no component `{name}`"))?.get()
}

/// What the developer has already.
fn given(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").filter(|f| !f.is_empty())?;
    given_in(Path::new(&folder), name)
}

fn given_in(folder: &Path, name: &str) -> Option<PathBuf> {
    Some(folder.join(name)).filter(|p| p.is_file())
}

fn folder() -> PathBuf {
    cache().join("cluster")
}

/// Makes something that is missing. Only one process makes anything at a time.
fn made(target: &Path, what: &str, make: impl FnOnce() -> Result<()>) -> Result<PathBuf> {
    if target.exists() {
        return Ok(target.to_path_buf());
    }
    fs::create_dir_all(folder())?;
    let lock = File::create(folder().join("lock"))?;
    lock.lock().context("waiting for another one who makes parts of a cluster")?;
    if !target.exists() {
        let begin = Instant::now();
        make().with_context(|| format!("getting {what}"))?;
        if !target.exists() {
            bail!("{what} was made, but {} is still missing", target.display());
        }
        say(&format!("cluster: {what}: {} s", begin.elapsed().as_secs()));
    }
    Ok(target.to_path_buf())
}

/// A program of Kubernetes; all that is missing of its version is built with it, which costs least.
fn kubernetes(name: &str, version: &str) -> Result<PathBuf> {
    let to = folder().join(format!("k8s-{version}"));
    made(&to.join(name), &format!("{name} {version}"), || {
        let others = if version == NEWEST { OF_NEWEST } else { &[] };
        let group = [API_SERVER].into_iter().chain(others.iter().copied());
        let missing: Vec<_> = group.filter(|n| !to.join(n).exists() && given(n).is_none()).collect();
        let new = to.join("new");
        // An interrupted build may have left something.
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(&new)?;
        let downloaded = missing.iter().map(|name| download::kubernetes(name, version, &new.join(name)));
        if !downloaded.collect::<Result<Vec<_>>>()?.into_iter().all(|there| there) {
            build_kubernetes(version, &missing, &new)?;
        }
        for name in missing {
            fs::rename(new.join(name), to.join(name))?;
        }
        // Gigabytes, and each program is built once.
        super::remove(&go_build()).context("removing what the build leaves")?;
        Ok(fs::remove_dir(new)?)
    })
}

fn build_kubernetes(version: &str, names: &[&str], to: &Path) -> Result<()> {
    say(&format!("cluster: building {} {version}, once", names.join(", ")));
    let modules = kubernetes_modules(version)?;
    let packages: Vec<_> = names.iter().map(|n| format!("k8s.io/kubernetes/cmd/{n}")).collect();
    let mut fetch = go(&["mod", "download"])?;
    retry(|| progress::run("Kubernetes' modules", fetch.current_dir(&modules), Counting::Nothing))?;
    let mut build = go(&["build", "-v", "-gcflags=all=-dwarf=false", "-ldflags", &version_flags(version)])?;
    build.arg("-o").arg(to).args(&packages).current_dir(&modules);
    go_run(&format!("building Kubernetes {version}"), &mut build, &modules, &packages)
}

/// Runs a build of Go packages that says how many of those that it needs are compiled.
fn go_run(what: &str, build: &mut Command, folder: &Path, packages: &[String]) -> Result<()> {
    let mut list = go(&["list", "-deps"])?;
    let all = output(list.args(packages).current_dir(folder))?.lines().filter(|l| l.contains('/')).count();
    // The compiler's memory is that of one package; what is collected meanwhile is a fifth of its time.
    retry(|| progress::run(what, build.env("GOGC", "400"), Counting::Go(all)))
}

/// Without them every program says that it is version 0.0.0, and kubectl that it is too old.
fn version_flags(version: &str) -> String {
    let minor = version.split('.').nth(1).unwrap_or_default();
    let base = "k8s.io/component-base/version";
    format!(
        "-s -w -X k8s.io/client-go/pkg/version.gitVersion={version} -X {base}.gitVersion={version} \
         -X {base}.gitMajor=1 -X {base}.gitMinor={minor} -X {base}.gitTreeState=clean"
    )
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Dir")]
    folder: PathBuf,
}

/// A Go module that requires Kubernetes. Its own go.mod points at folders of its repository, which the module
/// proxy has as modules of their own.
fn kubernetes_modules(version: &str) -> Result<PathBuf> {
    let to = folder().join(format!("mod-{version}"));
    fs::create_dir_all(&to)?;
    if to.join("go.mod").exists() {
        return Ok(to);
    }
    let module = format!("k8s.io/kubernetes@{version}");
    let said = output(go(&["mod", "download", "-json", &module])?.current_dir(&to))
        .with_context(|| format!("asking the Go module proxy for {module}"))?;
    let source = serde_json::from_str::<Module>(&said)?.folder;
    let original = fs::read_to_string(source.join("go.mod"))?;
    fs::copy(source.join("go.sum"), to.join("go.sum"))?;
    let mut permissions = fs::metadata(to.join("go.sum"))?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(to.join("go.sum"), permissions)?;
    fs::write(to.join("go.mod"), requirements(&original, version)?)?;
    Ok(to)
}

fn requirements(original: &str, version: &str) -> Result<String> {
    let go =
        original.lines().find(|l| l.starts_with("go ")).context("Kubernetes' go.mod names no Go version")?;
    let staging = format!("v0.{}", version.trim_start_matches("v1."));
    let replaced = original.lines().filter_map(|l| {
        let (module, path) = l.trim().trim_start_matches("replace ").split_once(" => ")?;
        path.starts_with("./staging/src/").then(|| format!("\t{module} => {module} {staging}\n"))
    });
    let replaced: String = replaced.collect();
    if replaced.is_empty() {
        bail!(
            "Kubernetes' go.mod replaces no module by one of its folders; the rule for it must be looked at"
        );
    }
    Ok(format!(
        "module kubernetes\n\n{go}\n\nrequire k8s.io/kubernetes {version}\n\nreplace (\n{replaced})\n"
    ))
}

fn helm() -> Result<PathBuf> {
    let to = folder().join(format!("helm-{HELM}"));
    made(&to.join("helm"), &format!("helm {HELM}"), || {
        fs::create_dir_all(&to)?;
        if download::helm(HELM, &to.join("helm"))? {
            return Ok(());
        }
        say(&format!("cluster: building helm {HELM}, once"));
        let package = "helm.sh/helm/v3";
        let (major, minor) = HELM_KUBERNETES;
        let flags = format!(
            "-s -w -X {package}/internal/version.version={HELM} \
             -X {package}/pkg/chartutil.k8sVersionMajor={} -X {package}/pkg/chartutil.k8sVersionMinor={minor}",
            major.trim_start_matches('v')
        );
        let helm = format!("{package}/cmd/helm@{HELM}");
        let mut install = go(&["install", "-v", "-gcflags=all=-dwarf=false", "-ldflags", &flags, &helm])?;
        install.env("GOBIN", &to).env("GOGC", "400");
        retry(|| progress::run("building helm", &mut install, Counting::Nothing))
    })
}

/// The folder with the jars of the search server.
pub(crate) fn search_jars() -> Result<PathBuf> {
    if find("java").is_none() || find("mvn").is_none() {
        bail!("the search server needs Java 17 and Maven: `cargo xtask setup` installs them");
    }
    made(&folder().join("search-server"), "the search server's jars", || {
        let project = root().join("e2e/search-server/pom.xml");
        let new = folder().join("search-server.new");
        let mut maven = command("mvn", ["-q", "-B", "-f"]);
        maven.arg(project).arg("dependency:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", new.display()));
        retry(|| progress::run("downloading the search server", &mut maven, Counting::Nothing))?;
        Ok(fs::rename(new, folder().join("search-server"))?)
    })
}

/// Go with a cache of its own. Older Go fetches the version that a module asks for.
pub(crate) fn go(arguments: &[&str]) -> Result<Command> {
    let program = match find("go") {
        Some(go) => go,
        None => go_of_debian()?,
    };
    let mut go = command(program, arguments);
    // An interrupted build leaves its temporary files: beside the cache they are removed with it.
    let temporary = go_build().join("tmp");
    fs::create_dir_all(&temporary).with_context(|| format!("making {}", temporary.display()))?;
    go.env("GOCACHE", go_build()).env("GOTMPDIR", temporary).env("CGO_ENABLED", "0");
    go.env("GOFLAGS", "-mod=mod -trimpath -buildvcs=false");
    if std::env::var_os("GOTOOLCHAIN").is_none() {
        go.env("GOTOOLCHAIN", "auto");
    }
    Ok(go)
}

fn go_build() -> PathBuf {
    folder().join("go-build")
}

/// Go 1.21 is the first that fetches newer ones; Debian 12's own is older.
fn go_of_debian() -> Result<PathBuf> {
    let go = Package {
        program: "go",
        suite: "trixie",
        packages: &["golang-1.24-go", "golang-1.24-src"],
        path: "usr/lib/go-1.24/bin/go",
    };
    go.tree()
}

impl Package {
    fn get(&self) -> Result<PathBuf> {
        let tree = folder().join(self.packages[0]);
        let to = made(&tree, &self.packages.join(", "), || self.tree().map(|_| ()))?;
        Ok(to.join(self.path))
    }

    /// Downloads and unpacks. The caller holds the lock, or nobody else wants it.
    fn tree(&self) -> Result<PathBuf> {
        let tree = folder().join(self.packages[0]);
        if !tree.exists() {
            unpack(self.suite, self.packages, &tree)?;
        }
        Ok(tree.join(self.path))
    }
}

/// The folder with what a guest node has of Debian: one suite, so that all of it fits together.
pub(crate) fn node_packages() -> Result<PathBuf> {
    let packages = &["containerd", "runc", "containernetworking-plugins", "libc6", "libseccomp2"];
    let to = folder().join("node");
    made(&to, "the packages of a guest node", || unpack("sid", packages, &to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (asked, is) in [("1.37", NEWEST), ("v1.24", OLDEST), ("1.30.4", "v1.30.4")] {
            assert_eq!(version(asked).expect(asked), is);
        }
        for wrong in ["", "1", "1.30", "2.0.1", "1.x.2", "1.2.3.4"] {
            assert!(version(wrong).expect_err(wrong).to_string().contains("right would be"), "{wrong}");
        }
    }

    #[test]
    fn what_a_folder_of_programs_has_is_taken_from_there() {
        let folder = std::env::temp_dir().join(format!("assets-{}", std::process::id()));
        fs::create_dir_all(folder.join("etcd")).expect("a folder");
        fs::write(folder.join(API_SERVER), "").expect("a file");
        assert_eq!(given_in(&folder, API_SERVER), Some(folder.join(API_SERVER)));
        for missing in ["kubectl", "etcd"] {
            assert_eq!(given_in(&folder, missing), None, "{missing} is no file there");
        }
        fs::remove_dir_all(folder).expect("it goes");
    }

    #[test]
    fn folders_of_kubernetes_become_modules() {
        let original = "module k8s.io/kubernetes\n\ngo 1.26.0\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n\
                        replace k8s.io/kms => ./staging/src/k8s.io/kms\n";
        let ours = requirements(original, "v1.37.2").expect("it has both");
        assert!(ours.contains("\ngo 1.26.0\n"), "{ours}");
        assert!(
            ours.contains("\tk8s.io/api => k8s.io/api v0.37.2\n\tk8s.io/kms => k8s.io/kms v0.37.2\n"),
            "{ours}"
        );
        assert!(requirements("go 1.26.0\n", "v1.37.2").is_err(), "nothing is replaced");
    }
}
