//! The API server of `KUBECONFIG`, and what the operator and an administrator would do there.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tetragon_api::plan::{Mode, Plan};
use tetragon_api::published::{OBJECT_LABEL, OBJECT_PLAN, OBJECT_UNINSTALL, PlanMeta, PolicyRef, encode};
use tetragon_api::status::{NodePolicy, NodePolicyState, TetragonNode};

/// How long something may take to become true; the machine may be busy.
pub const WITHIN: Duration = Duration::from_secs(40);

/// The cluster, seen by its administrator.
pub struct Bed {
    runtime: tokio::runtime::Runtime,
    client: Client,
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
}

impl Bed {
    /// Connects, and installs the definitions and the rights of agents.
    pub fn new() -> Result<Bed> {
        let kubeconfig = std::env::var_os("KUBECONFIG").filter(|k| !k.is_empty());
        let kubeconfig = PathBuf::from(kubeconfig.context("KUBECONFIG must name a cluster for tests")?);
        ensure!(is_root(), "the agent needs root");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async {
            let read = kube::config::Kubeconfig::read_from(&kubeconfig)?;
            let config = kube::Config::from_custom_kubeconfig(read, &Default::default()).await?;
            Ok::<_, anyhow::Error>(Client::try_from(config)?)
        })?;
        let bed = Bed { runtime, client, kubeconfig };
        bed.install()?;
        Ok(bed)
    }

    fn install(&self) -> Result<()> {
        for crd in tetragon_api::crd::all() {
            let name = crd.name_any();
            self.apply(&self.all::<CustomResourceDefinition>(), &name, &crd)?;
        }
        // What the documentation says that an agent needs, and no more.
        let rules = json!([
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["tetragon-rs.dev"], "resources": ["tetragonnodes"], "verbs": ["get", "create", "patch"]},
            {"apiGroups": ["tetragon-rs.dev"], "resources": ["tetragonnodes/status"], "verbs": ["patch"]},
        ]);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "agent-tests"}, "rules": rules});
        self.apply(&self.all::<ClusterRole>(), "agent-tests", &role)?;
        let without = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "agent-tests-blind"}, "rules": &rules.as_array().context("rules")?[1..]});
        self.apply(&self.all::<ClusterRole>(), "agent-tests-blind", &without)?;
        eventually("the definition of TetragonNode", || {
            let api = self.all::<TetragonNode>();
            Ok(self.wait(api.list(&Default::default())).is_ok().then_some(()))
        })
    }

    /// Waits for a request.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// All objects of a kind.
    pub fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    fn apply<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug>(
        &self,
        api: &Api<K>,
        name: &str,
        object: &(impl Serialize + std::fmt::Debug),
    ) -> Result<K> {
        let params = PatchParams::apply("agent-tests").force();
        self.wait(api.patch(name, &params, &Patch::Apply(object))).with_context(|| format!("applying {name}"))
    }

    /// A node of its own with a namespace of the same name, for one scenario. `blind`: the agent may
    /// not read nodes.
    pub fn place(&self, name: &str, blind: bool) -> Result<Place<'_>> {
        Place { bed: self, name: format!("agent-{name}") }.clear()?;
        self.place_again(name, blind)
    }

    /// The same place with other rights; what is there stays.
    pub fn place_again(&self, name: &str, blind: bool) -> Result<Place<'_>> {
        let place = Place { bed: self, name: format!("agent-{name}") };
        let name = &place.name;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.apply(&self.all::<Namespace>(), name, &namespace)?;
        place.make_node(&json!({"kubernetes.io/os": "linux"}))?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent"}});
        self.apply(&place.api::<ServiceAccount>(), "agent", &account)?;
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "agent"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]});
        self.apply(&place.api::<Role>(), "agent", &role)?;
        let bind = |kind: &str, role: &str, binding: &str| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"), "metadata": {"name": binding},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": name}]})
        };
        self.apply(&place.api::<RoleBinding>(), "agent", &bind("Role", "agent", "agent"))?;
        let role = if blind { "agent-tests-blind" } else { "agent-tests" };
        // A binding's role cannot be changed.
        let bindings = self.all::<ClusterRoleBinding>();
        let _ = self.wait(bindings.delete(name, &DeleteParams::default()));
        self.apply(&bindings, name, &bind("ClusterRole", role, name))?;
        Ok(place)
    }
}

/// A node and a namespace for one scenario.
pub struct Place<'a> {
    /// The cluster.
    pub bed: &'a Bed,
    /// Name of the node and of the namespace.
    pub name: String,
}

