//! The engine: judges one call by the tables of one slot. See the crate `tetragon-abi` for the
//! scheme.

use crate::{
    cgroups,
    kernel::{get, half, mask63, put, read, word},
    maps::*,
    text,
};
use aya_ebpf::helpers::generated;
use core::ptr::null;
use tetragon_abi::{config::*, engine::*, hash::Hash128, record::*};

/// How many ancestors `followForks` looks at.
const ANCESTORS: usize = 9;

/// The caller cannot match.
pub const NOBODY: u32 = u32::MAX;

/// The cheapest question first, before any memory is claimed: whether the caller's binary, or else its
/// workload, leaves anything to be asked. Returns the entry that it has (0: none), or [`NOBODY`].
#[inline(always)]
pub fn gate() -> u32 {
    // SAFETY: maps are looked up with keys and values of their types.
    unsafe {
        let head: *const Head = at(&HEAD, 0);
        if head.is_null() || (*head).live == 0 {
            return NOBODY;
        }
        if !gated() {
            return 0;
        }
        let key = if config!(dim[0].kind) == DIM_WORKLOAD {
            Hash128 { a: cgroups::workload(), b: 0 }
        } else {
            let tgid = (generated::bpf_get_current_pid_tgid() >> 32) as u32;
            let p: *const Proc = lookup(&PROCS, (&raw const tgid).cast());
            if p.is_null() { Hash128 { a: 0, b: 0 } } else { (*p).exe }
        };
        let found: *const u32 =
            if may_be_listed(key) { lookup(&EXACT, (&raw const key).cast()) } else { null() };
        let id = if found.is_null() { 0 } else { *found };
        let e: *const Entry = if id == 0 { null() } else { at(&ENTRIES, id) };
        let sum = if e.is_null() { 0 } else { (*e).sum };
        if (*head).live & ((*head).dim[0] | sum) == 0 {
            return NOBODY;
        }
        id
    }
}

/// False: no policy lists this binary.
#[inline(always)]
fn may_be_listed(exe: Hash128) -> bool {
    let mask = config!(bloom);
    if mask == 0 {
        return true;
    }
    let (word, bit) = exe.in_bloom(mask);
    // SAFETY: the map's value type.
    unsafe {
        let bits: *const u64 = at(&BLOOM, word);
        bits.is_null() || *bits >> bit & 1 == 1
    }
}

/// The first dimension is answered by [`gate`]: the binary as a whole, or the workload, and nothing
/// else about it.
#[inline(always)]
fn gated() -> bool {
    config!(dims) > 0
        && (config!(dim[0].kind) == DIM_BINARY || config!(dim[0].kind) == DIM_WORKLOAD)
        && config!(dim[0].flags) & LAST != 0
}

/// Some dimension that [`gate`] has not answered asks about the workload.
#[inline(always)]
fn asks_workload() -> bool {
    config!(workload) != 0 && !(gated() && config!(dim[0].kind) == DIM_WORKLOAD)
}

/// Some dimension asks about the calling process.
#[inline(always)]
fn asks_process() -> bool {
    config!(process) != 0
}

/// Judges the call whose arguments stand in `Scratch::given`: reports, signals, and returns the
/// errno to deny it with, or 0. `first` is the answer of [`gate`].
#[inline(never)]
pub unsafe fn judge(s: *mut Scratch, first: u64) -> u64 {
    unsafe {
        let head: *const Head = at(&HEAD, 0);
        if head.is_null() {
            return 0;
        }
        let tgid = (generated::bpf_get_current_pid_tgid() >> 32) as u32;
        if asks_process() {
            process(&raw mut (*s).proc, tgid);
        }
        if asks_workload() {
            // Once: all of a call is judged by one answer.
            put(&raw mut (*s).workload, cgroups::workload());
        }
        integers(s);
        put(&raw mut (*s).live, (*head).live);
        put(&raw mut (*s).any, 0);
        put(&raw mut (*s).group, 0);
        put(&raw mut (*s).words, 0);
        for d in 0..MAX_DIMS {
            if d as u32 >= config!(dims) {
                break;
            }
            if d == 0 && gated() {
                keep(s, 0, first as u32);
            } else {
                dimension(s, tgid, d);
            }
            if narrow(s, head, d) == 0 {
                return 0;
            }
        }
        let live = get(&raw const (*s).live) & ((*head).base | get(&raw const (*s).any));
        if live == 0 {
            return 0;
        }
        put(&raw mut (*s).live, live);
        matched(s, tgid, (*head).state)
    }
}

