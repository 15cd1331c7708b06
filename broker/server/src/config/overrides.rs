//! Overrides: the environment and the command line, laid over the tree.

use crate::config::nearest::nearest;
use crate::config::origin::{ConfigError, Origin};
use crate::config::schema::{Key, Kind};
use crate::config::tree::{Node, Table, Value};

/// One value from outside the file: where it belongs, where it was given, what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    /// `["listener", "0", "bind"]`
    pub(crate) path: Vec<String>,
    pub(crate) origin: Origin,
    pub(crate) text: String,
}

impl Override {
    /// Whether it is about a part of `top`.
    pub(crate) fn is_about(&self, top: &str) -> bool {
        self.path.first().is_some_and(|first| first == top)
    }

    /// Puts it into `table`.
    ///
    /// # Errors
    ///
    /// If `keys` has no such key, or the list it names an element of is not that long.
    pub(crate) fn apply(&self, table: &mut Table, keys: &[Key]) -> Result<(), ConfigError> {
        let node = Node { value: Value::Raw(self.text.clone()), origin: self.origin.clone() };
        let steps: Vec<&str> = self.path.iter().map(String::as_str).collect();
        put(table, keys, &steps, "", node).map_err(|text| ConfigError::new(&self.origin, text))
    }
}

/// What `--set key=value` says.
///
/// # Errors
///
/// If there is no `=`.
pub(crate) fn from_set(argument: &str) -> Result<Override, ConfigError> {
    let origin = |shown: &str| Origin::Flag(format!("--set {shown}"));
    let Some((path, text)) = argument.split_once('=') else {
        return Err(ConfigError::new(
            &origin(argument),
            "no \"=\"; write --set key=value, such as --set mqtt.max_packet=64KiB",
        ));
    };
    let path = path.trim();
    // The origin is shown beside the value, which is not.
    let origin = if path.ends_with(".secret") { origin(&format!("{path}=***")) } else { origin(argument) };
    Ok(Override { path: path.split('.').map(str::to_owned).collect(), origin, text: text.trim().to_owned() })
}

/// What the environment says about `keys`: every variable that starts with `DUETMQ_`. An empty one counts as not set.
/// The list is in the order of names, so that the elements of a list come one after the other.
///
/// # Errors
///
/// Every such variable that means nothing: a setting that was meant must not be lost for a letter.
pub(crate) fn from_environment(
    variables: &[(String, String)],
    keys: &[Key],
) -> Result<Vec<Override>, Vec<ConfigError>> {
    let mut overrides = Vec::new();
    let mut errors = Vec::new();
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        if text.is_empty() || is_for_others(name) {
            continue;
        }
        let origin = Origin::Env(variable.clone());
        let path: Vec<String> = match SHORT_NAMES.iter().find(|(short, _)| *short == name) {
            Some((_, path)) => path.split('.').map(str::to_owned).collect(),
            None => name.split("__").map(str::to_lowercase).collect(),
        };
        match kind_at(keys, &path) {
            Some(Kind::Value(..)) => overrides.push(Override { path, origin, text: text.clone() }),
            Some(Kind::Table(_) | Kind::Tables(_) | Kind::Named(_) | Kind::Names) | None => {
                errors.push(ConfigError::new(&origin, unknown_variable(name, keys)));
            }
        }
    }
    // "10" comes after "9".
    overrides.sort_by_key(|one| {
        one.path.iter().map(|step| (step.parse::<usize>().unwrap_or(0), step.clone())).collect::<Vec<_>>()
    });
    if errors.is_empty() { Ok(overrides) } else { Err(errors) }
}

/// Variables with our prefix that are not keys: the file's own place, what the client commands read, and what container
/// platforms set by themselves for a service that is called `duetmq`.
fn is_for_others(name: &str) -> bool {
    matches!(
        name,
        "CONFIG" | "URL" | "USER" | "PASSWORD" | "CAFILE" | "PORT" | "SERVICE_HOST" | "SERVICE_PORT"
    ) || name.starts_with("PORT_")
        || name.starts_with("SERVICE_PORT_")
}

fn unknown_variable(name: &str, keys: &[Key]) -> String {
    let mut names = variables(keys);
    names.extend(SHORT_NAMES.iter().map(|(short, _)| (*short).to_owned()));
    names.extend(["CONFIG", "URL", "USER", "PASSWORD", "CAFILE"].map(str::to_owned));
    match nearest(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("unknown variable - did you mean {PREFIX}{meant}?"),
        None => {
            "unknown variable; keys are written as DUETMQ_LISTENER__0__BIND, and `duetmq check` lists them"
                .to_owned()
        }
    }
}

