//! The paths that a file names: `use` lines and paths in code, groups taken apart.

/// A path as it is written, and the modules inside the file that it stands in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// `["crate", "queue", "Ready"]`
    pub(crate) path: Vec<String>,
    /// `["tests"]` where it stands in `mod tests { … }`.
    pub(crate) inside: Vec<String>,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Every path that begins with `crate`, `self`, `super` or one of `children`, in text without comments and literals.
pub(crate) fn find(plain: &str, children: &[String]) -> Vec<Import> {
    let tokens = tokens(plain);
    let mut found = Vec::new();
    let mut inside: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        let text = |offset: usize| tokens.get(at + offset).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            "mod" if text(2) == "{" => inside.push((text(1).to_owned(), depth)),
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inside.retain(|(_, opened)| *opened < depth);
            }
            word if text(1) == "::" && is_start(word, children) && !follows_path(&tokens, at) => {
                let inside: Vec<String> = inside.iter().map(|(name, _)| name.clone()).collect();
                let paths = tree(&tokens, at, &mut 0);
                let line = token.line;
                found.extend(paths.into_iter().map(|path| Import { path, inside: inside.clone(), line }));
            }
            _ => {}
        }
    }
    found
}

fn is_start(word: &str, children: &[String]) -> bool {
    matches!(word, "crate" | "self" | "super") || children.iter().any(|child| child == word)
}

/// A path that goes on before, or `pub(in …)`, which imports nothing.
fn follows_path(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    before.is_some_and(|before| matches!(before.text.as_str(), "::" | "in"))
}

/// The paths that begin at `at`; `end` is where they end.
fn tree(tokens: &[Token], at: usize, end: &mut usize) -> Vec<Vec<String>> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut path = vec![text(at).to_owned()];
    let mut at = at + 1;
    while text(at) == "::" {
        match text(at + 1) {
            "{" => {
                at += 2;
                let mut paths = Vec::new();
                while !matches!(text(at), "}" | "") {
                    if text(at) == "," {
                        at += 1;
                        continue;
                    }
                    let branches = tree(tokens, at, &mut at);
                    paths.extend(branches.into_iter().map(|branch| [path.clone(), branch].concat()));
                }
                *end = at + 1;
                return paths;
            }
            word => path.push(word.to_owned()),
        }
        at += 2;
    }
    if text(at) == "as" {
        at += 2;
    }
    *end = at;
    vec![path]
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

/// Words, `::`, and everything else letter by letter.
fn tokens(plain: &str) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut glued = false;
    for letter in plain.chars() {
        let last = out.last_mut().filter(|_| glued);
        let is_word = letter.is_alphanumeric() || letter == '_';
        match last {
            Some(last)
                if is_word && last.text.chars().all(|letter| letter.is_alphanumeric() || letter == '_') =>
            {
                last.text.push(letter);
            }
            Some(last) if letter == ':' && last.text == ":" => last.text.push(letter),
            _ if letter.is_whitespace() => {}
            _ => out.push(Token { text: letter.to_string(), line }),
        }
        glued = !letter.is_whitespace();
        line += usize::from(letter == '\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn groups_are_taken_apart() {
        check(
            "use crate::a::{self, B, c::{D, E as F}}; g()",
            &["crate a self", "crate a B", "crate a c D", "crate a c E"],
        );
        check("use crate::a::*;", &["crate a *"]);
    }

    #[test]
    fn paths_in_code_count_too() {
        check("fn x() { crate::a::b(); let y = super::C { d: 1 }; self.e() }", &["crate a b", "super C"]);
        check("pub(crate) fn x() {} pub(in crate::a) fn y() {}", &[]);
        check("child::x(); other::y(); crate::child::z()", &["child x", "crate child z"]);
    }

    #[test]
    fn a_module_inside_the_file_is_known() {
        let found = find("mod tests { use super::*; fn a() { super::b() } } use self::c::D;", &[]);
        let inside: Vec<usize> = found.iter().map(|import| import.inside.len()).collect();
        assert_eq!(inside, [1, 1, 0]);
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> =
            find(text, &["child".to_owned()]).iter().map(|import| import.path.join(" ")).collect();
        assert_eq!(found, expected, "{text}");
    }
}
