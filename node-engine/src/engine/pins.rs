//! What an agent leaves in bpffs, and what it finds there.

use std::path::{Path, PathBuf};

use super::error::{EngineError, failed};
use crate::load::hook::LINK;
use crate::sys::{self, Map, MapSpec};

/// The seed's map.
pub(super) const SEED_FILE: &str = "seed";

/// The folder for this agent's pins, and those that agents before it have left.
pub(super) fn folders(root: &Path) -> Result<(PathBuf, Vec<PathBuf>), EngineError> {
    let create = |p: &Path| {
        std::fs::create_dir_all(p).map_err(|e| failed(&format!("cannot create {}", p.display()), e))
    };
    create(root)?;
    let mut old = Vec::new();
    for entry in
        std::fs::read_dir(root).map_err(|e| failed(&format!("cannot read {}", root.display()), e))?.flatten()
    {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            old.push(entry.path());
        }
    }
    let newest =
        old.iter().filter_map(|p| p.file_name()?.to_str()?.strip_prefix("agent")?.parse::<u64>().ok()).max();
    let pins = root.join(format!("agent{}", newest.unwrap_or(0) + 1));
    create(&pins)?;
    Ok((pins, old))
}

/// The seed of the hash: the same for all agents since boot, so that a process table can be taken
/// over. It is kept in a pinned map: bpffs has no files.
pub(super) fn seed_of(root: &Path) -> [u64; 2] {
    let path = root.join(SEED_FILE);
    let mut bytes = [0u8; 16];
    if let Ok(m) = Map::open(&path, 4, 16)
        && m.lookup(&0u32.to_ne_bytes(), &mut bytes).unwrap_or(false)
    {
        return sys::from_bytes(&bytes).unwrap_or_default();
    }
    // SAFETY: the buffer is 16 bytes.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), 16, 0) };
    let seed = sys::from_bytes(&bytes).unwrap_or_default();
    let spec = MapSpec {
        name: "tg_seed",
        kind: sys::MAP_ARRAY,
        key: 4,
        value: 16,
        entries: 1,
        flags: 0,
        inner: None,
    };
    if let Ok(m) = Map::create(spec) {
        let kept = m.update(&0u32.to_ne_bytes(), &bytes, 0).and_then(|()| m.pin(&path));
        if let Err(e) = kept {
            tracing::warn!("cannot keep the hash's seed in {}: {e}", path.display());
        }
    }
    seed
}

/// Removes pins: hooks first, the base sensor after, so that no hook judges by a process table that
/// nobody keeps.
pub(super) fn remove_pins(dir: &Path) {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    names.sort_by_key(|p| {
        let n = p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        (!n.starts_with(LINK), !n.starts_with("engines_"))
    });
    for n in names {
        let _ = std::fs::remove_file(n);
    }
    let _ = std::fs::remove_dir(dir);
}
