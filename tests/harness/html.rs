//! Just enough HTML to fill in a form: its hidden fields, its links, its text. It trusts that our pages are well formed.

use std::collections::BTreeMap;

/// One start tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    attributes: BTreeMap<String, String>,
    /// Where the tag ends in the page.
    end: usize,
}

impl Tag {
    /// An attribute's value, entities resolved; an attribute without a value is "".
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// A form: where it goes and what it holds before anyone types.
#[derive(Debug, Clone)]
pub struct Form {
    pub action: String,
    pub method: String,
    pub fields: Vec<(String, String)>,
}

/// All start tags of a page, in order. Scripts, styles and comments are passed over.
#[must_use]
pub fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(open) = page[at..].find('<').map(|found| at + found) {
        let rest = &page[open..];
        if rest.starts_with("<!--") {
            at = open + rest.find("-->").map_or(rest.len(), |end| end + 3);
            continue;
        }
        let Some(tag) = tag(page, open) else {
            at = open + 1;
            continue;
        };
        at = tag.end;
        if tag.name == "script" || tag.name == "style" {
            let close = format!("</{}", tag.name);
            at = page[at..].find(&close).map_or(page.len(), |found| at + found);
        }
        tags.push(tag);
    }
    tags
}

fn tag(page: &str, open: usize) -> Option<Tag> {
    let bytes = page.as_bytes();
    let mut at = open + 1;
    let start = at;
    while bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        at += 1;
    }
    if at == start {
        return None;
    }
    let name = page[start..at].to_ascii_lowercase();
    let mut attributes = BTreeMap::new();
    loop {
        while bytes.get(at).is_some_and(|b| b.is_ascii_whitespace() || *b == b'/') {
            at += 1;
        }
        match bytes.get(at)? {
            b'>' => return Some(Tag { name, attributes, end: at + 1 }),
            _ => {
                let (key, value, next) = attribute(page, at)?;
                attributes.entry(key).or_insert(value);
                at = next;
            }
        }
    }
}

fn attribute(page: &str, start: usize) -> Option<(String, String, usize)> {
    let bytes = page.as_bytes();
    let mut at = start;
    while bytes.get(at).is_some_and(|b| !b.is_ascii_whitespace() && !matches!(b, b'=' | b'>' | b'/')) {
        at += 1;
    }
    // A stray `=` or quote: step over it, so that the loop always moves on.
    if at == start {
        return Some((String::new(), String::new(), start + 1));
    }
    let key = page[start..at].to_ascii_lowercase();
    if bytes.get(at) != Some(&b'=') {
        return Some((key, String::new(), at));
    }
    at += 1;
    let (from, to, next) = match bytes.get(at)? {
        quote @ (b'"' | b'\'') => {
            let from = at + 1;
            let to = from + page[from..].find(char::from(*quote))?;
            (from, to, to + 1)
        }
        _ => {
            let to = at + page[at..].find(|c: char| c.is_ascii_whitespace() || c == '>')?;
            (at, to, to)
        }
    };
    Some((key, unescape(&page[from..to]), next))
}

/// The forms of a page with their inputs' first values; buttons belong to no value, unticked boxes neither.
#[must_use]
pub fn forms(page: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let lower = page.to_ascii_lowercase();
    for tag in tags(page).iter().filter(|tag| tag.name == "form") {
        let end = lower[tag.end..].find("</form").map_or(page.len(), |found| tag.end + found);
        let fields = tags(&page[tag.end..end]).iter().filter_map(field).collect();
        forms.push(Form {
            action: tag
                .attribute("action")
                .or_else(|| tag.attribute("hx-post"))
                .unwrap_or_default()
                .to_owned(),
            method: tag.attribute("method").unwrap_or("get").to_ascii_lowercase(),
            fields,
        });
    }
    forms
}

fn field(tag: &Tag) -> Option<(String, String)> {
    if tag.name != "input" {
        return None;
    }
    let kind = tag.attribute("type").unwrap_or("text");
    let left_out = matches!(kind, "submit" | "button" | "reset")
        || (matches!(kind, "checkbox" | "radio") && tag.attribute("checked").is_none());
    if left_out {
        return None;
    }
    Some((tag.attribute("name")?.to_owned(), tag.attribute("value").unwrap_or_default().to_owned()))
}

/// What a person reads on the page: no tags, entities resolved, white space folded.
#[must_use]
pub fn text(page: &str) -> String {
    let mut out = String::with_capacity(page.len() / 2);
    let mut at = 0;
    while let Some(open) = page[at..].find('<').map(|found| at + found) {
        out.push_str(&page[at..open]);
        at = past_markup(page, open).unwrap_or_else(|| {
            out.push('<');
            open + 1
        });
        out.push(' ');
    }
    out.push_str(&page[at..]);
    unescape(&out).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where the text goes on after the comment, tag, script or style that begins here; `None` if it is a bare `<`.
fn past_markup(page: &str, open: usize) -> Option<usize> {
    let rest = &page[open..];
    let past = |end: &str| open + rest.find(end).map_or(rest.len(), |found| found + end.len());
    if rest.starts_with("<!--") {
        return Some(past("-->"));
    }
    if rest.starts_with("</") || rest.starts_with("<!") {
        return Some(past(">"));
    }
    let tag = tag(page, open)?;
    match tag.name.as_str() {
        name @ ("script" | "style") => {
            let close = past(&format!("</{name}"));
            Some(page[close..].find('>').map_or(page.len(), |found| close + found + 1))
        }
        _ => Some(tag.end),
    }
}

/// The entities that template engines write.
#[must_use]
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').filter(|end| *end <= 10).map(|end| &rest[1..end]);
        match entity.and_then(character) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[length + 2..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(entity: &str) -> Option<(char, usize)> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let c = match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => match entity.strip_prefix('#')? {
            hex if hex.starts_with(['x', 'X']) => number(&hex[1..], 16)?,
            decimal => number(decimal, 10)?,
        },
    };
    Some((c, entity.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<!doctype html><script>if (a<b) "<form>"</script><!-- <form> -->
        <form method="post" action="/w/a&amp;b"><input type=hidden name=_csrf value='t"1'>
        <input name="name" value="Caf&#233; &#x26; bar" required><input type="checkbox" name="off">
        <input type="checkbox" name="on" value="1" checked><button name="go" value="x">Go</button></form>
        <p>One&nbsp;<b>two</b></p>"#;

    #[test]
    fn a_form_gives_its_action_and_what_it_would_send() {
        let forms = forms(PAGE);
        assert_eq!(forms.len(), 1);
        assert_eq!(forms[0].action, "/w/a&b");
        let fields: Vec<_> = forms[0].fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(fields, [("_csrf", "t\"1"), ("name", "Café & bar"), ("on", "1")]);
    }

    #[test]
    fn text_is_what_a_person_reads() {
        assert_eq!(text(PAGE), "Go One two");
        assert_eq!(text("1 < 2 &amp; 3"), "1 < 2 & 3");
    }

    #[test]
    fn broken_markup_ends() {
        for page in ["<", "<a", "<a href=", "<a href=\"x", "<form ='>", "&", "&#xZZ;", "<input = name=x>"] {
            let _ = (forms(page), text(page));
        }
    }
}
