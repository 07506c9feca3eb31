//! The operator's own metrics: what runs, who leads, what the webhook answers.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::platform::certs::served::Served;
use crate::platform::lease;

/// What happened to a question of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The policy is good.
    Allowed,
    /// It is good, and something about it is worth knowing.
    Warned,
    /// It has errors.
    Denied,
    /// There was nothing to look at: the policy goes, or only its metadata changed.
    Skipped,
    /// It was no question about a policy.
    Unreadable,
}

impl Answer {
    fn name(self) -> &'static str {
        match self {
            Answer::Allowed => "allowed",
            Answer::Warned => "warned",
            Answer::Denied => "denied",
            Answer::Skipped => "skipped",
            Answer::Unreadable => "unreadable",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabel {
    name: &'static str,
}

/// The operator's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    answers: Family<AnswerLabel, Histogram, fn() -> Histogram>,
    leader: Gauge,
}

/// Up to the seconds after which API servers give up; the aim is below 10 ms.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

impl Metrics {
    /// Makes them known to the registry. `served`: the webhook's certificate, if there is a webhook.
    pub fn register(registry: &mut Registry, served: Option<Arc<Served>>) -> Metrics {
        let answers: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        let version = [("version", env!("CARGO_PKG_VERSION"))].to_vec();
        registry.register("tetragon_operator_build", "What runs", Info::new(version));
        registry.register(
            "tetragon_operator_webhook_request_duration_seconds",
            "Time that the webhook took to answer, by the answer",
            answers.clone(),
        );
        // The name that client-go has for it.
        let leaders: Family<LeaseLabel, Gauge> = Family::default();
        let leader = leaders.get_or_create(&LeaseLabel { name: lease::NAME }).clone();
        registry.register("leader_election_master_status", "1: this operator leads", leaders);
        registry.register_collector(Box::new(Observed { served }));
        Metrics { answers, leader }
    }

    /// The webhook answered.
    pub fn answered(&self, answer: Answer, took: Duration) {
        self.answers.get_or_create(&AnswerLabel { result: answer.name() }).observe(took.as_secs_f64());
    }

    /// This operator leads, or leads no more.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }
}

/// What is looked up when somebody asks.
#[derive(Debug)]
struct Observed {
    served: Option<Arc<Served>>,
}

impl Collector for Observed {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(out.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        if let Some(served) = &self.served {
            let ends = served.ends().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            gauge(
                "tetragon_operator_webhook_certificate_not_after_timestamp_seconds",
                "When the webhook's certificate ends, in Unix time; 0: there is none that works",
                ends.as_secs_f64(),
            )?;
        }
        let (resident, files) = (resident_bytes(), open_files());
        gauge("process_resident_memory_bytes", "Resident memory", resident as f64)?;
        gauge("process_open_fds", "Open files", files as f64)?;
        let time: ConstCounter<f64> = ConstCounter::new(processor_seconds());
        time.encode(out.encode_descriptor(
            "process_cpu_seconds",
            "Processor time",
            None,
            time.metric_type(),
        )?)
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_ascii_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0u64) * 1024
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn processor_seconds() -> f64 {
    // What user space is told is in hundredths of a second on every architecture that this runs on.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, that may hold blanks: the 12th and 13th are the times.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        rest.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
    ticks as f64 / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scrape_shows() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, Some(Arc::default()));
        metrics.leads(true);
        metrics.answered(Answer::Denied, Duration::from_millis(3));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            concat!("tetragon_operator_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "leader_election_master_status{name=\"tetragon-operator-resource-lock\"} 1",
            "tetragon_operator_webhook_request_duration_seconds_bucket{le=\"0.0025\",result=\"denied\"} 0",
            "tetragon_operator_webhook_request_duration_seconds_bucket{le=\"0.005\",result=\"denied\"} 1",
            "tetragon_operator_webhook_certificate_not_after_timestamp_seconds 0.0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let value = |name: &str| -> f64 {
            text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().parse().unwrap_or(0.0)
        };
        assert!(value("process_resident_memory_bytes ") > 1e6, "{text}");
        assert!(value("process_open_fds ") > 2.0, "{text}");
    }
}
