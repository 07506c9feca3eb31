//! Workloads: which processes of a node a policy, or one of its selectors, is for; and what is known of
//! the container that a process runs in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::policy::LabelSelector;

/// Label of a pod's namespace, as Tetragon adds it.
pub const POD_NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";
/// Label of a pod's own name. Tetragon has only [`POD_NAMESPACE`]; this and the two below are named after
/// it and after the fields of an event's `process.pod`.
pub const POD_NAME: &str = "k8s:io.kubernetes.pod.name";
/// Label of the name of a pod's workload: of its Deployment, not of the ReplicaSet between.
pub const POD_WORKLOAD: &str = "k8s:io.kubernetes.pod.workload";
/// Label of the kind of a pod's workload: `Deployment`.
pub const POD_WORKLOAD_KIND: &str = "k8s:io.kubernetes.pod.workload_kind";

/// The labels that every pod has besides its own. No pod can have one of its own: Kubernetes allows no
/// colon in a label's name.
pub const EXTRA_LABELS: [&str; 4] = [POD_NAMESPACE, POD_NAME, POD_WORKLOAD, POD_WORKLOAD_KIND];

/// The fields of a container that `containerSelector` looks at.
pub const CONTAINER_FIELDS: [&str; 2] = ["name", "repo"];

/// `podSelector`, `containerSelector` and `hostSelector`, normalised: a process is meant if it is of the
/// node itself and `host` is set, or if it runs in a container that `pods` selects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workloads {
    /// `hostSelector: {}`: processes in no pod.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
    /// Containers of pods; `None`: none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
}

/// Which containers of which pods; what is `None` asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pods {
    /// The namespace of a TracingPolicyNamespaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `podSelector`, on [`Container::labels`]. Its lists are sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelSelector>,
    /// `containerSelector`, on the fields `name` and `repo`. Its lists are sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<LabelSelector>,
}

/// What policies can ask of a container. What is not known yet is not there: an empty name or repository, or
/// one of [`EXTRA_LABELS`] that is missing. What asks for it is not decided, rather than answered by its lack.
///
/// Agents leave it to their successors, which may be of another version: what one does not know it passes over.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Namespace of its pod.
    pub namespace: String,
    /// Labels of its pod, and [`EXTRA_LABELS`].
    pub labels: BTreeMap<String, String>,
    /// Its name in the pod.
    pub name: String,
    /// Repository of its image, without tag and digest: `docker.io/library/nginx`.
    pub repo: String,
}

impl Container {
    /// It is known for what its pod was made: the API server has told of the pod, not its runtime alone.
    pub fn knows_workload(&self) -> bool {
        self.labels.contains_key(POD_WORKLOAD)
    }
}

impl Workloads {
    /// Every process is meant, wherever it runs: nothing is asked.
    pub fn is_everything(&self) -> bool {
        self.host && self.pods.as_ref().is_some_and(Pods::is_everything)
    }

    /// Whether a process is meant: `None` is a process in no pod.
    pub fn select(&self, container: Option<&Container>) -> bool {
        match container {
            None => self.host,
            Some(container) => self.pods.as_ref().is_some_and(|pods| pods.select(container)),
        }
    }
}

/// What a whole policy chooses among pods: a container of which all of one of the lists are.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice(pub(crate) Vec<Vec<Workloads>>);

impl From<Workloads> for Choice {
    fn from(one: Workloads) -> Choice {
        Choice(vec![vec![one]])
    }
}

impl Choice {
    /// Whether a container is chosen.
    pub fn select(&self, container: &Container) -> bool {
        self.0.iter().any(|all| all.iter().all(|w| w.select(Some(container))))
    }
}

impl Pods {
    /// Every container of every pod is meant: an empty selector asks nothing.
    fn is_everything(&self) -> bool {
        self.namespace.is_none() && !asks(self.labels.as_ref()) && !asks(self.containers.as_ref())
    }

    /// Whether a container is meant. One of which something that is asked for is not known is not.
    pub fn select(&self, container: &Container) -> bool {
        // Asked a thousand times for a new container: most policies are told apart by labels alone.
        if !self.may_select(container) {
            return false;
        }
        let fields = self.fields(container);
        let decided = |selector: Option<&LabelSelector>, labels, of: &[&str]| {
            selector.is_none_or(|s| keys(s).all(|key| is_known(key, labels, of)))
        };
        decided(self.labels.as_ref(), &container.labels, &EXTRA_LABELS)
            && decided(self.containers.as_ref(), &fields, &CONTAINER_FIELDS)
    }

    /// Whether a container is meant, or can be as soon as all that is asked for is known.
    pub fn may_select(&self, container: &Container) -> bool {
        let fields = self.fields(container);
        let may = |selector: Option<&LabelSelector>, labels, of: &[&str]| {
            selector.is_none_or(|s| may_match(s, labels, of))
        };
        self.namespace.as_ref().is_none_or(|namespace| *namespace == container.namespace)
            && may(self.labels.as_ref(), &container.labels, &EXTRA_LABELS)
            && may(self.containers.as_ref(), &fields, &CONTAINER_FIELDS)
    }

