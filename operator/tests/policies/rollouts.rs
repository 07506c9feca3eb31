//! Rollouts in steps.

use std::collections::BTreeSet;

use kube::api::{Patch, PatchParams};
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

/// Makes a policy that runs on all nodes, and edits it with an annotation.
async fn begin(policy: &mut Policy, rollout: &str) {
    policy.apply(deny("/etc/a")).await;
    policy.until_loaded(NODES).await;
    policy.rollout = Some(rollout.into());
    policy.apply(deny("/etc/b")).await;
}

/// The nodes that a percentage reaches.
async fn reached(policy: &Policy, agents: &Agents, percent: u8) -> Vec<usize> {
    let uid = policy.object().await.metadata.uid.unwrap();
    (0..NODES).filter(|i| bucket(&uid, &agents.nodes[*i]) < percent).collect()
}

#[test]
fn it_advances() {
    scenario(async |bed| {
        let mut policy = bed.policy("advancing");
        let agents = Agents::of(bed, &policy, NODES).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(NODES).await;
        let first = reached(&policy, &agents, 50).await;
        // The step does not end before all of its nodes run the version.
        if let Some(node) = first.first() {
            agents.answer(*node, Answer::Silence);
        }
        policy.rollout = Some("percent=50,100 soak=2s".into());
        policy.apply(deny("/etc/b")).await;
        let loaded = i32::try_from(first.len().saturating_sub(1)).unwrap();
        let status = policy
            .until("half", |s| phase(s) == ("Progressing", 50) && s.nodes.as_ref().unwrap().loaded == loaded)
            .await;
        assert_eq!(is(&status, "Reconciling"), ("True", "RolloutProgressing"));
        assert_eq!(is(&status, "Ready").0, "False");
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        assert_eq!(phase(&policy.status().await), ("Progressing", 50), "a node is missing");
        let plans = policy.plans().await;
        let out: Vec<_> = plans.iter().map(|(_, m)| (m.revision, m.percent)).collect();
        assert_eq!(out, [(1, 100), (2, 50)], "what other nodes run stays");
        if let Some(node) = first.first() {
            agents.answer(*node, Answer::Load);
        }
        let status = policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
        assert_eq!(is(&status, "Ready"), ("True", "Loaded"));
        let (_, meta) = policy.until_one_plan().await;
        assert_eq!((meta.percent, meta.max_actions), (100, None));
    });
}

#[test]
fn it_stops_at_too_many_actions_and_goes_on() {
    scenario(async |bed| {
        let mut policy = bed.policy("limited");
        let agents = Agents::of(bed, &policy, NODES).await;
        begin(&mut policy, "percent=60,100 soak=10m max-actions=5").await;
        policy.until("begun", |s| phase(s) == ("Progressing", 60)).await;
        let node = reached(&policy, &agents, 60).await[0];
        agents.answer(node, Answer::Limit(None));
        let status = policy.until("stopped", |s| phase(s) == ("Stopped", 60)).await;
        assert_eq!(is(&status, "Ready"), ("False", "RolloutStopped"));
        assert_eq!(is(&status, "Stalled"), ("True", "RolloutStopped"));
        assert!(message(&status, "Ready").contains("more than 5 enforcing actions"), "{status:#?}");
        assert_eq!(status.mode, "monitor");
        let monitored = eventually("monitor mode", || async {
            let plans = policy.plans().await;
            let out: BTreeSet<_> =
                plans.iter().map(|(_, m)| (m.revision, m.percent, m.mode == Some(Mode::Monitor))).collect();
            if out == [(1, 100, false), (2, 60, true)].into() { Ok(out) } else { Err(out) }
        });
        monitored.await;
        policy.rollout = Some("percent=60,100 soak=1s max-actions=50".into());
        policy.apply(deny("/etc/b")).await;
        let status = policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
        assert_eq!((is(&status, "Ready"), status.mode.as_str()), (("True", "Loaded"), "enforce"));
        let (_, meta) = policy.until_one_plan().await;
        assert_eq!((meta.mode, meta.max_actions), (None, None));
    });
}

#[test]
fn it_stops_at_failures_and_is_called_off() {
    scenario(async |bed| {
        let mut policy = bed.policy("failed-rollout");
        let agents = Agents::of(bed, &policy, NODES).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(NODES).await;
        let node = reached(&policy, &agents, 60).await[0];
        agents.answer(node, Answer::Fail("LoadFailed"));
        policy.rollout = Some("percent=60,100 soak=1s".into());
        policy.apply(deny("/etc/b")).await;
        let status = policy.until("stopped", |s| phase(s).0 == "Stopped").await;
        assert!(
            message(&status, "Ready").contains(&format!("LoadFailed on 1 node ({})", agents.nodes[node]))
        );
        // Back to what ran before: it is still out, so all nodes have it at once.
        agents.answer(node, Answer::Load);
        policy.apply(deny("/etc/a")).await;
        policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
        let (_, meta) = policy.until_one_plan().await;
        assert_eq!((meta.revision, meta.mode), (3, None));
    });
}

#[test]
fn clocks_do_not_matter() {
    scenario(async |bed| {
        let mut policy = bed.policy("skewed");
        let _agents = Agents::of(bed, &policy, NODES).await;
        begin(&mut policy, "percent=50,100 soak=3s").await;
        policy.until("begun", |s| phase(s) == ("Progressing", 50)).await;
        // As an operator with another clock would have written it.
        let since = json!({"status": {"rollout": {"since": "2037-01-01T00:00:00Z"}}});
        bed.policies()
            .patch_status(&policy.name, &PatchParams::default(), &Patch::Merge(&since))
            .await
            .unwrap();
        policy.until("complete", |s| phase(s) == ("Complete", 100)).await;
    });
}

#[test]
fn old_versions_are_kept_for_the_nodes_that_need_them() {
    scenario(async |bed| {
        let mut policy = bed.policy("kept");
        let _agents = Agents::of(bed, &policy, NODES).await;
        begin(&mut policy, "percent=50,100 soak=10m").await;
        policy.until("begun", |s| phase(s) == ("Progressing", 50)).await;
        let plans = policy.plans().await;
        let old = plans[0].0.metadata.name.clone().unwrap();
        let is_back = |what: &'static str| {
            let (policy, old) = (policy.clone(), old.clone());
            async move {
                eventually(what, || async {
                    let plans = policy.plans().await;
                    let out: Vec<_> = plans
                        .iter()
                        .map(|(o, m)| (o.metadata.name.clone().unwrap(), m.revision, m.percent))
                        .collect();
                    if out.first() == Some(&(old.clone(), 1, 100)) && out.len() == 2 {
                        Ok(())
                    } else {
                        Err(out)
                    }
                })
                .await;
            }
        };
        // The operator needs a moment to have it by heart.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        bed.plans().delete(&old, &Default::default()).await.unwrap();
        is_back("deleted, and made again").await;
        let less = json!({"metadata": {"annotations": {"tetragon-rs.dev/rollout-percent": "0"}}});
        bed.plans().patch(&old, &PatchParams::default(), &Patch::Merge(&less)).await.unwrap();
        is_back("taken back, and given again").await;
    });
}
