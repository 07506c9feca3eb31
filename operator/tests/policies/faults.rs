//! Faults: tampered plans, killed operators, two of them, conflicts, an API server that restarts.

use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tetragon_api::published::{JSON_KEY, PlanMeta, decode};
use tetragon_operator::policies::metrics::ReasonLabel;

use crate::agents::Agents;
use crate::bed::{
    Bed, Operator, Policy, alone, create, deny, eventually, is, message, scenario, until_quiet, wrong,
};

/// Waits until the plan is there as it was.
async fn until_right(bed: &Bed, right: &ConfigMap, meta: &PlanMeta, what: &str) -> ConfigMap {
    eventually(what, || async {
        let now = bed.plans().get_opt(&right.name_any()).await.unwrap().ok_or("it is gone".to_owned())?;
        let same =
            (&now.data, &now.metadata.labels, &now.metadata.annotations, &now.metadata.owner_references)
                == (
                    &right.data,
                    &right.metadata.labels,
                    &right.metadata.annotations,
                    &right.metadata.owner_references,
                );
        let sound = decode(&now, meta).is_ok() && now.immutable == Some(true);
        if same && sound { Ok(now) } else { Err(format!("{now:#?}")) }
    })
    .await
}

/// What a tamperer does to a plan.
type Change<'a> = Box<dyn Fn(&mut ConfigMap) + 'a>;

