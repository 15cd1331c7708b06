//! Doorman: how many may come in, from one address and in one second

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the doorman goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowding {
    /// The most connections from one address at a time (of IPv6, from one /64); 0: any number.
    pub per_address_max: u32,
    /// The most new connections in a second, over all listeners and addresses; 0: any number. After a quiet second, as many
    /// may come at once.
    pub per_second_max: u32,
    /// Whether connections from loopback addresses are not counted.
    pub loopback_free: bool,
}

impl Default for Crowding {
    fn default() -> Self {
        Self { per_address_max: 1000, per_second_max: 1000, loopback_free: true }
    }
}

/// Why somebody is turned away at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// Too many of that address are here.
    Address,
    /// Too many came within this second.
    Rate,
}

impl Crowded {
    /// For the log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Address => {
                "there are as many connections from this address as there may be (limits.connections_per_ip)"
            }
            Self::Rate => "more connections come in a second than may (limits.connection_rate)",
        }
    }
}

/// Counts those who come in.
#[derive(Debug)]
pub(crate) struct Doorman {
    options: Crowding,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<IpAddr, u32>,
    /// How far the places given out reach into the future, if one is given each `1 / per_second_max`.
    spent_until: Option<Instant>,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// `None`: it was not counted.
    counted: Option<(Arc<Doorman>, IpAddr)>,
}

impl Doorman {
    pub(crate) fn new(options: Crowding) -> Arc<Self> {
        Arc::new(Self { options, state: Mutex::default() })
    }

    /// Somebody comes from `address`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Place, Crowded> {
        let address = address.to_canonical();
        if address.is_loopback() && self.options.loopback_free {
            return Ok(Place { counted: None });
        }
        let address = network(address);
        let Crowding { per_address_max, per_second_max, .. } = self.options;
        let mut state = self.lock();
        // First: whoever has too many spends nothing of what is there for the others.
        if per_address_max > 0 && state.addresses.get(&address).is_some_and(|count| *count >= per_address_max)
        {
            return Err(Crowded::Address);
        }
        if per_second_max > 0 {
            let since = now.checked_sub(SECOND).unwrap_or(now);
            let spent = state.spent_until.map_or(since, |until| until.max(since)) + SECOND / per_second_max;
            if spent > now {
                return Err(Crowded::Rate);
            }
            state.spent_until = Some(spent);
        }
        if per_address_max == 0 {
            return Ok(Place { counted: None });
        }
        *state.addresses.entry(address).or_default() += 1;
        Ok(Place { counted: Some((Arc::clone(self), address)) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((doorman, address)) = self.counted.take() else { return };
        let mut state = doorman.lock();
        if let Some(count) = state.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                state.addresses.remove(&address);
            }
        }
    }
}

/// Whose address it is: of IPv6, a customer has a /64 to choose from.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_places_as_the_limit_and_gets_them_back() {
        let doorman = Doorman::new(Crowding { per_address_max: 2, per_second_max: 0, loopback_free: true });
        let now = Instant::now();
        let mut here: Vec<Place> =
            (0..2).map(|_| doorman.enter(ip("192.0.2.1"), now).expect("room")).collect();
        assert_eq!(doorman.enter(ip("192.0.2.1"), now).err(), Some(Crowded::Address));
        // The same address, written for IPv6.
        assert_eq!(doorman.enter(ip("::ffff:192.0.2.1"), now).err(), Some(Crowded::Address));
        assert!(doorman.enter(ip("192.0.2.2"), now).is_ok());
        here.pop();
        assert!(doorman.enter(ip("192.0.2.1"), now).is_ok());
        drop(here);
        assert!(doorman.lock().addresses.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let doorman = Doorman::new(Crowding { per_address_max: 1, per_second_max: 0, loopback_free: true });
        let now = Instant::now();
        let _here = doorman.enter(ip("2001:db8::1"), now).expect("room");
        assert_eq!(doorman.enter(ip("2001:db8::2"), now).err(), Some(Crowded::Address));
        assert!(doorman.enter(ip("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn as_many_come_in_a_second_as_the_limit_and_no_more() {
        let doorman = Doorman::new(Crowding { per_address_max: 0, per_second_max: 10, loopback_free: true });
        let start = Instant::now() + SECOND;
        let count = |now| (0..100).filter(|_| doorman.enter(ip("192.0.2.1"), now).is_ok()).count();
        assert_eq!(count(start), 10);
        assert_eq!(count(start + SECOND / 20), 0);
        assert_eq!(count(start + SECOND / 10), 1);
        assert_eq!(count(start + SECOND), 9);
        // What nobody used is not kept for longer than a second.
        assert_eq!(count(start + SECOND * 60), 10);
    }

    #[test]
    fn this_machine_is_counted_only_if_that_is_wanted() {
        let strict = Crowding { per_address_max: 1, per_second_max: 1, loopback_free: true };
        let free = Doorman::new(strict.clone());
        let now = Instant::now();
        let here: Vec<_> = (0..5).map(|_| free.enter(ip("127.0.0.1"), now)).collect();
        assert!(here.iter().all(Result::is_ok));
        let counted = Doorman::new(Crowding { loopback_free: false, ..strict });
        let _here = counted.enter(ip("127.0.0.1"), now).expect("room");
        assert_eq!(counted.enter(ip("127.0.0.1"), now).err(), Some(Crowded::Address));
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }
}
