//! Check: a tree against the schema; what is missing is filled in, what is wrong is told.

use std::net::SocketAddr;

use crate::config::nearest::nearest;
use crate::config::origin::{ConfigError, Origin};
use crate::config::quantity::{parse_duration, parse_size, parse_threshold};
use crate::config::schema::{Default, Key, Kind, Type, quoted};
use crate::config::settings::{Given, Item, Section, Setting};
use crate::config::tree::{Entry, Node, Table, Value};

/// The values of all `keys`.
///
/// # Errors
///
/// Every fault there is, each with its place.
pub(crate) fn check(table: &Table, keys: &[Key]) -> Result<Section, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let section = check_table(table, keys, &Origin::Default, "", &mut errors);
    if errors.is_empty() { Ok(section) } else { Err(errors) }
}

/// `path`: of the table, with a dot behind it; empty for the whole.
fn check_table(
    table: &Table,
    keys: &[Key],
    origin: &Origin,
    path: &str,
    errors: &mut Vec<ConfigError>,
) -> Section {
    for Entry { name, origin, .. } in table.entries() {
        if !keys.iter().any(|key| key.name == name) {
            errors.push(ConfigError::new(origin, unknown(name, keys, path)));
        }
    }
    let items = keys.iter().map(|key| {
        let path = format!("{path}{}", key.name);
        (key.name.to_owned(), check_key(table.get(key.name), key, origin, &path, errors))
    });
    let section = Section::new(items.collect());
    for key in keys {
        if let Some((beside, words)) = key.only
            && let Some(entry) = table.entries().iter().find(|entry| entry.name == key.name)
            && !means_something(key, &section)
        {
            let text = format!(
                "{path}{} means nothing here; it is for {beside} = {}",
                key.name,
                quoted(words, "or")
            );
            errors.push(ConfigError::new(&entry.origin, text));
        }
    }
    section
}

/// Whether `key` means something in `section`: some do only beside certain values of another.
pub(crate) fn means_something(key: &Key, section: &Section) -> bool {
    // What is beside it may be missing or wrong; that is another complaint.
    key.only.is_none_or(|(beside, words)| section.text(beside).is_none_or(|word| words.contains(&word)))
}

fn check_key(
    node: Option<&Node>,
    key: &Key,
    table: &Origin,
    path: &str,
    errors: &mut Vec<ConfigError>,
) -> Item {
    match key.kind {
        Kind::Value(of, default) => Item::Value(check_value(node, of, default, table, path, errors)),
        Kind::Table(keys) => {
            let within = format!("{path}.");
            Item::Section(match node {
                None => check_table(&Table::default(), keys, table, &within, errors),
                Some(Node { value: Value::Table(inner), origin }) => {
                    check_table(inner, keys, origin, &within, errors)
                }
                Some(node) => {
                    errors.push(mismatch(node, path, &format!("a table: [{path}]")));
                    check_table(&Table::default(), keys, &node.origin, &within, &mut Vec::new())
                }
            })
        }
        Kind::Tables(keys) => Item::Sections(check_tables(node, keys, path, errors)),
        Kind::Named(keys) => Item::Named(check_named(node, keys, path, errors)),
        Kind::Names => Item::Names(check_names(node, path, errors)),
    }
}

fn check_named(
    node: Option<&Node>,
    keys: &[Key],
    path: &str,
    errors: &mut Vec<ConfigError>,
) -> Vec<(String, Section)> {
    let expected = format!("tables by names of your choice, each under its own [{path}.NAME]");
    let table = match node {
        None => return Vec::new(),
        Some(Node { value: Value::Table(table), .. }) => table,
        Some(node) => {
            errors.push(mismatch(node, path, &expected));
            return Vec::new();
        }
    };
    let mut named = Vec::new();
    for Entry { name, node, .. } in table.entries() {
        if let Value::Table(inner) = &node.value {
            let within = format!("{path}.{name}.");
            named.push((name.clone(), check_table(inner, keys, &node.origin, &within, errors)));
        } else {
            errors.push(mismatch(node, path, &expected));
        }
    }
    named
}

