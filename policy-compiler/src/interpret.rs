//! The language's reference interpreter: what a hook decides about a call, on plain values. It is the
//! specification that the kernel's decisions are tested against, so it is kept obvious, not fast.

use tetragon_api::plan::{Hook, IntRange, Matcher, NamespaceValue, Plan, TextOp, UnknownContainers};
use tetragon_api::workload::{Container, Workloads};

/// A call of a hooked function, as a policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Path of the calling process's executable, as it was at exec. `None` for a kernel thread: it
    /// is equal to no path.
    pub binary: Option<String>,
    /// The same of its parent.
    pub parent_binary: Option<String>,
    /// The calling process, and then its ancestors as far as they are known, the parent first.
    pub lineage: Vec<Process>,
    /// Where the calling process runs.
    pub workload: Workload,
    /// Inode numbers of the calling task's namespaces, by [`tetragon_api::plan::NamespaceKind`].
    pub namespaces: [u32; 10],
    /// Those of the node's first process.
    pub host_namespaces: [u32; 10],
    /// The values of [`Hook::args`], in its order.
    pub args: Vec<Value>,
}

/// A process, by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Thread group id, as the host sees it.
    pub pid: u32,
    /// Thread group id in the innermost PID namespace; 0 in the host's.
    pub namespace_pid: u32,
}

/// Where a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// In no pod.
    Host,
    /// In a container that is known.
    Container(Container),
    /// In a container of which nothing is known yet.
    Unknown,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of an integer type.
    Int(i128),
    /// Of a text type.
    Text(String),
    /// It could not be read, or has no text (a pipe has no path). No matcher on it matches, negated
    /// or not.
    Missing,
}

/// The selector of a plan's hook that decides about a call: the first that matches. `None`: the call is
/// not reported.
pub fn decide(plan: &Plan, hook: &Hook, call: &Call) -> Option<usize> {
    let unknown = plan.unknown_containers;
    if plan.workloads.as_ref().is_some_and(|asked| !runs_in(asked, unknown, &call.workload)) {
        return None;
    }
    hook.selectors.iter().position(|s| s.matchers.iter().all(|m| matches(m, unknown, call)))
}

/// A question about the workload. What asks nothing holds for every process.
fn runs_in(asked: &Workloads, unknown: UnknownContainers, workload: &Workload) -> bool {
    let known = match workload {
        Workload::Host => asked.select(None),
        Workload::Container(container) => {
            let may = unknown == UnknownContainers::FailClosed
                && asked.pods.as_ref().is_some_and(|pods| pods.may_select(container));
            asked.select(Some(container)) || may
        }
        Workload::Unknown => unknown == UnknownContainers::FailClosed && asked.pods.is_some(),
    };
    known || asked.is_everything()
}

/// One matcher on a call.
pub fn matches(matcher: &Matcher, unknown: UnknownContainers, call: &Call) -> bool {
    match matcher {
        Matcher::Binary { op, not, values } => path(call.binary.as_deref(), *op, values) != *not,
        Matcher::ParentBinary { op, not, values } => path(call.parent_binary.as_deref(), *op, values) != *not,
        Matcher::Pid { not, follow_forks, namespace_pid, values } => {
            let looked_at = if *follow_forks { call.lineage.len() } else { 1 };
            let id = |p: &Process| if *namespace_pid { p.namespace_pid } else { p.pid };
            let found = call.lineage.iter().take(looked_at).any(|p| values.contains(&id(p)));
            found != *not
        }
        Matcher::Namespace { namespace, not, values } => {
            let own = call.namespaces[*namespace as usize];
            let host = call.host_namespaces[*namespace as usize];
            let found = values.iter().any(|v| match v {
                NamespaceValue::Host => own == host,
                NamespaceValue::Inum(number) => own == *number,
            });
            found != *not
        }
        Matcher::Text { arg, op, not, values } => match call.args.get(*arg) {
            Some(Value::Text(text)) => path(Some(text), *op, values) != *not,
            _ => false,
        },
        Matcher::Int { arg, not, ranges } => match call.args.get(*arg) {
            Some(Value::Int(int)) => ranges.iter().any(|r| within(*int, *r)) != *not,
            _ => false,
        },
        Matcher::Mask { arg, mask } => match call.args.get(*arg) {
            Some(Value::Int(int)) => int & i128::from(*mask) != 0,
            _ => false,
        },
        Matcher::Workload(asked) => runs_in(asked, unknown, &call.workload),
    }
}

fn path(text: Option<&str>, op: TextOp, values: &[String]) -> bool {
    let Some(text) = text else { return false };
    values.iter().any(|v| match op {
        TextOp::Equal => text == v,
        TextOp::Prefix => text.starts_with(v.as_str()),
        TextOp::Postfix => text.ends_with(v.as_str()),
    })
}

fn within(int: i128, range: IntRange) -> bool {
    range.min <= int && int <= range.max
}

#[cfg(test)]
mod tests {
    use tetragon_api::workload::{POD_NAMESPACE, POD_WORKLOAD_KIND};

    use super::*;
    use crate::compile_yaml;

