//! Records: from the bytes of the ring to what they mean.

pub mod read;
pub mod ring;