impl Place<'_> {
    /// Objects of the namespace.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.bed.client.clone(), &self.name)
    }

    /// What an earlier run may have left, goes.
    fn clear(&self) -> Result<()> {
        let gone = |result: kube::Result<_>| match result {
            Err(kube::Error::Api(e)) if e.code != 404 => Err(anyhow::Error::msg(e.message)),
            _ => Ok(()),
        };
        let params = DeleteParams::default();
        gone(self.bed.wait(self.bed.all::<TetragonNode>().delete(&self.name, &params)).map(drop))?;
        gone(self.bed.wait(self.bed.all::<Node>().delete(&self.name, &params)).map(drop))?;
        gone(self.bed.wait(self.bed.all::<ClusterRoleBinding>().delete(&self.name, &params)).map(drop))?;
        let plans = self.bed.wait(self.api::<ConfigMap>().list(&Default::default()))?;
        if !plans.items.is_empty() {
            let only = ListParams::default().labels(&format!("{OBJECT_LABEL}={OBJECT_PLAN}"));
            self.bed.wait(self.api::<ConfigMap>().delete_collection(&params, &only))?;
        }
        Ok(())
    }

    /// Makes the Node, or gives it other labels.
    pub fn make_node(&self, labels: &Value) -> Result<Node> {
        let node =
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}});
        self.bed.apply(&self.bed.all::<Node>(), &self.name, &node)
    }

    /// Makes a pod that is bound to a node, which no kubelet starts.
    pub fn make_pod(&self, name: &str, node: &str) -> Result<Pod> {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "serviceAccountName": "agent", "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none.example/none"}]}});
        self.bed.apply(&self.api::<Pod>(), name, &pod)
    }

    /// Deletes a pod, as its kubelet would.
    pub fn delete_pod(&self, name: &str) -> Result<()> {
        let now = DeleteParams::default().grace_period(0);
        self.bed.wait(self.api::<Pod>().delete(name, &now))?;
        Ok(())
    }

    /// Deletes the Node.
    pub fn delete_node(&self) -> Result<()> {
        self.bed.wait(self.bed.all::<Node>().delete(&self.name, &DeleteParams::default()))?;
        Ok(())
    }

    /// Makes and deletes what the chart makes when it is uninstalled.
    pub fn tell_uninstall(&self) -> Result<()> {
        let marker = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "tetragon-uninstall", "labels": {OBJECT_LABEL: OBJECT_UNINSTALL}}});
        self.bed.apply(&self.api::<ConfigMap>(), "tetragon-uninstall", &marker)?;
        let api = self.api::<ConfigMap>();
        self.bed.wait(api.delete("tetragon-uninstall", &DeleteParams::default()))?;
        Ok(())
    }

    /// Publishes a plan as the operator does.
    pub fn publish(&self, published: &Published) -> Result<String> {
        let object = encode(&published.plan, &published.meta)?;
        self.put(&object)
    }

    /// Publishes many, as fast as that goes.
    pub fn publish_all(&self, all: &[Published]) -> Result<()> {
        let api = self.api::<ConfigMap>();
        let objects = all.iter().map(|p| encode(&p.plan, &p.meta)).collect::<Result<Vec<_>, _>>()?;
        self.bed.wait(async {
            let params = PostParams::default();
            let requests = objects.iter().map(|object| api.create(&params, object));
            futures::stream::iter(requests).buffer_unordered(16).try_for_each(|_| async { Ok(()) }).await
        })?;
        Ok(())
    }

    /// Puts a ConfigMap as it is.
    pub fn put(&self, object: &ConfigMap) -> Result<String> {
        let name = object.name_any();
        let mut object = serde_json::to_value(object)?;
        object["apiVersion"] = "v1".into();
        object["kind"] = "ConfigMap".into();
        self.bed.apply(&self.api::<ConfigMap>(), &name, &object)?;
        Ok(name)
    }

    /// Sets annotations of a ConfigMap; null removes one.
    pub fn annotate(&self, name: &str, annotations: &Value) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        self.bed.wait(self.api::<ConfigMap>().patch(name, &PatchParams::default(), &patch))?;
        Ok(())
    }

    /// Takes a plan away.
    pub fn unpublish(&self, name: &str) -> Result<()> {
        self.bed.wait(self.api::<ConfigMap>().delete(name, &DeleteParams::default()))?;
        Ok(())
    }

    /// The TetragonNode, if it is there.
    pub fn node(&self) -> Result<Option<TetragonNode>> {
        Ok(self.bed.wait(self.bed.all::<TetragonNode>().get_opt(&self.name))?)
    }

    /// A policy in the node's status, if it is there. Of many, those that run as wanted are told in short.
    pub fn policy(&self, name: &str) -> Result<Option<NodePolicy>> {
        let status = self.node()?.and_then(|n| n.status).unwrap_or_default();
        let in_short = status.loaded.iter().find_map(|(mode, plans)| {
            let (name, mode, plan) = (name.to_owned(), mode.clone(), plans.get(name)?.clone());
            Some(NodePolicy { name, mode, plan, state: NodePolicyState::Loaded, ..NodePolicy::default() })
        });
        Ok(status.policies.into_iter().find(|p| p.name == name).or(in_short))
    }

    /// Waits until the status has the policy like this.
    pub fn expect(&self, name: &str, what: &str, is: impl Fn(&NodePolicy) -> bool) -> Result<NodePolicy> {
        let mut last = None;
        let found = eventually(&format!("{name} is {what}"), || {
            last = self.policy(name)?;
            Ok(last.clone().filter(|p| is(p)))
        });
        found.with_context(|| format!("the status says {last:?}"))
    }

    /// Waits until the condition Ready has this reason.
    pub fn expect_ready(&self, reason: &str) -> Result<()> {
        eventually(&format!("Ready has reason {reason}"), || {
            let status = self.node()?.and_then(|n| n.status).unwrap_or_default();
            Ok(status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == reason).then_some(()))
        })
    }
}

