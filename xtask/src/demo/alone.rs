//! `cargo xtask demo alone`: a real kernel, the agent, four policies, and what each of them sees and does.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build;
use crate::tools::{root, say};
use crate::vm::guest::{Guest, Happened, Process};
use crate::vm::machine::{Console, Hardware, Machine};
use crate::vm::saved;
use crate::vm::session::{self, POLICIES, Running};

/// What is shown on.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The kernel's series
    #[arg(long, value_name = "SERIES", default_value = "6.12")]
    kernel: String,
    /// Build and use the agent in release mode
    #[arg(long)]
    release: bool,
}

/// One policy, and what provokes it.
struct Act {
    title: &'static str,
    text: &'static str,
    /// A policy to add first, by its file in config/samples.
    add: Option<&'static str>,
    /// The commands, each a process of its own, and the exit code that the policy leaves it.
    commands: &'static [(&'static [&'static str], i32)],
    /// A file that is not there at the end, because the policy stopped who would have written it.
    absent: Option<&'static str>,
    /// What to see at the end.
    moral: &'static str,
}

/// The exit code of what SIGKILL ended.
const KILLED: i32 = 137;

const ACTS: &[Act] = &[
    Act {
        title: "monitor-sensitive-files",
        text: "Reports who opens /etc/shadow and the cluster's keys. Nothing is stopped, and other files are\nnot reported.",
        add: None,
        commands: &[
            (&["/bin/cat", "/etc/shadow"], 0),
            (&["/bin/cat", "/etc/kubernetes/pki/ca.key"], 0),
            (&["/bin/cat", "/etc/hostname"], 0),
        ],
        absent: None,
        moral: "Two opens were reported; /etc/hostname was not.",
    },
    Act {
        title: "detect-container-escape",
        text: "A process in a PID namespace of its own (a container) that calls setns is killed. The same call\nfrom the host is let be.",
        add: None,
        commands: &[
            (&["/bin/trig", "setns", "-1", "0x20000"], 9),
            (
                &[
                    "/bin/unshare",
                    "-p",
                    "-f",
                    "/bin/trig",
                    "setns",
                    "-1",
                    "0x20000",
                    ",",
                    "exec",
                    "/bin/touch",
                    "/tmp/escaped",
                ],
                KILLED,
            ),
        ],
        absent: Some("/tmp/escaped"),
        moral: "The first call failed by itself (bad file descriptor); the second process is dead.",
    },
    Act {
        title: "detect-privilege-escalation",
        text: "Reports what su, sudo or passwd start inside a container.",
        add: None,
        commands: &[(
            &["/bin/unshare", "-p", "-f", "/bin/su", "root", "-c", "/bin/true as-root; /bin/true"],
            0,
        )],
        absent: None,
        moral: "The exec that su made was reported.",
    },
    Act {
        title: "block-cryptominers",
        text: "matchBinaries on an exec hook is the program that *calls* exec: the miner itself starts, and is\nkilled when it starts something. The compiler warns of that.",
        add: None,
        commands: &[
            (&["/tmp/xmrig", "getpid"], 0),
            (&["/tmp/xmrig", "exec", "/bin/touch", "/tmp/mined"], KILLED),
        ],
        absent: Some("/tmp/mined"),
        moral: "The miner ran once; its second run was killed at its own exec.",
    },
    Act {
        title: "block-cryptominers, corrected",
        text: "The same with matchArgs on the program that is being executed, added while the agent runs: the\nminer is dead before its first instruction.",
        add: Some("block-cryptominers-fixed.yaml"),
        commands: &[(&["/tmp/xmrig", "exec", "/bin/touch", "/tmp/mined"], KILLED)],
        absent: Some("/tmp/mined"),
        moral: "Killed before it ran; its start stands in the list because exec was under way.",
    },
];

/// What the acts need, done before the agent starts.
const PREPARE: &str =
    "mkdir -p /etc/kubernetes/pki && echo key > /etc/kubernetes/pki/ca.key && cp /bin/trig /tmp/xmrig";

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Result<i32> {
    let policies = root().join("config/samples/seed");
    let files: Vec<PathBuf> = std::fs::read_dir(&policies)
        .with_context(|| format!("the demo's policies are in {}", policies.display()))?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    say("building the agent");
    let machine = Machine::prepare(&options.kernel, &Hardware::default())?;
    let agent = build::agent(machine.kernel.arch, options.release).context("building the agent")?;
    say(&format!("starting a guest with kernel {}", machine.kernel.release));
    let mut guest = saved::with_agent(&machine, &agent)?.resume(&machine, Console::File)?;
    guest.set_deadline(Duration::from_secs(300));
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        guest.put_path(file, &format!("{POLICIES}/{name}"), Some(0o644))?;
    }
    let (status, said) = guest.run(&session::shell(PREPARE))?;
    if status.code() != 0 {
        bail!("preparing the guest: {status}: {said}");
    }
    say("starting the agent; its log:");
    let running = Running::start(&guest, &[], &mut log)?;
    let mut stage = Stage::open(&guest, running)?;
    for (number, act) in ACTS.iter().enumerate() {
        stage.play(number + 1, act)?;
    }
    let as_told = stage.close()?;
    say(&format!("more: cargo xtask vm shell --kernel {} --policy FILE", options.kernel));
    Ok(i32::from(!as_told))
}

