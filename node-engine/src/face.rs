//! What the agent needs of the engine, so that it can be tested without a kernel.

use std::os::fd::AsFd;

use tetragon_api::workload::Container;

use crate::engine::Engine;
use crate::engine::containers::Classified;
use crate::engine::error::EngineError;
use crate::losses::{KernelLosses, ProgramStats};
use crate::policy::{ApplyReport, PolicyInput};
use crate::record::Record;
use crate::records::read::Reader;

/// The kernel's side: policies in, numbers out.
pub trait Kernel: Send + 'static {
    /// Makes `policies` all that runs; see [`Engine::apply`].
    fn apply(&mut self, policies: &[PolicyInput], between: &mut dyn FnMut(&mut dyn Kernel)) -> ApplyReport;
    /// Does some of what can wait for a moment without requests; see [`Engine::complete`].
    fn complete(&mut self) {}
    /// Says whose a cgroup is; see [`Engine::classify`].
    fn classify(&mut self, cgroup: u64, container: Container) -> Result<Classified, EngineError>;
    /// Says whose pod's own a cgroup is; see [`Engine::classify_pod`]. A kernel that has no other word takes it for a
    /// container's.
    fn classify_pod(&mut self, cgroup: u64, pod: Container) -> Result<Classified, EngineError> {
        self.classify(cgroup, pod)
    }
    /// Says that a cgroup is the node's; see [`Engine::classify_node`].
    fn classify_node(&mut self, _cgroup: u64) -> Result<Classified, EngineError> {
        Ok(Classified::Done)
    }
    /// Takes back what was said of a cgroup; see [`Engine::forget`].
    fn forget(&mut self, cgroup: u64) -> Result<(), EngineError>;
    /// What was lost.
    fn losses(&self) -> KernelLosses;
    /// Loaded programs.
    fn programs(&self) -> Vec<ProgramStats>;
    /// Memory of all maps.
    fn map_memory(&self) -> u64;
    /// Takes everything down. Dropped without it, what runs goes on.
    fn release(self: Box<Self>);
}

impl Kernel for Engine {
    fn apply(&mut self, policies: &[PolicyInput], between: &mut dyn FnMut(&mut dyn Kernel)) -> ApplyReport {
        Engine::apply(self, policies, &mut |engine| between(engine))
    }
    fn complete(&mut self) {
        Engine::complete(self);
    }
    fn classify(&mut self, cgroup: u64, container: Container) -> Result<Classified, EngineError> {
        Engine::classify(self, cgroup, container)
    }
    fn classify_pod(&mut self, cgroup: u64, pod: Container) -> Result<Classified, EngineError> {
        Engine::classify_pod(self, cgroup, pod)
    }
    fn classify_node(&mut self, cgroup: u64) -> Result<Classified, EngineError> {
        Engine::classify_node(self, cgroup)
    }
    fn forget(&mut self, cgroup: u64) -> Result<(), EngineError> {
        Engine::forget(self, cgroup)
    }
    fn losses(&self) -> KernelLosses {
        Engine::losses(self)
    }
    fn programs(&self) -> Vec<ProgramStats> {
        Engine::programs(self)
    }
    fn map_memory(&self) -> u64 {
        Engine::map_memory(self)
    }
    fn release(self: Box<Self>) {
        Engine::release(*self);
    }
}

/// The stream of records.
pub trait Records: AsFd + Send + 'static {
    /// Hands every record that is there to `f`; returns how many there were.
    fn drain(&mut self, f: &mut dyn FnMut(Record)) -> usize;
    /// Records that could not be read: a defect, counted.
    fn damaged(&self) -> u64;
}

impl Records for Reader {
    fn drain(&mut self, f: &mut dyn FnMut(Record)) -> usize {
        Reader::drain(self, f)
    }
    fn damaged(&self) -> u64 {
        Reader::damaged(self)
    }
}
