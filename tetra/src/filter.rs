//! The filters of `tetra getevents`: as a request for the agent, and applied here to events from
//! stdin.

use tetragon_api::event::{EventType, Filter, GetEventsResponse};
use tetragon_filters::{FilterError, FilterList, Filters, Reason};

use crate::cli::Getevents;

/// Which flag a member of the filter comes from.
const FLAGS: [(&str, &str); 5] = [
    ("binary_regex", "--process"),
    ("namespace_regex", "--namespace-regex"),
    ("pod_regex", "--pod"),
    ("container_name_regex", "--containers"),
    ("cel_expression", "--cel-expression"),
];

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
        cel_expression: options.cel_expression.clone(),
        ..Filter::default()
    }
}

/// The event is of one of these workloads; none are all. The API has no such filter.
pub(crate) fn is_of_workload(event: &GetEventsResponse, workloads: &[String]) -> bool {
    let pod = event.process().and_then(|p| p.pod.as_ref());
    workloads.is_empty() || pod.is_some_and(|p| workloads.contains(&p.workload))
}

/// The filter, ready to be applied. Fails on an expression that is none, with its flag.
pub(crate) fn matcher(filter: &Filter) -> anyhow::Result<Filters> {
    let allow = FilterList::new(std::slice::from_ref(filter)).map_err(|e| of_flag(&e))?;
    Ok(Filters::new(allow, FilterList::default()))
}

fn of_flag(error: &FilterError) -> anyhow::Error {
    let text = error.reason.to_string();
    let (field, rest) = match &error.reason {
        Reason::Regex { field, source, .. } | Reason::Regexes { field, source } => {
            (*field, format!("not a regular expression: {source}"))
        }
        Reason::Cel { source, .. } => ("cel_expression", source.to_string()),
        _ => return anyhow::anyhow!("--{text}"),
    };
    let flag = FLAGS.iter().find(|(member, _)| *member == field).map_or(field, |(_, flag)| *flag);
    anyhow::anyhow!("{flag}: {rest}")
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

    fn matches(filter: &Filter, event: &GetEventsResponse) -> bool {
        matcher(filter).expect("a filter").pass(event)
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
                Filter {
                    cel_expression: list("process_kprobe.process.binary.endsWith('curl')"),
                    ..Filter::default()
                },
                false,
                true,
            ),
            (
                Filter { policy_names: list("p1"), namespace: list("other"), ..Filter::default() },
                false,
                false,
            ),
        ] {
            assert_eq!(matches(&filter, &host), on_host, "{filter:?}");
            assert_eq!(matches(&filter, &pod), on_pod, "{filter:?}");
        }
    }

    #[test]
    fn an_event_without_a_process_is_no_host_event() {
        let throttle: GetEventsResponse =
            serde_json::from_value(json!({"process_throttle": {"cgroup": "c"}})).expect("an event");
        assert!(!matches(&Filter { namespace: vec![String::new()], ..Filter::default() }, &throttle));
        assert!(matches(&Filter::default(), &throttle));
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
        let list = |s: &str| vec![s.to_owned()];
        for (filter, start) in [
            (Filter { pod_regex: list("("), ..Filter::default() }, "--pod: not a regular expression: "),
            (
                Filter { labels: list("app is x"), ..Filter::default() },
                "--labels: \"app is x\" is no label selector",
            ),
            (
                Filter { cel_expression: list("process_exec.pid == 1u"), ..Filter::default() },
                "--cel-expression: `process_exec.pid == 1u`: line 1, column 13: there is no field `pid`",
            ),
        ] {
            let error = format!("{:#}", matcher(&filter).expect_err("refused"));
            assert!(error.starts_with(start), "{error}");
        }
    }
}
