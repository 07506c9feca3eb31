//! A policy object to a version of it, or to what is wrong with it. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tetragon_api::plan::Plan;
use tetragon_api::policy::API_VERSION;
use tetragon_api::published::{PlanMeta, PolicyRef, PublishedError, encode};
use tetragon_api::reason;
use tetragon_api::status::{MAX_MESSAGE, PlanStatus};
use tetragon_compiler::{Diagnostic, Severity};

use super::rollout::{self, Ask};
use crate::text;

/// A policy's plan, as it is published.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The plan.
    pub plan: Plan,
    /// Generation of the policy that it was compiled from.
    pub revision: i64,
    /// What status says of it.
    pub status: PlanStatus,
}

impl Version {
    /// Checks that the plan can be published, too.
    pub fn new(plan: Plan, policy: &PolicyRef, revision: i64) -> Result<Version, PublishedError> {
        let digest = plan.digest();
        let meta = PlanMeta::new(policy.clone(), digest.clone(), revision);
        encode(&plan, &meta)?;
        // It serialises: `encode` did it.
        let size = serde_json::to_string(&plan).map_or(0, |body| body.len());
        let hooks = i32::try_from(plan.hooks.len()).unwrap_or(i32::MAX);
        let status = PlanStatus {
            name: meta.object_name(),
            digest,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            hooks,
        };
        Ok(Version { plan, revision, status })
    }

    /// What its ConfigMap says, for all nodes.
    pub fn meta(&self, policy: &PolicyRef) -> PlanMeta {
        PlanMeta::new(policy.clone(), self.status.digest.clone(), self.revision)
    }

    /// Its ConfigMap.
    pub fn encode(&self, meta: &PlanMeta) -> Result<ConfigMap, PublishedError> {
        encode(&self.plan, meta)
    }
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A word.
    pub reason: &'static str,
    /// The findings, one a line.
    pub message: String,
}

/// What became of a policy object.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// The version, if there is one.
    pub version: Result<Arc<Version>, Fault>,
    /// What the annotation asks for, with its text; `None`: everything at once.
    pub rollout: Result<Option<(String, Ask)>, Fault>,
    /// What the compiler warns of, one finding each.
    pub warnings: Vec<String>,
}

impl Compiled {
    /// Why the object is not published as it stands.
    pub fn fault(&self) -> Option<&Fault> {
        self.version.as_ref().err().or(self.rollout.as_ref().err())
    }
}

/// Compiles a policy object.
pub fn compile(object: &DynamicObject, policy: &PolicyRef) -> Compiled {
    let revision = object.metadata.generation.unwrap_or_default();
    let mut found = tetragon_compiler::compile_value(&document(object, policy));
    let lines = |severity: &dyn Fn(Severity) -> bool| -> Vec<String> {
        let some = found.diagnostics.iter().filter(|d| severity(d.severity));
        some.map(Diagnostic::one_line).collect()
    };
    let errors = lines(&|s| s == Severity::Error);
    let warnings = lines(&|s| s != Severity::Error);
    let plan = found.policies.pop().and_then(|p| p.plan);
    let version = match plan {
        Some(plan) => Version::new(plan, policy, revision)
            .map(Arc::new)
            .map_err(|e| Fault { reason: e.reason(), message: text::cut(&e.to_string(), MAX_MESSAGE) }),
        None => Err(Fault { reason: reason::INVALID, message: join(&errors) }),
    };
    Compiled { version, rollout: rollout(object), warnings }
}

fn rollout(object: &DynamicObject) -> Result<Option<(String, Ask)>, Fault> {
    let Some(text) = object.metadata.annotations.as_ref().and_then(|a| a.get(rollout::ANNOTATION)) else {
        return Ok(None);
    };
    let asked = rollout::parse(text).map_err(|e| Fault {
        reason: reason::ROLLOUT_INVALID,
        message: text::cut(&format!("metadata.annotations[{}]: {e}", rollout::ANNOTATION), MAX_MESSAGE),
    })?;
    Ok(asked.map(|ask| (text.clone(), ask)))
}

/// What the compiler reads. The API server's own fields are none of its business.
fn document(object: &DynamicObject, policy: &PolicyRef) -> Value {
    let mut metadata = json!({"name": policy.name});
    if let Some(namespace) = &policy.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    let mut document = json!({"apiVersion": API_VERSION, "kind": policy.kind, "metadata": metadata});
    if let Some(spec) = object.data.get("spec") {
        document["spec"] = spec.clone();
    }
    document
}

