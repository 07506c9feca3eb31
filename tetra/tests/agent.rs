//! The `tetra` binary against an agent of a few canned answers, on a unix socket and on TCP.

use std::io::{BufRead, BufReader, Error, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tetragon_api::event::*;
use tetragon_api::service::fine_guidance_sensors_server::{FineGuidanceSensors, FineGuidanceSensorsServer};
use tetragon_tls::server::{Files, TlsListener};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What the agent was asked, in order.
type Asked = Arc<Mutex<Vec<String>>>;

/// An agent that writes down what it is asked.
#[derive(Clone, Default)]
struct Canned {
    asked: Asked,
    /// Whether the event stream stays open after the canned events.
    endless: bool,
}

impl Canned {
    fn note(&self, what: impl Into<String>) {
        self.asked.lock().expect("not poisoned").push(what.into());
    }
}

fn events() -> Vec<GetEventsResponse> {
    let process = json!({"binary": "/usr/bin/curl", "arguments": "https://ebpf.io/", "pid": 7, "uid": 0});
    [
        json!({"process_exec": {"process": process, "parent": {"binary": "/bin/sh"}}, "node_name": "n"}),
        json!({"process_exit": {"process": process, "signal": "SIGKILL"}, "node_name": "n"}),
    ]
    .map(|event| serde_json::from_value(event).expect("an event"))
    .into()
}

type EventStream = Pin<Box<dyn Stream<Item = Result<GetEventsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl FineGuidanceSensors for Canned {
    async fn get_events(&self, request: Request<GetEventsRequest>) -> Result<Response<EventStream>, Status> {
        let request = request.into_inner();
        self.note(serde_json::to_string(&request).expect("it serialises"));
        if request.allow_list.iter().any(|f| f.policy_names == ["refuse"]) {
            return Err(Status::invalid_argument("no such filter"));
        }
        let canned = tokio_stream::iter(events().into_iter().map(Ok));
        Ok(Response::new(match self.endless {
            true => Box::pin(canned.chain(tokio_stream::pending())),
            false => Box::pin(canned),
        }))
    }

    async fn get_health(
        &self,
        _: Request<GetHealthStatusRequest>,
    ) -> Result<Response<GetHealthStatusResponse>, Status> {
        let status = HealthStatus {
            event: HealthStatusType::Status.into(),
            status: HealthStatusResult::HealthStatusRunning.into(),
            details: "running".into(),
        };
        Ok(Response::new(GetHealthStatusResponse { health_status: vec![status] }))
    }

    async fn get_version(
        &self,
        _: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        Ok(Response::new(GetVersionResponse { version: "v9.8.7".into() }))
    }

    async fn list_tracing_policies(
        &self,
        request: Request<ListTracingPoliciesRequest>,
    ) -> Result<Response<ListTracingPoliciesResponse>, Status> {
        self.note(format!("list {:?}", request.into_inner().domain));
        let policy = json!({"id": "1", "name": "p", "domain": "static", "state": "TP_STATE_ENABLED",
            "sensors": ["generic_kprobe"], "kernel_memory_bytes": "4800", "mode": "TP_MODE_ENFORCE"});
        Ok(Response::new(serde_json::from_value(json!({"policies": [policy]})).expect("policies")))
    }

    async fn add_tracing_policy(
        &self,
        request: Request<AddTracingPolicyRequest>,
    ) -> Result<Response<AddTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        self.note(format!("add {:?} {:?}", request.yaml, request.domain));
        if request.yaml.contains("bad") {
            return Err(Status::invalid_argument("p.yaml:1:1: error[no-policy]: it is bad"));
        }
        Ok(Response::new(AddTracingPolicyResponse {}))
    }

    async fn delete_tracing_policy(
        &self,
        request: Request<DeleteTracingPolicyRequest>,
    ) -> Result<Response<DeleteTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        self.note(format!("delete {} {:?} {:?}", request.name, request.namespace, request.domain));
        Ok(Response::new(DeleteTracingPolicyResponse {}))
    }

    async fn runtime_hook(
        &self,
        request: Request<RuntimeHookRequest>,
    ) -> Result<Response<RuntimeHookResponse>, Status> {
        let runtime_hook_request::Event::CreateContainer(c) = request.into_inner().event.expect("an event");
        self.note(format!("created {:?} {:?} {:?}", c.cgroups_path, c.root_dir, c.annotations));
        if c.cgroups_path.is_empty() {
            return Err(Status::invalid_argument("the request has no cgroupsPath"));
        }
        Ok(Response::new(RuntimeHookResponse {}))
    }

    async fn configure_tracing_policy(
        &self,
        request: Request<ConfigureTracingPolicyRequest>,
    ) -> Result<Response<ConfigureTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        let mode = request.mode.map(|_| request.mode().as_str_name());
        self.note(format!(
            "configure {} {:?} {:?} {mode:?}",
            request.name, request.namespace, request.enable
        ));
        Ok(Response::new(ConfigureTracingPolicyResponse {}))
    }
}

