//! The PROXY header: it is known at its last byte, not before it and not otherwise behind it, and its client can be written again.

use transport::proxy_protocol::Header;

/// All of it is what comes first on a connection.
pub fn run(data: &[u8]) {
    let whole = Header::parse(data);
    for end in 0..data.len().min(HEADER_BYTES_MAX) {
        let (cut, _) = data.split_at(end);
        let known = Header::parse(cut);
        assert!(known == Ok(None) || known == whole, "{end}: {known:?}, then {whole:?}");
        if let Ok(Some(header)) = known {
            assert!(header.length <= end, "{end}: {header:?}");
        }
    }
    match whole {
        Ok(Some(header)) => {
            assert!(header.length <= data.len().min(HEADER_BYTES_MAX), "{header:?}");
            let (cut, _) = data.split_at(header.length - 1);
            assert_eq!(Header::parse(cut), Ok(None), "{header:?}");
            again(header);
        }
        Ok(None) => assert!(data.len() < HEADER_BYTES_MAX, "it waits for ever"),
        Err(_) => {}
    }
}

fn again(header: Header) {
    let Some(client) = header.client else { return };
    let (family, to) = if client.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::1") };
    let line = format!("PROXY {family} {} {to} {} 1\r\n", client.ip(), client.port());
    let written = Header { client: Some(client), length: line.len() };
    assert_eq!(Header::parse(line.as_bytes()), Ok(Some(written)), "{line:?}");
}

/// A whole header of the longest kind.
const HEADER_BYTES_MAX: usize = 4096;
