//! The reference in docs/configuration.md, kept true to the schema.

use std::fmt::Write;
use std::path::Path;

use crate::config::keys::KEYS;
use crate::config::schema::{Default, Key, Kind, Only, Type, quoted};

#[test]
fn the_documentation_has_every_key_as_the_schema_has_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(&file).expect("docs/configuration.md");
    let (before, rest) = text.split_once(START).expect("the mark where the reference starts");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    let wanted = format!("{before}{START}\n\n{}\n{END}{after}", reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &wanted).expect("written");
        return;
    }
    assert!(
        text == wanted,
        "docs/configuration.md is not what the schema says; run this test with UPDATE_DOCS=1"
    );
}

fn reference() -> String {
    let mut out = String::new();
    for key in KEYS {
        section(key, "", &mut out);
    }
    out.trim_end().to_owned() + "\n"
}

/// A heading and a table of the keys; tables of tables follow with their own.
fn section(key: &Key, path: &str, out: &mut String) {
    let (keys, heading) = match key.kind {
        Kind::Table(keys) => (keys, format!("[{path}{}]", key.name)),
        Kind::Tables(keys) => (keys, format!("[[{path}{}]]", key.name)),
        Kind::Named(keys) => (keys, format!("[{path}{}.NAME]", key.name)),
        Kind::Value(..) | Kind::Names => return,
    };
    let _ = write!(out, "### `{heading}`\n\n{}\n\n", key.doc);
    out.push_str("| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
    rows(keys, "", None, out);
    out.push('\n');
    tables(keys, &format!("{path}{}.", key.name), out);
}

/// The tables of tables in a table, and in the tables in it.
fn tables(keys: &[Key], path: &str, out: &mut String) {
    for inner in keys {
        match inner.kind {
            Kind::Tables(_) | Kind::Named(_) => section(inner, path, out),
            Kind::Table(keys) => tables(keys, &format!("{path}{}.", inner.name), out),
            Kind::Value(..) | Kind::Names => {}
        }
    }
}

fn rows(keys: &[Key], prefix: &str, only: Option<Only>, out: &mut String) {
    for key in keys {
        let only = key.only.or(only);
        let name = format!("{prefix}{}", key.name);
        let (of, default) = match key.kind {
            Kind::Value(of, default) => (expected(of), written(of, default)),
            Kind::Names => ("a table of texts".to_owned(), "`{}`".to_owned()),
            Kind::Table(keys) => {
                rows(keys, &format!("{name}."), only, out);
                continue;
            }
            Kind::Tables(_) | Kind::Named(_) => continue,
        };
        let only = only.map(|(beside, words)| format!(" Only where `{beside}` is {}.", quoted(words, "or")));
        let _ = writeln!(out, "| `{name}` | {of} | {default} | {}{} |", key.doc, only.unwrap_or_default());
    }
}

fn expected(of: Type) -> String {
    of.expected().replace('|', "\\|")
}

fn written(of: Type, default: Default) -> String {
    match (default, of) {
        (Default::Required, _) => "required".to_owned(),
        (Default::Unset(then), _) => format!("not set: {then}"),
        (Default::Is(text), Type::Truth | Type::Count { .. } | Type::Ratio { .. }) => format!("`{text}`"),
        (Default::Is(""), Type::Texts | Type::SomeOf(_) | Type::Paths) => "`[]`".to_owned(),
        (Default::Is(text), Type::Texts | Type::SomeOf(_) | Type::Paths) => {
            let words: Vec<&str> = text.split(',').map(str::trim).collect();
            format!("`[{}]`", quoted(&words, ",").replace(" , ", ", "))
        }
        (Default::Is(text), _) => format!("`\"{text}\"`"),
    }
}

const START: &str = "<!-- The part below is kept true by a test. -->";
const END: &str = "<!-- The part above is kept true by a test. -->";
