//! URLs in texts: where they lead stays, what opens the door goes.
//!
//! A signed link's query and the user in front of a host are as good as a password. A `data:` URL is a file, of which the log
//! keeps what kind and how large it is.

use crate::execute::credentials::REDACTED;

/// Longest scheme that is looked for.
const SCHEME_BYTES: usize = 20;
/// Within so many bytes a `data:` URL has to say what it holds.
const DATA_HEAD_BYTES: usize = 200;

/// A copy of a text's first `sure` bytes without what its URLs hide. What stands behind them is read, since a URL is known by
/// its end, but not shown. One pass.
pub(super) fn mask(text: &str, sure: usize) -> String {
    let mut copy = Copy { text, sure: super::boundary(text, sure), out: String::new(), at: 0 };
    let mut at = 0;
    while at < copy.sure {
        at = if let Some(url) = url_at(text, at) {
            copy.keep_to(url.after_scheme);
            url.copy(&mut copy)
        } else if let Some(data) = data_at(text, at) {
            copy.keep_to(at);
            copy.put(&data.summary());
            copy.skip_to(data.end)
        } else {
            at + 1
        };
    }
    copy.keep_to(text.len());
    copy.out
}

/// What stands for a text that is one `data:` URL and nothing else, however long it is.
pub(super) fn data(text: &str) -> Option<String> {
    data_head(text).map(|head| summary(head.media_type, head.base64, text.len() - head.bytes))
}

/// A copy in the making.
struct Copy<'a> {
    text: &'a str,
    /// Nothing behind this is shown.
    sure: usize,
    out: String,
    /// What comes before this is in the copy, or left out of it.
    at: usize,
}

impl Copy<'_> {
    fn keep_to(&mut self, end: usize) {
        let shown = end.min(self.sure);
        self.out.push_str(self.text.get(self.at..shown).unwrap_or_default());
        self.at = self.at.max(end);
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn skip_to(&mut self, end: usize) -> usize {
        self.at = end;
        end
    }
}

/// A URL with an authority.
struct Url<'a> {
    text: &'a str,
    after_scheme: usize,
    end: usize,
}

/// The URL whose `://` stands at a place.
fn url_at(text: &str, at: usize) -> Option<Url<'_>> {
    let bytes = text.as_bytes();
    if !bytes.get(at..)?.starts_with(b"://") {
        return None;
    }
    let before = bytes.get(at.saturating_sub(SCHEME_BYTES)..at)?;
    let named = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let scheme = before.iter().rev().take_while(named).count();
    let after_scheme = at + 3;
    (scheme > 0).then(|| Url { text, after_scheme, end: end_of(text, after_scheme) })
}

impl Url<'_> {
    /// Copies what stands behind the scheme; the copy goes on behind the URL.
    fn copy(&self, copy: &mut Copy<'_>) -> usize {
        let place = |from: usize, marks: &[char]| {
            let rest = self.text.get(from..self.end).unwrap_or_default();
            rest.find(marks).map_or(self.end, |found| from + found)
        };
        let authority = place(self.after_scheme, &['/', '?', '#']);
        let user = self.text.get(self.after_scheme..authority).and_then(|name| name.rfind('@'));
        if let Some(user) = user {
            copy.put(REDACTED);
            copy.skip_to(self.after_scheme + user);
        }
        let query = place(authority, &['?', '#']);
        let fragment = place(query, &['#']);
        copy.keep_to(query);
        for (from, to, mark) in [(query, fragment, "?"), (fragment, self.end, "#")] {
            let part = self.text.get(from..to).unwrap_or_default();
            // `#L10` is a place in a page; `#access_token=…` is none.
            if part.len() > 1 && (mark == "?" || part.contains('=')) {
                copy.put(mark);
                copy.put(REDACTED);
                copy.skip_to(to);
            } else {
                copy.keep_to(to);
            }
        }
        self.end
    }
}

/// Where a URL that goes on at a place ends.
fn end_of(text: &str, at: usize) -> usize {
    let closes = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '`' | '\\');
    let rest = text.get(at..).unwrap_or_default();
    rest.find(closes).map_or(text.len(), |found| at + found)
}

struct Data<'a> {
    head: Head<'a>,
    start: usize,
    end: usize,
}

struct Head<'a> {
    media_type: &'a str,
    base64: bool,
    bytes: usize,
}

