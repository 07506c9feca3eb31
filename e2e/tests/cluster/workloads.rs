//! Pods: events name them, filters find them, and policies are for the pods that they choose, from a
//! container's first instruction on.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bed::{
    GUEST, HOST, Live, NAMESPACE, agent_pod, apply, get, in_force, kubectl, kubectl_quiet, metrics,
    new_namespace, try_kubectl, until_printed, wait,
};

/// Pods that are started at once in the guest, where one takes seconds.
const STARTED: usize = 4;
/// Does what policies deny, as the first thing.
pub(crate) const OPEN: &str = "[/bin/cat, /etc/shadow]";

/// Opening the file fails in the containers of one namespace that `chooses` chooses.
fn policy(name: &str, namespace: &str, chooses: &str) -> String {
    format!(
        "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicyNamespaced
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  nodeSelector: {{matchLabels: {{kubernetes.io/hostname: guest1}}}}
  {chooses}
  lsmhooks:
  - hook: file_open
    args: [{{index: 0, type: file}}]
    selectors:
    - matchArgs: [{{index: 0, operator: Equal, values: [/etc/shadow]}}]
      matchActions: [{{action: Override, argError: -1}}]
"
    )
}

/// A pod with containers of these names, which run these commands.
pub(crate) fn pod(namespace: &str, name: &str, app: &str, node: &str, containers: &[(&str, &str)]) -> String {
    let container = |(name, command): &(&str, &str)| {
        format!(
            "  - name: {name}\n    image: localhost/busybox:1\n    imagePullPolicy: Never\n    command: {command}\n"
        )
    };
    let containers: String = containers.iter().map(container).collect();
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}}}\n\
         spec:\n  nodeName: {node}\n  hostNetwork: true\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 0\n  \
         containers:\n{containers}"
    )
}

/// How the containers of an app's pods ended: names of the pod and of the container, exit code.
pub(crate) fn ended(namespace: &str, app: &str) -> Result<Vec<(String, String, i64)>> {
    let list = get(&["pods", "-n", namespace, "-l", &format!("app={app}")])?;
    let mut all = Vec::new();
    for pod in list["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        all.extend(statuses.filter_map(|c| {
            let code = c["state"]["terminated"]["exitCode"].as_i64()?;
            Some((name.to_owned(), c["name"].as_str()?.to_owned(), code))
        }));
    }
    Ok(all)
}

/// Waits until as many have ended.
pub(crate) fn all_ended(namespace: &str, app: &str, count: usize) -> Result<Vec<(String, String, i64)>> {
    wait("all containers have ended", || {
        let ended = ended(namespace, app)?;
        ensure!(ended.len() == count, "{} of {count}", ended.len());
        Ok(ended)
    })
}

pub(crate) const SLEEP: &str = "[/bin/sleep, '3600']";

/// The pods that the tests are about.
const PODS: [(&str, &str, &str, &str); 4] = [
    ("production", "web", "web", GUEST),
    ("production", "plain", "plain", GUEST),
    ("staging", "web", "web", GUEST),
    ("production", "elsewhere", "web", HOST),
];

