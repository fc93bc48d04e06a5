//! References inside a document: followed, never fetched.

use serde_json::Value as Json;

/// References that may lead to references.
const MAX_CHAIN: usize = 32;

/// Why a reference leads nowhere; completes the sentence that begins with what holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadRef(pub String);

/// The value of a `$ref`, where there is one.
pub(super) fn of(value: &Json) -> Option<&str> {
    value.as_object()?.get("$ref")?.as_str()
}

/// Follows a value's references to what is none.
pub(super) fn follow<'a>(root: &'a Json, mut value: &'a Json) -> Result<&'a Json, BadRef> {
    for _ in 0..MAX_CHAIN {
        match of(value) {
            None => return Ok(value),
            Some(reference) => value = target(root, reference)?,
        }
    }
    Err(BadRef("holds a reference that leads back to itself".to_owned()))
}

/// What a reference names.
pub(super) fn target<'a>(root: &'a Json, reference: &str) -> Result<&'a Json, BadRef> {
    let shown: String = reference.chars().take(120).collect();
    let Some(pointer) = reference.strip_prefix('#') else {
        return Err(BadRef(format!(
            "refers to another file, {shown:?}, which is not read; bundle the document into one file"
        )));
    };
    let pointer = percent_decoded(pointer);
    root.pointer(&pointer).ok_or_else(|| BadRef(format!("refers to {shown:?}, which is not in the document")))
}

fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    // A plus is itself here, unlike in a form.
    let escaped = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(escaped.as_bytes())
        .map(|(key, _)| key.into_owned())
        .next()
        .unwrap_or_default()
}
