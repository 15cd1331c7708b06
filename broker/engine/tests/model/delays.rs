//! Messages that wait, as a list that is gone through when time goes by; and what it does to queues

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::reference::{Message, No, Reference};
use crate::world::{World, counts};

/// A message whose time has not come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) due_ms: u64,
    /// Of two that are due together, the lower one comes first.
    pub(crate) number: u64,
    pub(crate) message: Message,
}

impl Reference {
    /// It is published later: nothing is asked now but whether its exchange takes it.
    pub(crate) fn delay(&mut self, message: &Message, delay_ms: u64) -> Result<Waiting, No> {
        self.route_published(message)?;
        self.last_waiting += 1;
        // The millisecond in which it was published does not count.
        let due_ms = self.now_ms + delay_ms + 1;
        Ok(Waiting { due_ms, number: self.last_waiting, message: message.clone() })
    }

    /// Those that wait, in the order in which they come.
    pub(crate) fn in_turn(&self) -> Vec<Waiting> {
        let mut all = self.waiting.clone();
        all.sort_by_key(|one| (one.due_ms, one.number));
        all
    }

    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.waiting.iter().map(|one| one.due_ms).min()
    }

    /// It is that time: what is due is published, and all of it has its places before any is seen.
    pub(crate) fn at(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let (due, later) = self.in_turn().into_iter().partition(|one| one.due_ms <= now_ms);
        self.waiting = later;
        let mut plans = Vec::new();
        for one in due {
            let message = Message { at_ms: now_ms, ..one.message.clone() };
            // What is worth nothing from then on is not published; nor is what has nowhere to go by then.
            let routed = self.route_published(&message);
            let Some(targets) = routed.ok().filter(|_| !message.expires_at_once) else { continue };
            let refusing = targets.iter().find(|name| {
                let queue = self.queues.iter().find(|queue| queue.name == **name);
                message.qos > 0 && queue.is_some_and(|queue| queue.refuses() && queue.is_full(&message))
            });
            let refusing = refusing.and_then(|name| self.queues.iter().find(|queue| queue.name == *name));
            let buries = refusing.is_some_and(|queue| queue.buries_what_it_refuses());
            match self.plan(message, &targets) {
                Ok(plan) => plans.push(plan),
                Err(_) if buries => {}
                Err(_) => self.waiting.push(Waiting { due_ms: now_ms + FULL_PAUSE_MS, ..one }),
            }
        }
        plans.into_iter().for_each(|plan| self.show(plan));
    }

    /// Whether nothing is to go by itself.
    pub(crate) fn is_settled(&self) -> bool {
        self.with_expired().is_empty() && self.with_excess().is_empty()
    }

    /// What may have come of it when all is gone that has no time left or is too much, in whichever order; `None`: too much to say.
    pub(crate) fn when_settled(&self) -> Option<Vec<Self>> {
        let (mut open, mut all) = (vec![(self.clone(), 0)], Vec::<Self>::new());
        while let Some((mut one, depth)) = open.pop() {
            if depth > 50 || open.len() + all.len() > 64 {
                return None;
            }
            if one.is_settled() {
                one.queues.iter_mut().for_each(|queue| queue.is_amended = false);
                all.extend((!all.contains(&one)).then_some(one));
                continue;
            }
            let expired = one.with_expired().into_iter().map(|name| (name, true));
            for (name, expires) in expired.chain(one.with_excess().into_iter().map(|name| (name, false))) {
                let mut after = one.clone();
                if expires {
                    after.expire(&name);
                } else {
                    after.drop_head(&name);
                }
                if open.iter().all(|(other, _)| *other != after) {
                    open.push((after, depth + 1));
                }
            }
        }
        Some(all)
    }
}

impl World {
    /// Some time goes by: often until just before something is due, or just then.
    pub(crate) fn pass(&mut self, dice: &mut Dice) -> Result<(), String> {
        let next = self.known().next_due_ms().map(|due| due - self.now_ms);
        let ms = match (next, dice.roll(6)) {
            (Some(next), 0..2) => next.saturating_sub(1),
            (Some(next), 2..4) => next,
            (Some(next), 4) => next + dice.roll(3_000) as u64,
            _ => 1 + dice.roll(500) as u64,
        };
        self.pass_ms(ms)
    }

