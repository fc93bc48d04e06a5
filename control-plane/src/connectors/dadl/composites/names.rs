//! Which members of `api` a piece of JavaScript names. No parser: comments and texts are passed over, and whatever is not
//! plainly `api.name` counts as a choice made while the code runs.

/// What the code names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// In the order of their first mention.
    pub names: Vec<String>,
    /// Whether it also uses `api` in another way, so that it may call anything.
    pub by_value: bool,
}

/// Reads code.
pub(super) fn of_api(source: &str) -> Named {
    let plain = without_comments(source);
    let bytes = plain.as_bytes();
    let mut named = Named::default();
    for (at, _) in plain.match_indices("api") {
        let inside =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'));
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        if inside(before) || before == Some(&b'.') || inside(bytes.get(at + 3)) {
            continue;
        }
        match member(plain.get(at + 3..).unwrap_or_default()) {
            Some(name) if !named.names.contains(&name) => named.names.push(name),
            Some(_) => {}
            None => named.by_value = true,
        }
    }
    named
}

/// The member that is named right behind `api`.
fn member(rest: &str) -> Option<String> {
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('?').unwrap_or(rest);
    if let Some(dotted) = rest.strip_prefix('.') {
        let dotted = dotted.trim_start();
        let name: String =
            dotted.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$')).collect();
        return Some(name).filter(|name| !name.is_empty());
    }
    let inside = rest.strip_prefix('[')?.trim_start();
    let quote = inside.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (name, behind) = inside.get(1..)?.split_once(quote)?;
    behind.trim_start().starts_with(']').then(|| name.to_owned())
}

/// The code with blanks for comments and for texts in quotes, but for a text that is a member: `["name"]`. What stands in
/// templates stays, since there may be code in it.
fn without_comments(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    let mut last = ' ';
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => while chars.next_if(|c| *c != '\n').is_some() {},
            ('/', Some('*')) => {
                chars.next();
                let mut before = ' ';
                for c in chars.by_ref() {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
                out.push(' ');
            }
            ('"' | '\'', _) => {
                let keep = last == '[';
                let mut text = String::from(c);
                // A text ends with its line: what looks like a longer one is a part of a regular expression.
                while let Some(inner) = chars.next_if(|inner| *inner != '\n') {
                    text.push(inner);
                    if inner == c {
                        break;
                    }
                    if inner == '\\'
                        && let Some(escaped) = chars.next()
                    {
                        text.push(escaped);
                    }
                }
                out.push_str(if keep { &text } else { "''" });
            }
            _ => out.push(c),
        }
        if !c.is_whitespace() {
            last = c;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_everything_else_is_a_choice() {
        for (source, names, by_value) in [
            ("await api.list({}); api.get(1); api.list()", vec!["list", "get"], false),
            ("api\n  .list()", vec!["list"], false),
            ("api?.list()", vec!["list"], false),
            ("api['a-b'](); api[ \"c\" ]()", vec!["a-b", "c"], false),
            ("api[name]()", vec![], true),
            ("Object.keys(api)", vec![], true),
            ("const { list } = api", vec![], true),
            ("therapist.api.x; apiary.y; $api.z; my_api.a", vec![], false),
            ("// api\n/* api.x */ 'api' + \"api.y\"", vec![], false),
            ("`${api.inner()}`", vec!["inner"], false),
            ("/[\"']/.test(x); api.after()", vec!["after"], false),
            ("x.replace(/'/g, '')\napi.after()", vec!["after"], false),
            ("'it\\'s api.x'; api.y()", vec!["y"], false),
        ] {
            let found = of_api(source);
            assert_eq!(
                (found.names, found.by_value),
                (names.into_iter().map(str::to_owned).collect(), by_value),
                "{source}"
            );
        }
    }
}
