//! The addresses in what somebody typed or pasted: separated by commas, semicolons or white space, or as mail programs copy
//! them, `Ana Diaz <ana@example.com>`.

use super::MAX_AT_ONCE;
use crate::error::{Error, Result};

/// The addresses in a text, each once, in their order.
///
/// # Errors
/// On the field `email` for none or more than [`MAX_AT_ONCE`].
pub(super) fn split(text: &str) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    for piece in text.split([',', ';', '\n', '\r']) {
        for address in of_piece(piece) {
            if found.iter().any(|known| known.eq_ignore_ascii_case(address)) {
                continue;
            }
            if found.len() == MAX_AT_ONCE {
                let message =
                    format!("Invite up to {MAX_AT_ONCE} people at once; send the rest after these.");
                return Err(Error::field("email", message));
            }
            found.push(address.to_owned());
        }
    }
    if found.is_empty() {
        return Err(Error::field("email", "Enter an e-mail address, such as ana@example.com."));
    }
    Ok(found)
}

/// Of what stands between two separators: the address in angle brackets, else every word.
fn of_piece(piece: &str) -> Vec<&str> {
    let bracketed =
        piece.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inside, _)| inside.trim());
    match bracketed {
        Some(address) if !address.is_empty() => vec![address],
        _ => piece.split_whitespace().collect(),
    }
}

/// What is wrong with one of many, as it stands behind the address.
pub(super) fn why(error: Error) -> String {
    match error {
        Error::Field { .. } => "is no e-mail address".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_however_they_are_separated_and_each_once() {
        let text = "ana@a.org, bo@b.org;cy@c.org\r\ndi@d.org  ANA@a.org\n\nEve Example <eve@e.org>, nonsense";
        let found = split(text).unwrap();
        assert_eq!(found, ["ana@a.org", "bo@b.org", "cy@c.org", "di@d.org", "eve@e.org", "nonsense"]);
        assert_eq!(split("<>").unwrap(), ["<>"]);
    }

    #[test]
    fn none_and_too_many_are_refused_before_anything_is_sent() {
        assert!(split(" ,\n; ").is_err());
        let many = |count: usize| (0..count).map(|n| format!("p{n}@example.org\n")).collect::<String>();
        assert_eq!(split(&many(MAX_AT_ONCE)).unwrap().len(), MAX_AT_ONCE);
        assert!(split(&many(MAX_AT_ONCE + 1)).is_err());
    }
}