fn check_tables(
    node: Option<&Node>,
    keys: &[Key],
    path: &str,
    errors: &mut Vec<ConfigError>,
) -> Vec<Section> {
    let list = match node {
        None => return Vec::new(),
        Some(Node { value: Value::List(list), .. }) => list,
        Some(node) => {
            errors.push(mismatch(node, path, &format!("tables, each under its own [[{path}]]")));
            return Vec::new();
        }
    };
    let mut sections = Vec::new();
    for (index, item) in list.iter().enumerate() {
        if let Value::Table(table) = &item.value {
            sections.push(check_table(table, keys, &item.origin, &format!("{path}.{index}."), errors));
        } else {
            errors.push(mismatch(item, path, &format!("tables, each under its own [[{path}]]")));
        }
    }
    sections
}

fn check_names(node: Option<&Node>, path: &str, errors: &mut Vec<ConfigError>) -> Vec<(String, Given)> {
    let table = match node {
        None => return Vec::new(),
        Some(Node { value: Value::Table(table), .. }) => table,
        Some(node) => {
            errors.push(mismatch(node, path, "a table of names and texts, such as { format = \"pdf\" }"));
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for Entry { name, node, .. } in table.entries() {
        // Headers are texts on every wire; a number is meant as the text it is written as.
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Truth(truth) => truth.to_string(),
            // 1.0 is not 1.
            Value::Float(number) => format!("{number:?}"),
            Value::Date(_) | Value::List(_) | Value::Table(_) | Value::Raw(_) => {
                errors.push(mismatch(node, &format!("{path}.{name}"), "a text"));
                continue;
            }
        };
        let given = Given { setting: Setting::Text(text), of: Type::Text, origin: node.origin.clone() };
        names.push((name.clone(), given));
    }
    names
}

fn check_value(
    node: Option<&Node>,
    of: Type,
    default: Default,
    table: &Origin,
    path: &str,
    errors: &mut Vec<ConfigError>,
) -> Given {
    let (setting, origin) = match (node, default) {
        (Some(node), _) => {
            let setting = setting(&node.value, of).unwrap_or_else(|complaint| {
                errors.push(match complaint {
                    None if matches!(of, Type::Secret) => {
                        ConfigError::new(&node.origin, format!("{path} is no text; write it in quotes"))
                    }
                    None => mismatch(node, path, &of.expected()),
                    Some(complaint) => ConfigError::new(&node.origin, format!("{path}: {complaint}")),
                });
                Setting::Unset
            });
            (setting, node.origin.clone())
        }
        (None, Default::Is(text)) => (
            setting(&Value::Raw(text.to_owned()), of)
                .unwrap_or_else(|_| panic!("the default of {path} is valid")),
            Origin::Default,
        ),
        (None, Default::Unset(_)) => (Setting::Unset, Origin::Default),
        (None, Default::Required) => {
            errors.push(ConfigError::new(table, format!("{path} is missing; expected {}", of.expected())));
            (Setting::Unset, Origin::Default)
        }
    };
    Given { setting, of, origin }
}

/// The value as the type has it. `Err(None)`: it is of another kind; `Err(Some)`: there is more to say.
fn setting(value: &Value, of: Type) -> Result<Setting, Option<String>> {
    match of {
        Type::Text | Type::Secret => text(value).map(|text| Setting::Text(text.to_owned())).ok_or(None),
        Type::Name => {
            let is_name = |text: &&str| (1..=255).contains(&text.len()) && !text.contains(char::is_control);
            text(value).filter(is_name).map(|text| Setting::Text(text.to_owned())).ok_or(None)
        }
        Type::Truth => truth(value).map(Setting::Truth).ok_or(None),
        Type::Count { min, max } => {
            within(number(value, |_| None), min, max).map(Setting::Number).ok_or(None)
        }
        Type::Size { min, max } => {
            within(number(value, parse_size), min, max).map(Setting::Number).ok_or(None)
        }
        Type::Duration { min_ms, max_ms } => {
            let ms = text(value).and_then(parse_duration);
            within(ms, min_ms, max_ms).map(Setting::Number).ok_or(None)
        }
        Type::Seconds { never: true, .. } if text(value) == Some("never") => Ok(Setting::Number(NEVER)),
        Type::Seconds { min, max, .. } => {
            let seconds =
                text(value).and_then(parse_duration).filter(|ms| ms.is_multiple_of(1000)).map(|ms| ms / 1000);
            within(seconds, min, max).map(Setting::Number).ok_or(None)
        }
        Type::Threshold => {
            let is_one = |text: &&str| *text == "off" || parse_threshold(text).is_some();
            text(value).filter(is_one).map(|text| Setting::Text(text.to_owned())).ok_or(None)
        }
        Type::Ratio { min, max } => {
            let inside = ratio(value).filter(|ratio| (min..=max).contains(ratio));
            inside.map(Setting::Ratio).ok_or(None)
        }
        Type::OneOf(words) => {
            let text = text(value).ok_or(None)?;
            if words.contains(&text) {
                Ok(Setting::Text(text.to_owned()))
            } else {
                Err(misspelt(text, of, words))
            }
        }
        Type::Address => {
            let address = text(value).and_then(address).ok_or(None)?;
            Ok(Setting::Text(address.to_string()))
        }
        Type::Path => {
            text(value).filter(|text| is_path(text)).map(|text| Setting::Text(text.to_owned())).ok_or(None)
        }
        Type::Paths => {
            let one = || {
                matches!(value, Value::Text(_)).then(|| text(value).into_iter().map(str::to_owned).collect())
            };
            let paths: Vec<String> = texts(value).or_else(one).ok_or(None)?;
            let is_base = |path: &String| is_path(path) && !path.ends_with('/');
            if paths.iter().all(is_base) { Ok(Setting::Texts(paths)) } else { Err(None) }
        }
        Type::LogLevel => {
            let text = text(value).ok_or(None)?;
            match text.parse::<telemetry::logging::Levels>() {
                Ok(_) => Ok(Setting::Text(text.to_owned())),
                Err(error) => Err(Some(error.to_string())),
            }
        }
        Type::Texts => texts(value).map(Setting::Texts).ok_or(None),
        Type::SomeOf(words) => {
            let texts = texts(value).ok_or(None)?;
            match texts.iter().find(|text| !words.contains(&text.as_str())) {
                Some(text) => Err(misspelt(text, of, words)),
                None => Ok(Setting::Texts(texts)),
            }
        }
    }
}

/// The number of seconds that stands for no end.
pub(crate) const NEVER: u64 = u64::MAX;

/// An address to listen on: `127.0.0.1:1883`, `[::1]:1883`, `localhost:1883`. Without a host it is this machine alone:
/// listening to the world must be asked for.
pub(crate) fn address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':'));
    match port {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains(['?', '#', ' '])
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Raw(text) => Some(text),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Truth(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Table(_) => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Truth(truth) => Some(*truth),
        Value::Raw(text) => text.parse().ok(),
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Table(_) => None,
    }
}