/// Some words may have selectors that match: which, and what follows.
#[inline(never)]
unsafe fn matched(s: *mut Scratch, tgid: u32, state: u64) -> u64 {
    unsafe {
        let record = record(s);
        if record.is_null() {
            return 0;
        }
        intersect(s);
        decide(s, record);
        if get(&raw const (*s).words) != 0 {
            if !asks_process() {
                process(&raw mut (*s).proc, tgid);
            }
            report(s, record, state, tgid);
        }
        act(s)
    }
}

/// Which words can still match after dimension `d`.
#[inline(always)]
unsafe fn narrow(s: *mut Scratch, head: *const Head, d: usize) -> u64 {
    unsafe {
        let sum = get(entry(s, d));
        put(&raw mut (*s).any, get(&raw const (*s).any) | sum);
        let group = get(&raw const (*s).group) | sum;
        let mut live = get(&raw const (*s).live) & ((*head).dim[d] | sum);
        if config!(dim[d].flags) & LAST != 0 {
            live &= (*head).group[config!(dim[d].group) as usize & (MAX_GROUPS - 1)] | group;
            put(&raw mut (*s).group, 0);
        } else {
            put(&raw mut (*s).group, group);
        }
        put(&raw mut (*s).live, live);
        live
    }
}

/// The words of `Scratch::entry[d]`: sum, bits, word and set.
#[inline(always)]
unsafe fn entry(s: *mut Scratch, d: usize) -> *mut u64 {
    unsafe { (&raw mut (*s).entry).cast::<u64>().add(3 * d) }
}

/// What the kernel knows of process `tgid`; zeros if nothing.
#[inline(always)]
pub unsafe fn process(to: *mut Proc, tgid: u32) {
    unsafe {
        let p: *const u64 = lookup(&PROCS, (&raw const tgid).cast());
        let to = to.cast::<u64>();
        for i in 0..size_of::<Proc>() / 8 {
            put(to.add(i), if p.is_null() { 0 } else { *p.add(i) });
        }
    }
}

/// Reads the arguments as the integers that they are; a text's stays a pointer.
#[inline(always)]
unsafe fn integers(s: *mut Scratch) {
    unsafe {
        for a in 0..MAX_ARGS {
            if a as u32 >= config!(args) {
                break;
            }
            let v = get((&raw const (*s).given).cast::<u64>().add(config!(arg[a].raw) as usize & 7));
            let x = match config!(arg[a].kind) {
                0x11 => v as i8 as i64 as u64,
                0x12 => v as i16 as i64 as u64,
                0x14 => v as i32 as i64 as u64,
                0x21 => v as u8 as u64,
                0x22 => v as u16 as u64,
                0x24 => v as u32 as u64,
                _ => v,
            };
            put(value(s, a), x);
        }
    }
}

#[inline(always)]
unsafe fn value(s: *mut Scratch, a: usize) -> *mut u64 {
    unsafe { (&raw mut (*s).value).cast::<u64>().add(a & (MAX_ARGS - 1)) }
}

