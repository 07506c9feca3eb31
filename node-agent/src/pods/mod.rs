//! The pods of this node: which container a process is in, which pod that is of, and what policies can ask
//! of it.
//!
//! ```text
//! Pods of the node --watch--> object --> store --changes--> classes --> the kernel's table of cgroups
//!                                          ^
//! cgroup of a process --places--> Place ---+--message--> process.pod of events, that `wait` for it
//!                                          |
//! container runtime --nri, cri, hook-------+
//!        +--a new container is held back by the gate until the kernel's table has it
//! ```
//!
//! A container is known by its id and a pod by its uid, never by a name: of two pods with one name, in
//! turn, neither is taken for the other. `cgroup`, `object`, `probe` and `message` are functions of
//! what they are given; `store` and `classes` have no client and no thread of their own.

pub mod cgroup;
pub mod classes;
pub mod classifier;
pub mod counts;
pub mod gate;
pub mod hook;
pub mod kept;
pub mod message;
pub mod object;
pub mod places;
pub mod probe;
pub mod store;
pub mod wait;
pub mod watch;

use tetragon_api::workload::Container;

/// Something that policies can ask of has come, has changed or has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// What policies can ask of it from now on; `None`: it is gone, and its id does not come back.
    pub identity: Option<Container>,
}

/// What a [`Change`] is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A pod, by its uid as cgroups name it (for a static pod: the hash of its manifest). Its identity has
    /// no container's name and no image: it is what is known of a container before its status is.
    Pod(String),
    /// A container, by its whole id.
    Container(String),
    /// None of them: all pods were reported for the first time, by the API server or, where there is none, by the
    /// runtime. What an earlier agent knew and nobody has reported since is deleted.
    Rest,
}
