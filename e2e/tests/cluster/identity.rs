//! Nothing is decided by stale identity: many containers in a row, pods of one name in turn, the API server
//! away, the agent killed. On the node of this machine, whose kernel may have tracepoints only: what is
//! denied ends the process. Containers that come without an agent also in the guest, where the call is denied.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bed::{
    GUEST, HOST, NAMESPACE, agent_pod, apply, get, in_force, kubectl, kubectl_quiet, metrics, new_namespace,
    on_node, root, run, try_kubectl, wait,
};
use crate::workloads::{OPEN, SLEEP, all_ended, denied_events, ended, pod};

/// Where the pods are.
const WHERE: &str = "identity";
/// Containers that are started in a row, and how many of them a pod has.
const CONTAINERS: usize = 200;
const IN_A_POD: usize = 20;
/// What a process that was ended by SIGKILL exits with.
const KILLED: i64 = 137;

/// Who opens the file in a pod of the app ends.
const POLICY: &str = "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicyNamespaced
metadata: {name: web-kill, namespace: identity}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/hostname: host1}}
  podSelector: {matchLabels: {app: web}}
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_openat
    args: [{index: 6, type: string}]
    selectors:
    - matchArgs: [{index: 6, operator: Equal, values: [/etc/shadow]}]
      matchActions: [{action: Sigkill}]
";

/// Tries in a pod whether the file can be opened.
fn opens(name: &str) -> Result<bool> {
    let said = try_kubectl(&["exec", "-n", WHERE, name, "--", "/bin/cat", "/etc/shadow"])?;
    let code = said.code.map(i64::from);
    ensure!(matches!(code, Some(0 | KILLED)), "cat exits with {code:?}: {}", said.all());
    Ok(code == Some(0))
}

/// Starts a pod that sleeps, and waits for it.
fn start(name: &str, app: &str) -> Result<()> {
    ensure!(apply(&pod(WHERE, name, app, HOST, &[("main", SLEEP)]))?.code == Some(0), "the pod is taken");
    let pod = format!("pod/{name}");
    kubectl(&["wait", "-n", WHERE, "--for=condition=Ready", &pod, "--timeout=1800s"]).map(drop)
}

/// The policy in a namespace.
fn enforce(namespace: &str) -> Result<()> {
    ensure!(apply(&POLICY.replace(WHERE, namespace))?.code == Some(0), "the policy is taken");
    in_force("web-kill", namespace)
}

/// 200 containers, each of which does what is denied as the first thing, one after the other in ten pods.
pub(crate) fn no_container_gets_through() -> Result<()> {
    new_namespace(WHERE)?;
    enforce(WHERE)?;
    let begin = Instant::now();
    let names: Vec<String> = (0..CONTAINERS / IN_A_POD).map(|i| format!("many-{i:02}")).collect();
    let containers: Vec<String> = (0..IN_A_POD).map(|i| format!("c{i:02}")).collect();
    let containers: Vec<_> = containers.iter().map(|c| (c.as_str(), OPEN)).collect();
    let all: String = names.iter().map(|n| pod(WHERE, n, "web", HOST, &containers)).collect();
    ensure!(apply(&all)?.code == Some(0), "the pods are taken");
    let ended = all_ended(WHERE, "web", CONTAINERS)?;
    let through: Vec<_> = ended.iter().filter(|(.., code)| *code != KILLED).collect();
    ensure!(through.is_empty(), "{} of {CONTAINERS} were not stopped: {through:?}", through.len());
    eprintln!(
        "  {CONTAINERS} containers, each ended at its first open, in {:.0} s",
        begin.elapsed().as_secs_f64()
    );
    wait("each container has an event with its pod", || {
        let events = denied_events(HOST, "web-kill")?;
        let of = |e: &Value| {
            let pod = &e["process_tracepoint"]["process"]["pod"];
            Some((pod["name"].as_str()?.to_owned(), pod["container"]["name"].as_str()?.to_owned()))
        };
        let known: BTreeSet<_> = events.iter().filter_map(of).collect();
        ensure!(known.len() == CONTAINERS, "{} of {CONTAINERS}, {} events", known.len(), events.len());
        Ok(())
    })?;
    kubectl(&["delete", "pods", "-n", WHERE, "--all"])?;
    Ok(())
}

