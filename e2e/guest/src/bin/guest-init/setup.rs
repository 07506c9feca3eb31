//! Makes an initramfs into a system as the test cases expect it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tetragon_guest::PORT;

use crate::sys;

/// What is mounted where, in this order.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", "mode=0755"),
    ("devpts", "/dev/pts", "mode=0620,ptmxmode=0666"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("bpf", "/sys/fs/bpf", "mode=0700"),
    ("securityfs", "/sys/kernel/security", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("debugfs", "/sys/kernel/debug", ""),
];

/// What Debian sets that the kernel's defaults do not.
const SYSCTLS: &[(&str, &str)] = &[
    ("fs/protected_fifos", "1"),
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_regular", "2"),
    ("fs/protected_symlinks", "1"),
    ("kernel/pid_max", "4194304"),
];

/// Prepares the guest and gives the port to the host.
pub(crate) fn prepare() -> io::Result<File> {
    // The kernel makes the root world-writable, as it does any tmpfs.
    fs::set_permissions("/", fs::Permissions::from_mode(0o755))?;
    for (kind, at, options) in MOUNTS {
        sys::mount(kind, at, options).map_err(|e| said(&e, &format!("mounting {kind} at {at}")))?;
    }
    for (name, value) in SYSCTLS {
        let file = Path::new("/proc/sys").join(name);
        fs::write(&file, value).map_err(|e| said(&e, &format!("setting {}", file.display())))?;
    }
    let standard = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ];
    for (link, target) in standard {
        std::os::unix::fs::symlink(target, link)?;
    }
    sys::set_hostname("guest")?;
    sys::interface_up("lo").map_err(|e| said(&e, "setting up the loopback interface"))?;
    load_modules(Path::new("/lib/tetragon-boot"))?;
    open_port()
}

/// Loads the modules of a folder in the order of their names.
fn load_modules(folder: &Path) -> io::Result<()> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    for file in files {
        sys::load_module(&file).map_err(|e| said(&e, &format!("loading {}", file.display())))?;
    }
    Ok(())
}

/// Finds the port by its name. It appears a moment after its driver.
fn open_port() -> io::Result<File> {
    for _ in 0..1000 {
        for entry in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim() == PORT {
                let device = Path::new("/dev").join(entry.file_name());
                return OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(&device)
                    .map_err(|e| said(&e, &format!("opening {}", device.display())));
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other(format!("no virtio serial port is called {PORT}")))
}

fn said(error: &io::Error, doing: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{doing}: {error}"))
}
