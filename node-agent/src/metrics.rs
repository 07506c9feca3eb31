//! Metrics, as Prometheus reads them, from the counters and the board; and the two health paths.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tetragon_api::event::TracingPolicyState;

use crate::control::Board;
use crate::counters::{Counters, EventCounts, Kernel, Stage, WHOSE, get};
use crate::elasticsearch::counts::{Counts, Loss};
use crate::facts::signal_name;
use crate::kubernetes;
use crate::kubernetes::local::Row;

/// Labels of a sample.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// States that are always shown, so that a zero is a zero.
const STATES: [TracingPolicyState; 6] = [
    TracingPolicyState::TpStateEnabled,
    TracingPolicyState::TpStateDisabled,
    TracingPolicyState::TpStateLoadError,
    TracingPolicyState::TpStateError,
    TracingPolicyState::TpStatePartiallyEnabled,
    TracingPolicyState::TpStateSkipped,
];

/// Turns counters into metrics.
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Metrics of one agent. `labels`: those of namespace, workload, pod and binary that are kept.
    pub fn new(counters: Arc<Counters>, board: Arc<Board>, node: &str, labels: &[&str]) -> Metrics {
        let mut registry = Registry::default();
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        counters.events().keep(&labels);
        registry.register_collector(Box::new(Source { counters, board, node: node.to_owned(), labels }));
        Metrics { registry }
    }

    /// What a page of metrics shows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// What the metrics are made of.
struct Source {
    counters: Arc<Counters>,
    board: Arc<Board>,
    node: String,
    labels: Vec<String>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Writes families of metrics.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    /// A counter with a sample for each set of labels. The name has no `_total`: the format adds it.
    fn counters<'b>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'b>, u64)>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<'b>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'b>, u64)>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            gauge(&mut family, &labels, value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.gauges(name, help, [(Labels::new(), value)])
    }

    fn seconds<'b>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'b>, f64)>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            } else {
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
        Ok(())
    }
}

fn gauge(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, value: u64) -> Result<(), Error> {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    if labels.is_empty() {
        family.encode_gauge(&value)
    } else {
        family.encode_family(labels)?.encode_gauge(&value)
    }
}

impl Collector for Source {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Out(encoder);
        let kernel = self.counters.kernel();
        self.events(&mut out)?;
        self.losses(&mut out, &kernel)?;
        self.policies(&mut out)?;
        programs(&mut out, &kernel)?;
        self.pipeline(&mut out)?;
        pods(&mut out, &self.counters.pods)?;
        container_runtime(&mut out, &self.counters.pods)?;
        if let Some(counts) = self.counters.elasticsearch.get() {
            elasticsearch(&mut out, counts)?;
        }
        if let Some(counts) = self.counters.kubernetes.get() {
            cluster(&mut out, counts, &self.board.rows())?;
        }
        own_process(&mut out)
    }
}

