//! The hash of a text (a path, a string): the key of the exact index. 128 bits, seeded per boot of
//! the agent, not cryptographic.

/// First and second multiplier: odd constants with well-spread bits (from splitmix64 and xxHash).
pub const MULTIPLIERS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];

/// A 128-bit hash.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash128 {
    /// First lane.
    pub a: u64,
    /// Second lane.
    pub b: u64,
}

impl Hash128 {
    /// The state before the first block of a text of `len` bytes.
    #[inline(always)]
    pub const fn start(seed: [u64; 2], len: u64) -> Self {
        Hash128 { a: seed[0] ^ len, b: seed[1].wrapping_add(len) }
    }
    /// Takes in the next 16 bytes as two little-endian words; the last block is padded with zeros.
    #[inline(always)]
    pub const fn block(self, w: u64, x: u64) -> Self {
        let (mut a, mut b) = (self.a, self.b);
        a = (a ^ w).wrapping_mul(MULTIPLIERS[0]);
        a ^= a >> 32;
        a = (a ^ x).wrapping_mul(MULTIPLIERS[0]);
        a ^= a >> 29;
        b = b.wrapping_add(w).wrapping_mul(MULTIPLIERS[1]);
        b ^= b >> 29;
        b = b.wrapping_add(x).wrapping_mul(MULTIPLIERS[1]);
        b ^= b >> 32;
        Hash128 { a, b }
    }
    /// The key of the exact index for this value in dimension `tag`: one index serves all dimensions.
    #[inline(always)]
    pub const fn tagged(self, tag: u8) -> Self {
        Hash128 { a: self.a, b: self.b ^ ((tag as u64) << 56) }
    }
    /// The hash of a whole text.
    pub fn of(seed: [u64; 2], text: &[u8]) -> Self {
        let mut h = Self::start(seed, text.len() as u64);
        for chunk in text.chunks(16) {
            let mut block = [0u8; 16];
            block[..chunk.len()].copy_from_slice(chunk);
            let (w, x) = block.split_at(8);
            let word = |b: &[u8]| b.iter().rev().fold(0u64, |n, c| n << 8 | *c as u64);
            h = h.block(word(w), word(x));
        }
        h
    }
}
