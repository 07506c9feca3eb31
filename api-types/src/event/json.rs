//! The encodings of Tetragon's export JSON that serde does not know by itself: 64-bit numbers as
//! strings, bytes as base64, enums by name, times as RFC 3339, oneofs as members of their message.
//!
//! Everything here writes straight into the serializer, without a value in between: an agent writes
//! ten thousand events a second.

#![expect(deprecated, reason = "deprecated members are part of the contract too")]

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::*;

/// True for a scalar at its zero value, which protobuf JSON leaves out.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A protobuf enum with its names.
pub trait Named: TryFrom<i32> + Into<i32> {
    /// The enum's own name, for messages.
    const ENUM: &'static str;
    /// The name of a value, as the proto file has it.
    fn name(&self) -> &'static str;
    /// The value of a name.
    fn from_name(name: &str) -> Option<Self>;
}

macro_rules! named {
    ($($type:ident),+ $(,)?) => {$(
        impl Named for $type {
            const ENUM: &'static str = stringify!($type);
            fn name(&self) -> &'static str {
                self.as_str_name()
            }
            fn from_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }
    )+};
}

named!(
    BpfCmd,
    CapabilitiesType,
    EventType,
    FieldFilterAction,
    HealthStatusResult,
    HealthStatusType,
    HookState,
    KprobeAction,
    ProcessPrivilegesChanged,
    SecureBitsType,
    TaintedBitsType,
    ThrottleType,
    TracingPolicyMode,
    TracingPolicyState,
);

/// A value of the enum `E` as its name; a number that has no name stays a number.
struct Name<E>(i32, PhantomData<E>);

impl<E: Named> Serialize for Name<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match E::try_from(self.0) {
            Ok(value) => serializer.serialize_str(value.name()),
            Err(_) => serializer.serialize_i32(self.0),
        }
    }
}

impl<'de, E: Named> Deserialize<'de> for Name<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor<E>(PhantomData<E>);
        impl<E: Named> Visitor<'_> for NameVisitor<E> {
            type Value = Name<E>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "a name or number of {}", E::ENUM)
            }
            fn visit_str<X: serde::de::Error>(self, name: &str) -> Result<Name<E>, X> {
                match E::from_name(name) {
                    Some(value) => Ok(Name(value.into(), PhantomData)),
                    None => Err(X::custom(format_args!("`{name}` is not a name of {}", E::ENUM))),
                }
            }
            fn visit_i64<X: serde::de::Error>(self, number: i64) -> Result<Name<E>, X> {
                let number = i32::try_from(number).map_err(|_| {
                    X::custom(format_args!("{number} is not a 32-bit number, as {} needs", E::ENUM))
                })?;
                Ok(Name(number, PhantomData))
            }
            fn visit_u64<X: serde::de::Error>(self, number: u64) -> Result<Name<E>, X> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(NameVisitor(PhantomData))
    }
}

/// Writes an enum field.
pub fn write_name<E: Named, S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    Name::<E>(*value, PhantomData).serialize(serializer)
}

/// Reads an enum field.
pub fn read_name<'de, E: Named, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    Ok(Name::<E>::deserialize(deserializer)?.0)
}

/// Writes a list of enum values.
pub fn write_name_list<E: Named, S: Serializer>(values: &[i32], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(values.len()))?;
    for value in values {
        list.serialize_element(&Name::<E>(*value, PhantomData))?;
    }
    list.end()
}

/// Reads a list of enum values.
pub fn read_name_list<'de, E: Named, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i32>, D::Error> {
    struct List<E>(PhantomData<E>);
    impl<'de, E: Named> Visitor<'de> for List<E> {
        type Value = Vec<i32>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "a list of names of {}", E::ENUM)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<i32>, A::Error> {
            let mut values = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(64));
            while let Some(Name(value, _)) = seq.next_element::<Name<E>>()? {
                values.push(value);
            }
            Ok(values)
        }
    }
    deserializer.deserialize_seq(List::<E>(PhantomData))
}

