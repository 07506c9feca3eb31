//! One case on one kernel: a fresh guest, its set-up, the agent and its policy, the trigger, the events.
//!
//! In most guests the agent runs already when they are resumed, because its start takes longer than
//! everything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Shared;
use super::case::Case;
use super::judge::judge;
use crate::vm::guest::{Guest, Status};
use crate::vm::machine::{Console, Machine};
use crate::vm::saved::Saved;
use crate::vm::session::{self, NotReady, POLICIES, Running, Stopped};

/// Seconds that a trigger may take.
const TRIGGER: u64 = 300;
/// Time for a whole case, on a machine with other things to do.
const WHOLE: Duration = Duration::from_secs(900);

/// Runs it; gives the hooks' backends and the reasons why it fails.
pub(super) fn run(
    shared: &Shared,
    kernel: &str,
    guest: &(Machine, Saved),
    case: &Case,
) -> (String, Vec<String>) {
    let mut attempt = Attempt {
        case,
        script: format!("/run/case/{}-{}/trigger.sh", shared.set, case.name),
        logs: shared.logs.join(kernel).join(&case.name),
        agent_log: Vec::new(),
        reasons: Vec::new(),
    };
    let _ = fs::remove_dir_all(&attempt.logs);
    let outcome = fs::create_dir_all(&attempt.logs).map_err(Into::into).and_then(|()| {
        let (machine, saved) = guest;
        let (mut fresh, running) = match case.for_running_agent() {
            Some(_) => saved.resume_running(machine).map(|(guest, agent)| (guest, Some(agent)))?,
            None => (saved.resume(machine, Console::File)?, None),
        };
        fresh.set_deadline(WHOLE);
        attempt.in_guest(&fresh, running)
    });
    attempt.keep("agent.log", &attempt.agent_log);
    if let Err(error) = outcome {
        attempt.reasons.push(format!("{error:#}"));
    }
    if !attempt.reasons.is_empty() && !attempt.case.load_error {
        attempt.reasons.extend(attempt.complaints());
    }
    (attempt.backends(), attempt.reasons)
}

/// Nothing is wrong with the policy in itself.
fn compiles(guest: &Guest, policy: &Path) -> Result<bool> {
    const COPY: &str = "/tmp/compiled.yaml";
    guest.put_path(policy, COPY, Some(0o644))?;
    let (status, _) = guest.run(&session::process(["/usr/bin/tetra", "policy", "check", COPY]))?;
    Ok(status.code() == 0)
}

struct Attempt<'a> {
    case: &'a Case,
    script: String,
    /// Where everything about it is kept.
    logs: PathBuf,
    agent_log: Vec<u8>,
    reasons: Vec<String>,
}