/// Evaluates dimension `d`: puts what this call's value changes into `Scratch::entry`.
#[inline(always)]
unsafe fn dimension(s: *mut Scratch, tgid: u32, d: usize) {
    unsafe {
        let kind = config!(dim[d].kind);
        let a = config!(dim[d].arg) as usize;
        let p: *const Proc = &raw const (*s).proc;
        let found: *const u32 = match kind {
            DIM_BINARY => exact(s, d, &raw const (*p).exe),
            DIM_PARENT => exact(s, d, &raw const (*p).parent_exe),
            DIM_BINARY_PREFIX | DIM_BINARY_POSTFIX => {
                executable(s, d, &raw const (*p).exe, kind == DIM_BINARY_PREFIX)
            }
            DIM_PARENT_PREFIX | DIM_PARENT_POSTFIX => {
                executable(s, d, &raw const (*p).parent_exe, kind == DIM_PARENT_PREFIX)
            }
            DIM_PID => number(s, d, tgid as u64),
            DIM_WORKLOAD => number(s, d, get(&raw const (*s).workload)),
            DIM_NSPID => number(s, d, (*p).nspid as u64),
            DIM_PID_FOLLOW | DIM_NSPID_FOLLOW => lineage(s, d, tgid, kind == DIM_NSPID_FOLLOW),
            DIM_NAMESPACE => number(s, d, namespace(task(), a) as u64),
            DIM_INT => number(s, d, get(value(s, a))),
            DIM_INT_RANGE => range(s, d, a),
            DIM_MASK => {
                let hit = get(value(s, a)) & config!(dim[d].param) != 0;
                return keep(s, d, if hit { config!(dim[d].entry) } else { 0 });
            }
            _ => return written(s, d, kind, a),
        };
        keep(s, d, if found.is_null() { 0 } else { *found });
    }
}

/// Puts entry `id` of this slot (0: nothing) into `Scratch::entry[d]`.
#[inline(always)]
unsafe fn keep(s: *mut Scratch, d: usize, id: u32) {
    unsafe {
        let p: *const u64 = if id == 0 { null() } else { at(&ENTRIES, id) };
        let to = entry(s, d);
        for i in 0..3 {
            put(to.add(i), if p.is_null() { 0 } else { *p.add(i) });
        }
    }
}

#[inline(always)]
unsafe fn exact(s: *mut Scratch, d: usize, v: *const Hash128) -> *const u32 {
    unsafe {
        put(&raw mut (*s).key.a, get(&raw const (*v).a));
        put(&raw mut (*s).key.b, get(&raw const (*v).b));
        tagged(s, d)
    }
}

#[inline(always)]
unsafe fn number(s: *mut Scratch, d: usize, v: u64) -> *const u32 {
    unsafe {
        put(&raw mut (*s).key.a, v);
        put(&raw mut (*s).key.b, 0);
        tagged(s, d)
    }
}

/// Looks `Scratch::key` up as a value of dimension `d`.
#[inline(always)]
unsafe fn tagged(s: *mut Scratch, d: usize) -> *const u32 {
    unsafe {
        let b = &raw mut (*s).key.b;
        put(b, get(b) ^ ((d as u64) << 56));
        lookup(&EXACT, (&raw const (*s).key).cast())
    }
}

/// The beginning or end of an executable's path.
#[inline(always)]
unsafe fn executable(s: *mut Scratch, d: usize, exe: *const Hash128, beginning: bool) -> *const u32 {
    unsafe {
        let e: *const Exe = lookup(&EXES, exe.cast());
        if e.is_null() {
            return null();
        }
        let len = (*e).len as u64;
        let to = text::tail_data(s);
        if beginning {
            read(to, EXE_HEAD as u32, (&raw const (*e).head) as u64);
            text::built(s, d as u8, if len > PREFIX_MAX as u64 { PREFIX_MAX as u64 } else { len })
        } else {
            read(to, EXE_TAIL as u32, (&raw const (*e).tail) as u64);
            text::built(s, d as u8, if len > POSTFIX_MAX as u64 { POSTFIX_MAX as u64 } else { len })
        }
    }
}

/// An integer among ranges: as 8 bytes that sort like the number, the lowest last.
#[inline(always)]
unsafe fn range(s: *mut Scratch, d: usize, a: usize) -> *const u32 {
    unsafe {
        let signed = config!(arg[a & (MAX_ARGS - 1)].kind) & 0xf0 == ARG_SIGNED;
        let v = get(value(s, a)) ^ ((signed as u64) << 63);
        put(text::tail_data(s).cast(), v.swap_bytes());
        text::built(s, d as u8, 8)
    }
}

