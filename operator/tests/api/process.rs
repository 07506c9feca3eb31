//! The operator as a process: how it starts, ends and takes over.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use tetragon_operator::platform::lease::NAME;
use tokio::io::AsyncWriteExt as _;

use crate::bed::{Bed, Operator, address, eventually, get, gone, test};
use crate::https;

const SECRET: &str = "process-test";
const FLAGS: [&str; 5] = [
    "--webhook-secret=process-test",
    "--webhook-configuration=",
    "--leader-election",
    "--leader-election-lease-duration=4s",
    "--leader-election-renew-deadline=3s",
];

async fn authorities(bed: &Bed) -> String {
    let secret = bed.here::<Secret>().get(SECRET).await.unwrap();
    String::from_utf8(secret.data.unwrap()["ca.crt"].0.clone()).unwrap()
}

#[test]
fn sigterm_answers_what_is_open_and_gives_the_lease_back() {
    test(async |bed| {
        gone(&bed.here::<Lease>(), NAME).await;
        let mut operator = Operator::start(&FLAGS).ready().await;
        assert_eq!(get(&operator.probes, "/healthz").await.unwrap(), (200, "ok\n".into()));
        let mut open = https::connect(&operator.webhook, &authorities(&bed).await).await.unwrap();
        let body = br#"{"kind": "Something"}"#;
        https::send_head(&mut open, "POST", "/validate", body.len()).await.unwrap();
        open.write_all(&body[..5]).await.unwrap();

        operator.signal("TERM");
        let began = Instant::now();
        eventually("it is not ready", async || match get(&operator.probes, "/readyz").await {
            Ok((503, text)) if text == "the operator stops\n" => Ok(()),
            other => Err(other.map_err(|e| e.to_string())),
        })
        .await;
        // API servers that do not know yet still get answers.
        let mut late = https::connect(&operator.webhook, &authorities(&bed).await).await.unwrap();
        assert_eq!(https::exchange(&mut late, "POST", "/validate", b"").await.unwrap().0, 400);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        open.write_all(&body[5..]).await.unwrap();
        let (status, text) = https::answer(&mut open).await.unwrap();
        assert_eq!((status, text.contains("no AdmissionReview")), (400, true), "{text}");
        let status = operator.end().await;
        let took = began.elapsed();
        println!("SIGTERM to exit: {took:?}");
        assert!(
            status.success() && took < Duration::from_secs(5),
            "{status} after {took:?}: {}",
            operator.log()
        );
        let lease = bed.here::<Lease>().get(NAME).await.unwrap();
        assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some(""));
    });
}

#[test]
fn a_standby_answers_the_webhook_and_takes_over_from_one_that_was_killed() {
    test(async |bed| {
        gone(&bed.here::<Lease>(), NAME).await;
        let first = Operator::start(&FLAGS).ready().await;
        eventually("the first leads", async || first.leads().await.then_some(()).ok_or(())).await;
        let second = Operator::start(&FLAGS).ready().await;
        assert!(!second.leads().await);
        let mut ask = https::connect(&second.webhook, &authorities(&bed).await).await.unwrap();
        assert_eq!(https::exchange(&mut ask, "POST", "/validate", b"{}").await.unwrap().0, 400);

        first.signal("KILL");
        let killed = Instant::now();
        eventually("the second leads", async || second.leads().await.then_some(()).ok_or(())).await;
        println!("kill -9 to the next leader: {:?} with a lease of 4 s", killed.elapsed());
        assert_eq!(https::exchange(&mut ask, "POST", "/validate", b"{}").await.unwrap().0, 400);
    });
}

