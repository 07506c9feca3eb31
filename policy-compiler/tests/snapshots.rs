//! What the compiler prints and makes, as files to look at. To accept a change: INSTA_UPDATE=always.

use tetragon_compiler::compile_yaml;

/// All findings of a text as a terminal without colours shows them.
fn rendered(file: &str, text: &str) -> String {
    let compiled = compile_yaml(file, text);
    compiled.diagnostics.iter().map(|d| d.render(text, false) + "\n").collect()
}

fn plans(file: &str, text: &str) -> String {
    let compiled = compile_yaml(file, text);
    let plans: Vec<_> = compiled.policies.iter().map(|p| p.plan.as_ref().expect("a plan")).collect();
    let digests: String = plans.iter().map(|p| format!("{} {}\n", p.name, p.digest())).collect();
    digests + &serde_json::to_string_pretty(&plans).expect("plans are JSON")
}

macro_rules! seed {
    ($name:literal) => {
        (concat!($name, ".yaml"), include_str!(concat!("../../config/samples/seed/", $name, ".yaml")))
    };
}

const SEEDS: [(&str, &str); 4] = [
    seed!("block-cryptominers"),
    seed!("detect-container-escape"),
    seed!("detect-privilege-escalation"),
    seed!("monitor-sensitive-files"),
];

#[test]
fn plans_of_the_seeds() {
    let all: String = SEEDS.iter().map(|(name, text)| plans(name, text) + "\n").collect();
    insta::assert_snapshot!(all);
}

#[test]
fn findings_in_the_seeds() {
    let all: String = SEEDS.iter().map(|(name, text)| rendered(name, text)).collect();
    insta::assert_snapshot!(all);
}

const EVERYTHING: &str = r#"
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: everything
  labels: {team: a}
spec:
  options:
    - {name: policy-mode, value: monitor}
    - {name: unknown-containers, value: fail-closed}
  hostSelector: {}
  podSelector:
    matchLabels: {team: a}
    matchExpressions:
      - {key: "k8s:io.kubernetes.pod.namespace", operator: NotIn, values: [kube-system, kube-public]}
      - {key: app, operator: In, values: [web]}
  containerSelector:
    matchExpressions:
      - {key: repo, operator: In, values: [docker.io/library/redis, docker.io/library/nginx]}
  lists:
    - {name: dups, type: syscalls, values: [sys_dup3, sys_dup]}
  selectorsMacros:
    shells:
      matchBinaries:
        - {operator: Postfix, values: [/bash, /sh]}
  kprobes:
    - call: list:dups
      syscall: true
      args:
        - {index: 0, type: int, label: old}
      selectors:
        - matchArgs:
            - {index: 0, operator: InMap, values: ["0x10", "3:5", "6", "017"]}
          matchPIDs:
            - {operator: NotIn, followForks: true, isNamespacePID: true, values: [1, 0]}
          matchActions:
            - {action: Post, rateLimit: 5m, rateLimitScope: global}
    - call: security_file_permission
      syscall: false
      ignore: {callNotFound: true}
      message: permission
      tags: [files]
      args:
        - {index: 0, type: file}
        - {index: 1, type: int32}
      selectors:
        - label: first
          macros: [shells]
          matchArgs:
            - {args: [1], operator: Mask, values: ["4", "2"]}
            - {index: 0, operator: NotPrefix, values: [/usr/, /usr/lib/]}
          matchNamespaces:
            - {namespace: Net, operator: In, values: [host_ns, "4026531840"]}
          matchWorkloads:
            podSelector: {}
          matchParentBinaries:
            - {operator: NotIn, values: [/usr/lib/systemd/systemd]}
          matchActions:
            - {action: NoPost}
            - {action: Signal, argSig: 15}
            - {action: Override, argError: -13}
  lsmhooks:
    - hook: file_open
  tracepoints:
    - subsystem: syscalls
      event: sys_enter_lseek
      args:
        - {index: 7, type: uint32}
      selectors:
        - matchArgs:
            - {index: 7, operator: GT, values: ["5"]}
            - {index: 7, operator: NotEqual, values: ["9", "8"]}
    - subsystem: sched
      event: sched_process_exec
      raw: true
      args:
        - {index: 2, type: linux_binprm}
"#;

#[test]
fn plan_of_everything() {
    insta::assert_snapshot!(plans("everything.yaml", EVERYTHING));
}

const WRONG: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: wrong
spec:
  options:
    - name: policymode
      value: monitor
  kprobes:
    - call: security_file_open
      args:
        - index: 0
          type: files
      selectors:
        - matchArgs:
            - index: 1
              operator: Perfix
              values: ["/etc/ü"]
          matchArgs: []
          matchNamespaces:
            - namespace: Pid
              operator: NotIn
              values: [host]
          matchActions:
            - action: Sigkil
    - call: sys_lseek
      args: [{index: 0, type: int}]
      return: true
      selectors:
        - matchArgs:
            - {index: 0, operator: SAddr, values: ["127.0.0.1"]}
            - {index: 0, operator: Equal, values: ["abc", 5, "4294967296"]}
"#;

#[test]
fn a_file_with_many_errors() {
    insta::assert_snapshot!(rendered("wrong.yaml", WRONG));
}

#[test]
fn a_finding_for_machines() {
    let compiled = compile_yaml("wrong.yaml", WRONG);
    insta::assert_snapshot!(serde_json::to_string_pretty(&compiled.diagnostics[..4]).expect("JSON"));
}

#[test]
fn a_finding_in_colour() {
    let text = "spec: {}\n";
    let compiled = compile_yaml("c.yaml", text);
    insta::assert_snapshot!(compiled.diagnostics[0].render(text, true).escape_debug().to_string());
}
