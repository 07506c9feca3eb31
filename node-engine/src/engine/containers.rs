//! Containers of an image: whose a cgroup is, told to the hooks and to the kernel, and room for them.

use std::sync::Arc;

use tetragon_abi::cgroup::{HOST, UNKNOWN};
use tetragon_api::workload::Container;

use super::Engine;
use super::error::EngineError;
use crate::link::linker::Linker;
use crate::link::unit::{Context, Unit};
use crate::link::workloads::Given;
use crate::load::hook::HookError;
use crate::node::resolve::Attach;

/// Whether a cgroup was classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classified {
    /// Its processes are judged as those of the container.
    Done,
    /// There is no such cgroup any more.
    Gone,
    /// The last change of policies failed; it is done with the next.
    Later,
}

impl Engine {
    /// Says whose a cgroup is: at the return its processes, and those in cgroups within it, are judged as
    /// that container's. A container may change: policies that select by label follow.
    ///
    /// All hooks know the number of a new container before one process has it, so that each call is
    /// judged as before or as after, by all policies.
    pub fn classify(&mut self, cgroup: u64, container: Container) -> Result<Classified, EngineError> {
        self.classify_as(cgroup, container, false)
    }

    /// Says whose pod's own a cgroup is. The containers that are made in it are judged by what is known of the pod,
    /// without a name and an image, from their first instruction on and without an agent, until they are
    /// classified themselves.
    pub fn classify_pod(&mut self, cgroup: u64, pod: Container) -> Result<Classified, EngineError> {
        self.classify_as(cgroup, pod, true)
    }

    /// Says that a cgroup is the node's, though it lies in a pod's.
    pub fn classify_node(&mut self, cgroup: u64) -> Result<Classified, EngineError> {
        self.containers.forget(cgroup);
        let there = self.base.classify(cgroup, HOST, false)?;
        Ok(if there { Classified::Done } else { Classified::Gone })
    }

    fn classify_as(
        &mut self,
        cgroup: u64,
        container: Container,
        pod: bool,
    ) -> Result<Classified, EngineError> {
        let Given { number, new } = self.containers.set(cgroup, container, pod);
        if self.ahead {
            return Ok(Classified::Later);
        }
        if new {
            // What one hook does not know must not be used: it waits for the next change of policies.
            let introduced = self.introduce(number);
            self.ahead |= introduced.is_err();
            introduced?;
        }
        if self.base.classify(cgroup, number, pod)? {
            return Ok(Classified::Done);
        }
        self.containers.forget(cgroup);
        Ok(Classified::Gone)
    }

    /// Takes back what was said of a cgroup: it is what the one above it is. Or it is removed.
    pub fn forget(&mut self, cgroup: u64) -> Result<(), EngineError> {
        if self.containers.forget(cgroup) {
            self.base.classify(cgroup, UNKNOWN, false)?;
        }
        Ok(())
    }

    /// Lets every hook know a container. Where there is no room, the hook's tables are made larger.
    fn introduce(&mut self, number: u64) -> Result<(), EngineError> {
        let Some(container) = self.containers.get(number).cloned() else { return Ok(()) };
        let mut full = Vec::new();
        for (attach, hook) in &mut self.hooks {
            if !hook.add_container(number, &container)? {
                full.push(attach.clone());
            }
        }
        if full.is_empty() { Ok(()) } else { Ok(self.enlarge(&full)?) }
    }

    /// Gives hooks more room for containers.
    fn enlarge(&mut self, full: &[Attach]) -> Result<(), HookError> {
        let grown = full.iter().try_for_each(|attach| self.grow(attach)).and_then(|()| self.switch(&[]));
        for h in self.hooks.values_mut() {
            h.discard();
        }
        grown
    }

    /// Gives hooks more room before it is needed: it takes long.
    pub(super) fn enlarge_early(&mut self) {
        let nearly = self.hooks.iter().filter(|(_, h)| h.is_nearly_full());
        let full: Vec<Attach> = nearly.map(|(attach, _)| attach.clone()).collect();
        if self.ahead || full.is_empty() {
            return;
        }
        if let Err(e) = self.enlarge(&full) {
            tracing::warn!(
                "cannot make room for more containers, the next that has none will try again: {e}"
            );
        }
    }

    /// Links a hook anew, with room for more.
    fn grow(&mut self, attach: &Attach) -> Result<(), HookError> {
        let idle = self.idle();
        let containers = self.containers.numbered();
        let Some(hook) = self.hooks.get_mut(attach) else { return Ok(()) };
        let units: Vec<Arc<Unit>> = hook.units().cloned().collect();
        let context = Context { containers, ..hook.linker().context().clone() };
        // What fitted before fits.
        let (linker, _) = Linker::build(context, &units, &hook.layout());
        hook.reshape(&self.shared, linker)?;
        hook.load(&self.shared, idle)
    }

    /// Classifies what could not be before.
    pub(super) fn classify_all(&mut self) {
        for (cgroup, number, pod) in self.containers.cgroups() {
            if let Err(e) = self.base.classify(cgroup, number, pod) {
                tracing::error!("a container stays unknown: {e}");
            }
        }
    }

    /// Takes containers out of the indexes that no cgroup has any more.
    pub(super) fn tidy(&mut self) {
        let unused = self.containers.unused();
        if unused.is_empty() || self.ahead {
            return;
        }
        // A program may still hold such a number.
        self.wait();
        let mut freed = Vec::new();
        for (attach, hook) in &mut self.hooks {
            unused.iter().for_each(|n| hook.remove_container(*n));
            freed.push((attach.clone(), hook.clean()));
        }
        unused.iter().for_each(|n| self.containers.remove(*n));
        self.release_entries(freed);
    }
}