/// A running agent. It ends with the test.
struct Agent {
    runtime: Runtime,
    dir: tempfile::TempDir,
    address: String,
    asked: Asked,
}

impl Agent {
    fn start(endless: bool) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("agent.sock");
        let agent = Canned { endless, ..Canned::default() };
        let asked = agent.asked.clone();
        let _guard = runtime.enter();
        let listener = UnixListenerStream::new(UnixListener::bind(&socket).expect("a socket"));
        let server = Server::builder().add_service(FineGuidanceSensorsServer::new(agent));
        runtime.spawn(server.serve_with_incoming(listener));
        drop(_guard);
        Self { runtime, address: format!("unix://{}", socket.display()), dir, asked }
    }

    /// Serves with TLS too; on which port of the loopback.
    fn serve_tls(&self, files: Files) -> u16 {
        let agent = Canned { asked: self.asked.clone(), ..Canned::default() };
        self.runtime.block_on(async {
            let tcp = TcpListener::bind("localhost:0").await.expect("a port");
            let port = tcp.local_addr().expect("an address").port();
            let mut listener = TlsListener::new(tcp, Box::new(move || files.current()));
            let (connections, incoming) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                while connections.send(Ok::<_, Error>(listener.accept().await.0)).await.is_ok() {}
            });
            let server = Server::builder().add_service(FineGuidanceSensorsServer::new(agent));
            tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
            port
        })
    }

    /// Runs `tetra` with these arguments, against this agent.
    fn tetra(&self, args: &[&str]) -> Output {
        tetra().args(["--server-address", &self.address]).args(args).output().expect("tetra runs")
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

/// The binary, with nothing on stdin.
fn tetra() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tetra"));
    command.stdin(Stdio::null());
    command
}

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert!(text.starts_with("Error: "), "{text}");
    text
}

#[test]
fn status_and_versions() {
    let agent = Agent::start(false);
    assert_eq!(stdout(&agent.tetra(&["status"])), "Health Status: running\n");
    let version = stdout(&agent.tetra(&["version", "--server"]));
    assert_eq!(version, format!("CLI version: {}\nServer version: v9.8.7\n", env!("CARGO_PKG_VERSION")));
}

/// An authority; and a certificate of it with its key, as files.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Authority(Issuer::new(params, key), pem)
    }

    fn certify(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.0).expect("signed").pem(), key.serialize_pem())
    }
}

