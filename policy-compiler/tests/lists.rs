//! Lists of policies, as kubectl and API servers print them: each item is a policy like a document of its own.

use tetragon_compiler::{Compiled, compile_bytes, compile_value, compile_yaml};

const KUBECTL_YAML: &str = include_str!("lists/kubectl.yaml");
const KUBECTL_JSON: &str = include_str!("lists/kubectl.json");

fn lines(compiled: &Compiled) -> String {
    compiled.diagnostics.iter().map(|d| format!("{}\n", compiled.one_line(d))).collect()
}

/// `NAME` of a policy that loads, `NAME: FEATURES and mistakes` of one that does not.
fn policies(compiled: &Compiled) -> Vec<String> {
    let one = |p: &tetragon_compiler::CompiledPolicy| {
        let name = p.full_name().unwrap_or_default();
        assert_eq!(p.plan.is_some(), p.lacks.is_empty() && p.mistakes == 0, "{name}");
        let lacks: Vec<_> = p.lacks.iter().map(|(feature, _)| feature.to_string()).collect();
        match (p.plan.is_some(), p.mistakes) {
            (true, _) => name,
            (false, 0) => format!("{name}: {}", lacks.join(", ")),
            (false, n) => {
                format!("{name}: {}{n} mistakes", lacks.iter().map(|l| format!("{l}, ")).collect::<String>())
            }
        }
    };
    compiled.policies.iter().map(one).collect()
}

/// A policy, indented by two for an item of a list.
fn policy(name: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\n  kind: TracingPolicy\n  metadata:\n    name: {name}\n  spec:\n    lsmhooks:\n    - hook: file_open\n"
    )
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|i| format!("- {i}")).collect();
    format!("apiVersion: v1\nitems:\n{items}kind: List\nmetadata:\n  resourceVersion: \"\"\n")
}

#[test]
fn what_kubectl_prints_is_read_as_it_is() {
    let compiled = compile_yaml("stdin", KUBECTL_YAML);
    insta::assert_snapshot!(lines(&compiled));
    assert_eq!(
        policies(&compiled),
        [
            "shadow",
            "connects: return values (`return: true`), argument type `sock`",
            "shop/connects: argument type `sock`",
            "typo: 1 mistakes",
        ]
    );
    assert_eq!(compiled.passed_over, 1);
    let compiled = compile_yaml("stdin", KUBECTL_JSON);
    assert_eq!(policies(&compiled), ["opens", "shop/reads: uprobes"]);
    assert_eq!(
        lines(&compiled),
        "stdin:59:17: error[not-supported-yet] shop/reads spec.uprobes: not supported yet: uprobes; kprobes, lsmhooks and tracepoints work\n"
    );
}

#[test]
fn an_item_compiles_to_the_plan_of_its_file() {
    let item = policy("a");
    let alone = compile_yaml("a.yaml", &item.replace("\n  ", "\n"));
    let listed = compile_yaml("list.yaml", &list(&[item.clone(), policy("b")]));
    let plan = alone.policies[0].plan.as_ref().expect("a plan");
    assert_eq!(listed.policies[0].plan.as_ref().map(|p| p.digest()), Some(plan.digest()));
    assert_eq!(listed.policies[0].source, format!("{item}- "), "up to the next item");
}

