//! Parts of Tetragon's language that this build lacks, as data on the findings about them: a summary of many
//! policies groups them by it.

use std::fmt;

use serde::{Serialize, Serializer};

/// A part of Tetragon's language that this build does not carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Fields that do one thing together, by what they do: ``return values (`return: true`)``.
    Field(&'static str),
    /// An argument type.
    ArgumentType(&'static str),
    /// An operator of `matchArgs`.
    Operator(&'static str),
    /// A matcher of a selector.
    Matcher(&'static str),
    /// An action.
    Action(&'static str),
    /// An option of `spec.options`.
    Option(&'static str),
    /// A type of `spec.lists`.
    ListType(&'static str),
}

impl Feature {
    /// `return: true` and the fields that belong to it.
    pub(crate) const RETURN: Feature = Feature::Field("return values (`return: true`)");
    /// Override where it takes CONFIG_BPF_KPROBE_OVERRIDE.
    pub(crate) const OVERRIDE_SYSCALL: Feature = Feature::Field("`Override` on system calls");
    /// System calls of ABIs other than the node's own.
    pub(crate) const OTHER_ABIS: Feature = Feature::Field("32-bit system calls");
}

/// As people read it.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, name) = match self {
            Feature::Field(text) => return f.pad(text),
            Feature::ArgumentType(name) => ("argument type", name),
            Feature::Operator(name) => ("operator", name),
            Feature::Matcher(name) => ("matcher", name),
            Feature::Action(name) => ("action", name),
            Feature::Option(name) => ("option", name),
            Feature::ListType(name) => ("list type", name),
        };
        f.pad(&format!("{what} `{name}`"))
    }
}

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
