//! The webhook's certificate: made, rotated without a gap, repaired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use prometheus_client::registry::Registry;
use serde_json::json;
use tetragon_operator::admission::webhook::Webhook;
use tetragon_operator::config::Host;
use tetragon_operator::metrics::Metrics;
use tetragon_operator::platform::certs::keeper::{Keeper, WEBHOOK};
use tetragon_operator::platform::certs::served::Served;
use tetragon_operator::platform::serve::until_stopped;
use tetragon_tls::server::TlsListener;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::bed::{Bed, NAMESPACE, TESTER, eventually, gone, test};
use crate::https;

const SECRET: &str = "certs-test";
const CONFIGURATION: &str = "tetragon-operator-certs-test";

/// A webhook with its keeper, in this process.
struct Parts {
    served: Arc<Served>,
    address: String,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

async fn start(client: Client, life: Duration) -> Parts {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let host = Host::of_url(&format!("https://{address}/validate")).unwrap();
    let mut keeper =
        Keeper::new(client.clone(), NAMESPACE.into(), SECRET.into(), CONFIGURATION.into(), host.clone());
    keeper.life = life;
    keeper.spread = Duration::from_secs(2);
    let served = Arc::<Served>::default();
    let metrics = Metrics::register(&mut Registry::default(), Some(served.clone()));
    let router = Webhook { index: Arc::default(), metrics }.router();
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let config = Arc::new(served.config().unwrap());
    let listener = TlsListener::new(listener, Box::new(move || Some(config.clone())));
    tasks.spawn(async move { until_stopped(listener, router, stopping).await.unwrap() });
    tasks.spawn(async move { keeper.keep().await });
    let follower = served.clone();
    let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
    tasks.spawn(async move { follower.follow(secrets, SECRET, &host).await });
    Parts { served, address, _stop: stop, _tasks: tasks }
}

/// As the chart makes it; what cannot be asked is refused, so that a gap is seen.
async fn configure(bed: &Bed, address: &str) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [{
            "name": WEBHOOK,
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 5,
            "clientConfig": {"url": format!("https://{address}/validate")},
            // Some kind that nobody else makes here: the webhook refuses it in words of its own.
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"],
            }],
            "objectSelector": {"matchLabels": {"certs-test": "true"}},
        }],
    });
    let api: Api<ValidatingWebhookConfiguration> = bed.all();
    api.patch(CONFIGURATION, &PatchParams::apply(TESTER).force(), &Patch::Apply(&configuration))
        .await
        .unwrap();
}

async fn clean(bed: &Bed) {
    gone(&bed.all::<ValidatingWebhookConfiguration>(), CONFIGURATION).await;
    gone(&bed.here::<Secret>(), SECRET).await;
}

/// Asks through the API server. `Err`: what it says when the webhook could not be asked.
async fn ask(bed: &Bed) -> Result<(), String> {
    let object: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": "certs-test", "labels": {"certs-test": "true"}},
    }))
    .unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    match bed.here::<ConfigMap>().create(&dry, &object).await {
        Err(kube::Error::Api(status)) if status.message.contains("this webhook checks") => Ok(()),
        other => Err(format!("{:?}", other.map(drop))),
    }
}

async fn bundle(bed: &Bed) -> String {
    let configuration = bed.all::<ValidatingWebhookConfiguration>().get(CONFIGURATION).await.unwrap();
    let bundle = configuration.webhooks.unwrap_or_default().remove(0).client_config.ca_bundle;
    String::from_utf8(bundle.unwrap_or_default().0).unwrap()
}