impl Attempt<'_> {
    fn keep(&self, name: &str, bytes: &[u8]) {
        // Only for whoever looks into a failure.
        let _ = fs::write(self.logs.join(name), bytes);
    }

    /// What `tetra policy check` says.
    fn check_warnings(&mut self, guest: &Guest) -> Result<()> {
        const COPY: &str = "/tmp/checked.yaml";
        let Some(policy) = self.case.policy.as_ref().filter(|_| !self.case.warnings.is_empty()) else {
            return Ok(());
        };
        guest.put_path(policy, COPY, Some(0o644))?;
        let (_, said) = guest.run(&session::process(["/usr/bin/tetra", "policy", "check", COPY]))?;
        self.keep("check.txt", said.as_bytes());
        for warning in &self.case.warnings {
            if !said.contains(warning) {
                self.reasons.push(format!("`tetra policy check` does not warn of `{warning}`"));
            }
        }
        Ok(())
    }

    fn in_guest(&mut self, guest: &Guest, running: Option<Running>) -> Result<()> {
        if !self.set_up(guest)? {
            return Ok(());
        }
        self.check_warnings(guest)?;
        let agent = match self.load(guest, running) {
            Ok(agent) => agent,
            Err(error) => match error.downcast::<NotReady>() {
                Ok(not_ready) => {
                    self.not_ready(&not_ready);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        if self.case.load_error {
            return self.ready_in_spite(guest);
        }
        self.trigger(guest)?;
        let log = &mut self.agent_log;
        let stopped = agent.stop(guest, &mut |_, bytes| log.extend_from_slice(bytes))?;
        if !matches!(stopped, Stopped::Asked(status) if status.code() == 0) {
            self.reasons.push(stopped.to_string());
        }
        let events = session::events(guest).context("collecting the events")?;
        self.keep("events.jsonl", &events);
        let events = parse(&events)?;
        self.reasons.extend(judge(self.case, &self.script, &events));
        Ok(())
    }

    /// Runs the case's set-up. False: it failed.
    fn set_up(&mut self, guest: &Guest) -> Result<bool> {
        let Some(setup) = &self.case.setup else { return Ok(true) };
        let folder = Path::new(&self.script).parent().unwrap_or(Path::new("/run")).display().to_string();
        let script = format!("{folder}/setup.sh");
        guest.put(&script, 0o644, setup.as_bytes())?;
        let (status, said) = self.limited(guest, &script)?;
        self.keep("setup.txt", said.as_bytes());
        if status.code() != 0 {
            self.reasons.push(format!("the setup failed: {status}: {}", last_line(&said)));
        }
        Ok(status.code() == 0)
    }

    /// Puts the policy into the running agent, or starts one with it.
    fn load(&mut self, guest: &Guest, running: Option<Running>) -> Result<Running> {
        let log = &mut self.agent_log;
        let mut sink = |_: u8, bytes: &[u8]| log.extend_from_slice(bytes);
        match (running, &self.case.policy, self.case.for_running_agent()) {
            (Some(mut agent), Some(policy), Some(policies))
                if !self.case.load_error || compiles(guest, policy)? =>
            {
                // What must be refused is looked for in the agent's list.
                let loaded = agent.load(guest, policy, policies, &mut sink)?;
                ensure!(
                    loaded || self.case.load_error,
                    "the agent did not load the policy; its log says why"
                );
                Ok(agent)
            }
            (running, policy, _) => {
                // An agent refuses to start with a policy that is wrong in itself.
                if let Some(running) = running {
                    running.stop(guest, &mut |_, _| ())?;
                }
                if let Some(policy) = policy {
                    guest.put_path(policy, &format!("{POLICIES}/policy.yaml"), Some(0o644))?;
                }
                Running::start(guest, &self.case.agent_args, &mut sink)
            }
        }
    }

    /// Runs a script as cases are run: below timeout(1), with nothing on standard input.
    fn limited(&self, guest: &Guest, script: &str) -> Result<(Status, String)> {
        guest.run(&session::process(["/bin/timeout", &TRIGGER.to_string(), "/bin/sh", script]))
    }

    fn trigger(&mut self, guest: &Guest) -> Result<()> {
        let Some(trigger) = &self.case.trigger else { return Ok(()) };
        guest.put(&self.script, 0o644, trigger.as_bytes())?;
        let begin = std::time::Instant::now();
        let (status, said) = self.limited(guest, &self.script)?;
        self.keep("trigger.txt", said.as_bytes());
        if begin.elapsed() >= Duration::from_secs(TRIGGER) {
            self.reasons.push(format!("the trigger took longer than {TRIGGER} s"));
        }
        if let Some(wanted) = self.case.exit
            && i64::from(status.code()) != wanted
        {
            self.reasons.push(format!(
                "the trigger's exit status is {}, wanted {wanted}{}",
                status.code(),
                quoted(&said)
            ));
        }
        Ok(())
    }

    fn not_ready(&mut self, not_ready: &NotReady) {
        let log = String::from_utf8_lossy(&self.agent_log).into_owned();
        if !self.case.load_error {
            self.reasons.push(not_ready.to_string());
        } else if not_ready.status.code() >= 128 {
            self.reasons
                .push(format!("the agent did not refuse the policy, it crashed: {}", not_ready.status));
        } else {
            self.check_error(&log);
        }
    }

    /// The agent runs: then it must list the policy as one that could not be loaded.
    fn ready_in_spite(&mut self, guest: &Guest) -> Result<()> {
        let (status, list) =
            guest.run(&session::process(["/usr/bin/tetra", "tracingpolicy", "list", "-o", "json"]))?;
        self.keep("policies.json", list.as_bytes());
        if status.code() != 0 {
            self.reasons.push(format!(
                "the agent runs, and `tetra tracingpolicy list` fails: {status}{}",
                quoted(&list)
            ));
        } else if !list.contains("ERROR") {
            self.reasons.push("the policy was loaded, but must be refused".into());
        } else {
            let log = String::from_utf8_lossy(&self.agent_log).into_owned();
            self.check_error(&format!("{log}{list}"));
        }
        Ok(())
    }

    fn check_error(&mut self, said: &str) {
        if let Some(wanted) = &self.case.error
            && !said.contains(wanted)
        {
            self.reasons.push(format!("the error does not contain `{wanted}`{}", quoted(said)));
        }
    }

    /// What the agent's log complains of.
    fn complaints(&self) -> Option<String> {
        let log = String::from_utf8_lossy(&self.agent_log);
        let lower = |l: &str| l.to_lowercase();
        let line = log.lines().find(|l| lower(l).contains("error") || lower(l).contains("panicked"))?;
        Some(format!("the agent's log says: {}", line.trim()))
    }

    fn backends(&self) -> String {
        let log = String::from_utf8_lossy(&self.agent_log);
        let words = log.lines().filter(|l| l.contains("hook loaded")).flat_map(str::split_whitespace);
        let found: BTreeSet<_> =
            words.filter_map(|w| plain(w).strip_prefix("backend=").map(str::to_owned)).collect();
        found.into_iter().collect::<Vec<_>>().join("+")
    }
}

/// A word of a log without the colours that a terminal gets, and without quotes.
fn plain(word: &str) -> String {
    let mut text = String::new();
    let mut escape = false;
    for c in word.chars() {
        match c {
            '\x1b' => escape = true,
            'm' if escape => escape = false,
            '"' => {}
            c if !escape => text.push(c),
            _ => {}
        }
    }
    text
}

fn parse(events: &[u8]) -> Result<Vec<Value>> {
    String::from_utf8_lossy(events)
        .lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| {
            serde_json::from_str(l).with_context(|| format!("the agent wrote an event that is no JSON: {l}"))
        })
        .collect()
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("it wrote nothing")
}

fn quoted(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let short: String = text.chars().take(300).collect();
    format!("; it says: {}{}", short.replace('\n', " | "), if short.len() < text.len() { "..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_colours() {
        assert_eq!(plain("\x1b[3mbackend\x1b[0m\x1b[2m=\x1b[0m\"lsm\""), "backend=lsm");
        assert_eq!(plain("backend=kprobe"), "backend=kprobe");
    }
}