/// The agent's log goes to standard error.
fn log(_: u8, bytes: &[u8]) {
    let _ = std::io::stderr().write_all(bytes);
}

/// The events on this terminal, live.
struct Stage<'a> {
    guest: &'a Guest,
    agent: Running,
    events: Process,
    colour: bool,
    /// Everything went as the texts say.
    as_told: bool,
}

impl<'a> Stage<'a> {
    fn open(guest: &'a Guest, agent: Running) -> Result<Stage<'a>> {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let when = if colour { "always" } else { "never" };
        let watch = ["/usr/bin/tetra", "getevents", "-o", "compact", "--color", when];
        let events = guest.spawn(&session::process(watch))?;
        let mut stage = Stage { guest, agent, events, colour, as_told: true };
        // Its own start is the first that it shows.
        stage.show(Duration::from_millis(1500), false)?;
        Ok(stage)
    }

    fn play(&mut self, number: usize, act: &Act) -> Result<()> {
        let (bold, dim, plain) = if self.colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        println!("\n{bold}{number}. {}{plain}", act.title);
        println!("{}", act.text);
        if let Some(file) = act.add {
            self.add(file)?;
        }
        for (command, code) in act.commands {
            println!("{dim}$ {}{plain}", command.join(" "));
            let (status, _) = self.guest.run(&session::process(command.iter().copied()))?;
            self.show(Duration::from_millis(600), true)?;
            println!("{dim}  ({status}){plain}");
            self.check(status.code() == *code, &format!("it should have been exit code {code}"));
        }
        println!("{bold}{}{plain}", act.moral);
        if let Some(file) = act.absent {
            let (status, _) = self.guest.run(&session::process(["/usr/bin/test", "-e", file]))?;
            // The look itself makes events, too.
            self.show(Duration::from_millis(400), false)?;
            self.check(status.code() == 1, &format!("{file} was written, and should not have been"));
            if status.code() == 1 {
                println!("{bold}{file} was never written.{plain}");
            }
        }
        Ok(())
    }

    fn check(&mut self, right: bool, wrong: &str) {
        if !right {
            println!("NOT AS IT SHOULD BE: {wrong}");
            self.as_told = false;
        }
    }

    fn add(&mut self, file: &str) -> Result<()> {
        let path = format!("/tmp/{file}");
        self.guest.put_path(&root().join("config/samples").join(file), &path, Some(0o644))?;
        let add = ["/usr/bin/tetra", "tracingpolicy", "add", &path];
        let (status, said) = self.guest.run(&session::process(add))?;
        if status.code() != 0 {
            bail!("adding {file}: {status}: {said}");
        }
        self.agent.pump(self.guest, Duration::ZERO, &mut log)?;
        // The tool's own start and end are no part of the act.
        self.show(Duration::from_millis(600), false)
    }

    /// Passes on events until none has come for a while.
    fn show(&mut self, quiet: Duration, print: bool) -> Result<()> {
        loop {
            match self.guest.wait(&self.events, Some(quiet))? {
                Happened::Output(1, bytes) if print => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&bytes)?;
                    out.flush()?;
                }
                Happened::Output(2, bytes) => std::io::stderr().write_all(&bytes)?,
                Happened::Output(..) => {}
                Happened::Exit(status) => bail!("`tetra getevents` ended in the guest: {status}"),
                Happened::Nothing => return Ok(()),
            }
        }
    }

    /// Whether everything went as told.
    fn close(self) -> Result<bool> {
        self.guest.signal(&self.events, libc::SIGTERM)?;
        let stopped = self.agent.stop(self.guest, &mut log)?;
        say(&stopped.to_string());
        Ok(self.as_told)
    }
}