impl Source {
    /// The labels of an event, without those that are not kept.
    fn event_labels<'a>(&'a self, first: &[(&'a str, &'a str)], whose: [&'a str; 4]) -> Labels<'a> {
        let mut labels = first.to_vec();
        labels.extend(WHOSE.into_iter().zip(whose).filter(|(name, _)| self.keeps(name)));
        labels.push(("node_name", &self.node));
        labels
    }

    fn keeps(&self, label: &str) -> bool {
        self.labels.iter().any(|l| l == label)
    }

    fn events(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let counts = self.counters.events();
        let counts: &EventCounts = &counts;
        let mut kinds: Vec<_> = counts.kinds.iter().collect();
        kinds.sort_unstable_by_key(|(kind, _)| **kind);
        let samples = kinds.iter().flat_map(|(kind, series)| {
            let kind = kind.as_str_name();
            series.list().into_iter().map(move |(whose, n)| (self.event_labels(&[("type", kind)], whose), n))
        });
        out.counters("tetragon_events", "Events by kind and workload", samples)?;
        let samples = counts.hooks.iter().flat_map(|h| {
            let first = [("policy", h.policy.as_str()), ("hook", h.hook.as_str())];
            h.series.list().into_iter().map(move |(whose, n)| (self.event_labels(&first, whose), n))
        });
        out.counters("tetragon_policy_events", "Events by policy and hook", samples)?;
        self.actions(out, counts)?;
        out.counter("tetragon_process_exec", "Programs executed", get(&self.counters.execs))
    }

    /// Under Tetragon's name and words; `signal` tells a kill from other signals.
    fn actions(&self, out: &mut Out<'_>, counts: &EventCounts) -> Result<(), Error> {
        let numbers = counts.hooks.iter().flat_map(|h| h.signals.keys().map(|(n, _)| *n));
        let names: BTreeMap<u8, String> = numbers.map(|n| (n, signal_name(u32::from(n)))).collect();
        let mut samples = Vec::new();
        for h in &counts.hooks {
            let labels = |action: &'static str, signal| {
                let namespace = h.namespace.as_deref().unwrap_or_default();
                vec![
                    ("policy", h.policy.as_str()),
                    ("policy_namespace", namespace),
                    ("hook", h.hook.as_str()),
                    ("action", action),
                    ("signal", signal),
                    ("node_name", self.node.as_str()),
                ]
            };
            let a = &h.actions;
            let plain =
                [("post", a.post), ("override", a.r#override), ("monitor_override", a.monitor_override)];
            samples
                .extend(plain.into_iter().filter(|(_, n)| *n > 0).map(|(action, n)| (labels(action, ""), n)));
            for ((signal, sent), n) in &h.signals {
                let action = if *sent { "signal" } else { "monitor_signal" };
                samples.push((labels(action, names[signal].as_str()), *n));
            }
        }
        let help = "Actions of policies; those of monitor mode were not taken";
        out.counters("tetragon_tracingpolicy_selector_actions", help, samples)
    }

    fn losses(&self, out: &mut Out<'_>, kernel: &Kernel) -> Result<(), Error> {
        let l = &kernel.losses;
        let c = &self.counters;
        let mut policies: BTreeMap<&str, u64> = BTreeMap::new();
        for ((policy, _, _), n) in &l.by_policy {
            *policies.entry(policy).or_default() += n;
        }
        let of = |stage, policy| vec![("stage", stage), ("policy", policy)];
        let mut samples: Vec<(Labels<'_>, u64)> =
            policies.iter().map(|(policy, n)| (of("ringbuf", *policy), *n)).collect();
        samples.extend([
            (of("ringbuf", ""), l.exec + l.exit + l.uncounted),
            (of("scratch", ""), l.scratch),
            (of("recursion", ""), l.skipped),
        ]);
        let lost = c.lost_of_policies();
        for stage in Stage::ALL {
            let ours = lost.iter().filter(|((s, _), _)| *s == stage);
            let of_policies: u64 = ours.clone().map(|(_, n)| n).sum();
            // Counted a moment later than read, a policy's may be ahead.
            samples.push((of(stage.name(), ""), get(c.lost_at(stage)).saturating_sub(of_policies)));
            samples.extend(ours.map(|((_, policy), n)| (of(stage.name(), policy), *n)));
        }
        let sink = c.elasticsearch.get().map(|counts| counts.lost_by_policy()).unwrap_or_default();
        samples.extend(sink.iter().map(|(policy, n)| (of("elasticsearch", policy), *n)));
        let help = "Events that were made and not delivered, by where they were lost";
        out.counters("tetragon_missed_events", help, samples)?;
        let op = |op, n| (vec![("msg_op", op), ("error", "ENOSPC")], n);
        let ops =
            [op("5", l.exec), op("7", l.exit), op("13", l.call), op("23", l.fork), op("25", l.cgroup_record)];
        out.counters("tetragon_bpf_missed_events", "Records that found the ring buffer full", ops)?;
        out.counter("tetragon_bpf_sent_records", "Records put into the ring buffer", l.sent)?;
        let tables = [("path", l.path), ("process", l.process), ("executable", l.exe), ("cgroup", l.cgroup)];
        let samples = tables.map(|(what, n)| (vec![("what", what)], n));
        out.counters(
            "tetragon_bpf_overflows",
            "Paths too long to read, and entries that found a table full",
            samples,
        )
    }

    fn policies(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let policies = self.board.policies();
        let mut states: BTreeMap<&str, u64> = STATES.iter().map(|s| (state_name(*s), 0)).collect();
        for p in &policies {
            *states.entry(state_name(p.state())).or_default() += 1;
        }
        let samples = states.iter().map(|(state, n)| (vec![("state", *state)], *n));
        out.gauges("tetragon_tracingpolicy_loaded", "Policies by state", samples)?;
        let named = |p: &'_ tetragon_api::event::TracingPolicyStatus| (p.name.clone(), p.namespace.clone());
        let names: Vec<_> = policies.iter().map(named).collect();
        let labels =
            |i: usize| vec![("policy", names[i].0.as_str()), ("policy_namespace", names[i].1.as_str())];
        let samples = policies.iter().enumerate().map(|(i, p)| {
            let mut labels = labels(i);
            labels.push(("state", state_name(p.state())));
            (labels, 1)
        });
        out.gauges("tetragon_tracingpolicy_state", "The state of each policy: its series is 1", samples)?;
        let samples = policies.iter().enumerate().map(|(i, p)| (labels(i), p.kernel_memory_bytes));
        let help = "Kernel memory of what only this policy uses";
        out.gauges("tetragon_tracingpolicy_kernel_memory_bytes", help, samples)
    }

    fn pipeline(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let c = &self.counters;
        let received = get(&c.received);
        out.counter(
            "tetragon_observer_ringbuf_events_received",
            "Records read from the ring buffer",
            received,
        )?;
        out.counter("tetragon_events_exported", "Events written by the export", get(&c.exported))?;
        out.counter("tetragon_events_exported_bytes", "Bytes written by the export", get(&c.exported_bytes))?;
        let help = "Unix time of the last exported event";
        out.gauge("tetragon_events_last_exported_timestamp", help, get(&c.last_exported))?;
        let help = "Events that the export's rate limit dropped";
        out.counter("tetragon_export_ratelimit_events_dropped", help, get(&c.limited))?;
        let help = "Events that found a client's queue full";
        out.counter("tetragon_notify_overflowed_events", help, get(&c.overflowed))?;
        let help = "Events whose process was not known";
        out.counter("tetragon_events_missing_process_info", help, get(&c.missing_process))?;
        let cache = c.cache();
        out.gauge("tetragon_process_cache_size", "Processes in the cache", cache.size as u64)?;
        out.gauge(
            "tetragon_process_cache_capacity",
            "Processes that fit into the cache",
            cache.capacity as u64,
        )?;
        out.gauge("tetragon_process_cache_bytes", "Memory of the cache, roughly", cache.bytes as u64)?;
        let help = "Processes thrown out because the cache was full";
        out.counter("tetragon_process_cache_evictions", help, cache.evictions)?;
        let misses = [(vec![("operation", "get")], cache.misses)];
        out.counters("tetragon_process_cache_misses", "Look-ups that found nothing", misses)?;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        out.gauges("tetragon_build_info", "Always 1; the labels say what runs", [(version, 1)])
    }
}

/// The pods of the node, and events that wait for theirs.
fn pods(out: &mut Out<'_>, c: &crate::pods::counts::Counts) -> Result<(), Error> {
    out.gauge("tetragon_event_cache_entries", "Events that wait for their pod", get(&c.waiting))?;
    out.counter("tetragon_event_cache_inserts", "Events that had to wait", get(&c.inserts))?;
    let retries = [(vec![("entry_type", "pod_info")], get(&c.retries))];
    out.counters(
        "tetragon_event_cache_fetch_retries",
        "Attempts that did not find what is waited for",
        retries,
    )?;
    let failures = c.failures();
    let failures =
        failures.iter().map(|(kind, n)| (vec![("entry_type", "pod_info"), ("event_type", *kind)], *n));
    let help = "Events that were sent without what they had waited for";
    out.counters("tetragon_event_cache_fetch_failures", help, failures)?;
    let watched = [(vec![("watcher", "k8s")], get(&c.watched))];
    out.counters("tetragon_watcher_events", "What the watch of pods was told", watched)?;
    let errors = [(vec![("watcher", "k8s"), ("error", "failed_to_get_pod")], get(&c.not_found))];
    out.counters("tetragon_watcher_errors", "Pods that were asked for and are not known", errors)?;
    // Counters, but Tetragon's names have no `_total`, which this format would add.
    let help = "Look-ups that found a deleted pod";
    out.gauge("tetragon_watcher_delete_pod_cache_hits", help, get(&c.deleted_hits))?;
    let help = "Deleted pods forgotten early, because there were too many";
    out.gauge("tetragon_watcher_delete_pod_cache_evictions", help, get(&c.deleted_evictions))
}

/// What the container runtime is asked, and what it asks.
fn container_runtime(out: &mut Out<'_>, c: &crate::pods::counts::Counts) -> Result<(), Error> {
    let starts = c.starts();
    let starts =
        starts.iter().map(|((source, result), n)| (vec![("source", *source), ("result", *result)], *n));
    let help = "Containers held back by who asked and by how much the kernel knew when they started";
    out.counters("tetragon_container_starts", help, starts)?;
    let help = "1: an NRI runtime has told its containers and is listened to";
    out.gauge("tetragon_nri_connected", help, get(&c.nri_connected))?;
    let help = "Connections to the NRI socket that failed or broke";
    out.counter("tetragon_nri_errors", help, get(&c.nri_errors))?;
    let help = "Containers that the runtime was asked for over CRI";
    out.counter("tetragon_cri_cgidmap_resolutions", help, get(&c.cri_asked))?;
    let help = "Containers that it was asked for and did not tell of";
    out.counter("tetragon_cri_cgidmap_resolutions_errors", help, get(&c.cri_errors))
}

/// The export to Elasticsearch: taken = delivered + duplicate + lost + what waits.
fn elasticsearch(out: &mut Out<'_>, c: &Counts) -> Result<(), Error> {
    let tables = c.tables();
    let help = "Events for Elasticsearch";
    out.counter("tetragon_elasticsearch_taken_events", help, get(&c.taken))?;
    let mut results = vec![("delivered", get(&c.delivered)), ("duplicate", get(&c.duplicates))];
    results.extend(Loss::ALL.map(|reason| (reason.name(), tables.lost_for(reason))));
    let results = results.into_iter().map(|(result, n)| (vec![("result", result)], n));
    let help = "What became of them: stored, stored by an attempt before, or lost for a reason";
    out.counters("tetragon_elasticsearch_events", help, results)?;
    let codes = tables.requests.iter().map(|(code, n)| (vec![("code", code.as_str())], *n));
    let help = "Requests by HTTP status; error: there was no answer";
    out.counters("tetragon_elasticsearch_batches", help, codes)?;
    let help = "Requests after one that was not taken";
    out.counter("tetragon_elasticsearch_retries", help, get(&c.retries))?;
    let kinds = tables.item_errors.iter().map(|(kind, n)| (vec![("reason", kind.as_str())], *n));
    let help = "Errors of single documents, as the server names them";
    out.counters("tetragon_elasticsearch_item_errors", help, kinds)?;
    let help = "Events that wait in memory";
    out.gauge("tetragon_elasticsearch_memory_events", help, c.memory_events())?;
    let help = "Events that wait in the spool";
    out.gauge("tetragon_elasticsearch_spool_events", help, get(&c.spool_events))?;
    let help = "Bytes of the spool";
    out.gauge("tetragon_elasticsearch_spool_bytes", help, get(&c.spool_bytes))?;
    let help = "Unix time of the last request that stored something";
    out.gauge("tetragon_elasticsearch_last_success_timestamp_seconds", help, get(&c.last_success))
}

fn state_name(state: TracingPolicyState) -> &'static str {
    match state {
        TracingPolicyState::TpStateEnabled => "enabled",
        TracingPolicyState::TpStateDisabled => "disabled",
        TracingPolicyState::TpStateLoadError => "load_error",
        TracingPolicyState::TpStateError => "error",
        TracingPolicyState::TpStateLoading => "loading",
        TracingPolicyState::TpStateUnloading => "unloading",
        TracingPolicyState::TpStateSkipped => "skipped",
        TracingPolicyState::TpStatePartiallyEnabled => "partially_enabled",
        TracingPolicyState::TpStateUnknown => "unknown",
    }
}

/// Plans of the cluster, and what the cluster is told.
fn cluster(out: &mut Out<'_>, counts: &kubernetes::counts::Counts, rows: &[Row]) -> Result<(), Error> {
    use tetragon_api::status::NodePolicyState::{Failed, Loaded, Pending, Skipped};
    let states = [("loaded", Loaded), ("pending", Pending), ("failed", Failed), ("skipped", Skipped)];
    let plans = states.map(|(name, state)| {
        let n = rows.iter().filter(|r| r.status.state == state).count();
        (vec![("state", name)], n as u64)
    });
    out.gauges("tetragon_plans", "Policies of the cluster by their state on this node", plans)?;
    let errors = counts.plan_errors();
    let errors = errors.iter().map(|(reason, n)| (vec![("reason", reason.as_str())], *n));
    let help = "Plans that could not be run, or kept on the disk, by reason";
    out.counters("tetragon_plan_errors", help, errors)?;
    let writes = counts.writes().into_iter().map(|(result, n)| (vec![("result", result)], n));
    out.counters("tetragon_node_status_writes", "Writes of the node's status by result", writes)?;
    let help = "1: the API server answered the last request";
    out.gauge("tetragon_k8s_connected", help, u64::from(counts.connected()))
}

/// One program serves all policies of a hook, so no policy is named.
fn programs(out: &mut Out<'_>, kernel: &Kernel) -> Result<(), Error> {
    let list = &kernel.programs;
    // The two engines of a hook are one series.
    let mut sums: BTreeMap<(&str, &str, &str), (u64, u64)> = BTreeMap::new();
    for p in list {
        let sum = sums.entry((&p.hook, &p.name, &p.attach)).or_default();
        sum.0 += p.run_count;
        sum.1 += p.run_time_ns;
    }
    let labels = |(attach, section, sensor)| {
        vec![
            ("attach", attach),
            ("policy", ""),
            ("policy_namespace", ""),
            ("section", section),
            ("sensor", sensor),
        ]
    };
    let runs = sums.iter().map(|(names, (runs, _))| (labels(*names), *runs));
    let help = "Runs of each program; kernel.bpf_stats_enabled switches it on";
    out.counters("tetragon_overhead_program_runs", help, runs)?;
    let seconds = sums.iter().map(|(names, (_, ns))| (labels(*names), *ns as f64 / 1e9));
    let help = "Time in each program; kernel.bpf_stats_enabled switches it on";
    out.seconds("tetragon_overhead_program_seconds", help, seconds)?;
    let mut by_hook: BTreeMap<&str, u64> = BTreeMap::new();
    for p in list {
        *by_hook.entry(p.hook.as_str()).or_default() += p.recursion_misses;
    }
    let missed = by_hook.into_iter().map(|(hook, n)| (vec![("attach", hook), ("policy", "")], n));
    out.counters("tetragon_missed_prog_probes", "Runs that the kernel skipped, by program", missed)?;
    let help = "Memory of all BPF maps of the agent";
    out.gauge("tetragon_bpf_map_memory_bytes", help, kernel.map_memory)
}

/// The agent's own memory and time, under the names that every Prometheus client has.
fn own_process(out: &mut Out<'_>) -> Result<(), Error> {
    // SAFETY: sysconf has no preconditions.
    let (page, hz) = unsafe { (libc::sysconf(libc::_SC_PAGESIZE), libc::sysconf(libc::_SC_CLK_TCK)) };
    let number = |text: Option<&str>| text.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = number(statm.split(' ').nth(1)) * u64::try_from(page).unwrap_or(4096);
    out.gauge("process_resident_memory_bytes", "Resident memory", resident)?;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, that may hold blanks: the 12th and 13th are the times.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let ticks = number(fields.next()) + number(fields.next());
    let seconds = ticks as f64 / if hz > 0 { hz as f64 } else { 100.0 };
    out.seconds("process_cpu_seconds", "Processor time", [(Labels::new(), seconds)])
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
