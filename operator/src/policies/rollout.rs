//! Staged rollouts: how far a version may go, and when. Pure: what was recorded and what the nodes say
//! go in, what holds now and what comes next come out.
//!
//! Where a rollout stands is recorded in the policy's status before anything acts on it: a plan's
//! ConfigMap only follows ([`Stage::of`]), so whoever takes over goes on from there. A percentage
//! never goes down for a version that is out: nodes that run it would be left without.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tetragon_api::plan::Mode;
use tetragon_api::reason;
use tetragon_api::status::RolloutStatus;

use crate::nodes::Tally;
use crate::text;

/// The annotation of a policy that asks for a rollout in steps.
pub const ANNOTATION: &str = "tetragon-rs.dev/rollout";

/// `phase` while it goes on.
pub const PROGRESSING: &str = "Progressing";
/// `phase` when all nodes may load the version, and did for the time of a soak.
pub const COMPLETE: &str = "Complete";
/// `phase` when the version is in monitor mode until somebody changes something.
pub const STOPPED: &str = "Stopped";

/// Longest soak.
const MAX_SOAK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the annotation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Shares of the nodes, growing, the last one 100.
    pub steps: Vec<u8>,
    /// How long all nodes of a step must run the version before the next step.
    pub soak: Duration,
    /// Enforcing actions a minute on one node that stop it.
    pub max_actions: Option<u32>,
}

impl Default for Ask {
    fn default() -> Self {
        Ask { steps: vec![10, 50, 100], soak: Duration::from_secs(300), max_actions: None }
    }
}

const EXAMPLE: &str = "percent=10,50,100 soak=5m max-actions=20";

/// Reads the annotation. `off`: no rollout in steps.
pub fn parse(text: &str) -> Result<Option<Ask>, String> {
    if text.trim() == "off" {
        return Ok(None);
    }
    let mut ask = Ask::default();
    let mut seen: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let Some((key, value)) = word.split_once('=') else {
            return Err(format!("{word:?} is no KEY=VALUE; right would be `{EXAMPLE}`, or `off`"));
        };
        if seen.contains(&key) {
            return Err(format!("{key} stands twice; say it once"));
        }
        seen.push(key);
        match key {
            "percent" => ask.steps = steps(value)?,
            "soak" => ask.soak = soak(value)?,
            "max-actions" => ask.max_actions = Some(max_actions(value)?),
            _ => {
                return Err(format!(
                    "{key:?} is not known; percent, soak and max-actions are, as in `{EXAMPLE}`"
                ));
            }
        }
    }
    if seen.is_empty() {
        return Err(format!("it is empty; right would be `{EXAMPLE}`, `off`, or no annotation"));
    }
    Ok(Some(ask))
}

fn steps(value: &str) -> Result<Vec<u8>, String> {
    let wrong = |why: &str| format!("percent={value}: {why}; right would be percent=10,50,100");
    let steps = value.split(',').map(|n| n.parse::<u8>().ok().filter(|n| (1..=100).contains(n)));
    let steps: Vec<u8> =
        steps.collect::<Option<_>>().ok_or_else(|| wrong("each must be a whole number from 1 to 100"))?;
    if !steps.is_sorted_by(|a, b| a < b) {
        return Err(wrong("each must be larger than the one before"));
    }
    if steps.last() != Some(&100) {
        return Err(wrong("the last one must be 100: the policy is for all of its nodes in the end"));
    }
    Ok(steps)
}

/// `5m`, `90s`, `1h30m`.
fn soak(value: &str) -> Result<Duration, String> {
    let wrong = |why: &str| format!("soak={value}: {why}; right would be soak=5m, soak=90s or soak=1h30m");
    let no_time = || wrong("it is no time");
    let mut rest = value;
    let mut seconds = 0u64;
    if rest.is_empty() {
        return Err(no_time());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(|| wrong("it has no unit"))?;
        let number: u64 = rest[..digits].parse().map_err(|_| no_time())?;
        let unit = match rest.as_bytes()[digits] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            _ => return Err(no_time()),
        };
        seconds = number.checked_mul(unit).and_then(|n| seconds.checked_add(n)).ok_or_else(no_time)?;
        rest = &rest[digits + 1..];
    }
    let soak = Duration::from_secs(seconds);
    if soak > MAX_SOAK { Err(wrong("more than a week")) } else { Ok(soak) }
}

