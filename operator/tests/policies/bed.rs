//! What scenarios stand on: the server, the operator, and ways to look at a policy.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tetragon_api::published::{OBJECT_LABEL, OBJECT_PLAN, PlanMeta};
use tetragon_api::status::{TetragonNode, TracingPolicyStatus};
use tetragon_operator::nodes::watch::watch;
use tetragon_operator::nodes::{Index, Scope};
use tetragon_operator::policies::dereference::resource;
use tetragon_operator::policies::metrics::Metrics;
use tetragon_operator::policies::{Context, Timing, run};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

/// Where the operator of these tests has its plans.
pub const NAMESPACE: &str = "policies-test";
/// Where namespaced policies of these tests are.
pub const SPACES: [&str; 2] = ["policies-test-a", "policies-test-b"];
/// On everything that these tests make.
pub const MARK: &str = "policies-test";

/// So long an agent may be silent whose pod is gone.
pub const GRACE: Duration = Duration::from_secs(2);

/// The server may be busy with other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// One runtime for all: clients and the operator outlive the scenario that made them.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
static BED: LazyLock<Bed> = LazyLock::new(|| RUNTIME.block_on(Bed::make()));

pub struct Bed {
    pub client: Client,
    /// Tells this run's objects from those of others.
    run: String,
    /// The operator of all scenarios; who writes here has stopped it.
    operator: RwLock<Option<Operator>>,
    metrics: Mutex<Option<Metrics>>,
}

/// An operator that runs; dropped, it is gone as if killed.
pub struct Operator {
    pub metrics: Metrics,
    pub index: Arc<Index>,
    tasks: JoinSet<()>,
}

impl Operator {
    pub fn start(client: &Client) -> Operator {
        let index = Arc::<Index>::default();
        let metrics = Metrics::default();
        let mut tasks = JoinSet::new();
        tasks.spawn_on(watch(client.clone(), NAMESPACE.into(), index.clone()), RUNTIME.handle());
        let context = Context {
            client: client.clone(),
            namespace: NAMESPACE.into(),
            instance: "test".into(),
            index: index.clone(),
            metrics: metrics.clone(),
            timing: Timing {
                progress: Duration::from_millis(500),
                settle: Duration::from_secs(3),
                grace: GRACE,
                ..Timing::default()
            },
        };
        tasks.spawn_on(run(context), RUNTIME.handle());
        Operator { metrics, index, tasks }
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.metrics.status_writes.get() + self.metrics.plan_writes.get()
    }

