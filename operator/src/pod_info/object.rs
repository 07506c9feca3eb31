//! A pod and a PodInfo as they are read, and what a PodInfo says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use k8s_openapi::api::core::v1::Pod as KubePod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tetragon_api::owner::{Workload, workload};
use tetragon_api::policy::API_VERSION;
use tetragon_api::status::{PodInfoSpec, PodInfoStatus, PodIp, WorkloadObject, WorkloadType};

use super::book::Key;
use crate::nodes::slim::resource;

/// Reads the metadata without what is not needed: managed fields are larger than all the rest.
fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        deletion_timestamp: Option<Time>,
        generate_name: Option<String>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let meta = Slim::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        deletion_timestamp: meta.deletion_timestamp,
        generate_name: meta.generate_name,
        labels: meta.labels,
        annotations: meta.annotations,
        owner_references: meta.owner_references,
        ..ObjectMeta::default()
    })
}

/// A pod.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pod {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    #[serde(rename = "podIP")]
    pod_ip: String,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<Ip>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Ip {
    ip: String,
}

resource!(Pod as KubePod, NamespaceResourceScope);

/// A PodInfo.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodInfo {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodInfoSpec,
    #[serde(default)]
    status: PodInfoStatus,
    #[serde(default)]
    workload_object: WorkloadObject,
    #[serde(default)]
    workload_type: WorkloadType,
}

const KIND: &str = "PodInfo";

impl Resource for PodInfo {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;
    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }
    fn group((): &()) -> Cow<'_, str> {
        API_VERSION.split('/').next().unwrap_or_default().into()
    }
    fn version((): &()) -> Cow<'_, str> {
        API_VERSION.split('/').nth(1).unwrap_or_default().into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "podinfo".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What a PodInfo says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owners: Vec<OwnerReference>,
    spec: PodInfoSpec,
    status: PodInfoStatus,
    workload_object: WorkloadObject,
    workload_type: WorkloadType,
}

