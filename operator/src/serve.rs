//! What is served in plain HTTP: metrics, and whether the operator is alive and ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
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
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {error}\n"))
            .into_response();
    }
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (kind, text) = if accept.contains("application/openmetrics-text") {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", plain(&text))
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The older text format, in which a counter's name has its `_total` everywhere.
fn plain(openmetrics: &str) -> String {
    let mut counters: Vec<&str> = Vec::new();
    for line in openmetrics.lines() {
        counters.extend(line.strip_prefix("# TYPE ").and_then(|l| l.strip_suffix(" counter")));
    }
    let named = |line: &str| {
        let (kind, rest) = line.strip_prefix("# ")?.split_once(' ')?;
        let (name, rest) = rest.split_once(' ')?;
        (kind != "UNIT" && counters.contains(&name)).then(|| format!("# {kind} {name}_total {rest}\n"))
    };
    openmetrics
        .lines()
        .filter(|line| *line != "# EOF" && !line.starts_with("# UNIT "))
        .map(|line| named(line).unwrap_or_else(|| format!("{line}\n")))
        .collect()
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

    #[test]
    fn the_older_format_names_counters_in_full() {
        let text = "# HELP a_b Some.\n# TYPE a_b counter\na_b_total{x=\"1\"} 2\n# HELP c_seconds Time.\n\
                    # TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 1.5\n# EOF\n";
        assert_eq!(
            plain(text),
            "# HELP a_b_total Some.\n# TYPE a_b_total counter\na_b_total{x=\"1\"} 2\n# HELP c_seconds Time.\n\
             # TYPE c_seconds gauge\nc_seconds 1.5\n"
        );
    }
}
