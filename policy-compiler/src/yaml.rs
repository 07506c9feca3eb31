//! YAML text to documents. Reads the parser's events rather than its tree: duplicate keys, aliases
//! and depth are judged here, and a broken document does not take the following ones with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, Tag};
use serde::de::IgnoredAny;

use crate::codes::Code;
use crate::context::Cx;
use crate::node::{Entry, Node, Value, quote};
use crate::source::Place;

/// Most bytes of a file: a list of some ten thousand policies.
const MAX_BYTES: usize = 64 << 20;
/// Most keys of a mapping.
const MAX_KEYS: usize = 4096;
/// Most nodes that aliases may add to a file.
const MAX_ALIASED: usize = 50_000;
/// Deepest nesting. A policy needs 10.
const MAX_DEPTH: usize = 64;

/// A document of a file.
pub(crate) struct Document {
    pub(crate) root: Node,
    /// Its bytes, from its first line to the next document.
    pub(crate) range: Range<usize>,
}

/// The documents of the text that could be read; what could not is reported.
pub(crate) fn parse(cx: &mut Cx<'_>) -> Vec<Document> {
    let text = cx.source.text;
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than {MAX_BYTES}", text.len());
        report(cx, Code::YamlLimit, 0..1, message, "split it into several files");
        return Vec::new();
    }
    let mut documents = Vec::new();
    let mut starts = Vec::new();
    let mut begin = text.len() - text.trim_start_matches('\u{feff}').len();
    while begin < text.len() {
        let object = json_object(text, begin);
        let reader = Reader::new(cx, begin..object.unwrap_or(text.len()));
        let stopped = reader.read(&mut documents, &mut starts);
        if let Some(end) = object {
            begin = end;
            continue;
        }
        let Some(stopped) = stopped else { break };
        // `---` at the beginning of a line ends every construct of YAML: the next document is whole.
        let Some(next) = marker_from(text, stopped).filter(|next| *next > begin) else { break };
        // The broken document ends the one before it.
        starts.extend(marker_before(text, stopped));
        begin = next;
    }
    starts.sort_unstable();
    for document in &mut documents {
        let after = starts.partition_point(|s| *s <= document.range.start);
        document.range.end = starts.get(after).copied().unwrap_or(text.len());
    }
    documents
}

/// Where a JSON object ends that another one follows, as `jq .items[]` and `kubectl get -o json -w` print them.
fn json_object(text: &str, begin: usize) -> Option<usize> {
    let rest = &text[begin..];
    if !rest.trim_start().starts_with('{') {
        return None;
    }
    let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    objects.next()?.ok()?;
    let end = objects.byte_offset();
    rest[end..].trim_start().starts_with('{').then_some(begin + end)
}

/// The first `---` at the beginning of a line, at `at` or behind it.
fn marker_from(text: &str, at: usize) -> Option<usize> {
    let from = text.floor_char_boundary(at.saturating_sub(1));
    text[from..].find("\n---").map(|i| from + i + 1)
}

/// The last one before `at`.
fn marker_before(text: &str, at: usize) -> Option<usize> {
    text[..text.floor_char_boundary(at)].rfind("\n---").map(|i| i + 1)
}

fn report(cx: &mut Cx<'_>, code: Code, range: Range<usize>, message: String, help: &str) {
    let place = Place { path: String::new(), span: Some(range) };
    cx.report(code, &place, message).help(help);
}

fn duplicate(cx: &mut Cx<'_>, path: String, name: &str, span: Range<usize>, first: Option<&Range<usize>>) {
    let place = Place { path, span: Some(span) };
    let first = cx.span(first);
    cx.report(Code::DuplicateKey, &place, format!("the key {} stands twice in one mapping", quote(name)))
        .help("keep one of them")
        .label(first, "it is already here");
}

/// A collection that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// Key of a mapping that waits for its value.
    key: Option<Key>,
}

struct Key {
    name: Option<String>,
    span: Range<usize>,
}

/// Builds the trees of a run of documents, from byte `base` to `end`.
struct Reader<'c, 'a> {
    cx: &'c mut Cx<'a>,
    base: usize,
    end: usize,
    chars: Chars<'a>,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    aliased: usize,
    root: Option<Node>,
}

impl<'c, 'a> Reader<'c, 'a> {
    fn new(cx: &'c mut Cx<'a>, run: Range<usize>) -> Self {
        let Range { start: base, end } = run;
        let chars = Chars::new(&cx.source.text[base..end]);
        Reader { cx, base, end, chars, stack: vec![], anchors: BTreeMap::new(), aliased: 0, root: None }
    }

