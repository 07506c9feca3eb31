//! The filters of `tetra getevents`: as a request for the agent, and applied here to events from
//! stdin.

use anyhow::Context;
use regex::RegexSet;
use tetragon_api::event::{EventType, Filter, GetEventsResponse, Pod};
use tetragon_api::selector::TextSelector;

use crate::cli::Getevents;

/// The filter that the command line asks for. Its fields are ANDed, a field's values ORed.
pub(crate) fn from_options(options: &Getevents) -> Filter {
    let mut namespace = options.namespace.clone();
    if options.host {
        // Events of no pod.
        namespace.push(String::new());
    }
    let types = if options.process_only {
        &[EventType::ProcessExec, EventType::ProcessExit][..]
    } else {
        &options.event_types[..]
    };
    Filter {
        binary_regex: options.process.clone(),
        namespace,
        namespace_regex: options.namespace_regex.clone(),
        pod_regex: options.pod.clone(),
        labels: options.labels.clone(),
        container_name_regex: options.containers.clone(),
        event_set: types.iter().map(|t| *t as i32).collect(),
        policy_names: options.policy_names.clone(),
        ..Filter::default()
    }
}

/// A filter of the command line, ready to be applied.
pub(crate) struct Matcher {
    filter: Filter,
    binary: Option<RegexSet>,
    namespace: Option<RegexSet>,
    pod: Option<RegexSet>,
    container: Option<RegexSet>,
    labels: Vec<TextSelector>,
}

/// The event is of one of these workloads; none are all. The API has no such filter.
pub(crate) fn is_of_workload(event: &GetEventsResponse, workloads: &[String]) -> bool {
    let pod = event.process().and_then(|p| p.pod.as_ref());
    workloads.is_empty() || pod.is_some_and(|p| workloads.contains(&p.workload))
}

impl Matcher {
    /// Fails on an expression that is none.
    pub(crate) fn new(filter: Filter) -> anyhow::Result<Self> {
        Ok(Self {
            binary: expressions("--process", &filter.binary_regex)?,
            namespace: expressions("--namespace-regex", &filter.namespace_regex)?,
            pod: expressions("--pod", &filter.pod_regex)?,
            container: expressions("--containers", &filter.container_name_regex)?,
            labels: filter
                .labels
                .iter()
                .map(|l| TextSelector::parse(l))
                .collect::<Result<_, _>>()
                .context("--labels")?,
            filter,
        })
    }

    /// Whether the event is wanted.
    pub(crate) fn matches(&self, event: &GetEventsResponse) -> bool {
        let Filter { event_set, policy_names, namespace, .. } = &self.filter;
        let process = event.process();
        let pod: Option<&Pod> = process.and_then(|p| p.pod.as_ref());
        // An event without a process has no namespace either, not even none.
        let ns = process.map(|_| pod.map_or("", |p| p.namespace.as_str()));
        let container = pod.and_then(|p| p.container.as_ref());
        (event_set.is_empty() || event_set.contains(&(event.event_type() as i32)))
            && (policy_names.is_empty()
                || event.policy_name().is_some_and(|n| policy_names.iter().any(|p| p == n)))
            && (namespace.is_empty() || ns.is_some_and(|ns| namespace.iter().any(|n| n == ns)))
            && is_match(self.namespace.as_ref(), ns)
            && is_match(self.binary.as_ref(), process.map(|p| p.binary.as_str()))
            && is_match(self.pod.as_ref(), pod.map(|p| p.name.as_str()))
            && (self.labels.is_empty()
                || pod.is_some_and(|p| self.labels.iter().any(|l| l.matches(&p.pod_labels))))
            && is_match(self.container.as_ref(), container.map(|c| c.name.as_str()))
    }
}

/// The expressions of a flag; `None` if it is not given.
fn expressions(flag: &str, list: &[String]) -> anyhow::Result<Option<RegexSet>> {
    if list.is_empty() {
        return Ok(None);
    }
    RegexSet::new(list).map(Some).with_context(|| format!("{flag}: not a regular expression"))
}

