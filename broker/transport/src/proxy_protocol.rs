//! The PROXY protocol, versions 1 and 2 (HAProxy, "The PROXY protocol"): the address behind a balancer

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::proxy_protocol::networks::Networks;
use crate::stream::look_at_socket;

pub mod networks;

/// What comes before anything else on a connection that a balancer made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// On whose behalf it is; `None`: on the balancer's own, such as a health check.
    pub client: Option<SocketAddr>,
    /// How many bytes it has.
    pub length: usize,
}

impl Header {
    /// Reads a header; `None` if more bytes are needed. What a version 2 says beside the addresses (TLVs) is passed over.
    ///
    /// # Errors
    ///
    /// It is none, or one of a kind that is not taken here.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProxyError> {
        match bytes.first() {
            None => Ok(None),
            Some(b'P') => version_1(bytes),
            Some(b'\r') => version_2(bytes),
            Some(_) => Err(ProxyError::Missing),
        }
    }
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`
fn version_1(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let known = bytes.len().min(WORD.len());
    if bytes.get(..known) != WORD.get(..known) {
        return Err(ProxyError::Missing);
    }
    let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(ProxyError::Odd("its line has no end"))
        };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line =
        line.and_then(|line| std::str::from_utf8(line).ok()).ok_or(ProxyError::Odd("its line is none"))?;
    let length = end + 1;
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words.as_slice() {
        // Whatever follows is to be ignored (2.1).
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, from, to] => {
            let address = |text: &str| -> Option<IpAddr> {
                match *family {
                    "TCP4" => text.parse().ok().map(Ipv4Addr::into),
                    _ => text.parse().ok().map(Ipv6Addr::into),
                }
            };
            let parts = (address(source), address(destination), port(from), port(to));
            let (Some(source), Some(_), Some(from), Some(_)) = parts else {
                return Err(ProxyError::Odd("its addresses are none"));
            };
            Some(SocketAddr::new(source, from))
        }
        _ => return Err(ProxyError::Odd("it is neither TCP4, TCP6 nor UNKNOWN")),
    };
    Ok(Some(Header { client, length }))
}

/// Digits, without a zero in front (2.1).
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn version_2(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes.get(..known) != SIGNATURE.get(..known) {
        return Err(ProxyError::Missing);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let [.., version_and_command, family, high, low] = *head;
    let is_own = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Odd("it is of no version and command that are known")),
    };
    let announced = usize::from(u16::from_be_bytes([high, low]));
    let length = HEAD_BYTES + announced;
    if length > HEADER_BYTES_MAX {
        return Err(ProxyError::Odd("it is longer than 4096 bytes"));
    }
    let Some(block) = rest.get(..announced) else { return Ok(None) };
    let short = ProxyError::Odd("it is too short for its addresses");
    let client = match (is_own, family) {
        // Whatever follows is to be ignored (2.2).
        (true, _) | (false, 0x00) => None,
        (false, 0x11) => {
            let block = block.first_chunk::<12>().ok_or(short)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *block;
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
        }
        (false, 0x21) => {
            let (source, rest) = block.split_first_chunk::<16>().ok_or(short.clone())?;
            let ports = rest.get(16..20).ok_or(short)?;
            let port = ports.first_chunk::<2>().map_or(0, |port| u16::from_be_bytes(*port));
            Some(SocketAddr::new(Ipv6Addr::from(*source).into(), port))
        }
        (false, _) => return Err(ProxyError::Odd("it is about a connection that is not TCP")),
    };
    Ok(Some(Header { client, length }))
}

/// Who may announce others on a listener, and how long that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// From where.
    pub networks: Networks,
    /// From the connection to the end of the header.
    pub wait_max: Duration,
}

impl Proxies {
    /// Takes the header off a connection that came `from` there, and gives the address of the client behind it.
    ///
    /// # Errors
    ///
    /// Nobody else may come, or there is no header, or none in time.
    pub async fn receive(&self, stream: &mut TcpStream, from: SocketAddr) -> Result<SocketAddr, ProxyError> {
        if !self.networks.contain(from.ip()) {
            return Err(ProxyError::Stranger);
        }
        let received = tokio::time::timeout(self.wait_max, receive(stream)).await;
        Ok(received.unwrap_or(Err(ProxyError::TimedOut(self.wait_max)))?.unwrap_or(from))
    }
}

/// The header alone is taken: what is behind it stays where it is.
async fn receive(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let judge = |bytes: &[u8]| Header::parse(bytes).transpose();
    let looked = look_at_socket(stream, HEADER_BYTES_MAX, judge).await.map_err(ProxyError::lost)?;
    let header = looked.ok_or(ProxyError::Silent)??;
    let mut head = vec![0; header.length];
    stream.read_exact(&mut head).await.map_err(ProxyError::lost)?;
    Ok(header.client)
}

/// Why a connection has no client behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It does not come from a balancer.
    #[error(
        "this listener is for balancers alone (listener.proxy_protocol), and this address is not among theirs"
    )]
    Stranger,
    /// Something else was spoken.
    #[error("no PROXY header came, which a balancer must send first (listener.proxy_protocol)")]
    Missing,
    /// What came is no header, or none of those that are taken.
    #[error("a PROXY header that cannot be taken: {0}")]
    Odd(&'static str),
    /// It took too long.
    #[error("no PROXY header within {0:?} (limits.proxy_header)")]
    TimedOut(Duration),
    /// The peer left before it said anything.
    #[error("closed before a PROXY header came")]
    Silent,
    /// The connection broke.
    #[error("{0}")]
    Lost(String),
}

impl ProxyError {
    fn lost(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }

    /// Something that a health check or a scanner does all day.
    pub const fn is_passing_by(&self) -> bool {
        match self {
            Self::Silent | Self::Lost(_) => true,
            Self::Stranger | Self::Missing | Self::Odd(_) | Self::TimedOut(_) => false,
        }
    }
}

const WORD: &[u8] = b"PROXY ";

/// The longest line of version 1, its end included (2.1).
const LINE_BYTES_MAX: usize = 107;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The part of version 2 that is always there (2.2).
const HEAD_BYTES: usize = 16;

/// A header with more beside the addresses than anybody sends.
const HEADER_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_a_line() {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nrest", Some("192.0.2.1:56324"), 45);
        check(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", Some("[2001:db8::1]:1"), 44);
        check(b"PROXY UNKNOWN\r\n", None, 15);
        check(b"PROXY UNKNOWN whatever it is\r\n", None, 30);
        for odd in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +5 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY \r\n",
        ] {
            assert!(matches!(Header::parse(odd.as_bytes()), Err(ProxyError::Odd(_))), "{odd:?}");
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 107]].concat();
        assert!(Header::parse(&endless).is_err());
        assert_eq!(Header::parse(&endless[..106]), Ok(None));
    }

    #[test]
    fn version_2_is_binary_and_what_it_says_beside_is_passed_over() {
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
        check(&packed(0x21, 0x11, &four), Some("192.0.2.1:56324"), 28);
        check(&packed(0x21, 0x11, &[&four[..], &[4, 0, 1, 7]].concat()), Some("192.0.2.1:56324"), 32);
        let six = [&[0x20, 0x01, 0x0d, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0, 7, 0, 8]].concat();
        check(&packed(0x21, 0x21, &six), Some("[2001:db8::1]:7"), 52);
        check(&packed(0x20, 0x11, &four), None, 28);
        check(&packed(0x20, 0x00, &[]), None, 16);
        check(&packed(0x21, 0x00, &[1, 2, 3]), None, 19);
        for (command, family, block) in [
            (0x22, 0x11, &four[..]),
            (0x11, 0x11, &four),
            (0x21, 0x12, &four),
            (0x21, 0x31, &[0; 216]),
            (0x21, 0x11, &four[..11]),
            (0x21, 0x21, &six[..35]),
            (0x21, 0x11, &[0; 4081]),
        ] {
            let bytes = packed(command, family, block);
            assert!(matches!(Header::parse(&bytes), Err(ProxyError::Odd(_))), "{command:#x} {family:#x}");
        }
    }

    #[test]
    fn what_is_no_header_is_known_at_once_and_one_that_is_cut_is_waited_for() {
        for other in [
            "GET / HTTP/1.1",
            "\x10\x0c\0\x04MQTT",
            "CONNECT\n",
            "\r\nCONNECT",
            "PROXT",
            "\x16\x03",
            "proxy ",
        ] {
            assert_eq!(Header::parse(other.as_bytes()), Err(ProxyError::Missing), "{other:?}");
        }
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
        let whole = [packed(0x21, 0x11, &four), b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec()];
        for whole in whole {
            for end in 0..whole.len() {
                assert_eq!(Header::parse(&whole[..end]), Ok(None), "{end}");
            }
            let more = [&whole[..], b"and more"].concat();
            assert_eq!(Header::parse(&more), Header::parse(&whole));
        }
    }

    fn packed(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    #[track_caller]
    fn check(bytes: &[u8], client: Option<&str>, length: usize) {
        let client = client.map(|client| client.parse().expect("an address"));
        assert_eq!(Header::parse(bytes), Ok(Some(Header { client, length })), "{}", bytes.escape_ascii());
    }
}
