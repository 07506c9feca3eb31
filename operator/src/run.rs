//! Puts the parts together: what every replica does, what the leader does, and how all of it ends.
//!
//! ```text
//! every replica   definitions, index of the nodes, webhook with the certificate of the Secret, probes, metrics
//! the leader      certificates; policies -> plans -> status; PodInfos
//! ```
//!
//! On SIGTERM: not ready; the leader's work stops and the lease is given back; the webhook goes on
//! for a moment, as API servers still know of this replica; then what is open is answered.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use tetragon_daemon::late::Late;
use tetragon_tls::server::TlsListener;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::admission::webhook::Webhook;
use crate::config::{Host, Serve};
use crate::metrics::Metrics;
use crate::nodes::{self, Index};
use crate::platform::certs::keeper::Keeper;
use crate::platform::certs::served::Served;
use crate::platform::crds::Install;
use crate::platform::lease::{self, Candidate};
use crate::platform::serve::{self, Health};
use crate::platform::{certs, client};
use crate::pod_info;
use crate::policies;

/// API servers may take this long to stop asking a replica that is not ready.
const LINGER: Duration = Duration::from_secs(2);
/// What is open then has this long; with the release of the lease all is over within five seconds.
const DRAIN: Duration = Duration::from_millis(1500);

/// Runs the operator until a signal comes.
pub fn run(flags: &Serve) -> ExitCode {
    // The work is waiting, and compiling small texts: a node's many processors do not matter.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let ended = runtime.context("the runtime cannot be started").and_then(|runtime| {
        let ended = runtime.block_on(Operator::start_and_wait(flags));
        // Nobody waits for what is left: it would have been dropped at any await.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the operator ends: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the parts share.
struct Operator {
    client: Client,
    namespace: String,
    index: Arc<Index>,
    health: Health,
    metrics: Metrics,
    policies: policies::metrics::Metrics,
    /// The webhook's certificate, if there is a webhook.
    served: Option<Arc<Served>>,
    host: Host,
}

impl Operator {
    async fn start_and_wait(flags: &Serve) -> Result<()> {
        certs::install_provider();
        let late = Late::of(flags.config_dir.as_deref());
        let mut signals = Signals::new()?;
        let configuration = client::configuration(&flags.kube_config).await?;
        let namespace = first_of(&flags.namespace, &configuration.default_namespace);
        tracing::info!(server = %configuration.cluster_url, namespace, version = env!("CARGO_PKG_VERSION"), "starts");
        let served = flags.webhook_address.0.is_some().then(Arc::<Served>::default);
        let mut registry = Registry::default();
        let policies = policies::metrics::Metrics::default();
        policies.register(&mut registry);
        let operator = Operator {
            client: client::client(configuration)?,
            host: flags.webhook_host(&namespace)?,
            namespace,
            index: Arc::default(),
            health: Health::default(),
            metrics: Metrics::register(&mut registry, served.clone()),
            policies,
            served,
        };
        let (drain, draining) = watch::channel(false);
        let (stop, stopping) = watch::channel(false);
        let mut servers = operator.serve(flags, registry, &stopping).await?;
        let mut parts = operator.follow(flags);
        let leading = tokio::spawn(operator.leadership(flags, draining));

        tokio::select! {
            signal = signals.next() => tracing::info!("stops: {signal}"),
            () = Late::come(late.as_ref()) => tracing::info!("stops: the settings that this pod was made for have come"),
            ended = first_end(&mut servers) => return ended,
            ended = first_end(&mut parts) => return ended,
        }
        operator.health.wait_for("stop", "the operator stops");
        drain.send_replace(true);
        let end = async {
            tokio::time::sleep(LINGER).await;
            let _ = leading.await;
            stop.send_replace(true);
            let all = async { while servers.join_next().await.is_some() {} };
            if tokio::time::timeout(DRAIN, all).await.is_err() {
                tracing::warn!("connections that were still open are closed");
            }
        };
        tokio::select! {
            () = end => {
                tracing::info!("stopped");
                Ok(())
            }
            signal = signals.next() => bail!("{signal} again: not everything was ended in order"),
        }
    }

    /// Starts to listen; an address that is in use is told at once.
    async fn serve(
        &self,
        flags: &Serve,
        registry: Registry,
        stop: &watch::Receiver<bool>,
    ) -> Result<JoinSet<Result<()>>> {
        let mut servers = JoinSet::new();
        let probes = serve::listen("--health-probe-bind-address", &flags.health_probe_bind_address).await?;
        let metrics = serve::listen("--metrics-address", &flags.metrics_address).await?;
        for (listener, router) in
            [(probes, serve::probes(self.health.clone())), (metrics, serve::metrics(Arc::new(registry)))]
        {
            if let Some(listener) = listener {
                servers.spawn(serve::until_stopped(listener, router, stop.clone()));
            }
        }
        let webhook: Option<TcpListener> = serve::listen("--webhook-address", &flags.webhook_address).await?;
        if let (Some(listener), Some(served)) = (webhook, &self.served) {
            let config = Arc::new(served.config()?);
            let listener = TlsListener::new(listener, Box::new(move || Some(config.clone())));
            let router = Webhook { index: self.index.clone(), metrics: self.metrics.clone() }.router();
            servers.spawn(serve::until_stopped(listener, router, stop.clone()));
        }
        Ok(servers)
    }

    /// What every replica follows. None of it ends.
    fn follow(&self, flags: &Serve) -> JoinSet<Result<()>> {
        let mut parts = JoinSet::new();
        let tried = self.install(flags, &mut parts);
        let (index, health) = (self.index.clone(), self.health.clone());
        health.wait_for("index", "nodes and their agents are not listed yet");
        parts.spawn(async move {
            index.synced().await;
            health.done("index");
            std::future::pending().await
        });
        let (client, namespace, index) = (self.client.clone(), self.namespace.clone(), self.index.clone());
        parts.spawn(async move {
            // Before that a new cluster has no TetragonNodes to watch.
            tried.notified().await;
            nodes::watch::watch(client, namespace, index).await;
            bail!("the nodes are not watched any more")
        });
        if let Some(served) = self.served.clone() {
            self.follow_certificate(&mut parts, served, flags.webhook_secret.clone());
        }
        parts
    }

    /// Installs the definitions, if that is asked for. Tells when it was tried once.
    fn install(&self, flags: &Serve, parts: &mut JoinSet<Result<()>>) -> Arc<Notify> {
        let tried = Arc::new(Notify::new());
        let Some(install) = Install::of(flags) else {
            tried.notify_one();
            return tried;
        };
        let (client, health, tell) = (self.client.clone(), self.health.clone(), tried.clone());
        health.wait_for("crds", "the definitions of the custom resources are not installed yet");
        parts.spawn(async move {
            install.until_done(&client, || tell.notify_one()).await;
            health.done("crds");
            std::future::pending().await
        });
        tried
    }

    fn follow_certificate(&self, parts: &mut JoinSet<Result<()>>, served: Arc<Served>, secret: String) {
        let (health, mut changes) = (self.health.clone(), served.changes());
        health.wait_for("certificate", "the webhook has no certificate yet");
        parts.spawn(async move {
            // The sender is `served`, which outlives this.
            let _ = changes.wait_for(Option::is_some).await;
            health.done("certificate");
            std::future::pending().await
        });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let host = self.host.clone();
        parts.spawn(async move {
            served.follow(secrets, &secret, &host).await;
            bail!("the webhook's Secret is not watched any more")
        });
    }

    /// Does the leader's work while this replica leads, until `drain`.
    fn leadership(&self, flags: &Serve, drain: watch::Receiver<bool>) -> impl Future<Output = ()> + use<> {
        let keeper = self.served.is_some().then(|| {
            let (secret, configuration) = (flags.webhook_secret.clone(), flags.webhook_configuration.clone());
            let (client, namespace) = (self.client.clone(), self.namespace.clone());
            Arc::new(Keeper::new(client, namespace, secret, configuration, self.host.clone()))
        });
        let (client, namespace, index) = (self.client.clone(), self.namespace.clone(), self.index.clone());
        let (identity, policies) = (lease::identity(), self.policies.clone());
        let candidate = self.candidate(flags, &identity);
        let writes_pod_infos = !flags.skip_pod_info_crd;
        let work = move || {
            let keeper = keeper.clone();
            let context = policies::Context {
                client: client.clone(),
                namespace: namespace.clone(),
                instance: identity.clone(),
                index: index.clone(),
                metrics: policies.clone(),
                timing: policies::Timing::default(),
            };
            async move {
                let certificates = async {
                    if let Some(keeper) = keeper {
                        keeper.keep().await;
                    }
                };
                let (client, metrics) = (context.client.clone(), context.metrics.clone());
                let pod_infos = async {
                    if writes_pod_infos {
                        pod_info::run(client, metrics).await;
                    }
                };
                tokio::join!(certificates, policies::run(context), pod_infos);
            }
        };
        let metrics = self.metrics.clone();
        lead(candidate, drain, move |leads| metrics.leads(leads), work)
    }

    fn candidate(&self, flags: &Serve, identity: &str) -> Option<Candidate> {
        let namespace = first_of(&flags.leader_election_namespace, &self.namespace);
        let times = lease::Times {
            duration: flags.leader_election_lease_duration,
            renew_deadline: flags.leader_election_renew_deadline,
            retry: flags.leader_election_retry_period,
        };
        let leases = Api::namespaced(self.client.clone(), &namespace);
        flags.leader_election.then(|| Candidate::new(leases, lease::NAME, identity.to_owned(), times))
    }
}

/// Leads whenever the lease is held (without a candidate: always), until `drain`. The work of a
/// leader that lost its lease is dropped, wherever it waits, before anything else happens.
pub async fn lead<W: Future<Output = ()> + Send + 'static>(
    candidate: Option<Candidate>,
    mut drain: watch::Receiver<bool>,
    leads: impl Fn(bool),
    work: impl Fn() -> W,
) {
    // An error says that nobody can stop us any more: that is the end too.
    let drained = async move { drop(drain.wait_for(|drain| *drain).await) };
    tokio::pin!(drained);
    loop {
        let mut held = None;
        if let Some(candidate) = &candidate {
            held = tokio::select! {
                held = candidate.acquire() => Some(held),
                () = &mut drained => return,
            };
        }
        leads(true);
        // A task of its own: however busy it is, the lease is renewed.
        let mut working = JoinSet::new();
        working.spawn(work());
        let lost = async {
            match &mut held {
                Some(held) => held.keep().await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            () = &mut drained => true,
            () = lost => false,
            _ = working.join_next() => false,
        };
        working.shutdown().await;
        leads(false);
        if end {
            if let Some(held) = held {
                held.release().await;
            }
            return;
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The end of the first task that ends; none of them should.
async fn first_end(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    match tasks.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(error)) => Err(error).context("a task ended"),
        None => std::future::pending().await,
    }
}

fn first_of(wanted: &str, otherwise: &str) -> String {
    if wanted.is_empty() { otherwise } else { wanted }.to_owned()
}
