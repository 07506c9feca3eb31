//! Policies applied with kubectl: what a person sees, and that it does not depend on the webhook.

use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tetragon_api::status::TetragonNode;
use tetragon_operator::platform::certs::keeper::WEBHOOK;

use crate::bed::{Bed, Operator, TESTER, eventually, get, gone, kubectl, test};
use crate::https;

const CONFIGURATION: &str = "tetragon-operator-admission-test";
const FLAGS: [&str; 2] =
    ["--webhook-secret=admission-test", "--webhook-configuration=tetragon-operator-admission-test"];

/// An operator that API servers ask.
async fn start(bed: &Bed) -> Operator {
    let configurations: Api<ValidatingWebhookConfiguration> = bed.all();
    gone(&configurations, CONFIGURATION).await;
    // What other tests left would be warned of.
    let (now, all) = (DeleteParams::default(), ListParams::default());
    let _ = bed.all::<TetragonNode>().delete_collection(&now, &all).await;
    let operator = Operator::start(&FLAGS);
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [{
            "name": WEBHOOK,
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore", "timeoutSeconds": 5,
            "clientConfig": {"url": format!("https://{}/validate", operator.webhook)},
            "rules": [{
                "apiGroups": ["cilium.io"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["tracingpolicies", "tracingpoliciesnamespaced"],
            }],
        }],
    });
    let parameters = PatchParams::apply(TESTER).force();
    configurations.patch(CONFIGURATION, &parameters, &Patch::Apply(&configuration)).await.unwrap();
    let operator = operator.ready().await;
    eventually("the webhook is asked", async || {
        let (accepted, text) =
            kubectl(&["apply", "--dry-run=server", "-f", "-"], &BAD.replace("NAME", "asked"));
        if accepted { Err(text) } else { Ok(()) }
    })
    .await;
    operator
}

async fn stop(bed: &Bed) {
    gone(&bed.all::<ValidatingWebhookConfiguration>(), CONFIGURATION).await;
}

const BAD: &str = r#"
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: NAME
spec:
  kprobes:
  - call: security_file_open
    args:
    - index: 0
      type: file
    selectors:
    - matchArgs:
      - index: 1
        operator: Prefix
        values: ["/etc/"]
      matchActions:
      - action: Override
        argError: 3
"#;

const GOOD: &str = r#"
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: NAME
spec:
  nodeSelector:
    matchLabels:
      pool: admission-test
  kprobes:
  - call: security_file_open
    syscall: false
    args:
    - index: 0
      type: file
    selectors:
    - matchArgs:
      - index: 0
        operator: Prefix
        values: ["/etc/ssh/"]
      matchActions:
      - action: Override
        argError: -1
"#;

/// Deletes a policy.
fn delete(name: &str) {
    let (deleted, text) = kubectl(&["delete", "tracingpolicy", name], "");
    assert!(deleted, "{text}");
}

#[test]
fn what_kubectl_says_to_each_kind_of_policy() {
    test(async |bed| {
        let operator = start(&bed).await;
        let mut said = String::new();
        let mut step = |title: &str, args: &[&str], input: &str| {
            let (_, text) = kubectl(args, input);
            said.push_str(&format!("# {title}\n{}\n\n", text.trim_end()));
        };
        let (bad, good) = (BAD.replace("NAME", "bad"), GOOD.replace("NAME", "good"));
        let apply = ["apply", "-f", "-"];
        step("a policy with errors", &apply, &bad);
        step("the same as a dry run", &["apply", "--dry-run=server", "-f", "-"], &bad);
        step("a good one", &apply, &good);
        let edited = good.replace("/etc/ssh/", "/var/run/secrets/");
        step("an edit that brings a warning", &apply, &edited);
        let open = edited.replace("/var/run/secrets/", "/etc/shadow");
        step("a note", &apply, &open);
        step("an edit that brings an error", &apply, &open.replace("argError: -1", "argError: 1"));
        let rollout = good.replace(
            "  name: good\n",
            "  name: good\n  annotations: {tetragon-rs.dev/rollout: percent=50}\n",
        );
        step("a wrong rollout", &apply, &rollout);
        step("a label", &["label", "tracingpolicy", "good", "team=blue"], "");
        let namespaced = good.replace("kind: TracingPolicy", "kind: TracingPolicyNamespaced");
        step("a namespaced policy", &["apply", "-n", "default", "--dry-run=server", "-f", "-"], &namespaced);
        step("its end", &["delete", "tracingpolicy", "good"], "");
        insta::assert_snapshot!(said);
        drop(operator);
        stop(&bed).await;
    });
}

