//! The tree that the checks walk: YAML and JSON alike, with or without positions.

use std::ops::Range;

use tetragon_api::policy::{KIND_NAMESPACED, NAMESPACE_DEFAULT};

use crate::codes::Code;
use crate::context::{Cx, Owner};
use crate::schema::{Field, State};
use crate::source::Place;
use crate::suggest;

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Bytes of the text; of a collection, where it begins.
    pub(crate) span: Option<Range<usize>>,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    /// As it is written.
    Float(String),
    Str(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) span: Option<Range<usize>>,
    pub(crate) value: Node,
}

impl Node {
    /// A field of a mapping.
    pub(crate) fn member(&self, name: &str) -> Option<&Entry> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|e| e.key == name)
    }

    /// A field of a mapping that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.member(name)?.value.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Gives a mapping a field that it lacks.
    pub(crate) fn default_text(&mut self, name: &str, text: &str) {
        let span = self.span.clone();
        if let Value::Map(entries) = &mut self.value
            && !entries.iter().any(|e| e.key == name && e.value.value != Value::Null)
        {
            entries.retain(|e| e.key != name);
            let value = Node { value: Value::Str(text.to_owned()), span: span.clone() };
            entries.push(Entry { key: name.to_owned(), span, value });
        }
    }
}

impl Value {
    /// The value in a message: `the number 5`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::Null => "nothing".into(),
            Value::Bool(b) => format!("the boolean {b}"),
            Value::Int(i) => format!("the number {i}"),
            Value::Float(f) => format!("the number {f}"),
            Value::Str(s) => format!("the text {}", quote(s)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }

    /// What Go leaves out of an object: it means the same as no field at all.
    fn is_unset(&self) -> bool {
        match self {
            Value::Null | Value::Bool(false) | Value::Int(0) => true,
            Value::Str(s) => s.is_empty(),
            Value::List(l) => l.is_empty(),
            _ => false,
        }
    }
}

/// A text in a message: in quotes, control characters escaped, cut when it is long.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(LONGEST).collect();
    format!("{head:?}... ({} bytes)", text.len())
}

impl Owner {
    /// The policy that a document describes, whatever else is wrong with it.
    pub(crate) fn of(document: &Node) -> Owner {
        let Some(metadata) = document.member("metadata") else { return Owner::default() };
        let text = |name| metadata.value.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let namespaced = document.text("kind") == Some(KIND_NAMESPACED);
        let namespace = || text("namespace").unwrap_or_else(|| NAMESPACE_DEFAULT.to_owned());
        Owner { name: text("name"), namespace: namespaced.then(namespace) }
    }
}

/// A node and its place.
#[derive(Clone, Debug)]
pub(crate) struct Item<'n> {
    pub(crate) node: &'n Node,
    pub(crate) place: Place,
}

impl<'n> Item<'n> {
    pub(crate) fn root(node: &'n Node) -> Self {
        Item { node, place: Place { path: String::new(), span: node.span.clone() } }
    }

    fn wrong_type(&self, cx: &mut Cx<'_>, expected: &str, help: Option<String>) {
        let found = self.node.value.describe();
        cx.report(Code::WrongType, &self.place, format!("must be {expected}, not {found}"))
            .help(help.unwrap_or_else(|| format!("write {expected}")));
    }

    /// The text of a string.
    pub(crate) fn text(&self, cx: &mut Cx<'_>) -> Option<&'n str> {
        let help = match &self.node.value {
            Value::Str(s) => return Some(s),
            Value::Int(i) => Some(format!("put it in quotes: \"{i}\"")),
            Value::Float(f) => Some(format!("put it in quotes: \"{f}\"")),
            Value::Bool(b) => Some(format!("put it in quotes: \"{b}\"")),
            _ => None,
        };
        self.wrong_type(cx, "a string", help);
        None
    }

    /// The value of a boolean.
    pub(crate) fn boolean(&self, cx: &mut Cx<'_>) -> Option<bool> {
        let help = match &self.node.value {
            Value::Bool(b) => return Some(*b),
            Value::Str(s) => match s.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some("write true, without quotes".to_owned()),
                "false" | "no" | "off" => Some("write false, without quotes".to_owned()),
                _ => None,
            },
            _ => None,
        };
        self.wrong_type(cx, "true or false", help);
        None
    }

    /// The value of an integer within `range`.
    pub(crate) fn integer(&self, cx: &mut Cx<'_>, range: std::ops::RangeInclusive<i128>) -> Option<i128> {
        match &self.node.value {
            Value::Int(i) if range.contains(i) => Some(*i),
            Value::Int(i) => {
                let (min, max) = (range.start(), range.end());
                cx.report(Code::BadValue, &self.place, format!("{i} is out of range"))
                    .help(format!("from {min} to {max} is possible"));
                None
            }
            other => {
                let help = match other {
                    Value::Str(s) if s.parse::<i128>().is_ok() => Some(format!("write {s}, without quotes")),
                    _ => None,
                };
                self.wrong_type(cx, "an integer", help);
                None
            }
        }
    }

