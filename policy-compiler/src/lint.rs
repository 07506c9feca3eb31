//! Warnings about policies that are right and most likely do not do what their author wants. Each
//! says what would do it. A warning that is wrong about a good policy is a defect.

mod hooks;
mod paths;
mod reach;
mod sets;
mod workloads;

use tetragon_api::plan::Mode;
use tetragon_api::workload::Workloads;

use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{HookDraft, MatcherDraft};
use crate::source::Place;

/// Looks at a policy without errors. `spec` and `mode` are where these stand.
pub(crate) fn run(
    cx: &mut Cx<'_>,
    policy: &[HookDraft],
    spec: &Place,
    mode: (Mode, Option<&Place>),
    asked: Option<&Workloads>,
) {
    if policy.is_empty() {
        cx.report(Code::NoHooks, spec, "the policy watches nothing")
            .help("write kprobes, lsmhooks or tracepoints");
    }
    let enforces = policy.iter().flat_map(|h| &h.selectors).any(|s| s.actions.enforces());
    if let (Mode::Monitor, Some(place)) = mode
        && !enforces
    {
        cx.report(
            Code::NoEffect,
            place,
            "policy-mode monitor changes nothing: no action of the policy enforces",
        )
        .help("leave it out, or add Sigkill, Signal or Override to a selector");
    }
    for hook in policy {
        hooks::exec_binary(cx, hook);
        hooks::too_late(cx, hook);
        hooks::no_such_arg(cx, hook);
        paths::look(cx, hook);
        reach::contradictions(cx, hook);
        reach::selectors(cx, hook);
        workloads::look(cx, hook, asked);
    }
}

/// Where a value of a matcher stands.
fn value_place(matcher: &MatcherDraft, position: usize) -> &Place {
    matcher.values.get(position).unwrap_or(&matcher.place)
}
