//! The files of a crate as modules: which file a path such as `crate::link::Unit` leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Result;
use regex::Regex;

use super::uses::{self, Use};
use crate::tidy::{Tree, text};

/// From a file to the files that it imports something of.
pub(super) type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// A path of modules below the crate's root.
type Module = Vec<String>;

/// A crate: a library, a program, or both in one folder.
pub(super) struct Crate {
    /// `lib.rs`, else `main.rs`.
    pub(super) first: PathBuf,
    /// Its text.
    pub(super) page: String,
    /// How its program, if it has one beside the library, names the library.
    name: String,
    files: BTreeMap<Module, File>,
    /// The program's first file, beside a library.
    main: Option<File>,
}

struct File {
    path: PathBuf,
    uses: Vec<Use>,
    defined: BTreeSet<String>,
}

impl File {
    fn new(path: &Path, text: &str) -> File {
        static DEFINED: LazyLock<Regex> = LazyLock::new(|| {
            let kinds = r"fn|struct|enum|trait|type|const|static|union|macro_rules!|mod";
            let words = r#"(?:pub(?:\([^)]*\))?\s+)?(?:(?:unsafe|const|async|extern "C")\s+)*"#;
            Regex::new(&format!(r"(?m)^{words}(?:{kinds})\s+(\w+)")).expect("a valid expression")
        });
        let text = uses::without_tests(text);
        let defined = DEFINED.captures_iter(&text).map(|found| found[1].to_owned()).collect();
        File { path: path.to_path_buf(), uses: uses::of(&text), defined }
    }
}

/// All crates of the tree. Tests are left out: a test may look anywhere.
pub(super) fn crates(tree: &Tree) -> Result<Vec<Crate>> {
    let sources: Vec<&PathBuf> = tree.files.iter().filter(|f| is_source(f)).collect();
    let named =
        |name: &str| sources.iter().filter(|f| f.ends_with(name)).filter_map(|f| f.parent()).collect();
    let (libraries, programs): (BTreeSet<&Path>, BTreeSet<&Path>) = (named("lib.rs"), named("main.rs"));
    let mut crates = BTreeMap::new();
    for folder in libraries.union(&programs) {
        let first = folder.join(if libraries.contains(folder) { "lib.rs" } else { "main.rs" });
        crates.insert(
            *folder,
            Crate {
                name: library_name(folder)?,
                page: text(&first)?,
                first,
                files: BTreeMap::new(),
                main: None,
            },
        );
    }
    for source in sources {
        // The deepest root that it lies below: src/bin/drive has one of its own.
        let Some(folder) = source.ancestors().skip(1).find(|a| crates.contains_key(a)) else { continue };
        let folder = folder.to_path_buf();
        let Some(one) = crates.get_mut(folder.as_path()) else { continue };
        let file = File::new(source, &text(source)?);
        if source.ends_with("main.rs") && !one.first.ends_with("main.rs") {
            one.main = Some(file);
        } else if let Ok(path) = source.strip_prefix(&folder) {
            one.files.insert(module(path), file);
        }
    }
    Ok(crates.into_values().collect())
}

fn is_source(file: &Path) -> bool {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    file.extension().is_some_and(|e| e == "rs")
        && stem != "tests"
        && !stem.ends_with("_tests")
        && stem != "build"
}

/// How `use` names the library whose sources lie in this folder.
fn library_name(folder: &Path) -> Result<String> {
    let manifest = folder.with_file_name("Cargo.toml");
    let text = text(&manifest).unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"'));
    Ok(name.unwrap_or_default().replace('-', "_"))
}

/// `[link, unit]` of `link/unit.rs`.
fn module(path: &Path) -> Module {
    let path = path.with_extension("");
    let mut parts: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod")
        || matches!(parts.as_slice(), [one] if one == "lib" || one == "main")
    {
        parts.pop();
    }
    parts
}

impl Crate {
    /// A file or a folder beside the first page; `None` is the first page itself.
    pub(super) fn room(&self, file: &Path) -> Option<String> {
        let inside = file.strip_prefix(self.first.parent()?).ok()?;
        let room = inside.with_extension("").iter().next()?.to_string_lossy().into_owned();
        (file != self.first && !file.ends_with("main.rs")).then_some(room)
    }

