//! The nearest word: what somebody who mistyped may have meant.

/// The one of `words` with the fewest typing mistakes against `word`, if that is few enough to be meant.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // One mistake in three letters; beyond that, any short word is near any other.
    let most = (word.chars().count() / 3).max(1);
    let distances = words.into_iter().map(|known| (distance(&word, &known.to_lowercase()), known));
    distances
        .filter(|(mistakes, _)| *mistakes <= most)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, known)| known)
}

/// How many letters must be put in, left out, replaced, or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(a != b);
            let put_in = at(&current, column) + 1;
            let left_out = at(&last, column + 1) + 1;
            let mut best = replaced.min(put_in).min(left_out);
            if row > 0 && column > 0 && from.get(row - 1) == Some(b) && to.get(column - 1) == Some(a) {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_forgiven_and_another_word_is_not() {
        let words = ["listener", "limits", "log", "mqtt", "durability"];
        assert_eq!(nearest("listner", words), Some("listener"));
        assert_eq!(nearest("Listener", words), Some("listener"));
        assert_eq!(nearest("lgo", words), Some("log"));
        assert_eq!(nearest("mqqt", words), Some("mqtt"));
        assert_eq!(nearest("metrics", words), None);
        assert_eq!(nearest("tls", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn mistakes_are_counted() {
        for (from, to, mistakes) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), mistakes, "{from} {to}");
        }
    }
}
