//! Pods as a real API server tells them (kube-apiserver 1.33, kubelets with containerd and CRI-O), shortened
//! where nothing is read.

use serde_json::{Value, json};

use super::*;

/// An id that is `n` again and again.
pub fn id(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

/// A pod of a Deployment: a finished init container, two containers, an ephemeral one.
pub fn web() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-5d4f8b7c9-x7k2p",
            "generateName": "web-5d4f8b7c9-",
            "namespace": "production",
            "uid": "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42",
            "resourceVersion": "48213",
            "creationTimestamp": "2026-11-20T08:15:02Z",
            "labels": {"app": "web", "pod-template-hash": "5d4f8b7c9"},
            "annotations": {"example.com/owner": "shop"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8b7c9",
                "uid": "b0f7b6a1-55a5-4f0e-8f0c-2f3f2b8b3f10", "controller": true, "blockOwnerDeletion": true
            }],
            "managedFields": [{
                "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
                "time": "2026-11-20T08:15:09Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:status": {"f:conditions": {}}}
            }]
        },
        "spec": {
            "nodeName": "n1",
            "initContainers": [{
                "name": "prepare", "image": "busybox:1.36", "command": ["true"], "resources": {},
                "securityContext": {"privileged": true}
            }],
            "containers": [
                {
                    "name": "nginx", "image": "nginx:1.27",
                    "livenessProbe": {
                        "exec": {"command": ["cat", "/tmp/healthy"]},
                        "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3
                    },
                    "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}},
                    "securityContext": {"allowPrivilegeEscalation": false},
                    "volumeMounts": [{"name": "kube-api-access-4h5xw", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}]
                },
                {"name": "sidecar", "image": "registry.local:5000/team/proxy:v2"}
            ],
            "ephemeralContainers": [{"name": "debugger-7kq2v", "image": "busybox", "targetContainerName": "nginx"}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-20T08:15:09Z"}],
            "hostIP": "10.0.0.5", "podIP": "10.244.1.7", "startTime": "2026-11-20T08:15:02Z",
            "initContainerStatuses": [{
                "name": "prepare", "ready": true, "restartCount": 0, "image": "docker.io/library/busybox:1.36",
                "imageID": "docker.io/library/busybox@sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83",
                "containerID": format!("containerd://{}", id(1)),
                "state": {"terminated": {
                    "exitCode": 0, "reason": "Completed", "startedAt": "2026-11-20T08:15:04Z",
                    "finishedAt": "2026-11-20T08:15:05Z", "containerID": format!("containerd://{}", id(1))
                }},
                "lastState": {}
            }],
            "containerStatuses": [
                {
                    "name": "nginx", "ready": true, "started": true, "restartCount": 1,
                    "image": "docker.io/library/nginx:1.27",
                    "imageID": "docker.io/library/nginx@sha256:bc5eac5eafc581aeda3008b4b1f07ebba230de2f27d47767129a6a905c84f470",
                    "containerID": format!("containerd://{}", id(2)),
                    "state": {"running": {"startedAt": "2026-11-20T08:15:09Z"}},
                    "lastState": {"terminated": {"exitCode": 1, "containerID": format!("containerd://{}", id(9))}}
                },
                {
                    "name": "sidecar", "ready": true, "restartCount": 0,
                    "image": "registry.local:5000/team/proxy:v2",
                    "imageID": "sha256:3f57d9401f8d42f986df300f0c69192fc41da28ccc8d797829467780db3dd741",
                    "containerID": format!("cri-o://{}", id(3)),
                    "state": {"running": {"startedAt": "2026-11-20T08:15:10Z"}}, "lastState": {}
                }
            ],
            "ephemeralContainerStatuses": [{
                "name": "debugger-7kq2v", "ready": false, "restartCount": 0,
                "image": "docker.io/library/busybox:latest",
                "imageID": "docker.io/library/busybox@sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83",
                "containerID": format!("containerd://{}", id(4)),
                "state": {"running": {"startedAt": "2026-11-20T09:00:00Z"}}, "lastState": {}
            }],
            "qosClass": "BestEffort"
        }
    })
}

/// What is kept of one.
pub fn pod(object: Value) -> Pod {
    Pod::new(serde_json::from_value(object).expect("a pod"), false).expect("it has a uid")
}

