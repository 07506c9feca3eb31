// Generated from proto/ by `cargo run -p tetragon-api --example generate`. Do not edit.

use crate::event::get_events_response::Event;
use super::{Enum, Field, FieldSchema, Kind, Message, Schema, ToField, list};

/// The kinds of events: the member that holds one, and its message.
pub static EVENTS: &[(&str, &Schema)] = &[
    ("process_exec", &PROCESS_EXEC),
    ("process_exit", &PROCESS_EXIT),
    ("process_kprobe", &PROCESS_KPROBE),
    ("process_tracepoint", &PROCESS_TRACEPOINT),
    ("process_loader", &PROCESS_LOADER),
    ("process_uprobe", &PROCESS_UPROBE),
    ("process_throttle", &PROCESS_THROTTLE),
    ("process_lsm", &PROCESS_LSM),
    ("process_usdt", &PROCESS_USDT),
    ("test", &TEST),
    ("rate_limit_info", &RATE_LIMIT_INFO),
];

/// The enums that members hold.
pub static ENUMS: &[Enum] = &[
    ("BpfCmd", &[("BPF_MAP_CREATE", 0), ("BPF_MAP_LOOKUP_ELEM", 1), ("BPF_MAP_UPDATE_ELEM", 2), ("BPF_MAP_DELETE_ELEM", 3), ("BPF_MAP_GET_NEXT_KEY", 4), ("BPF_PROG_LOAD", 5), ("BPF_OBJ_PIN", 6), ("BPF_OBJ_GET", 7), ("BPF_PROG_ATTACH", 8), ("BPF_PROG_DETACH", 9), ("BPF_PROG_TEST_RUN", 10), ("BPF_PROG_GET_NEXT_ID", 11), ("BPF_MAP_GET_NEXT_ID", 12), ("BPF_PROG_GET_FD_BY_ID", 13), ("BPF_MAP_GET_FD_BY_ID", 14), ("BPF_OBJ_GET_INFO_BY_FD", 15), ("BPF_PROG_QUERY", 16), ("BPF_RAW_TRACEPOINT_OPEN", 17), ("BPF_BTF_LOAD", 18), ("BPF_BTF_GET_FD_BY_ID", 19), ("BPF_TASK_FD_QUERY", 20), ("BPF_MAP_LOOKUP_AND_DELETE_ELEM", 21), ("BPF_MAP_FREEZE", 22), ("BPF_BTF_GET_NEXT_ID", 23), ("BPF_MAP_LOOKUP_BATCH", 24), ("BPF_MAP_LOOKUP_AND_DELETE_BATCH", 25), ("BPF_MAP_UPDATE_BATCH", 26), ("BPF_MAP_DELETE_BATCH", 27), ("BPF_LINK_CREATE", 28), ("BPF_LINK_UPDATE", 29), ("BPF_LINK_GET_FD_BY_ID", 30), ("BPF_LINK_GET_NEXT_ID", 31), ("BPF_ENABLE_STATS", 32), ("BPF_ITER_CREATE", 33), ("BPF_LINK_DETACH", 34), ("BPF_PROG_BIND_MAP", 35), ("BPF_TOKEN_CREATE", 36)]),
    ("CapabilitiesType", &[("CAP_CHOWN", 0), ("DAC_OVERRIDE", 1), ("CAP_DAC_READ_SEARCH", 2), ("CAP_FOWNER", 3), ("CAP_FSETID", 4), ("CAP_KILL", 5), ("CAP_SETGID", 6), ("CAP_SETUID", 7), ("CAP_SETPCAP", 8), ("CAP_LINUX_IMMUTABLE", 9), ("CAP_NET_BIND_SERVICE", 10), ("CAP_NET_BROADCAST", 11), ("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_IPC_LOCK", 14), ("CAP_IPC_OWNER", 15), ("CAP_SYS_MODULE", 16), ("CAP_SYS_RAWIO", 17), ("CAP_SYS_CHROOT", 18), ("CAP_SYS_PTRACE", 19), ("CAP_SYS_PACCT", 20), ("CAP_SYS_ADMIN", 21), ("CAP_SYS_BOOT", 22), ("CAP_SYS_NICE", 23), ("CAP_SYS_RESOURCE", 24), ("CAP_SYS_TIME", 25), ("CAP_SYS_TTY_CONFIG", 26), ("CAP_MKNOD", 27), ("CAP_LEASE", 28), ("CAP_AUDIT_WRITE", 29), ("CAP_AUDIT_CONTROL", 30), ("CAP_SETFCAP", 31), ("CAP_MAC_OVERRIDE", 32), ("CAP_MAC_ADMIN", 33), ("CAP_SYSLOG", 34), ("CAP_WAKE_ALARM", 35), ("CAP_BLOCK_SUSPEND", 36), ("CAP_AUDIT_READ", 37), ("CAP_PERFMON", 38), ("CAP_BPF", 39), ("CAP_CHECKPOINT_RESTORE", 40)]),
    ("KprobeAction", &[("KPROBE_ACTION_UNKNOWN", 0), ("KPROBE_ACTION_POST", 1), ("KPROBE_ACTION_FOLLOWFD", 2), ("KPROBE_ACTION_SIGKILL", 3), ("KPROBE_ACTION_UNFOLLOWFD", 4), ("KPROBE_ACTION_OVERRIDE", 5), ("KPROBE_ACTION_COPYFD", 6), ("KPROBE_ACTION_GETURL", 7), ("KPROBE_ACTION_DNSLOOKUP", 8), ("KPROBE_ACTION_NOPOST", 9), ("KPROBE_ACTION_SIGNAL", 10), ("KPROBE_ACTION_TRACKSOCK", 11), ("KPROBE_ACTION_UNTRACKSOCK", 12), ("KPROBE_ACTION_NOTIFYENFORCER", 13), ("KPROBE_ACTION_CLEANUPENFORCERNOTIFICATION", 14), ("KPROBE_ACTION_SET", 15)]),
    ("ProcessPrivilegesChanged", &[("PRIVILEGES_CHANGED_UNSET", 0), ("PRIVILEGES_RAISED_EXEC_FILE_CAP", 1), ("PRIVILEGES_RAISED_EXEC_FILE_SETUID", 2), ("PRIVILEGES_RAISED_EXEC_FILE_SETGID", 3)]),
    ("SecureBitsType", &[("SecBitNotSet", 0), ("SecBitNoRoot", 1), ("SecBitNoRootLocked", 2), ("SecBitNoSetUidFixup", 4), ("SecBitNoSetUidFixupLocked", 8), ("SecBitKeepCaps", 16), ("SecBitKeepCapsLocked", 32), ("SecBitNoCapAmbientRaise", 64), ("SecBitNoCapAmbientRaiseLocked", 128)]),
    ("TaintedBitsType", &[("TAINT_UNSET", 0), ("TAINT_PROPRIETARY_MODULE", 1), ("TAINT_FORCED_MODULE", 2), ("TAINT_FORCED_UNLOAD_MODULE", 4), ("TAINT_STAGED_MODULE", 1024), ("TAINT_OUT_OF_TREE_MODULE", 4096), ("TAINT_UNSIGNED_MODULE", 8192), ("TAINT_KERNEL_LIVE_PATCH_MODULE", 32768), ("TAINT_TEST_MODULE", 262144)]),
    ("ThrottleType", &[("THROTTLE_UNKNOWN", 0), ("THROTTLE_START", 1), ("THROTTLE_STOP", 2)]),
];

