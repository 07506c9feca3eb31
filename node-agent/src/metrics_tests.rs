//! Tests of the metrics' text.

use std::sync::atomic::Ordering;

use tetragon_daemon::metrics::plain;
use tetragon_engine::{KernelLosses, ProgramStats};

use super::*;
use crate::counters::HookCounts;

fn event(binary: &str) -> tetragon_api::event::GetEventsResponse {
    serde_json::from_value(serde_json::json!({"process_exec": {"process": {"binary": binary}}})).unwrap()
}

fn counters() -> Arc<Counters> {
    let c = Arc::new(Counters::default());
    c.events().event(&event("/bin/cat"), None);
    c.events().event(&event("/bin/cat"), None);
    c.events().event(&event("/bin/\"odd\""), None);
    let mut of_pod = event("/bin/sh");
    for process in of_pod.actors_mut() {
        process.pod = Some(tetragon_api::event::Pod {
            namespace: "production".into(),
            name: "web-1".into(),
            workload: "web".into(),
            ..Default::default()
        });
    }
    c.events().event(&of_pod, None);
    c.pods.waiting.store(2, Ordering::Relaxed);
    c.pods.failed("PROCESS_EXEC");
    let mut killer = HookCounts { policy: "p".into(), hook: "kprobe:x".into(), ..HookCounts::default() };
    killer.actions.post = 4;
    killer.signals.insert((9, true), 2);
    killer.signals.insert((9, false), 3);
    c.events().hooks.push(killer);
    c.exported.store(5, Ordering::Relaxed);
    c.execs.store(3, Ordering::Relaxed);
    let mut losses = KernelLosses { call: 3, exec: 1, fork: 2, sent: 10, ..Default::default() };
    losses.by_policy.insert(("p".into(), None, "security_file_open".into()), 2);
    losses.by_policy.insert(("p".into(), None, "security_bprm_check".into()), 1);
    let program = ProgramStats {
        name: "hook_engine".into(),
        hook: "security_file_open".into(),
        attach: "lsm".into(),
        run_count: 2,
        run_time_ns: 750_000_000,
        ..Default::default()
    };
    // Both engines of a hook have one name.
    let programs = vec![program.clone(), program];
    c.set_kernel(Kernel { losses, programs, map_memory: 8192 });
    let sink = c.elasticsearch.get_or_init(Arc::default);
    sink.delivered.store(7, Ordering::Relaxed);
    sink.lose(Loss::SpoolFull, "p", 4);
    sink.request("200");
    sink.item_error("mapper_parsing_exception");
    c
}

fn metrics(labels: &[&str]) -> Metrics {
    Metrics::new(counters(), Arc::default(), "n1", labels)
}

fn openmetrics(labels: &[&str]) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, metrics(labels).registry()).unwrap();
    text
}

const ALL: [&str; 4] = ["namespace", "workload", "pod", "binary"];

#[test]
fn the_seeds_names_and_tetragons() {
    let text = openmetrics(&ALL);
    for line in [
        r#"tetragon_events_total{type="PROCESS_EXEC",namespace="",workload="",pod="",binary="/bin/cat",node_name="n1"} 2"#,
        r#"tetragon_events_total{type="PROCESS_EXEC",namespace="",workload="",pod="",binary="/bin/\"odd\"",node_name="n1"} 1"#,
        r#"tetragon_tracingpolicy_selector_actions_total{policy="p",policy_namespace="",hook="kprobe:x",action="post",signal="",node_name="n1"} 4"#,
        r#"tetragon_tracingpolicy_selector_actions_total{policy="p",policy_namespace="",hook="kprobe:x",action="signal",signal="SIGKILL",node_name="n1"} 2"#,
        r#"tetragon_tracingpolicy_selector_actions_total{policy="p",policy_namespace="",hook="kprobe:x",action="monitor_signal",signal="SIGKILL",node_name="n1"} 3"#,
        "tetragon_process_exec_total 3",
        r#"tetragon_missed_events_total{stage="ringbuf",policy="p"} 3"#,
        r#"tetragon_missed_events_total{stage="ringbuf",policy=""} 1"#,
        r#"tetragon_bpf_missed_events_total{msg_op="23",error="ENOSPC"} 2"#,
        "tetragon_bpf_sent_records_total 10",
        r#"tetragon_tracingpolicy_loaded{state="enabled"} 0"#,
        r#"tetragon_overhead_program_runs_total{attach="security_file_open",policy="",policy_namespace="",section="hook_engine",sensor="lsm"} 4"#,
        r#"tetragon_overhead_program_seconds_total{attach="security_file_open",policy="",policy_namespace="",section="hook_engine",sensor="lsm"} 1.5"#,
        "tetragon_events_exported_total 5",
        "tetragon_bpf_map_memory_bytes 8192",
        r#"tetragon_missed_events_total{stage="elasticsearch",policy="p"} 4"#,
        r#"tetragon_missed_events_total{stage="elasticsearch",policy=""} 0"#,
        r#"tetragon_elasticsearch_events_total{result="delivered"} 7"#,
        r#"tetragon_elasticsearch_events_total{result="spool_full"} 4"#,
        r#"tetragon_elasticsearch_events_total{result="rejected"} 0"#,
        r#"tetragon_elasticsearch_batches_total{code="200"} 1"#,
        r#"tetragon_elasticsearch_item_errors_total{reason="mapper_parsing_exception"} 1"#,
        "tetragon_elasticsearch_spool_events 0",
        r#"tetragon_events_total{type="PROCESS_EXEC",namespace="production",workload="web",pod="web-1",binary="/bin/sh",node_name="n1"} 1"#,
        "tetragon_event_cache_entries 2",
        "tetragon_event_cache_inserts_total 0",
        r#"tetragon_event_cache_fetch_retries_total{entry_type="pod_info"} 0"#,
        r#"tetragon_event_cache_fetch_failures_total{entry_type="pod_info",event_type="PROCESS_EXEC"} 1"#,
        "tetragon_watcher_delete_pod_cache_hits 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let resident = text.lines().find_map(|l| l.strip_prefix("process_resident_memory_bytes ")).unwrap();
    assert!(resident.parse::<u64>().unwrap() > 100_000, "{resident}");
}

#[test]
fn labels_that_are_not_kept_are_summed() {
    let text = openmetrics(&["pod"]);
    for line in [
        r#"tetragon_events_total{type="PROCESS_EXEC",pod="",node_name="n1"} 3"#,
        r#"tetragon_events_total{type="PROCESS_EXEC",pod="web-1",node_name="n1"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{text}");
    }
}

#[test]
fn every_family_is_described_once_and_every_sample_belongs_to_it() {
    for text in [plain(&openmetrics(&ALL)), openmetrics(&ALL)] {
        let plain = !text.contains("# EOF");
        let mut family = (String::new(), String::new());
        let mut seen = Vec::new();
        let mut series = std::collections::BTreeSet::new();
        for line in text.lines().filter(|l| *l != "# EOF") {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && !seen.contains(&name.to_owned()), "{line}");
                seen.push(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(seen.last().map(String::as_str), Some(name));
                family = (name.to_owned(), kind.to_owned());
            } else {
                let (sample, _) = line.rsplit_once(' ').unwrap();
                assert!(series.insert(sample.to_owned()), "twice: {line}");
                let name = line.split(['{', ' ']).next().unwrap();
                let expected = match family.1.as_str() {
                    "counter" if !plain => format!("{}_total", family.0),
                    _ => family.0.clone(),
                };
                assert_eq!(name, expected, "{line}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(seen.len() > 25, "{}", seen.len());
        assert_eq!(family.1, "counter");
    }
}
