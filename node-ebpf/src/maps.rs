//! The maps and the constants that the agent sets at load. The agent creates every map itself: sizes
//! here are placeholders where it knows better (tables of a slot, the key of the prefix index).

use aya_ebpf::{
    helpers::generated,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
};
use core::ptr::read_volatile;
use tetragon_abi::{
    cgroup::Cgroup,
    config::{HookConfig, Offsets},
    engine::*,
    hash::Hash128,
};

/// Word 0: version and slot in force, see `Head::state`; its lowest bit is the slot.
#[map]
pub static STATE: Array<u64> = Array::with_max_entries(1, 0);
/// Engines of one hook, by slot.
#[map]
pub static ENGINES: ProgramArray = ProgramArray::with_max_entries(2, 0);
/// Index of exact values to entries, of one hook.
#[map]
pub static EXACT: HashMap<Hash128, u32> = HashMap::with_max_entries(64, 0);
/// Index of beginnings (and of ends, reversed; and of integer ranges) to entries, of one hook.
#[map]
pub static PREFIX: LpmTrie<[u8; 256], u32> = LpmTrie::with_max_entries(64, 1);
/// Bloom filter over the binaries that are listed, of one slot. Most calls come from others: this is
/// cheaper than a look at the index.
#[map]
pub static BLOOM: Array<u64> = Array::with_max_entries(1, 0);
/// Which words can match at all, of one slot.
#[map]
pub static HEAD: Array<Head> = Array::with_max_entries(1, 0);
/// Of one slot.
#[map]
pub static WORDS: Array<Word> = Array::with_max_entries(1, 0);
/// Default sets by dimension, of one slot.
#[map]
pub static DEFAULTS: Array<Set> = Array::with_max_entries(1, 0);
/// What the entries of the indexes mean, of one slot.
#[map]
pub static ENTRIES: Array<Entry> = Array::with_max_entries(1, 0);
/// Interned sets, of one slot; 0 is empty.
#[map]
pub static SETS: Array<Set> = Array::with_max_entries(1, 0);
/// Actions by selector, of one slot.
#[map]
pub static ACTS: Array<Act> = Array::with_max_entries(64, 0);
/// Processes by thread group id.
#[map]
pub static PROCS: HashMap<u32, Proc> = HashMap::with_max_entries(32768, 0);
/// Paths of executables by their hash.
#[map]
pub static EXES: HashMap<Hash128, Exe> = HashMap::with_max_entries(4096, 0);
/// Cgroups by id: whose processes are in them.
#[map]
pub static CGROUPS: HashMap<u64, Cgroup> = HashMap::with_max_entries(16384, 0);
/// Scratch memory, claimed by the program that uses it.
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(CLAIMS, 0);
/// A record's memory, claimed with the scratch memory of the same index.
#[map]
pub static RECORDS: PerCpuArray<[u64; RECORD_MAX / 8]> = PerCpuArray::with_max_entries(CLAIMS, 0);
/// Records for the agent.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
/// Counters, see `Lost`.
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOST_COUNTERS as u32, 0);
/// Lost records of calls, by who would have been told.
#[map]
pub static LOST_BY: HashMap<LostKey, u64> = HashMap::with_max_entries(4096, 0);
/// When an event of a selector with a rate limit was last let through.
#[map]
pub static LIMITS: LruHashMap<LimitKey, u64> = LruHashMap::with_max_entries(4096, 0);

/// How deep programs can nest on one CPU: a task's, an interrupt's, and room.
pub const CLAIMS: u32 = 4;

