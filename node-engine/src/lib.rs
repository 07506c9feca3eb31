//! The engine: everything between Plans and the kernel. It links the plans of this node into one
//! image, loads it (one program per hook, whatever the number of policies), and reads records back.
//!
//! ```text
//! Plans --link--> hook images --load--> slot of each hook --state word--> judged calls --> Records
//! ```
//!
//! From top to bottom; a line imports only from itself and from lines below it:
//!
//! - `face`: the two traits by which the agent knows the engine, and which its tests implement
//! - `engine/`: the policies in force, changed all at once; containers, counts, pins
//! - `records/`: the ring, and records from its bytes
//! - `load/`: programs and maps in the kernel, hooks and the base sensor
//! - `link/`: the policies of one hook as tables, without a system call
//! - `node/`: the kernel of this node: types, features, cgroups, ways to attach
//! - `record`: the types of records
//! - `policy` `losses`: the types of policies, of reports about them, and of what the kernel counts
//! - `sys`: bpf(2) and perf_event_open(2)

mod engine;
mod face;
mod link;
mod load;
mod losses;
mod node;
mod policy;
mod record;
mod records;
mod sys;

pub use engine::containers::Classified;
pub use engine::error::EngineError;
pub use engine::{Engine, EngineOptions};
pub use face::{Kernel, Records};
pub use load::base::ProcSeed;
pub use losses::{KernelLosses, ProgramStats};
pub use node::cgroups::{Found, Hierarchy, walk};
pub use node::resolve::function_name;
pub use policy::{ApplyReport, Backend, Cause, Facts, HookReport, PolicyInput, PolicyReport};
pub use record::{ArgValue, CallRecord, CgroupRecord, ExecRecord, Match, Reading, Record};
pub use records::read::{Reader, strings};
