//! A file of `tetra policy`, read and compiled.

use std::io::{self, Read as _};
use std::path::Path;

use tetragon_compiler::{Compiled, compile_bytes, unreadable};

/// A file and what became of it.
pub(super) struct Checked {
    pub(super) file: String,
    pub(super) text: String,
    pub(super) compiled: Compiled,
}

impl Checked {
    /// A file that cannot be read is a finding like any other: it does not hide those of other files.
    pub(super) fn new(path: &Path) -> Self {
        let stdin = path == Path::new("-");
        let file = if stdin { "stdin".into() } else { path.display().to_string() };
        match read(path, stdin) {
            Ok(bytes) => {
                let compiled = compile_bytes(&file, &bytes);
                Self { compiled, file, text: String::from_utf8_lossy(&bytes).into_owned() }
            }
            Err(error) => Self { compiled: unreadable(&file, &error), file, text: String::new() },
        }
    }

    /// An error if it has objects and none is a policy.
    pub(super) fn or_no_policy(self) -> Self {
        Self { compiled: self.compiled.or_no_policy(), ..self }
    }
}

fn read(path: &Path, stdin: bool) -> io::Result<Vec<u8>> {
    if !stdin {
        return std::fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}
