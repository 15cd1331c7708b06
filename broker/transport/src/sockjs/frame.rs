//! Frames out: o, h, a[…], c[…]. Messages in: JSON.

use std::fmt::Write;

/// The first frame of a session.
pub const OPEN: &str = "o";

/// Says that the connection is alive.
pub const HEART_BEAT: &str = "h";

/// Why a session ended, as its last frame says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The broker ended it.
    GoAway,
    /// Somebody else receives already.
    StillOpen,
    /// The connection of whoever received broke, so messages may be lost.
    Interrupted,
}

impl Close {
    /// The frame.
    pub const fn frame(self) -> &'static str {
        match self {
            Self::GoAway => "c[3000,\"Go away!\"]",
            Self::StillOpen => "c[2010,\"Another connection still open\"]",
            Self::Interrupted => "c[1002,\"Connection interrupted\"]",
        }
    }
}

/// Messages on their way out, already written as JSON and parted by commas: what an `a[…]` holds.
#[derive(Debug, Default)]
pub struct Messages {
    json: String,
}

impl Messages {
    /// Adds a message at the end.
    pub fn push(&mut self, message: &str) {
        if !self.json.is_empty() {
            self.json.push(',');
        }
        write_string(&mut self.json, message, must_be_escaped);
    }

    /// How many bytes they take as they will be sent.
    pub const fn len(&self) -> usize {
        self.json.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    /// All of them as one frame; none are left.
    pub fn take(&mut self) -> String {
        let json = std::mem::take(&mut self.json);
        let mut frame = String::with_capacity(json.len() + 3);
        frame.push_str("a[");
        frame.push_str(&json);
        frame.push(']');
        frame
    }
}

/// A frame as a string of JavaScript, in quotes. It may stand in a `<script>`, so nothing in it ends one.
pub fn script_string(frame: &str) -> String {
    let mut quoted = String::with_capacity(frame.len() + frame.len() / 8 + 2);
    write_string(&mut quoted, frame, |c| must_be_escaped(c) || c == '<');
    quoted
}

/// The messages of a request: an array of strings.
///
/// # Errors
///
/// If there is nothing, or something else.
pub fn messages(body: &[u8]) -> Result<Vec<String>, Malformed> {
    if body.is_empty() {
        return Err(Malformed::Empty);
    }
    serde_json::from_slice(body).map_err(|_| Malformed::NoJson)
}

/// The messages of a WebSocket message: an array of strings, or one string. Nothing at all is none.
///
/// # Errors
///
/// If it is something else.
pub fn websocket_messages(message: &[u8]) -> Result<Vec<String>, Malformed> {
    if message.is_empty() {
        return Ok(Vec::new());
    }
    if message.trim_ascii_start().first() == Some(&b'"') {
        return serde_json::from_slice(message).map(|one| vec![one]).map_err(|_| Malformed::NoJson);
    }
    messages(message)
}

/// Why what a client sent holds no messages; its text is what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing came.
    #[error("Payload expected.")]
    Empty,
    /// It is not JSON, or not an array of strings.
    #[error("Broken JSON encoding.")]
    NoJson,
}

fn write_string(out: &mut String, text: &str, escaped: impl Fn(char) -> bool) {
    out.push('"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if c != '"' && c != '\\' && !escaped(c) {
            continue;
        }
        out.push_str(text.get(plain..at).unwrap_or_default());
        plain = at + c.len_utf8();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All that must be escaped is below U+10000.
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}

/// What browsers change on its way, or cannot take.
const fn must_be_escaped(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\u{200c}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_wait_leave_as_one_frame() {
        let mut waiting = Messages::default();
        waiting.push("a");
        waiting.push("안녕\n\"\\");
        assert_eq!(waiting.take(), "a[\"a\",\"안녕\\n\\\"\\\\\"]");
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_browsers_garble_is_escaped_and_nothing_else() {
        for c in (0..0x1_0000).filter_map(char::from_u32) {
            let mut waiting = Messages::default();
            waiting.push(c.encode_utf8(&mut [0; 4]));
            let frame = waiting.take();
            let garbled = matches!(c, '\0'..='\x1f' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}')
                || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{ffff}' | '"' | '\\');
            assert_eq!(frame.contains('\\'), garbled, "{:04x}: {frame}", u32::from(c));
            let read: Vec<String> = serde_json::from_str(&frame[1..]).expect("JSON");
            assert_eq!(read, [c.to_string()]);
        }
    }

    #[test]
    fn a_frame_in_a_script_does_not_end_it() {
        assert_eq!(script_string("a[\"x\"]"), "\"a[\\\"x\\\"]\"");
        assert_eq!(script_string("</script>"), "\"\\u003c/script>\"");
    }

    #[test]
    fn messages_are_an_array_of_strings() {
        assert_eq!(messages(b"[]"), Ok(vec![]));
        assert_eq!(messages(br#" ["a", "\u00e9"] "#), Ok(vec!["a".to_owned(), "é".to_owned()]));
        assert_eq!(messages(b""), Err(Malformed::Empty));
        for broken in [&b"[\"x"[..], b"\"x\"", b"[1]", b"{}", b"[[\"x\"]]", b"[\"\\ud800\"]", b"[\"\xff\"]"] {
            assert_eq!(messages(broken), Err(Malformed::NoJson), "{}", broken.escape_ascii());
        }
    }

    #[test]
    fn a_websocket_may_also_bring_one_string_or_nothing() {
        assert_eq!(websocket_messages(b""), Ok(vec![]));
        assert_eq!(websocket_messages(b"\"a\""), Ok(vec!["a".to_owned()]));
        assert_eq!(websocket_messages(b"[\"a\",\"b\"]"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(websocket_messages(b"[\"a"), Err(Malformed::NoJson));
    }
}
