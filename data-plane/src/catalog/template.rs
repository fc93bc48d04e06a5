//! URI templates (RFC 6570), as far as a URI can be told to be one of theirs.

use std::cell::Cell;

/// Longest URI that is matched, in bytes.
const URI_BYTES: usize = 8 << 10;

/// What may still be done to find out where URIs lead. A unit is about one byte of a URI held against one part of a template,
/// a nanosecond or two.
///
/// Templates come from a tenant's servers, and so do most URIs: what they cost together is theirs to choose, while the thread
/// that looks serves every tenant.
#[derive(Debug)]
pub struct Work(Cell<u64>);

/// A look-up that would be too much work.
#[derive(Debug)]
pub struct TooMuch;

impl Work {
    /// For all URIs in one answer of a server.
    #[must_use]
    pub const fn of_answer() -> Self {
        Self(Cell::new(20_000_000))
    }

    /// For the URIs that one request asks for.
    #[must_use]
    pub const fn of_request() -> Self {
        Self(Cell::new(50_000_000))
    }

    /// For the pages of all tools in a bundle, which is compiled on a thread that may block.
    #[must_use]
    pub const fn of_bundle() -> Self {
        Self(Cell::new(500_000_000))
    }

    #[must_use]
    pub fn left(&self) -> u64 {
        self.0.get()
    }

    /// # Errors
    /// When less is left. It stays, for what costs less.
    pub fn take(&self, units: usize) -> Result<(), TooMuch> {
        let units = u64::try_from(units).map_err(|_| TooMuch)?;
        self.0.set(self.left().checked_sub(units).ok_or(TooMuch)?);
        Ok(())
    }
}

/// A template, ready to be matched with.
#[derive(Debug)]
pub struct Template {
    parts: Vec<Part>,
    /// Work for each byte of a URI.
    weight: usize,
}

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
        let weight = parts.iter().map(Part::weight).sum();
        Self { parts, weight }
    }

    /// Whether a URI can have come of it.
    ///
    /// # Errors
    /// When finding out is more work than is left, or the URI is longer than what is matched.
    pub fn matches(&self, uri: &str, work: &Work) -> Result<bool, TooMuch> {
        work.take(self.weight)?;
        if !self.frames(uri) {
            return Ok(false);
        }
        if uri.len() > URI_BYTES {
            return Err(TooMuch);
        }
        work.take(self.weight.saturating_mul(uri.len()))?;
        Ok(self.fits(uri.as_bytes()))
    }

    /// Whether a URI begins and ends with the text that the template begins and ends with: quickly told, and mostly enough.
    fn frames(&self, uri: &str) -> bool {
        let begins = match self.parts.first() {
            Some(Part::Literal(text)) => uri.starts_with(text),
            _ => true,
        };
        let ends = match self.parts.last() {
            Some(Part::Literal(text)) => uri.ends_with(text),
            _ => true,
        };
        begins && ends
    }

    /// Takes time linear in both.
    fn fits(&self, bytes: &[u8]) -> bool {
        // Where in the URI the parts so far can end.
        let mut ends = vec![false; bytes.len() + 1];
        if let Some(begin) = ends.first_mut() {
            *begin = true;
        }
        for part in &self.parts {
            ends = part.after(&ends, bytes);
            if !ends.contains(&true) {
                return false;
            }
        }
        ends.last() == Some(&true)
    }
}

impl Part {
    /// Work for each byte of a URI. Text is compared many bytes at a time.
    fn weight(&self) -> usize {
        match self {
            Self::Literal(text) => 1 + text.len() / 16,
            Self::Segment | Self::Something | Self::Anything => 1,
        }
    }

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
            let told = Template::new(template).matches(uri, &Work::of_request());
            assert_eq!(told.ok(), Some(fits), "{template} {uri}");
        }
    }

    #[test]
    fn no_template_takes_more_work_than_is_left() {
        let template = Template::new(&"{+a}".repeat(50));
        let work = Work::of_request();
        assert_eq!(template.matches(&"a".repeat(URI_BYTES), &work).ok(), Some(true));
        assert_eq!(Work::of_request().left() - work.left(), 50 * (8192 + 1));
        assert!(template.matches(&"a".repeat(URI_BYTES + 1), &work).is_err(), "nobody knows");
        let work = Work(Cell::new(50 * 10));
        assert!(template.matches(&"a".repeat(10), &work).is_err());
        assert_eq!(work.left(), 50 * 9, "looking at it at all");
        assert_eq!(template.matches("12345678", &work).ok(), Some(false));
    }

    #[test]
    fn what_begins_or_ends_otherwise_is_told_at_once_however_long() {
        let work = Work::of_request();
        for template in ["a://{x}", "{x}/b"] {
            let told = Template::new(template).matches(&"c".repeat(URI_BYTES + 1), &work);
            assert_eq!(told.ok(), Some(false), "{template}");
        }
        assert_eq!(Work::of_request().left() - work.left(), 4);
    }
}