    /// The elements of a list.
    pub(crate) fn items(&self, cx: &mut Cx<'_>) -> Vec<Item<'n>> {
        match &self.node.value {
            Value::List(list) => list
                .iter()
                .enumerate()
                .map(|(i, node)| Item {
                    node,
                    place: Place { path: format!("{}[{i}]", self.place.path), span: node.span.clone() },
                })
                .collect(),
            other => {
                let help = match other {
                    Value::Map(_) => Some("begin each element with a dash".to_owned()),
                    Value::Str(s) => Some(format!("write [{s:?}]")),
                    _ => None,
                };
                self.wrong_type(cx, "a list", help);
                Vec::new()
            }
        }
    }

    /// The fields of a mapping, unchecked.
    pub(crate) fn entries(&self, cx: &mut Cx<'_>) -> Option<Fields<'n>> {
        let Value::Map(map) = &self.node.value else {
            self.wrong_type(cx, "a mapping", None);
            return None;
        };
        let entries = map
            .iter()
            .map(|e| FieldOf {
                name: &e.key,
                key: Place { path: self.place.field(&e.key), span: e.span.clone() },
                item: Item {
                    node: &e.value,
                    // A collection is shown by its key.
                    place: Place {
                        path: self.place.field(&e.key),
                        span: match e.value.value {
                            Value::List(_) | Value::Map(_) | Value::Null => e.span.clone(),
                            _ => e.value.span.clone(),
                        },
                    },
                },
            })
            .collect();
        Some(Fields { place: self.place.clone(), entries })
    }

    /// The fields of a mapping, checked by name against `schema`: what is unknown or not supported
    /// is reported and left out.
    pub(crate) fn fields(&self, cx: &mut Cx<'_>, schema: &[Field]) -> Option<Fields<'n>> {
        let mut fields = self.entries(cx)?;
        fields.entries.retain(|f| keep(cx, f, schema));
        Some(fields)
    }
}

fn keep(cx: &mut Cx<'_>, field: &FieldOf<'_>, schema: &[Field]) -> bool {
    match schema.iter().find(|s| s.name == field.name) {
        Some(Field { state: State::Works, .. }) => field.item.node.value != Value::Null,
        Some(Field { state: State::NotYet(feature, instead), .. }) => {
            if !field.item.node.value.is_unset() {
                cx.lacks(*feature, &field.key, format!("not supported yet: {}", field.name)).help(*instead);
            }
            false
        }
        None => {
            let all: Vec<_> = schema.iter().map(|s| s.name).collect();
            let work: Vec<_> =
                schema.iter().filter(|s| matches!(s.state, State::Works)).map(|s| s.name).collect();
            let help = suggest::one_of_those(field.name, &all, &work);
            cx.report(Code::UnknownField, &field.key, format!("unknown field {}", quote(field.name)))
                .help(help);
            false
        }
    }
}

/// One field of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct FieldOf<'n> {
    pub(crate) name: &'n str,
    pub(crate) key: Place,
    pub(crate) item: Item<'n>,
}

/// The fields of a mapping. Those that are null are left out.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'n> {
    pub(crate) place: Place,
    pub(crate) entries: Vec<FieldOf<'n>>,
}

impl<'n> Fields<'n> {
    pub(crate) fn field(&self, name: &str) -> Option<&FieldOf<'n>> {
        self.entries.iter().find(|f| f.name == name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Item<'n>> {
        self.field(name).map(|f| &f.item)
    }

    /// A field that must be there; `help` says what to write.
    pub(crate) fn require(&self, cx: &mut Cx<'_>, name: &str, help: &str) -> Option<&Item<'n>> {
        let found = self.get(name);
        if found.is_none() {
            let place = Place { path: self.place.field(name), span: self.place.span.clone() };
            cx.report(Code::MissingField, &place, format!("{name} is missing")).help(help);
        }
        found
    }

    /// A text; empty means absent.
    pub(crate) fn text(&self, cx: &mut Cx<'_>, name: &str) -> Option<&'n str> {
        self.get(name)?.text(cx).filter(|s| !s.is_empty())
    }

    /// A boolean that is `default` when it is absent.
    pub(crate) fn boolean(&self, cx: &mut Cx<'_>, name: &str, default: bool) -> bool {
        self.get(name).and_then(|i| i.boolean(cx)).unwrap_or(default)
    }

    /// The elements of a list; none when it is absent.
    pub(crate) fn items(&self, cx: &mut Cx<'_>, name: &str) -> Vec<Item<'n>> {
        self.get(name).map(|i| i.items(cx)).unwrap_or_default()
    }
}