    /// Adds documents until the end, or until an error: then returns the byte where it stands.
    fn read(mut self, documents: &mut Vec<Document>, starts: &mut Vec<usize>) -> Option<usize> {
        let text: &'a str = self.cx.source.text;
        let mut start = self.base;
        let mut first = true;
        for event in Parser::new_from_str(&text[self.base..self.end]) {
            let (event, marks) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = self.base + self.chars.byte(error.marker().index());
                    let message = format!("not YAML: {}", error.info());
                    // An error at the next document's marker or at the end of all is one of the last line before.
                    let rest = &text[at..];
                    let ends = rest.starts_with("---") || rest.trim().is_empty();
                    let mark = if ends { text[..at].trim_end().len() } else { at };
                    report(
                        self.cx,
                        Code::YamlSyntax,
                        mark..mark + 1,
                        message,
                        "mend the syntax here or just before",
                    );
                    return Some(at);
                }
            };
            let range = self.range(&marks);
            match event {
                Event::DocumentStart(explicit) => {
                    // What stands before the first `---` (comments) belongs to the first document.
                    start = if first || !explicit { start } else { line_start(text, range.start) };
                    first = false;
                    starts.push(start);
                }
                Event::DocumentEnd => {
                    if let Some(root) = self.root.take() {
                        documents.push(Document { root, range: start..start });
                    }
                    start = range.end;
                }
                event => {
                    if let Err(at) = self.event(event, range) {
                        return Some(at);
                    }
                }
            }
        }
        None
    }

    fn range(&mut self, marks: &Marks) -> Range<usize> {
        let start = self.base + self.chars.byte(marks.start.index());
        let end = self.base + self.chars.byte(marks.end.index());
        start..end.max(start)
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>) -> Result<(), usize> {
        let begin = range.start..range.start + 1;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(text, style, tag.as_deref(), &range);
                self.add(Node { value, span: Some(range) }, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.open(Value::List(Vec::new()), anchor, begin)?,
            Event::MappingStart(anchor, _) => self.open(Value::Map(Vec::new()), anchor, begin)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(mut open) = self.stack.pop() {
                    merge(&mut open.node);
                    self.add(open.node, open.anchor)?;
                }
            }
            Event::Alias(anchor) => self.alias(anchor, range)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, value: Value, anchor: usize, span: Range<usize>) -> Result<(), usize> {
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} levels of nesting");
            report(self.cx, Code::YamlLimit, span.clone(), message, "a policy needs ten");
            return Err(span.start);
        }
        self.stack.push(Open { node: Node { value, span: Some(span) }, anchor, key: None });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, range: Range<usize>) -> Result<(), usize> {
        let Some(node) = self.anchors.get(&anchor) else {
            report(
                self.cx,
                Code::YamlLimit,
                range.clone(),
                "an alias within its own anchor never ends".into(),
                "write the value out",
            );
            return Err(range.start);
        };
        self.aliased += size(node);
        if self.aliased > MAX_ALIASED || self.stack.len() + depth(node) > MAX_DEPTH {
            report(
                self.cx,
                Code::YamlLimit,
                range.clone(),
                format!("aliases grow to more than {MAX_ALIASED} values or {MAX_DEPTH} levels"),
                "write the values out",
            );
            return Err(range.start);
        }
        // What is wrong in an aliased value is shown where it is used.
        let mut node = node.clone();
        place_at(&mut node, &range);
        self.add(node, 0)
    }

    /// Field path of `name` in the mapping that is read.
    fn path(&self, name: &str) -> String {
        let mut path = String::new();
        for open in &self.stack {
            match (&open.node.value, &open.key) {
                (Value::List(list), _) => path.push_str(&format!("[{}]", list.len())),
                (_, Some(Key { name: Some(name), .. })) => path = Place { path, span: None }.field(name),
                _ => {}
            }
        }
        Place { path, span: None }.field(name)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), usize> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::List(list), _) => list.push(node),
            (Value::Map(map), Some(Key { name: Some(name), span })) => {
                if map.len() >= MAX_KEYS {
                    let (message, at) = (format!("a mapping has more than {MAX_KEYS} keys"), span.start);
                    report(self.cx, Code::YamlLimit, span, message, "no object of a policy has as many");
                    return Err(at);
                }
                if map.is_empty() && open.node.span.as_ref().is_some_and(|s| s.start <= span.start) {
                    open.node.span = Some(span.clone());
                }
                let first = map.iter().find(|e| e.key == name && name != "<<").map(|e| e.span.clone());
                match first {
                    Some(first) => {
                        let path = self.path(&name);
                        duplicate(self.cx, path, &name, span, first.as_ref());
                    }
                    None => map.push(Entry { key: name, span: Some(span), value: node }),
                }
            }
            (Value::Map(_), Some(Key { name: None, .. })) => {}
            (Value::Map(_), None) => {
                let span = node.span.unwrap_or(0..0);
                let name = match node.value {
                    Value::Str(s) | Value::Float(s) => Some(s),
                    Value::Int(i) => Some(i.to_string()),
                    Value::Bool(b) => Some(b.to_string()),
                    other => {
                        let message = format!("a key must be a name, not {}", other.describe());
                        report(self.cx, Code::WrongType, span.clone(), message, "write NAME: VALUE");
                        None
                    }
                };
                open.key = Some(Key { name, span });
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: &Range<usize>,
    ) -> Value {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::Str(text.into_owned()),
            Some(tag) if tag.is_yaml_core_schema() => plain(text),
            Some(tag) => {
                let message = format!("the tag {tag} means nothing in a policy");
                report(self.cx, Code::YamlSyntax, range.clone(), message, "leave the tag out");
                Value::Str(text.into_owned())
            }
            None if style == ScalarStyle::Plain => plain(text),
            None => Value::Str(text.into_owned()),
        }
    }
}

