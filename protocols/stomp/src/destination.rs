//! /queue, /topic, … to exchange and key, and back.
//!
//! Inside, the levels of a key are parted by `/`. A destination has a separator of its own, `.` under `/topic/` and
//! `/exchange/…/`, and the two characters change places: `/topic/a.b` is the key `a/b`. A dot inside a level (an MQTT topic
//! `a.b/c`) becomes a slash inside a word, which is written `%2F` (`/topic/a%2Fb.c`), because RabbitMQ and we refuse a plain
//! one there. So the way back gives exactly the key that came in, and a client that never saw a dot in an MQTT topic
//! never sees a `%`. Text that is not ASCII stays as it is in both directions; `%XX` is understood on the way in.

use bytes::BytesMut;
use bytestring::ByteString;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, QueueName};
use model::personal;
use model::scan::has_any;

use crate::escape::{Escapes, SPECIAL};

mod error;

pub use error::DestinationError;

/// What a prefix of destinations stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrefixKind {
    /// Keys of that exchange.
    Exchange(ExchangeName),
    /// Queues, made by whoever names them first.
    Queue,
    /// What is for the service that consumes that queue: all of it, whatever follows the prefix.
    Application(QueueName),
    /// What is for a user: SEND names him first, SUBSCRIBE is always about one's own.
    User,
    /// What is for one session: its own, unless SEND names another one first.
    Session,
}

impl PrefixKind {
    /// Keys of the topic exchange, which are MQTT's topics.
    pub const TOPIC: Self = Self::Exchange(ExchangeName::TOPIC);
}

/// Destinations that start alike and mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    text: Box<str>,
    kind: PrefixKind,
    separator: u8,
    /// The words of the prefix as the first levels of each key, with a `/` behind; empty if it is not kept.
    kept: Box<str>,
}

impl Prefix {
    /// A prefix such as `/sub/`. What follows it is the key or the queue's name; with `keep`, the prefix's own words come
    /// first: `/sub/chat` is the key `chat`, or `sub/chat`. Levels are parted by `separator`.
    ///
    /// # Errors
    ///
    /// Says what a prefix must look like.
    pub fn new(text: &str, kind: PrefixKind, separator: char, keep: bool) -> Result<Self, PrefixError> {
        if !text.starts_with('/') || !text.ends_with('/') || text.len() < 3 {
            return Err(PrefixError::Slashes(text.into()));
        }
        // Wildcards and what starts a `%XX` have a meaning of their own.
        let may_part = |byte: &u8| byte.is_ascii_punctuation() && !b"%*#+".contains(byte);
        let byte = u8::try_from(separator).ok().filter(may_part);
        let separator = byte.ok_or(PrefixError::Separator(separator))?;
        if let PrefixKind::Exchange(name) = &kind
            && *name == ExchangeName::DEFAULT
        {
            return Err(PrefixError::DefaultExchange(text.into()));
        }
        let kept = if keep { format!("{}/", text.trim_matches('/')) } else { String::new() };
        Ok(Self { text: text.into(), kind, separator, kept: kept.into() })
    }

    /// How destinations of it start.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The one that is always there.
    fn topic() -> Self {
        Self { text: "/topic/".into(), kind: PrefixKind::TOPIC, separator: b'.', kept: "".into() }
    }

    /// One of those that a broker has one of.
    fn usual(kind: PrefixKind, text: &str) -> Self {
        Self { text: text.into(), kind, separator: b'/', kept: "".into() }
    }

