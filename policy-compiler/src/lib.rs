//! TracingPolicy to Plan: a pure function from text to diagnostics and Plans, the same in the
//! operator, in the agent and in the command line.
//!
//! No I/O, no clock, no kernel, no cluster. It never stops at the first finding and never panics:
//! broken input gives diagnostics and no Plan.
//!
//! ```
//! let text = "
//! apiVersion: cilium.io/v1alpha1
//! kind: TracingPolicy
//! metadata: {name: opens}
//! spec:
//!   kprobes:
//!   - call: security_file_open
//! ";
//! let compiled = tetragon_compiler::compile_yaml("opens.yaml", text);
//! assert_eq!(
//!     compiled.diagnostics[0].one_line(),
//!     "opens.yaml:7:11: error[syscall-default] spec.kprobes[0].call: \"security_file_open\" looks like a \
//!      kernel function, and syscall is true (its default); say syscall: false for a kernel function; \
//!      a system call is written sys_NAME"
//! );
//! assert!(compiled.policies[0].plan.is_none());
//! ```
#![warn(missing_docs)]

mod action;
mod args;
mod call;
mod codes;
mod context;
mod diagnostic;
mod draft;
mod feature;
pub mod interpret;
mod json;
mod labels;
mod lint;
mod list;
mod locate;
mod match_args;
mod names;
mod node;
pub mod normalise;
mod policy;
mod render;
mod schema;
mod selector;
mod signatures;
mod source;
mod suggest;
mod syscalls;
mod value;
mod workloads;
mod yaml;

use std::collections::HashSet;

use tetragon_api::plan::Plan;

pub use codes::{Code, FOUND_ELSEWHERE, Severity, explain};
pub use diagnostic::{Diagnostic, Label};
pub use feature::Feature;
pub use list::LIST_KINDS;
pub use locate::locate;
pub use source::Span;

use context::{Cx, Kept, Owner};
use node::quote;
use source::Source;

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// Its policies, in the order of the file. Documents that are no policy are not among them.
    pub policies: Vec<CompiledPolicy>,
    /// How many objects of other kinds it has.
    pub passed_over: usize,
    /// The findings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Some finding is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// For a file that is there for its policies: an error if all that it has is of other kinds.
    #[must_use]
    pub fn or_no_policy(mut self) -> Self {
        if self.policies.is_empty() && self.passed_over > 0 && !self.has_errors() {
            let file = self.diagnostics.first().map(|d| d.file.clone()).unwrap_or_default();
            let message = match self.passed_over {
                1 => "the file has no policy, only an object of another kind".to_owned(),
                n => format!("the file has no policy, only {n} objects of other kinds"),
            };
            let help = "give a file with a TracingPolicy or TracingPolicyNamespaced";
            self.diagnostics.extend(only(&file, "", Code::NoPolicy, 0, &message, help).diagnostics);
        }
        self
    }

    /// A finding as people read it: one line, its place in `text` and the fix. It names the policy if there are
    /// several.
    pub fn render(&self, finding: &Diagnostic, text: &str, colour: bool) -> String {
        finding.rendered(text, colour, self.policies.len() > 1)
    }

    /// Its first line.
    pub fn one_line(&self, finding: &Diagnostic) -> String {
        finding.line(self.policies.len() > 1)
    }
}

/// A policy of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledPolicy {
    /// `metadata.name`; empty if it has none.
    pub name: String,
    /// `metadata.namespace` of a TracingPolicyNamespaced.
    pub namespace: Option<String>,
    /// The Plan, if the policy has no error.
    pub plan: Option<Plan>,
    /// The parts of the language that it needs and this build lacks, and the code that says so; sorted.
    pub lacks: Vec<(Feature, Code)>,
    /// Errors besides these.
    pub mistakes: usize,
    /// The text of its document, or of its item in a list; empty for an object that was no text.
    pub source: String,
}

impl CompiledPolicy {
    /// `NAMESPACE/NAME`, or the name alone; `None` if it has no name.
    pub fn full_name(&self) -> Option<String> {
        let named = !self.name.is_empty();
        named.then(|| render::full_name(&self.name, self.namespace.as_deref()))
    }

    fn new(read: policy::Read, source: &str) -> Self {
        CompiledPolicy {
            name: read.name,
            namespace: read.namespace,
            plan: read.plan,
            lacks: Vec::new(),
            mistakes: 0,
            source: source.to_owned(),
        }
    }
}

