//! Types of expressions, as far as they are known before there is an event.

use std::fmt;

use tetragon_api::event::fields::{Kind, Schema};

/// The type of an expression.
#[derive(Clone, Debug)]
pub(super) enum Type {
    /// Known only when there is an event.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    /// A type as a value, such as `int`.
    OfValues,
    Ip,
    Cidr,
    /// A compiled regular expression.
    Pattern,
    /// A scalar or null.
    Wrapper(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Message(&'static Schema),
}

impl Type {
    pub(super) fn of(kind: Kind) -> Type {
        match kind {
            Kind::Bool => Type::Bool,
            Kind::Int => Type::Int,
            Kind::Uint => Type::Uint,
            Kind::Text => Type::Text,
            Kind::Bytes => Type::Bytes,
            Kind::Timestamp => Type::Timestamp,
            Kind::Duration => Type::Duration,
            Kind::Wrapper(inner) => Type::Wrapper(Box::new(Type::of(*inner))),
            Kind::Message(schema) => Type::Message(schema),
            Kind::List(inner) => Type::List(Box::new(Type::of(*inner))),
            Kind::Map => Type::Map(Box::new(Type::Text), Box::new(Type::Text)),
        }
    }

    /// The scalar in a wrapper.
    pub(super) fn plain(&self) -> &Type {
        match self {
            Type::Wrapper(inner) => inner,
            other => other,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self.plain(), Type::Int | Type::Uint | Type::Double)
    }

    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn)
    }

    /// A value of this type may be given where one of `wanted` is.
    pub(super) fn fits(&self, wanted: &Type) -> bool {
        match (self.plain(), wanted.plain()) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(a), Type::List(b)) => a.fits(b),
            (Type::Map(a, b), Type::Map(c, d)) => a.fits(c) && b.fits(d),
            (Type::Message(a), Type::Message(b)) => std::ptr::eq(*a, *b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }

    /// Values of both types can be asked to be equal. Numbers are compared by what they are worth.
    pub(super) fn equals(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Null, Type::Wrapper(_) | Type::Null | Type::Dyn)
            | (Type::Wrapper(_) | Type::Dyn, Type::Null) => true,
            // Messages have no order of their own; the fields are asked.
            (Type::Message(_), _) | (_, Type::Message(_)) => false,
            (Type::List(a), Type::List(b)) => a.equals(b),
            (a, b) => a.is_number() && b.is_number() || a.fits(b),
        }
    }

    /// Values of both types have an order.
    pub(super) fn compares(&self, other: &Type) -> bool {
        let ordered = |t: &Type| {
            matches!(
                t.plain(),
                Type::Dyn | Type::Bool | Type::Text | Type::Bytes | Type::Timestamp | Type::Duration
            ) || t.is_number()
        };
        ordered(self) && ordered(other) && (self.is_number() && other.is_number() || self.fits(other))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Type::Dyn => "dyn",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::Text => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::OfValues => "type",
            Type::Ip => "net.IP",
            Type::Cidr => "net.CIDR",
            Type::Pattern => "regular expression",
            Type::Message(schema) => schema.name,
            Type::Wrapper(inner) => return write!(f, "{inner} or null"),
            Type::List(inner) => return write!(f, "list({inner})"),
            Type::Map(key, value) => return write!(f, "map({key}, {value})"),
        };
        f.write_str(name)
    }
}
