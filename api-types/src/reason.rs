//! Reasons: words that conditions, failures, events and metrics share.

/// All nodes that a policy is for run it.
pub const LOADED: &str = "Loaded";
/// A policy is for no node that there is.
pub const NO_NODES: &str = "NoNodes";
/// Nodes have not said yet what became of a policy.
pub const PENDING: &str = "Pending";
/// A policy has no error.
pub const VALID: &str = "Valid";
/// A policy has errors.
pub const INVALID: &str = "Invalid";
/// The annotation that asks for a rollout has errors.
pub const ROLLOUT_INVALID: &str = "RolloutInvalid";
/// There is a plan.
pub const COMPILED: &str = "Compiled";
/// A rollout goes on.
pub const ROLLOUT_PROGRESSING: &str = "RolloutProgressing";
/// A rollout was stopped: the version is in monitor mode.
pub const ROLLOUT_STOPPED: &str = "RolloutStopped";

/// A hook of the policy cannot be had on the node's kernel.
pub const HOOK_NOT_AVAILABLE: &str = "HookNotAvailable";
/// The kernel or the agent refused the policy.
pub const LOAD_FAILED: &str = "LoadFailed";
/// No pod on any node is one that the policy is for.
pub const NO_PODS: &str = "NoPods";
/// The policy's nodeSelector leaves the node out.
pub const NODE_SELECTOR: &str = "NodeSelector";
/// More enforcing actions in a minute than the rollout allows.
pub const ACTION_LIMIT: &str = "ActionLimit";
/// The agent does not run, or is not ready.
pub const AGENT_NOT_READY: &str = "AgentNotReady";
/// The agent cannot say any more what became of its policies.
pub const AGENT_STATUS_UNKNOWN: &str = "AgentStatusUnknown";
/// The agent was stopped in order.
pub const AGENT_STOPPED: &str = "AgentStopped";
/// The rollout has not reached the node.
pub const ROLLOUT_WAITING: &str = "RolloutWaiting";
/// The agent has not said what became of the policy.
pub const NOT_REPORTED: &str = "NotReported";
/// Reasons of nodes that have no place of their own.
pub const OTHERS: &str = "Others";