    /// Ends it, wherever it waits.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Runs a scenario beside others.
pub fn scenario(body: impl AsyncFnOnce(&'static Bed)) {
    let bed = &*BED;
    RUNTIME.block_on(async {
        loop {
            let running = bed.operator.read().await;
            if running.is_some() {
                return body(bed).await;
            }
            drop(running);
            // Whoever was alone meanwhile has stopped it again.
            let mut operator = bed.operator.write().await;
            if operator.is_none() {
                let started = operator.insert(Operator::start(&bed.client));
                *bed.metrics.lock().unwrap() = Some(started.metrics.clone());
            }
        }
    });
}

/// Runs a scenario alone, without an operator; it starts its own.
pub fn alone(body: impl AsyncFnOnce(&'static Bed)) {
    let bed = &*BED;
    RUNTIME.block_on(async {
        let mut operator = bed.operator.write().await;
        if let Some(operator) = operator.take() {
            operator.kill().await;
        }
        body(bed).await;
    });
}

impl Bed {
    async fn make() -> Bed {
        if std::env::var_os("KUBECONFIG").is_none_or(|k| k.is_empty()) {
            panic!(
                "these tests need a real API server: set KUBECONFIG, as `cargo xtask cluster up` prints it"
            );
        }
        if std::env::var_os("RUST_LOG").is_some() {
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
        }
        tetragon_operator::platform::certs::install_provider();
        let client = Client::try_default().await.expect("the API server of KUBECONFIG");
        let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let bed = Bed {
            client,
            run: format!("{seconds:x}"),
            operator: RwLock::default(),
            metrics: Mutex::default(),
        };
        bed.install().await;
        bed.clean().await;
        bed
    }

    async fn install(&self) {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let params = PatchParams::apply("policies-test").force();
        for crd in tetragon_api::crd::all() {
            let name = crd.name_any();
            definitions.patch(&name, &params, &Patch::Apply(&crd)).await.unwrap();
            await_condition(definitions.clone(), &name, conditions::is_crd_established()).await.unwrap();
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [NAMESPACE].iter().chain(&SPACES) {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            namespaces.patch(name, &params, &Patch::Apply(&namespace)).await.unwrap();
        }
    }

    /// What is left of runs before.
    async fn clean(&self) {
        let (now, ours) = (DeleteParams::background(), ListParams::default().labels(MARK));
        let policies: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(Scope::Cluster));
        policies.delete_collection(&now, &ours).await.unwrap();
        for space in SPACES {
            self.namespaced(space).delete_collection(&now, &ours).await.unwrap();
        }
        Api::<Node>::all(self.client.clone()).delete_collection(&now, &ours).await.unwrap();
        Api::<TetragonNode>::all(self.client.clone()).delete_collection(&now, &ours).await.unwrap();
        let all = ListParams::default();
        self.plans().delete_collection(&now, &all).await.unwrap();
    }

    pub fn plans(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn policies(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(Scope::Cluster))
    }

    fn namespaced(&self, space: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), space, &resource(Scope::Namespaced))
    }

    /// What the operator of all scenarios counts.
    pub fn metrics(&self) -> Metrics {
        self.metrics.lock().unwrap().clone().expect("a scenario runs beside it")
    }

    /// A name of this run.
    pub fn name(&self, scenario: &str) -> String {
        format!("{scenario}-{}", self.run)
    }

    /// A policy of this run.
    pub fn policy(&'static self, scenario: &str) -> Policy {
        Policy { bed: self, name: self.name(scenario), space: None, rollout: None }
    }
}

/// A policy of a scenario, for the nodes of that scenario.
#[derive(Clone)]
pub struct Policy {
    pub(crate) bed: &'static Bed,
    pub name: String,
    /// Namespace of a TracingPolicyNamespaced.
    pub space: Option<&'static str>,
    pub rollout: Option<String>,
}

/// A spec that denies opens of a path.
pub fn deny(path: &str) -> Value {
    json!({"kprobes": [{
        "call": "security_file_open",
        "syscall": false,
        "args": [{"index": 0, "type": "file"}],
        "selectors": [{
            "matchArgs": [{"index": 0, "operator": "Equal", "values": [path]}],
            "matchActions": [{"action": "Override", "argError": -1}],
        }],
    }]})
}

/// What the API server takes, and the compiler does not.
pub fn wrong() -> Value {
    json!({"kprobes": [{"call": "security_file_open"}]})
}

impl Policy {
    fn api(&self) -> Api<DynamicObject> {
        self.space.map_or_else(|| self.bed.policies(), |space| self.bed.namespaced(space))
    }

    /// Applies it, as `kubectl apply` does.
    pub async fn apply(&self, mut spec: Value) {
        spec["nodeSelector"] = json!({"matchLabels": {"scenario": self.name}});
        let mut object = json!({
            "apiVersion": "cilium.io/v1alpha1",
            "kind": if self.space.is_some() { "TracingPolicyNamespaced" } else { "TracingPolicy" },
            "metadata": {"name": self.name, "labels": {MARK: "true"}},
            "spec": spec,
        });
        if let Some(rollout) = &self.rollout {
            object["metadata"]["annotations"] = json!({"tetragon-rs.dev/rollout": rollout});
        }
        let params = PatchParams::apply("kubectl").force();
        self.api().patch(&self.name, &params, &Patch::Apply(&object)).await.unwrap();
    }

    /// The object.
    pub async fn object(&self) -> DynamicObject {
        self.api().get(&self.name).await.unwrap()
    }

