//! `vm run` and `vm shell`: one guest, what is put into it, one command.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::guest::{Guest, Happened, TimedOut};
use super::machine::{Console, Hardware, Machine};
use super::saved;
use super::session::{self, NotReady, POLICIES, Running, Stopped};
use crate::arch::Arch;
use crate::build::{self, Agent};
use crate::tools::say;

/// The agent did not get ready.
const NOT_READY: i32 = 3;
/// The guest itself is broken, or something outside it.
const BROKEN: i32 = 125;
/// The time was up, as timeout(1) says it.
const TIME_IS_UP: i32 = 124;

/// What is put into the guest, and with which agent.
#[derive(Debug, Args)]
pub(crate) struct Contents {
    /// The kernel's series: 5.10, 6.1, 6.12, 6.18, 7.3; with -arm64 behind it an emulated one of arm64
    #[arg(long, value_name = "SERIES")]
    kernel: String,
    /// A file with policies, put into the agent's policy directory (may be repeated)
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// A file or folder to copy into the guest; MODE in octal, else the file's own (may be repeated)
    #[arg(long, value_name = "HOST:GUEST[:MODE]", value_parser = parse_file)]
    file: Vec<GuestFile>,
    /// More arguments for the agent, in one string, words separated by spaces, quotes as in a shell
    #[arg(long, value_name = "ARGS", default_value = "", allow_hyphen_values = true)]
    agent_args: String,
    /// Start no agent
    #[arg(long)]
    no_agent: bool,
    /// Use this agent instead of building the repository's; a `tetra` beside it is taken too
    #[arg(long, value_name = "FILE", conflicts_with = "no_agent")]
    agent: Option<PathBuf>,
    /// Build and use the agent in release mode
    #[arg(long, conflicts_with_all = ["agent", "no_agent"])]
    release: bool,
    #[command(flatten)]
    hardware: Hardware,
}

/// `vm run`.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    contents: Contents,
    /// Where the agent's events go, as JSON lines; without it they go to standard output, after the command,
    /// and what the command writes goes to standard error
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Seconds that everything after the start of the guest may take
    #[arg(long, value_name = "S", default_value_t = 120)]
    timeout: u64,
    /// The command, for `sh -c`
    #[arg(required = true, last = true, value_name = "SHELL COMMAND")]
    command: Vec<String>,
}

/// `vm shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellOptions {
    #[command(flatten)]
    contents: Contents,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GuestFile {
    from: PathBuf,
    to: String,
    mode: Option<u32>,
}

fn parse_file(text: &str) -> Result<GuestFile, String> {
    let usage = "right would be HOST:GUEST or HOST:GUEST:MODE, as in ./tool:/usr/bin/tool:755";
    let parts: Vec<_> = text.split(':').collect();
    let (from, to, mode) = match parts.as_slice() {
        [from, to] => (from, to, None),
        [from, to, mode] => {
            let mode = u32::from_str_radix(mode, 8).ok().filter(|m| *m <= 0o7777);
            (from, to, Some(mode.ok_or(format!("the mode is not octal; {usage}"))?))
        }
        _ => return Err(format!("not two or three parts; {usage}")),
    };
    if from.is_empty() || !to.starts_with('/') {
        return Err(format!("the path in the guest must begin with `/`; {usage}"));
    }
    Ok(GuestFile { from: PathBuf::from(from), to: (*to).to_owned(), mode })
}

/// Splits like a shell does, without expansions.
pub(crate) fn split_words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        bail!("`{text}`: the quote {quote} is not closed");
    }
    words.extend(word);
    Ok(words)
}

impl Contents {
    fn agent(&self, arch: Arch) -> Result<Option<Agent>> {
        Ok(match (&self.agent, self.no_agent) {
            (_, true) => None,
            (Some(path), _) => Some(build::given_agent(arch, path)?),
            (None, _) => Some(build::agent(arch, self.release).context("building the agent")?),
        })
    }

    /// A fresh guest with everything in it, and whether it has an agent.
    fn guest(&self, console: Console) -> Result<(Guest, bool)> {
        if let Some(missing) = self.policy.iter().find(|p| !p.is_file()) {
            bail!("there is no policy file {}", missing.display());
        }
        let machine = Machine::prepare(&self.kernel, &self.hardware)?;
        let agent = self.agent(machine.kernel.arch)?;
        let guest = match &agent {
            Some(agent) => match saved::existing_with_agent(&machine, agent)? {
                Some(saved) => saved.resume(&machine, console)?,
                None => {
                    let guest = saved::booted(&machine)?.resume(&machine, console)?;
                    saved::install_agent(&guest, agent)?;
                    guest
                }
            },
            None => saved::booted(&machine)?.resume(&machine, console)?,
        };
        for (i, policy) in self.policy.iter().enumerate() {
            let name = policy.file_name().unwrap_or_default().to_string_lossy();
            // Two files of one name from different folders are two files.
            let same = self.policy[..i].iter().filter(|p| p.file_name() == policy.file_name()).count();
            let prefix = if same == 0 { String::new() } else { format!("{same}-") };
            guest.put_path(policy, &format!("{POLICIES}/{prefix}{name}"), Some(0o644))?;
        }
        for file in &self.file {
            guest.put_path(&file.from, &file.to, file.mode)?;
        }
        Ok((guest, agent.is_some()))
    }
}

