//! Pub and sub.

pub(crate) mod publish;
pub(crate) mod subscribe;
