//! Print: every value that holds, as a file would have it, and where it came from.

use std::fmt::Write;

use crate::config::check::{NEVER, means_something};
use crate::config::quantity::{write_duration, write_size};
use crate::config::schema::{Default, Key, Kind, Type};
use crate::config::settings::{Given, Item, Section, Setting};

/// All of `keys` as TOML that says the same again; behind each value, its origin.
pub(crate) fn print(section: &Section, keys: &[Key]) -> String {
    let mut out = String::new();
    print_table(section, keys, "", &mut out);
    out
}

/// `path`: of the table, with a dot behind it; empty for the whole.
fn print_table(section: &Section, keys: &[Key], path: &str, out: &mut String) {
    let mut lines = Vec::new();
    collect(section, keys, path.is_empty(), "", &mut lines);
    let width = lines.iter().map(|line| line.text.chars().count()).max().unwrap_or_default();
    for Line { text, note } in lines {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{text:<width$}  # {note}");
    }
    print_tables(section, keys, path, out);
}

/// The tables in one.
fn print_tables(section: &Section, keys: &[Key], path: &str, out: &mut String) {
    for key in keys {
        match (&key.kind, section.item(key.name)) {
            (Kind::Table(keys), Item::Section(inner)) if path.is_empty() => {
                let _ = writeln!(out, "\n[{}]", key.name);
                print_table(inner, keys, &format!("{}.", key.name), out);
            }
            (Kind::Tables(keys), Item::Sections(list)) => {
                for inner in list {
                    let _ = writeln!(out, "\n[[{path}{}]]", key.name);
                    print_table(inner, keys, &format!("{path}{}.", key.name), out);
                }
            }
            (Kind::Named(keys), Item::Named(list)) => {
                for (name, inner) in list {
                    let path = format!("{path}{}.{}", key.name, bare(name));
                    let _ = writeln!(out, "\n[{path}]");
                    print_table(inner, keys, &format!("{path}."), out);
                }
            }
            // Its values stand above already, with dots; what is left are tables of its own.
            (Kind::Table(keys), Item::Section(inner)) => {
                let path = format!("{path}{}.", key.name);
                print_tables(inner, keys, &path, out);
            }
            _ => {}
        }
    }
}

struct Line {
    text: String,
    note: String,
}

/// The lines of one table. A table inside is written with dots, but at the top, where it gets a heading.
fn collect(section: &Section, keys: &[Key], is_top: bool, prefix: &str, lines: &mut Vec<Line>) {
    for key in keys.iter().filter(|key| means_something(key, section)) {
        let name = format!("{prefix}{}", key.name);
        match (&key.kind, section.item(key.name)) {
            (Kind::Value(_, default), Item::Value(given)) => lines.push(line(&name, given, *default)),
            (Kind::Names, Item::Names(names)) => {
                lines.extend(names.iter().map(|(inner, given)| Line {
                    text: format!("{name}.{} = {}", quote(inner), value(given)),
                    note: given.origin.to_string(),
                }));
            }
            (Kind::Table(keys), Item::Section(inner)) if !is_top => {
                collect(inner, keys, false, &format!("{name}."), lines);
            }
            _ => {}
        }
    }
}

fn line(name: &str, given: &Given, default: Default) -> Line {
    match (&given.setting, default) {
        (Setting::Unset, Default::Unset(then)) => {
            Line { text: format!("# {name}"), note: format!("not set: {then}") }
        }
        _ => Line { text: format!("{name} = {}", value(given)), note: given.origin.to_string() },
    }
}

fn value(given: &Given) -> String {
    match (&given.setting, given.of) {
        (Setting::Number(bytes), Type::Size { .. }) => quote(&write_size(*bytes)),
        (Setting::Number(ms), Type::Duration { .. }) => quote(&write_duration(*ms)),
        (Setting::Number(NEVER), Type::Seconds { .. }) => quote("never"),
        (Setting::Number(seconds), Type::Seconds { .. }) => quote(&write_duration(seconds * 1000)),
        (Setting::Number(number), _) => number.to_string(),
        (Setting::Text(_), Type::Secret) => quote(HIDDEN),
        (Setting::Text(text), _) => quote(text),
        (Setting::Truth(truth), _) => truth.to_string(),
        (Setting::Ratio(ratio), _) => format!("{ratio:?}"),
        (Setting::Texts(texts), _) => list(texts.iter().map(|text| quote(text))),
        (Setting::Unset, _) => String::new(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// As TOML writes a name in a path.
fn bare(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quote(name) }
}

/// As TOML writes a text, so that reading it gives the same again.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What stands in place of a secret.
pub(crate) const HIDDEN: &str = "***";
