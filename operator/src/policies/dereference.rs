//! What a reconciliation is about, read off the objects that are at hand (no client required).

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, DynamicObject};
use tetragon_api::policy::{API_VERSION, KIND, KIND_NAMESPACED};
use tetragon_api::published::PolicyRef;
use tetragon_api::status::TracingPolicyStatus;

use super::status;
use crate::nodes::{PolicyKey, Scope};

/// The kind of policies of a scope.
pub fn kind(scope: Scope) -> &'static str {
    match scope {
        Scope::Cluster => KIND,
        Scope::Namespaced => KIND_NAMESPACED,
    }
}

/// The resource of policies of a scope.
pub fn resource(scope: Scope) -> ApiResource {
    let plural = match scope {
        Scope::Cluster => "tracingpolicies",
        Scope::Namespaced => "tracingpoliciesnamespaced",
    };
    ApiResource {
        group: "cilium.io".into(),
        version: "v1alpha1".into(),
        api_version: API_VERSION.into(),
        kind: kind(scope).into(),
        plural: plural.into(),
    }
}

/// The policy as it stands.
#[derive(Clone, Debug)]
pub struct Subject {
    /// How nodes name it.
    pub key: PolicyKey,
    /// How plans name it.
    pub policy: PolicyRef,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Its status, as far as it is the operator's.
    pub status: TracingPolicyStatus,
}

impl Subject {
    /// Reads a policy. `None`: it is being deleted.
    pub fn of(object: &DynamicObject, scope: Scope) -> Option<Subject> {
        let meta = &object.metadata;
        if meta.deletion_timestamp.is_some() {
            return None;
        }
        let namespace = meta.namespace.clone().filter(|_| scope == Scope::Namespaced);
        let name = meta.name.clone().unwrap_or_default();
        // A status that is not of this form is written anew.
        let status = object.data.get("status").cloned().map(serde_json::from_value);
        let mut status: TracingPolicyStatus = status.and_then(Result::ok).unwrap_or_default();
        status::own_conditions(&mut status);
        Some(Subject {
            key: PolicyKey { namespace: namespace.clone(), name: name.clone() },
            policy: PolicyRef {
                kind: kind(scope).into(),
                name,
                namespace,
                uid: meta.uid.clone().unwrap_or_default(),
            },
            generation: meta.generation.unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            status,
        })
    }

    /// Plans are owned by it, where Kubernetes allows that: a namespaced object owns nothing in another
    /// namespace.
    pub fn owner(&self) -> Option<OwnerReference> {
        self.policy.namespace.is_none().then(|| OwnerReference {
            api_version: API_VERSION.into(),
            kind: self.policy.kind.clone(),
            name: self.policy.name.clone(),
            uid: self.policy.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        })
    }

    /// What events are about.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(API_VERSION.into()),
            kind: Some(self.policy.kind.clone()),
            name: Some(self.policy.name.clone()),
            namespace: self.policy.namespace.clone(),
            uid: Some(self.policy.uid.clone()),
            ..ObjectReference::default()
        }
    }
}
