//! Schema: how a key is described.

/// A key that a configuration may have, or a table of keys.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name in its table.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// What it is for: one or two sentences.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test keeps docs/configuration.md true to it"))]
    pub(crate) doc: &'static str,
    /// It means something only where the key beside it has one of these values.
    pub(crate) only: Option<Only>,
}

/// The name of a key, and the words of which it must have one.
pub(crate) type Only = (&'static str, &'static [&'static str]);

impl Key {
    /// `name = …`
    pub(crate) const fn value(name: &'static str, of: Type, default: Default, doc: &'static str) -> Self {
        Self { name, kind: Kind::Value(of, default), doc, only: None }
    }

    /// `[name]`
    pub(crate) const fn table(name: &'static str, keys: &'static [Self], doc: &'static str) -> Self {
        Self { name, kind: Kind::Table(keys), doc, only: None }
    }

    /// `[[name]]`
    pub(crate) const fn tables(name: &'static str, keys: &'static [Self], doc: &'static str) -> Self {
        Self { name, kind: Kind::Tables(keys), doc, only: None }
    }

    /// `[name.any]`
    pub(crate) const fn named(name: &'static str, keys: &'static [Self], doc: &'static str) -> Self {
        Self { name, kind: Kind::Named(keys), doc, only: None }
    }

    /// `name = { any = "text" }`
    pub(crate) const fn names(name: &'static str, doc: &'static str) -> Self {
        Self { name, kind: Kind::Names, doc, only: None }
    }

    /// The same, where the key `beside` has one of `words`.
    pub(crate) const fn only_where(mut self, beside: &'static str, words: &'static [&'static str]) -> Self {
        self.only = Some((beside, words));
        self
    }
}

/// What a key holds.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `[name]`: these keys.
    Table(&'static [Key]),
    /// `[[name]]`: these keys, any number of times.
    Tables(&'static [Key]),
    /// `[name.any]`: these keys, under each name that the user chooses.
    Named(&'static [Key]),
    /// `name = { any = "text" }`: names that the user chooses.
    Names,
    /// `name = …`
    Value(Type, Default),
}

/// What is taken where nothing is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    /// This, written as an argument would be.
    Is(&'static str),
    /// Nothing; the words say what happens then.
    Unset(&'static str),
    /// The key must be given.
    Required,
}

/// What a value may be. Bounds are inclusive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    /// Any text.
    Text,
    /// A text that is shown to nobody.
    Secret,
    /// What something is called: 1 to 255 bytes, no control characters.
    Name,
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Count {
        /// At least.
        min: u64,
        /// At most.
        max: u64,
    },
    /// A number of bytes: `"1MiB"`, or a whole number.
    Size {
        /// At least, in bytes.
        min: u64,
        /// At most, in bytes.
        max: u64,
    },
    /// A time: `"500ms"`, `"7d"`.
    Duration {
        /// At least, in milliseconds.
        min_ms: u64,
        /// At most, in milliseconds.
        max_ms: u64,
    },
    /// A time of whole seconds; where it may be, also `"never"`, which is no end at all.
    Seconds {
        /// At least, in seconds.
        min: u64,
        /// At most, in seconds.
        max: u64,
        /// Whether `"never"` is allowed.
        never: bool,
    },
    /// How often is too often, and how long it keeps out: `"10/1m -> 10m"`; or `"off"`.
    Threshold,
    /// A number that need not be whole.
    Ratio {
        /// At least.
        min: f64,
        /// At most.
        max: f64,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `"127.0.0.1:1883"`
    Address,
    /// `"/ws"`
    Path,
    /// `"/stomp"`, or a list of such paths, none of which ends in a slash; as an argument, parted by commas.
    Paths,
    /// A level for all and others for targets.
    LogLevel,
    /// A list of texts; as an argument, parted by commas.
    Texts,
    /// A list of some of these words; as an argument, parted by commas.
    SomeOf(&'static [&'static str]),
}

impl Type {
    /// What is expected, for a complaint and for the reference: `a size such as "1MiB"`.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::Name => "a name of 1 to 255 bytes, without control characters".to_owned(),
            Self::Truth => "true or false".to_owned(),
            Self::Count { min, max: u64::MAX } => format!("a whole number from {min}"),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Size { min, max } => {
                let bounds = bounds(min, max, crate::config::quantity::write_size);
                format!("a size such as \"64KiB\" or \"1MiB\"{bounds}")
            }
            Self::Duration { min_ms, max_ms } => {
                let bounds = bounds(min_ms, max_ms, crate::config::quantity::write_duration);
                format!("a duration such as \"500ms\" or \"7d\"{bounds}")
            }
            Self::Seconds { min, max, never } => {
                let bounds = bounds(min * 1000, max * 1000, crate::config::quantity::write_duration);
                let never = if never { ", or \"never\"" } else { "" };
                format!("a duration of whole seconds such as \"30s\" or \"7d\"{bounds}{never}")
            }
            Self::Threshold => {
                "how often within which time, and how long it keeps out, such as \"10/1m -> 10m\", or \"off\""
                    .to_owned()
            }
            Self::Ratio { min, max } => format!("a number from {min:?} to {max:?}"),
            Self::OneOf(words) => quoted(words, "or"),
            Self::Address => "an address such as \"127.0.0.1:1883\" or \"[::1]:1883\"".to_owned(),
            Self::Path => "a path such as \"/ws\"".to_owned(),
            Self::Paths => {
                "a path such as \"/stomp\", or a list of them, without a slash at the end".to_owned()
            }
            Self::LogLevel => {
                "a log level: error, warn, info, debug, trace or off, and target=level after commas"
                    .to_owned()
            }
            Self::Texts => "a list of texts".to_owned(),
            Self::SomeOf(words) => format!("a list of some of {}", quoted(words, "and")),
        }
    }
}

fn bounds(min: u64, max: u64, write: fn(u64) -> String) -> String {
    match (min, max) {
        (0, u64::MAX) => String::new(),
        (min, u64::MAX) => format!(", at least {}", write(min)),
        (0, max) => format!(", at most {}", write(max)),
        (min, max) => format!(", from {} to {}", write(min), write(max)),
    }
}

pub(crate) fn quoted(words: &[&str], last: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match words.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, start)) => format!("{} {last} {end}", start.join(", ")),
        None => String::new(),
    }
}
