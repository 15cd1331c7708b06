//! Source text without what is no code: comments and literals become blanks, lines stay lines.

/// `text` with every comment and every literal blanked; as many lines and characters as before.
pub(crate) fn plain(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        match skipped(&letters, at) {
            0 => {
                out.push(*letter);
                at += 1;
            }
            count => {
                let blanked = letters.iter().skip(at).take(count);
                out.extend(blanked.map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
                at += count;
            }
        }
    }
    out
}

/// How many characters from `at` on are a comment or a literal.
fn skipped(letters: &[char], at: usize) -> usize {
    let get = |offset: usize| letters.get(at + offset).copied().unwrap_or('\0');
    // An `r` or `b` at the end of a longer word starts nothing.
    let starts_word = at == 0 || !letters.get(at - 1).is_some_and(|before| is_word(*before));
    match (get(0), get(1)) {
        ('/', '/') => until(letters, at, "\n"),
        ('/', '*') => nested_comment(letters, at),
        ('"', _) => text_literal(letters, at, 1),
        ('b' | 'c', '"') if starts_word => text_literal(letters, at, 2),
        ('r', '"' | '#') if starts_word => raw_literal(letters, at, 1),
        ('b' | 'c', 'r') if starts_word && matches!(get(2), '"' | '#') => raw_literal(letters, at, 2),
        ('\'', '\\') => 3 + until(letters, at + 3, "'"),
        ('\'', _) if get(2) == '\'' => 3,
        _ => 0,
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Up to `end`, which itself is not counted but for a closing quote.
fn until(letters: &[char], at: usize, end: &str) -> usize {
    let end = end.chars().next().unwrap_or('\n');
    let found = letters.iter().skip(at).position(|letter| *letter == end);
    found.map_or(letters.len() - at, |count| if end == '\n' { count } else { count + 1 })
}

fn nested_comment(letters: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut count = 0;
    while let Some(letter) = letters.get(at + count) {
        let next = letters.get(at + count + 1);
        match (letter, next) {
            ('/', Some('*')) => {
                depth += 1;
                count += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                count += 2;
                if depth == 0 {
                    return count;
                }
            }
            _ => count += 1,
        }
    }
    count
}

fn text_literal(letters: &[char], at: usize, open: usize) -> usize {
    let mut count = open;
    while let Some(letter) = letters.get(at + count) {
        count += match letter {
            '\\' => 2,
            '"' => return count + 1,
            _ => 1,
        };
    }
    count.min(letters.len() - at)
}

/// `r#name` is a word, not a literal.
fn raw_literal(letters: &[char], at: usize, prefix: usize) -> usize {
    let hashes = letters.iter().skip(at + prefix).take_while(|letter| **letter == '#').count();
    let open = prefix + hashes;
    if letters.get(at + open) != Some(&'"') {
        return 0;
    }
    let mut count = open + 1;
    while let Some(letter) = letters.get(at + count) {
        count += 1;
        let closing = letters.iter().skip(at + count).take(hashes);
        if *letter == '"' && closing.filter(|letter| **letter == '#').count() == hashes {
            return count + hashes;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn comments_and_literals_become_blanks() {
        check("a // {\nb", "a     \nb");
        check("a /* { /* } */ */ b", "a                 b");
        check(r#"x("{\"}"); y"#, "x(      ); y");
        check(r##"x(r#"{"}"#); y"##, "x(        ); y");
        check("x('{', '\\'', '\\u{7f}')", "x(   ,     ,         )");
        check("fn a<'b>(c: &'b str) {}", "fn a<'b>(c: &'b str) {}");
        check("b\"{\" br\"{\" r#type", "     br\"{\" r#type".replace("br\"{\"", "     ").as_str());
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(plain(text), expected, "{text}");
    }
}