/// A plan with what its ConfigMap says.
#[derive(Clone, Debug)]
pub struct Published {
    /// The plan.
    pub plan: Plan,
    /// What is said of it.
    pub meta: PlanMeta,
}

impl Published {
    /// A policy that reports lseek(2) with this `whence`, and does `action` if that is not empty.
    pub fn new(name: &str, whence: u32, action: &str, extra: &str) -> Result<Published> {
        let action = if action.is_empty() { "Post" } else { action };
        let yaml = format!(
            "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n{extra}  tracepoints:\n  \
             - subsystem: syscalls\n    event: sys_enter_lseek\n    args:\n    - {{index: 7, type: uint64}}\n    selectors:\n    \
             - matchArgs:\n      - {{index: 7, operator: Equal, values: [\"{whence}\"]}}\n      matchActions:\n      - {{action: {action}}}\n"
        );
        Published::compile(name, &yaml)
    }

    /// Compiles a policy.
    pub fn compile(name: &str, yaml: &str) -> Result<Published> {
        let compiled = tetragon_compiler::compile_yaml("policy.yaml", yaml);
        ensure!(!compiled.has_errors(), "{:?}\n{yaml}", compiled.diagnostics);
        let plan = compiled.policies.into_iter().next().and_then(|p| p.plan).context("no plan")?;
        let policy = PolicyRef::cluster_wide(name, &format!("uid-of-{name}"));
        let meta = PlanMeta::new(policy, plan.digest(), 1);
        Ok(Published { plan, meta })
    }

    /// The same in a later revision.
    pub fn revision(mut self, revision: i64) -> Published {
        self.meta.revision = revision;
        self
    }

    /// With a limit of actions.
    pub fn limit(mut self, max: u32) -> Published {
        self.meta.max_actions = Some(max);
        self
    }

    /// In monitor mode, whatever the policy says.
    pub fn monitor(mut self) -> Published {
        self.meta.mode = Some(Mode::Monitor);
        self
    }
}

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if begin.elapsed() > WITHIN => bail!("not within {} s: {what}", WITHIN.as_secs()),
            Err(e) if begin.elapsed() > WITHIN => return Err(e.context(what.to_owned())),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// A kubeconfig for the agent of a place: as its service account, and by way of `server`, if given.
pub fn kubeconfig_for(place: &Place<'_>, dir: &Path, server: Option<u16>) -> Result<PathBuf> {
    let text = std::fs::read_to_string(&place.bed.kubeconfig)?;
    let mut config: Value = serde_json::to_value(kube::config::Kubeconfig::from_yaml(&text)?)?;
    let account = format!("system:serviceaccount:{}:agent", place.name);
    for user in config["users"].as_array_mut().context("users")? {
        user["user"]["as"] = account.clone().into();
    }
    for cluster in config["clusters"].as_array_mut().context("clusters")? {
        let Some(port) = server else { continue };
        let url = cluster["cluster"]["server"].as_str().unwrap_or_default().to_owned();
        let host = url.trim_start_matches("https://").split([':', '/']).next().unwrap_or_default().to_owned();
        cluster["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
        cluster["cluster"]["tls-server-name"] = host.into();
    }
    let path = dir.join("kubeconfig");
    std::fs::write(&path, serde_json::to_string(&config)?)?;
    Ok(path)
}

/// Host and port of the API server.
pub fn server_of(bed: &Bed) -> Result<String> {
    let config = kube::config::Kubeconfig::from_yaml(&std::fs::read_to_string(&bed.kubeconfig)?)?;
    let url = config.clusters.first().and_then(|c| c.cluster.as_ref()?.server.clone()).context("a server")?;
    let address = url.trim_start_matches("https://").trim_end_matches('/');
    Ok(if address.contains(':') { address.to_owned() } else { format!("{address}:443") })
}
