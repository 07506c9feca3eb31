//! Brings together what the kernel says of cgroups (which there are) and what the API server says of pods
//! (whose they are): which cgroup is to be classified as which container.
//!
//! No I/O: the control thread feeds it and does what comes out. A pod is known before its first container
//! is made, and the pod's own cgroup is classified too. So the kernel judges a new container as its pod from the
//! first instruction, with or without an agent; and as itself as soon as the runtime (NRI, a hook) has told of it,
//! or the kubelet has reported it.
//!
//! What a runtime alone tells of a pod is less than what the API server has told, be it to the agent before
//! this one: the labels of the sandbox are as old as the pod, and for what the pod was made is not in them.
//! It adds the container's name and image. Where there is nothing but the runtime's word, it decides all that
//! it can; what asks for the workload is not decided (see [`Container::knows_workload`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tetragon_api::workload::Container;

use super::cgroup::{OfPod, Place, container_id, is_monitors, is_pods_own};
use super::kept::Kept;
use super::{Change, Subject};

/// What a cgroup is to be classified as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its id.
    pub cgroup: u64,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose a cgroup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A container's own.
    Container(Container),
    /// A pod's own: a cgroup that is made in it is of a container of which only the pod is known.
    Pod(Container),
    /// The node's, though it lies in a pod's.
    Node,
}

/// What a cgroup of a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// The pod's own.
    Pod,
    /// That of the container with this id.
    Container(Arc<str>),
    /// That of what watches a container, which executes the runtime's programs and none of the pod's.
    Monitor,
}

/// Cgroups and identities.
#[derive(Debug, Default)]
pub struct Classes {
    /// The cgroups of pods that are classified, by id: the pod's uid, and what the cgroup is.
    cgroups: HashMap<u64, (Arc<str>, Part)>,
    of_container: HashMap<Arc<str>, u64>,
    of_pod: HashMap<Arc<str>, BTreeSet<u64>>,
    containers: HashMap<String, Container>,
    pods: HashMap<String, Container>,
    /// Gone from the API server, or the runtime, while their cgroups live on: what is enforced for them stays.
    gone: BTreeSet<Subject>,
    /// Taken over from the agent before, and not told by anybody since.
    untold: BTreeSet<Subject>,
}

impl Classes {
    /// A cgroup was made, or was there.
    pub fn made(&mut self, cgroup: u64, path: &str) -> Option<Class> {
        let (pod, part) = part(path)?;
        if let Part::Container(id) = &part {
            self.of_container.insert(id.clone(), cgroup);
        }
        self.of_pod.entry(pod.clone()).or_default().insert(cgroup);
        self.cgroups.insert(cgroup, (pod, part));
        self.class(cgroup)
    }

    /// A cgroup was removed. True: it was one that is classified.
    pub fn removed(&mut self, cgroup: u64) -> bool {
        let Some((pod, part)) = self.cgroups.remove(&cgroup) else { return false };
        if let Some(all) = self.of_pod.get_mut(&pod) {
            all.remove(&cgroup);
            if all.is_empty() {
                self.of_pod.remove(&pod);
            }
        }
        let mut subjects = vec![Subject::Pod(pod.to_string())];
        if let Part::Container(id) = part {
            if self.of_container.get(&id) == Some(&cgroup) {
                self.of_container.remove(&id);
            }
            subjects.push(Subject::Container(id.to_string()));
        }
        for subject in subjects {
            if self.gone.contains(&subject) {
                self.forget(&subject);
            }
        }
        true
    }

    /// What is known of pods and containers has changed: cgroups to be classified again. What is gone there keeps its
    /// class as long as it has a cgroup, in which processes may still run.
    pub fn changed(&mut self, change: Change) -> Vec<Class> {
        let Change { subject, identity } = change;
        self.untold.remove(&subject);
        let Some(identity) = identity else {
            let untold =
                if subject == Subject::Rest { std::mem::take(&mut self.untold) } else { [subject].into() };
            self.gone.extend(untold.iter().cloned());
            untold.iter().for_each(|subject| self.forget(subject));
            return Vec::new();
        };
        self.gone.remove(&subject);
        let concerned = self.cgroups_of(&subject);
        let before: Vec<Option<Class>> = concerned.iter().map(|cgroup| self.class(*cgroup)).collect();
        if let Some((known, id)) = self.known(&subject)
            && (identity.knows_workload() || known.get(id).is_none_or(|before| !before.knows_workload()))
        {
            known.insert(id.clone(), identity);
        }
        let now = concerned.iter().map(|cgroup| self.class(*cgroup));
        now.zip(before).filter(|(now, before)| now != before).filter_map(|(now, _)| now).collect()
    }

