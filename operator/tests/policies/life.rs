//! A policy's life: made, edited, broken, mended, deleted.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::agents::{Agents, Answer};
use crate::bed::{Operator, alone, deny, eventually, is, message, scenario, until_quiet, wrong};

#[test]
fn applied_and_ready() {
    scenario(async |bed| {
        let policy = bed.policy("applied");
        let _agents = Agents::of(bed, &policy, 2).await;
        policy.apply(deny("/etc/a")).await;
        let status = policy.until_loaded(2).await;
        assert_eq!(is(&status, "Accepted"), ("True", "Valid"));
        assert_eq!(is(&status, "Compiled"), ("True", "Compiled"));
        assert_eq!(message(&status, "Ready"), "2 of 2 nodes run it");
        assert!(status.conditions.iter().all(|c| c.observed_generation == Some(1)));
        assert_eq!(status.conditions.len(), 3, "neither Reconciling nor Stalled: {status:#?}");
        let (object, meta) = policy.until_one_plan().await;
        let plan = status.plan.unwrap();
        assert_eq!((plan.name, plan.digest), (object.name_any(), meta.digest));
        assert_eq!((status.mode.as_str(), plan.hooks, status.rollout), ("enforce", 1, None));
        let owner = &object.owner_references()[0];
        assert_eq!(Some(&owner.uid), policy.object().await.uid().as_ref());

        let events: Api<Event> = Api::all(bed.client.clone());
        let about = ListParams::default().fields(&format!("regarding.name={}", policy.name));
        eventually("events", || async {
            let mut told: Vec<_> = events.list(&about).await.unwrap().into_iter().collect();
            told.sort_by_key(|e| e.event_time.clone());
            let told: Vec<String> = told.into_iter().filter_map(|e| e.reason).collect();
            if told == ["Published", "Loaded"] { Ok(()) } else { Err(told) }
        })
        .await;
    });
}

#[test]
fn refused_and_mended() {
    scenario(async |bed| {
        let policy = bed.policy("refused");
        let _agents = Agents::of(bed, &policy, 1).await;
        policy.apply(wrong()).await;
        let status = policy.until("refused", |s| is(s, "Accepted") == ("False", "Invalid")).await;
        assert!(
            message(&status, "Accepted").contains("error[syscall-default] spec.kprobes[0].call"),
            "{status:#?}"
        );
        assert_eq!((is(&status, "Stalled").0, is(&status, "Reconciling").0), ("True", ""));
        assert_eq!((status.plan, policy.plans().await.len()), (None, 0));
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(1).await;
    });
}

#[test]
fn edited() {
    scenario(async |bed| {
        let policy = bed.policy("edited");
        let agents = Agents::of(bed, &policy, 2).await;
        policy.apply(deny("/etc/a")).await;
        let before = policy.until_loaded(2).await;
        agents.answer(1, Answer::Silence);
        policy.apply(deny("/etc/b")).await;
        let status =
            policy.until("one node follows", |s| s.nodes.as_ref().is_some_and(|n| n.summary == "1/2")).await;
        assert_eq!(is(&status, "Ready"), ("False", "Pending"));
        assert_eq!(is(&status, "Reconciling"), ("True", "Pending"));
        assert_eq!(status.failures[0].sample_nodes, [agents.nodes[1].clone()]);
        assert_ne!(status.plan, before.plan);
        let plans = policy.plans().await;
        assert_eq!(plans.len(), 2, "a node names the old one: {plans:#?}");
        agents.answer(1, Answer::Load);
        policy.until_loaded(2).await;
        let (object, _) = policy.until_one_plan().await;
        assert_eq!(Some(object.name_any()), status.plan.map(|p| p.name));

        // What means the same has the same plan.
        let rv = |o: &k8s_openapi::api::core::v1::ConfigMap| (o.uid(), o.data.clone());
        let mut same = deny("/etc/b");
        same["kprobes"][0]["selectors"][0]["matchArgs"][0]["values"] = json!(["/etc/b", "/etc/b"]);
        policy.apply(same).await;
        policy.until_loaded(2).await;
        let (again, meta) = policy.until_one_plan().await;
        assert_eq!((rv(&again), meta.revision), (rv(&object), 3));
    });
}

#[test]
fn nothing_new_is_not_written() {
    // Alone: nodes of other scenarios that come and go would be news.
    alone(async |bed| {
        let operator = Operator::start(&bed.client);
        let policy = bed.policy("quiet");
        let _agents = Agents::of(bed, &policy, 2).await;
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(2).await;
        policy.until_one_plan().await;
        // A change that is none for the operator makes it look.
        let note = json!({"metadata": {"labels": {"note": "new"}}});
        bed.policies().patch(&policy.name, &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
        let versions = async || {
            (policy.object().await.resource_version(), policy.until_one_plan().await.0.resource_version())
        };
        let quiet = until_quiet(|| operator.writes()).await;
        let before = (versions().await, quiet);
        for _ in 0..5 {
            operator.index.touch_all();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!((versions().await, operator.writes()), before);
        }
    });
}

#[test]
fn broken_by_an_edit_it_runs_on() {
    scenario(async |bed| {
        let policy = bed.policy("broken");
        let agents = Agents::of(bed, &policy, 2).await;
        policy.apply(deny("/etc/a")).await;
        let good = policy.until_loaded(2).await;
        policy.apply(wrong()).await;
        let runs = "generation 2 is not published; generation 1 still is, and 2 of 2 nodes run it";
        let status = policy.until("refused", |s| message(s, "Ready") == runs).await;
        assert_eq!((is(&status, "Accepted").0, is(&status, "Stalled")), ("False", ("True", "Invalid")));
        assert_eq!((&status.plan, &status.mode), (&good.plan, &good.mode));
        agents.answer(0, Answer::Fail("LoadFailed"));
        policy.until("still looked after", |s| s.nodes.as_ref().is_some_and(|n| n.failed == 1)).await;

        let mut policy = policy;
        agents.answer(0, Answer::Load);
        policy.rollout = Some("percent=50".into());
        policy.apply(deny("/etc/b")).await;
        let status =
            policy.until("a wrong annotation", |s| is(s, "Accepted") == ("False", "RolloutInvalid")).await;
        assert!(message(&status, "Accepted").contains("the last one must be 100"), "{status:#?}");
        assert_eq!(status.plan, good.plan);
        policy.rollout = Some("off".into());
        policy.apply(deny("/etc/b")).await;
        let mended = policy.until_loaded(2).await;
        assert_ne!(mended.plan, good.plan);
        policy.until_one_plan().await;
    });
}

#[test]
fn deleted() {
    scenario(async |bed| {
        let policy = bed.policy("deleted");
        let _agents = Agents::of(bed, &policy, 1).await;
        policy.apply(deny("/etc/a")).await;
        let first = policy.until_loaded(1).await;
        policy.delete().await;
        eventually("its plan is gone", || async {
            match policy.plans().await.len() {
                0 => Ok(()),
                n => Err(n),
            }
        })
        .await;
        // Made again, it is another policy.
        policy.apply(deny("/etc/a")).await;
        let second = policy.until_loaded(1).await;
        let (first, second) = (first.plan.unwrap(), second.plan.unwrap());
        assert_eq!(first.digest, second.digest);
        assert_ne!(first.name, second.name);
    });
}
