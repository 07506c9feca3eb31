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
    let forbidden: &[(&[&str], &str)] = &[
        (&["patch", "tetragonnode", HOST, "--type=merge", "-p", patch], ""),
        (&["patch", "tetragonnode", HOST, "--subresource=status", "--type=merge", "-p", status], ""),
        (&["create", "-f", "-"], &made_up),
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
