//! Files on their way from one server to another.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::{Redirect, Response};
use axum::routing::{get, post};

use super::*;

/// What reached the API: headers and body.
type Received = Arc<Mutex<Vec<(HeaderMap, Vec<u8>)>>>;

/// A server of files that is also the API.
async fn serve(received: Received) -> String {
    let upload = move |request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        let Ok(bytes) = axum::body::to_bytes(body, 200 << 20).await else { return "broken" };
        received.lock().unwrap().push((head.headers, bytes.to_vec()));
        "{}"
    };
    let endless = || async {
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        Body::from_stream(futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(chunk)))
    };
    let chunked = || async {
        let chunk = Ok::<_, std::convert::Infallible>(Bytes::from_static(b"in pieces"));
        Body::from_stream(futures_util::stream::iter([chunk]))
    };
    let short = || async {
        let body =
            futures_util::stream::iter([Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))]);
        Response::builder().header("content-length", "100").body(Body::from_stream(body)).unwrap()
    };
    let app = Router::new()
        .route("/upload", post(upload))
        .route("/files/{name}", get(|| async { ([("content-type", "application/pdf")], "%PDF") }))
        .route("/png", get(|| async { ([("content-type", "image/png")], vec![1_u8, 2, 3]) }))
        .route("/chunked", get(chunked))
        .route("/endless", get(endless))
        .route("/short", get(short))
        .route("/secret", get(|| async { (http::StatusCode::FORBIDDEN, "inner secret") }))
        .route("/once", get(|| async { Redirect::temporary("/png") }))
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route("/to-file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route("/packed", get(|| async { ([("content-encoding", "gzip")], "x") }))
        .route("/inside", get(|| async { Redirect::temporary("http://10.0.0.1/x") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn outbound() -> Outbound {
    let limits = Limits { connect: Duration::from_secs(2), ..Limits::default() };
    Outbound::new(EgressPolicy { allow_private: true }, &limits).unwrap()
}

async fn send(base: &str, body: Payload, content_type: &str) -> Result<Reply, OutboundError> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", content_type.parse().unwrap());
    headers.insert("authorization", HeaderValue::from_static("Bearer s3cret"));
    let url = Url::parse(&format!("{base}/upload")).unwrap();
    outbound().send(OutboundRequest { method: Method::POST, url, headers, body: Some(body) }).await
}

fn file(url: &str, most: u64) -> FileSource {
    FileSource::parse("image", url, most).unwrap()
}

#[tokio::test]
async fn a_form_with_files_arrives_whole_and_with_its_length() {
    let received = Received::default();
    let base = serve(Arc::clone(&received)).await;
    let part = |name: &str, content| Field { name: name.into(), content };
    let form = Multipart::new(
        vec![
            part("na\"me", FieldContent::Text("grüß\r\ndich".into())),
            part("doc", FieldContent::File(file(&format!("{base}/files/report%20%221%22.pdf"), 1000))),
            part("thumb", FieldContent::File(file("data:image/png;base64,AQID", 1000))),
        ],
        10_000,
    );
    let content_type = form.content_type();
    let boundary = content_type.split_once("boundary=").unwrap().1.to_owned();
    send(&base, Payload::Multipart(form), &content_type).await.unwrap();
    let (headers, body) = received.lock().unwrap().remove(0);
    let wanted = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"na%22me\"\r\n\r\ngrüß\r\ndich\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"doc\"; filename=\"report 1.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"thumb\"; filename=\"file.png\"\r\nContent-Type: image/png\r\n\r\n\u{1}\u{2}\u{3}\r\n\
         --{boundary}--\r\n"
    );
    assert_eq!(String::from_utf8_lossy(&body), wanted);
    assert_eq!(headers["content-length"], wanted.len().to_string().as_str());
}

#[tokio::test]
async fn a_file_alone_is_the_body_also_behind_a_redirect_and_without_a_length() {
    let received = Received::default();
    let base = serve(Arc::clone(&received)).await;
    for (path, wanted) in [("/once", &[1_u8, 2, 3][..]), ("/chunked", b"in pieces")] {
        let source = file(&format!("{base}{path}"), 1000);
        send(&base, Payload::File(source), "application/octet-stream").await.unwrap();
        let (headers, body) = received.lock().unwrap().remove(0);
        assert_eq!(body, wanted);
        assert_eq!(headers["content-length"], wanted.len().to_string().as_str());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_had_fails_the_call_by_name_and_shows_nothing_of_its_server() {
    let received = Received::default();
    let base = serve(Arc::clone(&received)).await;
    for (path, words) in [
        ("/secret", "its server answered 403"),
        ("/nothing", "its server answered 404"),
        ("/round", "more than 5 redirects"),
        ("/to-file", "points nowhere"),
        ("/packed", "came packed"),
        ("/short", "could not be fetched"),
        ("/endless", "is larger than 5 MiB"),
    ] {
        let source = file(&format!("{base}{path}"), 5 << 20);
        let error = send(&base, Payload::File(source), "application/octet-stream").await.unwrap_err();
        assert!(matches!(&error, OutboundError::File { argument, .. } if argument == "image"), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(words) && !text.contains("secret"), "{path}: {text}");
    }
    assert!(received.lock().unwrap().is_empty(), "nothing half arrived");
}

#[tokio::test]
async fn every_hop_to_a_file_is_checked() {
    let base = serve(Received::default()).await;
    let guarded = Outbound::new(EgressPolicy { allow_private: false }, &Limits::default()).unwrap();
    for url in [base.as_str(), "https://127.0.0.1/x", "https://localhost/x", "http://example.com/x"] {
        let error = Payload::File(file(url, 10)).send(&guarded).await.err().unwrap();
        assert!(matches!(error, OutboundError::File { .. }), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_form_is_no_larger_than_it_may_be() {
    let base = serve(Received::default()).await;
    let field = Field { name: "a".into(), content: FieldContent::Text("x".repeat(500)) };
    let form = Multipart::new(vec![field], 100);
    let error = send(&base, Payload::Multipart(form), "multipart/form-data").await.unwrap_err();
    assert_eq!(error, OutboundError::BodyTooLarge(100));
}

#[test]
fn only_web_and_data_urls_name_a_file() {
    for bad in [
        "file:///etc/passwd",
        "ftp://example.com/x",
        "tm-blob://1",
        "/etc/passwd",
        "example.com/x",
        "",
        "gopher://x",
        "https://",
        "https://user:pw@example.com/x",
        "data:image/png;base64,%%%",
        "data:image/png",
        "data:a\r\nb/c,x",
        "data:text/plain,12345678901",
    ] {
        assert!(FileSource::parse("f", bad, 10).is_err(), "{bad}");
    }
    for good in [
        "data:,hi",
        "data:text/plain;charset=utf-8,a%20b",
        "DATA:image/png;BASE64,AQI",
        "HTTPS://example.com/x",
    ] {
        assert!(FileSource::parse("f", good, 10).is_ok(), "{good}");
    }
}