fn max_actions(value: &str) -> Result<u32, String> {
    value.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        format!("max-actions={value}: it must be a whole number, 1 or more; right would be max-actions=20")
    })
}

/// What the policy's status recorded last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recorded<'a> {
    /// Digest of the version that it is about; empty: none.
    pub digest: &'a str,
    /// The policy's generation.
    pub generation: i64,
    /// Its rollout.
    pub rollout: Option<&'a RolloutStatus>,
}

/// What the policy asks for, and how far that has come.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The annotation's text, and what it asks for; `None`: everything at once.
    pub ask: Option<(&'a str, &'a Ask)>,
    /// Digest of the version that is wanted.
    pub digest: &'a str,
    /// The policy's generation.
    pub generation: i64,
    /// How far this version is published already; `None`: it is not.
    pub published: Option<u8>,
    /// The time, for people.
    pub time: &'a Time,
}

/// How far a version may go now.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Share of the nodes that may load it.
    pub percent: u8,
    /// A mode other than the plan's.
    pub mode: Option<Mode>,
    /// Enforcing actions a minute on one node, above which the node stops it.
    pub max_actions: Option<u32>,
    /// What stands in the status.
    pub rollout: Option<RolloutStatus>,
    /// The rollout begins with this.
    pub started: bool,
    /// Nodes may still say what they said about this very version before.
    pub resumed: bool,
}

impl Stage {
    /// All nodes, at once.
    pub fn everything() -> Stage {
        Stage { percent: 100, mode: None, max_actions: None, rollout: None, started: false, resumed: false }
    }

    /// What holds now, given what was recorded.
    pub fn of(recorded: Recorded<'_>, now: Now<'_>) -> Stage {
        let Some((annotation, ask)) = now.ask else { return Stage::everything() };
        let known = recorded.digest == now.digest;
        let (mut rollout, resumed) = match recorded.rollout {
            Some(old) if known => go_on(old, annotation, recorded.generation != now.generation, now.time),
            // It is out already: the annotation is for the versions to come.
            None if known => (complete(now.time), false),
            _ => {
                let first = ask.steps.first().copied().unwrap_or(100);
                let percent = first.max(now.published.unwrap_or(0));
                (progressing(percent, now.time), now.published.is_some())
            }
        };
        annotation.clone_into(&mut rollout.annotation);
        Stage {
            percent: percent(&rollout),
            mode: (rollout.phase == STOPPED).then_some(Mode::Monitor),
            // The limit is for the time of the rollout: later, whoever provokes actions on one node
            // could switch a policy off everywhere.
            max_actions: ask.max_actions.filter(|_| rollout.phase != COMPLETE),
            rollout: Some(rollout),
            started: !known,
            resumed,
        }
    }

    /// What holds for a version that still runs while the policy has errors: what was published.
    pub fn kept(rollout: Option<&RolloutStatus>, published: (u8, Option<Mode>, Option<u32>)) -> Stage {
        let (mut percent, mut mode, max_actions) = published;
        if let Some(rollout) = rollout {
            percent = self::percent(rollout);
            mode = (rollout.phase == STOPPED).then_some(Mode::Monitor);
        }
        Stage { percent, mode, max_actions, rollout: rollout.cloned(), ..Stage::everything() }
    }

    /// The rollout goes on.
    pub fn progressing(&self) -> bool {
        self.rollout.as_ref().is_some_and(|r| r.phase == PROGRESSING)
    }

    /// The rollout was stopped.
    pub fn stopped(&self) -> bool {
        self.rollout.as_ref().is_some_and(|r| r.phase == STOPPED)
    }
}

fn percent(rollout: &RolloutStatus) -> u8 {
    u8::try_from(rollout.percent).unwrap_or(0).min(100)
}