/// All forms in which lists come, and what becomes of them.
#[test]
fn lists_come_in_many_forms() {
    let json = serde_json::to_string(&serde_json::json!({
        "apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "j"},
        "spec": {"lsmhooks": [{"hook": "file_open"}]},
    }))
    .expect("JSON");
    let nameless =
        |name: &str| format!("metadata: {{name: {name}}}\n  spec: {{lsmhooks: [{{hook: file_open}}]}}\n");
    let typed =
        |kind: &str, items: &str| format!("apiVersion: cilium.io/v1alpha1\nkind: {kind}\nitems:\n{items}");
    let cases: &[(&str, String, &[&str], &str)] = &[
        ("a list", list(&[policy("a"), policy("b")]), &["a", "b"], ""),
        ("JSON in one line", format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{json}]}}"), &["j"], ""),
        ("a list among documents", format!("{json}\n---\n{}---\n{}", list(&[policy("a")]), list(&[policy("b")])), &["j", "a", "b"], ""),
        ("JSON objects one after the other", format!("{json}\n{}{}\n", json.replace("\"j\"", "\"k\""), json.replace("\"j\"", "\"l\"")), &["j", "k", "l"], ""),
        ("lists in a list", list(&[list(&[policy("a")]).replace('\n', "\n  ").trim_end().to_owned() + "\n", policy("b")]), &["a", "b"], ""),
        ("of one kind, whose items do not say it", typed("TracingPolicyList", &format!("- {}- {}", nameless("a"), nameless("b"))), &["a", "b"], ""),
        (
            "of namespaced policies",
            typed("TracingPolicyNamespacedList", "- metadata: {name: a, namespace: n}\n  spec: {lsmhooks: [{hook: file_open}]}\n"),
            &["n/a"],
            "",
        ),
        (
            "without the namespace",
            typed("TracingPolicyNamespacedList", "- metadata: {name: a}\n  spec: {lsmhooks: [{hook: file_open}]}\n"),
            &["default/a"],
            "warning[namespace-default] metadata: no namespace is named",
        ),
        ("an item of another kind among them", typed("TracingPolicyList", &format!("- {}- kind: Pod\n", nameless("a"))), &["a"], "note[other-kind] items[1].kind: Pod is no policy"),
        ("anchors", "apiVersion: v1\nkind: List\nitems:\n- &a\n  apiVersion: cilium.io/v1alpha1\n  kind: TracingPolicy\n  metadata: {name: a}\n  spec: {lsmhooks: [{hook: file_open}]}\n- <<: *a\n  metadata: {name: b}\n".into(), &["a", "b"], ""),
        ("empty", list(&[]).replace("items:", "items: []"), &[], "note[empty-list] items: the list is empty"),
        ("null, as Go writes an empty one", list(&[]), &[], "note[empty-list]"),
    ];
    for (name, text, expected, line) in cases {
        let compiled = compile_yaml("f", text);
        assert_eq!(policies(&compiled), *expected, "{name}\n{}", lines(&compiled));
        assert!(lines(&compiled).contains(line), "{name}\n{}", lines(&compiled));
        assert!(!line.is_empty() || compiled.diagnostics.is_empty(), "{name}\n{}", lines(&compiled));
    }
}

#[test]
fn broken_lists_are_findings() {
    let cases: &[(&str, &str)] = &[
        (
            "apiVersion: v1\nkind: List\nitems: none\n",
            "f:3:8: error[wrong-type] items: must be a list, not the text \"none\"",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: {a: 1}\n",
            "error[wrong-type] items: must be a list, not a mapping",
        ),
        ("apiVersion: v1\nkind: List\n", "error[missing-field] items: items is missing"),
        (
            "apiVersion: v1\nkind: List\nitems: [5, ~, [], {}]\n",
            "f:3:9: error[wrong-type] items[0]: must be a mapping, not the number 5",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [5, ~, [], {}]\n",
            "error[wrong-type] items[1]: must be a mapping, not nothing",
        ),
        ("apiVersion: v1\nkind: List\nitems: [5, ~, [], {}]\n", "error[missing-field] kind: kind is missing"),
        (
            "apiVersion: v2\nkind: List\nitems: []\n",
            "error[wrong-kind] apiVersion: apiVersion \"v2\" of a List is not known; write v1",
        ),
        (
            "kind: List\nitems: []\n",
            "error[missing-field] apiVersion: apiVersion is missing; write apiVersion: v1",
        ),
        (
            "apiVersion: v1\nkind: List\nitem: []\n",
            "error[unknown-field] item: unknown field \"item\"; did you mean \"items\"?",
        ),
        ("apiVersion: v1\nkind: List\nitems: &a [*a]\n", "error[yaml-limit]"),
        ("apiVersion: v1\nkind: List\nitems: [\n", "error[yaml-syntax]"),
        ("- a\n- b\n", "error[wrong-type]: must be a mapping, not a list"),
    ];
    for (text, expected) in cases {
        let compiled = compile_yaml("f", text);
        assert!(lines(&compiled).contains(expected), "{text}\n{expected}\n{}", lines(&compiled));
        assert!(compiled.has_errors());
    }
}

/// Field paths are those of the policy, places are those of the text.
#[test]
fn findings_name_the_policy_and_its_own_fields() {
    let wrong = policy("b").replace("hook: file_open", "hook: file_open\n      hook: file_open");
    let text = list(&[policy("a"), wrong, policy("a"), policy("c")]);
    let compiled = compile_yaml("f", &text);
    assert_eq!(policies(&compiled), ["a", "b: 1 mistakes", "a: 1 mistakes", "c"]);
    assert_eq!(
        lines(&compiled),
        "f:17:7: error[duplicate-key] b spec.lsmhooks[0].hook: the key \"hook\" stands twice in one mapping; keep one of them\n\
         f:21:11: error[duplicate-name] a metadata.name: the file has a policy \"a\" already; give each policy a name of its own\n"
    );
    // The list's own fields are no policy's.
    let text = list(&[policy("a"), policy("b")]).replace("  resourceVersion", "  continue: x\n  continue");
    let compiled = compile_yaml("f", &text);
    assert_eq!(policies(&compiled), ["a", "b"]);
    assert!(lines(&compiled).contains(": error[duplicate-key] metadata.continue: "), "{}", lines(&compiled));
    let one = compile_yaml("f", &list(&[policy("a").replace("hook:", "hoock:")]));
    assert!(
        lines(&one).starts_with("f:9:7: error[unknown-field] spec.lsmhooks[0].hoock: "),
        "{}",
        lines(&one)
    );
}

