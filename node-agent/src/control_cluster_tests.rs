//! Tests of the cluster's policies in the control thread: decisions in, what runs and what is said out.

use std::path::Path;

use tetragon_api::plan::{Actions, Hook, Plan, Selector, ShownAction};
use tetragon_api::published::{PlanMeta, PolicyRef};
use tetragon_api::status::NodePolicyState::{self, Failed, Loaded, Pending, Skipped};

use super::*;
use crate::kubernetes::cache::{Cache, Found};
use crate::kubernetes::plans::{Verdict, Why, stem};

struct Bed {
    control: Control,
    log: Arc<Mutex<Log>>,
    board: Arc<Board>,
    decisions: Arc<DecisionBox>,
}

/// An agent's start on a folder of plans.
fn start(dir: &Path, held: bool) -> Bed {
    let (cache, found) = Cache::open(dir).unwrap();
    let local = Local::new(Some(cache), found, Arc::default());
    let (control, log, board, _) = control(vec![]);
    let decisions = Arc::<DecisionBox>::default();
    let control = control.with_cluster(Cluster { local, decisions: decisions.clone(), held });
    Bed { control, log, board, decisions }
}

impl Bed {
    fn decide(&mut self, decisions: &[Decision]) {
        assert!(self.decisions.put(decisions.to_vec()));
        self.control.plans();
    }

    /// `NAME FUNCTION`, and a star if it enforces.
    fn runs(&self) -> Vec<String> {
        self.log.lock().unwrap().runs.clone()
    }

    fn applies(&self) -> usize {
        self.log.lock().unwrap().applied.len()
    }

    fn row(&self, name: &str) -> tetragon_api::status::NodePolicy {
        let rows = self.board.rows();
        rows.iter()
            .find(|r| r.status.name == name)
            .unwrap_or_else(|| panic!("no {name}: {rows:?}"))
            .status
            .clone()
    }

    fn expect(&self, name: &str, state: NodePolicyState, reason: &str) {
        let row = self.row(name);
        assert_eq!((row.state, row.reason.as_str()), (state, reason), "{row:?}");
    }
}

fn kill(name: &str, function: &str, revision: i64) -> (PlanMeta, Arc<Plan>) {
    let actions = Actions { signal: Some(9), shown: ShownAction::Sigkill, ..Actions::default() };
    let selectors = vec![Selector { actions, ..Selector::default() }];
    let hook = Hook { selectors, ..Hook::new("spec.kprobes[0]", Target::Function(function.into())) };
    let plan = Plan::new(name, vec![hook]);
    let policy = PolicyRef::cluster_wide(name, &format!("uid-{name}"));
    (PlanMeta::new(policy, plan.digest(), revision), Arc::new(plan))
}

fn decision(meta: &PlanMeta, verdict: Verdict) -> Decision {
    let plan = meta.object_name();
    Decision { stem: stem(&plan).to_owned(), policy: Some(meta.policy.clone()), plan, verdict }
}

fn run((meta, plan): &(PlanMeta, Arc<Plan>)) -> Decision {
    decision(meta, Verdict::Run { meta: meta.clone(), plan: plan.clone() })
}

fn keep(
    meta: &PlanMeta,
    state: NodePolicyState,
    reason: &'static str,
    metas: &[&PlanMeta],
    open: bool,
) -> Decision {
    let why = Why { reason, message: "because".into() };
    let metas = metas.iter().map(|m| (*m).clone()).collect();
    decision(meta, Verdict::Keep { state, why, metas, open })
}

fn kept(dir: &Path) -> Vec<String> {
    let Found { plans, .. } = Cache::open(dir).unwrap().1;
    plans.iter().map(|c| format!("{} {}", c.meta.policy.name, c.meta.revision)).collect()
}

#[test]
fn policies_come_change_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), false);
    bed.control.load(&files(&[("a", "from_a_file")])).unwrap();
    let one = kill("a", "one", 1);
    bed.decide(&[run(&one)]);
    // A file's policy of the same name is another one.
    assert_eq!(bed.runs(), ["a from_a_file", "a one*"]);
    let row = bed.row("a");
    assert_eq!((row.state, row.mode.as_str(), row.plan), (Loaded, "enforce", one.0.object_name()));
    assert_eq!((row.running, row.hooks[0].backend.as_str()), (None, "kprobe"));
    let domains: Vec<String> = bed.board.policies().into_iter().map(|p| p.domain).collect();
    assert_eq!(domains, ["static", "k8s"]);
    // The same again, in a later revision: nothing is loaded.
    let applies = bed.applies();
    let mut again = one;
    again.0.revision = 5;
    bed.decide(&[run(&again)]);
    assert_eq!((bed.applies(), kept(dir.path())), (applies, vec!["a 5".to_owned()]));
    // The mode of all nodes.
    again.0.mode = Some(Mode::Monitor);
    bed.decide(&[run(&again)]);
    assert_eq!((bed.runs()[1].as_str(), bed.row("a").mode.as_str()), ("a one", "monitor"));
    let two = kill("a", "two", 6);
    bed.decide(&[run(&two)]);
    assert_eq!((bed.runs()[1].as_str(), kept(dir.path())), ("a two*", vec!["a 6".to_owned()]));
    let why = Why { reason: "NodeSelector", message: String::new() };
    bed.decide(&[decision(&two.0, Verdict::Skip(why))]);
    bed.expect("a", Skipped, "NodeSelector");
    assert_eq!((bed.runs(), kept(dir.path()).len()), (vec!["a from_a_file".to_owned()], 0));
    bed.decide(&[run(&two)]);
    bed.expect("a", Loaded, "");
    bed.decide(&[]);
    assert!(bed.board.rows().is_empty() && bed.runs() == ["a from_a_file"]);
}

