//! A group of records under one CRC32C: what is written at once, and is there as a whole or not at all.
//!
//! Each CRC starts from a random salt of the file it is in. What an earlier use of the file left behind, or what a client
//! sent to look like a group, is therefore no group.

/// Records on their way into the journal. One buffer, used again for every group.
#[derive(Debug)]
pub struct Group {
    bytes: Vec<u8>,
    records: u32,
}

impl Group {
    /// An empty group.
    pub fn new() -> Self {
        Self { bytes: vec![0; HEADER_BYTES], records: 0 }
    }

    /// Adds one record, as `write` writes it.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        write(&mut self.bytes);
        // Beyond 4 GiB the group as a whole is refused, see `length`.
        let length = u32::try_from(self.bytes.len() - start - PREFIX_BYTES).unwrap_or(u32::MAX);
        if let Some(prefix) = self.bytes.get_mut(start..start + PREFIX_BYTES) {
            prefix.copy_from_slice(&length.to_le_bytes());
        }
        self.records += 1;
    }

    /// How many records it has.
    pub const fn records(&self) -> usize {
        self.records as usize
    }

    /// How many bytes it takes in a file, its header and its padding included.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len().next_multiple_of(ALIGNMENT)
    }

    /// Whether it has no record.
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Makes it empty again.
    pub fn clear(&mut self) {
        // One giant must not hold its memory for ever.
        self.bytes.truncate(HEADER_BYTES);
        self.bytes.shrink_to(KEPT_BYTES);
        self.records = 0;
    }

    /// The bytes to write: the header is filled in, for this place in the order and this file. Every group up to the one
    /// numbered `synced` is known to last.
    pub fn seal(&mut self, number: u64, synced: u64, salt: u64) -> &[u8] {
        let length = self.bytes.len() - HEADER_BYTES;
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        let header = Header {
            kind: KIND_RECORDS,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            crc: checksum(salt, self.bytes.get(HEADER_BYTES..).unwrap_or_default()),
            number,
            synced,
            records: self.records,
        };
        let header = header.write(salt);
        if let Some(start) = self.bytes.get_mut(..HEADER_BYTES) {
            start.copy_from_slice(&header);
        }
        &self.bytes
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

/// A group as it was found in a file.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its place in the order of all groups, from 1.
    pub number: u64,
    /// Up to which group everything was known to last when this one was written.
    pub synced: u64,
    /// Its bytes in the file, padding included.
    pub size: usize,
    /// How many numbers it takes in that order: one, unless it stands where a repair found nothing that was whole.
    pub numbers: u64,
    /// It stands for what a repair did not find.
    pub is_gap: bool,
    payload: &'a [u8],
}

impl<'a> Found<'a> {
    /// Its records, each with its distance from the group's start.
    pub fn records(self) -> Records<'a> {
        Records { rest: self.payload, at: HEADER_BYTES }
    }
}

/// What stands at a place in a file.
#[derive(Debug)]
pub enum Look<'a> {
    /// A group, whole.
    Group(Found<'a>),
    /// A group, whole, of a version that is not known.
    Unknown(u32),
    /// Nothing that is one.
    Nothing,
}

/// Looks for a group at the start of `bytes`, in a file whose CRCs start from `salt`.
pub fn look(bytes: &[u8], salt: u64) -> Look<'_> {
    let Some((version, header)) = Header::read(bytes, salt) else {
        return Look::Nothing;
    };
    let Header { kind, length, crc, number, synced, records } = header;
    let size = header.size();
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + length as usize);
    let (Some(payload), Some(padded)) = (payload, bytes.get(HEADER_BYTES..size)) else {
        return Look::Nothing;
    };
    if checksum(salt, padded) != crc {
        Look::Nothing
    } else if version != VERSION {
        Look::Unknown(version.into())
    } else if kind == KIND_GAP {
        Look::Group(Found { number, synced, size, numbers: records.into(), is_gap: true, payload: &[] })
    } else {
        Look::Group(Found { number, synced, size, numbers: 1, is_gap: false, payload })
    }
}

