// Generated from proto/ by `cargo run -p tetragon-api --example generate`. Do not edit.
/// Linux capabilities. DAC_OVERRIDE has no prefix: the name is part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum CapabilitiesType {
    CapChown = 0,
    DacOverride = 1,
    CapDacReadSearch = 2,
    CapFowner = 3,
    CapFsetid = 4,
    CapKill = 5,
    CapSetgid = 6,
    CapSetuid = 7,
    CapSetpcap = 8,
    CapLinuxImmutable = 9,
    CapNetBindService = 10,
    CapNetBroadcast = 11,
    CapNetAdmin = 12,
    CapNetRaw = 13,
    CapIpcLock = 14,
    CapIpcOwner = 15,
    CapSysModule = 16,
    CapSysRawio = 17,
    CapSysChroot = 18,
    CapSysPtrace = 19,
    CapSysPacct = 20,
    CapSysAdmin = 21,
    CapSysBoot = 22,
    CapSysNice = 23,
    CapSysResource = 24,
    CapSysTime = 25,
    CapSysTtyConfig = 26,
    CapMknod = 27,
    CapLease = 28,
    CapAuditWrite = 29,
    CapAuditControl = 30,
    CapSetfcap = 31,
    CapMacOverride = 32,
    CapMacAdmin = 33,
    CapSyslog = 34,
    CapWakeAlarm = 35,
    CapBlockSuspend = 36,
    CapAuditRead = 37,
    CapPerfmon = 38,
    CapBpf = 39,
    CapCheckpointRestore = 40,
}
impl CapabilitiesType {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::CapChown => "CAP_CHOWN",
            Self::DacOverride => "DAC_OVERRIDE",
            Self::CapDacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::CapFowner => "CAP_FOWNER",
            Self::CapFsetid => "CAP_FSETID",
            Self::CapKill => "CAP_KILL",
            Self::CapSetgid => "CAP_SETGID",
            Self::CapSetuid => "CAP_SETUID",
            Self::CapSetpcap => "CAP_SETPCAP",
            Self::CapLinuxImmutable => "CAP_LINUX_IMMUTABLE",
            Self::CapNetBindService => "CAP_NET_BIND_SERVICE",
            Self::CapNetBroadcast => "CAP_NET_BROADCAST",
            Self::CapNetAdmin => "CAP_NET_ADMIN",
            Self::CapNetRaw => "CAP_NET_RAW",
            Self::CapIpcLock => "CAP_IPC_LOCK",
            Self::CapIpcOwner => "CAP_IPC_OWNER",
            Self::CapSysModule => "CAP_SYS_MODULE",
            Self::CapSysRawio => "CAP_SYS_RAWIO",
            Self::CapSysChroot => "CAP_SYS_CHROOT",
            Self::CapSysPtrace => "CAP_SYS_PTRACE",
            Self::CapSysPacct => "CAP_SYS_PACCT",
            Self::CapSysAdmin => "CAP_SYS_ADMIN",
            Self::CapSysBoot => "CAP_SYS_BOOT",
            Self::CapSysNice => "CAP_SYS_NICE",
            Self::CapSysResource => "CAP_SYS_RESOURCE",
            Self::CapSysTime => "CAP_SYS_TIME",
            Self::CapSysTtyConfig => "CAP_SYS_TTY_CONFIG",
            Self::CapMknod => "CAP_MKNOD",
            Self::CapLease => "CAP_LEASE",
            Self::CapAuditWrite => "CAP_AUDIT_WRITE",
            Self::CapAuditControl => "CAP_AUDIT_CONTROL",
            Self::CapSetfcap => "CAP_SETFCAP",
            Self::CapMacOverride => "CAP_MAC_OVERRIDE",
            Self::CapMacAdmin => "CAP_MAC_ADMIN",
            Self::CapSyslog => "CAP_SYSLOG",
            Self::CapWakeAlarm => "CAP_WAKE_ALARM",
            Self::CapBlockSuspend => "CAP_BLOCK_SUSPEND",
            Self::CapAuditRead => "CAP_AUDIT_READ",
            Self::CapPerfmon => "CAP_PERFMON",
            Self::CapBpf => "CAP_BPF",
            Self::CapCheckpointRestore => "CAP_CHECKPOINT_RESTORE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "CAP_CHOWN" => Some(Self::CapChown),
            "DAC_OVERRIDE" => Some(Self::DacOverride),
            "CAP_DAC_READ_SEARCH" => Some(Self::CapDacReadSearch),
            "CAP_FOWNER" => Some(Self::CapFowner),
            "CAP_FSETID" => Some(Self::CapFsetid),
            "CAP_KILL" => Some(Self::CapKill),
            "CAP_SETGID" => Some(Self::CapSetgid),
            "CAP_SETUID" => Some(Self::CapSetuid),
            "CAP_SETPCAP" => Some(Self::CapSetpcap),
            "CAP_LINUX_IMMUTABLE" => Some(Self::CapLinuxImmutable),
            "CAP_NET_BIND_SERVICE" => Some(Self::CapNetBindService),
            "CAP_NET_BROADCAST" => Some(Self::CapNetBroadcast),
            "CAP_NET_ADMIN" => Some(Self::CapNetAdmin),
            "CAP_NET_RAW" => Some(Self::CapNetRaw),
            "CAP_IPC_LOCK" => Some(Self::CapIpcLock),
            "CAP_IPC_OWNER" => Some(Self::CapIpcOwner),
            "CAP_SYS_MODULE" => Some(Self::CapSysModule),
            "CAP_SYS_RAWIO" => Some(Self::CapSysRawio),
            "CAP_SYS_CHROOT" => Some(Self::CapSysChroot),
            "CAP_SYS_PTRACE" => Some(Self::CapSysPtrace),
            "CAP_SYS_PACCT" => Some(Self::CapSysPacct),
            "CAP_SYS_ADMIN" => Some(Self::CapSysAdmin),
            "CAP_SYS_BOOT" => Some(Self::CapSysBoot),
            "CAP_SYS_NICE" => Some(Self::CapSysNice),
            "CAP_SYS_RESOURCE" => Some(Self::CapSysResource),
            "CAP_SYS_TIME" => Some(Self::CapSysTime),
            "CAP_SYS_TTY_CONFIG" => Some(Self::CapSysTtyConfig),
            "CAP_MKNOD" => Some(Self::CapMknod),
            "CAP_LEASE" => Some(Self::CapLease),
            "CAP_AUDIT_WRITE" => Some(Self::CapAuditWrite),
            "CAP_AUDIT_CONTROL" => Some(Self::CapAuditControl),
            "CAP_SETFCAP" => Some(Self::CapSetfcap),
            "CAP_MAC_OVERRIDE" => Some(Self::CapMacOverride),
            "CAP_MAC_ADMIN" => Some(Self::CapMacAdmin),
            "CAP_SYSLOG" => Some(Self::CapSyslog),
            "CAP_WAKE_ALARM" => Some(Self::CapWakeAlarm),
            "CAP_BLOCK_SUSPEND" => Some(Self::CapBlockSuspend),
            "CAP_AUDIT_READ" => Some(Self::CapAuditRead),
            "CAP_PERFMON" => Some(Self::CapPerfmon),
            "CAP_BPF" => Some(Self::CapBpf),
            "CAP_CHECKPOINT_RESTORE" => Some(Self::CapCheckpointRestore),
            _ => None,
        }
    }
}
/// Secure bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum SecureBitsType {
    SecBitNotSet = 0,
    SecBitNoRoot = 1,
    SecBitNoRootLocked = 2,
    SecBitNoSetUidFixup = 4,
    SecBitNoSetUidFixupLocked = 8,
    SecBitKeepCaps = 16,
    SecBitKeepCapsLocked = 32,
    SecBitNoCapAmbientRaise = 64,
    SecBitNoCapAmbientRaiseLocked = 128,
}
impl SecureBitsType {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::SecBitNotSet => "SecBitNotSet",
            Self::SecBitNoRoot => "SecBitNoRoot",
            Self::SecBitNoRootLocked => "SecBitNoRootLocked",
            Self::SecBitNoSetUidFixup => "SecBitNoSetUidFixup",
            Self::SecBitNoSetUidFixupLocked => "SecBitNoSetUidFixupLocked",
            Self::SecBitKeepCaps => "SecBitKeepCaps",
            Self::SecBitKeepCapsLocked => "SecBitKeepCapsLocked",
            Self::SecBitNoCapAmbientRaise => "SecBitNoCapAmbientRaise",
            Self::SecBitNoCapAmbientRaiseLocked => "SecBitNoCapAmbientRaiseLocked",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "SecBitNotSet" => Some(Self::SecBitNotSet),
            "SecBitNoRoot" => Some(Self::SecBitNoRoot),
            "SecBitNoRootLocked" => Some(Self::SecBitNoRootLocked),
            "SecBitNoSetUidFixup" => Some(Self::SecBitNoSetUidFixup),
            "SecBitNoSetUidFixupLocked" => Some(Self::SecBitNoSetUidFixupLocked),
            "SecBitKeepCaps" => Some(Self::SecBitKeepCaps),
            "SecBitKeepCapsLocked" => Some(Self::SecBitKeepCapsLocked),
            "SecBitNoCapAmbientRaise" => Some(Self::SecBitNoCapAmbientRaise),
            "SecBitNoCapAmbientRaiseLocked" => Some(Self::SecBitNoCapAmbientRaiseLocked),
            _ => None,
        }
    }
}
/// What raised a process's privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum ProcessPrivilegesChanged {
    PrivilegesChangedUnset = 0,
    PrivilegesRaisedExecFileCap = 1,
    PrivilegesRaisedExecFileSetuid = 2,
    PrivilegesRaisedExecFileSetgid = 3,
}
impl ProcessPrivilegesChanged {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::PrivilegesChangedUnset => "PRIVILEGES_CHANGED_UNSET",
            Self::PrivilegesRaisedExecFileCap => "PRIVILEGES_RAISED_EXEC_FILE_CAP",
            Self::PrivilegesRaisedExecFileSetuid => "PRIVILEGES_RAISED_EXEC_FILE_SETUID",
            Self::PrivilegesRaisedExecFileSetgid => "PRIVILEGES_RAISED_EXEC_FILE_SETGID",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "PRIVILEGES_CHANGED_UNSET" => Some(Self::PrivilegesChangedUnset),
            "PRIVILEGES_RAISED_EXEC_FILE_CAP" => Some(Self::PrivilegesRaisedExecFileCap),
            "PRIVILEGES_RAISED_EXEC_FILE_SETUID" => {
                Some(Self::PrivilegesRaisedExecFileSetuid)
            }
            "PRIVILEGES_RAISED_EXEC_FILE_SETGID" => {
                Some(Self::PrivilegesRaisedExecFileSetgid)
            }
            _ => None,
        }
    }
}
/// Commands of the bpf system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum BpfCmd {
    BpfMapCreate = 0,
    BpfMapLookupElem = 1,
    BpfMapUpdateElem = 2,
    BpfMapDeleteElem = 3,
    BpfMapGetNextKey = 4,
    BpfProgLoad = 5,
    BpfObjPin = 6,
    BpfObjGet = 7,
    BpfProgAttach = 8,
    BpfProgDetach = 9,
    BpfProgTestRun = 10,
    BpfProgGetNextId = 11,
    BpfMapGetNextId = 12,
    BpfProgGetFdById = 13,
    BpfMapGetFdById = 14,
    BpfObjGetInfoByFd = 15,
    BpfProgQuery = 16,
    BpfRawTracepointOpen = 17,
    BpfBtfLoad = 18,
    BpfBtfGetFdById = 19,
    BpfTaskFdQuery = 20,
    BpfMapLookupAndDeleteElem = 21,
    BpfMapFreeze = 22,
    BpfBtfGetNextId = 23,
    BpfMapLookupBatch = 24,
    BpfMapLookupAndDeleteBatch = 25,
    BpfMapUpdateBatch = 26,
    BpfMapDeleteBatch = 27,
    BpfLinkCreate = 28,
    BpfLinkUpdate = 29,
    BpfLinkGetFdById = 30,
    BpfLinkGetNextId = 31,
    BpfEnableStats = 32,
    BpfIterCreate = 33,
    BpfLinkDetach = 34,
    BpfProgBindMap = 35,
    BpfTokenCreate = 36,
}
impl BpfCmd {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::BpfMapCreate => "BPF_MAP_CREATE",
            Self::BpfMapLookupElem => "BPF_MAP_LOOKUP_ELEM",
            Self::BpfMapUpdateElem => "BPF_MAP_UPDATE_ELEM",
            Self::BpfMapDeleteElem => "BPF_MAP_DELETE_ELEM",
            Self::BpfMapGetNextKey => "BPF_MAP_GET_NEXT_KEY",
            Self::BpfProgLoad => "BPF_PROG_LOAD",
            Self::BpfObjPin => "BPF_OBJ_PIN",
            Self::BpfObjGet => "BPF_OBJ_GET",
            Self::BpfProgAttach => "BPF_PROG_ATTACH",
            Self::BpfProgDetach => "BPF_PROG_DETACH",
            Self::BpfProgTestRun => "BPF_PROG_TEST_RUN",
            Self::BpfProgGetNextId => "BPF_PROG_GET_NEXT_ID",
            Self::BpfMapGetNextId => "BPF_MAP_GET_NEXT_ID",
            Self::BpfProgGetFdById => "BPF_PROG_GET_FD_BY_ID",
            Self::BpfMapGetFdById => "BPF_MAP_GET_FD_BY_ID",
            Self::BpfObjGetInfoByFd => "BPF_OBJ_GET_INFO_BY_FD",
            Self::BpfProgQuery => "BPF_PROG_QUERY",
            Self::BpfRawTracepointOpen => "BPF_RAW_TRACEPOINT_OPEN",
            Self::BpfBtfLoad => "BPF_BTF_LOAD",
            Self::BpfBtfGetFdById => "BPF_BTF_GET_FD_BY_ID",
            Self::BpfTaskFdQuery => "BPF_TASK_FD_QUERY",
            Self::BpfMapLookupAndDeleteElem => "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
            Self::BpfMapFreeze => "BPF_MAP_FREEZE",
            Self::BpfBtfGetNextId => "BPF_BTF_GET_NEXT_ID",
            Self::BpfMapLookupBatch => "BPF_MAP_LOOKUP_BATCH",
            Self::BpfMapLookupAndDeleteBatch => "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
            Self::BpfMapUpdateBatch => "BPF_MAP_UPDATE_BATCH",
            Self::BpfMapDeleteBatch => "BPF_MAP_DELETE_BATCH",
            Self::BpfLinkCreate => "BPF_LINK_CREATE",
            Self::BpfLinkUpdate => "BPF_LINK_UPDATE",
            Self::BpfLinkGetFdById => "BPF_LINK_GET_FD_BY_ID",
            Self::BpfLinkGetNextId => "BPF_LINK_GET_NEXT_ID",
            Self::BpfEnableStats => "BPF_ENABLE_STATS",
            Self::BpfIterCreate => "BPF_ITER_CREATE",
            Self::BpfLinkDetach => "BPF_LINK_DETACH",
            Self::BpfProgBindMap => "BPF_PROG_BIND_MAP",
            Self::BpfTokenCreate => "BPF_TOKEN_CREATE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "BPF_MAP_CREATE" => Some(Self::BpfMapCreate),
            "BPF_MAP_LOOKUP_ELEM" => Some(Self::BpfMapLookupElem),
            "BPF_MAP_UPDATE_ELEM" => Some(Self::BpfMapUpdateElem),
            "BPF_MAP_DELETE_ELEM" => Some(Self::BpfMapDeleteElem),
            "BPF_MAP_GET_NEXT_KEY" => Some(Self::BpfMapGetNextKey),
            "BPF_PROG_LOAD" => Some(Self::BpfProgLoad),
            "BPF_OBJ_PIN" => Some(Self::BpfObjPin),
            "BPF_OBJ_GET" => Some(Self::BpfObjGet),
            "BPF_PROG_ATTACH" => Some(Self::BpfProgAttach),
            "BPF_PROG_DETACH" => Some(Self::BpfProgDetach),
            "BPF_PROG_TEST_RUN" => Some(Self::BpfProgTestRun),
            "BPF_PROG_GET_NEXT_ID" => Some(Self::BpfProgGetNextId),
            "BPF_MAP_GET_NEXT_ID" => Some(Self::BpfMapGetNextId),
            "BPF_PROG_GET_FD_BY_ID" => Some(Self::BpfProgGetFdById),
            "BPF_MAP_GET_FD_BY_ID" => Some(Self::BpfMapGetFdById),
            "BPF_OBJ_GET_INFO_BY_FD" => Some(Self::BpfObjGetInfoByFd),
            "BPF_PROG_QUERY" => Some(Self::BpfProgQuery),
            "BPF_RAW_TRACEPOINT_OPEN" => Some(Self::BpfRawTracepointOpen),
            "BPF_BTF_LOAD" => Some(Self::BpfBtfLoad),
            "BPF_BTF_GET_FD_BY_ID" => Some(Self::BpfBtfGetFdById),
            "BPF_TASK_FD_QUERY" => Some(Self::BpfTaskFdQuery),
            "BPF_MAP_LOOKUP_AND_DELETE_ELEM" => Some(Self::BpfMapLookupAndDeleteElem),
            "BPF_MAP_FREEZE" => Some(Self::BpfMapFreeze),
            "BPF_BTF_GET_NEXT_ID" => Some(Self::BpfBtfGetNextId),
            "BPF_MAP_LOOKUP_BATCH" => Some(Self::BpfMapLookupBatch),
            "BPF_MAP_LOOKUP_AND_DELETE_BATCH" => Some(Self::BpfMapLookupAndDeleteBatch),
            "BPF_MAP_UPDATE_BATCH" => Some(Self::BpfMapUpdateBatch),
            "BPF_MAP_DELETE_BATCH" => Some(Self::BpfMapDeleteBatch),
            "BPF_LINK_CREATE" => Some(Self::BpfLinkCreate),
            "BPF_LINK_UPDATE" => Some(Self::BpfLinkUpdate),
            "BPF_LINK_GET_FD_BY_ID" => Some(Self::BpfLinkGetFdById),
            "BPF_LINK_GET_NEXT_ID" => Some(Self::BpfLinkGetNextId),
            "BPF_ENABLE_STATS" => Some(Self::BpfEnableStats),
            "BPF_ITER_CREATE" => Some(Self::BpfIterCreate),
            "BPF_LINK_DETACH" => Some(Self::BpfLinkDetach),
            "BPF_PROG_BIND_MAP" => Some(Self::BpfProgBindMap),
            "BPF_TOKEN_CREATE" => Some(Self::BpfTokenCreate),
            _ => None,
        }
    }
}
/// Types of BPF programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum BpfProgramType {
    BpfProgTypeUnspec = 0,
    BpfProgTypeSocketFilter = 1,
    BpfProgTypeKprobe = 2,
    BpfProgTypeSchedCls = 3,
    BpfProgTypeSchedAct = 4,
    BpfProgTypeTracepoint = 5,
    BpfProgTypeXdp = 6,
    BpfProgTypePerfEvent = 7,
    BpfProgTypeCgroupSkb = 8,
    BpfProgTypeCgroupSock = 9,
    BpfProgTypeLwtIn = 10,
    BpfProgTypeLwtOut = 11,
    BpfProgTypeLwtXmit = 12,
    BpfProgTypeSockOps = 13,
    BpfProgTypeSkSkb = 14,
    BpfProgTypeCgroupDevice = 15,
    BpfProgTypeSkMsg = 16,
    BpfProgTypeRawTracepoint = 17,
    BpfProgTypeCgroupSockAddr = 18,
    BpfProgTypeLwtSeg6local = 19,
    BpfProgTypeLircMode2 = 20,
    BpfProgTypeSkReuseport = 21,
    BpfProgTypeFlowDissector = 22,
    BpfProgTypeCgroupSysctl = 23,
    BpfProgTypeRawTracepointWritable = 24,
    BpfProgTypeCgroupSockopt = 25,
    BpfProgTypeTracing = 26,
    BpfProgTypeStructOps = 27,
    BpfProgTypeExt = 28,
    BpfProgTypeLsm = 29,
    BpfProgTypeSkLookup = 30,
    BpfProgTypeSyscall = 31,
    BpfProgTypeNetfilter = 32,
}
impl BpfProgramType {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::BpfProgTypeUnspec => "BPF_PROG_TYPE_UNSPEC",
            Self::BpfProgTypeSocketFilter => "BPF_PROG_TYPE_SOCKET_FILTER",
            Self::BpfProgTypeKprobe => "BPF_PROG_TYPE_KPROBE",
            Self::BpfProgTypeSchedCls => "BPF_PROG_TYPE_SCHED_CLS",
            Self::BpfProgTypeSchedAct => "BPF_PROG_TYPE_SCHED_ACT",
            Self::BpfProgTypeTracepoint => "BPF_PROG_TYPE_TRACEPOINT",
            Self::BpfProgTypeXdp => "BPF_PROG_TYPE_XDP",
            Self::BpfProgTypePerfEvent => "BPF_PROG_TYPE_PERF_EVENT",
            Self::BpfProgTypeCgroupSkb => "BPF_PROG_TYPE_CGROUP_SKB",
            Self::BpfProgTypeCgroupSock => "BPF_PROG_TYPE_CGROUP_SOCK",
            Self::BpfProgTypeLwtIn => "BPF_PROG_TYPE_LWT_IN",
            Self::BpfProgTypeLwtOut => "BPF_PROG_TYPE_LWT_OUT",
            Self::BpfProgTypeLwtXmit => "BPF_PROG_TYPE_LWT_XMIT",
            Self::BpfProgTypeSockOps => "BPF_PROG_TYPE_SOCK_OPS",
            Self::BpfProgTypeSkSkb => "BPF_PROG_TYPE_SK_SKB",
            Self::BpfProgTypeCgroupDevice => "BPF_PROG_TYPE_CGROUP_DEVICE",
            Self::BpfProgTypeSkMsg => "BPF_PROG_TYPE_SK_MSG",
            Self::BpfProgTypeRawTracepoint => "BPF_PROG_TYPE_RAW_TRACEPOINT",
            Self::BpfProgTypeCgroupSockAddr => "BPF_PROG_TYPE_CGROUP_SOCK_ADDR",
            Self::BpfProgTypeLwtSeg6local => "BPF_PROG_TYPE_LWT_SEG6LOCAL",
            Self::BpfProgTypeLircMode2 => "BPF_PROG_TYPE_LIRC_MODE2",
            Self::BpfProgTypeSkReuseport => "BPF_PROG_TYPE_SK_REUSEPORT",
            Self::BpfProgTypeFlowDissector => "BPF_PROG_TYPE_FLOW_DISSECTOR",
            Self::BpfProgTypeCgroupSysctl => "BPF_PROG_TYPE_CGROUP_SYSCTL",
            Self::BpfProgTypeRawTracepointWritable => {
                "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE"
            }
            Self::BpfProgTypeCgroupSockopt => "BPF_PROG_TYPE_CGROUP_SOCKOPT",
            Self::BpfProgTypeTracing => "BPF_PROG_TYPE_TRACING",
            Self::BpfProgTypeStructOps => "BPF_PROG_TYPE_STRUCT_OPS",
            Self::BpfProgTypeExt => "BPF_PROG_TYPE_EXT",
            Self::BpfProgTypeLsm => "BPF_PROG_TYPE_LSM",
            Self::BpfProgTypeSkLookup => "BPF_PROG_TYPE_SK_LOOKUP",
            Self::BpfProgTypeSyscall => "BPF_PROG_TYPE_SYSCALL",
            Self::BpfProgTypeNetfilter => "BPF_PROG_TYPE_NETFILTER",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "BPF_PROG_TYPE_UNSPEC" => Some(Self::BpfProgTypeUnspec),
            "BPF_PROG_TYPE_SOCKET_FILTER" => Some(Self::BpfProgTypeSocketFilter),
            "BPF_PROG_TYPE_KPROBE" => Some(Self::BpfProgTypeKprobe),
            "BPF_PROG_TYPE_SCHED_CLS" => Some(Self::BpfProgTypeSchedCls),
            "BPF_PROG_TYPE_SCHED_ACT" => Some(Self::BpfProgTypeSchedAct),
            "BPF_PROG_TYPE_TRACEPOINT" => Some(Self::BpfProgTypeTracepoint),
            "BPF_PROG_TYPE_XDP" => Some(Self::BpfProgTypeXdp),
            "BPF_PROG_TYPE_PERF_EVENT" => Some(Self::BpfProgTypePerfEvent),
            "BPF_PROG_TYPE_CGROUP_SKB" => Some(Self::BpfProgTypeCgroupSkb),
            "BPF_PROG_TYPE_CGROUP_SOCK" => Some(Self::BpfProgTypeCgroupSock),
            "BPF_PROG_TYPE_LWT_IN" => Some(Self::BpfProgTypeLwtIn),
            "BPF_PROG_TYPE_LWT_OUT" => Some(Self::BpfProgTypeLwtOut),
            "BPF_PROG_TYPE_LWT_XMIT" => Some(Self::BpfProgTypeLwtXmit),
            "BPF_PROG_TYPE_SOCK_OPS" => Some(Self::BpfProgTypeSockOps),
            "BPF_PROG_TYPE_SK_SKB" => Some(Self::BpfProgTypeSkSkb),
            "BPF_PROG_TYPE_CGROUP_DEVICE" => Some(Self::BpfProgTypeCgroupDevice),
            "BPF_PROG_TYPE_SK_MSG" => Some(Self::BpfProgTypeSkMsg),
            "BPF_PROG_TYPE_RAW_TRACEPOINT" => Some(Self::BpfProgTypeRawTracepoint),
            "BPF_PROG_TYPE_CGROUP_SOCK_ADDR" => Some(Self::BpfProgTypeCgroupSockAddr),
            "BPF_PROG_TYPE_LWT_SEG6LOCAL" => Some(Self::BpfProgTypeLwtSeg6local),
            "BPF_PROG_TYPE_LIRC_MODE2" => Some(Self::BpfProgTypeLircMode2),
            "BPF_PROG_TYPE_SK_REUSEPORT" => Some(Self::BpfProgTypeSkReuseport),
            "BPF_PROG_TYPE_FLOW_DISSECTOR" => Some(Self::BpfProgTypeFlowDissector),
            "BPF_PROG_TYPE_CGROUP_SYSCTL" => Some(Self::BpfProgTypeCgroupSysctl),
            "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE" => {
                Some(Self::BpfProgTypeRawTracepointWritable)
            }
            "BPF_PROG_TYPE_CGROUP_SOCKOPT" => Some(Self::BpfProgTypeCgroupSockopt),
            "BPF_PROG_TYPE_TRACING" => Some(Self::BpfProgTypeTracing),
            "BPF_PROG_TYPE_STRUCT_OPS" => Some(Self::BpfProgTypeStructOps),
            "BPF_PROG_TYPE_EXT" => Some(Self::BpfProgTypeExt),
            "BPF_PROG_TYPE_LSM" => Some(Self::BpfProgTypeLsm),
            "BPF_PROG_TYPE_SK_LOOKUP" => Some(Self::BpfProgTypeSkLookup),
            "BPF_PROG_TYPE_SYSCALL" => Some(Self::BpfProgTypeSyscall),
            "BPF_PROG_TYPE_NETFILTER" => Some(Self::BpfProgTypeNetfilter),
            _ => None,
        }
    }
}
/// A container image.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Image {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
}
/// The part of a container's security context that events show.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SecurityContext {
    #[prost(bool, tag = "1")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub privileged: bool,
}
/// The container of a process.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: ::core::option::Option<Image>,
    #[prost(message, optional, tag = "4")]
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "crate::event::json::timestamp"
    )]
    pub start_time: ::core::option::Option<::prost_types::Timestamp>,
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: ::core::option::Option<u32>,
    /// The process may be an exec probe of this container.
    #[prost(bool, tag = "13")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub maybe_exec_probe: bool,
    #[prost(message, optional, tag = "14")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: ::core::option::Option<SecurityContext>,
}
/// The pod of a process.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Pod {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: ::core::option::Option<Container>,
    #[prost(btree_map = "string, string", tag = "5")]
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub pod_labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload: ::prost::alloc::string::String,
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload_kind: ::prost::alloc::string::String,
    #[prost(btree_map = "string, string", tag = "8")]
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub pod_annotations: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
}
/// The three classic capability sets of a process.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Capabilities {
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "1")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub permitted: ::prost::alloc::vec::Vec<i32>,
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "2")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub effective: ::prost::alloc::vec::Vec<i32>,
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "3")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub inheritable: ::prost::alloc::vec::Vec<i32>,
}
/// One kernel namespace.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Namespace {
    /// Inode number of the namespace.
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub inum: u32,
    /// It is the namespace of the node's first process.
    #[prost(bool, tag = "2")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub is_host: bool,
}
/// The namespaces of a process.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Namespaces {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uts: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mnt: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_for_children: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_for_children: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: ::core::option::Option<Namespace>,
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: ::core::option::Option<Namespace>,
}
/// A user namespace and its owner.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct UserNamespace {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: ::core::option::Option<i32>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: ::core::option::Option<Namespace>,
}
/// User, groups, secure bits and capabilities of a process.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ProcessCredentials {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub euid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sgid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsuid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsgid: ::core::option::Option<u32>,
    #[prost(enumeration = "SecureBitsType", repeated, tag = "9")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::SecureBitsType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::SecureBitsType, _>"
    )]
    pub securebits: ::prost::alloc::vec::Vec<i32>,
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: ::core::option::Option<Capabilities>,
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ns: ::core::option::Option<UserNamespace>,
}
/// A file's inode.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct InodeProperties {
    #[prost(uint64, tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub number: u64,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: ::core::option::Option<u32>,
}
/// An executed file that has no path any more, or never had one.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct FileProperties {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inode: ::core::option::Option<InodeProperties>,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
}
/// How the executed binary changes privileges.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct BinaryProperties {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setuid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setgid: ::core::option::Option<u32>,
    #[prost(enumeration = "ProcessPrivilegesChanged", repeated, tag = "3")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::ProcessPrivilegesChanged, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::ProcessPrivilegesChanged, _>"
    )]
    pub privileges_changed: ::prost::alloc::vec::Vec<i32>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: ::core::option::Option<FileProperties>,
}
/// A name from the user database.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct UserRecord {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
}
/// An environment variable.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EnvVar {
    #[prost(string, tag = "1")]
    #[serde(rename = "Key", skip_serializing_if = "String::is_empty")]
    pub key: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(rename = "Value", skip_serializing_if = "String::is_empty")]
    pub value: ::prost::alloc::string::String,
}
/// A process, as it was when the event happened.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Process {
    /// Base64 of NODE:START_NS:PID; the same for all events of one execution.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exec_id: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: ::core::option::Option<u32>,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cwd: ::prost::alloc::string::String,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub binary: ::prost::alloc::string::String,
    /// argv\[1..\], joined by blanks.
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arguments: ::prost::alloc::string::String,
    /// Words on how the process came to be and what is missing here.
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flags: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "8")]
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "crate::event::json::timestamp"
    )]
    pub start_time: ::core::option::Option<::prost_types::Timestamp>,
    /// Login user; 4294967295 when there is none.
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: ::core::option::Option<Pod>,
    /// The first characters of the container id.
    #[prost(string, tag = "11")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker: ::prost::alloc::string::String,
    #[prost(string, tag = "12")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_exec_id: ::prost::alloc::string::String,
    /// References to the process in the agent's cache.
    #[prost(uint32, tag = "13")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub refcnt: u32,
    /// With --enable-process-cred.
    #[prost(message, optional, tag = "14")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: ::core::option::Option<Capabilities>,
    /// With --enable-process-ns.
    #[prost(message, optional, tag = "15")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: ::core::option::Option<Namespaces>,
    #[prost(message, optional, tag = "16")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "17")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_credentials: ::core::option::Option<ProcessCredentials>,
    #[prost(message, optional, tag = "18")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_properties: ::core::option::Option<BinaryProperties>,
    #[prost(message, optional, tag = "19")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: ::core::option::Option<UserRecord>,
    /// The process descends from the first process of its container.
    #[prost(message, optional, tag = "20")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_init_tree: ::core::option::Option<bool>,
    #[prost(message, repeated, tag = "21")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment_variables: ::prost::alloc::vec::Vec<EnvVar>,
}
/// A process executed a program.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessExec {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    #[prost(message, repeated, tag = "3")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
}
/// A process ended.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessExit {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    /// Name of the signal that killed it.
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signal: ::prost::alloc::string::String,
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub status: u32,
    #[prost(message, optional, tag = "5")]
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "crate::event::json::timestamp"
    )]
    pub time: ::core::option::Option<::prost_types::Timestamp>,
    #[prost(message, repeated, tag = "6")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
}
/// A socket.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeSock {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#type: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: ::prost::alloc::string::String,
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub mark: u32,
    #[prost(uint32, tag = "5")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub priority: u32,
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub saddr: ::prost::alloc::string::String,
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub daddr: ::prost::alloc::string::String,
    #[prost(uint32, tag = "8")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub sport: u32,
    #[prost(uint32, tag = "9")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub dport: u32,
    #[prost(uint64, tag = "10")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub cookie: u64,
    #[prost(string, tag = "11")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: ::prost::alloc::string::String,
}
/// A network packet.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeSkb {
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub hash: u32,
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub len: u32,
    #[prost(uint32, tag = "3")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub priority: u32,
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub mark: u32,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub saddr: ::prost::alloc::string::String,
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub daddr: ::prost::alloc::string::String,
    #[prost(uint32, tag = "7")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub sport: u32,
    #[prost(uint32, tag = "8")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub dport: u32,
    #[prost(uint32, tag = "9")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub proto: u32,
    #[prost(uint32, tag = "10")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub sec_path_len: u32,
    #[prost(uint32, tag = "11")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub sec_path_olen: u32,
    #[prost(string, tag = "12")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: ::prost::alloc::string::String,
    #[prost(string, tag = "13")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: ::prost::alloc::string::String,
}
/// An internet socket address.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeSockaddr {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: ::prost::alloc::string::String,
    #[prost(uint32, tag = "3")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub port: u32,
}
/// A Unix socket address.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeSockaddrUn {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
}
/// A network device.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeNetDev {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
}
/// A path of the kernel.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobePath {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flags: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub permission: ::prost::alloc::string::String,
}
/// An open file.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeFile {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flags: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub permission: ::prost::alloc::string::String,
}
/// The beginning of a longer buffer.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeTruncatedBytes {
    #[prost(bytes = "vec", tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty", with = "crate::event::json::base64")]
    pub bytes_arg: ::prost::alloc::vec::Vec<u8>,
    #[prost(uint64, tag = "2")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub orig_size: u64,
}
/// Capability sets of credentials.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeCred {
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "1")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub permitted: ::prost::alloc::vec::Vec<i32>,
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "2")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub effective: ::prost::alloc::vec::Vec<i32>,
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "3")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub inheritable: ::prost::alloc::vec::Vec<i32>,
}
/// The program that is about to be executed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeLinuxBinprm {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flags: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub permission: ::prost::alloc::string::String,
}
/// One capability.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeCapability {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: ::core::option::Option<i32>,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
}
/// Older form of UserNamespace.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeUserNamespace {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: ::core::option::Option<i32>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: ::core::option::Option<Namespace>,
}
/// A BPF program that is being loaded.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeBpfAttr {
    #[prost(string, tag = "1")]
    #[serde(rename = "ProgType", skip_serializing_if = "String::is_empty")]
    pub prog_type: ::prost::alloc::string::String,
    #[prost(uint32, tag = "2")]
    #[serde(rename = "InsnCnt", skip_serializing_if = "crate::event::json::is_default")]
    pub insn_cnt: u32,
    #[prost(string, tag = "3")]
    #[serde(rename = "ProgName", skip_serializing_if = "String::is_empty")]
    pub prog_name: ::prost::alloc::string::String,
}
/// A loaded BPF program.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeBpfProg {
    #[prost(string, tag = "1")]
    #[serde(rename = "ProgType", skip_serializing_if = "String::is_empty")]
    pub prog_type: ::prost::alloc::string::String,
    #[prost(uint32, tag = "2")]
    #[serde(rename = "InsnCnt", skip_serializing_if = "crate::event::json::is_default")]
    pub insn_cnt: u32,
    #[prost(string, tag = "3")]
    #[serde(rename = "ProgName", skip_serializing_if = "String::is_empty")]
    pub prog_name: ::prost::alloc::string::String,
}
/// A perf event.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobePerfEvent {
    #[prost(string, tag = "1")]
    #[serde(rename = "KprobeFunc", skip_serializing_if = "String::is_empty")]
    pub kprobe_func: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub r#type: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    #[serde(
        rename = "Config",
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub config: u64,
    #[prost(uint64, tag = "4")]
    #[serde(
        rename = "ProbeOffset",
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub probe_offset: u64,
}
/// A BPF map.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeBpfMap {
    #[prost(string, tag = "1")]
    #[serde(rename = "MapType", skip_serializing_if = "String::is_empty")]
    pub map_type: ::prost::alloc::string::String,
    #[prost(uint32, tag = "2")]
    #[serde(rename = "KeySize", skip_serializing_if = "crate::event::json::is_default")]
    pub key_size: u32,
    #[prost(uint32, tag = "3")]
    #[serde(
        rename = "ValueSize",
        skip_serializing_if = "crate::event::json::is_default"
    )]
    pub value_size: u32,
    #[prost(uint32, tag = "4")]
    #[serde(
        rename = "MaxEntries",
        skip_serializing_if = "crate::event::json::is_default"
    )]
    pub max_entries: u32,
    #[prost(string, tag = "5")]
    #[serde(rename = "MapName", skip_serializing_if = "String::is_empty")]
    pub map_name: ::prost::alloc::string::String,
}
/// Why an argument could not be read.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeError {
    #[prost(string, tag = "1")]
    #[serde(rename = "Message", skip_serializing_if = "String::is_empty")]
    pub message: ::prost::alloc::string::String,
}
/// A system call by number.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SyscallId {
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub id: u32,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub abi: ::prost::alloc::string::String,
}
/// One argument or return value.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(from = "crate::event::json::KprobeArgumentJson")]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KprobeArgument {
    #[prost(string, tag = "18")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: ::prost::alloc::string::String,
    #[prost(
        oneof = "kprobe_argument::Arg",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33"
    )]
    #[serde(flatten)]
    pub arg: ::core::option::Option<kprobe_argument::Arg>,
}
/// Nested message and enum types in `KprobeArgument`.
pub mod kprobe_argument {
    #[derive(serde::Serialize)]
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Arg {
        #[prost(string, tag = "1")]
        #[serde(rename = "string_arg")]
        StringArg(::prost::alloc::string::String),
        #[prost(int32, tag = "2")]
        #[serde(rename = "int_arg")]
        IntArg(i32),
        #[prost(message, tag = "3")]
        #[serde(rename = "skb_arg")]
        SkbArg(super::KprobeSkb),
        #[prost(uint64, tag = "4")]
        #[serde(rename = "size_arg", with = "crate::event::json::decimal")]
        SizeArg(u64),
        #[prost(bytes, tag = "5")]
        #[serde(rename = "bytes_arg", with = "crate::event::json::base64")]
        BytesArg(::prost::alloc::vec::Vec<u8>),
        #[prost(message, tag = "6")]
        #[serde(rename = "path_arg")]
        PathArg(super::KprobePath),
        #[prost(message, tag = "7")]
        #[serde(rename = "file_arg")]
        FileArg(super::KprobeFile),
        #[prost(message, tag = "8")]
        #[serde(rename = "truncated_bytes_arg")]
        TruncatedBytesArg(super::KprobeTruncatedBytes),
        #[prost(message, tag = "9")]
        #[serde(rename = "sock_arg")]
        SockArg(super::KprobeSock),
        #[prost(message, tag = "10")]
        #[serde(rename = "cred_arg")]
        CredArg(super::KprobeCred),
        #[prost(int64, tag = "11")]
        #[serde(rename = "long_arg", with = "crate::event::json::decimal")]
        LongArg(i64),
        #[prost(message, tag = "12")]
        #[serde(rename = "bpf_attr_arg")]
        BpfAttrArg(super::KprobeBpfAttr),
        #[prost(message, tag = "13")]
        #[serde(rename = "perf_event_arg")]
        PerfEventArg(super::KprobePerfEvent),
        #[prost(message, tag = "14")]
        #[serde(rename = "bpf_map_arg")]
        BpfMapArg(super::KprobeBpfMap),
        #[prost(uint32, tag = "15")]
        #[serde(rename = "uint_arg")]
        UintArg(u32),
        #[deprecated]
        #[prost(message, tag = "16")]
        #[serde(rename = "user_namespace_arg")]
        UserNamespaceArg(super::KprobeUserNamespace),
        #[prost(message, tag = "17")]
        #[serde(rename = "capability_arg")]
        CapabilityArg(super::KprobeCapability),
        #[prost(message, tag = "19")]
        #[serde(rename = "process_credentials_arg")]
        ProcessCredentialsArg(super::ProcessCredentials),
        #[prost(message, tag = "20")]
        #[serde(rename = "user_ns_arg")]
        UserNsArg(super::UserNamespace),
        #[prost(message, tag = "21")]
        #[serde(rename = "module_arg")]
        ModuleArg(super::KernelModule),
        #[prost(string, tag = "22")]
        #[serde(rename = "kernel_cap_t_arg")]
        KernelCapTArg(::prost::alloc::string::String),
        #[prost(string, tag = "23")]
        #[serde(rename = "cap_inheritable_arg")]
        CapInheritableArg(::prost::alloc::string::String),
        #[prost(string, tag = "24")]
        #[serde(rename = "cap_permitted_arg")]
        CapPermittedArg(::prost::alloc::string::String),
        #[prost(string, tag = "25")]
        #[serde(rename = "cap_effective_arg")]
        CapEffectiveArg(::prost::alloc::string::String),
        #[prost(message, tag = "26")]
        #[serde(rename = "linux_binprm_arg")]
        LinuxBinprmArg(super::KprobeLinuxBinprm),
        #[prost(message, tag = "27")]
        #[serde(rename = "net_dev_arg")]
        NetDevArg(super::KprobeNetDev),
        #[prost(enumeration = "super::BpfCmd", tag = "28")]
        #[serde(
            rename = "bpf_cmd_arg",
            serialize_with = "crate::event::json::write_name::<crate::event::BpfCmd, _>",
            deserialize_with = "crate::event::json::read_name::<crate::event::BpfCmd, _>"
        )]
        BpfCmdArg(i32),
        #[prost(message, tag = "29")]
        #[serde(rename = "syscall_id")]
        SyscallId(super::SyscallId),
        #[prost(message, tag = "30")]
        #[serde(rename = "sockaddr_arg")]
        SockaddrArg(super::KprobeSockaddr),
        #[prost(message, tag = "31")]
        #[serde(rename = "bpf_prog_arg")]
        BpfProgArg(super::KprobeBpfProg),
        #[prost(message, tag = "32")]
        #[serde(rename = "error_arg")]
        ErrorArg(super::KprobeError),
        #[prost(message, tag = "33")]
        #[serde(rename = "sockaddrun_arg")]
        SockaddrunArg(super::KprobeSockaddrUn),
    }
}
/// A kernel function that a policy watches was called.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessKprobe {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub function_name: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "4")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: ::prost::alloc::vec::Vec<KprobeArgument>,
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: ::core::option::Option<KprobeArgument>,
    #[prost(enumeration = "KprobeAction", tag = "6")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::KprobeAction, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::KprobeAction, _>"
    )]
    pub action: i32,
    #[prost(message, repeated, tag = "7")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernel_stack_trace: ::prost::alloc::vec::Vec<StackTraceEntry>,
    #[prost(string, tag = "8")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy_name: ::prost::alloc::string::String,
    #[prost(enumeration = "KprobeAction", tag = "9")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::KprobeAction, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::KprobeAction, _>"
    )]
    pub return_action: i32,
    #[prost(string, tag = "10")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "11")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, repeated, tag = "12")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_stack_trace: ::prost::alloc::vec::Vec<StackTraceEntry>,
    #[prost(message, repeated, tag = "13")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
    #[prost(message, repeated, tag = "14")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: ::prost::alloc::vec::Vec<KprobeArgument>,
}
/// A tracepoint that a policy watches was passed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessTracepoint {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subsys: ::prost::alloc::string::String,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub event: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "6")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: ::prost::alloc::vec::Vec<KprobeArgument>,
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy_name: ::prost::alloc::string::String,
    #[prost(enumeration = "KprobeAction", tag = "8")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::KprobeAction, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::KprobeAction, _>"
    )]
    pub action: i32,
    #[prost(string, tag = "9")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "10")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, repeated, tag = "11")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
}
/// A user-space function that a policy watches was called.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessUprobe {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub symbol: ::prost::alloc::string::String,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy_name: ::prost::alloc::string::String,
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "7")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: ::prost::alloc::vec::Vec<KprobeArgument>,
    #[prost(string, repeated, tag = "8")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, repeated, tag = "9")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
    #[prost(uint64, tag = "10")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub offset: u64,
    #[prost(uint64, tag = "11")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub ref_ctr_offset: u64,
    #[prost(enumeration = "KprobeAction", tag = "12")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::KprobeAction, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::KprobeAction, _>"
    )]
    pub action: i32,
    #[prost(message, repeated, tag = "13")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: ::prost::alloc::vec::Vec<KprobeArgument>,
}
/// A static user-space probe that a policy watches was passed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessUsdt {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: ::prost::alloc::string::String,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy_name: ::prost::alloc::string::String,
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "8")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: ::prost::alloc::vec::Vec<KprobeArgument>,
    #[prost(string, repeated, tag = "9")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, repeated, tag = "10")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
    #[prost(enumeration = "KprobeAction", tag = "11")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::KprobeAction, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::KprobeAction, _>"
    )]
    pub action: i32,
    #[prost(string, tag = "12")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flags: ::prost::alloc::string::String,
}
/// A security hook that a policy watches was called.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessLsm {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub function_name: ::prost::alloc::string::String,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy_name: ::prost::alloc::string::String,
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "7")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: ::prost::alloc::vec::Vec<KprobeArgument>,
    #[prost(enumeration = "KprobeAction", tag = "8")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::KprobeAction, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::KprobeAction, _>"
    )]
    pub action: i32,
    #[prost(string, repeated, tag = "9")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, repeated, tag = "10")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
    /// ALGORITHM:HEX.
    #[prost(string, tag = "11")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ima_hash: ::prost::alloc::string::String,
}
/// A kernel module.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct KernelModule {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_ok: ::core::option::Option<bool>,
    #[prost(enumeration = "TaintedBitsType", repeated, tag = "3")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::TaintedBitsType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::TaintedBitsType, _>"
    )]
    pub tainted: ::prost::alloc::vec::Vec<i32>,
}
/// Made by tests only.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Test {
    #[prost(uint64, tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub arg0: u64,
    #[prost(uint64, tag = "2")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub arg1: u64,
    #[prost(uint64, tag = "3")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub arg2: u64,
    #[prost(uint64, tag = "4")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub arg3: u64,
}
/// Asks for health; an empty set means all.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetHealthStatusRequest {
    #[prost(enumeration = "HealthStatusType", repeated, tag = "1")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::HealthStatusType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::HealthStatusType, _>"
    )]
    pub event_set: ::prost::alloc::vec::Vec<i32>,
}
/// One answer about health.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct HealthStatus {
    #[prost(enumeration = "HealthStatusType", tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::HealthStatusType, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::HealthStatusType, _>"
    )]
    pub event: i32,
    #[prost(enumeration = "HealthStatusResult", tag = "2")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::HealthStatusResult, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::HealthStatusResult, _>"
    )]
    pub status: i32,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: ::prost::alloc::string::String,
}
/// All that was asked for.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetHealthStatusResponse {
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_status: ::prost::alloc::vec::Vec<HealthStatus>,
}
/// A process mapped an executable file.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessLoader {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: ::core::option::Option<Process>,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: ::prost::alloc::string::String,
    #[prost(bytes = "vec", tag = "3")]
    #[serde(skip_serializing_if = "Vec::is_empty", with = "crate::event::json::base64")]
    pub buildid: ::prost::alloc::vec::Vec<u8>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: ::core::option::Option<Process>,
    #[prost(message, repeated, tag = "5")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: ::prost::alloc::vec::Vec<Process>,
}
/// A container runtime is about to do something.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RuntimeHookRequest {
    #[prost(oneof = "runtime_hook_request::Event", tags = "1")]
    pub event: ::core::option::Option<runtime_hook_request::Event>,
}
/// Nested message and enum types in `RuntimeHookRequest`.
pub mod runtime_hook_request {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Event {
        #[prost(message, tag = "1")]
        CreateContainer(super::CreateContainer),
    }
}
/// The runtime may go on.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RuntimeHookResponse {}
/// A mount of a container.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Mount {
    #[prost(string, tag = "1")]
    pub destination: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub r#type: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub source: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "4")]
    pub options: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// A container is about to be created.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateContainer {
    #[prost(string, tag = "1")]
    pub cgroups_path: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub root_dir: ::prost::alloc::string::String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub annotations: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(string, tag = "4")]
    pub container_name: ::prost::alloc::string::String,
    #[prost(string, tag = "5")]
    pub container_id: ::prost::alloc::string::String,
    #[prost(string, tag = "6")]
    pub pod_name: ::prost::alloc::string::String,
    #[prost(string, tag = "7")]
    pub pod_uid: ::prost::alloc::string::String,
    #[prost(string, tag = "8")]
    pub pod_namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "9")]
    pub container_image: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "10")]
    pub mounts: ::prost::alloc::vec::Vec<Mount>,
}
/// One frame.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct StackTraceEntry {
    #[prost(uint64, tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub address: u64,
    #[prost(uint64, tag = "2")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub offset: u64,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub symbol: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub module: ::prost::alloc::string::String,
}
/// What a policy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum KprobeAction {
    Unknown = 0,
    Post = 1,
    Followfd = 2,
    Sigkill = 3,
    Unfollowfd = 4,
    Override = 5,
    Copyfd = 6,
    Geturl = 7,
    Dnslookup = 8,
    Nopost = 9,
    Signal = 10,
    Tracksock = 11,
    Untracksock = 12,
    Notifyenforcer = 13,
    Cleanupenforcernotification = 14,
    Set = 15,
}
impl KprobeAction {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unknown => "KPROBE_ACTION_UNKNOWN",
            Self::Post => "KPROBE_ACTION_POST",
            Self::Followfd => "KPROBE_ACTION_FOLLOWFD",
            Self::Sigkill => "KPROBE_ACTION_SIGKILL",
            Self::Unfollowfd => "KPROBE_ACTION_UNFOLLOWFD",
            Self::Override => "KPROBE_ACTION_OVERRIDE",
            Self::Copyfd => "KPROBE_ACTION_COPYFD",
            Self::Geturl => "KPROBE_ACTION_GETURL",
            Self::Dnslookup => "KPROBE_ACTION_DNSLOOKUP",
            Self::Nopost => "KPROBE_ACTION_NOPOST",
            Self::Signal => "KPROBE_ACTION_SIGNAL",
            Self::Tracksock => "KPROBE_ACTION_TRACKSOCK",
            Self::Untracksock => "KPROBE_ACTION_UNTRACKSOCK",
            Self::Notifyenforcer => "KPROBE_ACTION_NOTIFYENFORCER",
            Self::Cleanupenforcernotification => {
                "KPROBE_ACTION_CLEANUPENFORCERNOTIFICATION"
            }
            Self::Set => "KPROBE_ACTION_SET",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "KPROBE_ACTION_UNKNOWN" => Some(Self::Unknown),
            "KPROBE_ACTION_POST" => Some(Self::Post),
            "KPROBE_ACTION_FOLLOWFD" => Some(Self::Followfd),
            "KPROBE_ACTION_SIGKILL" => Some(Self::Sigkill),
            "KPROBE_ACTION_UNFOLLOWFD" => Some(Self::Unfollowfd),
            "KPROBE_ACTION_OVERRIDE" => Some(Self::Override),
            "KPROBE_ACTION_COPYFD" => Some(Self::Copyfd),
            "KPROBE_ACTION_GETURL" => Some(Self::Geturl),
            "KPROBE_ACTION_DNSLOOKUP" => Some(Self::Dnslookup),
            "KPROBE_ACTION_NOPOST" => Some(Self::Nopost),
            "KPROBE_ACTION_SIGNAL" => Some(Self::Signal),
            "KPROBE_ACTION_TRACKSOCK" => Some(Self::Tracksock),
            "KPROBE_ACTION_UNTRACKSOCK" => Some(Self::Untracksock),
            "KPROBE_ACTION_NOTIFYENFORCER" => Some(Self::Notifyenforcer),
            "KPROBE_ACTION_CLEANUPENFORCERNOTIFICATION" => {
                Some(Self::Cleanupenforcernotification)
            }
            "KPROBE_ACTION_SET" => Some(Self::Set),
            _ => None,
        }
    }
}
/// What a health status is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum HealthStatusType {
    Undef = 0,
    Status = 1,
}
impl HealthStatusType {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Undef => "HEALTH_STATUS_TYPE_UNDEF",
            Self::Status => "HEALTH_STATUS_TYPE_STATUS",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "HEALTH_STATUS_TYPE_UNDEF" => Some(Self::Undef),
            "HEALTH_STATUS_TYPE_STATUS" => Some(Self::Status),
            _ => None,
        }
    }
}
/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum HealthStatusResult {
    HealthStatusUndef = 0,
    HealthStatusRunning = 1,
    HealthStatusStopped = 2,
    HealthStatusError = 3,
}
impl HealthStatusResult {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::HealthStatusUndef => "HEALTH_STATUS_UNDEF",
            Self::HealthStatusRunning => "HEALTH_STATUS_RUNNING",
            Self::HealthStatusStopped => "HEALTH_STATUS_STOPPED",
            Self::HealthStatusError => "HEALTH_STATUS_ERROR",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "HEALTH_STATUS_UNDEF" => Some(Self::HealthStatusUndef),
            "HEALTH_STATUS_RUNNING" => Some(Self::HealthStatusRunning),
            "HEALTH_STATUS_STOPPED" => Some(Self::HealthStatusStopped),
            "HEALTH_STATUS_ERROR" => Some(Self::HealthStatusError),
            _ => None,
        }
    }
}
/// Why a module taints the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum TaintedBitsType {
    TaintUnset = 0,
    TaintProprietaryModule = 1,
    TaintForcedModule = 2,
    TaintForcedUnloadModule = 4,
    TaintStagedModule = 1024,
    TaintOutOfTreeModule = 4096,
    TaintUnsignedModule = 8192,
    TaintKernelLivePatchModule = 32768,
    TaintTestModule = 262144,
}
impl TaintedBitsType {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::TaintUnset => "TAINT_UNSET",
            Self::TaintProprietaryModule => "TAINT_PROPRIETARY_MODULE",
            Self::TaintForcedModule => "TAINT_FORCED_MODULE",
            Self::TaintForcedUnloadModule => "TAINT_FORCED_UNLOAD_MODULE",
            Self::TaintStagedModule => "TAINT_STAGED_MODULE",
            Self::TaintOutOfTreeModule => "TAINT_OUT_OF_TREE_MODULE",
            Self::TaintUnsignedModule => "TAINT_UNSIGNED_MODULE",
            Self::TaintKernelLivePatchModule => "TAINT_KERNEL_LIVE_PATCH_MODULE",
            Self::TaintTestModule => "TAINT_TEST_MODULE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "TAINT_UNSET" => Some(Self::TaintUnset),
            "TAINT_PROPRIETARY_MODULE" => Some(Self::TaintProprietaryModule),
            "TAINT_FORCED_MODULE" => Some(Self::TaintForcedModule),
            "TAINT_FORCED_UNLOAD_MODULE" => Some(Self::TaintForcedUnloadModule),
            "TAINT_STAGED_MODULE" => Some(Self::TaintStagedModule),
            "TAINT_OUT_OF_TREE_MODULE" => Some(Self::TaintOutOfTreeModule),
            "TAINT_UNSIGNED_MODULE" => Some(Self::TaintUnsignedModule),
            "TAINT_KERNEL_LIVE_PATCH_MODULE" => Some(Self::TaintKernelLivePatchModule),
            "TAINT_TEST_MODULE" => Some(Self::TaintTestModule),
            _ => None,
        }
    }
}
/// Which events to take. Fields are ANDed, the values of one field are ORed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Filter {
    /// RE2 expressions on process.binary.
    #[prost(string, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub binary_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Exact pod namespaces; the empty string stands for "no pod".
    #[prost(string, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespace: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// True: probes of a container only. False: everything else only.
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: ::core::option::Option<bool>,
    #[prost(uint32, repeated, tag = "4")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pid: ::prost::alloc::vec::Vec<u32>,
    /// These processes and their descendants.
    #[prost(uint32, repeated, tag = "5")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pid_set: ::prost::alloc::vec::Vec<u32>,
    #[prost(enumeration = "EventType", repeated, tag = "6")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::EventType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::EventType, _>"
    )]
    pub event_set: ::prost::alloc::vec::Vec<i32>,
    #[prost(string, repeated, tag = "7")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pod_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "8")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Kubernetes label selectors on the pod.
    #[prost(string, repeated, tag = "9")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Exact names; an event without a policy never matches.
    #[prost(string, repeated, tag = "10")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_names: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: ::core::option::Option<CapFilter>,
    #[prost(string, repeated, tag = "12")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_binary_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "13")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cel_expression: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "14")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_arguments_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "15")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_id: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, optional, tag = "16")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_init_tree: ::core::option::Option<bool>,
    #[prost(string, repeated, tag = "17")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestor_binary_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "18")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_name_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// RE2 expressions on the pod namespace.
    #[prost(string, repeated, tag = "19")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespace_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// Capability sets to match; the sets given are ANDed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CapFilter {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted: ::core::option::Option<CapFilterSet>,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: ::core::option::Option<CapFilterSet>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inheritable: ::core::option::Option<CapFilterSet>,
}
/// One test on one capability set.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CapFilterSet {
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "1")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub any: ::prost::alloc::vec::Vec<i32>,
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "2")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub all: ::prost::alloc::vec::Vec<i32>,
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "3")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub exactly: ::prost::alloc::vec::Vec<i32>,
    #[prost(enumeration = "CapabilitiesType", repeated, tag = "4")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::CapabilitiesType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::CapabilitiesType, _>"
    )]
    pub none: ::prost::alloc::vec::Vec<i32>,
}
/// Capture groups whose text is replaced by five asterisks.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RedactionFilter {
    #[deprecated]
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub r#match: ::prost::alloc::vec::Vec<Filter>,
    #[prost(string, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redact: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "3")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub binary_regex: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// Which fields of which events to send.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct FieldFilter {
    #[prost(enumeration = "EventType", repeated, tag = "1")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "crate::event::json::write_name_list::<crate::event::EventType, _>",
        deserialize_with = "crate::event::json::read_name_list::<crate::event::EventType, _>"
    )]
    pub event_set: ::prost::alloc::vec::Vec<i32>,
    #[prost(message, optional, tag = "2")]
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "crate::event::json::field_mask"
    )]
    pub fields: ::core::option::Option<::prost_types::FieldMask>,
    #[prost(enumeration = "FieldFilterAction", tag = "3")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::FieldFilterAction, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::FieldFilterAction, _>"
    )]
    pub action: i32,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invert_event_set: ::core::option::Option<bool>,
}
/// Opens a stream of events: allowed by some allow filter, if there are any, and by no deny filter.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetEventsRequest {
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_list: ::prost::alloc::vec::Vec<Filter>,
    #[prost(message, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny_list: ::prost::alloc::vec::Vec<Filter>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_options: ::core::option::Option<AggregationOptions>,
    #[prost(message, repeated, tag = "4")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub field_filters: ::prost::alloc::vec::Vec<FieldFilter>,
}
/// Accepted for compatibility.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct AggregationOptions {
    #[prost(message, optional, tag = "1")]
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "crate::event::json::duration"
    )]
    pub window_size: ::core::option::Option<::prost_types::Duration>,
    #[prost(uint64, tag = "2")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub channel_buffer_size: u64,
}
/// How many events one event stands for.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct AggregationInfo {
    #[prost(uint64, tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub count: u64,
}
/// Says how many events the export limit dropped.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RateLimitInfo {
    #[prost(uint64, tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub number_of_dropped_process_events: u64,
}
/// A cgroup exceeded its event rate, or no longer does.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ProcessThrottle {
    #[prost(enumeration = "ThrottleType", tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::ThrottleType, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::ThrottleType, _>"
    )]
    pub r#type: i32,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroup: ::prost::alloc::string::String,
}
/// One event with its envelope: a line of the JSON export.
#[derive(serde::Deserialize)]
#[serde(from = "crate::event::json::Envelope")]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetEventsResponse {
    #[prost(string, tag = "1000")]
    pub node_name: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "1001")]
    pub time: ::core::option::Option<::prost_types::Timestamp>,
    #[prost(message, optional, tag = "1002")]
    pub aggregation_info: ::core::option::Option<AggregationInfo>,
    #[prost(string, tag = "1003")]
    pub cluster_name: ::prost::alloc::string::String,
    #[prost(btree_map = "string, string", tag = "1004")]
    pub node_labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(
        oneof = "get_events_response::Event",
        tags = "1, 5, 9, 10, 11, 12, 27, 28, 29, 40000, 40001"
    )]
    pub event: ::core::option::Option<get_events_response::Event>,
}
/// Nested message and enum types in `GetEventsResponse`.
pub mod get_events_response {
    #[derive(serde::Serialize)]
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Event {
        #[prost(message, tag = "1")]
        #[serde(rename = "process_exec")]
        ProcessExec(super::ProcessExec),
        #[prost(message, tag = "5")]
        #[serde(rename = "process_exit")]
        ProcessExit(super::ProcessExit),
        #[prost(message, tag = "9")]
        #[serde(rename = "process_kprobe")]
        ProcessKprobe(super::ProcessKprobe),
        #[prost(message, tag = "10")]
        #[serde(rename = "process_tracepoint")]
        ProcessTracepoint(super::ProcessTracepoint),
        #[prost(message, tag = "11")]
        #[serde(rename = "process_loader")]
        ProcessLoader(super::ProcessLoader),
        #[prost(message, tag = "12")]
        #[serde(rename = "process_uprobe")]
        ProcessUprobe(super::ProcessUprobe),
        #[prost(message, tag = "27")]
        #[serde(rename = "process_throttle")]
        ProcessThrottle(super::ProcessThrottle),
        #[prost(message, tag = "28")]
        #[serde(rename = "process_lsm")]
        ProcessLsm(super::ProcessLsm),
        #[prost(message, tag = "29")]
        #[serde(rename = "process_usdt")]
        ProcessUsdt(super::ProcessUsdt),
        #[prost(message, tag = "40000")]
        #[serde(rename = "test")]
        Test(super::Test),
        #[prost(message, tag = "40001")]
        #[serde(rename = "rate_limit_info")]
        RateLimitInfo(super::RateLimitInfo),
    }
}
/// Kinds of events, as filters name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    Undef = 0,
    ProcessExec = 1,
    ProcessExit = 5,
    ProcessKprobe = 9,
    ProcessTracepoint = 10,
    ProcessLoader = 11,
    ProcessUprobe = 12,
    ProcessThrottle = 27,
    ProcessLsm = 28,
    ProcessUsdt = 29,
    Test = 40000,
    RateLimitInfo = 40001,
}
impl EventType {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Undef => "UNDEF",
            Self::ProcessExec => "PROCESS_EXEC",
            Self::ProcessExit => "PROCESS_EXIT",
            Self::ProcessKprobe => "PROCESS_KPROBE",
            Self::ProcessTracepoint => "PROCESS_TRACEPOINT",
            Self::ProcessLoader => "PROCESS_LOADER",
            Self::ProcessUprobe => "PROCESS_UPROBE",
            Self::ProcessThrottle => "PROCESS_THROTTLE",
            Self::ProcessLsm => "PROCESS_LSM",
            Self::ProcessUsdt => "PROCESS_USDT",
            Self::Test => "TEST",
            Self::RateLimitInfo => "RATE_LIMIT_INFO",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "UNDEF" => Some(Self::Undef),
            "PROCESS_EXEC" => Some(Self::ProcessExec),
            "PROCESS_EXIT" => Some(Self::ProcessExit),
            "PROCESS_KPROBE" => Some(Self::ProcessKprobe),
            "PROCESS_TRACEPOINT" => Some(Self::ProcessTracepoint),
            "PROCESS_LOADER" => Some(Self::ProcessLoader),
            "PROCESS_UPROBE" => Some(Self::ProcessUprobe),
            "PROCESS_THROTTLE" => Some(Self::ProcessThrottle),
            "PROCESS_LSM" => Some(Self::ProcessLsm),
            "PROCESS_USDT" => Some(Self::ProcessUsdt),
            "TEST" => Some(Self::Test),
            "RATE_LIMIT_INFO" => Some(Self::RateLimitInfo),
            _ => None,
        }
    }
}
/// What a field filter does with its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum FieldFilterAction {
    Include = 0,
    Exclude = 1,
}
impl FieldFilterAction {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Include => "INCLUDE",
            Self::Exclude => "EXCLUDE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "INCLUDE" => Some(Self::Include),
            "EXCLUDE" => Some(Self::Exclude),
            _ => None,
        }
    }
}
/// Whether throttling began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum ThrottleType {
    ThrottleUnknown = 0,
    ThrottleStart = 1,
    ThrottleStop = 2,
}
impl ThrottleType {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::ThrottleUnknown => "THROTTLE_UNKNOWN",
            Self::ThrottleStart => "THROTTLE_START",
            Self::ThrottleStop => "THROTTLE_STOP",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "THROTTLE_UNKNOWN" => Some(Self::ThrottleUnknown),
            "THROTTLE_START" => Some(Self::ThrottleStart),
            "THROTTLE_STOP" => Some(Self::ThrottleStop),
            _ => None,
        }
    }
}
/// Asks for the loaded sensors.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListSensorsRequest {}
/// One sensor.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SensorStatus {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(bool, tag = "2")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub enabled: bool,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub collection: ::prost::alloc::string::String,
}
/// The loaded sensors.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListSensorsResponse {
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensors: ::prost::alloc::vec::Vec<SensorStatus>,
}
/// Asks for policies; without a domain, for all.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListTracingPoliciesRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: ::prost::alloc::string::String,
}
/// How often a policy did what, and what monitor mode held back.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct TracingPolicyActionCounters {
    #[prost(uint64, tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub post: u64,
    #[prost(uint64, tag = "2")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub signal: u64,
    #[prost(uint64, tag = "3")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub monitor_signal: u64,
    #[prost(uint64, tag = "4")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub r#override: u64,
    #[prost(uint64, tag = "5")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub monitor_override: u64,
    #[prost(uint64, tag = "6")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub notify_enforcer: u64,
    #[prost(uint64, tag = "7")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub monitor_notify_enforcer: u64,
    #[prost(uint64, tag = "8")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub set: u64,
    #[prost(uint64, tag = "9")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub monitor_set: u64,
    #[prost(uint64, tag = "10")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub nopost: u64,
}
/// The same for one selector.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct TracingPolicySelectorActionCounters {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hook: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_index: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector_index: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_counters: ::core::option::Option<TracingPolicyActionCounters>,
    #[prost(string, tag = "5")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector_label: ::prost::alloc::string::String,
}
/// What a policy has done so far.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TracingPolicyStats {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_counters: ::core::option::Option<TracingPolicyActionCounters>,
    #[prost(message, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selector_action_counters: ::prost::alloc::vec::Vec<
        TracingPolicySelectorActionCounters,
    >,
}
/// One hook of a policy.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct HookStatus {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub section: ::prost::alloc::string::String,
    #[prost(enumeration = "HookState", tag = "2")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::HookState, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::HookState, _>"
    )]
    pub state: i32,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hook_description: ::prost::alloc::string::String,
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub hook_idx: u32,
}
/// One policy.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TracingPolicyStatus {
    #[prost(uint64, tag = "1")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub id: u64,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub info: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "5")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensors: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[deprecated]
    #[prost(bool, tag = "6")]
    #[serde(skip_serializing_if = "crate::event::json::is_default")]
    pub enabled: bool,
    #[prost(uint64, tag = "7")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub filter_id: u64,
    #[prost(string, tag = "8")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: ::prost::alloc::string::String,
    #[prost(enumeration = "TracingPolicyState", tag = "9")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::TracingPolicyState, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::TracingPolicyState, _>"
    )]
    pub state: i32,
    #[prost(uint64, tag = "10")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        with = "crate::event::json::decimal"
    )]
    pub kernel_memory_bytes: u64,
    #[prost(enumeration = "TracingPolicyMode", tag = "11")]
    #[serde(
        skip_serializing_if = "crate::event::json::is_default",
        serialize_with = "crate::event::json::write_name::<crate::event::TracingPolicyMode, _>",
        deserialize_with = "crate::event::json::read_name::<crate::event::TracingPolicyMode, _>"
    )]
    pub mode: i32,
    #[prost(message, optional, tag = "12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: ::core::option::Option<TracingPolicyStats>,
    #[prost(string, tag = "13")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "14")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hook_statuses: ::prost::alloc::vec::Vec<HookStatus>,
}
/// The policies.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListTracingPoliciesResponse {
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: ::prost::alloc::vec::Vec<TracingPolicyStatus>,
}
/// Adds the policy in a YAML text.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct AddTracingPolicyRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub yaml: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: ::prost::alloc::string::String,
}
/// It is in force.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct AddTracingPolicyResponse {}
/// Removes a policy.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DeleteTracingPolicyRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: ::prost::alloc::string::String,
}
/// It is gone.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DeleteTracingPolicyResponse {}
/// Puts a disabled policy in force again.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EnableTracingPolicyRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: ::prost::alloc::string::String,
}
/// It is in force.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EnableTracingPolicyResponse {}
/// Takes a policy out of force and keeps it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DisableTracingPolicyRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: ::prost::alloc::string::String,
}
/// It is out of force.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DisableTracingPolicyResponse {}
/// Enables, disables or changes the mode of a policy; what is left out stays.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ConfigureTracingPolicyRequest {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(bool, optional, tag = "3")]
    pub enable: ::core::option::Option<bool>,
    #[prost(enumeration = "TracingPolicyMode", optional, tag = "4")]
    pub mode: ::core::option::Option<i32>,
    #[prost(string, tag = "5")]
    pub domain: ::prost::alloc::string::String,
}
/// It is done.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ConfigureTracingPolicyResponse {}
/// Deprecated.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RemoveSensorRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
}
/// Deprecated.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RemoveSensorResponse {}
/// Deprecated.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EnableSensorRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
}
/// Deprecated.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EnableSensorResponse {}
/// Deprecated.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DisableSensorRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: ::prost::alloc::string::String,
}
/// Deprecated.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DisableSensorResponse {}
/// Asks for the domains in use.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListDomainsRequest {}
/// The domains in use.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListDomainsResponse {
    #[prost(string, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// Asks for the version.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetVersionRequest {}
