//! Bans: who stays out, and how long; by hand, or by what he did

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::ban::{Author, Ban, Subject, network};
use model::change::Change;
use model::name::{ClientId, UserName};
use model::refusal::Refusal;
use model::time::WallMs;

use crate::parts::Parts;
use crate::policy::{BanRules, Threshold};

/// Who stays out. Where nobody does, asking costs one look at a number.
pub(crate) struct Bans {
    rules: BanRules,
    /// How many there are.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bans: HashMap<Subject, Ban>,
    failures: HashMap<IpAddr, Tally>,
    arrivals: HashMap<ClientId, Tally>,
}

/// How often something happened since then.
#[derive(Debug, Clone, Copy)]
struct Tally {
    since: WallMs,
    count: u32,
}

impl Bans {
    pub(crate) fn new(rules: BanRules) -> Self {
        Self { rules, count: AtomicUsize::new(0), state: Mutex::default() }
    }

    /// As the store remembers it.
    pub(crate) fn restore(&self, parts: &Parts, ban: Ban, now: WallMs) {
        if ban.is_over(now) {
            return parts.durable.record(Change::DropBan(Box::new(ban.subject)));
        }
        let mut state = self.lock();
        state.bans.insert(ban.subject.clone(), ban);
        self.count.store(state.bans.len(), Ordering::Release);
    }

