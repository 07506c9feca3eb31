//! Tests of the store: what is found, what is told, what is forgotten, and when.

use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tetragon_api::workload::{self, Choice, Pods, Workloads};

use super::*;
use crate::counters::get;
use crate::pods::object::tests::{id, pod, web};

const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";

fn store(deleted_max: usize) -> (Store, Arc<Counts>, Instant) {
    let counts = Arc::new(Counts::default());
    (Store::new(deleted_max, counts.clone()), counts, Instant::now())
}

fn container_identity(store: &Store, id: &str) -> Option<workload::Container> {
    let inner = store.lock();
    let (uid, container) = inner.containers.get(&*key(id))?;
    Some(inner.pods.get(uid)?.pod.identity(Some(container)))
}

fn changes(store: &Store) -> Receiver<Change> {
    let (send, receive) = channel();
    store.subscribe(move |change| send.send(change).unwrap());
    receive
}

/// Subjects, and the label `app`, or "gone".
fn told(changes: &Receiver<Change>) -> Vec<(String, String)> {
    let what = |change: Change| {
        let subject = match change.subject {
            Subject::Pod(uid) => uid[..2].to_owned(),
            Subject::Container(id) => id[..2].to_owned(),
            Subject::Rest => "rest".to_owned(),
        };
        let app = change.identity.map(|i| i.labels.get("app").cloned().unwrap_or_default());
        (subject, app.unwrap_or_else(|| "gone".to_owned()))
    };
    let mut list: Vec<_> = changes.try_iter().map(what).collect();
    list.sort_unstable();
    list
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn in_pod(n: u8) -> Place {
    Place { container: Some(id(n).as_str().into()), pod: OfPod::Uid(UID.into()) }
}

/// Pod and container that are found.
fn found(store: &Store, place: &Place) -> String {
    match store.find(place) {
        Found::None => "none".to_owned(),
        Found::Unknown => "unknown".to_owned(),
        Found::Pod(pod) => pod.name.clone(),
        Found::Sandbox(pod) => format!("{}/sandbox", pod.name),
        Found::Container(pod, container) => format!("{}/{}", pod.name, container.name),
    }
}

/// The pod with other containers: name and id.
fn with(mut object: Value, containers: &[(&str, u8)]) -> Value {
    let status = |(name, n): &(&str, u8)| {
        json!({"name": name, "containerID": format!("containerd://{}", id(*n)),
               "state": {"running": {"startedAt": "2026-11-20T08:15:09Z"}}})
    };
    object["status"] = json!({"containerStatuses": containers.iter().map(status).collect::<Vec<_>>()});
    object
}

#[test]
fn places_are_found_by_container_then_by_pod() {
    let (store, counts, now) = store(10);
    assert_eq!(found(&store, &in_pod(2)), "unknown");
    assert_eq!(found(&store, &Place::default()), "none");
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    let name = "web-5d4f8b7c9-x7k2p";
    assert_eq!(found(&store, &in_pod(2)), format!("{name}/nginx"));
    // The sandbox, and a container that the status does not name yet.
    assert_eq!(found(&store, &in_pod(7)), name);
    // Only the name is known, as the kernel tells it.
    let named = |n| Place { container: Some(id(n).as_str().into()), pod: OfPod::Maybe };
    assert_eq!(found(&store, &named(2)), format!("{name}/nginx"));
    assert_eq!(found(&store, &named(7)), "unknown");
    // Of no pod, as its path says.
    let docker = Place { container: Some(id(7).as_str().into()), pod: OfPod::No };
    assert_eq!(found(&store, &docker), "none");
    assert_eq!(get(&counts.not_found), 2);
}

#[test]
fn changes_are_told_as_they_come() {
    let (store, _, now) = store(10);
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    // Who comes later is told what is there.
    let changes = changes(&store);
    assert_eq!(told(&changes), pairs(&[("02", "web"), ("8d", "web")]));
    // The same again is no change, and a new container is one.
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    assert!(told(&changes).is_empty());
    store.apply(pod(with(web(), &[("nginx", 2), ("sidecar", 3)])), now);
    assert_eq!(told(&changes), pairs(&[("03", "web")]));
    // Labels are those of all its containers.
    let mut other = with(web(), &[("nginx", 2), ("sidecar", 3)]);
    other["metadata"]["labels"]["app"] = json!("shop");
    store.apply(pod(other), now);
    assert_eq!(told(&changes), pairs(&[("02", "shop"), ("03", "shop"), ("8d", "shop")]));
    assert_eq!(container_identity(&store, &id(2)).unwrap().name, "nginx");
    assert_eq!(container_identity(&store, &id(2)).unwrap().labels["app"], "shop");
    store.delete(UID, now);
    assert!(told(&changes).is_empty(), "its processes may still run");
    store.sweep(now + RETAIN);
    assert_eq!(told(&changes), pairs(&[("02", "gone"), ("03", "gone"), ("8d", "gone")]));
    assert_eq!((store.size(), container_identity(&store, &id(2))), ((0, 0), None));
}

#[test]
fn a_restarted_container_is_two_for_a_while() {
    let (store, _, now) = store(10);
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    let changes = changes(&store);
    told(&changes);
    store.apply(pod(with(web(), &[("nginx", 5)])), now);
    assert_eq!(told(&changes), pairs(&[("05", "web")]));
    let name = "web-5d4f8b7c9-x7k2p/nginx";
    assert_eq!((found(&store, &in_pod(2)), found(&store, &in_pod(5))), (name.into(), name.into()));
    // It follows its pod's labels until it is forgotten.
    let mut other = with(web(), &[("nginx", 5)]);
    other["metadata"]["labels"]["app"] = json!("shop");
    store.apply(pod(other), now);
    assert_eq!(told(&changes), pairs(&[("02", "shop"), ("05", "shop"), ("8d", "shop")]));
    store.sweep(now + RETAIN);
    assert_eq!(told(&changes), pairs(&[("02", "gone")]));
    assert_eq!(found(&store, &in_pod(2)), "web-5d4f8b7c9-x7k2p");
}

/// The kubelet reports the second restart only: what ran in between is in `lastState` alone.
#[test]
fn a_restart_that_was_not_reported_is_in_the_last_state() {
    let restarted = |image: &str, n: u8, before: u8| {
        let mut object = with(web(), &[("nginx", n)]);
        let status = &mut object["status"]["containerStatuses"][0];
        status["image"] = json!(image);
        status["lastState"] = json!({"terminated": {"containerID": format!("containerd://{}", id(before))}});
        pod(object)
    };
    let (store, _, now) = store(10);
    let name = "web-5d4f8b7c9-x7k2p/nginx";
    store.apply(restarted("nginx:1", 5, 2), now);
    assert_eq!((found(&store, &in_pod(2)), found(&store, &in_pod(5))), (name.into(), name.into()));
    let everything = Choice::from(Workloads { host: false, pods: Some(Pods::default()) });
    assert_eq!(store.count(&everything), (1, 1), "one of them runs");
    // The next restart is of another image: what was told of the one before stays.
    store.apply(restarted("nginx:2", 6, 5), now);
    assert_eq!(container_identity(&store, &id(5)).unwrap().repo, "nginx");
    let Found::Container(_, before) = store.find(&in_pod(5)) else { panic!("it is known") };
    assert_eq!(before.image, "nginx:1");
    store.sweep(now + RETAIN);
    assert_eq!(found(&store, &in_pod(2)), "web-5d4f8b7c9-x7k2p", "nobody names it any more");
    assert_eq!((found(&store, &in_pod(5)), found(&store, &in_pod(6))), (name.into(), name.into()));
}

#[test]
fn a_container_that_is_replaced_twice_stays_for_a_minute_from_the_second_time() {
    let (store, _, now) = store(10);
    let at = |seconds: u64| now + std::time::Duration::from_secs(seconds);
    let name = "web-5d4f8b7c9-x7k2p/nginx";
    for (second, containers) in [(0, &[("nginx", 2)][..]), (1, &[]), (10, &[("nginx", 2)]), (50, &[])] {
        store.apply(pod(with(web(), containers)), at(second));
    }
    for (second, wanted) in [(61, name), (109, name), (110, "web-5d4f8b7c9-x7k2p")] {
        store.sweep(at(second));
        assert_eq!(found(&store, &in_pod(2)), wanted, "second {second}");
    }
    assert!(store.lock().ended.is_empty());
}

/// Too many deleted pods take no containers of pods that live with them.
#[test]
fn too_many_deleted_pods_end_no_container() {
    let (store, counts, now) = store(0);
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    store.apply(pod(with(web(), &[("nginx", 5)])), now);
    let mut other = with(web(), &[]);
    other["metadata"]["uid"] = json!("11111111-9c1b-4f6e-a1d3-0c9b7e6f5a42");
    store.apply(pod(other), now);
    store.delete("11111111-9c1b-4f6e-a1d3-0c9b7e6f5a42", now);
    store.sweep(now);
    assert_eq!(get(&counts.deleted_evictions), 1);
    assert_eq!(found(&store, &in_pod(2)), "web-5d4f8b7c9-x7k2p/nginx");
}

/// A status that lacks a container for a moment does not end it.
#[test]
fn a_container_that_comes_back_stays() {
    let (store, _, now) = store(10);
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    store.apply(pod(with(web(), &[])), now);
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    store.sweep(now + RETAIN);
    assert_eq!(found(&store, &in_pod(2)), "web-5d4f8b7c9-x7k2p/nginx");
}

#[test]
fn two_pods_of_one_name_in_turn_are_two() {
    let (store, counts, now) = store(10);
    store.apply(pod(with(web(), &[("nginx", 2)])), now);
    store.delete(UID, now);
    let mut second = with(web(), &[("nginx", 6)]);
    second["metadata"]["uid"] = json!("11111111-9c1b-4f6e-a1d3-0c9b7e6f5a42");
    second["metadata"]["labels"] = json!({"app": "other"});
    store.apply(pod(second), now);
    let labels = |n| match store.find(&in_pod(n)) {
        Found::Container(pod, _) => pod.labels["app"].clone(),
        other => format!("{other:?}"),
    };
    assert_eq!((labels(2), labels(6)), ("web".into(), "other".into()));
    assert_eq!(get(&counts.deleted_hits), 1);
    store.sweep(now + RETAIN);
    assert_eq!(found(&store, &in_pod(2)), "unknown");
    assert_eq!(labels(6), "other");
    // The name still lives, and with it its series.
    assert!(store.take_forgotten().is_empty());
}

#[test]
fn a_list_ends_what_it_does_not_name() {
    let (store, _, now) = store(10);
    let mut second = with(web(), &[("nginx", 6)]);
    second["metadata"]["uid"] = json!("11111111-9c1b-4f6e-a1d3-0c9b7e6f5a42");
    second["metadata"]["name"] = json!("second");
    for object in [with(web(), &[("nginx", 2)]), second.clone()] {
        store.apply(pod(object), now);
    }
    store.begin_list();
    for object in [with(web(), &[("nginx", 2)]), second.clone()] {
        store.apply(pod(object), now);
    }
    let changes = changes(&store);
    assert_eq!(told(&changes).len(), 4);
    store.end_list(now);
    assert_eq!(told(&changes), pairs(&[("rest", "gone")]), "once");
    // The watch broke off, and all are told anew.
    let later = now + Duration::from_secs(10);
    store.begin_list();
    store.apply(pod(second), later);
    let all = Choice::from(Workloads { host: true, pods: Some(Pods::default()) });
    assert_eq!(store.count(&all), (2, 2), "not before the end");
    store.end_list(later);
    assert!(told(&changes).is_empty());
    let later_listener = self::changes(&store);
    assert_eq!(told(&later_listener).last(), Some(&("rest".to_owned(), "gone".to_owned())));
    assert_eq!(store.count(&all), (1, 1));
    store.sweep(now + RETAIN);
    assert_eq!(store.size(), (2, 2));
    store.sweep(later + RETAIN);
    assert_eq!(store.size(), (1, 1));
    assert_eq!(store.take_forgotten(), [("production".to_owned(), "web-5d4f8b7c9-x7k2p".to_owned())]);
}

#[test]
fn deleted_pods_are_bounded() {
    let (store, counts, now) = store(2);
    for n in 0..5u8 {
        let mut object = with(web(), &[("nginx", n)]);
        object["metadata"]["uid"] = json!(format!("{n}"));
        store.apply(pod(object), now);
        store.delete(&n.to_string(), now);
    }
    store.sweep(now);
    assert_eq!((store.size(), get(&counts.deleted_evictions)), ((2, 2), 3));
    assert_eq!(
        found(&store, &Place { container: Some(id(4).as_str().into()), pod: OfPod::Maybe }),
        "web-5d4f8b7c9-x7k2p/nginx"
    );
    // Deleted, told again, deleted again: the second minute counts.
    let later = now + Duration::from_secs(30);
    let mut object = with(web(), &[("nginx", 4)]);
    object["metadata"]["uid"] = json!("4");
    store.apply(pod(object), later);
    store.delete("4", later);
    store.sweep(now + RETAIN);
    assert_eq!(store.size(), (1, 1));
    store.sweep(later + RETAIN);
    assert_eq!(store.size(), (0, 0));
}

#[test]
fn pods_and_containers_are_counted_by_what_selects_them() {
    let (store, _, now) = store(10);
    store.apply(pod(web()), now);
    let mut second = with(web(), &[("nginx", 6)]);
    second["metadata"]["uid"] = json!("11111111-9c1b-4f6e-a1d3-0c9b7e6f5a42");
    second["metadata"]["namespace"] = json!("staging");
    store.apply(pod(second), now);
    let count = |pods: Value| {
        let workloads: Workloads = serde_json::from_value(json!({"pods": pods})).unwrap();
        store.count(&workloads.into())
    };
    // The init container has ended.
    assert_eq!(count(json!({})), (2, 4));
    assert_eq!(count(json!({"namespace": "production"})), (1, 3));
    assert_eq!(count(json!({"containers": {"matchLabels": {"name": "nginx"}}})), (2, 2));
    assert_eq!(count(json!({"containers": {"matchLabels": {"repo": "docker.io/library/busybox"}}})), (1, 1));
    assert_eq!(
        count(json!({"labels": {"matchLabels": {"k8s:io.kubernetes.pod.namespace": "staging"}}})),
        (1, 1)
    );
    assert_eq!(count(json!({"labels": {"matchLabels": {"app": "none"}}})), (0, 0));
    assert_eq!(store.count(&Workloads { host: true, pods: None }.into()), (0, 0));
}

/// A pod as its runtime tells it: labels of the sandbox, containers by name and id.
fn by_runtime(app: &str, containers: &[(&str, u8)]) -> Pod {
    let container = |(name, n): &(&str, u8)| {
        Arc::new(Container {
            url: format!("containerd://{}", id(*n)),
            name: (*name).to_owned(),
            image: "docker.io/library/nginx:1.27".to_owned(),
            ..Container::default()
        })
    };
    Pod {
        uid: UID.into(),
        cgroup_uid: UID.into(),
        namespace: "production".into(),
        name: "web-5d4f8b7c9-x7k2p".into(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        containers: containers.iter().map(container).collect(),
        ..Pod::default()
    }
}

#[test]
fn the_api_servers_word_replaces_the_runtimes_and_not_the_other_way_round() {
    let (store, _, now) = store(10);
    let told_of = changes(&store);
    store.learn(by_runtime("early", &[("nginx", 2)]));
    assert_eq!(told(&told_of), pairs(&[("02", "early"), ("8d", "early")]));
    let early = container_identity(&store, &id(2)).unwrap();
    assert!(!early.knows_workload() && early.name == "nginx");
    // The same again is no news.
    store.learn(by_runtime("early", &[("nginx", 2)]));
    assert_eq!(told(&told_of), []);
    // The pod comes, without a status: its container is that pod's.
    store.apply(pod(with(web(), &[])), now);
    assert_eq!(told(&told_of), pairs(&[("02", "web"), ("8d", "web")]));
    assert!(container_identity(&store, &id(2)).unwrap().knows_workload());
    // Labels of the sandbox are as old as it is.
    store.learn(by_runtime("early", &[("nginx", 2), ("sidecar", 3)]));
    assert_eq!(told(&told_of), pairs(&[("03", "web")]));
    // The kubelet reports it: policies can ask nothing that they could not ask before.
    store.apply(pod(web()), now);
    assert!(told(&told_of).iter().all(|(subject, _)| subject != "02"));
}

#[test]
fn a_static_pods_containers_find_its_mirror() {
    let (store, _, now) = store(10);
    let hash = "4d4b6a0d1a2c4b5e8f9a0b1c2d3e4f50";
    let told = Pod { uid: hash.into(), cgroup_uid: hash.into(), ..by_runtime("etcd", &[("etcd", 2)]) };
    store.learn(told.clone());
    let mut mirror = with(web(), &[]);
    mirror["metadata"]["annotations"] =
        json!({"kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash});
    mirror["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "7", "controller": true}]);
    store.apply(pod(mirror), now);
    assert_eq!(store.size(), (1, 1));
    let place = Place { container: Some(id(2).as_str().into()), pod: OfPod::Uid(hash.into()) };
    let Found::Container(of, _) = store.find(&place) else { panic!("it is lost") };
    assert_eq!(&*of.uid, UID);
    store.learn(told);
    assert_eq!(store.size(), (1, 1), "the runtime goes on to call it so");
}

#[test]
fn what_the_runtime_tells_is_forgotten_when_it_says_so() {
    let (store, _, now) = store(10);
    store.learn(by_runtime("web", &[("nginx", 2)]));
    store.removed_container(&id(2), now);
    store.removed_sandbox("", UID, now);
    assert_eq!(store.size(), (1, 1), "its last events come later");
    // It was another attempt's: the pod lives.
    store.learn(by_runtime("web", &[]));
    store.sweep(now + RETAIN);
    assert_eq!(store.size(), (1, 0));
    // A pod of the API server is not the runtime's to remove.
    store.apply(pod(with(web(), &[])), now);
    store.removed_sandbox("", UID, now);
    store.runtime_has(now, |_| false);
    store.sweep(now + RETAIN * 2);
    assert_eq!(store.size(), (1, 0));
    // What a full list does not name was not told in time, or is gone.
    let hidden = Pod { uid: "1".into(), cgroup_uid: "1".into(), ..by_runtime("web", &[]) };
    store.learn(hidden);
    store.begin_list();
    store.apply(pod(with(web(), &[])), now);
    store.end_list(now);
    store.sweep(now + RETAIN * 2);
    assert_eq!(store.size(), (1, 0));
}

#[test]
fn a_runtime_adds_to_what_is_known_of_a_pod() {
    let (store, _, now) = store(10);
    let [container] = &by_runtime("web", &[("nginx", 2)]).containers[..] else { panic!("one") };
    assert!(!store.learn_container(UID, container), "no pod is made of it");
    store.apply(pod(with(web(), &[])), now);
    assert!(store.learn_container(UID, container));
    let Found::Container(_, found) = store.find(&in_pod(2)) else { panic!("it is known") };
    assert_eq!(
        (found.whole, &found.spec.probes[..]),
        (false, &[vec!["cat".to_owned(), "/tmp/healthy".into()]][..])
    );
    // One that says more replaces it; one that says less does not.
    let more = Container { image_id: "i".into(), whole: true, ..(**container).clone() };
    assert!(store.learn_container(UID, &more) && store.learn_container(UID, container));
    let Found::Container(_, found) = store.find(&in_pod(2)) else { panic!("it is known") };
    assert!(found.whole);
}

#[test]
fn a_pod_has_a_sandbox_and_may_have_another() {
    let (store, _, now) = store(10);
    store.learn(by_runtime("web", &[]));
    let (first, second) = (id(0xa1), id(0xa2));
    let of = |sandbox: &str| found(&store, &Place { container: Some(sandbox.into()), pod: OfPod::Maybe });
    assert_eq!(of(&first), "unknown");
    store.learn_sandbox(&first, UID);
    store.learn_sandbox(&second, UID);
    assert!(of(&first).ends_with("/sandbox") && of(&second).ends_with("/sandbox"));
    store.removed_sandbox(&first, UID, now);
    store.sweep(now + RETAIN);
    assert!(of(&first).ends_with("/sandbox"), "the pod lives: what the first has done is of it");
    store.removed_sandbox(&second, UID, now);
    store.sweep(now + RETAIN);
    assert_eq!((of(&first), of(&second)), ("unknown".to_owned(), "unknown".to_owned()));
}
