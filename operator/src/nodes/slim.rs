//! Objects as the index reads them: the fields that it keeps, and nothing else. What else an object
//! holds (managed fields, a pod's spec, hooks and counters of policies) is not even allocated.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod as KubePod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::ClusterResourceScope;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};
use tetragon_api::reason;
use tetragon_api::status::{MAX_MESSAGE, NodeCapabilities, NodePolicyState, TetragonNode as Full};

use super::model::{Agent, PolicyKey, Said};
use super::reports::{Report, Selected};
use crate::text;

/// Reads the few fields of the metadata that a watch needs.
fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        deletion_timestamp: Option<Time>,
    }
    let Slim { name, namespace, uid, resource_version, deletion_timestamp } =
        Slim::deserialize(deserializer)?;
    Ok(ObjectMeta { name, namespace, uid, resource_version, deletion_timestamp, ..ObjectMeta::default() })
}

/// Makes a type that has few of an object's fields the object's type for a client.
macro_rules! resource {
    ($slim:ident as $full:ident, $scope:ident) => {
        impl Resource for $slim {
            type DynamicType = ();
            type Scope = $scope;
            fn kind((): &()) -> Cow<'_, str> {
                $full::kind(&())
            }
            fn group((): &()) -> Cow<'_, str> {
                $full::group(&())
            }
            fn version((): &()) -> Cow<'_, str> {
                $full::version(&())
            }
            fn plural((): &()) -> Cow<'_, str> {
                $full::plural(&())
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use resource;

resource!(TetragonNode as Full, ClusterResourceScope);
resource!(Pod as KubePod, NamespaceResourceScope);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|c| c.r#type == "Ready")
}

/// A TetragonNode.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TetragonNode {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    kernel: String,
    capabilities: NodeCapabilities,
    conditions: Vec<Condition>,
    policies: Vec<Policy>,
    loaded: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    name: String,
    namespace: Option<String>,
    plan: String,
    /// A text: a state that a newer agent has must not hide the rest of the list.
    state: String,
    mode: String,
    reason: String,
    message: String,
    running: Option<String>,
    pods: Option<i64>,
    containers: Option<i64>,
}

impl TetragonNode {
    /// The node's name, what it says of its agent's life, its agent, and what it says of each policy.
    pub(super) fn take_apart(self) -> (String, Said, Agent, Vec<(PolicyKey, Report)>) {
        let NodeStatus { kernel, capabilities, conditions, policies, loaded } = self.status;
        let mut agent = Agent { kernel, capabilities, ..Agent::default() };
        let is = |word: &str| ready(&conditions).filter(|c| c.status == word);
        let said = Said {
            version: self.metadata.resource_version.unwrap_or_default(),
            stopped: is("False").is_some_and(|ready| ready.reason == reason::AGENT_STOPPED),
            lost: is("Unknown").is_some(),
        };
        if let Some(ready) = is("False") {
            agent.stopped = said.stopped;
            agent.reason = text::reason(&ready.reason);
            agent.message = text::cut(&ready.message, MAX_MESSAGE);
        }
        let in_short = loaded.into_iter().flat_map(|(mode, policies)| {
            policies.into_iter().map(move |(key, plan)| in_short(&key, plan, mode.clone()))
        });
        let policies = policies.into_iter().map(Policy::report).chain(in_short).collect();
        (self.metadata.name.unwrap_or_default(), said, agent, policies)
    }
}

/// What a node tells in short: the wanted plan runs. `key`: name, or namespace/name.
fn in_short(key: &str, plan: String, mode: String) -> (PolicyKey, Report) {
    let (namespace, name) = key.split_once('/').map_or((None, key), |(space, name)| (Some(space), name));
    let key = PolicyKey { namespace: namespace.map(str::to_owned), name: name.to_owned() };
    (key, Report { plan, state: NodePolicyState::Loaded, mode, ..Report::default() })
}

