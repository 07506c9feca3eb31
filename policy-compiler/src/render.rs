//! Diagnostics as text: the only place that does it.

use std::borrow::Cow;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};

impl Diagnostic {
    /// `FILE:LINE:COL: error[CODE] FIELD: what is wrong, and what would be right`. Without file and
    /// position for an object that was no file.
    pub fn one_line(&self) -> String {
        format!("{}{}[{}]{}", self.position(), self.severity.name(), self.code.id(), self.text())
    }

    fn position(&self) -> String {
        match self.span {
            Some(span) => format!("{}:{}:{}: ", self.file, span.line, span.column),
            None if self.file.is_empty() => String::new(),
            None => format!("{}: ", self.file),
        }
    }

    fn text(&self) -> String {
        let field = if self.field.is_empty() { String::new() } else { format!(" {}", self.field) };
        match &self.help {
            Some(help) => format!("{field}: {}; {help}", self.message),
            None => format!("{field}: {}", self.message),
        }
    }

    /// The one line, then the place in `text` (the whole file that was compiled) and the fix.
    pub fn render(&self, text: &str, colour: bool) -> String {
        let mut out = if colour {
            let (start, end) = (self.colour(), "\x1b[0m");
            let label = format!("{}[{}]", self.severity.name(), self.code.id());
            format!("{}{start}{label}{end}\x1b[1m{}{end}", self.position(), self.text())
        } else {
            self.one_line()
        };
        out.push('\n');
        let mut group = Group::with_level(self.level());
        let mut shown = false;
        if let Some(span) = self.span.filter(|s| s.end <= text.len() && !text.is_empty()) {
            let mut snippet = Snippet::source(text)
                .path(self.file.as_str())
                .annotation(AnnotationKind::Primary.span(span.start..span.end.max(span.start)));
            for label in self.labels.iter().filter(|l| l.span.end <= text.len()) {
                let note = AnnotationKind::Context.span(label.span.start..label.span.end);
                snippet = snippet.annotation(note.label(Cow::from(label.text.as_str())));
            }
            group = group.element(snippet);
            shown = true;
        }
        if shown {
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
