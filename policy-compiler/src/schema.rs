//! The fields of each object of the language, and which of them this build carries out.

use crate::feature::Feature::{self, Action, Field as Part, Matcher};

/// A field of an object.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) state: State,
}

/// What this build does with a field.
pub(crate) enum State {
    /// It does what it says.
    Works,
    /// It is refused: what it belongs to, and what works instead.
    NotYet(Feature, &'static str),
}

const fn works(name: &'static str) -> Field {
    Field { name, state: State::Works }
}

const fn not_yet(name: &'static str, feature: Feature, instead: &'static str) -> Field {
    Field { name, state: State::NotYet(feature, instead) }
}

const RETURN: &str = "leave it out: the arguments are reported at entry";
const SECTIONS: &str = "kprobes, lsmhooks and tracepoints work";
const MATCHERS: &str =
    "matchArgs, matchBinaries, matchParentBinaries, matchPIDs, matchNamespaces and matchWorkloads work";
const BUFFERS: &str = "read a string, or an integer of its size";
const SIZES: Feature = Part("sizes of buffers (`sizeArgIndex`, `maxData`)");
const BTF: Feature = Part("types by name (`btfType`)");

pub(crate) const DOCUMENT: &[Field] =
    &[works("apiVersion"), works("kind"), works("metadata"), works("spec"), works("status")];

/// A list of objects, as API servers and kubectl write it.
pub(crate) const OBJECT_LIST: &[Field] =
    &[works("apiVersion"), works("kind"), works("metadata"), works("items")];

/// Kubernetes' ObjectMeta. Only name and namespace mean something to the compiler.
pub(crate) const METADATA: &[Field] = &[
    works("name"),
    works("namespace"),
    works("labels"),
    works("annotations"),
    works("generateName"),
    works("creationTimestamp"),
    works("deletionGracePeriodSeconds"),
    works("deletionTimestamp"),
    works("finalizers"),
    works("generation"),
    works("managedFields"),
    works("ownerReferences"),
    works("resourceVersion"),
    works("selfLink"),
    works("uid"),
];

/// A label selector.
pub(crate) const LABEL_SELECTOR: &[Field] = &[works("matchLabels"), works("matchExpressions")];
/// An entry of `matchExpressions`.
pub(crate) const LABEL_REQUIREMENT: &[Field] = &[works("key"), works("operator"), works("values")];

pub(crate) const SPEC: &[Field] = &[
    works("kprobes"),
    works("lsmhooks"),
    works("tracepoints"),
    works("lists"),
    works("options"),
    works("selectorsMacros"),
    not_yet("uprobes", Part("uprobes"), SECTIONS),
    not_yet("usdts", Part("USDT probes (`usdts`)"), SECTIONS),
    not_yet(
        "fentries",
        Part("fentries"),
        "write the functions under kprobes: the agent attaches by fentry where that is best",
    ),
    not_yet(
        "enforcers",
        Part("enforcers"),
        "lsmhooks with Override denies a call, Sigkill in any hook kills",
    ),
    not_yet("loader", Part("loader events (`loader`)"), SECTIONS),
    works("containerSelector"),
    works("hostSelector"),
    works("nodeSelector"),
    works("podSelector"),
];

pub(crate) const KPROBE: &[Field] = &[
    works("call"),
    works("syscall"),
    works("args"),
    works("selectors"),
    works("message"),
    works("tags"),
    works("ignore"),
    not_yet("data", Part("more data of a hook (`data`)"), "leave it out: args works"),
    not_yet("return", Feature::RETURN, RETURN),
    not_yet("returnArg", Feature::RETURN, RETURN),
    not_yet("returnArgAction", Feature::RETURN, RETURN),
];

pub(crate) const IGNORE: &[Field] = &[works("callNotFound")];

pub(crate) const TRACEPOINT: &[Field] = &[
    works("subsystem"),
    works("event"),
    works("raw"),
    works("args"),
    works("selectors"),
    works("message"),
    works("tags"),
];

pub(crate) const LSM_HOOK: &[Field] =
    &[works("hook"), works("args"), works("selectors"), works("message"), works("tags")];

pub(crate) const ARG: &[Field] = &[
    works("index"),
    works("type"),
    works("label"),
    not_yet("btfType", BTF, "leave it out: an argument is read as its type says"),
    not_yet("btfTypeModule", BTF, "leave it out: an argument is read as its type says"),
    not_yet("maxData", SIZES, BUFFERS),
    not_yet(
        "resolve",
        Part("fields of structs (`resolve`)"),
        "leave it out: file, path, dentry and linux_binprm give the path within",
    ),
    not_yet("returnCopy", Part("arguments as they are at return (`returnCopy`)"), RETURN),
    not_yet("sizeArgIndex", SIZES, BUFFERS),
    not_yet(
        "source",
        Part("arguments from elsewhere (`source`)"),
        "leave it out: args reads the function's arguments",
    ),
];

pub(crate) const SELECTOR: &[Field] = &[
    works("label"),
    works("macros"),
    works("matchActions"),
    works("matchArgs"),
    works("matchBinaries"),
    works("matchNamespaces"),
    works("matchPIDs"),
    works("matchParentBinaries"),
    works("matchWorkloads"),
    not_yet("matchCapabilities", Matcher("matchCapabilities"), MATCHERS),
    not_yet("matchCapabilityChanges", Matcher("matchCapabilityChanges"), MATCHERS),
    not_yet("matchData", Matcher("matchData"), MATCHERS),
    not_yet(
        "matchNamespaceChanges",
        Matcher("matchNamespaceChanges"),
        "matchNamespaces with NotIn host_ns works",
    ),
    not_yet("matchReturnActions", Feature::RETURN, RETURN),
    not_yet("matchReturnArgs", Feature::RETURN, RETURN),
];

pub(crate) const MATCH_PIDS: &[Field] =
    &[works("operator"), works("values"), works("followForks"), works("isNamespacePID")];

pub(crate) const MATCH_ARGS: &[Field] = &[works("operator"), works("values"), works("index"), works("args")];

pub(crate) const MATCH_BINARIES: &[Field] = &[
    works("operator"),
    works("values"),
    not_yet(
        "followChildren",
        Part("`followChildren` of matchBinaries"),
        "matchParentBinaries looks at the parent, matchPIDs with followForks at descendants",
    ),
];

pub(crate) const MATCH_WORKLOADS: &[Field] =
    &[works("containerSelector"), works("hostSelector"), works("podSelector")];

pub(crate) const MATCH_NAMESPACES: &[Field] = &[works("namespace"), works("operator"), works("values")];

const ACTIONS: &str = "Post, NoPost, Sigkill, Signal and Override work";
const OVERRIDE: &str = "Override takes argError";
const REPLACE: Feature = Part("`Override` with another function (`argNewSymbol`)");

pub(crate) const ACTION: &[Field] = &[
    works("action"),
    works("argError"),
    works("argSig"),
    works("rateLimit"),
    works("rateLimitScope"),
    not_yet("argFqdn", Action("DnsLookup"), ACTIONS),
    not_yet("argIndex", Action("Set"), ACTIONS),
    not_yet("argNewAddr", REPLACE, OVERRIDE),
    not_yet("argNewOffset", REPLACE, OVERRIDE),
    not_yet("argNewSymbol", REPLACE, OVERRIDE),
    not_yet("argRegs", Part("`Override` of registers (`argRegs`)"), OVERRIDE),
    not_yet("argSock", Part("`argSock` of TrackSock and UntrackSock"), ACTIONS),
    not_yet("argUrl", Action("GetUrl"), ACTIONS),
    not_yet("argValue", Action("Set"), ACTIONS),
    not_yet("imaHash", Part("hashes of files (`imaHash`)"), "leave it out: the event has the path"),
    not_yet(
        "kernelStackTrace",
        Part("stack traces of the kernel (`kernelStackTrace`)"),
        "leave it out: the event has the process and its parent",
    ),
    not_yet(
        "userStackTrace",
        Part("stack traces of the program (`userStackTrace`)"),
        "leave it out: the event has the process and its parent",
    ),
];

pub(crate) const LIST: &[Field] = &[
    works("name"),
    works("type"),
    works("values"),
    not_yet("pattern", Part("lists by pattern (`pattern`)"), "write the names into values"),
    not_yet("validated", Part("`validated` of lists"), "leave it out: Tetragon's agent sets it for itself"),
];

pub(crate) const OPTION: &[Field] = &[works("name"), works("value")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::{Deserialize, Deserializer, Visitor, value::Error};
    use tetragon_api::policy;

    use super::*;

    /// Reads nothing, and notes the fields that a struct asks for.
    struct Names<'f>(&'f mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(serde::de::Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            *self.0 = fields;
            Err(serde::de::Error::custom("noted"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    fn fields_of<T: for<'de> Deserialize<'de>>() -> BTreeSet<&'static str> {
        let mut fields: &'static [&'static str] = &[];
        assert!(T::deserialize(Names(&mut fields)).is_err());
        assert!(!fields.is_empty());
        fields.iter().copied().collect()
    }

    fn same<T: for<'de> Deserialize<'de>>(schema: &[Field], besides: &[&'static str]) {
        let mut expected = fields_of::<T>();
        expected.extend(besides);
        let names: BTreeSet<_> = schema.iter().map(|f| f.name).collect();
        assert_eq!(names, expected, "{}", std::any::type_name::<T>());
        assert_eq!(names.len(), schema.len(), "a name stands twice");
    }

    #[test]
    fn the_compiler_knows_the_fields_of_the_types() {
        same::<policy::TracingPolicy>(DOCUMENT, &["status"]);
        same::<policy::TracingPolicySpec>(SPEC, &[]);
        same::<policy::Kprobe>(KPROBE, &[]);
        same::<policy::KprobeIgnore>(IGNORE, &[]);
        same::<policy::Tracepoint>(TRACEPOINT, &[]);
        same::<policy::LsmHook>(LSM_HOOK, &[]);
        same::<policy::Arg>(ARG, &[]);
        same::<policy::Selector>(SELECTOR, &[]);
        same::<policy::PidSelector>(MATCH_PIDS, &[]);
        same::<policy::ArgSelector>(MATCH_ARGS, &[]);
        same::<policy::BinarySelector>(MATCH_BINARIES, &[]);
        same::<policy::NamespaceSelector>(MATCH_NAMESPACES, &[]);
        same::<policy::WorkloadSelector>(MATCH_WORKLOADS, &[]);
        same::<policy::ActionArguments>(ACTION, &["action"]);
        same::<policy::List>(LIST, &[]);
        same::<policy::PolicyOption>(OPTION, &[]);
        same::<policy::LabelSelector>(LABEL_SELECTOR, &[]);
        same::<policy::LabelRequirement>(LABEL_REQUIREMENT, &[]);
    }
}
