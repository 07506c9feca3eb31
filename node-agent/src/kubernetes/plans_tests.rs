//! Tests of what is chosen for a node.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use tetragon_api::plan::{Hook, Target};
use tetragon_api::policy::LabelSelector;
use tetragon_api::published::encode;

use super::*;

fn plan(name: &str, function: &str, zone: Option<&str>) -> Plan {
    let match_labels = zone.map(|z| BTreeMap::from([("zone".to_owned(), z.to_owned())]));
    let node_selector = match_labels.map(|match_labels| LabelSelector { match_labels, ..Default::default() });
    let hook = Hook::new("spec.kprobes[0]", Target::Function(function.into()));
    Plan { node_selector, ..Plan::new(name, vec![hook]) }
}

/// A ConfigMap in the API server.
#[derive(Clone, Debug)]
struct Stored {
    plan: Plan,
    metadata: ObjectMeta,
}

impl Stored {
    fn new(plan: Plan, uid: &str, revision: i64, created: i64) -> Stored {
        let meta = PlanMeta::new(PolicyRef::cluster_wide(&plan.name, uid), plan.digest(), revision);
        let mut metadata = encode(&plan, &meta).unwrap().metadata;
        metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
        Stored { plan, metadata }
    }

    fn name(&self) -> String {
        self.metadata.name.clone().unwrap()
    }

    fn with(mut self, annotation: &str, value: &str) -> Stored {
        let annotations = self.metadata.annotations.as_mut().unwrap();
        annotations.insert(format!("tetragon-rs.dev/{annotation}"), value.into());
        self
    }
}

fn labels(zone: &str) -> Labels {
    Labels::Known([("zone".to_owned(), zone.to_owned())].into())
}

fn list<'a>(plans: &mut Plans, objects: impl IntoIterator<Item = &'a Stored>) {
    plans.begin_list();
    objects.into_iter().for_each(|o| plans.apply(&o.metadata));
    plans.end_list();
}

/// Fetches what is wanted, until nothing is.
fn fetch(plans: &mut Plans, objects: &[Stored]) {
    for (name, meta) in plans.wanted_bodies() {
        let found = objects.iter().find(|o| o.name() == name).expect("only what is there is fetched");
        let object = encode(&found.plan, &meta).unwrap();
        plans.fetched(&name, &meta.digest, tetragon_api::published::decode(&object, &meta).map(Arc::new));
    }
    assert!(plans.wanted_bodies().is_empty());
}

fn known(objects: &[Stored], zone: &str) -> Plans {
    let mut plans = Plans::new("node", []);
    plans.set_labels(labels(zone));
    list(&mut plans, objects);
    fetch(&mut plans, objects);
    plans
}

/// `POLICY PLAN VERDICT`, with the plan's function.
fn show(plans: &mut Plans) -> Vec<String> {
    let show = |d: &Decision| {
        let name = d.policy.as_ref().map_or("?", |p| p.name.as_str());
        match &d.verdict {
            Verdict::Run { plan, .. } => match &plan.hooks[0].target {
                Target::Function(f) => format!("{name} run {f}"),
                other => panic!("{other:?}"),
            },
            Verdict::Skip(why) => format!("{name} skip {}", why.reason),
            Verdict::Keep { state, why, open, .. } => {
                format!("{name} {state:?}{} {}", if *open { " open" } else { "" }, why.reason)
            }
        }
    };
    let mut all: Vec<String> = plans.decisions().expect("a complete list").iter().map(show).collect();
    all.sort_unstable();
    all
}

