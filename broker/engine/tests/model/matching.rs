//! Which messages a binding leads on: the definitions, word by word

use model::queue::{ExchangeKind, HeaderMatch, MatchMode};

use crate::reference::{Bound, Message};

pub(crate) fn leads(bound: &Bound, kind: ExchangeKind, message: &Message) -> bool {
    match kind {
        ExchangeKind::Direct => bound.pattern.replace('+', "*") == message.key,
        ExchangeKind::Fanout => true,
        ExchangeKind::Topic => {
            let (pattern, key): (Vec<_>, Vec<_>) =
                (bound.pattern.split('/').collect(), message.key.split('/').collect());
            matches(&pattern, &key)
        }
        ExchangeKind::Headers => has_headers(&bound.headers, &message.headers),
    }
}

fn matches(pattern: &[&str], key: &[&str]) -> bool {
    match pattern {
        [] => key.is_empty(),
        ["#", rest @ ..] => (0..=key.len()).any(|taken| matches(rest, &key[taken..])),
        ["+", rest @ ..] => !key.is_empty() && matches(rest, &key[1..]),
        [word, rest @ ..] => key.first() == Some(word) && matches(rest, &key[1..]),
    }
}

fn has_headers(asked: &HeaderMatch, headers: &[(String, String)]) -> bool {
    let has = |name: &str, value: Option<&str>| {
        let there = headers.iter().find(|(one, _)| one == name);
        there.is_some_and(|(_, there)| value.is_none_or(|value| value == there))
    };
    let with_x = matches!(asked.mode, MatchMode::AllWithX | MatchMode::AnyWithX);
    let counts: Vec<_> = asked.wanted.iter().filter(|(name, _)| with_x || !name.starts_with("x-")).collect();
    let mut met = counts.iter().map(|(name, value)| has(name, value.as_deref()));
    match asked.mode {
        MatchMode::All | MatchMode::AllWithX => met.all(|met| met),
        MatchMode::Any | MatchMode::AnyWithX => met.any(|met| met),
    }
}
