//! The health scripts for Argo CD, with a real Lua, on real objects.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tetragon_api::status::TetragonNode;

use crate::agents::{Agents, Answer};
use crate::bed::{deny, is, scenario, wrong};

const POLICY: &str = "argocd-health.lua";
const NODE: &str = "argocd-health-tetragonnode.lua";

/// A JSON value as Lua writes it. Argo CD hands objects over as tables, too.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        // What is no plain ASCII is written as bytes.
        Value::String(text) => {
            let bytes = text.bytes().map(|b| match b {
                b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' => char::from(b).to_string(),
                _ => format!("\\x{b:02x}"),
            });
            format!("\"{}\"", bytes.collect::<String>())
        }
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field = |(k, v): (&String, &Value)| format!("[{}] = {}", lua(&k.as_str().into()), lua(v));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Status and message that a script gives an object.
fn health(script: &str, object: &Value) -> (String, String) {
    let interpreter = match std::env::var_os("LUA").filter(|l| !l.is_empty()) {
        Some(named) => PathBuf::from(named),
        // `cargo xtask cluster build lua5.4` puts it there.
        None => root().join(".cache/cluster/lua5.4/usr/bin/lua5.4"),
    };
    let file = root().join("charts/tetragon/files").join(script);
    let program = format!(
        "obj = {}\nlocal hs = dofile({})\nio.write(hs.status, '\\n', hs.message)\n",
        lua(object),
        lua(&file.to_string_lossy().as_ref().into())
    );
    let mut child = Command::new(&interpreter)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}; a Lua is needed: set LUA to one", interpreter.display()));
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{program}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, message) = text.split_once('\n').unwrap();
    (status.to_owned(), message.to_owned())
}

#[test]
fn of_policies() {
    scenario(async |bed| {
        let policy = bed.policy("argocd");
        let agents = Agents::of(bed, &policy, 2).await;
        let now = || async { health(POLICY, &serde_json::to_value(policy.object().await).unwrap()) };
        let new = json!({"metadata": {"generation": 1}, "spec": {}});
        assert_eq!(health(POLICY, &new).0, "Progressing");

        agents.answer(1, Answer::Silence);
        policy.apply(deny("/etc/a")).await;
        policy.until("one of two", |s| s.nodes.as_ref().is_some_and(|n| n.summary == "1/2")).await;
        let (status, message) = now().await;
        assert_eq!(status, "Progressing");
        assert_eq!(message, "1 of 2 nodes run it; NotReported on 1 node");
        agents.answer(1, Answer::Load);
        policy.until_loaded(2).await;
        assert_eq!(now().await, ("Healthy".into(), "2 of 2 nodes run it".into()));

        // The status of a generation before says nothing.
        let mut behind = serde_json::to_value(policy.object().await).unwrap();
        behind["metadata"]["generation"] = 7.into();
        assert_eq!(health(POLICY, &behind).0, "Progressing");

        agents.answer(0, Answer::Fail("LoadFailed"));
        policy.until("failed", |s| is(s, "Stalled").0 == "True").await;
        let failed = "1 of 2 nodes run it; LoadFailed on 1 node";
        assert_eq!(now().await, ("Degraded".into(), failed.into()));
        policy.apply(wrong()).await;
        policy.until("refused", |s| is(s, "Accepted").0 == "False").await;
        let (status, message) = now().await;
        assert_eq!(status, "Degraded");
        assert!(message.starts_with("error[syscall-default] spec.kprobes[0].call"), "{message}");
    });
}

#[test]
fn of_nodes() {
    scenario(async |bed| {
        let policy = bed.policy("argocd-node");
        let agents = Agents::of(bed, &policy, 1).await;
        let api: Api<TetragonNode> = Api::all(bed.client.clone());
        let with = |status: Value| {
            let api = api.clone();
            let name = agents.nodes[0].clone();
            async move {
                let patch = Patch::Merge(json!({"status": status}));
                let object = api.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
                health(NODE, &serde_json::to_value(object).unwrap())
            }
        };
        let counts = |wanted: i32, loaded: i32, failed: i32| json!({"policyCounts": {"wanted": wanted, "loaded": loaded, "failed": failed, "summary": format!("{loaded}/{wanted}")}});
        let ready = |status: &str, reason: &str| {
            json!({"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "a message",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
        };
        let new = json!({"metadata": {"name": "a"}});
        assert_eq!(health(NODE, &new).0, "Progressing");
        with(ready("True", "Running")).await;
        assert_eq!(with(counts(3, 3, 0)).await, ("Healthy".into(), "3/3 policies are loaded".into()));
        assert_eq!(with(counts(3, 2, 0)).await.0, "Progressing");
        assert_eq!(
            with(counts(3, 2, 1)).await,
            ("Degraded".into(), "1 of 3 policies cannot be loaded".into())
        );
        assert_eq!(with(ready("False", "AgentStopped")).await, ("Suspended".into(), "a message".into()));
        assert_eq!(with(ready("False", "NodeLabelsUnknown")).await.0, "Degraded");
    });
}
