//! Kubernetes events of a policy: on transitions only. What happened is read off two statuses; one place
//! sends it.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tetragon_api::reason;
use tetragon_api::status::TracingPolicyStatus;

use super::rollout::{COMPLETE, PROGRESSING, STOPPED};
use super::status::{ACCEPTED, READY, SELECTS_NOTHING};
use crate::text;

/// Longest note that the API server takes.
const MAX_NOTE: usize = 1024;

/// Something happened to a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Somebody should look.
    pub warning: bool,
    /// A word.
    pub reason: String,
    /// What the operator did.
    pub action: &'static str,
    /// A sentence.
    pub note: String,
}

/// What happened between two statuses.
pub fn happenings(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> Vec<Happening> {
    let all = [
        refused(old, new),
        published(old, new),
        rollout(old, new),
        ready(old, new),
        selects_nothing(old, new),
    ];
    all.into_iter().flatten().collect()
}

fn condition<'a>(status: &'a TracingPolicyStatus, ty: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let found = status.conditions.iter().find(|c| c.type_ == ty)?;
    Some((&found.status, &found.reason, &found.message))
}

fn refused(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> Option<Happening> {
    let (is, reason, message) = condition(new, ACCEPTED)?;
    let same = old.observed_generation == new.observed_generation
        && condition(old, ACCEPTED).is_some_and(|(was, why, _)| was == is && why == reason);
    (is == "False" && !same).then(|| Happening {
        warning: true,
        reason: reason.into(),
        action: "Compile",
        note: message.into(),
    })
}

fn published(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> Option<Happening> {
    let plan = new.plan.as_ref().filter(|plan| old.plan.as_ref().map(|p| &p.name) != Some(&plan.name))?;
    Some(Happening {
        warning: false,
        reason: "Published".into(),
        action: "Publish",
        note: format!("generation {} is published as {}", new.observed_generation, plan.name),
    })
}

fn rollout(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> Option<Happening> {
    let now = new.rollout.as_ref()?;
    let before = old.rollout.as_ref().map(|r| (r.phase.as_str(), r.percent));
    if before == Some((now.phase.as_str(), now.percent)) {
        return None;
    }
    let (warning, word, note) = match now.phase.as_str() {
        PROGRESSING => {
            (false, reason::ROLLOUT_PROGRESSING, format!("{} % of the nodes may load it", now.percent))
        }
        STOPPED => (true, reason::ROLLOUT_STOPPED, format!("stopped at {} %: {}", now.percent, now.message)),
        // A version that was out before there was an annotation had no rollout.
        COMPLETE if before.is_some() => (false, "RolloutComplete", now.message.clone()),
        _ => return None,
    };
    Some(Happening { warning, reason: word.into(), action: "RollOut", note })
}

fn ready(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> Option<Happening> {
    let (is, why, message) = condition(new, READY)?;
    let before = condition(old, READY);
    let failed = |s: &TracingPolicyStatus| s.nodes.as_ref().is_some_and(|n| n.failed > 0);
    // What is refused, or stopped, was told already. Waiting is no news, and neither is the end of a
    // wait for an agent that was restarted: every policy would tell it, for every node.
    let news = match (is, before) {
        ("True", Some(("True", ..)) | Some((_, reason::AGENT_NOT_READY, _))) => false,
        ("True", _) => true,
        (_, Some((was, before, _))) if was == is && before == why => false,
        _ => {
            failed(new) && ![reason::INVALID, reason::ROLLOUT_INVALID, reason::ROLLOUT_STOPPED].contains(&why)
        }
    };
    news.then(|| Happening {
        warning: is != "True",
        reason: why.into(),
        action: "Load",
        note: message.into(),
    })
}

fn selects_nothing(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> Option<Happening> {
    let (_, why, message) = condition(new, SELECTS_NOTHING)?;
    condition(old, SELECTS_NOTHING).is_none().then(|| Happening {
        warning: true,
        reason: why.into(),
        action: "Select",
        note: message.into(),
    })
}

/// Sends events about policies.
pub struct Teller {
    client: Client,
    reporter: Reporter,
}

impl Teller {
    /// `instance`: this replica's name.
    pub fn new(client: Client, instance: &str) -> Teller {
        let reporter = Reporter { controller: "tetragon-operator".into(), instance: Some(instance.into()) };
        Teller { client, reporter }
    }

    /// Sends them. An event that cannot be sent is only logged: the status says the same.
    pub async fn tell(&self, about: &ObjectReference, happenings: Vec<Happening>) {
        for happening in happenings {
            let Happening { reason, note, .. } = &happening;
            tracing::info!(policy = about.name, namespace = about.namespace, reason, "{note}");
            let event = Event {
                type_: if happening.warning { EventType::Warning } else { EventType::Normal },
                reason: happening.reason,
                note: Some(text::cut(&happening.note, MAX_NOTE)),
                action: happening.action.into(),
                secondary: None,
            };
            // A recorder merges events of one reason, and keeps the first one's note: a transition's note
            // is what it is about, so each has a recorder of its own.
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            if let Err(error) = recorder.publish(&event, about).await {
                tracing::warn!(%error, reason = event.reason, "an event could not be sent");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use tetragon_api::status::{NodeCounts, PlanStatus, RolloutStatus};

    fn status(generation: i64, conditions: &[(&str, &str, &str)]) -> TracingPolicyStatus {
        let conditions = conditions.iter().map(|(ty, status, reason)| Condition {
            type_: (*ty).into(),
            status: (*status).into(),
            reason: (*reason).into(),
            message: format!("{ty} is {status}"),
            last_transition_time: k8s_openapi::jiff::Timestamp::UNIX_EPOCH.into(),
            observed_generation: None,
        });
        TracingPolicyStatus {
            observed_generation: generation,
            conditions: conditions.collect(),
            ..TracingPolicyStatus::default()
        }
    }

    fn told(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> Vec<(bool, String)> {
        happenings(old, new).into_iter().map(|h| (h.warning, h.reason)).collect()
    }

    #[test]
    fn transitions_are_told_once() {
        let none = TracingPolicyStatus::default();
        let plan = |s: TracingPolicyStatus, name: &str| TracingPolicyStatus {
            plan: Some(PlanStatus { name: name.into(), ..PlanStatus::default() }),
            ..s
        };
        let pending = plan(status(1, &[("Accepted", "True", "Valid"), ("Ready", "False", "Pending")]), "a");
        let loaded = plan(status(1, &[("Accepted", "True", "Valid"), ("Ready", "True", "Loaded")]), "a");
        let away =
            plan(status(1, &[("Accepted", "True", "Valid"), ("Ready", "False", "AgentNotReady")]), "a");
        let invalid =
            plan(status(2, &[("Accepted", "False", "Invalid"), ("Ready", "False", "Invalid")]), "a");
        let again = TracingPolicyStatus { observed_generation: 3, ..invalid.clone() };
        let mut failed = plan(status(1, &[("Ready", "False", "LoadFailed")]), "a");
        failed.nodes = Some(NodeCounts { failed: 1, ..NodeCounts::default() });
        let all = [&pending, &loaded, &away, &invalid, &again, &failed];
        assert!(all.iter().all(|s| told(s, s).is_empty()), "the same twice is no transition");
        let word = |warning: bool, reason: &str| (warning, reason.to_owned());
        assert_eq!(told(&none, &pending), [word(false, "Published")]);
        assert_eq!(told(&pending, &loaded), [word(false, "Loaded")]);
        assert_eq!(told(&loaded, &away), []);
        assert_eq!(told(&away, &loaded), []);
        assert_eq!(told(&loaded, &invalid), [word(true, "Invalid")]);
        assert_eq!(told(&invalid, &again), [word(true, "Invalid")], "another generation, another finding");
        assert_eq!(told(&pending, &failed), [word(true, "LoadFailed")]);
        assert_eq!(told(&loaded, &plan(pending, "b")), [word(false, "Published")]);
    }

    #[test]
    fn that_nothing_is_selected_is_told_once() {
        let some = status(1, &[("Ready", "True", "Loaded")]);
        let none = status(1, &[("Ready", "True", "Loaded"), ("SelectsNothing", "True", "NoPods")]);
        assert_eq!(told(&some, &none), [(true, "NoPods".to_owned())]);
        assert_eq!(told(&none, &none), []);
        assert_eq!(told(&none, &some), []);
    }

    #[test]
    fn steps_of_a_rollout_are_told() {
        let at = |phase: &str, percent: i32| TracingPolicyStatus {
            rollout: Some(RolloutStatus { phase: phase.into(), percent, ..RolloutStatus::default() }),
            ..TracingPolicyStatus::default()
        };
        let none = TracingPolicyStatus::default();
        let word = |warning: bool, reason: &str| vec![(warning, reason.to_owned())];
        assert_eq!(told(&none, &at(PROGRESSING, 10)), word(false, "RolloutProgressing"));
        assert_eq!(told(&at(PROGRESSING, 10), &at(PROGRESSING, 10)), []);
        assert_eq!(told(&at(PROGRESSING, 10), &at(PROGRESSING, 50)), word(false, "RolloutProgressing"));
        assert_eq!(told(&at(PROGRESSING, 50), &at(STOPPED, 50)), word(true, "RolloutStopped"));
        assert_eq!(told(&at(PROGRESSING, 100), &at(COMPLETE, 100)), word(false, "RolloutComplete"));
        assert_eq!(told(&none, &at(COMPLETE, 100)), []);
    }
}
