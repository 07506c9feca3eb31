//! A finding about a policy, as data. One place renders it: [`crate::render`].

use serde::Serialize;

use crate::codes::{Code, Severity};
use crate::feature::Feature;
use crate::source::Span;

/// A second place that belongs to a finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// A finding. `message` and `help` are one line each, in lower case, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Diagnostic {
    /// Kind of finding; [`crate::explain`] has its page.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// File; empty for an object that was no file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Name of the policy, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Namespace of the policy, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The part of the language that this build lacks, if that is all that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<Feature>,
    /// Path of the field: `spec.kprobes[0].call`. Empty for the document itself.
    pub field: String,
    /// What is wrong, and why.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// YAML that would be right, when a line cannot hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Where; `None` for an object that was no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Other places that belong to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
}

impl Diagnostic {
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(one_line(help.into()));
        self
    }

    pub(crate) fn fix(&mut self, fix: impl Into<String>) -> &mut Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn label(&mut self, span: Option<Span>, text: impl Into<String>) -> &mut Self {
        self.labels.extend(span.map(|span| Label { span, text: text.into() }));
        self
    }
}

/// Control characters of a policy's values do not reach a terminal or break a line.
pub(crate) fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
