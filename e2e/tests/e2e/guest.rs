//! One guest: the programs that it needs, and what its scenarios say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use setup::cargo::workspace;
use setup::tools::run;

/// Seconds that one scenario may take, on a busy machine.
const LIMIT: usize = 1800;

/// What all guests share, made by the first that needs it.
#[derive(Default)]
pub(crate) struct Bed(OnceLock<Result<Programs, String>>);

struct Programs {
    xtask: PathBuf,
    /// `HOST:GUEST:MODE`.
    files: Vec<String>,
}

/// A guest and what is done in it.
pub(crate) struct Guest<'a> {
    pub(crate) kernel: &'a str,
    pub(crate) append: &'a str,
    pub(crate) scenarios: &'a [&'a str],
}

impl Bed {
    /// The program that boots guests.
    pub(crate) fn xtask(&self) -> Result<&Path> {
        Ok(&self.programs()?.xtask)
    }

    fn programs(&self) -> Result<&Programs> {
        let made = self.0.get_or_init(|| Programs::make().map_err(|e| format!("{e:#}")));
        made.as_ref().map_err(|e| anyhow::anyhow!("{e}"))
    }
}

impl Programs {
    fn make() -> Result<Programs> {
        let drive = Path::new(env!("CARGO_BIN_EXE_drive"));
        // Everything is built into one folder.
        let folder = drive.parent().context("drive is in no folder")?;
        let xtask = match std::env::var_os("XTASK") {
            // It runs these tests, and has built everything before.
            Some(given) => given.into(),
            None => {
                run(&mut workspace(["build", "--quiet"]))?;
                folder.join("xtask")
            }
        };
        let files = [
            (drive.to_path_buf(), "/bin/drive"),
            (PathBuf::from(env!("CARGO_BIN_EXE_hammer")), "/bin/hammer"),
            (folder.join("tetragon"), "/usr/bin/tetragon"),
            (folder.join("tetra"), "/usr/bin/tetra"),
        ];
        let files = files.iter().map(|(from, to)| Ok(format!("{}:{to}:755", small(from)?.display())));
        Ok(Programs { xtask, files: files.collect::<Result<_>>()? })
    }
}

/// A copy without debugging information, which a guest gets faster. It must need no other file.
fn small(program: &Path) -> Result<PathBuf> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    ensure!(
        !bytes.windows(11).any(|w| w == b"/ld-linux-x"),
        "{} is not static and cannot run in a guest; right would be a build without RUSTFLAGS in the environment, \
         which replaces the flags of .cargo/config.toml",
        program.display()
    );
    let copy =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(program.file_name().context("a program without a name")?);
    run(Command::new("strip").args(["--strip-debug", "-o"]).arg(&copy).arg(program))?;
    Ok(copy)
}

impl Guest<'_> {
    /// Runs the scenarios; the line of numbers of each.
    pub(crate) fn run(&self, bed: &Bed) -> Result<Vec<String>> {
        let programs = bed.programs()?;
        let mut command = Command::new(&programs.xtask);
        command.args(["vm", "run", "--no-agent", "--kernel", self.kernel, "--append", self.append]);
        command.args(["--timeout", &(LIMIT * self.scenarios.len()).to_string()]);
        programs.files.iter().for_each(|f| {
            command.args(["--file", f]);
        });
        command.args(["--", "/bin/drive"]).args(self.scenarios);
        let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        let passed: Vec<String> =
            said.lines().filter_map(|l| l.strip_prefix("pass ")).map(str::to_owned).collect();
        let missing = self.scenarios.iter().find(|s| !passed.iter().any(|p| p.starts_with(&format!("{s}:"))));
        match missing {
            None if out.status.success() => Ok(passed),
            _ => bail!("{} in kernel {} {}:\n{said}", out.status, self.kernel, self.append),
        }
    }
}
