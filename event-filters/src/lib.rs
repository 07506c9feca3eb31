//! Which events are let through (allow and deny lists), which of their fields are shown (field
//! filters), and what of a command line is hidden (redaction). The agent's export, its gRPC streams
//! and `tetra` for recorded events share it: no I/O, no clock.
#![warn(missing_docs)]

pub mod cel;
mod error;
mod fields;
mod list;
mod redact;

use serde_json::{Map, Value};
use tetragon_api::event::{FieldFilter, Filter};

pub use error::{FilterError, Reason};
pub use fields::Fields;
pub use list::{FilterList, Filters};
pub use redact::{REDACTED, Redaction};

/// Members of a filter.
const FILTER_MEMBERS: &[&str] = &[
    "ancestor_binary_regex",
    "arguments_regex",
    "binary_regex",
    "capabilities",
    "cel_expression",
    "container_id",
    "container_name_regex",
    "event_set",
    "health_check",
    "in_init_tree",
    "labels",
    "namespace",
    "namespace_regex",
    "parent_arguments_regex",
    "parent_binary_regex",
    "pid",
    "pid_set",
    "pod_regex",
    "policy_names",
];

const FIELD_FILTER_MEMBERS: &[&str] = &["action", "event_set", "fields", "invert_event_set"];

/// Reads filters: JSON objects, one after the other.
pub fn parse_filters(text: &str) -> Result<Vec<Filter>, FilterError> {
    parse(text, FILTER_MEMBERS)
}

/// Reads field filters: JSON objects, one after the other.
pub fn parse_field_filters(text: &str) -> Result<Vec<FieldFilter>, FilterError> {
    parse(text, FIELD_FILTER_MEMBERS)
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, members: &[&str]) -> Result<Vec<T>, FilterError> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Value>>();
    let mut list = Vec::new();
    for (index, value) in values.enumerate() {
        let wrong = |reason| FilterError { index, reason };
        let value = value.map_err(|e| wrong(Reason::Json(e)))?;
        if let Some(name) = value.keys().find(|k| !members.contains(&k.as_str())) {
            return Err(wrong(Reason::Unknown { name: name.clone(), known: members.join(", ") }));
        }
        let value = serde_json::from_value(Value::Object(value));
        list.push(value.map_err(|e| wrong(Reason::Json(e)))?);
    }
    Ok(list)
}