/// The variable of every key, without the prefix; of lists, that of the first element.
fn variables(keys: &[Key]) -> Vec<String> {
    let mut names = Vec::new();
    for key in keys {
        let name = key.name.to_uppercase();
        let below = |keys, between: &str| {
            let below = variables(keys).into_iter();
            below.map(|inner| format!("{name}{between}{inner}")).collect::<Vec<_>>()
        };
        match key.kind {
            Kind::Value(..) => names.push(name),
            Kind::Table(keys) => names.extend(below(keys, "__")),
            Kind::Tables(keys) => names.extend(below(keys, "__0__")),
            Kind::Named(keys) => names.extend(below(keys, "__DEFAULT__")),
            Kind::Names => {}
        }
    }
    names
}

fn kind_at<'a>(keys: &'a [Key], path: &[String]) -> Option<&'a Kind> {
    let (first, rest) = path.split_first()?;
    let key = keys.iter().find(|key| key.name == first)?;
    match (&key.kind, rest) {
        (kind, []) => Some(kind),
        (Kind::Table(keys), rest) => kind_at(keys, rest),
        (Kind::Tables(keys), [index, rest @ ..]) if index.parse::<usize>().is_ok() => kind_at(keys, rest),
        (Kind::Named(keys), [_, rest @ ..]) => kind_at(keys, rest),
        (Kind::Tables(_) | Kind::Names | Kind::Value(..), _) => None,
    }
}

/// `done`: the path so far, with a dot behind it.
fn put(table: &mut Table, keys: &[Key], steps: &[&str], done: &str, node: Node) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        return Err(format!("{} is a table; name a key of it", done.trim_end_matches('.')));
    };
    let Some(key) = keys.iter().find(|key| key.name == *step) else {
        let known = keys.iter().map(|key| key.name);
        return Err(match nearest(step, known.clone()) {
            Some(meant) => format!("unknown key \"{done}{step}\" - did you mean \"{done}{meant}\"?"),
            None => {
                format!("unknown key \"{done}{step}\"; there are {}", known.collect::<Vec<_>>().join(", "))
            }
        });
    };
    let done = format!("{done}{step}.");
    match key.kind {
        Kind::Value(..) if rest.is_empty() => {
            table.put(step, node);
            Ok(())
        }
        Kind::Value(..) => {
            Err(format!("{} is a value; there is nothing below it", done.trim_end_matches('.')))
        }
        Kind::Table(keys) => match inner(table, step, &node.origin) {
            Some(table) => put(table, keys, rest, &done, node),
            // What the file has there is no table; the check says so.
            None => Ok(()),
        },
        Kind::Named(keys) => {
            let Some((name, rest)) = rest.split_first() else {
                return Err(format!("{step} has tables by name; write {done}NAME and a key of it"));
            };
            let tables = inner(table, step, &node.origin);
            match tables.and_then(|tables| inner(tables, name, &node.origin)) {
                Some(table) => put(table, keys, rest, &format!("{done}{name}."), node),
                None => Ok(()),
            }
        }
        Kind::Names => {
            if let Some(table) = inner(table, step, &node.origin) {
                // Names may have dots in them. They are texts, whatever they look like.
                let text = if let Value::Raw(text) = node.value { Value::Text(text) } else { node.value };
                table.put(&rest.join("."), Node { value: text, origin: node.origin });
            }
            Ok(())
        }
        Kind::Tables(keys) => put_in_list(table, step, keys, rest, &done, node),
    }
}

fn put_in_list(
    table: &mut Table,
    name: &str,
    keys: &[Key],
    steps: &[&str],
    done: &str,
    node: Node,
) -> Result<(), String> {
    let index = steps.first().and_then(|step| step.parse::<usize>().ok());
    let (Some(index), Some((_, rest))) = (index, steps.split_first()) else {
        return Err(format!("{name} is a list; write {done}0 for its first element"));
    };
    if table.get(name).is_none() {
        table.put(name, Node { value: Value::List(Vec::new()), origin: node.origin.clone() });
    }
    let Some(Node { value: Value::List(list), .. }) = table.get_mut(name) else { return Ok(()) };
    if index > list.len() {
        return Err(format!("there is no {done}{index}; the next one is {done}{}", list.len()));
    }
    if index == list.len() {
        list.push(Node { value: Value::Table(Table::default()), origin: node.origin.clone() });
    }
    match list.get_mut(index).map(|item| &mut item.value) {
        Some(Value::Table(table)) => put(table, keys, rest, &format!("{done}{index}."), node),
        _ => Ok(()),
    }
}

/// The table of that name, made if there is none; `None` if there is something else.
fn inner<'a>(table: &'a mut Table, name: &str, origin: &Origin) -> Option<&'a mut Table> {
    if table.get(name).is_none() {
        table.put(name, Node { value: Value::Table(Table::default()), origin: origin.clone() });
    }
    match table.get_mut(name).map(|node| &mut node.value) {
        Some(Value::Table(table)) => Some(table),
        _ => None,
    }
}

/// What the variables of all keys start with.
pub(crate) const PREFIX: &str = "DUETMQ_";

/// Short names beside the long ones.
const SHORT_NAMES: [(&str, &str); 2] = [("DATA_DIR", "node.data_dir"), ("LOG", "log.level")];
