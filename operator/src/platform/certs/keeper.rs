//! The leader's part: makes certificates, rotates them, and tells the API server whom to trust.
//!
//! Level-triggered: each pass reads Secret and configuration as they are, takes at most one step, and
//! is repeated when one of them changes, when a step waits for its time, and every hour.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::time::Instant;

use super::{Certs, LIFE, Step, step, take};
use crate::config::Host;
use crate::platform::client::{FIELD_MANAGER, kube_error};
use crate::platform::watch::patient;

/// The webhook's name in the configuration.
pub const WEBHOOK: &str = "tracingpolicies.tetragon-rs.dev";

/// Longest time without a look.
const LOOK: Duration = Duration::from_secs(3600);
/// Time after a pass that failed.
const RETRY: Duration = Duration::from_secs(5);
/// A configuration that is not there may come any time, and nobody has to be told twice.
const MISSING: Duration = Duration::from_secs(60);

/// What the leader keeps right.
pub struct Keeper {
    /// The cluster.
    pub client: Client,
    /// Of the Secret.
    pub namespace: String,
    /// Its name.
    pub secret: String,
    /// Name of the ValidatingWebhookConfiguration; empty: somebody else puts the authorities there.
    pub configuration: String,
    /// Whom API servers ask for.
    pub host: Host,
    /// How long new certificates are good for.
    pub life: Duration,
    /// How long API servers may take to learn of new authorities.
    pub spread: Duration,
}

/// What API servers trust.
#[derive(Clone, Debug, PartialEq)]
enum Trust {
    /// The authorities of this bundle, as the configuration says.
    Bundle {
        /// The bundle in PEM.
        bundle: String,
        /// The configuration. The Secret goes with it: only there the certificate is of use.
        owner: OwnerReference,
    },
    /// There is no configuration, so that nobody asks.
    Missing,
    /// It is not this operator's matter.
    Unknown,
}

/// What a pass leaves behind for the next one.
#[derive(Default)]
struct Memory {
    /// Since when the bundle has been published, by this machine's own clock.
    published: Option<(String, Instant)>,
    /// A missing configuration has been told of.
    told_missing: bool,
}

impl Keeper {
    /// With the usual times.
    pub fn new(
        client: Client,
        namespace: String,
        secret: String,
        configuration: String,
        host: Host,
    ) -> Keeper {
        let spread = Duration::from_secs(30);
        Keeper { client, namespace, secret, configuration, host, life: LIFE, spread }
    }

    /// Keeps Secret and configuration right, for as long as it is polled.
    pub async fn keep(&self) {
        let fields = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let secrets = patient(watcher(self.secrets(), fields(&self.secret)), "Secret".to_owned());
        let kind = "ValidatingWebhookConfiguration".to_owned();
        let configurations = patient(watcher(self.configurations(), fields(&self.configuration)), kind);
        let mut changes = if self.configuration.is_empty() {
            secrets.filter_map(changed).boxed()
        } else {
            futures::stream::select(secrets.filter_map(changed), configurations.filter_map(changed)).boxed()
        };
        let mut memory = Memory::default();
        loop {
            let again = match self.pass(&mut memory).await {
                Ok(again) => again,
                Err(error) => {
                    tracing::warn!("the webhook's certificate cannot be looked after: {error:#}");
                    RETRY
                }
            };
            // A watch never ends; what it says is read in the pass.
            let _ = tokio::time::timeout(again, changes.next()).await;
        }
    }

    /// One look, at most one step. Says when to look again.
    async fn pass(&self, memory: &mut Memory) -> Result<Duration> {
        let secret =
            self.secrets().get_opt(&self.secret).await.map_err(kube_error).context("reading the Secret")?;
        let certs = secret.as_ref().and_then(|s| match Certs::read(s.data.as_ref()?) {
            Ok(certs) => Some(certs),
            Err(error) => {
                tracing::warn!("the Secret {} is damaged, and made again: {error:#}", self.secret);
                None
            }
        });
        let published =
            certs.as_ref().is_some_and(|c| memory.published_for(&c.bundle()) >= Some(self.spread));
        let trust = self.trust().await?;
        let now = SystemTime::now();
        let next = step(certs.as_ref(), &self.host, now, self.life, published);
        let certs = take(&next, certs.as_ref(), &self.host, now, self.life)?;
        let owner = match &trust {
            Trust::Bundle { owner, .. } => Some(owner),
            Trust::Missing | Trust::Unknown => None,
        };
        let owned = |o| secret.as_ref().is_some_and(|s| s.owner_references().contains(o));
        if next != Step::Keep || !owner.is_none_or(owned) {
            self.write(&certs, secret.as_ref(), owner).await?;
            tracing::info!(secret = %self.secret, "{}", told(&next));
        }
        let wait = self.publish(&certs, &trust, memory).await?;
        Ok(if certs.next.is_some() { wait.min(self.spread) } else { wait.min(self.life / 16) })
    }

