//! Line: one event as text or JSON, escaped.

use std::fmt::{Display, Write};
use std::time::Duration;

use tracing::Level;

use crate::logging::timestamp;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `2026-01-31T10:00:00.123Z INFO  conn.open id=42 proto=mqtt5`
    #[default]
    Text,
    /// `{"time":"…","level":"INFO","event":"conn.open","id":42,"proto":"mqtt5"}`
    Json,
}

/// A line being built. What comes from outside may hold anything; none of it ends the line, starts another pair or
/// reaches a terminal as a command.
pub(super) struct Line {
    format: Format,
    head: String,
    event: String,
    pairs: String,
}

impl Line {
    pub(super) fn new(format: Format, since_1970: Duration, level: Level) -> Self {
        let mut head = String::with_capacity(160);
        match format {
            Format::Text => {
                timestamp::push(&mut head, since_1970);
                put(&mut head, format_args!(" {level:<5} "));
            }
            Format::Json => {
                head.push_str("{\"time\":\"");
                timestamp::push(&mut head, since_1970);
                put(&mut head, format_args!("\",\"level\":\"{level}\""));
            }
        }
        Self { format, head, event: String::new(), pairs: String::new() }
    }

    /// What happened.
    pub(super) fn event(&mut self, name: &str) {
        match self.format {
            Format::Text => push_escaped(&mut self.event, name),
            Format::Json => push_json(&mut self.event, name),
        }
    }

    /// A pair whose value is a text.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        match self.format {
            Format::Text => {
                put(&mut self.pairs, format_args!(" {key}="));
                push_value(&mut self.pairs, value);
            }
            Format::Json => {
                put(&mut self.pairs, format_args!(",\"{key}\":"));
                push_json(&mut self.pairs, value);
            }
        }
    }

    /// A pair whose value is a whole number or a truth.
    pub(super) fn plain(&mut self, key: &str, value: impl Display) {
        match self.format {
            Format::Text => put(&mut self.pairs, format_args!(" {key}={value}")),
            Format::Json => put(&mut self.pairs, format_args!(",\"{key}\":{value}")),
        }
    }

    /// The whole line with its end.
    pub(super) fn finish(mut self) -> String {
        match self.format {
            Format::Text => {
                self.head.push_str(&self.event);
                self.head.push_str(&self.pairs);
                self.head.push('\n');
            }
            Format::Json => {
                let event = if self.event.is_empty() { "\"\"" } else { &self.event };
                put(&mut self.head, format_args!(",\"event\":{event}{}}}\n", self.pairs));
            }
        }
        self.head
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail; a value whose own formatting fails is cut short.
    let _ = out.write_fmt(text);
}

/// As it is where that cannot be mistaken, else in quotes.
fn push_value(out: &mut String, value: &str) {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\' | '=') && !is_unsafe(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c => push_char(out, c),
        }
    }
    out.push('"');
}

/// Without quotes: blanks are welcome, commands to a terminal are not.
fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        push_char(out, c);
    }
}

fn push_char(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_unsafe(c) => put(out, format_args!("\\u{{{:x}}}", u32::from(c))),
        c => out.push(c),
    }
}

fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All of them are in the basic plane, where four digits are enough.
            c if is_unsafe(c) => put(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Control characters of either set, and the invisible ones that part lines or turn the direction of writing.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
