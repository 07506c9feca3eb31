//! What happens in a cluster, one thing after the other.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tetragon_api::published::{JSON_KEY, encode};
use tetragon_api::status::NodePolicyState::{Failed, Loaded, Pending, Skipped};
use tetragon_api::status::TetragonNode;

use crate::agent::{Agent, seek};
use crate::bed::{Bed, Place, Published, eventually};

/// A scenario.
pub type Scenario = fn(&Bed) -> Result<()>;

/// All of them.
pub const ALL: &[(&str, Scenario)] = &[
    ("a_plan_is_loaded_updated_and_removed", loaded_updated_removed),
    ("an_update_has_no_gap", no_gap),
    ("policies_outlive_agent_and_api_server", outlives),
    ("what_was_pinned_stays_until_all_plans_are_known", held),
    ("a_plan_that_is_not_what_was_published", tampered),
    ("a_version_that_does_not_run_leaves_the_one_before", refused),
    ("nodes_are_selected_by_their_labels", selected),
    ("a_node_without_labels_loads_nothing_new", blind),
    ("the_pods_of_the_node_are_watched", pods),
    ("a_rollout_reaches_the_node", rollout),
    ("the_mode_of_all_nodes", modes),
    ("a_policy_that_acts_too_often", limited),
    ("killed_while_loading", killed),
    ("nothing_is_written_when_nothing_changes", quiet),
    ("the_object_of_the_node_is_made_again", remade),
    ("what_the_operator_wrote_is_taken_back", taken_back),
    ("the_api_server_restarts", restarted),
    ("an_uninstall_lets_everything_go", uninstalled),
    ("a_thousand_policies", thousand),
];

const LOADED: &str = "loaded";

fn is_loaded(p: &tetragon_api::status::NodePolicy, plan: &str) -> bool {
    p.state == Loaded && p.plan == plan && p.running.is_none()
}

