//! Names of arguments that every client takes.
//!
//! Some clients refuse a whole list of tools over one argument named `types[]`. Such a parameter is offered as `types`, is
//! sent as the file names it, and is taken under both names.

use std::collections::HashSet;

/// Longest name that is offered.
const MOST: usize = 64;

/// Whether clients take the name as it is.
pub(super) fn is_plain(name: &str) -> bool {
    (1..=MOST).contains(&name.len()) && name.bytes().all(is_plain_byte)
}

const fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// A plain name for a parameter, unlike any that is taken: `types[]` becomes `types`, `filter[name:eq]` becomes
/// `filter_name_eq`.
pub(super) fn plain(name: &str, taken: &HashSet<String>) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    let mut plain = String::new();
    for c in name.chars() {
        let fits = u8::try_from(c).is_ok_and(is_plain_byte);
        match c {
            _ if fits => plain.push(c),
            _ if plain.ends_with('_') || plain.is_empty() => {}
            _ => plain.push('_'),
        }
    }
    let kept = plain.trim_end_matches('_');
    let base = if kept.is_empty() { "argument" } else { kept };
    // Plain names are ASCII, so that every byte is a place to cut.
    let base = base.get(..MOST.min(base.len())).unwrap_or(base);
    let mut name = base.to_owned();
    for number in 2.. {
        if !taken.contains(&name) {
            break;
        }
        let suffix = format!("_{number}");
        let room = MOST.saturating_sub(suffix.len()).min(base.len());
        name = format!("{}{suffix}", base.get(..room).unwrap_or(base));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_plain_and_stay_apart() {
        let taken = HashSet::from(["types".to_owned(), "types_2".to_owned()]);
        let long = "x[".repeat(60);
        for (name, wanted) in [
            ("types[]", "types_3"),
            ("filter[name:eq]", "filter_name_eq"),
            ("poll[options][]", "poll_options"),
            ("$filter", "filter"),
            (".id", ".id"),
            ("on", "on"),
            ("größe", "gr_e"),
            ("[]", "argument"),
            (&long, &"x_".repeat(32)),
        ] {
            assert_eq!(plain(name, &taken), wanted, "{name}");
            assert!(is_plain(&plain(name, &taken)), "{name}");
        }
    }
}
