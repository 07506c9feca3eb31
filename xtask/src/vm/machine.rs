//! What a guest's hardware is, and QEMU's command line for it.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::qemu::Qemu;
use crate::arch::Arch;
use crate::kernels::{self, Kernel};
use crate::tools::{command, find};
use crate::{build, initramfs, packages};

/// What can be chosen about a guest's hardware and kernel command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Hardware {
    /// Number of virtual CPUs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) smp: u8,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..))]
    pub(crate) mem: u32,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    pub(crate) append: String,
    /// Count instructions instead of time: one virtual CPU whose nanosecond is one instruction (slow,
    /// repeatable; what benchmarks use)
    #[arg(long)]
    pub(crate) icount: bool,
}

impl Default for Hardware {
    fn default() -> Self {
        Hardware { smp: 2, mem: 1024, append: String::new(), icount: false }
    }
}

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accelerator {
    Kvm,
    Tcg,
}

/// A kernel, the guest's files, and its hardware: what a guest is started from.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    pub(crate) initramfs: Vec<u8>,
    hardware: Hardware,
    accelerator: Accelerator,
    qemu: Qemu,
}

impl Machine {
    /// Gets everything that a guest of that kernel needs.
    pub(crate) fn prepare(kernel: &str, hardware: &Hardware) -> Result<Machine> {
        let kernel = kernels::get(kernel)?;
        packages::install_for(kernel.arch)?;
        let (init, trig) = build::guest_programs(kernel.arch).context("building the guest's own programs")?;
        let initramfs = initramfs::build(&kernel, &init, &trig).context("making the guest's files")?;
        let foreign = kernel.arch != Arch::Amd64;
        let accelerator = if hardware.icount || foreign { Accelerator::Tcg } else { accelerator()? };
        let qemu = match accelerator {
            // Instructions are counted with one virtual CPU, and the numbers are those of the machine's own QEMU.
            Accelerator::Tcg if !hardware.icount => Qemu::for_emulation(kernel.arch)?,
            _ => Qemu::installed(kernel.arch)?,
        };
        Ok(Machine { kernel, initramfs, hardware: hardware.clone(), accelerator, qemu })
    }

    /// A name for everything that a saved guest depends on.
    pub(crate) fn digest(&self) -> Result<String> {
        let mut digest = Sha256::new();
        let image = std::fs::metadata(self.kernel.image())?;
        digest.update(format!(
            "3 {} {} {} {:?} {:?}",
            self.qemu.version,
            self.kernel.release,
            image.len(),
            self.hardware,
            self.accelerator
        ));
        digest.update(&self.initramfs);
        let hex: String = digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(format!("{}-{hex}", self.kernel.name()))
    }

    /// QEMU's program.
    pub(crate) fn program(&self) -> &Path {
        &self.qemu.program
    }

