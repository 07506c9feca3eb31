//! What a case says about an event, and whether an event is so.

use std::fmt;

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::Value;

/// A part of an event. What is not mentioned may be anything.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// Absent or empty.
    Nothing,
    /// Exactly that number, text or truth.
    Exactly(Value),
    /// A text, or a number as it is written, that the expression covers from end to end.
    Like(String, Regex),
    /// The first elements of a list.
    List(Vec<Pattern>),
    /// Some fields of an object.
    Fields(Vec<(String, Pattern)>),
}

impl Pattern {
    /// From a case's value.
    pub(crate) fn new(value: Value) -> Result<Pattern> {
        Ok(match value {
            Value::Null => Pattern::Nothing,
            Value::String(text) => match text.strip_prefix("re:") {
                Some(expression) => {
                    let whole = Regex::new(&format!(r"\A(?s:{expression})\z"))
                        .with_context(|| format!("`{text}` is no regular expression"))?;
                    Pattern::Like(text, whole)
                }
                None => Pattern::Exactly(Value::String(text)),
            },
            Value::Array(list) => Pattern::List(list.into_iter().map(Pattern::new).collect::<Result<_>>()?),
            Value::Object(fields) => Pattern::Fields(
                fields.into_iter().map(|(k, v)| Ok((k, Pattern::new(v)?))).collect::<Result<_>>()?,
            ),
            plain => Pattern::Exactly(plain),
        })
    }

    /// Whether a value is so; `None` is an absent one.
    pub(crate) fn matches(&self, value: Option<&Value>) -> bool {
        self.difference(value, "").is_none()
    }

    /// The first difference: where, what is wanted, what is there.
    pub(crate) fn difference(&self, value: Option<&Value>, path: &str) -> Option<String> {
        let wanted = |what: &str| {
            let there = value.map_or("nothing".into(), |v| shortened(&v.to_string()));
            let path = path.trim_start_matches('.');
            Some(format!("{path}: wanted {what}, there is {there}"))
        };
        match (self, value) {
            (Pattern::Nothing, None | Some(Value::Null)) => None,
            (Pattern::Nothing, Some(Value::String(text))) if text.is_empty() => None,
            (Pattern::Nothing, Some(Value::Array(list))) if list.is_empty() => None,
            (Pattern::Nothing, Some(Value::Object(fields))) if fields.is_empty() => None,
            (Pattern::Nothing, _) => wanted("nothing"),
            (Pattern::Exactly(exact), Some(value)) if equal(exact, value) => None,
            (Pattern::Exactly(exact), _) => wanted(&exact.to_string()),
            (Pattern::Like(_, whole), Some(Value::String(text))) if whole.is_match(text) => None,
            (Pattern::Like(_, whole), Some(Value::Number(n))) if whole.is_match(&n.to_string()) => None,
            (Pattern::Like(text, _), _) => wanted(text),
            (Pattern::List(patterns), Some(Value::Array(list))) => {
                let mut pairs = patterns.iter().enumerate();
                pairs.find_map(|(i, p)| p.difference(list.get(i), &format!("{path}[{i}]")))
            }
            (Pattern::List(patterns), None) if patterns.is_empty() => None,
            (Pattern::List(_), _) => wanted("a list"),
            (Pattern::Fields(patterns), Some(Value::Object(fields))) => {
                patterns.iter().find_map(|(key, p)| p.difference(fields.get(key), &format!("{path}.{key}")))
            }
            (Pattern::Fields(_), _) => wanted("an object"),
        }
    }

    /// How many of its leaves match: for choosing the event that comes nearest.
    pub(crate) fn closeness(&self, value: Option<&Value>) -> usize {
        match (self, value) {
            (Pattern::List(patterns), Some(Value::Array(list))) => {
                patterns.iter().enumerate().map(|(i, p)| p.closeness(list.get(i))).sum()
            }
            (Pattern::Fields(patterns), Some(Value::Object(fields))) => {
                1 + patterns.iter().map(|(key, p)| p.closeness(fields.get(key))).sum::<usize>()
            }
            _ => usize::from(self.matches(value)),
        }
    }
}

