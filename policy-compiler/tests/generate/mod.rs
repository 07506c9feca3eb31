//! Random policies and calls, from a small alphabet so that values meet.

use proptest::prelude::*;
use proptest::sample::select;
use tetragon_api::plan::{IntRange, Matcher, NamespaceKind, NamespaceValue, TextOp};
use tetragon_api::policy::{LabelOperator, LabelRequirement, LabelSelector};
use tetragon_api::workload::{Container, Pods, Workloads};
use tetragon_compiler::interpret;

/// A policy up to its selectors: argument 0 is a file, 1 an int.
pub(crate) const HEAD: &str = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  kprobes:\n  - call: \
                    security_mmap_file\n    syscall: false\n    args:\n    - {index: 0, type: file}\n    - {index: 1, type: int}\n";

/// A matcher as one line of YAML, from pieces whose order must not matter.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    field: &'static str,
    head: String,
    values: Vec<String>,
}

impl Line {
    fn write(&self, values: &[String]) -> String {
        format!("{{{}, values: [{}]}}", self.head, values.join(", "))
    }
}

fn line() -> impl Strategy<Value = Line> {
    let texts = || prop::collection::vec("\"/[ab]{1,3}(/[ab]{0,2})?\"", 1..5);
    let ints = || prop::collection::vec((-9i32..9).prop_map(|i| format!("\"{i}\"")), 1..5);
    let pids = || prop::collection::vec((1u32..9).prop_map(|i| i.to_string()), 1..5);
    prop_oneof![
        (select(vec!["In", "NotIn", "Prefix", "NotPostfix"]), texts()).prop_map(|(op, values)| Line {
            field: "matchBinaries",
            head: format!("operator: {op}"),
            values
        }),
        (select(vec!["Equal", "NotEqual", "Prefix", "NotPrefix", "Postfix"]), texts()).prop_map(
            |(op, values)| Line { field: "matchArgs", head: format!("index: 0, operator: {op}"), values }
        ),
        (select(vec!["Equal", "NotEqual", "GT", "LT", "InMap", "NotInMap"]), ints()).prop_map(
            |(op, values)| Line { field: "matchArgs", head: format!("index: 1, operator: {op}"), values }
        ),
        (select(vec!["In", "NotIn"]), any::<bool>(), pids()).prop_map(|(op, follow, values)| Line {
            field: "matchPIDs",
            head: format!("operator: {op}, followForks: {follow}"),
            values
        }),
        (select(vec!["In", "NotIn"]), select(vec!["app", "tier"]), labels()).prop_map(|(op, key, values)| {
            Line { field: "matchWorkloads", head: format!("key: {key}, operator: {op}"), values }
        }),
    ]
}

/// Values of labels.
fn labels() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(select(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]), 1..3)
}

/// One selector. matchBinaries takes one entry only.
pub(crate) fn selector() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec(line(), 0..5).prop_map(|lines| {
        let mut binaries = 0;
        lines
            .into_iter()
            .filter(|l| l.field != "matchBinaries" || std::mem::replace(&mut binaries, 1) == 0)
            .collect()
    })
}

/// Selectors that have much in common: parts of a few lines.
pub(crate) fn related() -> impl Strategy<Value = Vec<Vec<Line>>> {
    let part = (any::<prop::sample::Index>(), 1u8..32);
    let selectors = prop::collection::vec(prop::collection::vec(part, 0..3), 2..5);
    (prop::collection::vec(line(), 1..3), selectors).prop_map(|(lines, selectors)| {
        let take = |(index, mask): (prop::sample::Index, u8)| {
            let line = &lines[index.index(lines.len())];
            let some = |i: &usize| mask >> (i % 5) & 1 == 1;
            let values: Vec<_> =
                (0..line.values.len()).filter(some).map(|i| line.values[i].clone()).collect();
            let values = if values.is_empty() { line.values.clone() } else { values };
            Line { values, ..line.clone() }
        };
        let one = |parts: Vec<(prop::sample::Index, u8)>| {
            let mut binaries = 0;
            let lines = parts.into_iter().map(take);
            lines.filter(|l| l.field != "matchBinaries" || std::mem::replace(&mut binaries, 1) == 0).collect()
        };
        selectors.into_iter().map(one).collect()
    })
}

/// The policy with these selectors; `order` arranges each list.
pub(crate) fn write(selectors: &[Vec<Line>], order: impl Fn(&[String]) -> Vec<String>) -> String {
    let mut text = format!("{HEAD}    selectors:\n");
    for lines in selectors {
        text.push_str("    - matchActions: [{action: Post}]\n");
        for field in ["matchArgs", "matchPIDs", "matchBinaries"] {
            let entries: Vec<_> =
                lines.iter().filter(|l| l.field == field).map(|l| l.write(&order(&l.values))).collect();
            if !entries.is_empty() {
                text.push_str(&format!("      {field}: [{}]\n", order(&entries).join(", ")));
            }
        }
        let asked: Vec<_> = lines
            .iter()
            .filter(|l| l.field == "matchWorkloads")
            .map(|l| l.write(&order(&l.values)))
            .collect();
        if !asked.is_empty() {
            let asked = order(&asked).join(", ");
            text.push_str(&format!(
                "      matchWorkloads: {{podSelector: {{matchExpressions: [{asked}]}}}}\n"
            ));
        }
    }
    text
}

