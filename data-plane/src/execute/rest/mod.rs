//! REST connectors: a compiled call filled in with arguments, and its answer read.

mod encode;
mod file;
mod head;
pub(super) mod json;
pub mod jsonpath;
pub mod pages;
pub mod pipeline;
pub mod plan;
mod refusal;
pub mod request;
pub mod response;
pub mod retry;
pub mod stream;
pub mod style;

pub use plan::Plan;

/// A text as it stands in a URL: percent-encoded but for RFC 3986's unreserved characters.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode::percent(text, &mut out);
    out
}

/// Adds `key=value` to a query string, both percent-encoded.
pub(super) fn append_query(query: &mut String, key: &str, value: &str) {
    encode::pair(query, key, value);
}