    /// How it can say that exchange and key: what stands first, the words that follow, and what parts them.
    fn show<'a>(&'a self, exchange: &ExchangeName, key: &'a RoutingKey) -> Option<(&'a str, &'a str, u8)> {
        let separator = match (&self.kind, self.separator) {
            (PrefixKind::Exchange(name), separator) if name == exchange => separator,
            (PrefixKind::Queue, b'/') if *exchange == ExchangeName::DEFAULT => b'/',
            (PrefixKind::Queue, _) if *exchange == ExchangeName::DEFAULT => b'\0',
            (PrefixKind::Exchange(_) | PrefixKind::Queue | PrefixKind::Application(_), _) => return None,
            (PrefixKind::User | PrefixKind::Session, _) => return None,
        };
        let rest = key.as_str().strip_prefix(&*self.kept).filter(|rest| !rest.is_empty())?;
        Some((&self.text, rest, separator))
    }

    /// Its words, for texts about it.
    fn words(&self) -> &str {
        self.text.trim_matches('/')
    }
}

/// Why a prefix is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// It is told apart from names by its slashes.
    #[error("the prefix {0:?} must start and end with a slash, with a word between, as in \"/sub/\"")]
    Slashes(String),
    /// It must not be part of words.
    #[error("{0:?} cannot part words; use \".\" or \"/\"")]
    Separator(char),
    /// Its keys are the names of queues.
    #[error("the prefix {0:?} cannot stand for the default exchange; use kind = \"queue\"")]
    DefaultExchange(String),
}

/// All prefixes of a broker. Cheap to ask, made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// Longest first, so that `/sub/queue/` is asked before `/sub/`. Always has one for `/topic/`, one for users and one for
    /// sessions.
    prefixes: Vec<Prefix>,
    /// The longest key that the configuration allows, in bytes; at most [`KEY_BYTES_MAX`].
    key_bytes_max: usize,
}

impl Default for Destinations {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// Where a SEND goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The exchange.
    pub exchange: ExchangeName,
    /// The key there.
    pub key: RoutingKey,
    /// The queue that is made if it does not exist.
    pub declares: Option<QueueName>,
    /// Whether the message is to say where it was sent, because the address no longer does.
    pub hides_destination: bool,
}

impl Address {
    fn queue(key: RoutingKey, declares: Option<QueueName>, hides_destination: bool) -> Self {
        Self { exchange: ExchangeName::DEFAULT, key, declares, hides_destination }
    }
}

/// What a SUBSCRIBE is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Keys of an exchange, or a queue.
    pub what: Wanted,
    /// The prefix to show destinations with, if it is not the usual one.
    pub shown_by: Option<ShownBy>,
}

/// What a SUBSCRIBE wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// What is published with such keys.
    Keys {
        /// To this exchange.
        exchange: ExchangeName,
        /// With keys like these.
        pattern: KeyPattern,
        /// Whether it may be a headers exchange.
        named: bool,
    },
    /// What waits in a queue.
    Queue {
        /// Its name.
        name: QueueName,
        /// Whether it is made if it does not exist.
        declares: bool,
    },
}

/// One of the prefixes of [`Destinations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownBy(usize);

