//! The export to Elasticsearch (and what speaks its API, such as OpenSearch): events as documents, by
//! `_bulk` into an index or a data stream.
//!
//! The thread that makes events writes each as a document into the [`queue`]; a thread of its own
//! sends what gathers there ([`sender`]), and puts it into the [`spool`] while the server is away. An
//! event is stored, lost and counted, or waiting; nothing else. The files:
//!
//! | file | what |
//! | --- | --- |
//! | `settings` | the flags, checked |
//! | `document` | an event as a document |
//! | `batch` | documents as the text of a request |
//! | `queue` | what waits in memory |
//! | `spool` | what waits on disk |
//! | `service` | the HTTP client |
//! | `verdict` | what an answer means |
//! | `sender` | the thread: when to send what, and when again |
//! | `counts` | what became of the events |

mod batch;
pub mod counts;
mod document;
mod queue;
mod sender;
mod service;
mod settings;
mod spool;
mod verdict;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tetragon_api::event::GetEventsResponse;

use crate::config::Config;
use crate::counters::{Counters, add};
use counts::{Counts, Loss};
use queue::Queue;
use sender::{Origin, Sender};
use service::Service;
use settings::Settings;

/// How long the end of the agent waits for the server; what is left then goes into the spool.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// The export's end in the thread that makes events.
pub struct Elasticsearch {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    run: u64,
    sequence: u64,
    document: Vec<u8>,
    thread: Option<JoinHandle<()>>,
}

impl Elasticsearch {
    /// Starts the export that the flags ask for. `None`: it is off.
    pub fn start(config: &Config, counters: &Counters) -> Result<Option<Elasticsearch>> {
        let Some(settings) = Settings::new(config)? else { return Ok(None) };
        let service = Service::new(&settings)?;
        tracing::info!("events go to {}", service::shown(&settings.endpoint));
        if settings.is_open() {
            tracing::warn!(
                "credentials go over the network unencrypted: --export-elasticsearch-url should be https"
            );
        }
        if settings.skip_verify {
            tracing::warn!(
                "the server's certificate is not checked: anybody in between can read and drop events"
            );
        }
        let node = crate::run::node_name();
        let run = run_id(&node);
        let counts = counters.elasticsearch.get_or_init(Arc::default).clone();
        let queue = Arc::new(Queue::new(settings.limit, settings.interval, counts.clone()));
        let origin = Origin { run, node, cluster: config.cluster_name.clone() };
        let sender = Sender::new(&settings, service, queue.clone(), counts.clone(), origin);
        let thread = std::thread::Builder::new()
            .name("elasticsearch".to_owned())
            .spawn(move || sender.run())
            .context("the elasticsearch thread cannot be started")?;
        let document = Vec::with_capacity(4096);
        Ok(Some(Elasticsearch { queue, counts, run, sequence: 0, document, thread: Some(thread) }))
    }

    /// Takes an event. `some_fields` is what may be exported of it, if that is not all, and `line` its
    /// text. False: it is lost, and counted.
    pub fn push(&mut self, event: &GetEventsResponse, some_fields: Option<Value>, line: &[u8]) -> bool {
        let policy = event.policy_name().unwrap_or_default();
        self.document.clear();
        let shown = some_fields.map(serde_json::from_value).transpose();
        let written = shown.and_then(|shown: Option<GetEventsResponse>| {
            let shown = shown.as_ref().unwrap_or(event);
            document::write(&mut self.document, shown, line, policy, self.sequence)
        });
        if let Err(e) = &written {
            // As in the export: only a defect of this program can end here.
            tracing::error!("an event could not be written as a document: {e}");
        }
        let id = batch::event_id(self.run, self.sequence);
        self.sequence += 1;
        add(&self.counts.taken, 1);
        let taken = written.is_ok() && self.queue.push(&id, &self.document);
        if !taken {
            self.counts.lose(Loss::QueueFull, policy, 1);
        }
        taken
    }

    /// The end: what waits is sent, as far as the server takes it at once, and goes into the spool.
    pub fn close(&mut self) {
        self.stop(LAST_REQUESTS);
    }

    fn stop(&mut self, within: Duration) {
        self.queue.stop(Instant::now() + within);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the elasticsearch thread has panicked; its message is above");
        }
    }
}

impl Drop for Elasticsearch {
    /// An agent that cannot start does not wait for a server.
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// A number that no other agent and no other start has.
fn run_id(node: &str) -> u64 {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let mut hash = Sha256::new();
    hash.update(node);
    hash.update(start.to_le_bytes());
    hash.update(std::process::id().to_le_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests;
