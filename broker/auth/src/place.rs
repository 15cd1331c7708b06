//! Where a rule is about: filters as MQTT writes them, with places for who somebody is

use model::key::{KeyPattern, Level};
use model::name::{ClientId, ExchangeName, UserName};
use model::personal;
use model::rights::Area;

/// The keys that a filter names, with `%u` and `%c` still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    exchange: ExchangeName,
    levels: Vec<Part>,
}

/// A level of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Is(Level),
    /// `%u`
    User,
    /// `%c`
    Client,
}

impl Place {
    /// Reads a filter; `plain` is the exchange of plain topics. `$exchange/NAME/…`, `$queue/NAME`, `$user/NAME/…` and
    /// `$session/ID/…` name what they name to an MQTT client. A level `%u` stands for the name of whoever the rule is held
    /// against, `%c` for its client id.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn parse(filter: &str, plain: &ExchangeName) -> Result<Self, String> {
        let levels = parts(filter)?;
        if let Some(part) = filter.split('/').find(|part| is_mixed(part)) {
            return Err(format!(
                "`{part}`: %u and %c have a level to themselves, so that no two names become the same text"
            ));
        }
        let (exchange, levels) = match levels.split_first() {
            Some((Part::Is(Level::Literal(first)), rest)) if first.starts_with('$') => {
                let first = first.clone();
                special(&first, rest, &levels)?
            }
            _ => (plain.clone(), levels),
        };
        Ok(Self { exchange, levels })
    }

    /// Whether it says neither `%u` nor `%c`.
    pub fn is_the_same_for_all(&self) -> bool {
        self.levels.iter().all(|part| matches!(part, Part::Is(_)))
    }

    /// The exchange.
    pub const fn exchange(&self) -> &ExchangeName {
        &self.exchange
    }

    /// The keys, where it is the same for all: what is still open is any level.
    pub fn pattern(&self) -> KeyPattern {
        let level = |part: &Part| match part {
            Part::Is(level) => level.clone(),
            Part::User | Part::Client => Level::One,
        };
        KeyPattern::new(self.levels.iter().map(level).collect())
    }

    /// What it names to them; `None`: nothing, since they have no such name. A name never becomes a wildcard, nor more than
    /// one level. One that has characters of those allows nothing by a rule that `allows`, and is denied whatever anybody
    /// could be denied by one that does not.
    pub(crate) fn for_whom(
        &self,
        user: Option<&UserName>,
        client: Option<&ClientId>,
        allows: bool,
    ) -> Option<Area> {
        let mut levels = Vec::with_capacity(self.levels.len());
        for (at, part) in self.levels.iter().enumerate() {
            let name = match part {
                Part::Is(level) => {
                    levels.push(level.clone());
                    continue;
                }
                Part::User => user?.as_str(),
                Part::Client => client?.as_str(),
            };
            levels.push(if at == 0 && self.exchange == ExchangeName::USER {
                // Where names of users are written so that each is one level.
                Level::Literal((*personal::user_level(name)).into())
            } else if is_one_level(name) {
                Level::Literal(name.into())
            } else if allows {
                return None;
            } else {
                Level::One
            });
        }
        Some(Area { exchange: self.exchange.clone(), pattern: KeyPattern::new(levels) })
    }
}

/// Whether a name is one level of a topic, and no wildcard at either door.
fn is_one_level(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('$')
        && !name.contains(|char: char| matches!(char, '+' | '#' | '/' | '*') || char.is_control())
}

fn is_mixed(part: &str) -> bool {
    !matches!(part, "%u" | "%c") && (part.contains("%u") || part.contains("%c"))
}

fn parts(filter: &str) -> Result<Vec<Part>, String> {
    if filter.is_empty() {
        return Err("a filter has at least one character".to_owned());
    }
    if filter.contains('\0') {
        return Err("a filter has no null character".to_owned());
    }
    let mut parts = Vec::new();
    for part in filter.split('/') {
        if matches!(parts.last(), Some(Part::Is(Level::Many))) {
            return Err("`#` stands last".to_owned());
        }
        parts.push(match part {
            "+" => Part::Is(Level::One),
            "#" => Part::Is(Level::Many),
            "%u" => Part::User,
            "%c" => Part::Client,
            _ if part.contains(['+', '#']) => return Err("a wildcard has its level to itself".to_owned()),
            text => Part::Is(Level::Literal(text.into())),
        });
    }
    Ok(parts)
}

/// Those that begin with `$`.
fn special(first: &str, rest: &[Part], all: &[Part]) -> Result<(ExchangeName, Vec<Part>), String> {
    match (first, rest) {
        ("$queue", [Part::Is(Level::Literal(name))]) if name.is_empty() => {
            Err("`$queue/` is followed by the name of a queue".to_owned())
        }
        ("$queue", [_, ..]) => Ok((ExchangeName::DEFAULT, rest.to_vec())),
        ("$queue", []) => Err("`$queue/` is followed by the name of a queue".to_owned()),
        ("$exchange", [Part::Is(Level::Literal(name)), rest @ ..]) if !name.is_empty() => {
            Ok((ExchangeName::new(name), rest.to_vec()))
        }
        ("$exchange", _) => Err("`$exchange/` is followed by the name of an exchange".to_owned()),
        ("$user", _) => Ok((ExchangeName::USER, whose(rest)?)),
        ("$session", [Part::User | Part::Client, ..]) => {
            Err("the broker names sessions; write `$session/#`: of these, everybody hears his own alone"
                .to_owned())
        }
        ("$session", _) => Ok((ExchangeName::SESSION, whose(rest)?)),
        ("$share", _) => Err("a share has no rights of its own; name what it shares".to_owned()),
        _ => Ok((ExchangeName::TOPIC, all.to_vec())),
    }
}

/// The levels below `$user/` or `$session/`: the first one says whose they are, or is a wildcard.
fn whose(levels: &[Part]) -> Result<Vec<Part>, String> {
    let mut levels = levels.to_vec();
    match levels.first_mut() {
        Some(Part::Is(Level::Literal(name))) => {
            let level = personal::read_level(name).ok_or("a name is text; its %XX are UTF-8")?;
            *name = (*level).into();
        }
        Some(Part::Is(Level::One | Level::Many) | Part::User | Part::Client) => {}
        None => return Err("the name of a user or a session follows, or a wildcard".to_owned()),
    }
    Ok(levels)
}