/// The process or the first of its ancestors that is listed. All values of such a dimension have
/// one entry.
#[inline(always)]
unsafe fn lineage(s: *mut Scratch, d: usize, tgid: u32, inner: bool) -> *const u32 {
    unsafe {
        let at = &raw mut (*s).walk[11];
        let a = &raw mut (*s).ancestor;
        put(at, tgid as u64);
        for _ in 0..=ANCESTORS {
            let now = get(at);
            process(a, now as u32);
            let id = if inner { (*a).nspid as u64 } else { now };
            let found = if id == 0 { null() } else { number(s, d, id) };
            if !found.is_null() {
                return found;
            }
            let parent = core::ptr::read_volatile(&raw const (*a).parent) as u64;
            if parent == 0 || parent == now {
                break;
            }
            put(at, parent);
        }
        null()
    }
}

/// A dimension of a text.
#[inline(always)]
unsafe fn written(s: *mut Scratch, d: usize, kind: u8, a: usize) {
    unsafe {
        let a = a & (MAX_ARGS - 1);
        let t = config!(arg[a].text) as usize & (MAX_TEXTS - 1);
        if config!(dim[d].flags) & READ != 0 {
            text::read_text(
                s,
                config!(arg[a].kind) as u64,
                get(value(s, a)),
                t as u64,
                config!(arg[a].from) as u64,
            );
        }
        let none = config!(dim[d].entry);
        let found: *const u32 = match kind {
            DIM_TEXT => {
                if text::hash(s, t as u64) == 0 {
                    return keep(s, d, none);
                }
                tagged(s, d)
            }
            DIM_TEXT_PREFIX => match text::prefix(s, t, d as u8) {
                Some(f) => f,
                None => return keep(s, d, none),
            },
            _ => match text::postfix(s, t, d as u8) {
                Some(f) => f,
                None => return keep(s, d, none),
            },
        };
        keep(s, d, if found.is_null() { 0 } else { *found });
    }
}

#[inline(always)]
pub fn task() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { generated::bpf_get_current_task() }
}

/// Inode number of a namespace of a task; 0: this kernel has none of the kind.
#[inline(always)]
pub fn namespace(task: u64, kind: usize) -> u32 {
    namespace_in(task, word(task.wrapping_add(offset!(task_nsproxy))), kind)
}

/// The same, with the task's `struct nsproxy`.
#[inline(always)]
pub fn namespace_in(task: u64, proxy: u64, kind: usize) -> u32 {
    if kind >= NAMESPACES {
        return 0;
    }
    let inum = offset!(ns_inum[kind]);
    if inum == u32::MAX as u64 {
        return 0;
    }
    // Numbers as in the plan's NamespaceKind.
    let ns = match kind {
        3 => word(innermost(task).wrapping_add(offset!(upid_ns))),
        9 => word(word(task.wrapping_add(offset!(task_cred))).wrapping_add(offset!(cred_user_ns))),
        _ => word(proxy.wrapping_add(offset!(nsproxy_ns[kind]))),
    };
    half(ns.wrapping_add(inum))
}

/// The task's `struct upid` in its innermost PID namespace.
#[inline(always)]
pub fn innermost(task: u64) -> u64 {
    let pid = word(task.wrapping_add(offset!(task_thread_pid)));
    let level = half(pid.wrapping_add(offset!(pid_level))) as u64;
    pid.wrapping_add(offset!(pid_numbers)).wrapping_add(level * offset!(upid_size))
}

/// The exact set: ANDs the sets of all dimensions, in the words that can match.
#[inline(always)]
unsafe fn intersect(s: *mut Scratch) {
    unsafe {
        let set = (&raw mut (*s).set).cast::<u64>();
        let todo = &raw mut (*s).group;
        put(todo, get(&raw const (*s).live));
        for _ in 0..MAX_WORDS {
            let m = get(todo);
            if m == 0 {
                break;
            }
            put(todo, m & (m - 1));
            let w = mask63(m.trailing_zeros() as u64);
            let word: *const Word = at(&WORDS, w as u32);
            put(set.add(w as usize), if word.is_null() { 0 } else { (*word).active });
        }
        for d in 0..MAX_DIMS {
            if d as u32 >= config!(dims) {
                break;
            }
            dimension_set(s, d as u64);
        }
    }
}

