//! The end of `tetra policy check`: how many policies load, and which features the others lack.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use tetragon_compiler::{Code, CompiledPolicy, Feature, Severity};

use super::checked::Checked;
use crate::table;

/// Names that are shown for a feature, and of policies with mistakes.
const EXAMPLES: usize = 3;
const MISTAKEN: usize = 10;

/// What was checked, in numbers and names.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    policies: usize,
    /// Policies without an error.
    loads: usize,
    errors: usize,
    warnings: usize,
    /// Objects of other kinds.
    passed_over: usize,
    /// What is missing here, the most wanted first.
    lacking: Vec<Lacking>,
    /// Policies with errors that are no lack of a feature.
    mistaken: Vec<String>,
    #[serde(skip)]
    files: usize,
}

/// A feature and the policies that need it.
#[derive(Debug, Serialize)]
struct Lacking {
    feature: Feature,
    code: Code,
    policies: Vec<String>,
}

impl Summary {
    pub(super) fn new(checked: &[Checked]) -> Self {
        let policies = || checked.iter().flat_map(|c| &c.compiled.policies);
        let count = |severity| {
            let all = checked.iter().flat_map(|c| &c.compiled.diagnostics);
            all.filter(|d| d.severity == severity).count()
        };
        let mut lacking: BTreeMap<(Feature, Code), Vec<String>> = BTreeMap::new();
        for policy in policies() {
            for lack in &policy.lacks {
                lacking.entry(*lack).or_default().push(name(policy));
            }
        }
        let mut lacking: Vec<_> = lacking
            .into_iter()
            .map(|((feature, code), policies)| Lacking { feature, code, policies })
            .collect();
        lacking.sort_by_key(|l| (Reverse(l.policies.len()), l.feature.to_string()));
        Summary {
            policies: policies().count(),
            loads: policies().filter(|p| p.plan.is_some()).count(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            passed_over: checked.iter().map(|c| c.compiled.passed_over).sum(),
            lacking,
            mistaken: policies().filter(|p| p.mistakes > 0).map(name).collect(),
            files: checked.len(),
        }
    }

    /// The table of features, if any is missing, the policies with mistakes, if there are any, and one line
    /// with the numbers.
    pub(super) fn text(&self, colour: bool) -> String {
        let bold = |line: &str| if colour { format!("\x1b[1m{line}\x1b[0m\n") } else { format!("{line}\n") };
        let mut out = String::new();
        // Of one policy, the findings have said it.
        let mistaken = if self.policies > 1 { self.mistaken.len() } else { 0 };
        if !self.lacking.is_empty() || mistaken > 0 {
            out.push('\n');
        }
        if !self.lacking.is_empty() {
            let header = ["MISSING FEATURE", "POLICIES", "SUCH AS"].map(str::to_owned);
            let row = |l: &Lacking| {
                [l.feature.to_string(), l.policies.len().to_string(), some(&l.policies, EXAMPLES)]
            };
            let rows: Vec<_> = std::iter::once(header).chain(self.lacking.iter().map(row)).collect();
            let lines = table::lines(&rows);
            out.push_str(&bold(&lines[0]));
            out.extend(lines[1..].iter().map(|line| format!("{line}\n")));
        }
        match mistaken {
            0 => {}
            n => out.push_str(&format!(
                "{} mistakes: {}\n",
                plural(n, "policy has", "policies have"),
                some(&self.mistaken, MISTAKEN)
            )),
        }
        out.push_str(&bold(&self.numbers()));
        out
    }

    fn numbers(&self) -> String {
        let loads = match self.policies {
            0 => "no policy".to_owned(),
            1 => format!("{} of 1 policy loads", self.loads),
            n => format!("{} of {n} policies load", self.loads),
        };
        let others = match self.passed_over {
            0 => String::new(),
            n => format!(", {} passed over", plural(n, "object of another kind", "objects of other kinds")),
        };
        format!(
            "{loads}: {}, {} in {}{others}",
            plural(self.errors, "error", "errors"),
            plural(self.warnings, "warning", "warnings"),
            plural(self.files, "file", "files"),
        )
    }
}

fn name(policy: &CompiledPolicy) -> String {
    policy.full_name().unwrap_or_else(|| "(no name)".to_owned())
}

/// The first names, and that there are more.
fn some(names: &[String], most: usize) -> String {
    let shown = names[..names.len().min(most)].join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
