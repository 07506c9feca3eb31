//! Policies: each is compiled, published as a plan, rolled out, and summed up in its status. The steps are
//! files; `controller.rs` has their order.

pub mod compile;
mod context;
mod controller;
pub mod dereference;
mod error;
pub mod events;
pub mod lost;
mod memory;
pub mod metrics;
pub mod publish;
pub mod retire;
pub mod rollout;
pub mod status;

pub use context::{Context, Timing};
pub use controller::run;
pub use error::Error;
