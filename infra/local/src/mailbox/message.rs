//! A message as it is kept and shown: who, what, and the links in it.

use mail_parser::MessageParser;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// Text kept of one message, in bytes; a longer one is cut.
const TEXT_MAX: usize = 256 * 1024;
/// Header text kept, in characters.
const LINE_MAX: usize = 1000;
/// Links kept of one message.
const LINKS_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Sorts by time.
    pub id: String,
    /// To whom it was sent, as the envelope said.
    pub to: Vec<String>,
    pub from: String,
    pub subject: String,
    /// The text part, or the HTML part as text.
    pub text: String,
    /// Addresses in the text that start with `http://` or `https://`, in order, each once.
    pub links: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
}

impl Message {
    /// Reads a message as it came over SMTP. What cannot be read stays empty; nothing is refused for its content.
    #[must_use]
    pub fn read(envelope_from: &str, to: Vec<String>, raw: &[u8]) -> Self {
        let parsed = MessageParser::default().parse(raw);
        let parsed = parsed.as_ref();
        let subject = parsed.and_then(|m| m.subject()).unwrap_or_default();
        let from = parsed.and_then(|m| m.from()?.first()?.address()).unwrap_or(envelope_from);
        let text = parsed.and_then(|m| m.body_text(0)).unwrap_or_default();
        let text = cut(&text, TEXT_MAX).replace("\r\n", "\n");
        Self {
            id: Uuid::now_v7().simple().to_string(),
            to,
            from: from.chars().take(LINE_MAX).collect(),
            subject: subject.chars().take(LINE_MAX).collect(),
            links: links(&text),
            text,
            received_at: OffsetDateTime::now_utc(),
        }
    }
}

/// A piece of a message's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Link(&'a str),
}

/// Splits a text at its links. A link ends at white space, quotes or angle brackets, and before punctuation that closes a
/// sentence.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = find_link(rest) {
        let link = &rest[start..];
        let end = link.find(|c: char| c.is_whitespace() || c.is_control() || "<>\"'`".contains(c));
        let link =
            link[..end.unwrap_or(link.len())].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}']);
        if start > 0 {
            pieces.push(Piece::Text(&rest[..start]));
        }
        pieces.push(Piece::Link(link));
        rest = &rest[start + link.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

fn find_link(text: &str) -> Option<usize> {
    match (text.find("https://"), text.find("http://")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn links(text: &str) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    for piece in pieces(text) {
        if let Piece::Link(link) = piece
            && links.len() < LINKS_MAX
            && !links.iter().any(|known| known == link)
        {
            links.push(link.to_owned());
        }
    }
    links
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_end_where_a_reader_would_say() {
        let text =
            "Go to <http://localhost:8080/verify?token=a_b-c>, or (https://x.example/a). https:// is none.";
        assert_eq!(links(text)[..2], ["http://localhost:8080/verify?token=a_b-c", "https://x.example/a"]);
        assert_eq!(pieces("no link"), [Piece::Text("no link")]);
    }

    #[test]
    fn an_html_message_is_kept_as_text() {
        let raw = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: A <a@x.example>\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello <b>you</b></p><script>alert(1)</script>";
        let message = Message::read("env@x.example", vec!["b@x.example".into()], raw);
        assert_eq!((message.subject.as_str(), message.from.as_str()), ("Grüße", "a@x.example"));
        assert!(message.text.contains("Hello you") && !message.text.contains('<'), "{}", message.text);
    }

    #[test]
    fn bytes_that_are_no_message_are_kept_without_a_word() {
        let message = Message::read("a@x.example", vec![], &[0xff, 0, 0x80, b'\r', b'\n', 0xfe]);
        assert_eq!(message.from, "a@x.example");
        let long = format!("Subject: {}\r\n\r\n{}", "s".repeat(100_000), "ü".repeat(300_000));
        let message = Message::read("a@x.example", vec![], long.as_bytes());
        assert!(message.subject.len() <= LINE_MAX && message.text.len() <= TEXT_MAX);
    }
}