    /// Whether somebody who comes from there stays out.
    pub(crate) fn keeps_out(&self, address: IpAddr, now: WallMs) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.find(&Subject::ip(address), now).is_some()
    }

    /// Whether whoever calls himself that may come in.
    ///
    /// # Errors
    ///
    /// [`Refusal::Banned`].
    pub(crate) fn check(
        &self,
        client: Option<&ClientId>,
        user: Option<&UserName>,
        now: WallMs,
    ) -> Result<(), Refusal> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let client = client.map(|client| Subject::Client(client.clone()));
        let user = user.map(|user| Subject::User(user.clone()));
        match client.into_iter().chain(user).find_map(|subject| self.find(&subject, now)) {
            Some(Ban { subject, until, reason, .. }) => {
                Err(Refusal::Banned { subject: Box::new(subject), until, reason })
            }
            None => Ok(()),
        }
    }

    /// From now on somebody stays out; what was said of him before is replaced. The change is to be made durable.
    pub(crate) fn put(&self, ban: Ban) -> Change {
        let mut state = self.lock();
        tracing::warn!(
            kind = ban.subject.kind(),
            name = ban.subject.name(),
            until = ban.until.map(tracing::field::display),
            by = ban.by.as_str(),
            reason = &*ban.reason,
            "ban.made"
        );
        let change = Change::PutBan(Box::new(ban.clone()));
        state.bans.insert(ban.subject.clone(), ban);
        self.count.store(state.bans.len(), Ordering::Release);
        change
    }

    /// Takes it back; `None`: there was none.
    pub(crate) fn take_back(&self, subject: &Subject) -> Option<Change> {
        let mut state = self.lock();
        let ban = state.bans.remove(subject)?;
        self.count.store(state.bans.len(), Ordering::Release);
        tracing::info!(kind = subject.kind(), name = subject.name(), "ban.ended");
        Some(Change::DropBan(Box::new(ban.subject)))
    }

    /// All that hold, in no order; those that are over are forgotten.
    pub(crate) fn all(&self, parts: &Parts, now: WallMs) -> Vec<Ban> {
        let mut state = self.lock();
        self.forget(parts, &mut state, now);
        state.bans.values().cloned().collect()
    }

    /// A login from there failed. If that was once too often: the ban, which is made already.
    pub(crate) fn failed(&self, parts: &Parts, address: IpAddr, now: WallMs) -> Option<Ban> {
        let rule = self.rules.auth_failures?;
        let is_free = self.rules.loopback_free && address.to_canonical().is_loopback();
        let address = network(address);
        let is_due = !is_free && too_often(&mut self.lock().failures, address, rule, now);
        is_due.then(|| {
            let reason = format!("{} logins failed within {}", rule.count, spoken(rule.within));
            self.make(parts, Subject::Ip(address), Author::Failures, rule, reason, now)
        })?
    }

    /// That client came in. If that was once too often: the ban, which is made already.
    pub(crate) fn arrived(&self, parts: &Parts, client: &ClientId, now: WallMs) -> Option<Ban> {
        let rule = self.rules.flapping?;
        let is_due = too_often(&mut self.lock().arrivals, client.clone(), rule, now);
        is_due.then(|| {
            let reason = format!("it came {} times within {}", rule.count, spoken(rule.within));
            self.make(parts, Subject::Client(client.clone()), Author::Flapping, rule, reason, now)
        })?
    }

    /// By the broker itself; `None` where there are as many as it makes.
    fn make(
        &self,
        parts: &Parts,
        subject: Subject,
        by: Author,
        rule: Threshold,
        reason: String,
        now: WallMs,
    ) -> Option<Ban> {
        {
            let mut state = self.lock();
            if state.bans.len() >= MADE_MAX {
                self.forget(parts, &mut state, now);
            }
            // One that somebody made by hand is not shortened.
            if state.bans.len() >= MADE_MAX || state.bans.get(&subject).is_some_and(|ban| !ban.is_over(now)) {
                return None;
            }
        }
        let until = Some(now.plus(rule.banned_for));
        let ban = Ban { subject, until, since: now, by, reason: reason.into() };
        parts.durable.record(self.put(ban.clone()));
        parts.metrics.bans_made.increment();
        Some(ban)
    }

    fn find(&self, subject: &Subject, now: WallMs) -> Option<Ban> {
        self.lock().bans.get(subject).filter(|ban| !ban.is_over(now)).cloned()
    }

    fn forget(&self, parts: &Parts, state: &mut State, now: WallMs) {
        state.bans.retain(|subject, ban| {
            if ban.is_over(now) {
                parts.durable.record(Change::DropBan(Box::new(subject.clone())));
            }
            !ban.is_over(now)
        });
        self.count.store(state.bans.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one more of `who`, and says whether that is as often as the rule has it. Then it is counted from the beginning.
fn too_often<K: Eq + Hash>(tallies: &mut HashMap<K, Tally>, who: K, rule: Threshold, now: WallMs) -> bool {
    let is_old = |tally: &Tally| now.since(tally.since) > rule.within;
    if tallies.len() >= TALLIES_MAX && !tallies.contains_key(&who) {
        tallies.retain(|_, tally| !is_old(tally));
        if tallies.len() >= TALLIES_MAX {
            // From so many at once nobody can be told from the others.
            return false;
        }
    }
    let tally = tallies.entry(who).or_insert(Tally { since: now, count: 0 });
    if is_old(tally) {
        *tally = Tally { since: now, count: 0 };
    }
    tally.count += 1;
    let is_due = tally.count >= rule.count;
    if is_due {
        tally.count = 0;
    }
    is_due
}

fn spoken(time: Duration) -> String {
    format!("{time:?}")
}

/// How many bans the broker makes by itself; what is beyond is kept out by other limits.
const MADE_MAX: usize = 100_000;

/// Of how many it is counted how often they did something.
const TALLIES_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_often_as_the_rule_has_it_within_its_time_is_too_often_and_once_less_is_not() {
        let rule =
            Threshold { count: 3, within: Duration::from_secs(60), banned_for: Duration::from_secs(600) };
        let mut tallies = HashMap::new();
        let mut at = |seconds: u64, who: &'static str| {
            too_often(&mut tallies, who, rule, WallMs(1_000_000 + seconds * 1000))
        };
        assert!(!at(0, "a") && !at(1, "a"));
        assert!(!at(2, "b"));
        assert!(at(60, "a"));
        // From the beginning.
        assert!(!at(60, "a") && !at(60, "a") && at(60, "a"));
        // Two of these are too long ago.
        assert!(!at(100, "c") && !at(101, "c") && !at(161, "c"));
    }

    #[test]
    fn of_more_than_can_be_counted_nobody_is_counted_until_there_is_room() {
        let rule = Threshold { count: 1, within: Duration::from_secs(1), banned_for: Duration::from_secs(1) };
        let mut tallies: HashMap<usize, Tally> =
            (0..TALLIES_MAX).map(|who| (who, Tally { since: WallMs(5000), count: 0 })).collect();
        assert!(!too_often(&mut tallies, usize::MAX, rule, WallMs(5001)));
        assert!(too_often(&mut tallies, usize::MAX, rule, WallMs(7000)));
        assert!(tallies.len() < 10);
    }
}
