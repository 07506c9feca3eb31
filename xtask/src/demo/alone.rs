//! `cargo xtask demo alone`, the first stage of the demo: a real kernel, the agent, policies from files, and what each
//! of them sees and does.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::MARK;
use super::acts::{ACTS, Act, PREPARE, Put};
use crate::build;
use crate::kernels;
use crate::progress::duration;
use crate::tools::{root, say};
use crate::vm::guest::{Guest, Happened, Process};
use crate::vm::machine::{Console, Hardware, Machine};
use crate::vm::saved;
use crate::vm::session::{self, POLICIES, Running};

/// For the whole play, on a machine with much else to do.
const PLAY: Duration = Duration::from_secs(1200);

/// What is shown on.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The kernel's series
    #[arg(long, value_name = "SERIES", default_value = "6.12")]
    kernel: String,
    /// Build and use the agent in release mode
    #[arg(long)]
    release: bool,
    /// Colours
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
    /// Write what is shown to a file, too: `cargo xtask picture` makes a picture of it
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options { kernel: "6.12".into(), release: false, color: Colour::Auto, transcript: None }
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal
    Auto,
    Always,
    Never,
}

impl Colour {
    pub(super) fn is_on(self) -> bool {
        use std::io::IsTerminal;
        match self {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// Runs the demo; `seen` is called when the first event is on the screen.
pub(crate) fn run(options: &Options, seen: &mut dyn FnMut()) -> Result<i32> {
    let begin = Instant::now();
    let (machine, agent) = prepare(options)?;
    say(&format!("starting a guest with kernel {}", machine.kernel.release));
    let mut guest = saved::with_agent(&machine, &agent)?.resume(&machine, Console::File)?;
    guest.set_deadline(PLAY);
    for file in seeds()? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        guest.put_path(&file, &format!("{POLICIES}/{name}"), Some(0o644))?;
    }
    let (status, printed) = guest.run(&session::shell(PREPARE))?;
    if status.code() != 0 {
        bail!("preparing the guest: {status}: {printed}");
    }
    say("starting the agent; its log:");
    let running = Running::start(&guest, &[], &mut log)?;
    let screen = Screen::new(options.color.is_on(), options.transcript.as_deref())?;
    let mut seen = || {
        say(&format!("the first event, after {}", duration(begin.elapsed())));
        seen();
    };
    let mut stage = Stage::open(&guest, running, screen, &mut seen)?;
    for (number, act) in ACTS.iter().enumerate() {
        stage.play(number + 1, act)?;
    }
    let as_expected = stage.close()?;
    say(&format!("more: cargo xtask vm shell --kernel {} --policy FILE", options.kernel));
    Ok(i32::from(!as_expected))
}

/// The agent is compiled while the kernel is downloaded.
fn prepare(options: &Options) -> Result<(Machine, build::Agent)> {
    let arch = crate::arch::Arch::of_kernel(&options.kernel).1;
    std::thread::scope(|scope| {
        let kernel = scope.spawn(|| kernels::get(&options.kernel));
        let agent = build::agent(arch, options.release).context("building the agent")?;
        kernel.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((Machine::prepare(&options.kernel, &Hardware::default())?, agent))
    })
}

/// The seed's policies, in the order of their names.
fn seeds() -> Result<Vec<PathBuf>> {
    let folder = root().join("config/samples/seed");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("the demo's policies are in {}", folder.display()))?;
    let mut files = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<PathBuf>>>()?;
    files.sort();
    Ok(files)
}

/// The agent's log goes to standard error.
fn log(_: u8, bytes: &[u8]) {
    let _ = std::io::stderr().write_all(bytes);
}

/// Standard output, and the transcript of what it was given.
struct Screen {
    colour: bool,
    transcript: Option<File>,
}

impl Screen {
    fn new(colour: bool, transcript: Option<&Path>) -> Result<Screen> {
        let create = |file: &Path| File::create(file).with_context(|| format!("writing {}", file.display()));
        Ok(Screen { colour, transcript: transcript.map(create).transpose()? })
    }

    fn show(&mut self, bytes: &[u8]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        if let Some(file) = &mut self.transcript {
            file.write_all(bytes)?;
        }
        Ok(())
    }

    /// A line in an ANSI style: 1 is bold, 2 dim.
    fn line(&mut self, style: u8, text: &str) -> Result<()> {
        if self.colour && style > 0 {
            return self.show(format!("\x1b[{style}m{text}\x1b[0m\n").as_bytes());
        }
        self.show(format!("{text}\n").as_bytes())
    }
}

/// The events on this terminal, live.
struct Stage<'a> {
    guest: &'a Guest,
    agent: Running,
    events: Process,
    screen: Screen,
    /// Called at the first event.
    seen: Option<&'a mut dyn FnMut()>,
    /// Nothing was wrong until now.
    as_expected: bool,
}

