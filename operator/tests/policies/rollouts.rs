//! Rollouts in steps.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tetragon_api::plan::Mode;
use tetragon_api::published::bucket;
use tetragon_api::status::TracingPolicyStatus;

use crate::agents::{Agents, Answer};
use crate::bed::{Policy, deny, eventually, is, message, scenario};

const NODES: usize = 10;

fn phase(status: &TracingPolicyStatus) -> (&str, i32) {
    status.rollout.as_ref().map_or(("", -1), |r| (r.phase.as_str(), r.percent))
}

/// Makes a policy that runs on all nodes. Gives a percentage that reaches about half of them, and which
/// those are: it differs from run to run.
async fn begin(policy: &Policy, agents: &Agents) -> (u8, Vec<usize>) {
    policy.apply(deny("/etc/a")).await;
    policy.until_loaded(NODES).await;
    let uid = policy.object().await.metadata.uid.unwrap();
    let buckets: Vec<u8> = agents.nodes.iter().map(|node| bucket(&uid, node)).collect();
    let mut sorted = buckets.clone();
    sorted.sort_unstable();
    let percent = sorted[NODES / 2] + 1;
    (percent, (0..NODES).filter(|i| buckets[*i] < percent).collect())
}

/// Asks for a rollout, and edits the policy.
async fn edit(policy: &mut Policy, rollout: String) {
    policy.rollout = Some(rollout);
    policy.apply(deny("/etc/b")).await;
}

/// The plan follows the status: one is left, for all nodes, without the words of a rollout.
async fn until_unlimited(policy: &Policy) {
    eventually("the end of the rollout", || async {
        let (_, meta) = policy.until_one_plan().await;
        if (meta.percent, meta.mode, meta.max_actions) == (100, None, None) { Ok(()) } else { Err(meta) }
    })
    .await;
}

#[test]
fn it_advances() {
    scenario(async |bed| {
        let mut policy = bed.policy("advancing");
        let agents = Agents::of(bed, &policy, NODES).await;
        let (percent, first) = begin(&policy, &agents).await;
        let at = i32::from(percent);
        // The step does not end before all of its nodes run the version.
        agents.answer(first[0], Answer::Silence);
        edit(&mut policy, format!("percent={percent},100 soak=2s")).await;
        let loaded = i32::try_from(first.len() - 1).unwrap();
        let status = policy
            .until("the first step", |s| {
                phase(s) == ("Progressing", at) && s.nodes.as_ref().unwrap().loaded == loaded
            })
            .await;
        assert_eq!(is(&status, "Reconciling"), ("True", "RolloutProgressing"));
        assert_eq!(is(&status, "Ready").0, "False");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(phase(&policy.status().await), ("Progressing", at), "a node is missing");
        let plans = policy.plans().await;
        let out: Vec<_> = plans.iter().map(|(_, m)| (m.revision, m.percent)).collect();
        assert_eq!(out, [(1, 100), (2, percent)], "what other nodes run stays");
        agents.answer(first[0], Answer::Load);
        let status = policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
        assert_eq!(is(&status, "Ready"), ("True", "Loaded"));
        until_unlimited(&policy).await;
    });
}

