//! The engine: everything between Plans and the kernel. It links the plans of this node into one
//! image, loads it (one program per hook, whatever the number of policies), and reads records back.
//!
//! ```text
//! Plans --link--> hook images --load--> slot of each hook --state word--> judged calls --> Records
//! ```
//!
//! The parts, from top to bottom. A file imports files of its own part and of the parts that its row
//! names, so imports go down. They never form a circle.
//!
//! | part | purpose | may import |
//! | --- | --- | --- |
//! | `face.rs` | the two traits by which the agent knows the engine, and which its tests implement | all below |
//! | `engine.rs`, `engine/` | the policies in force, changed all at once; containers; counts; pins | all below |
//! | `records/` | the ring, and records from its bytes | `link/`, `record.rs` |
//! | `load/` | programs and maps in the kernel, hooks and the base sensor | `link/`, `node/`, `policy.rs`, `sys.rs` |
//! | `link/` | the policies of one hook as tables, without a system call | `node/format.rs`, `record.rs`, `policy.rs` |
//! | `node/` | the kernel of this node: types, features, cgroups, ways to attach | `policy.rs`, `sys.rs` |
//! | `record.rs` | the types of records | `policy.rs` |
//! | `policy.rs` | the types of policies and of reports about them | nothing |
//! | `losses.rs` | the types of what the kernel counts | nothing |
//! | `sys.rs` | bpf(2) and perf_event_open(2) | nothing |

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
