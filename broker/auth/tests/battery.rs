//! Ten thousand sets of rules, ids, filters and topics: what is decided is what a plain reading of the rules says.

use auth::{NOT_AUTHORIZED, Place, Rule, Rules, Vhosts, Whom};
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, ExchangeName, UserName, VhostName};
use model::reach::Reach;
use model::rights::{Action, Actions, RuleName};

const HOME: VhostName = VhostName::DEFAULT;
const ROUNDS: u64 = 10_000;

#[test]
fn every_decision_is_what_a_plain_reading_of_the_rules_says() {
    let keys = keys();
    let mut met = [0_usize; 3];
    for round in 0..ROUNDS {
        let mut dice = Dice(round * 0x9E37_79B9 + 1);
        let sheet = Sheet::thrown(&mut dice);
        let (user, client) = (dice.pick(USERS), dice.pick(CLIENTS));
        let rules = sheet.rules();
        let permissions = rules.permissions(
            &HOME,
            user.map(UserName::new).as_ref(),
            client.map(ClientId::new).as_ref(),
            &[],
        );
        let exchange = if dice.one_in(4) { ExchangeName::new("x") } else { ExchangeName::TOPIC };
        let action = dice.pick(&[Action::Publish, Action::Subscribe]);
        let read = |key: &str| sheet.read(action, exchange.as_str(), key, user, client);

        for _ in 0..8 {
            let key = dice.pick(&keys);
            let decided = permissions.keep_from(action, &exchange, &RoutingKey::from(key.as_str())).is_none();
            assert_eq!(
                decided,
                read(&key),
                "round {round}: {action:?} {key:?} {user:?} {client:?}\n{sheet:?}"
            );
        }
        {
            let filter = filter(&mut dice, true);
            let asked: Vec<&String> = keys.iter().filter(|key| is_routed(&filter, key)).collect();
            let allowed = asked.iter().filter(|key| read(key)).count();
            let expected = match allowed {
                _ if allowed == asked.len() => 0,
                0 => 2,
                _ => 1,
            };
            let decided = match permissions.reach(action, &exchange, &pattern(&filter)) {
                Reach::All => 0,
                Reach::Part(_) => 1,
                Reach::Nothing(_) => 2,
            };
            met[expected] += 1;
            assert_eq!(
                decided, expected,
                "round {round}: {action:?} {filter:?} on {exchange:?}, {user:?} {client:?}\n{sheet:?}"
            );
        }
    }
    // It says something only if all three come up often.
    assert!(met.iter().all(|count| *count > 400), "{met:?}");
}

#[test]
fn many_rules_are_no_way_to_keep_the_broker_busy() {
    let place =
        |at: usize| Place::parse(&format!("+/{at}/+/x{at}/#"), &ExchangeName::TOPIC).expect("a filter");
    let rule = |at| Rule {
        allows: at % 2 == 0,
        actions: Actions::all(),
        places: vec![place(at)],
        whom: Whom::default(),
        name: RuleName::At("x".into()),
        code: NOT_AUTHORIZED,
    };
    let listed = (0..2000).map(rule).collect();
    let rules = Rules { listed, default_allows: false, ..Rules::default() };
    let permissions = rules.permissions(&HOME, None, None, &[]);
    let levels = std::iter::repeat_n([Level::Many, Level::One], 30).flatten().collect();
    // Not decided for all keys at once: then it is decided for each that comes.
    let reach = permissions.reach(Action::Subscribe, &ExchangeName::TOPIC, &KeyPattern::new(levels));
    assert!(matches!(reach, Reach::Part(_)), "{reach:?}");
}

const USERS: &[Option<&str>] = &[Some("a"), Some("b"), Some("+"), Some("a/b"), Some("$s"), None];
const CLIENTS: &[Option<&str>] = &[Some("a"), Some("b"), Some("#"), None];
const LEVELS: &[&str] = &["a", "b", "", "$s"];

/// A set of rules, as somebody would write it.
#[derive(Debug)]
struct Sheet {
    lines: Vec<Line>,
    default_allows: bool,
}

#[derive(Debug)]
struct Line {
    allows: bool,
    publish: bool,
    subscribe: bool,
    filters: Vec<String>,
    users: Option<Vec<&'static str>>,
    anonymous: Option<bool>,
}

impl Sheet {
    fn thrown(dice: &mut Dice) -> Self {
        let lines = (0..dice.below(6)).map(|_| {
            let filters = (0..dice.below(3)).map(|_| {
                let filter = filter(dice, false);
                if dice.one_in(4) { format!("$exchange/x/{filter}") } else { filter }
            });
            Line {
                filters: filters.collect(),
                allows: dice.one_in(2),
                publish: !dice.one_in(3),
                subscribe: !dice.one_in(3),
                users: dice.one_in(3).then(|| vec![["a", "b", "+"][dice.below(3)]]),
                anonymous: dice.one_in(5).then(|| dice.one_in(2)),
            }
        });
        Self { lines: lines.collect(), default_allows: dice.one_in(2) }
    }

