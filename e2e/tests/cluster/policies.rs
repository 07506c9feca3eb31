//! `kubectl apply` of good, bad, changed and deleted policies, and what `kubectl get` says of them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bed::{GUEST, HOST, NAMESPACE, agent_pod, apply, condition, get, kubectl, try_kubectl, wait};

/// A policy that every kernel can run.
const EXITS: &str = "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: exits}
spec:
  tracepoints:
  - subsystem: sched
    event: sched_process_exit
    args: [{index: 4, type: string, label: comm}]
    selectors:
    - matchArgs: [{index: 4, operator: Equal, values: [marked-one]}]
";

fn policy(name: &str) -> Result<Value> {
    get(&["tracingpolicy", name])
}

fn ready(name: &str, status: &str) -> Result<Value> {
    wait(&format!("{name}: Ready={status}"), || {
        let object = policy(name)?;
        let (found, reason) = condition(&object, "Ready").context("there is no Ready")?;
        ensure!(condition(&object, "Reconciling").is_none(), "still {}", object["status"]);
        ensure!(found == status, "Ready is {found}, {reason}: {}", object["status"]);
        Ok(object)
    })
}

/// The seeds: the guest's kernel runs them; what this machine's kernel cannot is told apart.
pub(crate) fn truth() -> Result<()> {
    ensure!(apply(EXITS)?.code == Some(0), "a good policy applies");
    kubectl(&["wait", "--for=condition=Ready", "tracingpolicy/exits", "--timeout=1800s"])?;
    let exits = ready("exits", "True")?;
    ensure!(exits["status"]["nodes"]["summary"] == "2/2", "{}", exits["status"]);
    ensure!(exits["status"]["observedGeneration"] == exits["metadata"]["generation"], "{exits}");

    kubectl(&["apply", "-f", "config/samples/seed/"])?;
    for name in [
        "block-cryptominers",
        "detect-container-escape",
        "detect-privilege-escalation",
        "monitor-sensitive-files",
    ] {
        let kprobes = get(&["tetragonnode", HOST])?["status"]["capabilities"]["kprobes"] == Value::Bool(true);
        let object = ready(name, if kprobes { "True" } else { "False" })?;
        if kprobes {
            continue;
        }
        let nodes = &object["status"]["nodes"];
        ensure!(nodes["loaded"] == 1 && nodes["failed"] == 1 && nodes["matched"] == 2, "{nodes}");
        let failures = object["status"]["failures"].as_array().cloned().unwrap_or_default();
        ensure!(failures.len() == 1 && failures[0]["reason"] == "HookNotAvailable", "{failures:?}");
        ensure!(failures[0]["sampleNodes"][0] == HOST, "{failures:?}");
        ensure!(condition(&object, "Stalled").is_some_and(|(s, _)| s == "True"), "{}", object["status"]);
    }
    let table = kubectl(&["get", "tracingpolicy"])?;
    let header: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["NAME", "MODE", "READY", "NODES", "HOOKS", "REASON", "AGE"], "{table}");
    kubectl(&["get", "tgtp", "-o", "wide"])?;
    let nodes = kubectl(&["get", "tetragonnodes"])?;
    let header: Vec<&str> = nodes.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["NAME", "KERNEL", "AGENT", "POLICIES", "FAILED", "AGE"], "{nodes}");
    kubectl(&["describe", "tracingpolicy", "monitor-sensitive-files"])?;
    // What the policy watches for is seen where it runs.
    let pod = agent_pod(GUEST)?;
    let list =
        kubectl(&["exec", "-n", NAMESPACE, &pod, "-c", "tetragon", "--", "tetra", "tracingpolicy", "list"])?;
    ensure!(list.contains("monitor-sensitive-files"), "{list}");
    Ok(())
}

pub(crate) fn bad() -> Result<()> {
    // A typo in a field's name: kubectl itself, by the schema.
    let typo = EXITS.replace("name: exits", "name: typo").replace("matchArgs", "matchArg");
    let said = apply(&typo)?;
    ensure!(said.code != Some(0) && said.all().contains("matchArg"), "{}", said.all());
    // What only the compiler knows: the webhook, all findings at once, with their fields.
    let wrong = "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: wrong}
spec:
  kprobes:
  - call: security_file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: GT, values: ['5']}]
";
    let said = apply(wrong)?;
    ensure!(said.code != Some(0), "a wrong policy applies");
    for part in ["spec.kprobes[0].call", "syscall: false", "spec.kprobes[0].selectors[0].matchArgs[0]"] {
        ensure!(said.all().contains(part), "{part} is missing:\n{}", said.all());
    }
    ensure!(try_kubectl(&["get", "tracingpolicy", "wrong"])?.code != Some(0), "nothing was stored");
    // A warning does not reject.
    let seed =
        std::fs::read_to_string(crate::bed::root().join("config/samples/seed/block-cryptominers.yaml"))?;
    let said = apply(&seed.replace("name: block-cryptominers", "name: warned"))?;
    ensure!(said.code == Some(0) && said.stderr.contains("Warning:"), "{}", said.all());
    kubectl(&["delete", "tracingpolicy", "warned"])?;
    Ok(())
}

pub(crate) fn change() -> Result<()> {
    let before = policy("exits")?["status"]["plan"]["name"].clone();
    let changed = EXITS.replace("marked-one", "marked-two");
    ensure!(apply(&changed)?.code == Some(0), "a changed policy applies");
    let object = wait("the new plan is in force", || {
        let object = policy("exits")?;
        ensure!(object["status"]["observedGeneration"] == object["metadata"]["generation"], "not observed");
        ensure!(object["status"]["plan"]["name"] != before, "the plan is the old one");
        ensure!(condition(&object, "Ready").is_some_and(|(s, _)| s == "True"), "{}", object["status"]);
        Ok(object)
    })?;
    let now = object["status"]["plan"]["name"].as_str().unwrap_or_default().to_owned();
    wait("the old plan is retired", || {
        let plans = get(&["configmap", "-n", NAMESPACE, "-l", "tetragon-rs.dev/object=plan"])?;
        let names: Vec<&str> = plans["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|p| p["metadata"]["annotations"]["tetragon-rs.dev/policy-name"] == "exits")
            .filter_map(|p| p["metadata"]["name"].as_str())
            .collect();
        ensure!(names == [now.as_str()], "{names:?}");
        Ok(())
    })?;
    // A comment or another order changes nothing that runs.
    let relabelled = changed.replace("metadata: {name: exits}", "metadata: {name: exits, labels: {team: a}}");
    ensure!(apply(&relabelled)?.code == Some(0), "labels apply");
    ensure!(policy("exits")?["status"]["plan"]["name"] == now.as_str(), "the plan stays");

    kubectl(&["delete", "tracingpolicy", "exits"])?;
    for node in [HOST, GUEST] {
        wait(&format!("{node} has let go"), || {
            let object = get(&["tetragonnode", node])?;
            let all = object["status"]["policies"].as_array().cloned().unwrap_or_default();
            ensure!(all.iter().all(|p| p["name"] != "exits"), "{all:?}");
            Ok(())
        })?;
    }
    Ok(())
}