fn number(value: &Value, parse: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => parse(text),
        Value::Raw(text) => text.parse().ok().or_else(|| parse(text)),
        Value::Float(_) | Value::Truth(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => None,
    }
}

fn within(number: Option<u64>, min: u64, max: u64) -> Option<u64> {
    number.filter(|number| (min..=max).contains(number))
}

fn ratio(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        // Whole numbers of that size are far from any bound of ours.
        Value::Integer(number) => Some(*number as f64),
        Value::Raw(text) => text.parse().ok(),
        Value::Text(_) | Value::Truth(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => None,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::List(list) => list.iter().map(|item| text(&item.value).map(str::to_owned)).collect(),
        Value::Raw(raw) if raw.trim().is_empty() => Some(Vec::new()),
        Value::Raw(raw) => Some(raw.split(',').map(|part| part.trim().to_owned()).collect()),
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Truth(_)
        | Value::Date(_)
        | Value::Table(_) => None,
    }
}

fn mismatch(node: &Node, path: &str, expected: &str) -> ConfigError {
    ConfigError::new(&node.origin, format!("{path} is {}; expected {expected}", node.value.describe()))
}

fn misspelt(text: &str, of: Type, words: &[&str]) -> Option<String> {
    let meant = nearest(text, words.iter().copied())?;
    Some(format!("{text:?} is unknown - did you mean \"{meant}\"? Expected {}", of.expected()))
}

fn unknown(name: &str, keys: &[Key], path: &str) -> String {
    match nearest(name, keys.iter().map(|key| key.name)) {
        Some(meant) => format!("unknown key {name:?} - did you mean \"{meant}\"?"),
        None => {
            let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
            let place = if path.is_empty() {
                "at the top".to_owned()
            } else {
                format!("in {}", path.trim_end_matches('.'))
            };
            format!("unknown key {name:?}; {place} there are {}", known.join(", "))
        }
    }
}