    pub async fn delete(&self) {
        self.api().delete(&self.name, &DeleteParams::background()).await.unwrap();
    }

    /// What its status says; nothing if it says it of another generation.
    pub async fn status(&self) -> TracingPolicyStatus {
        let object = self.object().await;
        let status = object.data.get("status").cloned().unwrap_or(json!({}));
        let status: TracingPolicyStatus = serde_json::from_value(status).unwrap();
        if status.observed_generation == object.metadata.generation.unwrap() {
            status
        } else {
            Default::default()
        }
    }

    /// The ConfigMaps of its plans, oldest first.
    pub async fn plans(&self) -> Vec<(ConfigMap, PlanMeta)> {
        let label = format!("{OBJECT_LABEL}={OBJECT_PLAN}");
        let all = self.bed.plans().list(&ListParams::default().labels(&label)).await.unwrap();
        let with_meta = all.into_iter().filter_map(|o| PlanMeta::from_meta(&o.metadata).ok().map(|m| (o, m)));
        let mut ours: Vec<_> = with_meta
            .filter(|(_, m)| m.policy.name == self.name && m.policy.namespace.as_deref() == self.space)
            .collect();
        ours.sort_by_key(|(_, m)| m.revision);
        ours
    }

    /// Waits for a status, and gives it.
    pub async fn until(&self, what: &str, is: impl Fn(&TracingPolicyStatus) -> bool) -> TracingPolicyStatus {
        eventually(&format!("{}: {what}", self.name), || async {
            let status = self.status().await;
            if is(&status) { Ok(status) } else { Err(status) }
        })
        .await
    }

    /// Waits until all `nodes` run it.
    pub async fn until_loaded(&self, nodes: usize) -> TracingPolicyStatus {
        let summary = format!("{nodes}/{nodes}");
        self.until(&format!("{summary} loaded"), |s| {
            is(s, "Ready") == ("True", "Loaded") && s.nodes.as_ref().is_some_and(|n| n.summary == summary)
        })
        .await
    }

    /// Waits until only one plan is left: of the generation as it stands.
    pub async fn until_one_plan(&self) -> (ConfigMap, PlanMeta) {
        let generation = self.object().await.metadata.generation.unwrap();
        eventually(&format!("{}: one plan", self.name), || async {
            let mut plans = self.plans().await;
            match plans.pop() {
                Some(plan) if plans.is_empty() && plan.1.revision == generation => Ok(plan),
                last => Err((last.map(|(_, m)| m), plans.len(), generation)),
            }
        })
        .await
    }
}

/// Status and reason of a condition.
pub fn is<'a>(status: &'a TracingPolicyStatus, ty: &str) -> (&'a str, &'a str) {
    let found = status.conditions.iter().find(|c| c.type_ == ty);
    found.map_or(("", ""), |c| (c.status.as_str(), c.reason.as_str()))
}

/// The message of a condition.
pub fn message<'a>(status: &'a TracingPolicyStatus, ty: &str) -> &'a str {
    status.conditions.iter().find(|c| c.type_ == ty).map_or("", |c| &c.message)
}

/// Waits until what other scenarios left behind is told, and gives the number of writes then.
pub async fn until_quiet(writes: impl Fn() -> u64) -> u64 {
    eventually("nobody writes", || async {
        let before = writes();
        tokio::time::sleep(Duration::from_secs(3)).await;
        if writes() == before { Ok(before) } else { Err(writes() - before) }
    })
    .await
}

/// Tries until it is so.
pub async fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    probe: impl Fn() -> F,
) -> T {
    let begin = Instant::now();
    loop {
        // While the API server restarts, a look may panic.
        let last = match std::panic::AssertUnwindSafe(probe()).catch_unwind().await {
            Ok(Ok(found)) => return found,
            Ok(Err(last)) => format!("{last:#?}"),
            Err(_) => "the look failed".into(),
        };
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; last: {last}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Makes an object that must not be there.
pub async fn create(api: &Api<ConfigMap>, object: &ConfigMap) {
    api.create(&PostParams::default(), object).await.unwrap();
}
