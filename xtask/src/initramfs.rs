//! The guest's files as a cpio archive (format newc), written here: no folder to prepare, no root needed.
//!
//! The archive depends on nothing but its inputs, so that its digest names it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::arch::Arch;
use crate::build::wants_interpreter;
use crate::kernels::Kernel;
use crate::tools::{cache, command, find, run, say};

/// One fixed time for every file: 2026-01-01.
const TIME: u32 = 1_767_225_600;

/// Folders of the guest, with their modes.
const FOLDERS: &[(&str, u32)] = &[
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/tetragon", 0o755),
    ("etc/tetragon/tetragon.tp.d", 0o755),
    ("home", 0o755),
    ("lib", 0o755),
    ("lib/modules", 0o755),
    ("lib/tetragon-boot", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("sbin", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/lib", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

const FILES: &[(&str, u32, &str)] = &[
    ("etc/group", 0o644, "root:x:0:\ndaemon:x:1:\nshadow:x:42:\nusers:x:100:\nnogroup:x:65534:\n"),
    ("etc/hostname", 0o644, "guest\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost guest\n::1 localhost\n"),
    ("etc/os-release", 0o644, "ID=tetragon-guest\nNAME=\"tetragon-rs test guest\"\n"),
    (
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/usr/sbin/nologin\n\
         user:x:1000:100:user:/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    ),
    (
        "etc/profile",
        0o644,
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPS1='guest:\\w# '\n",
    ),
    (
        "etc/shadow",
        0o640,
        "root:*:20454:0:99999:7:::\ndaemon:*:20454:0:99999:7:::\nuser:*:20454:0:99999:7:::\nnobody:*:20454:0:99999:7:::\n",
    ),
];

const LINKS: &[(&str, &str)] =
    &[("var/run", "/run"), ("var/lock", "/run/lock"), ("etc/mtab", "/proc/self/mounts")];

/// The archive for a kernel, with these programs as /init and /bin/trig.
pub(crate) fn build(kernel: &Kernel, init: &Path, trig: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for (name, mode) in FOLDERS {
        archive.folder(name, *mode);
    }
    archive.device("dev/console", 0o600, 5, 1);
    for (name, mode, text) in FILES {
        archive.file(name, *mode, text.as_bytes());
    }
    for (name, target) in LINKS {
        archive.link(name, target);
    }
    busybox(&mut archive, kernel.arch)?;
    archive.file("init", 0o755, &read(init)?);
    archive.file("bin/trig", 0o755, &read(trig)?);
    folder_of_files(&mut archive, &kernel.boot_modules(), "lib/tetragon-boot")?;
    let modules = format!("lib/modules/{}", kernel.release);
    archive.folder(&modules, 0o755);
    folder_of_files(&mut archive, &kernel.modules(), &modules)?;
    Ok(archive.finish())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// busybox with every applet as a hard link in each of the four folders for programs: a policy sees the path
/// that was called, which a symbolic link would hide.
fn busybox(archive: &mut Archive, arch: Arch) -> Result<()> {
    let program = match arch {
        Arch::Amd64 => {
            find("busybox").context("busybox is missing: `cargo xtask setup` installs busybox-static")?
        }
        Arch::Arm64 => foreign_busybox(arch).context("getting busybox for guests of arm64")?,
    };
    let bytes = read(&program)?;
    if wants_interpreter(&bytes) {
        bail!("{} is not static: `cargo xtask setup` installs busybox-static", program.display());
    }
    let mut names = Vec::new();
    for applet in applets(&bytes) {
        for folder in ["bin", "sbin", "usr/bin", "usr/sbin"] {
            names.push(format!("{folder}/{applet}"));
        }
    }
    if !names.iter().any(|n| n == "bin/sh") {
        bail!("no sh was found among the applets of {}", program.display());
    }
    archive.hard_links(&names, 0o755, &bytes);
    Ok(())
}

/// The names of a busybox's applets, as `busybox --list` writes them. It may be another architecture's and
/// not run here, so they are read from the program: one text, sorted, with a NUL after each.
fn applets(program: &[u8]) -> Vec<&str> {
    const FIRST: &[u8] = b"[\0[[\0";
    let Some(start) = program.windows(FIRST.len()).position(|w| w == FIRST) else { return Vec::new() };
    program[start..]
        .split(|b| *b == 0)
        .map_while(|name| std::str::from_utf8(name).ok().filter(|n| !n.is_empty()))
        .collect()
}

/// Debian's busybox for another architecture than this machine's, from the cache.
fn foreign_busybox(arch: Arch) -> Result<PathBuf> {
    let folder = cache().join(format!("busybox-{}", arch.debian()));
    let program = ["bin/busybox", "usr/bin/busybox"].map(|p| folder.join("tree").join(p));
    let there = || program.iter().find(|p| p.is_file()).cloned();
    if let Some(program) = there() {
        return Ok(program);
    }
    say(&format!("downloading busybox-static of Debian trixie for {}", arch.debian()));
    let new = folder.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    let apt = Apt::of(arch, &["trixie"], &new)?;
    let what = format!("busybox for {}", arch.debian());
    apt.update(&what)?;
    apt.download(&what, ["busybox-static".to_owned()])?;
    for package in fs::read_dir(&new)? {
        run(command("dpkg-deb", ["-x"]).arg(package?.path()).arg(new.join("tree")))?;
    }
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&new, &folder)?;
    there()
        .with_context(|| format!("the package has no busybox where one was expected ({})", folder.display()))
}

fn folder_of_files(archive: &mut Archive, from: &Path, to: &str) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(from)
        .with_context(|| format!("reading {}", from.display()))?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("{to}/{name}"), 0o644, &read(&file)?);
    }
    Ok(())
}