impl Policy {
    fn report(self) -> (PolicyKey, Report) {
        let state = match self.state.as_str() {
            "loaded" => NodePolicyState::Loaded,
            "failed" => NodePolicyState::Failed,
            "skipped" => NodePolicyState::Skipped,
            _ => NodePolicyState::Pending,
        };
        let report = Report {
            plan: self.plan,
            state,
            mode: self.mode,
            reason: if self.reason.is_empty() { self.reason } else { text::reason(&self.reason) },
            message: text::cut(&self.message, MAX_MESSAGE),
            running: self.running,
            selected: self.pods.map(|pods| Selected {
                pods: count(pods),
                containers: count(self.containers.unwrap_or_default()),
            }),
        };
        (PolicyKey { namespace: self.namespace, name: self.name }, report)
    }
}

/// A number that makes no sense must not hide the rest of the list.
fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// A pod of the agent.
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
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    conditions: Vec<Condition>,
}

impl Pod {
    pub(super) fn node(&self) -> &str {
        &self.spec.node_name
    }

    pub(super) fn ready(&self) -> bool {
        self.metadata.deletion_timestamp.is_none()
            && ready(&self.status.conditions).is_some_and(|c| c.status == "True")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_taken_apart() {
        let object: TetragonNode = serde_json::from_value(serde_json::json!({
            "apiVersion": "tetragon-rs.dev/v1alpha1",
            "kind": "TetragonNode",
            "metadata": {"name": "a", "resourceVersion": "7", "managedFields": [{"manager": "x"}]},
            "status": {
                "kernel": "6.1.0",
                "capabilities": {"btf": true, "aNewOne": true},
                "conditions": [{"type": "Ready", "status": "False", "reason": "AgentStopped", "message": "m",
                    "lastTransitionTime": "2037-01-01T00:00:00Z"}],
                "policies": [
                    {"name": "p", "plan": "x", "state": "loaded", "mode": "enforce", "pods": 2, "containers": 3,
                        "hooks": [{"function": "f"}]},
                    {"name": "q", "namespace": "n", "plan": "y", "state": "halfway", "reason": "no word", "pods": -1},
                ],
                "loaded": {"monitor": {"r": "z", "n/r": "zz"}},
            },
        }))
        .unwrap();
        assert!(object.metadata.managed_fields.is_none());
        let (name, said, agent, policies) = object.take_apart();
        assert_eq!((name.as_str(), said), ("a", Said { version: "7".into(), stopped: true, lost: false }));
        assert!(agent.stopped && agent.capabilities.btf && agent.reason == "AgentStopped");
        let key = |namespace: Option<&str>, name: &str| PolicyKey {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let loaded = Report {
            plan: "x".into(),
            state: NodePolicyState::Loaded,
            mode: "enforce".into(),
            selected: Some(Selected { pods: 2, containers: 3 }),
            ..Report::default()
        };
        let odd = Report {
            plan: "y".into(),
            reason: "Unknown".into(),
            selected: Some(Selected::default()),
            ..Report::default()
        };
        let short = |plan: &str| Report {
            plan: plan.into(),
            state: NodePolicyState::Loaded,
            mode: "monitor".into(),
            ..Report::default()
        };
        let expected = [
            (key(None, "p"), loaded),
            (key(Some("n"), "q"), odd),
            (key(Some("n"), "r"), short("zz")),
            (key(None, "r"), short("z")),
        ];
        assert_eq!(policies, expected);
    }

    #[test]
    fn a_pod_that_is_deleted_is_not_ready() {
        let pod = |extra: serde_json::Value| -> Pod {
            let mut object = serde_json::json!({
                "metadata": {"name": "p", "namespace": "n"},
                "spec": {"nodeName": "a", "containers": []},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            });
            object["metadata"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value(object).unwrap()
        };
        assert!(pod(serde_json::json!({})).ready());
        assert!(!pod(serde_json::json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})).ready());
        assert_eq!(pod(serde_json::json!({})).node(), "a");
    }
}