#[test]
fn what_runs_is_kept_when_the_new_version_cannot_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), false);
    let (one, two) = (kill("a", "one", 1), kill("a", "two", 2));
    bed.decide(&[run(&one)]);
    let applies = bed.applies();
    bed.decide(&[keep(&two.0, Failed, "PlanDigestMismatch", &[&one.0, &two.0], false)]);
    bed.expect("a", Failed, "PlanDigestMismatch");
    let row = bed.row("a");
    assert_eq!(
        (row.plan, row.running, row.mode.as_str()),
        (two.0.object_name(), Some(one.0.object_name()), "enforce")
    );
    assert_eq!((bed.applies(), kept(dir.path())), (applies, vec!["a 1".to_owned()]));
    // What is said of the version that runs is followed.
    let mut monitor = one.0.clone();
    monitor.mode = Some(Mode::Monitor);
    bed.decide(&[keep(&two.0, Failed, "PlanDigestMismatch", &[&monitor, &two.0], false)]);
    assert_eq!((bed.runs(), bed.row("a").mode.as_str()), (vec!["a one".to_owned()], "monitor"));
    // It is not waited for what runs already; but what is wrong with it is said.
    bed.decide(&[keep(&monitor, Pending, "NodeLabelsUnknown", &[&monitor], true)]);
    bed.expect("a", Loaded, "");
    bed.decide(&[keep(&monitor, Failed, "PlanFormatUnknown", &[&monitor], false)]);
    bed.expect("a", Failed, "PlanFormatUnknown");
    // A policy that was never there has nothing to keep.
    let new = kill("b", "one", 1);
    bed.decide(&[run(&one), keep(&new.0, Failed, "NodeLabelsUnknown", &[&new.0], true)]);
    bed.expect("b", Failed, "NodeLabelsUnknown");
    assert_eq!((bed.row("b").mode.as_str(), bed.runs()), ("", vec!["a one*".to_owned()]));
}

#[test]
fn a_version_that_the_kernel_refuses_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), false);
    let (one, mut two) = (kill("a", "one", 1), kill("a", "unable", 2));
    bed.decide(&[run(&one), run(&kill("b", "refused", 1))]);
    bed.decide(&[run(&two), run(&kill("b", "refused", 1))]);
    bed.expect("a", Failed, "HookNotAvailable");
    bed.expect("b", Failed, "LoadFailed");
    assert_eq!(bed.row("a").running, Some(one.0.object_name()));
    assert_eq!(
        (bed.runs(), kept(dir.path())),
        (vec!["a one*".to_owned()], vec!["a 1".into(), "a 2".into(), "b 1".into()])
    );
    // The mode that comes with the refused version is that of the policy.
    two.0.mode = Some(Mode::Monitor);
    bed.decide(&[run(&two)]);
    assert_eq!(bed.runs(), ["a one"]);
    // And both together.
    let mut three = kill("a", "unable_too", 3);
    three.0.mode = Some(Mode::Enforce);
    bed.decide(&[run(&three)]);
    assert_eq!(bed.runs(), ["a one*"]);
    let applies = bed.applies();
    bed.decide(&[run(&three)]);
    assert_eq!(bed.applies(), applies, "it is not tried again and again");
    // The next start runs what ran before it tries what is wanted.
    drop(bed);
    let mut bed = start(dir.path(), false);
    bed.control.load(&[]).unwrap();
    let applied = bed.log.lock().unwrap().history.clone();
    assert_eq!(applied, [vec!["a one*"], vec!["a unable_too*"]]);
    assert_eq!(bed.runs(), ["a one*"]);
    bed.expect("a", Failed, "HookNotAvailable");
    assert_eq!(kept(dir.path()), ["a 1", "a 3"]);
}

#[test]
fn a_start_without_the_api_server() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (kill("a", "one", 1), kill("b", "two", 1));
    start(dir.path(), false).decide(&[run(&one), run(&two)]);
    let mut bed = start(dir.path(), false);
    bed.control.load(&files(&[("f", "from_a_file")])).unwrap();
    let mut history = bed.log.lock().unwrap().history.clone();
    history.iter_mut().for_each(|asked| asked.sort_unstable());
    assert_eq!(history, [["a one*", "b two*", "f from_a_file"]], "all at once");
    bed.expect("a", Loaded, "");
    // What has gone meanwhile goes with the first list.
    bed.decide(&[run(&two)]);
    assert_eq!((bed.runs().len(), kept(dir.path())), (2, vec!["b 1".to_owned()]));
}

