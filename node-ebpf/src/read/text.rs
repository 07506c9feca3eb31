//! Texts: paths by walking dentries, strings, hashes and keys of the prefix index.

use crate::{
    kernel::{get, half, mask4095, put, read, word},
    maps::{DENTRY, NONE, PrefixKey, Scratch, config, count, lookup, offset, seed},
};
use aya_ebpf::helpers::generated;
use tetragon_abi::{
    config::*,
    engine::{Lost, TEXT_MAX, TextBuffer},
    hash::Hash128,
};

const MAX: u64 = TEXT_MAX as u64;
/// Components of a path that are followed; mounts crossed count too.
const DEPTH: usize = 100;

/// Where text `t` lies.
#[inline(always)]
unsafe fn buffer(s: *mut Scratch, t: usize) -> *mut TextBuffer {
    unsafe { (&raw mut (*s).text).cast::<TextBuffer>().add(t) }
}

#[inline(always)]
unsafe fn data(s: *mut Scratch, t: usize) -> *mut u8 {
    unsafe { (&raw mut (*buffer(s, t)).data).cast() }
}

/// Sets where text `t` lies.
#[inline(always)]
unsafe fn set(s: *mut Scratch, t: usize, pos: u64, len: u64) {
    unsafe {
        put((&raw mut (*s).pos).cast::<u64>().add(t), pos);
        put((&raw mut (*s).len).cast::<u64>().add(t), len);
    }
}

/// Position and length of text `t`; `None`: it has none.
#[inline(always)]
pub unsafe fn place(s: *mut Scratch, t: usize) -> Option<(u64, u64)> {
    unsafe {
        let pos = get((&raw const (*s).pos).cast::<u64>().add(t));
        let len = get((&raw const (*s).len).cast::<u64>().add(t));
        // The verifier learns the bounds here.
        if pos > MAX || len > MAX { None } else { Some((pos, len)) }
    }
}

/// The text's memory from `pos`.
#[inline(always)]
pub unsafe fn start(s: *mut Scratch, t: usize, pos: u64) -> *mut u8 {
    unsafe { data(s, t).add(pos as usize) }
}

/// Reads the path at `path` (a `struct path` in kernel memory) into text `t`, as the task sees it
/// from its root. It is written from the end: it ends where the buffer's data ends.
/// `alone`: stays within the dentry's own mount (a dentry has no mount).
#[inline(never)]
pub unsafe fn walk(s: *mut Scratch, t: usize, path: u64, alone: bool) -> u64 {
    unsafe {
        let w = (&raw mut (*s).walk).cast::<u64>();
        // { mnt, dentry } of a path: one read each.
        let (mount, dentry, root_mount, root_dentry) = (w.add(4), w.add(5), w.add(6), w.add(7));
        let (mount_root, end, done) = (w.add(8), w.add(9), w.add(10));
        if alone {
            put(dentry, path);
            put(mount_root, 0);
            put(mount, 0);
            put(root_dentry, 0);
        } else {
            read(mount.cast(), 16, path);
            put(mount_root, word(get(mount).wrapping_add(offset!(vfsmount_mnt_root))));
            put(mount, get(mount).wrapping_sub(offset!(mount_mnt)));
            task_root(root_mount);
        }
        put(end, MAX);
        put(done, 0);
        for _ in 0..DEPTH {
            let d = get(dentry);
            let m = get(mount);
            if d == get(root_dentry) && m == get(root_mount) {
                put(done, 1);
                break;
            }
            if d == get(mount_root) {
                let up = word(m.wrapping_add(offset!(mount_mnt_parent)));
                if up == m {
                    // The top of the tree, but not the task's root: outside of a chroot, or (with an
                    // error for a namespace) a mount of the kernel's own: a pipe, a memfd.
                    let ns = word(m.wrapping_add(offset!(mount_mnt_ns)));
                    put(done, if ns > u64::MAX - 4096 { 2 } else { 1 });
                    break;
                }
                put(dentry, word(m.wrapping_add(offset!(mount_mnt_mountpoint))));
                put(mount, up);
                put(mount_root, word(up.wrapping_add(offset!(mount_mnt) + offset!(vfsmount_mnt_root))));
                continue;
            }
            // { d_parent, {hash, len}, name, ... } lie side by side in a dentry: one read.
            let near = (&raw mut (*s).dentry).cast::<u64>();
            read(near.cast(), DENTRY as u32, d.wrapping_add(offset!(dentry_d_parent)));
            let parent = get(near);
            if parent == d {
                put(done, 1);
                break;
            }
            let len = (get(near.add(1)) >> 32) & 0xff;
            let to = get(end);
            if len + 1 > to || len == 0 {
                break;
            }
            component(s, t, d, to, len);
            put(end, mask4095(to - len - 1));
            put(dentry, parent);
        }
        finish(s, t, get(end), get(done))
    }
}

/// Longest name that lies in a dentry (DNAME_INLINE_LEN - 1), on the kernels with the shortest.
const SHORT: u64 = 31;

