//! The frame of the few pages that this program answers itself: complete in one response, no script, nothing loaded.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};

use crate::serve::Body;

const STYLE: &str = include_str!("page.css");

/// A page. `title` is text; `body` is HTML, whose variable parts have gone through [`escape`].
pub(crate) struct Page<'a> {
    pub(crate) status: StatusCode,
    pub(crate) title: &'a str,
    pub(crate) body: &'a str,
}

impl Page<'_> {
    pub(crate) fn respond(&self) -> Response<Body> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style nonce=\"{nonce}\">{STYLE}</style></head><body><main>{body}</main></body></html>\n",
            title = escape(self.title),
            body = self.body,
        );
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let mut response = plain(self.status, "text/html; charset=utf-8", html);
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// A response of ours: never stored, never sniffed, never named to others.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, content: String) -> Response<Body> {
    let full = Full::new(Bytes::from(content)).map_err(|never| match never {});
    let mut response = Response::new(full.boxed());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Text as HTML, in an element or in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}
