//! Settings: every key with its value, whether it was given or not.

use crate::config::origin::Origin;
use crate::config::schema::Type;

/// The values of a table. There is one for each key of the schema, so asking for a key that the schema has always gives
/// something; asking for another is a mistake in this crate, and panics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section(Vec<(String, Item)>);

/// What a key holds.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A value.
    Value(Given),
    /// A table.
    Section(Section),
    /// Tables.
    Sections(Vec<Section>),
    /// Tables, by names that the user chose.
    Named(Vec<(String, Section)>),
    /// Names that the user chose.
    Names(Vec<(String, Given)>),
}

/// A value, what kind it is, and where it was given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) setting: Setting,
    pub(crate) of: Type,
    pub(crate) origin: Origin,
}

/// A value that has been checked against its type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Setting {
    /// A text, a word, an address, a path.
    Text(String),
    /// Yes or no.
    Truth(bool),
    /// A count, a size in bytes, a duration in milliseconds.
    Number(u64),
    /// A number that need not be whole.
    Ratio(f64),
    /// Texts.
    Texts(Vec<String>),
    /// Not given, and without a default.
    Unset,
}

impl Given {
    /// The text of a name that the user chose; empty for anything else.
    pub(crate) fn text(&self) -> &str {
        if let Setting::Text(text) = &self.setting { text } else { "" }
    }
}

impl Section {
    pub(crate) fn new(items: Vec<(String, Item)>) -> Self {
        Self(items)
    }

    pub(crate) fn items(&self) -> &[(String, Item)] {
        &self.0
    }

    pub(crate) fn item(&self, key: &str) -> &Item {
        let item = self.0.iter().find(|(name, _)| name == key).map(|(_, item)| item);
        item.unwrap_or_else(|| panic!("the schema has the key {key:?}"))
    }

    pub(crate) fn given(&self, key: &str) -> &Given {
        match self.item(key) {
            Item::Value(given) => given,
            Item::Section(_) | Item::Sections(_) | Item::Named(_) | Item::Names(_) => {
                panic!("the schema has a value at {key:?}")
            }
        }
    }

    pub(crate) fn section(&self, key: &str) -> &Self {
        match self.item(key) {
            Item::Section(section) => section,
            Item::Value(_) | Item::Sections(_) | Item::Named(_) | Item::Names(_) => {
                panic!("the schema has a table at {key:?}")
            }
        }
    }

    pub(crate) fn sections(&self, key: &str) -> &[Self] {
        match self.item(key) {
            Item::Sections(sections) => sections,
            Item::Value(_) | Item::Section(_) | Item::Named(_) | Item::Names(_) => {
                panic!("the schema has tables at {key:?}")
            }
        }
    }

    pub(crate) fn named(&self, key: &str) -> &[(String, Self)] {
        match self.item(key) {
            Item::Named(named) => named,
            Item::Value(_) | Item::Section(_) | Item::Sections(_) | Item::Names(_) => {
                panic!("the schema has tables by name at {key:?}")
            }
        }
    }

    pub(crate) fn names(&self, key: &str) -> &[(String, Given)] {
        match self.item(key) {
            Item::Names(names) => names,
            Item::Value(_) | Item::Section(_) | Item::Sections(_) | Item::Named(_) => {
                panic!("the schema has names at {key:?}")
            }
        }
    }

    /// A text; `None` where it is not set.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let setting = self.setting(key)?;
        let Setting::Text(text) = setting else {
            panic!("the schema has a text at {key:?}, not {setting:?}")
        };
        Some(text)
    }

    /// A text that is always there: it has a default or is required.
    pub(crate) fn word(&self, key: &str) -> &str {
        self.text(key).unwrap_or_default()
    }

    pub(crate) fn truth(&self, key: &str) -> bool {
        matches!(self.setting(key), Some(Setting::Truth(true)))
    }

    /// A number; `None` where it is not set.
    pub(crate) fn number_if_set(&self, key: &str) -> Option<u64> {
        let setting = self.setting(key)?;
        let Setting::Number(number) = setting else {
            panic!("the schema has a number at {key:?}, not {setting:?}")
        };
        Some(*number)
    }

    /// A number that is always there.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.number_if_set(key).unwrap_or_default()
    }

    pub(crate) fn ratio(&self, key: &str) -> f64 {
        let setting = self.setting(key);
        let Some(Setting::Ratio(ratio)) = setting else {
            panic!("the schema has a ratio at {key:?}, not {setting:?}")
        };
        *ratio
    }

    pub(crate) fn texts(&self, key: &str) -> &[String] {
        let setting = self.setting(key);
        let Some(Setting::Texts(texts)) = setting else {
            panic!("the schema has texts at {key:?}, not {setting:?}")
        };
        texts
    }

    fn setting(&self, key: &str) -> Option<&Setting> {
        let setting = &self.given(key).setting;
        (*setting != Setting::Unset).then_some(setting)
    }
}
