//! Policies to plans to status, against a real API server (KUBECONFIG says which), with simulated agents.
//!
//! Each scenario has nodes, policies and names of its own, so all run at once on one server with one
//! operator; those that stop it run alone.

mod agents;
mod bed;
mod faults;
mod health;
mod life;
mod lost;
mod namespaced;
mod nodes;
mod pod_infos;
mod rollouts;
