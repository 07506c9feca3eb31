//! Diagnostics as text: the only place that does it.

use std::borrow::Cow;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use crate::codes::Severity;
use crate::diagnostic::Diagnostic;
use crate::names::is_subdomain;
use crate::node::quote;
use crate::source::Span;

/// Longest line that is shown, in bytes: JSON may be in one.
const LONGEST_LINE: usize = 4 << 10;

/// `NAMESPACE/NAME`, or the name alone. What cannot be a name is in quotes.
pub(crate) fn full_name(name: &str, namespace: Option<&str>) -> String {
    let word = |text: &str| if is_subdomain(text) { text.to_owned() } else { quote(text) };
    match namespace {
        Some(namespace) => format!("{}/{}", word(namespace), word(name)),
        None => word(name),
    }
}

impl Diagnostic {
    /// `FILE:LINE:COL: error[CODE] FIELD: what is wrong, and what would be right`. Without file and
    /// position for an object that was no file.
    pub fn one_line(&self) -> String {
        self.line(false)
    }

    pub(crate) fn line(&self, named: bool) -> String {
        format!("{}{}[{}]{}", self.position(), self.severity.name(), self.code.id(), self.text(named))
    }

    /// `NAMESPACE/NAME` of the policy, when it has a name.
    pub fn policy_name(&self) -> Option<String> {
        Some(full_name(self.policy.as_deref()?, self.namespace.as_deref()))
    }

    fn position(&self) -> String {
        match self.span {
            Some(span) => format!("{}:{}:{}: ", self.file, span.line, span.column),
            None if self.file.is_empty() => String::new(),
            None => format!("{}: ", self.file),
        }
    }

    fn text(&self, named: bool) -> String {
        let name = self.policy_name().filter(|_| named);
        let words = [name.unwrap_or_default(), self.field.clone()];
        let field: String = words.iter().filter(|w| !w.is_empty()).map(|w| format!(" {w}")).collect();
        match &self.help {
            Some(help) => format!("{field}: {}; {help}", self.message),
            None => format!("{field}: {}", self.message),
        }
    }

    /// The one line, then the place in `text` (the whole file that was compiled) and the fix.
    pub fn render(&self, text: &str, colour: bool) -> String {
        self.rendered(text, colour, false)
    }

    /// The same; `named`: with the policy's name before the field.
    pub(crate) fn rendered(&self, text: &str, colour: bool, named: bool) -> String {
        let mut out = if colour {
            let (start, end) = (self.colour(), "\x1b[0m");
            let label = format!("{}[{}]", self.severity.name(), self.code.id());
            format!("{}{start}{label}{end}\x1b[1m{}{end}", self.position(), self.text(named))
        } else {
            self.line(named)
        };
        out.push('\n');
        if let Some(snippet) = self.snippet(text) {
            let group = Group::with_level(self.level()).element(snippet);
            let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
            out.push_str(&renderer.decor_style(DecorStyle::Ascii).render(&[group]));
            out.push('\n');
        }
        if let Some(fix) = &self.fix {
            out.push_str("  = fix:\n");
            for line in fix.lines() {
                out.push_str("        ");
                out.push_str(line);
                out.push('\n');
            }
        }
        out
    }

    /// The lines that it is about. Only these are given to the renderer, which reads all that it gets.
    fn snippet<'t>(&'t self, text: &'t str) -> Option<Snippet<'t, Annotation<'t>>> {
        let span = self.span.filter(|s| s.end <= text.len() && !text.is_empty())?;
        let labels: Vec<_> = self.labels.iter().filter(|l| l.span.end <= text.len()).collect();
        let spans = || labels.iter().map(|l| l.span).chain([span]);
        let first = spans().min_by_key(|s| s.start)?;
        let last = spans().map(|s| s.end).max()?;
        // The bounds keep this short where a line is the whole of a long text.
        let before =
            text.get(text.floor_char_boundary(first.start.saturating_sub(LONGEST_LINE))..first.start)?;
        let after = text.get(last..text.ceil_char_boundary((last + LONGEST_LINE).min(text.len())))?;
        let begin = first.start - before.len() + before.rfind('\n').map_or(0, |i| i + 1);
        let end = last + after.find('\n').map_or(after.len(), |i| i + 1);
        let whole = |at: usize| at == 0 || at == text.len() || text.as_bytes()[at - 1] == b'\n';
        let lines = text.get(begin..end).filter(|_| whole(begin) && whole(end))?;
        let within = |s: Span| s.start - begin..s.end - begin;
        let mut snippet = Snippet::source(lines)
            .line_start(first.line)
            .path(self.file.as_str())
            .annotation(AnnotationKind::Primary.span(within(span)));
        for label in labels {
            let note = AnnotationKind::Context.span(within(label.span));
            snippet = snippet.annotation(note.label(Cow::from(label.text.as_str())));
        }
        Some(snippet)
    }

    fn level(&self) -> Level<'static> {
        match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        }
    }

    fn colour(&self) -> &'static str {
        match self.severity {
            Severity::Error => "\x1b[1;31m",
            Severity::Warning => "\x1b[1;33m",
            Severity::Note => "\x1b[1;32m",
        }
    }
}
