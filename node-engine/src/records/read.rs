//! From the ring buffer's bytes to records that know their policies.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};

use tetragon_abi::engine::MAX_ARGS;
use tetragon_abi::record::*;

use super::ring::Ring;
use crate::link::tables::View;
use crate::record::{ArgValue, CallRecord, CgroupRecord, ExecRecord, Match, Record};

/// How records are read: by state word and hook. Shared by the engine, which adds, and the reader,
/// which drops what no record can be of any more.
#[derive(Debug, Default)]
pub struct History {
    by_state: BTreeMap<u64, HashMap<u32, View>>,
    /// Every program that judged under an older word has ended.
    settled: u64,
    /// Records that could not be read.
    pub damaged: u64,
}

impl History {
    /// The views that hold from `state` on.
    pub fn add(&mut self, state: u64, views: HashMap<u32, View>) {
        self.by_state.insert(state, views);
    }
    /// Programs that judged under words before `state` have ended.
    pub fn settle(&mut self, state: u64) {
        self.settled = state;
    }
    /// Nobody will ask for words before the settled one again.
    fn prune(&mut self) {
        self.by_state = self.by_state.split_off(&self.settled);
    }
    /// What a bit of a hook was under a state word.
    pub fn view(&self, state: u64, hook: u32) -> Option<&View> {
        self.by_state.get(&state)?.get(&hook)
    }
}

/// Reads records; one at a time, in one thread.
pub struct Reader {
    ring: Ring,
    history: Arc<Mutex<History>>,
}

impl Reader {
    pub(crate) fn new(ring: Ring, history: Arc<Mutex<History>>) -> Reader {
        Reader { ring, history }
    }

    /// Hands every record that is there to `f`; returns how many there were.
    pub fn drain(&mut self, f: &mut dyn FnMut(Record)) -> usize {
        let history = self.history.clone();
        // What is settled now may be forgotten once the ring has been read to its end.
        let settled = lock(&history).settled;
        let n = self.ring.drain(&mut |bytes| match decode(bytes, &history) {
            Some(r) => f(r),
            None => lock(&history).damaged += 1,
        });
        if self.ring.is_empty() {
            let mut h = lock(&history);
            if h.settled == settled {
                h.prune();
            }
        }
        n
    }

    /// Records that could not be read since the start: a defect.
    pub fn damaged(&self) -> u64 {
        lock(&self.history).damaged
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// The lock of a history; a panic while it was held has left it whole.
pub fn lock(history: &Mutex<History>) -> std::sync::MutexGuard<'_, History> {
    history.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The fixed part at the start of a record.
///
/// # Safety
/// T must be one of the record types: integers only.
unsafe fn fixed<T: Copy>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough; any bytes are a value of T.
    Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

fn decode(bytes: &[u8], history: &Mutex<History>) -> Option<Record> {
    // SAFETY: each type is a record type.
    unsafe {
        let header: Header = fixed(bytes)?;
        match header.kind {
            KIND_FORK => Some(Record::Fork(fixed(bytes)?)),
            KIND_EXIT => Some(Record::Exit(fixed(bytes)?)),
            KIND_EXEC => exec(bytes, fixed(bytes)?),
            KIND_CGROUP => cgroup(bytes, fixed(bytes)?),
            KIND_CALL => call(bytes, fixed(bytes)?, history),
            _ => None,
        }
    }
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cgroup(bytes: &[u8], fixed: CgroupChange) -> Option<Record> {
    let path = bytes.get(size_of::<CgroupChange>()..)?.get(..fixed.path as usize)?;
    Some(Record::Cgroup(CgroupRecord { id: fixed.id, path: string(path), gone: fixed.gone == 1 }))
}

fn exec(bytes: &[u8], fixed: Exec) -> Option<Record> {
    let mut at = size_of::<Exec>();
    let mut texts = [&[][..]; 6];
    for (text, len) in texts.iter_mut().zip(fixed.text) {
        *text = bytes.get(at..at + len as usize)?;
        at += (len as usize + 7) & !7;
    }
    Some(Record::Exec(Box::new(ExecRecord {
        fixed,
        filename: string(texts[0]),
        args: strings(texts[1]),
        cwd: string(texts[2]),
        exe: string(texts[3]),
        cgroup: string(texts[4]),
        environment: strings(texts[5]),
    })))
}

/// Texts that each end with a NUL; the last one may have been cut.
pub fn strings(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|b| *b == 0).map(string).collect()
}

fn call(bytes: &[u8], fixed: Call, history: &Mutex<History>) -> Option<Record> {
    let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let mut at = size_of::<Call>();
    let mut matches = Vec::new();
    {
        let history = lock(history);
        let view = history.view(fixed.state, fixed.hook)?;
        for _ in 0..fixed.words {
            let (w, mut bits) = (word(at)?, word(at + 8)?);
            at += 16;
            while bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let owner = view.owners.get(w as usize * 64 + bit)?.as_ref()?;
                matches.push(Match {
                    policy: owner.unit.policy.clone(),
                    hook: owner.unit.hook,
                    selector: owner.selector as usize,
                    args: owner.args.clone(),
                });
            }
        }
    }
    let mut args = Vec::with_capacity(MAX_ARGS);
    for _ in 0..fixed.args {
        // The record had no room for the rest.
        let (Some(value), Some(lens)) = (word(at), word(at + 8)) else { break };
        at += size_of::<ArgHeader>();
        let len = lens as u32;
        args.push(match len {
            INTEGER => ArgValue::Int(value as i64),
            NO_TEXT => ArgValue::None,
            len => {
                let text = string(bytes.get(at..at + len as usize)?);
                at += (len as usize + 7) & !7;
                ArgValue::Text { text, mode: value as u32 }
            }
        });
    }
    Some(Record::Call(Box::new(CallRecord { header: fixed.header, cgroup: fixed.cgroup, matches, args })))
}