#[test]
fn nothing_is_decided_before_a_list_is_complete() {
    let object = Stored::new(plan("p", "f", None), "u", 1, 0);
    let mut plans = Plans::new("node", []);
    assert!(plans.decisions().is_none());
    plans.begin_list();
    plans.apply(&object.metadata);
    assert!(plans.decisions().is_none());
    plans.end_list();
    assert_eq!(show(&mut plans), ["p Pending open NodeLabelsUnknown"]);
    plans.set_labels(Labels::Failed("no right".into()));
    assert_eq!(show(&mut plans), ["p Failed open NodeLabelsUnknown"]);
    plans.set_labels(labels("a"));
    assert_eq!(show(&mut plans), ["p Pending open "]);
    fetch(&mut plans, &[object]);
    assert_eq!(show(&mut plans), ["p run f"]);
    // What was read once stays known.
    plans.set_labels(Labels::Failed("no right any more".into()));
    assert_eq!(show(&mut plans), ["p run f"]);
    // A list that breaks off takes nothing away, a complete one does.
    plans.begin_list();
    assert_eq!(show(&mut plans), ["p run f"]);
    plans.begin_list();
    plans.end_list();
    assert!(show(&mut plans).is_empty());
}

#[test]
fn the_highest_revision_that_is_for_the_node() {
    let one = Stored::new(plan("p", "one", None), "u", 1, 0);
    let two = Stored::new(plan("p", "two", None), "u", 2, 9);
    let waiting = two.clone().with("rollout-percent", "0");
    for (objects, expected) in [
        (vec![one.clone(), two.clone()], "p run two"),
        (vec![one.clone(), waiting.clone()], "p run one"),
        (vec![waiting], "p Pending RolloutWaiting"),
        // Back to what was before: the object is old, its revision is new.
        (vec![one.clone().with("revision", "3"), two.clone()], "p run one"),
        // What cannot be read may be the newest.
        (vec![one.clone(), two.clone().with("revision", "x")], "p Failed PlanMetadataInvalid"),
        (vec![one.clone().with("revision", "x"), two.clone()], "p run two"),
        (vec![one.clone().with("revision", "x")], "? Failed PlanMetadataInvalid"),
        (vec![one.clone(), two.clone().with("format", "99")], "p Failed PlanFormatUnknown"),
        // Annotations of another object.
        (vec![one.clone(), two.clone().with("policy-uid", "v")], "p Failed PlanMetadataInvalid"),
        (vec![one, two.clone().with("digest", "00")], "p Failed PlanMetadataInvalid"),
        (vec![two.with("policy-name", "q")], "q Failed PlanOfOtherPolicy"),
    ] {
        assert_eq!(show(&mut known(&objects, "a")), [expected], "{objects:?}");
    }
}

#[test]
fn bodies_are_fetched_once_and_bad_ones_when_they_change() {
    let object = Stored::new(plan("p", "f", None), "u", 1, 0);
    let mut plans = known(std::slice::from_ref(&object), "a");
    plans.apply(&object.clone().with("rollout-percent", "50").metadata);
    assert!(plans.wanted_bodies().is_empty(), "other metadata is no other body");
    // The same plan of a policy that was made anew.
    let again = Stored::new(plan("p", "f", None), "v", 1, 5);
    plans.apply(&again.metadata);
    assert!(plans.wanted_bodies().is_empty());
    let bad = Stored::new(plan("q", "f", None), "w", 1, 5);
    plans.apply(&bad.metadata);
    let (name, meta) = plans.wanted_bodies().remove(0);
    plans.fetched(&name, "another digest", Err(PublishedError::NoBody));
    assert_eq!(plans.wanted_bodies().len(), 1, "that was for what it said before");
    plans.fetched(&name, &meta.digest, Err(PublishedError::NoBody));
    assert!(plans.wanted_bodies().is_empty());
    assert!(show(&mut plans).contains(&"q Failed PlanUnreadable".to_owned()));
    plans.apply(&bad.metadata);
    assert_eq!(plans.wanted_bodies().len(), 1);
    // A format that is not known is not even fetched.
    plans.apply(&bad.with("format", "2").metadata);
    assert!(plans.wanted_bodies().is_empty());
    // Plans of the disk need not be fetched.
    let mut plans = Plans::new("node", [(object.plan.digest(), Arc::new(object.plan.clone()))]);
    list(&mut plans, [&object]);
    assert!(plans.wanted_bodies().is_empty());
}

