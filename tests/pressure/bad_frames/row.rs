//! A row of the tables.

/// One kind of wrong.
pub(super) struct Bad {
    /// What is wrong.
    pub(super) name: &'static str,
    /// Of which versions: `012` are all of them, `-` is a connection on which nothing was said yet, `w` the same in a
    /// WebSocket alone.
    pub(super) versions: &'static str,
    /// What the client sends.
    pub(super) bytes: Vec<u8>,
    /// What `message` of the ERROR has in it.
    pub(super) message: &'static str,
    /// What its body has in it.
    pub(super) says: &'static str,
}

/// A row: what is wrong, in which versions, the bytes, and what is found in the message and in the body of the ERROR.
pub(super) fn bad(
    name: &'static str,
    versions: &'static str,
    bytes: impl AsRef<[u8]>,
    message: &'static str,
    says: &'static str,
) -> Bad {
    Bad { name, versions, bytes: bytes.as_ref().to_vec(), message, says }
}
