//! What a session wants written, taken out of its outbox.

use std::io::IoSlice;

use bytes::BytesMut;
use model::outbox::Outbox;

/// All of it, as the gateway would write it: slice by slice.
pub fn written(out: &mut Outbox) -> BytesMut {
    let mut bytes = BytesMut::new();
    while !out.wire.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let used = out.wire.peek(&mut slices);
        let count = slices.iter().take(used).map(|slice| slice.len()).sum();
        slices.iter().take(used).for_each(|slice| bytes.extend_from_slice(slice));
        out.wire.advance(count);
    }
    bytes
}
