//! Where the MQTT packets end in a stream of them.

/// Where in a stream of packets one is, all but for the bytes themselves: of a packet, the fixed header is all that it takes to
/// know its end (MQTT 5.0, 2.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// A packet ended here, or nothing came yet.
    #[default]
    Between,
    /// In the Remaining Length: what it adds up to so far, and where the bits of its next byte go.
    Length { value: u32, shift: u32 },
    /// Behind the fixed header; so many bytes are still to come, at least one.
    Within { left: usize },
}

impl Place {
    /// How many of `bytes`, which begin here, are the same packet's, and where that leads to: [`Self::Between`] if it ends
    /// with them. At least one, unless there are none.
    pub(crate) fn after(self, bytes: &[u8]) -> (usize, Self) {
        let mut place = self;
        for (read, byte) in bytes.iter().enumerate() {
            place = match place {
                Self::Between => Self::Length { value: 0, shift: 0 },
                Self::Length { value, shift } => {
                    let value = value | u32::from(byte & 0x7f) << shift;
                    if byte & 0x80 == 0 || shift == LAST_SHIFT {
                        return Self::within(value as usize, read + 1, bytes.len());
                    }
                    Self::Length { value, shift: shift + 7 }
                }
                Self::Within { left } => return Self::within(left, read, bytes.len()),
            };
        }
        (bytes.len(), place)
    }

    /// With `left` bytes to come, `read` bytes read of `all` that are here.
    fn within(left: usize, read: usize, all: usize) -> (usize, Self) {
        let here = left.min(all - read);
        let place = if here == left { Self::Between } else { Self::Within { left: left - here } };
        (read + here, place)
    }
}

/// A Remaining Length has four bytes at most (MQTT 5.0, 1.5.5).
const LAST_SHIFT: u32 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_end_where_their_length_says_whatever_the_pieces() {
        let (stream, ends) = stream();
        for size in (1..300).chain([4096, stream.len()]) {
            let (mut place, mut at, mut found) = (Place::default(), 0, Vec::new());
            for piece in stream.chunks(size) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (count, next) = place.after(rest);
                    assert!(count > 0, "pieces of {size}, at {at}");
                    (place, at, rest) = (next, at + count, &rest[count..]);
                    if place == Place::Between {
                        found.push(at);
                    }
                }
            }
            assert_eq!(found, ends, "pieces of {size}");
        }
    }

    #[test]
    fn nothing_leads_nowhere() {
        for place in [Place::Between, Place::Length { value: 3, shift: 7 }, Place::Within { left: 1 }] {
            assert_eq!(place.after(b""), (0, place));
        }
    }

    #[test]
    fn a_length_ends_with_its_fourth_byte() {
        let most = [0x30, 0xff, 0xff, 0xff, 0xff, b'a'];
        assert_eq!(Place::Between.after(&most), (6, Place::Within { left: 268_435_454 }));
    }

    /// Packets with lengths of one, two and three bytes, and where they end.
    fn stream() -> (Vec<u8>, Vec<usize>) {
        let (mut stream, mut ends) = (Vec::new(), Vec::new());
        for (length, body) in [
            (&[0x00][..], 0),
            (&[0x02], 2),
            (&[0x7f], 127),
            (&[0x80, 0x01], 128),
            (&[0x00], 0),
            (&[0xff, 0x7f], 16_383),
            (&[0x80, 0x80, 0x01], 16_384),
            (&[0x02], 2),
        ] {
            stream.push(0xd0);
            stream.extend_from_slice(length);
            stream.resize(stream.len() + body, 0xff);
            ends.push(stream.len());
        }
        (stream, ends)
    }
}
