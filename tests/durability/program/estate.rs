//! Estate: which wills have to come, which may not, and which came.

use std::collections::BTreeMap;

/// What is known of wills, by number.
#[derive(Debug, Default)]
pub(crate) struct Wills {
    /// Whether it has to come. Absent: it may.
    pub(crate) must: BTreeMap<u64, bool>,
    /// How often it came as something new.
    pub(crate) came: BTreeMap<u64, u32>,
}

impl Wills {
    /// How many have to come yet.
    pub(crate) fn owed(&self) -> usize {
        self.must.iter().filter(|(number, must)| **must && !self.came.contains_key(number)).count()
    }

    /// What there was to hear, for people to read.
    pub(crate) fn remark(&self) -> String {
        let due = self.must.values().filter(|must| **must).count();
        format!("{due} of lost clients, {} of others; {} came", self.must.len() - due, self.came.len())
    }

    /// What is wrong.
    pub(crate) fn broken(&self) -> Vec<String> {
        let doubled = self.came.iter().filter(|(_, times)| **times > 1);
        let doubled = doubled.map(|(number, times)| format!("will {number} came {times} times"));
        let unwanted = self.came.keys().filter(|number| self.must.get(number) == Some(&false));
        let unwanted = unwanted.map(|number| format!("will {number} came, but its client took its leave"));
        doubled.chain(unwanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Wills;

    #[test]
    fn a_will_comes_once_and_none_of_whoever_took_his_leave() {
        let mut wills = Wills::default();
        wills.must.extend([(1, true), (2, true), (3, false)]);
        assert_eq!((wills.owed(), wills.broken().len()), (2, 0));
        wills.came.extend([(1, 1), (2, 2), (3, 1), (4, 1)]);
        assert_eq!((wills.owed(), wills.broken().len()), (0, 2));
    }
}
