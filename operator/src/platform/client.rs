//! The connection to the API server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// The name under which the operator writes.
pub const FIELD_MANAGER: &str = "tetragon-operator";

/// A connection on which nothing comes for this long is dead: API servers mark an idle watch about
/// once a minute.
const SILENCE: Duration = Duration::from_secs(180);

/// From the kubeconfig of that file; an empty path: of KUBECONFIG, or of the pod's service account.
/// Nothing is connected yet.
pub async fn configuration(kubeconfig: &str) -> Result<Config> {
    let mut config = if kubeconfig.is_empty() {
        Config::infer().await.context(
            "there is neither a kubeconfig nor a service account; give --kube-config FILE, or set KUBECONFIG",
        )?
    } else {
        let read = Kubeconfig::read_from(Path::new(kubeconfig));
        let read = read.with_context(|| format!("--kube-config {kubeconfig}: cannot be read"))?;
        Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
            .await
            .with_context(|| format!("--kube-config {kubeconfig}: cannot be used"))?
    };
    config.read_timeout = Some(SILENCE);
    let agent = concat!("tetragon-operator/", env!("CARGO_PKG_VERSION"));
    config.headers.push((axum::http::header::USER_AGENT, axum::http::HeaderValue::from_static(agent)));
    Ok(config)
}

/// A client for it.
pub fn client(config: Config) -> Result<Client> {
    let server = config.cluster_url.clone();
    Client::try_from(config).with_context(|| format!("no client can be made for {server}"))
}

/// An error as a sentence: kube's own text says the status twice, once as Rust writes it.
pub fn kube_error(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow::anyhow!("{} ({})", status.message, status.reason),
        error => error.into(),
    }
}