#[test]
fn it_speaks_tls_with_whom_it_trusts() {
    let agent = Agent::start(false);
    let (ours, theirs) = (Authority::new(), Authority::new());
    let ((server, server_key), (client, client_key)) = (ours.certify("localhost"), theirs.certify("tetra"));
    let file = |name: &str, text: &str| agent.file(name, text);
    let (ca, other_ca) = (file("ca.crt", &ours.1), file("other.crt", &theirs.1));
    let (own, own_key) = (file("own.crt", &client), file("own.key", &client_key));
    let files = Files::new(
        file("tls.crt", &server).into(),
        file("tls.key", &server_key).into(),
        vec![other_ca.clone().into()],
    );
    let port = agent.serve_tls(files);
    let status = |args: &[&str]| {
        let address = format!("localhost:{port}");
        tetra()
            .args(["status", "--retries", "0", "--server-address", &address])
            .args(args)
            .output()
            .expect("runs")
    };
    let me = ["--tls-cert-file", &own, "--tls-key-file", &own_key];
    let with = |more: &[&str]| status(&[&me[..], more].concat());
    for trust in [&["--tls-ca-cert-files", &ca][..], &["--tls-skip-verify"]] {
        assert_eq!(stdout(&with(trust)), "Health Status: running\n");
    }
    let trust = ["--tls-ca-cert-files", &ca];
    for (output, says) in [
        (with(&["--tls-ca-cert-files", &other_ca]), "invalid peer certificate"),
        (
            with(&[&trust[..], &["--tls-server-name", "elsewhere"]].concat()),
            "not valid for name \"elsewhere\"",
        ),
        (status(&trust), "does the agent ask its clients for a certificate?"),
        (status(&[]), "failed to"),
        (status(&["--tls-cert-file", &own]), "--tls-cert-file and --tls-key-file belong together"),
        (
            status(&["--tls-cert-file", &own, "--tls-key-file", &own]),
            "own.crt: there is no private key in it",
        ),
        (status(&["--tls-ca-cert-files", "/nowhere"]), "/nowhere: cannot be read"),
        (status(&[&trust[..], &["--tls-skip-verify"]].concat()), "leave one of them out"),
        (agent.tetra(&["status", "--tls-skip-verify"]), "a Unix socket has no TLS"),
    ] {
        let text = error(&output);
        assert!(text.contains(says), "{says}: {text}");
    }
    // A new certificate is in use from the next connection on.
    let (next, next_key) = theirs.certify("localhost");
    file("tls.crt", &next);
    file("tls.key", &next_key);
    assert!(error(&with(&trust)).contains("invalid peer certificate"));
    assert_eq!(stdout(&with(&["--tls-ca-cert-files", &other_ca])), "Health Status: running\n");
}

#[test]
fn it_speaks_tcp() {
    let runtime = Runtime::new().expect("a runtime");
    let address: SocketAddr = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Server::builder().add_service(FineGuidanceSensorsServer::new(Canned::default()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    });
    let output =
        tetra().args(["status", "--server-address", &address.to_string()]).output().expect("tetra runs");
    assert_eq!(stdout(&output), "Health Status: running\n");
}

#[test]
fn events_in_both_forms() {
    let agent = Agent::start(false);
    assert_eq!(
        stdout(&agent.tetra(&["getevents", "-o", "compact"])),
        "🚀 process n /usr/bin/curl https://ebpf.io/\n💥 exit    n /usr/bin/curl https://ebpf.io/ SIGKILL\n"
    );
    let coloured = stdout(&agent.tetra(&["getevents", "-o", "compact", "--color", "always"]));
    assert!(coloured.starts_with("\x1b[34m🚀 process\x1b[0m \x1b[32mn\x1b[0m "), "{coloured:?}");
    let lines: Vec<Value> = stdout(&agent.tetra(&["getevents"]))
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let wanted: Vec<Value> =
        events().iter().map(|e| serde_json::to_value(e).expect("it serialises")).collect();
    assert_eq!(lines, wanted);
}