fn data_at(text: &str, at: usize) -> Option<Data<'_>> {
    let bytes = text.as_bytes();
    let in_word = at > 0 && bytes.get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
    if in_word || !bytes.get(at..)?.starts_with(b"data:") {
        return None;
    }
    let head = data_head(text.get(at..)?)?;
    Some(Data { start: at, end: end_of(text, at + head.bytes), head })
}

/// What a `data:` URL says of itself, up to its comma.
fn data_head(text: &str) -> Option<Head<'_>> {
    let rest = text.strip_prefix("data:")?;
    let near = rest.get(..rest.floor_char_boundary(DATA_HEAD_BYTES))?;
    let (head, _) = near.split_once(',')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/;=.+-_%".contains(&b);
    if !head.bytes().all(plain) {
        return None;
    }
    let media_type = head.split(';').next().filter(|media| media.contains('/')).unwrap_or("text/plain");
    let base64 = head.ends_with(";base64");
    Some(Head { media_type, base64, bytes: "data:".len() + head.len() + 1 })
}

impl Data<'_> {
    fn summary(&self) -> String {
        let length = self.end.saturating_sub(self.start + self.head.bytes);
        summary(self.head.media_type, self.head.base64, length)
    }
}

fn summary(media_type: &str, base64: bool, length: usize) -> String {
    let bytes = if base64 { length / 4 * 3 } else { length };
    format!("data:{media_type} (about {bytes} bytes)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        mask(text, text.len())
    }

    #[test]
    fn a_signed_links_query_and_a_user_in_front_of_a_host_go() {
        for (text, kept) in [
            ("https://s3.example/b/k.pdf?X-Amz-Signature=abc&x=1", "https://s3.example/b/k.pdf?[redacted]"),
            (
                "see https://a.example/x?sig=1 and (http://b.example/y)",
                "see https://a.example/x?[redacted] and (http://b.example/y)",
            ),
            (
                "postgres://app:hunter2@db.example/main?sslmode=require",
                "postgres://[redacted]@db.example/main?[redacted]",
            ),
            ("https://ghp@a:b@evil.example/@x", "https://[redacted]@evil.example/@x"),
            ("https://a.example/cb#access_token=s3cret", "https://a.example/cb#[redacted]"),
            ("https://a.example/f.rs#L10", "https://a.example/f.rs#L10"),
            ("https://a.example/?#", "https://a.example/?#"),
            ("<a href=\"https://a.example/?t=1\">x</a>", "<a href=\"https://a.example/?[redacted]\">x</a>"),
            ("https://é.example/ü?ö=ä ß", "https://é.example/ü?[redacted] ß"),
            ("https://a.example?x=https://b.example?y=1", "https://a.example?[redacted]"),
            ("a :// b ://c@d?e", "a :// b ://c@d?e"),
            ("no links?here=1", "no links?here=1"),
            ("https://", "https://"),
        ] {
            assert_eq!(masked(text), kept, "{text}");
        }
    }

    #[test]
    fn a_file_in_a_url_is_its_type_and_size() {
        assert_eq!(
            data(&format!("data:image/png;base64,{}", "A".repeat(400))).unwrap(),
            "data:image/png (about 300 bytes)"
        );
        assert_eq!(data("data:,hi").unwrap(), "data:text/plain (about 2 bytes)");
        assert_eq!(masked("send data:text/csv,a;b now"), "send data:text/csv (about 3 bytes) now");
        for no_file in ["data: a, b", "metadata:text/plain,x", "data:", "data:é,x", "the data:"] {
            assert_eq!(masked(no_file), no_file);
            assert!(data(no_file).is_none(), "{no_file}");
        }
    }

    #[test]
    fn what_is_behind_the_cut_is_not_shown_and_a_link_over_it_hides_the_same() {
        let text = "https://ada:hunter2@a.example/path?sig=s3cret";
        for sure in 0..text.len() {
            let shown = mask(text, sure);
            assert!(!shown.contains("hunter") && !shown.contains("s3"), "{sure}: {shown}");
        }
    }

    #[test]
    fn masking_takes_time_in_proportion_to_the_text() {
        // Quadratic, each of these would take minutes.
        for part in ["://", "a://", "data:", "data:a/b;", "a://@", "a://?"] {
            let text = part.repeat((1 << 20) / part.len());
            assert!(masked(&text).len() <= text.len() + 100, "{part}");
        }
    }
}
