use serde_json::{Value, json};
use tetragon_api::status::NodeCapabilities;

use super::*;
use crate::nodes::{Agent, Labels, Said};

#[expect(clippy::needless_pass_by_value, reason = "a json! stands in the call")]
fn policy(spec: Value) -> Value {
    json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "p"}, "spec": spec})
}

fn good() -> Value {
    policy(json!({"kprobes": [{"call": "security_file_open", "syscall": false}]}))
}

fn bad() -> Value {
    policy(json!({"kprobes": [{"call": "security_file_open"}, {"call": "x", "syscall": false, "argz": []}]}))
}

/// As an API server asks.
#[expect(clippy::needless_pass_by_value, reason = "a json! stands in the call")]
fn question(operation: &str, object: Option<Value>, old: Option<Value>) -> Value {
    let kind = json!({"group": "cilium.io", "version": "v1alpha1", "kind": "TracingPolicy"});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "7d9c", "kind": kind, "requestKind": kind,
            "resource": {"group": "cilium.io", "version": "v1alpha1", "resource": "tracingpolicies"},
            "name": "p", "operation": operation, "userInfo": {"username": "admin"},
            "object": object, "oldObject": old, "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

async fn asked(index: &Index, body: &[u8]) -> (Answer, u16, String) {
    let (answer, response) = answer(body, index);
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), LARGEST).await.unwrap();
    (answer, status, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask(index: &Index, question: &Value) -> (Answer, Value) {
    let (answer, status, body) = asked(index, &serde_json::to_vec(question).unwrap()).await;
    assert_eq!(status, 200, "{body}");
    let review: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&review["apiVersion"], &review["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    assert_eq!(review["response"]["uid"], "7d9c");
    (answer, review["response"].clone())
}

#[tokio::test]
async fn a_good_policy_is_allowed() {
    let (answer, response) = ask(&Index::default(), &question("CREATE", Some(good()), None)).await;
    assert_eq!(answer, Answer::Allowed);
    assert_eq!((&response["allowed"], &response["warnings"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn a_bad_one_is_told_all_that_is_wrong() {
    let mut object = bad();
    object["metadata"]["annotations"] = json!({"tetragon-rs.dev/rollout": "percent=50"});
    let (answer, response) = ask(&Index::default(), &question("CREATE", Some(object), None)).await;
    assert_eq!((answer, &response["allowed"]), (Answer::Denied, &json!(false)));
    let status = &response["status"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
    insta::assert_snapshot!(status["message"].as_str().unwrap(), @r#"
    the policy has 3 errors:
    error[syscall-default] spec.kprobes[0].call: "security_file_open" looks like a kernel function, and syscall is true (its default); say syscall: false for a kernel function; a system call is written sys_NAME
    error[unknown-field] spec.kprobes[1].argz: unknown field "argz"; did you mean "args"?
    error[rollout-invalid] metadata.annotations[tetragon-rs.dev/rollout]: percent=50: the last one must be 100: the policy is for all of its nodes in the end; right would be percent=10,50,100
    "#);
    let causes = status["details"]["causes"].as_array().unwrap();
    assert_eq!(causes[1]["message"], "[unknown-field] unknown field \"argz\"; did you mean \"args\"?");
    let fields: Vec<&str> = causes.iter().map(|c| c["field"].as_str().unwrap()).collect();
    assert_eq!(
        fields,
        ["spec.kprobes[0].call", "spec.kprobes[1].argz", "metadata.annotations[tetragon-rs.dev/rollout]"]
    );
}

#[tokio::test]
async fn what_nodes_cannot_do_is_a_warning() {
    let index = Index::default();
    for (name, lsm) in [("new", true), ("old", false)] {
        index.apply_node(name, Labels::new());
        let capabilities = NodeCapabilities { btf: true, kprobes: true, lsm, ..NodeCapabilities::default() };
        index.apply_report(
            name,
            Said::default(),
            Agent { kernel: "6.1.0".into(), capabilities, ..Agent::default() },
            Vec::new(),
        );
    }
    let object = policy(json!({"kprobes": [{
        "call": "security_file_open", "syscall": false,
        "args": [{"index": 0, "type": "file"}],
        "selectors": [{
            "matchArgs": [{"index": 0, "operator": "Prefix", "values": ["/etc/shadow", "/var/run/x/"]}],
            "matchActions": [{"action": "Override", "argError": -1}],
        }],
    }]}));
    let (answer, response) = ask(&index, &question("CREATE", Some(object), None)).await;
    assert_eq!((answer, &response["allowed"]), (Answer::Warned, &json!(true)));
    let warnings: Vec<&str> =
        response["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r#"
    [symlink-path] spec.kprobes[0].selectors[0].matchArgs[0].values[1]: /var/run is a link to /run on usual systems, and the kernel compares the path without links: "/var/run/x/" never matches there; write "/run/x/", or both
    Override on security_file_open: 1 of 2 nodes cannot: old; BPF LSM is not switched on there (boot with lsm=...,bpf)
    note[open-prefix] spec.kprobes[0].selectors[0].matchArgs[0].values[0]: the prefix "/etc/shadow" also takes longer names beside it, as /etc/shadow-old; end it with / for what is below a directory, or use Equal for one file
    "#);
}

#[tokio::test]
async fn a_namespaced_policy_is_checked_as_such() {
    let ask_for = async |spec: Value| {
        let mut object = policy(spec);
        object["kind"] = json!("TracingPolicyNamespaced");
        object["metadata"]["namespace"] = json!("shop");
        let mut question = question("CREATE", Some(object), None);
        question["request"]["kind"]["kind"] = json!("TracingPolicyNamespaced");
        ask(&Index::default(), &question).await
    };
    let spec = |namespace: &str| {
        let labels = json!({"k8s:io.kubernetes.pod.namespace": namespace});
        json!({"podSelector": {"matchLabels": labels}, "lsmhooks": [{"hook": "file_open"}]})
    };
    assert_eq!(ask_for(spec("shop")).await.0, Answer::Allowed);
    let (answer, response) = ask_for(spec("bank")).await;
    assert_eq!(answer, Answer::Warned);
    insta::assert_snapshot!(response["warnings"][0].as_str().unwrap(), @r#"[never-matches] spec.podSelector.matchLabels.k8s:io.kubernetes.pod.namespace: nothing is ever selected: the policy is for pods of namespace "shop" only; write the policy into the other namespace, or make it a TracingPolicy"#);
}

#[tokio::test]
async fn nothing_is_looked_at_when_nothing_changes() {
    let index = Index::default();
    let mut labelled = bad();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let mut rollout = bad();
    rollout["metadata"]["annotations"] = json!({"tetragon-rs.dev/rollout": "off"});
    for (operation, object, old, answer) in [
        ("DELETE", None, Some(bad()), Answer::Skipped),
        ("UPDATE", Some(labelled), Some(bad()), Answer::Skipped),
        ("UPDATE", Some(bad()), Some(good()), Answer::Denied),
        ("UPDATE", Some(good()), Some(bad()), Answer::Allowed),
        ("UPDATE", Some(rollout), Some(bad()), Answer::Denied),
    ] {
        let (found, response) = ask(&index, &question(operation, object, old)).await;
        assert_eq!(found, answer, "{operation} {response}");
        assert_eq!(response["allowed"], json!(answer != Answer::Denied));
    }
    let mut status = question("UPDATE", Some(bad()), Some(good()));
    status["request"]["subResource"] = json!("status");
    assert_eq!(ask(&index, &status).await.0, Answer::Skipped);
}

#[tokio::test]
async fn a_dry_run_is_the_same() {
    let mut dry = question("CREATE", Some(bad()), None);
    let wet = ask(&Index::default(), &dry).await;
    dry["request"]["dryRun"] = json!(true);
    assert_eq!(ask(&Index::default(), &dry).await, wet);
}

#[tokio::test]
async fn other_kinds_are_refused_clearly() {
    let mut pod = question("CREATE", Some(json!({"metadata": {"name": "p"}})), None);
    pod["request"]["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
    let (answer, response) = ask(&Index::default(), &pod).await;
    assert_eq!(answer, Answer::Unreadable);
    insta::assert_snapshot!(response["status"]["message"].as_str().unwrap(), @"this webhook checks TracingPolicy and TracingPolicyNamespaced of cilium.io/v1alpha1, and was asked about v1 Pod: take that out of the rules of the ValidatingWebhookConfiguration");
}

#[tokio::test]
async fn what_is_no_question_is_a_bad_request() {
    let index = Index::default();
    let mut old = question("CREATE", Some(good()), None);
    old["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut texts = String::new();
    for body in [
        String::new(),
        "{".to_owned(),
        good().to_string(),
        old.to_string(),
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string(),
        "[".repeat(100_000),
    ] {
        let (answer, status, text) = asked(&index, body.as_bytes()).await;
        assert_eq!((answer, status), (Answer::Unreadable, 400), "{text}");
        texts.push_str(&text);
    }
    insta::assert_snapshot!(texts, @r#"
    the body is no AdmissionReview: EOF while parsing a value at line 1 column 0
    the body is no AdmissionReview: EOF while parsing an object at line 1 column 1
    the body is "TracingPolicy" of "cilium.io/v1alpha1"; this webhook answers AdmissionReview of "admission.k8s.io/v1"
    the body is "AdmissionReview" of "admission.k8s.io/v1beta1"; this webhook answers AdmissionReview of "admission.k8s.io/v1"
    the AdmissionReview has no request
    the body is no AdmissionReview: invalid type: sequence, expected struct AdmissionReview at line 1 column 0
    "#);
}

#[tokio::test]
async fn a_long_list_of_errors_is_cut_and_counted() {
    let hooks: Vec<Value> = (0..400).map(|i| json!({"call": format!("security_x{i}")})).collect();
    let object = policy(json!({"kprobes": hooks}));
    let (_, response) = ask(&Index::default(), &question("CREATE", Some(object), None)).await;
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("the policy has 400 errors:\nerror[syscall-default] spec.kprobes[0].call"),
        "{message}"
    );
    assert!(message.len() < (16 << 10) + 50 && message.ends_with(" more are not shown)"), "{message}");
    let causes = response["status"]["details"]["causes"].as_array().unwrap();
    assert_eq!((causes.len(), &causes[100]["message"]), (101, &json!("300 more errors are not shown")));
}

#[tokio::test]
async fn thousands_of_nodes_are_looked_at_in_time() {
    let index = Index::default();
    for i in 0..5000 {
        let name = format!("node-{i:04}");
        index.apply_node(&name, [("pool".to_owned(), (i % 2).to_string())].into());
        let capabilities =
            NodeCapabilities { btf: true, kprobes: true, lsm: i % 5 != 0, ..NodeCapabilities::default() };
        index.apply_report(
            &name,
            Said::default(),
            Agent { kernel: "6.1.0".into(), capabilities, ..Agent::default() },
            Vec::new(),
        );
    }
    let object = policy(json!({
        "nodeSelector": {"matchLabels": {"pool": "0"}},
        "lsmhooks": [{"hook": "file_open"}, {"hook": "bprm_check_security"}],
    }));
    let question = question("CREATE", Some(object), None);
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let (_, response) = ask(&index, &question).await;
        times.push(began.elapsed());
        assert_eq!(
            response["warnings"],
            json!([
                "LSM hook bprm_check_security, LSM hook file_open: 500 of 2500 nodes cannot: node-0000, node-0010, \
                    node-0020 and 497 more; BPF LSM is not switched on there (boot with lsm=...,bpf)"
            ])
        );
    }
    times.sort_unstable();
    println!("5,000 nodes: median {:?}, longest {:?}", times[25], times[49]);
    assert!(times[25] < std::time::Duration::from_millis(10), "{:?}", times[25]);
    // On a busy machine the scheduler's time is in it; an answer that takes that long by itself is not.
    assert!(times[44] < std::time::Duration::from_millis(100), "the slowest tenth: {:?}", times[44]);
}

/// The URL is the administrator's: what stands in front of the operator may keep a path, or have none.
#[tokio::test]
async fn every_path_is_answered() {
    use std::future::IntoFuture as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default(), None);
    let webhook = Webhook { index: Arc::default(), metrics };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, webhook.router()).into_future());
    let body = serde_json::to_string(&question("CREATE", Some(bad()), None)).unwrap();
    for (method, path, status, said) in [
        ("POST", "/validate", 200, "\"allowed\":false"),
        ("POST", "/", 200, "\"allowed\":false"),
        ("POST", "/behind/a/proxy?timeout=5s", 200, "\"allowed\":false"),
        ("GET", "/validate", 405, ""),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {response}");
        assert!(response.contains(said), "{method} {path}: {response}");
    }
}
