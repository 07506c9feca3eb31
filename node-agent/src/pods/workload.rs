//! The workload of a pod: what its owner made it for, as far as the pod itself tells.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Name and kind. The owner's owner is not asked for: what Deployments, CronJobs and OpenShift's
/// DeploymentConfigs make is known by how they name it. A pod that nobody generated is its own workload.
pub fn workload(meta: &ObjectMeta) -> (String, String) {
    let own = || (meta.name.clone().unwrap_or_default(), "Pod".to_owned());
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
    if name.is_empty() { own() } else { (name.to_owned(), kind.to_owned()) }
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
            let meta = json!({
                "name": format!("{generate}x7k2p"), "generateName": generate, "labels": labels,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "1"},
                    {"apiVersion": "v1", "kind": kind, "name": owner, "uid": "2", "controller": true},
                ],
            });
            workload(&serde_json::from_value(meta).unwrap())
        };
        for (generate, kind, owner, labels, name, expected) in [
            (
                "web-5d4f8b7c9-",
                "ReplicaSet",
                "web-5d4f8b7c9",
                json!({"pod-template-hash": "5d4f8b7c9"}),
                "web",
                "Deployment",
            ),
            ("plain-", "ReplicaSet", "plain", json!({}), "plain", "ReplicaSet"),
            ("agent-", "DaemonSet", "agent", json!({}), "agent", "DaemonSet"),
            ("db-", "StatefulSet", "db", json!({}), "db", "StatefulSet"),
            ("backup-29384756-", "Job", "backup-29384756", json!({}), "backup", "CronJob"),
            ("once-123-", "Job", "once-123", json!({}), "once-123", "Job"),
            (
                "shop-3-",
                "ReplicationController",
                "shop-3",
                json!({"deploymentconfig": "shop"}),
                "shop",
                "DeploymentConfig",
            ),
            ("rc-", "ReplicationController", "rc", json!({}), "rc", "ReplicationController"),
        ] {
            assert_eq!(
                owned(generate, kind, owner, labels),
                (name.to_owned(), expected.to_owned()),
                "{owner}"
            );
        }
        // Made by hand, or by a node from a file, whose mirror is owned by the node.
        assert_eq!(owned("", "Node", "n1", json!({})), ("x7k2p".to_owned(), "Pod".to_owned()));
    }
}
