//! How long the functions of a file are.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where it begins, counted from 1.
    pub(crate) line: usize,
    /// Lines of code between its braces: blank lines and comments are free.
    pub(crate) lines: usize,
}

/// All functions of a file whose comments and literals are blanked.
pub(crate) fn find(plain: &str) -> Vec<Function> {
    let starts = plain.match_indices("fn ").filter(|(at, _)| {
        let before = plain.get(..*at).unwrap_or_default().chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
    });
    starts.filter_map(|(at, _)| function(plain, at)).collect()
}

fn function(plain: &str, at: usize) -> Option<Function> {
    let text = plain.get(at + 3..)?;
    let name: String =
        text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    // A type, `fn(u8)`, has no name; a declaration ends before its body would begin.
    let open = body(text)?;
    let close = closing(text, open)?;
    let inside = text.get(open + 1..close)?;
    let lines = inside.lines().filter(|line| !line.trim().is_empty()).count();
    let line = plain.get(..at)?.matches('\n').count() + 1;
    (!name.is_empty()).then_some(Function { name, line, lines })
}

/// Where the body opens: the first brace outside of brackets; a semicolon there means that there is none.
fn body(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn closing(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Function, find};

    #[test]
    fn lines_of_code_are_counted_and_nothing_else() {
        let text = "trait A {\n    fn declared(&self);\n}\n\nfn one(f: fn(u8) -> [u8; 2]) {\n    let a = { 1 };\n\n    a;\n}\n";
        assert_eq!(find(text), [Function { name: "one".to_owned(), line: 5, lines: 2 }]);
    }

    #[test]
    fn a_function_inside_another_counts_for_both() {
        let lines: Vec<usize> =
            find("fn a() {\n  fn b() {\n    c();\n  }\n}\n").iter().map(|found| found.lines).collect();
        assert_eq!(lines, [3, 1]);
    }
}
