//! Frames as the broker wrote them, read by eyes of our own: the codec of the house is not its own judge.

use std::fmt;

use stomp::version::Version;

/// One frame of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The first line.
    pub(crate) command: String,
    /// The header lines, as they stand on the wire.
    pub(crate) lines: Vec<String>,
    /// The body, without the NUL.
    pub(crate) body: Vec<u8>,
    version: Version,
}

impl Frame {
    /// Cuts one frame off the front of `bytes`. `None`: it is not complete.
    ///
    /// # Errors
    ///
    /// Says why the bytes are no frame.
    pub(crate) fn cut(bytes: &mut Vec<u8>, version: Version) -> Result<Option<Self>, String> {
        let start = bytes.iter().position(|byte| !matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
        bytes.drain(..start);
        let Some(head_bytes) = head_end(bytes) else { return Ok(None) };
        let head = String::from_utf8(bytes.get(..head_bytes).unwrap_or_default().to_vec())
            .map_err(|_| "the broker's headers are not UTF-8".to_owned())?;
        let mut lines = head.lines().take_while(|line| !line.is_empty()).map(str::to_owned);
        let command = lines.next().unwrap_or_default();
        let lines: Vec<String> = lines.collect();
        let body = bytes.get(head_bytes..).unwrap_or_default();
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length:"));
        let length = match length.map(|text| text.trim().parse::<usize>()) {
            Some(Ok(length)) => length,
            Some(Err(_)) => return Err(format!("the broker's content-length is no number: {length:?}")),
            None => match body.iter().position(|byte| *byte == 0) {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let taken = match body.get(length) {
            None => return Ok(None),
            Some(0) => body.get(..length).unwrap_or_default().to_vec(),
            Some(_) => return Err(format!("no NUL after the {length} octets of the broker's {command}")),
        };
        bytes.drain(..=head_bytes + length);
        if let Some(line) = lines.iter().find(|line| !line.contains(':')) {
            return Err(format!("the broker's {command} has a header line without a colon: {line:?}"));
        }
        Ok(Some(Self { command, lines, body: taken, version }))
    }

    /// The first value of that name, as it stands on the wire.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (this, value) = line.split_once(':')?;
            (this == name).then_some(value)
        })
    }

    /// The first value of that name, escapes resolved as its version says; those that are undefined stay.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let plain = self.version == Version::V1_0 || self.command == "CONNECTED";
        self.lines.iter().find_map(|line| {
            let (this, value) = line.split_once(':')?;
            if plain {
                return (this == name).then(|| value.to_owned());
            }
            (unescaped(this) == name).then(|| unescaped(value))
        })
    }

    /// The body as people read it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.command, self.lines.join(", "))?;
        if !self.body.is_empty() {
            let start: String = self.text().chars().take(SHOWN_CHARS_MAX).collect();
            write!(f, " {start:?}")?;
        }
        Ok(())
    }
}

/// Where the blank line ends that ends the head.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let rest = bytes.get(start..)?;
        let line = rest.iter().position(|byte| *byte == b'\n')?;
        let is_blank = matches!(rest.get(..line), Some(b"" | b"\r"));
        start += line + 1;
        if is_blank {
            return Some(start);
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some('c') => plain.push(':'),
                Some('\\') => plain.push('\\'),
                Some(other) => plain.extend(['\\', other]),
                None => plain.push('\\'),
            },
            (char, false) => plain.push(char),
        }
    }
    plain
}

/// How much of a body a report repeats.
const SHOWN_CHARS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_whole_or_not_at_all() {
        let stream = b"\nMESSAGE\na:b\\cc\ncontent-length:3\n\nx\0y\0\nRECEIPT\nreceipt-id:1\n\n\0";
        for cut in 0..=stream.len() {
            let mut bytes = stream.get(..cut).unwrap_or_default().to_vec();
            let mut found = Vec::new();
            while let Some(frame) = Frame::cut(&mut bytes, Version::V1_2).expect("frames") {
                found.push(frame.to_string());
            }
            let whole = ["MESSAGE [a:b\\cc, content-length:3] \"x\\0y\"", "RECEIPT [receipt-id:1]"];
            assert_eq!(found, whole.get(..found.len()).unwrap_or_default());
            assert_eq!(found.len(), if cut < 38 { 0 } else { usize::from(cut == stream.len()) + 1 }, "{cut}");
        }
    }

    #[test]
    fn escapes_are_resolved_where_the_version_has_them() {
        let read = |version| {
            let mut bytes = b"MESSAGE\na:b\\cc\n\n\0".to_vec();
            Frame::cut(&mut bytes, version).expect("a frame").expect("whole").header("a")
        };
        assert_eq!(read(Version::V1_2).as_deref(), Some("b:c"));
        assert_eq!(read(Version::V1_0).as_deref(), Some("b\\cc"));
    }

    #[test]
    fn what_is_no_frame_is_said() {
        for bytes in [&b"MESSAGE\nab\n\n\0"[..], b"MESSAGE\ncontent-length:1\n\nabc\0", b"M\n\xff:1\n\n\0"] {
            assert!(Frame::cut(&mut bytes.to_vec(), Version::V1_2).is_err());
        }
    }
}
