//! One hook in the kernel: its stub, its indexes and its two slots.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tetragon_abi::engine::{Act, Entry, Head, Set, Word};
use tetragon_api::workload::Container;

use super::object::{Constants, Load, ObjectError, Programs};
use crate::link::linker::Linker;
use crate::link::tables::{Layout, NewKey, OldKey, Owners, Prefix, Tables, View, layout};
use crate::link::unit::Unit;
use crate::node::resolve::{Attach, Details};
use crate::policy::{Backend, Cause};
use crate::sys::{self, Map, MapSpec, Plain};

/// What every hook shares.
pub struct Shared {
    /// The object.
    pub programs: Programs,
    /// Constants without a hook's shape.
    pub constants: Constants,
    /// Maps of all hooks: state, processes, scratch, ring.
    pub maps: Vec<(&'static str, Map)>,
    /// Hash maps must be preallocated.
    pub prealloc: bool,
    /// Where this agent pins.
    pub pins: PathBuf,
}

impl Shared {
    /// A map of all hooks.
    pub fn map(&self, name: &str) -> &Map {
        // The names are this module's own.
        self.maps.iter().find(|(n, _)| *n == name).map(|(_, m)| m).expect("a shared map")
    }
}

/// Why a hook could not be put into the kernel.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// A map or a program.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A system call.
    #[error("{what}: {error}")]
    Call {
        /// What was tried.
        what: String,
        /// What the kernel said.
        error: std::io::Error,
    },
}

impl HookError {
    /// For status. Attaching fails where the kernel has the function and does not let it be watched.
    pub fn cause(&self) -> Cause {
        match self {
            HookError::Object(ObjectError::Load(e)) if e.is_forbidden() => Cause::Unable,
            HookError::Call { what, .. } if what.starts_with(CANNOT_ATTACH) => Cause::Unable,
            _ => Cause::Refused,
        }
    }
}

const CANNOT_ATTACH: &str = "cannot attach to";

/// Says which right is missing where the kernel only says that one is.
fn missing_right(error: std::io::Error) -> std::io::Error {
    if error.kind() != std::io::ErrorKind::PermissionDenied {
        return error;
    }
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    // Debian's and Ubuntu's kernels have levels above 2, which ask for more than CAP_PERFMON.
    let need = match paranoid.trim().parse::<i32>() {
        Ok(level) if level > 2 => {
            format!("CAP_SYS_ADMIN is needed, as kernel.perf_event_paranoid is {level}")
        }
        _ => "CAP_BPF and CAP_PERFMON are needed, or CAP_SYS_ADMIN".to_owned(),
    };
    std::io::Error::new(error.kind(), format!("{error}: {need}"))
}

/// How pins of hooks begin.
pub const LINK: &str = "link_";

fn call<T>(what: &str, r: std::io::Result<T>) -> Result<T, HookError> {
    r.map_err(|error| HookError::Call { what: what.to_owned(), error })
}

/// The tables of one slot in the kernel, and what is in them.
struct Slot {
    tables: Tables,
    head: Map,
    words: Map,
    defaults: Map,
    entries: Map,
    sets: Map,
    acts: Map,
    bloom: Map,
    program: OwnedFd,
}

/// The indexes that both slots share, and the slots. Replaced as a whole when the shape changes.
struct Body {
    linker: Linker,
    exact: Map,
    prefix: Map,
    slots: [Option<Slot>; 2],
}

/// Attached; detaches when dropped.
enum Link {
    Tracing(OwnedFd),
    Perf(sys::PerfAttachment),
}

/// A hook.
pub struct Hook {
    /// Its number in records.
    pub number: u32,
    /// How it is attached.
    pub attach: Attach,
    details: Details,
    engines: Map,
    stub: OwnedFd,
    link: Option<Link>,
    body: Body,
    /// The body of the next image, if the shape changes.
    next: Option<Body>,
    owners: Arc<Owners>,
}