/// The seed's command: the namespace's processes and no others, on both versions of cgroups.
pub(crate) fn events_name_their_pods() -> Result<()> {
    for namespace in ["production", "staging"] {
        new_namespace(namespace)?;
    }
    let all: String =
        PODS.iter().map(|(ns, name, app, node)| pod(ns, name, app, node, &[("main", SLEEP)])).collect();
    ensure!(apply(&all)?.code == Some(0), "the pods are taken");
    for (namespace, name, ..) in PODS {
        let pod = format!("pod/{name}");
        kubectl(&["wait", "-n", namespace, "--for=condition=Ready", &pod, "--timeout=1800s"])?;
    }
    for (node, namespace, name) in [(GUEST, "production", "web"), (HOST, "production", "elsewhere")] {
        let agent = agent_pod(node)?;
        let live = [Live::start(&agent, &["--namespace", "production"])?];
        let exec = |namespace: &str, name: &str, binary: &str| {
            kubectl(&["exec", "-n", namespace, name, "--", binary, "/etc/hostname"]).map(drop)
        };
        until_printed(&live, "/bin/head", || exec(namespace, name, "/bin/head"))?;
        exec("staging", "web", "/bin/tail")?;
        // What comes after it is shown, so that it would be.
        until_printed(&live, "/bin/cat", || exec(namespace, name, "/bin/cat"))?;
        let lines = live[0].printed();
        eprintln!("$ tetra getevents -o compact --namespace production\n{lines}");
        let source = format!("{namespace}/{name}");
        ensure!(
            lines.lines().any(|l| l.contains(&source) && l.contains("/bin/head")),
            "what runs in {source} is shown:\n{lines}"
        );
        ensure!(lines.lines().all(|l| l.contains("production/")), "nothing else is shown:\n{lines}");
    }
    kubectl(&["exec", "-n", "production", "web", "--", "/bin/uname"])?;
    wait("the exported event has everything", || {
        let event = exported(GUEST, |e| e["process_exec"]["process"]["binary"] == "/bin/uname")?;
        let pod = &event["process_exec"]["process"]["pod"];
        let is = |path: &str, value: &str| pod.pointer(path).is_some_and(|v| v == value);
        ensure!(
            is("/namespace", "production") && is("/name", "web") && is("/container/name", "main"),
            "{event}"
        );
        ensure!(
            is("/workload", "web") && is("/workload_kind", "Pod") && is("/pod_labels/app", "web"),
            "{event}"
        );
        Ok(())
    })
}

/// The last events in the export of a node.
fn export(node: &str) -> Result<Vec<Value>> {
    let logs =
        kubectl_quiet(&["logs", "-n", NAMESPACE, &agent_pod(node)?, "-c", "export-stdout", "--tail=20000"])?;
    Ok(logs.lines().filter_map(|l| serde_json::from_str(l).ok()).collect())
}

/// The last event in the export of a node that is as wanted.
pub(crate) fn exported(node: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    export(node)?.into_iter().rev().find(wanted).context("no such event yet")
}

/// Events of a policy in the export of a node, whatever hook they are of.
pub(crate) fn denied_events(node: &str, policy: &str) -> Result<Vec<Value>> {
    let of = |e: &Value| e.as_object().is_some_and(|e| e.values().any(|v| v["policy_name"] == policy));
    Ok(export(node)?.into_iter().filter(of).collect())
}

/// Whether a pod can open the file.
fn opens(namespace: &str, name: &str) -> Result<bool> {
    let said = try_kubectl(&["exec", "-n", namespace, name, "--", "/bin/cat", "/etc/shadow"])?;
    match said.code {
        Some(0) => Ok(true),
        Some(1) if said.all().contains("not permitted") => Ok(false),
        code => bail!("cat exits with {code:?}: {}", said.all()),
    }
}

pub(crate) fn policies_choose_their_pods() -> Result<()> {
    ensure!(opens("production", "web")?, "nothing is denied yet");
    ensure!(
        apply(&policy("web-files", "production", "podSelector: {matchLabels: {app: web}}"))?.code == Some(0),
        "the policy is taken"
    );
    let policy = ["tracingpolicynamespaced", "web-files", "-n", "production"];
    in_force("web-files", "production")?;
    kubectl(&["get", "tracingpolicynamespaced", "-A", "-o", "wide"])?;
    for (namespace, name, may) in
        [("production", "web", false), ("production", "plain", true), ("staging", "web", true)]
    {
        ensure!(opens(namespace, name)? == may, "{namespace}/{name} may open the file: not {may}");
    }
    // Labels change: the policy follows.
    for (label, may) in [("app=web", false), ("app=plain", true)] {
        kubectl(&["label", "pod", "-n", "production", "plain", "--overwrite", label])?;
        wait(&format!("the policy follows {label}"), || {
            ensure!(opens("production", "plain")? == may, "not yet");
            Ok(())
        })?;
    }
    let event = wait("its event names the pod", || {
        exported(GUEST, |e| e["process_lsm"]["policy_name"] == "web-files")
    })?;
    ensure!(event["process_lsm"]["process"]["pod"]["namespace"] == "production", "{event}");
    wait("status counts its pods", || {
        let object = get(&policy)?;
        ensure!(object["status"]["workloads"]["pods"] == 1, "{}", object["status"]);
        Ok(())
    })
}

