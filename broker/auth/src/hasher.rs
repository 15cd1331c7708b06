//! Hasher: passwords are checked on threads that may take their time, so many at once and no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use bytes::Bytes;
use model::refusal::Refusal;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::cache::{Cache, Tagger};
use crate::verifier::Verifier;

/// Where passwords are hashed. One that was right before is known again without it: when all clients come back at once,
/// they are let in at once.
pub(crate) struct Hasher {
    tagger: Tagger,
    cache: Mutex<Cache>,
    /// Who may wait.
    waiting: Semaphore,
    /// Who may work.
    working: Arc<Semaphore>,
    /// How many iterations were done for whoever asked.
    #[cfg(test)]
    pub(crate) work: Arc<std::sync::atomic::AtomicU64>,
}

impl Hasher {
    /// As many at once as there are cores.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            tagger: Tagger::new()?,
            cache: Mutex::new(Cache::new()),
            waiting: Semaphore::new(WAITING_MAX),
            working: Arc::new(Semaphore::new(cores)),
            #[cfg(test)]
            work: Arc::default(),
        })
    }

    /// Whether the password is the one of the verifier.
    pub(crate) async fn is_of(&self, verifier: Verifier, password: Bytes) -> Result<bool, Refusal> {
        let tag = self.tagger.tag(&verifier, &password);
        if self.cache().knows(&tag) {
            return Ok(true);
        }
        let _waits = self.waiting.try_acquire().map_err(|_| BUSY)?;
        let Ok(works) = Arc::clone(&self.working).acquire_owned().await else { return Err(BUSY) };
        #[cfg(test)]
        let work = Arc::clone(&self.work);
        let hashed = spawn_blocking(move || {
            // Given back when the work is done, whether anybody still waits for it or not.
            let _works = works;
            #[cfg(test)]
            work.fetch_add(verifier.iterations.into(), std::sync::atomic::Ordering::SeqCst);
            verifier.is_of(&password)
        });
        let is_right = hashed.await.map_err(|_| BUSY)?;
        if is_right {
            self.cache().remember(tag);
        }
        Ok(is_right)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many logins wait for their password to be checked.
const WAITING_MAX: usize = 1024;

const BUSY: Refusal = Refusal::Busy("too many passwords wait to be checked; try again later");

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::verifier::ITERATIONS_MIN;

    #[tokio::test]
    async fn so_many_passwords_wait_to_be_checked_and_no_more() {
        let hasher = Hasher::new().expect("random bytes");
        let cores = u32::try_from(hasher.working.available_permits()).expect("some cores");
        let busy = Arc::clone(&hasher.working).acquire_many_owned(cores).await.expect("nobody closes it");
        let verifier = Verifier::new(b"right", b"salt", ITERATIONS_MIN);
        let check = || Box::pin(hasher.is_of(verifier.clone(), Bytes::from_static(b"wrong")));
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| check()).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_pending()));
        assert_eq!(check().await, Err(BUSY));
        // Whoever gives up leaves his place to another one.
        drop(waiting.pop());
        let mut another = check();
        assert!(another.as_mut().poll(&mut cx).is_pending());
        assert_eq!(check().await, Err(BUSY));
        drop(busy);
        assert_eq!(waiting.remove(0).await, Ok(false));
    }
}