/// ANDs the set of dimension `d` in.
#[inline(never)]
unsafe fn dimension_set(s: *mut Scratch, d: u64) -> u64 {
    unsafe {
        let d = d as usize & (MAX_DIMS - 1);
        let e = entry(s, d);
        let (bits, at_word) = (get(e.add(1)), get(e.add(2)));
        let default: *const u64 = at(&DEFAULTS, d as u32);
        let wide: *const u64 = at(&SETS, (at_word >> 32) as u32);
        if default.is_null() || wide.is_null() {
            return 0;
        }
        let here = at_word & 0xffff_ffff;
        let set = (&raw mut (*s).set).cast::<u64>();
        let todo = &raw mut (*s).group;
        put(todo, get(&raw const (*s).live));
        for _ in 0..MAX_WORDS {
            let m = get(todo);
            if m == 0 {
                break;
            }
            put(todo, m & (m - 1));
            let w = mask63(m.trailing_zeros() as u64);
            let i = w as usize;
            // All ones if this is the word of the inline bits, without a branch.
            let t = w ^ here;
            let inline = bits & (((t | t.wrapping_neg()) >> 63).wrapping_sub(1));
            put(set.add(i), get(set.add(i)) & (*default.add(i) ^ *wide.add(i) ^ inline));
        }
        0
    }
}

/// The first selector of each policy, word by word: what is to be reported and done.
#[inline(always)]
unsafe fn decide(s: *mut Scratch, record: *mut u8) {
    unsafe {
        let set = (&raw mut (*s).set).cast::<u64>();
        let out = record.add(size_of::<Call>()).cast::<u64>();
        let todo = &raw mut (*s).group;
        put(todo, get(&raw const (*s).live));
        put(&raw mut (*s).kill, 0);
        put(&raw mut (*s).signal_bits, 0);
        put(&raw mut (*s).deny_bits, 0);
        for _ in 0..MAX_WORDS {
            let m = get(todo);
            if m == 0 {
                break;
            }
            put(todo, m & (m - 1));
            let w = mask63(m.trailing_zeros() as u64);
            let r = get(set.add(w as usize));
            if r == 0 {
                continue;
            }
            let word: *const Word = at(&WORDS, w as u32);
            if word.is_null() {
                break;
            }
            // The lowest set bit of each policy's field, all fields at once.
            let (a, b, h) = (!r, (*word).start, (*word).top);
            let first = r & (((a & !h).wrapping_add(b & !h)) ^ ((a ^ b) & h));
            put(&raw mut (*s).kill, get(&raw const (*s).kill) | (first & (*word).kill));
            remember(&raw mut (*s).signal_bits, &raw mut (*s).signal_at, first & (*word).signal, w);
            remember(&raw mut (*s).deny_bits, &raw mut (*s).deny_at, first & (*word).deny, w);
            let report = first & (*word).post;
            if report != 0 {
                let n = get(&raw const (*s).words);
                put(&raw mut (*s).words, n + 1);
                let to = out.add(2 * mask63(n) as usize);
                put(to, w);
                put(to.add(1), report);
            }
        }
    }
}

/// Keeps the first word with bits.
#[inline(always)]
unsafe fn remember(bits: *mut u64, at: *mut u64, new: u64, w: u64) {
    unsafe {
        if new != 0 && get(bits) == 0 {
            put(bits, new);
            put(at, w);
        }
    }
}

/// Signals, and returns the errno to deny with. Where several policies ask for different ones,
/// SIGKILL wins, else the first.
#[inline(always)]
unsafe fn act(s: *mut Scratch) -> u64 {
    unsafe {
        if get(&raw const (*s).kill) != 0 {
            generated::bpf_send_signal(9);
        } else if get(&raw const (*s).signal_bits) != 0 {
            let a = first_act(get(&raw const (*s).signal_at), get(&raw const (*s).signal_bits));
            if !a.is_null() {
                generated::bpf_send_signal((*a).signal as u32);
            }
        }
        if get(&raw const (*s).deny_bits) != 0 {
            let a = first_act(get(&raw const (*s).deny_at), get(&raw const (*s).deny_bits));
            if !a.is_null() {
                return (*a).errno as u64;
            }
        }
        0
    }
}

