//! What a client of TLS says first, as bytes.

/// A ClientHello of TLS 1.3 in one record (RFC 8446, 4.1.2), by which a server has all it needs to agree on a key.
pub(crate) fn client_hello() -> Vec<u8> {
    let extensions = [
        extension(43, &[2, 3, 4]),
        extension(10, &[0, 2, 0, 0x1d]),
        extension(13, &[0, 4, 4, 3, 8, 4]),
        // X25519, whose base point is as good a key as any.
        extension(51, &[&[0, 36, 0, 0x1d, 0, 32, 9][..], &[0; 31]].concat()),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[32],
        &[8; 32],
        // TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, and no compression.
        &[0, 4, 0x13, 1, 0x13, 2, 1, 0],
        &length(&extensions),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &length(&body), &body].concat();
    [&[22, 3, 1][..], &length(&message), &message].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &length(data), data].concat()
}

/// In two bytes; none of it is longer.
fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}
