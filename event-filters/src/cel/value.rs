//! Messages as values of expressions. They are read where they stand: a field becomes a value when
//! the expression asks for it.

use std::collections::HashMap;

use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::{
    CelBool, CelBytes, CelDuration, CelInt, CelList, CelMap, CelNull, CelString, CelTimestamp, CelUInt, Type,
};
use cel::common::value::{CowVal, Val};
use tetragon_api::event::fields::{Field, Kind, Message, Schema};

/// What a field's name begins with when the expression asks whether it is there: the interpreter takes
/// any answer for a yes, and a field that is not there has the empty value of its type.
pub(super) const HAS: &str = "?";

static MESSAGE: Type = Type::new_unspecified_type("tetragon.message");

/// A message, or one that is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageVal<'m> {
    schema: &'static Schema,
    message: Option<&'m dyn Message>,
}

impl<'m> MessageVal<'m> {
    pub(super) fn new(message: &'m dyn Message) -> MessageVal<'m> {
        MessageVal { schema: message.schema(), message: Some(message) }
    }

    pub(super) fn empty(schema: &'static Schema) -> MessageVal<'m> {
        MessageVal { schema, message: None }
    }

    fn select(&self, name: &str) -> Option<Box<dyn Val + 'm>> {
        let (name, has) = name.strip_prefix(HAS).map_or((name, false), |name| (name, true));
        let field = self.schema.field(name)?;
        let value = self.message.map_or(Some(Field::Unset), |m| m.field(name))?;
        if has {
            // A wrapped 0 was put there; a bare one is what is not there.
            let told = field.explicit || matches!(field.kind, Kind::Wrapper(_));
            let is_there = if told { !matches!(value, Field::Unset) } else { !value.is_zero() };
            return Some(Box::new(CelBool::from(is_there)));
        }
        Some(boxed(value, field.kind))
    }
}

impl Val for MessageVal<'_> {
    fn get_type(&self) -> &Type {
        &MESSAGE
    }

    fn cel_type() -> &'static Type {
        &MESSAGE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for MessageVal<'_> {
    fn get<'b, 'v>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = name.downcast_ref::<CelString<'_>>().map(CelString::inner).unwrap_or_default();
        self.select(name).map(CowVal::Owned).ok_or_else(|| ExecutionError::no_such_key(name))
    }

    fn steal<'v>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(name).map(CowVal::into_owned)
    }
}

/// A field's value. One that is not there has the empty value of its type; a wrapper is null.
fn boxed<'m>(field: Field<'m>, kind: Kind) -> Box<dyn Val + 'm> {
    match (field, kind) {
        (Field::Bool(value), _) => Box::new(CelBool::from(value)),
        (Field::Int(value), _) => Box::new(CelInt::from(value)),
        (Field::Uint(value), _) => Box::new(CelUInt::from(value)),
        (Field::Text(text), _) => Box::new(CelString::from(text)),
        (Field::Bytes(bytes), _) => Box::new(CelBytes::from(bytes)),
        (Field::Timestamp(time), _) => timestamp(time.seconds, time.nanos),
        (Field::Duration(length), _) => duration(length.seconds, length.nanos),
        (Field::Message(message), _) => Box::new(MessageVal::new(message)),
        (Field::List(list), Kind::List(inner)) => {
            let values: Vec<Box<dyn Val + 'm>> = list.into_iter().map(|f| boxed(f, *inner)).collect();
            Box::new(CelList::from(values))
        }
        (Field::Map(map), _) => {
            let pair = |(key, value): (&'m String, &'m String)| {
                let value: Box<dyn Val + 'm> = Box::new(CelString::from(value.as_str()));
                (key.as_str().into(), value)
            };
            Box::new(CelMap::from(map.iter().map(pair).collect::<HashMap<_, _>>()))
        }
        (Field::Unset | Field::List(_), kind) => empty(kind),
    }
}

/// What a field of this kind has that is not there.
fn empty<'m>(kind: Kind) -> Box<dyn Val + 'm> {
    match kind {
        Kind::Wrapper(_) => Box::new(CelNull),
        Kind::Message(schema) => Box::new(MessageVal::empty(schema)),
        Kind::Bool => Box::new(CelBool::from(false)),
        Kind::Int => Box::new(CelInt::from(0)),
        Kind::Uint => Box::new(CelUInt::from(0)),
        Kind::Text => Box::new(CelString::from("")),
        Kind::Bytes => Box::new(CelBytes::from(Vec::new())),
        Kind::Timestamp => timestamp(0, 0),
        Kind::Duration => duration(0, 0),
        Kind::List(_) => Box::new(CelList::from(Vec::new())),
        Kind::Map => Box::new(CelMap::from(HashMap::new())),
    }
}

fn timestamp<'m>(seconds: i64, nanos: i32) -> Box<dyn Val + 'm> {
    let time = chrono::DateTime::from_timestamp(seconds, u32::try_from(nanos).unwrap_or(0));
    // Out of the range of years that there are: as if it were not there.
    Box::new(CelTimestamp::from(time.unwrap_or_default().fixed_offset()))
}

fn duration<'m>(seconds: i64, nanos: i32) -> Box<dyn Val + 'm> {
    let length = chrono::Duration::try_seconds(seconds).unwrap_or_default();
    Box::new(CelDuration::from(length + chrono::Duration::nanoseconds(nanos.into())))
}
