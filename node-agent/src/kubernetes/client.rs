//! How the API server is reached, and whether it answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::util::MapResultLayer;

use super::counts::Counts;
use crate::config::Config;

/// How long a request may take, other than a watch.
pub const WITHIN: Duration = Duration::from_secs(30);

/// Where the API server is, and the namespace of the plans.
#[derive(Clone, Debug)]
pub struct Access {
    config: kube::Config,
    /// The operator's namespace.
    pub namespace: String,
}

impl Access {
    /// Reads what the flags name; the API server is not asked yet.
    pub async fn new(config: &Config) -> Result<Access> {
        let path = &config.k8s_kubeconfig_path;
        let found = if path.is_empty() {
            kube::Config::incluster().context(
                "--enable-k8s-api: this is no pod with a service account; outside of one, name a kubeconfig with \
                 --k8s-kubeconfig-path",
            )?
        } else {
            let read = Kubeconfig::read_from(Path::new(path));
            let kubeconfig = read.with_context(|| format!("--k8s-kubeconfig-path {path}: cannot be read"))?;
            let chosen =
                kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            chosen.with_context(|| format!("--k8s-kubeconfig-path {path}: is not usable"))?
        };
        let given = Some(config.k8s_namespace.clone()).filter(|n| !n.is_empty());
        let pod = || std::env::var("POD_NAMESPACE").ok().filter(|n| !n.is_empty());
        let namespace = given.or_else(pod).unwrap_or_else(|| found.default_namespace.clone());
        Ok(Access { config: found, namespace })
    }

    /// A client that notes whether the last request was answered; to be made inside the runtime.
    pub fn client(&self, counts: Arc<Counts>) -> Result<Client> {
        let server = self.config.cluster_url.to_string();
        let noted = move |result: Result<_, tower::BoxError>| {
            if counts.set_connected(result.is_ok()) {
                match &result {
                    Ok(_) => tracing::info!("the API server {server} answers"),
                    Err(e) => tracing::warn!(
                        "the API server {server} does not answer, the policies stay as they are: {}",
                        whole(e.as_ref())
                    ),
                }
            }
            result
        };
        let builder =
            ClientBuilder::try_from(self.config.clone()).context("no Kubernetes client can be made")?;
        Ok(builder.with_layer(&MapResultLayer::new(noted)).build())
    }
}

/// An error with what caused it.
pub fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let cause = e.to_string();
        // Many repeat what caused them.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = e.source();
    }
    text
}
