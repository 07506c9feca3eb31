//! The base of the operator: the API server, its watches, the lease, certificates, the definitions, HTTP,
//! the log.

pub mod certs;
pub mod client;
pub mod crds;
pub mod lease;
pub mod logs;
pub mod serve;
pub(crate) mod watch;
