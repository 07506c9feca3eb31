//! Admission: the API server asks whether a policy is good before it stores it. `webhook.rs` has the steps.

mod check;
mod review;
mod warnings;
pub mod webhook;
