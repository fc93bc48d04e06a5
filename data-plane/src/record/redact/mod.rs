//! Arguments as the audit log may keep them: without secrets, and not too long.
//!
//! A value goes when its key says that it is a secret, when it looks like a token of a known kind, or when it holds one of
//! the installation's own credentials; of URLs, what opens them goes. Callers choose the arguments, so nothing here takes more than linear time, and what
//! is too long is cut before it is copied.

mod urls;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::execute::credentials::{Opened, REDACTED};

/// Most bytes of arguments that are kept.
const KEPT_BYTES: usize = 16 << 10;
/// Of these, for the note that something is missing.
const NOTE_BYTES: usize = 100;
/// In arguments that are too long, strings and lists are cut to this.
const SHORT_CHARS: usize = 200;
const SHORT_ITEMS: usize = 20;
/// How far behind a cut is looked for the rest of a secret; twice the longest credential there is.
const BEYOND_CUT: usize = 32 << 10;
/// Most characters of a name that are looked at.
const NAME_CHARS: usize = 256;

/// Most values under secret names that are kept out of other texts.
const SECRETS: usize = 64;
/// Shorter values are not looked for: they are found where they are not meant.
const SHORTEST_SECRET: usize = 4;
/// As much of a value's beginning counts as the value: texts are cut, and so may be the value in them.
const TELLING: usize = 16;
/// No more of a value is remembered.
const REMEMBERED: usize = 1 << 10;

/// The arguments as a JSON object of at most 16 KiB.
#[must_use]
pub fn arguments(arguments: &Value, opened: &Opened) -> String {
    let bytes = rough_bytes(arguments);
    if bytes <= KEPT_BYTES {
        let whole = Copier { opened, room: KEPT_BYTES, short: false }.object(arguments);
        let text = Value::Object(whole).to_string();
        // What stands for a secret can be longer than it.
        if text.len() <= KEPT_BYTES {
            return text;
        }
    }
    let mut copier = Copier { opened, room: KEPT_BYTES - NOTE_BYTES, short: true };
    let mut kept = copier.object(arguments);
    let note = Value::String(format!("cut from about {bytes} bytes"));
    kept.insert("_cut".to_owned(), note.clone());
    let text = Value::Object(kept).to_string();
    if text.len() <= KEPT_BYTES {
        return text;
    }
    // Control characters are written six times as long as they are counted.
    json!({ "_cut": note }).to_string()
}

/// Values under secret names, which must not come back in other texts.
#[must_use]
pub fn secrets(arguments: &Value) -> Vec<SecretString> {
    let mut found = Vec::new();
    collect(arguments, false, &mut found);
    found
}

/// A text without tokens of known kinds and without `secrets`, whole or cut off at the text's end.
#[must_use]
pub fn text(text: &str, secrets: &[SecretString]) -> String {
    let masked = mask(text, secrets);
    urls::mask(&masked, masked.len())
}

fn collect(value: &Value, secret: bool, found: &mut Vec<SecretString>) {
    if found.len() >= SECRETS {
        return;
    }
    match value {
        Value::String(text) if secret && text.len() >= SHORTEST_SECRET => {
            found.push(SecretString::from(&text[..boundary(text, REMEMBERED)]));
        }
        Value::Number(number) if secret => {
            let text = number.to_string();
            if text.len() >= SHORTEST_SECRET {
                found.push(SecretString::from(text));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secret, found)),
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, secret || names_a_secret(name, member), found);
            }
        }
        _ => {}
    }
}

/// About how long a value is as JSON: what is escaped counts as if it were not. Does not look into strings.
fn rough_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 3,
        Value::Array(items) => items.iter().map(rough_bytes).sum::<usize>() + 2,
        Value::Object(members) => {
            members.iter().map(|(name, member)| name.len() + 4 + rough_bytes(member)).sum::<usize>() + 2
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
    }
}

/// Copies a value without its secrets, for as long as there is room.
struct Copier<'a> {
    opened: &'a Opened,
    room: usize,
    /// Whether strings and lists are cut.
    short: bool,
}

