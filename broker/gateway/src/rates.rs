//! Rates: how fast one client, and all clients of one user, may publish

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use model::event::Event;
use model::name::UserName;
use model::request::{Operation, Request};

/// How much may be published in a second; `None`: any amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Messages.
    pub messages_max: Option<u64>,
    /// Bytes of payloads.
    pub bytes_max: Option<u64>,
}

/// How fast clients may publish. Whoever is faster is not read for a while, and TCP tells him.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishRates {
    /// Each connection.
    pub client: Rate,
    /// All connections of one user together.
    pub user: Rate,
}

/// The buckets of users who are here.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    options: PublishRates,
    users: Mutex<HashMap<UserName, Weak<Bucket>>>,
}

impl Rates {
    pub(crate) fn new(options: PublishRates) -> Arc<Self> {
        Arc::new(Self { options, users: Mutex::default() })
    }

    /// For one connection; `None` where nothing is limited.
    pub(crate) fn pace(self: &Arc<Self>) -> Option<Box<Pace>> {
        let unlimited = PublishRates::default();
        (self.options != unlimited).then(|| {
            Box::new(Pace {
                client: Bucket::new(self.options.client),
                user: None,
                rates: Arc::clone(self),
                until: None,
                told_at: None,
            })
        })
    }

    fn of(&self, user: &UserName) -> Option<Arc<Bucket>> {
        if self.options.user == Rate::default() {
            return None;
        }
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = users.get(user).and_then(Weak::upgrade) {
            return Some(bucket);
        }
        if users.len() >= LOOKED_THROUGH_FROM && users.len() == users.capacity() {
            users.retain(|_, bucket| bucket.strong_count() > 0);
        }
        let bucket = Arc::new(Bucket::new(self.options.user));
        users.insert(user.clone(), Arc::downgrade(&bucket));
        Some(bucket)
    }
}

/// How fast one connection goes.
#[derive(Debug)]
pub(crate) struct Pace {
    client: Bucket,
    /// Shared with the other connections of its user, once it is known who that is.
    user: Option<Arc<Bucket>>,
    rates: Arc<Rates>,
    /// Until then nothing is read.
    until: Option<Instant>,
    told_at: Option<Instant>,
}

impl Pace {
    /// Overhears what the session is told.
    pub(crate) fn hears(&mut self, event: &Event) {
        if let Event::Opened(opened) = event
            && let Some(user) = &opened.user
        {
            self.user = self.rates.of(user);
        }
    }

    /// Overhears what the session asks. Whether that was too fast.
    pub(crate) fn asks(&mut self, requests: &[Request], now: Instant) -> bool {
        let (mut messages, mut bytes) = (0, 0);
        for request in requests {
            let Request::Submit(submit) = request else { continue };
            for operation in &submit.operations {
                if let Operation::Publish(publish) = operation {
                    messages += 1;
                    bytes += publish.payload.len() as u64;
                }
            }
        }
        if messages == 0 {
            return false;
        }
        let client = self.client.spend(messages, bytes, now);
        let user = self.user.as_ref().and_then(|bucket| bucket.spend(messages, bytes, now));
        let until = client.max(user);
        self.until = self.until.max(until);
        until.is_some()
    }

    /// Until when nothing is read; `None`: it may be.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Whether the log is to be told of it: once a minute.
    pub(crate) fn may_tell(&mut self, now: Instant) -> bool {
        let is_due = self.told_at.is_none_or(|told_at| now >= told_at + TOLD_EVERY);
        if is_due {
            self.told_at = Some(now);
        }
        is_due
    }
}

/// What was spent, as the time until which it is paid for.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    paid: Mutex<Paid>,
}

#[derive(Debug, Default)]
struct Paid {
    messages_until: Option<Instant>,
    bytes_until: Option<Instant>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self { rate, paid: Mutex::default() }
    }

    /// What was published. If that was too fast: until when nothing more should come, so that over all it was not.
    fn spend(&self, messages: u64, bytes: u64, now: Instant) -> Option<Instant> {
        let Rate { messages_max, bytes_max } = self.rate;
        let mut paid = self.lock();
        let messages = messages_max.and_then(|max| advance(&mut paid.messages_until, messages, max, now));
        messages.max(bytes_max.and_then(|max| advance(&mut paid.bytes_until, bytes, max, now)))
    }

    fn lock(&self) -> MutexGuard<'_, Paid> {
        self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `count` more, of which there may be `max` in a second. What was not used in the second before may be used now.
fn advance(until: &mut Option<Instant>, count: u64, max: u64, now: Instant) -> Option<Instant> {
    let since = now.checked_sub(BURST).unwrap_or(now);
    let from = until.map_or(since, |until| until.max(since));
    let nanos = u128::from(count) * 1_000_000_000 / u128::from(max.max(1));
    let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(DEBT_MAX);
    let paid = from + cost;
    *until = Some(paid);
    (paid > now).then_some(paid)
}

const BURST: Duration = Duration::from_secs(1);

/// One large message at a low rate keeps nobody out for longer.
const DEBT_MAX: Duration = Duration::from_secs(3600);

const TOLD_EVERY: Duration = Duration::from_secs(60);

/// From so many users on it is looked who has gone, whenever the map would grow.
const LOOKED_THROUGH_FROM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_any_time_no_more_passes_than_the_rate_and_one_second_of_it() {
        let bucket = Bucket::new(Rate { messages_max: Some(100), bytes_max: None });
        let start = Instant::now() + BURST;
        let (mut now, mut passed) = (start, 0);
        while now < start + BURST * 10 {
            passed += 1;
            if let Some(until) = bucket.spend(1, 1_000_000, now) {
                now = until;
            }
        }
        assert!((1_100..=1_101).contains(&passed), "{passed}");
    }

    #[test]
    fn at_the_limit_nobody_is_slowed_and_one_beyond_it_is() {
        let start = Instant::now() + BURST;
        let bucket = Bucket::new(Rate { messages_max: Some(10), bytes_max: Some(1000) });
        assert_eq!(bucket.spend(9, 0, start), None);
        assert_eq!(bucket.spend(1, 1000, start), None);
        assert_eq!(bucket.spend(1, 0, start), Some(start + BURST / 10));
        // What is owed the longest counts.
        assert_eq!(bucket.spend(0, 1, start), Some(start + BURST / 10));
        assert_eq!(bucket.spend(0, 199, start), Some(start + BURST / 5));
    }

    #[test]
    fn connections_of_one_user_share_what_he_may() {
        let user = Rate { messages_max: Some(10), bytes_max: None };
        let rates = Rates::new(PublishRates { client: Rate::default(), user });
        let start = Instant::now() + BURST;
        let one = rates.of(&UserName::new("ann")).expect("a limit");
        let two = rates.of(&UserName::new("ann")).expect("a limit");
        let bob = rates.of(&UserName::new("bob")).expect("a limit");
        assert_eq!(one.spend(10, 0, start), None);
        assert!(two.spend(1, 0, start).is_some());
        assert_eq!(bob.spend(1, 0, start), None);
        drop((one, two));
        for user in 0..1000 {
            let _ = rates.of(&UserName::new(&user.to_string()));
        }
        assert!(rates.users.lock().expect("sound").len() < 200);
        assert!(Rates::new(PublishRates::default()).pace().is_none());
    }
}
