//! The operator's frame against a real API server (KUBECONFIG says which) with the real kubectl
//! (KUBECTL): definitions, leader election, certificates, webhook, start and end of the process.
//! `cargo xtask test --only api`.

mod admission;
mod bed;
mod cable;
mod certs;
mod crds;
mod https;
mod lease;
mod process;
