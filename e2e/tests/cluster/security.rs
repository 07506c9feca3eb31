//! With an agent's own token: what it may do works, each forbidden write is denied.

use anyhow::{Result, ensure};

use crate::bed::{GUEST, HOST, NAMESPACE, agent_pod, kubectl, run};

/// kubectl with the token of the guest's agent, in place of the administrator's certificate.
struct Agent {
    token: String,
    server: String,
}

impl Agent {
    fn new() -> Result<Agent> {
        let pod = agent_pod(GUEST)?;
        let token = kubectl(&[
            "create",
            "token",
            "tetragon",
            "-n",
            NAMESPACE,
            "--bound-object-kind",
            "Pod",
            "--bound-object-name",
            &pod,
        ])?;
        let server =
            kubectl(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
        Ok(Agent { token: token.trim().to_owned(), server })
    }

    fn run(&self, args: &[&str], input: &str) -> Result<(bool, String)> {
        let token = format!("--token={}", self.token);
        let server = format!("--server={}", self.server);
        let mut all = vec!["--kubeconfig=/dev/null", &server, "--insecure-skip-tls-verify", token.as_str()];
        all.extend(args);
        let said = run("KUBECTL", &all, input)?;
        Ok((said.code == Some(0), said.all()))
    }
}

/// Makes an agent the leader of the operators.
const HOLDER: &str = r#"{"spec":{"holderIdentity":"an agent"}}"#;

/// Patches that give a TetragonNode an owner that is not its node: another node, and a thing of a namespace.
fn owned_by_others() -> Result<[String; 2]> {
    let uid = |args: &[&str]| kubectl(&[&["get", "-o", "jsonpath={.metadata.uid}"], args].concat());
    let owned = |kind: &str, name: &str, uid: &str| {
        let owner = serde_json::json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": uid.trim()});
        serde_json::json!({"metadata": {"ownerReferences": [owner]}}).to_string()
    };
    let configmap = "kube-root-ca.crt";
    Ok([
        owned("Node", HOST, &uid(&["node", HOST])?),
        owned("ConfigMap", configmap, &uid(&["configmap", "-n", NAMESPACE, configmap])?),
    ])
}

pub(crate) fn forbidden_writes() -> Result<()> {
    let agent = Agent::new()?;
    let (ok, said) = agent.run(&["get", "nodes", GUEST], "")?;
    ensure!(ok, "it reads its node: {said}");
    let patch = r#"{"metadata":{"annotations":{"tried":"yes"}}}"#;
    let status = r#"{"status":{"kernel":"made up"}}"#;
    let own = ["patch", "tetragonnode", GUEST, "--type=merge", "-p", patch];
    let (ok, said) = agent.run(&own, "")?;
    ensure!(ok, "it writes its own TetragonNode: {said}");
    let node = |name: &str| {
        format!(
            "apiVersion: tetragon-rs.dev/v1alpha1\nkind: TetragonNode\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        )
    };
    let plans = kubectl(&[
        "get",
        "configmap",
        "-n",
        NAMESPACE,
        "-l",
        "tetragon-rs.dev/object=plan",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ])?;
    ensure!(!plans.is_empty(), "there is a plan to be attacked");
    let made_up = node("made-up");
    // The object would go with somebody else's.
    let owned = owned_by_others()?;
    let owned: Vec<&str> = owned.iter().map(String::as_str).collect();
    let policy = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: made-up}\nspec: {}\n";
    let of_namespace = policy.replace("kind: TracingPolicy", "kind: TracingPolicyNamespaced");
    let lease = ["lease", "-n", NAMESPACE, "tetragon-operator-resource-lock"];
    let forbidden: &[(&[&str], &str)] = &[
        (&["patch", "tetragonnode", HOST, "--type=merge", "-p", patch], ""),
        (&["patch", "tetragonnode", HOST, "--subresource=status", "--type=merge", "-p", status], ""),
        (&["create", "-f", "-"], &made_up),
        (&["patch", "tetragonnode", GUEST, "--type=merge", "-p", owned[0]], ""),
        (&["patch", "tetragonnode", GUEST, "--type=merge", "-p", owned[1]], ""),
        (&["create", "-f", "-"], policy),
        (&["create", "-n", "default", "-f", "-"], &of_namespace),
        (&["get", lease[0], lease[1], lease[2], lease[3]], ""),
        (&["patch", lease[0], lease[1], lease[2], lease[3], "--type=merge", "-p", HOLDER], ""),
        (&["delete", lease[0], lease[1], lease[2], lease[3]], ""),
        (&["delete", "tetragonnode", HOST], ""),
        (&["delete", "tetragonnode", GUEST], ""),
        (&["patch", "tracingpolicy", "monitor-sensitive-files", "--type=merge", "-p", patch], ""),
        (
            &[
                "patch",
                "tracingpolicy",
                "monitor-sensitive-files",
                "--subresource=status",
                "--type=merge",
                "-p",
                status,
            ],
            "",
        ),
        (&["delete", "tracingpolicy", "monitor-sensitive-files"], ""),
        (&["patch", "configmap", "-n", NAMESPACE, &plans, "--type=merge", "-p", patch], ""),
        (&["delete", "configmap", "-n", NAMESPACE, &plans], ""),
        (&["create", "configmap", "-n", NAMESPACE, "made-up"], ""),
        (&["get", "secrets", "-n", NAMESPACE], ""),
        (&["get", "configmaps", "-n", "default"], ""),
        (&["patch", "node", GUEST, "--type=merge", "-p", patch], ""),
        (&["delete", "pod", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=tetragon"], ""),
        (&["patch", "crd", "tracingpolicies.cilium.io", "--type=merge", "-p", patch], ""),
        (&["delete", "validatingadmissionpolicy", "tetragon-node-owner"], ""),
    ];
    let mut wrong = Vec::new();
    for (args, input) in forbidden {
        let (ok, said) = agent.run(args, input)?;
        let denied = said.contains("orbidden") || said.contains("denied") || said.contains("cannot");
        if ok || !denied {
            wrong.push(format!("{args:?}: {said}"));
        }
    }
    ensure!(wrong.is_empty(), "not denied:\n{}", wrong.join("\n"));
    eprintln!("  {} forbidden requests, each denied", forbidden.len());
    Ok(())
}
