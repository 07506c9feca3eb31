//! A TetragonNode does not say Ready=True of an agent that is gone.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tetragon_api::status::TetragonNode;

use crate::agents::Agents;
use crate::bed::{Bed, GRACE, MARK, NAMESPACE, Operator, alone, deny, eventually, is};

/// The agents' TetragonNodes and pods.
struct Place {
    bed: &'static Bed,
    objects: Api<TetragonNode>,
    pods: Api<Pod>,
}

impl Place {
    async fn of(bed: &'static Bed) -> Place {
        let accounts: Api<ServiceAccount> = Api::namespaced(bed.client.clone(), NAMESPACE);
        eventually("the service account", || accounts.get("default")).await;
        let pods = Api::namespaced(bed.client.clone(), NAMESPACE);
        Place { bed, objects: Api::all(bed.client.clone()), pods }
    }

    /// The agent of a node writes as agents do: everything, as its own.
    async fn report(&self, node: &str, status: &str, reason: &str) {
        let mut object = serde_json::to_value(self.objects.get(node).await.unwrap()).unwrap();
        let mut all = object["status"].take();
        all["conditions"] = json!([{"type": "Ready", "status": status, "reason": reason, "message": "simulated",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let object = json!({"apiVersion": "tetragon-rs.dev/v1alpha1", "kind": "TetragonNode",
            "metadata": {"name": node}, "status": all});
        let params = PatchParams::apply("tetragon-agent").force();
        self.objects.patch_status(node, &params, &Patch::Apply(&object)).await.unwrap();
    }

    async fn pod(&self, node: &str) {
        let pod = json!({
            "metadata": {"name": node, "labels": {"app.kubernetes.io/name": "tetragon"}},
            "spec": {"nodeName": node, "containers": [{"name": "tetragon", "image": "none"}]},
        });
        self.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        self.ready(node, "True").await;
    }

    async fn ready(&self, node: &str, status: &str) {
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        self.pods.patch_status(node, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    async fn kill(&self, node: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods.delete(node, &now).await.unwrap();
    }

    /// Status, reason and message of its condition Ready, and the object's version.
    async fn says(&self, node: &str) -> (String, String, String, Option<String>) {
        let object = self.objects.get(node).await.unwrap();
        let version = object.resource_version();
        let ready = object.status.unwrap().conditions.into_iter().find(|c| c.type_ == "Ready");
        ready.map_or_else(Default::default, |c| (c.status, c.reason, c.message, version))
    }

    async fn until(&self, node: &str, status: &str, reason: &str) -> (String, Option<String>) {
        eventually(&format!("{node} says {status} {reason}"), || async {
            let (is, why, message, version) = self.says(node).await;
            if (is.as_str(), why.as_str()) == (status, reason) {
                Ok((message, version))
            } else {
                Err((is, why))
            }
        })
        .await
    }

    /// Nobody writes to it for a while.
    async fn stays(&self, node: &str) {
        let before = self.says(node).await;
        tokio::time::sleep(GRACE * 3).await;
        assert_eq!(self.says(node).await, before);
    }
}

/// As a person sees it.
fn kubectl_get(node: &str) -> String {
    let program = std::env::var_os("KUBECTL").map_or("kubectl".into(), PathBuf::from);
    let output = Command::new(program).args(["get", "tetragonnodes", node, "-o", "wide"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_agent_that_is_gone_is_not_ready() {
    alone(async |bed| {
        let operator = Operator::start(&bed.client);
        let policy = bed.policy("lost");
        let agents = Agents::of(bed, &policy, 3).await;
        let [killed, stopped, outside] = [0, 1, 2].map(|i| agents.nodes[i].clone());
        let place = Place::of(bed).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(3).await;
        for node in [&killed, &stopped] {
            place.pod(node).await;
        }
        for node in &agents.nodes {
            place.report(node, "True", "Running").await;
        }
        place.stays(&killed).await;

        place.kill(&killed).await;
        let (message, _) = place.until(&killed, "Unknown", "AgentStatusUnknown").await;
        assert!(message.starts_with("no pod of the agent is ready on the node"), "{message}");
        let table = kubectl_get(&killed);
        assert!(table.contains("READY") && table.contains("Unknown"), "{table}");
        let status = policy.until("pending", |s| is(s, "Ready") == ("False", "AgentNotReady")).await;
        assert_eq!(status.failures[0].sample_nodes, std::slice::from_ref(&killed));
        let object = place.objects.get(&killed).await.unwrap();
        let said = object.status.as_ref().unwrap();
        assert_eq!((said.policies.len(), said.kernel.as_str()), (1, "6.12.0"), "what the agent said stays");
        place.stays(&killed).await;

        // An operator that has seen no pod there reads it.
        operator.kill().await;
        let operator = Operator::start(&bed.client);
        operator.index.synced().await;
        tokio::time::sleep(GRACE).await;
        policy.until("still pending", |s| is(s, "Ready") == ("False", "AgentNotReady")).await;
        place.stays(&killed).await;

        // The agent comes back, and what the operator wrote is the agent's again.
        place.pod(&killed).await;
        place.report(&killed, "True", "Running").await;
        policy.until_loaded(3).await;
        place.stays(&killed).await;
        assert_eq!(place.says(&killed).await.0, "True");

        // One that says itself that it stops goes on saying so; one outside of pods is believed.
        place.report(&stopped, "False", "AgentStopped").await;
        place.kill(&stopped).await;
        place.stays(&stopped).await;
        assert_eq!(place.says(&stopped).await.1, "AgentStopped");
        assert_eq!(place.says(&outside).await.0, "True");

        // It is not ready, and reports: the two do not write in turn all the time.
        place.ready(&killed, "False").await;
        let begin = operator.metrics.node_writes.get();
        for _ in 0..10 {
            tokio::time::sleep(GRACE / 2).await;
            if place.says(&killed).await.0 == "Unknown" {
                place.report(&killed, "True", "Running").await;
            }
        }
        let writes = operator.metrics.node_writes.get() - begin;
        assert!((1..=3).contains(&writes), "{writes} writes");
        place.kill(&killed).await;
        operator.kill().await;
    });
}

#[test]
fn a_node_that_is_gone_has_no_ready_agent() {
    alone(async |bed| {
        let operator = Operator::start(&bed.client);
        let place = Place::of(bed).await;
        let name = bed.name("lost-nowhere");
        let object: Value = json!({"apiVersion": "tetragon-rs.dev/v1alpha1", "kind": "TetragonNode",
            "metadata": {"name": name, "labels": {MARK: "true"}}, "spec": {}});
        let params = PatchParams::apply("tetragon-agent").force();
        place.objects.patch(&name, &params, &Patch::Apply(&object)).await.unwrap();
        let status = json!({"apiVersion": "tetragon-rs.dev/v1alpha1", "kind": "TetragonNode", "metadata": {"name": name},
            "status": {"kernel": "6.12.0"}});
        place.objects.patch_status(&name, &params, &Patch::Apply(&status)).await.unwrap();
        place.report(&name, "True", "Running").await;
        let (message, _) = place.until(&name, "Unknown", "AgentStatusUnknown").await;
        assert!(message.starts_with("there is no Node of this name"), "{message}");
        place.objects.delete(&name, &DeleteParams::default()).await.unwrap();
        assert!(operator.metrics.node_writes.get() >= 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(place.bed.nodes().get_opt(&name).await.unwrap().is_none());
        operator.kill().await;
    });
}