/// Memory of a program while it runs: too much for its stack, and the verifier wants loop state in
/// memory, not in registers.
#[repr(C)]
pub struct Scratch {
    /// Number of programs that claim it; 1: one has it.
    pub claim: u64,
    /// The path walk.
    pub walk: [u64; 16],
    /// Room in front of a dentry, for reading a short name's end.
    pub before: [u64; 4],
    /// A dentry from its parent on, with its short name.
    pub dentry: [u64; DENTRY / 8],
    /// Room behind, likewise.
    pub behind: [u64; 8],
    /// The hooked function's arguments.
    pub given: [u64; 8],
    /// Where a tracepoint's event lies.
    pub event: u64,
    /// By reading: the integer, sign-extended, or the pointer.
    pub value: [u64; MAX_ARGS],
    /// By text: where it begins in its buffer.
    pub pos: [u64; MAX_TEXTS],
    /// By text: its length; `NONE`: no text.
    pub len: [u64; MAX_TEXTS],
    /// By text: 0: not a file; 1: see `path`; else the dentry.
    pub file: [u64; MAX_TEXTS],
    /// By text: the `struct path`.
    pub path: [u64; MAX_TEXTS],
    /// The caller's workload.
    pub workload: u64,
    /// The calling process.
    pub proc: Proc,
    /// For a look-up of an ancestor.
    pub ancestor: Proc,
    /// Which of the CPU's it is.
    pub index: u64,
    /// A hash that was just made: key of the exact index.
    pub key: Hash128,
    /// Words that can still match.
    pub live: u64,
    /// Words in which some value of this call changes something; of this group so far.
    pub any: u64,
    pub group: u64,
    /// Number of words in the record, and what is to be done.
    pub words: u64,
    pub kill: u64,
    pub signal_at: u64,
    pub signal_bits: u64,
    pub deny_at: u64,
    pub deny_bits: u64,
    /// Hash of the arguments, for rate limits.
    pub args: Hash128,
    /// End of the record so far.
    pub end: u64,
    /// By dimension: what this call's value changes.
    pub entry: [Entry; MAX_DIMS],
    /// By word: the selectors that match.
    pub set: [u64; MAX_WORDS],
    /// Key of the prefix index for ends, ranges and binaries.
    pub tail: PrefixKey,
    /// Texts.
    pub text: [TextBuffer; MAX_TEXTS],
}

/// Bytes of a dentry that are read at once: { d_parent, {hash, len}, name, d_inode, d_iname }.
pub const DENTRY: usize = 72;

/// A key of the prefix index: length in bits, then the dimension's tag, then data. The data is
/// aligned.
#[repr(C)]
pub struct PrefixKey {
    pub pad: [u8; 3],
    pub bits: [u8; 4],
    pub tag: u8,
    pub data: [u8; 320],
}

/// `Scratch::len` of an argument that has no text.
pub const NONE: u64 = u64::MAX;

/// This engine's shape.
#[unsafe(no_mangle)]
pub static CONFIG: HookConfig = HookConfig::ZERO;
/// Offsets in this kernel.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = unsafe { core::mem::zeroed() };
/// Seed of the hash.
#[unsafe(no_mangle)]
pub static SEED: [u64; 2] = [0; 2];

/// Reads a constant that the agent sets: volatile, or the compiler would take the value that stands
/// here.
#[inline(always)]
pub fn constant<T: Copy>(p: *const T) -> T {
    // SAFETY: only the macros below call it, with fields of this program's statics.
    unsafe { read_volatile(p) }
}
/// A field of `CONFIG`.
macro_rules! config {
    ($($path:tt)+) => { $crate::maps::constant(&raw const $crate::maps::CONFIG.$($path)+) };
}
/// An offset in this kernel, as u64.
macro_rules! offset {
    ($($path:tt)+) => { $crate::maps::constant(&raw const $crate::maps::OFFSETS.$($path)+) as u64 };
}
pub(crate) use {config, offset};

/// The seed of the hash.
#[inline(always)]
pub fn seed() -> [u64; 2] {
    [constant(&raw const SEED[0]), constant(&raw const SEED[1])]
}

/// Looks `key` up in `map`; null if it is not there.
///
/// # Safety
/// `key` must point to as many bytes as the map's keys have, and V be the type of its values.
#[inline(always)]
pub unsafe fn lookup<M, V>(map: &'static M, key: *const u8) -> *mut V {
    // SAFETY: as above; the kernel's verifier checks it again.
    unsafe { generated::bpf_map_lookup_elem((&raw const *map).cast_mut().cast(), key.cast()).cast() }
}

