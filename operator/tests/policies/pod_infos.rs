//! PodInfos follow pods, and nothing else is written.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use tetragon_operator::pod_info;
use tetragon_operator::policies::metrics::Metrics;
use tokio::task::JoinSet;

use crate::bed::{Bed, MARK, NAMESPACE, eventually, scenario, until_quiet};

/// The pods and PodInfos of the scenario, and who writes these.
struct Place {
    pods: Api<Pod>,
    infos: Api<DynamicObject>,
    node: String,
}

impl Place {
    async fn of(bed: &'static Bed) -> Place {
        let node = bed.name("pod-info");
        let object = json!({"metadata": {"name": node, "labels": {MARK: "true"}}});
        let object: Node = serde_json::from_value(object).unwrap();
        bed.nodes().create(&PostParams::default(), &object).await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(bed.client.clone(), NAMESPACE);
        eventually("the service account", || accounts.get("default")).await;
        let kind = GroupVersionKind::gvk("cilium.io", "v1alpha1", "PodInfo");
        let kind = ApiResource::from_gvk_with_plural(&kind, "podinfo");
        Place {
            pods: Api::namespaced(bed.client.clone(), NAMESPACE),
            infos: Api::namespaced_with(bed.client.clone(), NAMESPACE, &kind),
            node,
        }
    }

    async fn make(&self, name: &str) -> String {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "a", "old": "x"}, "annotations": {"note": "a"}},
            "spec": {"nodeName": self.node, "containers": [{"name": "c", "image": "none"}]},
        });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods.create(&PostParams::default(), &pod).await.unwrap().uid().unwrap()
    }

    async fn address(&self, name: &str, ips: &[&str]) {
        let all: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        let patch = json!({"status": {"podIP": ips[0], "podIPs": all}});
        self.pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    async fn edit(&self, name: &str, metadata: Value) {
        let patch = Patch::Merge(json!({"metadata": metadata}));
        self.pods.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn tamper(&self, name: &str, patch: Value) {
        self.infos.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Waits until a PodInfo is there and is so.
    async fn until(&self, name: &str, what: &str, is: impl Fn(&DynamicObject) -> bool) -> DynamicObject {
        eventually(&format!("{name}: {what}"), || async {
            match self.infos.get_opt(name).await.unwrap() {
                Some(info) if is(&info) => Ok(info),
                other => Err(other),
            }
        })
        .await
    }

    async fn delete(&self, name: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods.delete(name, &now).await.unwrap();
    }
}

fn ip(info: &DynamicObject) -> &str {
    info.data["status"]["podIP"].as_str().unwrap_or_default()
}

fn start(bed: &Bed) -> (Metrics, JoinSet<()>) {
    let (metrics, mut task) = (Metrics::default(), JoinSet::new());
    task.spawn(pod_info::run(bed.client.clone(), metrics.clone()));
    (metrics, task)
}

#[test]
fn pod_infos_follow_pods() {
    scenario(async |bed| {
        let place = Place::of(bed).await;
        let (first, second) = (bed.name("pod-info-a"), bed.name("pod-info-b"));
        let (metrics, task) = start(bed);
        let uid = place.make(&first).await;
        place.make(&second).await;
        place.address(&second, &["10.9.0.2"]).await;
        place.until(&second, "made", |i| ip(i) == "10.9.0.2").await;
        assert!(place.infos.get_opt(&first).await.unwrap().is_none(), "its pod has no address yet");

        place.address(&first, &["10.9.0.1", "fd00::1"]).await;
        let info = place.until(&first, "made", |_| true).await;
        let labels = |i: &DynamicObject| i.labels().clone().into_iter().collect::<BTreeMap<_, _>>();
        assert_eq!(labels(&info), [("app", "a"), ("old", "x")].map(|(k, v)| (k.into(), v.into())).into());
        assert_eq!(info.annotations()["note"], "a");
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": first, "uid": uid, "controller": true,
            "blockOwnerDeletion": true});
        assert_eq!(serde_json::to_value(info.owner_references()).unwrap(), json!([owner]));
        let mut said = info.data.clone();
        said.as_object_mut().unwrap().retain(|k, _| k != "apiVersion" && k != "kind");
        let expected = json!({
            "spec": {"hostNetwork": false, "nodeName": place.node},
            "status": {"podIP": "10.9.0.1", "podIPs": [{"IP": "10.9.0.1"}, {"IP": "fd00::1"}]},
            "workloadObject": {"name": first, "namespace": NAMESPACE},
            "workloadType": {"apiVersion": "v1", "kind": "Pod"},
        });
        assert_eq!(said, expected);

        place.edit(&first, json!({"labels": {"app": "b", "old": null}, "annotations": {"note": null}})).await;
        place
            .until(&first, "followed", |i| {
                i.labels().get("app").is_some_and(|v| v == "b")
                    && !i.labels().contains_key("old")
                    && i.annotations().is_empty()
            })
            .await;

        // What others add is theirs; what they change is put right.
        place.tamper(&first, json!({"metadata": {"labels": {"theirs": "y"}}})).await;
        place.tamper(&first, json!({"status": {"podIP": "6.6.6.6"}})).await;
        let info = place.until(&first, "put right", |i| ip(i) == "10.9.0.1").await;
        assert_eq!(info.labels()["theirs"], "y");
        until_quiet(|| metrics.pod_info_writes.get()).await;
        place.tamper(&first, json!({"metadata": {"labels": {"theirs": null}}})).await;
        let uid = info.uid();
        place.infos.delete(&first, &DeleteParams::default()).await.unwrap();
        let before = place.until(&first, "made again", |i| i.uid() != uid).await;
        assert_eq!(ip(&before), "10.9.0.1");

        // A new operator finds all as it should be.
        drop(task);
        let (metrics, task) = start(bed);
        place.edit(&second, json!({"labels": {"app": "b"}})).await;
        place.until(&second, "followed", |i| i.labels().get("app").is_some_and(|v| v == "b")).await;
        let writes = until_quiet(|| metrics.pod_info_writes.get()).await;
        let now = place.infos.get(&first).await.unwrap();
        assert_eq!((writes, now.resource_version()), (1, before.resource_version()));

        // While nobody looks, another pod of that name; then one whose going is seen.
        drop(task);
        place.delete(&second).await;
        let uid = place.make(&second).await;
        place.address(&second, &["10.9.0.3"]).await;
        let (_metrics, _task) = start(bed);
        place.delete(&first).await;
        let again = place.make(&first).await;
        place.address(&first, &["10.9.0.4"]).await;
        for (name, uid, address) in [(&second, uid, "10.9.0.3"), (&first, again, "10.9.0.4")] {
            let of_the_new = |i: &DynamicObject| {
                ip(i) == address && i.owner_references().iter().map(|o| &o.uid).eq([&uid])
            };
            place.until(name, "of the new pod", of_the_new).await;
        }
        // And it stays: Kubernetes does not delete it with the old pod.
        tokio::time::sleep(Duration::from_secs(3)).await;
        place.until(&first, "still there", |i| ip(i) == "10.9.0.4").await;
        for name in [&first, &second] {
            place.delete(name).await;
            eventually("it goes with its pod", || async {
                place.infos.get_opt(name).await.unwrap().map_or(Ok(()), Err)
            })
            .await;
        }
    });
}
