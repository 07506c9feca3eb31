//! `cargo xtask chart-test`: the Helm chart and the kustomize bases.
//!
//! Everything is judged from what helm renders: no template is read here. With KUBECONFIG, the API server judges the
//! objects too. `--write` makes anew what is made from something else: the chart's copies of the CRDs, the kustomize
//! bases, and the tables of docs/helm.md.

mod generated;
mod helm;
mod objects;
mod reference;
mod rules;
mod server;
mod tls;
mod values;

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use helm::Chart;

/// What to do with the chart.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// Write what is made from the chart and its values, instead of testing
    #[arg(long)]
    write: bool,
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

type Test = (&'static str, fn(&Chart) -> Result<()>);

const TESTS: &[Test] = &[
    ("generated files are fresh", generated::are_fresh),
    ("helm lint", helm::lint),
    ("objects fit together", objects::fit_together),
    ("names fit, however long the release's is", objects::names_fit),
    ("an uninstall is told to the agents", objects::uninstall_is_told),
    ("no role has more than it needs", objects::least_privilege),
    ("every key of a ConfigMap is a flag", objects::keys_are_flags),
    ("every value does something", values::do_something),
    ("helm makes certificates that clients take", tls::helm_makes_certificates),
    ("typos are refused with their path", values::typos_are_refused),
    ("what is not supported is refused, and its default accepted", values::unsupported),
    ("values that contradict each other are refused", values::contradictions_are_refused),
    ("the notes say what is left open", helm::notes),
    ("kustomize makes the same", generated::kustomize_makes_the_same),
    ("alerts", rules::alerts),
    ("the API server takes every object", server::takes_every_object),
];

/// `cargo xtask chart-test`; gives the exit code.
pub(crate) fn run(options: &Options) -> Result<i32> {
    let chart = Chart::new()?;
    if options.write {
        generated::write(&chart)?;
        return Ok(0);
    }
    let mut failed = 0;
    let chosen: Vec<_> = TESTS.iter().filter(|(name, _)| name.contains(&options.only)).collect();
    ensure!(!chosen.is_empty(), "no test's name contains `{}`", options.only);
    for (name, test) in &chosen {
        let begin = Instant::now();
        let result = test(&chart);
        println!(
            "{:<5} {name} ({:.1} s)",
            if result.is_ok() { "ok" } else { "FAIL" },
            begin.elapsed().as_secs_f64()
        );
        if let Err(error) = result {
            println!("{error:#}");
            failed += 1;
        }
    }
    println!("{} passed, {failed} failed", chosen.len() - failed);
    Ok(i32::from(failed > 0))
}