#[test]
fn tampered_plans_are_put_right() {
    scenario(async |bed| {
        let policy = bed.policy("tampered");
        let _agents = Agents::of(bed, &policy, 1).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(1).await;
        let (right, meta) = policy.until_one_plan().await;
        let name = right.name_any();
        for (what, metadata) in [
            ("another percentage", json!({"annotations": {"tetragon-rs.dev/rollout-percent": "5"}})),
            ("another mode", json!({"annotations": {"tetragon-rs.dev/mode": "monitor"}})),
            ("no number", json!({"annotations": {"tetragon-rs.dev/revision": "x"}})),
            ("another policy", json!({"annotations": {"tetragon-rs.dev/policy-name": "x"}})),
            ("another uid", json!({"annotations": {"tetragon-rs.dev/policy-uid": "x"}})),
            ("no annotations", json!({"annotations": null})),
            ("no label", json!({"labels": null})),
            ("no owner", json!({"ownerReferences": null})),
        ] {
            let patch = Patch::Merge(json!({"metadata": metadata}));
            bed.plans().patch(&name, &PatchParams::default(), &patch).await.unwrap();
            until_right(bed, &right, &meta, what).await;
        }
        let mut uid = right.uid();
        let body = right.data.as_ref().unwrap()[JSON_KEY].clone();
        let replaced: [(&str, Change<'_>); 4] = [
            (
                "truncated",
                Box::new(|o| {
                    o.data = Some([(JSON_KEY.to_owned(), body[..body.len() / 2].to_owned())].into());
                }),
            ),
            (
                "of another path",
                Box::new(|o| {
                    o.data = Some([(JSON_KEY.to_owned(), body.replace("/etc/a", "/etc/z"))].into());
                }),
            ),
            ("without a body", Box::new(|o| o.data = None)),
            ("that can be changed", Box::new(|o| o.immutable = None)),
        ];
        for (what, change) in replaced {
            let mut other = ConfigMap { metadata: Default::default(), ..right.clone() };
            other.metadata.name = Some(name.clone());
            other.metadata.labels = right.metadata.labels.clone();
            other.metadata.annotations = right.metadata.annotations.clone();
            change(&mut other);
            bed.plans().delete(&name, &DeleteParams::default()).await.unwrap();
            // The operator may be quicker.
            let force = PatchParams::apply("tamperer").force();
            other.metadata.managed_fields = None;
            let tampered: Value = serde_json::to_value(&other).unwrap();
            if bed.plans().patch(&name, &force, &Patch::Apply(&tampered)).await.is_err() {
                bed.plans().delete(&name, &DeleteParams::default()).await.unwrap();
            }
            let now = until_right(bed, &right, &meta, what).await;
            assert_ne!(now.uid(), uid, "{what}: it cannot have been changed");
            uid = now.uid();
        }
        policy.until_loaded(1).await;
    });
}

#[test]
fn deleted_plans_are_made_again() {
    scenario(async |bed| {
        let policy = bed.policy("plan-deleted");
        let _agents = Agents::of(bed, &policy, 1).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(1).await;
        let (right, meta) = policy.until_one_plan().await;
        bed.plans().delete(&right.name_any(), &DeleteParams::default()).await.unwrap();
        let again = until_right(bed, &right, &meta, "made again").await;
        assert_ne!(again.uid(), right.uid());
        policy.until_loaded(1).await;
    });
}

#[test]
fn forged_plans_are_deleted() {
    scenario(async |bed| {
        let policy = bed.policy("forged");
        let _agents = Agents::of(bed, &policy, 1).await;
        policy.apply(deny("/etc/a")).await;
        let status = policy.until_loaded(1).await;
        let (right, meta) = policy.until_one_plan().await;
        let plan = decode(&right, &meta).unwrap();
        let mut other = plan.clone();
        other.hooks.clear();
        for (what, meta, plan) in [
            (
                "of a generation to come",
                PlanMeta { revision: 99, digest: other.digest(), ..meta.clone() },
                &other,
            ),
            ("of the same generation", PlanMeta { digest: other.digest(), ..meta.clone() }, &other),
            (
                "of a policy that there is not",
                {
                    let mut meta = meta.clone();
                    meta.policy.uid = "gone".into();
                    meta
                },
                &plan,
            ),
        ] {
            let object = tetragon_api::published::encode(plan, &meta).unwrap();
            create(&bed.plans(), &object).await;
            eventually(what, || async {
                match bed.plans().get_opt(&object.name_any()).await.unwrap() {
                    None => Ok(()),
                    Some(_) => Err("it is there"),
                }
            })
            .await;
        }
        let mut nameless = tetragon_api::published::encode(&plan, &meta).unwrap();
        nameless.metadata.name = Some("no-plan".into());
        create(&bed.plans(), &nameless).await;
        eventually("a copy", || async {
            match bed.plans().get_opt("no-plan").await.unwrap() {
                None => Ok(()),
                Some(_) => Err("it is there"),
            }
        })
        .await;
        assert_eq!(policy.until_loaded(1).await.plan, status.plan);
    });
}

#[test]
fn conflicts_are_tried_again() {
    scenario(async |bed| {
        let policy = bed.policy("conflicts");
        let agents = Agents::of(bed, &policy, 3).await;
        policy.apply(deny("/etc/0")).await;
        let busy = async {
            for i in 0.. {
                let note = json!({"metadata": {"labels": {"note": i.to_string()}}});
                bed.policies()
                    .patch(&policy.name, &PatchParams::default(), &Patch::Merge(&note))
                    .await
                    .unwrap();
            }
        };
        let edits = async {
            for i in 1..=10 {
                policy.apply(deny(&format!("/etc/{i}"))).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            policy.until_loaded(3).await;
        };
        tokio::select! { () = busy => (), () = edits => () }
        let status = policy.until_loaded(3).await;
        let conflicts = bed.metrics().errors.get_or_create(&ReasonLabel { reason: "Conflict" }).get();
        assert!(conflicts > 0, "a status that was decided on an old object was not refused");
        let (object, meta) = policy.until_one_plan().await;
        assert_eq!((Some(object.name_any()), meta.revision), (status.plan.map(|p| p.name), 11));
        drop(agents);
    });
}

/// Between 0 and `most` milliseconds.
fn some_time(most: u64) -> Duration {
    let noise = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    Duration::from_micros(u64::from(noise / 7) % (most * 1000))
}

#[test]
fn an_operator_is_killed_at_any_time() {
    alone(async |bed| {
        let mut policy = bed.policy("killed");
        let agents = Agents::of(bed, &policy, 4).await;
        policy.rollout = Some("percent=50,100 soak=0s".into());
        for i in 0..30 {
            policy.apply(deny(&format!("/etc/{i}"))).await;
            let operator = Operator::start(&bed.client);
            operator.index.synced().await;
            tokio::time::sleep(some_time(250)).await;
            operator.kill().await;
        }
        let written = policy.status().await;
        eprintln!("after 30 kills the status was of generation {}", written.observed_generation);
        let operator = Operator::start(&bed.client);
        let status = policy.until_loaded(4).await;
        let done = |s: &tetragon_api::status::TracingPolicyStatus| {
            s.rollout.as_ref().is_some_and(|r| r.phase == "Complete")
        };
        policy.until("complete", done).await;
        let (object, meta) = policy.until_one_plan().await;
        assert_eq!((object.name_any(), meta.revision, meta.percent), (status.plan.unwrap().name, 30, 100));
        assert!(decode(&object, &meta).is_ok());

        // What was broken while nobody looked runs on.
        operator.kill().await;
        policy.apply(wrong()).await;
        let operator = Operator::start(&bed.client);
        let status = policy.until("refused", |s| is(s, "Accepted").0 == "False").await;
        assert!(message(&status, "Ready").contains("generation 30 still is"), "{status:#?}");
        assert_eq!(policy.plans().await.len(), 1);

        // And what was deleted is not left behind.
        operator.kill().await;
        policy.delete().await;
        let _operator = Operator::start(&bed.client);
        eventually("its plan is gone", || async {
            match policy.plans().await.len() {
                0 => Ok(()),
                n => Err(n),
            }
        })
        .await;
        drop(agents);
    });
}

#[test]
fn two_operators_do_not_fight() {
    alone(async |bed| {
        let operators = [Operator::start(&bed.client), Operator::start(&bed.client)];
        let policies: Vec<Policy> = (0..4).map(|i| bed.policy(&format!("two-{i}"))).collect();
        let mut agents = Vec::new();
        for policy in &policies {
            agents.push(Agents::of(bed, policy, 2).await);
        }
        for round in 0..5 {
            for policy in &policies {
                policy.apply(deny(&format!("/etc/{round}"))).await;
            }
            tokio::time::sleep(some_time(700)).await;
        }
        let mut versions = Vec::new();
        for policy in &policies {
            policy.until_loaded(2).await;
            policy.until_one_plan().await;
        }
        let writes = || operators.iter().map(Operator::writes).sum::<u64>();
        until_quiet(writes).await;
        for policy in &policies {
            versions.push((
                policy.object().await.resource_version(),
                policy.until_one_plan().await.0.resource_version(),
            ));
        }
        let before = writes();
        operators.iter().for_each(|o| o.index.touch_all());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(writes(), before, "nothing is new, and somebody writes");
        for (policy, before) in policies.iter().zip(versions) {
            let now = (
                policy.object().await.resource_version(),
                policy.until_one_plan().await.0.resource_version(),
            );
            assert_eq!(now, before);
        }
    });
}

#[test]
fn the_api_server_restarts_in_the_middle_of_a_rollout() {
    alone(async |bed| {
        // Only one that `cargo xtask cluster up` has started can be restarted.
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: this test needs XTASK and CLUSTER_NAME, as `cargo xtask test` sets them")
            })
        };
        let (xtask, cluster) = (variable("XTASK"), variable("CLUSTER_NAME"));
        let operator = Operator::start(&bed.client);
        let mut policy = bed.policy("restarted");
        let _agents = Agents::of(bed, &policy, 6).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(6).await;
        policy.rollout = Some("percent=30,60,100 soak=3s".into());
        policy.apply(deny("/etc/b")).await;
        policy.until("begun", |s| s.rollout.as_ref().is_some_and(|r| r.phase == "Progressing")).await;
        let before = policy.plans().await.iter().map(|(_, m)| m.percent).min();
        let restart = tokio::task::spawn_blocking(move || {
            let restart = ["cluster", "restart-apiserver", "--name", &cluster];
            Command::new(xtask).args(restart).status().unwrap()
        });
        assert!(restart.await.unwrap().success());
        let status =
            policy.until("complete", |s| s.rollout.as_ref().is_some_and(|r| r.phase == "Complete")).await;
        assert_eq!(is(&status, "Ready"), ("True", "Loaded"), "it had come to {before:?} %");
        policy.until_one_plan().await;
        operator.kill().await;
    });
}