/// (program type, attach type, programs' name in the object).
fn kinds(backend: Backend) -> (u32, u32, &'static str) {
    match backend {
        Backend::Lsm => (sys::PROG_LSM, sys::ATTACH_LSM, "lsm"),
        Backend::Fentry => (sys::PROG_TRACING, sys::ATTACH_FENTRY, "fentry"),
        Backend::Kprobe => (sys::PROG_KPROBE, 0, "kprobe"),
        Backend::Tracepoint => (sys::PROG_TRACEPOINT, 0, "tracepoint"),
        Backend::RawTracepoint => (sys::PROG_RAW_TRACEPOINT, 0, "raw_tracepoint"),
    }
}

impl Hook {
    /// A hook that is not attached yet.
    pub fn new(
        shared: &Shared,
        number: u32,
        attach: Attach,
        details: Details,
        linker: Linker,
    ) -> Result<Hook, HookError> {
        let engines = shared.programs.create("ENGINES", |_| {})?;
        let (kind, attach_type, name) = kinds(attach.backend);
        let load = Load {
            program: &format!("stub_{name}"),
            name: &format!("tg_s_{}", attach.name),
            kind,
            attach: attach_type,
            btf_id: btf_id(attach.backend, &details),
        };
        let maps = [("STATE", shared.map("STATE")), ("ENGINES", &engines)];
        let stub = shared.programs.load(load, &shared.constants, &maps)?;
        let body = Body::new(shared, linker)?;
        let owners = Arc::new(body.linker.owners.clone());
        Ok(Hook { number, attach, details, engines, stub, link: None, body, next: None, owners })
    }

    /// The linker of the next image.
    pub fn linker(&mut self) -> &mut Linker {
        match &mut self.next {
            Some(b) => &mut b.linker,
            None => &mut self.body.linker,
        }
    }

    /// The policies of the image that is being prepared.
    pub fn units(&self) -> impl Iterator<Item = &Arc<Unit>> {
        self.next.as_ref().unwrap_or(&self.body).linker.units()
    }

    /// The next image has another shape.
    pub fn reshape(&mut self, shared: &Shared, linker: Linker) -> Result<(), HookError> {
        self.next = Some(Body::new(shared, linker)?);
        Ok(())
    }

    /// Forgets a shape that was prepared.
    pub fn discard(&mut self) {
        self.next = None;
    }

    /// Loads what slot `slot` of the next image needs. Nothing that runs is touched.
    pub fn load(&mut self, shared: &Shared, slot: usize) -> Result<(), HookError> {
        let body = self.next.as_mut().unwrap_or(&mut self.body);
        if body.slots[slot].is_none() {
            body.slots[slot] = Some(Slot::new(shared, body, &self.attach, &self.details, self.number)?);
        }
        Ok(())
    }

    /// Slot `slot` of the image in force has its program.
    pub fn has(&self, slot: usize) -> bool {
        self.body.slots[slot].is_some()
    }

    /// Attaches the stub, if it is not yet.
    pub fn attach(&mut self, shared: &Shared) -> Result<(), HookError> {
        if self.link.is_some() {
            return Ok(());
        }
        let what = format!("{CANNOT_ATTACH} {} as {}", self.attach.name, self.attach.backend.name());
        let failed = |error| HookError::Call { what, error: missing_right(error) };
        let event = self.attach.name.rsplit('/').next().unwrap_or_default();
        let link = match self.attach.backend {
            Backend::Lsm | Backend::Fentry => sys::attach_tracing(&self.stub, None).map(Link::Tracing),
            Backend::RawTracepoint => sys::attach_tracing(&self.stub, Some(event)).map(Link::Tracing),
            Backend::Kprobe => sys::attach_kprobe(&self.stub, &self.attach.name).map(Link::Perf),
            Backend::Tracepoint => sys::attach_tracepoint(&self.stub, self.details.id).map(Link::Perf),
        }
        .map_err(failed)?;
        self.pin(shared, &link)?;
        self.link = Some(link);
        Ok(())
    }

    /// Pins link and engines, so that they outlive the agent. A perf event without a link cannot be
    /// pinned: such a hook ends with the agent.
    fn pin(&self, shared: &Shared, link: &Link) -> Result<(), HookError> {
        let fd = match link {
            Link::Tracing(fd) => fd,
            Link::Perf(p) => match &p.link {
                Some(fd) => fd,
                None => {
                    tracing::warn!(
                        function = %self.attach.name,
                        "this kernel cannot keep {} programs without the agent: the hook ends when the agent does",
                        self.attach.backend.name()
                    );
                    return Ok(());
                }
            },
        };
        let [engines, link] = self.pins(&shared.pins);
        call("cannot pin a hook's engines to bpffs", self.engines.pin(&engines))?;
        call("cannot pin a hook's link to bpffs", sys::pin(fd, &link))
    }