/// Pods of one name in turn are each judged as what they are.
pub(crate) fn one_name_in_turn() -> Result<()> {
    for (app, may) in [("web", false), ("plain", true), ("web", false)] {
        start("turn", app)?;
        ensure!(opens("turn")? == may, "app={app} may open the file: not {may}");
        kubectl(&["delete", "pod", "-n", WHERE, "turn"])?;
    }
    Ok(())
}

/// Its container ends and comes again, and notes each time whether the file could be opened.
const AGAIN: &str = "---
apiVersion: v1
kind: Pod
metadata: {name: again, namespace: identity, labels: {app: web}}
spec:
  nodeName: host1
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  volumes: [{name: notes, emptyDir: {}}]
  containers:
  - name: again
    image: localhost/busybox:1
    imagePullPolicy: Never
    volumeMounts: [{name: notes, mountPath: /notes}]
    command: [/bin/sh, -c, '/bin/cat /etc/shadow > /dev/null 2>&1 && echo open >> /notes/all || echo shut >> /notes/all']
  - name: reader
    image: localhost/busybox:1
    imagePullPolicy: Never
    volumeMounts: [{name: notes, mountPath: /notes}]
    command: [/bin/sleep, '3600']
";

/// Tries again and again, and says whether the file could be opened.
const FOREVER: &str = "[/bin/sh, -c, 'while :; do /bin/cat /etc/shadow > /dev/null 2>&1 && echo open || echo shut; \
                       /bin/sleep 0.5; done']";

/// While the API server is away, who may not does not, also in containers that come meanwhile. When the
/// agent is killed as well, who may goes on.
pub(crate) fn faults_change_nobodys_identity() -> Result<()> {
    let all = [
        pod(WHERE, "never", "web", HOST, &[("main", FOREVER)]),
        pod(WHERE, "always", "plain", HOST, &[("main", FOREVER)]),
        AGAIN.into(),
    ];
    ensure!(apply(&all.concat())?.code == Some(0), "the pods are taken");
    for name in ["never", "always"] {
        let pod = format!("pod/{name}");
        kubectl(&["wait", "-n", WHERE, "--for=condition=Ready", &pod, "--timeout=1800s"])?;
    }
    let notes = || kubectl(&["exec", "-n", WHERE, "again", "-c", "reader", "--", "/bin/cat", "/notes/all"]);
    let before = wait("the container that comes again has noted", notes)?;

    let uid = get(&["pod", "again", "-n", WHERE])?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let file = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/notes/all");
    xtask("stop-apiserver")?;
    // One may have come since they were counted: it is the next but one that comes while nobody answers.
    let before = before.lines().count();
    let come = wait("containers come", || {
        let now = on_node(HOST, &["cat", &file])?.stdout.lines().count();
        ensure!(now > before + 1, "{before} notes before, {now} now");
        Ok(())
    });
    xtask("start-apiserver")?;
    come?;
    let after = wait("the API server answers", notes)?;
    let after = after.lines().collect::<Vec<_>>();
    ensure!(after.iter().all(|l| *l == "shut"), "a container that came has opened the file: {after:?}");
    eprintln!("  again: {} times shut, {before} of them before", after.len());

    let pod = agent_pod(HOST)?;
    let restarts = || -> Result<i64> {
        let pod = get(&["pod", "-n", NAMESPACE, &pod])?;
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let agent = statuses.into_iter().find(|c| c["name"] == "tetragon" && c["ready"] == true);
        Ok(agent.and_then(|a| a["restartCount"].as_i64()).unwrap_or(-1))
    };
    let killed_before = restarts()?;
    xtask("stop-apiserver")?;
    kill_agent()?;
    std::thread::sleep(Duration::from_secs(15));
    let again = wait("the agent is killed again", kill_agent);
    std::thread::sleep(Duration::from_secs(15));
    xtask("start-apiserver")?;
    again?;
    wait("the agent is back", || {
        let now = restarts()?;
        ensure!(now >= killed_before + 2, "restarted {now} times, {killed_before} before");
        Ok(())
    })?;
    only(WHERE, &[("never", "shut"), ("always", "open")])?;
    // Also containers that came while there was no agent.
    let noted = wait("the container that comes again can be asked", notes)?;
    ensure!(noted.lines().all(|l| l == "shut"), "a container that came has opened the file: {noted}");
    kubectl(&["delete", "namespace", WHERE, "--wait=false"])?;
    Ok(())
}

