//! The tables of one slot, and the values of the indexes that lead to them.

use std::collections::HashMap;
use std::sync::Arc;

use tetragon_abi::engine::*;
use tetragon_abi::hash::Hash128;

use super::shape::Position;
use super::unit::Unit;
use crate::record::Reading;

/// Sparse set of selectors: (word, bits), sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(pub(super) Vec<(u8, u64)>);

impl Bits {
    pub(super) fn change(&mut self, word: u8, bits: u64, on: bool) {
        match self.0.binary_search_by_key(&word, |b| b.0) {
            Ok(i) if on => self.0[i].1 |= bits,
            Ok(i) => {
                self.0[i].1 &= !bits;
                if self.0[i].1 == 0 {
                    self.0.remove(i);
                }
            }
            Err(i) if on => self.0.insert(i, (word, bits)),
            Err(_) => {}
        }
    }
    pub(super) fn union(&mut self, other: &Bits) {
        for (w, b) in &other.0 {
            self.change(*w, *b, true);
        }
    }
}

/// A value of an index.
#[derive(Clone, Debug, Default)]
pub(super) struct Value {
    /// Its entry.
    pub(super) id: u32,
    /// Selectors that list it.
    pub(super) direct: Bits,
    /// It is a workload's number.
    pub(super) of_workload: bool,
}

/// Key of the prefix index: tag and data, and how many bits of it count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Tag and data; bits beyond `bits` are zero.
    pub data: Vec<u8>,
    /// Length in bits, with the tag.
    pub bits: u32,
}

impl Prefix {
    /// `self` begins `other`.
    pub(super) fn begins(&self, other: &Prefix) -> bool {
        let (bytes, rest) = ((self.bits / 8) as usize, self.bits % 8);
        if other.bits < self.bits || other.data.len() < bytes || other.data[..bytes] != self.data[..bytes] {
            return false;
        }
        rest == 0 || (other.data[bytes] ^ self.data[bytes]) >> (8 - rest) == 0
    }
    /// Its first `bits` bits.
    pub(super) fn cut(&self, bits: u32) -> Prefix {
        let mut data = self.data[..bits.div_ceil(8) as usize].to_vec();
        if !bits.is_multiple_of(8) {
            *data.last_mut().expect("bits > 0") &= 0xffu8 << (8 - bits % 8);
            data.resize(self.data.len(), 0);
        }
        Prefix { data, bits }
    }
}

/// The tables of one slot, as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// By id; 0 is empty.
    pub entries: Vec<Entry>,
    /// By set id; 0 is empty.
    pub sets: Vec<Set>,
    /// By word.
    pub words: Vec<Word>,
    /// By dimension.
    pub defaults: Vec<Set>,
    /// By selector.
    pub acts: Vec<Act>,
    /// The binaries that are listed, as a Bloom filter.
    pub bloom: Vec<u64>,
    /// Summaries; `state` is set when the slot is written.
    pub head: Head,
}

/// An empty set.
pub const EMPTY: Set = Set { words: [0; MAX_WORDS] };

/// Which selector of which policy a bit is.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The policy's hook.
    pub unit: Arc<Unit>,
    /// The selector.
    pub selector: u8,
    /// For each of the plan's arguments, which of the hook's readings it is.
    pub args: Arc<[Reading]>,
}

/// By bit.
pub type Owners = Vec<Option<Owner>>;

/// How records of a hook are read under one state word.
#[derive(Clone, Debug)]
pub struct View {
    /// Who owns which bit.
    pub owners: Arc<Owners>,
}

/// Where the selectors of policies lie, and how many there are: by [`PolicyInput::policy`](crate::PolicyInput::policy) and index of the hook in
/// the plan.
pub type Layout = HashMap<(u64, usize), (Position, usize)>;

/// Of the owners' units.
pub fn layout(owners: &Owners) -> Layout {
    let of = |(bit, owner): (usize, &Option<Owner>)| {
        let Owner { unit, .. } = owner.as_ref().filter(|o| o.selector == 0)?;
        let at = ((bit / 64) as u8, (bit % 64) as u8);
        Some(((unit.policy.policy, unit.hook), (at, unit.plan().selectors.len())))
    };
    owners.iter().enumerate().filter_map(of).collect()
}

/// A value to be put into an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// In the exact index.
    Exact(Hash128, u32),
    /// In the prefix index; the entry of the longest key that begins it, or 0.
    Prefix(Prefix, u32, u32),
}

/// A value to be taken out of an index, and its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldKey {
    /// Of the exact index.
    Exact(Hash128, u32),
    /// Of the prefix index.
    Prefix(Prefix, u32),
}

#[derive(Debug)]
pub(super) struct Placed {
    pub(super) unit: Arc<Unit>,
    pub(super) word: u8,
    pub(super) first: u8,
}
