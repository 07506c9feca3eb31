//! The eBPF object that is embedded in the agent: from its bytes to a program's instructions with
//! maps, calls and kernel functions resolved.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use tetragon_abi::config::{HookConfig, Offsets};

use crate::node::btf::Btf;
use crate::sys::{self, LoadError, Map, MapSpec, ProgramSpec};

/// The object, built from `node-ebpf/` by the build script.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tetragon-ebpf"));

/// Something is wrong with the object or with what it is linked to.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The embedded object is not what it should be.
    #[error("the embedded eBPF object is damaged: {0}")]
    Damaged(String),
    /// A map could not be made.
    #[error("cannot create map {map}: {error}")]
    Map {
        /// Its name.
        map: String,
        /// Why.
        error: std::io::Error,
    },
    /// The kernel refused a program.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Constants of a program.
#[derive(Clone, Debug)]
pub struct Constants {
    /// The hook's shape.
    pub config: HookConfig,
    /// This kernel's structures.
    pub offsets: Offsets,
    /// Of the hash.
    pub seed: [u64; 2],
}

/// What a program is loaded as.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The program in the object.
    pub program: &'a str,
    /// Its name in the kernel.
    pub name: &'a str,
    /// `enum bpf_prog_type`.
    pub kind: u32,
    /// `enum bpf_attach_type`, or 0.
    pub attach: u32,
    /// BTF id of the function, or 0.
    pub btf_id: u32,
}

/// The parsed object, and the kernel functions that it may call.
pub struct Programs {
    object: aya_obj::Object,
    /// BTF ids of `bpf_preempt_disable` and `bpf_preempt_enable`, if the kernel has them.
    preempt: Option<[u32; 2]>,
}

impl Programs {
    /// Parses the embedded object.
    pub fn new(btf: &Btf) -> Result<Programs, ObjectError> {
        let object = aya_obj::Object::parse(OBJECT).map_err(|e| ObjectError::Damaged(e.to_string()))?;
        let preempt = match (btf.function("bpf_preempt_disable"), btf.function("bpf_preempt_enable")) {
            (Some(a), Some(b)) => Some([a, b]),
            _ => None,
        };
        Ok(Programs { object, preempt })
    }

    /// The kernel can switch preemption off for a program.
    pub fn can_disable_preemption(&self) -> bool {
        self.preempt.is_some()
    }

    /// What the object says of map `name`, to be changed where the agent knows better.
    pub fn map_spec<'a>(&self, name: &'a str) -> Result<MapSpec<'a>, ObjectError> {
        let m = self.object.maps.get(name).ok_or_else(|| ObjectError::Damaged(format!("no map {name}")))?;
        Ok(MapSpec {
            name,
            kind: m.map_type(),
            key: m.key_size(),
            value: m.value_size(),
            entries: m.max_entries(),
            flags: m.map_flags(),
            inner: None,
        })
    }

    /// Creates a map as the object says, changed by `with`.
    pub fn create(&self, name: &str, with: impl FnOnce(&mut MapSpec<'_>)) -> Result<Map, ObjectError> {
        let mut spec = self.map_spec(name)?;
        with(&mut spec);
        Map::create(spec).map_err(|error| ObjectError::Map { map: name.to_owned(), error })
    }

    /// Loads a program with its constants; `maps` must have every map that it uses.
    pub fn load(
        &self,
        load: Load<'_>,
        constants: &Constants,
        maps: &[(&str, &Map)],
    ) -> Result<OwnedFd, ObjectError> {
        let damaged = |e: &dyn std::fmt::Display| ObjectError::Damaged(format!("{}: {e}", load.program));
        let mut object = self.object.clone();
        let globals: HashMap<&str, (&[u8], bool)> = HashMap::from([
            ("CONFIG", (sys::bytes(&constants.config), true)),
            ("OFFSETS", (sys::bytes(&constants.offsets), true)),
            ("SEED", (sys::bytes(&constants.seed), true)),
        ]);
        object.patch_map_data(globals).map_err(|e| damaged(&e))?;
        let rodata = self.rodata(&object)?;
        // A map that a program does not use has no descriptor in it; any stands in for those.
        let fds: Vec<(String, i32)> = object
            .maps
            .keys()
            .map(|n| (n.clone(), maps.iter().find(|(m, _)| m == n).map_or(rodata.raw(), |(_, m)| m.raw())))
            .collect();
        let defs = object.maps.clone();
        let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let used = |n: &str| fds.iter().find(|(m, _)| m == n).map_or(rodata.raw(), |(_, fd)| *fd);
        object
            .relocate_maps(defs.iter().map(|(n, m)| (n.as_str(), used(n), m)), &text)
            .map_err(|e| damaged(&e))?;
        object.relocate_calls(&text).map_err(|e| damaged(&e))?;
        let program = object.programs.get(load.program).ok_or_else(|| damaged(&"no such program"))?;
        let function =
            object.functions.get(&program.function_key()).ok_or_else(|| damaged(&"no such function"))?;
        let mut code = Vec::with_capacity(function.instructions.len() * 8);
        for i in &function.instructions {
            code.push(i.code);
            code.push(i.dst_reg() | i.src_reg() << 4);
            code.extend(i.off.to_le_bytes());
            code.extend(i.imm.to_le_bytes());
        }
        self.kernel_functions(&mut code);
        let spec = ProgramSpec {
            name: load.name,
            kind: load.kind,
            attach: load.attach,
            btf_id: load.btf_id,
            code: &code,
        };
        Ok(sys::load(spec)?)
    }

    /// The constants, frozen: the verifier then knows them and drops what they switch off.
    fn rodata(&self, object: &aya_obj::Object) -> Result<Map, ObjectError> {
        let data =
            object.maps.get(".rodata").ok_or_else(|| ObjectError::Damaged("no .rodata".into()))?.data();
        let spec = MapSpec {
            name: "rodata",
            kind: sys::MAP_ARRAY,
            key: 4,
            value: data.len() as u32,
            entries: 1,
            flags: sys::RDONLY_PROG,
            inner: None,
        };
        let make = || {
            let m = Map::create(spec)?;
            m.update(&0u32.to_ne_bytes(), data, 0)?;
            m.freeze()?;
            Ok(m)
        };
        make().map_err(|error| ObjectError::Map { map: ".rodata".into(), error })
    }

    /// Puts the BTF ids of kernel functions in place of the markers (node-ebpf/src/kernel.rs), or
    /// `r0 = 0` where the kernel lacks them: it looks at calls even in code that never runs.
    fn kernel_functions(&self, code: &mut [u8]) {
        const MARKER: u32 = 0x4b46_0000;
        for i in code.chunks_exact_mut(8) {
            let imm = u32::from_le_bytes([i[4], i[5], i[6], i[7]]);
            if i[0] != 0x85 || i[1] >> 4 != 2 || imm & 0xffff_0000 != MARKER {
                continue;
            }
            match self.preempt {
                Some(ids) => i[4..8].copy_from_slice(&ids[(imm & 1 == 0) as usize].to_le_bytes()),
                None => i.copy_from_slice(&[0xb7, 0, 0, 0, 0, 0, 0, 0]),
            }
        }
    }
}
