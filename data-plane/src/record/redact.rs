//! Arguments as the audit log may keep them: without secrets, and not too long.
//!
//! A value goes when its key says that it is a secret, when it looks like a token of a known kind, or when it holds one of
//! the installation's own credentials.

use serde_json::{Map, Value, json};

use crate::execute::credentials::{Opened, REDACTED};

/// Most bytes of arguments that are kept.
const KEPT_BYTES: usize = 16 << 10;
/// In arguments that are too long, strings and lists are cut to this.
const SHORT_CHARS: usize = 200;
const SHORT_ITEMS: usize = 20;

/// The arguments as a JSON object of at most 16 KiB.
#[must_use]
pub fn arguments(arguments: &Value, opened: &Opened) -> String {
    let mut kept = match arguments {
        Value::Object(_) => arguments.clone(),
        Value::Null => json!({}),
        other => json!({ "_arguments": other }),
    };
    redact(&mut kept, opened);
    let text = kept.to_string();
    if text.len() <= KEPT_BYTES {
        return text;
    }
    shorten(&mut kept);
    let note = format!("cut from {} bytes", text.len());
    if let Value::Object(members) = &mut kept {
        members.insert("_cut".to_owned(), Value::String(note.clone()));
    }
    let short = kept.to_string();
    if short.len() <= KEPT_BYTES {
        return short;
    }
    let names: Vec<String> =
        kept.as_object().into_iter().flat_map(Map::keys).take(50).map(|name| cut(name)).collect();
    json!({ "_cut": note, "_names": names }).to_string()
}

fn redact(value: &mut Value, opened: &Opened) {
    match value {
        Value::String(text) => {
            opened.scrub(text);
            if opened.is_secret(text) {
                REDACTED.clone_into(text);
            }
            mask_tokens(text);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, opened)),
        Value::Object(members) => {
            for (name, member) in members {
                if names_a_secret(name, member) {
                    *member = Value::String(REDACTED.to_owned());
                } else {
                    redact(member, opened);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a key says that its value is a secret. A number under a key like `max_tokens` is a count.
fn names_a_secret(name: &str, value: &Value) -> bool {
    const WORDS: &[&str] = &[
        "password",
        "passwd",
        "passphrase",
        "secret",
        "apikey",
        "authorization",
        "credential",
        "privatekey",
        "accesskey",
        "signingkey",
        "cookie",
    ];
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(_) => WORDS.iter().any(|word| plain.contains(word)),
        _ => plain.contains("token") || plain == "auth" || WORDS.iter().any(|word| plain.contains(word)),
    }
}

/// How a kind of token begins, and how long it is at least.
const TOKENS: &[(&str, usize)] = &[
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 20),
    ("sk-", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("xoxa-", 12),
    ("xoxb-", 12),
    ("xoxe-", 12),
    ("xoxp-", 12),
    ("xoxr-", 12),
    ("xoxs-", 12),
    ("xapp-", 12),
    ("AKIA", 20),
    ("ASIA", 20),
    ("AIza", 30),
    ("npm_", 20),
    ("tmk_", 20),
    ("eyJ", 30),
];

const PEM_START: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// Masks everything in a text that looks like a token of a known kind or a private key.
fn mask_tokens(text: &mut String) {
    mask_pem(text);
    for (prefix, least) in TOKENS {
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(prefix)).map(|at| from + at) {
            let inside_word =
                text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
            let length = text[at..]
                .find(|c: char| {
                    !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '=' | '+' | '/'))
                })
                .unwrap_or(text.len() - at);
            if inside_word || length < *least {
                from = at + prefix.len();
            } else {
                text.replace_range(at..at + length, REDACTED);
                from = at + REDACTED.len();
            }
        }
    }
}

fn mask_pem(text: &mut String) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(PEM_START)).map(|at| from + at) {
        if !text[at..].lines().next().is_some_and(|line| line.contains("PRIVATE KEY")) {
            from = at + PEM_START.len();
            continue;
        }
        let end = text[at..].find(PEM_END).map_or(text.len(), |end| {
            let label = at + end + PEM_END.len();
            text[label..].find("-----").map_or(text.len(), |close| label + close + 5)
        });
        text.replace_range(at..end, REDACTED);
        from = at + REDACTED.len();
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.chars().nth(SHORT_CHARS).is_some() {
                *text = cut(text);
            }
        }
        Value::Array(items) => {
            items.truncate(SHORT_ITEMS);
            items.iter_mut().for_each(shorten);
        }
        Value::Object(members) => members.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHORT_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(value: &Value) -> Value {
        serde_json::from_str(&arguments(value, &Opened::default())).unwrap()
    }

    #[test]
    fn values_under_secret_names_go_and_counts_stay() {
        let kept = kept(&json!({
            "password": "hunter2", "apiKey": "x", "X-Api-Key": "x", "client_secret": {"a": 1}, "Authorization": "x",
            "access_token": "x", "pin_password": 1234, "max_tokens": 5, "title": "My password is safe", "secret": null,
            "nested": {"list": [{"token": "x"}]}
        }));
        for gone in [
            "password",
            "apiKey",
            "X-Api-Key",
            "client_secret",
            "Authorization",
            "access_token",
            "pin_password",
        ] {
            assert_eq!(kept[gone], REDACTED, "{gone}");
        }
        assert_eq!(kept["max_tokens"], 5);
        assert_eq!(kept["title"], "My password is safe");
        assert_eq!(kept["nested"]["list"][0]["token"], REDACTED);
    }

    #[test]
    fn tokens_of_known_kinds_go_wherever_they_stand() {
        for token in [
            "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
            "github_pat_11ABCDEFG0123456789_abcdef",
            "sk-proj-0123456789abcdefghij",
            "xoxb-123456789-abcdef",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "tmk_0123456789abcdefghijklmnopqrstuv",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nMIIE",
        ] {
            let text = kept(&json!({ "note": format!("use {token}") }))["note"].as_str().unwrap().to_owned();
            assert_eq!(text, format!("use {REDACTED}"), "{token}");
        }
        for harmless in
            ["task-0123456789abcdefghijkl", "sk-short", "-----BEGIN CERTIFICATE-----\nx", "été sk-"]
        {
            assert_eq!(kept(&json!({ "note": harmless }))["note"], harmless);
        }
    }

    #[test]
    fn long_arguments_are_cut_and_say_so() {
        let long = kept(&json!({"text": "é".repeat(20_000), "list": vec!["x"; 1000], "n": 1}));
        assert!(long["_cut"].as_str().unwrap().starts_with("cut from"));
        assert_eq!(long["n"], 1);
        assert_eq!(long["list"].as_array().unwrap().len(), SHORT_ITEMS);
        let many: Map<String, Value> = (0..5000).map(|n| (format!("name-{n}"), json!("value"))).collect();
        let text = arguments(&Value::Object(many), &Opened::default());
        assert!(text.len() <= KEPT_BYTES && text.contains("_cut"));
    }

    #[test]
    fn what_is_no_object_is_kept_as_one() {
        assert_eq!(kept(&json!([1])), json!({"_arguments": [1]}));
        assert_eq!(kept(&Value::Null), json!({}));
    }
}
