//! Pods as people have them: a Deployment whose pods have containers of all kinds, filters of `tetra
//! getevents`, and the allow-list of the samples.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::bed::{
    GUEST, HOST, Live, agent_pod, apply, get, in_force, kubectl, new_namespace, root, try_kubectl,
    until_printed, wait,
};
use crate::workloads::{SLEEP, denied_events, exported, pod};

/// The Deployment's namespace.
const WHERE: &str = "kinds";

/// Its pods have many containers, each of which takes a guest many seconds: they are on this machine's node.
const SHOP: &str = "---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: kinds}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      nodeName: host1
      hostNetwork: true
      terminationGracePeriodSeconds: 0
      initContainers:
      - {name: prepare, image: 'localhost/busybox:1', imagePullPolicy: Never, command: [/bin/uname]}
      containers:
      - {name: main, image: 'localhost/busybox:1', imagePullPolicy: Never, command: [/bin/sleep, '3600']}
";

/// The names of the Deployment's pods.
fn shops() -> Result<Vec<String>> {
    let list = get(&["pods", "-n", WHERE, "-l", "app=shop"])?;
    let pods = list["items"].as_array().into_iter().flatten();
    let alive = pods.filter(|p| p["metadata"]["deletionTimestamp"].is_null());
    Ok(alive.filter_map(|p| p["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

fn rolled_out() -> Result<()> {
    kubectl(&["rollout", "status", "-n", WHERE, "deployment/shop", "--timeout=1800s"]).map(drop)
}

/// Init, ephemeral and usual containers of a Deployment's pods stand in events, also of the pods that come when
/// it is rolled out again.
pub(crate) fn containers_of_all_kinds() -> Result<()> {
    new_namespace(WHERE)?;
    let lone = pod(WHERE, "lone", "lone", HOST, &[("main", SLEEP)]);
    ensure!(apply(&format!("{SHOP}{lone}"))?.code == Some(0), "the Deployment is taken");
    rolled_out()?;
    kubectl(&["rollout", "restart", "-n", WHERE, "deployment/shop"])?;
    rolled_out()?;
    wait("the old pods are gone", || {
        ensure!(shops()?.len() == 2, "{:?}", shops()?);
        Ok(())
    })?;
    let name = shops()?.remove(0);
    let image = "--image=localhost/busybox:1";
    let probe =
        ["debug", "-n", WHERE, &name, image, "--container=probe", "--profile=general", "--", "/bin/id"];
    kubectl(&probe)?;
    for (binary, container) in [("/bin/uname", "prepare"), ("/bin/sleep", "main"), ("/bin/id", "probe")] {
        wait(&format!("{binary} is of container {container}"), || {
            let event = exported(HOST, |e| {
                let process = &e["process_exec"]["process"];
                process["binary"] == binary && process["pod"]["name"] == name.as_str()
            })?;
            let pod = &event["process_exec"]["process"]["pod"];
            ensure!(pod["container"]["name"] == container, "{event}");
            ensure!(pod["workload"] == "shop" && pod["workload_kind"] == "Deployment", "{event}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Each filter shows what runs in the Deployment's pods, and not what runs in the pod beside them.
pub(crate) fn filters_find_their_events() -> Result<()> {
    let shop = shops()?.remove(0);
    let filters: [&[&str]; 7] = [
        &["--workload", "shop"],
        &["--labels", "app=shop"],
        &["--pods", "shop"],
        &["--pod-regex", "^shop-.*"],
        &["--namespace", WHERE, "--pods", "shop"],
        &["--cel-expression", "process_exec.process.pod.workload_kind == 'Deployment'"],
        &["--cel-expression", "process_exec.process.pod.pod_labels['app'] == 'shop'"],
    ];
    let agent = agent_pod(HOST)?;
    let clients: Vec<Live> = filters.iter().map(|f| Live::start(&agent, f)).collect::<Result<_>>()?;
    let exec = |name: &str, binary: &str| {
        kubectl(&["exec", "-n", WHERE, name, "--", binary, "/etc/hostname"]).map(drop)
    };
    until_printed(&clients, "/bin/head", || exec(&shop, "/bin/head"))?;
    exec("lone", "/bin/tail")?;
    // What comes after it is shown, so that it would be.
    until_printed(&clients, "/bin/cat", || exec(&shop, "/bin/cat"))?;
    for (filter, client) in filters.iter().zip(&clients) {
        let (filter, lines) = (filter.join(" "), client.printed());
        let source = format!("{WHERE}/{shop}");
        ensure!(
            lines.lines().any(|l| l.contains(&source) && l.contains("/bin/head")),
            "`{filter}` shows what runs in {source}:\n{lines}"
        );
        ensure!(!lines.contains("/bin/tail"), "`{filter}` shows what it must not:\n{lines}");
    }
    kubectl(&["delete", "namespace", WHERE, "--wait=false"])?;
    Ok(())
}

/// A sample, with the paths of the bed's image.
fn sample(name: &str) -> Result<String> {
    let file = root().join(Path::new("config/samples")).join(name);
    Ok(std::fs::read_to_string(file)?.replace("/usr/bin/", "/bin/"))
}

/// The samples of an allow-list per workload: what is listed runs in a pod of the app, also by `kubectl exec`;
/// what is not does not, or is told in monitor mode. Another app is left alone.
pub(crate) fn an_allow_list_per_workload() -> Result<()> {
    let (enforce, monitor) = ("allow-list-per-workload", "allow-list-per-workload-monitor");
    ensure!(apply(&sample(&format!("{enforce}.yaml"))?)?.code == Some(0), "the policy is taken");
    in_force(enforce, "default")?;
    let of = |name: &str, app: &str, command: &str| pod("default", name, app, GUEST, &[("main", command)]);
    let pods = [of("listed", "web", SLEEP), of("unlisted", "web", "[/bin/uname]"), of("other", "db", SLEEP)];
    ensure!(apply(&pods.concat())?.code == Some(0), "the pods are taken");
    for name in ["pod/listed", "pod/other"] {
        kubectl(&["wait", "--for=condition=Ready", name, "--timeout=1800s"])?;
    }
    let exec = |pod: &str, binary: &str| try_kubectl(&["exec", pod, "--", binary, "/etc/hostname"]);
    for (pod, binary, may) in
        [("listed", "/bin/cat", true), ("listed", "/bin/head", false), ("other", "/bin/head", true)]
    {
        let said = exec(pod, binary)?;
        ensure!((said.code == Some(0)) == may, "{binary} in {pod}: {}", said.all());
        ensure!(may || said.all().contains("operation not permitted"), "{}", said.all());
    }
    wait("what is not listed has not started", || {
        let pod = get(&["pod", "unlisted"])?;
        let state = &pod["status"]["containerStatuses"][0]["state"];
        // What runc says when it cannot become the program.
        ensure!(state["terminated"]["exitCode"] == 255, "{state}");
        Ok(())
    })?;
    let said = kubectl(&["logs", "unlisted"])?;
    ensure!(said.contains("exec /bin/uname: operation not permitted"), "{said}");
    kubectl(&["delete", "tracingpolicynamespaced", enforce, "-n", "default"])?;
    ensure!(apply(&sample(&format!("{monitor}.yaml"))?)?.code == Some(0), "its twin is taken");
    in_force(monitor, "default")?;
    ensure!(exec("listed", "/bin/head")?.code == Some(0), "it only watches");
    wait("what it would have denied is told", || {
        let events = denied_events(GUEST, monitor)?;
        let told = events.iter().find(|e| e.to_string().contains("/bin/head"));
        let event = told.ok_or_else(|| anyhow::anyhow!("{} events, none of them", events.len()))?;
        ensure!(event["process_kprobe"]["process"]["pod"]["name"] == "listed", "{event}");
        Ok(())
    })?;
    kubectl(&["delete", "tracingpolicynamespaced", monitor, "-n", "default"])?;
    kubectl(&["delete", "pods", "listed", "unlisted", "other", "--wait=false"])?;
    Ok(())
}
