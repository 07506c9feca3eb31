//! What is served in plain HTTP: metrics, and whether the operator is alive and ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Address;

/// Whether the operator is ready, and what it waits for.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, &'static str>>>);

impl Health {
    /// Not ready until `what` is done; `text` says so.
    pub fn wait_for(&self, what: &'static str, text: &'static str) {
        self.0.lock().expect("no holder panics").insert(what, text);
    }

    /// Done.
    pub fn done(&self, what: &'static str) {
        self.0.lock().expect("no holder panics").remove(what);
    }

    /// What is waited for, a line each; empty: ready.
    fn waiting(&self) -> String {
        self.0.lock().expect("no holder panics").values().map(|text| format!("{text}\n")).collect()
    }
}

/// Listens; `None`: nowhere. `flag` is for the error.
pub async fn listen(flag: &str, address: &Address) -> Result<Option<TcpListener>> {
    let Some(text) = address.0.as_deref() else { return Ok(None) };
    let listener = match text.strip_prefix(':') {
        // All addresses; a kernel without IPv6 has only the older ones.
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        },
        None => TcpListener::bind(text).await,
    };
    listener.map(Some).with_context(|| format!("{flag} {text}: cannot listen"))
}

/// /healthz and /readyz.
pub fn probes(health: Health) -> Router {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz)).with_state(health)
}

async fn readyz(State(health): State<Health>) -> Response {
    match health.waiting() {
        waiting if waiting.is_empty() => "ok\n".into_response(),
        waiting => (StatusCode::SERVICE_UNAVAILABLE, waiting).into_response(),
    }
}

/// /metrics.
pub fn metrics(registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(metrics_page)).with_state(registry)
}

async fn metrics_page(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    tetragon_daemon::metrics::page(&registry, &headers)
}

/// Serves until `stop`, then answers what is open.
pub async fn until_stopped<L>(listener: L, router: Router, mut stop: watch::Receiver<bool>) -> Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let stopped = async move {
        // An error says that nobody can stop us any more: that is the end too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await.context("HTTP is not served any more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_nothing_is_waited_for() {
        let health = Health::default();
        assert_eq!(health.waiting(), "");
        health.wait_for("b", "b is missing");
        health.wait_for("a", "a is missing");
        assert_eq!(health.waiting(), "a is missing\nb is missing\n");
        health.done("a");
        assert_eq!(health.waiting(), "b is missing\n");
    }
}
