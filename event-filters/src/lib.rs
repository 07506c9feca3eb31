//! Which events are let through (allow and deny lists), which of their fields are shown (field
//! filters), and what of a command line is hidden (redaction). The agent's export, its gRPC streams
//! and `tetra` for recorded events share it: no I/O, no clock.
#![warn(missing_docs)]

pub mod cel;
mod error;
mod fields;
mod json;
mod list;
mod re2;
mod redact;

use tetragon_api::event::{FieldFilter, Filter};

pub use error::{FilterError, Reason};
pub use fields::Fields;
pub use list::{FilterList, Filters, Shown};
pub use redact::{REDACTED, Redaction};

use json::{Kind, Member, parse};

/// Members of a filter.
const FILTER: &[Member] = &[
    ("ancestor_binary_regex", Kind::Plain),
    ("arguments_regex", Kind::Plain),
    ("binary_regex", Kind::Plain),
    ("capabilities", Kind::Message(CAPABILITIES)),
    ("cel_expression", Kind::Plain),
    ("container_id", Kind::Plain),
    ("container_name_regex", Kind::Plain),
    ("event_set", Kind::Plain),
    ("health_check", Kind::Plain),
    ("in_init_tree", Kind::Plain),
    ("labels", Kind::Plain),
    ("namespace", Kind::Plain),
    ("namespace_regex", Kind::Plain),
    ("parent_arguments_regex", Kind::Plain),
    ("parent_binary_regex", Kind::Plain),
    ("pid", Kind::Integers),
    ("pid_set", Kind::Integers),
    ("pod_regex", Kind::Plain),
    ("policy_names", Kind::Plain),
];

/// Those of its `capabilities`.
const CAPABILITIES: &[Member] = &[
    ("effective", Kind::Message(CAPABILITY_SET)),
    ("inheritable", Kind::Message(CAPABILITY_SET)),
    ("permitted", Kind::Message(CAPABILITY_SET)),
];

const CAPABILITY_SET: &[Member] =
    &[("all", Kind::Plain), ("any", Kind::Plain), ("exactly", Kind::Plain), ("none", Kind::Plain)];

const FIELD_FILTER: &[Member] = &[
    ("action", Kind::Plain),
    ("event_set", Kind::Plain),
    ("fields", Kind::Plain),
    ("invert_event_set", Kind::Plain),
];

/// Reads filters: JSON objects, one after the other.
pub fn parse_filters(text: &str) -> Result<Vec<Filter>, FilterError> {
    parse(text, FILTER)
}

/// Reads field filters: JSON objects, one after the other.
pub fn parse_field_filters(text: &str) -> Result<Vec<FieldFilter>, FilterError> {
    parse(text, FIELD_FILTER)
}
