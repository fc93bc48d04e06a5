//! Files that APIs answer with: which they are, what they are called, and their bytes.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use super::plan::Plan;
use super::refusal::clean;
use super::response::Kind;
use crate::execute::outbound::Reply;

/// A file that an API answered with.
#[derive(Clone, Debug)]
pub struct File {
    /// Without parameters.
    pub media_type: String,
    /// As the API calls it, without a path.
    pub name: String,
    pub bytes: Bytes,
    /// What it is, as JSON, for those who read text alone.
    summary: String,
}

impl File {
    #[must_use]
    pub fn new(media_type: String, name: String, bytes: Bytes) -> Self {
        let summary = serde_json::json!({
            "file": name, "content_type": media_type, "size_bytes": bytes.len()
        });
        Self { media_type, name, bytes, summary: summary.to_string() }
    }

    /// What it is, as JSON.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

/// What a file is, what it is called, and whether it is a text, as far as its headers say.
pub fn described(plan: &Plan, headers: &HeaderMap) -> (String, String, bool) {
    let media_type = match Kind::of(headers) {
        Kind::Json => "application/json".to_owned(),
        Kind::Html => "text/html".to_owned(),
        Kind::Text { .. } => said(headers),
        kind => declared(plan, &kind),
    };
    let textual = is_text(media_type.split(';').next().unwrap_or_default().trim());
    (media_type, file_name(headers).unwrap_or_else(|| "file".to_owned()), textual)
}

/// The media type that the headers name, in full: a text's holds its encoding.
fn said(headers: &HeaderMap) -> String {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    said.unwrap_or("text/plain").to_ascii_lowercase()
}

fn is_text(media_type: &str) -> bool {
    matches!(Kind::named(media_type, ""), Kind::Text { .. } | Kind::Json | Kind::Html)
}

/// The media type of what is no text, without parameters.
fn declared(plan: &Plan, kind: &Kind) -> String {
    let media_type = match kind {
        Kind::Binary(media) if media != "application/octet-stream" => media.as_str(),
        _ => plan.answer.media_type.as_deref().unwrap_or("application/octet-stream"),
    };
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The file that an answer is; `None` for one that is a text, which is read as such.
pub(super) fn read(plan: &Plan, reply: &Reply, kind: &Kind) -> Option<File> {
    if !matches!(kind, Kind::Binary(_) | Kind::Missing) {
        return None;
    }
    let media_type = declared(plan, kind);
    if is_text(&media_type) && std::str::from_utf8(&reply.body).is_ok() {
        return None;
    }
    let name = file_name(&reply.headers).unwrap_or_else(|| "file".to_owned());
    Some(File::new(media_type, name, reply.body.clone()))
}

/// The name in a Content-Disposition header (RFC 6266), without a path and without what could mislead. One that names its
/// encoding (`filename*`) goes before one in ASCII.
fn file_name(headers: &HeaderMap) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(CONTENT_DISPOSITION)?.as_bytes()).into_owned();
    let parameters = parameters(&value);
    let named = |wanted: &str| {
        parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
    };
    let written = named("filename*").and_then(extended);
    let written = written.or_else(|| named("filename").map(|text| text.trim_matches('"').to_owned()))?;
    let name = written.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = clean(name).chars().filter(|c| !matches!(c, '"' | '<' | '>')).take(100).collect();
    (!name.is_empty() && !name.starts_with('.')).then_some(name)
}

/// The parameters of a header; semicolons within quotes part nothing.
fn parameters(value: &str) -> Vec<(&str, &str)> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                parts.push(value.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(value.get(start..).unwrap_or_default());
    let pairs = parts.into_iter().filter_map(|part| part.split_once('='));
    pairs.map(|(name, value)| (name.trim(), value.trim())).collect()
}

/// `UTF-8''gr%C3%B6%C3%9Fe.png` (RFC 8187).
fn extended(value: &str) -> Option<String> {
    let (encoding, rest) = value.trim_matches('"').split_once('\'')?;
    let (_, text) = rest.split_once('\'')?;
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    if encoding.eq_ignore_ascii_case("iso-8859-1") {
        return Some(bytes.into_iter().map(char::from).collect());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_file_has_the_name_that_its_server_gives_it() {
        for (header, wanted) in [
            ("attachment; filename=a.png", Some("a.png")),
            ("attachment; FileName=\"a; b.png\"", Some("a; b.png")),
            ("attachment; filename=\"x.png\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.png", Some("größe.png")),
            ("attachment; filename*=iso-8859-1'en'%E4.txt", Some("ä.txt")),
            ("attachment; filename*=UTF-8''%FF; filename=b.txt", Some("b.txt")),
            ("attachment; filename*=UTF-8''..%2F..%2Fc.txt", Some("c.txt")),
            ("attachment; filename*=nothing", None),
            ("inline", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_DISPOSITION, HeaderValue::from_static(header))]);
            assert_eq!(file_name(&headers).as_deref(), wanted, "{header}");
        }
    }
}
