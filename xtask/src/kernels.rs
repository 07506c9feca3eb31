//! Debian's kernel packages: found, downloaded, unpacked and kept in the cache, one folder per series and
//! architecture.
//!
//! Nothing is installed: see [`crate::apt`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::arch::Arch;
use crate::modules;
use crate::tools::{cache, command, output, run, say};

/// The kernels that the project is tested on.
pub(crate) const BED: &[&str] = &["5.10", "6.1", "6.12", "6.18", "7.3"];

const SUITES: &[&str] = &["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid"];
/// Written last, so that a folder with it is complete. The number is the layout's.
const COMPLETE: &str = "complete-3";

/// A kernel in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The first two numbers of its version: `6.12`.
    pub(crate) series: String,
    pub(crate) arch: Arch,
    /// What `uname -r` says.
    pub(crate) release: String,
    /// Its folder: `vmlinuz`, `config`, `boot/` (modules to load, in order), `modules/`.
    folder: PathBuf,
}

impl Kernel {
    /// What it is asked for by: `6.12`, `6.12-arm64`.
    pub(crate) fn name(&self) -> String {
        self.arch.kernel(&self.series)
    }

    /// The bootable image.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// Modules that a guest loads before anything else; the order of the names is the order of loading.
    pub(crate) fn boot_modules(&self) -> PathBuf {
        self.folder.join("boot")
    }

    /// Further modules, with a `modules.dep`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }

    /// What must be on the kernel's command line so that BPF programs can be LSM hooks: Debian has `bpf` in
    /// its own list from 6.1.
    pub(crate) fn command_line(&self) -> &'static str {
        if self.series == "5.10" { " lsm=lockdown,yama,apparmor,bpf" } else { "" }
    }
}

/// A kernel by its name, downloaded when the cache lacks it.
pub(crate) fn get(name: &str) -> Result<Kernel> {
    let (series, arch) = Arch::of_kernel(name);
    if !series.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        || series.split('.').count() != 2
    {
        bail!(
            "`{name}` is no kernel series; right would be one of {}, or one of arm64, as 6.12-arm64",
            BED.join(", ")
        );
    }
    let folder = cache().join("kernels").join(name);
    if let Some(kernel) = cached(name, &folder) {
        return Ok(kernel);
    }
    fs::create_dir_all(cache().join("kernels/deb"))?;
    let lock = fs::File::create(cache().join("kernels/lock"))?;
    lock.lock().context("waiting for another download of kernels")?;
    if let Some(kernel) = cached(name, &folder) {
        return Ok(kernel);
    }
    let packages = packages(series, arch)?;
    unpack(name, &packages, &folder).with_context(|| format!("unpacking kernel {name}"))?;
    cached(name, &folder).with_context(|| format!("kernel {name} is incomplete after unpacking"))
}

/// A kernel by its name, if the cache has it.
pub(crate) fn in_cache(name: &str) -> Option<Kernel> {
    cached(name, &cache().join("kernels").join(name))
}

fn cached(name: &str, folder: &Path) -> Option<Kernel> {
    let release = fs::read_to_string(folder.join(COMPLETE)).ok()?.trim().to_owned();
    let (series, arch) = Arch::of_kernel(name);
    Some(Kernel { series: series.to_owned(), arch, release, folder: folder.to_path_buf() })
}

fn packages_folder() -> PathBuf {
    cache().join("kernels/deb")
}

/// The packages of a series, downloaded when the cache lacks them.
fn packages(series: &str, arch: Arch) -> Result<Vec<PathBuf>> {
    match downloaded(series, arch)? {
        packages if packages.is_empty() => {
            let name = arch.kernel(series);
            download(series, arch).with_context(|| format!("downloading a kernel of series {name}"))
        }
        packages => Ok(packages),
    }
}

/// The packages of a series that are in the cache, if they are complete.
fn downloaded(series: &str, arch: Arch) -> Result<Vec<PathBuf>> {
    let flavour = format!("-cloud-{}_", arch.debian());
    let files: Vec<PathBuf> =
        fs::read_dir(packages_folder())?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    let kind = |kind: &str| -> Option<PathBuf> {
        let prefix = format!("linux-{kind}-{series}.");
        let mut found: Vec<_> = files
            .iter()
            .filter(|p| {
                let name = p.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&prefix) && name.contains(&flavour) && name.ends_with(".deb")
            })
            .collect();
        found.sort_by_key(|p| version_key(&p.to_string_lossy()));
        found.last().map(|p| (*p).clone())
    };
    let Some(image) = kind("image") else { return Ok(Vec::new()) };
    // A small image package only depends on those with the kernel and its modules.
    if fs::metadata(&image)?.len() > 1 << 20 {
        return Ok(vec![image]);
    }
    Ok(match (kind("binary"), kind("modules")) {
        (Some(binary), Some(modules)) => vec![image, binary, modules],
        _ => Vec::new(),
    })
}

