//! The rules of the house, kept by a machine: docs/architecture.md says them in words.

mod functions;
mod imports;
mod manifests;
mod modules;
mod named;
mod plan;
mod prose;
mod source;
mod tree;

use std::fs;

use anyhow::Result;

use crate::manifests::{ALONE, BANNED, FLOORS, Manifest, PURE, Package};
use crate::modules::Crate;
use crate::tree::{Source, crates, sources};

#[test]
fn a_crate_uses_only_the_crates_in_its_row() -> Result<()> {
    let mut broken = Vec::new();
    for manifest in Manifest::all()? {
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == manifest.name) else {
            broken.push(format!("{} has no row in the table", manifest.name));
            continue;
        };
        for used in manifest.uses.iter().filter(|used| FLOORS.iter().any(|(name, _)| name == used)) {
            if !allowed.contains(&used.as_str()) {
                broken.push(format!("{} uses {used}, which is not in its row", manifest.name));
            }
        }
    }
    none(broken)
}

#[test]
fn a_package_that_has_one_home_is_found_nowhere_else() -> Result<()> {
    let mut broken = Vec::new();
    for manifest in Manifest::all()? {
        for (package, homes) in ALONE {
            if manifest.uses.iter().any(|used| used == package) && !homes.contains(&manifest.name.as_str()) {
                broken.push(format!("{} uses {package}, whose home is {}", manifest.name, homes.join(", ")));
            }
        }
    }
    none(broken)
}

#[test]
fn nobody_else_brings_in_a_package_that_has_one_home() -> Result<()> {
    let mut broken = Vec::new();
    for package in Package::all()? {
        let Some((_, homes)) = BANNED.iter().find(|(name, _)| *name == package.name) else { continue };
        for user in package.used_by.iter().filter(|user| !homes.contains(&user.as_str())) {
            broken.push(format!("{user} brings in {}", package.name));
        }
    }
    none(broken)
}

#[test]
fn every_package_comes_from_the_registry_under_a_licence_we_may_use() -> Result<()> {
    let packages = Package::all()?;
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let mut broken = Vec::new();
    for package in packages {
        if package.source.as_ref().is_some_and(|source| !source.starts_with("registry+")) {
            broken.push(format!("{} comes from {:?}", package.name, package.source));
        }
        if !package.is_usable() {
            broken.push(format!("{} is under {:?}", package.name, package.licence));
        }
    }
    none(broken)
}

#[test]
fn what_has_no_clock_and_no_socket_asks_for_neither() -> Result<()> {
    let mut broken = Vec::new();
    for manifest in Manifest::all()?.into_iter().filter(|manifest| PURE.contains(&manifest.name.as_str())) {
        for package in ["tokio", "tracing", "socket2", "mio", "async-io"] {
            if manifest.uses.iter().any(|used| used == package) {
                broken.push(format!("{} uses {package}", manifest.name));
            }
        }
    }
    none(broken)
}

#[test]
fn every_crate_takes_version_lints_and_edition_from_the_workspace() -> Result<()> {
    let mut broken = Vec::new();
    for found in crates()? {
        let manifest = fs::read_to_string(found.folder.join("Cargo.toml"))?;
        for line in ["version.workspace = true", "edition.workspace = true", "publish.workspace = true"] {
            if !manifest.contains(line) {
                broken.push(format!("{}: no `{line}`", found.name));
            }
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            broken.push(format!("{}: no workspace lints", found.name));
        }
    }
    none(broken)
}

#[test]
fn a_file_begins_with_its_caption() -> Result<()> {
    each(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("//! ").unwrap_or_default().trim();
        if words.is_empty() { vec![format!("its first line is {first:?}, no `//! …`")] } else { Vec::new() }
    })
}

#[test]
fn a_file_has_at_most_600_lines() -> Result<()> {
    each(|source| {
        let lines = source.text.lines().count();
        if lines > 600 { vec![format!("{lines} lines")] } else { Vec::new() }
    })
}

#[test]
fn a_function_has_at_most_70_lines() -> Result<()> {
    each(|source| {
        let long = functions::find(&source.plain).into_iter().filter(|function| function.lines > 70);
        long.map(|function| format!("line {}: {} has {} lines", function.line, function.name, function.lines))
            .collect()
    })
}

#[test]
fn no_file_is_called_mod_rs() -> Result<()> {
    each(|source| {
        if source.path.ends_with("mod.rs") {
            vec!["name.rs stands beside name/".to_owned()]
        } else {
            Vec::new()
        }
    })
}

#[test]
fn a_library_root_holds_prose_modules_and_re_exports() -> Result<()> {
    each(|source| {
        if !source.path.ends_with("lib.rs") {
            return Vec::new();
        }
        prose::others(&source.plain)
    })
}

#[test]
fn no_file_imports_through_the_root_of_its_crate() -> Result<()> {
    let mut broken = Vec::new();
    for root in Crate::all()? {
        broken.extend(root.through_root());
    }
    none(broken)
}

#[test]
fn files_never_import_in_a_circle() -> Result<()> {
    let mut broken = Vec::new();
    for root in Crate::all()? {
        broken.extend(
            root.circles().into_iter().map(|circle| format!("{}: {}", root.name, circle.join(" -> "))),
        );
    }
    none(broken)
}

#[test]
fn a_file_uses_only_files_above_it_in_the_plan() -> Result<()> {
    let Some(plan) = plan::read()? else { return Ok(()) };
    let mut broken = Vec::new();
    for root in Crate::all()? {
        // The tests are listed by folder.
        if let Some(list) = plan.get(&root.folder).filter(|_| root.folder != "tests") {
            broken.extend(plan::broken(&root, list));
        }
    }
    none(broken)
}

#[test]
fn a_test_that_a_document_names_is_there() -> Result<()> {
    none(named::missing(&sources()?)?)
}

fn each(law: impl Fn(&Source) -> Vec<String>) -> Result<()> {
    let mut broken = Vec::new();
    for source in sources()? {
        broken.extend(law(&source).into_iter().map(|what| format!("{}: {what}", source.path.display())));
    }
    none(broken)
}

#[track_caller]
fn none(broken: Vec<String>) -> Result<()> {
    assert!(broken.is_empty(), "{} broken:\n  {}", broken.len(), broken.join("\n  "));
    Ok(())
}
