//! Holds a new container back until the kernel knows whose it is. Its runtime asks, over NRI or by an OCI
//! hook, between the making of the container's cgroup and its first instruction.
//!
//! Nothing here fails and nothing waits for long: a container has to start when the agent is stuck, too.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::classifier::{Hold, Need, Request};
use super::counts::Counts;
use crate::control::Command;

/// How long a container is held back at most. NRI's runtimes drop a plugin that takes 2 s for a request, and
/// make one request at a time: what is lost here is lost for all containers that start.
pub const WITHIN: Duration = Duration::from_millis(1200);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The agent's own NRI plugin.
    Nri,
    /// Tetragon's OCI hook.
    Hook,
}

impl Source {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Source::Nri => "nri",
            Source::Hook => "oci-hook",
        }
    }
}

/// How much was known of a container when it was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// All that policies can ask for.
    Whole,
    /// Not all: not what the API server tells, or not what the runtime tells.
    Partly,
    /// Nothing: it took too long.
    Late,
}

impl Passed {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Passed::Whole => "classified",
            Passed::Partly => "partial",
            Passed::Late => "late",
        }
    }
}

/// The gate.
#[derive(Clone, Debug)]
pub struct Gate {
    control: mpsc::Sender<Command>,
    /// There is an API server that tells of pods.
    api: bool,
    counts: Arc<Counts>,
}

impl Gate {
    /// A gate that asks the control thread. `api`: an API server tells of pods too.
    pub fn new(control: mpsc::Sender<Command>, api: bool, counts: Arc<Counts>) -> Gate {
        Gate { control, api, counts }
    }

    /// Waits until the kernel knows whose a container is.
    ///
    /// A pod that only its runtime has told of has no workload yet (that is in its owner references). Who
    /// asks for the workload must not take its lack for an answer, or a `NotIn` would hold for everybody. So
    /// the API server's word is waited for: it is rarely later than the kubelet's, which comes from the same
    /// server. After two thirds of the time the container starts all the same, for the server may be away;
    /// then what was told decides all that it can, and the policy's `unknown-containers` what asks for more.
    ///
    /// `named`: its name and image were told, by which it is to be known too.
    pub async fn pass(&self, source: Source, container: &str, named: bool, within: Duration) -> Passed {
        let now = Instant::now();
        let need = if named { Need::All } else { Need::Pod };
        let all = self.api && self.hold(container, need, now + within * 2 / 3).await;
        let passed = if all {
            Passed::Whole
        } else if !self.hold(container, Need::Any, now + within).await {
            Passed::Late
        } else if self.api {
            Passed::Partly
        } else {
            Passed::Whole
        };
        self.counts.started(source.name(), passed.name());
        match passed {
            Passed::Whole => tracing::debug!(container, took = ?now.elapsed(), "a container starts"),
            Passed::Partly => tracing::info!(
                container,
                "a container starts of which not all is known yet: unknown-containers says what that means"
            ),
            Passed::Late => tracing::warn!(
                container,
                "a container starts before the kernel knows whose it is, after {within:?}: unknown-containers \
                 says what that means"
            ),
        }
        passed
    }

    /// False: not before the time.
    async fn hold(&self, container: &str, need: Need, until: Instant) -> bool {
        let (reply, told) = oneshot::channel();
        let hold = Hold { container: container.to_owned(), need, reply };
        self.control.send(Command::Containers(Request::Hold(hold))).is_ok()
            && matches!(timeout_at(until, told).await, Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A control thread that answers what `need` asks, or nothing.
    fn gate(api: bool, answers: &'static [Need]) -> (Gate, Arc<Counts>) {
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for command in receive {
                match command {
                    Command::Containers(Request::Hold(hold)) if answers.contains(&hold.need) => {
                        hold.reply.send(()).unwrap();
                    }
                    other => kept.push(other),
                }
            }
        });
        let counts = Arc::new(Counts::default());
        (Gate::new(send, api, counts.clone()), counts)
    }

    #[tokio::test]
    async fn what_is_waited_for_and_for_how_long() {
        const SHORT: Duration = Duration::from_millis(60);
        const LONG: Duration = Duration::from_secs(60);
        use Need::{All, Any};
        for (api, answers, within, passed) in [
            (true, &[All, Any][..], LONG, Passed::Whole),
            (true, &[Any], SHORT, Passed::Partly),
            (true, &[], SHORT, Passed::Late),
            (false, &[Any], LONG, Passed::Whole),
            (false, &[], SHORT, Passed::Late),
        ] {
            let ((gate, counts), begun) = (gate(api, answers), Instant::now());
            assert_eq!(gate.pass(Source::Nri, "c", true, within).await, passed, "{api} {answers:?}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{api} {answers:?}");
            assert_eq!(counts.starts(), [(("nri", passed.name()), 1)].into());
        }
    }

    #[tokio::test]
    async fn a_control_thread_that_has_ended_holds_nobody() {
        let (send, receive) = mpsc::channel();
        drop(receive);
        let gate = Gate::new(send, true, Arc::default());
        let (begun, hour) = (Instant::now(), Duration::from_secs(3600));
        assert_eq!(gate.pass(Source::Hook, "c", false, hour).await, Passed::Late);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