impl Content {
    /// What is to be said of a pod; `None`: nothing now. A pod has no address before it runs, and one that is
    /// being deleted takes its PodInfo along: making that anew would keep it from going.
    pub(super) fn of_pod(pod: &Pod) -> Option<Content> {
        let Pod { metadata, spec, status } = pod;
        let uid = metadata.uid.clone().filter(|_| metadata.deletion_timestamp.is_none())?;
        if spec.node_name.is_empty() || status.pod_ip.is_empty() || status.pod_ips.is_empty() {
            return None;
        }
        let Workload { name, kind, api_version } = workload(metadata);
        Some(Content {
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
            owners: vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Pod".into(),
                name: metadata.name.clone()?,
                uid,
                controller: Some(true),
                block_owner_deletion: Some(true),
            }],
            spec: PodInfoSpec { host_network: spec.host_network, node_name: spec.node_name.clone() },
            status: PodInfoStatus {
                pod_ip: status.pod_ip.clone(),
                pod_ips: status.pod_ips.iter().map(|i| PodIp { ip: i.ip.clone() }).collect(),
            },
            workload_object: WorkloadObject {
                name,
                namespace: metadata.namespace.clone().unwrap_or_default(),
            },
            workload_type: WorkloadType { api_version, kind },
        })
    }

    /// What an object says.
    pub(super) fn of_info(info: PodInfo) -> Content {
        let PodInfo { metadata, spec, status, workload_object, workload_type } = info;
        Content {
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            owners: metadata.owner_references.unwrap_or_default(),
            spec,
            status,
            workload_object,
            workload_type,
        }
    }

    /// A number that differs, as good as certainly, from that of any other content.
    pub(super) fn number(&self, state: &RandomState) -> u64 {
        let owner = |o: &OwnerReference| {
            let OwnerReference { api_version, kind, name, uid, controller, block_owner_deletion } = o.clone();
            (api_version, kind, name, uid, controller, block_owner_deletion)
        };
        let owners: Vec<_> = self.owners.iter().map(owner).collect();
        let workload = (&self.workload_object, &self.workload_type);
        state.hash_one((&self.labels, &self.annotations, owners, &self.spec, &self.status, workload))
    }

    /// The object to apply.
    pub(super) fn object(&self, key: &Key) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": self.labels,
                "annotations": self.annotations,
                "ownerReferences": self.owners,
            },
            "spec": self.spec,
            "status": self.status,
            "workloadObject": self.workload_object,
            "workloadType": self.workload_type,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "web-5d4f8b7c9-x7k2p", "generateName": "web-5d4f8b7c9-", "namespace": "shop", "uid": "u-1",
                "labels": {"app": "web", "pod-template-hash": "5d4f8b7c9"}, "annotations": {"note": "a"},
                "managedFields": [{"manager": "kubelet"}],
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8b7c9", "uid": "r",
                    "controller": true, "blockOwnerDeletion": true}],
            },
            "spec": {"nodeName": "node-1", "containers": []},
            "status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]},
        });
        change(&mut object);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_said_of_a_pod() {
        let pod = pod(|_| {});
        assert!(pod.metadata.managed_fields.is_none());
        let key = Key::of(&pod);
        let object = Content::of_pod(&pod).unwrap().object(&key);
        let expected = json!({
            "apiVersion": "cilium.io/v1alpha1",
            "kind": "PodInfo",
            "metadata": {
                "name": "web-5d4f8b7c9-x7k2p", "namespace": "shop",
                "labels": {"app": "web", "pod-template-hash": "5d4f8b7c9"}, "annotations": {"note": "a"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web-5d4f8b7c9-x7k2p", "uid": "u-1",
                    "controller": true, "blockOwnerDeletion": true}],
            },
            "spec": {"hostNetwork": false, "nodeName": "node-1"},
            "status": {"podIP": "10.0.0.7", "podIPs": [{"IP": "10.0.0.7"}, {"IP": "fd00::7"}]},
            "workloadObject": {"name": "web", "namespace": "shop"},
            "workloadType": {"apiVersion": "apps/v1", "kind": "Deployment"},
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn nothing_is_said_of_a_pod_without_an_address_or_that_goes() {
        let none = |change: fn(&mut Value)| Content::of_pod(&pod(change)).is_none();
        assert!(none(|o| o["status"] = json!({})));
        assert!(none(|o| drop(o["status"].as_object_mut().unwrap().remove("podIPs"))));
        assert!(none(|o| drop(o["spec"].as_object_mut().unwrap().remove("nodeName"))));
        assert!(none(|o| o["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")));
    }

    /// What is written is read back as the same, and anything else is not.
    #[test]
    fn numbers_tell_contents_apart() {
        let state = RandomState::new();
        let of = |change: fn(&mut Value)| Content::of_pod(&pod(change)).unwrap();
        let wanted = of(|_| {});
        let written = wanted.object(&Key::of(&pod(|_| {})));
        let read = Content::of_info(serde_json::from_value(written).unwrap());
        assert_eq!((&read, read.number(&state)), (&wanted, wanted.number(&state)));
        assert_eq!(of(|o| o["status"]["phase"] = json!("Failed")), wanted);
        let others = [
            of(|o| o["metadata"]["uid"] = json!("u-2")),
            of(|o| o["metadata"]["labels"]["app"] = json!("other")),
            of(|o| drop(o["metadata"].as_object_mut().unwrap().remove("annotations"))),
            of(|o| o["spec"]["hostNetwork"] = json!(true)),
            of(|o| o["spec"]["nodeName"] = json!("node-2")),
            of(|o| o["status"]["podIP"] = json!("10.0.0.8")),
            of(|o| o["status"]["podIPs"] = json!([{"ip": "10.0.0.7"}])),
            of(|o| o["metadata"]["generateName"] = json!("")),
        ];
        for other in others {
            assert_ne!(other.number(&state), wanted.number(&state), "{other:?}");
        }
    }
}
