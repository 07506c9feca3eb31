//! The TracingPolicy language as data: the whole of `cilium.io/v1alpha1`, also what this build does
//! not carry out yet. The compiler decides what is right and what is supported; nothing is checked
//! here but names and types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `apiVersion` of both kinds of policy.
pub const API_VERSION: &str = "cilium.io/v1alpha1";
/// Kind of a cluster-wide policy.
pub const KIND: &str = "TracingPolicy";
/// Kind of a policy for the pods of one Kubernetes namespace.
pub const KIND_NAMESPACED: &str = "TracingPolicyNamespaced";
/// The namespace of a [`KIND_NAMESPACED`] that names none, as Kubernetes has it.
pub const NAMESPACE_DEFAULT: &str = "default";

/// An enum whose values have fixed names in the language.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
        #[expect(missing_docs, reason = "each value is named as in the language")]
        pub enum $name {
            $(#[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every value, in the order of the language's reference.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The name as written in a policy.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The value of that name, which is compared exactly.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }
    };
}

names! {
    /// `type` of an argument.
    TypeName {
        Auto = "auto", Int = "int", Sint8 = "sint8", Int8 = "int8", Uint8 = "uint8", Sint16 = "sint16",
        Int16 = "int16", Uint16 = "uint16", Uint32 = "uint32", Sint32 = "sint32", Int32 = "int32",
        Ulong = "ulong", Uint64 = "uint64", Size = "size_t", Long = "long", Sint64 = "sint64",
        Int64 = "int64", CharBuf = "char_buf", CharIovec = "char_iovec", Skb = "skb", Sock = "sock",
        Sockaddr = "sockaddr", Socket = "socket", SockaddrUn = "sockaddr_un", String = "string", Fd = "fd",
        File = "file", Filename = "filename", Path = "path", Nop = "nop", BpfAttr = "bpf_attr",
        PerfEvent = "perf_event", BpfMap = "bpf_map", UserNamespace = "user_namespace",
        Capability = "capability", Kiocb = "kiocb", IovIter = "iov_iter", Cred = "cred",
        ConstBuf = "const_buf", LoadInfo = "load_info", Module = "module", Syscall64 = "syscall64",
        KernelCap = "kernel_cap_t", CapInheritable = "cap_inheritable", CapPermitted = "cap_permitted",
        CapEffective = "cap_effective", LinuxBinprm = "linux_binprm", DataLoc = "data_loc",
        NetDevice = "net_device", BpfCmd = "bpf_cmd", Dentry = "dentry", BpfProg = "bpf_prog",
    }
}

names! {
    /// `operator` of matchArgs, matchData and matchReturnArgs.
    ArgOperator {
        Equal = "Equal", NotEqual = "NotEqual", Prefix = "Prefix", NotPrefix = "NotPrefix",
        Postfix = "Postfix", NotPostfix = "NotPostfix", GreaterThan = "GreaterThan",
        LessThan = "LessThan", Gt = "GT", Lt = "LT", Mask = "Mask", SPort = "SPort",
        NotSPort = "NotSPort", SPortPriv = "SPortPriv", NotSPortPriv = "NotSportPriv", DPort = "DPort",
        NotDPort = "NotDPort", DPortPriv = "DPortPriv", NotDPortPriv = "NotDPortPriv", SAddr = "SAddr",
        NotSAddr = "NotSAddr", DAddr = "DAddr", NotDAddr = "NotDAddr", Protocol = "Protocol",
        Family = "Family", State = "State", InMap = "InMap", NotInMap = "NotInMap",
        CapabilitiesGained = "CapabilitiesGained", InRange = "InRange", NotInRange = "NotInRange",
        SubString = "SubString", SubStringIgnCase = "SubStringIgnCase", CelExpr = "CelExpr",
        FileType = "FileType", NotFileType = "NotFileType",
    }
}

names! {
    /// `operator` of matchBinaries and matchParentBinaries.
    BinaryOperator {
        In = "In", NotIn = "NotIn", Prefix = "Prefix", NotPrefix = "NotPrefix", Postfix = "Postfix",
        NotPostfix = "NotPostfix",
    }
}

