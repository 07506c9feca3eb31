//! Warnings about policies that are right and most likely do not do what their author wants.

use tetragon_api::plan::Mode;

use crate::codes::Code;
use crate::diagnostic::Cx;
use crate::draft::HookDraft;
use crate::node::Place;

/// Looks at a policy without errors.
pub(crate) fn run(cx: &mut Cx<'_>, hooks: &[HookDraft], _mode: Mode) {
    if hooks.is_empty() {
        let place = Place { path: "spec".into(), span: None };
        cx.report(Code::NoHooks, &place, "the policy watches nothing")
            .help("write kprobes, lsmhooks or tracepoints");
    }
}
