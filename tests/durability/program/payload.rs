//! What a message says: who sent it as which, and bytes that only this one has.

use harness::dice::Dice;

/// The body of a publisher's message of that number, 16 to 1,040 bytes, and one of a hundred up to 40 KB.
pub(crate) fn write(publisher: usize, number: u64) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(&u64::try_from(publisher).unwrap_or(u64::MAX).to_be_bytes());
    body.extend_from_slice(&number.to_be_bytes());
    let mut dice = Dice::new(number.wrapping_mul(31).wrapping_add(body.len() as u64));
    // Most messages are small; now and then one is not. The journal comes to its next file soon enough by that.
    let size = match dice.below(100) {
        0 => dice.below(40_000),
        1..=10 => dice.below(1024),
        _ => dice.below(64),
    };
    body.extend(dice.bytes(usize::try_from(size).unwrap_or(0)));
    body
}

/// Who sent it, as which; `None` if these are no bytes that anybody sent.
pub(crate) fn read(body: &[u8]) -> Option<(usize, u64)> {
    let (publisher, rest) = body.split_first_chunk::<8>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    let publisher = usize::try_from(u64::from_be_bytes(*publisher)).ok()?;
    let number = u64::from_be_bytes(*number);
    (write(publisher, number) == body).then_some((publisher, number))
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn a_changed_byte_is_noticed() {
        for number in 1..200 {
            let body = write(2, number);
            assert_eq!(read(&body), Some((2, number)));
            let mut damaged = body.clone();
            if let Some(last) = damaged.last_mut() {
                *last ^= 1;
            }
            assert_ne!(read(&damaged), Some((2, number)));
            assert_eq!(read(body.get(..15).unwrap_or_default()), None);
        }
    }
}