/// A cpio archive in the making.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    pub(crate) fn folder(&mut self, name: &str, mode: u32) {
        self.inode += 1;
        self.entry(name, 0o040_000 | mode, 2, (0, 0), &[]);
    }

    pub(crate) fn file(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.inode += 1;
        self.entry(name, 0o100_000 | mode, 1, (0, 0), data);
    }

    pub(crate) fn link(&mut self, name: &str, target: &str) {
        self.inode += 1;
        self.entry(name, 0o120_777, 1, (0, 0), target.as_bytes());
    }

    pub(crate) fn device(&mut self, name: &str, mode: u32, major: u32, minor: u32) {
        self.inode += 1;
        self.entry(name, 0o020_000 | mode, 1, (major, minor), &[]);
    }

    /// One file under many names. The kernel takes the content from whichever entry has it.
    pub(crate) fn hard_links(&mut self, names: &[String], mode: u32, data: &[u8]) {
        self.inode += 1;
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        for (i, name) in names.iter().enumerate() {
            self.entry(name, 0o100_000 | mode, count, (0, 0), if i == 0 { data } else { &[] });
        }
    }

    fn entry(&mut self, name: &str, mode: u32, links: u32, device: (u32, u32), data: &[u8]) {
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            TIME,
            size(data.len()),
            0,
            0,
            device.0,
            device.1,
            size(name.len() + 1),
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(data);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, 1, (0, 0), &[]);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_counted() {
        let mut archive = Archive::default();
        archive.folder("a", 0o755);
        archive.hard_links(&["a/x".into(), "a/yy".into()], 0o755, b"12345");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 512, 0);
        let text = String::from_utf8_lossy(&bytes);
        let heads: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(heads.len(), 4);
        assert!(heads.iter().all(|at| at % 4 == 0), "{heads:?}");
        assert_eq!(&text[heads[1] + 6..heads[1] + 14], &text[heads[2] + 6..heads[2] + 14], "one inode");
        assert_eq!(&text[heads[1] + 54..heads[1] + 62], "00000005", "content in the first");
        assert_eq!(&text[heads[2] + 54..heads[2] + 62], "00000000", "and not in the second");
    }

    #[test]
    fn applets_are_those_that_busybox_lists() {
        let program = find("busybox").expect("busybox-static is installed by the set-up");
        let listed = crate::tools::output(&mut command(&program, ["--list"])).expect("a list");
        let bytes = read(&program).expect("a program");
        assert_eq!(applets(&bytes), listed.lines().collect::<Vec<_>>());
        assert!(applets(b"no busybox").is_empty());
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        for (i, (name, _)) in FOLDERS.iter().enumerate() {
            if let Some((parent, _)) = name.rsplit_once('/') {
                assert!(FOLDERS[..i].iter().any(|(n, _)| n == &parent), "{name}");
            }
        }
    }
}