/// 64-bit integers: strings of decimal digits. Reads numbers too.
pub mod decimal {
    use super::*;

    /// Writes the number as a string.
    pub fn serialize<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a string or a number.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: TryFrom<i128>,
        D: Deserializer<'de>,
    {
        struct Decimal<T>(PhantomData<T>);
        impl<T: TryFrom<i128>> Visitor<'_> for Decimal<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "a 64-bit integer, as a string or a number")
            }
            fn visit_str<X: serde::de::Error>(self, text: &str) -> Result<T, X> {
                let number =
                    text.parse().map_err(|_| X::custom(format_args!("`{text}` is not an integer")))?;
                self.visit_i128(number)
            }
            fn visit_u64<X: serde::de::Error>(self, number: u64) -> Result<T, X> {
                self.visit_i128(number.into())
            }
            fn visit_i64<X: serde::de::Error>(self, number: i64) -> Result<T, X> {
                self.visit_i128(number.into())
            }
            fn visit_i128<X: serde::de::Error>(self, number: i128) -> Result<T, X> {
                T::try_from(number).map_err(|_| X::custom(format_args!("{number} does not fit into 64 bits")))
            }
        }
        deserializer.deserialize_any(Decimal(PhantomData))
    }
}

/// Bytes: base64, standard alphabet, padded.
pub mod base64 {
    use super::*;
    use ::base64::display::Base64Display;
    use ::base64::engine::{Engine, general_purpose::STANDARD};

    /// Writes base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
    }

    /// Reads base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "bytes in base64")
            }
            fn visit_str<X: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, X> {
                STANDARD.decode(text).map_err(|e| X::custom(format_args!("not base64: {e}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads a string and hands it to `parse`, which says what is wrong with it.
fn parsed<'de, T, D>(
    deserializer: D,
    what: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    struct Parse<T>(&'static str, fn(&str) -> Result<T, String>);
    impl<T> Visitor<'_> for Parse<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<X: serde::de::Error>(self, text: &str) -> Result<T, X> {
            (self.1)(text).map_err(X::custom)
        }
    }
    deserializer.deserialize_str(Parse(what, parse))
}

/// `google.protobuf.Timestamp`: RFC 3339 in UTC with as many digits as it needs (0, 3, 6 or 9).
pub mod timestamp {
    use jiff::fmt::temporal::DateTimePrinter;
    use serde::ser::Error as _;

    use super::*;

    /// Writes a time. The field is left out when there is none.
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => Written(time).serialize(serializer),
            None => serializer.serialize_none(),
        }
    }

    /// A time as it is written.
    pub struct Written<'a>(pub &'a Timestamp);

    impl Serialize for Written<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            // An event has three, and the Display of Timestamp took a twelfth of the time to write one.
            let Ok(time) = jiff::Timestamp::new(self.0.seconds, self.0.nanos) else {
                return serializer.collect_str(self.0);
            };
            let digits = match self.0.nanos {
                0 => 0,
                n if n % 1_000_000 == 0 => 3,
                n if n % 1_000 == 0 => 6,
                _ => 9,
            };
            let mut text = String::with_capacity("2026-11-24T09:11:32.739877462Z".len());
            let printer = DateTimePrinter::new().precision(Some(digits));
            printer.print_timestamp(&time, &mut text).map_err(S::Error::custom)?;
            serializer.serialize_str(&text)
        }
    }

    /// Reads a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        parsed(deserializer, "a time in RFC 3339", |text| {
            text.parse().map(Some).map_err(|_| {
                format!("`{text}` is not a time in RFC 3339, such as 2026-11-24T09:11:32.739877462Z")
            })
        })
    }
}

/// `google.protobuf.Duration`: seconds with an `s`.
pub mod duration {
    use super::*;

    /// Writes a duration. The field is left out when there is none.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        parsed(deserializer, "a duration such as 15s", |text| {
            text.parse().map(Some).map_err(|_| format!("`{text}` is not a duration in seconds, such as 15s"))
        })
    }
}

