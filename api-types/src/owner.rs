//! The workload of a pod: what its owner made it for, as far as the pod itself tells.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The workload of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// `Deployment`.
    pub kind: String,
    /// `apps/v1`: that of the pod's owner, as Tetragon has it.
    pub api_version: String,
}

/// The owner's owner is not asked for: what Deployments, CronJobs and OpenShift's DeploymentConfigs make is
/// known by how they name it. A pod that nobody generated is its own workload.
pub fn workload(meta: &ObjectMeta) -> Workload {
    let own = || Workload {
        name: meta.name.clone().unwrap_or_default(),
        kind: "Pod".to_owned(),
        api_version: "v1".to_owned(),
    };
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let generated = meta.generate_name.as_deref().is_some_and(|name| !name.is_empty());
    let Some(owner) = owners.iter().find(|o| o.controller == Some(true)).filter(|_| generated) else {
        return own();
    };
    let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).filter(|v| !v.is_empty());
    let (name, kind) = match owner.kind.as_str() {
        "ReplicaSet" => label("pod-template-hash")
            .and_then(|hash| owner.name.strip_suffix(hash.as_str()))
            .map(|name| (name.strip_suffix('-').unwrap_or(name), "Deployment")),
        "ReplicationController" => label("deploymentconfig").map(|name| (name.as_str(), "DeploymentConfig")),
        "Job" => cron_job(&owner.name).map(|name| (name, "CronJob")),
        _ => None,
    }
    .unwrap_or((&owner.name, &owner.kind));
    if name.is_empty() {
        return own();
    }
    // Whoever reads PodInfo objects of Tetragon's operator finds this for CronJobs.
    let api_version = if kind == "CronJob" { "batch/v1beta1" } else { &owner.api_version };
    Workload { name: name.to_owned(), kind: kind.to_owned(), api_version: api_version.to_owned() }
}

/// A CronJob names its Jobs by the minute: `NAME-29384756`.
fn cron_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn workloads_by_owner() {
        let owned = |generate: &str, kind: &str, owner: &str, labels: serde_json::Value| {
            let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
            let meta = json!({
                "name": format!("{generate}x7k2p"), "generateName": generate, "labels": labels,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "1"},
                    {"apiVersion": group, "kind": kind, "name": owner, "uid": "2", "controller": true},
                ],
            });
            let Workload { name, kind, api_version } = workload(&serde_json::from_value(meta).unwrap());
            (name, kind, api_version)
        };
        for (generate, kind, owner, labels, name, (expected, group)) in [
            (
                "web-5d4f8b7c9-",
                "ReplicaSet",
                "web-5d4f8b7c9",
                json!({"pod-template-hash": "5d4f8b7c9"}),
                "web",
                ("Deployment", "apps/v1"),
            ),
            ("plain-", "ReplicaSet", "plain", json!({}), "plain", ("ReplicaSet", "apps/v1")),
            ("agent-", "DaemonSet", "agent", json!({}), "agent", ("DaemonSet", "apps/v1")),
            ("db-", "StatefulSet", "db", json!({}), "db", ("StatefulSet", "apps/v1")),
            ("backup-29384756-", "Job", "backup-29384756", json!({}), "backup", ("CronJob", "batch/v1beta1")),
            ("once-123-", "Job", "once-123", json!({}), "once-123", ("Job", "batch/v1")),
            (
                "shop-3-",
                "ReplicationController",
                "shop-3",
                json!({"deploymentconfig": "shop"}),
                "shop",
                ("DeploymentConfig", "apps/v1"),
            ),
            ("rc-", "ReplicationController", "rc", json!({}), "rc", ("ReplicationController", "apps/v1")),
        ] {
            assert_eq!(
                owned(generate, kind, owner, labels),
                (name.to_owned(), expected.to_owned(), group.to_owned()),
                "{owner}"
            );
        }
        // Made by hand, or by a node from a file, whose mirror is owned by the node.
        assert_eq!(
            owned("", "Node", "n1", json!({})),
            ("x7k2p".to_owned(), "Pod".to_owned(), "v1".to_owned())
        );
    }
}
