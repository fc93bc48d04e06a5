//! Answers that our own API gives for what is done with answers: lists in pages, files, streams, limits, and answers that
//! are meant to do harm.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LINK, RETRY_AFTER};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::upstream::Log;

/// Items of every list that has an end.
const ITEMS: u64 = 5;

pub(crate) fn routes() -> Router<Log> {
    Router::new()
        .route("/lists/pages", any(pages))
        .route("/lists/offset", any(offset))
        .route("/lists/cursor", any(cursor))
        .route("/lists/link", any(link))
        .route("/lists/stuck", any(|| async { Json(json!({"data": [1], "next": "same"})) }))
        .route("/lists/endless", any(|| async { Json(json!([1, 2])) }))
        .route("/lists/breaks", any(breaks))
        .route("/flaky/{times}", any(flaky))
        .route("/limited", any(limited))
        .route("/files/{name}", any(file))
        .route("/uploads/parts", any(parts).layer(DefaultBodyLimit::disable()))
        .route("/uploads/raw", any(raw).layer(DefaultBodyLimit::disable()))
        .route("/streams/events", any(events))
        .route("/streams/lines", any(lines))
        .route("/people", any(people))
        .route("/deep", any(deep))
        .route("/wide", any(wide))
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    page: Option<u64>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    after: Option<u64>,
}

fn item(id: u64) -> Value {
    json!({"id": id, "name": format!("item {id}"), "noise": "x".repeat(20)})
}

fn part(from: u64, limit: u64) -> Vec<Value> {
    (from..ITEMS.min(from + limit)).map(|at| item(at + 1)).collect()
}

async fn pages(Query(asked): Query<Asked>) -> Response {
    let (page, limit) = (asked.page.unwrap_or(1).max(1), asked.limit.unwrap_or(3));
    let total = ITEMS.div_ceil(limit);
    ([("x-pages", total.to_string())], Json(part((page - 1) * limit, limit))).into_response()
}

async fn offset(Query(asked): Query<Asked>) -> Json<Value> {
    let (offset, limit) = (asked.offset.unwrap_or(0), asked.limit.unwrap_or(2));
    let next = (offset + limit < ITEMS).then(|| format!("?offset={}", offset + limit));
    Json(json!({"results": part(offset, limit), "next": next}))
}

async fn cursor(Query(asked): Query<Asked>) -> Json<Value> {
    let from = asked.cursor.and_then(|cursor| cursor.strip_prefix("after-")?.parse().ok()).unwrap_or(0);
    let items = part(from, 2);
    let end = from + items.len() as u64;
    let next = (end < ITEMS).then(|| format!("after-{end}"));
    Json(json!({"data": items, "has_more": next.is_some(), "next": next, "page": {"from": from}}))
}

async fn link(uri: Uri, Query(asked): Query<Asked>) -> Response {
    let from = asked.after.unwrap_or(0);
    let items = part(from, 2);
    let end = from + items.len() as u64;
    // The origin is left to the client, as it would be behind a proxy; so is the credential, which a hostile API may name.
    let next = format!("<{}?after={end}&key=theirs>; rel=\"next\"", uri.path());
    let header = if end < ITEMS { next } else { "</first>; rel=\"first\"".to_owned() };
    ([(LINK, header)], Json(items)).into_response()
}

async fn breaks(Query(asked): Query<Asked>) -> Response {
    if asked.page.unwrap_or(1) > 1 {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    Json(part(0, 2)).into_response()
}

/// Refuses the first requests to a path.
async fn flaky(State(log): State<Log>, Path(times): Path<usize>, uri: Uri) -> Response {
    let seen = log.lock().map(|seen| seen.iter().filter(|seen| seen.path == uri.path()).count());
    if seen.unwrap_or_default() <= times {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": {"message": "busy"}})))
            .into_response();
    }
    Json(json!({"ok": true})).into_response()
}

async fn limited() -> Response {
    let body = Json(json!({"error": {"message": "slow down", "code": "quota"}}));
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "600")], body).into_response()
}

async fn file(Path(name): Path<String>) -> Response {
    let (media_type, body): (_, Vec<u8>) = match name.as_str() {
        "dot.png" => ("image/png", b"\x89PNG\r\n\x1a\n\x00".to_vec()),
        "note.wav" => ("audio/wav", b"RIFF\x00\xff".to_vec()),
        "table.csv" => ("text/csv", b"a,b\n1,2\n".to_vec()),
        "large.bin" => ("application/octet-stream", vec![0xff; 6 << 20]),
        "large.csv" => ("text/csv", b"key,s3cret-key-0001\n".repeat(300_000)),
        _ => ("application/octet-stream", b"\x1f\x8b\x00\xff".to_vec()),
    };
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(CONTENT_TYPE, media_type.to_owned()), (CONTENT_DISPOSITION, disposition)], body).into_response()
}

/// What came in a body of parts, as the framework reads it.
async fn parts(mut body: Multipart) -> Response {
    let mut found = Vec::new();
    loop {
        let field = match body.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => return Json(Value::Array(found)).into_response(),
            Err(error) => return (StatusCode::BAD_REQUEST, error.body_text()).into_response(),
        };
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (name, file, kind) = (text(field.name()), text(field.file_name()), text(field.content_type()));
        let bytes = field.bytes().await.unwrap_or_default();
        let begins =
            String::from_utf8_lossy(bytes.get(..bytes.len().min(20)).unwrap_or_default()).into_owned();
        found.push(json!({"name": name, "file": file, "type": kind, "bytes": bytes.len(), "begins": begins}));
    }
}

async fn raw(headers: HeaderMap, body: Bytes) -> Json<Value> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Json(json!({"type": kind, "bytes": body.len(), "whole": body.iter().all(|byte| *byte == 0xff)}))
}

/// Three events and then silence.
async fn events() -> Response {
    let event = |n: u64| Ok::<_, Infallible>(Bytes::from(format!("event: tick\ndata: {{\"n\": {n}}}\n\n")));
    let body = stream::iter((1..=3).map(event)).chain(stream::pending());
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

/// Lines without an end.
async fn lines() -> Response {
    let line = |n: u64| Ok::<_, Infallible>(Bytes::from(format!("{{\"n\": {n}}}\n")));
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream::iter(1..).map(line))).into_response()
}

/// With numbers that no float holds.
async fn people() -> Response {
    let body = r#"{"users": [{"id": 9007199254740993, "name": "Ada", "token": "t-ada"},
        {"id": 12345678901234567890123, "name": "Bob", "token": "t-bob"}], "page": 1}"#;
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn deep() -> Response {
    let body = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Much work for a program that looks at everything.
async fn wide() -> Response {
    let body = format!("[{}1]", "{\"a\":[1,2,3]},".repeat(5_000));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
