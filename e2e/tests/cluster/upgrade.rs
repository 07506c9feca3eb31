//! helm upgrade while a policy enforces, and helm uninstall.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};

use crate::bed::{
    GUEST, NAMESPACE, agent_pod, apply, condition, get, helm, kubectl, on_node, try_kubectl, wait,
};
use crate::install::{VALUES, certificate};

/// Opening the file fails on nodes whose kernel can deny.
const DENY: &str = "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: deny}
spec:
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: [/etc/shadow]}]
      matchBinaries: [{operator: In, values: [/bin/cat]}]
      matchActions: [{action: Override, argError: -1}]
";

/// Opens the file again and again in a pod of the guest, and tells how often that worked.
const VICTIM: &str = "
apiVersion: v1
kind: Pod
metadata: {name: victim, namespace: default}
spec:
  nodeName: guest1
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers:
  - name: victim
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [/bin/sleep, '3600']
";

fn opens() -> Result<(u32, u32)> {
    let script = "i=0; ok=0; while [ $i -lt 50 ]; do i=$((i+1)); /bin/cat /etc/shadow >/dev/null 2>&1 && ok=$((ok+1)); done; echo $ok $i";
    let said = kubectl(&["exec", "victim", "--", "/bin/sh", "-c", script])?;
    let mut numbers = said.split_whitespace().map(|n| n.parse().unwrap_or(0));
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

pub(crate) fn upgrade() -> Result<()> {
    ensure!(apply(VICTIM)?.code == Some(0), "the victim starts");
    kubectl(&["wait", "--for=condition=Ready", "pod/victim", "--timeout=1800s"])?;
    let (ok, tried) = opens()?;
    ensure!(ok == tried && tried == 50, "nothing is denied yet: {ok} of {tried}");
    ensure!(apply(DENY)?.code == Some(0), "the policy applies");
    wait("the guest denies", || {
        let object = get(&["tracingpolicy", "deny"])?;
        ensure!(object["status"]["nodes"]["loaded"].as_i64() >= Some(1), "{}", object["status"]);
        Ok(())
    })?;
    ensure!(opens()?.0 == 0, "the file is opened");

    // While every agent is replaced, nothing gets through. What comes after goes on without NRI.
    let done = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let done = done.clone();
        move || -> Result<(u32, u32)> {
            let (mut ok, mut tried) = (0, 0);
            while !done.load(Ordering::Acquire) {
                let (o, t) = opens()?;
                ok += o;
                tried += t;
            }
            Ok((ok, tried))
        }
    });
    let before = agent_pod(GUEST)?;
    let certificate_before = certificate("tls.crt")?;
    let upgraded = helm(&[
        "upgrade",
        "tetragon",
        "charts/tetragon",
        "-n",
        NAMESPACE,
        "-f",
        VALUES,
        "--set",
        "tetragon.enableProcessCred=true,rthooks.enabled=false,tetragon.cri.enabled=true",
    ])
    .and_then(|_| kubectl(&["rollout", "status", "-n", NAMESPACE, "ds/tetragon", "--timeout=1800s"]))
    .and_then(|_| {
        wait("another agent has the guest", || {
            ensure!(agent_pod(GUEST)? != before, "the old pod is there");
            let object = get(&["tetragonnode", GUEST])?;
            ensure!(condition(&object, "Ready").is_some_and(|(s, _)| s == "True"), "{}", object["status"]);
            Ok(())
        })
    });
    done.store(true, Ordering::Release);
    let seen = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
    upgraded?;
    ensure!(certificate("tls.crt")? == certificate_before, "the upgrade has made another certificate");
    let (ok, tried) = seen?;
    ensure!(ok == 0, "{ok} of {tried} opens got through while the agent was replaced");
    eprintln!("  {tried} opens while the agents were replaced, each denied");
    // The new value is in force. After the outages of the tests before, the kubelet may bring it late: then the
    // agent starts again with it.
    let pod = agent_pod(GUEST)?;
    let export = wait("credentials stand in events", || {
        opens()?;
        let logs = kubectl(&["logs", "-n", NAMESPACE, &pod, "-c", "export-stdout", "--tail=200"])?;
        ensure!(logs.contains("\"process_credentials\"") || logs.contains("\"cap\""), "none yet");
        Ok(())
    });
    if let Err(e) = export {
        // What the kubelet has brought by now, and what the agent made of it.
        let told = "cat /var/lib/kubelet/pods/*/volumes/kubernetes.io~configmap/*/enable-process-cred";
        let said = on_node(GUEST, &["/bin/sh", "-c", told])?.all();
        let log = |container, tail| kubectl(&["logs", "-n", NAMESPACE, &pod, "-c", container, tail]);
        let (agent, events) = (log("tetragon", "--tail=40")?, log("export-stdout", "--tail=3")?);
        bail!("{e:#}; the agent's pod was given enable-process-cred={said}; its log:\n{agent}\n{events}");
    }
    kubectl(&["delete", "tracingpolicy", "deny"])?;
    wait("the guest lets it go", || {
        let (ok, tried) = opens()?;
        ensure!(ok == tried, "{ok} of {tried}");
        Ok(())
    })?;
    kubectl(&["delete", "pod", "victim", "--wait=false"])?;
    Ok(())
}

pub(crate) fn uninstall() -> Result<()> {
    helm(&["uninstall", "tetragon", "-n", NAMESPACE, "--wait", "--timeout", "1800s"])?;
    let ours = |kind: &str| -> Result<Vec<String>> {
        let left = kubectl(&["get", kind, "-n", NAMESPACE, "-o", "name"])?;
        // Plans are the policies'.
        let ours = |l: &&str| l.contains("tetragon") && !l.contains("tetragon-plan-");
        Ok(left.lines().filter(ours).map(str::to_owned).collect())
    };
    for kind in ["daemonset", "deployment", "serviceaccount", "service", "configmap"] {
        let left = ours(kind)?;
        ensure!(left.is_empty(), "{left:?} are left");
    }
    // The operator's own is not helm's: it goes with the webhook's configuration.
    wait("the Secrets are gone", || {
        let left = ours("secret")?;
        ensure!(left.is_empty(), "{left:?} are left");
        Ok(())
    })?;
    for kind in ["clusterrole", "clusterrolebinding", "validatingwebhookconfiguration"] {
        let left = kubectl(&["get", kind, "-o", "name"])?;
        ensure!(!left.contains("tetragon"), "{left}");
    }
    // Policies are the user's: they stay until they are deleted.
    ensure!(try_kubectl(&["get", "tracingpolicy", "monitor-sensitive-files"])?.code == Some(0), "kept");
    Ok(())
}
