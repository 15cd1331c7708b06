//! Tree: what a file says, before anybody asks what it means; every value knows its line.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::config::origin::{ConfigError, Origin};

/// A value and where it was given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value of a file, of an argument or of the environment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
    /// TOML has dates; no key of ours takes one.
    Date(String),
    List(Vec<Node>),
    Table(Table),
    /// From an argument or the environment: what it is depends on the key.
    Raw(String),
}

impl Value {
    /// What it is, for a complaint.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Text(text) | Self::Raw(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Date(text) => format!("the date {text}"),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// Names with values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table(Vec<Entry>);

/// One name with its value. The name has a place of its own: in a file, a table's name may be lines above its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) node: Node,
}

impl Table {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|entry| entry.name == name).map(|entry| &entry.node)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|entry| entry.name == name).map(|entry| &mut entry.node)
    }

    /// Replaces the value of that name.
    pub(crate) fn put(&mut self, name: &str, node: Node) {
        let origin = node.origin.clone();
        match self.0.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => *entry = Entry { name: name.to_owned(), origin, node },
            None => self.0.push(Entry { name: name.to_owned(), origin, node }),
        }
    }
}

/// Reads TOML. `${NAME}` in a text is replaced by what `variable` says of it; `$${` stands for `${`.
///
/// # Errors
///
/// Where it is no TOML, or names a variable that is not set.
pub(crate) fn read(
    file: &str,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Table, Vec<ConfigError>> {
    let reader = Reader { file: file.into(), text, variable };
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        // The parser's own words may run over lines; a complaint is one.
        vec![ConfigError::new(&reader.origin(start), error.message().replace('\n', ", "))]
    })?;
    let mut errors = Vec::new();
    let table = reader.table(table.get_ref(), &mut errors);
    if errors.is_empty() { Ok(table) } else { Err(errors) }
}

struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        Origin::File { file: Arc::clone(&self.file), line: before.filter(|byte| **byte == b'\n').count() + 1 }
    }

    fn table(&self, table: &DeTable<'_>, errors: &mut Vec<ConfigError>) -> Table {
        let entries = table.iter().map(|(name, value)| Entry {
            name: name.get_ref().to_string(),
            origin: self.origin(name.span().start),
            node: self.node(value.get_ref(), self.origin(value.span().start), errors),
        });
        Table(entries.collect())
    }

    fn node(&self, value: &DeValue<'_>, origin: Origin, errors: &mut Vec<ConfigError>) -> Node {
        let value = match value {
            DeValue::String(text) => Value::Text(self.expand(text).unwrap_or_else(|complaint| {
                errors.push(ConfigError::new(&origin, complaint));
                String::new()
            })),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => {
                    errors.push(ConfigError::new(&origin, format!("{number} is too large a number")));
                    Value::Integer(0)
                }
            },
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(list) => Value::List(
                list.iter()
                    .map(|item| self.node(item.get_ref(), self.origin(item.span().start), errors))
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table, errors)),
        };
        Node { value, origin }
    }

    fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, found) = rest.split_at(start);
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = found.strip_prefix("${").unwrap_or_default();
                continue;
            }
            let (name, after) =
                found.strip_prefix("${").and_then(|found| found.split_once('}')).ok_or_else(|| {
                    format!("{text:?}: \"${{\" has no \"}}\"; write \"$${{\" for the characters themselves")
                })?;
            let value = (self.variable)(name).ok_or_else(|| {
                format!("the environment variable {name} is not set; set it, or replace ${{{name}}}")
            })?;
            expanded.push_str(before);
            expanded.push_str(&value);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text =
            "# one\n[node]\nname = \"n\"\n\n[[listener]]\nprotocol = \"mqtt\"\nports = [\n  1,\n  2,\n]\n";
        let table = read("f.toml", text, &|_| None).expect("TOML");
        let line = |node: &Node| node.origin.to_string();
        let Some(Node { value: Value::Table(node), .. }) = table.get("node") else { panic!("{table:?}") };
        assert_eq!(line(node.get("name").expect("name")), "f.toml:3");
        assert_eq!(
            table.entries().iter().map(|entry| entry.origin.to_string()).max().as_deref(),
            Some("f.toml:5")
        );
        let Some(Node { value: Value::List(listeners), .. }) = table.get("listener") else {
            panic!("{table:?}")
        };
        assert_eq!(line(&listeners[0]), "f.toml:5");
        let Value::Table(listener) = &listeners[0].value else { panic!("{listeners:?}") };
        let Some(Node { value: Value::List(ports), .. }) = listener.get("ports") else {
            panic!("{listener:?}")
        };
        assert_eq!(ports.iter().map(line).collect::<Vec<_>>(), ["f.toml:8", "f.toml:9"]);
    }

    #[test]
    fn what_is_no_toml_is_told_in_one_line() {
        for text in ["a = \n", "[a\n", "a = 1\na = 2\n", "a = \"\n\"", "= 1", "a = 99999999999999999999"] {
            let errors = read("f.toml", text, &|_| None).expect_err(text);
            for error in errors {
                let error = error.to_string();
                assert!(error.starts_with("f.toml:"), "{error}");
                assert!(!error.contains('\n'), "{error}");
            }
        }
    }

    #[test]
    fn texts_may_name_the_environment() {
        let variable = |name: &str| (name == "HOME").then(|| "/home/ann".to_owned());
        let expand = |text: &str| {
            let table = read("f.toml", &format!("a = '{text}'"), &variable)?;
            match table.get("a").map(|node| node.value.clone()) {
                Some(Value::Text(text)) => Ok(text),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(expand("${HOME}/x/${HOME}"), Ok("/home/ann/x//home/ann".to_owned()));
        assert_eq!(expand("$HOME $${HOME} $5 안녕"), Ok("$HOME ${HOME} $5 안녕".to_owned()));
        let text =
            |result: Result<String, Vec<ConfigError>>| result.expect_err("no such variable")[0].to_string();
        assert!(
            text(expand("${NOWHERE}")).starts_with("f.toml:1: the environment variable NOWHERE is not set")
        );
        assert!(text(expand("${HOME")).contains("has no \"}\""));
    }
}