    /// What is to be kept for a restart: all that is known, for a cgroup may come while there is no agent.
    pub fn kept(&self) -> Kept {
        let sorted = |known: &HashMap<String, Container>| {
            let mut list: Vec<_> = known.iter().map(|(id, c)| (id.clone(), c.clone())).collect();
            list.sort();
            list
        };
        Kept { containers: sorted(&self.containers), pods: sorted(&self.pods) }
    }

    /// Takes over what was kept, before the API server has told anything. What its first list of pods does not
    /// name goes with that, unless it has a cgroup; then with the cgroup.
    pub fn take(&mut self, kept: Kept) -> Vec<Class> {
        let pods = kept.pods.into_iter().map(|(uid, c)| (Subject::Pod(uid), c));
        let containers = kept.containers.into_iter().map(|(id, c)| (Subject::Container(id), c));
        let all = pods.chain(containers).map(|(subject, c)| Change { subject, identity: Some(c) });
        let mut classes = Vec::new();
        for change in all {
            let subject = change.subject.clone();
            classes.extend(self.changed(change));
            self.untold.insert(subject);
        }
        classes
    }

    /// Ids of the cgroups that are known.
    pub fn cgroups(&self) -> Vec<u64> {
        self.cgroups.keys().copied().collect()
    }

    /// The cgroup of a container and whose it is, if there is one and it is known.
    pub fn of_container(&self, id: &str) -> Option<(u64, Container)> {
        let cgroup = *self.of_container.get(id)?;
        let (pod, _) = self.cgroups.get(&cgroup)?;
        Some((cgroup, self.container(pod, id)?))
    }

    /// What a cgroup is to be classified as.
    pub fn class(&self, cgroup: u64) -> Option<Class> {
        let (pod, part) = self.cgroups.get(&cgroup)?;
        let whose = match part {
            Part::Pod => Whose::Pod(self.pods.get(&**pod)?.clone()),
            Part::Container(id) => Whose::Container(self.container(pod, id)?),
            Part::Monitor => Whose::Node,
        };
        Some(Class { cgroup, whose })
    }

    /// What is known of a pod or a container.
    pub fn identity(&self, subject: &Subject) -> Option<&Container> {
        match subject {
            Subject::Container(id) => self.containers.get(id),
            Subject::Pod(uid) => self.pods.get(uid),
            Subject::Rest => None,
        }
    }

    /// What is known of a container of a pod.
    fn container(&self, pod: &str, id: &str) -> Option<Container> {
        match (self.containers.get(id), self.pods.get(pod)) {
            (Some(own), Some(pod)) if !own.knows_workload() && pod.knows_workload() => {
                Some(Container { name: own.name.clone(), repo: own.repo.clone(), ..pod.clone() })
            }
            (own, pod) => own.or(pod).cloned(),
        }
    }

    /// Forgets what has neither a cgroup nor the API server's word.
    fn forget(&mut self, subject: &Subject) {
        if !self.cgroups_of(subject).is_empty() {
            return;
        }
        if let Some((known, id)) = self.known(subject) {
            known.remove(id);
        }
        self.gone.remove(subject);
    }

    fn cgroups_of(&self, subject: &Subject) -> Vec<u64> {
        match subject {
            Subject::Container(id) => self.of_container.get(id.as_str()).copied().into_iter().collect(),
            Subject::Pod(uid) => self.of_pod.get(uid.as_str()).into_iter().flatten().copied().collect(),
            Subject::Rest => Vec::new(),
        }
    }

    /// Where the identity of a subject is, and by which id.
    fn known<'a>(&mut self, subject: &'a Subject) -> Option<(&mut HashMap<String, Container>, &'a String)> {
        match subject {
            Subject::Container(id) => Some((&mut self.containers, id)),
            Subject::Pod(uid) => Some((&mut self.pods, uid)),
            Subject::Rest => None,
        }
    }
}