/// `vm run`: gives the command's exit code, or one of the three above.
pub(crate) fn run(options: &RunOptions) -> Result<i32> {
    match run_in_guest(options) {
        Err(error) if error.is::<NotReady>() => {
            eprintln!("error: {error}");
            Ok(NOT_READY)
        }
        Err(error) if error.is::<TimedOut>() => {
            eprintln!("error: {error:#}\n(--timeout {} is the limit, in seconds)", options.timeout);
            Ok(TIME_IS_UP)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(BROKEN)
        }
        done => done,
    }
}

fn run_in_guest(options: &RunOptions) -> Result<i32> {
    let arguments = split_words(&options.contents.agent_args).context("--agent-args")?;
    let (mut guest, has_agent) = options.contents.guest(Console::File)?;
    guest.set_deadline(Duration::from_secs(options.timeout));
    let mut log = |_: u8, bytes: &[u8]| {
        let _ = std::io::stderr().write_all(bytes);
    };
    let mut agent = if has_agent { Some(Running::start(&guest, &arguments, &mut log)?) } else { None };
    let events_on_stdout = has_agent && options.events.is_none();
    let command = guest.spawn(&session::shell(&options.command.join(" ")))?;
    let status = loop {
        // The agent's log first, so that it stands before what came of it.
        if let Some(agent) = &mut agent {
            agent.pump(&guest, Duration::ZERO, &mut log)?;
        }
        match guest.wait(&command, Some(Duration::from_millis(50)))? {
            Happened::Output(1, bytes) if !events_on_stdout => std::io::stdout().write_all(&bytes)?,
            Happened::Output(_, bytes) => std::io::stderr().write_all(&bytes)?,
            Happened::Exit(status) => break status,
            Happened::Nothing => {}
        }
    };
    if let Some(agent) = agent {
        let stopped = agent.stop(&guest, &mut log)?;
        if !matches!(stopped, Stopped::Asked(status) if status.code() == 0) {
            eprintln!("warning: {stopped}");
        }
        let events = session::events(&guest).context("collecting the events")?;
        match &options.events {
            Some(file) => {
                std::fs::write(file, events).with_context(|| format!("writing {}", file.display()))?;
            }
            None => std::io::stdout().write_all(&events)?,
        }
    }
    Ok(status.code())
}

/// `vm shell`: a shell on this terminal, with the agent's log in a file of the guest.
pub(crate) fn shell(options: &ShellOptions) -> Result<i32> {
    let arguments = split_words(&options.contents.agent_args).context("--agent-args")?;
    let terminal = std::io::stdin().is_terminal();
    let (guest, has_agent) = options.contents.guest(Console::Terminal)?;
    let mut agent = None;
    if has_agent {
        let mut log = |_: u8, bytes: &[u8]| {
            let _ = std::io::stderr().write_all(&with_returns(bytes, terminal));
        };
        agent = Some(Running::start(&guest, &arguments, &mut log)?);
    }
    say(&format!("kernel {}; `exit` ends the guest\r", options.contents.kernel));
    let mut shell = session::process(["/bin/sh", "-l"]);
    shell.console = true;
    shell.cwd = "/root".into();
    if let Some((rows, columns)) = terminal_size() {
        shell.env.push(format!("LINES={rows}"));
        shell.env.push(format!("COLUMNS={columns}"));
    }
    let process = guest.spawn(&shell)?;
    loop {
        if let Some(agent) = &mut agent {
            agent.pump(&guest, Duration::ZERO, &mut |_, bytes| {
                let _ = std::io::stderr().write_all(&with_returns(bytes, terminal));
            })?;
        }
        if let Happened::Exit(status) = guest.wait(&process, Some(Duration::from_millis(200)))? {
            return Ok(status.code());
        }
    }
}

/// QEMU has the terminal in raw mode, where a line's end needs a carriage return.
fn with_returns(bytes: &[u8], terminal: bool) -> Vec<u8> {
    if !terminal {
        return bytes.to_vec();
    }
    bytes.iter().flat_map(|b| if *b == b'\n' { vec![b'\r', b'\n'] } else { vec![*b] }).collect()
}

fn terminal_size() -> Option<(u16, u16)> {
    // SAFETY: plain numbers, for which zero is a value; the ioctl fills them.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size) == 0).then_some(size)
    }?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, words) in [
            ("", &[][..]),
            ("  --a  b ", &["--a", "b"]),
            (r#"--x "two words" 'it"s' a\ b "#, &["--x", "two words", "it\"s", "a b"]),
            ("a'' ''", &["a", ""]),
        ] {
            assert_eq!(split_words(text).expect(text), words, "{text}");
        }
        assert!(split_words("'open").is_err());
    }

    #[test]
    fn files_for_the_guest() {
        let file = |to: &str, mode| GuestFile { from: "a".into(), to: to.into(), mode };
        assert_eq!(parse_file("a:/b"), Ok(file("/b", None)));
        assert_eq!(parse_file("a:/b:4755"), Ok(file("/b", Some(0o4755))));
        for wrong in ["a", "a:b", ":/b", "a:/b:9", "a:/b:77777", "a:/b:1:2"] {
            assert!(parse_file(wrong).expect_err(wrong).contains("right would be"), "{wrong}");
        }
    }
}