pub(super) fn body(event: &Event) -> (&'static str, &dyn Message) {
    match event {
        Event::ProcessExec(e) => ("process_exec", e),
        Event::ProcessExit(e) => ("process_exit", e),
        Event::ProcessKprobe(e) => ("process_kprobe", e),
        Event::ProcessTracepoint(e) => ("process_tracepoint", e),
        Event::ProcessLoader(e) => ("process_loader", e),
        Event::ProcessUprobe(e) => ("process_uprobe", e),
        Event::ProcessThrottle(e) => ("process_throttle", e),
        Event::ProcessLsm(e) => ("process_lsm", e),
        Event::ProcessUsdt(e) => ("process_usdt", e),
        Event::Test(e) => ("test", e),
        Event::RateLimitInfo(e) => ("rate_limit_info", e),
    }
}

static BINARY_PROPERTIES: Schema = Schema {
    name: "BinaryProperties",
    fields: &[
        FieldSchema { name: "setuid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "setgid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "privileges_changed", kind: Kind::List(&Kind::Int), explicit: false },
        FieldSchema { name: "file", kind: Kind::Message(&FILE_PROPERTIES), explicit: false },
    ],
};

impl Message for crate::event::BinaryProperties {
    fn schema(&self) -> &'static Schema {
        &BINARY_PROPERTIES
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "setuid" => self.setuid.to_field(),
            "setgid" => self.setgid.to_field(),
            "privileges_changed" => list(&self.privileges_changed),
            "file" => self.file.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::BinaryProperties {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static CAPABILITIES: Schema = Schema {
    name: "Capabilities",
    fields: &[
        FieldSchema { name: "permitted", kind: Kind::List(&Kind::Int), explicit: false },
        FieldSchema { name: "effective", kind: Kind::List(&Kind::Int), explicit: false },
        FieldSchema { name: "inheritable", kind: Kind::List(&Kind::Int), explicit: false },
    ],
};

impl Message for crate::event::Capabilities {
    fn schema(&self) -> &'static Schema {
        &CAPABILITIES
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "permitted" => list(&self.permitted),
            "effective" => list(&self.effective),
            "inheritable" => list(&self.inheritable),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Capabilities {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static CONTAINER: Schema = Schema {
    name: "Container",
    fields: &[
        FieldSchema { name: "id", kind: Kind::Text, explicit: false },
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "image", kind: Kind::Message(&IMAGE), explicit: false },
        FieldSchema { name: "start_time", kind: Kind::Timestamp, explicit: false },
        FieldSchema { name: "pid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "maybe_exec_probe", kind: Kind::Bool, explicit: false },
        FieldSchema { name: "security_context", kind: Kind::Message(&SECURITY_CONTEXT), explicit: false },
    ],
};

impl Message for crate::event::Container {
    fn schema(&self) -> &'static Schema {
        &CONTAINER
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "id" => self.id.to_field(),
            "name" => self.name.to_field(),
            "image" => self.image.to_field(),
            "start_time" => self.start_time.to_field(),
            "pid" => self.pid.to_field(),
            "maybe_exec_probe" => self.maybe_exec_probe.to_field(),
            "security_context" => self.security_context.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Container {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static ENV_VAR: Schema = Schema {
    name: "EnvVar",
    fields: &[
        FieldSchema { name: "Key", kind: Kind::Text, explicit: false },
        FieldSchema { name: "Value", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::EnvVar {
    fn schema(&self) -> &'static Schema {
        &ENV_VAR
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "Key" => self.key.to_field(),
            "Value" => self.value.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::EnvVar {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static FILE_PROPERTIES: Schema = Schema {
    name: "FileProperties",
    fields: &[
        FieldSchema { name: "inode", kind: Kind::Message(&INODE_PROPERTIES), explicit: false },
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::FileProperties {
    fn schema(&self) -> &'static Schema {
        &FILE_PROPERTIES
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "inode" => self.inode.to_field(),
            "path" => self.path.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::FileProperties {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static IMAGE: Schema = Schema {
    name: "Image",
    fields: &[
        FieldSchema { name: "id", kind: Kind::Text, explicit: false },
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::Image {
    fn schema(&self) -> &'static Schema {
        &IMAGE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "id" => self.id.to_field(),
            "name" => self.name.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Image {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static INODE_PROPERTIES: Schema = Schema {
    name: "InodeProperties",
    fields: &[
        FieldSchema { name: "number", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "links", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
    ],
};

impl Message for crate::event::InodeProperties {
    fn schema(&self) -> &'static Schema {
        &INODE_PROPERTIES
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "number" => self.number.to_field(),
            "links" => self.links.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::InodeProperties {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KERNEL_MODULE: Schema = Schema {
    name: "KernelModule",
    fields: &[
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "signature_ok", kind: Kind::Wrapper(&Kind::Bool), explicit: false },
        FieldSchema { name: "tainted", kind: Kind::List(&Kind::Int), explicit: false },
    ],
};

impl Message for crate::event::KernelModule {
    fn schema(&self) -> &'static Schema {
        &KERNEL_MODULE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "name" => self.name.to_field(),
            "signature_ok" => self.signature_ok.to_field(),
            "tainted" => list(&self.tainted),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KernelModule {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_ARGUMENT: Schema = Schema {
    name: "KprobeArgument",
    fields: &[
        FieldSchema { name: "string_arg", kind: Kind::Text, explicit: true },
        FieldSchema { name: "int_arg", kind: Kind::Int, explicit: true },
        FieldSchema { name: "skb_arg", kind: Kind::Message(&KPROBE_SKB), explicit: true },
        FieldSchema { name: "size_arg", kind: Kind::Uint, explicit: true },
        FieldSchema { name: "bytes_arg", kind: Kind::Bytes, explicit: true },
        FieldSchema { name: "path_arg", kind: Kind::Message(&KPROBE_PATH), explicit: true },
        FieldSchema { name: "file_arg", kind: Kind::Message(&KPROBE_FILE), explicit: true },
        FieldSchema { name: "truncated_bytes_arg", kind: Kind::Message(&KPROBE_TRUNCATED_BYTES), explicit: true },
        FieldSchema { name: "sock_arg", kind: Kind::Message(&KPROBE_SOCK), explicit: true },
        FieldSchema { name: "cred_arg", kind: Kind::Message(&KPROBE_CRED), explicit: true },
        FieldSchema { name: "long_arg", kind: Kind::Int, explicit: true },
        FieldSchema { name: "bpf_attr_arg", kind: Kind::Message(&KPROBE_BPF_ATTR), explicit: true },
        FieldSchema { name: "perf_event_arg", kind: Kind::Message(&KPROBE_PERF_EVENT), explicit: true },
        FieldSchema { name: "bpf_map_arg", kind: Kind::Message(&KPROBE_BPF_MAP), explicit: true },
        FieldSchema { name: "uint_arg", kind: Kind::Uint, explicit: true },
        FieldSchema { name: "user_namespace_arg", kind: Kind::Message(&KPROBE_USER_NAMESPACE), explicit: true },
        FieldSchema { name: "capability_arg", kind: Kind::Message(&KPROBE_CAPABILITY), explicit: true },
        FieldSchema { name: "process_credentials_arg", kind: Kind::Message(&PROCESS_CREDENTIALS), explicit: true },
        FieldSchema { name: "user_ns_arg", kind: Kind::Message(&USER_NAMESPACE), explicit: true },
        FieldSchema { name: "module_arg", kind: Kind::Message(&KERNEL_MODULE), explicit: true },
        FieldSchema { name: "kernel_cap_t_arg", kind: Kind::Text, explicit: true },
        FieldSchema { name: "cap_inheritable_arg", kind: Kind::Text, explicit: true },
        FieldSchema { name: "cap_permitted_arg", kind: Kind::Text, explicit: true },
        FieldSchema { name: "cap_effective_arg", kind: Kind::Text, explicit: true },
        FieldSchema { name: "linux_binprm_arg", kind: Kind::Message(&KPROBE_LINUX_BINPRM), explicit: true },
        FieldSchema { name: "net_dev_arg", kind: Kind::Message(&KPROBE_NET_DEV), explicit: true },
        FieldSchema { name: "bpf_cmd_arg", kind: Kind::Int, explicit: true },
        FieldSchema { name: "syscall_id", kind: Kind::Message(&SYSCALL_ID), explicit: true },
        FieldSchema { name: "sockaddr_arg", kind: Kind::Message(&KPROBE_SOCKADDR), explicit: true },
        FieldSchema { name: "bpf_prog_arg", kind: Kind::Message(&KPROBE_BPF_PROG), explicit: true },
        FieldSchema { name: "error_arg", kind: Kind::Message(&KPROBE_ERROR), explicit: true },
        FieldSchema { name: "sockaddrun_arg", kind: Kind::Message(&KPROBE_SOCKADDR_UN), explicit: true },
        FieldSchema { name: "label", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeArgument {
    fn schema(&self) -> &'static Schema {
        &KPROBE_ARGUMENT
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "string_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::StringArg(v)) => v.to_field(), _ => Field::Unset },
            "int_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::IntArg(v)) => v.to_field(), _ => Field::Unset },
            "skb_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::SkbArg(v)) => v.to_field(), _ => Field::Unset },
            "size_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::SizeArg(v)) => v.to_field(), _ => Field::Unset },
            "bytes_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::BytesArg(v)) => v.to_field(), _ => Field::Unset },
            "path_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::PathArg(v)) => v.to_field(), _ => Field::Unset },
            "file_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::FileArg(v)) => v.to_field(), _ => Field::Unset },
            "truncated_bytes_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::TruncatedBytesArg(v)) => v.to_field(), _ => Field::Unset },
            "sock_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::SockArg(v)) => v.to_field(), _ => Field::Unset },
            "cred_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::CredArg(v)) => v.to_field(), _ => Field::Unset },
            "long_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::LongArg(v)) => v.to_field(), _ => Field::Unset },
            "bpf_attr_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::BpfAttrArg(v)) => v.to_field(), _ => Field::Unset },
            "perf_event_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::PerfEventArg(v)) => v.to_field(), _ => Field::Unset },
            "bpf_map_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::BpfMapArg(v)) => v.to_field(), _ => Field::Unset },
            "uint_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::UintArg(v)) => v.to_field(), _ => Field::Unset },
            "user_namespace_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::UserNamespaceArg(v)) => v.to_field(), _ => Field::Unset },
            "capability_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::CapabilityArg(v)) => v.to_field(), _ => Field::Unset },
            "process_credentials_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::ProcessCredentialsArg(v)) => v.to_field(), _ => Field::Unset },
            "user_ns_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::UserNsArg(v)) => v.to_field(), _ => Field::Unset },
            "module_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::ModuleArg(v)) => v.to_field(), _ => Field::Unset },
            "kernel_cap_t_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::KernelCapTArg(v)) => v.to_field(), _ => Field::Unset },
            "cap_inheritable_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::CapInheritableArg(v)) => v.to_field(), _ => Field::Unset },
            "cap_permitted_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::CapPermittedArg(v)) => v.to_field(), _ => Field::Unset },
            "cap_effective_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::CapEffectiveArg(v)) => v.to_field(), _ => Field::Unset },
            "linux_binprm_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::LinuxBinprmArg(v)) => v.to_field(), _ => Field::Unset },
            "net_dev_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::NetDevArg(v)) => v.to_field(), _ => Field::Unset },
            "bpf_cmd_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::BpfCmdArg(v)) => v.to_field(), _ => Field::Unset },
            "syscall_id" => match &self.arg { Some(crate::event::kprobe_argument::Arg::SyscallId(v)) => v.to_field(), _ => Field::Unset },
            "sockaddr_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::SockaddrArg(v)) => v.to_field(), _ => Field::Unset },
            "bpf_prog_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::BpfProgArg(v)) => v.to_field(), _ => Field::Unset },
            "error_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::ErrorArg(v)) => v.to_field(), _ => Field::Unset },
            "sockaddrun_arg" => match &self.arg { Some(crate::event::kprobe_argument::Arg::SockaddrunArg(v)) => v.to_field(), _ => Field::Unset },
            "label" => self.label.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeArgument {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_BPF_ATTR: Schema = Schema {
    name: "KprobeBpfAttr",
    fields: &[
        FieldSchema { name: "ProgType", kind: Kind::Text, explicit: false },
        FieldSchema { name: "InsnCnt", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "ProgName", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeBpfAttr {
    fn schema(&self) -> &'static Schema {
        &KPROBE_BPF_ATTR
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "ProgType" => self.prog_type.to_field(),
            "InsnCnt" => self.insn_cnt.to_field(),
            "ProgName" => self.prog_name.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeBpfAttr {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_BPF_MAP: Schema = Schema {
    name: "KprobeBpfMap",
    fields: &[
        FieldSchema { name: "MapType", kind: Kind::Text, explicit: false },
        FieldSchema { name: "KeySize", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "ValueSize", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "MaxEntries", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "MapName", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeBpfMap {
    fn schema(&self) -> &'static Schema {
        &KPROBE_BPF_MAP
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "MapType" => self.map_type.to_field(),
            "KeySize" => self.key_size.to_field(),
            "ValueSize" => self.value_size.to_field(),
            "MaxEntries" => self.max_entries.to_field(),
            "MapName" => self.map_name.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeBpfMap {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_BPF_PROG: Schema = Schema {
    name: "KprobeBpfProg",
    fields: &[
        FieldSchema { name: "ProgType", kind: Kind::Text, explicit: false },
        FieldSchema { name: "InsnCnt", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "ProgName", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeBpfProg {
    fn schema(&self) -> &'static Schema {
        &KPROBE_BPF_PROG
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "ProgType" => self.prog_type.to_field(),
            "InsnCnt" => self.insn_cnt.to_field(),
            "ProgName" => self.prog_name.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeBpfProg {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_CAPABILITY: Schema = Schema {
    name: "KprobeCapability",
    fields: &[
        FieldSchema { name: "value", kind: Kind::Wrapper(&Kind::Int), explicit: false },
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeCapability {
    fn schema(&self) -> &'static Schema {
        &KPROBE_CAPABILITY
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "value" => self.value.to_field(),
            "name" => self.name.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeCapability {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_CRED: Schema = Schema {
    name: "KprobeCred",
    fields: &[
        FieldSchema { name: "permitted", kind: Kind::List(&Kind::Int), explicit: false },
        FieldSchema { name: "effective", kind: Kind::List(&Kind::Int), explicit: false },
        FieldSchema { name: "inheritable", kind: Kind::List(&Kind::Int), explicit: false },
    ],
};

impl Message for crate::event::KprobeCred {
    fn schema(&self) -> &'static Schema {
        &KPROBE_CRED
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "permitted" => list(&self.permitted),
            "effective" => list(&self.effective),
            "inheritable" => list(&self.inheritable),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeCred {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_ERROR: Schema = Schema {
    name: "KprobeError",
    fields: &[
        FieldSchema { name: "Message", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeError {
    fn schema(&self) -> &'static Schema {
        &KPROBE_ERROR
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "Message" => self.message.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeError {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_FILE: Schema = Schema {
    name: "KprobeFile",
    fields: &[
        FieldSchema { name: "mount", kind: Kind::Text, explicit: false },
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
        FieldSchema { name: "flags", kind: Kind::Text, explicit: false },
        FieldSchema { name: "permission", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeFile {
    fn schema(&self) -> &'static Schema {
        &KPROBE_FILE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "mount" => self.mount.to_field(),
            "path" => self.path.to_field(),
            "flags" => self.flags.to_field(),
            "permission" => self.permission.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeFile {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_LINUX_BINPRM: Schema = Schema {
    name: "KprobeLinuxBinprm",
    fields: &[
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
        FieldSchema { name: "flags", kind: Kind::Text, explicit: false },
        FieldSchema { name: "permission", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeLinuxBinprm {
    fn schema(&self) -> &'static Schema {
        &KPROBE_LINUX_BINPRM
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "path" => self.path.to_field(),
            "flags" => self.flags.to_field(),
            "permission" => self.permission.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeLinuxBinprm {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_NET_DEV: Schema = Schema {
    name: "KprobeNetDev",
    fields: &[
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeNetDev {
    fn schema(&self) -> &'static Schema {
        &KPROBE_NET_DEV
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "name" => self.name.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeNetDev {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_PATH: Schema = Schema {
    name: "KprobePath",
    fields: &[
        FieldSchema { name: "mount", kind: Kind::Text, explicit: false },
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
        FieldSchema { name: "flags", kind: Kind::Text, explicit: false },
        FieldSchema { name: "permission", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobePath {
    fn schema(&self) -> &'static Schema {
        &KPROBE_PATH
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "mount" => self.mount.to_field(),
            "path" => self.path.to_field(),
            "flags" => self.flags.to_field(),
            "permission" => self.permission.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobePath {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_PERF_EVENT: Schema = Schema {
    name: "KprobePerfEvent",
    fields: &[
        FieldSchema { name: "KprobeFunc", kind: Kind::Text, explicit: false },
        FieldSchema { name: "Type", kind: Kind::Text, explicit: false },
        FieldSchema { name: "Config", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "ProbeOffset", kind: Kind::Uint, explicit: false },
    ],
};

impl Message for crate::event::KprobePerfEvent {
    fn schema(&self) -> &'static Schema {
        &KPROBE_PERF_EVENT
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "KprobeFunc" => self.kprobe_func.to_field(),
            "Type" => self.r#type.to_field(),
            "Config" => self.config.to_field(),
            "ProbeOffset" => self.probe_offset.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobePerfEvent {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_SKB: Schema = Schema {
    name: "KprobeSkb",
    fields: &[
        FieldSchema { name: "hash", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "len", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "priority", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "mark", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "saddr", kind: Kind::Text, explicit: false },
        FieldSchema { name: "daddr", kind: Kind::Text, explicit: false },
        FieldSchema { name: "sport", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "dport", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "proto", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "sec_path_len", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "sec_path_olen", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "protocol", kind: Kind::Text, explicit: false },
        FieldSchema { name: "family", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeSkb {
    fn schema(&self) -> &'static Schema {
        &KPROBE_SKB
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "hash" => self.hash.to_field(),
            "len" => self.len.to_field(),
            "priority" => self.priority.to_field(),
            "mark" => self.mark.to_field(),
            "saddr" => self.saddr.to_field(),
            "daddr" => self.daddr.to_field(),
            "sport" => self.sport.to_field(),
            "dport" => self.dport.to_field(),
            "proto" => self.proto.to_field(),
            "sec_path_len" => self.sec_path_len.to_field(),
            "sec_path_olen" => self.sec_path_olen.to_field(),
            "protocol" => self.protocol.to_field(),
            "family" => self.family.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeSkb {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_SOCK: Schema = Schema {
    name: "KprobeSock",
    fields: &[
        FieldSchema { name: "family", kind: Kind::Text, explicit: false },
        FieldSchema { name: "type", kind: Kind::Text, explicit: false },
        FieldSchema { name: "protocol", kind: Kind::Text, explicit: false },
        FieldSchema { name: "mark", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "priority", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "saddr", kind: Kind::Text, explicit: false },
        FieldSchema { name: "daddr", kind: Kind::Text, explicit: false },
        FieldSchema { name: "sport", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "dport", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "cookie", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "state", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeSock {
    fn schema(&self) -> &'static Schema {
        &KPROBE_SOCK
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "family" => self.family.to_field(),
            "type" => self.r#type.to_field(),
            "protocol" => self.protocol.to_field(),
            "mark" => self.mark.to_field(),
            "priority" => self.priority.to_field(),
            "saddr" => self.saddr.to_field(),
            "daddr" => self.daddr.to_field(),
            "sport" => self.sport.to_field(),
            "dport" => self.dport.to_field(),
            "cookie" => self.cookie.to_field(),
            "state" => self.state.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeSock {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_SOCKADDR: Schema = Schema {
    name: "KprobeSockaddr",
    fields: &[
        FieldSchema { name: "family", kind: Kind::Text, explicit: false },
        FieldSchema { name: "addr", kind: Kind::Text, explicit: false },
        FieldSchema { name: "port", kind: Kind::Uint, explicit: false },
    ],
};

impl Message for crate::event::KprobeSockaddr {
    fn schema(&self) -> &'static Schema {
        &KPROBE_SOCKADDR
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "family" => self.family.to_field(),
            "addr" => self.addr.to_field(),
            "port" => self.port.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeSockaddr {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_SOCKADDR_UN: Schema = Schema {
    name: "KprobeSockaddrUn",
    fields: &[
        FieldSchema { name: "family", kind: Kind::Text, explicit: false },
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::KprobeSockaddrUn {
    fn schema(&self) -> &'static Schema {
        &KPROBE_SOCKADDR_UN
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "family" => self.family.to_field(),
            "path" => self.path.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeSockaddrUn {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_TRUNCATED_BYTES: Schema = Schema {
    name: "KprobeTruncatedBytes",
    fields: &[
        FieldSchema { name: "bytes_arg", kind: Kind::Bytes, explicit: false },
        FieldSchema { name: "orig_size", kind: Kind::Uint, explicit: false },
    ],
};

impl Message for crate::event::KprobeTruncatedBytes {
    fn schema(&self) -> &'static Schema {
        &KPROBE_TRUNCATED_BYTES
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "bytes_arg" => self.bytes_arg.to_field(),
            "orig_size" => self.orig_size.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeTruncatedBytes {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static KPROBE_USER_NAMESPACE: Schema = Schema {
    name: "KprobeUserNamespace",
    fields: &[
        FieldSchema { name: "level", kind: Kind::Wrapper(&Kind::Int), explicit: false },
        FieldSchema { name: "owner", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "group", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "ns", kind: Kind::Message(&NAMESPACE), explicit: false },
    ],
};

impl Message for crate::event::KprobeUserNamespace {
    fn schema(&self) -> &'static Schema {
        &KPROBE_USER_NAMESPACE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "level" => self.level.to_field(),
            "owner" => self.owner.to_field(),
            "group" => self.group.to_field(),
            "ns" => self.ns.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::KprobeUserNamespace {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static NAMESPACE: Schema = Schema {
    name: "Namespace",
    fields: &[
        FieldSchema { name: "inum", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "is_host", kind: Kind::Bool, explicit: false },
    ],
};

impl Message for crate::event::Namespace {
    fn schema(&self) -> &'static Schema {
        &NAMESPACE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "inum" => self.inum.to_field(),
            "is_host" => self.is_host.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Namespace {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static NAMESPACES: Schema = Schema {
    name: "Namespaces",
    fields: &[
        FieldSchema { name: "uts", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "ipc", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "mnt", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "pid", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "pid_for_children", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "net", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "time", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "time_for_children", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "cgroup", kind: Kind::Message(&NAMESPACE), explicit: false },
        FieldSchema { name: "user", kind: Kind::Message(&NAMESPACE), explicit: false },
    ],
};

impl Message for crate::event::Namespaces {
    fn schema(&self) -> &'static Schema {
        &NAMESPACES
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "uts" => self.uts.to_field(),
            "ipc" => self.ipc.to_field(),
            "mnt" => self.mnt.to_field(),
            "pid" => self.pid.to_field(),
            "pid_for_children" => self.pid_for_children.to_field(),
            "net" => self.net.to_field(),
            "time" => self.time.to_field(),
            "time_for_children" => self.time_for_children.to_field(),
            "cgroup" => self.cgroup.to_field(),
            "user" => self.user.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Namespaces {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static POD: Schema = Schema {
    name: "Pod",
    fields: &[
        FieldSchema { name: "namespace", kind: Kind::Text, explicit: false },
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "uid", kind: Kind::Text, explicit: false },
        FieldSchema { name: "container", kind: Kind::Message(&CONTAINER), explicit: false },
        FieldSchema { name: "pod_labels", kind: Kind::Map, explicit: false },
        FieldSchema { name: "workload", kind: Kind::Text, explicit: false },
        FieldSchema { name: "workload_kind", kind: Kind::Text, explicit: false },
        FieldSchema { name: "pod_annotations", kind: Kind::Map, explicit: false },
    ],
};

impl Message for crate::event::Pod {
    fn schema(&self) -> &'static Schema {
        &POD
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "namespace" => self.namespace.to_field(),
            "name" => self.name.to_field(),
            "uid" => self.uid.to_field(),
            "container" => self.container.to_field(),
            "pod_labels" => self.pod_labels.to_field(),
            "workload" => self.workload.to_field(),
            "workload_kind" => self.workload_kind.to_field(),
            "pod_annotations" => self.pod_annotations.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Pod {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS: Schema = Schema {
    name: "Process",
    fields: &[
        FieldSchema { name: "exec_id", kind: Kind::Text, explicit: false },
        FieldSchema { name: "pid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "uid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "cwd", kind: Kind::Text, explicit: false },
        FieldSchema { name: "binary", kind: Kind::Text, explicit: false },
        FieldSchema { name: "arguments", kind: Kind::Text, explicit: false },
        FieldSchema { name: "flags", kind: Kind::Text, explicit: false },
        FieldSchema { name: "start_time", kind: Kind::Timestamp, explicit: false },
        FieldSchema { name: "auid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "pod", kind: Kind::Message(&POD), explicit: false },
        FieldSchema { name: "docker", kind: Kind::Text, explicit: false },
        FieldSchema { name: "parent_exec_id", kind: Kind::Text, explicit: false },
        FieldSchema { name: "refcnt", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "cap", kind: Kind::Message(&CAPABILITIES), explicit: false },
        FieldSchema { name: "ns", kind: Kind::Message(&NAMESPACES), explicit: false },
        FieldSchema { name: "tid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "process_credentials", kind: Kind::Message(&PROCESS_CREDENTIALS), explicit: false },
        FieldSchema { name: "binary_properties", kind: Kind::Message(&BINARY_PROPERTIES), explicit: false },
        FieldSchema { name: "user", kind: Kind::Message(&USER_RECORD), explicit: false },
        FieldSchema { name: "in_init_tree", kind: Kind::Wrapper(&Kind::Bool), explicit: false },
        FieldSchema { name: "environment_variables", kind: Kind::List(&Kind::Message(&ENV_VAR)), explicit: false },
    ],
};

impl Message for crate::event::Process {
    fn schema(&self) -> &'static Schema {
        &PROCESS
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "exec_id" => self.exec_id.to_field(),
            "pid" => self.pid.to_field(),
            "uid" => self.uid.to_field(),
            "cwd" => self.cwd.to_field(),
            "binary" => self.binary.to_field(),
            "arguments" => self.arguments.to_field(),
            "flags" => self.flags.to_field(),
            "start_time" => self.start_time.to_field(),
            "auid" => self.auid.to_field(),
            "pod" => self.pod.to_field(),
            "docker" => self.docker.to_field(),
            "parent_exec_id" => self.parent_exec_id.to_field(),
            "refcnt" => self.refcnt.to_field(),
            "cap" => self.cap.to_field(),
            "ns" => self.ns.to_field(),
            "tid" => self.tid.to_field(),
            "process_credentials" => self.process_credentials.to_field(),
            "binary_properties" => self.binary_properties.to_field(),
            "user" => self.user.to_field(),
            "in_init_tree" => self.in_init_tree.to_field(),
            "environment_variables" => list(&self.environment_variables),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Process {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_CREDENTIALS: Schema = Schema {
    name: "ProcessCredentials",
    fields: &[
        FieldSchema { name: "uid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "gid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "euid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "egid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "suid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "sgid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "fsuid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "fsgid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "securebits", kind: Kind::List(&Kind::Int), explicit: false },
        FieldSchema { name: "caps", kind: Kind::Message(&CAPABILITIES), explicit: false },
        FieldSchema { name: "user_ns", kind: Kind::Message(&USER_NAMESPACE), explicit: false },
    ],
};

impl Message for crate::event::ProcessCredentials {
    fn schema(&self) -> &'static Schema {
        &PROCESS_CREDENTIALS
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "uid" => self.uid.to_field(),
            "gid" => self.gid.to_field(),
            "euid" => self.euid.to_field(),
            "egid" => self.egid.to_field(),
            "suid" => self.suid.to_field(),
            "sgid" => self.sgid.to_field(),
            "fsuid" => self.fsuid.to_field(),
            "fsgid" => self.fsgid.to_field(),
            "securebits" => list(&self.securebits),
            "caps" => self.caps.to_field(),
            "user_ns" => self.user_ns.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessCredentials {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_EXEC: Schema = Schema {
    name: "ProcessExec",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
    ],
};

impl Message for crate::event::ProcessExec {
    fn schema(&self) -> &'static Schema {
        &PROCESS_EXEC
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "parent" => self.parent.to_field(),
            "ancestors" => list(&self.ancestors),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessExec {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_EXIT: Schema = Schema {
    name: "ProcessExit",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "signal", kind: Kind::Text, explicit: false },
        FieldSchema { name: "status", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "time", kind: Kind::Timestamp, explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
    ],
};

impl Message for crate::event::ProcessExit {
    fn schema(&self) -> &'static Schema {
        &PROCESS_EXIT
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "parent" => self.parent.to_field(),
            "signal" => self.signal.to_field(),
            "status" => self.status.to_field(),
            "time" => self.time.to_field(),
            "ancestors" => list(&self.ancestors),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessExit {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_KPROBE: Schema = Schema {
    name: "ProcessKprobe",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "function_name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "args", kind: Kind::List(&Kind::Message(&KPROBE_ARGUMENT)), explicit: false },
        FieldSchema { name: "return", kind: Kind::Message(&KPROBE_ARGUMENT), explicit: false },
        FieldSchema { name: "action", kind: Kind::Int, explicit: false },
        FieldSchema { name: "kernel_stack_trace", kind: Kind::List(&Kind::Message(&STACK_TRACE_ENTRY)), explicit: false },
        FieldSchema { name: "policy_name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "return_action", kind: Kind::Int, explicit: false },
        FieldSchema { name: "message", kind: Kind::Text, explicit: false },
        FieldSchema { name: "tags", kind: Kind::List(&Kind::Text), explicit: false },
        FieldSchema { name: "user_stack_trace", kind: Kind::List(&Kind::Message(&STACK_TRACE_ENTRY)), explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
        FieldSchema { name: "data", kind: Kind::List(&Kind::Message(&KPROBE_ARGUMENT)), explicit: false },
    ],
};

impl Message for crate::event::ProcessKprobe {
    fn schema(&self) -> &'static Schema {
        &PROCESS_KPROBE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "parent" => self.parent.to_field(),
            "function_name" => self.function_name.to_field(),
            "args" => list(&self.args),
            "return" => self.r#return.to_field(),
            "action" => self.action.to_field(),
            "kernel_stack_trace" => list(&self.kernel_stack_trace),
            "policy_name" => self.policy_name.to_field(),
            "return_action" => self.return_action.to_field(),
            "message" => self.message.to_field(),
            "tags" => list(&self.tags),
            "user_stack_trace" => list(&self.user_stack_trace),
            "ancestors" => list(&self.ancestors),
            "data" => list(&self.data),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessKprobe {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_LOADER: Schema = Schema {
    name: "ProcessLoader",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
        FieldSchema { name: "buildid", kind: Kind::Bytes, explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
    ],
};

impl Message for crate::event::ProcessLoader {
    fn schema(&self) -> &'static Schema {
        &PROCESS_LOADER
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "path" => self.path.to_field(),
            "buildid" => self.buildid.to_field(),
            "parent" => self.parent.to_field(),
            "ancestors" => list(&self.ancestors),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessLoader {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_LSM: Schema = Schema {
    name: "ProcessLsm",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "function_name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "policy_name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "message", kind: Kind::Text, explicit: false },
        FieldSchema { name: "args", kind: Kind::List(&Kind::Message(&KPROBE_ARGUMENT)), explicit: false },
        FieldSchema { name: "action", kind: Kind::Int, explicit: false },
        FieldSchema { name: "tags", kind: Kind::List(&Kind::Text), explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
        FieldSchema { name: "ima_hash", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::ProcessLsm {
    fn schema(&self) -> &'static Schema {
        &PROCESS_LSM
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "parent" => self.parent.to_field(),
            "function_name" => self.function_name.to_field(),
            "policy_name" => self.policy_name.to_field(),
            "message" => self.message.to_field(),
            "args" => list(&self.args),
            "action" => self.action.to_field(),
            "tags" => list(&self.tags),
            "ancestors" => list(&self.ancestors),
            "ima_hash" => self.ima_hash.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessLsm {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_THROTTLE: Schema = Schema {
    name: "ProcessThrottle",
    fields: &[
        FieldSchema { name: "type", kind: Kind::Int, explicit: false },
        FieldSchema { name: "cgroup", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::ProcessThrottle {
    fn schema(&self) -> &'static Schema {
        &PROCESS_THROTTLE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "type" => self.r#type.to_field(),
            "cgroup" => self.cgroup.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessThrottle {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_TRACEPOINT: Schema = Schema {
    name: "ProcessTracepoint",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "subsys", kind: Kind::Text, explicit: false },
        FieldSchema { name: "event", kind: Kind::Text, explicit: false },
        FieldSchema { name: "args", kind: Kind::List(&Kind::Message(&KPROBE_ARGUMENT)), explicit: false },
        FieldSchema { name: "policy_name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "action", kind: Kind::Int, explicit: false },
        FieldSchema { name: "message", kind: Kind::Text, explicit: false },
        FieldSchema { name: "tags", kind: Kind::List(&Kind::Text), explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
    ],
};

impl Message for crate::event::ProcessTracepoint {
    fn schema(&self) -> &'static Schema {
        &PROCESS_TRACEPOINT
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "parent" => self.parent.to_field(),
            "subsys" => self.subsys.to_field(),
            "event" => self.event.to_field(),
            "args" => list(&self.args),
            "policy_name" => self.policy_name.to_field(),
            "action" => self.action.to_field(),
            "message" => self.message.to_field(),
            "tags" => list(&self.tags),
            "ancestors" => list(&self.ancestors),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessTracepoint {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_UPROBE: Schema = Schema {
    name: "ProcessUprobe",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
        FieldSchema { name: "symbol", kind: Kind::Text, explicit: false },
        FieldSchema { name: "policy_name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "message", kind: Kind::Text, explicit: false },
        FieldSchema { name: "args", kind: Kind::List(&Kind::Message(&KPROBE_ARGUMENT)), explicit: false },
        FieldSchema { name: "tags", kind: Kind::List(&Kind::Text), explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
        FieldSchema { name: "offset", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "ref_ctr_offset", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "action", kind: Kind::Int, explicit: false },
        FieldSchema { name: "data", kind: Kind::List(&Kind::Message(&KPROBE_ARGUMENT)), explicit: false },
    ],
};

impl Message for crate::event::ProcessUprobe {
    fn schema(&self) -> &'static Schema {
        &PROCESS_UPROBE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "parent" => self.parent.to_field(),
            "path" => self.path.to_field(),
            "symbol" => self.symbol.to_field(),
            "policy_name" => self.policy_name.to_field(),
            "message" => self.message.to_field(),
            "args" => list(&self.args),
            "tags" => list(&self.tags),
            "ancestors" => list(&self.ancestors),
            "offset" => self.offset.to_field(),
            "ref_ctr_offset" => self.ref_ctr_offset.to_field(),
            "action" => self.action.to_field(),
            "data" => list(&self.data),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessUprobe {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static PROCESS_USDT: Schema = Schema {
    name: "ProcessUsdt",
    fields: &[
        FieldSchema { name: "process", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "parent", kind: Kind::Message(&PROCESS), explicit: false },
        FieldSchema { name: "path", kind: Kind::Text, explicit: false },
        FieldSchema { name: "provider", kind: Kind::Text, explicit: false },
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "policy_name", kind: Kind::Text, explicit: false },
        FieldSchema { name: "message", kind: Kind::Text, explicit: false },
        FieldSchema { name: "args", kind: Kind::List(&Kind::Message(&KPROBE_ARGUMENT)), explicit: false },
        FieldSchema { name: "tags", kind: Kind::List(&Kind::Text), explicit: false },
        FieldSchema { name: "ancestors", kind: Kind::List(&Kind::Message(&PROCESS)), explicit: false },
        FieldSchema { name: "action", kind: Kind::Int, explicit: false },
        FieldSchema { name: "flags", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::ProcessUsdt {
    fn schema(&self) -> &'static Schema {
        &PROCESS_USDT
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "process" => self.process.to_field(),
            "parent" => self.parent.to_field(),
            "path" => self.path.to_field(),
            "provider" => self.provider.to_field(),
            "name" => self.name.to_field(),
            "policy_name" => self.policy_name.to_field(),
            "message" => self.message.to_field(),
            "args" => list(&self.args),
            "tags" => list(&self.tags),
            "ancestors" => list(&self.ancestors),
            "action" => self.action.to_field(),
            "flags" => self.flags.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::ProcessUsdt {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static RATE_LIMIT_INFO: Schema = Schema {
    name: "RateLimitInfo",
    fields: &[
        FieldSchema { name: "number_of_dropped_process_events", kind: Kind::Uint, explicit: false },
    ],
};

impl Message for crate::event::RateLimitInfo {
    fn schema(&self) -> &'static Schema {
        &RATE_LIMIT_INFO
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "number_of_dropped_process_events" => self.number_of_dropped_process_events.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::RateLimitInfo {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static SECURITY_CONTEXT: Schema = Schema {
    name: "SecurityContext",
    fields: &[
        FieldSchema { name: "privileged", kind: Kind::Bool, explicit: false },
    ],
};

impl Message for crate::event::SecurityContext {
    fn schema(&self) -> &'static Schema {
        &SECURITY_CONTEXT
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "privileged" => self.privileged.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::SecurityContext {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static STACK_TRACE_ENTRY: Schema = Schema {
    name: "StackTraceEntry",
    fields: &[
        FieldSchema { name: "address", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "offset", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "symbol", kind: Kind::Text, explicit: false },
        FieldSchema { name: "module", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::StackTraceEntry {
    fn schema(&self) -> &'static Schema {
        &STACK_TRACE_ENTRY
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "address" => self.address.to_field(),
            "offset" => self.offset.to_field(),
            "symbol" => self.symbol.to_field(),
            "module" => self.module.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::StackTraceEntry {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static SYSCALL_ID: Schema = Schema {
    name: "SyscallId",
    fields: &[
        FieldSchema { name: "id", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "abi", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::SyscallId {
    fn schema(&self) -> &'static Schema {
        &SYSCALL_ID
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "id" => self.id.to_field(),
            "abi" => self.abi.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::SyscallId {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static TEST: Schema = Schema {
    name: "Test",
    fields: &[
        FieldSchema { name: "arg0", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "arg1", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "arg2", kind: Kind::Uint, explicit: false },
        FieldSchema { name: "arg3", kind: Kind::Uint, explicit: false },
    ],
};

impl Message for crate::event::Test {
    fn schema(&self) -> &'static Schema {
        &TEST
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "arg0" => self.arg0.to_field(),
            "arg1" => self.arg1.to_field(),
            "arg2" => self.arg2.to_field(),
            "arg3" => self.arg3.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::Test {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static USER_NAMESPACE: Schema = Schema {
    name: "UserNamespace",
    fields: &[
        FieldSchema { name: "level", kind: Kind::Wrapper(&Kind::Int), explicit: false },
        FieldSchema { name: "uid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "gid", kind: Kind::Wrapper(&Kind::Uint), explicit: false },
        FieldSchema { name: "ns", kind: Kind::Message(&NAMESPACE), explicit: false },
    ],
};

impl Message for crate::event::UserNamespace {
    fn schema(&self) -> &'static Schema {
        &USER_NAMESPACE
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "level" => self.level.to_field(),
            "uid" => self.uid.to_field(),
            "gid" => self.gid.to_field(),
            "ns" => self.ns.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::UserNamespace {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}

static USER_RECORD: Schema = Schema {
    name: "UserRecord",
    fields: &[
        FieldSchema { name: "name", kind: Kind::Text, explicit: false },
    ],
};

impl Message for crate::event::UserRecord {
    fn schema(&self) -> &'static Schema {
        &USER_RECORD
    }

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "name" => self.name.to_field(),
            _ => return None,
        })
    }
}

impl ToField for crate::event::UserRecord {
    fn to_field(&self) -> Field<'_> {
        Field::Message(self)
    }
}
