//! `cargo xtask dist` and `cargo xtask image`: what is delivered, built from this repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build::{TARGET, workspace};
use crate::progress::{self, Counting};
use crate::tools::{cache, command, find, root, run, say};

/// The programs.
const PROGRAMS: &[&str] = &["tetragon", "tetragon-operator", "tetra"];
/// The images, which are stages of the Dockerfile.
const IMAGES: &[&str] = &["tetragon", "tetragon-operator"];

/// How the programs are built.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// Build in release mode
    #[arg(long)]
    release: bool,
}

/// `cargo xtask dist`.
pub(crate) fn dist(options: Options) -> Result<i32> {
    println!("{}", programs(options)?.display());
    Ok(0)
}

/// `cargo xtask image`.
pub(crate) fn image(options: Options) -> Result<i32> {
    for archive in images(options)? {
        println!("{}", archive.display());
    }
    Ok(0)
}

/// Builds the programs, static, and gives the folder with them.
fn programs(options: Options) -> Result<PathBuf> {
    let profile = if options.release { "release" } else { "debug" };
    let mut build = workspace(["build"]);
    build.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    if options.release {
        build.arg("--release");
    }
    progress::run(&format!("building the programs ({profile})"), &mut build, Counting::Cargo)?;
    let to = root().join("target/dist");
    fs::create_dir_all(&to)?;
    for program in PROGRAMS {
        let built = root().join("target").join(TARGET).join(profile).join(program);
        // As a new file: the one before may be running. Without symbols, as the Dockerfile makes them:
        // nodes in guests are slow to take an image.
        let new = to.join(format!("{program}.new"));
        run(command("strip", ["-o"]).arg(&new).arg(&built))?;
        fs::rename(new, to.join(program))?;
    }
    fs::write(to.join("ca-certificates.crt"), authorities()?)?;
    Ok(to)
}

/// Mozilla's certificates, without those that this machine has besides.
fn authorities() -> Result<String> {
    let folder = Path::new("/usr/share/ca-certificates/mozilla");
    let list = fs::read_dir(folder).with_context(|| {
        format!("reading {}: `cargo xtask setup` installs ca-certificates", folder.display())
    })?;
    let mut files: Vec<_> = list.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| Ok(fs::read_to_string(file)?)).collect()
}

/// Builds the programs and the images with them; gives the images' archives.
pub(crate) fn images(options: Options) -> Result<Vec<PathBuf>> {
    if find("buildah").is_none() {
        bail!("images are made by buildah, which is missing: `cargo xtask setup` installs it");
    }
    programs(options)?;
    let storage = cache().join("buildah");
    let made = IMAGES.iter().map(|name| one(name, &storage)).collect();
    // Without it, each build would leave copies of all layers.
    let _ = fs::remove_dir_all(storage);
    made
}

/// Makes one image. The stages that compile from source are skipped; the programs are those in target/dist.
fn one(name: &str, storage: &Path) -> Result<PathBuf> {
    say(&format!("making the image {name}"));
    let to = root().join("target/image").join(format!("{name}.tar"));
    fs::create_dir_all(to.with_file_name(""))?;
    let tag = format!("localhost/{name}:dev");
    let mut build = buildah(storage, &["build", "--quiet", "--isolation", "chroot"]);
    build.args(["--build-arg", "BINARIES=prebuilt", "--target", name, "--tag", &tag, "."]);
    run(&mut build).with_context(|| format!("making the image {name}"))?;
    // buildah adds to an archive that exists.
    let _ = fs::remove_file(&to);
    let archive = format!("docker-archive:{}:{tag}", to.display());
    run(&mut buildah(storage, &["push", "--quiet", &tag, &archive]))?;
    Ok(to)
}

fn buildah(storage: &Path, arguments: &[&str]) -> std::process::Command {
    let mut buildah = command("buildah", ["--storage-driver", "vfs", "--root"]);
    buildah.arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
    buildah.args(arguments).current_dir(root()).stdout(std::io::stderr());
    buildah
}
