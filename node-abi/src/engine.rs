//! The tables of the engine, as they lie in maps.

use crate::hash::Hash128;

/// Words of selectors a hook has at most: 64 x 64 = 4,096 selectors.
pub const MAX_WORDS: usize = 64;
/// Dimensions a hook has at most.
pub const MAX_DIMS: usize = 32;
/// Groups of dimensions a hook has at most.
pub const MAX_GROUPS: usize = 16;
/// Different readings of arguments a hook has at most.
pub const MAX_ARGS: usize = 8;
/// Of these, texts.
pub const MAX_TEXTS: usize = 4;
/// Longest text, in bytes.
pub const TEXT_MAX: usize = 4096;
/// Bytes of a binary's path that prefixes are compared with.
pub const EXE_HEAD: usize = 256;
/// Bytes of a binary's path that postfixes are compared with.
pub const EXE_TAIL: usize = 128;
/// Longest operand of a prefix, in bytes: a key's data is at most 256, one of them the tag.
pub const PREFIX_MAX: usize = 255;
/// Longest operand of a postfix, in bytes.
pub const POSTFIX_MAX: usize = 127;

/// What an entry of an index means in one slot: the selectors whose verdict the value changes.
/// Bits of one word stand in it; wider sets are interned.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Words in which the delta has bits.
    pub sum: u64,
    /// The bits in `word`.
    pub bits: u64,
    /// Which word `bits` is for.
    pub word: u32,
    /// The interned set that is XORed too; 0 is the empty one.
    pub set: u32,
}

/// A set of selectors.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// By word.
    pub words: [u64; MAX_WORDS],
}

/// Of one slot: which words can match at all.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The state word that made this slot the one in force: it stands in every record.
    pub state: u64,
    /// Words with selectors.
    pub live: u64,
    /// Words in which some selector passes every dimension by default.
    pub base: u64,
    /// By dimension: words in which some selector passes it by default.
    pub dim: [u64; MAX_DIMS],
    /// By group (the dimensions of one source, such as one argument): words in which some selector
    /// passes all of them by default.
    pub group: [u64; MAX_GROUPS],
}

/// Of one word of one slot: its selectors and what they do.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Bits in use.
    pub active: u64,
    /// The first bit of each policy's field.
    pub start: u64,
    /// The last bit of each policy's field.
    pub top: u64,
    /// Makes an event.
    pub post: u64,
    /// Sends SIGKILL.
    pub kill: u64,
    /// Sends another signal.
    pub signal: u64,
    /// Denies the call.
    pub deny: u64,
    /// Has a rate limit.
    pub limited: u64,
}

/// What one selector does.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Act {
    /// The signal to send, or 0.
    pub signal: u16,
    /// The errno to return, or 0.
    pub errno: u16,
    /// Rate limit: window in milliseconds, or 0.
    pub window_ms: u32,
    /// Rate limit: 0 thread, 1 process, 2 global.
    pub scope: u32,
    /// Rate limit: a number of this selector that outlives its bit.
    pub id: u32,
}

/// Key of the table of rate limits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitKey {
    /// [`Act::id`].
    pub id: u64,
    /// Thread or process id, or 0.
    pub task: u64,
    /// Of the arguments.
    pub args: Hash128,
}

/// What the kernel knows of a process, by its thread group id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proc {
    /// When it was made or last executed, in ns of the monotonic clock: with the id, its name.
    pub ktime: u64,
    /// Hash of the path of its executable.
    pub exe: Hash128,
    /// Hash of the parent's, when the process was made (after an exec without a fork: of the
    /// program before).
    pub parent_exe: Hash128,
    /// Thread group id of the parent.
    pub parent: u32,
    /// `PROC_*`.
    pub flags: u32,
    /// Its id in its own PID namespace; 0 in the host's.
    pub nspid: u32,
    /// Not used.
    pub pad: u32,
}

/// Has not executed anything since it was made.
pub const PROC_CLONE: u32 = 1;
/// In the tree of the first process of a PID namespace that is not the host's.
pub const PROC_INIT_TREE: u32 = 2;

/// The text of an executable's path, by its hash.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exe {
    /// Length of the path in bytes.
    pub len: u32,
    /// Not used.
    pub pad: u32,
    /// Its first bytes, then zeros.
    pub head: [u8; EXE_HEAD],
    /// Its last bytes, the last first, then zeros.
    pub tail: [u8; EXE_TAIL],
}

/// Key of the table of lost records: who would have been told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LostKey {
    /// The state word under which the call was judged.
    pub state: u64,
    /// The selectors' bits.
    pub bits: u64,
    /// The hook.
    pub hook: u32,
    /// The word.
    pub word: u32,
}

/// Counters of what was lost in the kernel, per CPU. Index of the counter.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A record of a hook that found the ring full (also counted by policy).
    Call = 0,
    /// An exec record.
    Exec = 1,
    /// A fork record.
    Fork = 2,
    /// An exit record.
    Exit = 3,
    /// A call that found no free scratch memory and was not judged.
    Scratch = 4,
    /// A call whose loss by policy could not be counted because that table was full.
    Uncounted = 5,
    /// A process that found the process table full.
    Process = 6,
    /// An executable that found its table full.
    Exe = 7,
    /// A path that was too deep or too long to read.
    Path = 8,
    /// Records that were put into the ring.
    Sent = 9,
    /// A cgroup that found its table full.
    Cgroup = 10,
    /// A record of a cgroup.
    CgroupRecord = 11,
}
/// Number of counters.
pub const LOST_COUNTERS: usize = 12;

/// A text while it is read: it may lie anywhere in `data`, and 16 zero bytes follow it.
#[repr(C)]
pub struct TextBuffer {
    /// Room in front: for a key's length and tag, and for reading the tail of a short text.
    pub front: [u8; 136],
    /// The text.
    pub data: [u8; TEXT_MAX],
    /// Room behind: a key may be read past the text's end.
    pub back: [u8; 320],
}

/// A record's memory, longer than any record.
pub const RECORD_MAX: usize = 20 * 1024;

const _: () = assert!(size_of::<Entry>() == 24);
const _: () = assert!(size_of::<Act>() == 16);
const _: () = assert!(size_of::<Proc>() == 56);
const _: () = assert!(size_of::<LostKey>() == 24);
const _: () = assert!(size_of::<Word>() == 64);
