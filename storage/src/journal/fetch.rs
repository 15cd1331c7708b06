//! Records at known places, read back as little as possible, and never without their checksum.

use crate::error::StoreError;
use crate::group::{self, ALIGNMENT, HEADER_BYTES};
use crate::log::Visit;
use crate::position::Position;
use crate::segment::Segment;

/// Shows the records at `wanted`, which lie in this file, in ascending order; its groups end at `end`. Records that lie
/// close to each other are read together. `known`: where a group starts, and after it where the last one does that was read.
pub(super) fn fetch(
    segment: &Segment,
    end: u32,
    wanted: &[Position],
    known: &mut Option<u32>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let mut wanted = wanted.iter().copied().peekable();
    let mut chunk = Vec::new();
    // Where a group is known to start.
    let mut border = None;
    while let Some(next) = wanted.peek().copied() {
        let near = |border: &u32| next.offset >= *border && next.offset - border < NEAR_BYTES;
        let base = match border.filter(near) {
            Some(border) => border,
            None => {
                match known.map(|known| group_ahead(segment, known, next.offset)).transpose()?.flatten() {
                    Some(start) => start,
                    None => group_around(segment, next.offset)?,
                }
            }
        };
        let left = end.saturating_sub(base) as usize;
        segment.read(base.into(), left.min(CHUNK_BYTES), &mut chunk)?;
        let first = group::announced_bytes(&chunk, segment.salt).unwrap_or(0);
        if first > chunk.len() && first <= left {
            segment.read(base.into(), first, &mut chunk)?;
        }
        let mut at = 0;
        while let Some(found) = segment.look(&chunk, at)? {
            for (distance, record) in found.records() {
                let here = Position { segment: segment.id, offset: base + (at + distance) as u32 };
                if wanted.next_if_eq(&here).is_some() {
                    visit(here, record)?;
                }
            }
            *known = Some(base + at as u32);
            at += found.size;
            // What should have been in this group and was not will never come.
            match wanted.peek() {
                Some(next) if next.offset < base + at as u32 => break,
                Some(next) if next.offset - base < at as u32 + NEAR_BYTES => {}
                Some(_) | None => break,
            }
        }
        let reached = base + at as u32;
        if at == 0 || wanted.peek().is_some_and(|next| next.offset < reached) {
            return Err(StoreError::damaged(segment.path(), base.into(), "a group fails its checksum"));
        }
        border = Some(reached);
    }
    Ok(())
}

/// The same as [`group_around`], if it is one of the few from `known` on, where one starts.
fn group_ahead(segment: &Segment, known: u32, offset: u32) -> Result<Option<u32>, StoreError> {
    let (mut start, mut header) = (known, Vec::new());
    for _ in 0..GROUPS_AHEAD {
        if start > offset || u64::from(start) + HEADER_BYTES as u64 > segment.capacity {
            return Ok(None);
        }
        segment.read(start.into(), HEADER_BYTES, &mut header)?;
        let Some(size) = group::announced_bytes(&header, segment.salt) else { return Ok(None) };
        let Some(end) = u32::try_from(size).ok().and_then(|size| start.checked_add(size)) else {
            return Ok(None);
        };
        if offset < end {
            return Ok(Some(start));
        }
        start = end;
    }
    Ok(None)
}

/// Where the group starts that has the byte at `offset` in it. Its header has a checksum of its own, which nothing else in
/// the file has.
fn group_around(segment: &Segment, offset: u32) -> Result<u32, StoreError> {
    let mut window = Vec::new();
    let mut high = offset;
    while high > Segment::FIRST {
        let low = high.saturating_sub(WINDOW_BYTES).max(Segment::FIRST);
        // A header that starts in the window may end behind it.
        let length = u64::from(high - low) + HEADER_BYTES as u64;
        let length = length.min(segment.capacity.saturating_sub(low.into()));
        segment.read(low.into(), usize::try_from(length).unwrap_or(0), &mut window)?;
        let last = (high - 1) / ALIGNMENT as u32 * ALIGNMENT as u32;
        for start in (low.next_multiple_of(ALIGNMENT as u32)..=last).rev().step_by(ALIGNMENT) {
            let bytes = window.get((start - low) as usize..).unwrap_or_default();
            let size = group::announced_bytes(bytes, segment.salt);
            if size.is_some_and(|size| u64::from(start) + size as u64 > u64::from(offset)) {
                return Ok(start);
            }
        }
        high = low;
    }
    Err(StoreError::damaged(segment.path(), offset.into(), "no group is around it"))
}

/// What lies no further away is read on the way.
const NEAR_BYTES: u32 = 64 << 10;
const CHUNK_BYTES: usize = 512 << 10;
const GROUPS_AHEAD: usize = 4;
const WINDOW_BYTES: u32 = 64 << 10;
