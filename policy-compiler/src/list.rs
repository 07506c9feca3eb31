//! The policies of a text: its documents, and the items of the lists that kubectl prints. Objects of other
//! kinds are passed over with a note.

use std::ops::Range;

use tetragon_api::policy::{API_VERSION, KIND, KIND_NAMESPACED};

use crate::codes::Code;
use crate::context::{Cx, Owner};
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Item, Node, Value, quote};
use crate::policy::meant_as_policy;
use crate::render::full_name;
use crate::schema;
use crate::source::Place;
use crate::yaml::Document;

/// A policy, or what is meant as one.
pub(crate) struct Part {
    pub(crate) root: Node,
    /// Its bytes.
    pub(crate) range: Range<usize>,
    /// Where it stands in its document: `items[3]`; empty for the document itself.
    path: String,
}

/// What a text consists of.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) policies: Vec<Part>,
    /// Bytes of the objects of other kinds.
    pub(crate) others: Vec<Range<usize>>,
}

/// A list of policies.
struct ListKind {
    kind: &'static str,
    api_version: &'static str,
    /// Kind of its items, which API servers leave out of them.
    of: Option<&'static str>,
}

const LISTS: [ListKind; 3] = [
    ListKind { kind: "List", api_version: "v1", of: None },
    ListKind { kind: "TracingPolicyList", api_version: API_VERSION, of: Some(KIND) },
    ListKind { kind: "TracingPolicyNamespacedList", api_version: API_VERSION, of: Some(KIND_NAMESPACED) },
];

/// Kinds of the lists whose items are compiled.
pub const LIST_KINDS: [&str; 3] = [LISTS[0].kind, LISTS[1].kind, LISTS[2].kind];

/// Most policies of a text.
const MOST_POLICIES: usize = 20_000;
/// Most bytes of a policy. An API server takes objects of up to 1.5 MiB.
const MOST_BYTES: usize = 4 << 20;
/// Most objects of other kinds that are named one by one.
const MOST_OTHERS: usize = 20;

/// Takes the documents apart.
pub(crate) fn split(cx: &mut Cx<'_>, documents: Vec<Document>) -> Parts {
    let mut parts = Parts::default();
    for Document { root, range } in documents {
        if root.value != Value::Null {
            parts.add(cx, Part { root, range, path: String::new() });
        }
    }
    if let Some(more) = parts.others.len().checked_sub(MOST_OTHERS).filter(|n| *n > 0) {
        let place = Place { path: String::new(), span: parts.others.get(MOST_OTHERS).cloned() };
        cx.report(
            Code::OtherKind,
            &place,
            format!("{more} more objects that are no policies are passed over"),
        )
        .help(POLICIES);
    }
    if parts.policies.len() > MOST_POLICIES {
        let place = Place { path: String::new(), span: None };
        let message = format!("{} policies in one text; {MOST_POLICIES} are possible", parts.policies.len());
        cx.report(Code::TooMany, &place, message).help("split it into several files");
        parts.policies.clear();
    }
    parts
}

const POLICIES: &str = "policies are of kind TracingPolicy or TracingPolicyNamespaced";

impl Parts {
    fn add(&mut self, cx: &mut Cx<'_>, part: Part) {
        let kind = part.root.text("kind");
        if let Some(list) = LISTS.iter().find(|l| Some(l.kind) == kind) {
            self.list(cx, part, list);
        } else if let Some(kind) = kind.filter(|kind| !meant_as_policy(kind, &part.root)) {
            self.pass_over(cx, &part, kind);
        } else {
            self.policies.push(part);
        }
    }

    fn pass_over(&mut self, cx: &mut Cx<'_>, part: &Part, kind: &str) {
        if self.others.len() < MOST_OTHERS {
            let metadata = part.root.member("metadata");
            let text = |name| metadata.and_then(|m| m.value.text(name)).filter(|t| !t.is_empty());
            let name = text("name").map(|name| format!(" {}", full_name(name, text("namespace"))));
            let what =
                if kind.chars().all(|c| c.is_ascii_alphanumeric()) { kind.to_owned() } else { quote(kind) };
            let span = part.root.member("kind").and_then(|e| e.value.span.clone());
            let place = Place { path: part.field("kind"), span };
            let message = format!("{what}{} is no policy, and is passed over", name.unwrap_or_default());
            cx.report(Code::OtherKind, &place, message).help(POLICIES);
        }
        self.others.push(part.range.clone());
    }

    fn list(&mut self, cx: &mut Cx<'_>, mut part: Part, kind: &ListKind) {
        let root =
            Item { node: &part.root, place: Place { path: part.path.clone(), span: part.root.span.clone() } };
        let Some(fields) = root.fields(cx, schema::OBJECT_LIST) else { return };
        let version = fields.require(cx, "apiVersion", &format!("write apiVersion: {}", kind.api_version));
        if let Some((item, version)) = version.and_then(|item| Some((item, item.text(cx)?)))
            && version != kind.api_version
        {
            let message = format!("apiVersion {} of a {} is not known", quote(version), kind.kind);
            cx.report(Code::WrongKind, &item.place, message).help(format!("write {}", kind.api_version));
        }
        let Some((place, items)) = part.take_items(cx) else { return };
        if items.is_empty() {
            cx.report(Code::EmptyList, &place, "the list is empty: it has no policy")
                .help("kubectl prints this when nothing was found");
        }
        let end = part.after(place.span.as_ref());
        self.items(cx, items, &part, kind, end);
    }