/// Each of some new containers opens the file as the first thing that it does.
pub(crate) fn first_instructions_are_judged() -> Result<()> {
    let names: Vec<String> = (0..STARTED).map(|i| format!("first-{i}")).collect();
    let two = [("one", OPEN), ("two", OPEN)];
    let all: String = names.iter().map(|n| pod("production", n, "web", GUEST, &two)).collect();
    // The pod that sleeps is of the app as well.
    kubectl(&["delete", "pod", "-n", "production", "web"])?;
    ensure!(apply(&all)?.code == Some(0), "the pods are taken");
    let ended = all_ended("production", "web", 2 * STARTED)?;
    let through: Vec<_> = ended.iter().filter(|(.., code)| *code == 0).collect();
    ensure!(through.is_empty(), "{} of {} got through: {through:?}", through.len(), ended.len());
    wait("each event has its pod", || {
        let denied = denied_events(GUEST, "web-files")?;
        let pods: Vec<&str> = denied
            .iter()
            .map(|e| e["process_lsm"]["process"]["pod"]["name"].as_str().unwrap_or_default())
            .collect();
        ensure!(pods.iter().all(|p| !p.is_empty()), "an event has no pod");
        let missing = names.iter().filter(|n| !pods.contains(&n.as_str())).count();
        ensure!(missing == 0, "{missing} pods have no event");
        Ok(())
    })?;
    kubectl(&["delete", "namespace", "production", "staging", "--wait=false"])?;
    Ok(())
}

/// The container runtime starts a container when the kernel knows its name.
pub(crate) fn containers_are_known_when_they_start() -> Result<()> {
    new_namespace("named")?;
    ensure!(
        apply(&pod("named", "looks", "looks", GUEST, &[("main", SLEEP)]))?.code == Some(0),
        "the pod is taken"
    );
    kubectl(&["wait", "-n", "named", "--for=condition=Ready", "pod/looks", "--timeout=1800s"])?;
    // The kubelet reports a container's name long after it has done what is denied.
    let by_name = "containerSelector: {matchExpressions: [{key: name, operator: In, values: [main]}]}";
    ensure!(apply(&policy("named-files", "named", by_name))?.code == Some(0), "the policy is taken");
    in_force("named-files", "named")?;
    // They differ by their name and do the same.
    let twins = [("main", OPEN), ("side", OPEN)];
    let all: String =
        (0..STARTED).map(|i| pod("named", &format!("twins-{i}"), "twins", GUEST, &twins)).collect();
    ensure!(apply(&all)?.code == Some(0), "the pods are taken");
    let ended = all_ended("named", "twins", 2 * STARTED)?;
    let wrong: Vec<_> = ended.iter().filter(|(_, name, code)| (*code != 0) != (name == "main")).collect();
    ensure!(wrong.is_empty(), "main is to fail and side is not: {wrong:?}");
    let metrics = metrics(&["-n", "named", "looks"])?;
    let starts: Vec<&str> =
        metrics.lines().filter(|l| l.starts_with("tetragon_container_starts_total")).collect();
    eprintln!("  {}", starts.join("\n  "));
    ensure!(metrics.lines().any(|l| l == "tetragon_nri_connected 1"), "NRI is on:\n{metrics}");
    ensure!(starts.iter().all(|l| l.contains("\"classified\"")), "all was known of all of them: {starts:?}");
    kubectl(&["delete", "namespace", "named", "--wait=false"])?;
    Ok(())
}
