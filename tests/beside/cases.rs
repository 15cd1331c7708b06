//! All cases, by heading.

mod consumers;
mod dead;
mod exchanges;
mod headers;
mod lasting;
mod limits;
mod managed;
mod paths;
mod refusals;
mod returned;
mod subscriptions;
mod times;
mod urgent;

use crate::case::Case;

/// The cases whose name or heading contains one of `words`, all where there are none, each with its prefix for names.
pub(crate) fn chosen(words: &[String]) -> Vec<(String, Case)> {
    let groups = [
        ("Exchanges", exchanges::cases()),
        ("Headers exchanges", headers::cases()),
        ("From exchange to exchange", paths::cases()),
        ("Dead letters", dead::cases()),
        ("Expiry", times::cases()),
        ("Overflow", limits::cases()),
        ("Priorities", urgent::cases()),
        ("What comes back", returned::cases()),
        ("Consumers", consumers::cases()),
        ("Subscriptions, temporary queues", subscriptions::cases()),
        ("Refusals", refusals::cases()),
        ("Declared again, purged, unbound, deleted", managed::cases()),
        ("Restart", lasting::cases()),
    ];
    let all = groups.into_iter().flat_map(|(group, cases)| cases.into_iter().map(move |case| case.of(group)));
    let all = all.enumerate().map(|(number, case)| (format!("c{number:02}-"), case));
    let wanted = |case: &Case| {
        let text = format!("{} {}", case.group, case.name).to_lowercase();
        words.is_empty() || words.iter().any(|word| text.contains(word.as_str()))
    };
    all.filter(|(_, case)| wanted(case)).collect()
}