    fn items(&mut self, cx: &mut Cx<'_>, items: Vec<Node>, list: &Part, kind: &ListKind, end: usize) {
        let starts: Vec<usize> = items.iter().map(|i| i.span.as_ref().map_or(end, |s| s.start)).collect();
        for (n, mut root) in items.into_iter().enumerate() {
            let path = format!("{}[{n}]", list.field("items"));
            let start = starts[n];
            let range = start..starts.get(n + 1).copied().unwrap_or(end).max(start);
            if !matches!(root.value, Value::Map(_)) {
                let place = Place { path, span: root.span.clone() };
                Item { node: &root, place }.entries(cx);
                continue;
            }
            if let Some(of) = kind.of {
                root.default_text("kind", of);
                root.default_text("apiVersion", kind.api_version);
            }
            self.add(cx, Part { root, range, path });
        }
    }

    /// Findings of the YAML itself get the policy that they stand in; those within objects of other kinds go.
    pub(crate) fn assign(&self, cx: &mut Cx<'_>) {
        let owners: Vec<Owner> = self.policies.iter().map(Part::owner).collect();
        let mut order: Vec<usize> = (0..self.policies.len()).collect();
        order.sort_by_key(|n| self.policies[*n].range.start);
        cx.kept().retain_mut(|kept| {
            let Some(at) = kept.at else { return true };
            if kept.diagnostic.code == Code::OtherKind {
                return true;
            }
            if let Some(n) = order[..order.partition_point(|n| self.policies[*n].range.start <= at)].last()
                && self.policies[*n].range.contains(&at)
            {
                self.policies[*n].own(&mut kept.diagnostic, &owners[*n]);
                kept.part = Some(*n);
                return true;
            }
            !self.others.iter().any(|range| range.contains(&at))
        });
    }
}

impl Part {
    /// Path of a field from the document on.
    fn field(&self, name: &str) -> String {
        Place { path: self.path.clone(), span: None }.field(name)
    }

    /// How the policy is named in findings.
    pub(crate) fn owner(&self) -> Owner {
        Owner::of(&self.root)
    }

    /// Its last byte.
    pub(crate) fn last(&self) -> usize {
        self.range.end.saturating_sub(1).max(self.range.start)
    }

    /// False, and an error: it is too large to be read.
    pub(crate) fn is_small(&self, cx: &mut Cx<'_>) -> bool {
        let bytes = self.range.len();
        if bytes > MOST_BYTES {
            let place = Place { path: String::new(), span: Some(self.range.start..self.range.start + 1) };
            let message = format!("the policy has {bytes} bytes, more than {MOST_BYTES}");
            cx.report(Code::YamlLimit, &place, message).help("split it into several policies");
        }
        bytes <= MOST_BYTES
    }

    /// A finding is about this policy: its path begins there.
    fn own(&self, diagnostic: &mut Diagnostic, owner: &Owner) {
        (diagnostic.policy, diagnostic.namespace) = (owner.name.clone(), owner.namespace.clone());
        if !self.path.is_empty()
            && let Some(rest) = diagnostic.field.strip_prefix(&self.path)
            && (rest.is_empty() || rest.starts_with('.'))
        {
            diagnostic.field = rest.trim_start_matches('.').to_owned();
        }
    }

    /// Takes the items out of a list. Go writes an empty list as null.
    fn take_items(&mut self, cx: &mut Cx<'_>) -> Option<(Place, Vec<Node>)> {
        let path = self.field("items");
        let span = self.root.span.clone();
        let Value::Map(entries) = &mut self.root.value else { return None };
        let Some(at) = entries.iter().position(|e| e.key == "items") else {
            cx.report(Code::MissingField, &Place { path, span }, "items is missing")
                .help("write items: [] for an empty list");
            return None;
        };
        let Entry { span, value, .. } = entries.remove(at);
        match value.value {
            Value::Null => Some((Place { path, span }, Vec::new())),
            Value::List(items) => Some((Place { path, span }, items)),
            _ => {
                let place = Place { path, span: value.span.clone() };
                // This says what it should be.
                Item { node: &value, place }.items(cx);
                None
            }
        }
    }

    /// Where the next field begins behind one that begins at `span`; the end if there is none.
    fn after(&self, span: Option<&Range<usize>>) -> usize {
        let start = span.map_or(self.range.start, |s| s.start);
        let Value::Map(entries) = &self.root.value else { return self.range.end };
        let spans = entries.iter().filter_map(|e| e.span.as_ref());
        spans.map(|s| s.start).filter(|s| *s > start).min().unwrap_or(self.range.end)
    }
}
