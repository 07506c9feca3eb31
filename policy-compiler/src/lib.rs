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
mod diagnostic;
mod draft;
mod feature;
pub mod interpret;
mod json;
mod labels;
mod lint;
mod locate;
mod match_args;
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

use tetragon_api::plan::Plan;

pub use args::type_name;
pub use codes::{Code, FOUND_ELSEWHERE, explain};
pub use diagnostic::{Diagnostic, Label, Severity, Span};
pub use feature::Feature;
pub use locate::locate;

use diagnostic::Cx;
use node::quote;
use source::Source;

/// What became of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// Its policies, in the order of the file. Documents that are no policy are not among them.
    pub policies: Vec<CompiledPolicy>,
    /// The findings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Some finding is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
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
    /// The text of its document; empty for an object that was no text.
    pub source: String,
}

/// Compiles a file with any number of documents. `file_name` is for the diagnostics only.
pub fn compile_yaml(file_name: &str, text: &str) -> Compiled {
    let source = Source::new(file_name, text);
    let mut cx = Cx::new(&source);
    let documents = yaml::parse(&mut cx);
    let mut policies: Vec<CompiledPolicy> = Vec::new();
    let mut found = cx.found();
    for document in &documents {
        cx.policy = None;
        if document.root.value == node::Value::Null {
            continue;
        }
        found = true;
        let read = policy::read(&mut cx, &document.root);
        if let Some(place) = &read.place
            && policies.iter().any(|p| p.name == read.name && p.namespace == read.namespace)
        {
            let message = format!("the file has a policy {} already", quote(&read.name));
            cx.report(Code::DuplicateName, place, message).help("give each policy a name of its own");
        }
        policies.push(CompiledPolicy {
            name: read.name,
            namespace: read.namespace,
            plan: read.plan,
            source: text[document.range.clone()].to_owned(),
        });
    }
    if !found {
        let place = node::Place { path: String::new(), span: Some(0..0) };
        cx.report(Code::NoPolicy, &place, "the file has no policy")
            .help("write apiVersion, kind, metadata and spec");
    }
    let diagnostics = cx.finish();
    // Errors of the YAML itself, and of names, are found outside a policy's own check.
    for (document, policy) in
        documents.iter().filter(|d| d.root.value != node::Value::Null).zip(&mut policies)
    {
        // A finding without a place is about the whole file.
        let within = |s: Span| document.range.contains(&s.start);
        if diagnostics.iter().any(|d| d.severity == Severity::Error && d.span.is_none_or(within)) {
            policy.plan = None;
        }
    }
    Compiled { policies, diagnostics }
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
    let place = node::Place { path: String::new(), span: Some(at..at) };
    cx.report(code, &place, message).help(help);
    Compiled { policies: Vec::new(), diagnostics: cx.finish() }
}

/// Compiles an object from an API server. Its diagnostics have field paths and no positions.
pub fn compile_value(object: &serde_json::Value) -> Compiled {
    let source = Source::new("", "");
    let mut cx = Cx::new(&source);
    let read = policy::read(&mut cx, &json::node(object));
    let policy =
        CompiledPolicy { name: read.name, namespace: read.namespace, plan: read.plan, source: String::new() };
    Compiled { policies: vec![policy], diagnostics: cx.finish() }
}