impl Copier<'_> {
    fn object(&mut self, arguments: &Value) -> Map<String, Value> {
        match arguments {
            Value::Object(members) => self.members(members),
            Value::Null => Map::new(),
            other => Map::from_iter([("_arguments".to_owned(), self.value(other))]),
        }
    }

    fn members(&mut self, members: &Map<String, Value>) -> Map<String, Value> {
        let mut copy = Map::new();
        for (name, member) in members {
            let kept_name = self.string(name);
            let kept = if names_a_secret(name, member) {
                self.take(REDACTED.len());
                Value::String(REDACTED.to_owned())
            } else {
                self.value(member)
            };
            if self.room == 0 && self.short {
                break;
            }
            copy.insert(kept_name, kept);
        }
        copy
    }

    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.string(text)),
            Value::Array(items) => {
                let most = if self.short { SHORT_ITEMS } else { usize::MAX };
                let mut copy = Vec::new();
                for item in items.iter().take(most) {
                    let kept = self.value(item);
                    if self.room == 0 && self.short {
                        break;
                    }
                    copy.push(kept);
                }
                self.take(2);
                Value::Array(copy)
            }
            Value::Object(members) => {
                self.take(2);
                Value::Object(self.members(members))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.take(20);
                value.clone()
            }
        }
    }

    fn string(&mut self, text: &str) -> String {
        let kept = if self.short && self.room == 0 { String::new() } else { self.clean(text) };
        // Quotes and a comma or colon.
        self.take(kept.len() + 3);
        kept
    }

    fn clean(&self, text: &str) -> String {
        if self.opened.is_secret(text) {
            return REDACTED.to_owned();
        }
        if let Some(file) = urls::data(text) {
            return file;
        }
        let end = if self.short { boundary(text, SHORT_CHARS * 4 + BEYOND_CUT) } else { text.len() };
        let mut copy = text[..end].to_owned();
        self.opened.scrub(&mut copy);
        let copy = mask(&copy, &[]);
        // A secret that the first cut parted is nowhere but in the tail that goes now.
        let sure = if end < text.len() { copy.len().saturating_sub(BEYOND_CUT) } else { copy.len() };
        let mut copy = urls::mask(&copy, sure);
        if !self.short {
            return copy;
        }
        let shown = copy.char_indices().nth(SHORT_CHARS).map_or(copy.len(), |(at, _)| at);
        if shown == copy.len() && end == text.len() {
            return copy;
        }
        copy.truncate(shown);
        format!("{copy}… ({} bytes)", text.len())
    }

    const fn take(&mut self, bytes: usize) {
        self.room = self.room.saturating_sub(bytes);
    }
}

/// The last character boundary that is not behind `at`.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
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
    let letters = name.chars().take(NAME_CHARS).filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
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
/// Where in its first line a private key has to say that it is one.
const PEM_LINE: usize = 80;

/// A copy in which `[redacted]` stands for everything that looks like a token of a known kind or a private key, and for
/// `secrets`. One pass: of a byte that is no secret's first, only a bounded number of those behind it are looked at.
fn mask(text: &str, secrets: &[SecretString]) -> String {
    let (mut masked, mut copied, mut at) = (String::with_capacity(text.len()), 0, 0);
    while at < text.len() {
        let length = secret_at(text, at, secrets).or_else(|| token_at(text, at)).or_else(|| pem_at(text, at));
        let Some(length) = length else {
            at += 1;
            continue;
        };
        masked.push_str(&text[copied..at]);
        masked.push_str(REDACTED);
        at += length;
        copied = at;
    }
    masked.push_str(&text[copied..]);
    masked
}

/// Length of the secret, or of its beginning, that stands at a place.
fn secret_at(text: &str, at: usize, secrets: &[SecretString]) -> Option<usize> {
    if !text.is_char_boundary(at) {
        return None;
    }
    let rest = &text[at..];
    let shared = |secret: &SecretString| {
        let secret = secret.expose_secret();
        let same = rest.bytes().zip(secret.bytes()).take_while(|(a, b)| a == b).count();
        let same = boundary(rest, same);
        let cut_off = rest.len() == same || rest[same..].starts_with('…');
        let telling = same == secret.len() || same >= TELLING || (cut_off && same >= SHORTEST_SECRET);
        telling.then_some(same)
    };
    secrets.iter().filter_map(shared).max().filter(|length| *length > 0)
}

/// Length of the token that begins at a place.
fn token_at(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let inside_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if inside_word {
        return None;
    }
    let rest = &bytes[at..];
    let (_, least) = TOKENS.iter().find(|(prefix, _)| rest.starts_with(prefix.as_bytes()))?;
    let goes_on = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'=' | b'+' | b'/');
    let length = rest.iter().take_while(|b| goes_on(b)).count();
    // A run that is too short is one that was short to look at.
    (length >= *least).then_some(length)
}

