//! Crowd: how many connections each user has, and each vhost

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::name::UserName;
use model::refusal::Refusal;

/// Counts the connections of users; only there where their number has a limit.
#[derive(Debug)]
pub(crate) struct Crowd {
    per_user_max: usize,
    users: Mutex<HashMap<UserName, usize>>,
}

/// A connection of a user; it is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    user: UserName,
}

impl Crowd {
    /// `None` where nothing is limited.
    pub(crate) fn new(per_user_max: Option<usize>) -> Option<Arc<Self>> {
        per_user_max.map(|per_user_max| Arc::new(Self { per_user_max, users: Mutex::default() }))
    }

    /// One more connection of `user`. `replaces`: it takes the place of another one, which is still counted.
    ///
    /// # Errors
    ///
    /// [`Refusal::LimitReached`].
    pub(crate) fn enter(self: &Arc<Self>, user: &UserName, replaces: bool) -> Result<Box<Seat>, Refusal> {
        let mut users = self.lock();
        let count = users.get(user).copied().unwrap_or_default();
        if count >= self.per_user_max.saturating_add(usize::from(replaces)) {
            return Err(Refusal::LimitReached("connections of one user ([limits] connections_per_user)"));
        }
        users.insert(user.clone(), count + 1);
        Ok(Box::new(Seat { crowd: Arc::clone(self), user: user.clone() }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserName, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self.crowd.lock();
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

/// How many clients are in a vhost, and how many may be.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicU64,
    most: AtomicU64,
}

/// A client that is in; it is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Place(Arc<Room>);

impl Room {
    /// For any number.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { taken: AtomicU64::new(0), most: AtomicU64::new(u64::MAX) })
    }

    /// From now on for so many; those that are in stay.
    pub(crate) fn set_most(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// For how many.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// How many are in.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// One more. `replaces`: it takes the place of another one, which is still counted.
    ///
    /// # Errors
    ///
    /// [`Refusal::LimitReached`].
    pub(crate) fn enter(self: &Arc<Self>, replaces: bool) -> Result<Place, Refusal> {
        let most = self.most().saturating_add(u64::from(replaces));
        let one_more = |taken: u64| (taken < most).then_some(taken + 1);
        let entered = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        match entered {
            Ok(_) => Ok(Place(Arc::clone(self))),
            Err(_) => Err(Refusal::LimitReached("connections to this virtual host")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vhost_has_as_many_clients_as_it_may_and_one_may_be_replaced() {
        let room = Room::new();
        let first = room.enter(false).expect("any number");
        room.set_most(1);
        assert!(matches!(room.enter(false), Err(Refusal::LimitReached(_))));
        let second = room.enter(true).expect("in place of the first");
        drop(first);
        assert!(room.enter(false).is_err());
        drop(second);
        assert_eq!(room.taken(), 0);
        assert!(room.enter(false).is_ok());
    }

    #[test]
    fn a_user_has_as_many_connections_as_the_limit_and_may_replace_one() {
        let crowd = Crowd::new(Some(2)).expect("a limit");
        let (ann, bob) = (UserName::new("ann"), UserName::new("bob"));
        let mut seats: Vec<_> = (0..2).map(|_| crowd.enter(&ann, false).expect("room")).collect();
        assert!(matches!(crowd.enter(&ann, false), Err(Refusal::LimitReached(_))));
        assert!(crowd.enter(&bob, false).is_ok());
        seats.push(crowd.enter(&ann, true).expect("in place of another"));
        seats.remove(0);
        assert!(matches!(crowd.enter(&ann, false), Err(Refusal::LimitReached(_))));
        seats.remove(0);
        assert!(crowd.enter(&ann, false).is_ok());
        drop(seats);
        assert!(crowd.lock().is_empty());
        assert!(Crowd::new(None).is_none());
    }
}