#[test]
fn it_stops_at_too_many_actions_and_goes_on() {
    scenario(async |bed| {
        let mut policy = bed.policy("limited");
        let agents = Agents::of(bed, &policy, NODES).await;
        let (percent, first) = begin(&policy, &agents).await;
        let at = i32::from(percent);
        edit(&mut policy, format!("percent={percent},100 soak=10m max-actions=5")).await;
        let loaded = i32::try_from(first.len()).unwrap();
        policy
            .until("the first step", |s| {
                phase(s) == ("Progressing", at) && s.nodes.as_ref().unwrap().loaded == loaded
            })
            .await;
        agents.answer(first[0], Answer::Limit(None));
        let status = policy.until("stopped", |s| phase(s) == ("Stopped", at)).await;
        assert_eq!(is(&status, "Ready"), ("False", "RolloutStopped"));
        assert_eq!(is(&status, "Stalled"), ("True", "RolloutStopped"));
        assert!(message(&status, "Ready").contains("more than 5 enforcing actions"), "{status:#?}");
        assert_eq!(status.mode, "monitor");
        eventually("monitor mode", || async {
            let plans = policy.plans().await;
            let out: Vec<_> = plans.iter().map(|(_, m)| (m.revision, m.percent, m.mode)).collect();
            if out == [(1, 100, None), (2, percent, Some(Mode::Monitor))] { Ok(()) } else { Err(out) }
        })
        .await;
        edit(&mut policy, format!("percent={percent},100 soak=1s max-actions=50")).await;
        let status = policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
        assert_eq!((is(&status, "Ready"), status.mode.as_str()), (("True", "Loaded"), "enforce"));
        until_unlimited(&policy).await;
    });
}

#[test]
fn it_stops_at_failures_and_is_called_off() {
    scenario(async |bed| {
        let mut policy = bed.policy("failed-rollout");
        let agents = Agents::of(bed, &policy, NODES).await;
        let (percent, first) = begin(&policy, &agents).await;
        agents.answer(first[0], Answer::Fail("LoadFailed"));
        edit(&mut policy, format!("percent={percent},100 soak=1s")).await;
        let status = policy.until("stopped", |s| phase(s).0 == "Stopped").await;
        let why = format!("LoadFailed on 1 node ({})", agents.nodes[first[0]]);
        assert!(message(&status, "Ready").contains(&why), "{status:#?}");
        // Back to what ran before: it is still out, so all nodes have it at once.
        agents.answer(first[0], Answer::Load);
        policy.apply(deny("/etc/a")).await;
        policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
        until_unlimited(&policy).await;
    });
}

#[test]
fn clocks_do_not_matter() {
    scenario(async |bed| {
        let mut policy = bed.policy("skewed");
        let agents = Agents::of(bed, &policy, NODES).await;
        let (percent, _) = begin(&policy, &agents).await;
        edit(&mut policy, format!("percent={percent},100 soak=3s")).await;
        policy.until("the first step", |s| phase(s) == ("Progressing", percent.into())).await;
        // As an operator with another clock would have written it.
        let since = json!({"status": {"rollout": {"since": "2037-01-01T00:00:00Z"}}});
        let patch = Patch::Merge(since);
        bed.policies().patch_status(&policy.name, &PatchParams::default(), &patch).await.unwrap();
        policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
    });
}

#[test]
fn old_versions_are_kept_for_the_nodes_that_need_them() {
    scenario(async |bed| {
        let mut policy = bed.policy("kept");
        let agents = Agents::of(bed, &policy, NODES).await;
        let (percent, _) = begin(&policy, &agents).await;
        edit(&mut policy, format!("percent={percent},100 soak=10m")).await;
        policy.until("the first step", |s| phase(s) == ("Progressing", percent.into())).await;
        let plans = policy.plans().await;
        let name = |object: &ConfigMap| object.metadata.name.clone().unwrap();
        let old = name(&plans[0].0);
        let is_back = async |what: &str| {
            eventually(what, || async {
                let plans = policy.plans().await;
                let out: Vec<_> = plans.iter().map(|(o, m)| (name(o), m.revision, m.percent)).collect();
                if out.len() == 2 && out[0] == (old.clone(), 1, 100) { Ok(()) } else { Err(out) }
            })
            .await;
        };
        // The operator needs a moment to have it by heart.
        tokio::time::sleep(Duration::from_secs(1)).await;
        bed.plans().delete(&old, &DeleteParams::default()).await.unwrap();
        is_back("deleted, and made again").await;
        let less = json!({"metadata": {"annotations": {"tetragon-rs.dev/rollout-percent": "0"}}});
        bed.plans().patch(&old, &PatchParams::default(), &Patch::Merge(&less)).await.unwrap();
        is_back("taken back, and given again").await;
    });
}
