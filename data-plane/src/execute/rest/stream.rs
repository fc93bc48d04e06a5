//! Answers that come item by item, as a list: server-sent events, or JSON texts one per line.

use super::{json, response};

/// Items that are kept where the connector does not say.
const MOST: usize = 1000;

/// Whether enough has come; asked while more is on its way.
#[must_use]
pub fn is_enough(body: &[u8], most: usize) -> bool {
    let lines = body.iter().filter(|byte| **byte == b'\n').count();
    lines > usual(most).saturating_mul(4)
}

/// The items of a stream as a JSON array. What has not come whole is left out.
#[must_use]
pub fn items(text: &str, events: bool, most: usize) -> String {
    let whole = text
        .rfind('\n')
        .map_or(text, |end| if response::json(text.to_owned()).is_some() { text } else { &text[..end] });
    let texts = if events { event_data(whole) } else { lines(whole) };
    let items: Vec<String> = texts
        .into_iter()
        .take(usual(most))
        .map(|text| response::json(text.clone()).unwrap_or_else(|| json::string(&text)))
        .collect();
    match items.as_slice() {
        // One JSON text that is a list already.
        [only] if !events && only.starts_with('[') => only.clone(),
        _ => json::array(items.iter().map(String::as_str)),
    }
}

const fn usual(most: usize) -> usize {
    if most == 0 { MOST } else { most }
}

fn lines(text: &str) -> Vec<String> {
    if response::json(text.to_owned()).is_some() {
        return vec![text.to_owned()];
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The data of each event; the word with which some APIs end their stream is none.
fn event_data(text: &str) -> Vec<String> {
    let (mut all, mut data) = (Vec::new(), Vec::new());
    for line in text.lines().chain([""]) {
        if let Some(rest) = line.strip_prefix("data:") {
            data.push(rest.strip_prefix(' ').unwrap_or(rest));
        } else if line.is_empty() && !data.is_empty() {
            all.push(data.join("\n"));
            data.clear();
        }
    }
    all.retain(|data| data != "[DONE]");
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_lines_become_a_list() {
        let events = ": hi\nevent: x\ndata: {\"a\": 1}\n\ndata: two\ndata: lines\n\ndata: [DONE]\n\n";
        assert_eq!(items(events, true, 0), r#"[{"a":1},"two\nlines"]"#);
        assert_eq!(items("{\"a\":1}\n{\"a\": 2}\nplain\n", false, 0), r#"[{"a":1},{"a":2},"plain"]"#);
        assert_eq!(items("{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", false, 2), r#"[{"a":1},{"a":2}]"#);
        assert_eq!(items("[1,\n2]", false, 0), "[1,2]");
    }

    #[test]
    fn what_has_not_come_whole_is_left_out() {
        assert_eq!(items("{\"a\":1}\n{\"a\":", false, 0), r#"[{"a":1}]"#);
        assert_eq!(items("data: {\"a\":1}\n\ndata: {\"b", true, 0), r#"[{"a":1}]"#);
        assert_eq!(items("", true, 0), "[]");
    }

    #[test]
    fn reading_ends_once_there_is_enough() {
        assert!(!is_enough(b"{}\n{}\n", 2));
        assert!(is_enough("{}\n".repeat(9).as_bytes(), 2));
    }
}