/// The pod whose the cgroup at a path is, and what it is. `None`: it asks the cgroup above it, in the kernel.
fn part(path: &str) -> Option<(Arc<str>, Part)> {
    let Place { container, pod: OfPod::Uid(pod) } = Place::of_path(path) else { return None };
    let (above, name) = path.rsplit_once('/')?;
    match container {
        // What is within a container asks the container's own cgroup, whatever it is called.
        Some(id) if container_id(name) == Some(&*id) && Place::of_path(above).container.is_none() => {
            Some((pod, Part::Container(id)))
        }
        None if is_pods_own(path) => Some((pod, Part::Pod)),
        None if is_monitors(name) && is_pods_own(above) => Some((pod, Part::Monitor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn path(id: &str) -> String {
        format!("/kubepods/burstable/pod{UID}/{id}")
    }

    fn named(name: &str) -> Container {
        Container { name: name.into(), namespace: "production".into(), ..Container::default() }
    }

    fn pod(identity: Option<Container>) -> Change {
        Change { subject: Subject::Pod(UID.into()), identity }
    }

    fn container(identity: Option<Container>) -> Change {
        Change { subject: Subject::Container(ID.into()), identity }
    }

    fn class(cgroup: u64, container: Container) -> Class {
        Class { cgroup, whose: Whose::Container(container) }
    }

    #[test]
    fn a_new_container_is_its_pods_before_it_is_its_own() {
        let mut c = Classes::default();
        assert_eq!(c.changed(pod(Some(named("")))), []);
        assert_eq!(c.made(7, &path(ID)), Some(class(7, named(""))));
        assert_eq!(c.changed(container(Some(named("web")))), [class(7, named("web"))]);
        // The same again is no news, and the pod's word is less than the container's.
        assert_eq!(c.changed(container(Some(named("web")))), []);
        let labelled = Container { namespace: "staging".into(), ..named("") };
        assert_eq!(c.changed(pod(Some(labelled))), []);
    }

    #[test]
    fn a_cgroup_that_was_there_first_is_classified_when_its_pod_is_known() {
        let mut c = Classes::default();
        assert_eq!(c.made(7, &path(ID)), None);
        assert_eq!(c.changed(pod(Some(named("")))), [class(7, named(""))]);
    }

    #[test]
    fn a_pods_own_cgroup_is_the_pods() {
        for own in [
            format!("/kubepods/burstable/pod{UID}"),
            format!("/sys/fs/cgroup/kubelet/kubepods/pod{UID}"),
            format!("/kubepods.slice/kubepods-burstable-pod{}.slice", UID.replace('-', "_")),
        ] {
            let of_pod = |known: Container| Class { cgroup: 6, whose: Whose::Pod(known) };
            let mut c = Classes::default();
            // Its cgroup, or the API server, may be the first.
            assert_eq!(c.made(6, &own), None);
            assert_eq!(c.changed(pod(Some(named("")))), [of_pod(named(""))], "{own}");
            assert_eq!(c.made(6, &own), Some(of_pod(named(""))));
            // A container is told apart from it, and what is told of one changes nothing of the pod.
            assert_eq!(c.made(7, &format!("{own}/{ID}")), Some(class(7, named(""))));
            assert_eq!(c.changed(container(Some(named("web")))), [class(7, named("web"))]);
            let labelled = Container { namespace: "staging".into(), ..named("") };
            assert_eq!(c.changed(pod(Some(labelled.clone()))), [of_pod(labelled)]);
            // Its last container may end before the next one comes: the pod stays known with its cgroup.
            assert_eq!((c.changed(container(None)), c.changed(pod(None))), (Vec::new(), Vec::new()));
            assert!(c.removed(7) && c.containers.is_empty() && c.pods.len() == 1);
            assert!(c.removed(6) && c.pods.is_empty() && c.gone.is_empty());
        }
    }

    #[test]
    fn what_watches_a_container_is_the_nodes() {
        let pod_path = format!("/kubepods/burstable/pod{UID}");
        let mut c = Classes::default();
        let node = Some(Class { cgroup: 8, whose: Whose::Node });
        assert_eq!(c.made(8, &format!("{pod_path}/crio-conmon-{ID}.scope")), node, "whoever the pod is");
        assert_eq!(c.changed(pod(Some(named("")))), []);
        assert!(c.removed(8));
        // A container chooses its cgroups' names.
        assert_eq!(c.made(8, &format!("{}/crio-conmon-{ID}.scope", path(ID))), None);
        assert_eq!(c.made(8, &format!("{}/pod{UID}/crio-conmon-{ID}.scope", path(ID))), None);
    }

    #[test]
    fn only_a_containers_own_cgroup_counts() {
        let mut c = Classes::default();
        c.changed(container(Some(named("web"))));
        c.changed(pod(Some(named(""))));
        for other in [
            format!("{}/init", path(ID)),
            // A container that may make cgroups gives one its own name.
            format!("{}/{ID}", path(ID)),
            format!("{}/x-{ID}.scope", path(ID)),
            // Or a pod's.
            format!("{}/pod{UID}", path(ID)),
            format!("/kubepods/burstable/pod{UID}/pod{UID}"),
            format!("/kubepods/burstable/pod{UID}/other"),
            "/kubepods/burstable".into(),
            "/user.slice".into(),
        ] {
            assert_eq!(c.made(8, &other), None, "{other}");
            assert!(!c.removed(8));
        }
    }

    #[test]
    fn who_is_gone_keeps_its_class_as_long_as_it_has_a_cgroup() {
        let mut c = Classes::default();
        c.changed(pod(Some(named(""))));
        c.changed(container(Some(named("web"))));
        c.made(7, &path(ID));
        assert_eq!((c.changed(container(None)), c.changed(pod(None))), (Vec::new(), Vec::new()));
        assert_eq!(c.kept().containers.len(), 1, "its processes may still run");
        assert!(c.removed(7) && !c.removed(7));
        assert_eq!((c.kept(), c.containers.len(), c.pods.len()), (Kept::default(), 0, 0));
        // The id of the cgroup is used again, by another container.
        assert_eq!(c.made(7, &path(&ID.replace('0', "f"))), None);
    }

    #[test]
    fn a_restart_goes_on_with_what_was_kept() {
        let mut before = Classes::default();
        before.changed(pod(Some(named(""))));
        before.changed(container(Some(named("web"))));
        before.made(7, &path(ID));
        let text = serde_json::to_string(&before.kept()).unwrap();
        let mut after = Classes::default();
        after.made(7, &path(ID));
        let classes = after.take(serde_json::from_str(&text).unwrap());
        assert_eq!(classes.last(), Some(&class(7, named("web"))));
    }

    /// A cgroup may come while there is no agent.
    #[test]
    fn what_has_no_cgroup_yet_is_kept_too() {
        let mut before = Classes::default();
        before.changed(pod(Some(named(""))));
        before.changed(container(Some(named("web"))));
        let mut after = Classes::default();
        assert_eq!(after.take(before.kept()), []);
        assert_eq!(
            after.kept(),
            before.kept(),
            "also by one that is killed before anybody has reported anything"
        );
        assert_eq!(after.made(7, &path(ID)), Some(class(7, named("web"))));
    }

    #[test]
    fn what_the_first_list_does_not_name_goes_unless_it_has_a_cgroup() {
        let rest = || Change { subject: Subject::Rest, identity: None };
        let other = |n: u8| ID.replace('0', &n.to_string());
        let kept = |ids: &[String]| Kept {
            containers: ids.iter().map(|id| (id.clone(), named("web"))).collect(),
            pods: vec![(UID.into(), named(""))],
        };
        let mut c = Classes::default();
        c.made(7, &path(&other(7)));
        c.take(kept(&[ID.to_owned(), other(7), other(8)]));
        // The list names one of them.
        c.changed(container(Some(named("web"))));
        assert_eq!(c.changed(rest()), []);
        let mut left: Vec<&String> = c.containers.keys().collect();
        left.sort_unstable();
        assert_eq!(left, [&ID.to_owned(), &other(7)]);
        assert_eq!(c.of_container(&other(7)), Some((7, named("web"))), "its processes still run");
        assert!(c.removed(7));
        assert_eq!((c.containers.len(), c.pods.len(), c.gone.len()), (1, 0, 0));
        // Later lists end nothing here: the store tells of each.
        c.changed(rest());
        assert_eq!(c.containers.len(), 1);
    }

    fn of_workload(container: Container) -> Container {
        let workload = (tetragon_api::workload::POD_WORKLOAD.to_owned(), "shop".to_owned());
        Container { labels: [workload].into(), ..container }
    }

    #[test]
    fn the_runtime_tells_the_name_and_the_api_server_the_pod() {
        let mut c = Classes::default();
        assert_eq!(c.changed(container(Some(named("web")))), []);
        assert_eq!(c.made(7, &path(ID)), Some(class(7, named("web"))), "there is nothing but its word");
        let both = of_workload(named("web"));
        assert_eq!(c.changed(pod(Some(of_workload(named(""))))), [class(7, both.clone())]);
        assert_eq!(c.of_container(ID), Some((7, both.clone())));
        // The same, from the kubelet.
        assert_eq!(c.changed(container(Some(both))), []);
    }

    #[test]
    fn the_runtimes_word_replaces_none_that_knows_more() {
        let mut c = Classes::default();
        let known = of_workload(named("web"));
        c.made(7, &path(ID));
        c.take(Kept { containers: vec![(ID.into(), known.clone())], pods: Vec::new() });
        let old = Container { labels: [("app".to_owned(), "old".to_owned())].into(), ..named("web") };
        assert_eq!(c.changed(container(Some(old))), []);
        assert_eq!(c.of_container(ID), Some((7, known)));
    }
}