/// Writes one name and its slash so that the name ends at `to`. A short name is copied from what was
/// read, in words and from its end: what is written in front of it will be overwritten.
#[inline(always)]
unsafe fn component(s: *mut Scratch, t: usize, dentry: u64, to: u64, len: u64) {
    unsafe {
        let buf = data(s, t);
        let near = (&raw mut (*s).dentry).cast::<u64>();
        let name = get(near.add(2));
        if name == dentry.wrapping_add(offset!(dentry_d_iname)) && len <= SHORT {
            let inside = (offset!(dentry_d_iname) - offset!(dentry_d_parent)) & 63;
            let from = near.cast::<u8>().add((inside + (len & 31)) as usize).cast::<u64>();
            let out = buf.add(mask4095(to - 1) as usize + 1).cast::<u64>();
            let mut i = 1;
            while i <= 4 {
                put(out.sub(i), get(from.sub(i)));
                i += 1;
            }
        } else {
            let at = mask4095(to - len);
            generated::bpf_probe_read_kernel(buf.add(at as usize).cast(), len as u32, name as *const _);
        }
        *buf.add(mask4095(to - len - 1) as usize) = b'/';
    }
}

/// The task's root directory: { mnt, dentry }, with the mount instead of what lies in it.
#[inline(always)]
unsafe fn task_root(to: *mut u64) {
    unsafe {
        if config!(typed_task) != 0 {
            // Typed pointers are followed without a helper.
            let task = generated::bpf_get_current_task_btf().cast::<u8>();
            let fs = *task.add(offset!(task_fs) as usize).cast::<*const u8>();
            let root = fs.add(offset!(fs_root) as usize).cast::<u64>();
            put(to, core::ptr::read_volatile(root));
            put(to.add(1), core::ptr::read_volatile(root.add(1)));
        } else {
            let fs = word(generated::bpf_get_current_task().wrapping_add(offset!(task_fs)));
            read(to.cast(), 16, fs.wrapping_add(offset!(fs_root)));
        }
        put(to, get(to).wrapping_sub(offset!(mount_mnt)));
    }
}

/// Ends a walk: the root itself is "/", a path that was not read to its root is no text.
#[inline(always)]
unsafe fn finish(s: *mut Scratch, t: usize, end: u64, done: u64) -> u64 {
    unsafe {
        if done == 1 {
            if end < MAX {
                set(s, t, end, MAX - end);
            } else {
                *data(s, t).add(TEXT_MAX - 1) = b'/';
                set(s, t, MAX - 1, 1);
            }
            return 1;
        }
        if done == 0 {
            count(Lost::Path);
        }
        set(s, t, 0, NONE);
        0
    }
}

/// Reads a string into text `t`, from the start of its buffer.
#[inline(always)]
unsafe fn string(s: *mut Scratch, t: usize, from: u64, kernel: bool) {
    unsafe {
        let to = data(s, t);
        let mut n = -1;
        if kernel {
            n = generated::bpf_probe_read_kernel_str(to.cast(), TEXT_MAX as u32, from as *const _);
        }
        // Some kernel functions are given the caller's pointer as it is.
        if n < 0 {
            n = generated::bpf_probe_read_user_str(to.cast(), TEXT_MAX as u32, from as *const _);
        }
        copied(s, t, n);
    }
}

/// Reads text `t` from a tracepoint's event. `place` is its offset, and above 16 bits its size: it may
/// fill its field without a NUL.
#[inline(always)]
unsafe fn in_event(s: *mut Scratch, t: usize, place: u64) {
    unsafe {
        let size = (place >> 16) & 0xffff;
        let most = if size < MAX - 1 { mask4095(size) + 1 } else { MAX };
        let from = get(&raw const (*s).event) + (place & 0xffff);
        let n = generated::bpf_probe_read_kernel_str(data(s, t).cast(), most as u32, from as *const _);
        copied(s, t, n);
    }
}

/// Text `t` has been copied to the start of its buffer: `n` bytes with its NUL, or an error.
#[inline(always)]
unsafe fn copied(s: *mut Scratch, t: usize, n: i64) {
    unsafe {
        if n <= 0 || n > TEXT_MAX as i64 {
            set(s, t, 0, NONE);
            return;
        }
        let to = data(s, t);
        let len = mask4095((n - 1) as u64);
        // Zeros behind, for the hash.
        let z = to.add(len as usize).cast::<u64>();
        put(z, 0);
        put(z.add(1), 0);
        set(s, t, 0, len);
    }
}

/// The caller's file behind a descriptor; 0: none.
#[inline(always)]
fn file_of(fd: u64) -> u64 {
    // SAFETY: a helper without arguments.
    let files = word(unsafe { generated::bpf_get_current_task() }.wrapping_add(offset!(task_files)));
    let table = word(files.wrapping_add(offset!(files_fdt)));
    let fd = fd as u32;
    if fd >= half(table.wrapping_add(offset!(fdt_max_fds))) {
        return 0;
    }
    word(word(table.wrapping_add(offset!(fdt_fd))).wrapping_add(fd as u64 * 8))
}