#[test]
fn rotations_leave_no_gap_and_no_connection_drops() {
    test(async |bed| {
        clean(&bed).await;
        // A third of the life before its end there must be a new one: each is served for 10 s.
        let parts = start(bed.client.clone(), Duration::from_secs(15)).await;
        configure(&bed, &parts.address).await;
        eventually("the webhook is asked", async || ask(&bed).await).await;
        let mut old = https::connect(&parts.address, &bundle(&bed).await).await.unwrap();
        let (began, mut questions, mut most) = (Instant::now(), 0, 0);
        let mut seen = vec![parts.served.changes().borrow().clone().unwrap().certificate];
        while seen.len() < 3 {
            assert!(began.elapsed() < Duration::from_secs(60), "{} certificates in a minute", seen.len());
            if let Err(error) = ask(&bed).await {
                panic!("a gap after {:?}: {error}", began.elapsed());
            }
            questions += 1;
            most = most.max(bundle(&bed).await.matches("BEGIN CERTIFICATE").count());
            let now = parts.served.changes().borrow().clone().unwrap().certificate;
            if seen.last() != Some(&now) {
                seen.push(now);
                let (status, _) = https::exchange(&mut old, "POST", "/validate", b"{}").await.unwrap();
                assert_eq!(status, 400, "the connection from before goes on");
            }
        }
        println!("{questions} questions through {} certificates, none unanswered", seen.len());
        assert_eq!(most, 2, "old and new authority");
        clean(&bed).await;
    });
}

#[test]
fn what_was_damaged_is_made_again() {
    test(async |bed| {
        clean(&bed).await;
        let parts = start(bed.client.clone(), tetragon_operator::platform::certs::LIFE).await;
        eventually("there is a certificate", async || parts.served.ready().then_some(()).ok_or(())).await;
        configure(&bed, &parts.address).await;
        eventually("the webhook is asked", async || ask(&bed).await).await;
        let secrets: Api<Secret> = bed.here();
        let certificate = async || secrets.get_opt(SECRET).await.ok()??.data?.remove("tls.crt");
        let first = certificate().await.unwrap();
        for damage in [
            json!({"data": {"tls.key": "eA=="}}),
            json!({"data": {"ca.crt": null}}),
            json!({"data": {"tls.crt": "eA=="}, "immutable": true}),
        ] {
            let before = certificate().await.unwrap();
            secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&damage)).await.unwrap();
            eventually(&format!("a new one after {damage}"), async || match certificate().await {
                Some(now) if now != before && now.0.starts_with(b"-----BEGIN") => Ok(()),
                other => Err(other.is_some()),
            })
            .await;
            eventually("the webhook is asked", async || ask(&bed).await).await;
        }
        gone(&secrets, SECRET).await;
        eventually("a new one", async || certificate().await.map(drop).ok_or(())).await;
        eventually("the webhook is asked", async || ask(&bed).await).await;
        assert_ne!(certificate().await.unwrap(), first);
        clean(&bed).await;
    });
}

#[test]
fn authorities_that_somebody_took_out_are_put_back() {
    test(async |bed| {
        clean(&bed).await;
        let parts = start(bed.client.clone(), tetragon_operator::platform::certs::LIFE).await;
        configure(&bed, &parts.address).await;
        eventually("the webhook is asked", async || ask(&bed).await).await;
        let good = bundle(&bed).await;
        let configurations = bed.all::<ValidatingWebhookConfiguration>();
        for wrong in [json!(null), json!("eA==")] {
            let path = "/webhooks/0/clientConfig/caBundle";
            let patch = json!([{"op": "replace", "path": path, "value": wrong}]);
            let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
            configurations.patch(CONFIGURATION, &PatchParams::default(), &patch).await.unwrap();
            eventually("they are back", async || {
                let now = bundle(&bed).await;
                if now == good { Ok(()) } else { Err(now) }
            })
            .await;
        }
        // A configuration that comes later is found, too.
        gone(&configurations, CONFIGURATION).await;
        configure(&bed, &parts.address).await;
        eventually("the webhook is asked", async || ask(&bed).await).await;
        // One write each: no quarrel with whoever else writes there.
        let version = configurations.get(CONFIGURATION).await.unwrap().metadata.resource_version;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(configurations.get(CONFIGURATION).await.unwrap().metadata.resource_version, version);
        clean(&bed).await;
    });
}