/// As in a case's file, on one line.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Nothing => f.write_str("null"),
            Pattern::Exactly(value) => write!(f, "{value}"),
            Pattern::Like(text, _) => write!(f, "{text:?}"),
            Pattern::List(list) => {
                let list: Vec<_> = list.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", list.join(", "))
            }
            Pattern::Fields(fields) => {
                let fields: Vec<_> = fields.iter().map(|(k, p)| format!("{k}: {p}")).collect();
                write!(f, "{{{}}}", fields.join(", "))
            }
        }
    }
}

/// Equal as values: 1 and 1.0 are one number.
fn equal(a: &Value, b: &Value) -> bool {
    a == b
        || match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64(),
            _ => false,
        }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 160 {
        return text.to_owned();
    }
    text.chars().take(157).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(pattern: Value, value: &Value) -> bool {
        Pattern::new(pattern).expect("a pattern").matches(Some(value))
    }

    #[test]
    fn subsets() {
        let event = json!({"a": {"b": "x", "n": 5, "l": [{"i": 1}, {"i": 2}], "e": "", "z": []}, "s": "8"});
        for (pattern, right) in [
            (json!({}), true),
            (json!({"a": {"b": "x"}}), true),
            (json!({"a": {"b": "y"}}), false),
            (json!({"a": {"b": "x", "c": "x"}}), false),
            (json!({"a": {"n": 5}}), true),
            (json!({"a": {"n": "5"}}), false),
            (json!({"s": 8}), false),
            (json!({"s": "8"}), true),
            (json!({"a": {"l": [{"i": 1}]}}), true),
            (json!({"a": {"l": [{}, {"i": 2}]}}), true),
            (json!({"a": {"l": [{"i": 2}]}}), false),
            (json!({"a": {"l": [{}, {}, {}]}}), false),
            (json!({"a": {"c": null, "e": null, "z": null}}), true),
            (json!({"a": {"n": null}}), false),
            (json!({"a": {"b": "re:x|y"}}), true),
            (json!({"a": {"b": "re:"}}), false),
            (json!({"a": {"n": "re:[0-9]+"}}), true),
            (json!({"a": {"n": "re:[0-4]+"}}), false),
        ] {
            assert_eq!(matches(pattern.clone(), &event), right, "{pattern}");
        }
    }

    #[test]
    fn expressions_cover_the_whole_value() {
        assert!(!matches(json!("re:b"), &json!("abc")));
        assert!(!matches(json!("re:a|b"), &json!("ab")));
        assert!(matches(json!("re:.*b.*"), &json!("a\nb\nc")));
        assert!(matches(json!("re: ?\"two words\" it's"), &json!("\"two words\" it's")));
    }

    #[test]
    fn a_difference_says_where() {
        let pattern = Pattern::new(json!({"p": {"args": [{"int_arg": 5}]}})).expect("a pattern");
        let difference = pattern.difference(Some(&json!({"p": {"args": [{"int_arg": 6}]}})), "");
        assert_eq!(difference.as_deref(), Some("p.args[0].int_arg: wanted 5, there is 6"));
        let difference = pattern.difference(Some(&json!({"p": {}})), "");
        assert_eq!(difference.as_deref(), Some("p.args: wanted a list, there is nothing"));
    }

    #[test]
    fn the_nearest_event_is_the_one_with_most_in_common() {
        let pattern = Pattern::new(json!({"p": {"a": 1, "b": 2}})).expect("a pattern");
        let near = pattern.closeness(Some(&json!({"p": {"a": 1}})));
        assert!(near > pattern.closeness(Some(&json!({"p": {}}))));
        assert!(near > pattern.closeness(Some(&json!({"q": {"a": 1, "b": 2}}))));
    }
}
