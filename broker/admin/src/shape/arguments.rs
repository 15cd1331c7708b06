//! Arguments: an object of JSON, taken field by field; what nobody took is refused

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// Fields that are left to be read.
pub(crate) struct Fields {
    /// What they are fields of, for whoever is told: `exchange`, `arguments`.
    of: &'static str,
    left: Map<String, Value>,
}

impl Fields {
    /// Those of an object; null and nothing have none.
    ///
    /// # Errors
    ///
    /// It is something else. RabbitMQ writes an object without fields as an empty list.
    pub(crate) fn of(of: &'static str, value: Option<&Value>) -> Result<Self, String> {
        let left = match value {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Array(list)) if list.is_empty() => Map::new(),
            Some(Value::Object(all)) => all.clone(),
            Some(other) => return Err(format!("{of}: a JSON object is wanted, not {other}")),
        };
        Ok(Self { of, left })
    }

    /// The value of a field.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    /// Yes or no; RabbitMQ takes them as texts, too.
    pub(crate) fn truth(&mut self, name: &str, default: bool) -> Result<bool, String> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(truth)) => Ok(truth),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(self.wrong(name, &other, "true or false")),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, &other, "a text")),
        }
    }

    /// The name of something.
    pub(crate) fn name(&mut self, name: &str) -> Result<Option<String>, String> {
        let text = self.text(name)?;
        text.map(|text| checked(&format!("{}.{name}", self.of), &text).map(|()| text)).transpose()
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, String> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|number| bounds.contains(number)) {
                Some(number) => Ok(Some(number)),
                None => {
                    let wanted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
                    Err(self.wrong(name, &value, &wanted))
                }
            },
        }
    }

    /// A whole number that may be below zero.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i32>, String> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64().and_then(|number| i32::try_from(number).ok()) {
                Some(number) => Ok(Some(number)),
                None => {
                    let wanted = format!("a whole number from {} to {}", i32::MIN, i32::MAX);
                    Err(self.wrong(name, &value, &wanted))
                }
            },
        }
    }

    /// Fields that say nothing that we need.
    pub(crate) fn pass_over(&mut self, names: &[&str]) {
        for name in names {
            self.left.remove(*name);
        }
    }

    /// Whether all were taken.
    ///
    /// # Errors
    ///
    /// What is left, and what there is: nothing is ignored in silence.
    pub(crate) fn end(self, known: &[&str]) -> Result<(), String> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("{} has no {name:?} here; there are {}", self.of, known.join(", "))),
        }
    }

    /// All that are left, in order.
    pub(crate) fn rest(self) -> impl Iterator<Item = (String, Value)> {
        self.left.into_iter()
    }

    fn wrong(&self, name: &str, value: &Value, wanted: &str) -> String {
        // Whoever sent it knows it; of a long one the beginning is enough.
        let shown: String = value.to_string().chars().take(100).collect();
        format!("{}.{name} is {shown}: {wanted} is wanted", self.of)
    }
}

/// Whether that can be the name of something.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn checked(of: &str, name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("{of} has {} bytes; a name has {NAME_BYTES_MAX} at most", name.len()));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("{of} is {name:?}; a name has no control characters"));
    }
    Ok(())
}

/// AMQP's, which RabbitMQ's users know.
const NAME_BYTES_MAX: usize = 255;