/// Length of the private key that begins at a place; one without an end goes to the end of the text.
fn pem_at(text: &str, at: usize) -> Option<usize> {
    let rest = &text.as_bytes()[at..];
    if !rest.starts_with(PEM_START.as_bytes()) {
        return None;
    }
    let line = rest[..rest.len().min(PEM_LINE)].split(|b| *b == b'\n').next().unwrap_or_default();
    if !line.windows(11).any(|part| part == b"PRIVATE KEY") {
        return None;
    }
    let rest = &text[at..];
    let Some(end) = rest.find(PEM_END) else { return Some(rest.len()) };
    let label = end + PEM_END.len();
    Some(rest[label..].find("-----").map_or(rest.len(), |close| label + close + 5))
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
    fn links_keep_where_they_lead_and_files_are_named() {
        let file = format!("data:application/pdf;base64,{}", "A".repeat(4 << 20));
        let kept = kept(&json!({
            "url": "https://u:p@files.example/q3.pdf?X-Amz-Signature=5f2e", "file": file,
            "long": format!("https://files.example/q3.pdf?{}", "s3cret".repeat(20_000)),
        }));
        assert_eq!(kept["url"], "https://[redacted]@files.example/q3.pdf?[redacted]");
        assert_eq!(kept["file"], "data:application/pdf (about 3145728 bytes)");
        let long = kept["long"].as_str().unwrap();
        assert!(long.starts_with("https://files.example/q3.pdf?[redacted]…"), "{long}");
        assert_eq!(
            text("cannot fetch https://a.example/x?t=1", &[]),
            "cannot fetch https://a.example/x?[redacted]"
        );
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
    fn hostile_arguments_are_cut_before_they_are_masked() {
        for part in ["aghp_", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "ghp_", "sk-"] {
            let text = part.repeat((4 << 20) / part.len());
            let kept = arguments(&json!({ "text": text, "list": [text] }), &Opened::default());
            assert!(kept.len() < 2_000 && kept.contains("cut from"), "{part}: {} bytes", kept.len());
        }
        let many: Map<String, Value> = (0..100_000).map(|n| (format!("n{n}"), json!("\u{1}"))).collect();
        assert!(arguments(&Value::Object(many), &Opened::default()).len() <= KEPT_BYTES);
    }

    #[test]
    fn masking_takes_time_in_proportion_to_the_text() {
        // Quadratic, each of these would take minutes.
        for part in
            ["aghp_", "-----BEGIN ", "-----BEGIN PRIVATE KEY----- -----END -----", "sk-0123456789abcdefghi "]
        {
            let masked = mask(&part.repeat((1 << 18) / part.len()), &[]);
            assert!(masked.len() <= 1 << 18, "{part}");
        }
    }

    #[test]
    fn a_token_over_the_cut_goes_whole() {
        let long = format!("{} ghp_{} {}", "x".repeat(190), "0".repeat(36), "y".repeat(100_000));
        let text = arguments(&json!({ "text": long }), &Opened::default());
        assert!(!text.contains("ghp_"), "{text}");
        let text = arguments(
            &json!({ "text": format!("{}{long}", "-----BEGIN PRIVATE KEY----- -----END -----".repeat(900)) }),
            &Opened::default(),
        );
        assert!(!text.contains("ghp_"), "{text}");
    }

    #[test]
    fn values_under_secret_names_do_not_come_back_in_other_texts() {
        let secrets = secrets(&json!({
            "password": "hunter2", "pin_password": 4711, "token": {"deep": ["a value of some length"]}, "title": "hello"
        }));
        for (said, kept) in [
            ("hello: wrong password hunter2, hunter22", "hello: wrong password [redacted], [redacted]2"),
            ("no 4711 and ghp_0123456789abcdefghijklmnopqrstuvwxyz", "no [redacted] and [redacted]"),
            ("got \"a value of some le…", "got \"[redacted]…"),
            ("é it was hunt", "é it was [redacted]"),
            ("", ""),
        ] {
            assert_eq!(text(said, &secrets), kept);
        }
    }

    #[test]
    fn what_is_no_object_is_kept_as_one() {
        assert_eq!(kept(&json!([1])), json!({"_arguments": [1]}));
        assert_eq!(kept(&Value::Null), json!({}));
    }
}
