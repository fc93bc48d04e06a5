//! Static files, embedded in the binary, under addresses that change with their content.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../web/static"]
struct Files;

/// The address of a static file: `/static/css/base.css?v=1f2e3d4c`.
#[must_use]
pub fn url(path: &str) -> String {
    let version = Files::get(path).map(|file| toolmesh_proto::hex(&file.metadata.sha256_hash()[..4]));
    format!("/static/{path}?v={}", version.unwrap_or_default())
}

/// `GET /static/{*path}`. The address holds the version, so that a browser may keep what it got.
pub(super) async fn serve(Path(path): Path<String>) -> Response {
    let Some(file) = Files::get(&path) else { return StatusCode::NOT_FOUND.into_response() };
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let mut response = file.data.into_response();
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    response
}
