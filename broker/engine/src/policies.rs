//! Policies: which one holds for a name

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::name::{PolicyName, VhostName};
use model::policy::Policy;
use model::refusal::Refusal;
use regex::{Regex, RegexBuilder};

/// What holds by name. Where there are no policies, asking costs one look at a number.
#[derive(Default)]
pub(crate) struct Policies {
    count: AtomicUsize,
    /// The one that holds before the others is the first.
    all: RwLock<Vec<Arc<Held>>>,
}

/// A policy that can be applied: its pattern is one. [`Self::new`] is the only way in.
#[derive(Debug, Clone)]
pub struct CheckedPolicy {
    policy: Policy,
    pattern: Regex,
}

/// A policy of the configuration, and where it holds.
#[derive(Debug, Clone)]
pub struct ConfiguredPolicy {
    /// In that vhost alone; `None`: in each.
    pub vhost: Option<VhostName>,
    /// What holds.
    pub policy: CheckedPolicy,
}

/// A policy, and where it comes from.
pub(crate) struct Held {
    pub(crate) policy: CheckedPolicy,
    /// It stands in the configuration: nobody changes it while the broker runs.
    pub(crate) is_configured: bool,
}

/// What became of a policy that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// There was none of its name.
    New,
    /// It took the place of one that had its name.
    Changed,
    /// It was there, just like that.
    Same,
}

impl CheckedPolicy {
    /// Looks at a policy.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do.
    pub fn new(policy: Policy) -> Result<Self, String> {
        let pattern = pattern_of(&policy)?;
        Ok(Self { policy, pattern })
    }

    /// What it says.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    fn rank(&self) -> (Reverse<i32>, &PolicyName) {
        (Reverse(self.policy.priority), &self.policy.name)
    }
}

fn pattern_of(policy: &Policy) -> Result<Regex, String> {
    policy.check()?;
    let bytes = policy.pattern.len();
    if bytes > Policy::PATTERN_BYTES_MAX {
        return Err(format!("the pattern has {bytes} bytes; {} are the most", Policy::PATTERN_BYTES_MAX));
    }
    let pattern = RegexBuilder::new(&policy.pattern).size_limit(PATTERN_SIZE_MAX).build();
    pattern.map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return "the pattern says too much at once; part it in two".to_owned();
        }
        // It is told over several lines, the last of which says what is wrong.
        let told = error.to_string();
        let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("the pattern {:?} is no regular expression that can be used here: {why}", policy.pattern)
    })
}

impl Policies {
    /// Those of the configuration that hold in that vhost.
    pub(crate) fn configured(policies: &[ConfiguredPolicy], vhost: &VhostName) -> Self {
        let holds = |one: &&ConfiguredPolicy| one.vhost.as_ref().is_none_or(|only| only == vhost);
        let held =
            |one: &ConfiguredPolicy| Arc::new(Held { policy: one.policy.clone(), is_configured: true });
        let mut all: Vec<Arc<Held>> = policies.iter().filter(holds).map(held).collect();
        all.sort_by(|one, other| one.policy.rank().cmp(&other.policy.rank()));
        Self { count: AtomicUsize::new(all.len()), all: RwLock::new(all) }
    }

    /// The policy that holds for the queue of that name, while `then` goes on: nobody changes it meanwhile.
    pub(crate) fn with_queue<T>(&self, name: &str, then: impl FnOnce(Option<&Policy>) -> T) -> T {
        self.with(name, Policy::is_for_queues, then)
    }

    /// The same for an exchange. Where keys say whom a message is for, none holds.
    pub(crate) fn with_exchange<T>(&self, name: &str, then: impl FnOnce(Option<&Policy>) -> T) -> T {
        if name.is_empty() || name.starts_with('$') {
            return then(None);
        }
        self.with(name, Policy::is_for_exchanges, then)
    }

    fn with<T>(
        &self,
        name: &str,
        is_for: impl Fn(&Policy) -> bool,
        then: impl FnOnce(Option<&Policy>) -> T,
    ) -> T {
        if self.count.load(Ordering::Acquire) == 0 {
            return then(None);
        }
        let all = self.read();
        let is_it = |one: &&CheckedPolicy| is_for(&one.policy) && one.pattern.is_match(name);
        then(all.iter().map(|held| &held.policy).find(is_it).map(CheckedPolicy::policy))
    }

    /// Adds a policy, in the place of one that has its name.
    ///
    /// # Errors
    ///
    /// If one of that name stands in the configuration and is different, or if there are too many.
    pub(crate) fn put(&self, policy: CheckedPolicy) -> Result<Placed, Refusal> {
        let mut all = self.write();
        let (placed, there) = place(&all, &policy)?;
        if placed == Placed::Same {
            return Ok(placed);
        }
        if placed == Placed::New && all.len() >= POLICIES_MAX {
            return Err(Refusal::LimitReached(TOO_MANY));
        }
        if let Some(at) = there {
            all.remove(at);
        }
        let at = all.partition_point(|one| one.policy.rank() < policy.rank());
        all.insert(at, Arc::new(Held { policy, is_configured: false }));
        self.count.store(all.len(), Ordering::Release);
        Ok(placed)
    }

    /// What [`Self::put`] would come to, behind so many others that are new.
    pub(crate) fn would_put(&self, policy: &CheckedPolicy, new: usize) -> Result<Placed, Refusal> {
        let all = self.read();
        match place(&all, policy)? {
            (Placed::New, _) if all.len() + new >= POLICIES_MAX => Err(Refusal::LimitReached(TOO_MANY)),
            (placed, _) => Ok(placed),
        }
    }