#[test]
fn objects_of_other_kinds_are_passed_over() {
    for (text, passed_over) in [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", true),
        ("apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}]\n", true),
        (
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspec: {endpointSelector: {}}\n",
            true,
        ),
        (
            "apiVersion: cilium.io/v1alpha1\nkind: PodInfo\nmetadata: {name: a}\nspec: {hostNetwork: true}\n",
            true,
        ),
        ("apiVersion: autoscaling.example/v1\nkind: ScalingPolicy\nspec: {replicas: 1}\n", true),
        ("apiVersion: cilium.io/v1alpha1\nkind: TracingPolice\nmetadata: {name: a}\n", false),
        ("apiVersion: other.example/v1\nkind: Rule\nmetadata: {name: a}\nspec: {kprobes: []}\n", false),
        ("kind: tracing-policy\n", false),
    ] {
        let compiled = compile_yaml("f", text);
        assert_eq!(
            compiled.passed_over == 1 && !compiled.has_errors(),
            passed_over,
            "{text}{}",
            lines(&compiled)
        );
        // What was given as a file of policies has one.
        let alone = compiled.or_no_policy();
        assert!(alone.has_errors(), "{text}");
        let no_policy = "f:1:1: error[no-policy]: the file has no policy, only an object of another kind; ";
        assert_eq!(lines(&alone).contains(no_policy), passed_over, "{}", lines(&alone));
    }
    // An object from an API server is what was asked for: it is not passed over.
    let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    assert_eq!(
        lines(&compile_value(&object)),
        "error[wrong-kind] kind: \"ConfigMap\" is no policy; possible here: TracingPolicy, TracingPolicyNamespaced\n"
    );
    // Whatever such an object holds is not judged.
    let odd = "apiVersion: v1\nkind: List\nitems:\n- kind: Secret\n  a: 1\n  a: 2\n  b: !x 5\n";
    let compiled = compile_yaml("f", odd);
    assert!(!compiled.has_errors(), "{}", lines(&compiled));
    let many = list(&vec!["kind: Pod\n".to_owned(); 1000]);
    let compiled = compile_yaml("f", &many);
    assert_eq!((compiled.passed_over, compiled.diagnostics.len()), (1000, 21));
    assert!(lines(&compiled).contains("980 more objects that are no policies are passed over"));
}

/// Policies beyond the first thousand findings are judged like the first.
#[test]
fn a_thousand_policies_are_judged_in_time() {
    let lacking = |n: usize| {
        policy(&format!("p{n}")).replace("  spec:\n", "  spec:\n    loader: true\n    usdts: [{}]\n")
    };
    let items: Vec<String> =
        (0..1000).map(|n| if n % 2 == 0 { policy(&format!("p{n}")) } else { lacking(n) }).collect();
    let text = list(&items);
    let begin = std::time::Instant::now();
    let compiled = compile_bytes("f", text.as_bytes());
    let shown: usize = compiled.diagnostics.iter().map(|d| compiled.render(d, &text, false).len()).sum();
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    assert!(shown > 100_000);
    assert_eq!(compiled.policies.iter().filter(|p| p.plan.is_some()).count(), 500);
    assert_eq!(compiled.policies.iter().filter(|p| p.lacks.len() == 2).count(), 500);
    assert_eq!(compiled.diagnostics.len(), 1000);
}

/// A policy with more findings than are shown takes none from the others.
#[test]
fn one_bad_policy_hides_no_other() {
    let values = "5, ".repeat(2000);
    let bad =
        policy("bad").replace("- hook: file_open", &format!("- hook: file_open\n      args: [{values}]"));
    let compiled = compile_yaml("f", &list(&[policy("a"), bad, policy("b").replace("hook:", "hoock:")]));
    assert!(
        lines(&compiled)
            .contains("f: error[yaml-limit] bad: 1501 more findings are not shown; mend these first\n"),
        "{}",
        lines(&compiled)
    );
    assert!(lines(&compiled).contains("error[unknown-field] b spec.lsmhooks[0].hoock: "));
    assert!(compiled.policies[0].plan.is_some());
}

#[test]
fn a_long_line_is_not_shown() {
    let one = |n: usize| serde_json::json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": format!("p{n}")}, "spec": {"loader": true}});
    let text = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": (0..500).map(one).collect::<Vec<_>>()}).to_string();
    let compiled = compile_yaml("f", &text);
    let last = compiled.diagnostics.last().expect("a finding");
    let shown = compiled.render(last, &text, false);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(
        shown.starts_with(&format!(
            "f:1:{}: error[not-supported-yet] p499 spec.loader: ",
            text.rfind("\"loader\"").expect("it is there") + 1
        )),
        "{shown}"
    );
}
