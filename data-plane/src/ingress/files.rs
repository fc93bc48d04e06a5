//! `/files/…`: links to files that were too large for an answer. Opened by browsers, which have no token to show.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use http::{Method, StatusCode};

use super::{Visit, problem};
use crate::call::files::{self, Handed, NoFile};
use crate::node::App;

/// Longest link that is looked at.
const LINK_BYTES: usize = 8 << 10;

/// Hands out a file.
pub(super) async fn file(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Visit>,
    method: Method,
    Path(sealed): Path<String>,
) -> Response {
    if method != Method::GET {
        return problem::method_not_allowed("GET");
    }
    if sealed.len() > LINK_BYTES {
        return refusal(&NoFile::Link);
    }
    match files::follow(&app, visit, &sealed).await {
        Ok(handed) => hand(handed),
        Err(reason) => refusal(&reason),
    }
}

fn hand(handed: Handed) -> Response {
    let Handed { media_type, name, length, content } = handed;
    let body = stream::unfold(content, |mut content| async move { Some((content.next().await?, content)) });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&media_type).unwrap_or(octets));
    headers.insert(CONTENT_DISPOSITION, attachment(&name));
    // Whatever it is, it is kept, not shown: another's page must not speak in a workspace's name.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    response
}

/// RFC 6266: the name in plain letters, and as it is.
fn attachment(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' })
        .collect();
    let whole: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let whole = whole.replace('+', "%20");
    let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}");
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// People read this: a sentence, as text.
fn refusal(reason: &NoFile) -> Response {
    let status = match reason {
        NoFile::Link => StatusCode::NOT_FOUND,
        NoFile::Denied => StatusCode::FORBIDDEN,
        NoFile::Busy => StatusCode::SERVICE_UNAVAILABLE,
        NoFile::Failed(_) => StatusCode::BAD_GATEWAY,
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    (status, headers, format!("{reason}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_header() {
        let value = attachment("q3 \"a\"; x=y\r\n é.pdf");
        let text = value.to_str().unwrap();
        assert_eq!(text.matches('"').count(), 2, "{text}");
        assert!(text.starts_with("attachment; filename=\"q3 _a__ x_y__ _.pdf\"; "), "{text}");
        assert!(text.ends_with("filename*=UTF-8''q3%20%22a%22%3B%20x%3Dy%0D%0A%20%C3%A9.pdf"), "{text}");
    }
}
