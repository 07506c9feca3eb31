//! Definitions: made, brought up to date from Tetragon's own, and left alone when they are newer.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tetragon_api::crd::CRD_VERSION_ANNOTATION;
use tetragon_operator::nodes::Scope;
use tetragon_operator::platform::crds::Install;
use tetragon_operator::policies::dereference::resource;

use crate::bed::{Bed, eventually, gone, test};

const ALL: Install = Install { policies: true, pod_info: true, force: false };
const POLICIES: &str = "tracingpolicies.cilium.io";

fn definitions(bed: &Bed) -> Api<CustomResourceDefinition> {
    bed.all()
}

/// In the manner of Tetragon's: no status, one column, a label with the schema's version.
fn tetragons() -> CustomResourceDefinition {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": POLICIES, "labels": {"io.cilium.k8s.crd.schema.version": "1.7.8"}},
        "spec": {
            "group": "cilium.io",
            "scope": "Cluster",
            "names": {
                "kind": "TracingPolicy", "listKind": "TracingPolicyList", "plural": "tracingpolicies",
                "singular": "tracingpolicy", "shortNames": ["tgtp"],
            },
            "conversion": {"strategy": "None"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "additionalPrinterColumns": [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object", "required": ["metadata", "spec"],
                    "properties": {
                        "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                        "metadata": {"type": "object"}, "spec": any,
                    },
                }},
            }],
        },
    });
    serde_json::from_value(definition).unwrap()
}

fn spec() -> Value {
    json!({"kprobes": [{
        "call": "security_file_open", "syscall": false, "message": "opened",
        "args": [{"index": 0, "type": "file", "label": "what"}],
        "selectors": [{
            "matchBinaries": [{"operator": "NotIn", "values": ["/usr/bin/true"]}],
            "matchArgs": [{"index": 0, "operator": "Prefix", "values": ["/etc/ssh/"]}],
            "matchActions": [{"action": "Post", "rateLimit": "1m"}],
        }],
    }]})
}

#[test]
fn an_upgrade_from_tetragons_definitions_keeps_policies() {
    test(async |bed| {
        let definitions = definitions(&bed);
        gone(&definitions, POLICIES).await;
        // As its operator does: an update by that name.
        let creator = PostParams { field_manager: Some("tetragon-operator".into()), ..PostParams::default() };
        definitions.create(&creator, &tetragons()).await.unwrap();
        await_condition(definitions.clone(), POLICIES, is_crd_established()).await.unwrap();
        let resource = resource(Scope::Cluster);
        let policies: Api<DynamicObject> = Api::all_with(bed.client.clone(), &resource);
        let policy = DynamicObject::new("crds-kept", &resource).data(json!({"spec": spec()}));
        let made = eventually("the old kind takes policies", async || {
            policies.create(&PostParams::default(), &policy).await
        })
        .await;

        ALL.all(&bed.client).await.unwrap();

        let definition = definitions.get(POLICIES).await.unwrap();
        let version = &definition.spec.versions[0];
        assert!(version.subresources.as_ref().is_some_and(|s| s.status.is_some()));
        assert_eq!(definition.spec.versions.len(), 1);
        assert!(
            version.additional_printer_columns.as_ref().is_some_and(|c| c.iter().any(|c| c.name == "Ready"))
        );
        // Not ours: it stays.
        assert_eq!(definition.labels()["io.cilium.k8s.crd.schema.version"], "1.7.8");
        let kept = policies.get("crds-kept").await.unwrap();
        assert_eq!(kept.uid(), made.uid());
        assert_eq!(kept.metadata.generation, made.metadata.generation);
        assert_eq!(kept.data["spec"], spec());
        let status = json!({"status": {"mode": "observe"}});
        let written = eventually("it takes a status", async || {
            let written =
                policies.patch_status("crds-kept", &PatchParams::default(), &Patch::Merge(&status)).await;
            written.map_err(|e| e.to_string()).and_then(|w| {
                if w.data["status"]["mode"] == "observe" { Ok(w) } else { Err(format!("{:?}", w.data)) }
            })
        })
        .await;
        assert_eq!(written.metadata.generation, made.metadata.generation);
        gone(&policies, "crds-kept").await;
    });
}

#[test]
fn installing_again_writes_nothing() {
    test(async |bed| {
        ALL.all(&bed.client).await.unwrap();
        let definitions = definitions(&bed);
        let versions = async || -> Vec<(String, Option<String>)> {
            let all = definitions.list(&Default::default()).await.unwrap();
            all.into_iter().map(|d| (d.name_any(), d.resource_version())).collect()
        };
        let before = versions().await;
        assert!(before.iter().any(|(name, _)| name == "podinfo.cilium.io"));
        ALL.all(&bed.client).await.unwrap();
        assert_eq!(versions().await, before);
    });
}

#[test]
fn what_somebody_changed_is_put_right_unless_it_is_newer() {
    test(async |bed| {
        ALL.all(&bed.client).await.unwrap();
        let definitions = definitions(&bed);
        let name = "podinfo.cilium.io";
        let rename = async |version: &str| {
            let patch = json!({
                "metadata": {"annotations": {CRD_VERSION_ANNOTATION: version}},
                "spec": {"names": {"shortNames": ["other"]}},
            });
            definitions.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        };
        let short = async || definitions.get(name).await.unwrap().spec.names.short_names.unwrap().join(",");
        rename(&tetragon_api::crd::CRD_VERSION.to_string()).await;
        ALL.all(&bed.client).await.unwrap();
        assert_eq!(short().await, "tgpi");
        rename("4000000").await;
        ALL.all(&bed.client).await.unwrap();
        assert_eq!(short().await, "other", "newer");
        Install { force: true, ..ALL }.all(&bed.client).await.unwrap();
        assert_eq!(short().await, "tgpi");
    });
}

#[test]
fn one_that_cannot_be_installed_does_not_keep_the_others() {
    test(async |bed| {
        ALL.all(&bed.client).await.unwrap();
        let definitions = definitions(&bed);
        // A definition of that name whose scope cannot be changed.
        let name = "podinfo.cilium.io";
        let mut other = definitions.get(name).await.unwrap();
        gone(&definitions, name).await;
        gone(&definitions, "tracingpoliciesnamespaced.cilium.io").await;
        other.metadata = kube::api::ObjectMeta { name: Some(name.into()), ..Default::default() };
        other.spec.scope = "Cluster".into();
        other.status = None;
        definitions.create(&PostParams::default(), &other).await.unwrap();
        let error = format!("{:#}", ALL.all(&bed.client).await.unwrap_err());
        assert!(
            error.starts_with("podinfo.cilium.io: writing it: ") && error.contains("immutable"),
            "{error}"
        );
        definitions.get("tracingpoliciesnamespaced.cilium.io").await.unwrap();
        gone(&definitions, name).await;
        ALL.all(&bed.client).await.unwrap();
    });
}