    fn rules(&self) -> Rules {
        let rule = |line: &Line| Rule {
            allows: line.allows,
            actions: [(line.publish, Action::Publish), (line.subscribe, Action::Subscribe)]
                .into_iter()
                .filter_map(|(is_it, action)| is_it.then_some(action))
                .collect(),
            places: line
                .filters
                .iter()
                .map(|filter| Place::parse(filter, &ExchangeName::TOPIC).expect("a filter"))
                .collect(),
            whom: Whom {
                users: line
                    .users
                    .as_ref()
                    .map(|users| users.iter().map(|user| UserName::new(user)).collect()),
                anonymous: line.anonymous,
                clients: None,
                vhosts: Vhosts::Unsaid,
            },
            name: RuleName::At("line".into()),
            code: NOT_AUTHORIZED,
        };
        let listed = self.lines.iter().map(rule).collect();
        Rules { listed, default_allows: self.default_allows, tells_of_itself: true, ..Rules::default() }
    }

    /// From the first line to the last, key by key.
    fn read(
        &self,
        action: Action,
        exchange: &str,
        key: &str,
        user: Option<&str>,
        client: Option<&str>,
    ) -> bool {
        for line in &self.lines {
            let is_meant = if action == Action::Publish { line.publish } else { line.subscribe };
            let is_for =
                line.users.as_ref().is_none_or(|users| user.is_some_and(|user| users.contains(&user)))
                    && line.anonymous.is_none_or(|anonymous| anonymous == user.is_none());
            if !is_meant || !is_for {
                continue;
            }
            let is_there = |filter: &String| {
                let (of, rest) = match filter.strip_prefix("$exchange/x/") {
                    Some(rest) => ("x", rest),
                    None => ("amq.topic", filter.as_str()),
                };
                of == exchange && is_named(rest, key, of == "amq.topic", (user, client), line.allows)
            };
            if line.filters.is_empty() || line.filters.iter().any(is_there) {
                return line.allows;
            }
        }
        self.default_allows
    }
}

/// Whether a filter of a rule names that key to that client.
fn is_named(
    filter: &str,
    key: &str,
    is_topic: bool,
    (user, client): (Option<&str>, Option<&str>),
    allows: bool,
) -> bool {
    let mut parts = Vec::new();
    for part in filter.split('/') {
        let name = match part {
            "%u" => user,
            "%c" => client,
            part => Some(part),
        };
        let Some(name) = name else { return false };
        let is_open = part.starts_with('%');
        let is_bad = name.is_empty() || name.contains(['+', '#', '/']) || name.starts_with('$');
        match (is_open && is_bad, allows) {
            (true, true) => return false,
            (true, false) => parts.push("+"),
            (false, _) => parts.push(name),
        }
    }
    if is_topic && key.starts_with('$') && matches!(parts[0], "+" | "#") {
        return false;
    }
    fits(&parts, key)
}

/// Whether a binding of that filter gets that key.
fn is_routed(filter: &str, key: &str) -> bool {
    let parts: Vec<&str> = filter.split('/').collect();
    !(key.starts_with('$') && matches!(parts[0], "+" | "#")) && fits(&parts, key)
}

fn fits(parts: &[&str], key: &str) -> bool {
    let levels: Vec<&str> = if key.is_empty() { Vec::new() } else { key.split('/').collect() };
    let parts = if *parts == [""] { &[] } else { parts };
    follow(parts, &levels)
}

fn follow(parts: &[&str], levels: &[&str]) -> bool {
    match (parts, levels) {
        ([], levels) => levels.is_empty(),
        (["#", rest @ ..], levels) => (0..=levels.len()).any(|taken| follow(rest, &levels[taken..])),
        ([part, rest @ ..], [level, more @ ..]) => (*part == "+" || part == level) && follow(rest, more),
        ([_, ..], []) => false,
    }
}

/// `#` in the middle is for STOMP's filters; rules are written as MQTT writes filters.
fn filter(dice: &mut Dice, is_asked: bool) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let many = is_asked && dice.one_in(4);
    let length = 1 + dice.below(if many { 1 } else { 3 });
    if many {
        // Few levels beside it, or a key that shows the difference would be longer than those that there are.
        parts.push("#");
    }
    while parts.len() < length + usize::from(many) {
        let part = match dice.below(10) {
            0..3 => "+",
            3 if !is_asked => "%u",
            4 if !is_asked => "%c",
            _ => LEVELS[dice.below(LEVELS.len())],
        };
        parts.push(part);
    }
    if dice.one_in(3) {
        parts.push("#");
    }
    let text = parts.join("/");
    // What these name is not what this is about.
    if text.is_empty() || (!is_asked && text.starts_with("$s") && dice.one_in(2)) {
        "a/#".to_owned()
    } else {
        text
    }
}

fn pattern(filter: &str) -> KeyPattern {
    let level = |part: &str| match part {
        "+" => Level::One,
        "#" => Level::Many,
        text => Level::Literal(text.into()),
    };
    KeyPattern::new(filter.split('/').map(level).collect())
}

/// Keys of up to four levels, with levels that no rule names.
fn keys() -> Vec<String> {
    let levels = ["a", "b", "", "$s", "?", "$?"];
    let longer = |keys: &[String], levels: &[&str]| -> Vec<String> {
        keys.iter().flat_map(|key| levels.iter().map(move |level| format!("{key}/{level}"))).collect()
    };
    let one: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
    let (two, fourth) = (longer(&one, &levels), ["a", "b", "", "$s", "?"]);
    let three = longer(&two, &levels);
    let four = longer(&three, &fourth);
    // The empty text is the empty key, which has no level at all.
    [one, two, three, four].concat()
}

/// The same throws for the same number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}