/// Opening the file fails in a pod of the app.
const OVERRIDE: &str = "
apiVersion: cilium.io/v1alpha1
kind: TracingPolicyNamespaced
metadata: {name: web-deny, namespace: identity}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/hostname: guest1}}
  podSelector: {matchLabels: {app: web}}
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: [/etc/shadow]}]
      matchActions: [{action: Override, argError: -1}]
";

/// A node on which containers come while its agent is killed.
struct Unattended {
    node: &'static str,
    policy: &'static str,
    /// The policy's name.
    name: &'static str,
    /// What a process exits with that was not allowed to open the file.
    denied: i64,
    /// Containers of the pod that must not open the file, and of the one that may.
    containers: (usize, usize),
    /// An agent lives for so many milliseconds, at most.
    lives: u64,
}

/// How many containers of a pod the kubelet says that it has started.
fn started(namespace: &str, pod: &str) -> Result<usize> {
    let of_pod = format!("reason=Started,involvedObject.name={pod}");
    Ok(kubectl(&["get", "events", "-n", namespace, "--field-selector", &of_pod, "-o", "name"])?
        .lines()
        .count())
}

const UNATTENDED: [Unattended; 2] = [
    Unattended {
        node: HOST,
        policy: POLICY,
        name: "web-kill",
        denied: KILLED,
        containers: (100, 10),
        lives: 1500,
    },
    // It is emulated: a container takes seconds there, and so does the agent's start.
    Unattended {
        node: GUEST,
        policy: OVERRIDE,
        name: "web-deny",
        denied: 1,
        containers: (12, 2),
        lives: 12_000,
    },
];

/// The containers of a pod come one after the other, while the agent is killed and starts again at random moments.
/// Each does what is denied as the first thing.
pub(crate) fn no_container_gets_through_without_an_agent() -> Result<()> {
    let mut random = Random::seeded()?;
    for case in &UNATTENDED {
        case.run(&mut random).with_context(|| format!("on {}", case.node))?;
    }
    Ok(())
}

impl Unattended {
    fn run(&self, random: &mut Random) -> Result<()> {
        let namespace = format!("unattended-{}", self.node);
        new_namespace(&namespace)?;
        ensure!(apply(&self.policy.replace(WHERE, &namespace))?.code == Some(0), "the policy is taken");
        in_force(self.name, &namespace)?;
        let begin = Instant::now();
        let (web, plain) = self.containers;
        let pods = [self.pod(&namespace, "web", web), self.pod(&namespace, "plain", plain)];
        ensure!(apply(&pods.concat())?.code == Some(0), "the pods are taken");
        // From here on the pod is known. Its status has nothing before the kubelet has started all of them.
        wait("its first containers have started", || {
            ensure!(started(&namespace, "web")? >= 2, "not yet");
            Ok(())
        })?;
        let mut agents = 0;
        while ended(&namespace, "web")?.len() < web {
            self.kill_agent(random.below(self.lives))?;
            agents += 1;
        }
        ensure!(agents > 0, "no agent was killed: the containers came too fast, and nothing is shown");
        let [of_web, of_plain] = ["web", "plain"].map(|app| all_ended(&namespace, app, self.count(app)));
        let wrong: Vec<_> = of_web?.into_iter().filter(|(.., code)| *code != self.denied).collect();
        ensure!(wrong.is_empty(), "{} of {web} were not stopped: {wrong:?}", wrong.len());
        let wrong: Vec<_> = of_plain?.into_iter().filter(|(.., code)| *code != 0).collect();
        ensure!(wrong.is_empty(), "{} of {plain} that may open the file could not: {wrong:?}", wrong.len());
        eprintln!(
            "  {}: {web} containers, none opened the file, while {agents} agents were killed, in {:.0} s",
            self.node,
            begin.elapsed().as_secs_f64()
        );
        kubectl(&["rollout", "status", "-n", NAMESPACE, "ds/tetragon", "--timeout=1800s"])?;
        in_force(self.name, &namespace)?;
        kubectl(&["delete", "namespace", &namespace, "--wait=false"])?;
        Ok(())
    }