/// One finding a line, as many as fit; the rest is counted.
fn join(lines: &[String]) -> String {
    const REST: usize = "\n(and 1000 more findings)".len();
    let mut message = String::new();
    for (i, line) in lines.iter().enumerate() {
        let room = MAX_MESSAGE - REST - message.len();
        if i > 0 && line.len() + 1 > room {
            message.push_str(&format!("\n(and {} more findings)", lines.len() - i));
            return message;
        }
        if i > 0 {
            message.push('\n');
        }
        message.push_str(&text::cut(line, room.saturating_sub(1)));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::ApiResource;
    use tetragon_api::policy::{KIND, KIND_NAMESPACED};

    fn object(spec: &Value, rollout: Option<&str>) -> DynamicObject {
        let resource = ApiResource {
            group: "cilium.io".into(),
            version: "v1alpha1".into(),
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            plural: "tracingpolicies".into(),
        };
        let mut object =
            DynamicObject::new("p", &resource).data(json!({"spec": spec, "status": {"mode": "x"}}));
        object.metadata.generation = Some(3);
        object.metadata.annotations =
            rollout.map(|r| [(rollout::ANNOTATION.to_owned(), r.to_owned())].into());
        object
    }

    fn policy() -> PolicyRef {
        PolicyRef::cluster_wide("p", "u")
    }

    #[test]
    fn a_good_policy_has_a_version() {
        let spec = json!({"kprobes": [{"call": "security_file_open", "syscall": false}]});
        let compiled = compile(&object(&spec, Some("soak=1m")), &policy());
        let version = compiled.version.as_ref().unwrap();
        assert_eq!((version.revision, version.status.hooks), (3, 1));
        assert_eq!(version.status.name, version.meta(&policy()).object_name());
        assert_eq!(version.status.size as usize, serde_json::to_string(&version.plan).unwrap().len());
        assert_eq!(compiled.rollout.as_ref().unwrap().as_ref().unwrap().0, "soak=1m");
        assert_eq!(compiled.fault(), None);
    }

    #[test]
    fn a_namespaced_policy_is_for_its_namespace() {
        let spec = json!({"kprobes": [{"call": "security_file_open", "syscall": false}]});
        let of = |namespace: &str| {
            let mut policy = policy();
            (policy.kind, policy.namespace) = (KIND_NAMESPACED.into(), Some(namespace.into()));
            compile(&object(&spec, None), &policy).version.unwrap()
        };
        let (a, b) = (of("a"), of("b"));
        let pods = a.plan.workloads.as_ref().and_then(|w| w.pods.as_ref()).unwrap();
        assert_eq!((a.plan.namespace.as_deref(), pods.namespace.as_deref()), (Some("a"), Some("a")));
        assert_ne!(a.status.digest, b.status.digest);
    }

    #[test]
    fn a_bad_one_says_all_that_is_wrong() {
        let spec =
            json!({"kprobes": [{"call": "security_file_open"}, {"call": "x", "syscall": false, "argz": []}]});
        let compiled = compile(&object(&spec, None), &policy());
        let fault = compiled.fault().unwrap();
        assert_eq!(fault.reason, "Invalid");
        assert!(
            fault.message.contains("spec.kprobes[0].call") && fault.message.contains("argz"),
            "{fault:?}"
        );
        let spec = json!({"kprobes": [{"call": "security_file_open", "syscall": false}]});
        let compiled = compile(&object(&spec, Some("soak=1")), &policy());
        assert_eq!(compiled.fault().unwrap().reason, "RolloutInvalid");
        assert!(compiled.version.is_ok());
    }

    #[test]
    fn findings_that_do_not_fit_are_counted() {
        let lines: Vec<String> = (0..100).map(|i| format!("error {i}: {}", "x".repeat(100))).collect();
        let message = join(&lines);
        assert!(message.len() <= MAX_MESSAGE, "{}", message.len());
        assert!(message.ends_with("\n(and 91 more findings)"), "{message}");
        let one = join(&["y".repeat(5000)]);
        assert!(one.len() <= MAX_MESSAGE && one.ends_with('…'));
    }
}