fn go_on(old: &RolloutStatus, annotation: &str, edited: bool, time: &Time) -> (RolloutStatus, bool) {
    match old.phase.as_str() {
        STOPPED if edited || old.annotation != annotation => (progressing(percent(old), time), true),
        STOPPED | PROGRESSING => (old.clone(), false),
        _ => (RolloutStatus { percent: 100, ..old.clone() }, false),
    }
}

fn progressing(percent: u8, time: &Time) -> RolloutStatus {
    RolloutStatus {
        phase: PROGRESSING.into(),
        percent: percent.into(),
        since: Some(time.clone()),
        ..RolloutStatus::default()
    }
}

fn complete(time: &Time) -> RolloutStatus {
    RolloutStatus {
        phase: COMPLETE.into(),
        percent: 100,
        since: Some(time.clone()),
        message: "versions to come are rolled out in steps".into(),
        ..RolloutStatus::default()
    }
}

/// What decides about the next step.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// What the nodes say.
    pub tally: &'a Tally,
    /// For how long all nodes that were reached run the version, by this machine's own clock.
    pub healthy: Option<Duration>,
    /// Nodes have had the time to answer what was changed last.
    pub settled: bool,
    /// The time, for people.
    pub time: &'a Time,
}

/// What comes next: the rollout to record, and when to look again.
pub fn advance(
    stage: &Stage,
    ask: Option<&Ask>,
    watched: Watched<'_>,
) -> (Option<RolloutStatus>, Option<Duration>) {
    let Some(rollout) = stage.rollout.as_ref().filter(|_| stage.progressing()) else {
        return (stage.rollout.clone(), None);
    };
    let say = |message: String| Some(RolloutStatus { message, ..rollout.clone() });
    let reached = watched.tally.reached;
    if watched.settled
        && let Some(why) = why_stop(watched.tally, stage.max_actions)
    {
        let stopped = RolloutStatus { phase: STOPPED.into(), message: why, ..rollout.clone() };
        return (Some(stopped), None);
    }
    let Some(ask) = ask else {
        return (say("no further step while the policy has errors".into()), None);
    };
    let next = ask.steps.iter().copied().find(|step| *step > stage.percent);
    // Nothing to watch on this step, and something on a later one.
    if reached.total() == 0 && watched.tally.matched.total() > 0 && next.is_some() {
        return (step(rollout, next, watched.time), Some(Duration::ZERO));
    }
    if reached.pending + reached.failed > 0 {
        let (waiting, all) = (reached.pending + reached.failed, text::nodes(reached.total()));
        return (say(format!("{waiting} of {all} reached have not loaded it yet")), None);
    }
    let healthy = watched.healthy.unwrap_or_default();
    if healthy < ask.soak {
        let soak = show(ask.soak);
        let message = match next {
            Some(next) => format!("{next} % after {soak} without a failure"),
            None => format!("complete after {soak} without a failure"),
        };
        return (say(message), Some(ask.soak - healthy));
    }
    (step(rollout, next, watched.time), Some(Duration::ZERO))
}

fn step(rollout: &RolloutStatus, next: Option<u8>, time: &Time) -> Option<RolloutStatus> {
    let next = match next {
        Some(next) => progressing(next, time),
        None => RolloutStatus { message: "all nodes may load it".into(), ..complete(time) },
    };
    Some(RolloutStatus { annotation: rollout.annotation.clone(), ..next })
}

fn why_stop(tally: &Tally, max_actions: Option<u32>) -> Option<String> {
    const WAY_OUT: &str = "it is in monitor mode until the policy or its annotation changes";
    if let Some(group) = tally.failed_for(reason::ACTION_LIMIT) {
        let limit = max_actions.map_or("the allowed".to_owned(), |n| n.to_string());
        let (nodes, names) = (text::nodes(group.nodes), group.samples.join(", "));
        return Some(format!(
            "more than {limit} enforcing actions in a minute on {nodes} ({names}); {WAY_OUT}"
        ));
    }
    let group = tally.groups.iter().find(|g| g.failed)?;
    let (nodes, names) = (text::nodes(group.nodes), group.samples.join(", "));
    Some(format!("{} on {nodes} ({names}); {WAY_OUT}", group.reason))
}

/// As the annotation writes it.
fn show(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests;