    /// QEMU with this hardware. `memory` is the file that is the guest's RAM; with `keep` the guest's writes
    /// go to it, otherwise they are the guest's own.
    pub(crate) fn qemu(&self, folder: &Path, memory: Option<(&Path, bool)>, console: Console) -> Command {
        let mut qemu = Command::new(self.program());
        let cpus = if self.hardware.icount { 1 } else { self.hardware.smp };
        let ram = match memory {
            Some((file, keep)) => format!(
                "memory-backend-file,id=ram,size={}M,mem-path={},share={}",
                self.hardware.mem,
                file.display(),
                if keep { "on" } else { "off" }
            ),
            None => format!("memory-backend-ram,id=ram,size={}M", self.hardware.mem),
        };
        match self.accelerator {
            Accelerator::Kvm => qemu.args(["-accel", "kvm"]),
            Accelerator::Tcg if self.threads() => qemu.args(["-accel", "tcg,thread=multi"]),
            Accelerator::Tcg => qemu.args(["-accel", "tcg,thread=single"]),
        };
        for folder in &self.qemu.firmware {
            qemu.arg("-L").arg(folder);
        }
        if self.hardware.icount {
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        let socket = |name: &str| format!("{},server=on,wait=off", folder.join(name).display());
        qemu.args(["-cpu", self.cpu(), "-smp", &cpus.to_string(), "-m", &self.hardware.mem.to_string()]);
        let board = match self.kernel.arch {
            Arch::Amd64 => "pc",
            Arch::Arm64 => "virt",
        };
        qemu.args(["-object", &ram, "-machine", &format!("{board},memory-backend=ram")]);
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        qemu.arg("-kernel").arg(self.kernel.image());
        qemu.arg("-initrd").arg(folder.join("initramfs"));
        qemu.args(["-append", &self.command_line()]);
        qemu.args(["-qmp", &format!("unix:{}", socket("qmp"))]);
        qemu.args(["-chardev", &format!("socket,id=ctl,path={}", socket("ctl"))]);
        qemu.args(["-device", "virtio-serial-pci"]);
        qemu.args(["-device", &format!("virtserialport,chardev=ctl,name={}", tetragon_guest::PORT)]);
        match console {
            Console::File => {
                let file = folder.join("console");
                qemu.args(["-chardev", &format!("file,id=con,path={}", file.display())]);
                qemu.stdin(Stdio::null());
            }
            // Control-C goes to the guest.
            Console::Terminal => {
                let file = folder.join("console");
                qemu.args(["-chardev", &format!("stdio,id=con,signal=off,logfile={}", file.display())]);
            }
        }
        qemu.args(["-serial", "chardev:con"]);
        qemu
    }

    /// Whether each virtual CPU is emulated by a thread of its own.
    fn threads(&self) -> bool {
        self.qemu.has_threads() && !self.hardware.icount && self.kernel.arch == Arch::Amd64
    }

    /// Emulated without cmpxchg16b: a guest died in the kernel's allocator right after one, with a part of
    /// an address in its flags. Benchmarks, which count instructions, keep it: their numbers stay comparable.
    fn cpu(&self) -> &'static str {
        if self.kernel.arch == Arch::Arm64 {
            // Pointers are signed at every call; the architecture's own algorithm is slow to emulate.
            return "max,pauth-impdef=on";
        }
        match self.accelerator {
            Accelerator::Tcg if !self.hardware.icount => "max,-cx16",
            _ => "max",
        }
    }

    fn command_line(&self) -> String {
        // An oops ends the guest: what is broken must not look as if it passed.
        // On a busy machine an emulated timer is late, and a kernel that looks for its ticks gives up.
        let (console, timer) = match self.kernel.arch {
            Arch::Amd64 => ("ttyS0", " no_timer_check"),
            Arch::Arm64 => ("ttyAMA0", ""),
        };
        let fixed = format!("panic=-1 oops=panic quiet{timer}");
        format!("console={console} {fixed}{} {}", self.kernel.command_line(), self.hardware.append)
            .trim_end()
            .to_owned()
    }
}

/// Where the guest's console goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Console {
    File,
    Terminal,
}

/// KVM where a guest really runs with it, or what `TETRAGON_VM_ACCEL` says.
fn accelerator() -> Result<Accelerator> {
    static FOUND: OnceLock<Accelerator> = OnceLock::new();
    match std::env::var("TETRAGON_VM_ACCEL").as_deref() {
        Ok("kvm") => return Ok(Accelerator::Kvm),
        Ok("tcg") => return Ok(Accelerator::Tcg),
        Ok(other) => anyhow::bail!("TETRAGON_VM_ACCEL is `{other}`; right would be kvm or tcg"),
        Err(_) => {}
    }
    Ok(*FOUND.get_or_init(|| if kvm_works() { Accelerator::Kvm } else { Accelerator::Tcg }))
}

/// The device may be there and refuse to make a machine, or a machine with CPUs. Without the processor's own
/// virtualisation a kernel may offer it all the same, and emulate: guests died there at their first AVX instruction.
fn kvm_works() -> bool {
    const CREATE_VM: libc::c_ulong = 0xAE01;
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if !processor.split_whitespace().any(|flag| matches!(flag, "vmx" | "svm")) {
        return false;
    }
    let Ok(device) = OpenOptions::new().read(true).write(true).open("/dev/kvm") else { return false };
    // SAFETY: this ioctl takes a number and gives a descriptor.
    let vm = unsafe { libc::ioctl(device.as_raw_fd(), CREATE_VM, 0) };
    if vm < 0 {
        return false;
    }
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(vm) };
    let probe = ["-accel", "kvm", "-cpu", "max", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"];
    let Some(program) = find(Arch::Amd64.qemu()) else { return false };
    let child =
        command(program, probe).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        use std::io::Write;
        let _ = stdin.write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n");
    }
    child.wait().is_ok_and(|s| s.success())
}
