//! Events as data whose members are asked for by name, and what members there are: for languages
//! that filters are written in. `examples/generate.rs` writes the tables from the proto files.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::{Duration, GetEventsResponse, Timestamp};

#[rustfmt::skip]
#[path = "../generated/fields.rs"]
#[expect(deprecated, reason = "generated; deprecated members are part of the contract too")]
mod tables;

pub use tables::{ENUMS, EVENTS};

/// A member's name as the proto files have it, from the one that protobuf's JSON may have: `startTime` is
/// `start_time`.
pub fn snake_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// What a message has.
#[derive(Debug)]
pub struct Schema {
    /// Its name, `Process`.
    pub name: &'static str,
    /// Its members, as the proto files order them.
    pub fields: &'static [FieldSchema],
}

/// A member of a message.
#[derive(Debug)]
pub struct FieldSchema {
    /// Its name in the proto files and in JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// It is there also at its zero value: a member of a oneof.
    pub explicit: bool,
}

/// What a member holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int32`, `int64`, or an enum by its number.
    Int,
    /// `uint32`, `uint64`.
    Uint,
    /// `string`.
    Text,
    /// `bytes`.
    Bytes,
    /// A point in time.
    Timestamp,
    /// A length of time.
    Duration,
    /// A scalar that may be missing, such as `google.protobuf.UInt32Value`.
    Wrapper(&'static Kind),
    /// Another message.
    Message(&'static Schema),
    /// Any number of these.
    List(&'static Kind),
    /// Texts by their names.
    Map,
}

/// An enum: its name, and its values by name.
pub type Enum = (&'static str, &'static [(&'static str, i32)]);

/// The value of a member.
#[derive(Clone, Debug)]
pub enum Field<'a> {
    /// A message or wrapped scalar that is not there.
    Unset,
    /// A truth value.
    Bool(bool),
    /// A signed number, or an enum.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A point in time.
    Timestamp(&'a Timestamp),
    /// A length of time.
    Duration(&'a Duration),
    /// A message.
    Message(&'a dyn Message),
    /// A list.
    List(Vec<Field<'a>>),
    /// Texts by their names.
    Map(&'a BTreeMap<String, String>),
}

impl Field<'_> {
    /// The zero value of its type, which protobuf does not send.
    pub fn is_zero(&self) -> bool {
        match self {
            Field::Unset => true,
            Field::Bool(value) => !value,
            Field::Int(value) => *value == 0,
            Field::Uint(value) => *value == 0,
            Field::Text(value) => value.is_empty(),
            Field::Bytes(value) => value.is_empty(),
            Field::List(list) => list.is_empty(),
            Field::Map(map) => map.is_empty(),
            Field::Timestamp(_) | Field::Duration(_) | Field::Message(_) => false,
        }
    }
}

/// A message that is asked by name.
pub trait Message: Debug + Send + Sync {
    /// What it has.
    fn schema(&self) -> &'static Schema;
    /// The value of a member; `None`: it has no such member.
    fn field(&self, name: &str) -> Option<Field<'_>>;
}

impl Schema {
    /// The member of this name.
    pub fn field(&self, name: &str) -> Option<&'static FieldSchema> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// The message of an event's kind by the name of its member, `process_exec`.
pub fn event_schema(name: &str) -> Option<&'static Schema> {
    EVENTS.iter().find(|(event, _)| *event == name).map(|(_, schema)| *schema)
}

/// The event's own message and the name of its member, `process_exec`.
pub fn body(event: &GetEventsResponse) -> Option<(&'static str, &dyn Message)> {
    event.event.as_ref().map(tables::body)
}

/// A value of a generated struct as a [`Field`].
trait ToField {
    fn to_field(&self) -> Field<'_>;
}

impl ToField for bool {
    fn to_field(&self) -> Field<'_> {
        Field::Bool(*self)
    }
}

impl ToField for i32 {
    fn to_field(&self) -> Field<'_> {
        Field::Int((*self).into())
    }
}

impl ToField for i64 {
    fn to_field(&self) -> Field<'_> {
        Field::Int(*self)
    }
}

impl ToField for u32 {
    fn to_field(&self) -> Field<'_> {
        Field::Uint((*self).into())
    }
}

impl ToField for u64 {
    fn to_field(&self) -> Field<'_> {
        Field::Uint(*self)
    }
}

impl ToField for String {
    fn to_field(&self) -> Field<'_> {
        Field::Text(self)
    }
}

impl ToField for Vec<u8> {
    fn to_field(&self) -> Field<'_> {
        Field::Bytes(self)
    }
}

impl ToField for Timestamp {
    fn to_field(&self) -> Field<'_> {
        Field::Timestamp(self)
    }
}

