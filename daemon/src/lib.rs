//! What agent and operator share as daemons: flags from the files of a folder, which may come late, the
//! log, and the page of metrics.
#![warn(missing_docs)]

pub mod flags;
pub mod late;
pub mod log;
pub mod metrics;