/// The numbers in a version, so that 6.12.9 comes before 6.12.118.
fn version_key(text: &str) -> Vec<u64> {
    let name = text.rsplit('/').next().unwrap_or(text);
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// Downloads the newest kernel of a series: first from the suites where one expects it, then from all.
fn download(series: &str, arch: Arch) -> Result<Vec<PathBuf>> {
    let kernel = arch.kernel(series);
    let expected: &[&str] = match series {
        "5.10" => &["bullseye"],
        "6.1" => &["bookworm"],
        "6.12" => &["trixie"],
        _ => &["trixie-backports"],
    };
    for suites in [expected, SUITES] {
        say(&format!("kernel {kernel}: asking Debian's index ({})", suites.join(", ")));
        let apt = Apt::of(arch, suites, &packages_folder())?;
        let what = format!("kernel {kernel}");
        apt.update(&what)?;
        let Some(image) = newest_image(&apt, series, arch)? else { continue };
        let depends = output(&mut apt.command("apt-cache", &["depends", &image]))?;
        let parts = depends.lines().filter_map(|l| l.trim().strip_prefix("Depends: "));
        let mut names = vec![image];
        names.extend(
            parts
                .filter(|n| n.starts_with("linux-binary-") || n.starts_with("linux-modules-"))
                .map(str::to_owned),
        );
        say(&format!("kernel {kernel}: downloading {}", names.join(", ")));
        apt.download(&what, names.iter().cloned())?;
        let packages = downloaded(series, arch)?;
        if packages.is_empty() {
            bail!(
                "apt downloaded {}, but not all of it is in {}",
                names.join(", "),
                packages_folder().display()
            );
        }
        return Ok(packages);
    }
    bail!(
        "none of Debian's suites ({}) has linux-image-{series}.*-cloud-{}",
        SUITES.join(", "),
        arch.debian()
    )
}

fn newest_image(apt: &Apt, series: &str, arch: Arch) -> Result<Option<String>> {
    let pattern = format!("^linux-image-{}\\.[0-9].*-cloud-{}$", series.replace('.', "\\."), arch.debian());
    let found = output(&mut apt.command("apt-cache", &["search", "--names-only", &pattern]))?;
    let mut names: Vec<_> =
        found.lines().filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect();
    names.sort_by_key(|n| version_key(n));
    Ok(names.pop())
}

/// Takes out of the packages what a guest needs.
fn unpack(name: &str, packages: &[PathBuf], folder: &Path) -> Result<()> {
    say(&format!("kernel {name}: unpacking"));
    let work = cache().join(format!("kernels/{name}.unpacking"));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    let _ = fs::remove_dir_all(folder);
    for package in packages {
        run(command("dpkg-deb", ["-x"]).arg(package).arg(work.join("tree")))?;
    }
    let tree = work.join("tree");
    let (release, tree_modules) = modules_tree(&tree)?;
    let image = [tree.join(format!("boot/vmlinuz-{release}")), tree_modules.join("vmlinuz")]
        .into_iter()
        .chain(extra_module_trees(&tree, &release).map(|d| d.join("vmlinuz")))
        .find(|p| p.is_file())
        .with_context(|| format!("the packages of {release} have no vmlinuz where one was expected"))?;
    let done = work.join("done");
    fs::create_dir_all(&done)?;
    fs::rename(image, done.join("vmlinuz"))?;
    for config in [tree.join(format!("boot/config-{release}")), tree_modules.join("config")] {
        if config.is_file() {
            fs::copy(config, done.join("config"))?;
        }
    }
    let set = modules::Modules::open(&tree_modules)?;
    set.install_in_order(&["virtio_pci", "virtio_console"], &done.join("boot"))?;
    set.install(&["overlay", "veth", "bridge", "dummy", "loop"], &done.join("modules"))?;
    fs::write(done.join(COMPLETE), &release)?;
    fs::rename(&done, folder)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// Writes modules that the cache's folders do not have, so that the order of their names is the order in
/// which they can be loaded.
pub(crate) fn install_in_order(kernel: &Kernel, names: &[&str], to: &Path) -> Result<()> {
    let work = cache().join(format!("kernels/{}.modules", kernel.name()));
    let _ = fs::remove_dir_all(&work);
    for package in packages(&kernel.series, kernel.arch)? {
        run(command("dpkg-deb", ["-x"]).arg(package).arg(&work))?;
    }
    let (_, tree) = modules_tree(&work)?;
    modules::Modules::open(&tree)?.install_in_order(names, to)?;
    Ok(fs::remove_dir_all(work)?)
}

/// The kernel's release and its folder of modules (the one with most in it: from 7.2 the image package has
/// such a folder too).
fn modules_tree(tree: &Path) -> Result<(String, PathBuf)> {
    ["lib/modules", "usr/lib/modules"]
        .into_iter()
        .flat_map(|d| fs::read_dir(tree.join(d)).into_iter().flatten().flatten())
        .find(|e| e.path().join("kernel").is_dir())
        .map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()))
        .context("the packages have no modules")
}

fn extra_module_trees<'a>(tree: &'a Path, release: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    ["lib/modules", "usr/lib/modules"].into_iter().map(move |d| tree.join(d).join(release))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_number() {
        let mut names = ["linux-image-6.12.118+deb13-cloud-amd64", "linux-image-6.12.9+deb13-cloud-amd64"];
        names.sort_by_key(|n| version_key(n));
        assert_eq!(names[1], "linux-image-6.12.118+deb13-cloud-amd64");
    }

    #[test]
    fn what_is_no_series_is_refused() {
        for wrong in ["6", "six", "6.12.3", "6.", "../etc", "", "-arm64", "6.12-riscv64", "6.12-arm64-arm64"]
        {
            let error = get(wrong).expect_err(wrong).to_string();
            assert!(error.contains("5.10, 6.1, 6.12, 6.18, 7.3"), "{error}");
        }
    }
}