/// `google.protobuf.FieldMask`: paths joined by commas, in snake_case as Tetragon's filters have them.
pub mod field_mask {
    use super::*;

    /// Writes the paths. The field is left out when there is none.
    pub fn serialize<S: Serializer>(mask: &Option<FieldMask>, serializer: S) -> Result<S::Ok, S::Error> {
        match mask {
            Some(mask) => serializer.serialize_str(&mask.paths.join(",")),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the paths.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<FieldMask>, D::Error> {
        parsed(deserializer, "paths joined by commas, such as process.pid,parent", |text| {
            let paths = text.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect();
            Ok(Some(FieldMask { paths }))
        })
    }
}

impl Serialize for GetEventsResponse {
    /// The event's member first, then the envelope, as Tetragon orders them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.event {
            None => {}
            Some(Event::ProcessExec(e)) => map.serialize_entry("process_exec", e)?,
            Some(Event::ProcessExit(e)) => map.serialize_entry("process_exit", e)?,
            Some(Event::ProcessKprobe(e)) => map.serialize_entry("process_kprobe", e)?,
            Some(Event::ProcessTracepoint(e)) => map.serialize_entry("process_tracepoint", e)?,
            Some(Event::ProcessLoader(e)) => map.serialize_entry("process_loader", e)?,
            Some(Event::ProcessUprobe(e)) => map.serialize_entry("process_uprobe", e)?,
            Some(Event::ProcessThrottle(e)) => map.serialize_entry("process_throttle", e)?,
            Some(Event::ProcessLsm(e)) => map.serialize_entry("process_lsm", e)?,
            Some(Event::ProcessUsdt(e)) => map.serialize_entry("process_usdt", e)?,
            Some(Event::Test(e)) => map.serialize_entry("test", e)?,
            Some(Event::RateLimitInfo(e)) => map.serialize_entry("rate_limit_info", e)?,
        }
        if !self.node_name.is_empty() {
            map.serialize_entry("node_name", &self.node_name)?;
        }
        if let Some(time) = &self.time {
            map.serialize_entry("time", &timestamp::Written(time))?;
        }
        if let Some(info) = &self.aggregation_info {
            map.serialize_entry("aggregation_info", info)?;
        }
        if !self.cluster_name.is_empty() {
            map.serialize_entry("cluster_name", &self.cluster_name)?;
        }
        if !self.node_labels.is_empty() {
            map.serialize_entry("node_labels", &self.node_labels)?;
        }
        map.end()
    }
}

// Oneofs are read through structs that have each member as an optional field: serde's `flatten`
// would buffer the whole event, and turn an error inside it into an event that is not there.