/// Reads argument `a`, a text of `kind`, whose raw value is `raw`.
#[inline(never)]
pub unsafe fn read_text(s: *mut Scratch, kind: u64, raw: u64, t: u64, from: u64) -> u64 {
    unsafe {
        let t = t as usize;
        if t >= tetragon_abi::engine::MAX_TEXTS {
            return 0;
        }
        let dentry = (&raw mut (*s).file).cast::<u64>().add(t);
        put(dentry, 0);
        if kind == ARG_STRING as u64 {
            if from & FROM_FIELD as u64 != 0 {
                in_event(s, t, raw);
            } else {
                string(s, t, raw, from & FROM_KERNEL as u64 != 0);
            }
            return 0;
        }
        if kind == ARG_DENTRY as u64 {
            put(dentry, raw);
            walk(s, t, raw, true);
            return 0;
        }
        let path = if kind == ARG_PATH as u64 {
            raw
        } else {
            let file = if kind == ARG_BINPRM as u64 {
                word(raw.wrapping_add(offset!(bprm_file)))
            } else if kind == ARG_FD as u64 {
                file_of(raw)
            } else {
                raw
            };
            if file == 0 {
                set(s, t, 0, NONE);
                return 0;
            }
            file.wrapping_add(offset!(file_f_path))
        };
        walk(s, t, path, false);
        put(dentry, 1);
        put((&raw mut (*s).path).cast::<u64>().add(t), path);
        0
    }
}

/// Mode of the file that text `t` is the path of; 0: it is none.
#[inline(always)]
pub unsafe fn mode(s: *mut Scratch, t: usize) -> u64 {
    let dentry = unsafe {
        match get((&raw const (*s).file).cast::<u64>().add(t)) {
            0 => return 0,
            1 => word(get((&raw const (*s).path).cast::<u64>().add(t)).wrapping_add(8)),
            d => d,
        }
    };
    let inode = word(dentry.wrapping_add(offset!(dentry_d_inode)));
    (half(inode.wrapping_add(offset!(inode_i_mode))) & 0xffff) as u64
}

/// Puts the hash of text `t` into the key of the exact index. False: there is no text.
#[inline(never)]
pub unsafe fn hash(s: *mut Scratch, t: u64) -> u64 {
    unsafe {
        let t = t as usize;
        if t >= tetragon_abi::engine::MAX_TEXTS {
            return 0;
        }
        let Some((pos, len)) = place(s, t) else { return 0 };
        let mut h = Hash128::start(seed(), len);
        let mut o = pos;
        let last = pos + len;
        for _ in 0..TEXT_MAX / 16 {
            if o >= last || o > MAX {
                break;
            }
            let p = start(s, t, o).cast::<u64>();
            h = h.block(get(p), get(p.add(1)));
            o += 16;
        }
        put(&raw mut (*s).key.a, h.a);
        put(&raw mut (*s).key.b, h.b);
        1
    }
}

/// Writes a key's length and tag in front of its data; returns where the key begins.
#[inline(always)]
unsafe fn head(data: *mut u8, tag: u8, len: u64) -> *const u8 {
    unsafe {
        let most = config!(lpm_bytes) as u64 - 1;
        let len = if len > most { most } else { len };
        core::ptr::write_volatile(data.sub(1), tag);
        core::ptr::write_volatile(data.sub(5).cast::<u32>(), (len as u32 + 1) * 8);
        data.sub(5)
    }
}

/// Looks the beginning of text `t` up.
#[inline(always)]
pub unsafe fn prefix(s: *mut Scratch, t: usize, tag: u8) -> Option<*const u32> {
    unsafe {
        let (pos, len) = place(s, t)?;
        Some(lookup(&crate::maps::PREFIX, head(start(s, t, pos), tag, len)))
    }
}

/// The data of the key that is built by hand.
#[inline(always)]
pub unsafe fn tail_data(s: *mut Scratch) -> *mut u8 {
    unsafe { (&raw mut (*s).tail).cast::<u8>().add(core::mem::offset_of!(PrefixKey, data)) }
}

/// Looks up what was built in [`tail_data`].
#[inline(always)]
pub unsafe fn built(s: *mut Scratch, tag: u8, len: u64) -> *const u32 {
    unsafe { lookup(&crate::maps::PREFIX, head(tail_data(s), tag, len)) }
}

/// Looks the end of text `t` up: its last bytes, the last first.
#[inline(always)]
pub unsafe fn postfix(s: *mut Scratch, t: usize, tag: u8) -> Option<*const u32> {
    unsafe {
        let (pos, len) = place(s, t)?;
        let last = pos + len;
        if last > MAX {
            return None;
        }
        let to = tail_data(s).cast::<u64>();
        let end = data(s, t).add(last as usize).cast::<u64>().cast_const();
        let mut i = 0;
        while i < 16 {
            put(to.add(i), get(end.sub(i + 1)).swap_bytes());
            i += 1;
        }
        Some(built(s, tag, if len > 127 { 127 } else { len }))
    }
}