/// The version.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetVersionResponse {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: ::prost::alloc::string::String,
}
/// Asks for build, kernel probes and configuration.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetInfoRequest {}
/// Build, kernel probes and configuration.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetInfoResponse {
    #[prost(string, tag = "1")]
    pub version: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub name: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "3")]
    pub probes: ::prost::alloc::vec::Vec<get_info_response::Probe>,
    #[prost(message, repeated, tag = "4")]
    pub conf: ::prost::alloc::vec::Vec<get_info_response::ConfVal>,
    #[prost(message, optional, tag = "5")]
    pub build: ::core::option::Option<get_info_response::BuildInfo>,
}
/// Nested message and enum types in `GetInfoResponse`.
pub mod get_info_response {
    /// A kernel feature.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
    pub struct Probe {
        #[prost(string, tag = "1")]
        pub name: ::prost::alloc::string::String,
        #[prost(message, optional, tag = "2")]
        pub enabled: ::core::option::Option<bool>,
    }
    /// A configuration value.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
    pub struct ConfVal {
        #[prost(string, tag = "1")]
        pub key: ::prost::alloc::string::String,
        #[prost(message, optional, tag = "2")]
        pub value: ::core::option::Option<::prost_types::Any>,
    }
    /// How the agent was built.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(default)]
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
    pub struct BuildInfo {
        #[prost(string, tag = "1")]
        #[serde(skip_serializing_if = "String::is_empty")]
        pub go_version: ::prost::alloc::string::String,
        #[prost(string, tag = "2")]
        #[serde(skip_serializing_if = "String::is_empty")]
        pub commit: ::prost::alloc::string::String,
        #[prost(string, tag = "3")]
        #[serde(skip_serializing_if = "String::is_empty")]
        pub time: ::prost::alloc::string::String,
        #[prost(string, tag = "4")]
        #[serde(skip_serializing_if = "String::is_empty")]
        pub modified: ::prost::alloc::string::String,
    }
}
/// What to leave out of a process cache dump.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DumpProcessCacheReqArgs {
    #[prost(bool, tag = "1")]
    pub skip_zero_refcnt: bool,
    #[prost(bool, tag = "2")]
    pub exclude_execve_map_processes: bool,
}
/// An entry of the process cache.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessInternal {
    #[prost(message, optional, tag = "1")]
    pub process: ::core::option::Option<Process>,
    #[prost(string, tag = "2")]
    pub color: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "3")]
    pub refcnt: ::core::option::Option<u32>,
    #[prost(btree_map = "string, int32", tag = "4")]
    pub refcnt_ops: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        i32,
    >,
}
/// A process cache dump.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DumpProcessCacheResArgs {
    #[prost(message, repeated, tag = "1")]
    pub processes: ::prost::alloc::vec::Vec<ProcessInternal>,
}
/// Asks for a debug value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetDebugRequest {
    #[prost(enumeration = "ConfigFlag", tag = "1")]
    pub flag: i32,
    #[prost(oneof = "get_debug_request::Arg", tags = "2")]
    pub arg: ::core::option::Option<get_debug_request::Arg>,
}
/// Nested message and enum types in `GetDebugRequest`.
pub mod get_debug_request {
    #[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Arg {
        #[prost(message, tag = "2")]
        Dump(super::DumpProcessCacheReqArgs),
    }
}
/// A debug value.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetDebugResponse {
    #[prost(enumeration = "ConfigFlag", tag = "1")]
    pub flag: i32,
    #[prost(oneof = "get_debug_response::Arg", tags = "2, 3")]
    pub arg: ::core::option::Option<get_debug_response::Arg>,
}
/// Nested message and enum types in `GetDebugResponse`.
pub mod get_debug_response {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Arg {
        #[prost(enumeration = "super::LogLevel", tag = "2")]
        Level(i32),
        #[prost(message, tag = "3")]
        Processes(super::DumpProcessCacheResArgs),
    }
}
/// Sets a debug value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SetDebugRequest {
    #[prost(enumeration = "ConfigFlag", tag = "1")]
    pub flag: i32,
    #[prost(oneof = "set_debug_request::Arg", tags = "2")]
    pub arg: ::core::option::Option<set_debug_request::Arg>,
}
/// Nested message and enum types in `SetDebugRequest`.
pub mod set_debug_request {
    #[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Arg {
        #[prost(enumeration = "super::LogLevel", tag = "2")]
        Level(i32),
    }
}
/// The value now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SetDebugResponse {
    #[prost(enumeration = "ConfigFlag", tag = "1")]
    pub flag: i32,
    #[prost(oneof = "set_debug_response::Arg", tags = "2")]
    pub arg: ::core::option::Option<set_debug_response::Arg>,
}
/// Nested message and enum types in `SetDebugResponse`.
pub mod set_debug_response {
    #[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Arg {
        #[prost(enumeration = "super::LogLevel", tag = "2")]
        Level(i32),
    }
}
/// Whether a policy works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum TracingPolicyState {
    TpStateUnknown = 0,
    TpStateEnabled = 1,
    TpStateDisabled = 2,
    TpStateLoadError = 3,
    TpStateError = 4,
    TpStateLoading = 5,
    TpStateUnloading = 6,
    TpStateSkipped = 7,
    TpStatePartiallyEnabled = 8,
}
impl TracingPolicyState {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::TpStateUnknown => "TP_STATE_UNKNOWN",
            Self::TpStateEnabled => "TP_STATE_ENABLED",
            Self::TpStateDisabled => "TP_STATE_DISABLED",
            Self::TpStateLoadError => "TP_STATE_LOAD_ERROR",
            Self::TpStateError => "TP_STATE_ERROR",
            Self::TpStateLoading => "TP_STATE_LOADING",
            Self::TpStateUnloading => "TP_STATE_UNLOADING",
            Self::TpStateSkipped => "TP_STATE_SKIPPED",
            Self::TpStatePartiallyEnabled => "TP_STATE_PARTIALLY_ENABLED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "TP_STATE_UNKNOWN" => Some(Self::TpStateUnknown),
            "TP_STATE_ENABLED" => Some(Self::TpStateEnabled),
            "TP_STATE_DISABLED" => Some(Self::TpStateDisabled),
            "TP_STATE_LOAD_ERROR" => Some(Self::TpStateLoadError),
            "TP_STATE_ERROR" => Some(Self::TpStateError),
            "TP_STATE_LOADING" => Some(Self::TpStateLoading),
            "TP_STATE_UNLOADING" => Some(Self::TpStateUnloading),
            "TP_STATE_SKIPPED" => Some(Self::TpStateSkipped),
            "TP_STATE_PARTIALLY_ENABLED" => Some(Self::TpStatePartiallyEnabled),
            _ => None,
        }
    }
}
/// What a policy does about what it matches. MONITOR_ONLY: it has no action that enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum TracingPolicyMode {
    TpModeUnknown = 0,
    TpModeEnforce = 1,
    TpModeMonitor = 2,
    TpModeMonitorOnly = 3,
}
impl TracingPolicyMode {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::TpModeUnknown => "TP_MODE_UNKNOWN",
            Self::TpModeEnforce => "TP_MODE_ENFORCE",
            Self::TpModeMonitor => "TP_MODE_MONITOR",
            Self::TpModeMonitorOnly => "TP_MODE_MONITOR_ONLY",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "TP_MODE_UNKNOWN" => Some(Self::TpModeUnknown),
            "TP_MODE_ENFORCE" => Some(Self::TpModeEnforce),
            "TP_MODE_MONITOR" => Some(Self::TpModeMonitor),
            "TP_MODE_MONITOR_ONLY" => Some(Self::TpModeMonitorOnly),
            _ => None,
        }
    }
}
/// Whether a hook works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum HookState {
    StatusUnspecified = 0,
    StatusLoaded = 1,
    StatusDigestRejected = 2,
    StatusCallNotFound = 3,
    StatusPartialCallNotFound = 4,
}
impl HookState {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::StatusUnspecified => "STATUS_UNSPECIFIED",
            Self::StatusLoaded => "STATUS_LOADED",
            Self::StatusDigestRejected => "STATUS_DIGEST_REJECTED",
            Self::StatusCallNotFound => "STATUS_CALL_NOT_FOUND",
            Self::StatusPartialCallNotFound => "STATUS_PARTIAL_CALL_NOT_FOUND",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "STATUS_UNSPECIFIED" => Some(Self::StatusUnspecified),
            "STATUS_LOADED" => Some(Self::StatusLoaded),
            "STATUS_DIGEST_REJECTED" => Some(Self::StatusDigestRejected),
            "STATUS_CALL_NOT_FOUND" => Some(Self::StatusCallNotFound),
            "STATUS_PARTIAL_CALL_NOT_FOUND" => Some(Self::StatusPartialCallNotFound),
            _ => None,
        }
    }
}
/// What GetDebug and SetDebug are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum ConfigFlag {
    LogLevel = 0,
    DumpProcessCache = 1,
}
impl ConfigFlag {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::LogLevel => "CONFIG_FLAG_LOG_LEVEL",
            Self::DumpProcessCache => "CONFIG_FLAG_DUMP_PROCESS_CACHE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "CONFIG_FLAG_LOG_LEVEL" => Some(Self::LogLevel),
            "CONFIG_FLAG_DUMP_PROCESS_CACHE" => Some(Self::DumpProcessCache),
            _ => None,
        }
    }
}
/// Log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum LogLevel {
    Panic = 0,
    Fatal = 1,
    Error = 2,
    Warn = 3,
    Info = 4,
    Debug = 5,
    Trace = 6,
}
impl LogLevel {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Panic => "LOG_LEVEL_PANIC",
            Self::Fatal => "LOG_LEVEL_FATAL",
            Self::Error => "LOG_LEVEL_ERROR",
            Self::Warn => "LOG_LEVEL_WARN",
            Self::Info => "LOG_LEVEL_INFO",
            Self::Debug => "LOG_LEVEL_DEBUG",
            Self::Trace => "LOG_LEVEL_TRACE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "LOG_LEVEL_PANIC" => Some(Self::Panic),
            "LOG_LEVEL_FATAL" => Some(Self::Fatal),
            "LOG_LEVEL_ERROR" => Some(Self::Error),
            "LOG_LEVEL_WARN" => Some(Self::Warn),
            "LOG_LEVEL_INFO" => Some(Self::Info),
            "LOG_LEVEL_DEBUG" => Some(Self::Debug),
            "LOG_LEVEL_TRACE" => Some(Self::Trace),
            _ => None,
        }
    }
}
