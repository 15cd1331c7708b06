//! What may stand in the root of a library.

/// What stands there besides modules, re-exports and attributes.
pub(crate) fn others(plain: &str) -> Vec<String> {
    let items = plain.split(';').map(without_attributes).filter(|item| !item.is_empty());
    items.filter(|item| !is_allowed(item)).map(|item| format!("holds `{item}`")).collect()
}

fn is_allowed(item: &str) -> bool {
    let item = item.strip_prefix("pub(crate) ").or_else(|| item.strip_prefix("pub ")).unwrap_or(item);
    item.starts_with("mod ") || item.starts_with("use ")
}

fn without_attributes(item: &str) -> String {
    let mut rest = item.trim();
    while let Some(attribute) = rest.strip_prefix('#') {
        let end = attribute.find(']').map_or(attribute.len(), |at| at + 1);
        rest = attribute.get(end..).unwrap_or_default().trim_start();
    }
    rest.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::others;

    #[test]
    fn code_in_a_root_is_found() {
        assert!(
            others("#![deny(x)]\n\npub mod a;\nmod b;\npub use a::{B,\n C};\n#[cfg(test)]\nmod c;\n")
                .is_empty()
        );
        assert_eq!(others("mod a;\nfn b() {}\n").len(), 1);
        assert_eq!(others("mod a;\nconst B: u8 = 1;\n").len(), 1);
    }
}