#[test]
fn a_typo_does_not_reach_the_webhook() {
    test(async |bed| {
        let operator = start(&bed).await;
        let count = async || {
            let (_, text) = get(&operator.metrics, "/metrics").await.unwrap();
            text.lines()
                .filter(|l| l.starts_with("tetragon_operator_webhook_request_duration_seconds_count"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let before = count().await;
        for (typo, field) in [
            (GOOD.replace("matchArgs", "matchArgz"), "matchArgz"),
            (GOOD.replace("kprobes", "kprobe"), "kprobe"),
            (GOOD.replace("argError", "argErr"), "argErr"),
        ] {
            let (accepted, text) = kubectl(&["apply", "-f", "-"], &typo.replace("NAME", "typo"));
            assert!(!accepted && text.contains("unknown field") && text.contains(field), "{text}");
        }
        assert_eq!(count().await, before);
        drop(operator);
        stop(&bed).await;
    });
}

/// Policies of this repository: what is said to whoever applies them.
#[test]
fn samples_are_admitted_with_their_warnings() {
    test(async |bed| {
        let operator = start(&bed).await;
        let samples = format!("{}/../config/samples", env!("CARGO_MANIFEST_DIR"));
        let mut said = String::new();
        for file in [
            "seed/block-cryptominers.yaml",
            "seed/detect-container-escape.yaml",
            "seed/detect-privilege-escalation.yaml",
            "seed/monitor-sensitive-files.yaml",
            "block-cryptominers-fixed.yaml",
            "detect-container-escape-fixed.yaml",
            "detect-privilege-escalation-fixed.yaml",
            "monitor-sensitive-files-fixed.yaml",
            "allow-list-per-workload.yaml",
            "allow-list-per-workload-monitor.yaml",
        ] {
            let (accepted, text) =
                kubectl(&["apply", "--dry-run=server", "-f", &format!("{samples}/{file}")], "");
            assert!(accepted, "{file}: {text}");
            said.push_str(&format!("# {file}\n{}\n\n", text.trim_end()));
        }
        insta::assert_snapshot!(said);
        drop(operator);
        stop(&bed).await;
    });
}

async fn node(bed: &Bed, name: &str, capabilities: Value) {
    let parameters = PatchParams::apply(TESTER).force();
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"pool": "admission-test"}},
    });
    bed.all::<Node>().patch(name, &parameters, &Patch::Apply(&node)).await.unwrap();
    let report = json!({"apiVersion": "tetragon-rs.dev/v1alpha1", "kind": "TetragonNode", "metadata": {"name": name}, "spec": {}});
    let reports = bed.all::<TetragonNode>();
    reports.patch(name, &parameters, &Patch::Apply(&report)).await.unwrap();
    let mut status = report.clone();
    status["status"] = json!({"kernel": "6.1.0", "capabilities": capabilities});
    reports.patch_status(name, &parameters, &Patch::Apply(&status)).await.unwrap();
}

#[test]
fn nodes_that_cannot_are_named() {
    test(async |bed| {
        let operator = start(&bed).await;
        let names: Vec<String> = (0..12).map(|i| format!("admission-{i:02}")).collect();
        for (i, name) in names.iter().enumerate() {
            let capabilities = json!({"btf": true, "kprobes": true, "fentry": true, "lsm": i % 3 != 0});
            node(&bed, name, capabilities).await;
        }
        let good = GOOD.replace("NAME", "nodes");
        let expected = "Warning: Override on security_file_open: 4 of 12 nodes cannot: admission-00, admission-03, \
             admission-06 and 1 more; BPF LSM is not switched on there (boot with lsm=...,bpf)\n\
             tracingpolicy.cilium.io/nodes created (server dry run)\n";
        eventually("the nodes are known", async || {
            let (_, text) = kubectl(&["apply", "--dry-run=server", "-f", "-"], &good);
            if text == expected { Ok(()) } else { Err(text) }
        })
        .await;
        for name in &names {
            gone(&bed.all::<TetragonNode>(), name).await;
            gone(&bed.all::<Node>(), name).await;
        }
        drop(operator);
        stop(&bed).await;
    });
}