    fn count(&self, app: &str) -> usize {
        if app == "web" { self.containers.0 } else { self.containers.1 }
    }

    fn pod(&self, namespace: &str, app: &str, count: usize) -> String {
        let names: Vec<String> = (0..count).map(|i| format!("c{i:03}")).collect();
        let containers: Vec<_> = names.iter().map(|name| (name.as_str(), OPEN)).collect();
        pod(namespace, app, app, self.node, &containers)
    }

    /// Waits until there is an agent, lets it live for so many milliseconds, and kills it. Its pod is deleted, so that
    /// the next one starts at once: the kubelet would wait longer each time.
    fn kill_agent(&self, milliseconds: u64) -> Result<()> {
        let of_node = if self.node == HOST { format!("tetragon-rs-[0-9]*-{HOST}") } else { String::new() };
        let script = format!(
            "i=0; while [ $i -lt 6000 ]; do for p in {}; do \
             grep -q '{of_node}' $p/cgroup && sleep {}.{:03} && kill -KILL ${{p#/proc/}} && exit 0; done; \
             sleep 0.05; i=$((i + 1)); done; exit 1",
            processes("tetragon"),
            milliseconds / 1000,
            milliseconds % 1000
        );
        let said = on_node(self.node, &["/bin/sh", "-c", &script])?;
        ensure!(said.code == Some(0), "no agent came: {}", said.all());
        let of_node = format!("spec.nodeName={}", self.node);
        let agents = ["-l", "app.kubernetes.io/name=tetragon", "--field-selector", &of_node];
        let at_once = ["--force", "--grace-period=0", "--wait=false"];
        kubectl(&[&["delete", "pods", "-n", NAMESPACE], &agents[..], &at_once[..]].concat()).map(drop)
    }
}

/// Numbers that follow from a seed (xorshift).
struct Random(u64);

