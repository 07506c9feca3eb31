//! An object from an API server to the tree that the checks walk. It has no positions.

use crate::node::{Entry, Node, Value};

/// Deepest nesting that is read. What lies deeper is dropped: no field of a policy is that deep.
const MAX_DEPTH: usize = 64;

pub(crate) fn node(value: &serde_json::Value) -> Node {
    convert(value, 0)
}

fn convert(value: &serde_json::Value, depth: usize) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        _ if depth > MAX_DEPTH => Value::Null,
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::String(s) => Value::Str(s.clone()),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::Int(i.into()),
            (_, Some(u)) => Value::Int(u.into()),
            _ => Value::Float(n.to_string()),
        },
        Json::Array(list) => Value::List(list.iter().map(|v| convert(v, depth + 1)).collect()),
        Json::Object(map) => Value::Map(
            map.iter()
                .map(|(key, v)| Entry { key: key.clone(), span: None, value: convert(v, depth + 1) })
                .collect(),
        ),
    };
    Node { value, span: None }
}
