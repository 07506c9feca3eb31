//! A policy between the tree and the Plan: compiled, with the places that the lints point at.

use tetragon_api::plan::{Actions, Arg, ArgType, Hook, Matcher, Selector, Target};

use crate::source::Place;

/// One entry of a section, for all the functions that it names.
pub(crate) struct HookDraft {
    /// The entry.
    pub(crate) place: Place,
    pub(crate) targets: Vec<Target>,
    pub(crate) ignore_missing: bool,
    pub(crate) message: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) args: Vec<ArgDraft>,
    pub(crate) selectors: Vec<SelectorDraft>,
}

/// What kind of thing a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookKind {
    Function,
    Syscall,
    Lsm,
    Tracepoint,
    RawTracepoint,
}

impl HookKind {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            HookKind::Function => "a kernel function",
            HookKind::Syscall => "a system call",
            HookKind::Lsm => "an LSM hook",
            HookKind::Tracepoint => "a tracepoint",
            HookKind::RawTracepoint => "a raw tracepoint",
        }
    }
}

/// An entry of `args`. What could not be read is `None`: the entry keeps its position.
#[derive(Clone)]
pub(crate) struct ArgDraft {
    pub(crate) place: Place,
    pub(crate) index: Option<u32>,
    pub(crate) ty: Option<ArgType>,
    pub(crate) label: Option<String>,
}

/// A selector, its macros merged in.
pub(crate) struct SelectorDraft {
    pub(crate) place: Place,
    pub(crate) label: Option<String>,
    pub(crate) matchers: Vec<MatcherDraft>,
    pub(crate) actions: Actions,
    /// The first action that does more than report.
    pub(crate) enforcing: Option<Place>,
}

/// A matcher, not normalised: its values stand in the order of `values`.
pub(crate) struct MatcherDraft {
    pub(crate) matcher: Matcher,
    pub(crate) place: Place,
    pub(crate) values: Vec<Place>,
}

impl MatcherDraft {
    /// How many values a Plan has for it.
    pub(crate) fn size(&self) -> usize {
        let Matcher::Workload(workloads) = &self.matcher else { return self.values.len() };
        let pods = workloads.pods.iter().flat_map(|p| [&p.labels, &p.containers]).flatten();
        pods.map(|s| {
            let values: usize = s.match_expressions.iter().map(|r| 1 + r.values.len()).sum();
            s.match_labels.len() + values
        })
        .sum()
    }
}

impl HookDraft {
    /// The hooks of the Plan, one for each target. `None` if something could not be read.
    pub(crate) fn finish(&self) -> Option<Vec<Hook>> {
        let args = self
            .args
            .iter()
            .map(|a| Some(Arg { index: a.index?, ty: a.ty?, label: a.label.clone() }))
            .collect::<Option<Vec<_>>>()?;
        let mut selectors: Vec<Selector> = self
            .selectors
            .iter()
            .map(|s| Selector {
                label: s.label.clone(),
                matchers: s.matchers.iter().map(|m| m.matcher.clone()).collect(),
                actions: s.actions.clone(),
            })
            .collect();
        if selectors.is_empty() {
            selectors.push(Selector::default());
        }
        let hooks = self.targets.iter().map(|target| Hook {
            field: self.place.path.clone(),
            target: target.clone(),
            ignore_missing: self.ignore_missing,
            message: self.message.clone(),
            tags: self.tags.clone(),
            args: args.clone(),
            selectors: selectors.clone(),
        });
        Some(hooks.collect())
    }
}