/// Declares such a struct and its conversion.
macro_rules! oneof_reader {
    (
        $(#[$doc:meta])* $reader:ident => $message:ident . $oneof:ident: $variants:path,
        members { $($(#[$attr:meta])* $member:ident: $type:ty => $variant:path,)+ }
        fields { $($(#[$field_attr:meta])* $field:ident: $field_type:ty,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        pub(super) struct $reader {
            $($(#[$attr])* $member: Option<$type>,)+
            $($(#[$field_attr])* $field: $field_type,)+
        }

        impl From<$reader> for $message {
            fn from(read: $reader) -> Self {
                let value = None$(.or(read.$member.map(|value| $variant(value.into()))))+;
                Self { $oneof: value, $($field: read.$field,)+ }
            }
        }
    };
}

/// A 64-bit member of a oneof.
#[derive(serde::Deserialize)]
#[serde(transparent, bound = "T: TryFrom<i128>")]
struct Decimal<T>(#[serde(with = "decimal")] T);

impl From<Decimal<u64>> for u64 {
    fn from(value: Decimal<u64>) -> Self {
        value.0
    }
}

impl From<Decimal<i64>> for i64 {
    fn from(value: Decimal<i64>) -> Self {
        value.0
    }
}

/// A bytes member of a oneof.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Bytes(#[serde(with = "base64")] Vec<u8>);

impl From<Bytes> for Vec<u8> {
    fn from(value: Bytes) -> Self {
        value.0
    }
}

impl<E> From<Name<E>> for i32 {
    fn from(value: Name<E>) -> Self {
        value.0
    }
}

use kprobe_argument::Arg;

oneof_reader! {
    /// How an event is read.
    Envelope => GetEventsResponse.event: Event,
    members {
        process_exec: ProcessExec => Event::ProcessExec,
        process_exit: ProcessExit => Event::ProcessExit,
        process_kprobe: ProcessKprobe => Event::ProcessKprobe,
        process_tracepoint: ProcessTracepoint => Event::ProcessTracepoint,
        process_loader: ProcessLoader => Event::ProcessLoader,
        process_uprobe: ProcessUprobe => Event::ProcessUprobe,
        process_throttle: ProcessThrottle => Event::ProcessThrottle,
        process_lsm: ProcessLsm => Event::ProcessLsm,
        process_usdt: ProcessUsdt => Event::ProcessUsdt,
        test: Test => Event::Test,
        rate_limit_info: RateLimitInfo => Event::RateLimitInfo,
    }
    fields {
        node_name: String,
        #[serde(with = "timestamp")]
        time: Option<Timestamp>,
        aggregation_info: Option<AggregationInfo>,
        cluster_name: String,
        node_labels: BTreeMap<String, String>,
    }
}

oneof_reader! {
    /// How an argument is read.
    KprobeArgumentJson => KprobeArgument.arg: Arg,
    members {
        string_arg: String => Arg::StringArg,
        int_arg: i32 => Arg::IntArg,
        skb_arg: KprobeSkb => Arg::SkbArg,
        size_arg: Decimal<u64> => Arg::SizeArg,
        bytes_arg: Bytes => Arg::BytesArg,
        path_arg: KprobePath => Arg::PathArg,
        file_arg: KprobeFile => Arg::FileArg,
        truncated_bytes_arg: KprobeTruncatedBytes => Arg::TruncatedBytesArg,
        sock_arg: KprobeSock => Arg::SockArg,
        cred_arg: KprobeCred => Arg::CredArg,
        long_arg: Decimal<i64> => Arg::LongArg,
        bpf_attr_arg: KprobeBpfAttr => Arg::BpfAttrArg,
        perf_event_arg: KprobePerfEvent => Arg::PerfEventArg,
        bpf_map_arg: KprobeBpfMap => Arg::BpfMapArg,
        uint_arg: u32 => Arg::UintArg,
        user_namespace_arg: KprobeUserNamespace => Arg::UserNamespaceArg,
        capability_arg: KprobeCapability => Arg::CapabilityArg,
        process_credentials_arg: ProcessCredentials => Arg::ProcessCredentialsArg,
        user_ns_arg: UserNamespace => Arg::UserNsArg,
        module_arg: KernelModule => Arg::ModuleArg,
        kernel_cap_t_arg: String => Arg::KernelCapTArg,
        cap_inheritable_arg: String => Arg::CapInheritableArg,
        cap_permitted_arg: String => Arg::CapPermittedArg,
        cap_effective_arg: String => Arg::CapEffectiveArg,
        linux_binprm_arg: KprobeLinuxBinprm => Arg::LinuxBinprmArg,
        net_dev_arg: KprobeNetDev => Arg::NetDevArg,
        bpf_cmd_arg: Name<BpfCmd> => Arg::BpfCmdArg,
        syscall_id: SyscallId => Arg::SyscallId,
        sockaddr_arg: KprobeSockaddr => Arg::SockaddrArg,
        bpf_prog_arg: KprobeBpfProg => Arg::BpfProgArg,
        error_arg: KprobeError => Arg::ErrorArg,
        sockaddrun_arg: KprobeSockaddrUn => Arg::SockaddrunArg,
    }
    fields {
        label: String,
    }
}