#[test]
fn what_the_agent_before_has_left_stays_until_all_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), true);
    bed.control.load(&files(&[("f", "from_a_file")])).unwrap();
    let (one, two) = (kill("a", "one", 1), kill("b", "two", 1));
    bed.control.add(&yaml("g", "by_grpc"), "").unwrap();
    bed.decide(&[run(&one), keep(&two.0, Pending, "", &[&two.0], true)]);
    assert_eq!(bed.applies(), 0);
    bed.expect("a", Pending, "WaitingForPlans");
    assert!(!Cache::open(dir.path()).unwrap().0.is_complete());
    bed.decide(&[run(&one), keep(&two.0, Failed, "PlanUnreadable", &[&two.0], false)]);
    assert_eq!(bed.log.lock().unwrap().history, [["f from_a_file", "g by_grpc", "a one*"]]);
    bed.expect("a", Loaded, "");
    assert!(Cache::open(dir.path()).unwrap().0.is_complete());
    // An end before that lets nothing go.
    for (held, released) in [(true, false), (false, true)] {
        let bed = start(dir.path(), held);
        bed.control.end(true);
        assert_eq!(bed.log.lock().unwrap().released, released);
    }
}

#[test]
fn a_policy_that_acts_too_often_only_reports() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), false);
    let mut one = kill("a", "one", 1);
    one.0.max_actions = Some(2);
    bed.decide(&[run(&one)]);
    let number = bed.board.rows()[0].number.unwrap();
    bed.control.serve(Command::OverLimit { policy: number + 1 });
    bed.expect("a", Loaded, "");
    bed.control.serve(Command::OverLimit { policy: number });
    bed.expect("a", Failed, "ActionLimit");
    assert_eq!((bed.runs(), bed.row("a").mode.as_str()), (vec!["a one".to_owned()], "monitor"));
    // Nobody switches it back by hand, no event of the watch does, and no restart.
    bed.control.change("a", "", "", &[What::Mode(Mode::Enforce)]).unwrap();
    bed.decide(&[run(&one)]);
    bed.expect("a", Failed, "ActionLimit");
    drop(bed);
    let mut bed = start(dir.path(), false);
    bed.control.load(&[]).unwrap();
    assert_eq!(bed.runs(), ["a one"]);
    bed.decide(&[run(&one)]);
    bed.expect("a", Failed, "ActionLimit");
    // Another limit does, and so does an edit.
    one.0.max_actions = Some(9);
    bed.decide(&[run(&one)]);
    bed.expect("a", Loaded, "");
    let number = bed.board.rows()[0].number.unwrap();
    bed.control.serve(Command::OverLimit { policy: number });
    assert_eq!(bed.runs(), ["a one"]);
    one.0.revision = 2;
    bed.decide(&[run(&one)]);
    assert_eq!(bed.runs(), ["a one*"]);
}

#[test]
fn a_policy_that_was_made_anew_goes_on_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), false);
    let old = kill("a", "one", 1);
    bed.decide(&[run(&old)]);
    let applies = bed.applies();
    let mut new = old;
    new.0.policy.uid = "another".into();
    bed.decide(&[run(&new)]);
    assert_eq!(bed.applies(), applies, "the same plan: nothing is loaded");
    let row = bed.row("a");
    assert_eq!((row.state, row.plan, row.running), (Loaded, new.0.object_name(), None));
    assert_eq!(kept(dir.path()).len(), 1);
}

#[test]
fn policies_of_the_cluster_are_switched_but_not_removed_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), false);
    let one = kill("a", "one", 1);
    bed.decide(&[run(&one)]);
    let error = bed.control.change("a", "", "", &[What::Delete]).unwrap_err();
    assert!(error.to_string().contains("with kubectl"), "{error}");
    let error = bed.control.add(&yaml("x", "one"), "k8s").unwrap_err();
    assert!(error.to_string().contains("kubectl apply"), "{error}");
    bed.control.change("a", "", "k8s", &[What::Enable(false)]).unwrap();
    bed.expect("a", Failed, "Disabled");
    assert!(bed.runs().is_empty());
    bed.decide(&[run(&one)]);
    bed.expect("a", Failed, "Disabled");
    bed.control.change("a", "", "k8s", &[What::Enable(true), What::Mode(Mode::Monitor)]).unwrap();
    bed.expect("a", Loaded, "");
    assert_eq!(bed.runs(), ["a one"]);
}

#[test]
fn one_who_cannot_be_named_is_told_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = start(dir.path(), false);
    let one = kill("a", "one", 1);
    let mut broken = keep(&one.0, Failed, "PlanMetadataInvalid", &[], false);
    broken.policy = None;
    bed.decide(std::slice::from_ref(&broken));
    bed.expect(&one.0.object_name(), Failed, "PlanMetadataInvalid");
    // Once it was known, it keeps its name, and runs.
    bed.decide(&[run(&one)]);
    bed.decide(&[broken]);
    bed.expect("a", Failed, "PlanMetadataInvalid");
    assert_eq!((bed.runs(), bed.board.rows().len()), (vec!["a one*".to_owned()], 1));
}
