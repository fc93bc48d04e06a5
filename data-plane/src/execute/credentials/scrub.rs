//! Takes secrets out of texts, in every form in which an API repeats them.

use zeroize::Zeroizing;

use crate::execute::rest::percent;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are not looked for in texts: they would be found where they are not meant.
const SHORTEST_SCRUBBED: usize = 8;
/// The same for values of digits alone, which are found in any number.
const SHORTEST_DIGITS: usize = 16;

/// Takes one secret out of a text.
pub(in crate::execute) fn scrub(text: &mut String, secret: &str) {
    let digits = secret.bytes().all(|b| b.is_ascii_digit());
    if secret.len() < if digits { SHORTEST_DIGITS } else { SHORTEST_SCRUBBED } {
        return;
    }
    if text.contains(secret) {
        *text = text.replace(secret, REDACTED);
    }
    // Within JSON a secret with quotes, backslashes or control characters is written otherwise.
    if let Ok(written) = serde_json::to_string(secret) {
        let inner = &written[1..written.len() - 1];
        if inner != secret && text.contains(inner) {
            *text = text.replace(inner, REDACTED);
        }
    }
    // An API that repeats the URL of the request repeats the secret as it stood there; some use lower-case digits.
    let encoded = Zeroizing::new(percent(secret));
    if *encoded == secret {
        return;
    }
    for form in
        [&encoded, &Zeroizing::new(lower_digits(&encoded)), &Zeroizing::new(encoded.replace("%20", "+"))]
    {
        if text.contains(form.as_str()) {
            *text = text.replace(form.as_str(), REDACTED);
        }
    }
}

/// `%2F` as `%2f`.
fn lower_digits(encoded: &str) -> String {
    let mut digits = 0;
    let lower = |c: char| {
        digits = if c == '%' { 2 } else { i32::max(digits - 1, -1) };
        if digits >= 0 { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}