    /// Writes the Secret; `old` is what was read.
    async fn write(&self, certs: &Certs, old: Option<&Secret>, owner: Option<&OwnerReference>) -> Result<()> {
        let api = self.secrets();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.clone()),
                // Another operator that wrote since is not overwritten.
                resource_version: old.and_then(|s| s.metadata.resource_version.clone()),
                owner_references: owner.map(|o| vec![o.clone()]),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(certs.data()),
            ..Secret::default()
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch(&self.secret, &parameters, &Patch::Apply(&secret)).await;
        match (written, old) {
            (Ok(_), _) => Ok(()),
            // Immutable, or of another type: it can only be made anew.
            (Err(kube::Error::Api(status)), Some(old)) if status.code == 422 => {
                tracing::warn!(
                    "the Secret {} cannot be changed, and is deleted: {}",
                    self.secret,
                    status.message
                );
                let uid = old.metadata.uid.clone();
                let preconditions = Some(Preconditions { uid, resource_version: None });
                let delete = DeleteParams { preconditions, ..DeleteParams::default() };
                api.delete(&self.secret, &delete).await.map_err(kube_error).context("deleting the Secret")?;
                let secret =
                    Secret { metadata: ObjectMeta { resource_version: None, ..secret.metadata }, ..secret };
                let made = api.patch(&self.secret, &parameters, &Patch::Apply(&secret)).await;
                made.map(drop).map_err(kube_error).context("making the Secret again")
            }
            (Err(error), _) => Err(kube_error(error)).context("writing the Secret"),
        }
    }

    /// Puts the authorities into the configuration. Says when to look again.
    async fn publish(&self, certs: &Certs, trust: &Trust, memory: &mut Memory) -> Result<Duration> {
        let bundle = certs.bundle();
        match trust {
            Trust::Missing => {
                if !std::mem::replace(&mut memory.told_missing, true) {
                    tracing::warn!(
                        "there is no ValidatingWebhookConfiguration {} with a webhook {WEBHOOK}: policies are not \
                         checked when they are applied",
                        self.configuration
                    );
                }
                memory.publish(&bundle);
                return Ok(MISSING);
            }
            Trust::Bundle { bundle: known, .. } if *known != bundle => {
                memory.published = None;
                self.patch(&bundle).await?;
                tracing::info!(configuration = %self.configuration, "API servers are told the webhook's authorities");
            }
            Trust::Bundle { .. } | Trust::Unknown => {}
        }
        memory.told_missing = false;
        memory.publish(&bundle);
        Ok(LOOK)
    }

    async fn trust(&self) -> Result<Trust> {
        if self.configuration.is_empty() {
            return Ok(Trust::Unknown);
        }
        let found = self.configurations().get_opt(&self.configuration).await.map_err(kube_error);
        let found = found.context("reading the ValidatingWebhookConfiguration")?;
        let found = found.and_then(|c| {
            let owner = c.owner_ref(&())?;
            Some((owner, c.webhooks?.into_iter().find(|w| w.name == WEBHOOK)?))
        });
        Ok(match found {
            None => Trust::Missing,
            Some((owner, webhook)) => {
                let ByteString(bundle) = webhook.client_config.ca_bundle.unwrap_or_default();
                Trust::Bundle { bundle: String::from_utf8(bundle).unwrap_or_default(), owner }
            }
        })
    }

    /// The configuration is the chart's: this sets one field of it.
    async fn patch(&self, bundle: &str) -> Result<()> {
        let ca_bundle = ByteString(bundle.as_bytes().to_vec());
        let patch = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self.configuration},
            "webhooks": [{"name": WEBHOOK, "clientConfig": {"caBundle": ca_bundle}}],
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patched =
            self.configurations().patch(&self.configuration, &parameters, &Patch::Apply(&patch)).await;
        patched.map(drop).map_err(kube_error).context("writing the ValidatingWebhookConfiguration")
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }
}

impl Memory {
    /// For how long the bundle has been published; `None`: it is not.
    fn published_for(&self, bundle: &str) -> Option<Duration> {
        self.published.as_ref().filter(|(known, _)| known == bundle).map(|(_, since)| since.elapsed())
    }

    fn publish(&mut self, bundle: &str) {
        if self.published_for(bundle).is_none() {
            self.published = Some((bundle.to_owned(), Instant::now()));
        }
    }
}

/// What exists is read in the pass: here it is enough that something may have changed.
async fn changed<K>(event: Event<K>) -> Option<()> {
    matches!(event, Event::Apply(_) | Event::Delete(_) | Event::InitDone).then_some(())
}

fn told(step: &Step) -> &'static str {
    match step {
        Step::Keep => "the webhook's certificate is kept, and goes with the configuration from now on",
        Step::Replace => "a certificate for the webhook is made",
        Step::Prepare => "a new certificate for the webhook is made, to be used once API servers trust it",
        Step::Promote => "the new certificate of the webhook is used from now on",
    }
}
