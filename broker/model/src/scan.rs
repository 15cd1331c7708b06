//! Whether certain bytes are in a text.

/// Whether one of `wanted` is in there. For texts that are short and that every message has: eight bytes at a time, the last
/// eight of them even if some were looked at before.
#[inline]
pub fn has_any<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().any(|byte| wanted.contains(byte));
    };
    let (words, _) = bytes.as_chunks();
    words.iter().chain([last]).fold(0, |found, word| {
        let word = u64::from_ne_bytes(*word);
        wanted.iter().fold(found, |found, byte| found | zeros(word ^ (EACH * u64::from(*byte))))
    }) != 0
}

/// Not zero if one of the eight bytes is; which one is not said.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(EACH) & !word & (EACH << 7)
}

/// One in each byte.
const EACH: u64 = u64::from_ne_bytes([1; 8]);

#[cfg(test)]
mod tests {
    use super::has_any;

    #[test]
    fn each_byte_is_found_wherever_it_stands_and_no_other_is() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    let expected = matches!(byte, 0 | b':' | 0xFF);
                    assert_eq!(has_any(&text, [0, b':', 0xFF]), expected, "{byte} at {at} of {length}");
                }
            }
            assert!(!has_any(&vec![b'x'; length], [0, b':', 0xFF]), "{length}");
        }
    }
}
