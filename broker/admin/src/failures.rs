//! Failures: from where somebody shows what is wrong, the next tries come one by one

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Addresses from where something wrong was shown of late. Whoever breaks off and comes again gains nothing: what is kept is
/// when the next try of that address may be looked at.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<HashMap<IpAddr, Address>>);

#[derive(Debug)]
struct Address {
    /// When the next try is looked at.
    next: Instant,
    /// When something wrong was shown last.
    failed: Instant,
}

/// Too many tries of that address wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Failures {
    /// Waits until a try from there may be looked at; where nothing was wrong of late, that is now.
    ///
    /// # Errors
    ///
    /// [`Crowded`].
    pub(crate) async fn turn(&self, from: IpAddr) -> Result<(), Crowded> {
        let now = Instant::now();
        let at = {
            let mut known = self.known();
            let place = place(&known, from);
            match known.get_mut(&place) {
                Some(address) if address.failed + REMEMBERED > now => {
                    let at = address.next.max(now);
                    if at > now + WAIT_MAX {
                        return Err(Crowded);
                    }
                    address.next = at + BETWEEN;
                    at
                }
                Some(_) | None => now,
            }
        };
        sleep_until(at).await;
        Ok(())
    }

    /// Something wrong was shown from there. Waits as long as the answer to it has to.
    pub(crate) async fn failed(&self, from: IpAddr) {
        let now = Instant::now();
        {
            let mut known = self.known();
            if known.len() >= ADDRESSES_MAX {
                known.retain(|_, address| address.failed + REMEMBERED > now);
            }
            let place = place(&known, from);
            let address = known.entry(place).or_insert(Address { next: now, failed: now });
            address.failed = now;
            address.next = address.next.max(now + BETWEEN);
        }
        sleep_until(now + BETWEEN).await;
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where that address is remembered: whoever has one of IPv6 has 2^64 of them, and where there are too many, the others share
/// a place.
fn place(known: &HashMap<IpAddr, Address>, from: IpAddr) -> IpAddr {
    let place = match from.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        IpAddr::V6(address) => address.into(),
        IpAddr::V4(address) => address.into(),
    };
    let has_room = known.len() < ADDRESSES_MAX || known.contains_key(&place);
    if has_room { place } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

/// How far apart tries are.
const BETWEEN: Duration = Duration::from_millis(500);
/// How long a try may wait.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// For how long tries are kept apart after the last one that was wrong.
const REMEMBERED: Duration = Duration::from_secs(30);
/// So many are told from each other.
const ADDRESSES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[tokio::test(start_paused = true)]
    async fn tries_are_kept_apart_after_a_wrong_one_and_for_a_while() {
        let failures = Failures::default();
        let start = Instant::now();
        failures.turn(HERE).await.unwrap();
        assert_eq!(Instant::now(), start);
        failures.failed(HERE).await;
        assert_eq!(Instant::now(), start + BETWEEN);
        for number in 1..4 {
            failures.turn(HERE).await.unwrap();
            assert_eq!(Instant::now(), start + BETWEEN * number);
        }
        // Elsewhere nobody waits.
        failures.turn(IpAddr::from([192, 0, 2, 1])).await.unwrap();
        assert_eq!(Instant::now(), start + BETWEEN * 3);
        tokio::time::sleep(REMEMBERED).await;
        let later = Instant::now();
        for _ in 0..3 {
            failures.turn(HERE).await.unwrap();
        }
        assert_eq!(Instant::now(), later);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_breaks_off_gains_nothing_and_few_may_wait() {
        let failures = Failures::default();
        failures.failed(HERE).await;
        let start = Instant::now();
        // Broken off at once, each of them.
        for _ in 0..11 {
            let _ = tokio::time::timeout(Duration::ZERO, failures.turn(HERE)).await;
        }
        assert_eq!(failures.turn(HERE).await, Err(Crowded));
        assert_eq!(Instant::now(), start);
        tokio::time::sleep(BETWEEN).await;
        failures.turn(HERE).await.unwrap();
        assert_eq!(Instant::now(), start + WAIT_MAX + BETWEEN);
    }

    #[tokio::test(start_paused = true)]
    async fn neighbours_share_a_place_and_there_is_a_bound() {
        let failures = Failures::default();
        let address = |network: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
        tokio::time::timeout(Duration::ZERO, failures.failed(address(1, 1))).await.unwrap_err();
        let start = Instant::now();
        failures.turn(address(1, 2)).await.unwrap();
        assert_eq!(Instant::now(), start + BETWEEN);
        for network in 0..5000 {
            let _ = tokio::time::timeout(Duration::ZERO, failures.failed(address(network, 1))).await;
        }
        assert!(failures.known().len() <= ADDRESSES_MAX + 1);
    }
}