names! {
    /// `operator` of matchPIDs, matchNamespaces and the capability and change filters.
    SetOperator { In = "In", NotIn = "NotIn", }
}

names! {
    /// `namespace` of matchNamespaces.
    NamespaceName {
        Uts = "Uts", Ipc = "Ipc", Mnt = "Mnt", Pid = "Pid", PidForChildren = "PidForChildren",
        Net = "Net", Time = "Time", TimeForChildren = "TimeForChildren", Cgroup = "Cgroup",
        User = "User",
    }
}

names! {
    /// `type` of matchCapabilities.
    CapabilitySet { Effective = "Effective", Inheritable = "Inheritable", Permitted = "Permitted", }
}

names! {
    /// `action` of matchActions.
    ActionName {
        Post = "Post", Sigkill = "Sigkill", Override = "Override", GetUrl = "GetUrl",
        DnsLookup = "DnsLookup", NoPost = "NoPost", Signal = "Signal", TrackSock = "TrackSock",
        UntrackSock = "UntrackSock", NotifyEnforcer = "NotifyEnforcer",
        CleanupEnforcerNotification = "CleanupEnforcerNotification", Set = "Set",
    }
}

names! {
    /// `rateLimitScope` of an action.
    ScopeName { Thread = "thread", Process = "process", Global = "global", }
}

names! {
    /// `type` of a list.
    ListType {
        Syscalls = "syscalls", GeneratedSyscalls = "generated_syscalls",
        GeneratedFtrace = "generated_ftrace",
    }
}

names! {
    /// `name` of an option.
    OptionName {
        DisableKprobeMulti = "disable-kprobe-multi", DisableUprobeMulti = "disable-uprobe-multi",
        OverrideMethod = "override-method", PolicyMode = "policy-mode",
        SleepablePreloadSize = "sleepable-preload-size", UnknownContainers = "unknown-containers",
    }
}

names! {
    /// `operator` of a label selector's requirement.
    LabelOperator { In = "In", NotIn = "NotIn", Exists = "Exists", DoesNotExist = "DoesNotExist", }
}

