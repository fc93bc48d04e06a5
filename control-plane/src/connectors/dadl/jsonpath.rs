//! JSONPath as DADL uses it: names, indexes and wildcards of RFC 9535, written down so that a strict reader accepts them.
//!
//! Files write `$.invoice-items`, which RFC 9535 allows in quotes only; such names are quoted here, so that a node never
//! meets a path it cannot read.

use serde_json_path::JsonPath;

const MAX_LENGTH: usize = 512;

/// The path in strict RFC 9535 form; empty for `$`, the whole document.
///
/// # Errors
/// A sentence that says what is wrong with the path.
pub(super) fn normalise(path: &str) -> Result<String, String> {
    let path = path.trim();
    if path.len() > MAX_LENGTH {
        return Err(format!("is longer than {MAX_LENGTH} bytes"));
    }
    let Some(mut rest) = path.strip_prefix('$') else {
        return Err("a JSONPath starts with `$`, such as `$.items`".to_owned());
    };
    let mut strict = String::from("$");
    while !rest.is_empty() {
        rest = segment(rest, &mut strict)?;
    }
    JsonPath::parse(&strict).map_err(|error| format!("is not a JSONPath: {error}"))?;
    Ok(if strict == "$" { String::new() } else { strict })
}

/// Moves one segment over and returns what follows it.
fn segment<'a>(rest: &'a str, strict: &mut String) -> Result<&'a str, String> {
    if rest.starts_with("..") || rest.starts_with("[?") {
        return Err(
            "`..` and filters are not read; name the keys one by one, as in `$.data.items`".to_owned()
        );
    }
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(['.', '[']).unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        push_name(name, strict)?;
        return Ok(rest);
    }
    if !rest.starts_with('[') {
        return Err("after `$` comes `.name` or `[index]`".to_owned());
    }
    let end = bracket_end(rest).ok_or_else(|| "a `[` is not closed".to_owned())?;
    let (bracket, rest) = rest.split_at(end);
    let quoted = bracket.starts_with("['") || bracket.starts_with("[\"");
    if !quoted && bracket.contains([':', ',', '?', '@', '(']) {
        return Err("lists, slices and filters in brackets are not read; use one name or index".to_owned());
    }
    strict.push_str(bracket);
    Ok(rest)
}

fn push_name(name: &str, strict: &mut String) -> Result<(), String> {
    if name.is_empty() {
        return Err("a name is missing after `.`".to_owned());
    }
    if name.contains(char::is_whitespace) || name.contains(['<', '>', '=', '(', ')', '?']) {
        return Err("is an expression, not a path; write the path alone".to_owned());
    }
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_numeric())
        && name.is_ascii();
    if plain || name == "*" {
        strict.push('.');
        strict.push_str(name);
    } else {
        strict.push_str("['");
        strict.push_str(&name.replace('\\', "\\\\").replace('\'', "\\'"));
        strict.push_str("']");
    }
    Ok(())
}

/// Where the bracket that `rest` opens with ends, closing bracket included; brackets inside quotes do not count.
fn bracket_end(rest: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in rest.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ']' => return Some(index + 1),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn names_that_the_standard_wants_in_quotes_are_quoted() {
        for (written, strict) in [
            ("$", ""),
            ("$.items", "$.items"),
            ("$.invoice-items.0x[0].a", "$['invoice-items']['0x'][0].a"),
            ("$.a[*].b", "$.a[*].b"),
            ("$.*", "$.*"),
            ("$['a.b']['it\\'s']", "$['a.b']['it\\'s']"),
            ("$.a[-1]", "$.a[-1]"),
            ("$.größe", "$['größe']"),
            (" $.a ", "$.a"),
        ] {
            assert_eq!(normalise(written).as_deref(), Ok(strict), "{written}");
        }
    }

    #[test]
    fn what_is_no_plain_path_is_refused() {
        for bad in [
            "",
            "items",
            "$.",
            "$..a",
            "$.a..b",
            "$[",
            "$[]",
            "$['a'",
            "$[?@.a]",
            "$[0:2]",
            "$[0,1]",
            "$x",
            "$.page < $.pages",
            "$[99999999999999999999]",
            &format!("$.{}", "a".repeat(600)),
        ] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }
}