/// Random.
pub(crate) fn matcher() -> impl Strategy<Value = Matcher> {
    let op = || select(vec![TextOp::Equal, TextOp::Prefix, TextOp::Postfix]);
    let texts = || prop::collection::vec("/[ab/]{0,4}", 1..6);
    let ranges = || {
        prop::collection::vec(
            (-20i128..20, 0i128..6).prop_map(|(min, len)| IntRange { min, max: min + len }),
            1..6,
        )
    };
    prop_oneof![
        (op(), any::<bool>(), texts()).prop_map(|(op, not, values)| Matcher::Binary { op, not, values }),
        (op(), any::<bool>(), texts()).prop_map(|(op, not, values)| Matcher::ParentBinary {
            op,
            not,
            values
        }),
        (op(), any::<bool>(), texts()).prop_map(|(op, not, values)| Matcher::Text {
            arg: 0,
            op,
            not,
            values
        }),
        (any::<bool>(), ranges()).prop_map(|(not, ranges)| Matcher::Int { arg: 1, not, ranges }),
        (any::<bool>(), any::<bool>(), any::<bool>(), prop::collection::vec(0u32..9, 1..5)).prop_map(
            |(not, follow_forks, namespace_pid, values)| Matcher::Pid {
                not,
                follow_forks,
                namespace_pid,
                values
            }
        ),
        (any::<bool>(), prop::collection::vec(0u32..4, 1..5)).prop_map(|(not, numbers)| Matcher::Namespace {
            namespace: NamespaceKind::Pid,
            not,
            values: numbers
                .into_iter()
                .map(|n| if n == 0 { NamespaceValue::Host } else { NamespaceValue::Inum(n) })
                .collect()
        }),
        workloads().prop_map(Matcher::Workload),
    ]
}

/// Random, not normalised: some ask nothing.
pub(crate) fn workloads() -> impl Strategy<Value = Workloads> {
    let requirement = (select(vec!["app", "tier"]), select(LabelOperator::ALL.to_vec()), labels());
    let requirement = requirement.prop_map(|(key, operator, values)| {
        let listed = matches!(operator, LabelOperator::In | LabelOperator::NotIn);
        LabelRequirement { key: key.to_owned(), operator, values: if listed { values } else { Vec::new() } }
    });
    let match_labels =
        prop::collection::btree_map(Just("app".to_owned()), select(vec!["a".to_owned()]), 0..2);
    let selector = (match_labels, prop::collection::vec(requirement, 0..3))
        .prop_map(|(match_labels, match_expressions)| LabelSelector { match_labels, match_expressions });
    let containers = labels().prop_map(|values| LabelSelector {
        match_expressions: vec![LabelRequirement { key: "name".into(), operator: LabelOperator::In, values }],
        ..LabelSelector::default()
    });
    let pods =
        (prop::option::of(Just("a".to_owned())), prop::option::of(selector), prop::option::of(containers))
            .prop_map(|(namespace, labels, containers)| Pods { namespace, labels, containers });
    (any::<bool>(), prop::option::of(pods)).prop_map(|(host, pods)| Workloads { host, pods })
}

fn workload() -> impl Strategy<Value = interpret::Workload> {
    let name = || select(vec!["a".to_owned(), "b".to_owned()]);
    let labels = prop::collection::btree_map(
        select(vec!["app".to_owned(), "tier".to_owned()]),
        select(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]),
        0..3,
    );
    prop_oneof![
        1 => Just(interpret::Workload::Host),
        1 => Just(interpret::Workload::Unknown),
        4 => (name(), labels, name()).prop_map(|(namespace, labels, name)| {
            interpret::Workload::Container(Container { namespace, labels, name, repo: "example.org/x".into() })
        }),
    ]
}

/// Random.
pub(crate) fn call() -> impl Strategy<Value = interpret::Call> {
    let process =
        (0u32..9, 0u32..9).prop_map(|(pid, namespace_pid)| interpret::Process { pid, namespace_pid });
    // As the kernel shows paths: no // in them, no / at the end.
    let text = || prop::option::of("(/[ab]{1,3}){1,2}");
    let place = (prop::collection::vec(process, 1..4), workload());
    (text(), text(), place, 1u32..4, text(), -25i128..30).prop_map(
        |(binary, parent_binary, (lineage, workload), pid_namespace, path, int)| {
            let mut namespaces = [1; 10];
            namespaces[NamespaceKind::Pid as usize] = pid_namespace;
            interpret::Call {
                binary,
                parent_binary,
                lineage,
                workload,
                namespaces,
                host_namespaces: [1; 10],
                args: vec![
                    path.map_or(interpret::Value::Missing, interpret::Value::Text),
                    interpret::Value::Int(int),
                ],
            }
        },
    )
}
