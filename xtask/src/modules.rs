//! Kernel modules: finds them in an unpacked package, follows what they depend on, and writes them out
//! decompressed, so that neither depmod nor the guest's kernel has to.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tools::command;

/// The modules of one kernel.
pub(crate) struct Modules {
    files: HashMap<String, PathBuf>,
    /// What is built in; `None` where the package does not say (from 7.2).
    builtin: Option<Vec<String>>,
}

impl Modules {
    /// Looks through `lib/modules/RELEASE`.
    pub(crate) fn open(tree: &Path) -> Result<Modules> {
        let mut files = HashMap::new();
        let mut folders = vec![tree.join("kernel")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = module_name(&path) {
                    files.insert(name, path);
                }
            }
        }
        let builtin = fs::read_to_string(tree.join("modules.builtin")).ok();
        let builtin = builtin.map(|b| b.lines().filter_map(|l| module_name(Path::new(l))).collect());
        Ok(Modules { files, builtin })
    }

    /// Writes the modules and all they need to a folder, named so that the order of the names is the order
    /// in which they can be loaded.
    pub(crate) fn install_in_order(&self, names: &[&str], to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for (i, module) in self.with_dependencies(names)?.iter().enumerate() {
            fs::write(to.join(format!("{i:02}-{}.ko", module.name)), &module.bytes)?;
        }
        Ok(())
    }

    /// Writes the modules and all they need to a folder, with what modprobe reads: `modules.dep`, and
    /// `modules.alias` for the names by which the kernel asks for them.
    pub(crate) fn install(&self, names: &[&str], to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        let mut dep = String::new();
        let mut alias = String::new();
        for module in self.with_dependencies(names)? {
            fs::write(to.join(format!("{}.ko", module.name)), &module.bytes)?;
            // All that comes before it in the order, nearest first, as depmod writes it.
            let needs = self.with_dependencies(&[&module.name])?;
            let needs = needs.iter().rev().skip(1).map(|m| format!(" {}.ko", m.name)).collect::<String>();
            dep += &format!("{}.ko:{needs}\n", module.name);
            for name in modinfo(&module.bytes, "alias") {
                alias += &format!("alias {name} {}\n", module.name);
            }
        }
        fs::write(to.join("modules.dep"), dep)?;
        fs::write(to.join("modules.alias"), alias)?;
        Ok(())
    }

    fn with_dependencies(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut order = Vec::new();
        for name in names {
            self.visit(name, &mut order)?;
        }
        Ok(order)
    }

    fn visit(&self, name: &str, order: &mut Vec<Module>) -> Result<()> {
        if order.iter().any(|m| m.name == name) {
            return Ok(());
        }
        let Some(file) = self.files.get(name) else {
            // Where nothing says what is built in, a guest that lacks it will say so.
            if self.builtin.as_ref().is_none_or(|all| all.iter().any(|b| b == name)) {
                return Ok(());
            }
            bail!("this kernel has no module `{name}`, neither as a file nor built in");
        };
        let bytes = decompressed(file)?;
        for needed in dependencies(&bytes) {
            self.visit(&needed, order)?;
        }
        order.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

struct Module {
    name: String,
    bytes: Vec<u8>,
}

/// `virtio_pci` of `.../virtio-pci.ko.xz`.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (stem, rest) = name.split_once(".ko")?;
    matches!(rest, "" | ".xz" | ".zst" | ".gz").then(|| stem.replace('-', "_"))
}

fn decompressed(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).with_context(|| format!("reading {}", file.display())),
    };
    let output = command(program, ["-dc"])
        .arg(file)
        .output()
        .with_context(|| format!("cannot start {program}: `cargo xtask setup` installs it"))?;
    if !output.status.success() {
        bail!(
            "{program} cannot decompress {}: {}",
            file.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// What a module says it depends on.
fn dependencies(module: &[u8]) -> Vec<String> {
    let lists = modinfo(module, "depends");
    lists.iter().flat_map(|l| l.split(',')).filter(|n| !n.is_empty()).map(|n| n.replace('-', "_")).collect()
}

/// The values of a key in a module's `.modinfo`: `key=value`, between NULs.
fn modinfo(module: &[u8], key: &str) -> Vec<String> {
    let prefix = format!("\0{key}=");
    let prefix = prefix.as_bytes();
    let mut values = Vec::new();
    let mut rest = module;
    while let Some(at) = rest.windows(prefix.len()).position(|w| w == prefix) {
        rest = &rest[at + prefix.len()..];
        let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
        values.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = &rest[end..];
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (file, name) in [
            ("kernel/drivers/virtio/virtio-pci.ko", Some("virtio_pci")),
            ("a/overlay.ko.xz", Some("overlay")),
            ("a/overlay.ko.zst", Some("overlay")),
            ("a/modules.order", None),
            ("a/x.ko.bak", None),
        ] {
            assert_eq!(module_name(Path::new(file)).as_deref(), name, "{file}");
        }
    }

    #[test]
    fn dependencies_of_a_module() {
        assert_eq!(dependencies(b"x\0license=GPL\0depends=virtio,virtio-ring\0y"), ["virtio", "virtio_ring"]);
        assert!(dependencies(b"x\0depends=\0y").is_empty());
        assert!(dependencies(b"nothing").is_empty());
        assert_eq!(modinfo(b"x\0alias=a\0alias=b-c\0y=1\0", "alias"), ["a", "b-c"]);
    }
}