#[test]
fn what_is_kept_of_a_pod() {
    let pod = pod(web());
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("production", "web-5d4f8b7c9-x7k2p"));
    assert_eq!((pod.workload.as_str(), pod.workload_kind.as_str()), ("web", "Deployment"));
    assert_eq!(pod.uid, pod.cgroup_uid);
    let of = |c: &Container| {
        (c.name.clone(), c.id().to_owned(), c.repo().to_owned(), c.running, c.spec.privileged)
    };
    let containers: Vec<_> = pod.containers.iter().map(|c| of(c)).collect();
    assert_eq!(
        containers,
        [
            ("prepare".into(), id(1), "docker.io/library/busybox".into(), false, true),
            ("nginx".into(), id(2), "docker.io/library/nginx".into(), true, false),
            // Before its restart.
            ("nginx".into(), id(9), "docker.io/library/nginx".into(), false, false),
            ("sidecar".into(), id(3), "registry.local:5000/team/proxy".into(), true, false),
            ("debugger-7kq2v".into(), id(4), "docker.io/library/busybox".into(), true, false),
        ]
    );
    assert_eq!(pod.containers[1].spec.probes, [["cat", "/tmp/healthy"]]);
    assert_eq!(pod.containers[1].started.unwrap().to_string(), "2026-11-20T08:15:09Z");
}

#[test]
fn annotations_are_kept_if_they_are_shown() {
    assert!(pod(web()).annotations.is_empty());
    let shown = Pod::new(serde_json::from_value(web()).unwrap(), true).unwrap();
    assert_eq!(shown.annotations["example.com/owner"], "shop");
}

#[test]
fn a_pod_whose_containers_are_being_created() {
    let mut object = web();
    object["status"] = json!({
        "phase": "Pending",
        "containerStatuses": [{
            "name": "nginx", "ready": false, "restartCount": 0, "image": "nginx:1.27", "imageID": "",
            "state": {"waiting": {"reason": "ContainerCreating"}}, "lastState": {}
        }]
    });
    assert!(pod(object.clone()).containers.is_empty());
    // As the scheduler leaves it.
    object.as_object_mut().unwrap().remove("status");
    let pod = pod(object);
    assert!(pod.containers.is_empty());
    let identity = pod.identity(None);
    assert_eq!((identity.namespace.as_str(), identity.name.as_str()), ("production", ""));
    assert_eq!(identity.labels["app"], "web");
    assert_eq!(identity.labels[workload::POD_NAMESPACE], "production");
}

/// A container that ends again and again has the id of the last one that ran.
#[test]
fn a_container_between_two_tries_does_not_run() {
    let mut object = web();
    let ended = json!({"terminated": {
        "exitCode": 1, "startedAt": "2026-11-20T08:20:00Z", "containerID": format!("containerd://{}", id(2))
    }});
    let status = &mut object["status"]["containerStatuses"][0];
    status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    status["lastState"] = ended.clone();
    let of = |object: &Value| {
        let pod = pod(object.clone());
        let nginx = pod.containers.iter().filter(|c| c.name == "nginx");
        nginx.map(|c| (c.id().to_owned(), c.running, c.started.unwrap().to_string())).collect::<Vec<_>>()
    };
    assert_eq!(of(&object), [(id(2), false, "2026-11-20T08:20:00Z".to_owned())]);
    // And it has ended for good.
    object["status"]["containerStatuses"][0]["state"] = ended;
    assert_eq!(of(&object), [(id(2), false, "2026-11-20T08:20:00Z".to_owned())]);
}

/// A static pod is older than its mirror, and cgroups have its own uid.
#[test]
fn a_static_pod_is_known_by_its_hash() {
    let pod = pod(json!({
        "metadata": {
            "name": "etcd-n1", "namespace": "kube-system", "uid": "5b1f7c2e-30cc-4a8a-9b54-cf1a2dfb2a11",
            "annotations": {
                "kubernetes.io/config.hash": "4d4b6a0d1a2c4b5e8f9a0b1c2d3e4f50",
                "kubernetes.io/config.mirror": "4d4b6a0d1a2c4b5e8f9a0b1c2d3e4f50",
                "kubernetes.io/config.source": "file"
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "7", "controller": true}]
        },
        "spec": {"containers": [{"name": "etcd"}], "nodeName": "n1"}
    }));
    assert_eq!(pod.cgroup_uid.as_ref(), "4d4b6a0d1a2c4b5e8f9a0b1c2d3e4f50");
    assert_eq!((pod.workload.as_str(), pod.workload_kind.as_str()), ("etcd-n1", "Pod"));
}

