//! Words for people: titles from machine names, descriptions without control characters.

/// Words that are written in capitals or in their own way.
const SPELLINGS: &[(&str, &str)] = &[
    ("api", "API"),
    ("ci", "CI"),
    ("cpu", "CPU"),
    ("csv", "CSV"),
    ("dns", "DNS"),
    ("github", "GitHub"),
    ("gitlab", "GitLab"),
    ("html", "HTML"),
    ("http", "HTTP"),
    ("id", "ID"),
    ("ids", "IDs"),
    ("ip", "IP"),
    ("ips", "IPs"),
    ("json", "JSON"),
    ("kv", "KV"),
    ("oauth", "OAuth"),
    ("pdf", "PDF"),
    ("sms", "SMS"),
    ("sql", "SQL"),
    ("ssh", "SSH"),
    ("ssl", "SSL"),
    ("tls", "TLS"),
    ("ui", "UI"),
    ("url", "URL"),
    ("urls", "URLs"),
    ("vm", "VM"),
    ("vms", "VMs"),
    ("vpn", "VPN"),
    ("vlan", "VLAN"),
];

/// `list_issues` as `List issues`.
pub(super) fn title(name: &str) -> String {
    let words = name.split(['_', '-', '.', '/', ' ']).filter(|word| !word.is_empty());
    let mut title = String::new();
    for word in words {
        let lower = word.to_ascii_lowercase();
        let known = SPELLINGS.iter().find(|(plain, _)| *plain == lower).map(|(_, written)| *written);
        if title.is_empty() {
            title = known.map_or_else(|| capitalised(word), str::to_owned);
        } else {
            title.push(' ');
            title.push_str(known.unwrap_or(word));
        }
    }
    if title.is_empty() { name.to_owned() } else { title }
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Text for a model or a page: trimmed, without control characters and without the marks that reorder what is shown.
pub(super) fn clean(text: &str) -> String {
    let shown = |c: &char| {
        let reorders =
            matches!(*c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}');
        (*c == '\n' || *c == '\t' || !c.is_control()) && !reorders
    };
    text.trim().chars().filter(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::{clean, title};

    #[test]
    fn titles_read_like_words() {
        assert_eq!(title("list_issues"), "List issues");
        assert_eq!(title("get_user_by_id"), "Get user by ID");
        assert_eq!(title("api_key"), "API key");
        assert_eq!(title("github_token"), "GitHub token");
        assert_eq!(title("___"), "___");
    }

    #[test]
    fn what_hides_in_a_text_is_taken_out() {
        assert_eq!(clean(" a\u{1b}[31m\u{202e}b\u{e0041}\nc "), "a[31mb\nc");
    }
}
