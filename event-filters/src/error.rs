//! Why a filter cannot be used.

use std::fmt;

use tetragon_api::selector::SelectorError;
use thiserror::Error;

use crate::cel::CelError;

/// Which filter of a list cannot be used, and why. Who shows it says which list.
#[derive(Debug)]
pub struct FilterError {
    /// Which, from 0.
    pub index: usize,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}: {}", self.index, self.reason)
    }
}

impl std::error::Error for FilterError {}

/// Why a filter cannot be used.
#[derive(Debug, Error)]
pub enum Reason {
    /// It is no JSON, or no filter.
    #[error("{0}")]
    Json(serde_json::Error),
    /// A member that filters do not have.
    #[error("there is no member `{name}`; there are {known}")]
    Unknown {
        /// The member.
        name: String,
        /// What there is.
        known: String,
    },
    /// A member by both of its names.
    #[error("`{name}` is given twice, also as `{also}`; leave one out")]
    Twice {
        /// Its name.
        name: String,
        /// Its other name.
        also: String,
    },
    /// A regular expression that does not parse.
    #[error("{field}[{index}]: {source}")]
    Regex {
        /// The member.
        field: &'static str,
        /// Which of its values, from 0.
        index: usize,
        /// Why.
        source: regex::Error,
    },
    /// Regular expressions that are too much together.
    #[error("{field}: {source}")]
    Regexes {
        /// The member.
        field: &'static str,
        /// Why.
        source: regex::Error,
    },
    /// A text that is no label selector.
    #[error("labels: {0}")]
    Labels(#[from] SelectorError),
    /// An expression that is none, or not about events.
    #[error("cel_expression[{index}]: {source}")]
    Cel {
        /// Which, from 0.
        index: usize,
        /// Why.
        source: CelError,
    },
    /// Events have no capabilities.
    #[error("capabilities: events have none, so nothing would match; --enable-process-cred adds them")]
    NoCapabilities,
    /// Events have no ancestors.
    #[error(
        "ancestor_binary_regex: events of {0} have no ancestors, so it would match none of them; \
         --enable-ancestors adds them (base,kprobe,tracepoint,lsm), and event_set says which events are asked"
    )]
    NoAncestors(&'static str),
    /// Members that exclude each other, or nothing.
    #[error("capabilities.{set}: one of any, all, exactly and none is to be given, not {count}")]
    Capabilities {
        /// permitted, effective or inheritable.
        set: &'static str,
        /// How many are.
        count: usize,
    },
    /// A field filter that names nothing.
    #[error(
        "`fields` is missing; right would be {{\"fields\":\"process.cap,parent\",\"action\":\"EXCLUDE\"}}"
    )]
    NoFields,
    /// A field that no event has.
    #[error("fields: there is no `{path}` in an event: {why}")]
    NoSuchField {
        /// The path, as it was given.
        path: String,
        /// What there is instead.
        why: String,
    },
    /// An action that is neither inclusion nor exclusion.
    #[error("action: {0} is neither INCLUDE (0) nor EXCLUDE (1)")]
    Action(i32),
    /// A redaction filter that hides nothing.
    #[error(
        "`redact` is missing; right would be {{\"redact\":[\"--password[ =](\\\\S+)\"]}}: the groups in \
         parentheses are hidden"
    )]
    NoRedact,
    /// An expression of a redaction filter that hides nothing.
    #[error(
        "redact[{index}]: `{expression}` has no group, so nothing would be hidden; put what is to be hidden \
         into parentheses, such as --password[ =](\\S+)"
    )]
    NoGroup {
        /// Which, from 0.
        index: usize,
        /// The expression.
        expression: String,
    },
    /// A member that Tetragon has given up.
    #[error("`{field}` is not supported: {instead}")]
    Deprecated {
        /// The member.
        field: &'static str,
        /// What works.
        instead: &'static str,
    },
}