/// What stands where groups were damaged, once that is repaired: it takes their numbers and their place, and has no
/// record. `size` is a multiple of [`ALIGNMENT`], and room for a header at least.
pub(crate) fn gap(number: u64, numbers: u64, size: usize, salt: u64) -> Vec<u8> {
    let payload = vec![0; size.saturating_sub(HEADER_BYTES)];
    let header = Header {
        kind: KIND_GAP,
        length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        crc: checksum(salt, &payload),
        number,
        // Nothing is known of what came before but that it was there: the groups behind say the rest.
        synced: 0,
        records: u32::try_from(numbers).unwrap_or(u32::MAX),
    };
    [header.write(salt), payload].concat()
}

/// What may be records in `bytes`, where a group should start and none is whole. Nobody vouches for them.
pub(crate) fn remains(bytes: &[u8]) -> Records<'_> {
    Records { rest: bytes.get(HEADER_BYTES..).unwrap_or_default(), at: HEADER_BYTES }
}

/// How many bytes the group takes that starts here, if the start of one is here.
pub(crate) fn announced_bytes(bytes: &[u8], salt: u64) -> Option<usize> {
    Header::read(bytes, salt).map(|(_, header)| header.size())
}

/// Walks through the records of a group.
#[derive(Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (prefix, rest) = self.rest.split_first_chunk::<PREFIX_BYTES>()?;
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*prefix) as usize)?;
        let at = self.at;
        self.rest = rest;
        self.at += PREFIX_BYTES + record.len();
        Some((at, record))
    }
}

/// The length before each record.
pub(crate) const PREFIX_BYTES: usize = 4;
/// What stands before a group's records.
pub(crate) const HEADER_BYTES: usize = 40;
/// Groups start at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Header {
    kind: u8,
    length: u32,
    /// Of all behind the header.
    crc: u32,
    number: u64,
    synced: u64,
    records: u32,
}

impl Header {
    /// How many bytes the group takes, padding included.
    const fn size(self) -> usize {
        (HEADER_BYTES + self.length as usize).next_multiple_of(ALIGNMENT)
    }

    fn write(self, salt: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&[VERSION, self.kind, 0, 0]);
        header.extend_from_slice(&self.length.to_le_bytes());
        header.extend_from_slice(&self.crc.to_le_bytes());
        header.extend_from_slice(&self.number.to_le_bytes());
        header.extend_from_slice(&self.synced.to_le_bytes());
        header.extend_from_slice(&self.records.to_le_bytes());
        let crc = checksum(salt, &header);
        header.extend_from_slice(&crc.to_le_bytes());
        header
    }

    /// The version and the rest. A checksum of its own spares reading as many bytes as noise may announce.
    fn read(bytes: &[u8], salt: u64) -> Option<(u8, Self)> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        if magic != MAGIC {
            return None;
        }
        let ([version, kind, _, _], rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (synced, rest) = rest.split_first_chunk::<8>()?;
        let (records, rest) = rest.split_first_chunk::<4>()?;
        let own = rest.first_chunk::<4>()?;
        if checksum(salt, bytes.get(..HEADER_BYTES - 4)?) != u32::from_le_bytes(*own) {
            return None;
        }
        let fields = Self {
            kind: *kind,
            length: u32::from_le_bytes(*length),
            crc: u32::from_le_bytes(*crc),
            number: u64::from_le_bytes(*number),
            synced: u64::from_le_bytes(*synced),
            records: u32::from_le_bytes(*records),
        };
        Some((*version, fields))
    }
}

/// Over the salt, then the bytes.
fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

const MAGIC: &[u8; 4] = b"DMQG";
const VERSION: u8 = 1;
/// Records, each a changeset.
const KIND_RECORDS: u8 = 1;
/// Nothing, where there was something.
const KIND_GAP: u8 = 2;
const KEPT_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_whole_or_not_at_all() {
        let mut group = Group::new();
        group.push(|out| out.extend_from_slice(b"one"));
        group.push(|out| out.extend_from_slice(b"three"));
        let bytes = group.seal(7, 6, 99).to_vec();

        let Look::Group(found) = look(&bytes, 99) else { panic!("a group") };
        assert_eq!((found.number, found.size), (7, bytes.len()));
        let records: Vec<_> = found.records().collect();
        assert_eq!(records, [(40, &b"one"[..]), (47, &b"three"[..])]);

        assert!(matches!(look(&bytes, 98), Look::Nothing), "another file's salt");
        for cut in 0..bytes.len() {
            assert!(matches!(look(&bytes[..cut], 99), Look::Nothing), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(look(&damaged, 99), Look::Nothing), "bit {bit}");
        }
    }
}