#[inline(always)]
unsafe fn first_act(w: u64, bits: u64) -> *const Act {
    unsafe { at(&ACTS, (w * 64 + bits.trailing_zeros() as u64) as u32) }
}

/// Writes the record and sends it; a full ring is counted, by policy.
#[inline(always)]
unsafe fn report(s: *mut Scratch, record: *mut u8, state: u64, tgid: u32) {
    unsafe {
        let call = record.cast::<Call>();
        let words = get(&raw const (*s).words) & 127;
        (*call).header = Header {
            kind: KIND_CALL,
            len: 0,
            ktime: generated::bpf_ktime_get_ns(),
            tgid,
            tid: generated::bpf_get_current_pid_tgid() as u32,
            process: (*s).proc.ktime,
        };
        (*call).state = state;
        (*call).hook = config!(hook);
        (*call).words = words as u32;
        (*call).args = config!(args);
        (*call).pad = 0;
        (*call).cgroup = cgroups::current();
        put(&raw mut (*s).end, size_of::<Call>() as u64 + words * size_of::<Matched>() as u64);
        put(&raw mut (*s).args.a, 0);
        put(&raw mut (*s).args.b, 0);
        for a in 0..MAX_ARGS {
            if a as u32 >= config!(args) {
                break;
            }
            argument(s, record, a as u64);
        }
        let end = get(&raw const (*s).end);
        if end > RECORD_MAX as u64 || config!(limits) != 0 && limit(s, record, tgid as u64) == 0 {
            return;
        }
        (*call).header.len = end as u32;
        if output(record, end) {
            count(Lost::Sent);
        } else {
            lost(record, state);
        }
    }
}

/// Room for a text and what else an argument needs.
const ARG_ROOM: u64 = (size_of::<ArgHeader>() + TEXT_MAX + 16) as u64;

/// Writes argument `a` at the record's end.
#[inline(never)]
unsafe fn argument(s: *mut Scratch, record: *mut u8, a: u64) -> u64 {
    unsafe {
        let a = a as usize & (MAX_ARGS - 1);
        let kind = config!(arg[a].kind);
        let t = config!(arg[a].text) as usize & (MAX_TEXTS - 1);
        let is_text = kind >= ARG_STRING;
        if is_text && config!(arg[a].from) & LATE != 0 {
            text::read_text(s, kind as u64, get(value(s, a)), t as u64, config!(arg[a].from) as u64);
        }
        let end = get(&raw const (*s).end);
        if end > RECORD_MAX as u64 - ARG_ROOM {
            return 0;
        }
        let out = record.add(end as usize);
        let mut next = end + size_of::<ArgHeader>() as u64;
        let (mut v, mut len) = (get(value(s, a)), INTEGER as u64);
        if is_text {
            v = text::mode(s, t);
            len = NO_TEXT as u64;
            if let Some((pos, n)) = text::place(s, t) {
                len = n;
                let to = out.add(size_of::<ArgHeader>());
                read(to, n as u32, text::start(s, t, pos) as u64);
                next += (n + 7) & !7;
            }
        }
        put(out.cast(), v);
        put(out.cast::<u64>().add(1), len);
        if config!(limits) != 0 {
            mix(s, v, len, is_text, t);
        }
        put(&raw mut (*s).end, next);
        0
    }
}

/// Bytes of an argument that tell events apart for a rate limit.
const TOLD_APART: u64 = 40;

/// Takes an argument into the hash for rate limits.
#[inline(always)]
unsafe fn mix(s: *mut Scratch, v: u64, len: u64, is_text: bool, t: usize) {
    unsafe {
        let h = Hash128 { a: get(&raw const (*s).args.a), b: get(&raw const (*s).args.b) };
        let mut h = h.block(if is_text { 0 } else { v }, len);
        if is_text && let Some((pos, n)) = text::place(s, t) {
            let n = if n > TOLD_APART { TOLD_APART } else { n };
            for i in 0..TOLD_APART / 8 {
                if 8 * i >= n {
                    break;
                }
                h = h.block(get(text::start(s, t, pos).add(8 * i as usize).cast()), i);
            }
        }
        put(&raw mut (*s).args.a, h.a);
        put(&raw mut (*s).args.b, h.b);
    }
}