impl ToField for Duration {
    fn to_field(&self) -> Field<'_> {
        Field::Duration(self)
    }
}

impl ToField for BTreeMap<String, String> {
    fn to_field(&self) -> Field<'_> {
        Field::Map(self)
    }
}

impl<T: ToField> ToField for Option<T> {
    fn to_field(&self) -> Field<'_> {
        self.as_ref().map_or(Field::Unset, ToField::to_field)
    }
}

/// A repeated member. Not of `Vec` itself: `Vec<u8>` is one value.
fn list<T: ToField>(values: &[T]) -> Field<'_> {
    Field::List(values.iter().map(ToField::to_field).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event() -> GetEventsResponse {
        let value = json!({"process_kprobe": {
            "process": {"pid": 0, "binary": "/bin/cat", "pod": {"pod_labels": {"app": "web"}}},
            "args": [{"int_arg": 0}, {"sock_arg": {"saddr": "10.0.0.1", "sport": 80}}],
            "action": "KPROBE_ACTION_POST", "tags": ["a", "b"]
        }});
        serde_json::from_value(value).unwrap()
    }

    fn message(field: Option<Field<'_>>) -> &dyn Message {
        match field {
            Some(Field::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn members_are_found_by_the_names_of_the_json() {
        let event = event();
        let (name, kprobe) = body(&event).unwrap();
        assert_eq!((name, kprobe.schema().name), ("process_kprobe", "ProcessKprobe"));
        let process = message(kprobe.field("process"));
        assert!(matches!(process.field("binary"), Some(Field::Text("/bin/cat"))));
        // A wrapped 0 is there, a missing one is not.
        assert!(matches!(process.field("pid"), Some(Field::Uint(0))));
        assert!(matches!(process.field("uid"), Some(Field::Unset)));
        assert!(process.field("colour").is_none());
        let pod = message(process.field("pod"));
        assert!(matches!(pod.field("pod_labels"), Some(Field::Map(map)) if map["app"] == "web"));
        assert!(matches!(kprobe.field("action"), Some(Field::Int(1))));
        let Some(Field::List(args)) = kprobe.field("args") else { panic!() };
        let first = message(args.first().cloned());
        assert!(matches!(first.field("int_arg"), Some(Field::Int(0))));
        assert!(matches!(first.field("string_arg"), Some(Field::Unset)));
        assert!(first.schema().field("int_arg").unwrap().explicit);
    }

    /// Every member that the tables name is there, and holds what they say.
    #[test]
    fn tables_and_values_agree() {
        fn check(message: &dyn Message) {
            for member in message.schema().fields {
                let value = message.field(member.name).unwrap_or_else(|| panic!("{member:?}"));
                let fits = match (member.kind, &value) {
                    (_, Field::Unset) => true,
                    (Kind::Wrapper(Kind::Bool) | Kind::Bool, Field::Bool(_))
                    | (Kind::Wrapper(Kind::Int) | Kind::Int, Field::Int(_))
                    | (Kind::Wrapper(Kind::Uint) | Kind::Uint, Field::Uint(_))
                    | (Kind::Text, Field::Text(_))
                    | (Kind::Bytes, Field::Bytes(_))
                    | (Kind::Timestamp, Field::Timestamp(_))
                    | (Kind::Duration, Field::Duration(_))
                    | (Kind::List(_), Field::List(_))
                    | (Kind::Map, Field::Map(_)) => true,
                    (Kind::Message(schema), Field::Message(inner)) => {
                        check(*inner);
                        inner.schema().name == schema.name
                    }
                    _ => false,
                };
                assert!(fits, "{}.{}: {value:?}", message.schema().name, member.name);
            }
        }
        let event = event();
        check(body(&event).unwrap().1);
        assert_eq!(EVENTS.len(), 11);
        assert!(event_schema("process_exec").is_some() && event_schema("node_name").is_none());
        let actions = ENUMS.iter().find(|(name, _)| *name == "KprobeAction").unwrap().1;
        assert!(actions.contains(&("KPROBE_ACTION_SIGKILL", 3)));
    }
}
