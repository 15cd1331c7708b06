//! Arguments of exchanges, queues and bindings, as a command line says them

use clap::Args;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// RabbitMQ's optional arguments.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ArgumentArgs {
    /// One argument, such as x-message-ttl=60000 or x-match=any; a number, true, false and null are what they look like, and
    /// JSON in quotes ('"5"') is a text. May be given several times.
    #[arg(short, long = "argument", value_name = "NAME=VALUE")]
    argument: Vec<String>,
    /// All of them as one JSON object.
    #[arg(long, value_name = "JSON", conflicts_with = "argument")]
    arguments: Option<String>,
}

impl ArgumentArgs {
    /// As the API takes them.
    pub(crate) fn read(&self) -> Result<Value, Failure> {
        if let Some(text) = &self.arguments {
            let value: Value = serde_json::from_str(text)
                .map_err(|error| Failure::usage(format!("--arguments {text}: no JSON: {error}")))?;
            return match value {
                Value::Object(_) => Ok(value),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    Err(Failure::usage(format!("--arguments {text}: a JSON object is wanted")))
                }
            };
        }
        read_pairs("--argument", &self.argument)
    }
}

/// An object of what was given as `NAME=VALUE`, behind that flag.
pub(crate) fn read_pairs(flag: &str, pairs: &[String]) -> Result<Value, Failure> {
    let mut all = Map::new();
    for text in pairs {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::usage(format!("{flag} {text}: write NAME=VALUE")))?;
        let read =
            serde_json::from_str(value).ok().filter(|read: &Value| !read.is_object() && !read.is_array());
        if all.insert(name.to_owned(), read.unwrap_or_else(|| Value::from(value))).is_some() {
            return Err(Failure::usage(format!("{flag} {name} is there twice")));
        }
    }
    Ok(Value::Object(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_what_it_looks_like() {
        let all = ["a=5", "b=true", "c=", "d=null", "e=\"5\"", "f=x=y", "g=[1]"].map(str::to_owned).to_vec();
        let read = ArgumentArgs { argument: all, arguments: None }.read().unwrap();
        let expected = json!({"a": 5, "b": true, "c": "", "d": null, "e": "5", "f": "x=y", "g": "[1]"});
        assert_eq!(read, expected);
        let whole = |text: &str| ArgumentArgs { argument: Vec::new(), arguments: Some(text.into()) }.read();
        assert_eq!(whole("{\"a\": 1}").unwrap(), json!({"a": 1}));
        for wrong in ["", "[]", "5", "{"] {
            assert!(whole(wrong).is_err(), "{wrong}");
        }
        for wrong in [&["a"][..], &["=1"], &["a=1", "a=2"]] {
            let argument = wrong.iter().map(|text| (*text).to_owned()).collect();
            assert!(ArgumentArgs { argument, arguments: None }.read().is_err(), "{wrong:?}");
        }
    }
}