/// Selectors with a rate limit that one call may match; what is beyond is let through.
const LIMITED: usize = 96;

/// Takes the selectors out of the record whose rate limit has been reached; 0: none is left. One
/// loop over words and bits: the verifier follows every iteration.
#[inline(never)]
unsafe fn limit(s: *mut Scratch, record: *mut u8, tgid: u64) -> u64 {
    unsafe {
        let now = generated::bpf_ktime_get_ns();
        let tid = generated::bpf_get_current_pid_tgid() & 0xffff_ffff;
        let list = record.add(size_of::<Call>()).cast::<u64>();
        let (todo, next) = (&raw mut (*s).group, &raw mut (*s).walk[0]);
        put(todo, 0);
        put(next, 0);
        for _ in 0..LIMITED {
            let n = get(next);
            let m = get(todo);
            if m == 0 {
                if n >= get(&raw const (*s).words) {
                    break;
                }
                let at = list.add(2 * mask63(n) as usize);
                let word: *const Word = at_word(get(at));
                let limited = if word.is_null() { 0 } else { (*word).limited };
                put(todo, get(at.add(1)) & limited);
                put(next, n + 1);
                continue;
            }
            put(todo, m & (m - 1));
            let bit = m & m.wrapping_neg();
            let at = list.add(2 * mask63(n.wrapping_sub(1)) as usize);
            if reached(s, first_act(get(at) & 63, bit), now, tid, tgid) != 0 {
                put(at.add(1), get(at.add(1)) & !bit);
            }
        }
        let mut left = 0;
        for n in 0..MAX_WORDS {
            if n as u64 >= get(&raw const (*s).words) {
                break;
            }
            left |= get(list.add(2 * n + 1));
        }
        left
    }
}

#[inline(always)]
unsafe fn at_word(w: u64) -> *const Word {
    unsafe { at(&WORDS, w as u32) }
}

/// An equal event was let through within the selector's window.
#[inline(never)]
unsafe fn reached(s: *mut Scratch, act: *const Act, now: u64, tid: u64, tgid: u64) -> u64 {
    unsafe {
        if act.is_null() {
            return 0;
        }
        let key = LimitKey {
            id: (config!(hook) as u64) << 32 | (*act).id as u64,
            task: match (*act).scope {
                0 => tid,
                1 => tgid,
                _ => 0,
            },
            args: Hash128 { a: get(&raw const (*s).args.a), b: get(&raw const (*s).args.b) },
        };
        let k: *const u8 = (&raw const key).cast();
        let last: *const u64 = lookup(&LIMITS, k);
        if !last.is_null() && now.wrapping_sub(*last) < (*act).window_ms as u64 * 1_000_000 {
            return 1;
        }
        generated::bpf_map_update_elem(
            (&raw const LIMITS).cast_mut().cast(),
            k.cast(),
            (&raw const now).cast(),
            0,
        );
        0
    }
}

/// Counts a record that found the ring full: for the hook, and for every policy that it was for.
#[inline(never)]
unsafe fn lost(record: *mut u8, state: u64) -> u64 {
    unsafe {
        count(Lost::Call);
        let words = (*record.cast::<Call>()).words;
        let from = record.add(size_of::<Call>()).cast::<u64>().cast_const();
        for n in 0..MAX_WORDS {
            if n as u32 >= words {
                break;
            }
            let key = LostKey {
                state,
                bits: get(from.add(2 * n + 1)),
                hook: config!(hook),
                word: get(from.add(2 * n)) as u32,
            };
            let k: *const u8 = (&raw const key).cast();
            let mut c: *mut u64 = lookup(&LOST_BY, k);
            if c.is_null() {
                // Another CPU may be first: then its counter is taken.
                let zero = 0u64;
                generated::bpf_map_update_elem(
                    (&raw const LOST_BY).cast_mut().cast(),
                    k.cast(),
                    (&raw const zero).cast(),
                    1,
                );
                c = lookup(&LOST_BY, k);
            }
            if c.is_null() {
                count(Lost::Uncounted);
            } else {
                crate::kernel::add(c, 1);
            }
        }
        0
    }
}