    fn pins(&self, dir: &Path) -> [PathBuf; 2] {
        [dir.join(format!("engines_{}", self.number)), dir.join(format!("{LINK}{}", self.number))]
    }

    /// Detaches the hook and removes its pins.
    pub fn detach(mut self, shared: &Shared) {
        self.link = None;
        for p in self.pins(&shared.pins) {
            let _ = std::fs::remove_file(p);
        }
    }

    /// Writes the next image into slot `slot`, which no program reads; `active` is the other one.
    pub fn write(&mut self, slot: usize, state: u64) -> Result<(), HookError> {
        let body = self.next.as_mut().unwrap_or(&mut self.body);
        body.write(slot, state)?;
        let Some(s) = &body.slots[slot] else { return Ok(()) };
        call("cannot set an engine", self.engines.set_fd(slot as u32, s.program.as_raw_fd()))?;
        self.owners = Arc::new(body.linker.owners.clone());
        Ok(())
    }

    /// Where the selectors of what was written last lie.
    pub fn layout(&self) -> Layout {
        layout(&self.owners)
    }

    /// Takes the hook out of slot `slot`.
    pub fn leave(&mut self, slot: usize) -> Result<(), HookError> {
        call("cannot take an engine out", self.engines.clear_fd(slot as u32))
    }

    /// The next image is in force, and no program runs in the slot before.
    pub fn done(&mut self) {
        if let Some(next) = self.next.take() {
            self.body = next;
        }
    }

    /// Takes values out of the indexes that nobody lists any more; returns their entries, to be
    /// freed after a grace period.
    pub fn clean(&mut self) -> Vec<u32> {
        let mut ids = Vec::new();
        for old in self.body.linker.take_old() {
            let (deleted, id) = match old {
                OldKey::Exact(k, id) => (self.body.exact.delete(sys::bytes(&k)), id),
                OldKey::Prefix(k, id) => (self.body.prefix.delete(&lpm_key(&k, self.body.prefix.key)), id),
            };
            match deleted {
                Ok(_) => ids.push(id),
                Err(e) => tracing::warn!(function = %self.attach.name, "cannot delete a value: {e}"),
            }
        }
        ids
    }

    /// Makes entries usable again.
    pub fn free(&mut self, ids: Vec<u32>) {
        self.body.linker.free(ids);
    }

    /// Makes a container's number known, in the image that is in force. False: there is no room. Nobody
    /// has the number yet, so that what both slots say of it can be written while they are used.
    pub fn add_container(&mut self, number: u64, container: &Arc<Container>) -> Result<bool, HookError> {
        Ok(self.body.linker.add_container(number, container) && self.body.write_new()?)
    }

    /// It will soon have no room for another container.
    pub fn is_nearly_full(&self) -> bool {
        self.body.linker.is_nearly_full()
    }

    /// Takes the number of a container out that nobody has any more; see [`Hook::clean`].
    pub fn remove_container(&mut self, number: u64) {
        self.body.linker.remove_container(number);
    }

    /// How records made under the image that was written last are read.
    pub fn view(&self) -> View {
        View { owners: self.owners.clone() }
    }

    /// (name in the kernel, program) of what is loaded.
    pub fn programs(&self) -> Vec<(String, &OwnedFd)> {
        let mut all = vec![(format!("stub {}", self.attach.name), &self.stub)];
        for (n, s) in self.body.slots.iter().enumerate() {
            all.extend(s.as_ref().map(|s| (format!("engine {n} {}", self.attach.name), &s.program)));
        }
        all
    }

    /// Locked memory of the hook's maps.
    pub fn memlock(&self) -> u64 {
        let b = &self.body;
        let slots = b
            .slots
            .iter()
            .flatten()
            .flat_map(|s| [&s.head, &s.words, &s.defaults, &s.entries, &s.sets, &s.acts, &s.bloom]);
        slots.chain([&b.exact, &b.prefix, &self.engines]).map(Map::memlock).sum()
    }

