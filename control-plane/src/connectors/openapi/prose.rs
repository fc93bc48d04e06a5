//! Descriptions in documents are Markdown, often with tags of HTML; what models and pages show is plain text.

use std::borrow::Cow;

/// Tags of HTML that only dress a text. Anything else in angle brackets may be meant, such as `<id>`.
const TAGS: &[&str] = &[
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "li",
    "ol",
    "p",
    "pre",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
];

/// The text without its dress: links as their words, no marks of emphasis, headings or blocks. What stands below the first
/// heading of a text that began without one is left out: it is a manual.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(['*', '[', '<', '#', '`']) {
        return Cow::Borrowed(text);
    }
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        let trimmed = line.trim_start();
        let rest = trimmed.trim_start_matches('#');
        let heading = trimmed.len() - rest.len();
        if (1..=6).contains(&heading) && rest.starts_with(' ') {
            if !lines.trim().is_empty() {
                break;
            }
            lines.push_str(rest);
        } else if !trimmed.starts_with("```") {
            lines.push_str(line);
        }
        lines.push('\n');
    }
    Cow::Owned(without_marks(&without_tags(&lines)))
}

fn without_tags(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        // Tags are short; a sign of comparison has no other end nearby.
        let inside =
            after.char_indices().take(200).find(|(_, c)| *c == '>').and_then(|(end, _)| after.get(..end));
        let name = inside.map(|inside| inside.trim_start_matches('/'));
        let name = name.and_then(|name| name.split(|c: char| !c.is_ascii_alphanumeric()).next());
        match (inside, name) {
            (Some(inside), Some(name)) if TAGS.contains(&name.to_ascii_lowercase().as_str()) => {
                out.push(' ');
                rest = after.get(inside.len() + 1..).unwrap_or_default();
            }
            _ => {
                out.push('<');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Links as their words, and strong words as words.
fn without_marks(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['[', '*']) {
        let (before, from) = rest.split_at(at);
        let (words, after, link) = match link(from) {
            Some((words, after)) => (words, after, true),
            None => match strong(from) {
                Some((words, after)) => (words, after, false),
                None => {
                    let stars = from.len() - from.trim_start_matches('*').len();
                    let (mark, after) = from.split_at(stars.max(1));
                    out.push_str(before);
                    out.push_str(mark);
                    rest = after;
                    continue;
                }
            },
        };
        // The exclamation mark of an image goes with it.
        out.push_str(before.strip_suffix('!').filter(|_| link).unwrap_or(before));
        out.push_str(words);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `[words](target)` at the start: the words, and what follows.
fn link(text: &str) -> Option<(&str, &str)> {
    let near = near(text);
    let (words, after) = near.strip_prefix('[')?.split_once(']')?;
    let (target, after) = after.strip_prefix('(')?.split_once(')')?;
    let rest = text.get(near.len() - after.len()..)?;
    (!words.contains(['[', '\n']) && !target.contains('\n')).then_some((words, rest))
}

/// `**words**` or `*words*` at the start: the words, and what follows. A wildcard or a product is not meant.
fn strong(text: &str) -> Option<(&str, &str)> {
    let near = near(text);
    let mark = if near.starts_with("**") { "**" } else { "*" };
    let inside = near.strip_prefix(mark)?;
    if !inside.starts_with(|c: char| c.is_alphanumeric() || c == '`' || c == '"') {
        return None;
    }
    let (words, after) = inside.split_once(mark)?;
    let rest = text.get(near.len() - after.len()..)?;
    let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '*' || c == '/');
    let fits = ends && !words.ends_with(char::is_whitespace) && !words.contains(['\n', '*']);
    fits.then_some((words, rest))
}

/// As much of a text as a mark may hold.
fn near(text: &str) -> &str {
    text.get(..text.floor_char_boundary(800)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn descriptions_lose_their_dress_and_keep_their_words() {
        for (written, wanted) in [
            ("**Note:** moved to [getEnvVars](#tag/x), see `a.b`.", "Note: moved to getEnvVars, see `a.b`."),
            ("![logo](x.png) The <b>Acme</b> API<br/>is *new*.", "logo The Acme API is new."),
            ("An API.\n\n# Authentication\nSend a token.", "An API."),
            ("# Title\nText.", "Title Text."),
            ("Files such as **/*.js or a*b*c, <id>, a < b > c, 2**3.", ""),
            ("Use [x] and [y](z", ""),
            ("```json\n{}\n```\ndone", "{} done"),
        ] {
            let found = plain(written).split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(
                found.replace(" .", "."),
                if wanted.is_empty() { written } else { wanted }.replace(" .", ".")
            );
        }
    }

    #[test]
    fn a_text_of_nothing_but_marks_costs_little() {
        let started = std::time::Instant::now();
        for mark in ["[", "<", "*a", "**a ", "[a](", "<b"] {
            plain(&mark.repeat(200_000));
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }
}