#[test]
fn filters_become_one_request() {
    let agent = Agent::start(false);
    let ask = |args: &[&str]| -> Value {
        stdout(&agent.tetra(&[&["getevents"], args].concat()));
        serde_json::from_str(&agent.asked()[0]).expect("JSON")
    };
    assert_eq!(ask(&[]), json!({"allow_list": [{}]}));
    assert_eq!(
        ask(&["--process-only", "--host", "-n", "a,b", "--pods", "x", "--process", "curl$"]),
        json!({"allow_list": [{"binary_regex": ["curl$"], "namespace": ["a", "b", ""], "pod_regex": ["x"],
            "event_set": ["PROCESS_EXEC", "PROCESS_EXIT"]}]})
    );
    assert_eq!(
        ask(&["-e", "PROCESS_LSM", "--policy-names", "p", "-F", "parent", "-f", "process.pod,process.pid"]),
        json!({"allow_list": [{"event_set": ["PROCESS_LSM"], "policy_names": ["p"]}],
            "field_filters": [{"fields": "process.pod,process.pid"}, {"fields": "parent", "action": "EXCLUDE"}]})
    );
}

#[test]
fn what_the_agent_refuses_is_an_error() {
    let agent = Agent::start(false);
    let text = error(&agent.tetra(&["getevents", "--policy-names", "refuse"]));
    assert_eq!(
        text,
        "Error: failed to call GetEvents: rpc error: code = InvalidArgument desc = no such filter\n"
    );
    // The server's own answer to a method that it does not have.
    let text = error(&agent.tetra(&["tracingpolicy", "domains"]));
    assert!(text.starts_with("Error: failed to list domains: rpc error: code = Unimplemented"), "{text}");
}

#[test]
fn policies_are_listed_and_changed() {
    let agent = Agent::start(false);
    let table = stdout(&agent.tetra(&["tracingpolicy", "list"]));
    assert_eq!(
        table,
        "ID   NAME   DOMAIN   STATE     FILTERID   NAMESPACE   SENSORS          KERNELMEMORY   MODE      NPOST   NENFORCE   NMONITOR\n\
         1    p      static   enabled   0          (global)    generic_kprobe   4.80 kB        enforce   0       0          0\n"
    );
    let list: Value =
        serde_json::from_str(&stdout(&agent.tetra(&["tp", "list", "-o", "json", "--domain", "k8s"])))
            .expect("JSON");
    assert_eq!(list["policies"][0]["kernel_memory_bytes"], "4800");
    assert_eq!(agent.asked(), ["list \"\"", "list \"k8s\""]);

    let policy = agent.file("p.yaml", "kind: TracingPolicy\nspec:\n  kprobes: []\n");
    let said = stdout(&agent.tetra(&["tp", "add", &policy, "-m", "monitor"]));
    assert_eq!(said, format!("tracing policy {policy:?} added\n"));
    let yaml = "kind: TracingPolicy\nspec:\n  options:\n  - name: \"policy-mode\"\n    value: \"monitor\"\n  kprobes: []\n";
    assert_eq!(agent.asked(), [format!("add {yaml:?} \"\"")]);
    assert_eq!(stdout(&agent.tetra(&["tp", "modify", &policy, "-m", "monitor"])), yaml);

    for (args, said, asked) in [
        (&["delete", "p"][..], "tracing policy \"p\" deleted\n", "delete p \"\" \"\""),
        (
            &["delete", "p", "-n", "ns", "--domain", "d"],
            "tracing policy \"p\" deleted\n",
            "delete p \"ns\" \"d\"",
        ),
        (&["enable", "p"], "tracing policy \"p\" enabled\n", "configure p \"\" Some(true) None"),
        (&["disable", "p"], "tracing policy \"p\" disabled\n", "configure p \"\" Some(false) None"),
        (
            &["set-mode", "p", "monitor", "-n", "ns"],
            "tracing policy \"p\" set to mode \"monitor\"\n",
            "configure p \"ns\" None Some(\"TP_MODE_MONITOR\")",
        ),
        (
            &["set-mode", "p", "enforce"],
            "tracing policy \"p\" set to mode \"enforce\"\n",
            "configure p \"\" None Some(\"TP_MODE_ENFORCE\")",
        ),
    ] {
        assert_eq!(stdout(&agent.tetra(&[&["tracingpolicy"], args].concat())), said);
        assert_eq!(agent.asked(), [asked]);
    }
}