fn loaded_updated_removed(bed: &Bed) -> Result<()> {
    let place = bed.place("plan", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    place.expect_ready("Running")?;
    let first = Published::new("p", 7001, "", "")?;
    let name = place.publish(&first)?;
    let p = place.expect("p", LOADED, |p| is_loaded(p, &name))?;
    ensure!(p.mode == "observe" && p.hooks.len() == 1 && p.kernel_memory > 0, "{p:?}");
    ensure!(p.hooks[0].backend == "tracepoint" && p.hooks[0].function == "syscalls/sys_enter_lseek", "{p:?}");
    seek(7001, 3)?;
    agent.wait_for_events("p", 2)?;
    // Numbers come by themselves.
    place.expect("p", "counted", |p| p.events == 3 && p.actions == 0)?;
    let second = place.publish(&Published::new("p", 7002, "", "")?.revision(2))?;
    place.expect("p", "updated", |p| is_loaded(p, &second))?;
    seek(7001, 1)?;
    seek(7002, 1)?;
    agent.wait_for_events("p", 3)?;
    ensure!(agent.events("p") == 4, "the version before still reports");
    ensure!(agent.kept() == [second.as_str()], "{:?}", agent.kept());
    // The operator takes the old version away: nothing happens.
    place.unpublish(&name)?;
    let node = place.node()?.context("the object")?;
    let status = node.status.unwrap_or_default();
    ensure!(status.policy_counts.summary == "1/1" && status.capabilities.btf, "{status:?}");
    ensure!(node.metadata.owner_references.is_some_and(|o| o.len() == 1 && o[0].kind == "Node"));
    ensure!(agent.metric("tetragon_plans{state=\"loaded\"} ")? == 1.0);
    ensure!(agent.metric("tetragon_k8s_connected ")? == 1.0);
    ensure!(agent.metric("tetragon_node_status_writes_total{result=\"ok\"} ")? >= 2.0);
    place.unpublish(&second)?;
    eventually("the policy is gone", || Ok(place.policy("p")?.is_none().then_some(())))?;
    ensure!(agent.pinned_hooks() == 0 && agent.kept().is_empty());
    ensure!(agent.stop()?.success());
    place.expect_ready("AgentStopped")
}

fn no_gap(bed: &Bed) -> Result<()> {
    let place = bed.place("gap", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("g", 7100, "", "")?)?;
    place.expect("g", LOADED, |p| is_loaded(p, &name))?;
    let calls = 100;
    let hammer = std::thread::spawn(move || -> Result<u32> {
        let end = Instant::now() + Duration::from_secs(12);
        let mut made = 0;
        while Instant::now() < end {
            seek(7100, calls)?;
            made += calls;
        }
        Ok(made)
    });
    // Each version lists another value more: every call matches before and after each change.
    for revision in 2..6 {
        let more: Vec<String> = (0..revision).map(|n| format!("\"{}\"", 7100 + n)).collect();
        let yaml = format!(
            "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: g\nspec:\n  tracepoints:\n  \
             - subsystem: syscalls\n    event: sys_enter_lseek\n    args:\n    - {{index: 7, type: uint64}}\n    selectors:\n    \
             - matchArgs:\n      - {{index: 7, operator: Equal, values: [{}]}}\n",
            more.join(", ")
        );
        let name = place.publish(&Published::compile("g", &yaml)?.revision(revision))?;
        place.expect("g", "updated", |p| is_loaded(p, &name))?;
    }
    let made = f64::from(hammer.join().map_err(|_| anyhow::anyhow!("the hammer panicked"))??);
    // The export's file is rotated many times.
    let reported = || agent.metric_sum("tetragon_policy_events_total{policy=\"g\",");
    let skipped = || agent.metric("tetragon_missed_events_total{stage=\"recursion\",policy=\"\"} ");
    // What the kernel skips on a preemptible kernel is counted; nothing else may be missing.
    let counted =
        eventually("all calls are reported", || Ok((reported()? + skipped()? >= made).then_some(())));
    let (found, skipped) = (reported()?, skipped()?);
    counted.with_context(|| format!("{made} calls, {found} events, {skipped} skipped"))?;
    ensure!(found <= made, "{made} calls, {found} events");
    eprintln!("    {made} calls, {found} events, {skipped} skipped");
    ensure!(agent.stop()?.success());
    Ok(())
}

fn outlives(bed: &Bed) -> Result<()> {
    let place = bed.place("outlive", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("o", 7200, "Sigkill", "")?)?;
    place.expect("o", LOADED, |p| is_loaded(p, &name) && p.mode == "enforce")?;
    ensure!(!seek(7200, 1)?, "nothing is enforced");
    agent.way.cut();
    agent.kill()?;
    ensure!(!seek(7200, 1)?, "nothing is enforced without the agent");
    agent.start()?;
    ensure!(agent.log().contains("policy loaded"), "{}", agent.log());
    ensure!(!seek(7200, 1)?, "nothing is enforced without the API server");
    ensure!(agent.metric("tetragon_plans{state=\"loaded\"} ")? == 1.0);
    ensure!(agent.metric("tetragon_k8s_connected ")? == 0.0);
    // What happens meanwhile is carried out when the API server is back.
    place.unpublish(&name)?;
    let next = place.publish(&Published::new("next", 7201, "Sigkill", "")?)?;
    ensure!(!seek(7200, 1)?, "the policy was let go, and nobody knows that it is gone");
    agent.way.mend();
    place.expect("next", LOADED, |p| is_loaded(p, &next))?;
    ensure!(seek(7200, 1)? && !seek(7201, 1)?);
    ensure!(place.policy("o")?.is_none());
    ensure!(agent.stop()?.success());
    ensure!(seek(7201, 1)?, "a clean end takes everything down");
    let p = place.policy("next")?.context("the policy")?;
    ensure!(p.state == Pending && p.reason == "AgentStopped" && p.mode.is_empty(), "{p:?}");
    Ok(())
}

fn held(bed: &Bed) -> Result<()> {
    let place = bed.place("held", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let goes = place.publish(&Published::new("goes", 7300, "Sigkill", "")?)?;
    let stays = place.publish(&Published::new("stays", 7301, "Sigkill", "")?)?;
    place.expect("goes", LOADED, |p| is_loaded(p, &goes))?;
    place.expect("stays", LOADED, |p| is_loaded(p, &stays))?;
    for damage in ["lost", "cut"] {
        agent.kill()?;
        agent.way.cut();
        let file = agent.plans().join(format!("{stays}.plan"));
        if damage == "lost" {
            std::fs::remove_dir_all(agent.plans())?;
        } else {
            let text = std::fs::read(&file)?;
            std::fs::write(&file, &text[..text.len() / 2])?;
        }
        agent.start()?;
        ensure!(agent.log().contains("what the agent before has left stays"), "{damage}: {}", agent.log());
        ensure!(damage == "lost" || agent.log().contains("moved aside"), "{}", agent.log());
        let enforced = || Ok::<_, anyhow::Error>((!seek(7300, 1)?, !seek(7301, 1)?));
        ensure!(enforced()? == (true, true), "{damage}: the first start lets something go");
        // Once more: what was found out must not be forgotten.
        agent.kill()?;
        agent.start()?;
        ensure!(agent.log().contains("what the agent before has left stays"), "{damage}: {}", agent.log());
        ensure!(enforced()? == (true, true), "{damage}: the second start lets something go");
        agent.way.mend();
        agent.wait_for_log("what the agent before has left is replaced")?;
        agent.wait_for_log("policy loaded policy=stays")?;
        ensure!(enforced()? == (true, true), "{damage}: all is known, and something is let go");
        eventually("the folder is whole again", || {
            let complete = agent.plans().join("complete").exists() && agent.kept().len() == 2;
            let aside = std::fs::read_dir(agent.plans())?.flatten();
            let aside = aside.filter(|e| e.file_name().to_string_lossy().ends_with(".damaged")).count();
            Ok((complete && aside == 0).then_some(()))
        })?;
    }
    // A policy that goes while nobody looks is known to be gone by the complete list.
    agent.kill()?;
    std::fs::remove_dir_all(agent.plans())?;
    place.unpublish(&goes)?;
    agent.start()?;
    agent.wait_for_log("what the agent before has left is replaced")?;
    eventually("the policy is let go", || Ok(seek(7300, 1)?.then_some(())))?;
    ensure!(!seek(7301, 1)?);
    ensure!(agent.stop()?.success());
    Ok(())
}

fn tampered(bed: &Bed) -> Result<()> {
    let place = bed.place("tamper", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let good = place.publish(&Published::new("t", 7400, "Sigkill", "")?)?;
    place.expect("t", LOADED, |p| is_loaded(p, &good))?;
    let expect = |name: &str, reason: &str| -> Result<()> {
        let p = place.expect("t", reason, |p| p.state == Failed && p.reason == reason && p.plan == name)?;
        ensure!(p.running.as_deref() == Some(&good) && !p.message.is_empty(), "{p:?}");
        ensure!(!seek(7400, 1)?, "{reason}: what ran is let go");
        Ok(())
    };
    type Change = fn(String) -> Option<String>;
    let changes: [(&str, Change); 3] = [
        ("PlanDigestMismatch", |body| Some(body.replace("741", "740"))),
        ("PlanDigestMismatch", |body| Some(body[..body.len() / 2].to_owned())),
        ("PlanUnreadable", |_| None),
    ];
    for (n, (reason, change)) in (0u32..).zip(changes) {
        let published = Published::new("t", 7410 + n, "Sigkill", "")?.revision(2 + i64::from(n));
        let mut object = encode(&published.plan, &published.meta)?;
        let data = object.data.as_mut().context("a plain body")?;
        let body = data.remove(JSON_KEY).context("a body")?;
        data.extend(change(body).map(|body| (JSON_KEY.to_owned(), body)));
        let name = place.put(&object)?;
        expect(&name, reason)?;
    }
    ensure!(agent.metric("tetragon_plan_errors_total{reason=\"PlanDigestMismatch\"} ")? >= 1.0);
    // A body of a newer format under annotations of this one, by an operator that forgot to say it.
    let mut newer = Published::new("t", 7413, "Sigkill", "")?.revision(5);
    newer.plan.format += 1;
    newer.meta.digest = newer.plan.digest();
    expect(&place.publish(&newer)?, "PlanFormatUnknown")?;
    // Annotations that nobody but the operator should write.
    let published = Published::new("t", 7420, "Sigkill", "")?.revision(9);
    let name = place.publish(&published)?;
    place.expect("t", LOADED, |p| is_loaded(p, &name))?;
    for (annotation, value, reason) in [
        ("tetragon-rs.dev/format", "99", "PlanFormatUnknown"),
        ("tetragon-rs.dev/policy-name", "other", "PlanOfOtherPolicy"),
        ("tetragon-rs.dev/policy-uid", "other", "PlanMetadataInvalid"),
        ("tetragon-rs.dev/rollout-percent", "lots", "PlanMetadataInvalid"),
        ("tetragon-rs.dev/digest", "00", "PlanMetadataInvalid"),
    ] {
        place.annotate(&name, &json!({annotation: value}))?;
        place.expect("t", reason, |p| p.state == Failed && p.reason == reason)?;
        ensure!(!seek(7420, 1)?, "{annotation}: what ran is let go");
        place.publish(&published)?;
        place.expect("t", LOADED, |p| is_loaded(p, &name))?;
    }
    ensure!(agent.stop()?.success());
    Ok(())
}

fn refused(bed: &Bed) -> Result<()> {
    let place = bed.place("refused", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let yaml = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: NAME\nspec:\n  kprobes:\n  \
                - call: no_such_function_anywhere\n    syscall: false\n";
    let missing = |name: &str| Published::compile(name, &yaml.replace("NAME", name));
    let alone = place.publish(&missing("alone")?)?;
    let p = place.expect("alone", "refused", |p| p.state == Failed)?;
    ensure!(p.reason == "HookNotAvailable" && p.mode.is_empty() && p.plan == alone, "{p:?}");
    ensure!(p.hooks[0].backend.is_empty() && p.hooks[0].error.contains("does not exist"), "{p:?}");
    let first = place.publish(&Published::new("r", 7500, "Sigkill", "")?)?;
    place.expect("r", LOADED, |p| is_loaded(p, &first))?;
    let second = place.publish(&missing("r")?.revision(2))?;
    let is_kept = |p: &tetragon_api::status::NodePolicy| {
        p.state == Failed && p.plan == second && p.running.as_deref() == Some(&first) && p.mode == "enforce"
    };
    place.expect("r", "kept", is_kept)?;
    ensure!(!seek(7500, 1)?);
    // Also through a restart without the API server.
    agent.way.cut();
    agent.kill()?;
    agent.start()?;
    ensure!(!seek(7500, 1)?, "the restart lets it go");
    agent.way.mend();
    eventually("it is connected", || Ok((agent.metric("tetragon_k8s_connected ")? == 1.0).then_some(())))?;
    place.expect("r", "kept", is_kept)?;
    // And it can be told from the API server to only report.
    place.annotate(&first, &json!({"tetragon-rs.dev/mode": "monitor"}))?;
    place.annotate(&second, &json!({"tetragon-rs.dev/mode": "monitor"}))?;
    place.expect("r", "in monitor mode", |p| p.mode == "monitor")?;
    ensure!(seek(7500, 1)?);
    ensure!(agent.stop()?.success());
    Ok(())
}

fn selected(bed: &Bed) -> Result<()> {
    let place = bed.place("labels", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let selector = "  nodeSelector:\n    matchLabels: {zone: a}\n";
    let name = place.publish(&Published::new("s", 7600, "Sigkill", selector)?)?;
    let is_skipped = |p: &tetragon_api::status::NodePolicy| {
        p.state == Skipped && p.reason == "NodeSelector" && p.mode.is_empty()
    };
    place.expect("s", "skipped", is_skipped)?;
    ensure!(seek(7600, 1)?);
    place.make_node(&json!({"zone": "a"}))?;
    place.expect("s", LOADED, |p| is_loaded(p, &name))?;
    ensure!(!seek(7600, 1)?);
    place.make_node(&json!({"zone": "b"}))?;
    place.expect("s", "skipped", is_skipped)?;
    ensure!(seek(7600, 1)? && agent.kept().is_empty());
    ensure!(agent.stop()?.success());
    Ok(())
}

fn blind(bed: &Bed) -> Result<()> {
    let place = bed.place("blind", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let old = place.publish(&Published::new("old", 7700, "Sigkill", "")?)?;
    place.expect("old", LOADED, |p| is_loaded(p, &old))?;
    agent.kill()?;
    let place = bed.place_again("blind", true)?;
    let new = place.publish(&Published::new("new", 7701, "Sigkill", "")?)?;
    agent.start()?;
    place.expect_ready("NodeLabelsUnknown")?;
    let p = place.expect("new", "waiting", |p| p.state == Failed && p.reason == "NodeLabelsUnknown")?;
    ensure!(p.plan == new && p.message.contains("nodes"), "{p:?}");
    place.expect("old", LOADED, |p| is_loaded(p, &old))?;
    ensure!(!seek(7700, 1)? && seek(7701, 1)?);
    // What is gone is let go all the same.
    place.unpublish(&old)?;
    eventually("the old one goes", || Ok(seek(7700, 1)?.then_some(())))?;
    // Once the labels can be read, all is well.
    let place = bed.place_again("blind", false)?;
    place.expect("new", LOADED, |p| is_loaded(p, &new))?;
    place.expect_ready("Running")?;
    ensure!(agent.stop()?.success());
    Ok(())
}

fn pods(bed: &Bed) -> Result<()> {
    let place = bed.place("pods", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let told = || agent.metric("tetragon_watcher_events_total{watcher=\"k8s\"} ");
    // The beginning and the end of the list.
    eventually("the pods are listed", || Ok((told()? == 2.0).then_some(())))?;
    place.make_pod("elsewhere", "another-node")?;
    place.make_pod("here", &place.name)?;
    eventually("the pod is told", || Ok((told()? == 3.0).then_some(())))?;
    place.delete_pod("elsewhere")?;
    place.delete_pod("here")?;
    // That it is being deleted may be told before.
    eventually("its end is told", || Ok((told()? >= 4.0).then_some(())))?;
    ensure!(agent.stop()?.success());
    Ok(())
}

fn rollout(bed: &Bed) -> Result<()> {
    let place = bed.place("rollout", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let first = place.publish(&Published::new("w", 7800, "", "")?)?;
    place.expect("w", LOADED, |p| is_loaded(p, &first))?;
    let mut next = Published::new("w", 7801, "", "")?.revision(2);
    next.meta.percent = 0;
    let second = place.publish(&next)?;
    std::thread::sleep(Duration::from_secs(3));
    ensure!(place.policy("w")?.is_some_and(|p| is_loaded(&p, &first)), "the rollout has not come here");
    let mut alone = Published::new("alone", 7802, "", "")?;
    alone.meta.percent = 0;
    place.publish(&alone)?;
    place.expect("alone", "waiting", |p| p.state == Pending && p.reason == "RolloutWaiting")?;
    place.annotate(&second, &json!({"tetragon-rs.dev/rollout-percent": "100"}))?;
    place.expect("w", "rolled out", |p| is_loaded(p, &second))?;
    ensure!(agent.stop()?.success());
    Ok(())
}

fn modes(bed: &Bed) -> Result<()> {
    let place = bed.place("modes", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("m", 7900, "Sigkill", "")?.monitor())?;
    place.expect("m", "in monitor mode", |p| is_loaded(p, &name) && p.mode == "monitor")?;
    ensure!(seek(7900, 1)?);
    place.annotate(&name, &json!({"tetragon-rs.dev/mode": null}))?;
    place.expect("m", "enforced", |p| is_loaded(p, &name) && p.mode == "enforce")?;
    ensure!(!seek(7900, 1)?);
    place.annotate(&name, &json!({"tetragon-rs.dev/mode": "monitor"}))?;
    place.expect("m", "in monitor mode", |p| is_loaded(p, &name) && p.mode == "monitor")?;
    ensure!(seek(7900, 1)?);
    place.expect("m", "counted", |p| p.actions == 1 && p.events == 3)?;
    ensure!(agent.stop()?.success());
    Ok(())
}

fn limited(bed: &Bed) -> Result<()> {
    let place = bed.place("limit", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("l", 8000, "Sigkill", "")?.limit(3))?;
    place.expect("l", LOADED, |p| is_loaded(p, &name))?;
    let mut killed = 0;
    let since = Instant::now();
    while !seek(8000, 1)? {
        killed += 1;
        ensure!(since.elapsed() < Duration::from_secs(20), "{killed} were killed, and there is no end");
        std::thread::sleep(Duration::from_millis(200));
    }
    ensure!(killed >= 4, "{killed} are not too many");
    let is_limited = |p: &tetragon_api::status::NodePolicy| {
        p.state == Failed && p.reason == "ActionLimit" && p.mode == "monitor" && p.plan == name
    };
    let p = place.expect("l", "limited", is_limited)?;
    ensure!(p.running.is_none() && p.message.contains("more than 3"), "{p:?}");
    // It is not forgotten.
    agent.kill()?;
    agent.start()?;
    ensure!(seek(8000, 1)?, "the restart has forgotten the limit");
    place.expect("l", "limited", is_limited)?;
    ensure!(seek(8000, 1)?);
    // Until the policy is edited, or its limit.
    place.annotate(&name, &json!({"tetragon-rs.dev/revision": "2"}))?;
    place.expect("l", LOADED, |p| is_loaded(p, &name) && p.mode == "enforce")?;
    ensure!(!seek(8000, 1)?);
    ensure!(agent.stop()?.success());
    Ok(())
}

fn killed(bed: &Bed) -> Result<()> {
    let place = bed.place("killed", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let stays = place.publish(&Published::new("stays", 8100, "Sigkill", "")?)?;
    place.expect("stays", LOADED, |p| is_loaded(p, &stays))?;
    for round in 0..4u32 {
        let names: Vec<String> = (0..10).map(|n| format!("k{round}-{n}")).collect();
        let mut objects = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let whence = 8200 + 100 * round + n as u32;
            objects.push(place.publish(&Published::new(name, whence, "", "")?)?);
        }
        // Each time at another moment: before, while or after they are fetched, kept and loaded.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 40));
        agent.kill()?;
        ensure!(!seek(8100, 1)?, "round {round}: killed, and the policy is let go");
        agent.start()?;
        ensure!(!seek(8100, 1)?, "round {round}: started, and the policy is let go");
        for (name, object) in names.iter().zip(&objects) {
            place.expect(name, LOADED, |p| is_loaded(p, object))?;
        }
        for object in objects {
            place.unpublish(&object)?;
        }
    }
    eventually("only one is left", || {
        let status = place.node()?.and_then(|n| n.status).unwrap_or_default();
        Ok((status.policies.len() == 1 && agent.kept() == [stays.as_str()]).then_some(()))
    })?;
    ensure!(agent.stop()?.success());
    Ok(())
}

fn quiet(bed: &Bed) -> Result<()> {
    let place = bed.place("quiet", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("q", 8600, "", "")?)?;
    place.expect("q", LOADED, |p| is_loaded(p, &name))?;
    // Numbers that follow, such as that of the kernel's memory, are told by then.
    std::thread::sleep(Duration::from_secs(8));
    let version =
        |place: &Place<'_>| Ok::<_, anyhow::Error>(place.node()?.context("the object")?.resource_version());
    let before = version(&place)?;
    std::thread::sleep(Duration::from_secs(10));
    ensure!(version(&place)? == before, "something was written");
    // The same labels, the same plan, and an agent that comes back to what it left.
    place.make_node(&json!({"kubernetes.io/os": "linux"}))?;
    place.publish(&Published::new("q", 8600, "", "")?)?;
    agent.kill()?;
    agent.start()?;
    std::thread::sleep(Duration::from_secs(8));
    ensure!(version(&place)? == before, "the restart has written: {:?}", place.node()?);
    ensure!(agent.metric("tetragon_plans{state=\"loaded\"} ")? == 1.0);
    // One change is one write.
    let next = place.publish(&Published::new("q", 8601, "", "")?.revision(2))?;
    place.expect("q", LOADED, |p| is_loaded(p, &next))?;
    std::thread::sleep(Duration::from_secs(3));
    let writes = agent.metric("tetragon_node_status_writes_total{result=\"ok\"} ")?;
    ensure!(writes == 1.0, "{writes} writes");
    eprintln!("    {} KiB resident", agent.resident()?);
    ensure!(agent.stop()?.success());
    Ok(())
}

fn remade(bed: &Bed) -> Result<()> {
    let place = bed.place("remade", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("n", 8700, "", "")?)?;
    place.expect("n", LOADED, |p| is_loaded(p, &name))?;
    bed.wait(bed.all::<TetragonNode>().delete(&place.name, &DeleteParams::default()))?;
    place.expect("n", "there again", |p| is_loaded(p, &name))?;
    // A node that is made anew has another uid, which must own the object: else it goes.
    let owner = || -> Result<Option<String>> {
        let owners = place.node()?.and_then(|n| n.metadata.owner_references).unwrap_or_default();
        Ok(owners.first().map(|o| o.uid.clone()))
    };
    let before = owner()?;
    ensure!(before.is_some());
    place.delete_node()?;
    let uid = place.make_node(&json!({"kubernetes.io/os": "linux"}))?.uid();
    ensure!(uid != before);
    eventually("the new Node owns it", || Ok((owner()? == uid).then_some(())))?;
    place.expect("n", "still there", |p| is_loaded(p, &name))?;
    ensure!(agent.stop()?.success());
    Ok(())
}

/// The operator had taken the agent for gone.
fn taken_back(bed: &Bed) -> Result<()> {
    let place = bed.place("taken-back", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("t", 8750, "", "")?)?;
    place.expect("t", LOADED, |p| is_loaded(p, &name))?;
    let tell = || -> Result<()> {
        let object = json!({
            "apiVersion": "tetragon-rs.dev/v1alpha1",
            "kind": "TetragonNode",
            "metadata": {"name": place.name},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "AgentStatusUnknown",
                "message": "a message", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        let params = PatchParams::apply("tetragon-operator").force();
        let patch = Patch::Apply(&object);
        bed.wait(bed.all::<TetragonNode>().patch_status(&place.name, &params, &patch))?;
        place.expect_ready("AgentStatusUnknown")
    };
    tell()?;
    place.expect_ready("Running")?;
    place.expect("t", "still there", |p| is_loaded(p, &name))?;
    // An agent that was killed takes it back when it starts.
    agent.kill()?;
    tell()?;
    agent.start()?;
    place.expect_ready("Running")?;
    ensure!(agent.stop()?.success());
    Ok(())
}

fn restarted(bed: &Bed) -> Result<()> {
    let place = bed.place("restart", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    let name = place.publish(&Published::new("a", 8800, "Sigkill", "")?)?;
    place.expect("a", LOADED, |p| is_loaded(p, &name))?;
    let variable = |name: &str| {
        std::env::var(name)
            .with_context(|| format!("{name} is not set: `cargo xtask test --only api` sets it"))
    };
    let (xtask, cluster) = (variable("XTASK")?, variable("CLUSTER_NAME")?);
    for (command, within) in [("stop-apiserver", true), ("start-apiserver", false)] {
        // A command that cargo runs sees this cluster's kubeconfig as somebody else's.
        let done = Command::new(&xtask)
            .args(["cluster", command, "--name", &cluster])
            .env_remove("KUBECONFIG")
            .status()?;
        ensure!(done.success(), "{command} fails");
        ensure!(!seek(8800, 1)?, "{command}: the policy is let go");
        if within {
            agent.wait_for_log("does not answer")?;
        }
    }
    let next = place.publish(&Published::new("b", 8801, "", "")?)?;
    place.expect("b", LOADED, |p| is_loaded(p, &next))?;
    place.expect("a", LOADED, |p| is_loaded(p, &name))?;
    ensure!(agent.metric("tetragon_k8s_connected ")? == 1.0);
    // Left in force, and said so.
    agent.kill()?;
    agent.spawn(&["--keep-sensors-on-exit"])?;
    agent.wait_for_log("Listening for events")?;
    agent.wait_for_log("the API server")?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(agent.stop()?.success());
    place.expect_ready("AgentStopped")?;
    ensure!(place.policy("a")?.is_some_and(|p| is_loaded(&p, &name) && p.mode == "enforce"));
    ensure!(!seek(8800, 1)?);
    Ok(())
}

fn uninstalled(bed: &Bed) -> Result<()> {
    let place = bed.place("uninstall", false)?;
    let mut agent = Agent::new(&place)?;
    agent.spawn(&["--keep-sensors-on-exit"])?;
    agent.wait_for_log("Listening for events")?;
    let name = place.publish(&Published::new("u", 8900, "Sigkill", "")?)?;
    place.expect("u", LOADED, |p| is_loaded(p, &name))?;
    ensure!(agent.stop()?.success());
    ensure!(!seek(8900, 1)?, "an end that may be an update's lets nothing go");
    agent.spawn(&["--keep-sensors-on-exit"])?;
    agent.wait_for_log("Listening for events")?;
    place.expect("u", LOADED, |p| is_loaded(p, &name))?;
    // It is gone before the agent ends, and so may be the right to look for it.
    place.tell_uninstall()?;
    agent.wait_for_log("this is being uninstalled")?;
    ensure!(!seek(8900, 1)?, "it is let go while the agent runs");
    ensure!(agent.stop()?.success());
    ensure!(seek(8900, 1)?, "what was loaded stays after an uninstall");
    ensure!(agent.pinned_hooks() == 0);
    Ok(())
}

fn thousand(bed: &Bed) -> Result<()> {
    const POLICIES: usize = 1000;
    let place = bed.place("thousand", false)?;
    let mut agent = Agent::new(&place)?;
    agent.start()?;
    place.expect_ready("Running")?;
    let all: Vec<Published> = (0..POLICIES)
        .map(|n| Published::new(&format!("many-{n}"), 10_000 + n as u32, "Sigkill", ""))
        .collect::<Result<_>>()?;
    let begin = Instant::now();
    place.publish_all(&all)?;
    let published = begin.elapsed();
    let loaded = || {
        let status = place.node()?.and_then(|n| n.status).unwrap_or_default();
        Ok((status.policy_counts.summary == format!("{POLICIES}/{POLICIES}")).then_some(status))
    };
    let status = eventually("all are loaded", loaded)?;
    let writes = agent.metric("tetragon_node_status_writes_total{result=\"ok\"} ")?;
    eprintln!(
        "    {POLICIES} plans published in {:.1} s, loaded and told {:.1} s later with {writes} writes of the status; \
         it has {} bytes; {} KiB resident",
        published.as_secs_f64(),
        (begin.elapsed() - published).as_secs_f64(),
        serde_json::to_string(&status)?.len(),
        agent.resident()?
    );
    ensure!(!seek(10_000, 1)? && !seek(10_999, 1)? && seek(11_000, 1)?);
    agent.way.cut();
    agent.kill()?;
    let begin = Instant::now();
    agent.start()?;
    ensure!(agent.metric("tetragon_plans{state=\"loaded\"} ")? == POLICIES as f64);
    eprintln!(
        "    {:.1} s for a start from the disk; {} KiB resident",
        begin.elapsed().as_secs_f64(),
        agent.resident()?
    );
    agent.way.mend();
    let one = place.publish(&Published::new("many-0", 20_000, "Sigkill", "")?.revision(2))?;
    let begin = Instant::now();
    place.expect("many-0", "updated", |p| is_loaded(p, &one))?;
    eprintln!("    {:.1} s for one more change", begin.elapsed().as_secs_f64());
    ensure!(!seek(20_000, 1)? && seek(10_000, 1)?);
    ensure!(agent.stop()?.success());
    Ok(())
}
