//! Asked: what the environment says of a run.

/// The number of that name; `None`: nothing is said of it.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}
