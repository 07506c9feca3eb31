//! What is wrong with a policy, and what is doubtful. Pure.

use kube::ResourceExt as _;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tetragon_api::plan::Plan;
use tetragon_api::policy::KIND_NAMESPACED;
use tetragon_api::published::PolicyRef;
use tetragon_compiler::{Diagnostic, Severity};

use crate::nodes::{Node, capability};
use crate::policies::compile::Version;
use crate::policies::rollout;

/// An error, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub code: &'static str,
    /// Path of the field; may be empty.
    pub field: String,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl Finding {
    /// As the compiler writes it.
    pub fn line(&self) -> String {
        let blank = if self.field.is_empty() { "" } else { " " };
        format!("error[{}]{blank}{}: {}", self.code, self.field, self.text)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The policy cannot be taken, if there are any.
    pub errors: Vec<Finding>,
    /// The most important first.
    pub warnings: Vec<String>,
}

/// Looks at a policy. `nodes`: those that have told what they can do.
pub fn check(object: &DynamicObject, nodes: &[Node]) -> Verdict {
    let mut found = tetragon_compiler::compile_value(&document(object));
    let some = |severity: Severity| found.diagnostics.iter().filter(move |d| d.severity == severity);
    let mut verdict = Verdict {
        errors: some(Severity::Error).map(finding).collect(),
        warnings: some(Severity::Warning).map(warning).collect(),
    };
    let notes: Vec<String> = some(Severity::Note).map(warning).collect();
    verdict.errors.extend(rollout(object));
    if let Some(plan) = found.policies.pop().and_then(|p| p.plan) {
        verdict.errors.extend(too_large(object, plan.clone()));
        verdict.warnings.extend(capability::warnings(&plan, nodes));
    }
    verdict.warnings.extend(notes);
    verdict
}

fn finding(d: &Diagnostic) -> Finding {
    let text = match &d.help {
        Some(help) => format!("{}; {help}", d.message),
        None => d.message.clone(),
    };
    Finding { code: d.code.id(), field: d.field.clone(), text }
}

/// Whoever shows a warning says that it is one.
fn warning(d: &Diagnostic) -> String {
    let line = d.one_line();
    line.strip_prefix("warning").unwrap_or(&line).to_owned()
}

fn rollout(object: &DynamicObject) -> Option<Finding> {
    let text = object.annotations().get(rollout::ANNOTATION)?;
    let text = rollout::parse(text).err()?;
    let field = format!("metadata.annotations[{}]", rollout::ANNOTATION);
    Some(Finding { code: "rollout-invalid", field, text })
}

/// A plan must fit into a ConfigMap.
fn too_large(object: &DynamicObject, plan: Plan) -> Option<Finding> {
    // The API server gives the uid after it has asked; it has this length.
    let uid = "00000000-0000-0000-0000-000000000000".to_owned();
    let kind = object.types.as_ref().map(|t| t.kind.clone()).unwrap_or_default();
    let policy = PolicyRef { kind, name: object.name_any(), namespace: object.namespace(), uid };
    let error = Version::new(plan, &policy, 1).err()?;
    Some(Finding { code: "plan-too-large", field: "spec".to_owned(), text: error.to_string() })
}

/// What the compiler reads. The API server's own fields are none of its business.
fn document(object: &DynamicObject) -> Value {
    let (version, kind) =
        object.types.as_ref().map(|t| (t.api_version.as_str(), t.kind.as_str())).unwrap_or_default();
    let mut metadata = json!({"name": object.name_any()});
    if let Some(namespace) = object.namespace().filter(|_| kind == KIND_NAMESPACED) {
        metadata["namespace"] = namespace.into();
    }
    let mut document = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
    if let Some(spec) = object.data.get("spec") {
        document["spec"] = spec.clone();
    }
    document
}