impl Random {
    /// The seed is TETRAGON_SEED, or another one each time.
    fn seeded() -> Result<Random> {
        let seed: u64 = match std::env::var("TETRAGON_SEED") {
            Ok(text) => text.parse().with_context(|| format!("TETRAGON_SEED={text} is no number"))?,
            Err(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as u64,
        };
        eprintln!("  TETRAGON_SEED={seed}");
        // Of zero nothing but zeros would follow.
        Ok(Random(seed.max(1)))
    }

    fn below(&mut self, n: u64) -> u64 {
        for (left, by) in [(true, 13), (false, 7), (true, 17)] {
            self.0 ^= if left { self.0 << by } else { self.0 >> by };
        }
        self.0 % n
    }
}

/// What each of these pods has said, from its start on, is always the same.
fn only(namespace: &str, pods: &[(&str, &str)]) -> Result<()> {
    for (name, only) in pods {
        let said = wait("the log can be read", || kubectl_quiet(&["logs", "-n", namespace, name]))?;
        let wrong = said.lines().filter(|l| l != only).count();
        ensure!(wrong == 0, "{wrong} of {} opens in `{name}` were not {only}", said.lines().count());
        ensure!(said.lines().count() > 40, "`{name}` has tried {} times only", said.lines().count());
        eprintln!("  {name}: {} times {only}", said.lines().count());
    }
    Ok(())
}

/// Without NRI, and while the API server is away, the agent has the names of new containers from the container
/// runtime. When that is away as well, nobody is judged as somebody else.
pub(crate) fn the_container_runtime_is_asked() -> Result<()> {
    let namespace = "runtime";
    new_namespace(namespace)?;
    enforce(namespace)?;
    let all = [
        pod(namespace, "never", "web", HOST, &[("main", FOREVER)]),
        pod(namespace, "always", "plain", HOST, &[("main", FOREVER)]),
        AGAIN.replace(WHERE, namespace),
    ];
    ensure!(apply(&all.concat())?.code == Some(0), "the pods are taken");
    for name in ["pod/never", "pod/always"] {
        kubectl(&["wait", "-n", namespace, "--for=condition=Ready", name, "--timeout=1800s"])?;
    }
    xtask("stop-apiserver")?;
    // kubectl cannot be asked now. The container comes again after 10 s, and after 20 s more.
    let tetra = root().join("target/dist/tetra").display().to_string();
    let live = format!(
        "{tetra} getevents -o json --namespace {namespace} --pods again > /tmp/runtime.log & i=0; \
         until grep -q '\"binary\":\"/bin/sh\"' /tmp/runtime.log || [ $i = 600 ]; do sleep 1; i=$((i + 1)); done; \
         kill $!; cat /tmp/runtime.log"
    );
    let lines = on_node(HOST, &["/bin/sh", "-c", &live])?.stdout;
    xtask("start-apiserver")?;
    let started: Vec<Value> = lines
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .map(|e| e["process_exec"]["process"].clone())
        .filter(|p| p["binary"] == "/bin/sh")
        .collect();
    ensure!(!started.is_empty(), "no container came:\n{lines}");
    let known = |p: &&Value| p["pod"]["container"]["name"] == "again";
    ensure!(started.iter().filter(known).count() == started.len(), "not all are known: {started:?}");
    eprintln!("  {} containers came, and events named them", started.len());
    wait("the API server answers", || get(&["namespace", namespace]))?;
    let reader = ["-n", namespace, "again", "-c", "reader"];
    let said = wait("the agent can be asked", || metrics(&reader))?;
    let asked = said.lines().find(|l| l.starts_with("tetragon_cri_cgidmap_resolutions_total "));
    ensure!(asked.is_some_and(|l| !l.ends_with(" 0")), "the runtime was not asked: {asked:?}");
    eprintln!("  {}", asked.unwrap_or_default());

    // The runtime answers nobody for a while, and the agent is killed meanwhile: it cannot start again before.
    signal("containerd", "STOP")?;
    kill_agent()?;
    std::thread::sleep(Duration::from_secs(15));
    signal("containerd", "CONT")?;
    wait("the agent is back", || {
        ensure!(metrics(&reader)?.contains("tetragon_"), "no metrics");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(5));
    only(namespace, &[("never", "shut"), ("always", "open")])?;
    kubectl(&["delete", "namespace", namespace, "--wait=false"])?;
    Ok(())
}

fn xtask(command: &str) -> Result<()> {
    let name = std::env::var("CLUSTER_NAME")?;
    let said = run("XTASK", &["cluster", command, "--name", &name], "")?;
    ensure!(said.code == Some(0), "{}", said.all());
    Ok(())
}

/// kill -9, as the kernel does when memory is short.
fn kill_agent() -> Result<()> {
    signal("tetragon", "KILL")
}

/// For a shell: `/proc/PID` of each process of that name. Nodes in guests have no pgrep.
fn processes(program: &str) -> String {
    format!("$(grep -lx {program} /proc/[0-9]*/comm 2>/dev/null | sed s,/comm,,)")
}

/// Sends a signal to a program of the node on this machine, where others may run it too.
fn signal(program: &str, signal: &str) -> Result<()> {
    let script = format!(
        "for p in {}; do grep -q 'tetragon-rs-[0-9]*-{HOST}' $p/cgroup && kill -{signal} ${{p#/proc/}} && exit 0; done; \
         exit 1",
        processes(program)
    );
    let said = on_node(HOST, &["/bin/sh", "-c", &script])?;
    ensure!(said.code == Some(0), "{}", said.all());
    Ok(())
}