impl<'a> Stage<'a> {
    fn open(
        guest: &'a Guest,
        agent: Running,
        screen: Screen,
        seen: &'a mut dyn FnMut(),
    ) -> Result<Stage<'a>> {
        let when = if screen.colour { "always" } else { "never" };
        let watch = ["/usr/bin/tetra", "getevents", "-o", "compact", "--color", when];
        let events = guest.spawn(&session::process(watch))?;
        let mut stage = Stage { guest, agent, events, screen, seen: Some(seen), as_expected: true };
        stage.wait_for_client()?;
        Ok(stage)
    }

    fn play(&mut self, number: usize, act: &Act) -> Result<()> {
        self.screen.line(0, "")?;
        self.screen.line(1, &format!("{number}. {}", act.title))?;
        self.screen.line(0, act.text)?;
        if let Some(put) = &act.put {
            self.put(put)?;
        }
        for (command, code) in act.commands {
            self.command(command, *code)?;
        }
        self.screen.line(1, act.moral)?;
        if let Some(file) = act.absent {
            self.is_absent(file)?;
        }
        Ok(())
    }

    /// Runs a command and shows what it wrote and what was reported of it.
    fn command(&mut self, command: &[&str], code: i32) -> Result<()> {
        self.screen.line(2, &format!("$ {}", command.join(" ")))?;
        let (status, printed) = self.guest.run(&session::process(command.iter().copied()))?;
        self.screen.show(printed.as_bytes())?;
        self.show_events()?;
        self.screen.line(2, &format!("  ({status})"))?;
        self.check(status.code() == code, &format!("expected exit code {code}"))
    }

    fn check(&mut self, right: bool, wrong: &str) -> Result<()> {
        if !right {
            self.screen.line(0, &format!("WRONG: {wrong}"))?;
            self.as_expected = false;
        }
        Ok(())
    }

    fn is_absent(&mut self, file: &str) -> Result<()> {
        let look = ["/usr/bin/test", "-e", file];
        let (status, _) = self.guest.run(&session::process(look))?;
        // The look makes events, too.
        self.events()?;
        self.check(status.code() == 1, &format!("{file} was written"))?;
        if status.code() == 1 {
            self.screen.line(1, &format!("{file} was never written."))?;
        }
        Ok(())
    }

    /// Puts a policy into the agent's folder and waits until it is in force.
    fn put(&mut self, put: &Put) -> Result<()> {
        let path = root().join("config/samples").join(put.file);
        let mut text =
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let to = format!("{POLICIES}/{}", put.file);
        match put.changed {
            Some((from, into)) => {
                text = text.replace(&format!("\"{from}\""), &format!("\"{into}\""));
                self.screen.line(2, &format!("$ sed -i 's,\"{from}\",\"{into}\",' {to}"))?;
            }
            None => self.screen.line(2, &format!("$ cp {} {POLICIES}/", put.file))?,
        }
        // As cp and sed do it in effect: the agent never sees half a file.
        let new = format!("/etc/tetragon/{}", put.file);
        self.guest.put(&new, 0o644, text.as_bytes())?;
        let rename = ["/bin/mv", &new, &to];
        self.guest.run(&session::process(rename))?;
        self.events()?;
        if !self.agent.wait_until_loaded(self.guest, 1, &mut log)? {
            bail!("{} was refused; the agent's log says why", put.file);
        }
        Ok(())
    }

    /// Shows what was reported until now.
    fn show_events(&mut self) -> Result<()> {
        let events = self.events()?;
        self.screen.show(events.as_bytes())?;
        if let Some(seen) = self.seen.take().filter(|_| !events.is_empty()) {
            seen();
        }
        Ok(())
    }

    /// What was reported until now: up to the end of a process that is started for that.
    fn events(&mut self) -> Result<String> {
        self.guest.run(&session::process(["/bin/true", MARK]))?;
        let mut text = String::new();
        while !text.lines().any(|line| line.contains(MARK) && line.contains("exit")) || !text.ends_with('\n')
        {
            match self.guest.wait(&self.events, None)? {
                Happened::Output(1, bytes) => text += &String::from_utf8_lossy(&bytes),
                Happened::Output(_, bytes) => std::io::stderr().write_all(&bytes)?,
                Happened::Exit(status) => bail!("`tetra getevents` ended in the guest: {status}"),
                Happened::Nothing => {}
            }
        }
        Ok(text.lines().filter(|line| !line.contains(MARK)).map(|line| format!("{line}\n")).collect())
    }

    /// Makes events until the client shows one: it is connected then.
    fn wait_for_client(&mut self) -> Result<()> {
        let mut text = String::new();
        let (mut made, mut ended) = (0, 0);
        while ended == 0 || ended < made {
            if ended == 0 {
                self.guest.run(&session::process(["/bin/true", MARK]))?;
            }
            while let Happened::Output(_, bytes) =
                self.guest.wait(&self.events, Some(Duration::from_millis(200)))?
            {
                text += &String::from_utf8_lossy(&bytes);
            }
            let lines = |word: &str| text.lines().filter(|l| l.contains(word)).count();
            // The first ones were before the client; of each that it shows the end comes, too.
            (made, ended) = (lines("process"), lines("exit"));
        }
        Ok(())
    }

    /// Whether nothing was wrong.
    fn close(self) -> Result<bool> {
        self.guest.signal(&self.events, libc::SIGTERM)?;
        let stopped = self.agent.stop(self.guest, &mut log)?;
        say(&stopped.to_string());
        Ok(self.as_expected)
    }
}