#[test]
fn many_warnings_stay_within_the_servers_limits() {
    test(async |bed| {
        let operator = start(&bed).await;
        let hooks: Vec<Value> = (0..60)
            .map(|i| {
                json!({
                    "call": "security_file_open", "syscall": false,
                    "args": [{"index": 0, "type": "file"}],
                    "selectors": [{"matchArgs": [
                        {"index": 0, "operator": "Prefix", "values": [format!("/var/run/{i}ä{}/", "x".repeat(150))]},
                    ]}],
                })
            })
            .collect();
        let policy = json!({
            "apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "many"},
            "spec": {"kprobes": hooks},
        });
        let (accepted, text) = kubectl(&["apply", "--dry-run=server", "-f", "-"], &policy.to_string());
        assert!(accepted, "{text}");
        let warnings: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("Warning: ")).collect();
        assert!(warnings[0].starts_with("[symlink-path] spec.kprobes[0]"), "{text}");
        let last = warnings.last().unwrap();
        let missing: usize = last.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{last}"));
        assert!(last.ends_with(" more warnings are in the policy's status"), "{last}");
        // None of those that were sent was cut or dropped by the server.
        assert_eq!(warnings.len() - 1 + missing, 60, "{text}");
        let characters: usize = warnings.iter().map(|w| w.chars().count()).sum();
        println!("{} warnings, {characters} characters", warnings.len());
        assert!(characters > 2500 && characters <= 3072, "{characters}");
        drop(operator);
        stop(&bed).await;
    });
}

#[test]
fn without_the_webhook_policies_are_taken_and_the_status_tells() {
    test(async |bed| {
        let operator = start(&bed).await;
        drop(operator);
        let (accepted, text) = kubectl(&["apply", "-f", "-"], &BAD.replace("NAME", "unseen"));
        assert!(accepted, "{text}");
        // The next operator says in the status what the webhook would have said.
        let operator = Operator::start(&FLAGS).ready().await;
        let path = "jsonpath={.status.conditions[?(@.type==\"Accepted\")].message}";
        let message = eventually("the status tells", async || {
            let (_, text) = kubectl(&["get", "tracingpolicy", "unseen", "-o", path], "");
            if text.contains("syscall-default") { Ok(text) } else { Err(text) }
        })
        .await;
        assert_eq!(message.lines().count(), 3, "{message}");
        delete("unseen");
        drop(operator);
        stop(&bed).await;
    });
}

/// The question of an API server about a policy.
fn question(policy: &Value) -> Vec<u8> {
    let kind = json!({"group": "cilium.io", "version": "v1alpha1", "kind": "TracingPolicy"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "kind": kind, "operation": "CREATE", "name": "p", "userInfo": {},
            "resource": {"group": "cilium.io", "version": "v1alpha1", "resource": "tracingpolicies"},
            "object": policy,
        },
    });
    serde_json::to_vec(&review).unwrap()
}

/// A policy of a usual size: ten hooks with a hundred values each.
fn usual() -> Value {
    let values = |hook: usize| (0..100).map(|i| format!("/opt/{hook}/{i}/")).collect::<Vec<_>>();
    let hooks: Vec<Value> = (0..10)
        .map(|hook| {
            json!({
                "call": "security_file_open", "syscall": false, "args": [{"index": 0, "type": "file"}],
                "selectors": [{
                    "matchArgs": [{"index": 0, "operator": "Prefix", "values": values(hook)}],
                    "matchActions": [{"action": "Override", "argError": -1}],
                }],
            })
        })
        .collect();
    json!({
        "apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "p"},
        "spec": {"kprobes": hooks},
    })
}

#[test]
fn a_thousand_questions() {
    test(async |bed| {
        let operator = start(&bed).await;
        let secret = bed.here::<Secret>().get("admission-test").await.unwrap();
        let authorities = String::from_utf8(secret.data.unwrap()["ca.crt"].0.clone()).unwrap();
        let mut stream = https::connect(&operator.webhook, &authorities).await.unwrap();
        let question = question(&usual());
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..1000 {
            let began = Instant::now();
            let (status, text) = https::exchange(&mut stream, "POST", "/validate", &question).await.unwrap();
            times.push(began.elapsed());
            assert!(status == 200 && text.contains("\"allowed\":true"), "{text}");
        }
        times.sort_unstable();
        println!(
            "1,000 questions of {} bytes (10 hooks, 1,000 values): median {:?}, p99 {:?}, longest {:?}",
            question.len(),
            times[500],
            times[989],
            times[999]
        );
        // The machine may be busy with anything; the median tells of the webhook.
        assert!(times[500] < Duration::from_millis(10), "{:?}", times[500]);
        // And the slow ones are slow by the machine's doing, not by a tenth of a second of their own.
        assert!(times[949] < Duration::from_millis(100), "p95 {:?}", times[949]);
        drop(operator);
        stop(&bed).await;
    });
}
