//! What a request asks of a list: which part of it, and what each item must be like

use serde::Serialize;
use serde_json::Value;

/// The query of a request, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Behind what the page begins.
    pub(crate) after: Option<String>,
    /// How many items at most.
    pub(crate) limit: usize,
    /// Fields, and what they must be.
    equal: Vec<(String, String)>,
}

impl Ask {
    /// `after=…&limit=…`, and fields of an item with what they are to be: `user=kim&connected=true`. A field that is null is
    /// written as nothing: `user=`. `sample` is any item.
    ///
    /// # Errors
    ///
    /// What is wrong, for whoever asked.
    pub(crate) fn read(query: &str, sample: &impl Serialize) -> Result<Self, String> {
        let mut ask = Self { limit: LIMIT, ..Self::default() };
        let sample = serde_json::to_value(sample).unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "after" => ask.after = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    ask.limit =
                        limit.ok_or_else(|| format!("limit={value}: a number from 1 to {LIMIT_MAX}"))?;
                }
                field if sample.get(field).is_some() => {
                    ask.equal.push((name.into_owned(), value.into_owned()));
                }
                field => {
                    let known = sample.as_object().into_iter().flat_map(|fields| fields.keys());
                    let known: Vec<&str> = known.map(String::as_str).collect();
                    return Err(format!("there is no field {field:?}; there are {}", known.join(", ")));
                }
            }
        }
        Ok(ask)
    }

    /// Whether `item` is wanted.
    pub(crate) fn wants(&self, item: &impl Serialize) -> bool {
        if self.equal.is_empty() {
            return true;
        }
        let item = serde_json::to_value(item).unwrap_or_default();
        self.equal.iter().all(|(name, wanted)| {
            let is = match item.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
                    other.to_string()
                }
            };
            is == *wanted
        })
    }
}

/// How many items a page has where nobody says.
const LIMIT: usize = 1000;
/// How many it has at most.
const LIMIT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_is_wanted_that_is_as_it_was_asked_for() {
        let sample = json!({ "user": null, "connected": false, "waiting": 0 });
        let item = json!({ "user": "a b", "connected": true, "waiting": 7 });
        let wants = |query: &str| Ask::read(query, &sample).unwrap().wants(&item);
        assert!(wants("") && wants("user=a+b") && wants("user=a%20b&connected=true&waiting=7"));
        assert!(!wants("user=a") && !wants("user=a+b&connected=false") && !wants("user="));
        assert!(Ask::read("user=", &sample).unwrap().wants(&sample));
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        let sample = json!({ "user": null });
        let error = Ask::read("usr=kim", &sample).unwrap_err();
        assert!(error.contains("usr") && error.contains("there are user"), "{error}");
        for limit in ["0", "x", "10001", "-1", ""] {
            assert!(Ask::read(&format!("limit={limit}"), &sample).is_err(), "{limit}");
        }
        let ask = Ask::read("limit=5&after=session-1-2", &sample).unwrap();
        assert_eq!((ask.limit, ask.after.as_deref()), (5, Some("session-1-2")));
    }
}