/// Who writes a pod may annotate it as a mirror: it is still only itself.
#[test]
fn no_pod_takes_the_cgroups_of_another() {
    let node = json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "7", "controller": true}]);
    let other = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";
    for (hash, mirror, owners) in
        [(other, true, node.clone()), ("4d4b6a0d1a2c", false, node), ("4d4b6a0d1a2c", true, json!([]))]
    {
        let mut annotations = json!({"kubernetes.io/config.hash": hash});
        if mirror {
            annotations["kubernetes.io/config.mirror"] = json!(hash);
        }
        let pod = pod(json!({
            "metadata": {"name": "x", "namespace": "x", "uid": "5b1f7c2e-30cc-4a8a-9b54-cf1a2dfb2a11",
                "annotations": annotations, "ownerReferences": owners},
            "spec": {"containers": [{"name": "x"}]}
        }));
        assert_eq!(pod.cgroup_uid, pod.uid, "{hash} {mirror}");
    }
}

#[test]
fn names_of_images_as_kubelet_reports_them() {
    for (given, qualified) in [
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("bitnami/redis", "docker.io/bitnami/redis"),
        ("localhost/busybox:1", "localhost/busybox:1"),
        ("registry:5000/proxy:v2", "registry:5000/proxy:v2"),
        ("quay.io/x/y@sha256:11", "quay.io/x/y@sha256:11"),
        ("sha256:3f57", "sha256:3f57"),
        ("", ""),
    ] {
        assert_eq!(super::qualified(given), qualified, "{given}");
    }
}

#[test]
fn repositories_of_images() {
    for (image, image_id, repo) in [
        ("docker.io/library/nginx:1.27", "docker.io/library/nginx@sha256:bc5e", "docker.io/library/nginx"),
        ("nginx:1.27", "docker-pullable://nginx@sha256:bc5e", "nginx"),
        ("registry.local:5000/proxy", "sha256:3f57", "registry.local:5000/proxy"),
        ("registry.local:5000/proxy:v2", "", "registry.local:5000/proxy"),
        ("quay.io/x/y@sha256:11", "", "quay.io/x/y"),
        ("sha256:3f57", "sha256:3f57", ""),
    ] {
        let container = Container { image: image.into(), image_id: image_id.into(), ..Container::default() };
        assert_eq!(container.repo(), repo, "{image} {image_id}");
    }
}

#[test]
fn an_event_shows_all_of_it() {
    let mut object = web();
    object["metadata"]["labels"]["tier"] = json!("front");
    let pod = Pod::new(serde_json::from_value(object).unwrap(), true).unwrap();
    let message = |n: usize, nspid, binary: &str, args: &str| {
        let container = &pod.containers[n];
        serde_json::to_value(super::super::message::message(&pod, Some(container), nspid, binary, args))
            .unwrap()
    };
    assert_eq!(
        message(1, 7, "/usr/bin/cat", "/tmp/healthy"),
        json!({
            "namespace": "production",
            "name": "web-5d4f8b7c9-x7k2p",
            "uid": "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42",
            "container": {
                "id": format!("containerd://{}", id(2)),
                "name": "nginx",
                "image": {
                    "id": "docker.io/library/nginx@sha256:bc5eac5eafc581aeda3008b4b1f07ebba230de2f27d47767129a6a905c84f470",
                    "name": "docker.io/library/nginx:1.27"
                },
                "start_time": "2026-11-20T08:15:09Z",
                "pid": 7,
                "maybe_exec_probe": true,
                "security_context": {}
            },
            "pod_labels": {"app": "web", "pod-template-hash": "5d4f8b7c9", "tier": "front"},
            "workload": "web",
            "workload_kind": "Deployment",
            "pod_annotations": {"example.com/owner": "shop"}
        })
    );
    let init = message(0, 0, "/bin/true", "");
    assert_eq!(init["container"]["security_context"], json!({"privileged": true}));
    assert_eq!((init["container"].get("pid"), init["container"].get("maybe_exec_probe")), (None, None));
}
