//! What of the journal is damaged, and what a crash alone explains.
//!
//! Groups are numbered without gaps, and each says up to which one everything was on disk when it was written. What is
//! missing up to there was damaged later; what is missing behind was never told to anybody.

use std::fs;

use crate::check::damage::{Damage, Held};
use crate::check::survey::{FileFound, Sound, Surveyed};
use crate::position::Position;
use crate::segment::{HEADER_BYTES, Segment};

/// The verdict.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) damages: Vec<Damage>,
    pub(super) torn_bytes: u64,
    /// Where what is sound ends.
    pub(super) end: Position,
    /// What is to be done with each file, in the order of the survey.
    pub(super) plans: Vec<Plan>,
}

/// What is to be done with a file.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) gaps: Vec<Gap>,
    pub(super) new_header: bool,
    /// Nothing of it can be read, and nothing comes behind it.
    pub(super) drop: bool,
}

/// Where groups are missing.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) from: u64,
    /// `None`: nothing follows in this file.
    pub(super) to: Option<u64>,
    pub(super) number: u64,
    pub(super) numbers: u64,
}

/// Judges what was surveyed.
pub(super) fn judge(surveyed: &Surveyed) -> Judged {
    let files = &surveyed.files;
    let plans = files.iter().map(|_| Plan::default()).collect();
    let judged = Judged { damages: Vec::new(), torn_bytes: 0, end: Position::START, plans };
    let last = files.iter().rposition(|file| !file.groups.is_empty());
    let all = || files.iter().flat_map(|file| &file.groups);
    // A file is synced before the next one is begun.
    let begun = last.and_then(|last| files.get(last)?.groups.first()).map_or(0, |group| group.number - 1);
    let proven = all().map(|group| group.synced).max().unwrap_or(0).max(begun);
    let expected = all().next().map_or(1, |group| group.number);
    let mut judge = Judge { surveyed, judged, expected, proven, last };
    for index in 0..files.len() {
        if judge.file(index) {
            break;
        }
    }
    judge.judged
}

struct Judge<'a> {
    surveyed: &'a Surveyed,
    judged: Judged,
    /// The number of the next group.
    expected: u64,
    /// Up to this one all were on disk.
    proven: u64,
    /// The last file that has a group.
    last: Option<usize>,
}

impl Judge<'_> {
    /// `true`: the journal ends in it, though groups follow that nobody was told of.
    fn file(&mut self, index: usize) -> bool {
        let Some(file) = self.surveyed.files.get(index) else { return true };
        if let Some(what) = file.header {
            self.header(index, file, what);
        }
        let mut at = u64::from(Segment::FIRST);
        for group in &file.groups {
            if group.number != self.expected || group.at != at {
                if group.number > self.expected && self.expected > self.proven {
                    self.judged.torn_bytes = file.length.saturating_sub(at);
                    return true;
                }
                self.missing(index, file, at, group);
            }
            if let Some(what) = group.trouble {
                self.damage(file, group.at, Some(group.at + group.size), what, group.numbers);
                self.gap(index, group.at, Some(group.at + group.size), group.number, group.numbers);
            }
            at = group.at + group.size;
            self.expected = group.number + group.numbers;
            self.judged.end = Position { segment: file.id, offset: u32::try_from(at).unwrap_or(u32::MAX) };
        }
        if file.groups.is_empty() && self.last.is_some_and(|last| index < last) {
            // Its numbers are known when the next group is.
            self.gap(index, at, None, self.expected, 0);
        }
        false
    }

    fn header(&mut self, index: usize, file: &FileFound, what: &'static str) {
        let lost = file.groups.is_empty();
        if !lost || self.last.is_none_or(|last| index > last) {
            self.damage(file, 0, Some(HEADER_BYTES as u64), what, 0);
        }
        if let Some(plan) = self.judged.plans.get_mut(index) {
            plan.new_header = true;
            plan.drop = lost && self.last.is_none_or(|last| index > last);
        }
    }

    /// Groups are missing before this one: between it and the one before it in its file, or at the end of the file before.
    fn missing(&mut self, index: usize, file: &FileFound, from: u64, next: &Sound) {
        let numbers = next.number.saturating_sub(self.expected);
        if next.at > from {
            let what =
                if file.header.is_some() { "no group stands here" } else { "a group fails its checksum" };
            self.damage(file, from, Some(next.at), what, numbers);
            self.gap(index, from, Some(next.at), self.expected, numbers);
            return;
        }
        let Some((before, end)) = index.checked_sub(1).and_then(|before| {
            let file = self.surveyed.files.get(before)?;
            let end = file.groups.last().map_or(Segment::FIRST.into(), |group| group.at + group.size);
            Some((file, end))
        }) else {
            return;
        };
        let what = match before.header {
            Some(what) if before.groups.is_empty() => what,
            Some(_) | None if end >= before.length => "the file ends before what should be here",
            Some(_) | None => "a group fails its checksum",
        };
        self.damage(before, end, None, what, numbers);
        // It may have one already, from when its numbers were not known.
        if let Some(plan) = self.judged.plans.get_mut(index - 1) {
            plan.gaps.retain(|gap| gap.from != end);
        }
        self.gap(index - 1, end, None, self.expected, numbers);
    }

    fn gap(&mut self, index: usize, from: u64, to: Option<u64>, number: u64, numbers: u64) {
        if let Some(plan) = self.judged.plans.get_mut(index) {
            plan.gaps.push(Gap { from, to, number, numbers });
        }
    }

    fn damage(&mut self, file: &FileFound, from: u64, to: Option<u64>, what: &'static str, groups: u64) {
        let to = to.unwrap_or(file.length).min(file.length);
        // What it held is a help, no more: if it cannot be read, the rest stands.
        let bytes = fs::read(&file.path).unwrap_or_default();
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let held = bytes.get(place(from)..place(to)).unwrap_or_default();
        self.judged.damages.push(Damage {
            file: file.path.clone(),
            offset: from,
            bytes: to.saturating_sub(from),
            what,
            groups,
            held: Held::read(held, &self.surveyed.names),
        });
    }
}
