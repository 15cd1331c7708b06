//! Whose destinations they are: how users and sessions are written as the first level of a key.
//!
//! What is meant for one user lies in [`ExchangeName::USER`], for one session in [`ExchangeName::SESSION`]; the first level
//! of each key says whose it is. A client names it when it publishes. When it subscribes it never does: the broker puts
//! it there, so nobody can ask for what is another's.

use std::borrow::Cow;
use std::fmt::Write;

use crate::name::ExchangeName;

/// Whether keys of this exchange begin with a user or a session.
pub fn is_personal(exchange: &ExchangeName) -> bool {
    *exchange == ExchangeName::USER || *exchange == ExchangeName::SESSION
}

/// Whether `text` is written as the broker names sessions: `session-1-5` a connection's, `session-1-q5` one that may outlive
/// its connection. No user is written like that, see [`user_level`].
pub fn is_session(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix("session-").and_then(|rest| rest.split_once('-')).is_some_and(|(life, number)| {
        is_number(life) && is_number(number.strip_prefix('q').unwrap_or(number))
    })
}

/// A user's name as one level: what would part levels, is a wildcard, or starts a `%XX`, is written `%XX` itself. A name
/// that looks like a session's has its first letter written so.
pub fn user_level(name: &str) -> Cow<'_, str> {
    let is_special = |char: char| matches!(char, '%' | '/' | '+' | '#' | '\0');
    let like_session = is_session(name);
    if !like_session && !name.contains(is_special) {
        return Cow::Borrowed(name);
    }
    let mut level = String::with_capacity(name.len() + 8);
    for (at, char) in name.char_indices() {
        if is_special(char) || (like_session && at == 0) {
            // Writing to a String cannot fail.
            let _ = write!(level, "%{:02X}", u32::from(char));
        } else {
            level.push(char);
        }
    }
    Cow::Owned(level)
}

/// The first level of a key, as a client wrote it: a session's name, or a user's, any character of which may be written
/// `%XX`. Comes out in the one form that [`user_level`] has; `None` if it is empty or no text.
pub fn read_level(text: &str) -> Option<Cow<'_, str>> {
    if text.is_empty() {
        return None;
    }
    if is_session(text) {
        return Some(Cow::Borrowed(text));
    }
    if !text.contains('%') {
        return Some(user_level(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let hex = hex.filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) if *byte == b'%' => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    Some(Cow::Owned(user_level(&name).into_owned()))
}

/// A key of such an exchange, taken apart: whose it is, and what the owner calls it.
pub fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or((key, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_level_and_no_two_names_the_same() {
        check("kim", "kim");
        check("010-1234-5678", "010-1234-5678");
        check("kim@example.org", "kim@example.org");
        check("김철수", "김철수");
        check("a/b", "a%2Fb");
        check("a%2Fb", "a%252Fb");
        check("100%", "100%25");
        check("+#", "%2B%23");
        check("session-1-5", "%73ession-1-5");
        check("session-1-q5", "%73ession-1-q5");
        check("session-1", "session-1");
    }

    #[test]
    fn a_client_may_write_any_character_as_percent_and_means_the_same() {
        for (written, level) in
            [("%6bim", "kim"), ("a%2fb", "a%2Fb"), ("100%", "100%25"), ("%zz", "%25zz"), ("%EA%B9%80", "김")]
        {
            assert_eq!(read_level(written).as_deref(), Some(level), "{written}");
        }
        // A session is meant only where it is written plainly.
        assert_eq!(read_level("session-1-5").as_deref(), Some("session-1-5"));
        assert_eq!(read_level("%73ession-1-5").as_deref(), Some("%73ession-1-5"));
        assert_eq!(read_level("session%2D1-5").as_deref(), Some("%73ession-1-5"));
        for bad in ["", "%ff"] {
            assert_eq!(read_level(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sessions_are_told_from_users() {
        for yes in ["session-1-5", "session-12-q345"] {
            assert!(is_session(yes), "{yes}");
        }
        for no in ["session-1", "session-1-", "session--5", "session-1-q", "session-a-1", "xsession-1-5", ""]
        {
            assert!(!is_session(no), "{no}");
        }
    }

    #[track_caller]
    fn check(name: &str, level: &str) {
        assert_eq!(user_level(name), level);
        assert_eq!(read_level(level).as_deref(), Some(level), "{name} comes back");
    }
}
