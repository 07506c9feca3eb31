//! tetragon-abi
