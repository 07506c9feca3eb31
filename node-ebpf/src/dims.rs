//! The dimensions: what each question about a call changes, and which selectors are left by all of them.

use crate::{
    call::{entry, process, value},
    kernel::{get, mask63, put, read},
    maps::*,
    read::text,
    task::{namespace, task},
};
use core::ptr::null;
use tetragon_abi::{config::*, engine::*, hash::Hash128};

/// How many ancestors `followForks` looks at.
const ANCESTORS: usize = 9;

/// Evaluates dimension `d`: puts what this call's value changes into `Scratch::entry`.
#[inline(always)]
pub unsafe fn dimension(s: *mut Scratch, tgid: u32, d: usize) {
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
pub unsafe fn keep(s: *mut Scratch, d: usize, id: u32) {
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

/// The exact set: ANDs the sets of all dimensions, in the words that can match.
#[inline(always)]
pub unsafe fn intersect(s: *mut Scratch) {
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
