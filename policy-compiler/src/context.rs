//! What the checks share: the text, the policy that is checked, and the findings so far.

use std::collections::HashSet;
use std::ops::Range;

use crate::codes::{Code, Severity};
use crate::diagnostic::{Diagnostic, one_line};
use crate::feature::Feature;
use crate::source::{Place, Source, Span};

/// What the checks share: the text, the policy that is checked, and the findings.
pub(crate) struct Cx<'a> {
    pub(crate) source: &'a Source<'a>,
    part: Option<usize>,
    owner: Owner,
    kept: Vec<Kept>,
    errors: usize,
    /// Where the findings of the part that is checked begin.
    since: usize,
    /// Findings of this part that are not kept; the last one stays for the help that is added to it.
    more: usize,
    last: Option<Diagnostic>,
}

/// The policy that findings are about, as far as it can be named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
}

/// A finding and what it is about.
pub(crate) struct Kept {
    /// The policy, by its number in the text.
    pub(crate) part: Option<usize>,
    /// The byte; `None`: the whole text.
    pub(crate) at: Option<usize>,
    pub(crate) diagnostic: Diagnostic,
}

/// Most findings of one policy that are kept, and of the YAML itself.
const MOST: usize = 500;
/// Most findings of a text. Policies beyond keep [`FEW`], so that each still says what is wrong with it.
const MOST_OF_TEXT: usize = 20_000;
const FEW: usize = 4;

impl<'a> Cx<'a> {
    pub(crate) fn new(source: &'a Source<'a>) -> Self {
        Cx {
            source,
            part: None,
            owner: Owner::default(),
            kept: Vec::new(),
            errors: 0,
            since: 0,
            more: 0,
            last: None,
        }
    }

    /// Adds a finding; its help, fix and labels follow.
    pub(crate) fn report(
        &mut self,
        code: Code,
        place: &Place,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let keep = self.kept.len() - self.since < self.room();
        let diagnostic = Diagnostic {
            code,
            severity: code.severity(),
            file: self.source.file.to_owned(),
            policy: self.owner.name.clone(),
            namespace: self.owner.namespace.clone(),
            feature: None,
            field: one_line(place.path.clone()),
            message: one_line(message.into()),
            help: None,
            fix: None,
            span: if keep { self.span(place.span.as_ref()) } else { None },
            labels: Vec::new(),
        };
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if !keep {
            self.more += 1;
            return self.last.insert(diagnostic);
        }
        let (part, at) = (self.part, diagnostic.span.map(|s| s.start));
        self.kept.push(Kept { part, at, diagnostic });
        let last = self.kept.len() - 1;
        &mut self.kept[last].diagnostic
    }

    /// Adds a finding that a part of the language is missing here.
    pub(crate) fn lacks(
        &mut self,
        feature: Feature,
        place: &Place,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let finding = self.report(Code::NotSupportedYet, place, message);
        finding.feature = Some(feature);
        finding
    }

    pub(crate) fn span(&self, range: Option<&Range<usize>>) -> Option<Span> {
        range.map(|r| self.source.span(r))
    }

    /// Errors so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Something was found.
    pub(crate) fn found(&self) -> bool {
        !self.kept.is_empty()
    }

    /// What was found so far.
    pub(crate) fn kept(&mut self) -> &mut Vec<Kept> {
        &mut self.kept
    }

    fn room(&self) -> usize {
        MOST.min(MOST_OF_TEXT.saturating_sub(self.since)).max(FEW)
    }

    /// The next findings are about this policy, the `part`th of the text.
    pub(crate) fn begin(&mut self, part: usize, owner: Owner) {
        (self.part, self.owner) = (Some(part), owner);
    }

    /// Ends what was begun: its findings in the order of the text, each once (a macro is checked wherever it is
    /// used), and how many there are more. `last`: its last byte; `None`: it is the whole text.
    pub(crate) fn end(&mut self, last: Option<usize>) {
        let mut own = self.kept.split_off(self.since);
        let mut seen = HashSet::new();
        own.retain(|k| seen.insert(k.diagnostic.clone()));
        own.sort_by_key(|k| k.at.unwrap_or(usize::MAX));
        if self.more > 0 {
            own.truncate(self.room() - 1);
        }
        self.kept.append(&mut own);
        if self.more > 0 {
            let place = Place { path: String::new(), span: None };
            let message = format!("{} more findings are not shown", self.more);
            self.report(Code::YamlLimit, &place, message).help("mend these first");
            if let Some(kept) = self.kept.last_mut() {
                kept.at = last;
            }
        }
        (self.part, self.owner, self.more) = (None, Owner::default(), 0);
        self.since = self.kept.len();
    }

    /// All findings, in the order of the text.
    pub(crate) fn finish(mut self) -> Vec<Kept> {
        self.kept.sort_by_key(|k| k.at.unwrap_or(usize::MAX));
        self.kept
    }
}
