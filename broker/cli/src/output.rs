//! Messages as lines.

pub(crate) mod base64;
pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod stamp;
