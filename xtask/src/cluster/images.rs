//! The images that every node has, and how images get into nodes.
//!
//! Nodes have no registry to ask: images are imported into their containerd before pods need them. The two
//! that are always there are written here, as OCI archives of one layer: what a pod's sandbox runs, and
//! busybox for workloads.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::build::wants_interpreter;
use crate::tools::{command, find, output};

/// What a pod's sandbox runs.
pub(crate) const PAUSE: &str = "localhost/pause:1";
/// For workloads: every applet of busybox.
const BUSYBOX: &str = "localhost/busybox:1";

/// Writes both images to a folder and gives their archives.
pub(crate) fn write(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let program =
        find("busybox").context("busybox is missing: `cargo xtask setup` installs busybox-static")?;
    let bytes = fs::read(&program)?;
    if wants_interpreter(&bytes) {
        bail!("{} is not static: `cargo xtask setup` installs busybox-static", program.display());
    }
    let pause = folder.join("pause.tar");
    let mut layer = Layer::new();
    layer.folder("bin")?;
    layer.file("bin/sleep", 0o755, &bytes)?;
    // As long as busybox can count; containerd ends it.
    write_image(&pause, PAUSE, &json!({"Entrypoint": ["/bin/sleep", "2147483647"]}), layer)?;
    let busybox = folder.join("busybox.tar");
    let run = json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]});
    write_image(&busybox, BUSYBOX, &run, busybox_layer(&program, &bytes)?)?;
    Ok(vec![pause, busybox])
}

fn busybox_layer(program: &Path, bytes: &[u8]) -> Result<Layer> {
    let mut layer = Layer::new();
    for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"] {
        layer.folder(folder)?;
    }
    layer.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n")?;
    layer.file("etc/group", 0o644, b"root:x:0:\nuser:x:1000:\n")?;
    layer.file("etc/shadow", 0o640, b"root:*:20454:0:99999:7:::\n")?;
    layer.file("bin/busybox", 0o755, bytes)?;
    // Hard links: a policy sees the path that was called, which a symbolic link would hide.
    for applet in output(&mut command(program, ["--list"]))?.lines().filter(|a| *a != "busybox") {
        layer.link(&format!("bin/{applet}"), "bin/busybox")?;
    }
    Ok(layer)
}

/// A layer in the making: a tar archive whose bytes depend on its content only.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Layer {
        Layer(Builder::new(Vec::new()))
    }

    fn folder(&mut self, name: &str) -> Result<()> {
        let mode = if name == "tmp" { 0o1777 } else { 0o755 };
        let mut header = header(EntryType::Directory, mode, 0);
        Ok(self.0.append_data(&mut header, format!("{name}/"), std::io::empty())?)
    }

    fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        Ok(self.0.append_data(&mut header(EntryType::Regular, mode, bytes.len()), name, bytes)?)
    }

    fn link(&mut self, name: &str, target: &str) -> Result<()> {
        Ok(self.0.append_link(&mut header(EntryType::Link, 0o755, 0), name, target)?)
    }
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header
}

/// An image of one layer, as `ctr images import` takes it.
fn write_image(to: &Path, name: &str, run: &Value, layer: Layer) -> Result<()> {
    let mut archive = Builder::new(File::create(to).with_context(|| format!("writing {}", to.display()))?);
    let layer = layer.0.into_inner()?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let layer = blob(&mut archive, "application/vnd.oci.image.layer.v1.tar", &layer)?;
    let config =
        blob(&mut archive, "application/vnd.oci.image.config.v1+json", &serde_json::to_vec(&config)?)?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let mut manifest = blob(&mut archive, kind, &serde_json::to_vec(&manifest)?)?;
    manifest["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    entry(&mut archive, "index.json", &serde_json::to_vec(&index)?)?;
    entry(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(archive.finish()?)
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// Adds a part of an image and describes it.
fn blob(archive: &mut Builder<File>, kind: &str, bytes: &[u8]) -> Result<Value> {
    let digest = digest(bytes);
    entry(archive, &format!("blobs/{}", digest.replace(':', "/")), bytes)?;
    Ok(json!({"mediaType": kind, "digest": digest, "size": bytes.len()}))
}

fn entry(archive: &mut Builder<File>, name: &str, bytes: &[u8]) -> Result<()> {
    Ok(archive.append_data(&mut header(EntryType::Regular, 0o644, bytes.len()), name, bytes)?)
}
