//! The whole on a real cluster, as a person sees it: helm, kubectl, tetra and Prometheus, with one node
//! on this machine and one in a guest whose kernel can do more.
//!
//! `cargo xtask test --only cluster` makes the cluster, builds and loads the images and says where
//! everything is: KUBECONFIG, KUBECTL, HELM, PROMETHEUS, PROMTOOL, LUA. Without them the tests fail.
//! They run one after the other: each goes on where the one before it ended.

mod bed;
mod identity;
mod install;
mod kinds;
mod policies;
mod security;
mod upgrade;
mod workloads;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};

/// A test has failed.
static FAILED: AtomicBool = AtomicBool::new(false);

type Test = (&'static str, fn() -> anyhow::Result<()>);

const TESTS: &[Test] = &[
    ("install", install::install),
    ("the_seeds_commands", install::seed_commands),
    ("grpc_has_a_certificate", install::grpc_has_a_certificate),
    ("policies_tell_the_truth", policies::truth),
    ("bad_policies_are_explained", policies::bad),
    ("a_policy_changes_and_goes", policies::change),
    ("events_name_their_pods", workloads::events_name_their_pods),
    ("policies_choose_their_pods", workloads::policies_choose_their_pods),
    ("first_instructions_are_judged", workloads::first_instructions_are_judged),
    ("containers_are_known_by_name_when_they_start", workloads::containers_are_known_when_they_start),
    ("containers_of_all_kinds_are_in_events", kinds::containers_of_all_kinds),
    ("filters_find_their_events", kinds::filters_find_their_events),
    ("an_allow_list_per_workload", kinds::an_allow_list_per_workload),
    ("no_container_gets_through", identity::no_container_gets_through),
    ("one_name_in_turn", identity::one_name_in_turn),
    ("faults_change_nobodys_identity", identity::faults_change_nobodys_identity),
    ("no_container_gets_through_without_an_agent", identity::no_container_gets_through_without_an_agent),
    ("prometheus_scrapes", install::prometheus),
    ("an_agent_cannot_write_what_is_not_its_own", security::forbidden_writes),
    ("enforcement_outlives_an_upgrade", upgrade::upgrade),
    ("the_container_runtime_is_asked_and_may_be_away", identity::the_container_runtime_is_asked),
    ("uninstall_leaves_nothing_behind", upgrade::uninstall),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = TESTS.iter().map(|(name, test)| {
        let run = move || {
            if FAILED.load(Ordering::Relaxed) {
                return Err("not tried: the one before it failed, and this one goes on from there".into());
            }
            test().map_err(|e| {
                FAILED.store(true, Ordering::Relaxed);
                Failed::from(format!("{e:#}"))
            })
        };
        Trial::test(*name, run)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
