//! Why the engine cannot work.

use crate::load::hook::HookError;
use crate::load::object::ObjectError;
use crate::node::btf::BtfError;
use crate::node::kernel::MissingMember;

/// The engine cannot work on this kernel.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No type information.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// A structure is not what it should be.
    #[error(transparent)]
    Kernel(#[from] MissingMember),
    /// A map or program of the base sensor.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A map, or the object.
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

pub(super) fn failed(what: &str, error: std::io::Error) -> EngineError {
    EngineError::Call { what: what.to_owned(), error }
}