    /// Bytes that one value takes: exact, prefix. An element's head is 48 bytes in a hash map and 40
    /// in a trie, where a value takes about two nodes; each has an entry in both slots.
    pub fn value_size(&self) -> (u64, u64) {
        let entries = 2 * size_of::<Entry>() as u64;
        (48 + self.body.exact.key as u64 + 8 + entries, 2 * (40 + self.body.prefix.key as u64 + 4) + entries)
    }
}

fn btf_id(backend: Backend, details: &Details) -> u32 {
    if matches!(backend, Backend::Lsm | Backend::Fentry) { details.btf_id } else { 0 }
}

impl Body {
    fn new(shared: &Shared, linker: Linker) -> Result<Body, HookError> {
        let shape = linker.shape();
        let (entries, lpm) = (shape.exact as u32, shape.lpm_bytes as u32);
        let exact = shared.programs.create("EXACT", |s| {
            s.entries = entries;
            s.flags = if shared.prealloc { 0 } else { sys::NO_PREALLOC };
        })?;
        let prefix = shared.programs.create("PREFIX", |s| {
            // Nodes are allocated one by one: the limit costs nothing.
            s.entries = 1 << 20;
            s.key = 4 + lpm;
        })?;
        Ok(Body { linker, exact, prefix, slots: [None, None] })
    }

    fn write(&mut self, slot: usize, state: u64) -> Result<(), HookError> {
        let new = self.linker.take_new();
        self.admit(slot, &new)?;
        let Some(s) = &mut self.slots[slot] else { return Ok(()) };
        s.write(&self.linker.tables, state)?;
        self.index(&new)
    }

    /// Writes what is new into both slots, and then into the index.
    fn write_new(&mut self) -> Result<bool, HookError> {
        let new = self.linker.take_new();
        for s in self.slots.iter_mut().flatten() {
            for n in &new {
                let (NewKey::Exact(_, id) | NewKey::Prefix(_, id, _)) = n;
                s.write_entry(&self.linker.tables, *id as usize)?;
            }
        }
        self.index(&new)?;
        Ok(true)
    }

    /// Puts values into the indexes. They come last: what they name is there.
    fn index(&self, new: &[NewKey]) -> Result<(), HookError> {
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        for n in new {
            match n {
                NewKey::Exact(k, id) => {
                    keys.extend_from_slice(sys::bytes(k));
                    ids.extend_from_slice(&id.to_ne_bytes());
                }
                NewKey::Prefix(k, id, _) => {
                    let key = lpm_key(k, self.prefix.key);
                    call("cannot add a prefix", self.prefix.update(&key, &id.to_ne_bytes(), 0))?;
                }
            }
        }
        call("cannot add values", self.exact.update_many(&keys, &ids))
    }

    /// Gives new values the meaning in the slot in force that they have there without an entry: none
    /// for an exact value, that of the next shorter prefix for a prefix.
    fn admit(&mut self, idle: usize, new: &[NewKey]) -> Result<(), HookError> {
        let Some(s) = &mut self.slots[1 - idle] else { return Ok(()) };
        let mut new: Vec<_> = new.iter().collect();
        // Shorter prefixes first: a longer one may take its meaning from a new one.
        new.sort_by_key(|n| if let NewKey::Prefix(p, ..) = n { p.bits } else { 0 });
        for n in new {
            let (id, above) = match n {
                NewKey::Exact(_, id) => (*id as usize, 0),
                NewKey::Prefix(_, id, above) => (*id as usize, *above as usize),
            };
            let meaning = s.tables.entries.get(above).copied().unwrap_or_default();
            let Some(e) = s.tables.entries.get_mut(id) else { continue };
            if *e != meaning {
                *e = meaning;
                call("cannot write an entry", s.entries.set(id as u32, &meaning))?;
            }
        }
        Ok(())
    }
}

/// A key of the trie: length in bits, then data, padded with zeros.
fn lpm_key(p: &Prefix, size: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(size);
    key.extend_from_slice(&p.bits.to_ne_bytes());
    key.extend_from_slice(&p.data);
    key.resize(size, 0);
    key
}

