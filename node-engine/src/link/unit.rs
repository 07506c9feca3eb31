//! One hook of one policy, and what it is linked for.

use std::sync::Arc;

use tetragon_api::plan::{Arg, ArgType, Hook};

use super::workloads::Numbered;
use crate::node::format::Field;
use crate::policy::PolicyInput;

/// One hook of one policy.
#[derive(Debug)]
pub struct Unit {
    /// The policy.
    pub policy: Arc<PolicyInput>,
    /// Index in its plan's hooks.
    pub hook: usize,
}

impl Unit {
    /// Its part of the plan.
    pub fn plan(&self) -> &Hook {
        &self.policy.plan.hooks[self.hook]
    }
    /// What identifies it.
    pub fn key(&self) -> UnitKey {
        (self.policy.id, self.hook)
    }
}

/// Policy id and index of the hook in the plan.
pub type UnitKey = (u64, usize);

/// What the linker must know of the node and of the hook.
#[derive(Clone, Debug)]
pub struct Context {
    /// Of the hash.
    pub seed: [u64; 2],
    /// `host_ns`, by kind.
    pub host_ns: [u32; 10],
    /// Strings are in the kernel's memory (functions that are not system calls).
    pub kernel_strings: bool,
    /// Of a tracepoint: the fields of its format; else empty.
    pub fields: Vec<Field>,
    /// The containers that are known, which the linker keeps up to date.
    pub containers: Numbered,
}

impl Context {
    /// How an argument is read: its position, and its type as the format of a tracepoint has it.
    pub fn reading(&self, a: &Arg) -> (u32, ArgType) {
        if a.ty != ArgType::Auto {
            return (a.index, a.ty);
        }
        (a.index, self.fields.get(a.index as usize).map_or(ArgType::Uint64, Field::auto))
    }
}
