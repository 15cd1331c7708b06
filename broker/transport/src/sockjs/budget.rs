//! How much all sessions together may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that wait, of all sessions that share it. Beyond its bound nothing is refused that is small: everybody goes on,
/// in small steps.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    /// At most `bytes_max` bytes before steps become small.
    pub const fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max }
    }

    /// Whether it is used up.
    pub fn is_spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.bytes_max
    }

    /// What is in use, in bytes.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// A share of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Of nothing yet.
    pub const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Whether the whole budget is used up.
    pub fn is_spent(&self) -> bool {
        self.budget.is_spent()
    }

    /// It is `bytes` large from now on.
    pub fn set(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_may_be_used_again() {
        let budget = Arc::new(Budget::new(10));
        let (mut one, mut other) = (Share::new(Arc::clone(&budget)), Share::new(Arc::clone(&budget)));
        one.set(4);
        other.set(5);
        assert!(!budget.is_spent());
        other.set(6);
        assert!(one.is_spent());
        one.set(1);
        assert_eq!(budget.used(), 7);
        drop(other);
        assert_eq!(budget.used(), 1);
    }
}