    /// The fields of a container that are known; none if none is asked for.
    fn fields(&self, container: &Container) -> BTreeMap<String, String> {
        let [name, repo] = CONTAINER_FIELDS;
        let all = [(name, &container.name), (repo, &container.repo)];
        let known = all.into_iter().filter(|(_, value)| self.containers.is_some() && !value.is_empty());
        known.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    }
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &str> {
    selector.match_labels.keys().chain(selector.match_expressions.iter().map(|r| &r.key)).map(String::as_str)
}

/// Whether it is known what a container has under this key. What everybody has (`of`) is there if it is known.
fn is_known(key: &str, labels: &BTreeMap<String, String>, of: &[&str]) -> bool {
    !of.contains(&key) || labels.contains_key(key)
}

/// Whether what is known fulfils what is asked of it.
fn may_match(selector: &LabelSelector, labels: &BTreeMap<String, String>, of: &[&str]) -> bool {
    let LabelSelector { match_labels, match_expressions } = selector;
    match_labels.iter().all(|(key, value)| !is_known(key, labels, of) || labels.get(key) == Some(value))
        && match_expressions.iter().all(|r| !is_known(&r.key, labels, of) || r.matches(labels))
}

fn asks(selector: Option<&LabelSelector>) -> bool {
    selector.is_some_and(|s| !s.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{LabelOperator, LabelRequirement};

    fn selector(key: &str, value: &str) -> Option<LabelSelector> {
        let match_labels = [(key.to_owned(), value.to_owned())].into();
        Some(LabelSelector { match_labels, ..LabelSelector::default() })
    }

    fn container() -> Container {
        Container {
            namespace: "production".into(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            name: "nginx".into(),
            repo: "docker.io/library/nginx".into(),
        }
    }

    /// The table of Tetragon's documentation.
    #[test]
    fn host_and_pods_are_asked_for_apart() {
        let (inside, outside) = (container(), None);
        let any = Workloads { host: false, pods: Some(Pods::default()) };
        assert!(any.select(Some(&inside)) && !any.select(outside));
        let host = Workloads { host: true, pods: None };
        assert!(!host.select(Some(&inside)) && host.select(outside));
        let both = Workloads { host: true, pods: Some(Pods::default()) };
        assert!(both.select(Some(&inside)) && both.select(outside));
    }

    #[test]
    fn everything_is_asked_for_only_without_a_selector() {
        let any = Some(Pods::default());
        assert!(Workloads { host: true, pods: any.clone() }.is_everything());
        assert!(!Workloads { host: false, pods: any }.is_everything());
        let some = Pods { labels: selector("app", "web"), ..Pods::default() };
        assert!(!Workloads { host: true, pods: Some(some) }.is_everything());
        assert!(!Workloads { host: true, pods: None }.is_everything());
    }

    #[test]
    fn an_empty_selector_asks_nothing() {
        let empty = Some(LabelSelector::default());
        let pods = Pods { namespace: None, labels: empty.clone(), containers: empty };
        assert!(pods.select(&Container::default()));
        assert!(Workloads { host: true, pods: Some(pods) }.is_everything());
    }

    #[test]
    fn all_that_is_asked_of_a_container_must_hold() {
        let wanted = Pods {
            namespace: Some("production".into()),
            labels: selector("app", "web"),
            containers: selector("repo", "docker.io/library/nginx"),
        };
        assert!(wanted.select(&container()));
        let unnamed = Container { name: String::new(), repo: String::new(), ..container() };
        assert!(!wanted.select(&unnamed) && wanted.may_select(&unnamed));
        let unnamed = Container { repo: "docker.io/library/redis".into(), ..unnamed };
        assert!(!wanted.may_select(&unnamed), "what is known decides");
        for other in [
            Container { namespace: "staging".into(), ..container() },
            Container { labels: BTreeMap::new(), ..container() },
            Container { repo: "docker.io/library/redis".into(), ..container() },
        ] {
            assert!(!wanted.select(&other), "{other:?}");
        }
    }

    /// The runtime tells labels, but not for what a pod was made: neither `In` nor `NotIn` is answered by that.
    #[test]
    fn what_is_not_known_yet_decides_nothing() {
        let requirement = |key: &str, operator| LabelSelector {
            match_expressions: vec![LabelRequirement {
                key: key.to_owned(),
                operator,
                values: vec!["web".to_owned()],
            }],
            ..LabelSelector::default()
        };
        use LabelOperator::{DoesNotExist, In, NotIn};
        let told = container();
        for (key, operator, select, may) in [
            (POD_WORKLOAD, In, false, true),
            (POD_WORKLOAD, NotIn, false, true),
            (POD_WORKLOAD_KIND, DoesNotExist, false, true),
            ("app", In, true, true),
            ("app", NotIn, false, false),
            ("tier", NotIn, true, true),
            ("tier", In, false, false),
        ] {
            let pods = Pods { labels: Some(requirement(key, operator)), ..Pods::default() };
            assert_eq!((pods.select(&told), pods.may_select(&told)), (select, may), "{key} {operator:?}");
        }
        let unnamed = Container { name: String::new(), ..container() };
        let pods = Pods { containers: Some(requirement("name", NotIn)), ..Pods::default() };
        assert!(!pods.select(&unnamed) && pods.may_select(&unnamed) && pods.select(&container()));
    }
}
