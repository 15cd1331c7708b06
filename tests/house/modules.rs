//! The files of a crate as modules, and who imports whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use harness::binary::root;

use crate::imports::{Import, find};
use crate::tree::{Source, crates, read};

/// A tree of modules under one root file. The root's own name is empty.
#[derive(Debug)]
pub(crate) struct Crate {
    /// What to call it in a complaint.
    pub(crate) name: String,
    /// The member's folder, from the root of the workspace.
    pub(crate) folder: String,
    modules: BTreeMap<String, Source>,
    /// Those of them that exist in tests only.
    of_tests: BTreeSet<String>,
}

impl Crate {
    /// Of every member: the library or program, and every test that is a folder with a `main.rs`.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for member in crates()? {
            let folder = member.folder.strip_prefix(root())?.to_string_lossy().into_owned();
            for root_file in roots(&member.folder)? {
                let (modules, of_tests) = modules(&root_file)?;
                let shown = root_file.strip_prefix(root())?.display().to_string();
                found.push(Self { name: shown, folder: folder.clone(), modules, of_tests });
            }
        }
        Ok(found)
    }

    /// Every module but the root, by its path: `queue::ready`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Whether a module exists in tests only: what those lean on is no part of what the crate is built on.
    pub(crate) fn is_of_tests(&self, name: &str) -> bool {
        self.of_tests.contains(name)
    }

    /// Which other modules each module imports from.
    pub(crate) fn edges(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let mut edges: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (name, _, target) in self.imports().filter(|(name, ..)| !self.is_of_tests(name)) {
            let to = edges.entry(name).or_default();
            if let Some(target) = target.filter(|target| target != name && !target.is_empty()) {
                to.insert(target);
            }
        }
        edges
    }

    /// Imports of something that the root only passes on, or holds itself.
    pub(crate) fn through_root(&self) -> Vec<String> {
        let through =
            self.imports().filter(|(name, _, target)| !name.is_empty() && target.as_deref() == Some(""));
        through
            .map(|(name, import, _)| {
                format!("{}: {name} line {}: {}", self.name, import.line, import.path.join("::"))
            })
            .collect()
    }

    /// Modules that import each other, as the way round.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let mut circles = Vec::new();
        let mut done = BTreeSet::new();
        for start in self.names() {
            if let Some(circle) =
                way(&edges, start, start).filter(|circle| !circle.iter().any(|name| done.contains(name)))
            {
                done.extend(circle.iter().cloned());
                circles.push(circle);
            }
        }
        circles
    }

    /// Every import of every module, and the module it is from; `None` if that is not in this crate.
    fn imports(&self) -> impl Iterator<Item = (&str, Import, Option<String>)> {
        self.modules.iter().flat_map(move |(name, source)| {
            let imports = find(&source.plain, &self.children(name));
            // What a file's own tests lean on is no part of what the file is built on.
            let built =
                imports.into_iter().filter(|import| import.inside.first().is_none_or(|name| name != "tests"));
            built.map(move |import| {
                let target = self.target(name, &import);
                (name.as_str(), import, target)
            })
        })
    }

    fn children(&self, name: &str) -> Vec<String> {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}::") };
        let below = self.names().filter_map(|other| other.strip_prefix(&prefix));
        below.filter(|rest| !rest.contains("::")).map(ToOwned::to_owned).collect()
    }

    /// The module that an import is from: the longest part of its path that is a file.
    fn target(&self, name: &str, import: &Import) -> Option<String> {
        let mut at: Vec<&str> = name.split("::").filter(|part| !part.is_empty()).collect();
        at.extend(import.inside.iter().map(String::as_str));
        let mut rest = import.path.iter().map(String::as_str).peekable();
        match rest.peek() {
            Some(&"crate") => {
                at.clear();
                rest.next();
            }
            Some(&"self") => {
                rest.next();
            }
            _ => {}
        }
        while rest.peek() == Some(&"super") {
            at.pop()?;
            rest.next();
        }
        at.extend(rest.filter(|part| *part != "self"));
        // Something of a module inside the file is the file's own.
        while !self.modules.contains_key(&at.join("::")) {
            at.pop()?;
        }
        Some(at.join("::"))
    }
}

