//! URI templates (RFC 6570), as far as a URI can be told to be one of theirs.

/// Longest URI that is matched, in bytes.
const URI_BYTES: usize = 8 << 10;

/// A template, ready to be matched with.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Something of a path's segment.
    Segment,
    /// Anything that is there, as of `{+path}`.
    Something,
    /// Anything or nothing, as of `{?query}`.
    Anything,
}

impl Template {
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((literal, after)) = rest.split_once('{') {
            let Some((expression, after)) = after.split_once('}') else { break };
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(match expression.as_bytes().first() {
                Some(b'+' | b'#') => Part::Something,
                Some(b'/' | b'.' | b';' | b'?' | b'&') => Part::Anything,
                _ if expression.ends_with('*') => Part::Something,
                _ => Part::Segment,
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Self(parts)
    }

    /// Whether a URI can have come of it. Takes time linear in both.
    #[must_use]
    pub fn matches(&self, uri: &str) -> bool {
        let bytes = uri.as_bytes();
        if bytes.len() > URI_BYTES {
            return false;
        }
        // Where in the URI the parts so far can end.
        let mut ends = vec![false; bytes.len() + 1];
        if let Some(begin) = ends.first_mut() {
            *begin = true;
        }
        for part in &self.0 {
            ends = part.after(&ends, bytes);
        }
        ends.last() == Some(&true)
    }
}

impl Part {
    fn after(&self, begins: &[bool], bytes: &[u8]) -> Vec<bool> {
        let mut ends = vec![false; begins.len()];
        if let Self::Literal(text) = self {
            for at in begins.iter().enumerate().filter(|(_, begins)| **begins).map(|(at, _)| at) {
                let fits = bytes.get(at..).is_some_and(|rest| rest.starts_with(text.as_bytes()));
                if let Some(end) = ends.get_mut(at + text.len()).filter(|_| fits) {
                    *end = true;
                }
            }
            return ends;
        }
        let mut open = false;
        for (at, end) in ends.iter_mut().enumerate() {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied();
            let breaks = matches!(self, Self::Segment) && matches!(before, Some(b'/' | b'?' | b'#'));
            open &= !breaks;
            let begins = begins.get(at).copied().unwrap_or_default();
            *end = open || (begins && matches!(self, Self::Anything));
            open |= begins;
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_told_to_be_of_a_template() {
        for (template, uri, fits) in [
            ("test://template/{id}/data", "test://template/123/data", true),
            ("test://template/{id}/data", "test://template//data", false),
            ("test://template/{id}/data", "test://template/1/2/data", false),
            ("test://template/{id}/data", "test://template/1/data/", false),
            ("file:///{+path}", "file:///a/b.txt", true),
            ("file:///{+path}", "file:///", false),
            ("db://{table}{?limit,offset}", "db://users", true),
            ("db://{table}{?limit,offset}", "db://users?limit=5", true),
            ("a://{x}-{y}", "a://1-2-3", true),
            ("a://{x", "a://{x", true),
            ("a://b", "a://b", true),
            ("a://b", "a://c", false),
            ("é://{x}", "é://ü", true),
        ] {
            assert_eq!(Template::new(template).matches(uri), fits, "{template} {uri}");
        }
    }

    #[test]
    fn no_template_takes_long() {
        let template = Template::new(&"{+a}".repeat(50));
        assert!(template.matches(&"a".repeat(URI_BYTES)));
        assert!(!template.matches(&"a".repeat(URI_BYTES + 1)));
    }
}