/// A destination taken apart, its text still escaped.
enum Parts<'a> {
    Keys { exchange: ExchangeName, text: &'a str, separator: u8, kept: &'a str, named: bool },
    Queue { name: String, declares: bool },
    Application { queue: &'a QueueName },
    Personal { exchange: ExchangeName, text: &'a str },
}

impl Destinations {
    /// Those prefixes, and `/topic/` unless one of them is, `/user/` unless one is for users, `/session/` unless one is for
    /// sessions.
    pub fn new(mut prefixes: Vec<Prefix>) -> Self {
        if !prefixes.iter().any(|prefix| &*prefix.text == TOPIC_PREFIX) {
            prefixes.push(Prefix::topic());
        }
        for (kind, text) in [(PrefixKind::User, "/user/"), (PrefixKind::Session, "/session/")] {
            if !prefixes.iter().any(|prefix| prefix.kind == kind) {
                prefixes.push(Prefix::usual(kind, text));
            }
        }
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.text.len()));
        Self { prefixes, key_bytes_max: KEY_BYTES_MAX }
    }

    /// The same, but keys and the patterns of SUBSCRIBE have at most so many bytes. More than 1024 changes nothing.
    #[must_use]
    pub fn with_key_bytes_max(self, key_bytes_max: usize) -> Self {
        Self { key_bytes_max: key_bytes_max.min(KEY_BYTES_MAX), ..self }
    }

    /// The exchange and the key that `destination` of SEND names.
    ///
    /// # Errors
    ///
    /// It is no destination that can be sent to.
    pub fn address(&self, destination: &str) -> Result<Address, DestinationError> {
        match self.parts(destination)?.0 {
            Parts::Queue { name, declares } => {
                let declares = declares.then(|| QueueName::new(&name));
                Ok(Address::queue(RoutingKey::new(name.into()), declares, false))
            }
            Parts::Application { queue } => {
                Ok(Address::queue(RoutingKey::from(queue.as_str()), Some(queue.clone()), true))
            }
            Parts::Keys { exchange, text, separator, kept, named: _ } => {
                let key = self.key(text, separator, kept)?;
                // MQTT clients would take such a topic for a protocol error (MQTT 5.0, 3.3.2.1).
                if exchange == ExchangeName::TOPIC && key.contains(['+', '#']) {
                    return Err(DestinationError::Wildcard(destination.into()));
                }
                // As for MQTT clients: nobody else speaks for the broker (MQTT 5.0, 4.7.2).
                if exchange == ExchangeName::TOPIC && key.starts_with('$') {
                    return Err(DestinationError::Reserved(destination.into()));
                }
                let key = RoutingKey::new(key.into());
                Ok(Address { exchange, key, declares: None, hides_destination: false })
            }
            Parts::Personal { exchange, text } => {
                let key = self
                    .personal_key(&exchange, text)
                    .ok_or_else(|| DestinationError::Whose(destination.into()))??;
                if key.contains(['+', '#']) {
                    return Err(DestinationError::Wildcard(destination.into()));
                }
                let key = RoutingKey::new(key.into());
                Ok(Address { exchange, key, declares: None, hides_destination: false })
            }
        }
    }

    /// What `destination` of SUBSCRIBE names.
    ///
    /// # Errors
    ///
    /// It is no destination that can be subscribed to.
    pub fn origin(&self, destination: &str) -> Result<Origin, DestinationError> {
        let (parts, shown_by) = self.parts(destination)?;
        let what = match parts {
            Parts::Queue { name, declares } => Wanted::Queue { name: QueueName::new(&name), declares },
            Parts::Application { queue } => {
                return Err(DestinationError::Application {
                    destination: destination.into(),
                    queue: queue.as_str().into(),
                });
            }
            Parts::Keys { exchange, text, separator, kept, named } => {
                let levels = self.key(text, separator, kept)?.split('/').map(level).collect();
                Wanted::Keys { exchange, pattern: KeyPattern::new(levels), named }
            }
            Parts::Personal { exchange, text } => {
                let levels = self.key(text, b'/', "")?.split('/').map(level).collect();
                Wanted::Keys { exchange, pattern: KeyPattern::new(levels), named: false }
            }
        };
        Ok(Origin { what, shown_by })
    }

    /// The key of SEND: with the user first, in the one form that names have. Without a session first, the broker adds the
    /// sender's own. `None`: there is no name, or nothing behind it.
    fn personal_key(&self, exchange: &ExchangeName, text: &str) -> Option<Result<String, DestinationError>> {
        if *exchange == ExchangeName::SESSION && !personal::is_session(personal::split(text).0) {
            return Some(self.key(text, b'/', ""));
        }
        let (owner, rest) = text.split_once('/').filter(|(_, rest)| !rest.is_empty())?;
        let kept = format!("{}/", personal::read_level(owner)?);
        Some(self.key(rest, b'/', &kept))
    }

    /// A key or the text of a pattern, levels parted by `/`.
    fn key(&self, text: &str, separator: u8, kept: &str) -> Result<String, DestinationError> {
        let mut key = plain(text)?;
        if separator != b'/' {
            key = key.chars().map(|char| swapped(char, separator)).collect();
        }
        key.insert_str(0, kept);
        if key.len() > KEY_BYTES_MAX {
            return Err(DestinationError::TooLong { what: "key", max: KEY_BYTES_MAX });
        }
        if key.len() > self.key_bytes_max {
            return Err(DestinationError::BeyondLimit { max: self.key_bytes_max });
        }
        if key.bytes().filter(|byte| *byte == b'/').count() >= LEVELS_MAX {
            return Err(DestinationError::TooDeep { max: LEVELS_MAX });
        }
        Ok(key)
    }

    fn parts<'a>(&'a self, text: &'a str) -> Result<(Parts<'a>, Option<ShownBy>), DestinationError> {
        if !text.starts_with('/') {
            if text.contains('/') || text.is_empty() {
                return Err(DestinationError::Unknown(text.into()));
            }
            return Ok((Parts::Queue { name: name(text, "")?, declares: true }, None));
        }
        for (index, prefix) in self.prefixes.iter().enumerate() {
            if let Some(rest) = text.strip_prefix(&*prefix.text) {
                return Ok((prefixed(prefix, rest)?, Some(ShownBy(index))));
            }
            if prefix.text.strip_suffix('/') == Some(text) {
                return Err(DestinationError::invalid("", prefix.words()));
            }
        }
        for (kind, prefix) in [("queue", "/queue"), ("amq/queue", "/amq/queue"), ("exchange", "/exchange")] {
            let Some(rest) = text.strip_prefix(prefix) else { continue };
            let invalid = || DestinationError::invalid(rest, kind);
            match rest.strip_prefix('/') {
                None if rest.is_empty() => return Err(invalid()),
                None => continue,
                Some(after) if kind == "exchange" => return Ok((exchange(after, invalid)?, None)),
                Some(after) if after.is_empty() || after.contains('/') => return Err(invalid()),
                Some(after) => {
                    return Ok((Parts::Queue { name: name(after, "")?, declares: kind == "queue" }, None));
                }
            }
        }
        match (text.strip_prefix(REPLY_PREFIX), text.strip_prefix(TEMPORARY_PREFIX)) {
            (Some(""), _) => Err(DestinationError::invalid("/", "reply-queue")),
            // The name is the broker's: whatever is in it stays in it.
            (Some(rest), _) => Ok((Parts::Queue { name: name(rest, "")?, declares: false }, None)),
            (None, Some(rest)) if rest.is_empty() || rest.contains('/') => {
                Err(DestinationError::invalid(&format!("/{rest}"), "temp-queue"))
            }
            (None, Some(_)) => Err(DestinationError::Temporary(text.into())),
            (None, None) => Err(DestinationError::Unknown(text.into())),
        }
    }

    /// Writes the destination of a message, escaped: through the prefix of the subscription where that can say it, else as
    /// `/topic/…`, `/queue/…`, `/reply-queue/…` or `/exchange/…`. Sent to, it gives the same exchange and key again; but what
    /// was for the receiver alone is written as the receiver subscribes to it, which does not say whose it is.
    pub fn write(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        shown_by: Option<ShownBy>,
        escapes: Escapes,
        buf: &mut BytesMut,
    ) {
        if *exchange == ExchangeName::DEFAULT && QueueName::is_for_replies(key.as_str()) {
            escapes.write(REPLY_PREFIX, buf);
            return write_words(key.as_str(), b'\0', escapes, buf);
        }
        let personal = match exchange.as_str() {
            "$user" => Some(PrefixKind::User),
            "$session" => Some(PrefixKind::Session),
            _ => None,
        };
        if let Some(kind) = personal {
            return self.write_personal(&kind, personal::split(key.as_str()).1, escapes, buf);
        }
        let chosen = shown_by.and_then(|ShownBy(index)| self.prefixes.get(index));
        let shown = chosen.and_then(|prefix| prefix.show(exchange, key)).or_else(|| {
            let usual = self.prefixes.iter().find(|prefix| &*prefix.text == TOPIC_PREFIX);
            usual.and_then(|prefix| prefix.show(exchange, key))
        });
        if let Some((prefix, rest, separator)) = shown {
            escapes.write(prefix, buf);
            return write_words(rest, separator, escapes, buf);
        }
        if *exchange == ExchangeName::DEFAULT {
            buf.extend_from_slice(b"/queue/");
            return write_words(key.as_str(), b'\0', escapes, buf);
        }
        // The topic exchange as well, where somebody gave `/topic/` another meaning.
        buf.extend_from_slice(b"/exchange/");
        write_words(exchange.as_str(), b'\0', escapes, buf);
        if !key.as_str().is_empty() || *exchange == ExchangeName::TOPIC {
            buf.extend_from_slice(b"/");
            write_words(key.as_str(), b'.', escapes, buf);
        }
    }

    fn write_personal(&self, kind: &PrefixKind, rest: &str, escapes: Escapes, buf: &mut BytesMut) {
        if let Some(prefix) = self.prefixes.iter().find(|prefix| prefix.kind == *kind) {
            escapes.write(&prefix.text, buf);
        }
        write_words(rest, b'/', escapes, buf);
    }

    /// The destination that a SEND reaches that exchange and key by, as text.
    pub fn text(&self, exchange: &ExchangeName, key: &RoutingKey) -> ByteString {
        let mut buf = BytesMut::new();
        let kind = match exchange.as_str() {
            "$user" => Some(PrefixKind::User),
            "$session" => Some(PrefixKind::Session),
            _ => None,
        };
        match kind {
            Some(kind) => {
                let (owner, rest) = personal::split(key.as_str());
                self.write_personal(&kind, "", Escapes::Off, &mut buf);
                // It has its `%XX` already.
                buf.extend_from_slice(owner.as_bytes());
                buf.extend_from_slice(b"/");
                write_words(rest, b'/', Escapes::Off, &mut buf);
            }
            None => self.write(exchange, key, None, Escapes::Off, &mut buf),
        }
        ByteString::try_from(buf).unwrap_or_default()
    }
}