/// A struct of the language: camelCase names, absent fields left out.
macro_rules! object {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($(#[$fmeta])* #[serde(skip_serializing_if = "is_default")] pub $field: $ty,)*
        }
    };
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

object! {
    /// A policy as written, of either kind.
    TracingPolicy {
        /// [`API_VERSION`].
        api_version: String,
        /// [`KIND`] or [`KIND_NAMESPACED`].
        kind: String,
        /// Name, namespace, labels.
        metadata: Metadata,
        /// What to watch and do.
        spec: TracingPolicySpec,
    }
}

object! {
    /// The part of Kubernetes' ObjectMeta that a policy file uses.
    Metadata {
        /// Name.
        name: String,
        /// Namespace; of TracingPolicyNamespaced only.
        namespace: Option<String>,
        /// Labels.
        labels: BTreeMap<String, String>,
        /// Annotations.
        annotations: BTreeMap<String, String>,
    }
}

object! {
    /// `spec` of both kinds.
    TracingPolicySpec {
        /// Selects containers by name and repo.
        container_selector: Option<LabelSelector>,
        /// Where the enforcer program is attached.
        enforcers: Vec<Enforcer>,
        /// fentry hooks.
        fentries: Vec<Kprobe>,
        /// `{}`: the node's own processes.
        host_selector: Option<HostSelector>,
        /// Kernel functions and system calls.
        kprobes: Vec<Kprobe>,
        /// Named lists of functions, used as `list:NAME`.
        lists: Vec<List>,
        /// Reports mappings of executables.
        loader: bool,
        /// LSM hooks.
        lsmhooks: Vec<LsmHook>,
        /// Nodes that the policy is for.
        node_selector: Option<LabelSelector>,
        /// Options by name.
        options: Vec<PolicyOption>,
        /// Pods that the policy is for.
        pod_selector: Option<LabelSelector>,
        /// Parts of selectors by name.
        selectors_macros: BTreeMap<String, Selector>,
        /// Tracepoints.
        tracepoints: Vec<Tracepoint>,
        /// User functions.
        uprobes: Vec<Uprobe>,
        /// User-defined static tracepoints.
        usdts: Vec<Usdt>,
    }
}

object! {
    /// An entry of `kprobes` or `fentries`.
    Kprobe {
        /// Values to read.
        args: Vec<Arg>,
        /// Function, or `list:NAME`.
        call: String,
        /// Values that are no arguments.
        data: Vec<Arg>,
        /// When to skip the hook.
        ignore: Option<KprobeIgnore>,
        /// Text for the event.
        message: String,
        /// Hook the return too.
        #[serde(rename = "return")]
        return_: bool,
        /// The returned value.
        return_arg: Option<Arg>,
        /// TrackSock or UntrackSock.
        return_arg_action: String,
        /// First match decides.
        selectors: Vec<Selector>,
        /// A system call; true when left out.
        syscall: Option<bool>,
        /// Labels for the event.
        tags: Vec<String>,
    }
}

object! {
    /// `ignore` of a kprobe.
    KprobeIgnore {
        /// A kernel without the function is no error.
        call_not_found: bool,
    }
}

object! {
    /// `ignore` of a uprobe.
    UprobeIgnore {
        /// A file that matches no digest is no error.
        digest_verification_failure: bool,
    }
}

object! {
    /// An entry of `tracepoints`.
    Tracepoint {
        /// Values to read.
        args: Vec<Arg>,
        /// Event.
        event: String,
        /// Text for the event.
        message: String,
        /// A raw tracepoint: arguments as in TP_PROTO.
        raw: bool,
        /// First match decides.
        selectors: Vec<Selector>,
        /// Subsystem.
        subsystem: String,
        /// Labels for the event.
        tags: Vec<String>,
    }
}

object! {
    /// An entry of `lsmhooks`.
    LsmHook {
        /// Values to read.
        args: Vec<Arg>,
        /// Name without `bpf_lsm_`.
        hook: String,
        /// Text for the event.
        message: String,
        /// First match decides.
        selectors: Vec<Selector>,
        /// Labels for the event.
        tags: Vec<String>,
    }
}

object! {
    /// An entry of `uprobes`.
    Uprobe {
        /// Virtual addresses.
        addrs: Vec<u64>,
        /// Values to read.
        args: Vec<Arg>,
        /// `ALGO:HEX`, any of them.
        binary_digests: Vec<String>,
        /// BTF file of the binary.
        btf_path: String,
        /// Values that are no arguments.
        data: Vec<Arg>,
        /// When to skip the hook.
        ignore: Option<UprobeIgnore>,
        /// Text for the event.
        message: String,
        /// File offsets.
        offsets: Vec<u64>,
        /// Binary or library.
        path: String,
        /// Reference counter offsets.
        ref_ctr_offsets: Vec<u64>,
        /// Hook the return too.
        #[serde(rename = "return")]
        return_: bool,
        /// The returned value.
        return_arg: Option<Arg>,
        /// First match decides.
        selectors: Vec<Selector>,
        /// Symbols, also `name+0xOFF`.
        symbols: Vec<String>,
        /// Labels for the event.
        tags: Vec<String>,
    }
}

object! {
    /// An entry of `usdts`.
    Usdt {
        /// Values to read.
        args: Vec<Arg>,
        /// BTF file of the binary.
        btf_path: String,
        /// Text for the event.
        message: String,
        /// Name of the probe.
        name: String,
        /// Binary.
        path: String,
        /// Provider of the probe.
        provider: String,
        /// First match decides.
        selectors: Vec<Selector>,
        /// Labels for the event.
        tags: Vec<String>,
    }
}

object! {
    /// An entry of `args` or `data`, or `returnArg`.
    Arg {
        /// Cast to this struct before `resolve`.
        btf_type: String,
        /// Kernel module that has `btfType`.
        btf_type_module: String,
        /// Position in the signature; field number for a tracepoint.
        index: u32,
        /// Name in the event.
        label: String,
        /// char_buf: read more than 4096 bytes.
        max_data: bool,
        /// Field path from the argument.
        resolve: String,
        /// Read at return.
        return_copy: bool,
        /// Position plus one of the argument that holds the size.
        size_arg_index: u32,
        /// `data` only: current_task or pt_regs.
        source: String,
        /// How to read it; `auto` when left out.
        #[serde(rename = "type")]
        type_: Option<TypeName>,
    }
}

object! {
    /// An entry of `selectors`, or a value of `selectorsMacros`.
    Selector {
        /// Name for status and metrics.
        label: String,
        /// Names of macros to merge in.
        macros: Vec<String>,
        /// What to do.
        match_actions: Vec<Action>,
        /// Arguments.
        match_args: Vec<ArgSelector>,
        /// Executable of the calling process.
        match_binaries: Vec<BinarySelector>,
        /// Capabilities of the caller.
        match_capabilities: Vec<CapabilitySelector>,
        /// Capabilities that differ from those at exec.
        match_capability_changes: Vec<CapabilitySelector>,
        /// Values of `data`.
        match_data: Vec<ArgSelector>,
        /// Namespaces that differ from those at exec.
        match_namespace_changes: Vec<NamespaceChangeSelector>,
        /// Namespaces of the caller.
        match_namespaces: Vec<NamespaceSelector>,
        /// Process ids.
        #[serde(rename = "matchPIDs")]
        match_pids: Vec<PidSelector>,
        /// Executable of the parent.
        match_parent_binaries: Vec<BinarySelector>,
        /// What to do when matchReturnArgs matches.
        match_return_actions: Vec<Action>,
        /// The returned value.
        match_return_args: Vec<ArgSelector>,
        /// Pods, containers, host.
        match_workloads: Option<WorkloadSelector>,
    }
}

/// An entry of matchPIDs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PidSelector {
    /// Descendants too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub follow_forks: bool,
    /// The PID in the innermost namespace.
    #[serde(default, skip_serializing_if = "is_default", rename = "isNamespacePID")]
    pub is_namespace_pid: bool,
    /// In or NotIn.
    pub operator: SetOperator,
    /// Process ids.
    pub values: Vec<u32>,
}

