//! The gRPC service `FineGuidanceSensors` over the messages of [`crate::event`].
//!
//! Client: `fine_guidance_sensors_client::FineGuidanceSensorsClient::new(channel)`. Server:
//! `fine_guidance_sensors_server::{FineGuidanceSensors, FineGuidanceSensorsServer}`; a method that
//! an implementation leaves out answers Unimplemented.

#[rustfmt::skip]
#[path = "generated/service.rs"]
#[allow(missing_docs, deprecated, clippy::all, clippy::allow_attributes_without_reason, reason = "generated; proto/ has the comments")]
mod generated;

pub use generated::*;
