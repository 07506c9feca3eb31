//! Where a field stands in a policy's text, for what only a node can say about it.

use crate::context::Cx;
use crate::node::{Node, Value};
use crate::source::Source;
use crate::{list, yaml};

/// Line and column, from 1, of a field such as `spec.kprobes[0].args[1]` in a file's text. `document` is
/// the [`source`](crate::CompiledPolicy::source) of its policy. Of a hook, it is the place of the name that
/// is hooked.
pub fn locate(text: &str, document: &str, field: &str) -> Option<(usize, usize)> {
    let source = Source::new("", text);
    let mut cx = Cx::new(&source);
    let documents = yaml::parse(&mut cx);
    let parts = list::split(&mut cx, documents).policies;
    let mut node = &parts.iter().find(|p| text.get(p.range.clone()) == Some(document))?.root;
    for step in field.split('.') {
        let (name, index) = match step.split_once('[') {
            Some((name, index)) => (name, Some(index.strip_suffix(']')?.parse::<usize>().ok()?)),
            None => (step, None),
        };
        node = member(node, name)?;
        if let (Some(index), value) = (index, &node.value) {
            let Value::List(items) = value else { return None };
            node = items.get(index)?;
        }
    }
    let named = ["call", "hook", "event"].iter().find_map(|name| member(node, name));
    let span = source.span(named.unwrap_or(node).span.as_ref()?);
    Some((span.line, span.column))
}

fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|e| e.key == name).map(|e| &e.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile_yaml;

    const FILE: &str = "\
kind: TracingPolicy
metadata:
  name: a
spec:
  kprobes:
    - call: one
      syscall: false
    # the second
    - syscall: false
      args:
        - index: 0
        - type: int
          index: 1
      call: \"two\"
  lsmhooks:
  - {hook: three, args: [{index: 0}, {index: 1}]}
---
spec:
  kprobes:
  - syscall: true
---
apiVersion: v1
items:
- kind: TracingPolicy
  spec: {kprobes: [{call: four}]}
- kind: TracingPolicy
  spec:
    kprobes:
    - call: five
kind: List
";

    #[test]
    fn fields_are_found_in_their_document() {
        let documents = compile_yaml("f", FILE).policies;
        let at = |n: usize, field: &str| locate(FILE, &documents[n].source, field);
        for (document, field, place) in [
            (0, "spec.kprobes[0]", Some((6, 13))),
            (0, "spec.kprobes[1]", Some((14, 13))),
            (0, "spec.kprobes[1].args[0]", Some((11, 11))),
            (0, "spec.kprobes[1].args[1]", Some((12, 11))),
            (0, "spec.lsmhooks[0]", Some((16, 12))),
            (0, "spec.lsmhooks[0].args[1]", Some((16, 39))),
            (0, "spec.kprobes[2]", None),
            (0, "spec.tracepoints[0]", None),
            (0, "spec.kprobes[x]", None),
            (1, "spec.kprobes[0]", Some((20, 5))),
            (2, "spec.kprobes[0]", Some((25, 27))),
            (3, "spec.kprobes[0]", Some((29, 13))),
        ] {
            assert_eq!(at(document, field), place, "{field}");
        }
        assert_eq!(locate("other", &documents[1].source, "spec.kprobes[0]"), None);
    }
}
