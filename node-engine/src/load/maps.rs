//! The maps that a grace period takes, and the limits on maps.

use crate::sys::{self, Map, MapSpec};

/// A map of maps, whose update waits for running programs, and a map to put into it.
pub fn grace_maps() -> std::io::Result<(Map, Map)> {
    let spec = MapSpec {
        name: "tg_grace",
        kind: sys::MAP_ARRAY,
        key: 4,
        value: 4,
        entries: 1,
        flags: 0,
        inner: None,
    };
    let inner = Map::create(spec)?;
    let outer = Map::create(MapSpec {
        name: "tg_grace_outer",
        kind: sys::MAP_ARRAY_OF_MAPS,
        inner: Some(&inner),
        ..spec
    })?;
    Ok((outer, inner))
}

/// Before 5.11 maps count as locked memory; every map and program is a descriptor.
pub fn raise_limits() {
    let limits = [(libc::RLIMIT_MEMLOCK, libc::RLIM_INFINITY), (libc::RLIMIT_NOFILE, 65536)];
    for (which, n) in limits {
        let limit = libc::rlimit { rlim_cur: n, rlim_max: n };
        // SAFETY: reads the struct.
        unsafe { libc::setrlimit(which, &raw const limit) };
    }
}