    /// The folders beside the first page.
    pub(super) fn folders(&self) -> BTreeSet<String> {
        let inside = self.files.values().filter(|f| f.path.parent() != self.first.parent());
        inside.filter_map(|f| self.room(&f.path)).collect()
    }

    /// What each file imports of others. That a module publishes something of its own modules is no import.
    pub(super) fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        let files = self.files.iter().chain(self.main.as_ref().map(|file| (ROOT, file)));
        for (module, file) in files {
            let targets = imports.entry(file.path.clone()).or_default();
            for one in &file.uses {
                let Some((to, target)) = self.resolve(module, &one.path, 0) else { continue };
                let publishes = one.public && to.len() > module.len() && to.starts_with(module);
                if !publishes && target != file.path {
                    targets.insert(target);
                }
            }
        }
        imports
    }

    /// The module and the file in which what a path names is written.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<(Module, PathBuf)> {
        let (mut at, rest) = self.begin(from, path)?;
        let mut rest = rest.iter();
        let mut name = None;
        for part in rest.by_ref() {
            let child = [at.as_slice(), std::slice::from_ref(part)].concat();
            if !self.files.contains_key(&child) {
                name = Some(part);
                break;
            }
            at = child;
        }
        let file = self.files.get(&at)?;
        let elsewhere = name.filter(|name| depth < 8 && !file.defined.contains(*name));
        let found = elsewhere.and_then(|name| self.imported(&at, file, name, depth + 1));
        Some(found.unwrap_or_else(|| (at.clone(), file.path.clone())))
    }

    /// Where a path begins: at the root, at a module above, at one of this module's own.
    fn begin<'p>(&self, from: &Module, path: &'p [String]) -> Option<(Module, &'p [String])> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((Module::new(), rest)),
            "self" => Some((from.clone(), rest)),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                Some((from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..]))
            }
            name if name == self.name => Some((Module::new(), rest)),
            name => {
                let child = [from.as_slice(), &[name.to_owned()]].concat();
                self.files.contains_key(&child).then(|| (from.clone(), path))
            }
        }
    }

    /// What a module has imported itself, by name or by a `*`.
    fn imported(&self, at: &Module, file: &File, name: &str, depth: usize) -> Option<(Module, PathBuf)> {
        if let Some(one) = file.uses.iter().find(|u| u.name == name) {
            return self.resolve(at, &one.path, depth);
        }
        file.uses.iter().filter(|u| u.name == "*").find_map(|all| {
            let (module, path) = self.resolve(at, &all.path, depth)?;
            let defines = self.files.get(&module)?.defined.contains(name);
            defines.then_some((module, path))
        })
    }
}

/// The module of the first page.
const ROOT: &Module = &Module::new();

#[cfg(test)]
mod tests {
    use super::*;

    fn one(files: &[(&str, &str)]) -> Crate {
        let list =
            files.iter().map(|(path, text)| (module(Path::new(path)), File::new(Path::new(path), text)));
        Crate {
            first: "lib.rs".into(),
            page: String::new(),
            name: "one".into(),
            files: list.collect(),
            main: None,
        }
    }

    fn arrows(one: &Crate) -> Vec<String> {
        let all = one.imports().into_iter();
        all.flat_map(|(from, to)| {
            to.into_iter().map(move |to| format!("{} {}", from.display(), to.display()))
        })
        .collect()
    }

    #[test]
    fn names_are_followed_to_where_they_are_written() {
        let one = one(&[
            ("lib.rs", "mod a;\nmod b;\npub use a::Thing;\n"),
            ("a/mod.rs", "mod c;\npub use c::*;\nuse c::inner;\npub struct Thing;\n"),
            ("a/c.rs", "use super::Thing;\npub fn inner() {}\npub struct Deep;\n"),
            ("b.rs", "use crate::{Thing, a::{Deep, inner as other}};\nuse std::fs;\n"),
        ]);
        assert_eq!(arrows(&one), ["a/c.rs a/mod.rs", "a/mod.rs a/c.rs", "b.rs a/c.rs", "b.rs a/mod.rs"]);
    }

    #[test]
    fn tests_may_look_anywhere() {
        let one = one(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "pub fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::b::g;\n}\n"),
            ("b.rs", "#[cfg(test)]\nuse crate::a::f;\npub fn g() {}\n"),
        ]);
        assert!(arrows(&one).is_empty());
    }
}
