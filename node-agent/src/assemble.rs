//! From records to events: who it was, what was called with what, and which policy says so.

use std::sync::Arc;

use tetragon_abi::record;
use tetragon_api::event::get_events_response::Event;
use tetragon_api::event::kprobe_argument::Arg as ArgMessage;
use tetragon_api::event::{
    CapabilitiesType, GetEventsResponse, KprobeAction, KprobeArgument, KprobeCapability, KprobeError,
    KprobeFile, KprobeLinuxBinprm, KprobePath, Process, ProcessExec, ProcessExit, ProcessKprobe, ProcessLsm,
    ProcessTracepoint, RateLimitInfo, Timestamp,
};
use tetragon_api::plan::{ArgType, Hook, ShownAction, Target};
use tetragon_engine::{ArgValue, CallRecord, ExecRecord, Match, Record, function_name};

use crate::facts::{permission, signal_name, unknown_message};
use crate::pods::places::Places;
use crate::pods::store::Store;
use crate::pods::wait::{Assembled, fill};
use crate::process::{Cache, Options, Proc, Stats};
use crate::procfs::{ProcFs, ProcInfo};

/// Processes that are read from /proc in a second because no record told of them.
const LOOKUPS_PER_SECOND: u32 = 100;

/// Longest chain of ancestors in an event.
const ANCESTORS_MAX: usize = 64;

/// Kinds of events that get ancestors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AncestorKinds {
    /// Execs and exits.
    pub base: bool,
    /// Kernel functions.
    pub kprobe: bool,
    /// Tracepoints.
    pub tracepoint: bool,
    /// LSM hooks.
    pub lsm: bool,
}

/// Makes events; owns the process cache.
#[derive(Debug)]
pub struct Assembler {
    cache: Cache,
    options: Options,
    cluster: String,
    ancestors: AncestorKinds,
    procfs: ProcFs,
    places: Places,
    /// The pods of the node, if there is a cluster.
    pods: Option<Arc<Store>>,
    lookups: u32,
    missing: u64,
}

/// The process of an event and those above it.
struct Actors {
    process: Process,
    parent: Option<Process>,
    ancestors: Vec<Process>,
    /// The same, as they are known.
    known: Vec<Arc<Proc>>,
    /// The process's pod is in it, or there is none.
    complete: bool,
}

impl Assembler {
    /// An assembler that has seen nothing.
    pub fn new(
        cache: Cache,
        options: Options,
        cluster: String,
        ancestors: AncestorKinds,
        procfs: ProcFs,
    ) -> Self {
        Assembler {
            cache,
            options,
            cluster,
            ancestors,
            procfs,
            places: Places::default(),
            pods: None,
            lookups: LOOKUPS_PER_SECOND,
            missing: 0,
        }
    }

    /// Events name the pods of these.
    pub fn with_pods(self, pods: Arc<Store>) -> Self {
        Assembler { pods: Some(pods), ..self }
    }

    /// Once a second: follows the clock, renews the allowance of look-ups in /proc.
    pub fn tick(&mut self) {
        self.cache.clock().refresh();
        self.lookups = LOOKUPS_PER_SECOND;
        self.places.tick();
    }

    /// Numbers of the process cache.
    pub fn cache_stats(&self) -> Stats {
        self.cache.stats()
    }

    /// Events whose process was not known.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Takes over what /proc says at start; one exec event for each program. Threads of the kernel
    /// are known, but have executed nothing.
    pub fn seed(&mut self, infos: &[ProcInfo], out: &mut dyn FnMut(Assembled)) {
        for (proc, info) in self.cache.seed(infos).into_iter().zip(infos) {
            if info.exe.is_empty() {
                continue;
            }
            let time = proc.message.start_time;
            let actors = self.actors(&proc, None, self.ancestors.base);
            out(self.assembled(actors, time, exec_event));
        }
    }

    /// Turns a record into its events: none for a fork, one for an exec or exit, one per match for
    /// a call. `out` also gets the match that an event is for.
    pub fn record(&mut self, record: &Record, out: &mut dyn FnMut(Assembled, Option<&Match>)) {
        match record {
            Record::Fork(fork) => self.cache.fork(fork),
            Record::Exec(exec) => out(self.exec(exec), None),
            Record::Exit(exit) => out(self.exit(exit), None),
            Record::Call(call) => self.call(call, out),
            // No event. The pipeline also hands it to who classifies cgroups.
            Record::Cgroup(cgroup) => self.places.changed(cgroup),
        }
    }

    /// What the stream says when something is missing in it.
    pub fn losses(&self, lost: u64, ktime: u64) -> GetEventsResponse {
        let info = RateLimitInfo { number_of_dropped_process_events: lost };
        self.envelope(Event::RateLimitInfo(info), Some(self.clock_at(ktime)))
    }

    fn clock_at(&self, ktime: u64) -> Timestamp {
        self.cache.timestamp(ktime)
    }

