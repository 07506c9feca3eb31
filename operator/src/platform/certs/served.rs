//! What the webhook serves: the certificate of the Secret, swapped when the Secret changes.
//! Connections that are open stay as they are.

use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tetragon_tls::provider;
use tokio::sync::watch;

use super::{Certs, Pair};
use crate::config::Host;
use crate::platform::watch::patient;

/// The certificate in use.
#[derive(Debug, Default)]
pub struct Served {
    key: RwLock<Option<Arc<CertifiedKey>>>,
    pair: watch::Sender<Option<Pair>>,
    ends: RwLock<Option<SystemTime>>,
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.read().expect("no holder panics").clone()
    }
}

impl Served {
    /// With the certificate that there is when a client connects.
    pub fn config(self: &Arc<Served>) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?;
        Ok(builder.with_no_client_auth().with_cert_resolver(self.clone()))
    }

    /// There is one.
    pub fn ready(&self) -> bool {
        self.pair.borrow().is_some()
    }

    /// Tells of every swap.
    pub fn changes(&self) -> watch::Receiver<Option<Pair>> {
        self.pair.subscribe()
    }

    /// When clients stop to accept it; `None`: they do not, or there is none.
    pub fn ends(&self) -> Option<SystemTime> {
        *self.ends.read().expect("no holder panics")
    }

    /// Serves these from now on.
    pub fn swap(&self, certs: &Certs, host: &Host) {
        if self.pair.borrow().as_ref() == Some(&certs.pair) {
            return;
        }
        match certs.pair.certified() {
            Ok(key) => {
                *self.key.write().expect("no holder panics") = Some(Arc::new(key));
                *self.ends.write().expect("no holder panics") = certs.ends(host, SystemTime::now());
                self.pair.send_replace(Some(certs.pair.clone()));
                tracing::info!("the webhook's certificate is in use");
            }
            Err(error) => tracing::error!("the webhook's certificate cannot be used: {error:#}"),
        }
    }

    /// Follows the Secret, for as long as it is polled. One that is gone or damaged changes nothing:
    /// what is served may still be trusted, and the leader makes a new one.
    pub async fn follow(&self, secrets: Api<Secret>, name: &str, host: &Host) {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = Box::pin(patient(watcher(secrets, config), "Secret".to_owned()));
        while let Some(event) = events.next().await {
            let (Event::Apply(secret) | Event::InitApply(secret)) = event else { continue };
            match Certs::read(&secret.data.clone().unwrap_or_default()) {
                Ok(certs) => self.swap(&certs, host),
                Err(error) => {
                    let secret = secret.name_any();
                    tracing::warn!(secret, "the Secret of the webhook's certificate is damaged: {error:#}");
                }
            }
        }
    }
}