fn prefixed<'a>(prefix: &'a Prefix, rest: &'a str) -> Result<Parts<'a>, DestinationError> {
    if rest.is_empty() || (prefix.separator != b'/' && rest.contains('/')) {
        return Err(DestinationError::invalid(&format!("/{rest}"), prefix.words()));
    }
    match &prefix.kind {
        PrefixKind::Exchange(exchange) => Ok(Parts::Keys {
            exchange: exchange.clone(),
            text: rest,
            separator: prefix.separator,
            kept: &prefix.kept,
            named: true,
        }),
        PrefixKind::Application(queue) => Ok(Parts::Application { queue }),
        PrefixKind::Queue => Ok(Parts::Queue { name: name(rest, &prefix.kept)?, declares: true }),
        PrefixKind::User => Ok(Parts::Personal { exchange: ExchangeName::USER, text: rest }),
        PrefixKind::Session => Ok(Parts::Personal { exchange: ExchangeName::SESSION, text: rest }),
    }
}

fn exchange(text: &str, invalid: impl Fn() -> DestinationError) -> Result<Parts<'_>, DestinationError> {
    let (exchange, key) = text.split_once('/').unwrap_or((text, ""));
    if exchange.is_empty() || key.contains('/') {
        return Err(invalid());
    }
    let exchange = ExchangeName::new(&name(exchange, "")?);
    if exchange.as_str().starts_with('$') {
        return Err(DestinationError::Own(exchange.to_string()));
    }
    Ok(Parts::Keys { exchange, text: key, separator: b'.', kept: "", named: true })
}

