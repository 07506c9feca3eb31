//! tetragon-compiler