    /// What is due meanwhile is published at the end of it. Nothing happens where nobody could say what comes of it.
    pub(crate) fn pass_ms(&mut self, ms: u64) -> Result<(), String> {
        self.wait()?;
        let to = self.now_ms + ms;
        let is_uncertain = self.may_be.iter().any(|one| {
            let mut after = one.clone();
            after.at(to);
            // What expires then must be gone before anything else is due.
            let is_close = after.next_due_ms().is_some_and(|due| due <= to + EXPIRES_WITHIN_MS);
            !one.is_settled() || !after.is_settled() && (is_close || after.when_settled().is_none())
        });
        if is_uncertain {
            return Ok(());
        }
        self.note(|| format!("{ms} ms go by, it is {to}"));
        let before = self.known().waiting.len();
        self.advance(ms);
        self.agree(|reference| {
            reference.at(to);
            Ok(())
        })?;
        if self.known().waiting.len() < before {
            self.see("due");
        }
        if self.known().waiting.iter().any(|one| one.due_ms == to + FULL_PAUSE_MS) {
            self.see("due and put back");
        }
        self.wait()
    }

    /// Whether something is due before all would be gone that is to go by itself.
    pub(crate) fn is_due_soon(&self) -> bool {
        self.known().next_due_ms().is_some_and(|due| due <= self.now_ms + EXPIRES_WITHIN_MS)
    }

    /// Lets the broker take away what has no time left or is too much, where it can be said what that comes to.
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        let all: Option<Vec<_>> = self.may_be.iter().map(Reference::when_settled).collect();
        let all: Vec<Reference> = all.into_iter().flatten().flatten().collect();
        if all.is_empty() || all == self.may_be || self.is_due_soon() {
            return Ok(());
        }
        // A queue that something expired in is left alone for a while before it is looked at again.
        for _ in 0..EXPIRES_WITHIN_MS / 50 {
            self.advance(50);
        }
        self.may_be = all;
        let now_ms = self.now_ms;
        let real = self.held();
        self.agree(|reference| {
            reference.now_ms = now_ms;
            let plain = counts(reference);
            if plain == real { Ok(()) } else { Err(format!("after what expired, {real:?}, not {plain:?}")) }
        })?;
        self.see("expired in time");
        Ok(())
    }

    /// Somebody takes back what waits.
    pub(crate) fn delete_delayed(&mut self, dice: &mut Dice) -> Result<(), String> {
        let all = self.delayed();
        if all.is_empty() {
            return Ok(());
        }
        let at = dice.roll(all.len());
        self.note(|| format!("the message that comes as number {at} of those that wait is deleted"));
        for is_there in [true, false] {
            let got = self.command(async |commands| commands.delete_delayed(&all[at].0).await);
            if got != Ok(is_there) {
                return Err(format!("deleted {:?}: {got:?}", all[at]));
            }
        }
        self.agree(|reference| {
            let gone = reference.in_turn().get(at).cloned().ok_or("nothing waits")?;
            reference.waiting.retain(|one| *one != gone);
            Ok(())
        })
    }

    /// Whether those wait that should, each until it is due.
    pub(crate) fn compare_delayed(&mut self) -> Result<(), String> {
        let real: Vec<(u64, usize)> =
            self.delayed().into_iter().map(|(_, due, bytes)| (due, bytes)).collect();
        self.agree(|reference| {
            let all = reference.in_turn().into_iter();
            let plain: Vec<_> = all.map(|one| (one.due_ms, one.message.size())).collect();
            if plain == real { Ok(()) } else { Err(format!("{real:?} wait, and should be {plain:?}")) }
        })
    }
}

/// When every broker of this process begins, and what the clock on the wall says then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began {
    pub(crate) at: Instant,
    pub(crate) wall_ms: u64,
}

/// The same for all: the engine counts its milliseconds from the first time that anybody asked for, and each runtime's timers from
/// its own start. The last nanosecond of a millisecond of the one is in the same millisecond of the other.
pub(crate) fn began() -> Began {
    *BEGAN.get_or_init(|| {
        let (now, wall_ms) = World::begin(None).clocks();
        let at = now + AHEAD + Duration::from_nanos(999_999);
        Began { at, wall_ms: wall_ms + AHEAD.as_millis() as u64 }
    })
}

static BEGAN: OnceLock<Began> = OnceLock::new();

/// No run takes so long: the time of a broker that is put forward to the start is never before the real one.
const AHEAD: Duration = Duration::from_secs(86_400);
/// How long a full queue is left alone.
const FULL_PAUSE_MS: u64 = 1000;
/// So long it takes at most until all has expired that has no time left, and what died by that in other queues.
const EXPIRES_WITHIN_MS: u64 = 500;
