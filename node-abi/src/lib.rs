//! Types that the eBPF programs and the agent share: the engine's tables, the process table and the
//! records of the ring buffer. `repr(C)`, no pointers, no padding that is not named: the bytes are
//! the interface.
//!
//! # The engine in one page
//! Every selector of every policy on a hook has one bit in up to [`MAX_WORDS`] 64-bit words; the
//! selectors of one policy stand next to each other in one word. A *dimension* is one question
//! about a call (the caller's binary by hash, argument 0 by prefix, the PID namespace, ...). For a
//! dimension `d` and the value `v` of this call, the selectors that it lets through are
//! `DEF_d XOR delta_d(v)`: the default (what does not ask, or asks for "not in"), and a delta that
//! the value's entry holds. The sets of all dimensions are ANDed.
//!
//! A value is looked up in an index that both slots of a hook share and that only maps it to an
//! entry's number; what the entry means stands in the slot's own tables. So everything that a call
//! is judged by belongs to one slot, and the slot is chosen by one word, read once.
#![no_std]

pub mod config;
pub mod engine;
pub mod hash;
pub mod record;