/// A scalar without quotes, as YAML's core schema reads it.
fn plain(text: Cow<'_, str>) -> Value {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::Str(text.into_owned());
    }
    let number = match unsigned.get(..2) {
        Some("0x") if unsigned == text => i128::from_str_radix(&unsigned[2..], 16).ok(),
        Some("0o") if unsigned == text => i128::from_str_radix(&unsigned[2..], 8).ok(),
        _ => text.parse().ok(),
    };
    match number {
        Some(number) => Value::Int(number),
        // `1e3` and `0.5`, not a version or an address.
        None if unsigned.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c))
            && text.parse::<f64>().is_ok() =>
        {
            Value::Float(text.into_owned())
        }
        None => Value::Str(text.into_owned()),
    }
}

/// `<<: *base` puts the fields of `base` beside those of the mapping, which win.
fn merge(node: &mut Node) {
    let Value::Map(map) = &mut node.value else { return };
    while let Some(at) = map.iter().position(|e| {
        e.key == "<<"
            && match &e.value.value {
                Value::Map(_) => true,
                Value::List(list) => list.iter().all(|n| matches!(n.value, Value::Map(_))),
                _ => false,
            }
    }) {
        let bases = match map.remove(at).value {
            Node { value: Value::List(list), .. } => list,
            node => vec![node],
        };
        for base in bases {
            let Value::Map(fields) = base.value else { continue };
            for field in fields {
                if !map.iter().any(|e| e.key == field.key) {
                    map.push(field);
                }
            }
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(list) => list.iter().map(size).sum(),
        Value::Map(map) => map.iter().map(|e| size(&e.value)).sum(),
        _ => 0,
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => 1 + map.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn place_at(node: &mut Node, range: &Range<usize>) {
    node.span = Some(range.clone());
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(|n| place_at(n, range)),
        Value::Map(map) => {
            for entry in map {
                entry.span = Some(range.clone());
                place_at(&mut entry.value, range);
            }
        }
        _ => {}
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..text.floor_char_boundary(at)].rfind('\n').map_or(0, |i| i + 1)
}

/// Character numbers (of the parser's marks) to bytes. Marks are near each other, so it walks from the
/// last one.
struct Chars<'a> {
    text: &'a str,
    last: (usize, usize),
}

impl<'a> Chars<'a> {
    fn new(text: &'a str) -> Self {
        Chars { text, last: (0, 0) }
    }

    /// The byte where a character begins; the end of the text for one that is not there.
    fn byte(&mut self, index: usize) -> usize {
        let (mut chars, mut bytes) = self.last;
        let (before, after) = self.text.split_at(bytes);
        let back = before.chars().rev().take(chars.saturating_sub(index)).map(char::len_utf8);
        for len in back {
            chars -= 1;
            bytes -= len;
        }
        for c in after.chars().take(index.saturating_sub(chars)) {
            chars += 1;
            bytes += c.len_utf8();
        }
        self.last = (chars, bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_found_forwards_and_backwards() {
        let mut chars = Chars::new("aéb\u{1f600}c");
        for (index, byte) in [(0, 0), (4, 8), (1, 1), (3, 4), (2, 3), (5, 9), (99, 9), (0, 0), (5, 9)] {
            assert_eq!(chars.byte(index), byte, "{index}");
        }
    }

    #[test]
    fn scalars_are_read_as_the_core_schema_says() {
        for (text, value) in [
            ("5", Value::Int(5)),
            ("-5", Value::Int(-5)),
            ("0x1f", Value::Int(31)),
            ("0o17", Value::Int(15)),
            ("017", Value::Int(17)),
            ("1e3", Value::Float("1e3".into())),
            (".5", Value::Float(".5".into())),
            ("1.2.3", Value::Str("1.2.3".into())),
            ("10.0.0.0/8", Value::Str("10.0.0.0/8".into())),
            ("-0x5", Value::Str("-0x5".into())),
            ("0xzz", Value::Str("0xzz".into())),
            ("5é", Value::Str("5é".into())),
            ("true", Value::Bool(true)),
            ("yes", Value::Str("yes".into())),
            ("~", Value::Null),
            ("null", Value::Null),
            ("", Value::Null),
        ] {
            assert_eq!(plain(text.into()), value, "{text}");
        }
    }
}