/// An entry of matchArgs, matchData or matchReturnArgs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ArgSelector {
    /// Positions in the policy's list; wins over `index`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub args: Vec<u32>,
    /// Position in the function.
    #[serde(default)]
    pub index: u32,
    /// How to compare.
    pub operator: ArgOperator,
    /// With what.
    #[serde(default, skip_serializing_if = "is_default")]
    pub values: Vec<String>,
}

/// An entry of matchBinaries or matchParentBinaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BinarySelector {
    /// Descendants of a matching process too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub follow_children: bool,
    /// How to compare.
    pub operator: BinaryOperator,
    /// Paths.
    pub values: Vec<String>,
}

/// An entry of matchNamespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Which namespace.
    pub namespace: NamespaceName,
    /// In or NotIn.
    pub operator: SetOperator,
    /// Inode numbers or `host_ns`.
    pub values: Vec<String>,
}

/// An entry of matchNamespaceChanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NamespaceChangeSelector {
    /// In or NotIn.
    pub operator: SetOperator,
    /// Names of namespaces.
    pub values: Vec<NamespaceName>,
}

/// An entry of matchCapabilities or matchCapabilityChanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CapabilitySelector {
    /// Only outside the host's user namespace.
    #[serde(default, skip_serializing_if = "is_default")]
    pub is_namespace_capability: bool,
    /// In or NotIn.
    pub operator: SetOperator,
    /// Which set; Effective when left out.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "type")]
    pub type_: Option<CapabilitySet>,
    /// CAP_ names.
    pub values: Vec<String>,
}

object! {
    /// matchWorkloads.
    WorkloadSelector {
        /// Selects containers by name and repo.
        container_selector: Option<LabelSelector>,
        /// `{}`: the node's own processes.
        host_selector: Option<HostSelector>,
        /// Selects pods by labels.
        pod_selector: Option<LabelSelector>,
    }
}

