//! What Tetragon's OCI hook (`tetragon-oci-hook`) tells and asks, over gRPC: a container was made, and is
//! started when the answer is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tetragon_api::event::CreateContainer;
use tokio::time::{Instant, sleep};

use super::cgroup::{OfPod, Place};
use super::gate::{Gate, Source, WITHIN};
use super::object::{Container, qualified};
use super::store::Store;
use crate::nri::messages::IMAGE_ANNOTATIONS;

/// How long the container's pod is waited for, of [`WITHIN`].
const POD_WITHIN: Duration = Duration::from_millis(600);

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Where containerd and CRI-O tell the container's name.
const NAME_ANNOTATIONS: [&str; 2] = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"];

/// What is done with a request.
#[derive(Debug)]
pub struct Hook {
    /// Holds the container back.
    pub gate: Gate,
    /// Where what is told of it goes.
    pub store: Arc<Store>,
}

impl Hook {
    /// A container was made: returns when the kernel knows whose it is, or when it has taken too long.
    /// `Err`: the request names no container.
    pub async fn created(&self, request: CreateContainer) -> Result<(), String> {
        let begun = Instant::now();
        let place = place(&request)?;
        let (Some(id), OfPod::Uid(uid)) = (place.container, place.pod) else {
            // No pod's: it is the host's, and that is known from the start.
            return Ok(());
        };
        let container = container(&request, &id);
        // CRI-O gives a pod's sandbox a name.
        let named = !["", "POD"].contains(&container.name.as_str());
        // A request has no labels. So it does not make a pod, whose labels would seem to be none, but only
        // names a container of one that is known.
        while named && !self.store.learn_container(&uid, &container) && begun.elapsed() < POD_WITHIN {
            sleep(LOOK).await;
        }
        self.gate.pass(Source::Hook, &id, named, WITHIN.saturating_sub(begun.elapsed())).await;
        Ok(())
    }
}

/// The container and its pod: by the cgroup, which is what the kernel knows.
fn place(request: &CreateContainer) -> Result<Place, String> {
    let path = &request.cgroups_path;
    let place = Place::of_path(path);
    if path.is_empty() {
        return Err("the request has no cgroupsPath, by which containers are known".to_owned());
    }
    Ok(place)
}

fn container(request: &CreateContainer, id: &str) -> Container {
    let CreateContainer { annotations, container_name, container_image, .. } = request;
    let or = |given: &String, keys: [&str; 2]| -> String {
        let annotated = |annotations: &BTreeMap<String, String>| {
            keys.iter().find_map(|key| annotations.get(*key)).cloned().unwrap_or_default()
        };
        if given.is_empty() { annotated(annotations) } else { given.clone() }
    };
    Container {
        url: id.to_owned(),
        name: or(container_name, NAME_ANNOTATIONS),
        image: qualified(&or(container_image, IMAGE_ANNOTATIONS)),
        running: true,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use serde_json::json;

    use super::super::Subject;
    use super::super::classifier::{Need, Request};
    use super::super::object::tests::{id, pod, web};
    use super::*;
    use crate::control::Command;

    /// What the control thread is told: names of containers that are told of, and what is needed of those that
    /// are held.
    type Seen = Vec<String>;

    fn hook() -> (Hook, Arc<Store>, std::thread::JoinHandle<Seen>) {
        let (send, receive) = mpsc::channel();
        let store = Arc::new(Store::new(10, Arc::default()));
        let changes = send.clone();
        store.subscribe(move |change| changes.send(Command::Containers(Request::Pods(change))).unwrap());
        let control = std::thread::spawn(move || {
            let mut seen = Seen::new();
            for command in receive {
                match command {
                    Command::Containers(Request::Pods(change))
                        if matches!(change.subject, Subject::Container(_)) =>
                    {
                        seen.extend(change.identity.map(|i| format!("{} of {}", i.name, i.repo)));
                    }
                    Command::Containers(Request::Hold(hold)) => {
                        let all = if hold.need == Need::All { "all" } else { "its pod" };
                        seen.push(format!("held for {all}"));
                        hold.reply.send(()).unwrap();
                    }
                    _ => {}
                }
            }
            seen
        });
        (Hook { gate: Gate::new(send, true, Arc::default()), store: store.clone() }, store, control)
    }

    fn request(path: &str, annotations: serde_json::Value) -> CreateContainer {
        let annotations = serde_json::from_value(annotations).unwrap();
        CreateContainer { cgroups_path: path.to_owned(), annotations, ..CreateContainer::default() }
    }

    async fn seen(request: CreateContainer) -> (Result<(), String>, Seen) {
        let (hook, store, control) = hook();
        let mut object = web();
        object["status"] = json!({});
        store.apply(pod(object), std::time::Instant::now());
        let answer = hook.created(request).await;
        drop((hook, store));
        (answer, control.join().unwrap())
    }

    #[tokio::test]
    async fn a_container_is_named_and_held() {
        let path = format!("/kubepods/besteffort/pod8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42/{}", id(7));
        let containerd = json!({
            "io.kubernetes.cri.container-name": "nginx",
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.27",
        });
        let named = ["nginx of docker.io/library/nginx".to_owned(), "held for all".to_owned()];
        assert_eq!(seen(request(&path, containerd)).await, (Ok(()), named.to_vec()));
        let given = CreateContainer {
            container_name: "nginx".into(),
            container_image: "docker.io/library/nginx:1.27".into(),
            ..request(&path, json!({}))
        };
        assert_eq!(seen(given).await, (Ok(()), named.to_vec()));
        let pod = vec!["held for its pod".to_owned()];
        let sandbox = json!({"io.kubernetes.container.name": "POD"});
        assert_eq!(seen(request(&path, sandbox)).await, (Ok(()), pod));
        assert_eq!(seen(request(&format!("/docker/{}", id(7)), json!({}))).await, (Ok(()), vec![]));
        assert!(seen(request("", json!({}))).await.0.unwrap_err().contains("cgroupsPath"));
    }

    #[tokio::test]
    async fn a_pod_that_is_not_known_makes_nobody_wait_for_long() {
        let (hook, store, control) = hook();
        let path = format!("/kubepods/pod8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42/{}", id(7));
        let begun = Instant::now();
        hook.created(request(&path, json!({"io.kubernetes.cri.container-name": "nginx"}))).await.unwrap();
        assert!((POD_WITHIN..WITHIN * 8).contains(&begun.elapsed()));
        drop((hook, store));
        assert_eq!(control.join().unwrap(), ["held for all"]);
    }
}