/// The name of a queue or an exchange.
fn name(text: &str, kept: &str) -> Result<String, DestinationError> {
    let mut name = plain(text)?;
    name.insert_str(0, kept);
    if name.len() > NAME_BYTES_MAX {
        return Err(DestinationError::TooLong { what: "name", max: NAME_BYTES_MAX });
    }
    Ok(name)
}

fn swapped(char: char, separator: u8) -> char {
    match char {
        '/' => char::from(separator),
        other if other == char::from(separator) => '/',
        other => other,
    }
}

fn level(text: &str) -> Level {
    match text {
        "*" => Level::One,
        "#" => Level::Many,
        text => Level::Literal(text.into()),
    }
}

/// `text` with every `%XX` resolved. A `%` without two hexadecimal digits behind it is a `%`.
fn plain(text: &str) -> Result<String, DestinationError> {
    if !text.contains(['%', '\0']) {
        return Ok(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        match (byte, hex_pair(after)) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    match String::from_utf8(bytes) {
        // MQTT clients could not be told about it (MQTT 5.0, 1.5.4).
        Ok(plain) if !plain.contains('\0') => Ok(plain),
        Ok(_) | Err(_) => Err(DestinationError::NotText(text.replace('\0', " "))),
    }
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |index: usize| char::from(*bytes.get(index)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// The inverse of [`Destinations::key`] and [`name`]: `separator` is `/` where slashes part levels, NUL where nothing does.
fn write_words(text: &str, separator: u8, escapes: Escapes, buf: &mut BytesMut) {
    if has_words_alone(text, separator) {
        let start = buf.len();
        buf.extend_from_slice(text.as_bytes());
        let written = buf.get_mut(start..).unwrap_or_default();
        written.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = separator);
        return;
    }
    let mut rest = text;
    // What ends a line and has no escape in this version is written as `%XX` as well.
    let has_no_escape = |byte: u8| match escapes {
        Escapes::Off => matches!(byte, b'\n' | b'\r'),
        Escapes::WithoutCr => byte == b'\r',
        Escapes::All => false,
    };
    let is_special = |byte: u8| {
        byte == b'%'
            || has_no_escape(byte)
            || (separator != b'/' && (byte == b'/' || (byte == separator && byte != b'\0')))
    };
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, special) = rest.split_at(at);
        escapes.write(plain, buf);
        // Special bytes are ASCII: one character each.
        let (byte, after) = special.split_at(1);
        match byte {
            "%" if hex_pair(after.as_bytes()).is_some() => buf.extend_from_slice(b"%25"),
            "%" => buf.extend_from_slice(b"%"),
            "\n" => buf.extend_from_slice(b"%0A"),
            "\r" => buf.extend_from_slice(b"%0D"),
            "/" if separator == b'\0' => buf.extend_from_slice(b"%2F"),
            "/" => escapes.write(char::from(separator).encode_utf8(&mut [0; 4]), buf),
            _ => buf.extend_from_slice(b"%2F"),
        }
        rest = after;
    }
    escapes.write(rest, buf);
}

/// Whether nothing is to be written in another way but the `/` between words: so it is with nearly every text.
fn has_words_alone(text: &str, separator: u8) -> bool {
    // Of its own kind: a separator that is in a word, and a slash where nothing parts words.
    let other = match separator {
        b'/' => b'%',
        b'\0' => b'/',
        separator => separator,
    };
    let is_odd = matches!(separator, b':' | b'\\');
    !is_odd && !has_any(text.as_bytes(), SPECIAL) && !has_any(text.as_bytes(), [b'%', other])
}

const TOPIC_PREFIX: &str = "/topic/";
/// Where a client wants replies: means something in its `reply-to` only, and comes back as the id of the subscription.
pub(crate) const TEMPORARY_PREFIX: &str = "/temp-queue/";
/// What others see in its place.
const REPLY_PREFIX: &str = "/reply-queue/";
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;
/// The most levels of a key.
const LEVELS_MAX: usize = 128;
/// The longest name of a queue or an exchange, in bytes.
const NAME_BYTES_MAX: usize = 255;
