//! Selectors whose workloads are none of the policy's.

use tetragon_api::plan::Matcher;
use tetragon_api::workload::{Pods, Workloads};

use crate::codes::Code;
use crate::context::Cx;
use crate::draft::HookDraft;
use crate::labels;

/// `matchWorkloads` asks in addition to what the policy asks.
pub(super) fn look(cx: &mut Cx<'_>, hook: &HookDraft, policy: Option<&Workloads>) {
    let Some(policy) = policy else { return };
    for matcher in hook.selectors.iter().flat_map(|s| &s.matchers) {
        let Matcher::Workload(asked) = &matcher.matcher else { continue };
        let pods = matches!((&policy.pods, &asked.pods), (Some(a), Some(b)) if compatible(a, b));
        let host = policy.host && asked.host;
        if !pods && !host {
            cx.report(
                Code::NeverMatches,
                &matcher.place,
                "the selector never matches: no process is one of the policy's workloads and of these",
            )
            .help(
                "matchWorkloads chooses among what the policy's own selectors take: widen those, or mend it",
            );
        } else if asked.host && !policy.host {
            cx.report(
                Code::DeadValue,
                &matcher.place,
                "hostSelector takes nothing here: the policy is for pods only",
            )
            .help("leave hostSelector out of matchWorkloads");
        }
    }
}

fn compatible(a: &Pods, b: &Pods) -> bool {
    labels::compatible(a.labels.as_ref(), b.labels.as_ref())
        && labels::compatible(a.containers.as_ref(), b.containers.as_ref())
}

/// Whatever `a` takes, `b` takes too. "No" means "not known".
pub(super) fn implies(a: &Workloads, b: &Workloads) -> bool {
    let pods = match (&a.pods, &b.pods) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => {
            (b.namespace.is_none() || a.namespace == b.namespace)
                && labels::implies(a.labels.as_ref(), b.labels.as_ref())
                && labels::implies(a.containers.as_ref(), b.containers.as_ref())
        }
    };
    pods && (b.host || !a.host)
}