/// Element `index` of an array; null if there is none.
///
/// # Safety
/// As for [`lookup`].
#[inline(always)]
pub unsafe fn at<M, V>(map: &'static M, index: u32) -> *mut V {
    unsafe { lookup(map, (&raw const index).cast()) }
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub fn count(counter: Lost) {
    // SAFETY: LOST has u64 values.
    let c: *mut u64 = unsafe { at(&LOST, counter as u32) };
    if !c.is_null() {
        // SAFETY: not null; atomic because an interrupt's program may count on the same CPU.
        unsafe { crate::kernel::add(c, 1) };
    }
}

/// Bytes in the ring from which on the agent is woken: before, it comes by itself in a while (see
/// node-agent's event thread). Waking it for each record would cost more than making the record.
const WAKE: u64 = 64 * 1024;
/// `BPF_RB_NO_WAKEUP`.
const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`.
const FORCE_WAKEUP: u64 = 2;
/// `BPF_RB_AVAIL_DATA`.
const AVAILABLE: u64 = 0;

/// Puts a record into the ring. False: it was full.
///
/// # Safety
/// `record` must be valid for `len` bytes.
#[inline(always)]
pub unsafe fn output(record: *const u8, len: u64) -> bool {
    unsafe {
        let ring = (&raw const EVENTS).cast_mut().cast();
        let flags =
            if generated::bpf_ringbuf_query(ring, AVAILABLE) < WAKE { NO_WAKEUP } else { FORCE_WAKEUP };
        generated::bpf_ringbuf_output(ring, record.cast_mut().cast(), len, flags) == 0
    }
}

/// The same for what is rare and must reach the agent at once.
///
/// # Safety
/// As for [`output`].
#[inline(always)]
pub unsafe fn output_now(record: *const u8, len: u64) -> bool {
    unsafe {
        let ring = (&raw const EVENTS).cast_mut().cast();
        generated::bpf_ringbuf_output(ring, record.cast_mut().cast(), len, FORCE_WAKEUP) == 0
    }
}

/// Claims scratch memory of this CPU. On a preemptible kernel another task's program may run in the
/// middle of this one, and an interrupt's may always: neither may share it. Two claimants never
/// both read 1.
#[inline(always)]
pub fn claim() -> Option<*mut Scratch> {
    for i in 0..CLAIMS {
        // SAFETY: the map's value type.
        unsafe {
            let s: *mut Scratch = at(&SCRATCH, i);
            if s.is_null() {
                return None;
            }
            crate::kernel::add(&raw mut (*s).claim, 1);
            if read_volatile(&raw const (*s).claim) == 1 {
                (*s).index = i as u64;
                return Some(s);
            }
            crate::kernel::add(&raw mut (*s).claim, u64::MAX);
        }
    }
    count(Lost::Scratch);
    None
}

/// The record's memory that belongs to claimed scratch memory.
///
/// # Safety
/// `s` must have come from [`claim`].
#[inline(always)]
pub unsafe fn record(s: *mut Scratch) -> *mut u8 {
    unsafe { at(&RECORDS, (*s).index as u32) }
}

/// Gives scratch memory back.
///
/// # Safety
/// `s` must have come from [`claim`].
#[inline(always)]
pub unsafe fn release(s: *mut Scratch) {
    unsafe { crate::kernel::add(&raw mut (*s).claim, u64::MAX) };
}

#[inline(always)]
pub unsafe fn first_act(w: u64, bits: u64) -> *const Act {
    unsafe { at(&ACTS, (w * 64 + bits.trailing_zeros() as u64) as u32) }
}

#[inline(always)]
pub unsafe fn at_word(w: u64) -> *const Word {
    unsafe { at(&WORDS, w as u32) }
}
