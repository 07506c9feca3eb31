//! Policies of a namespace: reconciled as those of the cluster, with plans that nothing owns.

use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tetragon_api::status::TracingPolicyStatus;

use crate::agents::{Agents, Answer};
use crate::bed::{Policy, SPACES, deny, eventually, is, message, scenario, wrong};

async fn until_no_plan(policy: &Policy) {
    eventually("its plans are gone", || async {
        match policy.plans().await.len() {
            0 => Ok(()),
            n => Err(n),
        }
    })
    .await;
}

#[test]
fn two_of_one_name_are_two_policies() {
    scenario(async |bed| {
        let [a, b] = SPACES.map(|space| Policy { space: Some(space), ..bed.policy("two") });
        let agents = Agents::of(bed, &a, 2).await;
        a.apply(deny("/etc/a")).await;
        b.apply(deny("/etc/a")).await;
        let (of_a, of_b) = (a.until_loaded(2).await, b.until_loaded(2).await);
        let (of_a, of_b) = (of_a.plan.unwrap(), of_b.plan.unwrap());
        assert_ne!(of_a.digest, of_b.digest, "each is for pods of its namespace");
        let (object, meta) = a.until_one_plan().await;
        assert_eq!((object.name_any(), meta.policy.namespace.as_deref()), (of_a.name, a.space));
        // Kubernetes lets nothing own an object in another namespace.
        assert_eq!(object.owner_references(), []);
        assert_eq!(a.object().await.finalizers(), [] as [&str; 0]);

        agents.answer(0, Answer::Fail("LoadFailed"));
        let status = a.until("one node fails", |s| s.nodes.as_ref().is_some_and(|n| n.failed == 1)).await;
        assert_eq!(is(&status, "Ready"), ("False", "LoadFailed"));
        agents.answer(0, Answer::Load);
        a.until_loaded(2).await;

        a.delete().await;
        until_no_plan(&a).await;
        assert_eq!(b.until_one_plan().await.0.name_any(), of_b.name, "the other one's stays");
        b.until_loaded(2).await;
        b.delete().await;
        until_no_plan(&b).await;
    });
}

#[test]
fn its_events_are_in_its_namespace() {
    scenario(async |bed| {
        let policy = Policy { space: Some(SPACES[0]), ..bed.policy("told") };
        let _agents = Agents::of(bed, &policy, 1).await;
        policy.apply(wrong()).await;
        let status = policy.until("refused", |s| is(s, "Accepted") == ("False", "Invalid")).await;
        assert!(message(&status, "Accepted").contains("spec.kprobes[0].call"), "{status:#?}");
        policy.apply(deny("/etc/a")).await;
        policy.until_loaded(1).await;
        let events: Api<Event> = Api::namespaced(bed.client.clone(), SPACES[0]);
        let about = ListParams::default().fields(&format!("regarding.name={}", policy.name));
        eventually("events", || async {
            let mut told: Vec<_> = events.list(&about).await.unwrap().into_iter().collect();
            told.sort_by_key(|e| e.event_time.clone());
            let told: Vec<String> = told.into_iter().filter_map(|e| e.reason).collect();
            if told == ["Invalid", "Published", "Loaded"] { Ok(()) } else { Err(told) }
        })
        .await;
    });
}

fn for_pods() -> Value {
    let mut spec = deny("/etc/a");
    spec["podSelector"] = json!({"matchLabels": {"app": "web"}});
    spec
}

#[test]
fn what_it_selects_is_summed_up() {
    scenario(async |bed| {
        let policy = bed.policy("selects");
        let agents = Agents::of(bed, &policy, 2).await;
        policy.apply(for_pods()).await;
        assert_eq!(policy.until_loaded(2).await.workloads, None, "no agent says");
        agents.select(0, 2, 5);
        agents.select(1, 1, 1);
        let sum = async |pods: i32, containers: i32| {
            let summed = |s: &TracingPolicyStatus| {
                s.workloads.as_ref().is_some_and(|w| (w.pods, w.containers) == (pods, containers))
            };
            policy.until(&format!("{pods} pods"), summed).await
        };
        assert_eq!(sum(3, 6).await.workloads.unwrap().empty_since, None);
        agents.select(0, 0, 0);
        sum(1, 1).await;
        agents.select(1, 0, 0);
        let status = sum(0, 0).await;
        assert!(status.workloads.as_ref().unwrap().empty_since.is_some());
        assert_eq!(is(&status, "SelectsNothing").0, "", "not at once");
        policy.apply(deny("/etc/a")).await;
        policy.until("it is for all", |s| is(s, "Ready").0 == "True" && s.workloads.is_none()).await;
    });
}
