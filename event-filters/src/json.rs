//! Filters as they are written: JSON objects, one after the other, read as protobuf's own readers do.
//! A member has its name of the proto files or that in camelCase, an integer may be a text or a float
//! without a fraction, and `null` is a member that is not there. What no filter has is an error.

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::{FilterError, Reason};

/// A member of a message, by its name in the proto files.
pub type Member = (&'static str, Kind);

/// What needs more than serde does by itself.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// Integers, also as texts.
    Integers,
    /// A message with these members.
    Message(&'static [Member]),
}

/// Reads messages that have these members.
pub fn parse<T: DeserializeOwned>(text: &str, members: &[Member]) -> Result<Vec<T>, FilterError> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Value>>();
    let mut list = Vec::new();
    for (index, value) in values.enumerate() {
        let wrong = |reason| FilterError { index, reason };
        let value = value.map_err(|e| wrong(Reason::Json(e)))?;
        let value = message(value, members).map_err(wrong)?;
        list.push(serde_json::from_value(value).map_err(|e| wrong(Reason::Json(e)))?);
    }
    Ok(list)
}

/// The message with the names and numbers that serde takes.
fn message(written: Map<String, Value>, members: &[Member]) -> Result<Value, Reason> {
    let mut read = Map::new();
    for (name, value) in written {
        let Some((member, kind)) = members.iter().find(|(m, _)| *m == name || camel_case(m) == name) else {
            let known: Vec<&str> = members.iter().map(|(m, _)| *m).collect();
            return Err(Reason::Unknown { name, known: known.join(", ") });
        };
        let value = match (kind, value) {
            (_, Value::Null) => continue,
            (Kind::Message(members), Value::Object(inner)) => message(inner, members)?,
            (kind, value) => integers(value, matches!(kind, Kind::Integers)),
        };
        if read.insert((*member).to_owned(), value).is_some() {
            return Err(Reason::Twice { name: (*member).to_owned(), also: camel_case(member) });
        }
    }
    Ok(Value::Object(read))
}

/// Integers that are written as floats, and as texts if these are no texts.
fn integers(value: Value, texts: bool) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(|v| integers(v, texts)).collect(),
        Value::String(text) if texts => match text.parse() {
            Ok(number) => integers(Value::Number(number), false),
            Err(_) => Value::String(text),
        },
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        other => other,
    }
}

/// A float without a fraction as an integer.
fn whole(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    // Beyond, not every integer is a float. Filters have 32 bits.
    let exact = float.fract() == 0.0 && float.abs() < 2f64.powi(53);
    format!("{float:.0}").parse().ok().filter(|_| exact)
}

/// `event_set` is `eventSet`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}