impl Slot {
    fn new(
        shared: &Shared,
        body: &Body,
        attach: &Attach,
        details: &Details,
        number: u32,
    ) -> Result<Slot, HookError> {
        let shape = body.linker.shape();
        let table = |name: &str, n: usize| {
            shared.programs.create(name, |s: &mut MapSpec<'_>| s.entries = n.max(1) as u32)
        };
        let head = table("HEAD", 1)?;
        let words = table("WORDS", shape.words)?;
        let defaults = table("DEFAULTS", shape.dims.len())?;
        let entries = table("ENTRIES", shape.entries)?;
        let sets = table("SETS", shape.sets)?;
        let acts = table("ACTS", shape.words * 64)?;
        let bloom = table("BLOOM", shape.bloom)?;
        let mut constants = shared.constants.clone();
        let kernel = std::mem::replace(&mut constants.config, body.linker.config());
        let c = &mut constants.config;
        (c.preempt, c.typed_task) = (kernel.preempt, kernel.typed_task);
        (c.hierarchy, c.subsystem) = (kernel.hierarchy, kernel.subsystem);
        c.hook = number;
        c.syscall = u32::from(attach.syscall);
        c.deny = u32::from(details.deny);
        if details.fields.is_empty() {
            c.raw_args = details.raw_args;
        }
        let (kind, attach_type, name) = kinds(attach.backend);
        let load = Load {
            program: &format!("engine_{name}"),
            name: &format!("tg_{}", attach.name),
            kind,
            attach: attach_type,
            btf_id: btf_id(attach.backend, details),
        };
        let mut maps: Vec<(&str, &Map)> = shared.maps.iter().map(|(n, m)| (*n, m)).collect();
        maps.extend([("EXACT", &body.exact), ("PREFIX", &body.prefix), ("HEAD", &head), ("WORDS", &words)]);
        maps.extend([("DEFAULTS", &defaults), ("ENTRIES", &entries), ("SETS", &sets), ("ACTS", &acts)]);
        maps.push(("BLOOM", &bloom));
        let program = shared.programs.load(load, &constants, &maps)?;
        let zero = Tables {
            entries: vec![Entry::default(); shape.entries],
            sets: vec![crate::link::tables::EMPTY; shape.sets],
            words: vec![Word::default(); shape.words],
            defaults: vec![crate::link::tables::EMPTY; shape.dims.len()],
            acts: vec![Act::default(); shape.words * 64],
            bloom: vec![0; shape.bloom],
            head: Head::default(),
        };
        Ok(Slot { tables: zero, head, words, defaults, entries, sets, acts, bloom, program })
    }

    /// Writes one entry that nothing leads to.
    fn write_entry(&mut self, want: &Tables, id: usize) -> Result<(), HookError> {
        let e = want.entries[id];
        let set = e.set as usize;
        if self.tables.sets[set] != want.sets[set] {
            self.tables.sets[set] = want.sets[set];
            call("cannot write a set", self.sets.set(e.set, &want.sets[set]))?;
        }
        self.tables.entries[id] = e;
        call("cannot write an entry", self.entries.set(id as u32, &e))
    }

    /// Writes what differs.
    fn write(&mut self, want: &Tables, state: u64) -> Result<(), HookError> {
        let head = Head { state, ..want.head };
        differ(&self.sets, &mut self.tables.sets, &want.sets)?;
        differ::<Entry>(&self.entries, &mut self.tables.entries, &want.entries)?;
        differ::<Set>(&self.defaults, &mut self.tables.defaults, &want.defaults)?;
        differ::<Act>(&self.acts, &mut self.tables.acts, &want.acts)?;
        differ(&self.bloom, &mut self.tables.bloom, &want.bloom)?;
        differ::<Word>(&self.words, &mut self.tables.words, &want.words)?;
        self.tables.head = head;
        call("cannot write a slot", self.head.set(0, &head))
    }
}

/// Writes the elements of `want` that `have` lacks into `map`.
fn differ<T: Plain + Copy + PartialEq>(map: &Map, have: &mut [T], want: &[T]) -> Result<(), HookError> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (i, (h, w)) in have.iter_mut().zip(want).enumerate() {
        if h != w {
            *h = *w;
            keys.extend_from_slice(&(i as u32).to_ne_bytes());
            values.extend_from_slice(sys::bytes(w));
        }
    }
    call("cannot write a table", map.update_many(&keys, &values))
}