/// A way from `from` to `to` along the edges, at least one step long.
fn way(edges: &BTreeMap<&str, BTreeSet<String>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut before: BTreeMap<String, String> = BTreeMap::new();
    let mut open = vec![from.to_owned()];
    while let Some(at) = open.pop() {
        for next in edges.get(at.as_str()).into_iter().flatten() {
            if next == to {
                let mut back = vec![to.to_owned(), at.clone()];
                while let Some(previous) = back.last().and_then(|last| before.get(last)) {
                    back.push(previous.clone());
                }
                back.reverse();
                return Some(back);
            }
            if next != from && !before.contains_key(next) {
                before.insert(next.clone(), at.clone());
                open.push(next.clone());
            }
        }
    }
    None
}

/// The root files of a member.
fn roots(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        ["src/lib.rs", "src/main.rs", "harness/lib.rs", "durability/program/main.rs"]
            .map(|path| folder.join(path))
            .into();
    // A folder of tests beside `src` is a crate of its own, and so is each folder with a `main.rs` in `tests`.
    let folders = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    found.extend(folders.filter(|path| !path.ends_with("src")).map(|path| path.join("main.rs")));
    found.retain(|path| path.exists());
    // Where both are there, `main.rs` is a few lines that start the library.
    if found.iter().any(|path| path.ends_with("src/lib.rs")) {
        found.retain(|path| !path.ends_with("src/main.rs"));
    }
    found.sort();
    Ok(found)
}

/// The root and every file that a `mod` line leads to; and which of them exist in tests only.
fn modules(root_file: &Path) -> Result<(BTreeMap<String, Source>, BTreeSet<String>)> {
    let (mut modules, mut of_tests) = (BTreeMap::new(), BTreeSet::new());
    let folder = root_file.parent().unwrap_or(root_file).to_owned();
    let mut open = vec![(String::new(), root_file.to_owned(), folder)];
    while let Some((name, file, folder)) = open.pop() {
        let source = read(&file)?;
        for (child, is_test) in declared(&source.plain) {
            let file = folder.join(format!("{child}.rs"));
            if file.exists() {
                let path = if name.is_empty() { child.clone() } else { format!("{name}::{child}") };
                if is_test || of_tests.contains(&name) {
                    of_tests.insert(path.clone());
                }
                open.push((path, file, folder.join(child)));
            }
        }
        modules.insert(name, source);
    }
    Ok((modules, of_tests))
}

/// What `mod` lines name, and whether for tests only.
fn declared(plain: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in plain.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let item = line.strip_suffix(';').and_then(|line| line.split_once("mod "));
        let item = item.filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        names.extend(item.map(|(_, name)| (name.trim().to_owned(), is_test)));
        is_test = line == "#[cfg(test)]" || (is_test && line.starts_with("#["));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_and_a_tree_is_none() {
        let circle =
            krate(&[("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "fn x() { crate::a::y() }")]);
        assert_eq!(circle.circles(), [["a", "b", "c", "a"].map(ToOwned::to_owned)]);
        let tree = krate(&[("a", "mod b; use b::B;"), ("a::b", "use crate::c::C;"), ("c", "")]);
        assert_eq!(tree.circles(), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_child_that_imports_from_the_parent_that_uses_it_is_a_circle() {
        let found = krate(&[("a", "mod b; use b::B; struct C;"), ("a::b", "use super::C;")]);
        assert_eq!(found.circles().len(), 1);
        let tests =
            krate(&[("a", "use crate::b::B;"), ("b", "mod tests { use super::*; use crate::a::C; }")]);
        assert_eq!(tests.circles().len(), 0);
    }

    #[test]
    fn what_the_root_passes_on_is_not_imported_from_it() {
        assert_eq!(krate(&[("a", "use crate::B;"), ("b", "")]).through_root().len(), 1);
        assert_eq!(krate(&[("a", "use super::B;"), ("b", "")]).through_root().len(), 1);
        assert_eq!(krate(&[("a", "use crate::b::B;"), ("b", "")]).through_root().len(), 0);
    }

    fn krate(files: &[(&str, &str)]) -> Crate {
        let source =
            |text: &str| Source { path: PathBuf::new(), text: text.to_owned(), plain: text.to_owned() };
        let mut modules: BTreeMap<String, Source> =
            files.iter().map(|(name, text)| ((*name).to_owned(), source(text))).collect();
        modules.insert(String::new(), source(""));
        Crate { name: "x".to_owned(), folder: "x".to_owned(), modules, of_tests: BTreeSet::new() }
    }
}