/// Compiles a file with any number of documents, and lists of policies among them. `file_name` is for the
/// diagnostics only.
pub fn compile_yaml(file_name: &str, text: &str) -> Compiled {
    let source = Source::new(file_name, text);
    let mut cx = Cx::new(&source);
    let documents = yaml::parse(&mut cx);
    if !cx.found() && documents.iter().all(|d| d.root.value == node::Value::Null) {
        let place = source::Place { path: String::new(), span: Some(0..0) };
        cx.report(Code::NoPolicy, &place, "the file has no policy")
            .help("write apiVersion, kind, metadata and spec");
    }
    let parts = list::split(&mut cx, documents);
    parts.assign(&mut cx);
    cx.end(None);
    let mut names = HashSet::new();
    let mut policies = Vec::new();
    for (n, part) in parts.policies.iter().enumerate() {
        cx.begin(n, part.owner());
        let read =
            if part.is_small(&mut cx) { policy::read(&mut cx, &part.root) } else { policy::Read::default() };
        if let Some(place) = &read.place
            && !names.insert((read.name.clone(), read.namespace.clone()))
        {
            let message = format!("the file has a policy {} already", quote(&read.name));
            cx.report(Code::DuplicateName, place, message).help("give each policy a name of its own");
        }
        cx.end(Some(part.last()));
        policies.push(CompiledPolicy::new(read, &text[part.range.clone()]));
    }
    compiled(cx, policies, parts.others.len())
}

/// A policy with an error has no Plan, and says whether it lacks something or is mistaken.
fn compiled(cx: Cx<'_>, mut policies: Vec<CompiledPolicy>, passed_over: usize) -> Compiled {
    let kept = cx.finish();
    for Kept { part, at, diagnostic } in &kept {
        if diagnostic.severity != Severity::Error {
            continue;
        }
        let concerned = match (part, at) {
            (Some(part), _) => policies.get_mut(*part..=*part),
            (None, None) => policies.get_mut(..),
            (None, Some(_)) => None,
        };
        for policy in concerned.into_iter().flatten() {
            policy.plan = None;
            match diagnostic.feature {
                Some(feature) => policy.lacks.push((feature, diagnostic.code)),
                None => policy.mistakes += 1,
            }
        }
    }
    for policy in &mut policies {
        policy.lacks.sort_unstable();
        policy.lacks.dedup();
    }
    Compiled { policies, passed_over, diagnostics: kept.into_iter().map(|k| k.diagnostic).collect() }
}

/// Compiles what was read of a file. Bytes that are no text are a finding, where they stand.
pub fn compile_bytes(file_name: &str, bytes: &[u8]) -> Compiled {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return compile_yaml(file_name, text),
        Err(error) => error,
    };
    let at = error.valid_up_to();
    let message = format!("not YAML: the byte 0x{:02x} is not UTF-8", bytes.get(at).copied().unwrap_or(0));
    let text = String::from_utf8_lossy(bytes);
    only(file_name, &text, Code::YamlSyntax, at, &message, "save the file as UTF-8")
}

/// What becomes of a file that cannot be read.
pub fn unreadable(file_name: &str, why: &std::io::Error) -> Compiled {
    let help = "give the path of a file that is there and that you may read";
    only(file_name, "", Code::UnreadableFile, 0, &format!("cannot be read: {why}"), help)
}

/// One finding that leaves nothing else to be said of the file.
fn only(file_name: &str, text: &str, code: Code, at: usize, message: &str, help: &str) -> Compiled {
    let source = Source::new(file_name, text);
    let mut cx = Cx::new(&source);
    let place = source::Place { path: String::new(), span: Some(at..at) };
    cx.report(code, &place, message).help(help);
    compiled(cx, Vec::new(), 0)
}

/// Compiles an object from an API server. Its diagnostics have field paths and no positions.
pub fn compile_value(object: &serde_json::Value) -> Compiled {
    let source = Source::new("", "");
    let mut cx = Cx::new(&source);
    let document = json::node(object);
    cx.begin(0, Owner::of(&document));
    let read = policy::read(&mut cx, &document);
    cx.end(None);
    compiled(cx, vec![CompiledPolicy::new(read, "")], 0)
}
