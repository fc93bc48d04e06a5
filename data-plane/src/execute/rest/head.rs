//! The answer to HEAD, which has no body: its status and its headers are all there is to know.

use http::HeaderMap;
use http::header::SET_COOKIE;
use serde_json::{Map, Value};

use crate::execute::outbound::Reply;

/// Headers of the connection, which say nothing of what was asked for.
const OF_THE_CONNECTION: &[&str] = &["connection", "keep-alive", "transfer-encoding", "upgrade", "alt-svc"];

/// `{"status": 200, "headers": {…}}`.
pub(super) fn json(reply: &Reply, scrub: &dyn Fn(&mut String)) -> String {
    let mut text = serde_json::json!({ "status": reply.status.as_u16(), "headers": headers(&reply.headers) })
        .to_string();
    scrub(&mut text);
    text
}

/// Repeated headers are joined, as HTTP allows; cookies are nobody's business but the API's.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut map = Map::new();
    for name in headers.keys() {
        if *name == SET_COOKIE || OF_THE_CONNECTION.contains(&name.as_str()) {
            continue;
        }
        let values: Vec<String> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        map.insert(name.to_string(), Value::String(values.join(", ")));
    }
    map
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};

    use super::*;

    #[test]
    fn the_headers_are_the_answer_without_cookies_and_secrets() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("etag", "\"a\""),
            ("link", "<1>"),
            ("link", "<2>"),
            ("set-cookie", "s=1"),
            ("x-echo", "s3cret"),
            ("connection", "close"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let reply = Reply { status: StatusCode::OK, headers, body: bytes::Bytes::new() };
        let scrub = |text: &mut String| *text = text.replace("s3cret", "[redacted]");
        assert_eq!(
            json(&reply, &scrub),
            r#"{"status":200,"headers":{"etag":"\"a\"","link":"<1>, <2>","x-echo":"[redacted]"}}"#
        );
    }
}
