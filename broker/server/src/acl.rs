//! Acl: who may do what, and which rule it is that decides, asked of the files alone

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use auth::{Place, Rule};
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, ExchangeName, UserName, VhostName};
use model::principal::Permissions;
use model::reach::Reach;
use model::refusal::Refusal;
use model::rights::{Action, Right, Rights};
use serde_json::json;

use crate::arguments::{AclAction, AclArgs, AclTestArgs, ServeArgs};
use crate::config::{Config, Surroundings};
use crate::failure::{Code, Failure};

/// Runs `duetmq acl`. Says whether it is allowed, or a part of it.
///
/// # Errors
///
/// The configuration or the file of rules cannot be used, or the question is none.
pub fn run(arguments: &AclArgs, around: &Surroundings) -> Result<bool, Failure> {
    let AclAction::Test(question) = &arguments.action;
    let serve = ServeArgs { config: question.config.clone(), ..ServeArgs::default() };
    let config = Config::load(&serve, around).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(Code::Usage, lines.join("\n"))
    })?;
    let asked = Asked::new(question, &config).map_err(|text| Failure::new(Code::Usage, text))?;
    let answer = match &asked.refused {
        Some(why) => Answer { decision: DENIED, rule: why.clone() },
        None => answer(question, &asked, &config).map_err(|text| Failure::new(Code::Usage, text))?,
    };
    let file = config.acl().map(|path| path.display().to_string());
    let text = if question.json {
        let told = json!({
            "user": asked.user.as_ref().map(UserName::as_str), "client": question.client, "action": question.action, "topic": question.topic,
            "vhost": asked.vhost.as_str(), "decision": answer.decision, "rule": answer.rule, "file": file,
        });
        format!("{told}\n")
    } else {
        let note = if answer.decision == PARTLY { ": what it denies is left out of what comes" } else { "" };
        format!("{}  {}{note}\n", answer.decision, answer.rule)
    };
    // Whoever reads it may have seen enough before the end.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(answer.decision != DENIED)
}

struct Answer {
    decision: &'static str,
    rule: String,
}

const ALLOWED: &str = "allowed";
const PARTLY: &str = "partly";
const DENIED: &str = "denied";

/// Who it is, where, and what he brings along.
struct Asked {
    /// `None`: nobody by name.
    user: Option<UserName>,
    vhost: VhostName,
    rules: Arc<[Rule]>,
    /// Why he would not even be let in by his token.
    refused: Option<String>,
}

impl Asked {
    fn new(question: &AclTestArgs, config: &Config) -> Result<Self, String> {
        let user = (question.user != "-").then(|| UserName::new(&question.user));
        let without = "no keys for tokens: write [[auth.jwt.key]] or [[auth.jwt.jwks]]";
        let tokens = || config.tokens().ok_or(without);
        let vhost = question.vhost.as_deref().map(VhostName::new);
        let plain = Self {
            user,
            vhost: vhost.clone().unwrap_or(VhostName::DEFAULT),
            rules: Arc::default(),
            refused: None,
        };
        if let Some(claim) = &question.claim {
            let rules = tokens()?.claims.claimed(claim).map_err(|why| format!("--claim: {why}"))?;
            return Ok(Self { rules, ..plain });
        }
        let Some(path) = &question.token else { return Ok(plain) };
        let token = read(path).map_err(|error| format!("--token {}: {error}", path.display()))?;
        match auth::shown(tokens()?, &token) {
            Ok(shown) if plain.user.as_ref().is_some_and(|user| *user != shown.user) => {
                Err(format!("the token names {}; say that, or -", shown.user))
            }
            Ok(shown) => {
                let first = shown.vhosts.as_deref().and_then(<[_]>::first).cloned();
                let vhost = vhost.or(first).unwrap_or(VhostName::DEFAULT);
                let refused =
                    Refusal::unless_elsewhere(&shown.limit(Permissions::everything()), &vhost).err();
                let refused = refused.map(|refusal| refusal.to_string());
                Ok(Self { user: Some(shown.user), vhost, rules: shown.rules, refused })
            }
            Err(why) => Ok(Self { refused: Some(why), ..plain }),
        }
    }
}

/// A token has 16 KiB at most; what is longer is none, and need not be read.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let from: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    from.take(READ_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

const READ_BYTES_MAX: u64 = 64 << 10;

fn answer(question: &AclTestArgs, asked: &Asked, config: &Config) -> Result<Answer, String> {
    let action = Action::parse(&question.action).ok_or("there is no such action")?;
    let client = question.client.as_deref().map(ClientId::new);
    let rights = config.rules().rights(&asked.vhost, asked.user.as_ref(), client.as_ref(), &asked.rules);
    let Some(topic) = &question.topic else {
        let is_connect = action == Action::Connect;
        return is_connect.then(|| by(rights.of_action(action))).ok_or_else(|| {
            format!("{}: say what it is about, such as a/b, '#', or $queue/NAME", action.as_str())
        });
    };
    if action == Action::Connect {
        return Err("one connects to no topic".to_owned());
    }
    let shared =
        topic.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map(|(_, filter)| filter);
    let place =
        Place::parse(shared.unwrap_or(topic), &config.plain()).map_err(|why| format!("{topic:?}: {why}"))?;
    let (exchange, pattern) = (place.exchange(), place.pattern());
    if matches!(action, Action::Consume | Action::Configure) != (*exchange == ExchangeName::DEFAULT)
        && action != Action::Publish
    {
        return Err("queues are consumed and configured, by $queue/NAME; topics are subscribed to".to_owned());
    }
    if action == Action::Subscribe {
        return Ok(of_filter(&rights, exchange, &pattern, shared.is_some()));
    }
    if pattern.has_wildcard() {
        return Err(format!("{topic:?} has wildcards; name one topic, or one queue"));
    }
    let key = RoutingKey::from(&*pattern.to_string());
    if *exchange == ExchangeName::TOPIC && key.is_reserved() {
        return Ok(Answer {
            decision: DENIED,
            rule: "topics that begin with $ are the broker's own".to_owned(),
        });
    }
    Ok(by(rights.of_key(action, exchange, &key)))
}

fn of_filter(rights: &Rights, exchange: &ExchangeName, pattern: &KeyPattern, is_shared: bool) -> Answer {
    match rights.of_pattern(Action::Subscribe, exchange, pattern) {
        Reach::Nothing(right) => by(right),
        Reach::Part(right) if is_shared => by(right),
        Reach::Part(right) => Answer { decision: PARTLY, rule: right.name.to_string() },
        // Of all that it matches, the rule that allows one.
        Reach::All => by(rights.of_key(Action::Subscribe, exchange, &some_key(pattern))),
    }
}

fn some_key(pattern: &KeyPattern) -> RoutingKey {
    let text = |level: &Level| match level {
        Level::Literal(text) => Some(text.to_string()),
        Level::One => Some("x".to_owned()),
        Level::Many => None,
    };
    RoutingKey::from(&*pattern.levels().iter().filter_map(text).collect::<Vec<_>>().join("/"))
}

fn by(right: &Right) -> Answer {
    Answer { decision: if right.allows { ALLOWED } else { DENIED }, rule: right.name.to_string() }
}