/// No expressions match anything; some match no missing value.
fn is_match(set: Option<&RegexSet>, value: Option<&str>) -> bool {
    set.is_none_or(|set| value.is_some_and(|v| set.is_match(v)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, binary: &str, pod: Option<(&str, &str)>, policy: &str) -> GetEventsResponse {
        let mut process = json!({"binary": binary});
        if let Some((namespace, name)) = pod {
            process["pod"] = json!({
                "namespace": namespace, "name": name, "container": {"name": "main"},
                "pod_labels": {"app": "wing"}, "workload": "xwing",
            });
        }
        serde_json::from_value(json!({kind: {"process": process, "policy_name": policy}})).expect("an event")
    }

    fn matches(filter: Filter, event: &GetEventsResponse) -> bool {
        Matcher::new(filter).expect("a filter").matches(event)
    }

    #[test]
    fn each_field_selects() {
        let host = event("process_exec", "/bin/ls", None, "");
        let pod = event("process_kprobe", "/usr/bin/curl", Some(("default", "xwing-1")), "p1");
        let list = |s: &str| vec![s.to_owned()];
        // A filter, whether the host's exec matches, whether the pod's kprobe does.
        for (filter, on_host, on_pod) in [
            (Filter::default(), true, true),
            (Filter { event_set: vec![EventType::ProcessExec as i32], ..Filter::default() }, true, false),
            (Filter { namespace: list(""), ..Filter::default() }, true, false),
            (Filter { namespace: list("default"), ..Filter::default() }, false, true),
            (Filter { namespace: list("def"), ..Filter::default() }, false, false),
            (Filter { namespace_regex: list("^def"), ..Filter::default() }, false, true),
            (Filter { pod_regex: list("xwing"), ..Filter::default() }, false, true),
            (Filter { pod_regex: list(""), ..Filter::default() }, false, true),
            (Filter { labels: list("app in (wing)"), ..Filter::default() }, false, true),
            (Filter { labels: list("app!=wing"), ..Filter::default() }, false, false),
            (Filter { container_name_regex: list("^main$"), ..Filter::default() }, false, true),
            (Filter { binary_regex: vec!["curl$".into(), "^/bin".into()], ..Filter::default() }, true, true),
            (Filter { policy_names: list("p1"), ..Filter::default() }, false, true),
            (
                Filter { policy_names: list("p1"), namespace: list("other"), ..Filter::default() },
                false,
                false,
            ),
        ] {
            assert_eq!(matches(filter.clone(), &host), on_host, "{filter:?}");
            assert_eq!(matches(filter.clone(), &pod), on_pod, "{filter:?}");
        }
    }

    #[test]
    fn an_event_without_a_process_is_no_host_event() {
        let throttle: GetEventsResponse =
            serde_json::from_value(json!({"process_throttle": {"cgroup": "c"}})).expect("an event");
        assert!(!matches(Filter { namespace: vec![String::new()], ..Filter::default() }, &throttle));
        assert!(matches(Filter::default(), &throttle));
    }

    #[test]
    fn workloads_are_named() {
        let host = event("process_exec", "/bin/ls", None, "");
        let pod = event("process_exec", "/bin/ls", Some(("default", "xwing-1")), "");
        let of = |event, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            is_of_workload(event, &names)
        };
        assert!(of(&host, &[]) && of(&pod, &[]) && of(&pod, &["db", "xwing"]));
        assert!(!of(&host, &["xwing"]) && !of(&pod, &["xw"]));
    }

    #[test]
    fn a_wrong_expression_names_its_flag() {
        let filter = Filter { pod_regex: vec!["(".into()], ..Filter::default() };
        let error = format!("{:#}", Matcher::new(filter).err().expect("refused"));
        assert!(error.starts_with("--pod: not a regular expression: "), "{error}");
        let filter = Filter { labels: vec!["app is x".into()], ..Filter::default() };
        let error = format!("{:#}", Matcher::new(filter).err().expect("refused"));
        assert!(error.starts_with("--labels: \"app is x\" is no label selector"), "{error}");
    }
}