#[test]
fn a_leader_that_slept_leads_no_more() {
    test(async |bed| {
        gone(&bed.here::<Lease>(), NAME).await;
        let first = Operator::start(&FLAGS).ready().await;
        eventually("the first leads", async || first.leads().await.then_some(()).ok_or(())).await;
        let second = Operator::start(&FLAGS).ready().await;
        first.signal("STOP");
        eventually("the second leads", async || second.leads().await.then_some(()).ok_or(())).await;
        first.signal("CONT");
        let awake = Instant::now();
        eventually("the first stops", async || if first.leads().await { Err(()) } else { Ok(()) }).await;
        println!("awake to stopped: {:?} at most", awake.elapsed());
        assert!(awake.elapsed() < Duration::from_secs(1));
        assert!(second.leads().await);
    });
}

#[test]
fn an_api_server_that_restarts_ends_nothing() {
    test(async |bed| {
        gone(&bed.here::<Lease>(), NAME).await;
        let operator = Operator::start(&FLAGS).ready().await;
        eventually("it leads", async || operator.leads().await.then_some(()).ok_or(())).await;
        let mut ask = https::connect(&operator.webhook, &authorities(&bed).await).await.unwrap();
        api_server("stop-apiserver");
        eventually("it leads no more", async || if operator.leads().await { Err(()) } else { Ok(()) }).await;
        // A replica that leads no more, and knows what it knew.
        assert_eq!(https::exchange(&mut ask, "POST", "/validate", b"{}").await.unwrap().0, 400);
        assert_eq!(get(&operator.probes, "/readyz").await.unwrap().0, 200);
        api_server("start-apiserver");
        let back = Instant::now();
        eventually("it leads again", async || operator.leads().await.then_some(()).ok_or(())).await;
        println!("API server back to leading: {:?}", back.elapsed());
    });
}

/// Stops or starts the API server.
fn api_server(command: &str) {
    let variable = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| {
            panic!(
                "{name} is not set: this test needs XTASK and CLUSTER_NAME, as `cargo xtask test` sets them"
            )
        })
    };
    let args = ["cluster", command, "--name", &variable("CLUSTER_NAME")];
    let output = Command::new(variable("XTASK")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_wrong_with_the_start_is_told() {
    test(async |_| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let free = address();
        for (args, code, text) in [
            (vec!["serve", "--no-such-flag"], 2, "--no-such-flag"),
            (
                vec!["serve", "--leader-election-retry-period=9s"],
                2,
                "shorter than --leader-election-renew-deadline",
            ),
            (vec!["serve", "--kube-config=/nonexistent"], 1, "--kube-config /nonexistent: cannot be read"),
            (
                vec![
                    "serve",
                    "--health-probe-bind-address",
                    &free,
                    "--metrics-address",
                    &taken,
                    "--log-format=json",
                ],
                1,
                "cannot listen",
            ),
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_tetragon-operator")).args(&args).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
            assert!(said.contains(text), "{args:?}: {said}");
        }
    });
}

#[test]
fn metrics_in_both_formats() {
    test(async |bed| {
        gone(&bed.here::<Lease>(), NAME).await;
        let operator = Operator::start(&FLAGS).ready().await;
        let (status, text) = get(&operator.metrics, "/metrics").await.unwrap();
        assert_eq!(status, 200);
        for name in [
            "tetragon_operator_build_info{version=",
            "# TYPE tetragon_operator_status_writes_total counter\n",
            "tetragon_operator_webhook_certificate_not_after_timestamp_seconds 1",
            "leader_election_master_status{name=",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(name), "{name}: {text}");
        }
        assert!(!text.contains("# EOF"));
    });
}

#[test]
fn definitions_and_completion_are_printed() {
    let print = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tetragon-operator")).args(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let definitions = print(&["crds"]);
    assert_eq!(definitions.matches("kind: CustomResourceDefinition").count(), 4);
    for name in ["tracingpolicies.cilium.io", "tetragonnodes.tetragon-rs.dev"] {
        let file = format!("{}/../config/crd/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read_to_string(file).unwrap();
        assert!(definitions.contains(&file), "{name} is not what config/crd has");
    }
    assert!(print(&["completion", "bash"]).contains("--webhook-address"));
}