#[test]
fn a_refused_policy_says_why() {
    let agent = Agent::start(false);
    let policy = agent.file("p.yaml", "bad");
    assert_eq!(
        error(&agent.tetra(&["tp", "add", &policy])),
        "Error: failed to add tracing policy: rpc error: code = InvalidArgument desc = p.yaml:1:1: error[no-policy]: it is bad\n"
    );
    let missing = agent.dir.path().join("missing.yaml");
    let text = error(&agent.tetra(&["tp", "add", &missing.display().to_string()]));
    assert!(
        text.starts_with(&format!("Error: failed to read {}: No such file", missing.display())),
        "{text}"
    );
}

#[test]
fn the_hook_of_a_container_runtime_can_be_tried() {
    let agent = Agent::start(false);
    let create = ["rthooks", "create-container", "--container-id=/kubepods/podx/y", "--root-dir=/r"];
    let annotations = ["--annotations", "a=1,b=2=3"];
    assert_eq!(stdout(&agent.tetra(&[&create[..], &annotations].concat())), "");
    assert_eq!(agent.asked(), [r#"created "/kubepods/podx/y" "/r" {"a": "1", "b": "2=3"}"#]);
    let refused = agent.tetra(&["rthooks", "create-container"]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(
        stderr.contains("failed to trigger create-container hook") && stderr.contains("no cgroupsPath"),
        "{stderr}"
    );
    assert_eq!(agent.tetra(&["rthooks", "create-container", "--annotations", "a"]).status.code(), Some(1));
}

#[test]
fn no_agent_is_an_error_that_says_where() {
    let dir = tempfile::tempdir().expect("a folder");
    let address = format!("unix://{}", dir.path().join("none.sock").display());
    let output = tetra()
        .args(["status", "--retries", "0", "--server-address", &address])
        .output()
        .expect("tetra runs");
    let text = error(&output);
    assert!(text.contains(&format!("failed to connect to {address}")), "{text}");
    assert!(text.contains("No such file or directory"), "{text}");
}

#[test]
fn it_tries_again_when_the_agent_comes_late() {
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("late.sock");
    let address = format!("unix://{}", socket.display());
    let child = tetra()
        .args(["status", "--retries", "3", "--server-address", &address])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tetra runs");
    std::thread::sleep(Duration::from_millis(300));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = UnixListenerStream::new(UnixListener::bind(&socket).expect("a socket"));
        let server = Server::builder().add_service(FineGuidanceSensorsServer::new(Canned::default()));
        tokio::spawn(server.serve_with_incoming(listener));
    });
    assert_eq!(stdout(&child.wait_with_output().expect("it ends")), "Health Status: running\n");
}

/// A getevents on an endless stream that has printed its first line.
fn following(agent: &Agent) -> (std::process::Child, BufReader<std::process::ChildStdout>) {
    let mut child = tetra()
        .args(["getevents", "-o", "compact", "--server-address", &agent.address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tetra runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert!(line.starts_with("🚀 process"), "{line}");
    (child, lines)
}

#[test]
fn a_signal_ends_the_stream_in_peace() {
    let agent = Agent::start(true);
    for signal in ["INT", "TERM"] {
        let (child, _lines) = following(&agent);
        let killed =
            Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(killed.success());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{signal}: {output:?}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let agent = Agent::start(false);
    let many = agent.file(
        "many.jsonl",
        &format!("{}\n", serde_json::to_string(&events()[0]).expect("JSON")).repeat(20_000),
    );
    for args in [&["getevents"][..], &["getevents", "-o", "compact"], &["getevents", "-F", "parent"]] {
        let mut child = tetra()
            .args(args)
            .stdin(std::fs::File::open(&many).expect("a file"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tetra runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{args:?}: {output:?}");
    }
}

/// Runs getevents with `input` on a pipe.
fn piped(input: &str, args: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tetra"))
        .arg("getevents")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tetra runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[test]
fn recorded_events_need_no_agent() {
    let recorded: String = events().iter().map(|e| serde_json::to_string(e).expect("JSON") + "\n").collect();
    let exec = "🚀 process n /usr/bin/curl https://ebpf.io/\n";
    let exit = "💥 exit    n /usr/bin/curl https://ebpf.io/ SIGKILL\n";
    let compact = |args: &[&str]| stdout(&piped(&recorded, &[&["-o", "compact"], args].concat()));
    assert_eq!(compact(&[]), format!("{exec}{exit}"));
    assert_eq!(compact(&["-e", "PROCESS_EXIT"]), exit);
    assert_eq!(compact(&["--host"]), format!("{exec}{exit}"));
    assert_eq!(compact(&["-n", "default"]), "");
    assert_eq!(compact(&["--process", "wget"]), "");
    let curl =
        "process_exit.process.binary.endsWith('curl') && process_exit.signal in ['SIGKILL', 'SIGTERM']";
    assert_eq!(compact(&["--cel-expression", curl]), exit);
    assert_eq!(
        compact(&["--cel-expression", "process_exec.process.pid == 0u", "--cel-expression", curl]),
        exit
    );
    let line = stdout(&piped(&recorded, &["-e", "PROCESS_EXEC", "-f", "process.pid"]));
    assert_eq!(line, "{\"process_exec\":{\"process\":{\"pid\":7}},\"node_name\":\"n\"}\n");
}

#[test]
fn a_line_that_is_no_event_is_said_and_skipped() {
    let recorded = format!("nonsense\n\n{}", serde_json::to_string(&events()[0]).expect("JSON"));
    let output = piped(&recorded, &["-o", "compact"]);
    assert_eq!(stdout(&output), "🚀 process n /usr/bin/curl https://ebpf.io/\n");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.starts_with("tetra: stdin line 1 is not an event: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn an_empty_stdin_means_the_agent() {
    let agent = Agent::start(false);
    for empty in [Path::new("/dev/null").to_owned(), PathBuf::from(agent.file("empty", ""))] {
        let output = Command::new(env!("CARGO_BIN_EXE_tetra"))
            .args(["getevents", "-o", "compact", "--server-address", &agent.address])
            .stdin(std::fs::File::open(empty).expect("a file"))
            .output()
            .expect("tetra runs");
        assert!(stdout(&output).starts_with("🚀 process"));
    }
    assert!(stdout(&piped("", &["--server-address", &agent.address])).starts_with("{\"process_exec\""));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (args, wanted) in [
        (
            &["getevents", "--cel-expression", "true"][..],
            "--cel-expression: `true`: line 1, column 1: it names no kind",
        ),
        (&["getevents", "-f", "proces"], "--include-fields: fields: there is no `proces` in an event"),
        (&["getevents", "--process", "("], "--process: not a regular expression"),
        (&["getevents", "-e", "EXEC"], "the types are PROCESS_EXEC"),
        (&["status", "--timeout", "5"], "is not a duration"),
        (&["nonsense"], "unrecognized subcommand"),
    ] {
        let text = error(&tetra().args(args).output().expect("tetra runs"));
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn completions_and_help() {
    for (shell, wanted) in [("bash", "complete -F"), ("zsh", "#compdef tetra"), ("fish", "complete -c tetra")]
    {
        assert!(stdout(&tetra().args(["completion", shell]).output().expect("tetra runs")).contains(wanted));
    }
    let help = stdout(&tetra().args(["getevents", "--help"]).output().expect("tetra runs"));
    assert!(help.contains("Examples:") && help.contains("--process-only"), "{help}");
    assert!(
        stdout(&tetra().args(["tp", "generate", "empty"]).output().expect("tetra runs"))
            .contains("name: empty")
    );
}
