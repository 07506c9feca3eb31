//! Agents that are gone: of a TetragonNode that does not say so itself, it is told that nobody knows any more.
//!
//! An agent that is stopped says so itself; one that was killed cannot, and neither can one whose node is down.
//! The leader then sets the condition to Unknown, as Kubernetes does with that of a Node. The agent takes it
//! back with its next report.
//!
//! Whether an agent is gone is known from its pods, and how long from this process' own clock: an object that
//! was written meanwhile, by whomever, begins anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use serde_json::json;
use tetragon_api::reason;
use tetragon_api::status::TetragonNode;
use tokio::time::Instant;

use super::context::Context;
use super::error::Error;
use super::metrics::ReasonLabel;
use crate::nodes::Gone;
use crate::platform::client::FIELD_MANAGER;

/// How often the nodes are looked through.
const LOOK: Duration = Duration::from_secs(5);
/// Least time between two writes: a cluster whose agents all go at once is told in minutes, and its API server
/// does not notice.
const EACH: Duration = Duration::from_millis(50);
/// How often the time that an agent has is doubled, at most.
const DOUBLED: u32 = 6;

/// Tells for as long as it is polled.
pub async fn tell(context: &Context) {
    let api: Api<PartialObjectMeta<TetragonNode>> = Api::all(context.client.clone());
    let (mut seen, mut told) = (Seen::default(), "");
    let look = LOOK.min(context.timing.grace);
    loop {
        tokio::time::sleep(look).await;
        for gone in seen.due(context.index.gone(), context.timing.grace, Instant::now()) {
            match write(&api, &gone).await {
                Ok(()) => {
                    context.metrics.node_writes.inc();
                    seen.wrote(&gone);
                    told = "";
                }
                // Somebody was quicker: the agent, or who deleted it.
                Err(error) if ["Conflict", "NotFound"].contains(&error.reason()) => {}
                Err(error) => {
                    context.metrics.errors.get_or_create(&ReasonLabel { reason: error.reason() }).inc();
                    if told != error.reason() {
                        tracing::warn!(node = %gone.node, reason = error.reason(), %error, "not told that its agent is gone");
                        told = error.reason();
                    }
                    if ["Unavailable", "Unreachable", "Timeout"].contains(&error.reason()) {
                        // The next would fare the same.
                        break;
                    }
                    seen.wrote(&gone);
                }
            }
            tokio::time::sleep(EACH).await;
        }
    }
}

/// When agents were seen to be gone.
#[derive(Default)]
struct Seen(HashMap<Arc<str>, Since>);

struct Since {
    /// The TetragonNode's version since then.
    version: String,
    begin: Instant,
    /// How often it was told since the agent was there last. One that is not ready for long and goes on
    /// reporting takes it back each time: the two write less and less often.
    times: u32,
}

impl Seen {
    /// Those of whom nothing was heard for long enough, and whose TetragonNodes say that they are ready.
    fn due(&mut self, gone: Vec<Gone>, grace: Duration, now: Instant) -> Vec<Gone> {
        let names: HashSet<&Arc<str>> = gone.iter().map(|g| &g.node).collect();
        self.0.retain(|name, _| names.contains(name));
        let is_due = |gone: &Gone| {
            let version = &gone.said.version;
            let since = self.0.entry(gone.node.clone());
            let since = since.or_insert_with(|| Since { version: version.clone(), begin: now, times: 0 });
            if since.version != *version {
                since.version.clone_from(version);
                since.begin = now;
            }
            !gone.said.lost
                && !gone.said.stopped
                && now - since.begin >= grace * (1 << since.times.min(DOUBLED))
        };
        gone.into_iter().filter(is_due).collect()
    }

    fn wrote(&mut self, gone: &Gone) {
        if let Some(since) = self.0.get_mut(&gone.node) {
            since.times += 1;
        }
    }
}

/// Of what the agent has written, the one condition becomes the operator's.
async fn write(api: &Api<PartialObjectMeta<TetragonNode>>, gone: &Gone) -> Result<(), Error> {
    let condition = Condition {
        type_: "Ready".to_owned(),
        status: "Unknown".to_owned(),
        reason: reason::AGENT_STATUS_UNKNOWN.to_owned(),
        message: format!("{}: what stands here is what the agent said last", gone.why),
        last_transition_time: Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()),
        observed_generation: None,
    };
    // With the version that it was decided on: an agent that writes in this moment is not overwritten.
    let patch = json!({
        "apiVersion": TetragonNode::api_version(&()),
        "kind": TetragonNode::kind(&()),
        "metadata": {"name": &*gone.node, "resourceVersion": gone.said.version},
        "status": {"conditions": [condition]},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch_status(&gone.node, &params, &Patch::Apply(&patch)).await;
    written.map(drop).map_err(Error::api("tell that an agent is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::Said;

    const GRACE: Duration = Duration::from_secs(40);

    fn gone(version: &str, untold: bool) -> Vec<Gone> {
        let said = Said { version: version.into(), stopped: !untold, lost: false };
        vec![Gone { node: "a".into(), said, why: "it is gone" }]
    }

    #[test]
    fn who_was_silent_for_long_enough_is_due() {
        let (mut seen, begin) = (Seen::default(), Instant::now());
        let mut due = |version: &str, ready, seconds| {
            seen.due(gone(version, ready), GRACE, begin + Duration::from_secs(seconds)).len()
        };
        assert_eq!(due("1", true, 0), 0);
        assert_eq!(due("1", true, 39), 0);
        assert_eq!(due("1", true, 40), 1);
        // It was not written: it is tried again.
        assert_eq!(due("1", true, 45), 1);
        assert_eq!(due("2", true, 50), 0, "the agent lives, whatever its pod says");
        assert_eq!(due("2", true, 90), 1);
        assert_eq!(due("2", false, 500), 0, "it was stopped");
    }

    #[test]
    fn who_comes_back_begins_anew() {
        let (mut seen, begin) = (Seen::default(), Instant::now());
        seen.due(gone("1", true), GRACE, begin);
        seen.due(Vec::new(), GRACE, begin + GRACE);
        assert!(seen.due(gone("1", true), GRACE, begin + GRACE).is_empty());
    }

    /// An agent that is not ready for hours and reports once a minute.
    #[test]
    fn writes_become_rare_where_the_agent_takes_them_back() {
        let (mut seen, begin) = (Seen::default(), Instant::now());
        let (mut written, mut version, mut ready) = (Vec::new(), 0, true);
        for second in (0..36_000).step_by(5) {
            if second % 60 == 0 && !ready {
                (version, ready) = (version + 1, true);
            }
            let now = begin + Duration::from_secs(second);
            for gone in seen.due(gone(&version.to_string(), ready), GRACE, now) {
                seen.wrote(&gone);
                (version, ready) = (version + 1, false);
                written.push(second);
            }
        }
        assert_eq!(written[..4], [40, 140, 340, 680]);
        assert!(written.len() < 25, "{written:?}");
    }
}
