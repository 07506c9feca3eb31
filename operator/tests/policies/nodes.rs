//! What becomes of a policy when nodes fail, leave, or are away.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::agents::{Agents, Answer, until_gone};
use crate::bed::{NAMESPACE, deny, eventually, is, message, scenario};

#[test]
fn failures_are_grouped() {
    scenario(async |bed| {
        let policy = bed.policy("failing");
        let agents = Agents::of(bed, &policy, 9).await;
        for node in 0..6 {
            agents.answer(node, Answer::Fail("HookNotAvailable"));
        }
        agents.answer(7, Answer::Fail("LoadFailed"));
        policy.apply(deny("/etc/a")).await;
        let status = policy
            .until("all answered", |s| s.nodes.as_ref().is_some_and(|n| (n.loaded, n.failed) == (2, 7)))
            .await;
        assert_eq!(is(&status, "Ready"), ("False", "HookNotAvailable"));
        assert_eq!(is(&status, "Stalled"), ("True", "HookNotAvailable"));
        assert_eq!(is(&status, "Reconciling").0, "");
        let groups: Vec<_> =
            status.failures.iter().map(|f| (f.reason.as_str(), f.nodes, &f.sample_nodes[..])).collect();
        assert_eq!(groups[0], ("HookNotAvailable", 6, &agents.nodes[..5]));
        assert_eq!(groups[1], ("LoadFailed", 1, &agents.nodes[7..8]));
        assert_eq!(status.failures[0].message, "HookNotAvailable: simulated");
        for node in 0..9 {
            agents.answer(node, Answer::Load);
        }
        let status = policy.until_loaded(9).await;
        assert_eq!((status.failures.len(), is(&status, "Stalled").0), (0, ""));
    });
}

#[test]
fn a_node_leaves() {
    scenario(async |bed| {
        let policy = bed.policy("leaving");
        let agents = Agents::of(bed, &policy, 3).await;
        agents.answer(2, Answer::Fail("LoadFailed"));
        policy.apply(deny("/etc/a")).await;
        policy.until("failed", |s| is(s, "Ready") == ("False", "LoadFailed")).await;
        agents.remove(2).await;
        policy.until_loaded(2).await;
        until_gone(bed, &agents.nodes[2]).await;
    });
}

#[test]
fn labels_decide() {
    scenario(async |bed| {
        let policy = bed.policy("labels");
        let agents = Agents::of(bed, &policy, 3).await;
        policy.apply(deny("/etc/a")).await;
        let status = policy.until_loaded(3).await;
        let skipped = status.nodes.unwrap().skipped;
        agents.label(0, "scenario", "none").await;
        let status = policy.until_loaded(2).await;
        // Other scenarios have nodes, too, which come and go.
        assert!(status.nodes.unwrap().skipped > 0 && skipped >= 0);
        agents.label(1, "scenario", "none").await;
        agents.label(2, "scenario", "none").await;
        let status = policy.until("for no node", |s| is(s, "Ready") == ("True", "NoNodes")).await;
        assert!(message(&status, "Ready").starts_with("its nodeSelector matches none of "), "{status:#?}");
        agents.label(0, "scenario", &policy.name).await;
        policy.until_loaded(1).await;
    });
}

#[test]
fn an_agent_is_away() {
    scenario(async |bed| {
        let policy = bed.policy("away");
        let agents = Agents::of(bed, &policy, 2).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(2).await;

        // Clocks of nodes are not trusted.
        agents.ready(0, false, "AgentStopped", "2037-01-01T00:00:00Z").await;
        let status = policy.until("stopped", |s| is(s, "Ready") == ("False", "AgentNotReady")).await;
        assert_eq!(status.failures[0].sample_nodes, [agents.nodes[0].clone()]);
        agents.ready(0, true, "Running", "1999-01-01T00:00:00Z").await;
        policy.until_loaded(2).await;

        let pods: Api<Pod> = Api::namespaced(bed.client.clone(), NAMESPACE);
        let accounts: Api<ServiceAccount> = Api::namespaced(bed.client.clone(), NAMESPACE);
        eventually("the service account", || accounts.get("default")).await;
        let pod = serde_json::from_value(json!({
            "metadata": {"name": agents.nodes[1], "labels": {"app.kubernetes.io/name": "tetragon"}},
            "spec": {"nodeName": agents.nodes[1], "containers": [{"name": "tetragon", "image": "none"}]},
        }));
        pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap();
        policy.until("not ready", |s| is(s, "Ready") == ("False", "AgentNotReady")).await;
        let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        let patch = |status| {
            let (pods, name, body) = (pods.clone(), agents.nodes[1].clone(), ready(status));
            async move { pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&body)).await.unwrap() }
        };
        patch("True").await;
        policy.until_loaded(2).await;
        patch("False").await;
        policy.until("not ready any more", |s| is(s, "Ready") == ("False", "AgentNotReady")).await;
        patch("True").await;
        policy.until_loaded(2).await;
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        pods.delete(&agents.nodes[1], &now).await.unwrap();
        let status = policy.until("gone", |s| is(s, "Ready") == ("False", "AgentNotReady")).await;
        assert_eq!(status.failures[0].sample_nodes, [agents.nodes[1].clone()]);
    });
}