    fn plan(selectors: &str) -> Plan {
        policy("TracingPolicy", "[]", "", selectors)
    }

    fn policy(kind: &str, options: &str, spec: &str, selectors: &str) -> Plan {
        let metadata = if kind == "TracingPolicy" { "{name: p}" } else { "{name: p, namespace: shop}" };
        let text = format!(
            "apiVersion: cilium.io/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec:\n  options: {options}\n{spec}  kprobes:\n  \
             - call: security_mmap_file\n    syscall: false\n    args:\n    - {{index: 0, type: file}}\n    \
             - {{index: 1, type: int}}\n    selectors: {selectors}\n"
        );
        let compiled = compile_yaml("p.yaml", &text);
        let plan = compiled.policies.into_iter().next().and_then(|p| p.plan);
        plan.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
    }

    fn decide(plan: &Plan, call: &Call) -> Option<usize> {
        super::decide(plan, &plan.hooks[0], call)
    }

    fn call() -> Call {
        Call {
            binary: Some("/usr/bin/cat".into()),
            parent_binary: Some("/usr/bin/bash".into()),
            lineage: vec![
                Process { pid: 100, namespace_pid: 7 },
                Process { pid: 90, namespace_pid: 1 },
                Process { pid: 1, namespace_pid: 0 },
            ],
            workload: Workload::Host,
            namespaces: [10, 11, 12, 99, 14, 15, 16, 17, 18, 19],
            host_namespaces: [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
            args: vec![Value::Text("/etc/shadow".into()), Value::Int(-1)],
        }
    }

    #[test]
    fn each_matcher_decides_as_the_language_says() {
        for (selector, expected) in [
            ("[{}]", true),
            ("[{matchBinaries: [{operator: In, values: [/bin/x, /usr/bin/cat]}]}]", true),
            ("[{matchBinaries: [{operator: NotIn, values: [/bin/x, /usr/bin/cat]}]}]", false),
            ("[{matchBinaries: [{operator: Postfix, values: [/cat]}]}]", true),
            ("[{matchBinaries: [{operator: NotPrefix, values: [/usr/sbin/]}]}]", true),
            ("[{matchParentBinaries: [{operator: Prefix, values: [/usr/bin/ba]}]}]", true),
            ("[{matchParentBinaries: [{operator: In, values: [/usr/bin/cat]}]}]", false),
            ("[{matchPIDs: [{operator: In, values: [100]}]}]", true),
            ("[{matchPIDs: [{operator: In, values: [90, 1]}]}]", false),
            ("[{matchPIDs: [{operator: In, followForks: true, values: [1]}]}]", true),
            ("[{matchPIDs: [{operator: NotIn, followForks: true, values: [90]}]}]", false),
            ("[{matchPIDs: [{operator: In, isNamespacePID: true, values: [7]}]}]", true),
            ("[{matchPIDs: [{operator: In, isNamespacePID: true, values: [1]}]}]", false),
            ("[{matchPIDs: [{operator: In, isNamespacePID: true, followForks: true, values: [1]}]}]", true),
            ("[{matchNamespaces: [{namespace: Pid, operator: NotIn, values: [host_ns]}]}]", true),
            ("[{matchNamespaces: [{namespace: Net, operator: NotIn, values: [host_ns]}]}]", false),
            ("[{matchNamespaces: [{namespace: Pid, operator: In, values: ['99', host_ns]}]}]", true),
            ("[{matchArgs: [{index: 0, operator: Equal, values: [/etc/shadow]}]}]", true),
            ("[{matchArgs: [{index: 0, operator: NotEqual, values: [/etc/passwd, /etc/shadow]}]}]", false),
            ("[{matchArgs: [{index: 0, operator: Prefix, values: [/etc/]}]}]", true),
            ("[{matchArgs: [{index: 0, operator: NotPostfix, values: [dow]}]}]", false),
            ("[{matchArgs: [{index: 1, operator: Equal, values: ['-1']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: GT, values: ['100']}]}]", false),
            ("[{matchArgs: [{index: 1, operator: LT, values: ['0']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: NotInRange, values: ['-5:-2']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: Mask, values: ['0x1000']}]}]", true),
            ("[{matchArgs: [{index: 1, operator: InMap, values: ['3', '-2:0']}]}]", true),
            ("[{matchArgs: [{args: [1], index: 0, operator: NotEqual, values: ['5']}]}]", true),
        ] {
            assert_eq!(decide(&plan(selector), &call()).is_some(), expected, "{selector}");
        }
    }

    #[test]
    fn matchers_are_anded_and_the_first_selector_decides() {
        let plan = plan(
            "[{matchArgs: [{index: 0, operator: Prefix, values: [/etc]}, {index: 1, operator: Equal, values: ['5']}]}, \
             {matchBinaries: [{operator: In, values: [/usr/bin/cat]}]}, {}]",
        );
        assert_eq!(decide(&plan, &call()), Some(1));
        let five = Call { args: vec![Value::Text("/etc/x".into()), Value::Int(5)], ..call() };
        assert_eq!(decide(&plan, &five), Some(0));
        assert_eq!(decide(&plan, &Call { binary: None, ..call() }), Some(2));
    }

    #[test]
    fn what_could_not_be_read_matches_nothing() {
        let missing = Call { args: vec![Value::Missing, Value::Missing], ..call() };
        for selector in [
            "[{matchArgs: [{index: 0, operator: NotEqual, values: [/x]}]}]",
            "[{matchArgs: [{index: 0, operator: Prefix, values: [/]}]}]",
            "[{matchArgs: [{index: 1, operator: NotEqual, values: ['5']}]}]",
            "[{matchArgs: [{index: 1, operator: Mask, values: ['1']}]}]",
        ] {
            assert_eq!(decide(&plan(selector), &missing), None, "{selector}");
        }
        let unknown = Call { binary: None, ..call() };
        assert!(decide(&plan("[{matchBinaries: [{operator: NotIn, values: [/x]}]}]"), &unknown).is_some());
        assert!(decide(&plan("[{matchBinaries: [{operator: In, values: [/x]}]}]"), &unknown).is_none());
    }

    fn web() -> Container {
        Container {
            namespace: "shop".into(),
            labels: [("app", "web"), (POD_NAMESPACE, "shop"), (POD_WORKLOAD_KIND, "Deployment")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            name: "nginx".into(),
            repo: "docker.io/library/nginx".into(),
        }
    }

    /// What a question says of: the host, a container, one of another namespace, an unknown one, and an
    /// unknown one when it fails closed.
    fn judged(kind: &str, spec: &str, selectors: &str) -> [bool; 5] {
        let plan = |option: &str| {
            policy(kind, &format!("[{{name: unknown-containers, value: {option}}}]"), spec, selectors)
        };
        let (open, closed) = (plan("fail-open"), plan("fail-closed"));
        let mut other = web();
        other.namespace = "bank".into();
        other.labels.insert(POD_NAMESPACE.into(), "bank".into());
        let runs = |plan: &Plan, workload: Workload| decide(plan, &Call { workload, ..call() }).is_some();
        [
            runs(&open, Workload::Host),
            runs(&open, Workload::Container(web())),
            runs(&open, Workload::Container(other)),
            runs(&open, Workload::Unknown),
            runs(&closed, Workload::Unknown),
        ]
    }

    /// The table of Tetragon's documentation, and what is not known.
    #[test]
    fn workloads_decide_as_the_language_says() {
        let label = "{matchLabels: {app: web}}";
        let no_label = "{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}";
        let shop = format!("{{matchLabels: {{\"{POD_NAMESPACE}\": shop}}}}");
        let nginx = "{matchExpressions: [{key: repo, operator: In, values: [docker.io/library/nginx]}]}";
        let sidecar = "{matchLabels: {name: sidecar}}";
        for (asked, expected) in [
            (vec![], [true, true, true, true, true]),
            (vec![("podSelector", "{}")], [false, true, true, false, true]),
            (vec![("podSelector", label)], [false, true, true, false, true]),
            (vec![("podSelector", no_label)], [false, false, false, false, true]),
            (vec![("podSelector", shop.as_str())], [false, true, false, false, true]),
            (vec![("containerSelector", nginx)], [false, true, true, false, true]),
            (vec![("containerSelector", sidecar)], [false, false, false, false, true]),
            (
                vec![("podSelector", label), ("containerSelector", sidecar)],
                [false, false, false, false, true],
            ),
            (vec![("hostSelector", "{}")], [true, false, false, false, false]),
            (vec![("hostSelector", "{}"), ("podSelector", "{}")], [true, true, true, true, true]),
            (vec![("hostSelector", "{}"), ("podSelector", &shop)], [true, true, false, false, true]),
            (vec![("hostSelector", "{}"), ("containerSelector", sidecar)], [true, false, false, false, true]),
        ] {
            let of_policy: String = asked.iter().map(|(key, value)| format!("  {key}: {value}\n")).collect();
            assert_eq!(judged("TracingPolicy", &of_policy, "[{}]"), expected, "{of_policy}");
            let fields: Vec<_> = asked.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            let of_selector = format!("[{{matchWorkloads: {{{}}}}}]", fields.join(", "));
            assert_eq!(judged("TracingPolicy", "", &of_selector), expected, "{of_selector}");
        }
    }

    #[test]
    fn a_namespaced_policy_is_for_pods_of_its_namespace() {
        let kind = "TracingPolicyNamespaced";
        assert_eq!(judged(kind, "", "[{}]"), [false, true, false, false, true]);
        assert_eq!(judged(kind, "  podSelector: {}\n", "[{}]"), [false, true, false, false, true]);
        let other = "  podSelector: {matchLabels: {app: other}}\n";
        assert_eq!(judged(kind, other, "[{}]"), [false, false, false, false, true]);
        let selectors = "[{matchWorkloads: {podSelector: {matchLabels: {app: other}}}}, {}]";
        let plan = policy(kind, "[]", "", selectors);
        let in_web = Call { workload: Workload::Container(web()), ..call() };
        assert_eq!(decide(&plan, &in_web), Some(1), "the first selector is for others");
    }
}