    fn envelope(&self, event: Event, time: Option<Timestamp>) -> GetEventsResponse {
        GetEventsResponse {
            event: Some(event),
            node_name: self.options.node.clone(),
            time,
            cluster_name: self.cluster.clone(),
            ..Default::default()
        }
    }

    /// The event that `make` makes of those who were in it.
    fn assembled(
        &self,
        mut actors: Actors,
        time: Option<Timestamp>,
        make: impl FnOnce(Actors) -> Event,
    ) -> Assembled {
        let (known, complete) = (std::mem::take(&mut actors.known), actors.complete);
        Assembled { event: self.envelope(make(actors), time), actors: known, complete }
    }

    fn exec(&mut self, exec: &ExecRecord) -> Assembled {
        let Assembler { cache, places, procfs, .. } = self;
        let tgid = exec.fixed.header.tgid;
        let proc = cache
            .exec(exec, |before| places.of(exec.fixed.cgroup, &exec.cgroup, before, || procfs.cgroup(tgid)));
        let mut actors = self.actors(&proc, None, self.ancestors.base);
        actors.process.binary_properties = proc.binary_properties.clone();
        let time = Some(self.clock_at(exec.fixed.header.ktime));
        self.assembled(actors, time, exec_event)
    }

    fn exit(&mut self, exit: &record::Exit) -> Assembled {
        let time = Some(self.clock_at(exit.header.ktime));
        let actors = match self.cache.exit(&exit.header) {
            Some(proc) => self.actors(&proc, None, self.ancestors.base),
            None => self.unknown(&exit.header),
        };
        let signal = exit.code & 0x7f;
        self.assembled(actors, time, |actors| {
            Event::ProcessExit(ProcessExit {
                process: Some(actors.process),
                parent: actors.parent,
                ancestors: actors.ancestors,
                signal: if signal == 0 { String::new() } else { signal_name(signal) },
                status: if signal == 0 { (exit.code >> 8) & 0xff } else { 0 },
                time,
            })
        })
    }

    fn call(&mut self, call: &CallRecord, out: &mut dyn FnMut(Assembled, Option<&Match>)) {
        let proc = self.find(&call.header).map(|proc| self.where_it_is(proc, call.cgroup));
        let time = Some(self.clock_at(call.header.ktime));
        for m in &call.matches {
            let Some(hook) = m.policy.plan.hooks.get(m.hook) else { continue };
            let wants_ancestors = match hook.target {
                Target::Function(_) | Target::Syscall(_) => self.ancestors.kprobe,
                Target::Lsm(_) => self.ancestors.lsm,
                Target::Tracepoint(..) | Target::RawTracepoint(..) => self.ancestors.tracepoint,
            };
            let mut actors = match &proc {
                Some(proc) => self.actors(proc, Some(call.header.tid), wants_ancestors),
                None => self.unknown(&call.header),
            };
            actors.process.refcnt = 1;
            out(self.assembled(actors, time, |actors| call_event(hook, m, &call.args, actors)), Some(m));
        }
    }

    /// The process of a record; if no record told of it, /proc may.
    fn find(&mut self, header: &record::Header) -> Option<Arc<Proc>> {
        if let Some(proc) = self.cache.find(header.tgid, header.process) {
            return Some(proc);
        }
        self.lookups = self.lookups.checked_sub(1)?;
        let mut info = self.procfs.one(header.tgid, self.cache.clock())?;
        // A process that was made after the call is not the one that called.
        if info.ktime > header.ktime {
            return None;
        }
        if header.process != 0 {
            info.ktime = header.process;
        }
        Some(self.cache.seed_one(&info, None))
    }

    /// The process as it is in that cgroup: a container runtime's process enters the container's before it
    /// executes what is asked for, and what it does there is the container's.
    fn where_it_is(&mut self, proc: Arc<Proc>, cgroup: u64) -> Arc<Proc> {
        match self.places.known(cgroup) {
            Some(place) if place.container.is_some() && place.container != proc.place.container => {
                self.cache.moved(&proc, place.clone())
            }
            _ => proc,
        }
    }

    fn unknown(&mut self, header: &record::Header) -> Actors {
        self.missing += 1;
        let mut process = unknown_message(&self.options, self.cache.clock(), header.tgid, header.process);
        process.tid = Some(header.tid);
        Actors { process, parent: None, ancestors: Vec::new(), known: Vec::new(), complete: true }
    }

    fn actors(&mut self, proc: &Arc<Proc>, tid: Option<u32>, ancestors: bool) -> Actors {
        let limit = if ancestors { ANCESTORS_MAX } else { 1 };
        let mut known = vec![proc.clone()];
        known.extend(self.cache.ancestors(proc, limit));
        let (mut process, complete) = self.shown(proc);
        if tid.is_some() {
            process.tid = tid;
        }
        let mut above = known.iter().skip(1).map(|p| self.shown(p).0);
        let parent = above.next();
        Actors { process, parent, ancestors: above.collect(), known, complete }
    }

