//! What the tests stand on: the API server, kubectl, and the operator as a process.

use std::fmt::Debug;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Where the operators of these tests have their objects.
pub const NAMESPACE: &str = "api-test";
/// Field manager of what tests write themselves.
pub const TESTER: &str = "api-test";

/// The server may be busy with other work.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One runtime for all: the client's connections live in it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
});
/// Definitions and webhook configurations are the whole cluster's: tests run one after the other.
static TURN: Mutex<()> = Mutex::new(());

pub struct Bed {
    pub client: Client,
    _turn: MutexGuard<'static, ()>,
}

/// Runs a test when it is its turn.
pub fn test<F: Future<Output = ()>>(body: impl FnOnce(Bed) -> F) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tetragon_operator::platform::certs::install_provider();
    RUNTIME.block_on(async {
        let client = Client::try_from(configuration().await).unwrap();
        let bed = Bed { client, _turn: turn };
        bed.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})).await;
        body(bed).await;
    });
}

/// Of the API server.
pub async fn configuration() -> Config {
    if std::env::var_os("KUBECONFIG").is_none_or(|k| k.is_empty()) {
        panic!("these tests need a real API server: set KUBECONFIG, as `cargo xtask cluster up` prints it");
    }
    tetragon_operator::platform::client::configuration("").await.expect("the kubeconfig of KUBECONFIG")
}

impl Bed {
    /// Applies a namespace.
    async fn apply(&self, namespace: Value) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.patch(NAMESPACE, &PatchParams::apply(TESTER).force(), &Patch::Apply(&namespace)).await.unwrap();
    }

    /// Of the tests' namespace.
    pub fn here<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Of the cluster.
    pub fn all<K: kube::Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }
}

/// Deletes an object, and waits until it is gone.
pub async fn gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + Debug + serde::de::DeserializeOwned,
{
    let _ = api.delete(name, &DeleteParams::default()).await;
    eventually(&format!("{name} is gone"), async || match api.get_opt(name).await {
        Ok(None) => Ok(()),
        other => Err(format!("{:?}", other.map(|_| "there"))),
    })
    .await;
}

/// Tries until it is so.
pub async fn eventually<T, E: Debug>(what: &str, probe: impl AsyncFn() -> Result<T, E>) -> T {
    let begin = Instant::now();
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(last) => {
                assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; last: {last:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What kubectl said: standard error, then standard output; and whether it was content.
pub fn kubectl(args: &[&str], input: &str) -> (bool, String) {
    let program = std::env::var_os("KUBECTL").map_or("kubectl".into(), PathBuf::from);
    let mut child = Command::new(&program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("KUBECTL {}: {e}", program.display()));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    (output.status.success(), text.into_owned())
}

/// An address of this machine that is free.
pub fn address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The operator as a process. Killed when dropped.
pub struct Operator {
    child: Child,
    pub probes: String,
    pub metrics: String,
    pub webhook: String,
    log: PathBuf,
}

impl Operator {
    /// Starts it with addresses of its own, and those flags.
    pub fn start(flags: &[&str]) -> Operator {
        let (probes, metrics, webhook) = (address(), address(), address());
        let log = std::env::temp_dir().join(format!("tetragon-operator-{}.log", webhook.replace(':', "-")));
        let url = format!("https://{webhook}/validate");
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tetragon-operator"))
            .args(["serve", "--namespace", NAMESPACE, "--health-probe-bind-address", &probes])
            .args(["--metrics-address", &metrics, "--webhook-address", &webhook, "--webhook-url", &url])
            .args(flags)
            .stderr(file)
            .spawn()
            .unwrap();
        Operator { child, probes, metrics, webhook, log }
    }

    /// Waits until /readyz says so.
    pub async fn ready(self) -> Operator {
        eventually("the operator is ready", async || match get(&self.probes, "/readyz").await {
            Ok((200, _)) => Ok(()),
            other => Err((other, self.log())),
        })
        .await;
        self
    }

    /// Whether it leads, by its metric.
    pub async fn leads(&self) -> bool {
        let (_, text) = get(&self.metrics, "/metrics").await.unwrap_or_default();
        text.contains("leader_election_master_status{name=\"tetragon-operator-resource-lock\"} 1")
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the operator:\n{}", self.log());
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

/// GET over plain HTTP.
pub async fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    crate::https::exchange(&mut stream, "GET", path, b"").await
}
