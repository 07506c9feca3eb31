//! The engine: everything between Plans and the kernel. It links the plans of this node into one
//! image, loads it (one program per hook, whatever the number of policies), and reads records back.
//!
//! ```text
//! Plans --link--> hook images --load--> slot of each hook --state word--> judged calls --> Records
//! ```

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