    /// What events say of a process, with its pod as far as it is known. True: more cannot be known.
    fn shown(&self, proc: &Proc) -> (Process, bool) {
        let mut process = proc.message.clone();
        let complete = self.pods.as_ref().is_none_or(|pods| fill(pods, &mut process, proc));
        (process, complete)
    }
}

fn exec_event(actors: Actors) -> Event {
    Event::ProcessExec(ProcessExec {
        process: Some(actors.process),
        parent: actors.parent,
        ancestors: actors.ancestors,
    })
}

/// The event of one match.
fn call_event(hook: &Hook, m: &Match, values: &[ArgValue], actors: Actors) -> Event {
    let selector = hook.selectors.get(m.selector);
    let action = selector.map_or(KprobeAction::Post, |s| action(s.actions.shown)).into();
    let args = hook
        .args
        .iter()
        .enumerate()
        .filter(|(_, arg)| arg.ty != ArgType::Nop)
        .map(|(i, arg)| {
            let reading = m.args.get(i);
            let value = reading.and_then(|r| values.get(r.index)).unwrap_or(&ArgValue::None);
            KprobeArgument {
                label: arg.label.clone().unwrap_or_default(),
                arg: Some(argument(reading.map_or(arg.ty, |r| r.ty), value)),
            }
        })
        .collect();
    let policy_name = m.policy.plan.name.clone();
    let message = hook.message.clone().unwrap_or_default();
    let tags = hook.tags.clone();
    let (process, parent, ancestors) = (Some(actors.process), actors.parent, actors.ancestors);
    match &hook.target {
        Target::Function(_) | Target::Syscall(_) => Event::ProcessKprobe(ProcessKprobe {
            process,
            parent,
            function_name: function_name(&hook.target),
            args,
            action,
            policy_name,
            // Tetragon says so for every kprobe, with or without a return probe.
            return_action: KprobeAction::Post.into(),
            message,
            tags,
            ancestors,
            ..Default::default()
        }),
        Target::Lsm(name) => Event::ProcessLsm(ProcessLsm {
            process,
            parent,
            function_name: name.clone(),
            policy_name,
            message,
            args,
            action,
            tags,
            ancestors,
            ..Default::default()
        }),
        Target::Tracepoint(subsystem, event) | Target::RawTracepoint(subsystem, event) => {
            Event::ProcessTracepoint(ProcessTracepoint {
                process,
                parent,
                subsys: subsystem.clone(),
                event: event.clone(),
                args,
                policy_name,
                action,
                message,
                tags,
                ancestors,
            })
        }
    }
}

fn action(shown: ShownAction) -> KprobeAction {
    match shown {
        ShownAction::Post => KprobeAction::Post,
        ShownAction::NoPost => KprobeAction::Nopost,
        ShownAction::Sigkill => KprobeAction::Sigkill,
        ShownAction::Signal => KprobeAction::Signal,
        ShownAction::Override => KprobeAction::Override,
    }
}

/// A value in the form that its type has in events.
fn argument(ty: ArgType, value: &ArgValue) -> ArgMessage {
    let (text, mode) = match value {
        ArgValue::Int(number) => return integer(ty, *number),
        ArgValue::Text { text, mode } => (text.clone(), *mode),
        ArgValue::None if ty.is_text() => (String::new(), 0),
        ArgValue::None => {
            let message = "the argument could not be read".to_owned();
            return ArgMessage::ErrorArg(KprobeError { message });
        }
    };
    let permission = if mode == 0 { String::new() } else { permission(mode) };
    let path = text;
    match ty {
        ArgType::File | ArgType::Fd => {
            ArgMessage::FileArg(KprobeFile { path, permission, ..Default::default() })
        }
        ArgType::Path | ArgType::Dentry => {
            ArgMessage::PathArg(KprobePath { path, permission, ..Default::default() })
        }
        ArgType::LinuxBinprm => {
            ArgMessage::LinuxBinprmArg(KprobeLinuxBinprm { path, permission, ..Default::default() })
        }
        _ => ArgMessage::StringArg(path),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the value was read with the size of its type")]
fn integer(ty: ArgType, number: i64) -> ArgMessage {
    match ty {
        ArgType::Int8 | ArgType::Int16 | ArgType::Int32 => ArgMessage::IntArg(number as i32),
        ArgType::Uint8 | ArgType::Uint16 | ArgType::Uint32 => {
            ArgMessage::UintArg(number.cast_unsigned() as u32)
        }
        ArgType::Int64 => ArgMessage::LongArg(number),
        ArgType::Capability => {
            let value = number as i32;
            let name =
                CapabilitiesType::try_from(value).map(|c| c.as_str_name().to_owned()).unwrap_or_default();
            ArgMessage::CapabilityArg(KprobeCapability { value: Some(value), name })
        }
        _ => ArgMessage::SizeArg(number.cast_unsigned()),
    }
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