    /// Takes a policy away; `false`: there was none.
    ///
    /// # Errors
    ///
    /// If it stands in the configuration.
    pub(crate) fn remove(&self, name: &PolicyName) -> Result<bool, Refusal> {
        let mut all = self.write();
        let there = find(&all, name)?;
        if let Some(at) = there {
            all.remove(at);
        }
        self.count.store(all.len(), Ordering::Release);
        Ok(there.is_some())
    }

    /// All of them; the one that holds before the others comes first.
    pub(crate) fn all(&self) -> Vec<Arc<Held>> {
        self.read().clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Held>>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Held>>> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it would be if it were put there, and where the one is whose place it would take.
fn place(all: &[Arc<Held>], policy: &CheckedPolicy) -> Result<(Placed, Option<usize>), Refusal> {
    let is_it = |one: &Arc<Held>| one.policy.policy == policy.policy;
    if all.iter().any(is_it) {
        return Ok((Placed::Same, None));
    }
    let there = find(all, &policy.policy.name)?;
    Ok((if there.is_some() { Placed::Changed } else { Placed::New }, there))
}

/// Where the policy of that name is, if it may be changed.
fn find(all: &[Arc<Held>], name: &PolicyName) -> Result<Option<usize>, Refusal> {
    let there = all.iter().position(|one| one.policy.policy.name == *name);
    if there.and_then(|at| all.get(at)).is_some_and(|one| one.is_configured) {
        let target = format!("policy {name:?}: it stands in the configuration ([[policy]])");
        return Err(Refusal::Denied { action: "change", target });
    }
    Ok(there)
}

const TOO_MANY: &str = "1,000 policies";

/// The most policies: for each new queue, the names of all are looked at.
const POLICIES_MAX: usize = 1000;

/// How large a pattern may become when it is made ready, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use model::policy::{AppliesTo, PolicyDefinition};

    use super::*;

    #[test]
    fn the_highest_priority_holds_and_of_equal_ones_the_first_name() {
        let policies = Policies::default();
        for (name, pattern, priority) in [("b", "^q", 1), ("a", "^q", 1), ("low", ".*", -5), ("x", "^qq$", 7)]
        {
            assert_eq!(policies.put(checked(name, pattern, priority)).unwrap(), Placed::New);
        }
        for (queue, expected) in [("q1", "a"), ("other", "low"), ("qq", "x"), ("qqq", "a")] {
            assert_eq!(holds(&policies, queue).as_deref(), Some(expected), "{queue}");
        }
        assert_eq!(policies.put(checked("a", "^z", 1)).unwrap(), Placed::Changed);
        assert_eq!(policies.put(checked("a", "^z", 1)).unwrap(), Placed::Same);
        assert_eq!(holds(&policies, "q1").as_deref(), Some("b"));
        assert!(policies.remove(&PolicyName::new("low")).unwrap());
        assert_eq!(holds(&policies, "other"), None);
        assert!(!policies.remove(&PolicyName::new("low")).unwrap());
    }

    #[test]
    fn what_stands_in_the_configuration_is_changed_there() {
        let configured = |policy| ConfiguredPolicy { vhost: None, policy };
        let policies = [checked("p", ".*", 0), checked("first", "^f", 9)].map(configured);
        let policies = Policies::configured(&policies, &VhostName::DEFAULT);
        assert_eq!(holds(&policies, "f").as_deref(), Some("first"));
        assert!(policies.put(checked("p", "^q", 0)).unwrap_err().to_string().contains("[[policy]]"));
        assert!(policies.remove(&PolicyName::new("p")).unwrap_err().to_string().contains("[[policy]]"));
        assert_eq!(holds(&policies, "any").as_deref(), Some("p"));
    }

    #[test]
    fn a_policy_of_the_configuration_holds_in_its_vhost_or_in_each() {
        let configured = |vhost: Option<&str>, name| {
            let (vhost, policy) = (vhost.map(VhostName::new), checked(name, "^q", 0));
            ConfiguredPolicy { vhost, policy }
        };
        let all = [configured(Some("a"), "of a"), configured(Some("/"), "of /"), configured(None, "one")];
        for (vhost, expected) in [("a", &["of a", "one"][..]), ("/", &["of /", "one"]), ("b", &["one"])] {
            let held = Policies::configured(&all, &VhostName::new(vhost)).all();
            let names: Vec<_> = held.iter().map(|held| held.policy.policy().name.to_string()).collect();
            assert_eq!(names, expected, "{vhost}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused_with_the_reason() {
        for (pattern, word) in [
            ("(", "unclosed group"),
            ("^(?!amq\\.).*", "look-around"),
            ("(a)\\1", "backreferences"),
            ("(\\w{1000}){1000}", "too much"),
        ] {
            let told = CheckedPolicy::new(policy("p", pattern, 0)).unwrap_err();
            assert!(told.contains(word), "{pattern}: {told}");
        }
        let long = "a".repeat(Policy::PATTERN_BYTES_MAX + 1);
        assert!(CheckedPolicy::new(policy("p", &long, 0)).unwrap_err().contains("1025 bytes"));
    }

    fn holds(policies: &Policies, queue: &str) -> Option<String> {
        policies.with_queue(queue, |policy| policy.map(|policy| policy.name.to_string()))
    }

    fn checked(name: &str, pattern: &str, priority: i32) -> CheckedPolicy {
        CheckedPolicy::new(policy(name, pattern, priority)).unwrap()
    }

    fn policy(name: &str, pattern: &str, priority: i32) -> Policy {
        let definition = PolicyDefinition { ready_max: Some(1), ..PolicyDefinition::default() };
        let (name, pattern) = (PolicyName::new(name), pattern.into());
        Policy { name, pattern, applies_to: AppliesTo::Queues, priority, definition }
    }
}