/// An entry of matchActions or matchReturnActions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// What to do.
    pub action: ActionName,
    /// The arguments of the action.
    #[serde(flatten)]
    pub arguments: ActionArguments,
}

object! {
    /// The arguments of actions; each action has its own.
    ActionArguments {
        /// Override, NotifyEnforcer: the value returned.
        arg_error: Option<i32>,
        /// DnsLookup: the name.
        arg_fqdn: String,
        /// Set: position of the argument to write.
        arg_index: Option<u32>,
        /// Override on uprobes: address to go to.
        arg_new_addr: Option<u64>,
        /// Override on uprobes: file offset to go to.
        arg_new_offset: Option<u64>,
        /// Override on uprobes: symbol to go to.
        arg_new_symbol: String,
        /// Override on uprobes: `REG=expr`.
        arg_regs: Vec<String>,
        /// Signal, NotifyEnforcer: the signal's number.
        arg_sig: Option<u32>,
        /// TrackSock, UntrackSock: position of the sock argument.
        arg_sock: Option<u32>,
        /// GetUrl: the URL.
        arg_url: String,
        /// Set: the value to write.
        arg_value: Option<u32>,
        /// Post: hash of the file, by IMA.
        ima_hash: bool,
        /// Post: the kernel's stack.
        kernel_stack_trace: bool,
        /// Post: at most one equal event in this time.
        rate_limit: String,
        /// Post: whose events count as equal.
        rate_limit_scope: Option<ScopeName>,
        /// Post: the program's stack.
        user_stack_trace: bool,
    }
}

object! {
    /// An entry of `lists`.
    List {
        /// Name.
        name: String,
        /// Regular expression of generated_ftrace.
        pattern: String,
        /// Kind of list; none: plain functions.
        #[serde(rename = "type")]
        type_: Option<ListType>,
        /// Set by Tetragon's agent, not by users.
        validated: bool,
        /// Function names.
        values: Vec<String>,
    }
}

object! {
    /// An entry of `options`.
    PolicyOption {
        /// Which.
        name: String,
        /// Its value, as text.
        value: String,
    }
}

object! {
    /// An entry of `enforcers`.
    Enforcer {
        /// Calls, or `list:NAME`.
        calls: Vec<String>,
    }
}

object! {
    /// `hostSelector`: only `{}` is a value.
    HostSelector {}
}

/// A Kubernetes label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All of these.
    #[serde(skip_serializing_if = "is_default")]
    pub match_labels: BTreeMap<String, String>,
    /// And all of these.
    #[serde(skip_serializing_if = "is_default")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// A requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub struct LabelRequirement {
    /// Label.
    pub key: String,
    /// How to compare.
    pub operator: LabelOperator,
    /// With what.
    #[serde(default, skip_serializing_if = "is_default")]
    pub values: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for t in TypeName::ALL {
            assert_eq!(TypeName::from_name(t.name()), Some(*t));
        }
        for o in ArgOperator::ALL {
            assert_eq!(ArgOperator::from_name(o.name()), Some(*o));
        }
        assert_eq!((TypeName::ALL.len(), ArgOperator::ALL.len()), (52, 36));
        assert_eq!(ArgOperator::from_name("equal"), None);
    }

    #[test]
    fn a_policy_keeps_its_spelling() {
        let text = serde_json::json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": "p"},
            "spec": {"kprobes": [{
                "call": "sys_lseek",
                "syscall": true,
                "return": true,
                "returnArg": {"type": "int"},
                "args": [{"index": 2, "type": "int", "sizeArgIndex": 1}],
                "selectors": [{
                    "matchPIDs": [{"operator": "In", "isNamespacePID": true, "values": [1]}],
                    "matchArgs": [{"index": 2, "operator": "GT", "values": ["1"]}],
                    "matchActions": [{"action": "Post", "rateLimit": "5m", "rateLimitScope": "global"}],
                }],
            }]},
        });
        let policy: TracingPolicy = serde_json::from_value(text.clone()).expect("the policy parses");
        assert_eq!(serde_json::to_value(&policy).expect("and is written"), text);
    }
}