#[test]
fn a_policy_that_was_made_anew_replaces_the_one_before() {
    let old = Stored::new(plan("p", "old", None), "u1", 7, 10);
    let new = Stored::new(plan("p", "new", None), "u2", 1, 20);
    let mut plans = known(std::slice::from_ref(&old), "a");
    // Until it is read, the one before goes on.
    plans.apply(&new.metadata);
    assert_eq!(show(&mut plans), ["p Pending open ", "p run old"]);
    fetch(&mut plans, &[old.clone(), new.clone()]);
    assert_eq!(show(&mut plans), ["p run new"]);
    plans.delete(&old.name());
    assert_eq!(show(&mut plans), ["p run new"]);
    // Nobody takes another policy's place by an annotation.
    let other = Stored::new(plan("q", "other", None), "u3", 1, 30).with("policy-name", "p");
    plans.apply(&other.metadata);
    fetch(&mut plans, &[other, new]);
    assert_eq!(show(&mut plans), ["p Failed PlanOfOtherPolicy", "p run new"]);
}

#[test]
fn labels_select() {
    let object = Stored::new(plan("p", "f", Some("a")), "u", 1, 0);
    let mut plans = known(&[object], "b");
    assert_eq!(show(&mut plans), ["p skip NodeSelector"]);
    plans.set_labels(labels("a"));
    assert_eq!(show(&mut plans), ["p run f"]);
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Step {
    Set(usize),
    Delete(usize),
    List,
    BrokenList(usize),
    Fetch,
    Labels,
    Decide,
}

fn pool() -> Vec<Stored> {
    let mut pool = Vec::new();
    for (name, uid, created) in [("a", "u1", 1), ("a", "u2", 2), ("b", "u3", 1)] {
        for (revision, zone) in [(1, None), (2, Some("x")), (3, Some("y"))] {
            let function = format!("{name}{revision}");
            let object = Stored::new(plan(name, &function, zone), uid, revision, created + revision);
            pool.push(object.clone().with("rollout-percent", "0"));
            pool.push(object.clone().with("revision", "9"));
            pool.push(object.clone().with("mode", "sideways"));
            pool.push(object);
        }
    }
    pool
}

fn step(n: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..n).prop_map(Step::Set),
        2 => (0..n).prop_map(Step::Delete),
        1 => Just(Step::List),
        1 => (0..n).prop_map(Step::BrokenList),
        2 => Just(Step::Fetch),
        1 => Just(Step::Labels),
        1 => Just(Step::Decide),
    ]
}

proptest! {
    /// Whatever was seen on the way, the decisions are those of who sees only the end.
    #[test]
    fn any_way_leads_to_the_same_decisions(steps in prop::collection::vec(step(pool().len()), 0..60)) {
        let pool = pool();
        let mut world: BTreeMap<String, Stored> = BTreeMap::new();
        let mut plans = Plans::new("node", []);
        list(&mut plans, []);
        for step in steps {
            match step {
                Step::Set(n) => {
                    world.insert(pool[n].name(), pool[n].clone());
                    plans.apply(&pool[n].metadata);
                }
                Step::Delete(n) => {
                    world.remove(&pool[n].name());
                    plans.delete(&pool[n].name());
                }
                Step::List => list(&mut plans, world.values()),
                Step::BrokenList(n) => {
                    plans.begin_list();
                    world.values().take(n % 3).for_each(|o| plans.apply(&o.metadata));
                    list(&mut plans, world.values());
                }
                Step::Fetch => fetch(&mut plans, &pool),
                Step::Labels => plans.set_labels(labels("y")),
                Step::Decide => drop(plans.decisions()),
            }
        }
        plans.set_labels(labels("x"));
        fetch(&mut plans, &pool);
        let end: Vec<Stored> = world.into_values().collect();
        let mut fresh = known(&[], "x");
        list(&mut fresh, &end);
        fetch(&mut fresh, &pool);
        prop_assert_eq!(plans.decisions(), fresh.decisions());
    }
}
