//! The nodes: their labels, their agents, what those can do, and what they report of each policy.

pub mod capability;
mod changes;
mod index;
mod model;
mod reports;
pub(crate) mod slim;
mod tally;
pub mod watch;

pub use changes::Changed;
pub use index::Index;
pub use model::{Agent, Gone, Labels, Node, Pod, PolicyKey, Said, Scope, Source};
pub use reports::{Report, Selected};
pub use tally::{Group, Part, Sum, Tally, Wanted};
